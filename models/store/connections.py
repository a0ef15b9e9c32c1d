"""A connection for each thread; a fork waits until no other thread uses one, and inherits none.

SQLite notes for the whole process which locks its connections hold. A fork copies the notes, but
not the locks: if a thread was in a transaction just then, the child would wait for ever for a
thread that it does not have. So connections are closed before a fork, and opened again when needed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Connections"]

_LONGEST_WAIT_SECONDS = 60.0  # as long as SQLite waits for another process

_gate = threading.RLock()  # held by a fork, so that nobody else begins
_owners: weakref.WeakSet[_Owner] = weakref.WeakSet()
_at_fork: list[_Owner] = []
_inherited: list[sqlite3.Connection] = []  # from the parent of a fork: neither used nor closed


class Connections:
    """The connections of one database, one for each thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    def get(self, connect: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
        """Return this thread's connection, which ``connect`` makes if there is none."""
        owner = self._owner()
        if owner.connection is None:
            owner.connection = connect()
        return owner.connection

    @contextmanager
    def using(self, connect: Callable[[], sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
        """Yield this thread's connection; no other thread forks the process meanwhile."""
        owner = self._owner()
        is_nested = owner.is_inside
        if not is_nested:
            with _gate:  # a fork that waits comes first
                pass
        with owner.lock:
            try:
                owner.is_inside = True
                yield self.get(connect)
            finally:
                owner.is_inside = is_nested

    def _owner(self) -> _Owner:
        owner: _Owner | None = getattr(self._local, "owner", None)
        if owner is None:
            owner = self._local.owner = _Owner()
        return owner


class _Owner:
    """A thread's connection to one database, and whether the thread is using it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.is_inside = False
        with _gate:
            _owners.add(self)

    def close(self) -> None:
        """Close the connection, unless the thread that forks is using it itself."""
        connection = self.connection
        if connection is not None and not self.is_inside and not connection.in_transaction:
            self.connection = None
            with suppress(sqlite3.Error):
                connection.close()


def _before_fork() -> None:
    until = time.monotonic() + _LONGEST_WAIT_SECONDS
    _gate.acquire(timeout=_LONGEST_WAIT_SECONDS)
    _at_fork[:] = _owners
    for owner in _at_fork:
        owner.lock.acquire(timeout=max(0.0, until - time.monotonic()))
        owner.close()


def _after_fork_in_parent() -> None:
    for owner in _at_fork:
        _release(owner.lock)
    _at_fork.clear()
    _release(_gate)


def _after_fork_in_child() -> None:
    for owner in {*_at_fork, *_owners}:
        owner.lock = threading.RLock()
        if owner.connection is not None:
            _inherited.append(owner.connection)
            owner.connection = None
    _at_fork.clear()
    _release(_gate)


def _release(lock: threading.RLock) -> None:
    with suppress(RuntimeError):  # the wait for it was too long, or was interrupted
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
