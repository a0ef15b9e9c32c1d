"""Probabilities of classes and labels, whatever form an estimator gives them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from bertvectorizer.pipeline.comparison.probabilities import label_probabilities, read_probabilities
from bertvectorizer.pipeline.comparison.target import Target, read_target

X = np.random.default_rng(3).normal(size=(30, 4))
SCORES = X[:, 0] + X[:, 1] / 2


def targets() -> dict[str, Target]:
    kinds: dict[str, Any] = {
        "text": np.where(SCORES > 0, "spam", "ham").tolist(),
        "bool": (SCORES > 0).tolist(),
        "int": np.digitize(SCORES, [-0.5, 0.5]).tolist(),
    }
    return {kind: read_target(values, 30)[0] for kind, values in kinds.items()}


LABELS = read_target(np.column_stack([SCORES > 0, X[:, 2] > 0, X[:, 3] > 0]).astype(int), 30)[0]


@pytest.mark.parametrize("kind", ["text", "bool", "int"])
def test_columns_are_the_classes(kind: str) -> None:
    target = targets()[kind]
    model = LogisticRegression().fit(X, target.values)
    found = read_probabilities(model, X, target, target.values)
    np.testing.assert_array_equal(found, model.predict_proba(X))


def test_a_class_that_was_not_learned_has_none() -> None:
    target = targets()["int"]
    is_learned = target.values != 1
    model = LogisticRegression().fit(X[is_learned], target.values[is_learned])
    found = read_probabilities(model, X, target, target.values[is_learned])
    assert found is not None
    np.testing.assert_array_equal(found[:, [0, 2]], model.predict_proba(X))
    assert (found[:, 1] == 0).all()


@pytest.mark.parametrize(
    "estimator",
    [
        OneVsRestClassifier(LogisticRegression()),
        MultiOutputClassifier(LogisticRegression()),
        RandomForestClassifier(5, random_state=0),
        KNeighborsClassifier(),
        DummyClassifier(),
        GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3]}, cv=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.parametrize("is_constant", [False, True])
def test_labels_have_the_probability_of_presence(estimator: Any, is_constant: bool) -> None:
    labels = LABELS.values.copy()
    if is_constant:
        if isinstance(estimator, MultiOutputClassifier):
            pytest.skip("logistic regression learns two classes")
        labels[:, 1] = 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Label not 1 is present")
        model = estimator.fit(X, labels)
    found = read_probabilities(model, X, LABELS, labels)
    assert found is not None
    assert found.shape == labels.shape
    assert ((found >= 0) & (found <= 1)).all()
    if is_constant:
        assert (found[:, 1] == 0).all()
    if not isinstance(estimator, DummyClassifier):
        assert (found.round() == model.predict(X)).mean() > 0.9


class Odd(ClassifierMixin, BaseEstimator):
    """Gives any probabilities, or fails to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.full((len(X), self.answer), 0.5)


@pytest.mark.parametrize("estimator", [RidgeClassifier(), SVC()])
def test_estimators_without_probabilities_give_none(estimator: Any) -> None:
    target = targets()["text"]
    model = estimator.fit(X, target.values)
    assert read_probabilities(model, X, target, target.values) is None


@pytest.mark.parametrize("answer", [NotImplementedError("not here"), RuntimeError("x"), 1, 3])
def test_what_fails_is_a_warning(answer: Any) -> None:
    for target in (targets()["text"], LABELS):
        if answer == 3 and target is LABELS:
            continue
        with pytest.warns(UserWarning, match=r"since predict_proba failed \(\w+Error: "):
            assert read_probabilities(Odd(answer), X, target, target.values) is None


def test_an_estimator_that_names_no_classes_has_those_it_learned() -> None:
    target = targets()["text"]
    found = read_probabilities(Odd(2), X, target, target.values)
    np.testing.assert_array_equal(found, np.full((30, 2), 0.5))


def test_a_label_that_never_changed() -> None:
    shares = [np.array([[0.2, 0.8]]), np.array([[1.0]]), np.array([[1.0]])]
    classes = [np.array([0, 1]), np.array([0]), np.array([1])]
    assert label_probabilities(shares, classes).tolist() == [[0.8, 0.0, 1.0]]
