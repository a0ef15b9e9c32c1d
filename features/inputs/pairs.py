"""Read pairs of texts from data frames of two columns, arrays (n, 2) and lists of tuples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidTextError
from ...validation import short_repr
from .frames import first_names, lazy_library, list_column, read_frame, row_name
from .texts import Missing, check_texts, list_iterable, read_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PairColumns", "is_pairs", "read_pairs"]

_EXPECTED = (
    "X must hold pairs of texts: a pandas or polars DataFrame with two columns, an array of shape"
    " (n, 2), or a list or other iterable of two texts each."
)
_REMEDY = "Reshape your data: list(zip(first, second)), or [(first, second)] for a single pair."
_SIDES = ("first", "second")


@dataclass(frozen=True)
class PairColumns:
    """The two texts of each row, "" for missing ones, and which of them were missing.

    ``is_missing`` has the shape (n_rows, 2). ``names`` is None unless both columns have a name.
    """

    first: list[str]
    second: list[str]
    is_missing: NDArray[np.bool_]
    names: tuple[str, str] | None = None

    def __len__(self) -> int:
        return len(self.first)


def read_pairs(X: Any, missing: Missing = "empty") -> PairColumns:
    """Read pairs of texts.

    Parameters
    ----------
    X : DataFrame of two columns, ndarray of shape (n_rows, 2), list of tuples, or other iterable
        Texts are str or missing: None, NaN, pd.NA, pd.NaT, polars' null. An iterator is read once,
        to its end.
    missing : {"empty", "error", "zero", "nan"}, default="empty"
        ``"error"`` raises an error for missing texts; the others read them as "".

    Returns
    -------
    pairs : PairColumns
        The texts of both sides, and which of them were missing.

    Raises
    ------
    InvalidTextError
        If X has not two columns, a row has not two texts, one of them is neither a str nor missing,
        or is missing and ``missing="error"``.

    Examples
    --------
    >>> pairs = read_pairs([("A man sings.", "A man is singing."), ("A dog.", None)])
    >>> pairs.first, pairs.second
    (['A man sings.', 'A dog.'], ['A man is singing.', ''])
    >>> pairs.is_missing.tolist()
    [[False, False], [False, True]]
    """
    names = None
    if (frame := _frame(X)) is not None:
        if len(frame.names) != 2:
            n_columns = f"{len(frame.names)} column{'s' if len(frame.names) != 1 else ''}"
            raise InvalidTextError(
                f"{_EXPECTED} Got a DataFrame with {n_columns}:"
                f" {first_names(list(map(repr, frame.names)), 8) or '(none)'}. Choose two, such as"
                " df[['sentence1', 'sentence2']]."
            )
        column = read_columns(X, missing)
        names = column.names
    else:
        rows, index = _rows(X)
        values = [text for row, pair in enumerate(rows) for text in _two(pair, row, index)]

        def name(place: int) -> str:
            return f"{row_name(place // 2, index)}, {_SIDES[place % 2]} text"

        column = check_texts(values, missing, name)
    return PairColumns(
        column.texts[::2],
        column.texts[1::2],
        column.is_missing.reshape(-1, 2),
        None if names is None else (names[0], names[1]),
    )


def is_pairs(X: Any) -> bool:
    """Whether X has two columns, or its first element is a list, tuple or array of two.

    Iterators and what is empty are no pairs: the first element of an iterator cannot be put back.

    >>> is_pairs([("a", "b")]), is_pairs(["a", "b"]), is_pairs(np.array([["a", "b"]]))
    (True, False, True)
    """
    if (frame := _frame(X)) is not None:
        return len(frame.names) == 2
    if lazy_library(X) or isinstance(X, (str, Iterator)):
        return False
    if hasattr(X, "shape") and len(X.shape) == 2:
        return bool(X.shape[1] == 2)
    if (column := list_column(X)) is not None:
        X = column[0]
    try:
        first = _plain(next(iter(X), None))
    except TypeError:
        return False
    return isinstance(first, (list, tuple)) and len(first) == 2


def _frame(X: Any) -> Any:
    return None if isinstance(X, (list, tuple)) else read_frame(X)


def _rows(X: Any) -> tuple[list[Any], Any]:
    """Return the rows of X and, where there is one, the index that names them."""
    if (column := list_column(X)) is not None:
        return column
    got, remedy = type(X).__name__, _REMEDY
    if isinstance(X, (str, bytes)):
        got = f"a single {got}: {short_repr(X)}"
    elif library := lazy_library(X):
        got, remedy = f"a {library} {got}", "Compute it first, as .collect() does."
    elif hasattr(X, "toarray"):
        got = f"a sparse {got}, which holds numbers"
    elif hasattr(X, "__array__"):
        array = np.asanyarray(X)
        if np.iscomplexobj(array):
            raise InvalidTextError(f"Complex data not supported. {_EXPECTED}")
        if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 2):
            return array.tolist(), None
        got = f"an array of shape {array.shape}"
        remedy = "Choose two columns, X[:, [0, 1]], or reshape your data."
    elif (values := list_iterable(X)) is not None:
        return values, None
    raise InvalidTextError(f"{_EXPECTED} Got {got}. {remedy}")


def _two(pair: Any, row: int, index: Any) -> Any:
    """Return the two texts of a row."""
    two = _plain(pair)
    if isinstance(two, (list, tuple)) and len(two) == 2:
        return two
    n_elements = f" of {len(two)}" if isinstance(two, (list, tuple)) else ""
    raise InvalidTextError(
        f"Each row of X must be a pair of texts, as ('A man sings.', 'A man is singing.'). Got"
        f" {type(pair).__name__}{n_elements}, {short_repr(pair)}, in {row_name(row, index)}."
        f" {_REMEDY}"
    )


def _plain(pair: Any) -> Any:
    """Return a row of an array or a nested column as a list, and all else as it is."""
    return pair.tolist() if isinstance(pair, np.ndarray) and pair.ndim == 1 else pair
