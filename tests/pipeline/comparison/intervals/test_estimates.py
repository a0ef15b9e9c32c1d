"""Which method serves which metric, and what intervals and tests must not depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import get_scorer

from bertvectorizer.pipeline import Cost, Outcome
from bertvectorizer.pipeline.comparison.folds import Folds, make_folds
from bertvectorizer.pipeline.comparison.intervals.estimates import (
    estimate_difference,
    estimate_score,
    judge,
    known_misses,
    pool_scores,
    variance_factor,
)
from bertvectorizer.pipeline.comparison.metrics import resolve_scoring
from bertvectorizer.pipeline.comparison.statistics import (
    AVERAGE_PRECISION,
    CORRECTED_T,
    CORRECTED_T_AND_ROWS,
    DIRICHLET,
    PAIRED_ROWS,
    RANKS,
    REFERENCES,
    hanley_mcneil_error,
)
from bertvectorizer.pipeline.comparison.target import Target

pytestmark = pytest.mark.numeric

N_ROWS = 100
ROWS = np.arange(N_ROWS)
TWO = Target(ROWS % 5 // 3, "binary", np.array([0, 1]), None)
NUMBERS = Target(np.random.default_rng(0).normal(size=N_ROWS), "regression", None, None)


class Given:
    """Answers with given values in place of an estimator."""

    _estimator_type = "classifier"
    classes_ = np.array([0, 1])

    def __init__(self, predictions: Any, values: Any) -> None:
        self.predictions, self.values = predictions, values

    def predict(self, rows: Any) -> Any:
        return self.predictions[rows]

    def predict_proba(self, rows: Any) -> Any:
        return np.stack([1 - self.values[rows], self.values[rows]], axis=1)

    def __sklearn_tags__(self) -> Any:
        kind = DummyRegressor if self.values is None else DummyClassifier
        return kind().__sklearn_tags__()


def guess(target: Target, seed: int, n_repeats: int, noise: float = 1.0) -> tuple[Any, Any]:
    """Return predictions and values of some quality in all repeats."""
    random = np.random.default_rng(seed)
    signal = target.values * (2.0 if target.classes is not None else 1.0)
    values = signal + random.normal(size=(1, len(target))) * noise
    values = values + random.normal(scale=0.1, size=(n_repeats, len(target))) * noise
    if target.classes is None:
        return values, None
    shares = 1 / (1 + np.exp(1 - values))
    return (shares > 0.5).astype(int), shares


def outcome_of(
    metric: Any, target: Target, folds: Folds, seed: int, n_copies: int = 1, noise: float = 1.0
) -> Outcome:
    """Return an outcome; the ``n_copies`` of each row get the same predictions."""
    n_repeats = int(folds.repeats[-1]) + 1
    base = Target(target.values[::n_copies], target.kind, target.classes, None)
    predictions, shares = (
        None if made is None else np.repeat(made, n_copies, axis=1)
        for made in guess(base, seed, n_repeats, noise)
    )
    rows = np.arange(len(target))
    scores = []
    for repeat, (_, test) in zip(folds.repeats, folds.splits, strict=True):
        given = Given(predictions[repeat], None if shares is None else shares[repeat])
        scores.append(metric.scorer(given, rows[test], target.values[test]))
    repeats = predictions.astype(object)
    values = None if shares is None else shares[..., None].astype(np.float32)
    own = {metric.name: metric.shown(np.array(scores))}
    pooled = pool_scores([metric], target, repeats, values)
    made = Outcome("one", False, None, own, {}, repeats[0], Cost(), repeats=repeats)
    return Outcome(**{**vars(made), "values": values, "pooled": pooled})


def compare(name: str, target: Target, folds: Folds, **changes: Any) -> tuple[Any, Any]:
    """Return the interval of the first of two outcomes, and the test of their difference."""
    metric = resolve_scoring(name, target.kind)[0]
    one, two = (
        judge(outcome_of(metric, target, folds, seed, **changes), metric, target, folds)
        for seed in (1, 2)
    )
    interval = estimate_score(one, metric, target, folds, 0.95)
    return interval, estimate_difference(two, one, metric, folds, 0.95)


METHODS = {
    "accuracy": (TWO, CORRECTED_T_AND_ROWS, PAIRED_ROWS),
    "f1": (TWO, DIRICHLET, PAIRED_ROWS),
    "balanced_accuracy": (TWO, DIRICHLET, PAIRED_ROWS),
    "matthews_corrcoef": (TWO, DIRICHLET, PAIRED_ROWS),
    "roc_auc": (TWO, RANKS, CORRECTED_T),
    "average_precision": (TWO, AVERAGE_PRECISION, CORRECTED_T),
    "neg_brier_score": (TWO, CORRECTED_T_AND_ROWS, PAIRED_ROWS),
    "r2": (NUMBERS, CORRECTED_T_AND_ROWS, PAIRED_ROWS),
    "neg_mean_absolute_error": (NUMBERS, CORRECTED_T_AND_ROWS, PAIRED_ROWS),
    "spearman": (NUMBERS, CORRECTED_T, CORRECTED_T),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_method_of_each_metric(name: str) -> None:
    target, *methods = METHODS[name]
    folds = make_folds("2x5", target, None, 0)
    interval, test = compare(name, target, folds)
    assert [interval.method, test.method] == methods
    assert set(methods) <= REFERENCES.keys()
    low, high = resolve_scoring(name, target.kind)[0].bounds
    assert low <= interval.low < interval.mean < interval.high <= high
    assert test.low < test.mean < test.high
    assert (test.p_value < 0.05) == (not test.low <= 0 <= test.high)
    # The same in other order.
    order = np.random.default_rng(3).permutation(N_ROWS)
    place = np.argsort(order)
    moved = Folds([(place[train], place[test]) for train, test in folds.splits], 5, "")
    metric = resolve_scoring(name, target.kind)[0]
    outcome = outcome_of(metric, target, folds, 1)
    values = None if outcome.values is None else outcome.values[:, order]
    assert outcome.repeats is not None
    other = Outcome(**{**vars(outcome), "repeats": outcome.repeats[:, order], "values": values})
    turned = Target(target.values[order], target.kind, target.classes, None)
    again = estimate_score(judge(other, metric, turned, moved), metric, turned, moved, 0.95)
    assert again[:3] == pytest.approx(interval[:3], rel=1e-5)


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "roc_auc", "neg_brier_score", "r2"])
def test_groups_count_as_one(name: str) -> None:
    target = NUMBERS if name == "r2" else TWO
    folds = make_folds("2x5", target, None, 0)
    single = compare(name, target, folds)
    many = np.repeat(ROWS, 4)
    copies = Target(target.values[many], target.kind, target.classes, None)
    splits: Any = [
        tuple(np.flatnonzero(np.isin(many, rows)) for rows in split) for split in folds.splits
    ]
    joined = compare(name, copies, Folds(splits, 5, "", many), n_copies=4)
    apart = compare(name, copies, Folds(splits, 5, ""), n_copies=4)
    for one, own, free in zip(single, joined, apart, strict=True):
        assert own[:3] == pytest.approx(one[:3], rel=1e-3)
        if own.method in (DIRICHLET, PAIRED_ROWS):
            assert free.high - free.low < 0.6 * (one.high - one.low)


def test_the_factor_does_not_shrink_with_repeats() -> None:
    factors = {cv: variance_factor(make_folds(cv, TWO, None, 0), 2) for cv in ("5", "2x5", "10x5")}
    assert list(factors.values()) == pytest.approx([1.75] * 3)  # Nadeau and Bengio's 5 (1/10 + 1/4)
    assert variance_factor(make_folds("10", TWO, None, 0), 2) == pytest.approx(
        10 * (1 / 20 + 1 / 9)
    )
    assert variance_factor(make_folds("2x2", TWO, None, 0), 2) == pytest.approx(1.75)
    # Random fifths: two repeats of a fifth of the rows tell nearly as much as two fifths.
    random = np.random.default_rng(0)
    tests = [random.choice(N_ROWS, 20, replace=False) for _ in range(40)]
    splits = [(np.setdiff1d(ROWS, test), test) for test in tests]
    assert variance_factor(Folds(splits, 1, ""), 2) < 0.6
    # Rows that are tested vary no less where few rows are, or the same after each training.
    some = [(np.setdiff1d(ROWS, ROWS[k : k + 10]), ROWS[k : k + 10]) for k in (0, 10, 20)]
    assert variance_factor(Folds(some, 3, ""), 4) == pytest.approx(1.25)
    again = Folds([(ROWS[20 + k :], ROWS[:20]) for k in range(5)], 1, "")
    assert variance_factor(again, 4) == pytest.approx(1.25)
    interval, _ = compare("accuracy", TWO, again)
    assert interval.high - interval.low < 0.6  # of five models, with four degrees of freedom
    widths = {}
    for cv in ("2x5", "10x5"):
        folds = make_folds(cv, TWO, None, 0)
        widths[cv] = [one.high - one.low for one in compare("f1", TWO, folds)]
    np.testing.assert_allclose(widths["10x5"], widths["2x5"], rtol=0.15)


def test_the_paired_test_by_hand() -> None:
    folds = make_folds("5", TWO, None, 0)
    metric = resolve_scoring("accuracy", "binary")[0]
    right, wrong = TWO.values, 1 - TWO.values

    def judged(n_wrong: int) -> Any:
        predicted = np.where(n_wrong > ROWS, wrong, right).astype(object)
        scores = np.array([(predicted == right)[test].mean() for _, test in folds.splits])
        repeats = predicted[None]
        made = Outcome(
            "", False, None, {"accuracy": scores}, {}, predicted, Cost(), repeats=repeats
        )
        return judge(made, metric, TWO, folds)

    found = estimate_difference(judged(0), judged(20), metric, folds, 0.95)
    # Of 100 differences 20 are 1; the factor of four repeats is 5 (1/20 + 1/4) = 1.5.
    error = np.sqrt(1.5 * 0.2 * 0.8 / 99)
    assert found.mean == pytest.approx(0.2)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 99) * error)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.2 / error, 99))
    # Seven rows do not carry a test by rows.
    assert estimate_difference(judged(0), judged(7), metric, folds, 0.95).method == CORRECTED_T


def test_a_rare_class_is_pooled_and_wide() -> None:
    rare = Target((ROWS % 20 == 0).astype(int), "binary", np.array([0, 1]), None)
    folds = make_folds("2x5", rare, None, 0)
    interval, _ = compare("f1", rare, folds, noise=0.7)
    assert interval.high - interval.low > 0.4
    outcome = outcome_of(resolve_scoring("f1", "binary")[0], rare, folds, 1, noise=0.7)
    assert interval.low <= outcome.pooled["f1"] <= interval.high
    assert outcome.pooled["f1"] != pytest.approx(outcome.scores["f1"].mean(), abs=1e-3)


def test_r2_is_pooled() -> None:
    folds = make_folds("2x10", NUMBERS, None, 0)
    metric = resolve_scoring("r2", "regression")[0]
    outcome = outcome_of(metric, NUMBERS, folds, 1)
    assert outcome.repeats is not None
    pooled = [
        get_scorer("r2")._score_func(NUMBERS.values, repeat.astype(float))
        for repeat in outcome.repeats
    ]
    interval, _ = compare("r2", NUMBERS, folds)
    assert interval.mean == pytest.approx(np.mean(pooled), abs=1e-3)
    assert outcome.scores["r2"].mean() < interval.mean - 0.05  # few rows have little variance


def test_folds_of_a_pooled_score_are_first_order_effects() -> None:
    folds = make_folds("2x5", NUMBERS, None, 0)
    metric = resolve_scoring("neg_root_mean_squared_error", "regression")[0]
    outcome = outcome_of(metric, NUMBERS, folds, 1)
    judged = judge(outcome, metric, NUMBERS, folds)
    assert judged.folds.mean() == pytest.approx(judged.value)
    np.testing.assert_allclose(judged.folds, outcome.scores[metric.name], rtol=0.15)
    assert np.ptp(judged.folds) > 0.1


def test_hanley_and_mcneil_by_hand() -> None:
    q1, q2 = 0.8 / 1.2, 2 * 0.64 / 1.8
    variance = (0.16 + 19 * (q1 - 0.64) + 79 * (q2 - 0.64)) / (20 * 80)
    assert hanley_mcneil_error(0.8, 20, 80) == pytest.approx(np.sqrt(variance))
    assert 0 < hanley_mcneil_error(1.0, 20, 80) < hanley_mcneil_error(0.95, 20, 80)
    assert hanley_mcneil_error(0.2, 20, 80) == hanley_mcneil_error(0.5, 20, 80)
    assert hanley_mcneil_error(0.8, [20, 20], [80, 80]) == pytest.approx(np.sqrt(variance / 2))


def test_known_misses_are_told() -> None:
    folds = make_folds("2x5", TWO, None, 0)
    f1, accuracy, gini = resolve_scoring(
        {"f1": "f1", "accuracy": "accuracy", "gini": lambda *_: 0.5}, "binary"
    )
    assert known_misses(f1, TWO, folds) == []
    assert "scores of 10 folds alone" in known_misses(gini, TWO, folds)[0]
    rare = Target((ROWS % 10 == 0).astype(int), "binary", np.array([0, 1]), None)
    assert known_misses(accuracy, rare, folds) == []
    assert known_misses(resolve_scoring("f1_micro", "binary")[0], rare, folds) == []
    deviance = resolve_scoring("neg_mean_poisson_deviance", "regression")[0]
    assert "folds alone" in known_misses(deviance, NUMBERS, folds)[0]
    assert known_misses(f1, rare, folds) == [
        "only 10 rows are of class '1', and simulations had 15 or more"
    ]
    joined = Folds(folds.splits, 5, "", ROWS // 4)
    assert "only 25 groups" in known_misses(accuracy, TWO, joined)[0]


def test_without_predictions_the_folds_decide() -> None:
    folds = make_folds("2x5", TWO, None, 0)
    metric = resolve_scoring("f1", "binary")[0]
    scores = np.linspace(0.5, 0.7, 10)
    outcome = Outcome("", False, None, {"f1": scores}, {}, TWO.values.astype(object), Cost())
    judged = judge(outcome, metric, TWO, folds)
    assert estimate_score(judged, metric, TWO, folds, 0.95).method == CORRECTED_T
