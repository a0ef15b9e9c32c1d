from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from bertvectorizer import BertVectorizer, EmbeddingStore, Word2VecVectorizer
from bertvectorizer.pipeline.comparison.fitting import (
    as_rows,
    fit_features,
    fit_pipeline,
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


def test_the_majority_needs_no_features() -> None:
    fitted = fit_pipeline(
        None, LogisticRegression(), TEXTS, read_target(["a"] * 20 + ["b"] * 4, 24)[0]
    )
    assert isinstance(fitted[-1], DummyClassifier)
    assert fitted.predict(["whatever"]).tolist() == ["a"]
    fitted = fit_pipeline(None, None, TEXTS, read_target(np.linspace(0, 1, 24), 24)[0])
    assert isinstance(fitted[-1], DummyRegressor)
    assert fitted.predict(["whatever"]).tolist() == pytest.approx([0.5])
