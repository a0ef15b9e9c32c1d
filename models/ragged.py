"""Ranges, runs and chunks of concatenated arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["chunks", "ranges", "runs_of_equal_length"]


def runs_of_equal_length(lengths: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the count and the length of each run of equal numbers.

    Examples
    --------
    >>> runs_of_equal_length(np.array([5, 5, 3]))
    [(2, 5), (1, 3)]
    """
    starts = np.flatnonzero(np.diff(lengths, prepend=-1))
    counts = np.diff(starts, append=len(lengths))
    return list(zip(counts.tolist(), lengths[starts].tolist(), strict=True))


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``count`` numbers from each start on, in one row.

    Examples
    --------
    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    offsets = np.repeat(starts - (ends - counts), counts)
    numbers: NDArray[np.int64] = np.arange(counts.sum()) + offsets
    return numbers


def chunks(
    offsets: NDArray[np.int64], most: int, max_items: int | None = None
) -> Iterator[tuple[int, int]]:
    """Yield start and end of chunks of a size up to ``most``, but of one item at least.

    Item *i* has the size ``offsets[i + 1] - offsets[i]``. No chunk exceeds ``max_items`` items.

    Examples
    --------
    >>> list(chunks(np.array([0, 2, 4, 9]), most=4))
    [(0, 2), (2, 3)]
    """
    start, n_items = 0, len(offsets) - 1
    while start < n_items:
        end = max(int(np.searchsorted(offsets, offsets[start] + most, side="right")) - 1, start + 1)
        end = end if max_items is None else min(end, start + max_items)
        yield start, end
        start = end
