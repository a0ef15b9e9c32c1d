"""From texts to the words in them, each distinct word once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidParameterError
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import invalid, short_repr

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Tokenizer = str | Callable[[str], Iterable[str]]

__all__ = ["WORD_PATTERN", "TextWords", "check_tokenizer", "split_words"]

WORD_PATTERN = r"(?u)\b\w\w+\b"  # scikit-learn's token_pattern


@dataclass(frozen=True)
class TextWords:
    """The words of texts, as numbers."""

    words: list[str]
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of words of each text, of shape (n_texts,)."""
        return np.diff(self.offsets)

    @property
    def texts(self) -> NDArray[np.int64]:
        """The index of the text that each word is in, of shape (n_tokens,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)

    def times(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count each distinct word; each text counts ``counts`` times."""
        return np.bincount(self.ids, weights=counts[self.texts], minlength=len(self.words)).astype(
            np.int64
        )

    def only(self, wanted: NDArray[np.bool_]) -> TextWords:
        """Leave out words but those ``wanted``, of shape (n_words,); ids keep their meaning."""
        if wanted.all():
            return self
        kept = wanted[self.ids]
        before = np.concatenate([[0], np.cumsum(kept)])
        return TextWords(self.words, self.ids[kept], before[self.offsets])


def check_tokenizer(tokenizer: Any) -> Tokenizer:
    """Return a tokenizer that is a pattern or a callable."""
    if callable(tokenizer):
        return tokenizer  # type: ignore[no-any-return]
    if isinstance(tokenizer, str):
        try:
            if re.compile(tokenizer).groups <= 1:
                return tokenizer
        except (re.error, OverflowError, RecursionError):
            pass
    raise invalid(
        "tokenizer",
        "a callable that returns the words of a text, or a regular expression with at most one"
        " group",
        tokenizer,
    )


def split_words(texts: Sequence[str], tokenizer: Tokenizer, lowercase: bool) -> TextWords:
    """Split texts into words, none of them empty. Lone surrogates are read as U+FFFD.

    Examples
    --------
    >>> found = split_words(["The bat, the ball", "a bat"], WORD_PATTERN, lowercase=True)
    >>> found.words, found.ids.tolist(), found.offsets.tolist()
    (['the', 'bat', 'ball'], [0, 1, 0, 2, 1], [0, 4, 5])
    """
    if tokenizer == WORD_PATTERN:
        return _by_word_pattern(texts, lowercase)
    tokenize = re.compile(tokenizer).findall if isinstance(tokenizer, str) else _checked(tokenizer)
    return _numbered(*_all_words(map(replace_lone_surrogates, texts), tokenize, lowercase))


def _all_words(
    texts: Iterable[str], tokenize: Callable[[str], Iterable[str]], lowercase: bool
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the words of all texts in one list, and where those of each text begin and end."""
    words: list[str] = []  # one list: lists per text would slow down the garbage collector
    offsets = [0]
    for text in texts:
        words.extend(filter(None, tokenize(text.lower() if lowercase else text)))
        offsets.append(len(words))
    return words, np.array(offsets, dtype=np.int64)


def _numbered(words: list[str], offsets: NDArray[np.int64]) -> TextWords:
    number_of: defaultdict[str, int] = defaultdict()
    number_of.default_factory = number_of.__len__
    ids = np.fromiter(map(number_of.__getitem__, words), dtype=np.int64, count=len(words))
    return TextWords(list(number_of), ids, offsets)


def _checked(tokenizer: Callable[[str], Iterable[str]]) -> Callable[[str], list[str]]:
    def tokenize(text: str) -> list[str]:
        words: Any = tokenizer(text)
        if isinstance(words, Iterable) and not isinstance(words, (str, bytes)):
            words = list(words)
            if all(isinstance(word, str) for word in words):
                return list(map(str, words))  # NumPy's str, and others' too
        raise InvalidParameterError(
            "The 'tokenizer' parameter must be a callable that returns a list of str for each"
            f" text. For {short_repr(text)} it returned {short_repr(words)}."
        )

    return tokenize


def _by_word_pattern(texts: Sequence[str], lowercase: bool) -> TextWords:
    """Split by scikit-learn's pattern, several times as fast as text by text.

    No word holds an ASCII character that is no letter, digit or underscore. These become spaces,
    Arrow splits there, and only distinct pieces that are not ASCII have to be lower-cased and
    matched.
    """
    import pyarrow.compute as pc

    pieces = pc.ascii_split_whitespace(_array(texts, lowercase))
    coded = pieces.flatten().dictionary_encode()
    findall = re.compile(WORD_PATTERN).findall

    def words_of(piece: str) -> list[str]:
        return [piece] if len(piece) > 1 and piece.isalnum() and piece.isascii() else findall(piece)

    found = _numbered(*_all_words(coded.dictionary.to_pylist(), words_of, lowercase))
    # Each piece is replaced by its words: none, one or several.
    of_piece = coded.indices.to_numpy()
    lengths = found.lengths[of_piece]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.arange(ends[-1]) + np.repeat(found.offsets[of_piece] - ends[:-1], lengths)
    return TextWords(found.words, found.ids[tokens], ends[pieces.offsets.to_numpy()])


def _array(texts: Sequence[str], lowercase: bool) -> pa.LargeStringArray:
    """Return texts as an Arrow array, with spaces for ASCII characters outside of words."""
    import pyarrow as pa

    try:
        array = pa.array(texts, type=pa.large_string())
    except UnicodeEncodeError:
        array = pa.array(map(replace_lone_surrogates, texts), type=pa.large_string())
    _, offsets, data = array.buffers()
    content = b"" if data is None else data.to_pybytes()
    if lowercase and _SIGMA in content:
        return array
    return pa.LargeStringArray.from_buffers(
        len(array), offsets, pa.py_buffer(content.translate(_ASCII_WORDS[lowercase]))
    )


def _ascii_words(lowercase: bool) -> bytes:
    """Return the table for `bytes.translate`: ASCII outside of words becomes a space."""
    characters = [chr(code).lower() if lowercase else chr(code) for code in range(128)]
    ascii_part = "".join(
        character if re.fullmatch(r"\w", character) else " " for character in characters
    )
    return ascii_part.encode() + bytes(range(128, 256))


# How it is lower-cased depends on its neighbours, across apostrophes and full stops: texts that
# hold one are left as they are.
_SIGMA = "Σ".encode()
_ASCII_WORDS = {lowercase: _ascii_words(lowercase) for lowercase in (False, True)}
