"""The store's file, made harmless: whatever goes wrong with it costs one warning and no result."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ...warning import warn_user
from .leases import Claims
from .sqlite import FAULTS, Database

__all__ = ["Shelf"]

_FLUSH_SECONDS = 1.0

T = TypeVar("T")


class Shelf:
    """Packed records in a file, shared with other processes, for as long as the file can be used.

    Parameters
    ----------
    path : Path
    max_bytes : int or None
        Largest size of the file.
    durable : bool
        Whether a commit must survive a power cut.

    Attributes
    ----------
    is_broken : bool
        Whether the file was given up: reads find nothing from then on, and writes do nothing.
    """

    def __init__(self, path: Path, max_bytes: int | None, durable: bool) -> None:
        self.path = path
        self.is_broken = False
        self.database = Database(path, durable)
        self._has_told_of_damage = False
        self._max_bytes = max_bytes
        self._durable = durable
        self._claims = Claims(self.database)
        self._notes: deque[tuple[Sequence[bytes], Mapping[str, float]]] = deque()
        self._pid = os.getpid()
        self._flushed = time.monotonic()
        atexit.register(_flush, weakref.ref(self))

    def attempt(self, action: Callable[[], T], otherwise: T) -> T:
        """Return what an action on the file returns; should it fail, warn, give the file up, and return ``otherwise``."""
        if self.is_broken:
            return otherwise
        try:
            return action()
        except FAULTS as error:
            # An action within this one, or another thread, may have told already.
            is_told, self.is_broken = self.is_broken, True
            with suppress(OSError):  # others need not wait for what will never be written
                self._claims.close()
            if not is_told:
                warn_user(
                    f"The store '{self.path}' cannot be used, so texts are encoded without it:"
                    f" {error}."
                )
            return otherwise

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return those records that are there."""
        return self.attempt(lambda: self.database.read(keys), {}) if keys else {}

    def write(self, records: Mapping[bytes, bytes], **counted: float) -> None:
        """Write records, give the claims on them back, count, and make room if need be."""
        self._add((), counted)

        def action() -> None:
            self.database.write(records, *self._noted())
            if self._max_bytes is not None:
                self.database.evict(self._max_bytes)

        self.attempt(action, None)

    def drop_damaged(self, keys: Sequence[bytes]) -> None:
        """Forget records that are damaged, and say so the first time."""
        if not self._has_told_of_damage:
            self._has_told_of_damage = True
            warn_user(
                f"{len(keys)} text(s) in the store '{self.path}' were damaged; they are encoded"
                " anew."
            )
        self.attempt(lambda: self.database.drop(keys), None)

    def claim(self, keys: Sequence[bytes], most: int) -> list[bytes]:
        """Claim up to ``most`` keys, so that no other process computes their records; without a file, all that are asked for."""
        return self.attempt(lambda: self._claims.take(keys, most), list(keys[:most]))

    def release(self, keys: Sequence[bytes]) -> None:
        """Give claims back."""
        self.attempt(lambda: self._claims.release(keys), None)

    def note(self, used: Sequence[bytes], **counted: float) -> None:
        """Remember what was used, and count; where a commit is slow, notes of a second are written down together."""
        self._add(used if self._max_bytes is not None else (), counted)
        if not self._durable or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def _add(self, used: Sequence[bytes], counted: Mapping[str, float]) -> None:
        if self._pid != os.getpid():  # what was noted before a fork, the parent writes down
            self._notes, self._pid = deque(), os.getpid()
        if not self.is_broken:
            self._notes.append((used, counted))

    def flush(self) -> None:
        """Write down what was noted."""
        self._flushed = time.monotonic()
        if self._notes and self._pid == os.getpid():
            self.attempt(lambda: self.database.write({}, *self._noted()), None)

    def _noted(self) -> tuple[list[bytes], Mapping[str, float]]:
        """Take the notes; a queue hands each to one thread only."""
        used: set[bytes] = set()
        counted: Counter[str] = Counter()
        while self._notes:
            try:
                some, counts = self._notes.popleft()
            except IndexError:  # another thread was quicker
                break
            used.update(some)
            counted.update(counts)
        return list(used), counted

    def close(self) -> None:
        """Forget what was noted, and let go of all claims."""
        self._notes.clear()
        self._claims.close()


def _flush(reference: weakref.ref[Shelf]) -> None:
    shelf = reference()
    if shelf is not None:
        shelf.flush()
