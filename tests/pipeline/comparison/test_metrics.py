from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    get_scorer,
    make_scorer,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.comparison.metrics import Metric, resolve_scoring

pytestmark = pytest.mark.numeric

RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(60, 3))


def names(scoring: Any, kind: str = "binary") -> list[str]:
    return [metric.name for metric in resolve_scoring(scoring, kind)]


def scores(model: Any, y: Any, kind: str, scoring: Any = None) -> dict[str, float]:
    return {
        metric.name: metric.shown(metric(model, X, y)) for metric in resolve_scoring(scoring, kind)
    }


def test_defaults() -> None:
    assert names(None) == ["accuracy", "f1_macro", "roc_auc", "brier_score"]
    assert names(None, "multiclass") == ["accuracy", "f1_macro", "roc_auc_ovr", "brier_score"]
    assert names(None, "multilabel") == ["f1_macro", "accuracy", "roc_auc"]
    assert names(None, "regression") == ["r2", "spearman", "mean_absolute_error"]
    assert [metric.name for metric in resolve_scoring(None, "binary", True)] == [
        "balanced_accuracy",
        *names(None),
    ]
    assert [metric.name for metric in resolve_scoring("accuracy", "binary", True)] == ["accuracy"]


@pytest.mark.parametrize("labels", [(0, 1), (3, 7), ("ham", "spam"), (False, True)])
def test_two_classes_of_any_name(labels: tuple[Any, Any]) -> None:
    positive = X[:, 0] + RANDOM.normal(size=60) > 0
    y = np.array(labels, dtype=object if isinstance(labels[0], str) else None)[positive.astype(int)]
    model = LogisticRegression().fit(X, y)
    found = scores(model, y, "binary")
    probability, predicted = model.predict_proba(X)[:, 1], model.predict(X)
    assert found["accuracy"] == accuracy_score(y, predicted)
    assert found["f1_macro"] == f1_score(y, predicted, average="macro")
    assert found["roc_auc"] == pytest.approx(roc_auc_score(positive, probability))
    assert found["brier_score"] == pytest.approx(((probability - positive) ** 2).mean())


def test_several_classes() -> None:
    y = np.array(["a", "b", "c"], dtype=object)[np.argmax(X, axis=1)]
    model = LogisticRegression().fit(X, y)
    probabilities = model.predict_proba(X)
    found = scores(model, y, "multiclass")
    assert found["roc_auc_ovr"] == pytest.approx(roc_auc_score(y, probabilities, multi_class="ovr"))
    truth = y[:, None] == model.classes_
    assert found["brier_score"] == pytest.approx(((probabilities - truth) ** 2).sum(axis=1).mean())
    subset = np.flatnonzero(y != "c")  # rows without one of the classes
    decider = resolve_scoring("neg_brier_score", "multiclass")[0]
    assert decider(model, X[subset], y[subset]) == pytest.approx(
        -((probabilities - truth)[subset] ** 2).sum(axis=1).mean()
    )


def test_regression() -> None:
    y = X[:, 0] + RANDOM.normal(size=60)
    model = LinearRegression().fit(X, y)
    found = scores(model, y, "regression")
    predicted = model.predict(X)
    ranks = [np.argsort(np.argsort(values)) for values in (y, predicted)]
    assert found["r2"] == r2_score(y, predicted)
    assert found["spearman"] == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert found["mean_absolute_error"] == mean_absolute_error(y, predicted)


def test_no_rank_correlation_with_what_never_changes() -> None:
    y = X[:, 0]
    assert math.isnan(scores(LinearRegression().fit(X, np.ones(60)), y, "regression")["spearman"])


def test_without_probabilities_there_is_no_calibration() -> None:
    y = np.where(X[:, 0] > 0, "a", "b")
    found = scores(RidgeClassifier().fit(X, y), y, "binary")
    assert math.isnan(found["brier_score"])
    assert found["accuracy"] > 0.9
    assert found["roc_auc"] > 0.9  # by the decision function


@pytest.mark.parametrize(
    ("scoring", "shown", "better"),
    [
        ("accuracy", "accuracy", True),
        ("neg_brier_score", "brier_score", False),
        ("neg_log_loss", "log_loss", False),
        ("neg_mean_absolute_error", "mean_absolute_error", False),
        ("spearman", "spearman", True),
    ],
)
def test_errors_are_shown_as_positive_numbers(scoring: str, shown: str, better: bool) -> None:
    metric = resolve_scoring(scoring, "regression")[0]
    assert (metric.key, metric.name, metric.greater_is_better) == (scoring, shown, better)
    assert metric.shown(-0.5) == (-0.5 if better else 0.5)
    np.testing.assert_array_equal(
        metric.shown(np.array([-1.0, 0.0])), np.array([-1.0, 0.0]) * (1 if better else -1)
    )


def test_bounds_and_what_a_row_weighs() -> None:
    shares = resolve_scoring(["accuracy", "f1_macro", "roc_auc"], "binary")
    assert [(metric.bounds, metric.resolution(50)) for metric in shares] == [((0.0, 1.0), 0.02)] * 3
    error, r2 = resolve_scoring(["neg_brier_score", "r2"], "binary")
    assert (error.bounds, error.resolution(50)) == ((0.0, math.inf), 0.0)
    assert (r2.bounds, r2.resolution(50)) == ((-math.inf, 1.0), 0.0)
    (gain,) = resolve_scoring({"neg_gain": lambda *_: 5.0}, "binary")
    assert (gain.greater_is_better, gain.bounds) == (False, (-math.inf, math.inf))


def test_the_error_of_a_share_of_rows() -> None:
    accuracy, f1 = resolve_scoring(["accuracy", "f1_macro"], "binary")
    assert accuracy.row_error(0.8, 100) == pytest.approx(0.04)
    assert accuracy.row_error(1.0, 100) == 0
    assert f1.row_error(0.8, 100) == 0
    assert resolve_scoring({"accuracy": lambda *_: 97.3}, "binary")[0].row_error(97.3, 100) == 0


def test_a_scorer_under_another_name_is_still_a_share() -> None:
    metric = resolve_scoring({"right": "accuracy"}, "binary")[0]
    assert metric.bounds == (0.0, 1.0)
    assert metric.resolution(50) == 0.02


@pytest.mark.parametrize(
    "scoring",
    [
        {"rmse": "neg_root_mean_squared_error"},
        {"neg_accuracy": "accuracy"},
        make_scorer(accuracy_score, greater_is_better=False),
        make_scorer(accuracy_score, normalize=False),
    ],
    ids=str,
)
def test_a_scorer_that_is_shown_by_other_numbers_is_not_known(scoring: Any) -> None:
    (metric,) = resolve_scoring(scoring, "binary")
    assert (metric.known_as, metric.is_pooled, metric.is_accuracy) == ("", False, False)


def test_scorers_of_the_users() -> None:
    def mean(estimator: Any, X: Any, y: Any) -> float:
        return float(np.mean(y))

    assert names(mean) == ["mean"]
    assert names({"a": mean, "b": "accuracy"}) == ["a", "b"]
    assert names(["accuracy", "f1"]) == names(("accuracy", "f1")) == ["accuracy", "f1"]
    assert names(make_scorer(accuracy_score)) == ["score"]
    assert resolve_scoring(mean, "binary")[0](None, None, [1, 2]) == 1.5
    y = np.where(X[:, 0] > 0, 1, 0)
    model = LogisticRegression().fit(X, y)
    for key in ("accuracy", "f1", "average_precision", "balanced_accuracy", "neg_log_loss"):
        assert Metric(key, get_scorer(key))(model, X, y) == get_scorer(key)(model, X, y)


@pytest.mark.parametrize(
    "scoring", ["no_such", ["accuracy", "no_such"], {"a": "no_such"}, "", "neg_accuracy"]
)
def test_a_scorer_that_does_not_exist(scoring: Any) -> None:
    with pytest.raises(
        InvalidParameterError, match=r"'scoring' parameter must name a scorer .* Got '"
    ) as caught:
        resolve_scoring(scoring, "binary")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "scoring", [5, [], {}, [accuracy_score], {"a": 5}, {"a": None}, b"accuracy", {"accuracy"}]
)
def test_no_scoring(scoring: Any) -> None:
    with pytest.raises(InvalidParameterError, match="'scoring' parameter must"):
        resolve_scoring(scoring, "binary")


@pytest.mark.parametrize(
    "name", ["features", "low", "difference", "verdict", "test", "dimensions", "fit_seconds"]
)
def test_names_that_are_columns_of_the_table_already(name: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"'scoring'.*{name}"):
        resolve_scoring({"accuracy": "accuracy", name: "f1"}, "binary")


def test_two_scorers_of_the_same_name() -> None:
    with pytest.raises(InvalidParameterError, match="'scoring'"):
        resolve_scoring({"brier_score": "accuracy", "neg_brier_score": "neg_brier_score"}, "binary")
