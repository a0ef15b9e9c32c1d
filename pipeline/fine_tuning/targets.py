"""What is learned from y: its checks, the weights of rows, and the scale of numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from ...errors import InvalidParameterError
from ...validation import invalid
from ...warning import warn_user

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...models.training.labelled import Loss
    from ...models.training.network import TrainableNetwork

__all__ = ["Target", "check_complete", "check_rows", "hold_out_groups", "row_groups", "row_weights"]

_FAR = 3  # standard deviations; stars from 1 to 5 are closer


@dataclass(frozen=True)
class Target:
    """What is learned from ``y``.

    Parameters
    ----------
    values : ndarray of shape (n_rows,) or (n_rows, n_outputs), or list of ndarray
        A class (int64), labels or numbers (float32) of each row; of sentences, of their words, of
        which those with a negative class are not trained on.
    weights : ndarray of shape (n_rows,)
        Weight of each row, float64.
    loss : {"classes", "labels", "numbers"}
        The loss to minimize.
    n_outputs : int
        Number of outputs of the network.
    learned : dict
        Attributes that the estimator gets.
    strata : ndarray of shape (n_rows,) or None
        Classes whose shares a validation split keeps.
    scale, shift : ndarray of shape (n_outputs,) or None
        Outputs are multiplied by the one, then the other is added. None leaves them as they are.
        The scale of a constant target is 0, and it is learned as 0.
    """

    values: Any
    weights: NDArray[np.float64]
    loss: Loss
    n_outputs: int
    learned: dict[str, Any]
    strata: NDArray[Any] | None = None
    scale: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None

    def for_outputs_of(self, network: TrainableNetwork) -> Target:
        """Return the target in terms that the last layer can undo; some have no bias."""
        if self.scale is None or self.shift is None:
            return self
        output = network.head.output_layer
        if output is not None and output.bias is not None:
            return self
        own = np.where(self.scale > 0, self.scale, 1)
        scale = None if output is None else own
        shift = self.shift / own
        if np.abs(shift).max() > _FAR:
            warn_user(
                f"The mean of y is {np.abs(shift).max():.1f} standard deviations away from 0, and"
                " the last layer of this architecture has no bias that could hold it: training"
                " may not reach it. Set a pooling, such as pooling='lasttoken', or subtract the"
                " mean: TransformedTargetRegressor(regressor, transformer=StandardScaler())."
            )
        values = (self.values + shift) * (own if scale is None else 1)
        none = None if scale is None else np.zeros_like(scale)
        return replace(self, values=values.astype(np.float32), scale=scale, shift=none)

    def take(self, rows: NDArray[np.int64]) -> Target:
        """Return the target of some rows."""
        values = self.values
        return replace(
            self,
            values=values[rows] if isinstance(values, np.ndarray) else [values[r] for r in rows],
            weights=self.weights[rows],
            strata=None if self.strata is None else self.strata[rows],
        )


def check_complete(y: Any, name: str) -> None:
    """Raise if a target, or one of its values, is missing or infinite."""
    if y is None:
        raise InvalidParameterError(
            f"Training requires y to be passed, but the target {name} is None. Give the target of"
            " each row."
        )
    values = np.asarray(y)
    if values.dtype.kind in "iubUS":
        return
    missing = np.asarray(pd.isna(values))
    if values.dtype.kind == "f":
        missing |= np.isinf(values)
    rows = np.unique(np.nonzero(missing)[0]).tolist() if missing.any() else []
    if rows:
        raise InvalidParameterError(
            f"{name} must have a value in each row, and contains NaN or infinity in {len(rows)}"
            f" row(s), the first of them row {rows[0]}. Leave these rows out."
        )


def check_rows(values: Any, n_rows: int, name: str = "y") -> None:
    """Raise unless there is one value for each row."""
    if len(values) != n_rows or not n_rows:
        kind = "at least one row" if not n_rows else f"as many values as X has rows, {n_rows}"
        raise InvalidParameterError(
            f"{name} must have {kind}. Got {len(values)} instead: inconsistent numbers of samples,"
            f" {n_rows} sample(s) in X."
        )


def row_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float64]:
    """Return the weight of each row, of which the largest is 1; None gives 1 to all."""
    if sample_weight is None:
        return np.ones(n_rows)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise invalid("sample_weight", "a number for each row, or None", sample_weight) from None
    if weights.ndim == 0:
        weights = np.full(n_rows, float(weights))
    if weights.shape != (n_rows,):
        rule = f"one-dimensional, with the {n_rows} rows of X"
        raise invalid("sample_weight", rule, f"an array of shape {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        rule = "made of finite numbers of at least 0, not all of them zero"
        raise invalid("sample_weight", rule, sample_weight)
    shares: NDArray[np.float64] = weights / weights.max()  # their sum may be beyond float64
    return shares


def row_groups(groups: Any, n_rows: int) -> NDArray[np.int64]:
    """Return the number of each row's group; values with the same text are one group."""
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise invalid("groups", "a group for each row, or None", groups)
    values = pd.Series(list(groups), dtype=object)
    check_rows(values, n_rows, "groups")
    if (missing := values.isna()).any():
        raise InvalidParameterError(
            f"groups must have a value in each row. Got none in {missing.sum()} row(s), the first"
            f" of them row {missing.argmax()}. Give each a group of its own."
        )
    return np.unique(np.array(list(map(str, values)), dtype=object), return_inverse=True)[1]


def hold_out_groups(
    groups: NDArray[np.int64], strata: NDArray[Any] | None, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows so that a group is on one side, and each class on both where groups allow it.

    About ``share`` of the rows are in the second part.

    Examples
    --------
    >>> kept, held = hold_out_groups(np.arange(20) // 4, np.arange(20) % 2, 0.2, 0)
    >>> len(held), len({*(kept // 4)} & {*(held // 4)})
    (4, 0)
    """
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise InvalidParameterError(
            "groups must be at least two, so that one can be for validation. Got 1. Give X_val and"
            " y_val, or set early_stopping=False."
        )
    if strata is None or np.unique(strata, return_counts=True)[1].max() < 2:
        strata = np.zeros(len(groups), dtype=np.int64)
    classes, counts = np.unique(strata, return_counts=True)
    n_parts = min(max(round(1 / min(share, 1 - share)), 2), n_groups, counts.max())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class in y")
        folds = StratifiedGroupKFold(n_parts, shuffle=True, random_state=seed)
        splits = list(folds.split(groups, strata, groups))
    if share > 1 / 2:
        splits = [(held, kept) for kept, held in splits]

    def faults(split: tuple[NDArray[np.int64], NDArray[np.int64]]) -> tuple[float, ...]:
        missing = (len(classes) - len(np.unique(strata[rows])) for rows in split)
        return (*missing, abs(len(split[1]) - share * len(groups)))

    best: tuple[NDArray[np.int64], NDArray[np.int64]] = min(splits, key=faults)
    return best
