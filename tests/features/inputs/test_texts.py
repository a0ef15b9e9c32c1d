from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.features import read_texts
from bertvectorizer.features.inputs.texts import list_iterable, read_columns

TEXTS = ["the old bat", "", "a ball"]
ODD_INDEX = ["z", 3, "z"]


class DatasetColumn(Sequence[Any]):
    """A lazy sequence, as a column of a Hugging Face dataset is."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]


class OldSequence:
    """What `iter` takes though it has no ``__iter__``, as a dataset of torch."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __getitem__(self, key: int) -> Any:
        return self._values[key]


KINDS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "list of np.str_": lambda texts: [np.str_(text) for text in texts],
    "ndarray of object": lambda texts: np.array(texts, dtype=object),
    "ndarray of str": lambda texts: np.array(texts, dtype=str),
    "ndarray of StringDType": lambda texts: np.array(texts, dtype=np.dtypes.StringDType()),
    "ndarray (n, 1)": lambda texts: np.array(texts, dtype=object).reshape(-1, 1),
    "read-only view, every other row": lambda texts: np.array(
        [part for text in texts for part in (text, "skipped")], dtype=object
    )[::2],
    "Series of object": lambda texts: pd.Series(texts, dtype=object),
    "Series of str": lambda texts: pd.Series(texts, dtype="str"),
    "Series of string[python]": lambda texts: pd.Series(texts, dtype="string[python]"),
    "Series of string[pyarrow]": lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
    "Series of Arrow strings": lambda texts: pd.Series(texts, dtype=pd.ArrowDtype(pa.string())),
    "Series of Arrow large strings": lambda texts: pd.Series(
        texts, dtype=pd.ArrowDtype(pa.large_string())
    ),
    "Series of categories": lambda texts: pd.Series(texts, dtype="category"),
    "Series with an odd index": lambda texts: pd.Series(texts, index=ODD_INDEX[: len(texts)]),
    "Series with a MultiIndex": lambda texts: pd.Series(
        texts, index=pd.MultiIndex.from_product([["a"], range(len(texts))])
    ),
    "DataFrame of one column": lambda texts: pd.DataFrame({"text": texts}),
    "DataFrame of one category column": lambda texts: pd.DataFrame({"text": pd.Categorical(texts)}),
    "pandas Index": lambda texts: pd.Index(texts, dtype=object),
    "pandas extension array": lambda texts: pd.array(texts, dtype="string"),
    "polars Series": lambda texts: pl.Series("text", texts, dtype=pl.String),
    "polars Categorical": lambda texts: pl.Series("text", texts, dtype=pl.Categorical),
    "polars Enum": lambda texts: pl.Series("text", texts, dtype=pl.Enum(sorted(set(texts)))),
    "polars DataFrame of one column": lambda texts: pl.DataFrame(
        {"text": texts}, schema={"text": pl.String}
    ),
    "column of a dataset": DatasetColumn,
    "sequence without __iter__": OldSequence,
    "deque": deque,
    "iterator": iter,
    "generator": lambda texts: (text for text in texts),
    "values of a dict": lambda texts: dict(enumerate(texts)).values(),
    "pyarrow array": lambda texts: pa.array(texts, type=pa.string()),
    "pyarrow chunked array": lambda texts: pa.chunked_array([pa.array(texts, type=pa.string())]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column_reads_alike(kind: str) -> None:
    column = read_texts(KINDS[kind](TEXTS))
    assert column.texts == TEXTS
    assert {type(text) for text in column.texts} == {str}
    assert not column.is_missing.any()


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind: str) -> None:
    column = read_texts(KINDS[kind]([]))
    assert column.texts == []
    assert column.is_missing.shape == (0,)


def test_the_input_stays_as_it_was() -> None:
    series = pd.Series(["a", None, "b"], index=ODD_INDEX, name="text", dtype=object)
    before = series.copy(deep=True)
    read_texts(series)
    pd.testing.assert_series_equal(series, before)


MISSING_KINDS: dict[str, Any] = {
    "None": ["a", None, "b"],
    "NaN": ["a", float("nan"), "b"],
    "np.float32 NaN": np.array(["a", np.float32("nan"), "b"], dtype=object),
    "pd.NA": ["a", pd.NA, "b"],
    "pd.NaT": ["a", pd.NaT, "b"],
    "Series of object": pd.Series(["a", None, "b"], dtype=object),
    "Series of str": pd.Series(["a", None, "b"], dtype="str"),
    "Series of string": pd.Series(["a", None, "b"], dtype="string"),
    "Series of Arrow strings": pd.Series(["a", None, "b"], dtype=pd.ArrowDtype(pa.string())),
    "Series of categories": pd.Series(["a", None, "b"], dtype="category"),
    "DataFrame": pd.DataFrame({"text": ["a", None, "b"]}),
    "polars Series": pl.Series(["a", None, "b"]),
    "polars Categorical": pl.Series(["a", None, "b"], dtype=pl.Categorical),
    "polars DataFrame": pl.DataFrame({"text": ["a", None, "b"]}),
    "masked array": np.ma.array(["a", "hidden", "b"], mask=[False, True, False]),
    "pyarrow": pa.array(["a", None, "b"]),
    "column of a dataset": DatasetColumn(["a", None, "b"]),
}


@pytest.mark.parametrize("missing", ["empty", "zero", "nan"])
@pytest.mark.parametrize("kind", MISSING_KINDS)
def test_a_missing_text_reads_as_an_empty_one(kind: str, missing: str) -> None:
    column = read_texts(MISSING_KINDS[kind], missing)
    assert column.texts == ["a", "", "b"]
    assert column.is_missing.tolist() == [False, True, False]


@pytest.mark.parametrize("kind", MISSING_KINDS)
def test_missing_texts_are_refused_where_asked(kind: str) -> None:
    with pytest.raises(
        InvalidTextError, match=r"X has 1 missing text.*missing='error'.*row 1\b.*[Ff]ill them"
    ):
        read_texts(MISSING_KINDS[kind], "error")


def test_missing_error_names_the_first_rows_and_their_labels() -> None:
    series = pd.Series([None, "a", *[None] * 6], index=list("stuvwxyz"))
    with pytest.raises(InvalidTextError) as caught:
        read_texts(series, "error")
    message = str(caught.value)
    assert "X has 7 missing text(s)" in message
    assert "row 0 (index 's')" in message
    assert "row 5 (index 'x'), ..." in message
    assert "row 6" not in message


def test_missing_error_passes_a_full_column() -> None:
    assert read_texts(TEXTS, "error").texts == TEXTS


@pytest.mark.parametrize("missing", ["drop", "", None, True, ["empty"]])
def test_missing_has_four_choices(missing: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"The 'missing' parameter must be one of 'empty', 'error', 'zero', 'nan'. Got ",
    ):
        read_texts(TEXTS, missing)


# What came (as the message must say it), the remedy, and the input.
BAD_COLUMNS: dict[str, tuple[str, str, Any]] = {
    "a bare str": ("single str: 'the old bat'", "put it in a list, [text]", "the old bat"),
    "a bare np.str_": ("single str", "put it in a list", np.str_("the old bat")),
    "bare bytes": ("single bytes: b'bat'", "decode", b"bat"),
    "None": ("Got NoneType", "list", None),
    "a number": ("Got int", "list", 5),
    "a NumPy number": ("0-D array", "reshape", np.float64(5)),
    "a dict": ("Got dict", "list", {"text": ["a"]}),
    "a set": ("Got set", "in the order of your rows", {"a"}),
    "a frozenset": ("Got frozenset", "in the order of your rows", frozenset("a")),
    "a 0-D array": ("0-D array", "X.reshape(1)", np.array("a")),
    "a 2-D array": ("shape (2, 2)", "X[:, 0]", np.array([["a", "b"], ["c", "d"]])),
    "a 3-D array": ("shape (1, 1, 1)", "Reshape", np.array([[["a"]]])),
    "no columns": ("shape (2, 0)", "Reshape", np.empty((2, 0), dtype=object)),
    "a sparse matrix": ("sparse csr_matrix", "dense column of texts", sp.csr_matrix((2, 1))),
    "a sparse array": ("sparse csr_array", "dense column of texts", sp.csr_array((2, 1))),
    "a wide DataFrame": (
        "2 columns: ['a', 'b']",
        "df['text']",
        pd.DataFrame({"a": ["x"], "b": ["y"]}),
    ),
    "a DataFrame without columns": ("0 columns", "df['text']", pd.DataFrame(index=[0, 1])),
    "a wide polars DataFrame": (
        "2 columns: ['a', 'b']",
        "ColumnTransformer",
        pl.DataFrame({"a": ["x"], "b": ["y"]}),
    ),
    "a polars LazyFrame": ("polars LazyFrame", ".collect()", pl.LazyFrame({"a": ["x"]})),
    "complex numbers": ("Complex data not supported", "1-D array of str", np.array([1j])),
}


@pytest.mark.parametrize("case", BAD_COLUMNS)
def test_what_is_no_column_of_texts_is_refused(case: str) -> None:
    received, remedy, X = BAD_COLUMNS[case]
    with pytest.raises(InvalidTextError) as caught:
        read_texts(X)
    message = str(caught.value)
    assert "X must be one column of texts" in message
    assert received in message
    assert remedy in message


BAD_ELEMENTS: dict[str, tuple[str, str, Any]] = {
    "int": ("int 3", "X.astype(str)", 3),
    "float": ("float 3.5", "X.astype(str)", 3.5),
    "infinity": ("float inf", "X.astype(str)", float("inf")),
    "bool": ("bool True", "X.astype(str)", True),
    "bytes": ("bytes b'bat'", "value.decode('utf-8')", b"bat"),
    "list": ("list ['old', 'bat']", "' '.join(words)", ["old", "bat"]),
    "tuple": ("tuple ('old', 'bat')", "' '.join(words)", ("old", "bat")),
    "dict": ("dict {'a': 1}", "[row['text'] for row in X]", {"a": 1}),
    "date": ("date datetime.date(2019, 6, 2)", "X.astype(str)", datetime.date(2019, 6, 2)),
}


@pytest.mark.parametrize("case", BAD_ELEMENTS)
def test_what_is_no_text_is_refused_by_its_row(case: str) -> None:
    received, remedy, value = BAD_ELEMENTS[case]
    with pytest.raises(InvalidTextError) as caught:
        read_texts(["a", None, value, 7])
    message = str(caught.value)
    assert "The elements of X must be str, or missing" in message
    assert f"Got {received} in row 2" in message
    assert remedy in message


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidTextError) as caught:
        read_texts([b"a" * 10_000])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("X", "position"),
    [
        (pd.Series(["a", 5], index=["x", "y"], dtype=object), "int 5 in row 1 (index 'y')"),
        (pd.DataFrame({"text": ["a", 5]}, index=[7, 7]), "int 5 in row 1 (index 7)"),
        (pd.Series([1.5, 2.5]), "float 1.5 in row 0 (index 0)"),
        (pd.Series([1, 2], dtype="category"), "int 1 in row 0"),
        (pl.Series([1, 2]), "int 1 in row 0"),
        (pl.DataFrame({"n": [True]}), "bool True in row 0"),
        (np.array([[1.0], [2.0]]), "float 1.0 in row 0"),
        (np.array([b"a"]), "bytes b'a' in row 0"),
        ([["a"], ["b"]], "list ['a'] in row 0"),
    ],
)
def test_a_bad_row_is_named_with_its_label(X: Any, position: str) -> None:
    with pytest.raises(InvalidTextError) as caught:
        read_texts(X)
    assert position in str(caught.value)


def test_errors_are_of_the_kinds_that_scikit_learn_expects() -> None:
    for kind in (ValueError, TypeError):
        with pytest.raises(kind):
            read_texts("a bare text")


@given(
    st.lists(
        st.none()
        | st.just(float("nan"))
        | st.just(pd.NA)
        | st.text(st.characters(exclude_categories=[]), max_size=20),
        max_size=12,
    )
)
def test_any_texts_come_through_unchanged(elements: list[Any]) -> None:
    column = read_texts(elements)
    assert len(column.texts) == len(elements)
    for element, text, is_missing in zip(elements, column.texts, column.is_missing, strict=True):
        assert is_missing == (not isinstance(element, str))
        assert text == (element if isinstance(element, str) else "")


@pytest.mark.parametrize("kind", [*KINDS])
def test_one_column_is_read_alike_where_several_may_come(kind: str) -> None:
    column = read_columns(KINDS[kind](TEXTS))
    assert (column.texts, column.n_columns) == (TEXTS, 1)
    is_named = kind.startswith(("DataFrame", "polars"))
    assert column.names == (("text",) if is_named else None)


FRAMES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pandas": lambda columns: pd.DataFrame(columns, index=ODD_INDEX[: len(columns["title"])]),
    "pandas of categories": lambda columns: pd.DataFrame(columns, dtype="category"),
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("library", FRAMES)
def test_several_columns_are_read_row_by_row(library: str) -> None:
    frame = FRAMES[library]({"title": ["a", None, "c"], "text": ["d", "e", "a"]})
    column = read_columns(frame)
    assert column.texts == ["a", "d", "", "e", "c", "a"]
    assert column.is_missing.tolist() == [False, False, True, False, False, False]
    assert (column.n_columns, column.names) == (2, ("title", "text"))
    with pytest.raises(InvalidTextError, match=r"1 missing text.*: row 1.* of column 'title'"):
        read_columns(frame, "error")
    with pytest.raises(InvalidTextError, match=r"one column of texts.* 2 columns"):
        read_texts(frame)


def test_what_is_no_text_is_refused_by_its_row_and_column() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "price": [2.5, 3.0]}, index=["x", "y"])
    with pytest.raises(
        InvalidTextError, match=r"float 2\.5 in row 0 \(index 'x'\) of column 'price'"
    ):
        read_columns(frame)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a"], ("b", "a")),
        ([0, 1], None),
        (["a", 1], None),
        (["a", ""], None),
        ([("a", "b"), ("a", "c")], None),
        (["a"], ("a",)),
        ([0], None),
        ([""], None),
    ],
)
def test_columns_have_names_if_each_name_is_a_str(labels: list[Any], names: Any) -> None:
    frame = pd.DataFrame([["x"] * len(labels)])
    frame.columns = pd.Index(labels)
    assert read_columns(frame).names == names
    if len(labels) == 1:
        assert read_columns(frame.iloc[:, 0]).names == names


def test_two_columns_of_one_name_are_refused() -> None:
    for frame in (
        pd.DataFrame([["a", "b", "c"]], columns=["text", "title", "text"]),
        pa.table([["a"], ["b"]], names=["text", "text"]),
    ):
        with pytest.raises(InvalidTextError, match=r"one column 'text'.* Got 2 .*Rename"):
            read_columns(frame)


@pytest.mark.parametrize("X", ["ab", b"ab", {"a": 1}, {"a"}, frozenset("a"), 5, None, np.array(5)])
def test_what_has_no_elements_in_order_is_no_iterable(X: Any) -> None:
    assert list_iterable(X) is None
