"""Numbers that compiled code takes as indices or shapes are checked when they are loaded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from bertvectorizer.errors import ModelIntegrityError
from bertvectorizer.pipeline.saving.compact import estimators_within
from bertvectorizer.pipeline.saving.learned_numbers import check_learned_numbers
from bertvectorizer.pipeline.saving.pipeline_file import load_pipeline, save_pipeline
from tests.pipeline.saving.pipelines import LABELS, TEXTS

TREES = [
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
]
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 6))
Y = np.arange(60) % 3
COLORS = np.array([["red", "blue", "green"][i % 3] for i in range(30)] + ["pink"], dtype=object)


def attributes(kind: type, **changes: Any) -> Callable[[Pipeline], None]:
    """Return a change of attributes in the parts of a kind."""

    def change(pipeline: Pipeline) -> None:
        for part in estimators_within(pipeline):
            if isinstance(part, kind):
                for name, value in changes.items():
                    if not callable(value):
                        vars(part)[name] = value
                    elif name in vars(part):
                        vars(part)[name] = value(vars(part)[name])

    return change


def replaced(kind: type, name: str, value: Any) -> Callable[[Pipeline], None]:
    """Return a change of an attribute to a value, which may be a type."""

    def change(pipeline: Pipeline) -> None:
        for part in estimators_within(pipeline):
            if isinstance(part, kind):
                vars(part)[name] = value

    return change


def without(kind: type, name: str) -> Callable[[Pipeline], None]:
    def change(pipeline: Pipeline) -> None:
        for part in estimators_within(pipeline):
            if isinstance(part, kind):
                del vars(part)[name]

    return change


def node(field: str, value: int) -> Callable[[Pipeline], None]:
    """Return a change of the root of every tree."""

    def change(pipeline: Pipeline) -> None:
        for part in estimators_within(pipeline):
            if "tree_" in vars(part):
                state = part.tree_.__getstate__()
                state["nodes"][field][0] = value
                part.tree_.__setstate__(state)
            elif "raw_left_cat_bitsets" in vars(part):
                part.nodes[field][0] = value

    return change


TEXT, NUMBERS = "texts", "numbers"
WRONG: dict[str, tuple[str, Any, Callable[[Pipeline], None]]] = {}


def wrong(name: str, given: str, estimator: Any, change: Callable[[Pipeline], None]) -> None:
    WRONG[name] = given, estimator, change


for number, column in enumerate((1_500_000_000, 4000, -1, 1, 1.0, "0", None)):
    wrong(
        f"a word in column {column!r}",
        TEXT,
        make_pipeline((CountVectorizer, TfidfVectorizer)[number % 2](), LogisticRegression()),
        attributes(CountVectorizer, vocabulary_=lambda words, to=column: {**words, "bat": to}),
    )
wrong(
    "a word fewer than weights",
    TEXT,
    make_pipeline(TfidfVectorizer(), LogisticRegression()),
    attributes(
        TfidfVectorizer,
        vocabulary_=lambda words: {w: c for w, c in words.items() if c < len(words) - 1},
    ),
)
wrong(
    "a vocabulary in a ColumnTransformer",
    "columns",
    make_pipeline(
        ColumnTransformer([("t", CountVectorizer(), 0)], sparse_threshold=0), LogisticRegression()
    ),
    attributes(CountVectorizer, vocabulary_=lambda words: {**words, "bat": 1_500_000_000}),
)
wrong(
    "no features to hash to",
    TEXT,
    make_pipeline(HashingVectorizer(n_features=16), LogisticRegression()),
    attributes(HashingVectorizer, n_features=0),
)
wrong(
    "categories of more features",
    "colors",
    make_pipeline(OrdinalEncoder(), LogisticRegression()),
    attributes(OrdinalEncoder, n_features_in_=2**31),
)
wrong(
    "categories of more columns",
    "colors",
    make_pipeline(OneHotEncoder(), LogisticRegression()),
    attributes(OneHotEncoder, _n_features_outs=[1]),
)
wrong(
    "grouped categories in another column",
    "colors",
    make_pipeline(OneHotEncoder(min_frequency=2), LogisticRegression()),
    attributes(
        OneHotEncoder,
        _default_to_infrequent_mappings=lambda all_: [np.array([0, 1, 2_000_000_000, 2])],
    ),
)
wrong(
    "a dropped category beyond them",
    "colors",
    make_pipeline(OneHotEncoder(drop="first"), LogisticRegression()),
    attributes(OneHotEncoder, _drop_idx_after_grouping=np.array([9], dtype=object)),
)
for kind in (
    KNeighborsClassifier(algorithm="brute"),
    LocalOutlierFactor(novelty=True, algorithm="brute"),
):
    wrong(f"too narrow _fit_X of {kind}", NUMBERS, kind, attributes(type(kind), n_features_in_=9))
    wrong(f"unknown width of {kind}", NUMBERS, kind, without(type(kind), "n_features_in_"))
    wrong(f"missing rows of {kind}", NUMBERS, kind, attributes(type(kind), n_samples_fit_=9999))
    wrong(f"no neighbors of {kind}", NUMBERS, kind, attributes(type(kind), n_neighbors=-5))
wrong(
    "neighbors of no class",
    NUMBERS,
    KNeighborsClassifier(algorithm="brute"),
    attributes(KNeighborsClassifier, _y=lambda y: y + 1_000_000),
)
wrong("too narrow centers", NUMBERS, KMeans(3, n_init=1), attributes(KMeans, n_features_in_=9))
for number in (2**31, -1, 3.0):
    wrong(
        f"{number} names of features",
        NUMBERS,
        make_pipeline(KMeans(3, n_init=1), LogisticRegression()),
        attributes(KMeans, _n_features_out=number),
    )
wrong(
    "too narrow components",
    NUMBERS,
    make_pipeline(TruncatedSVD(2), LogisticRegression()),
    attributes(TruncatedSVD, components_=lambda found: found[:, :-1]),
)
wrong(
    "more rows than classes",
    NUMBERS,
    LogisticRegression(),
    attributes(LogisticRegression, classes_=lambda found: found[:2]),
)
wrong(
    "fewer intercepts than classes",
    NUMBERS,
    LogisticRegression(),
    attributes(LogisticRegression, intercept_=lambda found: found[:1]),
)
for name, value in {
    "_n_support": lambda found: found * 1000,
    "_dual_coef_": lambda found: found[:, :1].copy(),
    "_intercept_": lambda found: found[:0],
    "support_": lambda found: found[:1],
    "support_vectors_": lambda found: found[:, :1].copy(),
    "_probA": lambda found: np.ones(1),
    "_impl": "c_svc",
}.items():
    wrong(f"{name} of SVC", NUMBERS, SVC(), attributes(SVC, **{name: value}))
    wrong(
        f"{name} of SVC on texts",
        TEXT,
        make_pipeline(TfidfVectorizer(), SVC()),
        attributes(SVC, **{name: value}),
    )
    if name != "_n_support":
        wrong(f"{name} of SVR", NUMBERS, SVR(), attributes(SVR, **{name: value}))
for name, value in {"_parameter_constraints": {}, "predict": float}.items():
    wrong(f"another {name}", NUMBERS, SVC(), replaced(SVC, name, value))
for forest in (
    DecisionTreeClassifier(random_state=0),
    RandomForestClassifier(2, random_state=0),
    GradientBoostingClassifier(n_estimators=2, random_state=0),
    IsolationForest(n_estimators=2, random_state=0),
):
    name = type(forest).__name__
    for field, value in (
        ("left_child", 10**9),
        ("left_child", 0),
        ("right_child", -7),
        ("feature", 10**9),
        ("feature", -2),
    ):
        wrong(f"{field} {value} of {name}", NUMBERS, forest, node(field, value))
    if name != "IsolationForest":  # its members take columns by their numbers
        wrong(f"members of {name}", NUMBERS, forest, attributes(type(forest), n_features_in_=2))
wrong(
    "trees and classes",
    NUMBERS,
    GradientBoostingClassifier(n_estimators=2, random_state=0),
    attributes(GradientBoostingClassifier, n_trees_per_iteration_=1),
)
for field, value in (("left", 10**9), ("right", 0), ("feature_idx", 10**6)):
    wrong(
        f"{field} of histogram boosting",
        NUMBERS,
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2),
        node(field, value),
    )


def fitted(given: str, estimator: Any) -> Pipeline:
    inputs = {
        TEXT: (TEXTS, LABELS),
        "columns": (np.array(TEXTS, dtype=object)[:, None], LABELS),
        "colors": (COLORS[:, None], np.arange(len(COLORS)) % 2),
        NUMBERS: (X, Y),
    }
    one = clone(estimator)
    return (one if isinstance(one, Pipeline) else make_pipeline(one)).fit(*inputs[given])


@pytest.mark.parametrize("kind", WRONG)
def test_numbers_that_do_not_fit_together_are_refused(kind: str, tmp_path: Path) -> None:
    given, estimator, change = WRONG[kind]
    pipeline = fitted(given, estimator)
    path = save_pipeline(pipeline, tmp_path / "model.skops", trusted=TREES)
    load_pipeline(path, trusted=TREES)
    change(pipeline)
    save_pipeline(pipeline, path, trusted=TREES)
    with pytest.raises(ModelIntegrityError, match=r"do not fit together|of another kind|parameter"):
        load_pipeline(path, trusted=TREES)


@pytest.mark.parametrize("name", [name for name, _ in all_estimators()])
def test_no_estimator_of_scikit_learn_is_refused(name: str) -> None:
    kind = dict(all_estimators())[name]
    quick = {"n_estimators": 3, "max_iter": 20}
    small = np.abs(X[:30])
    for given in (small, sparse.csr_matrix(small), TEXTS * 5, COLORS[:30, None]):
        for target in (Y[:30], np.stack([Y[:30] % 2, Y[:30] // 2], axis=1)):
            with warnings.catch_warnings(action="ignore"):
                try:
                    estimator = kind()
                    known = quick.keys() & estimator.get_params(deep=False)
                    estimator.set_params(**{each: quick[each] for each in known})
                    estimator.fit(given, target)
                except (AttributeError, TypeError, ValueError):
                    continue  # it takes other parameters or inputs
                check_learned_numbers(estimator)
