"""What the tests of models/ share."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
import torch

from tests.processes import Process


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are faster on one thread, and ten times faster where other programs run."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def rollback_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use SQLite's rollback journal: a write-ahead log would hide faults put into the file."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a lookup waits for what another one computes."""
    sleep, waits = time.sleep, threading.Event()
    monkeypatch.setattr(time, "sleep", lambda seconds: (waits.set(), sleep(seconds)))
    return waits


@pytest.fixture
def run_at_once() -> Callable[..., list[str]]:
    """``run_at_once(code, [arguments, ...])`` starts an interpreter for each, and lets all go on
    once each has printed "ready".

    The code waits by reading a line. Returns what each prints after that; none may fail, or print
    an error; warnings are errors."""

    def run(code: str, arguments: Sequence[Sequence[object]]) -> list[str]:
        with ExitStack() as stack:
            workers = [
                stack.enter_context(Process("-W", "error", "-c", code, *own)) for own in arguments
            ]
            assert [worker.read_line() for worker in workers] == ["ready"] * len(workers)
            for worker in workers:
                worker.go_on()
            printed = [worker.finish() for worker in workers]
            assert [worker.error_output for worker in workers] == [""] * len(workers)
        return printed

    return run
