"""Results of one feature set."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from bertvectorizer.pipeline import Cost, Outcome


def make_outcome(predictions: list[object]) -> Outcome:
    return Outcome("words", False, None, {}, {}, np.array(predictions, dtype=object), Cost())


@pytest.mark.parametrize(
    ("predictions", "n_judged"),
    [
        (["ham", None, "spam", None], 2),
        ([0, 0.0, False, ""], 4),
        ([None, None], 0),
        ([[None, None], [0, 1], [1, 0]], 2),
        ([], 0),
        (np.empty((0, 2)), 0),
    ],
)
def test_rows_with_a_prediction_are_counted(predictions: list[object], n_judged: int) -> None:
    outcome = make_outcome(predictions)
    assert outcome.n_judged == n_judged
    assert outcome.is_judged.shape == (len(predictions),)


def test_costs_that_do_not_apply_are_nan() -> None:
    cost = dataclasses.asdict(Cost())
    assert (cost.pop("dimensions"), cost.pop("kept_bytes")) == (0, 0)
    assert len(cost) == 6
    assert all(math.isnan(value) for value in cost.values())


def test_an_outcome_cannot_be_changed() -> None:
    outcome = make_outcome(["ham"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.name = "mine"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.cost.dimensions = 3  # type: ignore[misc]
