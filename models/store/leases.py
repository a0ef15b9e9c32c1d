"""Single flight: of several processes that need the same record, one computes it and the others wait."""

from __future__ import annotations

import glob
import os
import threading
import time
import uuid
import weakref
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout

from .sqlite import Database

__all__ = ["Claims"]

_SWEPT_AFTER_SECONDS = 60.0


class Claims:
    """Claims on records that are being computed.

    A claim names its owner and the thread, and an owner holds a lock on a file of its own beside
    the store. The kernel releases that lock when the owner dies, however it dies, so that a claim
    is never worth more than its owner's life.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner: str | None = None
        self._lock: FileLock | None = None
        self._pid = 0
        self._local = threading.local()

    def _lock_file(self, owner: str) -> Path:
        path = self._database.path
        return path.with_name(f"{path.name}.{owner}.lock")

    def _me(self) -> str:
        """Return this owner's name; a fork is another owner."""
        if self._owner is None or self._pid != os.getpid():
            owner = uuid.uuid4().hex
            lock = FileLock(self._lock_file(owner), mode=0o600, thread_local=False)
            lock.acquire(timeout=0)
            self._owner, self._lock, self._pid = owner, lock, os.getpid()
            weakref.finalize(self, _let_go, lock, self._pid)
            self._sweep(owner)
        return self._owner

    def _sweep(self, me: str) -> None:
        """Remove what owners that were killed left behind."""
        name = self._database.path.name
        for path in self._database.path.parent.glob(f"{glob.escape(name)}.*.lock"):
            owner = path.name[len(name) + 1 : -len(".lock")]
            with suppress(FileNotFoundError):  # others sweep, too
                # A file that was just made may be about to be locked.
                if owner != me and time.time() - path.stat().st_mtime > _SWEPT_AFTER_SECONDS:
                    self._is_alive(owner)

    def take(self, keys: Sequence[bytes], most: int) -> list[bytes]:
        """Claim up to ``most`` of the keys that nobody alive has claimed, in their order."""
        owner = self._me()
        # A thread that claims is at nothing, so claims of its own were left behind by an interrupt.
        me = self._local.me = f"{owner}.{threading.get_ident()}"
        with self._database.transaction() as connection:
            # All of the table: it holds no more than what is being computed just now.
            held: dict[bytes, str] = dict(
                connection.execute("SELECT key, owner FROM claims").fetchall()
            )
            dead = {
                other
                for other in set(held.values())
                if other == me or not self._is_alive(str(other).partition(".")[0])
            }
            connection.executemany(
                "DELETE FROM claims WHERE owner = ?", [(other,) for other in dead]
            )
            free = (key for key in keys if key not in held or held[key] in dead)
            taken = list(islice(free, most))
            connection.executemany("INSERT INTO claims VALUES (?, ?)", [(key, me) for key in taken])
        return taken

    def release(self, keys: Sequence[bytes]) -> None:
        """Give this thread's claims back; what it has written meanwhile, others may have claimed since."""
        me = getattr(self._local, "me", None)
        if me is None or self._pid != os.getpid():
            return
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE key = ? AND owner = ?", [(key, me) for key in keys]
            )

    def _is_alive(self, owner: str) -> bool:
        """Tell whether an owner lives, and tidy up after it if not."""
        if owner == self._owner:
            return True
        path = self._lock_file(owner)
        if not path.exists():
            return False
        try:
            with FileLock(path, mode=0o600, thread_local=False).acquire(timeout=0):
                pass
        except Timeout:
            return True
        path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """Let go of this owner's lock; its claims count for nothing from now on."""
        if self._lock is not None:
            _let_go(self._lock, self._pid)
        self._owner = self._lock = None


def _let_go(lock: FileLock, pid: int) -> None:
    if pid == os.getpid():
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
