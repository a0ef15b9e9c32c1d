"""What was taken for what: counts of predictions beside the truth, for any number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Confusion", "count_confusions"]

_LABEL_OUTCOMES = ("found", "missed", "wrongly given")


@dataclass(frozen=True)
class Confusion:
    """Counts of predictions.

    Attributes
    ----------
    rows : list of str
        The truth: classes; or labels, where a row may have several.
    columns : list of str
        What was predicted: the same classes; or ``"found"``, ``"missed"`` and ``"wrongly given"``
        for labels.
    counts : ndarray
        *Shape:* ``(n_rows, n_columns)``, int64.
    totals : ndarray
        Rows of each class, those predicted as a class that is left out among them; rows that have
        the label. *Shape:* ``(n_rows,)``, int64.
    n_classes : int
        Classes or labels that there are in all.
    """

    rows: list[str]
    columns: list[str]
    counts: NDArray[np.int64]
    totals: NDArray[np.int64]
    n_classes: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """Counts as shares of their row, in [0, 1]. *Shape:* ``(n_rows, n_columns)``."""
        shares: NDArray[np.float64] = np.minimum(
            self.counts / np.maximum(self.totals, 1)[:, None], 1.0
        )
        return shares

    @property
    def mistakes(self) -> list[tuple[str, str, int]]:
        """What was taken for what, and how often, the most frequent first."""
        is_square = self.rows == self.columns
        wrong = (
            self.counts * ~np.eye(len(self.rows), dtype=bool)
            if is_square
            else self.counts * np.array([0, 1, 1])
        )
        order = np.argsort(-wrong, axis=None, kind="stable")
        pairs = [divmod(int(place), wrong.shape[1]) for place in order]
        return [
            (self.rows[row], self.columns[column], int(wrong[row, column]))
            for row, column in pairs
            if wrong[row, column]
        ]


def count_confusions(comparison: Any, name: str | None = None, at_most: int = 20) -> Confusion:
    """Count what one kind of features took for what.

    Parameters
    ----------
    comparison : Comparison
    name : str or None
        Kind of features; None takes the best.
    at_most : int
        Classes that are shown; of more, those that take part in most mistakes.

    Returns
    -------
    Confusion
        Of rows that were predicted while they were left out.

    Raises
    ------
    InvalidParameterError
        If there is no such kind of features, or the target is an amount.
    """
    name = comparison.best if name is None else name
    if name not in comparison.outcomes:
        raise InvalidParameterError(
            f"The 'name' parameter must be one of {', '.join(map(repr, comparison.outcomes))}. Got"
            f" {name!r} instead."
        )
    target, predictions = comparison.target, comparison.outcomes[name].predictions
    if target.kind == "regression":
        raise InvalidParameterError(
            "An amount has no classes that could be confused; plot_confusion() shows predicted"
            " against actual."
        )
    names = [str(value) for value in target.classes]
    if target.kind == "multilabel":
        return _of_labels(names, target.values, predictions, at_most)
    number = {str(value): row for row, value in enumerate(target.classes)}
    pairs = [
        (number[str(truth)], number[str(predicted)])
        for truth, predicted in zip(target.values, predictions, strict=True)
        if predicted is not None and str(predicted) in number
    ]
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, tuple(np.array(pairs, dtype=np.int64).reshape(-1, 2).T), 1)
    totals = counts.sum(axis=1)
    mistakes = totals + counts.sum(axis=0) - 2 * np.diagonal(counts)
    kept = _first(mistakes, totals, at_most)
    return Confusion(
        [names[row] for row in kept],
        [names[row] for row in kept],
        counts[np.ix_(kept, kept)],
        totals[kept],
        len(names),
    )


def _of_labels(
    names: list[str], values: NDArray[Any], predictions: NDArray[Any], at_most: int
) -> Confusion:
    predicted = np.array([row[0] is not None for row in predictions], dtype=bool)
    truth, given = values[predicted].astype(bool), predictions[predicted].astype(float).astype(bool)
    counts = np.column_stack(
        [(truth & given).sum(axis=0), (truth & ~given).sum(axis=0), (~truth & given).sum(axis=0)]
    ).astype(np.int64)
    totals = truth.sum(axis=0).astype(np.int64)
    kept = _first(counts[:, 1] + counts[:, 2], totals, at_most)
    return Confusion(
        [names[row] for row in kept], list(_LABEL_OUTCOMES), counts[kept], totals[kept], len(names)
    )


def _first(mistakes: NDArray[np.int64], totals: NDArray[np.int64], at_most: int) -> list[int]:
    """Return those with most mistakes, and most rows where these are as many, in the order of the classes."""
    order = np.lexsort((-totals, -mistakes))[:at_most]
    return sorted(order.tolist())
