"""Tests of pipeline/tagging/tagged_sentences.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bertvectorizer.errors import InvalidParameterError, InvalidTableError
from bertvectorizer.pipeline.tagging.conll import read_conll
from bertvectorizer.pipeline.tagging.tagged_sentences import TaggedSentences
from tests.pipeline.tagging.tagged import SENTENCES


def test_a_table_has_a_row_per_word() -> None:
    frame = SENTENCES.to_frame()
    assert frame.columns.tolist() == ["sentence", "word", "tag"]
    assert frame.index.equals(pd.RangeIndex(4))
    assert frame.to_numpy().tolist() == [
        [0, "In", "O"],
        [0, "New", "B-LOC"],
        [0, "York", "I-LOC"],
        [1, "Yes", "O"],
    ]
    assert frame["sentence"].dtype == np.int64


def test_sentences_of_no_words_have_no_row() -> None:
    assert TaggedSentences([[], ["a"], []], [[], ["O"], []]).to_frame().to_numpy().tolist() == [
        [1, "a", "O"]
    ]
    for nothing in (TaggedSentences([], []), TaggedSentences([[]], [[]])):
        frame = nothing.to_frame()
        assert frame.shape == (0, 3)
        assert frame["sentence"].dtype == np.int64
        assert TaggedSentences.from_frame(frame) == ([], [])


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_sentences_come_in_the_order_of_their_first_rows(make: Callable[..., Any]) -> None:
    frame = make(
        {"doc": ["b", "a", "b", "c"], "w": ["1", "2", "3", "4"], "t": ["O", "B-X", "I-X", "O"]}
    )
    assert TaggedSentences.from_frame(frame, "doc", "w", "t") == (
        [["1", "3"], ["2"], ["4"]],
        [["O", "I-X"], ["B-X"], ["O"]],
    )


def test_a_table_with_another_index_and_categories() -> None:
    frame = (
        SENTENCES.to_frame()
        .astype({"tag": "category", "sentence": "float"})
        .set_index(pd.Index(list("dcba")))
    )
    assert TaggedSentences.from_frame(frame) == SENTENCES


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize(
    ("column", "message"),
    [("sentence", r"ffill\(\)"), ("word", "keep_default_na=False"), ("tag", "'O'")],
)
def test_rows_that_lack_something_are_named(column: str, message: str, missing: Any) -> None:
    frame = SENTENCES.to_frame().astype(object).set_index(pd.Index([10, 20, 30, 40]))
    frame.loc[[20, 40], column] = missing
    with pytest.raises(
        InvalidTableError,
        match=(
            rf"in the column '{column}'.*in 2 row\(s\): row 1 \(index 20\), row 3 \(index 40\)\."
            rf" .*{message}"
        ),
    ):
        TaggedSentences.from_frame(frame)


def test_rows_of_a_polars_table_are_named_by_number() -> None:
    frame = pl.DataFrame(
        {"sentence": [1] * 9, "word": [None] * 8 + ["a"], "tag": ["O"] * 9},
        schema_overrides={"word": pl.String},
    )
    with pytest.raises(
        InvalidTableError,
        match=r"Got None in 8 row\(s\): row 0, row 1, row 2, row 3, row 4, \.{4} In files",
    ):
        TaggedSentences.from_frame(frame)


def test_words_are_texts() -> None:
    with pytest.raises(
        InvalidTableError, match=r"must have a str in the column 'word'. Got 7 in 1 row\(s\): row 1"
    ):
        TaggedSentences.from_frame(
            pd.DataFrame({"sentence": [0, 0], "word": ["a", 7], "tag": ["O", "O"]})
        )
    with pytest.raises(InvalidTableError, match=r"in the column 'sentence'\. Got"):
        TaggedSentences.from_frame(
            pd.DataFrame({"sentence": [[0], [0]], "word": ["a", "b"], "tag": ["O", "O"]})
        )


def test_columns_that_a_table_lacks_are_named() -> None:
    frame = SENTENCES.to_frame()
    with pytest.raises(
        InvalidTableError,
        match=(
            r"'word' parameter must name one column .*Got 'token' .*: 'sentence', 'word', 'tag'\."
            r" Name those"
        ),
    ):
        TaggedSentences.from_frame(frame, word="token")
    with pytest.raises(
        InvalidTableError,
        match=(
            r"'tag' parameter must name one column .*Got 'tag' instead\. Its columns are: .*,"
            r" 'tag', \.{4} Name those"
        ),
    ):
        TaggedSentences.from_frame(
            pd.concat([frame["sentence"], frame["word"], frame[["tag"] * 4]], axis=1)
        )
    for other in (SENTENCES, frame["word"], pl.LazyFrame({"word": ["a"]}), {"word": ["a"]}, None):
        with pytest.raises(
            InvalidParameterError,
            match=r"'df' parameter must be a DataFrame of pandas or polars\. Got",
        ):
            TaggedSentences.from_frame(other)


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ([["a"], ["b", "c"]], [["O"], ["O"]], "Got 2 words and 1 tags in sentence 1"),
        ([["a"], ["b"]], [["O"]], "Got 2 of words and 1 of tags"),
        (
            ["a b"],
            [["O"]],
            "'words' parameter must be a list of sentences.*Got 'a b' as sentence 0",
        ),
        ([["a"]], "O", "'tags' parameter must be a list of sentences.*Got 'O' instead"),
        ([["a"]], None, "'tags' parameter must be a list of sentences.*Got None instead"),
        ([["a"], [7]], [["O"], ["O"]], r"'words' parameter .*Got \[7\] as sentence 1"),
    ],
)
def test_tags_without_words_make_no_table(
    words: list[list[str]], tags: list[list[str]], message: str
) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        TaggedSentences(words, tags).to_frame()


def test_blank_tags_of_a_table_are_refused_as_in_a_file() -> None:
    for blank in ("", " "):
        with pytest.raises(
            InvalidTableError,
            match=r"a str that is not blank in the column 'tag'\. Got .* in 1 row\(s\): row 1",
        ):
            TaggedSentences.from_frame(
                pd.DataFrame({"sentence": [0, 0], "word": ["a", "b"], "tag": ["O", blank]})
            )


@pytest.mark.parametrize(
    ("names", "parameter"),
    [
        ({"word": "sentence"}, "word"),
        ({"tag": "word"}, "tag"),
        ({"tag": "sentence"}, "tag"),
        ({"word": "tag", "tag": "tag"}, "tag"),
    ],
)
def test_two_parameters_may_not_name_one_column(names: dict[str, str], parameter: str) -> None:
    with pytest.raises(
        InvalidParameterError, match=f"'{parameter}' parameter must be another column than that of"
    ):
        TaggedSentences.from_frame(SENTENCES.to_frame(), **names)


def test_tags_of_a_table_are_converted() -> None:
    sentences = TaggedSentences.from_frame(SENTENCES.to_frame())
    assert sentences.convert("IOBES") == (SENTENCES.words, [["O", "B-LOC", "E-LOC"], ["O"]])
    assert sentences.convert("IOBES").convert("BIO") == SENTENCES
    assert sentences.tags == SENTENCES.tags
    assert isinstance(sentences.convert("IOB1"), TaggedSentences)
    with pytest.raises(
        InvalidParameterError, match=r"'scheme' parameter must be one of 'IOB1'.*Got None"
    ):
        sentences.convert(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "scheme", "message"),
    [
        (
            "a\tDET\n",
            "IOBES",
            "Got 'IOBES' instead, for tags such as 'DET', which are plain and mark no entities",
        ),
        (
            "a\tB-X\n",
            "plain",
            "Got 'plain' instead, for tags such as 'B-X', which are of the scheme BIO",
        ),
        ("a\tB-X\nb\tDET\n", "IOBES", "Got 'DET' for word 1 of sentence 0"),
    ],
)
def test_tags_that_cannot_be_converted(
    text: str, scheme: str, message: str, write: Callable[..., Path]
) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=rf"^The 'scheme' parameter .*{message}.*tag_column=.*'scheme' at None\.$",
    ) as caught:
        read_conll(write(text), scheme=scheme)
    assert "'to'" not in str(caught.value)
    with pytest.raises(InvalidParameterError, match=f"^The 'scheme' parameter .*{message}"):
        read_conll(write(text)).convert(scheme)
