"""What the tests of models/ share."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are faster on one thread, and ten times faster where other programs run."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def rollback_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose SQLite's journal of old, for tests that put faults into the file: a write-ahead log would hide them."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))


@pytest.fixture
def run_at_once() -> Callable[..., list[str]]:
    """``run_at_once(code, [arguments, ...])`` starts an interpreter for each, and lets all go on
    once each has printed "ready".

    The code waits by reading a line. Returns what each prints after that; none may fail, or print
    an error; warnings are errors."""

    def run(code: str, arguments: Sequence[Sequence[object]]) -> list[str]:
        workers = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", code, *map(str, own)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for own in arguments
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write("go\n")
                worker.stdin.flush()
            printed = [worker.communicate(timeout=60) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        assert [
            (worker.returncode, errors)
            for worker, (_, errors) in zip(workers, printed, strict=True)
        ] == [(0, "")] * len(workers)
        return [output for output, _ in printed]

    return run
