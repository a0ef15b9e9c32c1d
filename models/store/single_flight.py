"""Single flight: of all who need the vectors of a text, one computes them and the others wait for that text only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...errors import OutOfMemoryError
from .fail_safe import Shelf
from .records import DamagedRecordError, Record, extend, is_sound, names_in, pack, unpack

__all__ = ["Compute", "Flight"]

_TEXTS_AT_ONCE = 2048
_ROWS_AT_ONCE = 256
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.2
_PATIENCE_SECONDS = 120.0

Compute = Callable[[Sequence[int], Sequence[bytes]], Sequence[Record]]


class Flight:
    """One request for the vectors of texts that were not at hand.

    Parameters
    ----------
    shelf : Shelf
    keys : sequence of bytes
        Keys of distinct texts.
    asked : sequence of bytes
        Names of the parts asked for.
    first, again : sequence of bytes
        Names of the parts to keep beside those asked for, of a text that was never seen, and of one
        that was asked for something else before.
    compute : callable
        Given places in ``keys`` and names of parts, returns the records.
    """

    def __init__(
        self,
        shelf: Shelf,
        keys: Sequence[bytes],
        asked: Sequence[bytes],
        first: Sequence[bytes],
        again: Sequence[bytes],
        compute: Compute,
    ) -> None:
        self.found: dict[bytes, Record] = {}
        self._shelf = shelf
        self._keys = keys
        self._asked = asked
        self._first = first
        self._again = again
        self._compute = compute
        self._incomplete: set[bytes] = set()

    def look_up(self, places: Sequence[int]) -> list[int]:
        """Read what is on the shelf, and return the places of what is not."""
        keys = [self._keys[place] for place in places]
        # A few rows at a time: a text that is kept whole is much larger than what is asked for.
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            damaged = []
            for key, data in self._shelf.read(keys[start : start + _ROWS_AT_ONCE]).items():
                try:
                    record = unpack(data, self._asked)
                    if record is not None:
                        self.found[key] = record
                    elif is_sound(data):
                        self._incomplete.add(key)
                    else:
                        damaged.append(key)
                except DamagedRecordError:
                    damaged.append(key)
            if damaged:
                self._shelf.drop_damaged(damaged)
        return self._missing(places)

    def land(self, places: Sequence[int], sizes: Sequence[int], portion: int) -> None:
        """Compute all that is missing, or wait for those who do.

        Parameters
        ----------
        places : sequence of int
            Places in ``keys``.
        sizes : sequence of int
            Roughly the work that each of all ``keys`` is.
        portion : int
            Work to claim, do and write down at a time, in the unit of ``sizes``.
        """
        # The longest come first: what is last decides how evenly two workers end.
        order = sorted(places, key=lambda place: -sizes[place])
        waiting: list[int] = []
        for some in _portions(order, sizes, portion):
            waiting += self._settle(some, len(some))
        n_waiting, since, pause = len(waiting), time.monotonic(), _FIRST_PAUSE_SECONDS
        while waiting := self.look_up(waiting):
            # What nobody is at any longer was given up, or its owner died.
            some = next(_portions(waiting, sizes, portion))
            waiting = self._settle(waiting, len(some))
            if len(waiting) < n_waiting:
                n_waiting, since, pause = len(waiting), time.monotonic(), _FIRST_PAUSE_SECONDS
            elif time.monotonic() - since > _PATIENCE_SECONDS:
                self._fill(some)  # whoever is at it was stopped, or hangs
            else:
                time.sleep(pause)
                pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)

    def _missing(self, places: Sequence[int]) -> list[int]:
        return [place for place in places if self._keys[place] not in self.found]

    def _settle(self, places: Sequence[int], most: int) -> list[int]:
        """Compute up to ``most`` of those that nobody else is at; return the places that are still missing."""
        if self._shelf.is_broken:
            most = len(places)
        place_of = {self._keys[place]: place for place in places}
        mine = self._shelf.claim(list(place_of), most)
        if mine:
            try:
                # Somebody may have finished some of these between the last look and the claim.
                self._fill(self.look_up([place_of[key] for key in mine]))
            finally:
                self._shelf.release(mine)
        return self._missing(places)

    def _fill(self, places: Sequence[int]) -> None:
        """Compute what texts lack, those that hold the same together, and write it down."""
        rows = self._shelf.read(
            [self._keys[place] for place in places if self._keys[place] in self._incomplete]
        )
        groups: dict[tuple[bytes, ...], list[int]] = {}
        for place in places:
            data = rows.get(self._keys[place])
            groups.setdefault(names_in(data) if data and is_sound(data) else (), []).append(place)
        for held, group in groups.items():
            # A text that is asked for something else than before is likely to be asked for more.
            kept = self._again if held else self._first
            least, wanted = (
                [name for name in dict.fromkeys([*self._asked, *more]) if name not in held]
                for more in ((), kept)
            )
            started = time.perf_counter()
            try:
                records = self._compute(group, wanted)
            except (OutOfMemoryError, MemoryError):
                if wanted == least:
                    raise
                wanted = least
                records = self._compute(group, wanted)
            seconds = time.perf_counter() - started
            packed = {}
            for place, record in zip(group, records, strict=True):
                key = self._keys[place]
                if held:
                    packed[key] = extend(rows[key], record, wanted)
                    complete = unpack(packed[key], self._asked)
                    assert complete is not None
                    self.found[key] = complete
                else:
                    packed[key] = pack(record, wanted)
                    self.found[key] = record._replace(
                        vectors=np.array(record.vectors[: len(self._asked)])
                    )
            self._shelf.write(packed, encoded=len(packed), seconds=seconds)


def _portions(places: Sequence[int], sizes: Sequence[int], portion: int) -> Iterator[list[int]]:
    """Cut places into portions of work, none of them empty."""
    some: list[int] = []
    work = 0
    for place in places:
        if some and (work + sizes[place] > portion or len(some) == _TEXTS_AT_ONCE):
            yield some
            some, work = [], 0
        some.append(place)
        work += sizes[place]
    if some:
        yield some
