"""Checks of targets and of the weights of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import InvalidParameterError
from ...validation import invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_complete", "check_rows", "row_weights"]


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
