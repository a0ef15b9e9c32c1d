from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import is_classifier, is_regressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import Normalizer, StandardScaler

from bertvectorizer.pipeline.comparison.default_estimators import (
    default_estimator,
    majority_estimator,
)

RANDOM = np.random.RandomState(0)
DENSE = RANDOM.normal(size=(60, 4))
LABELS = np.array(["a", "b", "c"], dtype=object)[RANDOM.randint(3, size=60)]


@pytest.mark.parametrize(
    "make", [np.asarray, sparse.csr_matrix, sparse.csr_array], ids=["dense", "matrix", "sparse"]
)
@pytest.mark.parametrize(
    ("kind", "labels", "expected"),
    [
        ("binary", np.arange(60) % 2, LogisticRegressionCV),
        ("multiclass", LABELS, LogisticRegressionCV),
        ("multiclass", np.arange(60) % 20, LogisticRegressionCV),
        ("multiclass", np.arange(60) % 21, RidgeClassifierCV),
        ("multilabel", (RANDOM.normal(size=(60, 3)) > 0).astype(int), OneVsRestClassifier),
        ("multilabel", (RANDOM.normal(size=(60, 21)) > 0).astype(int), RidgeClassifierCV),
        ("regression", RANDOM.normal(size=60), RidgeCV),
    ],
)
def test_scaler_and_estimator_fit_features_and_target(
    make: Any, kind: str, labels: Any, expected: type
) -> None:
    features = make(DENSE)
    scaler, model = (step for _, step in default_estimator(features, kind, labels).steps)
    assert type(scaler) is (Normalizer if sparse.issparse(features) else StandardScaler)
    assert type(model) is expected


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("counts", [(1, 1), (1, 5), (2, 2), (2, 9), (3, 40), (1, 1, 1)])
def test_few_rows_of_a_class(make: Any, counts: tuple[int, ...]) -> None:
    labels = np.repeat(["a", "b", "c"][: len(counts)], counts)
    features = make(DENSE[: len(labels)])
    model = default_estimator(features, "multiclass", labels)
    assert isinstance(model[1], LogisticRegression if min(counts) == 1 else LogisticRegressionCV)
    assert model.fit(features, labels).predict(features).shape == labels.shape


@pytest.mark.filterwarnings("ignore:Label not 2 is present")
@pytest.mark.parametrize("n_rows", [1, 2, 30])
def test_few_rows_of_a_label(n_rows: int) -> None:
    several = np.zeros((60, 3), dtype=int)  # no row has the last label
    several[:n_rows, 0] = several[::2, 1] = 1
    model = default_estimator(DENSE, "multilabel", several).fit(DENSE, several)
    expected = LogisticRegression if n_rows == 1 else LogisticRegressionCV
    assert type(model[1].estimator) is expected
    assert model.predict_proba(DENSE).shape == model.predict(DENSE).shape == (60, 3)


def test_hundreds_of_classes_and_all_kinds_can_be_learned() -> None:
    codes = np.eye(30)[np.repeat(np.arange(30), 3)]
    labels = np.repeat([f"class {number}" for number in range(30)], 3)
    assert (
        default_estimator(codes, "multiclass", labels).fit(codes, labels).score(codes, labels) == 1
    )
    several = (DENSE[:, :2] > 0).astype(int)
    assert default_estimator(DENSE, "multilabel", several).fit(DENSE, several).predict(
        DENSE
    ).shape == (60, 2)
    assert (
        default_estimator(DENSE, "regression", DENSE[:, 0])
        .fit(DENSE, DENSE[:, 0])
        .score(DENSE, DENSE[:, 0])
        > 0.99
    )


def test_columns_that_never_change_do_no_harm() -> None:
    features = np.column_stack([DENSE, np.ones(60)])
    assert np.isfinite(
        default_estimator(features, "multiclass", LABELS)
        .fit(features, LABELS)
        .predict_proba(features)
    ).all()


def test_the_same_rows_give_the_same_estimator() -> None:
    one, other = (
        default_estimator(DENSE, "multiclass", LABELS).fit(DENSE, LABELS) for _ in range(2)
    )
    np.testing.assert_array_equal(one.predict_proba(DENSE), other.predict_proba(DENSE))


def test_the_majority() -> None:
    model = majority_estimator("multiclass").fit(DENSE, ["a", "b", "b", "b"] * 15)
    assert isinstance(model, DummyClassifier)
    assert is_classifier(model)
    assert model.predict(DENSE).tolist() == ["b"] * 60
    assert model.predict_proba(DENSE)[0].tolist() == [0.25, 0.75]
    mean = majority_estimator("regression").fit(DENSE, DENSE[:, 0])
    assert isinstance(mean, DummyRegressor)
    assert is_regressor(mean)
    assert mean.predict(DENSE)[0] == pytest.approx(DENSE[:, 0].mean())
