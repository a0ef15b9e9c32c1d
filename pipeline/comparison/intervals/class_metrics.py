"""F1, precision, recall and other functions of the confusion matrix: pooled score and draws."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..target import Target

__all__ = ["ClassCounts", "ClassMetric", "count_classes", "read_class_metric"]

_KNOWN = re.compile(
    r"(f1|precision|recall|jaccard)(?:_(macro|micro|weighted))?|(balanced_accuracy)"
    r"|(matthews_corrcoef)"
)
_STEP = 1e-3  # rows, by which derivatives are taken
_N_DRAWS = 2000
_CHUNK = 4_000_000  # numbers drawn at a time
_MOST_CELLS = 1000  # of a confusion matrix


@dataclass(frozen=True)
class ClassMetric:
    """A metric that is a function of three counts of each class: right, true and predicted.

    ``average`` is "binary", of which ``positive`` is the class, "macro", "micro" or "weighted".
    """

    measure: str
    average: str
    positive: int = 0

    def __call__(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of counts ``(..., 3, n_classes)``. What has no rows counts as 0.

        Examples
        --------
        >>> float(ClassMetric("f1", "macro")(np.array([[8.0, 3.0], [10.0, 5.0], [10.0, 5.0]])))
        0.7
        """
        right, true, predicted = np.moveaxis(counts, -2, 0)
        if self.measure == "matthews_corrcoef":
            total = true.sum(axis=-1)
            covariance = right.sum(axis=-1) * total - (true * predicted).sum(axis=-1)
            spread = (total**2 - (true**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))
            return np.asarray(_ratio(covariance, np.sqrt(np.maximum(spread, 0))))
        weights = true
        if self.average == "micro":
            right, true, predicted = (
                part.sum(axis=-1, keepdims=True) for part in (right, true, predicted)
            )
        if self.measure == "f1":
            scores = _ratio(2 * right, true + predicted)
        elif self.measure == "jaccard":
            scores = _ratio(right, true + predicted - right)
        else:
            scores = _ratio(right, predicted if self.measure == "precision" else true)
        if self.average == "binary":
            return np.asarray(scores[..., self.positive])
        if self.average == "weighted":
            return np.asarray((scores * weights).sum(axis=-1) / weights.sum(axis=-1))
        return np.asarray(scores.mean(axis=-1))

    def gradient(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivatives by the counts ``(3, n_classes)``, of the same shape."""
        slopes = np.empty(counts.shape)
        for place in np.ndindex(counts.shape):  # at once they need a matrix of classes squared
            step = np.zeros(counts.shape)
            step[place] = _STEP
            slopes[place] = (self(counts + step) - self(counts - step)) / (2 * _STEP)
        return slopes


@dataclass(frozen=True)
class ClassCounts:
    """What each row adds to the counts by class, in each repeat.

    ``rows`` has a matrix for each repeat, ``(n_rows, 3 * n_classes)``; rows that a repeat does not
    test are empty. ``groups`` has the group of each row. ``cells`` are
    what one row more in each cell of the confusion matrix would add, and ``cell_weights`` how many
    rows more each cell gets. ``imbalance`` is 0 for classes of equal size and nearly 1 with a rare
    one.
    """

    rows: list[sparse.csr_array]
    groups: NDArray[np.int64]
    cells: sparse.csr_array
    cell_weights: NDArray[np.float64]
    imbalance: float

    @property
    def mean(self) -> NDArray[np.float64]:
        """Counts by class, mean over the repeats, of shape ``(3, n_classes)``."""
        total = sum(repeat.sum(axis=0) for repeat in self.rows)
        return np.asarray(total, dtype=np.float64).reshape(3, -1) / len(self.rows)

    def influence(self, metric: ClassMetric) -> NDArray[np.float64]:
        """Return what each row adds to the score, to first order, ``(n_repeats, n_rows)``."""
        gradient = metric.gradient(self.mean).ravel()
        return np.stack([repeat @ gradient for repeat in self.rows])

    def draws(self, metric: ClassMetric, factor: float) -> NDArray[np.float64]:
        """Return scores of random confusion matrices around the pooled one.

        Without groups the cells are drawn from the Dirichlet distribution of ``mean / factor +
        cell_weights``. It is that of gamma distributed weights of the rows: here each group has one
        in each repeat, so that its rows count together. The weights of all cells are few rows, 2 of
        classes and 3 of labels: what they add to each class draws a mean over many to one side.

        The result does not depend on the order of rows or groups.
        """
        n_repeats, n_rows = len(self.rows), self.rows[0].shape[0]
        ones = (np.ones(n_rows), (self.groups, np.arange(n_rows)))
        members = sparse.csr_array(ones)
        units = sparse.vstack([members @ repeat for repeat in self.rows], format="csr")
        units.sort_indices()
        # Equal units are drawn together. Random sums tell which are equal.
        keys = units @ np.random.RandomState(1).uniform(1, 2, units.shape[1])
        _, first, n_equal = np.unique(keys, return_index=True, return_counts=True)
        shapes = np.concatenate([n_equal / (n_repeats * factor), self.cell_weights])
        sizes = np.bincount(self.groups)
        size = float((sizes**2).sum() / sizes.sum())
        parts = sparse.vstack([units[first], size * self.cells], format="csr").T.tocsr()
        random = np.random.RandomState(0)
        return np.concatenate(
            [
                metric((parts @ drawn.T).T.reshape(len(drawn), 3, -1))
                for drawn in _gamma(random, shapes)
            ]
        )


def read_class_metric(known_as: str, target: Target) -> ClassMetric | None:
    """Return the metric that a scorer's name means, None if it is no function of such counts."""
    match = _KNOWN.fullmatch(known_as)
    if match is None or target.classes is None:
        return None
    if match[2]:
        return ClassMetric(match[1], match[2])
    if target.kind == "multilabel":
        return None
    if match[3] or match[4]:
        return ClassMetric("recall" if match[3] else match[4], "macro")
    if target.kind != "binary":
        return None
    places = [place for place, label in enumerate(target.classes.tolist()) if label == 1]
    return ClassMetric(match[1], "binary", places[0]) if len(places) == 1 else None


def count_classes(
    target: Target, repeats: NDArray[np.object_], groups: NDArray[np.int64]
) -> ClassCounts | None:
    """Return the counts of the predictions of all repeats, None if they have other classes.

    ``repeats`` are of shape ``(n_repeats, n_rows)`` or ``(n_repeats, n_rows, n_labels)``.
    """
    assert target.classes is not None
    n_classes = len(target.classes)
    if target.kind == "multilabel":
        truth = target.values.astype(bool)
        tables = []
        for repeat in repeats:
            is_judged = np.array([value is not None for value in repeat[:, 0]])
            predicted = np.zeros(truth.shape, dtype=bool)
            predicted[is_judged] = repeat[is_judged].astype(bool)
            true = truth & is_judged[:, None]
            added = np.hstack([true & predicted, true, predicted])
            tables.append(sparse.csr_array(added, dtype=np.float64))
        shares = truth.mean(axis=0)
        share = float(np.minimum(shares, 1 - shares).min())
        weights = np.full(3 * n_classes, 1 / n_classes)
        return ClassCounts(tables, groups, _outcomes(n_classes), weights, 1 - 2 * share)
    place_of: dict[Any, int] = {label: at for at, label in enumerate(target.classes.tolist())}
    truth = np.array([place_of[label] for label in target.values.tolist()], dtype=np.int64)
    tables = []
    for repeat in repeats.tolist():
        is_judged = np.array([label is not None for label in repeat])
        if any(label is not None and label not in place_of for label in repeat):
            return None
        predicted = np.array([place_of.get(label, 0) for label in repeat], dtype=np.int64)
        tables.append(_table(truth, predicted, is_judged, n_classes))
    if n_classes**2 <= _MOST_CELLS:
        true, predicted = np.indices((n_classes, n_classes)).reshape(2, -1)
        cells = _table(true, predicted, np.ones(n_classes**2, dtype=bool), n_classes)
        weights = np.full(n_classes**2, 2 / n_classes**2)
    else:  # the cells of each class apart, as of labels: their number is not squared
        cells = _outcomes(n_classes)
        weights = np.repeat(
            np.array([1, n_classes - 1, n_classes - 1]) * 2 / n_classes**2, n_classes
        )
    share = float(np.bincount(truth, minlength=n_classes).min() / len(truth))
    return ClassCounts(tables, groups, cells, weights, 1 - n_classes * share)


def _table(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    is_judged: NDArray[np.bool_],
    n_classes: int,
) -> sparse.csr_array:
    """Return what rows add to the counts by class: right, true and predicted."""
    rows, right = np.flatnonzero(is_judged), np.flatnonzero(is_judged & (truth == predicted))
    where = np.concatenate([right, rows, rows])
    columns = np.concatenate(
        [truth[right], n_classes + truth[rows], 2 * n_classes + predicted[rows]]
    )
    return sparse.csr_array(
        (np.ones(len(where)), (where, columns)), shape=(len(truth), 3 * n_classes)
    )


def _outcomes(n_classes: int) -> sparse.csr_array:
    """Return what a row adds to the counts of a class: one found, missed, or found wrongly."""
    eye = sparse.eye_array(n_classes)
    return sparse.block_array([[eye, eye, eye], [None, eye, None], [None, None, eye]], format="csr")


def _gamma(
    random: np.random.RandomState, shapes: NDArray[np.float64]
) -> Iterator[NDArray[np.float64]]:
    """Yield gamma distributed numbers, ``(n_draws, n_shapes)`` in chunks; fewer for many shapes."""
    n_left = min(_N_DRAWS, max(200, 10 * _CHUNK // len(shapes)))
    n_chunk = max(1, _CHUNK // len(shapes))
    while n_left > 0:
        yield random.standard_gamma(shapes, (min(n_chunk, n_left), len(shapes)))
        n_left -= n_chunk


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> Any:
    result = np.zeros(np.broadcast(numerator, denominator).shape)
    return np.divide(numerator, denominator, out=result, where=denominator > 0)
