"""Vectors that this process used last, so that the same fold need not be read from disk for every candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .records import Record

__all__ = ["Remembered"]

_MOST_BYTES = 256 << 20
_OVERHEAD_BYTES = 300


class Remembered:
    """The records used last, by key and by what was asked for of them.

    They are kept in two generations: what is used moves into the younger one, and when that is full
    the older one is forgotten. Nothing here needs a lock: threads that meet lose a record at worst,
    which is then read again.

    Parameters
    ----------
    most_bytes : int
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._young: dict[tuple[bytes, bytes], Record] = {}
        self._old: dict[tuple[bytes, bytes], Record] = {}
        self._bytes = 0

    def recall(self, keys: Iterable[bytes], parts: bytes) -> dict[bytes, Record]:
        """Return the records that are remembered under these parts."""
        young, old = self._young, self._old
        found: dict[bytes, Record] = {}
        aged: dict[bytes, Record] = {}
        for key in keys:
            place = (key, parts)
            record = young.get(place)
            if record is None and (record := old.get(place)) is not None:
                aged[key] = record
            if record is not None:
                found[key] = record
        self.add(aged, parts)
        return found

    def add(self, records: Mapping[bytes, Record], parts: bytes) -> None:
        """Remember records under these parts."""
        for key, record in records.items():
            size = record.vectors.nbytes + _OVERHEAD_BYTES
            if size > self._most_bytes // 2 or (key, parts) in self._young:
                continue
            if self._bytes + size > self._most_bytes // 2:
                self._young, self._old, self._bytes = {}, self._young, 0
            self._young[key, parts] = record
            self._bytes += size
