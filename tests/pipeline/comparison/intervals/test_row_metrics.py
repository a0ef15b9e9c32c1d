"""Means of losses of rows, R2 and others: pooled scores and what each row adds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from bertvectorizer.pipeline.comparison.intervals.row_metrics import cluster_error, score_rows
from bertvectorizer.pipeline.comparison.target import Target

pytestmark = pytest.mark.numeric

N_ROWS = 60
RANDOM = np.random.default_rng(0)
NUMBERS = Target(RANDOM.normal(3, 1, N_ROWS), "regression", None, None)
GUESSES = (NUMBERS.values + RANDOM.normal(0.2, 0.5, (2, N_ROWS))).astype(object)
CLASSES = Target(
    RANDOM.choice(["a", "b", "c"], N_ROWS), "multiclass", np.array(["a", "b", "c"]), None
)
TWO = Target(RANDOM.choice(["a", "b"], N_ROWS), "binary", np.array(["a", "b"]), None)
LABELS = Target(RANDOM.integers(2, size=(N_ROWS, 2)), "multilabel", np.array(["a", "b"]), None)
REGRESSION = {
    "neg_mean_absolute_error": metrics.mean_absolute_error,
    "neg_mean_squared_error": metrics.mean_squared_error,
    "neg_root_mean_squared_error": metrics.root_mean_squared_error,
    "neg_mean_absolute_percentage_error": metrics.mean_absolute_percentage_error,
    "r2": metrics.r2_score,
    "explained_variance": metrics.explained_variance_score,
}


@pytest.mark.parametrize("name", REGRESSION)
def test_scores_of_numbers_are_those_of_scikit_learn(name: str) -> None:
    score = REGRESSION[name]
    found = score_rows(name, NUMBERS, GUESSES[:1], None)
    assert found is not None
    truth, guess = NUMBERS.values, GUESSES[0].astype(float)
    assert found.value == pytest.approx(score(truth, guess))
    # A row more has the effect that its influence says, to first order.
    weights = np.ones(N_ROWS)
    weights[7] += 1e-4
    change = (score(truth, guess, sample_weight=weights) - found.value) / 1e-4
    assert found.influence[0, 7] == pytest.approx(change, rel=1e-3)
    assert found.influence.sum() == pytest.approx(0, abs=1e-9)


def test_scores_of_probabilities_are_those_of_scikit_learn() -> None:
    three = RANDOM.dirichlet([1, 1, 1], N_ROWS)
    for target, shares in ((TWO, three[:, 1:2]), (CLASSES, three)):
        values, full = (
            shares[None].astype(np.float32),
            np.hstack([1 - shares, shares]) if target is TWO else shares,
        )
        repeats = np.full((1, N_ROWS), "a", dtype=object)
        found = {
            name: score_rows(name, target, repeats, values)
            for name in ("neg_brier_score", "neg_log_loss")
        }
        kind: dict[str, Any] = {"pos_label": "b"} if target is TWO else {"labels": ["a", "b", "c"]}
        brier = metrics.brier_score_loss(
            target.values, full[:, 1] if target is TWO else full, **kind
        )
        assert found["neg_brier_score"].value == pytest.approx(brier, rel=1e-5)
        loss = metrics.log_loss(target.values, full)
        assert found["neg_log_loss"].value == pytest.approx(loss, rel=1e-5)
        assert score_rows("neg_brier_score", target, repeats, None) is None


def test_accuracy_of_labels_is_that_of_whole_rows() -> None:
    repeats = LABELS.values.astype(object)[None].copy()
    repeats[0, :6, 1] = 1 - repeats[0, :6, 1]
    assert score_rows("accuracy", LABELS, repeats, None).value == pytest.approx(0.9)
    assert score_rows("r2", LABELS, repeats, None) is None
    assert score_rows("spearman", NUMBERS, GUESSES, None) is None
    assert score_rows("neg_median_absolute_error", NUMBERS, GUESSES, None) is None


def test_unjudged_rows_have_no_part() -> None:
    part = np.where(np.arange(N_ROWS) < 40, GUESSES, None)
    found = score_rows("r2", NUMBERS, part, None)
    few = Target(NUMBERS.values[:40], "regression", None, None)
    assert found.value == pytest.approx(score_rows("r2", few, GUESSES[:, :40], None).value)
    assert (found.influence[:, 40:] == 0).all()
    equal = Target(np.where(np.arange(N_ROWS) < 40, 1.0, 2.0), "regression", None, None)
    assert score_rows("r2", equal, part, None) is None  # rows that do not vary have no R2


def test_the_error_of_a_share_is_binomial() -> None:
    is_right = np.repeat([1.0, 0.0], [48, 12])
    influence = ((is_right - 0.8) / 60)[None]
    error = math.sqrt(0.8 * 0.2 / 59)
    assert cluster_error(influence, np.arange(60)) == pytest.approx(error)
    # Neither copies of rows in a group nor further repeats are more to go by.
    copies = np.repeat(np.arange(60), 5)
    assert cluster_error(influence[:, copies] / 5, copies) == pytest.approx(error)
    several = np.stack([np.random.default_rng(seed).permutation(influence[0]) for seed in range(8)])
    assert cluster_error(several, np.arange(60)) == pytest.approx(error)
    assert cluster_error(influence[:, copies] / 5, np.arange(300)) < 0.5 * error
