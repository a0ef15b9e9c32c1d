"""Means of losses of rows, and functions of such means: pooled score, and what each row adds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..target import Target

__all__ = ["REGRESSION", "RowScore", "cluster_error", "group_sums", "score_rows"]

REGRESSION = (  # the scorers of numbers that are means over rows, or functions of means
    "explained_variance",
    "neg_mean_absolute_error",
    "neg_mean_absolute_percentage_error",
    "neg_mean_squared_error",
    "neg_root_mean_squared_error",
    "r2",
)

_EPSILON = float(np.finfo(np.float32).eps)


class RowScore(NamedTuple):
    """A score as it is shown, and what each row adds to it, ``(n_repeats, n_rows)``.

    The latter are first-order effects; they are 0 for rows that a repeat does not test.
    """

    value: float
    influence: NDArray[np.float64]


def score_rows(
    known_as: str, target: Target, repeats: NDArray[np.object_], values: NDArray[np.float32] | None
) -> RowScore | None:
    """Return the pooled score of a metric that is a mean over rows, or a function of means.

    None for other metrics. The shapes are those of the attributes of `Outcome`.
    """
    first = repeats if repeats.ndim == 2 else repeats[..., 0]
    is_judged = np.array([[value is not None for value in repeat] for repeat in first], dtype=bool)
    if known_as in REGRESSION:
        is_numbers = target.kind == "regression"  # scikit-learn takes classes that are numbers
        return _regression(known_as, target, repeats, is_judged) if is_numbers else None
    if known_as == "accuracy":
        is_right = repeats == target.values
        losses = is_right if is_right.ndim == 2 else is_right.all(axis=2)
    elif known_as in ("neg_brier_score", "neg_log_loss") and values is not None:
        losses = _probabilistic(known_as, target, values)
    else:
        return None
    return _mean(np.asarray(losses, dtype=np.float64), is_judged)


def cluster_error(influence: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Return the standard error of a score from what each row adds, where groups count as one.

    The variances of the repeats are averaged: those of averages over repeats would shrink with
    their number, but the same rows are in all of them.

    Examples
    --------
    >>> is_right = np.array([[1, 1, 0, 0, 1, 1, 1, 1.0]])
    >>> influence = (is_right - is_right.mean()) / 8
    >>> round(cluster_error(influence, np.arange(8)), 4), round((0.75 * 0.25 / 7) ** 0.5, 4)
    (0.1637, 0.1637)
    >>> round(cluster_error(influence, np.arange(8) // 2), 4)
    0.25
    """
    sums = group_sums(influence, groups)
    n_groups = (sums != 0).any(axis=0).sum()
    return math.sqrt(float((sums**2).sum(axis=1).mean()) * n_groups / max(n_groups - 1, 1))


def group_sums(influence: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums over the rows of each group, of shape ``(n_repeats, n_groups)``."""
    return np.stack([np.bincount(groups, repeat) for repeat in influence])


def _mean(losses: NDArray[np.float64], is_judged: NDArray[np.bool_]) -> RowScore:
    n_rows = is_judged.sum() / len(is_judged)
    value = float(losses[is_judged].mean())
    return RowScore(value, np.where(is_judged, losses - value, 0.0) / n_rows)


def _probabilistic(
    known_as: str, target: Target, values: NDArray[np.float32]
) -> NDArray[np.float64]:
    shares = values.astype(np.float64)
    assert target.classes is not None
    if target.kind == "binary":
        shares = np.concatenate([1 - shares, shares], axis=2)
    truth = target.values[:, None] == target.classes
    if known_as == "neg_log_loss":
        right = np.where(truth, shares, 0.0).sum(axis=2) / shares.sum(axis=2)
        return np.asarray(-np.log(np.clip(right, _EPSILON, 1.0)))
    half = 2 if target.kind == "binary" else 1
    return np.asarray(((shares - truth) ** 2).sum(axis=2) / half)


def _regression(
    known_as: str, target: Target, repeats: NDArray[np.object_], is_judged: NDArray[np.bool_]
) -> RowScore | None:
    truth = np.broadcast_to(target.values, repeats.shape)
    predicted = np.where(is_judged, repeats, 0.0).astype(np.float64)
    errors = np.where(is_judged, truth - predicted, 0.0)
    if known_as == "neg_mean_absolute_error":
        return _mean(np.abs(errors), is_judged)
    if known_as == "neg_mean_absolute_percentage_error":
        return _mean(np.abs(errors) / np.maximum(np.abs(truth), np.finfo(float).eps), is_judged)
    if known_as == "explained_variance":
        errors = np.where(is_judged, errors - errors[is_judged].mean(), 0.0)
    squares = _mean(errors**2, is_judged)
    if known_as == "neg_mean_squared_error":
        return squares
    if known_as == "neg_root_mean_squared_error":
        root = math.sqrt(squares.value)
        return RowScore(root, squares.influence / (2 * root or 1.0))
    spread = _mean((truth - truth[is_judged].mean()) ** 2, is_judged)
    if not spread.value:
        return None
    ratio = squares.value / spread.value
    return RowScore(1 - ratio, (ratio * spread.influence - squares.influence) / spread.value)
