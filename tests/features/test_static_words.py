"""StaticVectorizer with a row per word or span: the baseline for words in context."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from bertvectorizer import StaticVectorizer, WordVectors
from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.features.inputs.documents import read_documents

pytestmark = pytest.mark.numeric

WORDS = ["the", "bat", "hit", "ball", "new york", "isn't", "flew", "."]
VECTORS = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
TABLE = WordVectors(WORDS, VECTORS)
CASED = WordVectors(["The", "the", "Bat"], VECTORS[:3])
ZEROS = np.zeros(5, dtype=np.float32)

DOCUMENTS = [["The", "bat", "zebra", "bat"], [], ["isn't", "New York", " hit ", "", "."]]
ROWS = [0, 1, None, 1, 5, 4, 2, None, 7]

SPANS = pd.DataFrame(
    {
        "text": ["the bat flew", "bat", "A ball, the bat"],
        "start": [0, 0, 2],
        "end": [7, 3, 11],
        "word": ["flew", "bat", "ball"],
    },
    index=["x", "x", 3],
)


def rows_of(positions: list[int | None], vectors: Any = VECTORS) -> Any:
    return np.array([ZEROS if position is None else vectors[position] for position in positions])


# ---- Words


@pytest.mark.parametrize(
    "X",
    [
        DOCUMENTS,
        pd.Series(DOCUMENTS, index=["z", "z", 3]),
        pl.Series(DOCUMENTS),
        pd.DataFrame({"words": DOCUMENTS}),
    ],
    ids=["list", "pandas", "polars", "DataFrame"],
)
def test_every_word_has_a_row(X: Any) -> None:
    vectorizer = StaticVectorizer(TABLE, unit="word")
    for result in (
        vectorizer.fit_transform(X),
        vectorizer.transform(X),
        vectorizer.fit(X).transform(X),
    ):
        np.testing.assert_array_equal(result, rows_of(ROWS))
        assert result.dtype == np.float32


def test_words_are_lower_cased_where_the_table_is() -> None:
    cased = StaticVectorizer(CASED, unit="word").fit_transform(
        [["The", "the", "THE", "bat", "Bat"]]
    )
    np.testing.assert_array_equal(cased, rows_of([0, 1, None, None, 2]))


def test_texts_are_split_by_the_tokenizer_but_words_are_not() -> None:
    vectorizer = StaticVectorizer(TABLE, unit="word", tokenizer=r"\w+|[^\w\s]").fit([])
    np.testing.assert_array_equal(
        vectorizer.transform(["The bat!", ["isn't"], "isn't ."]),
        rows_of([0, 1, None, 5, None, None, None, 7]),
    )
    vectorizer.set_params(tokenizer=str.split)
    np.testing.assert_array_equal(
        vectorizer.transform(["The bat!", "isn't ."]), rows_of([0, None, 5, 7])
    )


@pytest.mark.parametrize("X", [[], [[]], [[], []], [[""]]])
def test_no_words(X: Any) -> None:
    vectorizer = StaticVectorizer(TABLE, unit="word")
    n_words = sum(map(len, X))
    np.testing.assert_array_equal(vectorizer.fit_transform(X), np.zeros((n_words, 5)))
    assert vectorizer.transform(X).shape == (n_words, 5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(st.sampled_from(["bat", "The", " ", "\ud800"]), st.text(max_size=4)),
            max_size=4,
        ),
        max_size=4,
    ),
    st.sampled_from(["mean", "max", "tfidf", "sif", "power_mean"]),
    st.sampled_from(["auto", "skip", "zero"]),
)
def test_there_is_always_one_row_per_word(
    documents: list[list[str]], weighting: str, oov: str
) -> None:
    vectorizer = StaticVectorizer(TABLE, unit="word", weighting=weighting, oov=oov)
    result = vectorizer.fit_transform(documents)
    words = read_documents(documents).words
    assert result.shape == (len(words), vectorizer.n_features_out_)
    assert np.isfinite(result).all()
    for word in set(words):
        alike = result[[other == word for other in words]]
        assert (alike == alike[0]).all(), "a word has one vector in every context"


def test_the_report_counts_words() -> None:
    vectorizer = StaticVectorizer(TABLE, unit="word").fit(DOCUMENTS)
    for report in (vectorizer.oov_, vectorizer.oov_report(DOCUMENTS)):
        assert (report.n_texts, report.n_empty, report.n_words, report.n_unknown) == (9, 2, 8, 1)
        assert report.most_frequent == [("zebra", 1)]
    assert vectorizer.oov_report([["New York"]]).n_unknown == 0
    assert StaticVectorizer(TABLE).fit(["New York"]).oov_.n_unknown == 2


@pytest.mark.parametrize("missing", ["empty", "error", "zero", "nan"])
def test_missing_words_are_errors_and_blank_ones_zeros(missing: str) -> None:
    vectorizer = StaticVectorizer(TABLE, unit="word", missing=missing)
    with pytest.raises(InvalidTextError, match="word 1 of document 0"):
        vectorizer.fit([["bat", None]])
    np.testing.assert_array_equal(vectorizer.fit_transform([["bat", " "]]), rows_of([1, None]))


def test_a_single_document_is_refused() -> None:
    vectorizer = StaticVectorizer(TABLE, unit="word").fit(DOCUMENTS)
    with pytest.raises(InvalidTextError, match="single str"):
        vectorizer.transform("the bat")


# ---- Spans


@pytest.mark.parametrize("kind", [lambda frame: frame, pl.from_pandas])
def test_every_span_has_the_vector_of_its_text(kind: Any) -> None:
    vectorizer = StaticVectorizer(TABLE, unit="span")
    expected = np.array([VECTORS[:2].mean(0), VECTORS[1], VECTORS[[3, 0]].mean(0)])
    for result in (vectorizer.fit_transform(kind(SPANS)), vectorizer.transform(kind(SPANS))):
        np.testing.assert_allclose(result, expected, rtol=1e-6)
        assert result.dtype == np.float32
    by_word = vectorizer.transform(kind(SPANS.drop(columns=["start", "end"])))
    np.testing.assert_array_equal(by_word, VECTORS[[6, 1, 3]])


def test_columns_are_named_by_parameters() -> None:
    frame = SPANS.rename(
        columns={"text": "sentence", "start": "from", "end": "to", "word": "target"}
    )
    vectorizer = StaticVectorizer(TABLE, unit="span", text="sentence", start="from", end="to")
    np.testing.assert_array_equal(vectorizer.fit_transform(frame)[1], VECTORS[1])
    words = StaticVectorizer(TABLE, unit="span", text="sentence", word="target").fit_transform(
        frame
    )
    np.testing.assert_array_equal(words, VECTORS[[6, 1, 3]])
    with pytest.raises(
        InvalidParameterError, match=r"Got 'text' instead, and X has the columns 'sentence', 'from'"
    ):
        vectorizer.set_params(text="text").transform(frame)


@pytest.mark.parametrize(("missing", "value"), [("empty", 0.0), ("zero", 0.0), ("nan", np.nan)])
def test_missing_spans(missing: str, value: float) -> None:
    frame = pd.DataFrame(
        {"text": ["a bat", None, "a bat", "a zebra"], "word": ["bat", "bat", "ball", "zebra"]}
    )
    vectorizer = StaticVectorizer(TABLE, unit="span", missing=missing)
    expected = np.array([VECTORS[1], np.full(5, value), np.full(5, value), ZEROS])
    np.testing.assert_array_equal(vectorizer.fit_transform(frame), expected)
    np.testing.assert_array_equal(vectorizer.transform(frame), expected)


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_missing_spans_can_be_refused(method: str) -> None:
    frame = pd.DataFrame({"text": ["a bat", "a bat"], "word": ["bat", "ball"]}, index=["x", "y"])
    with pytest.raises(
        InvalidTextError,
        match=r"1 row\(s\) without a span.*row 1 \(index 'y'\): 'ball' is not in its text",
    ):
        getattr(StaticVectorizer(TABLE, unit="span", missing="error"), method)(frame)


def test_the_report_counts_spans() -> None:
    frame = pd.DataFrame({"text": ["the zebra", "bat zebra"], "start": [0, 4], "end": [9, 9]})
    vectorizer = StaticVectorizer(TABLE, unit="span").fit(frame)
    for report in (vectorizer.oov_, vectorizer.oov_report(frame)):
        assert (report.n_texts, report.n_empty, report.n_words, report.n_unknown) == (2, 1, 3, 2)


def test_spans_with_lone_surrogates() -> None:
    frame = pd.DataFrame(
        {"text": pd.Series(["\ud83e\udd87 bat \ud800"], dtype=object), "start": [3], "end": [6]}
    )
    np.testing.assert_array_equal(
        StaticVectorizer(TABLE, unit="span").fit_transform(frame), VECTORS[[1]]
    )


# ---- All units

INPUTS: dict[str, Any] = {"text": ["the bat", "a ball"], "word": DOCUMENTS, "span": SPANS}


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform", "oov_report"])
@pytest.mark.parametrize("unit", ["words", "", None, ["word"]])
def test_a_wrong_unit_is_named(unit: Any, method: str) -> None:
    vectorizer = StaticVectorizer(TABLE).fit(["the bat"]).set_params(unit=unit)
    with pytest.raises(
        InvalidParameterError, match=r"'unit' parameter must be one of 'text', 'word', 'span'\. Got"
    ):
        getattr(vectorizer, method)(["the bat"])


@pytest.mark.parametrize("unit", INPUTS)
def test_a_wrong_missing_is_named(unit: str) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'missing' parameter must be one of 'empty', 'error', 'zero', 'nan'\. Got 'blank'",
    ):
        StaticVectorizer(TABLE, unit=unit, missing="blank").fit(INPUTS[unit])


@pytest.mark.parametrize("unit", INPUTS)
def test_clones_and_pickles(unit: str) -> None:
    vectorizer = StaticVectorizer(TABLE, unit=unit, weighting="tfidf", text="text", word="word")
    expected = vectorizer.fit_transform(INPUTS[unit])
    assert clone(vectorizer).get_params()["unit"] == unit
    for other in (clone(vectorizer).fit(INPUTS[unit]), pickle.loads(pickle.dumps(vectorizer))):
        np.testing.assert_array_equal(other.transform(INPUTS[unit]), expected)


def test_the_unit_can_be_set_after_fit() -> None:
    vectorizer = StaticVectorizer(TABLE).fit(["the bat"])
    for unit, n_rows in (("text", 2), ("word", 9), ("span", 3)):
        assert vectorizer.set_params(unit=unit).transform(INPUTS[unit]).shape == (n_rows, 5)


@pytest.mark.parametrize("unit", INPUTS)
def test_tags_and_names(unit: str) -> None:
    vectorizer = StaticVectorizer(TABLE, unit=unit).fit(INPUTS[unit])
    tags = get_tags(vectorizer).input_tags
    assert (tags.one_d_array, tags.two_d_array, tags.string) == (
        unit != "span",
        unit == "span",
        True,
    )
    prefix = {"text": "x_", "word": "staticvectorizer", "span": "text_start_end_"}[unit]
    assert vectorizer.get_feature_names_out(["x"]).tolist() == [
        f"{prefix}{number}" for number in range(5)
    ]
    assert hasattr(vectorizer, "n_features_in_") == (unit == "text")
    if unit == "span":
        assert len(vectorizer.get_feature_names_out(["text", "start", "end"])) == 5
    else:
        with pytest.raises(InvalidTextError, match=r"must hold one name\. Got 3"):
            vectorizer.get_feature_names_out(["text", "start", "end"])


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_a_column_transformer_of_spans(kind: Any) -> None:
    columns = {
        "text": ["the bat", "a ball"] * 4,
        "start": [0, 2] * 4,
        "end": [7, 6] * 4,
        "size": [1.0, 2.0] * 4,
    }
    parts = ColumnTransformer(
        [
            ("span", StaticVectorizer(TABLE, unit="span"), ["text", "start", "end"]),
            ("size", "passthrough", ["size"]),
        ]
    )
    result = parts.fit_transform(kind(columns))
    np.testing.assert_allclose(result[:2, :5], [VECTORS[:2].mean(0), VECTORS[3]], rtol=1e-6)
    assert parts.get_feature_names_out().tolist() == [
        *(f"span__text_start_end_{number}" for number in range(5)),
        "size__size",
    ]
    framed = parts.set_output(transform="pandas").fit_transform(
        pd.DataFrame(columns, index=list("abcdefgh"))
    )
    assert framed.index.tolist() == list("abcdefgh")
    model = make_pipeline(clone(parts), LogisticRegression())
    search = GridSearchCV(
        model, {"columntransformer__span__missing": ["zero", "error"]}, cv=2, error_score="raise"
    )
    search.fit(kind(columns), ["bat", "ball"] * 4)
    assert search.best_score_ == 1.0


def test_names_of_spans_know_their_columns() -> None:
    table = pd.DataFrame({"text": ["the bat hit"] * 2, "one": "bat", "other": "hit"})
    parts = ColumnTransformer(
        [(w, StaticVectorizer(TABLE, unit="span", word=w), ["text", w]) for w in ("one", "other")],
        verbose_feature_names_out=False,
    ).fit(table)
    assert parts.get_feature_names_out().tolist() == [
        f"text_{word}_{number}" for word in ("one", "other") for number in range(5)
    ]
    vectorizer = StaticVectorizer(TABLE, unit="span", word="one").fit(table)
    vectorizer.set_params(unit="text").fit(["the bat"])
    assert not hasattr(vectorizer, "span_columns_")


def test_a_pipeline_of_words() -> None:
    documents = [["the", "bat"], ["ball"], ["the", "bat", "hit", "ball"]]
    tags = ["DET", "NOUN", "NOUN", "DET", "NOUN", "VERB", "NOUN"]
    model = make_pipeline(StaticVectorizer(TABLE, unit="word"), LogisticRegression(C=1e3))
    assert model.fit(documents, tags).predict([["The"], ["ball", "hit"]]).tolist() == [
        "DET",
        "NOUN",
        "VERB",
    ]
    assert len(model[:-1].get_feature_names_out()) == 5


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_words_as_a_table(output: Any) -> None:
    vectorizer = StaticVectorizer(TABLE, unit="word").set_output(transform=output)
    for X in (
        DOCUMENTS,
        pd.Series(DOCUMENTS, index=["z", "z", 3]),
        pd.DataFrame({"words": DOCUMENTS}, index=list("abc")),
    ):
        for table in (vectorizer.fit_transform(X), vectorizer.transform(X)):
            assert table.shape == (9, 5)
            np.testing.assert_array_equal(table.to_numpy(), rows_of(ROWS))
            assert output == "polars" or table.index.tolist() == list(range(9)), (
                "rows are words, not documents"
            )


def test_words_at_fault_are_still_named_by_their_index() -> None:
    with pytest.raises(InvalidTextError, match=r"word 0 of document 1 \(index 'y'\)"):
        StaticVectorizer(TABLE, unit="word").fit_transform(
            pd.Series([["bat"], [None]], index=["x", "y"])
        )


def test_an_index_stays_where_texts_have_rows() -> None:
    table = (
        StaticVectorizer(TABLE)
        .set_output(transform="pandas")
        .fit_transform(pd.Series(["the bat"], index=["x"]))
    )
    assert table.index.tolist() == ["x"]


def test_the_default_pattern_drops_words_of_one_letter() -> None:
    assert StaticVectorizer(TABLE, unit="word").fit_transform(["a bat."]).shape == (1, 5)
