"""Read columns of texts from lists, other iterables, arrays, pandas or polars."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from ...errors import InvalidTextError
from ...validation import check_choice, short_repr
from .frames import (
    first_names,
    lazy_library,
    list_column,
    names_of,
    only_column,
    read_frame,
    row_name,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MISSING",
    "Missing",
    "TextColumn",
    "check_texts",
    "is_missing",
    "is_stream",
    "list_iterable",
    "read_columns",
    "read_texts",
]

Missing: TypeAlias = Literal["empty", "error", "zero", "nan"]
MISSING: tuple[Missing, ...] = get_args(Missing)

_EXPECTED = (
    "X must be one column of texts: a list, tuple or other iterable of str, a 1-D array of str, a"
    " pandas or polars Series, or a DataFrame with one column."
)
_JOIN = "Join its words: ' '.join(words), or give pairs of texts to PairVectorizer"
_ROWS_NAMED = 5


@dataclass(frozen=True)
class TextColumn:
    """Texts, "" for missing ones, and whether each of them was missing.

    The texts of several columns stand row by row. ``names`` is None if a column has no name; texts
    of spans have the names of all columns that tell the span.
    """

    texts: list[str]
    is_missing: NDArray[np.bool_]
    n_columns: int = 1
    names: tuple[str, ...] | None = None


def read_texts(X: Any, missing: Missing = "empty") -> TextColumn:
    """Read a column of texts.

    Parameters
    ----------
    X : list, tuple, ndarray, pandas or polars Series, one-column DataFrame, or other iterable
        Elements are str or missing: None, NaN, pd.NA, pd.NaT, polars' null. An iterator is read
        once, to its end.
    missing : {"empty", "error", "zero", "nan"}, default="empty"
        ``"error"`` raises an error for missing texts; the others read them as "".

    Returns
    -------
    column : TextColumn
        The texts, and which of them were missing.

    Raises
    ------
    InvalidTextError
        If X is not one column, an element is neither a str nor missing, or a text is missing and
        ``missing="error"``.

    See Also
    --------
    bertvectorizer.features.TextVectorizer : Reads its input so.

    Examples
    --------
    >>> read_texts(["a", None]).texts
    ['a', '']
    """
    values, labels = _column(X)
    return check_texts(values, missing, lambda row: row_name(row, labels))


def read_columns(X: Any, missing: Missing = "empty") -> TextColumn:
    """Read one column of texts, or all columns of a data frame, with their names.

    Examples
    --------
    >>> column = read_columns(pd.DataFrame({"title": ["a", "b"], "body": ["c", None]}))
    >>> column.texts, column.n_columns, column.names
    (['a', 'c', 'b', ''], 2, ('title', 'body'))
    """
    if isinstance(X, (list, tuple)):
        return read_texts(X, missing)
    frame, names = read_frame(X), names_of(X)
    if frame is None or len(frame.names) < 2:
        return replace(read_texts(X, missing), names=names)
    n_columns, labels = len(frame.names), frame.index
    for name in frame.names:
        if (count := frame.names.count(name)) > 1:
            raise InvalidTextError(
                f"X must have one column {name!r}, as columns name their features. Got {count} of"
                " that name. Rename or drop the others."
            )

    def name_of(place: int) -> str:
        row, column = divmod(place, n_columns)
        return f"{row_name(row, labels)} of column {frame.names[column]!r}"

    rows = zip(*map(frame.values, range(n_columns)), strict=True)
    column = check_texts([value for row in rows for value in row], missing, name_of)
    return replace(column, n_columns=n_columns, names=names)


def list_iterable(X: Any) -> list[Any] | None:
    """Return the elements of an iterable; None for a str, mapping, set and for no iterable.

    >>> list_iterable(word for word in ["a", "b"]), list_iterable({"a"}), list_iterable("a")
    (['a', 'b'], None, None)
    """
    if isinstance(X, (str, bytes, Mapping, set, frozenset)):
        return None
    try:
        elements = iter(X)
    except TypeError:
        return None
    return list(elements)


def is_stream(X: Any) -> bool:
    """Whether X is an iterable whose elements need not be in memory, as those of a generator.

    >>> is_stream(word for word in ["a", "b"]), is_stream(["a"]), is_stream(pd.Series(["a"]))
    (True, False, False)
    """
    is_whole = isinstance(X, (list, tuple, str, bytes, Mapping, set, frozenset))
    is_column = any(hasattr(X, name) for name in ("__array__", "toarray", "__arrow_c_stream__"))
    return isinstance(X, Iterable) and not (is_whole or is_column)


def check_texts(values: list[Any], missing: Missing, name: Callable[[int], str]) -> TextColumn:
    """Return values as texts; ``name`` returns what messages call the place of one."""
    check_choice("missing", missing, MISSING)
    texts: list[str] = []
    gone = np.zeros(len(values), dtype=bool)
    for place, value in enumerate(values):
        if isinstance(value, str):
            texts.append(str(value))
        elif is_missing(value):
            gone[place] = True
            texts.append("")
        else:
            raise InvalidTextError(_not_a_text(value, name(place)))
    if missing == "error" and gone.any():
        places = list(map(name, np.flatnonzero(gone).tolist()))
        raise InvalidTextError(
            f"X has {len(places)} missing text(s), and missing='error' allows none:"
            f" {first_names(places, _ROWS_NAMED)}. Fill them, or set missing to 'empty', 'zero' or"
            " 'nan'."
        )
    return TextColumn(texts, gone)


def _column(X: Any) -> tuple[list[Any], Any]:
    """Return the elements of X and, where there is one, the index that names its rows."""
    if isinstance(X, (str, bytes)):
        remedy = "[text]" if isinstance(X, str) else "[text.decode('utf-8')]"
        raise InvalidTextError(
            f"{_EXPECTED} Got a single {type(X).__name__}: {short_repr(X)}. Reshape your data: put"
            f" it in a list, {remedy}."
        )
    if isinstance(X, (list, tuple)):
        return list(X), None
    remedy = "Choose one, df['text'], or give each its own vectorizer in a ColumnTransformer."
    X = only_column(X, _EXPECTED, remedy)
    if (column := list_column(X)) is not None:
        return column
    if library := lazy_library(X):
        raise InvalidTextError(
            f"{_EXPECTED} Got a {library} {type(X).__name__}. Compute it first, as .collect() does."
        )
    if hasattr(X, "toarray"):
        raise InvalidTextError(
            f"{_EXPECTED} Got a sparse {type(X).__name__}; sparse data holds numbers, and a dense"
            " column of texts is required."
        )
    if hasattr(X, "__array__"):  # arrays of NumPy, pandas and Arrow alike
        return _array_column(np.asanyarray(X)), None
    if (values := list_iterable(X)) is not None:  # such as a column of a Hugging Face dataset
        return values, None
    raise InvalidTextError(
        f"{_EXPECTED} Got {type(X).__name__}. Give the texts as a list, in the order of your rows."
    )


def _array_column(X: NDArray[Any]) -> list[Any]:
    if X.ndim == 0:
        raise InvalidTextError(f"{_EXPECTED} Got a 0-D array. Reshape your data: X.reshape(1).")
    if X.ndim == 2 and X.shape[1] == 1:
        X = X[:, 0]
    if X.ndim != 1:
        raise InvalidTextError(
            f"{_EXPECTED} Got an array of shape {X.shape}. Reshape your data, or choose one column:"
            " X[:, 0]."
        )
    if np.iscomplexobj(X):
        raise InvalidTextError(f"Complex data not supported. {_EXPECTED}")
    values: list[Any] = X.tolist()
    return values


def is_missing(value: Any) -> bool:
    """Whether a value stands for nothing: None, NaN, pd.NA, pd.NaT."""
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and math.isnan(value))
    )


def _not_a_text(value: Any, place: str) -> str:
    remedy = {
        "bytes": "Decode it: value.decode('utf-8')",
        "dict": "Choose the texts of the rows: [row['text'] for row in X]",
        "list": _JOIN,
        "tuple": _JOIN,
    }.get(type(value).__name__, "Turn the column into text, X.astype(str), or choose others")
    return (
        f"The elements of X must be str, or missing. Got {type(value).__name__} {short_repr(value)}"
        f" in {place}; a string was expected. {remedy}."
    )
