"""What both vectorizers of fixed word vectors share: conventions, unknown words, parameters."""

from __future__ import annotations

import copy
import inspect
import io
import math
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from gensim.models import FastText
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from bertvectorizer import StaticVectorizer, Word2VecVectorizer, WordVectors
from bertvectorizer.errors import InvalidParameterError, InvalidTableError, InvalidTextError
from bertvectorizer.features import OovReport, TextVectorizer, WordVectorizer
from bertvectorizer.features.weighting import WEIGHTINGS
from tests.processes import run_python
from tests.tolerance import tolerance

pytestmark = pytest.mark.numeric

WORDS = ["the", "bat", "hit", "ball", "flew", "in", "night", "old", "river", "bank"]
TABLE = WordVectors(WORDS, np.random.default_rng(0).normal(size=(10, 8)))
TEXTS = [
    "the old bat flew in the night",
    "A ball.",
    "",
    "the river bank",
    "Zebras? the zebras!",
    "A ball.",
    "qwerty",
]

MAKERS: dict[str, Callable[..., Any]] = {
    "static": lambda **parameters: StaticVectorizer(TABLE, **parameters),
    "word2vec": lambda **parameters: Word2VecVectorizer(
        **{
            "vector_size": 8,
            "min_count": 1,
            "epochs": 2,
            "random_state": 0,
            "tokenizer": r"[a-y]{2,}",
        }
        | parameters
    ),
    "fasttext": lambda **parameters: Word2VecVectorizer(
        **{"model": "fasttext", "vector_size": 8, "epochs": 2, "n_buckets": 50, "random_state": 0}
        | parameters
    ),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``make(**parameters)`` returns an unfitted vectorizer."""
    maker: Callable[..., Any] = MAKERS[request.param]
    return maker


def test_a_subclass_says_which_table_it_has() -> None:
    assert issubclass(WordVectorizer, TextVectorizer)
    assert WordVectorizer.__abstractmethods__ == {
        "_is_lowercase",
        "_keep_table",
        "_learn_table",
        "_table",
    }


# ---- Columns, missing texts, no texts


@pytest.mark.parametrize(
    "kind",
    [
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object).reshape(-1, 1),
        lambda texts: pd.Series(texts, dtype=object, index=list("qwertzu")),
        lambda texts: pd.Series(texts, dtype="string"),
        lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
        lambda texts: pd.Series(texts, dtype="category"),
        lambda texts: pd.DataFrame({"text": texts}),
        pl.Series,
        lambda texts: pl.Series(texts, dtype=pl.Categorical),
        lambda texts: pl.DataFrame({"text": texts}),
    ],
)
def test_every_kind_of_column_gives_the_same(
    make: Callable[..., Any], kind: Callable[[list[str]], Any]
) -> None:
    vectorizer = make(weighting="sif")
    X = vectorizer.fit_transform(TEXTS)
    assert X.any()
    np.testing.assert_array_equal(vectorizer.transform(kind(TEXTS)), X)
    np.testing.assert_array_equal(make(weighting="sif").fit_transform(kind(TEXTS)), X)


@pytest.mark.parametrize(
    "X",
    [
        pd.Series(["a ball", None]),
        ["a ball", np.nan],
        ["a ball", pd.NA],
        ["a ball", pd.NaT],
        pl.Series(["a ball", None]),
    ],
)
def test_missing(make: Callable[..., Any], X: Any) -> None:
    ball = make(missing="empty").fit(TEXTS).transform(["a ball"])[0]
    assert ball.any()
    for missing, expected in (("empty", 0.0), ("zero", 0.0), ("nan", np.nan)):
        result = make(missing=missing).fit(TEXTS).transform(X)
        np.testing.assert_array_equal(result, [ball, np.full(8, expected)])
        assert result.dtype == np.float32
    with pytest.raises(InvalidTextError, match="row 1"):
        make(missing="error").fit(TEXTS).transform(X)
    with pytest.raises(InvalidTextError, match="row 1"):
        make(missing="error").fit(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"weighting": "power_mean"},
        {"weighting": "sif", "normalize": True},
        {"missing": "nan"},
        {"oov": "zero"},
    ],
)
@pytest.mark.parametrize(
    "X", [[], np.empty((0, 1), dtype=object), pd.Series([], dtype=object), pl.Series([])]
)
def test_zero_rows(make: Callable[..., Any], X: Any, parameters: dict[str, Any]) -> None:
    vectorizer = make(**parameters).fit(TEXTS)
    result = vectorizer.transform(X)
    assert result.shape == (0, 24 if parameters.get("weighting") == "power_mean" else 8)
    assert result.shape[1] == vectorizer.n_features_out_
    assert result.dtype == np.float32
    assert vectorizer.set_output(transform="pandas").transform(X).shape == result.shape
    assert vectorizer.oov_report(X) == OovReport(0, 0, 0, 0, [])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("X", [[], ["", None]])
def test_fit_on_nothing(weighting: str, X: list[Any]) -> None:
    vectorizer = MAKERS["static"](weighting=weighting)
    assert vectorizer.fit_transform(X).shape == (len(X), vectorizer.n_features_out_)
    assert (vectorizer.oov_rate_, vectorizer.oov_) == (0.0, OovReport(len(X), len(X), 0, 0, []))
    assert vectorizer.transform(["the bat"]).any()
    for model in ("word2vec", "fasttext"):
        with pytest.raises(
            InvalidTextError,
            match=rf"No word is \d times in the {len(X)} texts, so there is nothing to train on",
        ):
            MAKERS[model](weighting=weighting).fit(X)


@pytest.mark.parametrize(
    "X",
    ["a bare text", [1, 2], [b"bat"], [["a"]], pd.DataFrame({"a": ["x"], "b": [1]}), {"a"}, None],
)
def test_what_is_no_column_of_texts_is_refused(make: Callable[..., Any], X: Any) -> None:
    fitted = make().fit(TEXTS)
    for method in (make().fit, make().fit_transform, fitted.transform, fitted.oov_report):
        with pytest.raises(InvalidTextError, match="X"):
            method(X)


def test_unfitted(make: Callable[..., Any]) -> None:
    for use in (
        lambda vectorizer: vectorizer.transform(TEXTS),
        lambda vectorizer: vectorizer.transform([]),
        lambda vectorizer: vectorizer.get_feature_names_out(),
        lambda vectorizer: vectorizer.n_features_out_,
        lambda vectorizer: vectorizer.oov_rate_,
        lambda vectorizer: vectorizer.oov_report(TEXTS),
        lambda vectorizer: clone(vectorizer.fit(TEXTS)).transform(TEXTS),
    ):
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            use(make())
    assert get_tags(make()).requires_fit


# ---- Numbers


@pytest.mark.parametrize(
    "parameters",
    [*({"weighting": weighting} for weighting in WEIGHTINGS), {"normalize": True}, {"oov": "zero"}],
)
def test_fit_transform_is_fit_and_transform(
    make: Callable[..., Any], parameters: dict[str, Any]
) -> None:
    vectorizer = make(**parameters)
    X = vectorizer.fit_transform(TEXTS)
    assert X.dtype == np.float32
    assert X.any()
    np.testing.assert_array_equal(vectorizer.transform(TEXTS), X)
    np.testing.assert_array_equal(make(**parameters).fit(TEXTS).transform(TEXTS), X)
    X[:] = -1  # the caller's to write into
    assert (vectorizer.transform(TEXTS) != -1).any(axis=1).all()


FITTED: dict[tuple[str, str], Any] = {}


@settings(max_examples=60)
@given(
    texts=st.lists(
        st.lists(
            st.sampled_from([*WORDS, "The", "NIGHT,", "zebra", "\ud800", "蝙蝠", "-", "🦇"]),
            max_size=20,
        ).map(" ".join),
        max_size=6,
    ),
    name=st.sampled_from(sorted(MAKERS)),
    weighting=st.sampled_from(WEIGHTINGS),
    data=st.data(),
)
def test_a_text_does_not_depend_on_its_neighbours(
    texts: list[str], name: str, weighting: str, data: st.DataObject
) -> None:
    if (name, weighting) not in FITTED:
        FITTED[name, weighting] = MAKERS[name](
            weighting=weighting, normalize=weighting == "mean"
        ).fit(TEXTS)
    vectorizer = FITTED[name, weighting]
    X = vectorizer.transform(texts)
    assert X.dtype == np.float32
    assert X.shape == (len(texts), vectorizer.n_features_out_)
    assert np.isfinite(X).all()
    order = data.draw(st.permutations(range(len(texts))))
    np.testing.assert_array_equal(vectorizer.transform([texts[row] for row in order]), X[order])
    for row, text in enumerate(texts):
        np.testing.assert_array_equal(vectorizer.transform([text])[0], X[row])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_neighbours_change_no_bit_at_usual_widths(weighting: str) -> None:
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in range(200)]
    texts = [" ".join(rng.choice(words, size=size)) for size in rng.integers(1, 30, size=301)]
    vectorizer = StaticVectorizer(
        WordVectors(words, rng.normal(size=(200, 100))),
        weighting=weighting,
        powers=(1, 2, 3),
        normalize=True,
    )
    X = vectorizer.fit_transform(texts)
    np.testing.assert_array_equal(
        X, np.concatenate([vectorizer.transform([text]) for text in texts])
    )
    np.testing.assert_array_equal(X[7:], vectorizer.transform(texts[7:]))


def test_many_texts_come_in_parts() -> None:
    vectorizer = MAKERS["static"](tokenizer=r"[a-z]+", weighting="tfidf").fit(TEXTS)
    texts = [
        f"the {number} bat" if number % 2 else f"{number}" for number in range(100_003)
    ]  # all distinct
    X = vectorizer.transform(texts)
    np.testing.assert_array_equal(X, vectorizer.transform(texts[:2])[np.arange(100_003) % 2])
    assert X[1].any()
    np.testing.assert_array_equal(
        vectorizer.fit_transform(texts)[[0, 1]], vectorizer.transform(texts[:2])
    )


def test_normalize(make: Callable[..., Any]) -> None:
    plain, scaled = (make(normalize=normalize).fit_transform(TEXTS) for normalize in (False, True))
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(
        scaled, plain / np.where(lengths > 0, lengths, 1), rtol=0, atol=tolerance(8)
    )
    assert set(np.linalg.norm(scaled, axis=1).round(5).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_normalize_numbers_whose_squares_float32_cannot_hold(scale: float) -> None:
    table = WordVectors(["tea", "cup"], np.array([[3, 4], [1, 0]]) * scale)
    np.testing.assert_allclose(
        StaticVectorizer(table, normalize=True).fit_transform(["tea", "?"]),
        [[0.6, 0.8], [0, 0]],
        atol=tolerance(2),
    )


# ---- Unknown words

KNOWN = dict(zip(WORDS, TABLE.vectors, strict=True))
ROUNDING = tolerance(4, scale=float(np.abs(TABLE.vectors).max()))  # of four words
BY_HAND: dict[str, Callable[[Any], Any]] = {
    "mean": lambda vectors: np.mean(vectors, axis=0),
    "sum": lambda vectors: np.sum(vectors, axis=0),
    "max": lambda vectors: np.max(vectors, axis=0),
    "power_mean": lambda vectors: np.concatenate(
        [np.mean(vectors, axis=0), np.max(vectors, axis=0), np.min(vectors, axis=0)]
    ),
}


@pytest.fixture(scope="module")
def fasttext() -> Any:
    """gensim's own fastText vectors of the words."""
    return FastText(
        [WORDS] * 3, vector_size=8, min_count=1, bucket=60, epochs=2, seed=1, workers=1
    ).wv


@pytest.mark.parametrize("weighting", BY_HAND)
def test_skip_and_zero(weighting: str) -> None:
    pool = BY_HAND[weighting]
    text = ["the zebra bat zebra"]
    for oov in ("skip", "auto"):
        vectorizer = MAKERS["static"](weighting=weighting, oov=oov).fit(TEXTS)
        np.testing.assert_allclose(
            vectorizer.transform(text)[0], pool([KNOWN["the"], KNOWN["bat"]]), atol=ROUNDING
        )
    zeros = np.zeros(8)
    vectorizer = MAKERS["static"](weighting=weighting, oov="zero").fit(TEXTS)
    np.testing.assert_allclose(
        vectorizer.transform(text)[0],
        pool([KNOWN["the"], zeros, KNOWN["bat"], zeros]),
        atol=ROUNDING,
    )


def test_zero_counts_in_the_weights_too() -> None:
    training = ["the zebra", "the bat", "the"]
    text = ["the zebra bat"]
    the, others = 1.0, math.log(4 / 2) + 1
    X = MAKERS["static"](weighting="tfidf", oov="zero").fit(training).transform(text)
    np.testing.assert_allclose(
        X[0], (the * KNOWN["the"] + others * KNOWN["bat"]) / (the + 2 * others), atol=ROUNDING
    )
    skipped = MAKERS["static"](weighting="tfidf", oov="skip").fit(training).transform(text)
    np.testing.assert_allclose(
        skipped[0], (the * KNOWN["the"] + others * KNOWN["bat"]) / (the + others), atol=ROUNDING
    )


def test_sif_frequencies_are_shares_of_all_words_known_or_not() -> None:
    counts = Counter(
        word
        for text in TEXTS
        for word in ("".join(filter(lambda c: c.isalpha() or c == " ", text))).lower().split()
        if len(word) > 1
    )
    assert counts["zebras"] == 2
    given = MAKERS["static"](weighting="sif", word_frequencies=counts).fit_transform(TEXTS)
    np.testing.assert_array_equal(MAKERS["static"](weighting="sif").fit_transform(TEXTS), given)


@pytest.mark.parametrize("weighting", BY_HAND)
@pytest.mark.parametrize("oov", ["subword", "auto"])
def test_subwords(fasttext: Any, oov: str, weighting: str) -> None:
    vectorizer = StaticVectorizer(fasttext, oov=oov, weighting=weighting).fit(TEXTS)
    expected = BY_HAND[weighting](
        [fasttext[word] for word in ("the", "nightly", "bat", "zebra", "nightly")]
    )
    np.testing.assert_allclose(
        vectorizer.transform(["The nightly bat, zebra nightly"])[0], expected, atol=tolerance(5)
    )
    assert (vectorizer.oov_rate_, vectorizer.oov_.most_frequent) == (0.0, [])
    assert StaticVectorizer(fasttext, oov="skip").fit(["the zebra"]).oov_.most_frequent == [
        ("zebra", 1)
    ]


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_subwords_of_a_table_that_has_none(method: str) -> None:
    message = (
        r"The 'oov' parameter must not be 'subword' with these word vectors: they have whole words"
        r" only\. .* 'skip' or 'zero'"
    )
    for name in ("static", "word2vec"):
        with pytest.raises(InvalidParameterError, match=message):
            getattr(MAKERS[name](oov="subword"), method)(["the bat"])
    fitted = MAKERS["static"]().fit(TEXTS).set_params(oov="subword")
    with pytest.raises(InvalidParameterError, match=message):
        fitted.transform(["the bat"])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("oov", ["auto", "skip", "zero"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_text_of_unknown_words_becomes_zeros(weighting: str, oov: str, normalize: bool) -> None:
    for name in ("static", "word2vec"):
        vectorizer = MAKERS[name](weighting=weighting, oov=oov, normalize=normalize)
        for X in (
            vectorizer.fit_transform(["the bat", "zzz zzz", "zz", "", "the zz"])[1:4],
            vectorizer.transform(["zzz", "zzz 7", "🦇"]),
        ):
            np.testing.assert_array_equal(X, np.zeros((3, vectorizer.n_features_out_)))
        assert vectorizer.oov_.n_empty >= 3 - 2 * (name == "word2vec")
    vectorizer = MAKERS["static"](weighting=weighting, oov=oov, normalize=normalize)
    np.testing.assert_array_equal(
        vectorizer.fit_transform(["zebra", "zebra zoo"]), np.zeros((2, vectorizer.n_features_out_))
    )
    assert (vectorizer.oov_rate_, vectorizer.oov_.n_empty) == (1.0, 2)


def test_the_report_counts_every_text_and_word() -> None:
    texts = ["the zebra", "the zebra", "yak", "", "the bat", None, "zebra xerus"]
    expected = OovReport(
        n_texts=7,
        n_empty=4,
        n_words=9,
        n_unknown=5,
        most_frequent=[("zebra", 3), ("yak", 1), ("xerus", 1)],
    )
    for oov in ("skip", "zero"):
        vectorizer = MAKERS["static"](oov=oov).fit(texts)
        assert vectorizer.oov_ == expected
        assert vectorizer.oov_rate_ == expected.rate == pytest.approx(5 / 9)
        assert vectorizer.oov_report(texts) == expected
        assert vectorizer.oov_report(pd.Series(["the", "yak"])) == OovReport(
            2, 1, 2, 1, [("yak", 1)]
        )
        assert vectorizer.oov_ == expected, "the report of other texts changes nothing"


def test_the_report_names_twenty_words() -> None:
    texts = [f"word{number}" for number in range(30) for _ in range(number // 10 + 1)]
    report = MAKERS["static"]().fit(texts).oov_
    assert report.most_frequent == [(f"word{number}", 3) for number in range(20, 30)] + [
        (f"word{number}", 2) for number in range(10, 20)
    ]
    assert report.n_unknown == len(texts) == 60
    assert {type(count) for _, count in report.most_frequent} == {int}


# ---- Parameters

SHARED: dict[str, list[Any]] = {
    "weighting": ["idf", "", None, 1],
    "sif_a": [0, -1.0, float("nan"), float("inf"), "1e-3", None, True],
    "word_frequencies": [5, ["the"], {"a": -1}, {"a": 0}, {}, {1: 1}],
    "powers": [(), 0, 1.5, "1", None, [float("nan")]],
    "tokenizer": ["(", r"(\w)(\w)", None, 5, b"x"],
    "oov": ["ignore", "", None, True],
    "normalize": ["yes", 1, "auto"],
    "missing": ["blank", None, float("nan")],
}
WRONG: dict[type, dict[str, list[Any]]] = {
    StaticVectorizer: {
        "vectors": ["", 7, None, b"x", [1.0], {"a": [1]}, np.eye(2), pd.Series([1])],
        "unit": ["words", "", None, 1, True],
        **SHARED,
        "local_files_only": ["yes", 1, None],
        # columns, read with unit="span" only: test_static_words.py
        **{name: [] for name in ("text", "start", "end", "word")},
        "on_error": ["ignore", None, 1],
    },
    Word2VecVectorizer: {
        "model": ["glove", "", None, 1],
        **{name: [0, -1, 1.5, "5", None, True] for name in ("vector_size", "window", "min_count")},
        "skip_gram": ["yes", None, 1],
        **{
            name: [0, -1, 1.5, "5", None, True]
            for name in ("negative", "epochs", "n_buckets", "workers")
        },
        "random_state": [-1, 1 << 32, 1.5, "0", np.random.default_rng(0)],
        **SHARED,
    },
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_values_are_tried_for_every_parameter(kind: type) -> None:
    assert list(WRONG[kind]) == list(inspect.signature(kind).parameters)


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
@pytest.mark.parametrize(
    ("kind", "parameter", "value"),
    [
        (kind, parameter, value)
        for kind, wrong in WRONG.items()
        for parameter, values in wrong.items()
        for value in values
    ],
)
def test_a_wrong_parameter_is_named_with_its_value(
    kind: type, method: str, parameter: str, value: Any
) -> None:
    vectorizer = kind(
        **{"vectors": TABLE} if kind is StaticVectorizer else {"min_count": 1}
    ).set_params(**{parameter: value})
    with pytest.raises(InvalidParameterError) as caught:
        getattr(vectorizer, method)(TEXTS)
    message = str(caught.value)
    assert f"The '{parameter}' parameter must be " in message
    shown = (
        type(value).__name__
        if parameter == "vectors" and not isinstance(value, str)
        else repr(value)
    )
    assert f"Got {shown} instead" in message
    assert not [name for name in vars(vectorizer) if name.endswith("_")], "it would pass for fitted"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (name, value)
        for name in ("oov", "normalize", "missing", "tokenizer")
        for value in SHARED[name]
    ],
)
def test_what_transform_reads_is_checked_there_too(
    make: Callable[..., Any], parameter: str, value: Any
) -> None:
    vectorizer = make().fit(TEXTS).set_params(**{parameter: value})
    for method in (vectorizer.transform, vectorizer.oov_report):
        with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter must be"):
            method(TEXTS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weighting": "idf"},
        {"oov": "subword"},
        {"normalize": 1},
        {"tokenizer": "("},
        {"tokenizer": lambda text: None},
        {"word_frequencies": "there is no such file"},
    ],
)
@pytest.mark.parametrize("name", ["static", "word2vec"])
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(name: str, wrong: dict[str, Any]) -> None:
    vectorizer = MAKERS[name](**wrong)
    before = dict(vars(vectorizer))
    with pytest.raises((InvalidParameterError, InvalidTableError)):
        vectorizer.fit(TEXTS)
    assert {
        attribute: value for attribute, value in vars(vectorizer).items() if attribute.endswith("_")
    } == {}
    assert {parameter: vars(vectorizer)[parameter] for parameter in before} == before
    fitted = MAKERS[name](weighting="tfidf")
    X, right = fitted.fit_transform(TEXTS), fitted.get_params()
    with pytest.raises((InvalidParameterError, InvalidTableError)):
        fitted.set_params(**wrong).fit(["the night", "bat", "ball bat in the river"])
    np.testing.assert_array_equal(fitted.set_params(**right).transform(TEXTS), X)


def test_no_parameter_is_changed(make: Callable[..., Any]) -> None:
    powers, frequencies = [1, 3, math.inf], {"the": 5, "bat": 1}
    vectorizer = make(
        weighting="power_mean", powers=powers, word_frequencies=frequencies, tokenizer=str.split
    )
    assert vars(vectorizer).keys() == vectorizer.get_params().keys()
    before = vectorizer.get_params()
    vectorizer.fit(TEXTS)
    vectorizer.transform(TEXTS)
    assert all(vectorizer.get_params()[name] is value for name, value in before.items())
    assert (powers, frequencies) == ([1, 3, math.inf], {"the": 5, "bat": 1})
    assert vectorizer.n_features_out_ == 24


def test_new_parameters_and_refit(make: Callable[..., Any]) -> None:
    vectorizer = make().fit(TEXTS)
    assert vectorizer.set_params(weighting="power_mean").transform(TEXTS).shape == (7, 8), (
        "what was fitted stays until the next fit"
    )
    expected = make(weighting="power_mean").fit_transform(TEXTS)
    np.testing.assert_array_equal(vectorizer.fit_transform(TEXTS), expected)
    np.testing.assert_array_equal(vectorizer.transform(TEXTS), expected)
    assert vectorizer.n_features_out_ == len(vectorizer.get_feature_names_out()) == 24


# ---- Inside scikit-learn

DATA = pd.DataFrame(
    {
        "text": (
            ["the old bat flew", "the bat hit the ball", "a bat in the night", "ball of the bat"]
            * 5
        ),
        "label": ["animal", "club"] * 10,
        "price": range(20),
    },
    index=[f"row{number % 15}" for number in range(20)],  # with repetitions
)


def test_names_and_set_output(make: Callable[..., Any]) -> None:
    vectorizer = make()
    X = vectorizer.fit_transform(DATA["text"])
    names = vectorizer.get_feature_names_out()
    assert names.tolist() == [f"text_{number}" for number in range(8)]
    own = make().fit(DATA["text"].tolist()).get_feature_names_out()
    assert own.tolist() == [f"{type(vectorizer).__name__.lower()}{number}" for number in range(8)]
    for column in (DATA["text"], DATA[["text"]]):
        frame = make().set_output(transform="pandas").fit_transform(column)
        assert frame.index.equals(DATA.index)
        assert list(frame.columns) == names.tolist()
        assert set(frame.dtypes) == {np.dtype(np.float32)}
        np.testing.assert_array_equal(frame.to_numpy(), X)
    frame = vectorizer.set_output(transform="polars").transform(pl.Series(DATA["text"].tolist()))
    assert isinstance(frame, pl.DataFrame)
    assert set(frame.dtypes) == {pl.Float32}
    np.testing.assert_array_equal(frame.to_numpy(), X)


@pytest.mark.parametrize("weighting", ["mean", "tfidf", "power_mean"])
def test_several_columns_share_what_is_learned(make: Callable[..., Any], weighting: str) -> None:
    frame = DATA.assign(title=["a bat", None, "the night", "a bat", "a zebra"] * 4)
    texts = frame[["title", "text"]].fillna("").to_numpy()
    vectorizer = make(weighting=weighting, oov="skip")
    X = vectorizer.fit_transform(frame[["title", "text"]])
    together = make(weighting=weighting, oov="skip")
    np.testing.assert_array_equal(X, together.fit_transform(texts.ravel()).reshape(len(X), -1))
    assert vectorizer.oov_ == together.oov_ == vectorizer.oov_report(frame[["title", "text"]])
    assert vectorizer.n_features_out_ == X.shape[1] == 2 * together.n_features_out_
    names = vectorizer.get_feature_names_out().tolist()
    assert (names[0], names[-1]) == ("title_0", f"text_{X.shape[1] // 2 - 1}")
    np.testing.assert_array_equal(vectorizer.transform(frame[["title", "text"]]), X)


def test_pipelines(make: Callable[..., Any], tmp_path: Path) -> None:
    pipe = make_pipeline(make(weighting="tfidf"), LogisticRegression())
    labels = pipe.fit(DATA["text"], DATA["label"]).predict(DATA["text"])
    remembered = make_pipeline(make(weighting="tfidf"), LogisticRegression(), memory=str(tmp_path))
    for _ in range(2):
        assert (
            remembered.fit(DATA["text"], DATA["label"]).predict(DATA["text"]).tolist()
            == labels.tolist()
        )
    scores = cross_validate(pipe, DATA["text"], DATA["label"], cv=2, error_score="raise")
    assert np.isfinite(scores["test_score"]).all()
    columns = ColumnTransformer([("text", make(), "text"), ("num", StandardScaler(), ["price"])])
    assert columns.fit_transform(DATA).shape == (20, 9)
    assert columns.get_feature_names_out()[[0, -1]].tolist() == ["text__text_0", "num__price"]
    np.testing.assert_array_equal(
        columns.transform(DATA)[:, :8], make().fit_transform(DATA["text"])
    )
    assert make_union(make(), make(weighting="max")).fit_transform(DATA["text"]).shape == (20, 16)
    with sklearn.config_context(enable_metadata_routing=True, transform_output="pandas"):
        assert make_pipeline(make(), LogisticRegression()).fit(DATA["text"], DATA["label"])[
            0
        ].transform(DATA["text"]).shape == (20, 8)


def test_representations(make: Callable[..., Any]) -> None:
    for estimator in (make(weighting="sif"), make(weighting="sif").fit(TEXTS)):
        assert "weighting='sif'" in repr(estimator)
        assert type(estimator).__name__ in estimator._repr_html_()


# ---- Copies and storage


def test_clone_and_deepcopy(make: Callable[..., Any]) -> None:
    vectorizer = make(weighting="sif")
    X = vectorizer.fit_transform(TEXTS)
    copied = clone(vectorizer)
    assert vars(copied).keys() == copied.get_params().keys() == vectorizer.get_params().keys()
    np.testing.assert_array_equal(copied.fit_transform(TEXTS), X)
    deep = copy.deepcopy(vectorizer)
    vectorizer.set_params(weighting="max").fit(["the night", "the night", "old"])
    np.testing.assert_array_equal(deep.transform(TEXTS), X)


def _joblib_dumps(estimator: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()


DUMPS: dict[str, Callable[[Any], bytes]] = {
    "pickle": pickle.dumps,
    "joblib": _joblib_dumps,
    "cloudpickle": cloudpickle.dumps,
}


def test_stored_estimators_load_in_a_fresh_process(tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text(
        "".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in KNOWN.items())
    )
    texts = [*TEXTS, "nightly zebra bats"]
    made = {
        name: maker(weighting="sif", missing="nan").fit(texts) for name, maker in MAKERS.items()
    }
    made["file"] = StaticVectorizer(tmp_path / "glove.txt", weighting="tfidf").fit(texts)
    for library, dumps in DUMPS.items():
        for name, vectorizer in made.items():
            (tmp_path / f"{name}.{library}").write_bytes(dumps(vectorizer))
            again = joblib.load(tmp_path / f"{name}.{library}")
            assert again.oov_ == vectorizer.oov_
            np.testing.assert_array_equal(again.transform(texts), vectorizer.transform(texts))
    program = (
        "import joblib, numpy, pathlib, sys\nfor path in map(pathlib.Path, sys.argv[1:]):\n   "
        f" loaded = joblib.load(path); numpy.save(f'{{path}}.npy', loaded.transform({texts!r}))\n  "
        "  print(path.name, loaded.n_features_out_, loaded.oov_rate_)\n"
    )
    files = [tmp_path / f"{name}.{library}" for name in made for library in DUMPS]
    printed = run_python(program, *files)
    assert printed.splitlines() == [f"{file.name} 8 {made[file.stem].oov_rate_}" for file in files]
    for file in files:
        X = made[file.stem].transform(texts)
        assert X.any()
        np.testing.assert_array_equal(np.load(f"{file}.npy"), X)
