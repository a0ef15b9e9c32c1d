"""A program that starts interpreters by forking, after it has imported what takes seconds.

``tests.processes.Process`` runs it. A fork that goes on to run a program ends as any interpreter
does, as it leaves this module at its end.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import random
import runpy
import signal
import socket
import sys
import tempfile
import time
import types
import warnings
from typing import Any

import numpy as np

IMPORTED = (
    "pandas",
    "pyarrow.parquet",
    "sklearn.dummy",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "torch",
    "transformers.conversion_mapping",
    "transformers.modeling_utils",
    "transformers.models.bert.modeling_bert",
)


def next_request(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for what is to be run, and its standard input, output and error."""
    size, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
    if not size:
        os._exit(0)  # the tests are done
    with connection.makefile("rb", buffering=0) as stream:
        text = b""
        while len(text) < int.from_bytes(size):
            text += stream.read(int.from_bytes(size) - len(text))
    return json.loads(text), descriptors


def fork() -> int:
    """Fork; Python 3.12 and newer would warn of the threads that imported libraries have."""
    with warnings.catch_warnings(action="ignore"):
        return os.fork()


def fork_child_of(parent: int, descriptors: list[int]) -> bool:
    """Fork a process that the tests, our parent, adopt; whether this is the new process."""
    if (between := fork()) == 0:
        if fork():
            os._exit(0)
        while os.getppid() != parent:
            time.sleep(0.0005)
        return True
    os.waitpid(between, 0)
    for descriptor in descriptors:
        os.close(descriptor)
    return False


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Be as an interpreter that was just started."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, name)
        unbuffered = 0 if before.write_through else -1  # by PYTHONUNBUFFERED
        mode, size = ("wb", unbuffered) if number else ("rb", -1)
        stream = io.TextIOWrapper(
            open(number, mode, size, closefd=False),  # noqa: SIM115
            before.encoding,
            before.errors,
            line_buffering=before.line_buffering,
            write_through=before.write_through,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if "HF_ASSETS_CACHE" in os.environ:
        sys.modules["huggingface_hub.constants"].HF_ASSETS_CACHE = os.environ["HF_ASSETS_CACHE"]
    tempfile.tempdir = None
    random.seed()
    np.random.seed()  # noqa: NPY002
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


for name in IMPORTED:
    importlib.import_module(name)
gc.collect()
gc.freeze()
server, connection = sys.modules["__main__"], socket.socket(fileno=int(sys.argv[1]))
while True:
    request, descriptors = next_request(connection)
    if fork_child_of(os.getppid(), descriptors):
        break
connection.sendall(os.getpid().to_bytes(8))
connection.close()
become(request, descriptors)
words = request["arguments"]
if words[:2] == ["-W", "error"]:
    words = words[2:]
else:
    sys.warnoptions.clear()
    others = [each for each in warnings.filters if each != ("error", None, Warning, None, 0)]
    warnings.resetwarnings()
    warnings.filters.extend(others)  # type: ignore[attr-defined]
kind, program = words[0], words[1] if words[0] in ("-c", "-m") else words[0]
sys.argv = [kind, *words[2:]] if kind in ("-c", "-m") else words
sys.path[0] = "" if kind in ("-c", "-m") else os.path.dirname(program)
if kind == "-c":
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(program, "<string>", "exec"), vars(main))
elif kind == "-m":
    runpy.run_module(program, run_name="__main__", alter_sys=True)
else:
    runpy.run_path(program, run_name="__main__")
