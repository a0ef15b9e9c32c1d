"""Read a table of texts, each with the bounds of a span or with the word to find."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from ...errors import InvalidParameterError, InvalidTextError
from ...validation import check_choice, invalid, short_repr
from .find_word import find_word
from .frames import first_names, lazy_library, read_frame, row_name
from .texts import TextColumn, is_missing, read_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SpanTable", "read_spans"]

_EXPECTED = (
    "X must be a pandas or polars DataFrame with a column of texts, and columns with the bounds of"
    " a span or with a word."
)
_PARAMETERS = "the parameters 'text', and 'start' and 'end' or 'word'"
_Missing: TypeAlias = Literal["error", "zero", "nan"]
_BOUNDS = ("start", "end")
_WORD = "word"
_ROWS_NAMED = 5


@dataclass(frozen=True)
class SpanTable:
    """Texts, and a span of characters in each; ``columns`` names the columns that were read."""

    texts: list[str]
    spans: NDArray[np.int64]
    is_missing: NDArray[np.bool_]
    columns: tuple[str, ...]


def read_spans(
    X: Any,
    text: Hashable = "text",
    start: Hashable = "start",
    end: Hashable = "end",
    word: Hashable = "word",
    missing: _Missing = "error",
) -> SpanTable:
    """Read a table of texts with spans.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"text": ["The bat flew.", "Two bats."], "word": ["bat", "bat"]})
    >>> read_spans(table).spans.tolist()
    [[4, 7], [4, 7]]
    """
    check_choice("missing", missing, get_args(_Missing))
    columns = _Columns(X)
    names = columns.names
    read: tuple[Hashable, ...]
    # A name that was given is meant: a slip in one must not lead to another column.
    names_bounds, names_word = _given(start, end, word)
    if names_bounds or (not names_word and start is not None and (start in names or end in names)):
        _check_distinct(text=text, start=start, end=end)
        texts = read_texts(columns[text, "text"])
        spans, faults = _by_bounds(columns, start, end, texts)
        read = (text, start, end)
    elif names_word or (word is not None and word in names):
        _check_distinct(text=text, word=word)
        texts = read_texts(columns[text, "text"])
        spans, faults = _by_word(columns[word, "word"], texts.texts)
        read = (text, word)
    else:
        read_texts(columns[text, "text"])
        wanted = [repr(name) for name in (start, end, word) if name is not None]
        raise InvalidTextError(
            f"{_EXPECTED} Got the columns {_shown(names)}, none of them {' or '.join(wanted)}. Name"
            f" yours by {_PARAMETERS}."
        )
    faults.update(dict.fromkeys(np.flatnonzero(texts.is_missing).tolist(), "no text"))
    if faults and missing == "error":
        raise InvalidTextError(_refusal(faults, columns))
    has_no_span = np.zeros(len(texts.texts), dtype=bool)
    has_no_span[list(faults)] = True
    with_spans = ["" if row in faults else value for row, value in enumerate(texts.texts)]
    return SpanTable(with_spans, spans, has_no_span, tuple(map(str, read)))


def _given(start: Hashable, end: Hashable, word: Hashable) -> tuple[bool, bool]:
    """Return whether bounds and whether a word were named, by other names than the usual ones."""
    if (start is None) != (end is None):
        raise InvalidParameterError(
            "The 'start' and 'end' parameters must be two names, or both None. Got"
            f" start={short_repr(start)} and end={short_repr(end)} instead. Name both"
            " columns, or set both to None for the word to say where the span is."
        )
    if start is None and word is None:
        raise invalid("word", "the name of a column of X where 'start' and 'end' are None", word)
    names_bounds = start is not None and (start, end) != _BOUNDS
    names_word = word is not None and word != _WORD
    if names_bounds and names_word:
        raise InvalidParameterError(
            "The 'start' and 'end' parameters must not be given where 'word' is. Got"
            f" start={start!r}, end={end!r} and word={word!r} instead. Give either the bounds of"
            " the spans or their words, and leave the others out."
        )
    return names_bounds, names_word


def _check_distinct(**names: Hashable) -> None:
    """Refuse two parameters that name one column."""
    for (one, name), (other, other_name) in combinations(names.items(), 2):
        if name == other_name:
            raise InvalidParameterError(
                f"The {one!r} and {other!r} parameters must name two columns of X. Got"
                f" {short_repr(name)} for both. Name yours by {_PARAMETERS}."
            )


class _Columns:
    """The columns of a DataFrame by their names, and the names of its rows."""

    def __init__(self, X: Any) -> None:
        frame = read_frame(X)
        if frame is None:
            remedy = (
                ".collect() gives one"
                if lazy_library(X)
                else "pd.DataFrame({'text': texts, 'start': ..., 'end': ...})"
            )
            raise InvalidTextError(f"{_EXPECTED} Got {type(X).__name__}. Make one of it: {remedy}.")
        self._frame = frame
        self.names = frame.names

    def __getitem__(self, key: tuple[Hashable, str]) -> Any:
        """Return the column of a name that a parameter gave."""
        return self._frame.column(self._position(*key))

    def values(self, name: Hashable, parameter: str) -> list[Any]:
        """Return the values of a column."""
        return self._frame.values(self._position(name, parameter))

    def _position(self, name: Hashable, parameter: str) -> int:
        indices = [index for index, other in enumerate(self.names) if other == name]
        if not indices:
            raise InvalidParameterError(
                f"The {parameter!r} parameter must be the name of a column of X. Got"
                f" {short_repr(name)} instead, and X has the columns {_shown(self.names)}. Name"
                f" yours by {_PARAMETERS}."
            )
        if len(indices) > 1:
            raise InvalidTextError(
                f"X must have one column {name!r}. Got {len(indices)} of that name. Rename or drop"
                " the others."
            )
        return indices[0]

    def row(self, row: int) -> str:
        """Return what to call a row."""
        return row_name(row, self._frame.index)


def _by_bounds(
    columns: _Columns, start: Hashable, end: Hashable, texts: TextColumn
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return spans by their bounds, and why rows have none."""
    spans = np.zeros((len(texts.texts), 2), dtype=np.int64)
    faults: dict[int, str] = {}
    bounds = [columns.values(start, "start"), columns.values(end, "end")]
    for row, (text, first, last) in enumerate(zip(texts.texts, *bounds, strict=True)):
        lacking = [repr(name) for name, value in ((start, first), (end, last)) if is_missing(value)]
        present = [value for value in (first, last) if not is_missing(value)]
        is_there = not lacking and not texts.is_missing[row]
        if not all(map(_is_whole, present)) or (is_there and not 0 <= first < last <= len(text)):
            raise InvalidTextError(
                "Bounds of a span must be whole numbers with 0 <= start < end <= the number of"
                f" characters. Got start={short_repr(first)} and end={short_repr(last)} in"
                f" {columns.row(row)}, whose text has {len(text)} characters. Count characters as"
                " Python's str does, from 0; 'end' is the one after the last."
            )
        if lacking:
            faults[row] = f"no {' and '.join(lacking)}"
        elif is_there:
            spans[row] = int(first), int(last)
    return spans, faults


def _by_word(column: Any, texts: list[str]) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return the spans of the first occurrences of words, and why rows have none."""
    spans = np.zeros((len(texts), 2), dtype=np.int64)
    faults: dict[int, str] = {}
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, word in enumerate(read_texts(column).texts):
        rows_of[word.strip()].append(row)
    for word, rows in rows_of.items():
        found: dict[int, tuple[int, int]] = {}
        for as_part in (False, True) if word else ():
            left = [row for row in rows if row not in found]
            for index, first, last in find_word([texts[row] for row in left], word, as_part):
                found.setdefault(left[index], (first, last))
        for row in rows:
            if row in found:
                spans[row] = found[row]
            else:
                faults[row] = f"{short_repr(word)} is not in its text" if word else "no word"
    return spans, faults


def _is_whole(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_, str)):
        return False
    try:
        return bool(int(value) == value)
    except (TypeError, ValueError, OverflowError):
        return False


def _refusal(faults: dict[int, str], columns: _Columns) -> str:
    rows = [f"{columns.row(row)}: {faults[row]}" for row in sorted(faults)]
    return (
        f"X has {len(faults)} row(s) without a span, and missing='error' allows none:"
        f" {first_names(rows, _ROWS_NAMED)}. Mend them or leave them out, or set missing to 'zero'"
        " or 'nan'."
    )


def _shown(names: list[Any]) -> str:
    return first_names([repr(name) for name in names], 20) or "(none)"
