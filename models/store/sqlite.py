"""The store's file: an SQLite database with a row for each text, shared by many processes."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import StoreError
from .private_files import make_private

__all__ = [
    "FAULTS",
    "Connections",
    "Database",
    "OtherFormatError",
    "is_busy",
    "is_ours",
    "journal_mode",
]

_APPLICATION = 0x42565354
_VERSION = 1
_BUSY_SECONDS = 60.0
_KEYS_PER_QUERY = 500
_PAGE_BYTES = 16384
_EVICT_TO = 0.9

_SCHEMA = """
CREATE TABLE records
    (key BLOB PRIMARY KEY, used INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX records_used ON records (used, size);
CREATE TABLE claims (key BLOB PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""

_COUNT = (
    "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value +"
    " excluded.value"
)

# Errors of a file, a damaged one included: SQLite then returns values of any type, and messages
# that are not text.
FAULTS = (sqlite3.Error, OSError, ValueError, TypeError, OverflowError, MemoryError)


class OtherFormatError(StoreError):
    """The file is a store of another release, or one that something else has changed."""


_LONGEST_WAIT_SECONDS = 60.0  # as long as SQLite waits for another process

_gate = threading.RLock()  # held by a fork, so that nobody else begins
_owners: weakref.WeakSet[_Owner] = weakref.WeakSet()
_at_fork: list[_Owner] = []
_inherited: list[sqlite3.Connection] = []  # from the parent of a fork: neither used nor closed


class Connections:
    """The connections of one database, one for each thread.

    SQLite notes for the whole process which locks its connections hold. A fork copies the notes,
    but not the locks: if a thread was in a transaction just then, the child would wait for ever for
    a thread that it does not have. So connections are closed before a fork, and opened again when
    needed.
    """

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


class Database:
    """Records by key, and counters, in one SQLite file.

    Every process and thread opens its own connection when it first needs one, so that an instance
    may be used from many threads and after a fork. Reads fetch all rows before they return, since
    an open cursor keeps others from committing.

    Every method raises `StoreError` if the file is not a store, has another format or is open to
    other users, and the errors in ``FAULTS`` as they come.
    """

    def __init__(self, path: Path, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        self._connections = Connections()

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, which a fork of the process closes."""
        return self._connections.get(self._open)

    def _using(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._connections.using(self._open)

    def _open(self) -> sqlite3.Connection:
        is_shared = make_private(self.path)
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # First, so that a file that is not a store stays as it is. In one transaction, since
            # another process may be creating it.
            connection.execute("BEGIN")
            is_new = not self._is_ours(connection)
            connection.execute("COMMIT")
            if is_new:
                connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _set_journal_mode(connection, is_shared)
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}")
            connection.execute("PRAGMA cache_size = -32768")
            if is_new:
                with _transaction(connection):
                    if not self._is_ours(connection):  # checked again: now nobody else can write
                        for statement in _SCHEMA.strip().rstrip(";").split(";"):
                            connection.execute(statement)
                        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                        connection.execute(f"PRAGMA user_version = {_VERSION}")
            if is_shared:
                make_private(self.path)  # again: SQLite has removed side files
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """Return whether the file is a store; an empty file is not one yet."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if (
            application == version == 0
            and not connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        ):
            return False
        if application != _APPLICATION:
            raise StoreError(
                f"the file '{self.path}' is a database of something else. Choose another path"
            )
        if version != _VERSION:
            raise OtherFormatError(
                f"the store '{self.path}' has format {version}, and this release knows format"
                f" {_VERSION}. Choose another path, use the release that made it, or forget it:"
                f" bertvectorizer store clear '{self.path}'"
            )
        # A view or a trigger would run whatever it says whenever records are read or written.
        if _schema(connection) != _own_schema():
            raise OtherFormatError(
                f"the store '{self.path}' has other tables than this release makes. Choose another"
                f" path, or forget it: bertvectorizer store clear '{self.path}'"
            )
        return True

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Begin as a writer; commit at the end, or roll back on an error."""
        with self._using() as connection, _transaction(connection):
            yield connection

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the records found; b"" for a row that belongs to another key."""
        rows: list[tuple[bytes, Any]] = []
        with self._using() as connection:
            for chunk, marks in _chunks(keys):
                rows += connection.execute(
                    f"SELECT key, data FROM records WHERE key IN ({marks})", chunk
                ).fetchall()
        # In a damaged file an index may lead to the record of another key.
        return {
            key: data[len(key) :] if isinstance(data, bytes) and data.startswith(key) else b""
            for key, data in rows
        }

    def write(
        self, records: Mapping[bytes, bytes], used: Sequence[bytes], counters: Mapping[str, float]
    ) -> None:
        """Write records, end the leases on them, note which others were used, and count."""
        rows = [(key, _now(), len(data), key + data) for key, data in records.items()]
        with self.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", rows)
            connection.executemany("DELETE FROM claims WHERE key = ?", [(key,) for key in records])
            for chunk, marks in _chunks(used):
                connection.execute(
                    f"UPDATE records SET used = {_now()} WHERE key IN ({marks})", chunk
                )
            connection.executemany(_COUNT, list(counters.items()))

    def drop(self, keys: Iterable[bytes]) -> None:
        """Delete records."""
        with self.transaction() as connection:
            connection.executemany("DELETE FROM records WHERE key = ?", [(key,) for key in keys])

    def keys(self) -> list[bytes]:
        """Return the keys of all records."""
        return [key for (key,) in self._fetch("SELECT key FROM records")]

    def counters(self) -> dict[str, float]:
        """Return the counters, over all processes that ever wrote."""
        return dict(self._fetch("SELECT name, value FROM counters"))

    def n_records(self) -> int:
        """Return the number of records."""
        return int(self._fetch("SELECT count(*) FROM records")[0][0])

    def check(self) -> list[str]:
        """Return what SQLite finds wrong with the structure of the file."""
        found = [row[0] for row in self._fetch("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def size(self) -> int:
        """Return the size of the pages in use, in bytes."""
        with self._using():
            pages, free, page_size = (
                self._fetch(f"PRAGMA {name}")[0][0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int(pages - free) * int(page_size)

    def _fetch(self, query: str) -> list[Any]:
        with self._using() as connection:
            return connection.execute(query).fetchall()

    def evict(self, max_bytes: int) -> int:
        """Evict the least recently used records of a file that is too large; return how many.

        The file then has nine tenths of ``max_bytes``.
        """
        evicted = 0
        if self.size() <= max_bytes:
            if self.path.stat().st_size > max_bytes:  # pages that others left empty
                self._shrink()
            return 0
        with self.transaction() as connection:
            while (excess := self.size() - _EVICT_TO * max_bytes) > 0:
                # Records do not fill their pages, so less must go of them than of the file.
                excess *= (
                    connection.execute("SELECT total(size) FROM records").fetchone()[0]
                    / self.size()
                )
                rows = []
                for rowid, taken in connection.execute(
                    "SELECT rowid, size FROM records ORDER BY used, rowid"
                ):
                    rows.append((rowid,))
                    excess -= taken
                    if excess <= 0:
                        break
                gone = connection.executemany("DELETE FROM records WHERE rowid = ?", rows).rowcount
                if gone < 1:  # no records are left, or a damaged index leads nowhere
                    break
                evicted += gone
        self._shrink()
        return evicted

    def clear(self) -> None:
        """Delete everything, and give the space back."""
        with self.transaction() as connection:
            for table in ("records", "claims", "counters"):
                connection.execute(f"DELETE FROM {table}")
        self._shrink()

    def _shrink(self) -> None:
        # A script, since execute() would step through this statement once and free a single page.
        with self._using() as connection:
            connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")


def _schema(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Return all tables, indexes, views and triggers, with their definitions."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    return {tuple(" ".join(str(value).split()) for value in row) for row in rows}


@cache
def _own_schema() -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        return _schema(connection)


def _chunks(keys: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], str]]:
    """Cut keys into chunks that fit a query, each with its placeholders."""
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        chunk = keys[start : start + _KEYS_PER_QUERY]
        yield chunk, ",".join("?" * len(chunk))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # An interrupt may come on the way into this function, and leave a transaction open.
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    try:
        # An interrupt that came while this waited for its turn is raised right after it.
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except GeneratorExit:
        raise  # abandoned by such an interrupt: by now the connection may be in another transaction
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _now() -> int:
    return time.time_ns() // 1_000_000


def is_ours(path: Path) -> bool:
    """Return whether the first bytes of a file are those of a store."""
    with path.open("rb") as file:
        head = file.read(100)
    return not head or (
        head.startswith(b"SQLite format 3\0") and head[68:72] == _APPLICATION.to_bytes(4, "big")
    )


def is_busy(error: BaseException) -> bool:
    """Return whether an error only says that another process uses the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def journal_mode(version: tuple[int, int, int]) -> str:
    """Return WAL for versions of SQLite without its corruption race, else TRUNCATE."""
    is_safe = (
        version >= (3, 51, 3)
        or (3, 50, 7) <= version < (3, 51, 0)
        or (3, 44, 6) <= version < (3, 45, 0)
    )
    return "WAL" if is_safe else "TRUNCATE"


def _set_journal_mode(connection: sqlite3.Connection, is_shared: bool) -> None:
    """Choose WAL where it is safe: others who may make files could write a log of their own."""
    wanted = "TRUNCATE" if is_shared else journal_mode(sqlite3.sqlite_version_info)
    if wanted == "WAL":
        # This does not wait: while others use the file, the mode stays as it is.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
    if wanted == "TRUNCATE" or connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = TRUNCATE").fetchall()
