"""From texts to the words in them, each distinct word once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.errors import InvalidTextError
from ..models.tokenization import replace_lone_surrogates
from ..models.validation import invalid

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Tokenizer = str | Callable[[str], Iterable[str]]

__all__ = ["WORD_PATTERN", "TextWords", "check_tokenizer", "split_words"]

WORD_PATTERN = r"(?u)\b\w\w+\b"  # scikit-learn's token_pattern


@dataclass(frozen=True)
class TextWords:
    """The words of texts, as numbers.

    Attributes
    ----------
    words : list of str
        Distinct words, in the order of their first appearance. *Length:* ``n_words``.
    ids : ndarray
        Words of all texts, text after text, as places in ``words``. *Shape:* ``(n_tokens,)``, int64.
    offsets : ndarray
        Where each text begins in ``ids``, and where the last one ends. *Shape:* ``(n_texts + 1,)``, int64.
    """

    words: list[str]
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Numbers of words. *Shape:* ``(n_texts,)``, int64."""
        return np.diff(self.offsets)

    def only(self, wanted: NDArray[np.bool_]) -> TextWords:
        """Leave out words. *Shape of wanted:* ``(n_words,)``; ids keep their meaning."""
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
        except re.error:
            pass
    raise invalid("tokenizer", "a callable that returns the words of a text, or a regular expression with at most one group", tokenizer)


def split_words(texts: Sequence[str], tokenizer: Tokenizer, lowercase: bool) -> TextWords:
    """Split texts into words.

    Parameters
    ----------
    texts : sequence of str
    tokenizer : str or callable
        A pattern, all of whose matches are the words, as in scikit-learn; or what returns the words of a text.
    lowercase : bool
        Whether texts are lower-cased first.

    Returns
    -------
    TextWords

    Raises
    ------
    InvalidTextError
        If the tokenizer returns something else than str.

    Examples
    --------
    >>> found = split_words(["The bat, the ball", "a bat"], WORD_PATTERN, lowercase=True)
    >>> found.words, found.ids.tolist(), found.offsets.tolist()
    (['the', 'bat', 'ball'], [0, 1, 0, 2, 1], [0, 4, 5])
    """
    if tokenizer == WORD_PATTERN:
        return _by_word_pattern(texts, lowercase)
    tokenize = re.compile(tokenizer).findall if isinstance(tokenizer, str) else _checked(tokenizer)
    lists = [tokenize(text.lower() if lowercase else text) for text in texts]
    offsets = np.concatenate([[0], np.cumsum(np.fromiter(map(len, lists), dtype=np.int64, count=len(lists)))])
    words, ids = _numbered(chain.from_iterable(lists), int(offsets[-1]))
    return TextWords(words, ids, offsets)


def _numbered(words: Iterable[str], n: int) -> tuple[list[str], NDArray[np.int64]]:
    places: defaultdict[str, int] = defaultdict()
    places.default_factory = places.__len__
    ids = np.fromiter(map(places.__getitem__, words), dtype=np.int64, count=n)
    return list(places), ids


def _checked(tokenizer: Callable[[str], Iterable[str]]) -> Callable[[str], list[str]]:
    def tokenize(text: str) -> list[str]:
        words = tokenizer(text)
        listed = None if isinstance(words, (str, bytes)) else list(words)
        if listed is None or not all(isinstance(word, str) for word in listed):
            raise InvalidTextError(f"The 'tokenizer' must return a list of str. For {text[:60]!r} it returned {words!r:.200}.")
        return listed

    return tokenize


def _by_word_pattern(texts: Sequence[str], lowercase: bool) -> TextWords:
    """Split by scikit-learn's pattern, several times as fast as text by text.

    No word holds a space, so Arrow splits at ASCII spaces, and each distinct piece is lower-cased and matched once. Lower-casing
    looks at neighbours (a Greek final sigma), but not across a space.
    """
    import pyarrow.compute as pc

    pieces = pc.ascii_split_whitespace(_array(texts))
    coded = pieces.flatten().dictionary_encode()
    findall = re.compile(WORD_PATTERN).findall
    found = [findall(piece.lower() if lowercase else piece) for piece in coded.dictionary.to_pylist()]
    n_found = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
    words, ids = _numbered(chain.from_iterable(found), int(n_found.sum()))
    # Each piece is replaced by its words: none, one or several.
    of_piece = coded.indices.to_numpy().astype(np.int64)
    lengths = n_found[of_piece] if found else np.zeros(0, dtype=np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    starts = np.concatenate([[0], np.cumsum(n_found)])[of_piece]
    tokens = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths)
    offsets = pieces.offsets.to_numpy().astype(np.int64)
    return TextWords(words, ids[tokens], ends[offsets - offsets[0]])


def _array(texts: Sequence[str]) -> pa.LargeListArray:
    import pyarrow as pa

    try:
        return pa.array(texts, type=pa.large_string())
    except UnicodeEncodeError:
        return pa.array(map(replace_lone_surrogates, texts), type=pa.large_string())
