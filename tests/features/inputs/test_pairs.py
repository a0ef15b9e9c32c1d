"""Pairs of texts are read alike from frames, arrays and lists, or refused with the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.features.inputs.pairs import is_pairs, read_pairs

Pair = tuple[str | None, str | None]
PAIRS: list[Pair] = [("a", "b"), (None, "a"), ("c", "")]
NAMES = ("one", "two")


def frame(pairs: list[Pair]) -> pd.DataFrame:
    index = [f"r{n}" for n in range(len(pairs))]
    return pd.DataFrame(pairs, columns=list(NAMES), index=index, dtype=object)


KINDS: dict[str, Callable[[list[Pair]], Any]] = {
    "list of tuples": list,
    "tuple of lists": lambda pairs: tuple(map(list, pairs)),
    "list of arrays": lambda pairs: [np.array(pair, dtype=object) for pair in pairs],
    "array (n, 2)": lambda pairs: np.array(pairs, dtype=object).reshape(-1, 2),
    "Series of tuples": lambda pairs: pd.Series(pairs, dtype=object),
    "polars Series of lists": lambda pairs: pl.Series(map(list, pairs), dtype=pl.List(pl.String)),
    "pyarrow array of lists": lambda pairs: pa.array(pairs, type=pa.list_(pa.string())),
    "zip": lambda pairs: zip(*zip(*pairs, strict=True), strict=True) if pairs else zip(),
    "DataFrame": frame,
    "DataFrame of categories": lambda pairs: frame(pairs).astype("category"),
    "polars DataFrame": lambda pairs: pl.DataFrame(
        pairs, schema=dict.fromkeys(NAMES, pl.String), orient="row"
    ),
    "pyarrow table": lambda pairs: pa.table(
        {name: pa.array([pair[n] for pair in pairs], pa.string()) for n, name in enumerate(NAMES)}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_pairs_reads_alike(kind: str) -> None:
    pairs = read_pairs(KINDS[kind](PAIRS))
    assert (pairs.first, pairs.second) == (["a", "", "c"], ["b", "a", ""])
    assert pairs.is_missing.tolist() == [[False, False], [True, False], [False, False]]
    has_names = "DataFrame" in kind or "table" in kind
    assert pairs.names == (NAMES if has_names else None)
    assert is_pairs(KINDS[kind](PAIRS)) == (kind != "zip")  # an iterator is not looked into
    with pytest.raises(InvalidTextError, match=r"1 missing text.*: row 1\b.*(one|first)"):
        read_pairs(KINDS[kind](PAIRS), "error")


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind: str) -> None:
    pairs = read_pairs(KINDS[kind]([]))
    assert (len(pairs), pairs.second, pairs.is_missing.shape) == (0, [], (0, 2))


# What came and where (as the message must say it), the remedy, and the input.
BAD: dict[str, tuple[str, str, Any]] = {
    "texts": ("Got str, 'a', in row 0", "list(zip(first, second))", ["a", "b"]),
    "a column": ("str, 'a', in row 0 (index 'r')", "list(zip(", pd.Series(["a"], index=["r"])),
    "one element": ("tuple of 1, ('b',), in row 1", "list(zip(", [("a", "b"), ("b",)]),
    "three elements": ("list of 3, ['b', 'c', 'd'], in row 1", "zip", [["a", ""], ["b", "c", "d"]]),
    "no row": ("NoneType, None, in row 1", "zip", [("a", "b"), None]),
    "no text": ("int 3 in row 1, second text", "X.astype(str)", [("a", "b"), ("a", 3)]),
    "words": ("list ['a'] in row 0, first text", "' '.join(words)", [(["a"], "b")]),
    "a number in a column": (
        "float 2.5 in row 0 (index 'r') of column 'b'",
        "X.astype(str)",
        pd.DataFrame({"a": ["x"], "b": [2.5]}, index=["r"]),
    ),
    "one column": ("1 column: 'a'", "df[[", pd.DataFrame({"a": ["x"]})),
    "three columns": ("3 columns: 'a', 'b', 'c'", "df[[", pl.DataFrame([[""]] * 3, list("abc"))),
    "one name twice": ("Got 2", "Rename", pd.DataFrame([["x", "y"]], columns=["a", "a"])),
    "a lazy frame": ("polars LazyFrame", ".collect()", pl.LazyFrame({"a": [""], "b": [""]})),
    "an array of one column": ("shape (2, 1)", "two columns", np.array([["a"], ["b"]])),
    "an array of three": ("shape (1, 3)", "X[:, [0, 1]]", np.array([["a", "b", "c"]])),
    "a sparse matrix": ("sparse csr_array", "zip", sp.csr_array((2, 2))),
    "a text": ("single str: 'ab'", "zip", "ab"),
    "a number": ("Got int", "zip", 5),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_pair_is_refused_by_its_row(case: str) -> None:
    received, remedy, X = BAD[case]
    with pytest.raises(InvalidTextError) as caught:
        read_pairs(X)
    assert received in str(caught.value)
    assert remedy in str(caught.value)


def test_a_wrong_way_to_read_missing_texts_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="'missing' parameter"):
        read_pairs(PAIRS, "drop")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "X",
    [
        ["ab", "cd"], [("a", "b", "c")], [], "ab", None, {"ab": 1}, pd.Series(["ab"]),
        pd.DataFrame({"a": ["x"]}), np.array([["a"]]), np.array(["ab"]), pl.LazyFrame({"a": ["x"]}),
    ],
)  # fmt: skip
def test_other_input_is_no_pairs(X: Any) -> None:
    assert not is_pairs(X)
