"""Documents as lists of words, whatever holds them; texts, whose words a tokenizer finds."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.features.inputs.documents import Documents, read_documents
from bertvectorizer.models.checkpoint.text_tokens import replace_lone_surrogates

DOCUMENTS = [["The", "bat", "flew", "."], [], ["Hit"]]
PATTERN = r"\w+|[^\w\s]"


def as_objects(documents: list[Any]) -> Any:
    """Return a 1-D array of documents, which NumPy makes 2-D where all are of one length."""
    array = np.empty(len(documents), dtype=object)
    array[:] = documents
    return array


def words_by_document(documents: Documents) -> list[list[str]]:
    bounds = documents.offsets.tolist()
    return [documents.words[start:end] for start, end in pairwise(bounds)]


ARROW_LISTS = pa.list_(pa.string())
KINDS: dict[str, Callable[[list[list[str]]], Any]] = {
    "list of lists": lambda documents: documents,
    "tuple of tuples": lambda documents: tuple(map(tuple, documents)),
    "list of str arrays": lambda documents: [np.array(words, dtype=str) for words in documents],
    "list of object arrays": lambda documents: [
        np.array(words, dtype=object) for words in documents
    ],
    "list of StringDType arrays": lambda documents: [
        np.array(words, dtype=np.dtypes.StringDType()) for words in documents
    ],
    "list of Series": lambda documents: [pd.Series(words, dtype="str") for words in documents],
    "list of category Series": lambda documents: [
        pd.Series(words, dtype="category") for words in documents
    ],
    "list of string[pyarrow] Series": lambda documents: [
        pd.Series(words, dtype="string[pyarrow]") for words in documents
    ],
    "list of pandas Index": lambda documents: [
        pd.Index(words, dtype=object) for words in documents
    ],
    "list of polars Series": lambda documents: [
        pl.Series(words, dtype=pl.String) for words in documents
    ],
    "list of Arrow arrays": lambda documents: [
        pa.array(words, type=pa.string()) for words in documents
    ],
    "object array": as_objects,
    "read-only view, backwards": lambda documents: as_objects(documents[::-1])[::-1],
    "Series": lambda documents: pd.Series(
        documents, index=["z", 3, "z"][: len(documents)], dtype=object
    ),
    "Series of arrays": lambda documents: pd.Series(
        [np.array(words, dtype=object) for words in documents], dtype=object
    ),
    "Series of Arrow lists": lambda documents: pd.Series(
        documents, dtype=pd.ArrowDtype(ARROW_LISTS)
    ),
    "DataFrame of one column": lambda documents: pd.DataFrame(
        {"words": pd.Series(documents, dtype=object)}
    ),
    "polars Series": lambda documents: pl.Series("words", documents, dtype=pl.List(pl.String)),
    "polars DataFrame": lambda documents: pl.DataFrame(
        {"words": documents}, schema={"words": pl.List(pl.String)}
    ),
    "iterator": iter,
    "deque": deque,
    "Arrow array": lambda documents: pa.array(documents, type=ARROW_LISTS),
    "Arrow chunks": lambda documents: pa.chunked_array([pa.array(documents, type=ARROW_LISTS)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_alike(kind: str) -> None:
    documents = read_documents(KINDS[kind](DOCUMENTS))
    assert documents.texts == ["The bat flew .", "", "Hit"]
    assert documents.spans.tolist() == [[0, 3], [4, 7], [8, 12], [13, 14], [0, 3]]
    assert documents.offsets.tolist() == [0, 4, 4, 5]
    assert documents.words == ["The", "bat", "flew", ".", "Hit"]
    assert documents.nested == DOCUMENTS
    assert {type(value) for value in (*documents.texts, *documents.words)} == {str}
    assert documents.spans.dtype == documents.offsets.dtype == np.dtype(np.int64)
    assert len(documents) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_no_documents(kind: str) -> None:
    documents = read_documents(KINDS[kind]([]))
    assert (
        documents.texts,
        documents.words,
        documents.offsets.tolist(),
        documents.spans.shape,
    ) == ([], [], [0], (0, 2))


def test_rows_of_a_matrix_are_documents() -> None:
    for dtype in (object, str):
        assert words_by_document(
            read_documents(np.array([["a", "b"], ["c", "d"]], dtype=dtype))
        ) == [["a", "b"], ["c", "d"]]
    assert words_by_document(read_documents(np.array([["a"], ["b"]]), PATTERN)) == [["a"], ["b"]]


def test_the_input_stays_as_it_was() -> None:
    series = pd.Series([[" a ", "b"], ["c"]], index=["x", "x"])
    read_documents(series)
    assert series.tolist() == [[" a ", "b"], ["c"]]


@pytest.mark.parametrize(
    ("words", "text", "spans"),
    [
        (["a", "", "b"], "a b", [(0, 1), (0, 0), (2, 3)]),
        (["  ", "a", "\t\n\u00a0"], "a", [(0, 0), (0, 1), (0, 0)]),
        ([" a ", "New York\n"], "a New York", [(0, 1), (2, 10)]),
        (["", ""], "", [(0, 0), (0, 0)]),
        (["\ud800x", "\udc00"], "\ufffdx \ufffd", [(0, 2), (3, 4)]),
        (
            ["\ud83e\udd87", "\ud83e", "\udd87"],
            "\U0001f987 \ufffd \ufffd",
            [(0, 1), (2, 3), (4, 5)],
        ),
        (["e\u0301", "\u200b", "\0"], "e\u0301 \u200b \0", [(0, 2), (3, 4), (5, 6)]),
    ],
)
def test_odd_words_keep_their_rows(
    words: list[str], text: str, spans: list[tuple[int, int]]
) -> None:
    documents = read_documents([words, ["x"]])
    assert documents.texts == [text, "x"]
    assert list(map(tuple, documents.spans.tolist())) == [*spans, (0, 1)]


WILD = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("ab .,\t\n\0\u00a0\u200b\u200d\u0301\ud83e\udd87\ud800\U0001f987\ufe0fİßΣ"),
        st.characters(categories=["Cs"]),
    ),
    max_size=12,
)


@settings(max_examples=200)
@given(st.lists(st.lists(WILD, max_size=5), max_size=5))
def test_every_word_has_one_row_and_its_offsets(documents: list[list[str]]) -> None:
    read = read_documents(documents)
    assert np.diff(read.offsets).tolist() == [len(words) for words in documents]
    assert words_by_document(read) == [
        [replace_lone_surrogates(word).strip() for word in words] for words in documents
    ]
    for text, words in zip(read.texts, words_by_document(read), strict=True):
        assert text == " ".join(filter(None, words))
        text.encode()
    for start, end in read.spans.tolist():
        assert start < end or start == end == 0


@settings(max_examples=200)
@given(
    st.lists(WILD, max_size=5),
    st.sampled_from([PATTERN, r"\S+", r"(?u)\b\w\w+\b", r"\w*", r"(\w+)\s", r"\W(\w*)|."]),
)
def test_matches_of_a_pattern_are_the_words(texts: list[str], pattern: str) -> None:
    read = read_documents(texts, pattern)
    assert read.texts == list(map(replace_lone_surrogates, texts))
    expected = [[word.strip() for word in re.findall(pattern, text) if word] for text in read.texts]
    assert words_by_document(read) == expected


@settings(max_examples=200)
@given(
    st.lists(WILD, max_size=5),
    st.sampled_from([str.split, list, re.compile(r"\w+").findall, str.splitlines]),
)
def test_words_that_a_callable_returns_are_found(
    texts: list[str], tokenizer: Callable[[str], list[str]]
) -> None:
    read = read_documents(texts, tokenizer)
    assert read.texts == list(map(replace_lone_surrogates, texts))
    assert words_by_document(read) == [
        [word.strip() for word in tokenizer(text)] for text in read.texts
    ]
    for first, last in pairwise(read.offsets.tolist()):
        offsets = [pair for pair in read.spans[first:last].tolist() if pair != [0, 0]]
        assert offsets == sorted(offsets), "one after the other"


def test_places_are_those_in_the_text() -> None:
    documents = read_documents(["a bat, a bat", ["a", "bat"]], PATTERN)
    assert documents.spans.tolist() == [[0, 1], [2, 5], [5, 6], [7, 8], [9, 12], [0, 1], [2, 5]]
    assert read_documents(["<b>tea</b> <b>cup</b>"], r"<b>(\w+)").spans.tolist() == [
        [3, 6],
        [14, 17],
    ]
    assert read_documents([" a  bat "], r"\s*\w+\s*|$").spans.tolist() == [[1, 2], [4, 7]]
    assert read_documents(["a \t b"], r"\w+|\s+").spans.tolist() == [[0, 1], [0, 0], [4, 5]]
    assert read_documents(["a  b"], lambda text: text.split(" ")).spans.tolist() == [
        [0, 1],
        [0, 0],
        [3, 4],
    ]


def test_lists_are_not_tokenized() -> None:
    assert read_documents([["New York", "isn't"], "isn't"], PATTERN).words == [
        "New York",
        "isn't",
        "isn",
        "'",
        "t",
    ]


def test_a_tokenizer_may_return_any_iterable() -> None:
    def tokenize(text: str) -> Iterator[Any]:
        return map(np.str_, text.split())

    assert read_documents(["a bat"], tokenize).words == ["a", "bat"]


@pytest.mark.parametrize("tokenizer", ["(", r"(a)(b)", 3, ["a"]])
def test_what_is_no_tokenizer_is_refused(tokenizer: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'tokenizer' parameter must be a callable .* or a regular expression",
    ):
        read_documents([["a"]], tokenizer)


@pytest.mark.parametrize("returned", ["a bat", b"a", None, 3, [1], ["a", None]])
def test_a_tokenizer_that_returns_no_words_is_refused(returned: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'tokenizer' parameter must be .* list of str .* For 'a bat' in row 1 it",
    ) as caught:
        read_documents([["x"], "a bat"], lambda text: returned)
    assert f"it returned {returned!r}. Let it return the words of the text" in str(caught.value)


@pytest.mark.parametrize("words", [["a", "BAT"], ["bat", "a"], ["bat", "bat"]])
def test_a_tokenizer_that_changes_words_is_refused(words: list[str]) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=(
            r"Word 1 of row 0, '(BAT|bat|a)', is not in the rest of its text,"
            r" .*tokenizer\(text\) for"
        ),
    ):
        read_documents(["a bat"], lambda text: words)


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        *((word, "str(word)") for word in (None, float("nan"), pd.NA, 3, np.float32(1))),
        (b"bat", "word.decode('utf-8')"),
        (["bat"], "one level too deep"),
        (("bat",), "one level too deep"),
    ],
)
@pytest.mark.parametrize("tokenizer", [None, PATTERN])
def test_a_word_that_is_none_is_named(word: Any, remedy: str, tokenizer: str | None) -> None:
    with pytest.raises(InvalidTextError) as caught:
        read_documents([["a"], ["b", "c", word]], tokenizer)
    message = str(caught.value)
    assert "Each word must be a str" in message
    assert repr(word) in message
    assert "word 2 of document 1." in message
    assert remedy in message
    assert ("str(word)" in message) == (remedy == "str(word)")


def test_documents_of_documents_are_too_deep() -> None:
    for X in ([[["Ann"]]], [np.array([["Ann", "x"]])], pd.Series([[["Ann"]]])):
        with pytest.raises(
            InvalidTextError,
            match=r"Got list .* as word 0 of document 0.*one level too deep.* for word in part\]",
        ):
            read_documents(X)


def test_portions_have_the_numbers_of_the_whole() -> None:
    with pytest.raises(InvalidTextError, match=r"as word 0 of document 1025\."):
        read_documents([["a"], [None]], first=1024)
    with pytest.raises(InvalidTextError, match=r"as document 1025 \(index 'y'\)"):
        read_documents(pd.Series([["a"], None], index=["x", "y"]), first=1024)
    with pytest.raises(InvalidTextError, match=r"Got the text 'a bat' as document 1025\."):
        read_documents([["a"], "a bat"], first=1024)
    with pytest.raises(InvalidParameterError, match=r"Word 0 of row 1025, 'x'"):
        read_documents([["a"], "a bat"], lambda text: ["x"], first=1024)


def test_missing_words_of_arrow_and_polars_are_named() -> None:
    for X in (
        pl.Series([["a", None]]),
        pa.array([["a", None]]),
        pd.Series([["a", None]], dtype=pd.ArrowDtype(ARROW_LISTS)),
    ):
        with pytest.raises(InvalidTextError, match="Got NoneType None as word 1 of document 0"):
            read_documents(X)


@pytest.mark.parametrize(
    "document",
    [None, float("nan"), pd.NA, 3, b"a bat", {"a": 1}, {"a"}, np.float64("nan"), iter(["a"])],
)
@pytest.mark.parametrize("tokenizer", [None, PATTERN])
def test_a_document_that_is_none_is_named(document: Any, tokenizer: str | None) -> None:
    rule, remedy = (
        (r"a text or a list of str", r"Put a text .* ''")
        if tokenizer
        else ("a list of str", "Leave it out")
    )
    with pytest.raises(
        InvalidTextError, match=rf"Each document must be {rule}\. Got .* as document 1\. {remedy}"
    ):
        read_documents([["a"], document], tokenizer)


def test_missing_documents_are_named_by_their_index() -> None:
    with pytest.raises(InvalidTextError, match=r"Got NoneType None as document 1 \(index 'y'\)"):
        read_documents(pd.Series([["a"], None], index=["x", "y"]))
    with pytest.raises(InvalidTextError, match=r"as word 0 of document 0 \(index 7\)"):
        read_documents(pd.Series([[None]], index=[7]))
    with pytest.raises(InvalidTextError, match="as document 1"):
        read_documents(pl.Series([["a"], None]))


@pytest.mark.parametrize(
    "X",
    [
        ["a", "bat"],
        ("a", "bat"),
        np.array(["a", "bat"]),
        pd.Series(["a", "bat"]),
        pl.Series(["a", "bat"]),
    ],
)
def test_words_without_documents_and_texts_without_a_tokenizer(X: Any) -> None:
    with pytest.raises(InvalidTextError) as caught:
        read_documents(X)
    for part in (
        "Got 2 str, the first of them 'a'",
        "[words]",
        "text.split()",
        r"tokenizer=r'\w+|[^\w\s]'",
    ):
        assert part in str(caught.value)
    assert read_documents(X, PATTERN).words == ["a", "bat"]


def test_a_text_among_lists_is_named() -> None:
    with pytest.raises(
        InvalidTextError,
        match=r"Got the text 'a bat' as document 1\. .*text\.split\(\).*tokenizer=",
    ):
        read_documents([["a"], "a bat"])


@pytest.mark.parametrize("tokenizer", [None, PATTERN])
@pytest.mark.parametrize("X", ["a bat", b"a bat"])
def test_a_single_text_is_refused(X: Any, tokenizer: str | None) -> None:
    remedy = (
        {str: r"\[text\]", bytes: r"\[text\.decode\('utf-8'\)\]"}[type(X)]
        if tokenizer
        else r"\[words\]"
    )
    with pytest.raises(
        InvalidTextError, match=rf"X must hold documents.*Got a single (str|bytes).*{remedy}\.$"
    ):
        read_documents(X, tokenizer)


@pytest.mark.parametrize(
    "X",
    [None, 3, {"a": ["b"]}, {"a"}, np.array("a"), np.array([[["a"]]]), pl.LazyFrame({"a": ["b"]})],
)
def test_what_holds_no_documents_is_refused(X: Any) -> None:
    with pytest.raises(
        InvalidTextError,
        match=(
            rf"X must hold documents, each a list of words.*Got {type(X).__name__}.* Make a list"
            r" of it"
        ),
    ):
        read_documents(X)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_a_table_of_words_is_refused_with_a_remedy(kind: Any) -> None:
    with pytest.raises(
        InvalidTextError,
        match=r"2 columns: \['sentence', 'word'\]\. Choose one.*groupby\('sentence'",
    ):
        read_documents(kind({"sentence": [0, 0, 1], "word": ["a", "bat", "flew"]}))
