"""Features of words in their sentences: vectors and shapes, of each word and of its neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ...errors import BertVectorizerError, InvalidParameterError, InvalidTextError
from ...validation import short_repr
from .word_shape import word_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WordFeatures", "as_word_vectors", "learn_word_vectors", "word_features"]

_MOST_BYTES = 256 << 20

_REMEDY = (
    "Take one that works on words, such as BertWordVectorizer() or StaticVectorizer(vectors,"
    " unit='word')."
)


def as_word_vectors(vectors: Any, n_words: int, vectorizer: Any) -> Any:
    """Return what a vectorizer gave for words as a matrix with a row for each, float32 or half."""
    matrix = sparse.csr_array(vectors) if sparse.issparse(vectors) else np.asarray(vectors)
    if matrix.ndim != 2 or matrix.shape[0] != n_words:
        raise InvalidParameterError(
            "The 'vectorizer' parameter must be a transformer that returns one row for each word"
            f" of each sentence. Got {short_repr(vectorizer)} instead, which returned shape"
            f" {matrix.shape} for {n_words} words. {_REMEDY}"
        )
    is_half = matrix.dtype == np.float16 and not sparse.issparse(matrix)
    return matrix if is_half else matrix.astype(np.float32, copy=False)


def learn_word_vectors(vectorizer: Any, words: list[list[str]], tags: list[list[str]]) -> Any:
    """Fit a vectorizer and return what it gives for the words it was fitted on.

    Vectors that come sentence by sentence never lie twice in memory. Where they would take more
    than 256 MiB in float32, they are kept in half precision, if that holds them.
    """
    try:
        if hasattr(vectorizer, "iter_transform"):
            return _joined(vectorizer.fit(words, tags).iter_transform(words), sum(map(len, words)))
        if hasattr(vectorizer, "fit_transform"):
            return vectorizer.fit_transform(words, tags)
        return vectorizer.fit(words, tags).transform(words)
    except (AttributeError, TypeError, ValueError) as error:
        # scikit-learn's error of an invalid parameter is both a ValueError and a TypeError.
        is_parameter = isinstance(error, ValueError) and isinstance(error, TypeError)
        is_own = is_parameter or isinstance(error, BertVectorizerError)
        if is_own and not isinstance(error, InvalidTextError):
            raise
        shown = " ".join(repr(vectorizer).split())  # that of a table has lines
        raise InvalidParameterError(
            "The 'vectorizer' parameter must be a transformer that takes sentences as lists of"
            f" words. Got {shown:.200} instead, which failed: {str(error).rstrip('.')}. {_REMEDY}"
        ) from error


class WordFeatures:
    """The vectors and shapes of words and of their neighbours, made for slices of rows only.

    It stands for a matrix of float32. The whole of it takes ``2 * context + 1`` times the memory of
    the vectors, and that twice when it is scaled.

    Parameters
    ----------
    blocks : list of ndarray of shape (n_words, width), float32 or float16
        What is known of each word by itself.
    offsets : ndarray of shape (n_sentences + 1,)
        Sentence *i* has the rows ``offsets[i]:offsets[i + 1]``.
    context : int
        Number of neighbours on each side.
    """

    def __init__(
        self, blocks: Sequence[NDArray[Any]], offsets: NDArray[np.int64], context: int
    ) -> None:
        self._blocks = blocks
        self._shifts = range(-context, context + 1)
        lengths = np.diff(offsets)
        self._first, self._beyond = (
            np.repeat(bounds, lengths) for bounds in (offsets[:-1], offsets[1:])
        )
        width = sum(block.shape[1] for block in blocks)
        self.shape = int(offsets[-1]), len(self._shifts) * width

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        start, end, _ = rows.indices(self.shape[0])
        features = np.empty((end - start, self.shape[1]), dtype=np.float32)
        numbers = np.arange(start, end)
        low = max(start + self._shifts[0], 0)
        high = min(end + self._shifts[-1], self.shape[0])
        blocks = [_as_float32(block[low:high]) for block in self._blocks]
        column = 0
        for shift in self._shifts:
            shifted = numbers + shift
            outside = (shifted < self._first[start:end]) | (shifted >= self._beyond[start:end])
            there = slice(max(start + shift, low), min(end + shift, high))
            for block in blocks:
                columns = slice(column, column + block.shape[1])
                features[there.start - shift - start : there.stop - shift - start, columns] = block[
                    there.start - low : there.stop - low
                ]
                features[outside, columns] = 0.0
                column = columns.stop
        return features


def word_features(
    vectors: Any, words: Sequence[str], offsets: NDArray[np.int64], context: int, with_shapes: bool
) -> Any:
    """Return the features of words as `WordFeatures`, or as a sparse matrix if vectors are sparse.

    Examples
    --------
    >>> vectors = np.array([[1], [2], [3], [4]], dtype=np.float32)
    >>> words, offsets = ["a", "b", "c", "d"], np.array([0, 3, 4])
    >>> word_features(vectors, words, offsets, context=1, with_shapes=False)[:].tolist()
    [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 0.0], [0.0, 4.0, 0.0]]
    """
    blocks = [] if vectors is None else [vectors]
    if with_shapes:
        blocks.append(word_shape(words, offsets))
    if not any(sparse.issparse(block) for block in blocks):
        return WordFeatures(blocks, offsets, context)
    indices = np.arange(len(words))
    lengths = np.diff(offsets)
    first, beyond = np.repeat(offsets[:-1], lengths), np.repeat(offsets[1:], lengths)
    shifts = [indices + shift for shift in range(-context, context + 1)]
    inside = [(first <= shifted) & (shifted < beyond) for shifted in shifts]
    own = sparse.hstack([sparse.csr_array(block) for block in blocks], format="csr")
    return sparse.hstack(
        [_chosen(own, *each) for each in zip(shifts, inside, strict=True)],
        format="csr",
        dtype=np.float32,
    )


def _joined(parts: Iterable[NDArray[np.float32]], n_words: int) -> NDArray[Any]:
    """Return the rows of all parts; something of another shape unless they are ``n_words``."""
    joined, start = None, 0
    for part in parts:
        if joined is None:
            is_large = 4 * n_words * part.shape[1] > _MOST_BYTES
            joined = np.empty((n_words, part.shape[1]), np.float16 if is_large else np.float32)
        if joined.dtype == np.float16 and not _fits_half(part):
            joined = joined.astype(np.float32)
        joined[start : start + len(part)] = part
        start += len(part)
        del part  # which keeps those of other sentences alive while the next ones are made
    return np.empty((start, 0), np.float32) if joined is None or start != n_words else joined


def _fits_half(rows: NDArray[np.float32]) -> bool:
    """Return whether half precision rounds to 11 binary digits, as it does unless out of range."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(rows.astype(np.float16) - rows).max(initial=0.0)
    return bool(error <= np.abs(rows).max(initial=0.0) / 2**10)


def _as_float32(rows: NDArray[Any]) -> NDArray[np.float32]:
    if rows.dtype != np.float16:
        return rows
    import torch

    return torch.from_numpy(rows).float().numpy()  # twenty times as fast as NumPy's astype


def _chosen(matrix: Any, rows: NDArray[np.int64], is_inside: NDArray[np.bool_]) -> Any:
    """Return rows of a sparse matrix by their numbers, and zeros for those that are not inside."""
    n_rows = len(rows)
    ones = np.ones(int(is_inside.sum()), dtype=np.float32)
    choice = sparse.csr_array(
        (ones, (np.flatnonzero(is_inside), rows[is_inside])), shape=(n_rows, n_rows)
    )
    return choice @ matrix
