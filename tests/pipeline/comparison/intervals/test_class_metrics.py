"""F1, precision, recall and others: pooled scores, influence and draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from bertvectorizer.pipeline.comparison.intervals import class_metrics
from bertvectorizer.pipeline.comparison.intervals.class_metrics import (
    ClassMetric,
    count_classes,
    read_class_metric,
)
from bertvectorizer.pipeline.comparison.target import Kind, Target

pytestmark = pytest.mark.numeric

N_ROWS = 90
ROWS = np.arange(N_ROWS)
AVERAGES = ("macro", "micro", "weighted")
NAMES = [
    f"{name}_{average}" for name in ("f1", "precision", "recall", "jaccard") for average in AVERAGES
]


def make_target(kind: Kind, n_classes: int = 3) -> Target:
    random = np.random.default_rng(1)
    if kind == "multilabel":
        return Target(random.integers(2, size=(N_ROWS, 3)), kind, np.array(["a", "b", "c"]), None)
    classes = (
        np.arange(n_classes) if kind == "binary" else np.array(list("abcdef")[:n_classes], object)
    )
    shares = np.array([0.5, *[0.5 / (n_classes - 1)] * (n_classes - 1)])
    return Target(random.choice(classes, p=shares, size=N_ROWS), kind, classes, None)


def predict(target: Target, seed: int = 2) -> Any:
    """Return predictions, two thirds of them right."""
    random = np.random.default_rng(seed)
    others = random.permutation(target.values)
    is_right = random.random(target.values.shape) < 2 / 3
    return np.where(is_right, target.values, others).astype(object)


def counts_of(target: Target, repeats: Any, groups: Any = ROWS) -> Any:
    return count_classes(target, np.asarray(repeats, dtype=object), groups)


@pytest.mark.parametrize(
    ("kind", "n_classes", "names"),
    [
        ("binary", 2, ["f1", "precision", "recall", "jaccard", "matthews_corrcoef", "f1_macro"]),
        ("multiclass", 4, [*NAMES, "balanced_accuracy", "matthews_corrcoef"]),
        ("multilabel", 3, NAMES),
    ],
)
def test_scores_are_those_of_scikit_learn(kind: Kind, n_classes: int, names: list[str]) -> None:
    target = make_target(kind, n_classes)
    predicted = predict(target)
    counts = counts_of(target, [predicted])
    for name in names:
        metric = read_class_metric(name, target)
        assert metric is not None
        score = metrics.get_scorer(name)._score_func
        keys: dict[str, Any] = dict(metrics.get_scorer(name)._kwargs)
        theirs = score(target.values, predicted.astype(target.values.dtype), **keys)
        assert float(metric(counts.mean)) == pytest.approx(theirs, abs=1e-12), name


def test_other_scorers_are_not_read() -> None:
    target = make_target("multiclass")
    for name in ("accuracy", "f1_samples", "roc_auc", "f1", "", "recall_macro_"):
        assert read_class_metric(name, target) is None
    numbered = Target(ROWS % 3, "multiclass", np.arange(3), None)
    assert read_class_metric("f1", numbered) is None  # nor does scikit-learn
    assert read_class_metric("balanced_accuracy", make_target("multilabel")) is None
    assert read_class_metric("f1_macro", Target(ROWS * 1.0, "regression", None, None)) is None


def test_predictions_of_other_classes_are_not_counted() -> None:
    target = make_target("multiclass")
    assert counts_of(target, [["other"] * N_ROWS]) is None


def test_unjudged_rows_count_for_nothing() -> None:
    target = make_target("multiclass")
    predicted = predict(target)
    part = np.where(ROWS < 40, predicted, None)
    few = Target(target.values[:40], "multiclass", target.classes, None)
    np.testing.assert_array_equal(
        counts_of(target, [part]).mean, counts_of(few, [predicted[:40]], ROWS[:40]).mean
    )


def test_influence_is_what_a_little_more_weight_of_a_row_changes() -> None:
    target = make_target("multiclass")
    counts = counts_of(target, [predict(target), predict(target, 3)])
    share = read_class_metric("recall_micro", target)
    influence = counts.influence(share)
    is_right = np.stack([predict(target, seed) == target.values for seed in (2, 3)])
    np.testing.assert_allclose(influence, (is_right - is_right.mean()) / N_ROWS, atol=1e-9)
    metric = read_class_metric("f1_macro", target)
    added = counts.rows[0][[7]].toarray().reshape(3, -1) * 1e-4
    change = (metric(counts.mean + added) - metric(counts.mean)) / 1e-4
    assert counts.influence(metric)[0, 7] == pytest.approx(float(change), rel=1e-3)


def test_influence_of_a_class_that_is_rare_among_many_rows() -> None:
    counts = np.array([[999_000.0, 5], [999_985, 15], [999_990, 10]])
    gradient = ClassMetric("precision", "binary", 1).gradient(counts)
    np.testing.assert_allclose(gradient[:, 1], [1 / 10, 0, -5 / 10**2], rtol=1e-4)


def test_many_classes_do_not_square_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Target(np.arange(3000).repeat(2), "multiclass", np.arange(3000), None)
    counts = counts_of(many, [many.values], np.arange(6000))
    assert len(counts.cell_weights) == 9000
    target = make_target("multiclass")
    metric = read_class_metric("f1_macro", target)
    exact = counts_of(target, [predict(target)])
    monkeypatch.setattr(class_metrics, "_MOST_CELLS", 0)
    apart = counts_of(target, [predict(target)])
    widths = [np.diff(np.quantile(c.draws(metric, 2.0), [0.025, 0.975])) for c in (exact, apart)]
    assert apart.cells.shape == (9, 9)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_draws_of_many_classes_are_not_drawn_to_one_side(kind: Kind) -> None:
    random, n_classes = np.random.default_rng(0), 30
    values: Any = np.arange(600) % n_classes
    if kind == "multilabel":
        values = (values[:, None] == np.arange(n_classes)).astype(int)
    target = Target(values, kind, np.arange(n_classes), None)
    predicted = np.where(random.random(values.shape) < 0.9, values, random.permutation(values))
    metric = read_class_metric("recall_macro", target)
    counts = counts_of(target, [predicted], np.arange(600))
    draws = counts.draws(metric, 1.75)
    assert abs(float(metric(counts.mean)) - np.median(draws)) < 0.5 * draws.std()


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_draws_of_the_share_of_right_rows_are_beta_distributed(factor: float) -> None:
    target = make_target("multiclass")
    repeats = [predict(target), predict(target, 3)]
    draws = counts_of(target, repeats).draws(read_class_metric("recall_micro", target), factor)
    n_right = np.mean([(repeat == target.values).sum() for repeat in repeats])
    # Three classes: three right cells of 2/9 each, and six wrong ones.
    beta = stats.beta(n_right / factor + 2 / 3, (N_ROWS - n_right) / factor + 4 / 3)
    assert stats.kstest(draws, beta.cdf).pvalue > 0.01


def test_a_rare_class_has_wide_draws_even_if_it_is_never_found() -> None:
    values = np.repeat([0, 1], [85, 5])
    target = Target(values, "binary", np.array([0, 1]), None)
    counts = counts_of(target, [np.zeros(N_ROWS, dtype=object)])
    low, high = np.quantile(counts.draws(read_class_metric("recall", target), 2.0), [0.025, 0.975])
    assert low < 0.01
    assert high > 0.4
    assert counts.imbalance == pytest.approx(1 - 2 * 5 / 90)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_neither_order_nor_copies_of_rows_change_draws(kind: Kind) -> None:
    target = make_target(kind)
    metric = read_class_metric("f1_macro", target)
    repeats = np.stack([predict(target), predict(target, 3)])
    groups = ROWS // 3
    draws = counts_of(target, repeats, groups).draws(metric, 2.0)
    order = np.random.default_rng(0).permutation(N_ROWS)
    moved = Target(target.values[order], kind, target.classes, None)
    renumbered = np.random.default_rng(1).permutation(N_ROWS // 3)[groups[order]]
    again = counts_of(moved, repeats[:, order], renumbered).draws(metric, 2.0)
    np.testing.assert_allclose(np.sort(again), np.sort(draws), rtol=1e-9)
    five = np.repeat(ROWS, 5)
    copies = Target(target.values[five], kind, target.classes, None)
    single = counts_of(target, repeats).draws(metric, 2.0)
    np.testing.assert_allclose(counts_of(copies, repeats[:, five], five).draws(metric, 2.0), single)
    # As rows of their own they look like five times as much to go by.
    assert counts_of(copies, repeats[:, five], np.arange(5 * N_ROWS)).draws(metric, 2.0).std() < (
        0.6 * single.std()
    )
