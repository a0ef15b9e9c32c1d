"""Read documents: lists of words, or texts that a tokenizer splits into words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidParameterError, InvalidTextError
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import short_repr
from .frames import lazy_library, list_column, only_column, row_name
from .texts import list_iterable
from .word_splitting import check_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .word_splitting import Tokenizer

__all__ = ["Documents", "read_documents"]

_EXPECTED = (
    "X must hold documents, each a list of words: a list, tuple, array or other iterable of them,"
    " or a pandas or polars Series."
)
_TOKENIZERS = (
    r"split them first, [text.split() for text in X], or set a tokenizer that finds their words:"
    r" tokenizer=r'\w+|[^\w\s]'."
)


@dataclass(frozen=True)
class Documents:
    """Words of documents, and the bounds of each in the text of its document."""

    texts: list[str]
    spans: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The index of each word's document."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def words(self) -> list[str]:
        """All words, document after document; a blank one is ""."""
        spans, offsets = self.spans.tolist(), self.offsets.tolist()
        return [
            text[start:end]
            for row, text in enumerate(self.texts)
            for start, end in spans[offsets[row] : offsets[row + 1]]
        ]

    @property
    def nested(self) -> list[list[str]]:
        """The words of each document."""
        words = self.words
        return [words[start:end] for start, end in pairwise(self.offsets.tolist())]


def read_documents(X: Any, tokenizer: Tokenizer | None = None, *, first: int = 0) -> Documents:
    r"""Read documents as words, none left out.

    Examples
    --------
    >>> documents = read_documents([["A", "bat", "flew"], ["Hit", "!"]])
    >>> documents.texts, documents.spans[-1].tolist(), documents.offsets.tolist()
    (['A bat flew', 'Hit !'], [4, 5], [0, 3, 5])
    >>> read_documents(["A bat."], tokenizer=r"\w+|[^\w\s]").words
    ['A', 'bat', '.']
    """
    bounds_of = None if tokenizer is None else _finder(check_tokenizer(tokenizer))
    values, labels = _elements(X, tokenizer is not None)

    def name(row: int) -> str:
        return row_name(row, labels, "document", first)

    texts: list[str] = []
    spans: list[tuple[int, int]] = []
    offsets = [0]
    for row, value in enumerate(values):
        if isinstance(value, str):
            if bounds_of is None:
                raise InvalidTextError(_text_without_tokenizer(values, row, name(row)))
            text = replace_lone_surrogates(str(value))
            bounds: Iterable[tuple[int, int]] = bounds_of(text, first + row)
        else:
            text, bounds = _joined(_words_of(value, row, name, tokenizer is not None))
        texts.append(text)
        spans.extend(bounds)
        offsets.append(len(spans))
    return Documents(
        texts, np.array(spans, dtype=np.int64).reshape(-1, 2), np.array(offsets, dtype=np.int64)
    )


def _elements(X: Any, has_tokenizer: bool) -> tuple[list[Any], Any]:
    """Return the documents of X and, where there is one, the index that names them."""
    if isinstance(X, (str, bytes)):
        text = "text" if isinstance(X, str) else "text.decode('utf-8')"
        remedy = (
            f"Put it in a list: [{text}]"
            if has_tokenizer
            else "Put its words in a list of one document: [words]"
        )
        raise InvalidTextError(
            f"{_EXPECTED} Got a single {type(X).__name__}: {short_repr(X)}. {remedy}."
        )
    X = only_column(
        X,
        _EXPECTED,
        "Choose one, df['words']; of a row for each word, pandas makes lists:"
        " df.groupby('sentence', sort=False)['word'].agg(list).",
    )
    if (column := list_column(X)) is not None:
        return column
    if isinstance(X, (list, tuple)):
        return list(X), None
    if hasattr(X, "__array__") and np.ndim(X) in (1, 2):
        return list(X) if isinstance(X, np.ndarray) else np.asarray(X, dtype=object).tolist(), None
    is_table = hasattr(X, "__array__") or lazy_library(X)  # its elements would be no documents
    if not is_table and (documents := list_iterable(X)) is not None:
        return documents, None
    raise InvalidTextError(
        f"{_EXPECTED} Got {type(X).__name__}. Make a list of it, in the order of your documents."
    )


def _words_of(
    document: Any, row: int, name: Callable[[int], str], has_tokenizer: bool
) -> list[str]:
    """Return the words of a document as they are, each of them a str."""
    words = document
    for method in ("to_pylist", "to_list", "tolist"):
        if not isinstance(words, (list, tuple)) and hasattr(words, method):
            words = getattr(words, method)()
    if not isinstance(words, (list, tuple)):
        expected = "a text or a list of str" if has_tokenizer else "a list of str"
        remedy = (
            "Put a text in its place, or leave it out: value.decode('utf-8') of bytes, '' for a"
            " missing text, which has no words"
            if has_tokenizer
            else "Leave it out, or give a list; an empty one has no words"
        )
        raise InvalidTextError(
            f"Each document must be {expected}. Got {type(document).__name__}"
            f" {short_repr(document)} as {name(row)}. {remedy}."
        )
    for number, word in enumerate(words):
        if not isinstance(word, str):
            raise InvalidTextError(
                f"Each word must be a str. Got {type(word).__name__} {short_repr(word)} as word"
                f" {number} of {name(row)}. {_remedy_of_word(word)}."
            )
    return list(map(str, words))  # NumPy's str, and others' too


def _remedy_of_word(word: Any) -> str:
    if isinstance(word, bytes):
        return "Decode it: word.decode('utf-8')"
    if isinstance(word, (list, tuple, np.ndarray)):
        return (
            "This is one level too deep, as a document is a flat list of words: [word for part in"
            " document for word in part]"
        )
    return "Put a str in its place: str(word), or '' for a missing word, whose row is then zeros"


def _joined(words: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return words as one text, with single spaces, and the bounds of each."""
    kept: list[str] = []
    bounds = []
    start = 0
    for word in words:
        stripped = replace_lone_surrogates(word).strip()
        if not stripped:
            bounds.append((0, 0))
            continue
        kept.append(stripped)
        bounds.append((start, start + len(stripped)))
        start += len(stripped) + 1
    return " ".join(kept), bounds


def _finder(tokenizer: Tokenizer) -> Callable[[str, int], list[tuple[int, int]]]:
    """Return the function that finds the bounds of the words of a text."""
    if callable(tokenizer):
        return lambda text, row: _bounds_of_returned(tokenizer, text, row)
    pattern = re.compile(tokenizer)

    def matches(text: str, row: int) -> list[tuple[int, int]]:
        found = (match.span(pattern.groups) for match in pattern.finditer(text))
        # A match of nothing is no word.
        return [_stripped(text, start, end) for start, end in found if end > start]

    return matches


def _bounds_of_returned(
    tokenizer: Callable[[str], Iterable[str]], text: str, row: int
) -> list[tuple[int, int]]:
    returned: Any = tokenizer(text)
    is_several = isinstance(returned, Iterable) and not isinstance(returned, (str, bytes))
    words = list(returned) if is_several else []
    if not is_several or not all(isinstance(word, str) for word in words):
        raise InvalidParameterError(
            "The 'tokenizer' parameter must be a callable that returns a list of str for each"
            f" text. For {short_repr(text)} in row {row} it returned"
            f" {short_repr(words if is_several else returned)}. Let it return the words of the"
            " text, as str.split does."
        )
    bounds = []
    end = 0
    for number, word in enumerate(words):
        stripped = str(word).strip()
        start = text.find(stripped, end)
        if start < 0:
            raise InvalidParameterError(
                "The 'tokenizer' parameter must be a callable that returns words as they stand in"
                f" the text, one after the other. Word {number} of row {row}, {short_repr(word)},"
                f" is not in the rest of its text, {short_repr(text[end:])}. Give lists of words in"
                " place of texts, X = [tokenizer(text) for text in texts], or a pattern."
            )
        if stripped:
            end = start + len(stripped)
        bounds.append((start, end) if stripped else (0, 0))
    return bounds


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Return bounds without the white space at both ends."""
    word = text[start:end]
    start, end = start + len(word) - len(word.lstrip()), end - len(word) + len(word.rstrip())
    return (start, end) if start < end else (0, 0)


def _text_without_tokenizer(values: list[Any], row: int, name: str) -> str:
    if all(isinstance(value, str) for value in values):
        return (
            f"{_EXPECTED} Got {len(values)} str, the first of them {short_repr(str(values[0]))}. If"
            " these are the words of one document, put them in a list: [words]. If they are texts,"
            f" {_TOKENIZERS}"
        )
    return (
        f"{_EXPECTED} Got the text {short_repr(str(values[row]))} as {name}. If it is one,"
        f" {_TOKENIZERS}"
    )
