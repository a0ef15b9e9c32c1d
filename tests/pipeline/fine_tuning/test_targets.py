"""Checks of targets and of the weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.fine_tuning.targets import (
    check_complete,
    check_rows,
    hold_out_groups,
    row_groups,
    row_weights,
)


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


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("has_classes", [True, False])
def test_groups_are_held_out_whole(share: float, has_classes: bool) -> None:
    random = np.random.default_rng(0)
    groups = random.permutation(np.repeat(np.arange(40), random.integers(1, 9, size=40)))
    strata = (groups % 5 == 0).astype(int) if has_classes else None
    kept, held = hold_out_groups(groups, strata, share, 0)
    assert sorted([*kept, *held]) == list(range(len(groups)))
    assert not {*groups[kept]} & {*groups[held]}
    assert abs(len(held) / len(groups) - share) < 0.04
    if strata is not None:
        assert {*strata[kept]} == {*strata[held]} == {0, 1}
    again = hold_out_groups(groups, strata, share, 1)[1]
    assert held.tolist() != again.tolist()


def test_groups_for_validation_must_suffice() -> None:
    rare = np.array([1, 0, 0, 0, 0, 0])  # a class of one group is trained on
    assert 0 in hold_out_groups(np.array([0, 0, 1, 1, 2, 2]), rare, 0.3, 0)[0]
    kept, held = hold_out_groups(np.arange(3), np.arange(3), 0.3, 0)  # as without groups
    assert (len(kept), len(held)) == (2, 1)
    with pytest.raises(InvalidParameterError, match=r"at least two.* Got 1\. Give X_val"):
        hold_out_groups(np.zeros(4, dtype=int), None, 0.3, 0)


def test_groups_of_rows() -> None:
    assert row_groups([7, "a", 7, "7"], 4).tolist() == [0, 1, 0, 0]
    for groups, message in (
        ([1], "groups must have as many values"),
        ([1, None], r"groups must have a value in each row\. Got none in 1 row.* row 1"),
        ("ab", "'groups' parameter must be"),
        (5, "'groups' parameter must be"),
    ):
        with pytest.raises(InvalidParameterError, match=message):
            row_groups(groups, 2)
