"""The score of the best feature set, corrected for the selection."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import ShuffleSplit

from bertvectorizer.pipeline.comparison.folds import Folds, make_folds
from bertvectorizer.pipeline.comparison.intervals.estimates import estimate_score, judge
from bertvectorizer.pipeline.comparison.intervals.selection import BestScore, correct_selection
from bertvectorizer.pipeline.comparison.metrics import resolve_scoring
from bertvectorizer.pipeline.comparison.outcome import Cost, Outcome
from bertvectorizer.pipeline.comparison.statistics import PART_OF_FOLDS, PART_OF_ROWS
from bertvectorizer.pipeline.comparison.target import Target


def make_target(values: NDArray[Any]) -> Target:
    return Target(values, "binary", np.array([0, 1]), "target")


def correct(
    predictions: NDArray[Any], target: Target, folds: Folds, name: str = "accuracy"
) -> tuple[BestScore, float]:
    """Return the corrected score of the best and the plain one.

    *Shape of predictions:* (n_candidates, n_rows), the same in all repeats.
    """
    (metric,) = resolve_scoring({name: "accuracy"} if name == "neg_share" else name, "binary")
    outcomes = []
    for number, predicted in enumerate(predictions):
        repeats = np.full((folds.repeats[-1] + 1, len(target)), None, dtype=object)
        for repeat, (_, test) in zip(folds.repeats, folds.splits, strict=True):
            repeats[repeat, test] = predicted[test]
        is_right = predicted == target.values
        scores = np.array([is_right[test].mean() for _, test in folds.splits])
        outcomes.append(
            Outcome(
                name=str(number),
                is_contextual=False,
                cell=None,
                scores={metric.name: scores if metric.greater_is_better else 1 - scores},
                test_scores={},
                predictions=repeats[0],
                cost=Cost(),
                repeats=repeats,
            )
        )
    judged = [judge(outcome, metric, target, folds) for outcome in outcomes]
    shown = [estimate_score(one, metric, target, folds, 0.95) for one in judged]
    best = correct_selection(judged, shown, metric, folds)
    return best, shown[int(best.features)].mean


def test_choose_on_a_part_of_the_folds_and_score_on_the_others() -> None:
    rows = np.arange(12)
    folds = Folds([(np.setdiff1d(rows, rows[k::3]), rows[k::3]) for k in range(3)], 3, "")
    target = make_target(np.zeros(12, int))
    wrong = np.zeros((2, 12), int)  # by folds: accuracies 1, 0.5, 0.25 and 0.25, 0.75, 0.5
    for member, errors in enumerate([(0, 2, 3), (3, 1, 2)]):
        for fold, n_errors in enumerate(errors):
            wrong[member, rows[fold::3][:n_errors]] = 1
    best, plain = correct(wrong, target, folds)
    # By the folds 2 and 3 the second is better, which gives 0.25 on the first; else the first is.
    assert best.score == pytest.approx((0.25 + 0.5 + 0.25) / 3)
    assert (best.features, plain) == ("0", pytest.approx(7 / 12))
    assert (best.n_candidates, best.method) == (2, PART_OF_FOLDS)
    assert best.low < best.score < best.high
    assert "With 12 rows" in best.doubt
    errors, _ = correct(wrong, target, folds, "neg_share")  # less is better
    assert (errors.features, errors.score) == ("0", pytest.approx(1 - best.score))


@pytest.mark.parametrize("cv", ["2x5", ShuffleSplit(4, test_size=0.5, random_state=0)])
def test_the_best_of_many_equal_ones_is_not_better_than_they_are(cv: Any) -> None:
    """Thirteen coins: the best seems better by chance."""
    random, found = np.random.default_rng(0), []
    for seed in range(40):
        target = make_target(random.integers(0, 2, 120))
        folds = make_folds(cv, target, None, seed)
        best, plain = correct(random.integers(0, 2, (13, 120)), target, folds)
        found.append((plain, best.score, best.low <= 0.5 <= best.high))
    plain, corrected, covered = np.mean(found, axis=0)
    assert plain > 0.56
    assert abs(corrected - 0.5) < 0.02
    assert covered >= 0.9


@pytest.mark.parametrize("cv", ["5", ShuffleSplit(3, test_size=0.4, random_state=0)])
def test_rows_of_a_group_count_as_one(cv: Any) -> None:
    random = np.random.default_rng(3)
    target = make_target(random.integers(0, 2, 40))
    predictions = random.integers(0, 2, (5, 40))
    folds = make_folds(cv, target, None, 0)
    alone, _ = correct(predictions, target, folds)
    rows = np.arange(160).reshape(40, 4)
    copies = Folds(
        [(rows[train].ravel(), rows[test].ravel()) for train, test in folds.splits],
        folds.n_first,
        "",
        np.repeat(np.arange(40), 4),
    )
    together, _ = correct(
        np.repeat(predictions, 4, axis=1), make_target(np.repeat(target.values, 4)), copies
    )
    assert together.score == pytest.approx(alone.score)
    assert together.method == alone.method == (PART_OF_FOLDS if cv == "5" else PART_OF_ROWS)


def test_one_feature_set_is_not_selected() -> None:
    target = make_target(np.arange(20) % 2)
    folds = make_folds(5, target, None, 0)
    best, plain = correct(np.zeros((1, 20), int), target, folds)
    assert (best.score, best.n_candidates, best.doubt) == (plain, 1, "")


def test_no_score_where_nothing_is_apart() -> None:
    """A metric that is no sum over rows, on folds that overlap."""
    target = make_target(np.arange(20) % 2)
    folds = make_folds(ShuffleSplit(3, test_size=0.6, random_state=0), target, None, 0)
    best, _ = correct(np.zeros((2, 20), int), target, folds, "roc_auc")
    assert math.isnan(best.score)
    assert "roc_auc needs two folds without common test rows" in best.method
    assert replace(best, method="").doubt == ""
