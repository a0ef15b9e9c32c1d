"""Single flight: of all who need the vectors of a text, one computes them and the others wait."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from ...errors import OutOfMemoryError
from ..ragged import chunks
from .fail_safe import FailSafeCache
from .records import DamagedRecordError, Record, extend, is_sound, names_in, pack, unpack

__all__ = ["Lookup", "RecordEncoder"]

_MAX_BATCH_TEXTS = 2048
_ROWS_PER_READ = 256
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.2
_PATIENCE_SECONDS = 120.0


class RecordEncoder(Protocol):
    """Computes the records that a store does not have."""

    def encode(self, indices: Sequence[int], parts: Sequence[bytes]) -> Sequence[Record]:
        """Return the records of the texts at ``indices`` of the request."""


class Lookup:
    """One request for the records of distinct texts: ``found`` holds those that are ready.

    ``requested`` names the parts to return. ``first`` and ``again`` name the parts to keep beside
    them: of a text that is new, and of one that the file has with other parts. ``widths`` has the
    width of each text's vectors, where it is known.
    """

    def __init__(
        self,
        cache: FailSafeCache,
        keys: Sequence[bytes],
        requested: Sequence[bytes],
        first: Sequence[bytes],
        again: Sequence[bytes],
        widths: Sequence[int] | None = None,
    ) -> None:
        self.found: dict[bytes, Record] = {}
        self._cache = cache
        self._keys = keys
        self._requested = requested
        self._first = first
        self._again = again
        self._widths = {} if widths is None else dict(zip(keys, widths, strict=True))
        self._incomplete: set[bytes] = set()

    def read(self, indices: Sequence[int]) -> list[int]:
        """Read what the file holds, and return the indices of what it does not hold."""
        keys = [self._keys[index] for index in indices]
        # A few rows at a time: a text with all its layers is much larger than the parts requested.
        for start in range(0, len(keys), _ROWS_PER_READ):
            damaged = []
            for key, data in self._cache.read(keys[start : start + _ROWS_PER_READ]).items():
                try:
                    width = self._widths.get(key)
                    record = unpack(data, self._requested, width)
                    if record is not None:
                        self.found[key] = record
                    elif is_sound(data, width):
                        self._incomplete.add(key)
                    else:
                        damaged.append(key)
                except DamagedRecordError:
                    damaged.append(key)
            if damaged:
                self._cache.drop_damaged(damaged)
        return self._missing(indices)

    def complete(
        self, encoder: RecordEncoder, missing: Sequence[int], sizes: Sequence[int], batch_size: int
    ) -> None:
        """Compute what is missing, or wait for those who do.

        ``sizes`` estimates the work of each text; ``batch_size`` is the work to lease, do and write
        at a time, in the same unit.
        """
        # The longest come first: the last batches decide how evenly two workers end.
        order = sorted(missing, key=lambda index: -sizes[index])
        waiting: list[int] = []
        for batch in _batches(order, sizes, batch_size):
            waiting += self._compute(encoder, batch, len(batch))
        n_waiting, since, pause = len(waiting), time.monotonic(), _FIRST_PAUSE_SECONDS
        while waiting := self.read(waiting):
            # Texts without a lease are left: their owner gave up or died.
            batch = next(_batches(waiting, sizes, batch_size))
            waiting = self._compute(encoder, waiting, len(batch))
            if len(waiting) < n_waiting:
                n_waiting, since, pause = len(waiting), time.monotonic(), _FIRST_PAUSE_SECONDS
            elif time.monotonic() - since > _PATIENCE_SECONDS:
                self._encode(encoder, batch)  # the owner of the lease was stopped, or hangs
            else:
                time.sleep(pause)
                pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)

    def _missing(self, indices: Sequence[int]) -> list[int]:
        return [index for index in indices if self._keys[index] not in self.found]

    def _compute(self, encoder: RecordEncoder, indices: Sequence[int], n_most: int) -> list[int]:
        """Compute up to ``n_most`` texts that nobody else computes; return those still missing."""
        index_of = {self._keys[index]: index for index in indices}
        leased = self._cache.lease(
            list(index_of), len(indices) if self._cache.is_broken else n_most
        )
        if leased:
            try:
                # Another process may have finished some of these since they were last read.
                self._encode(encoder, self.read([index_of[key] for key in leased]))
            finally:
                self._cache.release(leased)
        return self._missing(indices)

    def _encode(self, encoder: RecordEncoder, indices: Sequence[int]) -> None:
        """Compute and write the parts that texts lack; texts that lack the same go together."""
        rows = self._cache.read(
            [self._keys[index] for index in indices if self._keys[index] in self._incomplete]
        )
        groups: dict[tuple[bytes, ...], list[int]] = {}
        for index in indices:
            key = self._keys[index]
            data = rows.get(key)
            names = names_in(data) if data and is_sound(data, self._widths.get(key)) else ()
            groups.setdefault(names, []).append(index)
        for held, group in groups.items():
            # A text that is requested with other parts than before is likely to be again.
            kept = self._again if held else self._first
            required, parts = (
                [name for name in dict.fromkeys([*self._requested, *more]) if name not in held]
                for more in ((), kept)
            )
            started = time.perf_counter()
            try:
                records = encoder.encode(group, parts)
            except (OutOfMemoryError, MemoryError):
                if parts == required:
                    raise
                parts = required
                records = encoder.encode(group, parts)
            seconds = time.perf_counter() - started
            packed = {}
            for index, record in zip(group, records, strict=True):
                key = self._keys[index]
                if held:
                    packed[key] = extend(rows[key], record, parts)
                    complete = unpack(packed[key], self._requested)
                    assert complete is not None
                    self.found[key] = complete
                else:
                    packed[key] = pack(record, parts)
                    self.found[key] = record._replace(
                        vectors=np.array(record.vectors[: len(self._requested)])
                    )
            self._cache.write(packed, encoded=len(packed), seconds=seconds)


def _batches(indices: list[int], sizes: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Cut indices into batches of at most ``batch_size`` work, none of them empty."""
    offsets = np.cumsum([0, *(sizes[index] for index in indices)], dtype=np.int64)
    for start, end in chunks(offsets, batch_size, _MAX_BATCH_TEXTS):
        yield indices[start:end]
