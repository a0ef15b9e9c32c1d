"""Data frames and series of several libraries are read alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bertvectorizer.features.inputs.frames import (
    iter_slices,
    lazy_library,
    list_column,
    read_frame,
    row_name,
)
from bertvectorizer.features.inputs.texts import read_texts

LIBRARIES: dict[str, Callable[[dict[str, list[str]]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_of_every_library_are_read_by_position(library: str) -> None:
    native = LIBRARIES[library]({"text": ["a", "b", "c"], "tag": ["x", "y", "z"]})
    frame = read_frame(native)
    assert frame is not None
    assert frame.names == ["text", "tag"]
    column = list_column(frame.column(1))
    assert column is not None
    assert column[0] == ["x", "y", "z"]
    assert (column[1] is None) == (frame.index is None) == (library != "pandas")
    slices = iter_slices(native, 2)
    assert slices is not None
    first, second = slices
    assert type(first) is type(second) is type(native)
    assert (first.shape, second.shape) == ((2, 2), (1, 2))
    assert read_texts(frame.column(0)).texts == ["a", "b", "c"]


def test_a_name_may_stand_twice_in_pandas() -> None:
    native = pd.DataFrame([["a", "b", "c"]], columns=["text", "text", 3], index=["r"])
    frame = read_frame(native)
    assert frame is not None
    assert frame.names == ["text", "text", 3]
    assert [frame.column(position).tolist() for position in range(3)] == [["a"], ["b"], ["c"]]
    assert list(native.columns) == ["text", "text", 3]
    assert row_name(0, frame.index) == "row 0 (index 'r')"


def test_a_name_may_stand_twice_in_pyarrow() -> None:
    native = pa.table([["a"], ["b"]], names=["text", "text"])
    frame = read_frame(native)
    assert frame is not None
    assert frame.names == ["text", "text"]
    assert [frame.values(position) for position in range(2)] == [["a"], ["b"]]
    slices = iter_slices(native, 1)
    assert slices is not None
    assert [part is native for part in slices] == [True]


@pytest.mark.parametrize(
    "X",
    [
        ["a"],
        "a",
        None,
        {"a": ["b"]},
        np.array(["a"]),
        pd.Index(["a"]),
        pd.array(["a"]),
        pl.col("a"),
    ],
    ids=lambda X: type(X).__name__,
)
def test_other_inputs_are_neither_frame_nor_series(X: Any) -> None:
    assert read_frame(X) is list_column(X) is lazy_library(X) is iter_slices(X, 1) is None


def test_a_lazy_frame_is_no_frame() -> None:
    lazy = pl.LazyFrame({"text": ["a"]})
    assert read_frame(lazy) is None
    assert lazy_library(lazy) == "polars"


def test_rows_are_named_by_number_and_label() -> None:
    index = pd.MultiIndex.from_product([["a"], [7, 8]])
    assert row_name(1, index, "document", 10) == "document 11 (index ('a', 8))"
    assert row_name(1, None) == "row 1"
