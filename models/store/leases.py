"""Leases on records that are being computed: they end with the process that holds them."""

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

from .private_files import is_own_file
from .sqlite import Database

__all__ = ["Leases"]

_SWEPT_AFTER_SECONDS = 60.0


class Leases:
    """Leases on records that are being computed.

    A lease names its owner and the thread. The owner holds a lock on a file of its own beside the
    store; the kernel releases that lock when the owner dies, and its leases count for nothing then.
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
        """Return the owner's name; a fork is another owner."""
        if self._owner is None or self._pid != os.getpid():
            owner = uuid.uuid4().hex
            lock = FileLock(self._lock_file(owner), mode=0o600, thread_local=False)
            lock.acquire(timeout=0)
            self._owner, self._lock, self._pid = owner, lock, os.getpid()
            weakref.finalize(self, _unlock, lock, self._pid)
            self._sweep(owner)
        return self._owner

    def _sweep(self, me: str) -> None:
        """Remove the lock files of owners that were killed."""
        name = self._database.path.name
        for path in self._database.path.parent.glob(f"{glob.escape(name)}.*.lock"):
            owner = path.name[len(name) + 1 : -len(".lock")]
            with suppress(FileNotFoundError):  # other processes sweep too
                # A new file may be about to be locked.
                if owner != me and time.time() - path.stat().st_mtime > _SWEPT_AFTER_SECONDS:
                    self._is_alive(owner)

    def take(self, keys: Sequence[bytes], n_most: int) -> list[bytes]:
        """Lease up to ``n_most`` of the keys that no living owner holds, in their order."""
        owner = self._me()
        # A thread that takes leases computes nothing yet: an interrupt left its older ones behind.
        me = self._local.me = f"{owner}.{threading.get_ident()}"
        with self._database.transaction() as connection:
            # The whole table: it holds only what is being computed now.
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
            taken = list(islice(free, n_most))
            connection.executemany("INSERT INTO claims VALUES (?, ?)", [(key, me) for key in taken])
        return taken

    def release(self, keys: Sequence[bytes]) -> None:
        """Give this thread's leases back, and none that others have taken since."""
        me = getattr(self._local, "me", None)
        if me is None or self._pid != os.getpid():
            return
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE key = ? AND owner = ?", [(key, me) for key in keys]
            )

    def _is_alive(self, owner: str) -> bool:
        """Return whether an owner lives; remove its lock file if not."""
        if owner == self._owner:
            return True
        path = self._lock_file(owner)
        # Where others may make files, one of theirs is no lock: they could hold it for ever.
        if not is_own_file(path):
            return False
        try:
            with FileLock(path, mode=0o600, thread_local=False).acquire(timeout=0):
                pass
        except Timeout:
            return True
        path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """Release the owner's lock, which ends its leases."""
        if self._lock is not None:
            _unlock(self._lock, self._pid)
        self._owner = self._lock = None


def _unlock(lock: FileLock, pid: int) -> None:
    if pid == os.getpid():
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
