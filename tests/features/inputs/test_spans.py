"""Tables of texts with a span in each: by bounds, or by a word."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.features.inputs.spans import read_spans

COLUMNS: dict[str, list[Any]] = {
    "text": ["The old bat flew.", "bat", "A ball"],
    "start": [8, 0, 2],
    "end": [11, 3, 6],
}
SPANS = [[8, 11], [0, 3], [2, 6]]


def arrow(kind: Any) -> Any:
    return pd.ArrowDtype(kind)


KINDS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pandas": pd.DataFrame,
    "objects": lambda columns: pd.DataFrame(columns, dtype=object),
    "odd index": lambda columns: pd.DataFrame(columns, index=["z", 3, "z"][: len(columns["text"])]),
    "floats": lambda columns: pd.DataFrame(columns).astype({"start": float, "end": np.float32}),
    "nullable": (
        lambda columns: pd.DataFrame(columns).astype(
            {"text": "string", "start": "Int64", "end": "Float64"}
        )
    ),
    "unsigned": lambda columns: pd.DataFrame(columns).astype({"start": np.uint64, "end": np.uint8}),
    "categories": lambda columns: pd.DataFrame(columns).astype("category"),
    "Arrow": (
        lambda columns: pd.DataFrame(columns).astype(
            {"text": arrow(pa.string()), "start": arrow(pa.int32()), "end": arrow(pa.int64())}
        )
    ),
    "string[pyarrow]": lambda columns: pd.DataFrame(columns).astype({"text": "string[pyarrow]"}),
    "other columns": lambda columns: pd.DataFrame(
        {"label": columns["start"], **columns, "word": columns["text"]}
    ),
    "repeated other columns": lambda columns: pd.concat(
        [pd.DataFrame(columns), *[pd.DataFrame({"x": columns["text"]})] * 2], axis=1
    ),
    "polars": lambda columns: pl.DataFrame(
        columns, schema={"text": pl.String, "start": pl.Int64, "end": pl.UInt8}
    ),
    "pyarrow": lambda columns: pa.table(
        columns, schema=pa.schema({"text": pa.string(), "start": pa.int64(), "end": pa.int32()})
    ),
    "pyarrow with repeated other columns": lambda columns: pa.table(
        [*columns.values(), columns["text"], columns["text"]], names=[*columns, "x", "x"]
    ),
    "polars floats and categories": lambda columns: pl.DataFrame(
        columns, schema={"text": pl.Categorical, "start": pl.Float64, "end": pl.Int64}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_reads_alike(kind: str) -> None:
    table = read_spans(KINDS[kind](COLUMNS))
    assert table.texts == COLUMNS["text"]
    assert {type(text) for text in table.texts} == {str}
    assert table.spans.tolist() == SPANS
    assert table.spans.dtype == np.int64
    assert table.is_missing.tolist() == [False] * 3


@pytest.mark.parametrize("missing", ["error", "zero", "nan"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind: str, missing: str) -> None:
    table = read_spans(KINDS[kind]({"text": [], "start": [], "end": []}), missing=missing)
    assert (
        table.texts,
        table.spans.shape,
        table.is_missing.shape,
        table.is_missing.dtype.kind,
    ) == ([], (0, 2), (0,), "b")


def test_the_input_stays_as_it_was() -> None:
    frame = pd.DataFrame({**COLUMNS, "start": [8, None, 2]})
    before = frame.copy(deep=True)
    read_spans(frame, missing="zero")
    pd.testing.assert_frame_equal(frame, before)


def test_columns_have_the_names_that_are_given() -> None:
    frame = pd.DataFrame(COLUMNS).rename(
        columns={"text": "sentence", "start": 0, "end": ("a", "b")}
    )
    assert read_spans(frame, "sentence", 0, ("a", "b")).spans.tolist() == SPANS
    levels = pd.DataFrame({("a", name): values for name, values in COLUMNS.items()})
    assert read_spans(levels, ("a", "text"), ("a", "start"), ("a", "end")).spans.tolist() == SPANS


# ---- Words


@pytest.mark.parametrize(
    "kind", [pd.DataFrame, pl.DataFrame, lambda columns: pd.DataFrame(columns).astype("category")]
)
def test_a_word_is_found_whole_or_else_as_a_part(kind: Any) -> None:
    words = {
        "text": ["batty Bat bat", "two bats", "a credit  card", "我喜欢苹果", "cafe\u0301"],
        "word": ["bat", "BAT", " credit card\n", "苹果", "café"],
    }
    assert read_spans(kind(words)).spans.tolist() == [[6, 9], [4, 7], [2, 14], [3, 5], [0, 5]]


def test_bounds_come_before_words_unless_named_otherwise() -> None:
    frame = pd.DataFrame(
        {"text": ["a bat"], "start": [0], "end": [1], "word": ["bat"], "other": ["a bat"]}
    )
    assert read_spans(frame).spans.tolist() == [[0, 1]]
    assert read_spans(frame, start=None, end=None).spans.tolist() == [[2, 5]]
    assert read_spans(frame, start=None, end=None, word="other").spans.tolist() == [[0, 5]]


def test_a_word_that_was_named_comes_before_bounds() -> None:
    frame = pd.DataFrame({"text": ["a bat"], "start": [0], "end": [1], "other": ["bat"]})
    assert read_spans(frame, word="other").spans.tolist() == [[2, 5]]
    assert read_spans(frame, word=None).spans.tolist() == [[0, 1]]
    assert read_spans(frame.rename(columns={"text": "word"}), text="word").spans.tolist() == [
        [0, 1]
    ], "no word is read"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"start": None},
            (
                r"'start' and 'end' parameters must be two names, or both None. Got start=None and"
                r" end='end'.*set both"
            ),
        ),
        ({"end": None}, r"Got start='start' and end=None"),
        (
            {"start": None, "end": None, "word": None},
            r"'word' parameter must be the name of a column .* Got None",
        ),
        (
            {"start": "from", "end": "to", "word": "other"},
            r"Got start='from', end='to' and word='other' instead\. Give either",
        ),
        (
            {"end": "to", "word": "other"},
            r"Got start='start', end='to' and word='other' instead\. Give either",
        ),
        (
            {"word": "text"},
            r"'text' and 'word' parameters must name two columns of X\. Got 'text' for both",
        ),
        (
            {"text": "word", "start": None, "end": None},
            r"'text' and 'word' parameters .* Got 'word' for both",
        ),
        ({"end": "start"}, r"'start' and 'end' parameters .* Got 'start' for both"),
        ({"start": "text"}, r"'text' and 'start' parameters .* Got 'text' for both"),
    ],
)
def test_names_that_contradict_one_another_are_refused(
    parameters: dict[str, Any], message: str
) -> None:
    names = ("start", "end", "from", "to")
    frame = pd.DataFrame(
        {"text": ["a bat"], **{name: [1] for name in names}, "word": ["bat"], "other": ["bat"]}
    )
    with pytest.raises(InvalidParameterError, match=message):
        read_spans(frame, **parameters)


# ---- Missing rows

MISSING = {
    "bounds": pd.DataFrame(
        {
            "text": ["a bat", None, "a bat", "a bat", "a bat"],
            "start": [2, 2, None, 2, None],
            "end": [5, 5, 5, None, float("nan")],
        },
        index=list("vwxyz"),
    ),
    "words": pd.DataFrame(
        {
            "text": ["a bat", None, "a bat", "a bat", ""],
            "word": ["bat", "bat", None, "ball", "bat"],
        },
        index=list("vwxyz"),
    ),
    "nullable": pd.DataFrame(
        {
            "text": ["a bat", pd.NA, "a bat", "a bat", "a bat"],
            "start": [2, 2, pd.NA, 2, pd.NA],
            "end": [5, 5, 5, pd.NA, pd.NA],
        }
    ).astype({"text": "string", "start": "Int64", "end": arrow(pa.int64())}),
    "polars": pl.DataFrame(
        {
            "text": ["a bat", None, "a bat", "a bat", "a bat"],
            "start": [2, 2, None, 2, 1],
            "end": [5, 5, 5, None, None],
        }
    ),
    "blank words": pl.DataFrame({"text": ["a bat"] * 5, "word": ["bat", "", " ", None, "\n"]}),
}


@pytest.mark.parametrize("missing", ["zero", "nan"])
@pytest.mark.parametrize("kind", MISSING)
def test_missing_rows_are_marked(kind: str, missing: str) -> None:
    table = read_spans(MISSING[kind], missing=missing)
    assert table.is_missing.tolist() == [False, True, True, True, True]
    assert table.texts == ["a bat", "", "", "", ""]
    assert table.spans.tolist() == [[2, 5], *[[0, 0]] * 4]


@pytest.mark.parametrize("kind", MISSING)
def test_missing_rows_are_refused_by_default(kind: str) -> None:
    with pytest.raises(
        InvalidTextError,
        match=(
            r"X has 4 row\(s\) without a span, and missing='error' allows none: row 1\b.*'zero' or"
            r" 'nan'"
        ),
    ):
        read_spans(MISSING[kind])


def test_refused_rows_are_named_with_what_they_lack() -> None:
    with pytest.raises(InvalidTextError) as caught:
        read_spans(MISSING["bounds"])
    for part in (
        "row 1 (index 'w'): no text",
        "row 2 (index 'x'): no 'start'",
        "(index 'y'): no 'end'",
        "'z'): no 'start' and 'end'.",
    ):
        assert part in str(caught.value)
    with pytest.raises(
        InvalidTextError,
        match=r"row 2 \(index 'x'\): no word, row 3 \(index 'y'\): 'ball' is not in its text",
    ):
        read_spans(MISSING["words"])
    with pytest.raises(
        InvalidTextError, match=r"X has 7 row.*row 4: 'b' is not in its text, \.\.\.\. Mend"
    ):
        read_spans(pl.DataFrame({"text": ["a"] * 7, "word": ["b"] * 7}))


@pytest.mark.parametrize("missing", ["empty", "blank", None, True])
def test_a_wrong_missing_is_named(missing: Any) -> None:
    with pytest.raises(
        InvalidParameterError, match="'missing' parameter must be one of 'error', 'zero', 'nan'"
    ):
        read_spans(pd.DataFrame(COLUMNS), missing=missing)


# ---- Bounds


@pytest.mark.parametrize("missing", ["error", "zero"])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (-1, 3), (3, 3), (3, 2), (0, 6), (5, 6), (0, 10**30), (1.5, 3), (0, 2.000001),
        (0, float("inf")), ("0", 3), (0, "3"), (True, 3), (np.True_, 3), (0, 3j), ([0], 3),
        (b"0", 3), (Decimal("0.5"), 3), (pd.Timestamp(0), 3), (1.5, None), ("x", None),
    ],
)  # fmt: skip
def test_bounds_outside_of_the_text_or_between_characters_are_refused(
    start: Any, end: Any, missing: str
) -> None:
    frame = pd.DataFrame(
        {"text": ["a bat", "a bat"], "start": [0, start], "end": [1, end]},
        index=["x", "y"],
        dtype=object,
    )
    with pytest.raises(InvalidTextError) as caught:
        read_spans(frame, missing=missing)
    message = str(caught.value)
    assert "whole numbers with 0 <= start < end <= the number of characters" in message
    assert (
        f"Got start={start!r} and end={end!r} in row 1 (index 'y'), whose text has 5 characters"
        in message
    )
    assert "as Python's str does" in message


@pytest.mark.parametrize("missing", ["error", "zero"])
def test_an_empty_text_has_no_spans(missing: str) -> None:
    with pytest.raises(InvalidTextError, match="row 0, whose text has 0 characters"):
        read_spans(pl.DataFrame({"text": [""], "start": [0], "end": [1]}), missing=missing)


@pytest.mark.parametrize("whole", [int, float, np.int8, np.uint64, np.float16, Decimal])
def test_whole_numbers_of_any_kind(whole: Callable[[int], Any]) -> None:
    frame = pd.DataFrame({"text": ["a bat"], "start": [whole(2)], "end": [whole(5)]}, dtype=object)
    assert read_spans(frame).spans.tolist() == [[2, 5]]


# ---- Columns


@pytest.mark.parametrize(
    ("names", "parameters", "fault"),
    [
        (
            ["txt", "start", "end"],
            {},
            r"'text' parameter must be the name of a column of X. Got 'text'",
        ),
        (["text", "begin", "end"], {}, r"'start' parameter .* Got 'start'"),
        (["text", "start", "stop"], {}, r"'end' parameter .* Got 'end'"),
        (["text", "word", "x"], {"start": "from", "end": "to"}, r"'start' parameter .* Got 'from'"),
        (["text", "word", "x"], {"end": "to"}, r"'start' parameter .* Got 'start'"),
        (["text", "from", "word"], {"start": "from", "end": "to"}, r"'end' parameter .* Got 'to'"),
        (["text", "term", "x"], {}, r"none of them 'start' or 'end' or 'word'"),
        (["text", "start", "end"], {"start": None, "end": None}, r"none of them 'word'"),
        (["text", "word", "x"], {"word": "term"}, r"'word' parameter .* Got 'term'"),
        (["text", "start", "end"], {"word": "term"}, r"'word' parameter .* Got 'term'"),
    ],
)
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_columns_that_are_not_there_are_named_with_those_that_are(
    kind: Any, names: list[str], parameters: Any, fault: str
) -> None:
    with pytest.raises(
        InvalidTextError if fault.startswith("none") else InvalidParameterError, match=fault
    ) as caught:
        read_spans(kind({name: ["1"] for name in names}), **parameters)
    assert ", ".join(map(repr, names)) in str(caught.value)
    assert "the parameters 'text'" in str(caught.value)


def test_a_table_without_columns_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match=r"X has the columns \(none\)"):
        read_spans(pd.DataFrame())
    with pytest.raises(InvalidParameterError, match=r"'c19', \.\.\."):
        read_spans(pd.DataFrame({f"c{number}": [1] for number in range(30)}))


@pytest.mark.parametrize("name", ["text", "start", "end"])
def test_repeated_columns_are_refused(name: str) -> None:
    frame = pd.DataFrame(COLUMNS)
    with pytest.raises(InvalidTextError, match=f"must have one column '{name}'. Got 2"):
        read_spans(pd.concat([frame, frame[[name]]], axis=1))


def test_an_element_that_is_no_text_is_refused() -> None:
    for column in ("text", "word"):
        with pytest.raises(
            InvalidTextError, match=r"must be str, or missing\. Got int 3 in row 1 \(index 'y'\)"
        ):
            read_spans(
                pd.DataFrame(
                    {"text": ["a", "b"], "word": ["a", "b"], column: ["a", 3]}, index=["x", "y"]
                )
            )


@pytest.mark.parametrize(
    "X",
    [
        COLUMNS,
        ["a bat"],
        "a bat",
        None,
        pd.Series(["a"]),
        np.array([["a", 0, 1]]),
        pl.LazyFrame(COLUMNS),
    ],
)
def test_what_is_no_table_is_refused_with_a_remedy(X: Any) -> None:
    remedy = r"\.collect\(\)" if isinstance(X, pl.LazyFrame) else r"pd\.DataFrame\("
    with pytest.raises(
        InvalidTextError,
        match=rf"must be a pandas or polars DataFrame.*Got {type(X).__name__}\..*{remedy}",
    ):
        read_spans(X)


# ---- Wild texts

WILD = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("ab \t\n\0\u00a0\u200b\u200d\u0301\ud83e\udd87\ud800\U0001f987\ufe0fİßΣ"),
        st.characters(categories=["Cs"]),
    ),
    min_size=1,
    max_size=12,
)


@st.composite
def spans_in_texts(draw: st.DrawFn) -> tuple[str, int, int]:
    text = draw(WILD)
    start = draw(st.integers(0, len(text) - 1))
    return text, start, draw(st.integers(start + 1, len(text)))


@settings(max_examples=200)
@given(st.lists(spans_in_texts(), min_size=1, max_size=5))
def test_spans_stay_in_characters_of_the_text(rows: list[tuple[str, int, int]]) -> None:
    texts, starts, ends = map(list, zip(*rows, strict=True))
    table = read_spans(
        pd.DataFrame({"text": pd.Series(texts, dtype=object), "start": starts, "end": ends})
    )
    assert table.texts == texts
    assert table.spans.tolist() == [list(row[1:]) for row in rows]


@settings(max_examples=200)
@given(spans_in_texts())
def test_a_part_of_a_text_is_found_as_a_word(row: tuple[str, int, int]) -> None:
    text, start, end = row
    text, word = normalize("NFC", text), normalize("NFC", text)[start:end]
    frame = pd.DataFrame(
        {"text": pd.Series([text], dtype=object), "word": pd.Series([word], dtype=object)}
    )
    table = read_spans(frame, missing="zero")
    if word.strip() and word == normalize("NFC", word):
        ((first, last),) = table.spans.tolist()
        assert not table.is_missing[0]
        assert 0 <= first < last <= len(text)
        assert text[first:last].strip() == text[first:last]
    elif not word.strip():
        assert table.is_missing[0]
