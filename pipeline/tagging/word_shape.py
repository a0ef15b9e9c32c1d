"""Shapes of words: capitals, digits, punctuation, length, and position in the sentence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WORD_SHAPES", "word_shape"]

_ROMAN = re.compile(r"[IVXLCDM]{2,}\.?")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,:/-]\d+)*(?:%|st|[nr]d|th)?", re.IGNORECASE)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+")  # "J." and "U.S."
# What follows the first @ decides, so that the time is linear in the length of a word.
_ADDRESS = re.compile(r"https?:|www\.|\S[^\s@]*+@\S+?\.\w", re.IGNORECASE)

# What each feature asks of a word that is not blank.
_OF_WORD: dict[str, Callable[[str], bool]] = {
    "begins with a capital": lambda word: word[0].isupper(),
    "title case": lambda word: len(word) > 1 and word[0].isupper() and word[1:].islower(),
    "all capitals": str.isupper,
    "several capitals": lambda word: sum(map(str.isupper, word)) > 1,
    "capital inside, after a small letter": lambda word: any(
        a.islower() and b.isupper() for a, b in itertools.pairwise(word)
    ),
    "all small letters": str.islower,
    "letters only": str.isalpha,
    "letters beyond ASCII": lambda word: any(
        letter.isalpha() and letter > "\x7f" for letter in word
    ),
    "initials": lambda word: _INITIALS.fullmatch(word) is not None,
    "Roman numeral": lambda word: _ROMAN.fullmatch(word) is not None,
    "digit": lambda word: any(map(str.isdigit, word)),
    "digits only": str.isdigit,
    "four digits": lambda word: len(word) == 4 and word.isdigit(),
    "number": lambda word: _NUMBER.fullmatch(word) is not None,
    "letters and digits": lambda word: any(map(str.isdigit, word)) and any(map(str.isalpha, word)),
    "neither letters nor digits": lambda word: not any(map(str.isalnum, word)),
    "hyphen": lambda word: "-" in word.strip("-"),
    "apostrophe": lambda word: "'" in word or "’" in word,
    "full stop inside or behind": lambda word: "." in word and any(map(str.isalnum, word)),
    "ends a sentence": lambda word: word in {".", "!", "?", "…", "..."},
    "quotation mark": lambda word: (
        word in {'"', "'", "''", "``", "“", "”", "«", "»", "‘", "’", "„"}
    ),
    "begins with @": lambda word: len(word) > 1 and word[0] == "@",
    "begins with #": lambda word: len(word) > 1 and word[0] == "#",
    "web or mail address": lambda word: _ADDRESS.match(word) is not None,
    "one character": lambda word: len(word) == 1,
    "2 or 3 characters": lambda word: 2 <= len(word) <= 3,
    "10 characters or more": lambda word: len(word) >= 10,
}
_OF_POSITION = ("first of its sentence", "last of its sentence")

WORD_SHAPES = (*_OF_WORD, *_OF_POSITION)


def word_shape(words: Sequence[str], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the features that `WORD_SHAPES` names, 0 or 1, of shape (n_words, 29).

    Examples
    --------
    >>> shapes = word_shape(["Ann", "saw", "the", "U.S.", "in", "1999"], np.array([0, 6]))
    >>> [name for name, value in zip(WORD_SHAPES, shapes[3]) if value][:3]
    ['begins with a capital', 'all capitals', 'several capitals']
    """
    rows: dict[str, int] = {}
    inverse = np.fromiter(
        (rows.setdefault(word, len(rows)) for word in words), dtype=np.int64, count=len(words)
    )
    distinct = np.zeros((len(rows), len(WORD_SHAPES)), dtype=np.float32)
    for word, row in rows.items():
        if word.strip():
            distinct[row, : len(_OF_WORD)] = [has(word) for has in _OF_WORD.values()]
    shapes = distinct[inverse]
    has_words = np.diff(offsets) > 0
    shapes[np.asarray(offsets)[:-1][has_words], -2] = 1.0
    shapes[np.asarray(offsets)[1:][has_words] - 1, -1] = 1.0
    return shapes
