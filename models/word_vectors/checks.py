"""Checks of a table of word vectors: distinct words, finite numbers, equal lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ...errors import ModelIntegrityError
from ...validation import check_choice, invalid, short_repr

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MOST_DIMS",
    "Faults",
    "OnError",
    "WordFault",
    "check_shape",
    "check_vectors",
    "check_words",
]

OnError = Literal["auto", "raise", "skip"]

MOST_DIMS = 1 << 16
_ROWS_AT_ONCE = 1 << 16


class WordFault(ModelIntegrityError):
    """A row that no text could look up: its word is not UTF-8, or an earlier row has it."""


class Faults:
    """Faulty rows of a file: errors, which end with a remedy, or skipped and counted."""

    def __init__(self, on_error: OnError = "raise", remedy: str = "") -> None:
        self.on_error: OnError = check_choice("on_error", on_error, get_args(OnError))
        self._remedy = remedy
        self.clear()

    def clear(self) -> None:
        """Begin to read a file."""
        self.n_skipped = 0
        self.first = ""

    def add(self, fault: ModelIntegrityError) -> None:
        """Raise the fault of a row, or count it."""
        is_harmless = self.on_error == "auto" and isinstance(fault, WordFault)
        if self.on_error != "skip" and not is_harmless:
            raise ModelIntegrityError(f"{fault} {self._remedy}".strip())
        self.n_skipped += 1
        self.first = self.first or str(fault)

    def leave_out(
        self, words: list[Any], vectors: NDArray[np.float32], where: str
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Return the rows of a table that are not skipped; those with other faults are errors."""
        seen: set[str] = set()
        rows: list[int] = []
        is_finite = np.logical_and.reduce(np.isfinite(vectors), axis=1)
        for row, word in enumerate(words):
            kind: type[ModelIntegrityError] | None = ModelIntegrityError
            if not isinstance(word, str) or not word:
                fault = "must have a str as its word, not empty"
            elif word in seen:
                kind, fault = WordFault, "repeats an earlier word"
            elif not is_finite[row]:
                fault = "has numbers that are not finite"
            else:
                kind = None
                seen.add(word)
                rows.append(row)
            if kind is not None:
                self.add(kind(f"Row {row:,} of {where} {fault}: {short_repr(word)}."))
        return [words[row] for row in rows], vectors[rows]


def check_words(words: Any) -> list[str]:
    """Return words as a list, if they are distinct str and none is empty."""
    if isinstance(words, (str, bytes, Mapping)) or not isinstance(words, Iterable):
        raise invalid("words", "a sequence of str", words)
    listed = list(words)
    for word in listed:
        if not isinstance(word, str) or not word:
            raise invalid("words", "a sequence of str, none of them empty", word)
    if not listed:
        raise invalid("words", "a sequence of at least one word", words)
    if len(set(listed)) < len(listed):
        (word, _), *_ = Counter(listed).most_common(1)
        raise invalid("words", "a sequence of distinct words", word)
    return listed


def check_shape(shape: tuple[int, ...], n_words: int) -> None:
    """Raise unless an array of this shape can hold the vectors of so many words."""
    if len(shape) != 2 or shape[0] != n_words or not shape[1]:
        raise invalid(
            "vectors",
            f"a matrix with a row for each of the {n_words:,} words, and at least one column",
            shape,
        )
    if shape[1] > MOST_DIMS:
        raise invalid("vectors", f"a matrix with at most {MOST_DIMS:,} columns", shape)


def check_vectors(vectors: ArrayLike, n_words: int) -> NDArray[np.float32]:
    """Return finite vectors as a read-only float32 array of shape (n_words, n_dims)."""
    try:
        with np.errstate(over="ignore"):  # overflow is found below
            array = np.asarray(vectors)
            if array.dtype.kind == "c":
                raise TypeError("they are complex")
            array = array.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise invalid("vectors", f"a matrix of numbers ({error})", type(vectors)) from error
    check_shape(array.shape, n_words)
    view = array.view()
    view.flags.writeable = False
    for start in range(0, len(view), _ROWS_AT_ONCE):
        finite = np.isfinite(view[start : start + _ROWS_AT_ONCE]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise invalid("vectors", f"finite numbers; row {row} has others", array[row])
    return view
