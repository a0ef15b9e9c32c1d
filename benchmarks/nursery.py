"""Fresh processes at the price of a fork: one process imports the heavy libraries, and every call is made in a copy of it.

Interpreter and imports would take most of a run that gives each measurement a process of its own. Nothing but imports happens
before the fork: no thread of PyTorch has run, no model is loaded, and this library is not yet there, whose session store belongs
to the process that imports it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from .common import ROOT

_LIBRARIES = ("pandas", "sklearn.linear_model", "sklearn.model_selection", "sentence_transformers", "skrub", "diskcache")
_LIBRARIES += ("gensim.models", "model2vec", "pyarrow.csv")

# For the workers of joblib too, each of which would tell of texts that are longer than the model reads.
_QUIET = {"PYTHONWARNINGS": "ignore", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


class Nursery:
    """The side of the benchmark: calls functions in processes of their own, one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.nursery"],
            cwd=ROOT,
            env={**os.environ, **_QUIET, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(BrokenPipeError):
            self._process.communicate()  # closing its input ends the process

    def call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function of a module in a new process; arguments and result are JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([function.__module__, function.__name__, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The process of {function.__name__!r} has died; see its message above.")
        return json.loads(answer)


def main() -> None:
    """Import what is heavy, then answer each call in a copy of this process until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with answers
    for library in _LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(library)
    gc.freeze()  # the copies' collectors need not look at any of this
    for line in sys.stdin:
        child = os.fork()
        if not child:
            module, name, arguments = json.loads(line)
            print(json.dumps(getattr(importlib.import_module(module), name)(**arguments)), file=answers)
            return  # the copy ends as any interpreter does, so that session stores and pools of workers are cleared away
        if os.waitpid(child, 0)[1]:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
