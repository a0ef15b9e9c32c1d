"""Checks of targets and of the weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.fine_tuning.targets import check_complete, check_rows, row_weights


@pytest.mark.parametrize(
    "y",
    [
        [1.0, np.nan],
        ["a", None],
        np.array([0.0, np.inf]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["a", None], dtype="category"),
        np.array([[0, 1], [1, np.nan]]),
    ],
)
def test_a_missing_target_names_its_row(y: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"y must .* 1 row\(s\), the first .* row 1\."):
        check_complete(y, "y")


def test_complete_targets_pass() -> None:
    for y in (["a", "b"], [1, 2], [True, False], pd.Series([1, 2], dtype="Int64"), [0.5, 1.0]):
        check_complete(y, "y")


@pytest.mark.parametrize(("values", "n_rows"), [([], 0), ([1], 0), ([1], 2), ([], 2)])
def test_each_row_has_a_target(values: list[int], n_rows: int) -> None:
    with pytest.raises(InvalidParameterError, match="y must have"):
        check_rows(values, n_rows)


def test_weights_of_rows() -> None:
    assert row_weights(None, 2).tolist() == [1, 1]
    assert row_weights(3, 2).tolist() == [1, 1]
    assert row_weights(pd.Series([0, 6e307, 1.2e308]), 3).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    "weights",
    ["one", [1], [[1, 1]], [1, -1], [0, 0], [1, np.nan], [1, np.inf], ["a", "b"], [1, 2, 3]],
)
def test_wrong_weights_are_refused(weights: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"'sample_weight' parameter must be .* Got"):
        row_weights(weights, 2)
