"""Read data frames and series of pandas, polars and other libraries through narwhals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
from narwhals.exceptions import DuplicateError

from ...errors import InvalidTextError

__all__ = [
    "Frame",
    "first_names",
    "index_of",
    "iter_slices",
    "lazy_library",
    "list_column",
    "names_of",
    "only_column",
    "read_frame",
    "row_name",
]


@dataclass(frozen=True)
class Frame:
    """The columns of a data frame by position, since pandas allows a name to stand twice."""

    names: list[Any]
    native: Any

    @property
    def index(self) -> Any:
        """The row labels, None in polars."""
        return index_of(self.native)

    def column(self, position: int) -> Any:
        """Return a column as a series of the same library."""
        return _wrapped(self.native)[:, position].to_native()

    def values(self, position: int) -> list[Any]:
        """Return the values of a column as Python objects."""
        values: list[Any] = _wrapped(self.native)[:, position].to_list()
        return values


def read_frame(X: Any) -> Frame | None:
    """Return a data frame's columns, or None if X is no data frame."""
    try:
        frame = _wrapped(X)
    except DuplicateError:
        if nw.dependencies.is_pyarrow_table(X):
            return Frame(X.column_names, X.rename_columns(list(map(str, range(X.num_columns)))))
        return Frame(list(X.columns), X.set_axis(range(X.shape[1]), axis=1))
    return Frame(frame.columns, X) if isinstance(frame, nw.DataFrame) else None


def only_column(
    X: Any, expected: str, remedy: str, error: type[ValueError] = InvalidTextError
) -> Any:
    """Return the column of a one-column data frame as a series; anything else as it is."""
    if (frame := read_frame(X)) is None:
        return X
    if len(frame.names) != 1:
        got = f"Got a DataFrame with {len(frame.names)} columns: {frame.names[:8]}."
        raise error(f"{expected} {got} {remedy}")
    return frame.column(0)


def list_column(X: Any) -> tuple[list[Any], Any] | None:
    """Return the values of a series or Arrow array and its index if it has one, or None."""
    series = _wrapped(X)
    if isinstance(series, nw.Series):
        return series.to_list(), nw.maybe_get_index(series)
    is_arrow = hasattr(X, "to_pylist") and hasattr(X, "type")  # narwhals reads chunked ones only
    return (X.to_pylist(), None) if is_arrow else None


def names_of(X: Any) -> tuple[str, ...] | None:
    """Return the names of a data frame's columns or of a series, None if one has no str as name."""
    if (frame := read_frame(X)) is not None:
        names = frame.names
    else:
        series = _wrapped(X)
        names = [series.name] if isinstance(series, nw.Series) else []
    has_names = all(isinstance(name, str) and name for name in names)
    return tuple(names) if names and has_names else None


def index_of(X: Any) -> Any:
    """Return the row labels of a data frame or series; None in polars and for all else."""
    frame = _wrapped(X)
    return nw.maybe_get_index(frame) if isinstance(frame, (nw.DataFrame, nw.Series)) else None


def lazy_library(X: Any) -> str | None:
    """Return the library of a lazy data frame, or None if X is none."""
    frame = _wrapped(X)
    return frame.implementation.value if isinstance(frame, nw.LazyFrame) else None


def iter_slices(X: Any, n_rows: int) -> Iterator[Any] | None:
    """Cut a data frame or series into slices of the same library, or return None."""
    try:
        frame = _wrapped(X)
    except DuplicateError:  # whoever reads the columns names those that stand twice
        return iter((X,))
    if not isinstance(frame, (nw.DataFrame, nw.Series)):
        return None
    return (frame[start : start + n_rows].to_native() for start in range(0, len(frame), n_rows))


def row_name(row: int, index: Any, noun: str = "row", first: int = 0) -> str:
    """Return what messages call a row: its number from ``first`` on, and its label in the index.

    >>> import pandas as pd
    >>> row_name(1, None), row_name(1, pd.Index(["a", "b"]))
    ('row 1', "row 1 (index 'b')")
    """
    label = "" if index is None else f" (index {index[row : row + 1].tolist()[0]!r})"
    return f"{noun} {first + row}{label}"


def first_names(names: Sequence[str], most: int) -> str:
    """Return the first names in one line for a message.

    >>> first_names(["row 1", "row 4", "row 9"], most=2)
    'row 1, row 4, ...'
    """
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def _wrapped(X: Any) -> Any:
    return nw.from_native(X, pass_through=True, allow_series=True)
