"""In-process cache of the records used last, which candidates share from fold to fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .records import Record

__all__ = ["MemoryCache"]

_MAX_BYTES = 256 << 20
_OVERHEAD_BYTES = 300
# The file gives larger ones at a gigabyte a second. States of the words of a large data set would
# push each other out before any is used again, and leave holes in memory.
_MOST_RECORD_BYTES = 32 << 10


class MemoryCache:
    """The records used last, by key and by the parts requested; those of up to 32 KiB each.

    There are two generations. A record that is used moves into the younger one; when that is full,
    the older one is dropped. No lock is needed: threads that meet lose a record at worst, which is
    then read again.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._generation_bytes = max_bytes // 2
        self._record_bytes = min(_MOST_RECORD_BYTES, self._generation_bytes)
        self._young: dict[tuple[bytes, bytes], Record] = {}
        self._old: dict[tuple[bytes, bytes], Record] = {}
        self._bytes = 0

    def get(self, keys: Iterable[bytes], parts: bytes) -> dict[bytes, Record]:
        """Return the records that are cached under these parts."""
        young, old = self._young, self._old
        found: dict[bytes, Record] = {}
        aged: dict[bytes, Record] = {}
        for key in keys:
            record = young.get((key, parts))
            if record is None and (record := old.get((key, parts))) is not None:
                aged[key] = record
            if record is not None:
                found[key] = record
        self.add(aged, parts)
        return found

    def add(self, records: Mapping[bytes, Record], parts: bytes) -> None:
        """Cache records under these parts, but none that is large."""
        for key, record in records.items():
            size = record.vectors.nbytes + _OVERHEAD_BYTES
            if size > self._record_bytes or (key, parts) in self._young:
                continue
            if self._bytes + size > self._generation_bytes:
                self._young, self._old, self._bytes = {}, self._young, 0
            self._young[key, parts] = record
            self._bytes += size
