"""Features of words in their sentences: vectors and shapes, of each word and of its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ...errors import BertVectorizerError, InvalidParameterError, InvalidTextError
from ...validation import short_repr
from .word_shape import word_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_word_vectors", "learn_word_vectors", "word_features"]

_REMEDY = (
    "Take one that works on words, such as BertWordVectorizer() or StaticVectorizer(vectors,"
    " unit='word')."
)


def as_word_vectors(vectors: Any, n_words: int, vectorizer: Any) -> Any:
    """Return what a vectorizer gave for words as a matrix of float32 with a row for each."""
    matrix = sparse.csr_array(vectors) if sparse.issparse(vectors) else np.asarray(vectors)
    if matrix.ndim != 2 or matrix.shape[0] != n_words:
        raise InvalidParameterError(
            "The 'vectorizer' parameter must be a transformer that returns one row for each word"
            f" of each sentence. Got {short_repr(vectorizer)} instead, which returned shape"
            f" {matrix.shape} for {n_words} words. {_REMEDY}"
        )
    return matrix.astype(np.float32, copy=False)


def learn_word_vectors(vectorizer: Any, words: list[list[str]], tags: list[list[str]]) -> Any:
    """Fit a vectorizer and return what it gives for the words it was fitted on."""
    try:
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


def word_features(
    vectors: Any, words: Sequence[str], offsets: NDArray[np.int64], context: int, with_shapes: bool
) -> Any:
    """Concatenate the vectors and shapes of words and of ``context`` neighbours on each side.

    Examples
    --------
    >>> vectors = np.array([[1], [2], [3], [4]], dtype=np.float32)
    >>> words, offsets = ["a", "b", "c", "d"], np.array([0, 3, 4])
    >>> word_features(vectors, words, offsets, context=1, with_shapes=False).tolist()
    [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 0.0], [0.0, 4.0, 0.0]]
    """
    blocks = [] if vectors is None else [vectors]
    if with_shapes:
        blocks.append(word_shape(words, offsets))
    indices = np.arange(len(words))
    lengths = np.diff(offsets)
    first, beyond = np.repeat(offsets[:-1], lengths), np.repeat(offsets[1:], lengths)
    shifts = [indices + shift for shift in range(-context, context + 1)]
    inside = [(first <= shifted) & (shifted < beyond) for shifted in shifts]
    if any(sparse.issparse(block) for block in blocks):
        own = sparse.hstack([sparse.csr_array(block) for block in blocks], format="csr")
        return sparse.hstack(
            [_chosen(own, *each) for each in zip(shifts, inside, strict=True)],
            format="csr",
            dtype=np.float32,
        )
    width = sum(block.shape[1] for block in blocks)
    features = np.zeros((len(words), len(shifts) * width), dtype=np.float32)
    column = 0
    for shifted, is_inside in zip(shifts, inside, strict=True):
        for block in blocks:
            features[is_inside, column : column + block.shape[1]] = block[shifted[is_inside]]
            column += block.shape[1]
    return features


def _chosen(matrix: Any, rows: NDArray[np.int64], is_inside: NDArray[np.bool_]) -> Any:
    """Return rows of a sparse matrix by their numbers, and zeros for those that are not inside."""
    n_rows = len(rows)
    ones = np.ones(int(is_inside.sum()), dtype=np.float32)
    choice = sparse.csr_array(
        (ones, (np.flatnonzero(is_inside), rows[is_inside])), shape=(n_rows, n_rows)
    )
    return choice @ matrix
