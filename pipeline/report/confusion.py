"""Confusion matrices: counts of predictions by true class, for any number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..comparison.result import ComparisonResult

__all__ = ["Confusion", "count_confusions"]

_LABEL_OUTCOMES = ("true positives", "false negatives", "false positives")


@dataclass(frozen=True)
class Confusion:
    """Counts of predictions, of shape ``(n_rows, n_columns)``.

    ``rows`` are the true classes or labels; ``columns`` the same classes, or true positives, false
    negatives and false positives for labels. ``totals`` counts the rows of each class, those
    predicted as a class that is left out included. ``n_classes`` counts all classes.
    """

    rows: list[str]
    columns: list[str]
    counts: NDArray[np.int64]
    totals: NDArray[np.int64]
    n_classes: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """Counts as shares of the row, in [0, 1]."""
        totals = np.maximum(self.totals, 1)[:, None]
        shares: NDArray[np.float64] = np.minimum(self.counts / totals, 1.0)
        return shares

    @property
    def mistakes(self) -> list[tuple[str, str, int]]:
        """True class, predicted class and count of each mistake, the most frequent first."""
        is_square = self.rows == self.columns
        is_wrong = ~np.eye(len(self.rows), dtype=bool) if is_square else np.array([0, 1, 1])
        wrong = self.counts * is_wrong
        order = np.argsort(-wrong, axis=None, kind="stable")
        return [
            (self.rows[row], self.columns[column], int(wrong[row, column]))
            for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)
            if wrong[row, column]
        ]


def count_confusions(
    comparison: ComparisonResult, name: str | None = None, at_most: int = 20
) -> Confusion:
    """Count the out-of-fold predictions of a feature set, by default the best.

    Of more than ``at_most`` classes, those with most mistakes are kept.
    """
    outcome = comparison._outcome(comparison.best if name is None else name)
    target, predictions = comparison.target, outcome.predictions
    if target.kind == "regression":
        raise InvalidParameterError(
            "A regression has no classes that could be confused; plot_confusion() shows predicted"
            " against actual."
        )
    assert target.classes is not None
    names = [str(value) for value in target.classes]
    if target.kind == "multilabel":
        return _count_labels(names, target.values, predictions, at_most)
    index_of = {name: index for index, name in enumerate(names)}
    pairs = [
        (index_of[str(truth)], index_of[str(predicted)])
        for truth, predicted in zip(target.values, predictions, strict=True)
        if predicted is not None and str(predicted) in index_of
    ]
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, tuple(np.array(pairs, dtype=np.int64).reshape(-1, 2).T), 1)
    totals = counts.sum(axis=1)
    mistakes = totals + counts.sum(axis=0) - 2 * np.diagonal(counts)
    kept = _most_mistakes(mistakes, totals, at_most)
    shown = [names[index] for index in kept]
    return Confusion(shown, shown, counts[np.ix_(kept, kept)], totals[kept], len(names))


def _count_labels(
    names: list[str], values: NDArray[Any], predictions: NDArray[Any], at_most: int
) -> Confusion:
    predicted = np.array([row[0] is not None for row in predictions], dtype=bool)
    truth, given = values[predicted].astype(bool), predictions[predicted].astype(float).astype(bool)
    counts = np.column_stack(
        [(truth & given).sum(axis=0), (truth & ~given).sum(axis=0), (~truth & given).sum(axis=0)]
    ).astype(np.int64)
    totals = truth.sum(axis=0).astype(np.int64)
    kept = _most_mistakes(counts[:, 1] + counts[:, 2], totals, at_most)
    shown = [names[index] for index in kept]
    return Confusion(shown, list(_LABEL_OUTCOMES), counts[kept], totals[kept], len(names))


def _most_mistakes(
    mistakes: NDArray[np.int64], totals: NDArray[np.int64], at_most: int
) -> list[int]:
    """Return the classes with most mistakes, then most rows, in the order of the classes."""
    return sorted(np.lexsort((-totals, -mistakes))[:at_most].tolist())
