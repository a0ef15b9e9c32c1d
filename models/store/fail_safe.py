"""Fault-tolerant cache access: on error, warn once and bypass."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ...warning import warn_user
from .leases import Leases
from .sqlite import FAULTS, Database

__all__ = ["FailSafeCache"]

_FLUSH_SECONDS = 1.0


class FailSafeCache:
    """Packed records in a file that other processes share, for as long as the file can be used.

    Once the file has failed (``is_broken``), reads find nothing and writes do nothing.
    """

    def __init__(self, path: Path, max_bytes: int | None, durable: bool) -> None:
        self.path = path
        self.is_broken = False
        self.database = Database(path, durable)
        self.guard = _Guard(self)
        self._has_warned_of_damage = False
        self._max_bytes = max_bytes
        self._durable = durable
        self._leases = Leases(self.database)
        self._notes: deque[tuple[Sequence[bytes], Mapping[str, float]]] = deque()
        self._pid = os.getpid()
        self._flushed = time.monotonic()
        atexit.register(_flush, weakref.ref(self))

    def give_up(self, error: BaseException) -> None:
        """Stop using the file, and warn, unless a nested call or another thread has done so."""
        has_warned, self.is_broken = self.is_broken, True
        with suppress(OSError):  # other processes need not wait for records that never come
            self._leases.close()
        if not has_warned:
            warn_user(
                f"The store '{self.path}' cannot be used, so texts are encoded without it: {error}."
            )

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the records that the file holds."""
        if keys and not self.is_broken:
            with self.guard:
                return self.database.read(keys)
        return {}

    def write(self, records: Mapping[bytes, bytes], **counts: float) -> None:
        """Write records, release their leases, add to the counters, and evict if need be."""
        self._add((), counts)
        if not self.is_broken:
            with self.guard:
                self.database.write(records, *self._take_notes())
                if self._max_bytes is not None:
                    self.database.evict(self._max_bytes)

    def drop_damaged(self, keys: Sequence[bytes]) -> None:
        """Delete damaged records; warn the first time."""
        if not self._has_warned_of_damage:
            self._has_warned_of_damage = True
            warn_user(
                f"{len(keys)} text(s) in the store '{self.path}' were damaged; they are encoded"
                " anew."
            )
        if not self.is_broken:
            with self.guard:
                self.database.drop(keys)

    def lease(self, keys: Sequence[bytes], n_most: int) -> list[bytes]:
        """Lease up to ``n_most`` keys, so that no other process computes them.

        Without a file, the first ``n_most`` keys are returned.
        """
        if not self.is_broken:
            with self.guard:
                return self._leases.take(keys, n_most)
        return list(keys[:n_most])

    def release(self, keys: Sequence[bytes]) -> None:
        """Give leases back."""
        if not self.is_broken:
            with self.guard:
                self._leases.release(keys)

    def note(self, used: Sequence[bytes], **counts: float) -> None:
        """Remember which records were used, and count.

        Where commits are slow, the notes of a second are written together.
        """
        self._add(used if self._max_bytes is not None else (), counts)
        if not self._durable or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def _add(self, used: Sequence[bytes], counts: Mapping[str, float]) -> None:
        if self._pid != os.getpid():  # the parent of a fork writes its own notes
            self._notes, self._pid = deque(), os.getpid()
        if not self.is_broken:
            self._notes.append((used, counts))

    def flush(self) -> None:
        """Write the notes."""
        self._flushed = time.monotonic()
        if self._notes and self._pid == os.getpid() and not self.is_broken:
            with self.guard:
                self.database.write({}, *self._take_notes())

    def _take_notes(self) -> tuple[list[bytes], Mapping[str, float]]:
        """Empty the queue of notes; it hands each note to one thread only."""
        used: set[bytes] = set()
        totals: Counter[str] = Counter()
        while self._notes:
            try:
                keys, counts = self._notes.popleft()
            except IndexError:  # another thread was quicker
                break
            used.update(keys)
            totals.update(counts)
        return list(used), totals

    def close(self) -> None:
        """Discard the notes and release all leases."""
        self._notes.clear()
        self._leases.close()


class _Guard:
    """Context manager: a fault of the file ends the block, and the cache gives the file up."""

    def __init__(self, cache: FailSafeCache) -> None:
        self._cache = weakref.proxy(cache)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _type: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, FAULTS):
            return False
        self._cache.give_up(error)
        return True


def _flush(reference: weakref.ref[FailSafeCache]) -> None:
    cache = reference()
    if cache is not None:
        cache.flush()
