"""Batches of sequences of like length, filled up to a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Batches"]


class Batches:
    """Indices of sequences in batches, the longest first, so that memory peaks in the first batch.

    ``lengths``, of shape (n_sequences,), counts tokens; empty sequences are left out. A batch
    exceeds ``budget`` tokens only if it is a single sequence. Where ``side_by_side`` batches run at
    a time, their number is a multiple of that and their sizes are alike, so that all end together.

    Examples
    --------
    >>> [batch.tolist() for batch in Batches(np.array([3, 9, 4, 0]), budget=8)]
    [[1], [2, 0]]
    """

    def __init__(self, lengths: NDArray[np.int64], budget: int, side_by_side: int = 1) -> None:
        order = np.argsort(-lengths, kind="stable")
        self._order = order[: np.count_nonzero(lengths)]
        self._ends = np.cumsum(lengths[self._order])
        self.lengths = lengths
        self._position = 0
        self.budget = budget
        self._n_alike = 0  # of the batches to come
        if side_by_side > 1 and len(self._order):
            self._n_alike = side_by_side * -(-int(self._ends[-1]) // (side_by_side * budget))

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        while self._position < len(self._order):
            done = self._ends[self._position - 1] if self._position else 0
            budget = self.budget
            if self._n_alike > 0:
                share = (self._ends[-1] - done) / self._n_alike
                half = self.lengths[self._order[self._position]] / 2  # rounds to the next sequence
                budget = min(budget, share + half)
                self._n_alike -= 1
            end = int(np.searchsorted(self._ends, done + budget, side="right"))
            batch = self._order[self._position : max(end, self._position + 1)]
            self._position += len(batch)
            yield batch

    def halve(self, failed: NDArray[np.int64]) -> bool:
        """Take back a batch that was too large and halve it; False if it was one sequence."""
        if len(failed) == 1:
            return False
        self._position -= len(failed)
        self.budget = int(self.lengths[failed].sum()) // 2
        return True
