from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV, SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from bertvectorizer import BertVectorizer, EmbeddingStore, Word2VecVectorizer
from bertvectorizer.pipeline.comparison.fitting import (
    as_rows,
    fit_features,
    fit_pipeline,
    fit_with_groups,
    make_estimator,
)
from bertvectorizer.pipeline.comparison.target import read_target
from tests.tiny import ModelFactory

pytestmark = pytest.mark.numeric

TEXTS = np.array(
    [
        f"the {word} of the {other}"
        for word in ("bat", "crane", "bank")
        for other in ("river", "money")
    ]
    * 4,
    dtype=object,
)
LABELS = np.array([int("money" in text) for text in TEXTS])
TARGET = read_target(LABELS, len(TEXTS))[0]


class TwoSteps(BaseEstimator):
    """A transformer without fit_transform, whose features depend on the labels that it saw."""

    def fit(self, X: Any, y: Any = None) -> TwoSteps:
        self.mean_ = np.mean(y)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        return pd.DataFrame({"length": [len(text) for text in X], "mean": self.mean_})


def test_rows_can_be_chosen_from_any_matrix() -> None:
    rows = np.array([2, 0])
    dense = np.arange(6.0).reshape(3, 2)
    kinds = [
        dense,
        dense.tolist(),
        pd.DataFrame(dense, index=[7, 7, 7]),
        sparse.coo_matrix(dense),
        sparse.csc_array(dense),
        sparse.csr_matrix(dense),
    ]
    for kind in kinds:
        chosen = as_rows(kind)[rows]
        np.testing.assert_array_equal(
            chosen.toarray() if sparse.issparse(chosen) else chosen, dense[rows]
        )


def test_features_that_learn() -> None:
    features = as_rows(fit_features(transformer := TwoSteps(), TEXTS, LABELS))
    assert isinstance(features, np.ndarray)
    assert features[:, 1].tolist() == [0.5] * len(TEXTS)
    assert transformer.mean_ == 0.5
    words = TfidfVectorizer()
    assert (fit_features(words, TEXTS, LABELS) != clone(words).fit_transform(TEXTS)).nnz == 0


def test_an_estimator_given_is_cloned() -> None:
    given = LogisticRegression(C=3)
    made = make_estimator(given, None, "binary", LABELS)
    assert made is not given
    assert made.C == 3


def proba(pipeline: Any) -> Any:
    return pipeline.predict_proba(TEXTS)


@pytest.mark.parametrize("kind", ["words", "word2vec", "bert", "two steps"])
@pytest.mark.parametrize("estimator", [None, LogisticRegression()], ids=["default", "given"])
def test_a_pipeline_is_what_one_fits_by_hand(
    kind: str, estimator: Any, tiny_model: ModelFactory
) -> None:
    transformer = {
        "words": TfidfVectorizer(),
        "word2vec": Word2VecVectorizer(vector_size=4, epochs=1, n_buckets=16, random_state=0),
        "bert": BertVectorizer(str(tiny_model("bert"))),
        "two steps": TwoSteps(),
    }[kind]
    fitted = fit_pipeline(transformer, estimator, TEXTS, TARGET)
    assert list(fitted.named_steps) == ["features", "estimator"]
    features = clone(transformer)
    matrix = (
        features.fit_transform(TEXTS)
        if hasattr(features, "fit_transform")
        else features.fit(TEXTS, LABELS).transform(TEXTS)
    )
    by_hand = make_estimator(estimator, matrix, "binary", LABELS).fit(matrix, LABELS)
    np.testing.assert_array_equal(proba(fitted), proba(make_pipeline(features, by_hand)))
    check_is_fitted(fitted)
    for given in (transformer, LogisticRegression() if estimator is None else estimator):
        assert not [name for name in vars(given) if name.endswith("_") and not name.startswith("_")]


def test_the_score_of_a_pipeline_is_its_accuracy() -> None:
    fitted = fit_pipeline(TfidfVectorizer(), None, TEXTS, TARGET)
    assert fitted.score(TEXTS, LABELS) == (fitted.predict(TEXTS) == LABELS).mean()


@pytest.mark.parametrize("own", ["auto", None, "a path", "a store"])
def test_a_pipeline_keeps_the_store_that_its_transformer_was_given(
    own: Any, tiny_model: ModelFactory, tmp_path: Path
) -> None:
    if own == "a path":
        own = str(tmp_path / "own.sqlite")
    elif own == "a store":
        own = EmbeddingStore(tmp_path / "own.sqlite")
    shared = EmbeddingStore(tmp_path / "shared.sqlite")
    bert = BertVectorizer(str(tiny_model("bert")), store=own)
    deep = FeatureUnion(
        [("words", TfidfVectorizer()), ("deep", make_pipeline(bert, FunctionTransformer()))]
    )
    for transformer in (bert, make_pipeline(bert), deep):
        fitted = fit_pipeline(transformer, LogisticRegression(), TEXTS, TARGET, shared)
        stores = [
            value for name, value in fitted.get_params().items() if name.split("__")[-1] == "store"
        ]
        assert len(stores) == 1
        assert stores[0] is own
        assert fitted.predict(TEXTS[:2]).shape == (2,)
    assert shared.stats.encoded == (6 if own == "auto" else 0)
    assert bert.store is own


class GroupSpy(ClassifierMixin, BaseEstimator):
    """A classifier of group numbers that notes on how many groups it learned and is judged."""

    seen: ClassVar[list[int]] = []

    def __init__(self, level: int = 0) -> None:
        self.level = level

    def fit(self, X: Any, y: Any) -> GroupSpy:
        self.classes_ = np.unique(y)
        self.groups_ = set(X[:, 0])
        return self

    def predict_proba(self, X: Any) -> Any:
        groups = set(X[:, 0])
        if groups != self.groups_:
            self.seen.append(len(groups & self.groups_))
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


PLAIN = LogisticRegression()
LEVELS = {"level": [0, 1]}
IDENTITY = FunctionTransformer(validate=True)
SEARCHES = {
    "a number": GridSearchCV(GroupSpy(), LEVELS, cv=3),
    "None": GridSearchCV(GroupSpy(), LEVELS),
    "KFold": GridSearchCV(GroupSpy(), LEVELS, cv=KFold(3, shuffle=True, random_state=0)),
    "stratified": GridSearchCV(GroupSpy(), LEVELS, cv=StratifiedKFold(9)),
    "shuffled": RandomizedSearchCV(
        GroupSpy(), LEVELS, n_iter=1, cv=ShuffleSplit(2, random_state=0)
    ),
    "one out": GridSearchCV(GroupSpy(), LEVELS, cv=LeaveOneOut()),
    "in a pipeline": make_pipeline(IDENTITY, GridSearchCV(GroupSpy(), LEVELS, cv=3)),
    "of a pipeline": GridSearchCV(
        make_pipeline(IDENTITY, CalibratedClassifierCV(GroupSpy(), cv=2)),
        {"functiontransformer": [IDENTITY]},
    ),
    "stacked": StackingClassifier([("spy", GroupSpy())], LogisticRegression(), cv=3),
    "stacked in a pipeline": make_pipeline(
        IDENTITY, StackingClassifier([("spy", GroupSpy())], LogisticRegression())
    ),
    "their own": GridSearchCV(GroupSpy(), LEVELS, cv=GroupKFold(3)),
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_inner_folds_keep_groups_together(kind: str) -> None:
    groups = np.repeat(np.arange(8), 6)
    labels = np.arange(48) % 2
    given = SEARCHES[kind]
    GroupSpy.seen.clear()
    model = fit_with_groups(clone(given), groups[:, None].astype(float), labels, groups)
    assert set(GroupSpy.seen) == {0}
    assert repr(model) == repr(given)
    check_is_fitted(model)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(48) % 2,
        np.arange(48) % 3,
        np.arange(48) % 21,
        np.stack([np.arange(48) % 2, np.arange(48) % 3 > 0], axis=1).astype(int),
        np.linspace(0, 1, 48),
    ],
    ids=["two classes", "three classes", "many classes", "labels", "numbers"],
)
def test_the_default_estimator_chooses_by_folds_of_groups(labels: Any) -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 4)
    features = random.normal(size=(12, 5))[groups] + 0.1 * random.normal(size=(48, 5))
    target = read_target(labels, 48)[0]
    model = make_estimator(None, features, target.kind, target.values, groups)
    fit_with_groups(model, features, target.values, groups)
    by_hand = make_estimator(None, features, target.kind, target.values)
    kind = GroupKFold if hasattr(by_hand[1], "alphas") else StratifiedGroupKFold
    shuffle = {"shuffle": True, "random_state": 0}
    if labels.ndim == 2:
        by_hand[1].estimator.cv = _Together(groups)
    else:
        by_hand[1].cv = list(kind(3, **shuffle).split(labels, labels, groups))
    by_hand.fit(features, target.values)
    np.testing.assert_allclose(model.predict(features), by_hand.predict(features))
    if hasattr(model[1], "coef_"):
        np.testing.assert_allclose(model[1].coef_, by_hand[1].coef_)


class _Together:
    """The folds of groups of each label, as `OneVsRestClassifier` asks for them."""

    def __init__(self, groups: Any) -> None:
        self.groups = groups

    def split(self, X: Any, y: Any, groups: Any = None) -> Any:
        return StratifiedGroupKFold(3, shuffle=True, random_state=0).split(X, y, self.groups)

    def get_n_splits(self, *_: Any) -> int:
        return 3


def test_few_groups_fix_the_regularization() -> None:
    features, groups = np.random.default_rng(0).normal(size=(24, 3)), np.repeat([0, 1, 2], 8)
    of_one_group = np.where(groups == 0, LABELS, 0)
    for labels, own in ((of_one_group, groups), (LABELS, groups * 0)):
        model = make_estimator(None, features, "binary", labels, own)
        assert type(fit_with_groups(model, features, labels, own)[1]) is LogisticRegression
    numbers = np.linspace(0, 1, 24)
    model = make_estimator(None, features, "regression", numbers, groups * 0)
    assert fit_with_groups(model, features, numbers, groups * 0)[1].alpha == 1000


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (
            make_pipeline(SelectFromModel(RidgeClassifierCV()), LogisticRegression()),
            r"RidgeClassifierCV\(cv=None\)",
        ),
        (
            GridSearchCV(PLAIN, {"C": [1, 2]}, cv=RepeatedStratifiedKFold(n_splits=2)),
            "GridSearchCV",
        ),
        (SGDClassifier(early_stopping=True), r"SGDClassifier\(early_stopping=True\)"),
    ],
    ids=["selection", "search", "early stopping"],
)
def test_inner_splits_that_know_no_groups_are_named(model: Any, named: str) -> None:
    features, groups = np.random.default_rng(0).normal(size=(24, 3)), np.arange(24) // 2
    with pytest.warns(UserWarning, match=f"on both sides of the inner splits of {named}"):
        check_is_fitted(fit_with_groups(model, features, LABELS, groups))


def test_the_majority_needs_no_features() -> None:
    fitted = fit_pipeline(
        None, LogisticRegression(), TEXTS, read_target(["a"] * 20 + ["b"] * 4, 24)[0]
    )
    assert isinstance(fitted[-1], DummyClassifier)
    assert fitted.predict(["whatever"]).tolist() == ["a"]
    fitted = fit_pipeline(None, None, TEXTS, read_target(np.linspace(0, 1, 24), 24)[0])
    assert isinstance(fitted[-1], DummyRegressor)
    assert fitted.predict(["whatever"]).tolist() == pytest.approx([0.5])
