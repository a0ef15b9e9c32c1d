"""What the tests of models/ share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

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
