"""Features of pairs: definitions, symmetry, each sentence once, containers, searches, files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from bertvectorizer import BertVectorizer, PairVectorizer, StaticVectorizer, WordVectors
from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.features.inputs.texts import Missing
from bertvectorizer.pipeline import load_pipeline, predict_file, save_pipeline

pytestmark = pytest.mark.numeric

WORDS = ["bat", "ball", "night", "old"]
TABLE = WordVectors(WORDS, np.random.default_rng(0).normal(size=(4, 3)))
PAIRS = [
    ("the old bat", "a bat in the night"),
    ("a ball", "the old bat"),
    ("a bat in the night", "a bat in the night"),
    ("the ball", "a bird"),  # no known word: zeros
]
ALL = ("u", "v", "abs_diff", "product", "sum", "cosine")
SYMMETRIC = ("abs_diff", "product", "sum", "cosine")


class Counting(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Remembers what it was given; a text is its length, and an int."""

    def fit(self, X: list[str], y: Any = None) -> Self:
        assert y is None
        self.seen_: list[list[str]] = [X]
        return self

    def transform(self, X: list[str]) -> Any:
        self.seen_.append(X)
        return np.array([[len(text), 1] for text in X], dtype=np.uint8).reshape(-1, 2)


class Dense(TfidfVectorizer):  # type: ignore[misc]
    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return super().fit_transform(X).toarray()

    def transform(self, X: Any) -> Any:
        return super().transform(X).toarray()


SENTENCES = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)


@settings(max_examples=25)
@given(st.lists(st.tuples(SENTENCES, SENTENCES), max_size=6))
def test_features_are_what_their_names_say(pairs: list[tuple[str, str]]) -> None:
    fitted = PairVectorizer(TfidfVectorizer(vocabulary=WORDS), ALL).fit([("bat ball", "old")])
    X = fitted.transform(pairs)
    assert sparse.issparse(X)
    assert X.shape == (len(pairs), 21)
    idf = fitted.vectorizer_
    u, v = (
        idf.transform([*side, ""]).toarray()[:-1]
        for side in ([first for first, _ in pairs], [second for _, second in pairs])
    )
    found = dict(zip(ALL, np.split(X.toarray(), range(4, 21, 4), axis=1), strict=True))
    for name, wanted in {
        "u": u, "v": v, "abs_diff": abs(u - v), "product": u * v, "sum": u + v,
        "cosine": (u * v).sum(axis=1, keepdims=True),  # TF-IDF has unit length, or none
    }.items():  # fmt: skip
        np.testing.assert_allclose(found[name], wanted, atol=1e-12)
    dense = PairVectorizer(Dense(vocabulary=WORDS), ALL).fit([("bat ball", "old")])
    np.testing.assert_allclose(dense.transform(pairs), X.toarray(), atol=1e-12)
    swapped = fitted.set_params(combine=SYMMETRIC).transform([pair[::-1] for pair in pairs])
    np.testing.assert_array_equal(swapped.toarray(), X.toarray()[:, 8:])


def test_a_distinct_sentence_is_passed_on_once() -> None:
    pairs = PairVectorizer(Counting(), ("abs_diff", "product"))
    X = pairs.fit_transform(PAIRS, ["a", "b", "c", "d"])
    distinct = ["the old bat", "a bat in the night", "a ball", "the ball", "a bird"]
    assert pairs.vectorizer_.seen_ == [distinct, distinct]
    assert X.tolist() == [[7, 0, 198, 1], [5, 0, 66, 1], [0, 0, 324, 1], [2, 0, 48, 1]]
    pairs.transform([("b", "a"), ("a", "b")])
    assert pairs.vectorizer_.seen_[2:] == [["b", "a"]]
    assert pairs.get_feature_names_out().tolist() == [
        "abs_diff0", "abs_diff1", "product0", "product1"
    ]  # fmt: skip
    assert not hasattr(pairs.vectorizer, "seen_")


def test_vectors_of_this_package_stay_float32_and_zeros_have_no_direction() -> None:
    pairs = PairVectorizer(StaticVectorizer(TABLE), ALL)
    X = pairs.fit_transform(PAIRS)
    assert (X.dtype, X.shape) == (np.float32, (4, 16))
    np.testing.assert_allclose(X[2:, -1], [1, 0], atol=1e-6)
    np.testing.assert_array_equal(pairs.fit(PAIRS).transform(PAIRS[:1]), X[:1])
    empty: list[Any] = [[], np.empty((0, 2), dtype=object), pd.DataFrame({"a": [], "b": []})]
    for nothing in empty:
        assert pairs.transform(nothing).shape == pairs.fit_transform(nothing).shape == (0, 16)
    counts = PairVectorizer(CountVectorizer(dtype=np.uint8), "abs_diff").fit(PAIRS)
    assert counts.transform([("bat", "bat bat")]).toarray().max() == 1  # not 255
    assert PairVectorizer(CountVectorizer(), "cosine").fit_transform(PAIRS)[2] == pytest.approx(1)


@pytest.mark.parametrize("is_pipeline", [False, True])
def test_missing_texts_are_those_of_the_vectorizer(is_pipeline: bool) -> None:
    def features(missing: Missing) -> Any:
        vectorizer: Any = StaticVectorizer(TABLE, missing=missing)
        vectorizer = make_pipeline(vectorizer, "passthrough") if is_pipeline else vectorizer
        return PairVectorizer(vectorizer, ("u", "v", "cosine")).fit_transform(
            pd.DataFrame({"a": ["bat", "ball"], "b": ["old", None]})
        )

    assert np.isfinite(features("empty")).all()
    assert features("zero")[1, 3:].tolist() == [0, 0, 0, 0]
    assert np.isnan(features("nan")[1, 3:]).all()
    with pytest.raises(InvalidTextError, match=r"row 1 \(index 1\) of column 'b'"):
        features("error")
    X = PairVectorizer(TfidfVectorizer(), "v").fit_transform([("bat", None), ("ball", "night")])
    assert X.toarray()[0].tolist() == [0, 0, 0]


def test_columns_are_those_of_fit() -> None:
    frame = pd.DataFrame(PAIRS, columns=["one", "two"], index=list("wxyz"))
    pairs = PairVectorizer(
        make_pipeline(TfidfVectorizer(), TruncatedSVD(2, random_state=0)), ("u", "cosine")
    ).set_output(transform="pandas")
    found = pairs.fit_transform(frame)
    assert found.columns.tolist() == ["u0", "u1", "cosine"]
    assert found.index.tolist() == list("wxyz")
    assert (pairs.n_features_in_, pairs.n_features_out_) == (2, 3)
    assert pairs.feature_names_in_.tolist() == ["one", "two"]
    np.testing.assert_allclose(pairs.transform(PAIRS), found)  # pairs without names
    with pytest.raises(
        InvalidTextError, match=r"'one' and 'two'\. Got 'two' and 'one' .*fit again"
    ):
        pairs.transform(frame[["two", "one"]])
    for names in (["one"], ["two", "one"]):
        with pytest.raises(InvalidTextError, match="input_features"):
            pairs.get_feature_names_out(names)
    in_polars = pairs.set_output(transform="polars").fit(PAIRS).transform(pl.from_pandas(frame))
    np.testing.assert_allclose(in_polars.to_numpy(), found)
    assert not hasattr(pairs, "feature_names_in_")


def test_a_search_sets_the_vectorizer_within(tiny_model: Callable[..., Path]) -> None:
    default = PairVectorizer()
    default.set_params(vectorizer__layers=-2)
    assert (default.vectorizer.layers, PairVectorizer().vectorizer.layers) == (-2, -1)
    assert clone(default).vectorizer.layers == -2
    bert = BertVectorizer(tiny_model("bert"))
    pipe = make_pipeline(PairVectorizer(bert), LogisticRegression())
    grid = {
        "pairvectorizer__vectorizer__layers": [1, -1],
        "pairvectorizer__combine": ["cosine", ("u", "v")],
    }
    X, y = PAIRS * 4, ["a", "b", "a", "b"] * 4
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    found = PairVectorizer(bert).fit_transform(PAIRS)
    sides = bert.transform(pd.DataFrame(PAIRS))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :64], sides, atol=1e-6)


def test_it_is_pickled_and_saved_and_predicts_for_a_file(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    frame = pd.DataFrame(PAIRS, columns=["one", "two"])
    pairs = PairVectorizer(BertVectorizer(tiny_model("bert")), ("abs_diff", "cosine"))
    pipe = make_pipeline(pairs, LogisticRegression()).fit(frame, ["a", "b", "a", "b"])
    wanted = pipe.predict_proba(frame)
    saved = load_pipeline(save_pipeline(pipe, tmp_path / "pairs.skops", target="label"))
    for loaded in (pickle.loads(pickle.dumps(pipe)), saved.pipeline):
        np.testing.assert_array_equal(loaded.predict_proba(frame), wanted)
    frame.assign(other=1).to_csv(tmp_path / "new.csv", index=False)
    predict_file(saved, tmp_path / "new.csv", tmp_path / "out.csv")
    predicted = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(predicted["probability_a"], wanted[:, 0], atol=1e-6)
    saved.pipeline.fit(PAIRS, ["a", "b", "a", "b"])  # columns without names
    named = replace(saved, text=("one", "two"))
    assert predict_file(named, tmp_path / "new.csv", tmp_path / "out.csv") == len(PAIRS)
    with pytest.raises(InvalidParameterError, match="knows the names of its columns"):
        predict_file(saved, tmp_path / "new.csv", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"combine": ()}, r"'combine' parameter must be one or more of 'u', .* Got \(\)"),
        ({"combine": None}, "'combine' .* Got None"),
        ({"combine": "difference"}, "'combine' .* one of 'u', .* Got 'difference'"),
        ({"combine": ("u", 1)}, "'combine' .* Got 1"),
        ({"combine": ["u", "v", "u"]}, "'combine' .* distinct names"),
        ({"vectorizer": "tfidf"}, "'vectorizer' .* a transformer .* Got 'tfidf'"),
        ({"vectorizer": TfidfVectorizer}, "'vectorizer' .* a transformer"),
        (
            {"vectorizer": StaticVectorizer(TABLE, unit="word", tokenizer=r"\w+")},
            "row .* each text",
        ),
        (
            {"vectorizer": FunctionTransformer(lambda texts: np.reshape(texts, (-1, 1)))},
            "numbers .* of <U",
        ),
    ],
)
def test_invalid_parameters_are_named(parameters: dict[str, Any], message: str) -> None:
    pairs = PairVectorizer(**{"vectorizer": CountVectorizer(), **parameters})
    with pytest.raises(InvalidParameterError, match=message):
        pairs.fit_transform(PAIRS)
    with pytest.raises(NotFittedError):
        pairs.transform(PAIRS)
