"""Call functions in fresh processes, forked from one that has imported the heavy libraries.

Interpreter and imports would take most of a run that gives each measurement its own process.
Nothing but imports happens before the fork: no thread of PyTorch has run, no model is loaded, and
this library is not imported, since its session store belongs to the importing process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .process import JsonProcess, reply_stream

_LIBRARIES = (
    "pandas", "pyarrow.csv", "sklearn.linear_model", "sklearn.model_selection",
    "sentence_transformers", "skrub", "diskcache", "gensim.models", "model2vec",
)  # fmt: skip

# For joblib's workers too, each of which would warn of long texts.
_QUIET = {"PYTHONWARNINGS": "ignore", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


class ForkServer(JsonProcess):
    """The process that forks; calls run one after the other."""

    def __init__(self) -> None:
        super().__init__("benchmarks.fork_server", **_QUIET)

    def call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function of a module in a new process; arguments and result are JSON."""
        return self.request(function.__name__, [function.__module__, function.__name__, arguments])


def main() -> None:
    """Import the libraries, then answer each call in a fork until the input ends."""
    replies = reply_stream()
    for library in _LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(library)
    gc.freeze()  # the forks need not collect any of this
    for line in sys.stdin:
        child = os.fork()
        if not child:
            module, name, arguments = json.loads(line)
            result = getattr(importlib.import_module(module), name)(**arguments)
            print(json.dumps(result), file=replies)
            return  # a normal exit removes session stores and pools of workers
        if os.waitpid(child, 0)[1]:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
