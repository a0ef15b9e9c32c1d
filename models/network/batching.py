"""Batches of equal work: sequences of like length, filled up to a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Batches", "portions", "ranges", "runs_of_equal_length"]


class Batches:
    """Sequences in batches, longest first, so that memory peaks in the first one.

    Parameters
    ----------
    lengths : ndarray
        Tokens of each sequence; empty ones are left out. *Shape:* ``(n_sequences,)``.
    budget : int
        Most tokens in a batch, unless a single sequence has more. It may be halved on the way.

    Examples
    --------
    >>> [batch.tolist() for batch in Batches(np.array([3, 9, 4, 0]), budget=8)]
    [[1], [2, 0]]
    """

    def __init__(self, lengths: NDArray[np.int64], budget: int) -> None:
        order = np.argsort(-lengths, kind="stable")
        self._order = order[: np.count_nonzero(lengths)]
        self._ends = np.cumsum(lengths[self._order])
        self._lengths = lengths
        self._position = 0
        self.budget = budget

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        while self._position < len(self._order):
            done = self._ends[self._position - 1] if self._position else 0
            end = int(np.searchsorted(self._ends, done + self.budget, side="right"))
            batch = self._order[self._position : max(end, self._position + 1)]
            self._position += len(batch)
            yield batch

    def halve(self, failed: NDArray[np.int64]) -> bool:
        """Take a batch back that was too large and halve the budget; False if it was one sequence."""
        if len(failed) == 1:
            return False
        self._position -= len(failed)
        self.budget = int(self._lengths[failed].sum()) // 2
        return True


def runs_of_equal_length(lengths: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return ``(count, length)`` for each run of equal numbers.

    Examples
    --------
    >>> runs_of_equal_length(np.array([5, 5, 3]))
    [(2, 5), (1, 3)]
    """
    starts = np.flatnonzero(np.diff(lengths, prepend=-1))
    counts = np.diff(starts, append=len(lengths))
    return list(zip(counts.tolist(), lengths[starts].tolist(), strict=True))


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers from each start on, as many as its count, in one row.

    Examples
    --------
    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    numbers: NDArray[np.int64] = np.arange(counts.sum()) + np.repeat(starts - (ends - counts), counts)
    return numbers


def portions(offsets: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Yield the first item, and the one after the last, of portions that hold ``most`` at most; one item at least.

    Item *i* holds what lies between ``offsets[i]`` and ``offsets[i + 1]``.

    Examples
    --------
    >>> list(portions(np.array([0, 2, 4, 9]), most=4))
    [(0, 2), (2, 3)]
    """
    start, n_items = 0, len(offsets) - 1
    while start < n_items:
        end = max(int(np.searchsorted(offsets, offsets[start] + most, side="right")) - 1, start + 1)
        yield start, end
        start = end
