"""Fresh processes at the price of a fork: one process imports the heavy libraries, and every call
is made in a copy of it.

Interpreter and imports would take most of a run that gives each measurement a process of its own.
Nothing but imports happens before the fork: no thread of PyTorch has run, no model is loaded, and
this library is not yet there, whose session store belongs to the process that imports it."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .process import JsonProcess, answers

_LIBRARIES = (
    "pandas", "pyarrow.csv", "sklearn.linear_model", "sklearn.model_selection", "sentence_transformers", "skrub", "diskcache",
    "gensim.models", "model2vec",
)  # fmt: skip

# For the workers of joblib too, each of which would tell of texts that are longer than the model
# reads.
_QUIET = {"PYTHONWARNINGS": "ignore", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


class Nursery(JsonProcess):
    """The side of the benchmark: calls functions in processes of their own, one after the other."""

    def __init__(self) -> None:
        super().__init__("benchmarks.nursery", **_QUIET)

    def call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function of a module in a new process; arguments and result are JSON."""
        return self.request(function.__name__, [function.__module__, function.__name__, arguments])


def main() -> None:
    """Import what is heavy, then answer each call in a copy of this process until the input ends."""
    replies = answers()
    for library in _LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(library)
    gc.freeze()  # the copies' collectors need not look at any of this
    for line in sys.stdin:
        child = os.fork()
        if not child:
            module, name, arguments = json.loads(line)
            print(
                json.dumps(getattr(importlib.import_module(module), name)(**arguments)),
                file=replies,
            )
            # The copy ends as any interpreter does, so that session stores and pools of workers are
            # cleared away
            return
        if os.waitpid(child, 0)[1]:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
