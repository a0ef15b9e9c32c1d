"""Tests of processes.py: a forked interpreter is like one that was just started."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.processes import Process, run_python

CODE = """
import os, random, sys, tempfile, warnings
print(sys.argv[1:], __name__, os.getcwd(), os.getppid(), tempfile.gettempdir())
print("torch" in sys.modules, "bertvectorizer" in sys.modules)
try:
    warnings.warn("as an error")
except UserWarning:
    print("error")
"""


@pytest.mark.parametrize("fresh", [False, True])
def test_it_is_as_if_just_started(fresh: bool, tmp_path: Path) -> None:
    printed = run_python(CODE, "one", 2, fresh=fresh, TMPDIR=tmp_path).splitlines()
    begin = f"['one', '2'] __main__ {os.getcwd()} {os.getpid()} {tmp_path}"
    assert printed == [begin, f"{not fresh and sys.platform == 'linux'} False", "error"]


@pytest.mark.parametrize("fresh", [False, True])
def test_it_ends_as_an_interpreter_does(fresh: bool, tmp_path: Path) -> None:
    for code, status, said in (
        ("raise SystemExit(5)", 5, ""),
        ("import warnings\nwarnings.warn('no error')\nprint('out')", 0, "no error"),
        ("import threading\nthreading.Thread(target=print, args=('out',)).start()", 0, ""),
        ("raise ValueError('the end')", 1, "ValueError: the end\n"),
    ):
        with Process("-c", code, cwd=tmp_path, fresh=fresh) as process:
            assert process.finish(expect=status) == "out\n" * (not status)
            assert said in process.error_output
    with Process("-c", "print('ready', flush=True)\ninput()", fresh=fresh) as process:
        assert process.read_line() == "ready"
        process.send_signal(signal.SIGINT)
        process.finish(expect=-signal.SIGINT)
