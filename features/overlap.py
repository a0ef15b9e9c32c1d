"""Word overlap of pairs of texts: the baseline that knows no meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from ..validation import check_flag
from .inputs.pairs import PairColumns, read_pairs
from .inputs.word_splitting import check_tokenizer, split_words
from .pairs import PairsBase

__all__ = ["OverlapVectorizer"]

_NAMES = ("words_u", "words_v", "common", "jaccard", "share_u", "share_v", "abs_diff")


class OverlapVectorizer(PairsBase):
    r"""Turn pairs of texts into counts of their words and of the words in common.

    The baseline of semantic similarity and entailment: what it gets right needs no understanding.

    Parameters
    ----------
    tokenizer : str or callable, default=r"(?u)\b\w+\b"
        Regular expression of a word, or a callable that returns the words of a text.
    lowercase : bool, default=True
        Whether to convert texts to lower case.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns that ``fit`` saw: 2.
    feature_names_in_ : ndarray of shape (2,), dtype object
        Their names. Defined only if each of them has a str as its name.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule.
    InvalidTextError
        If X does not hold pairs of texts, or other columns than ``fit`` saw.
    NotFittedError
        If ``transform`` is called before ``fit``.

    See Also
    --------
    PairVectorizer : Features of pairs from vectors of both texts.

    Notes
    -----
    With U and V the sets of words of both texts, the features are:

    - ``words_u``, ``words_v``: their sizes.
    - ``common``: the number of words in both.
    - ``jaccard``: common words by all words.
    - ``share_u``, ``share_v``: common words by the words of one text.
    - ``abs_diff``: the absolute difference of their sizes.

    A quotient by zero is 0. A missing text has no words.

    References
    ----------
    M. Marelli et al., "SemEval-2014 Task 1: Evaluation of Compositional Distributional Semantic
    Models on Full Sentences through Semantic Relatedness and Textual Entailment", SemEval 2014
    (the overlap baseline).

    Examples
    --------
    >>> from bertvectorizer import OverlapVectorizer
    >>> overlap = OverlapVectorizer()
    >>> overlap.fit_transform([("A man sings.", "A man is singing.")])[0, :4].tolist()
    [3.0, 4.0, 2.0, 0.4]
    >>> overlap.get_feature_names_out()[:4].tolist()
    ['words_u', 'words_v', 'common', 'jaccard']
    """

    def __init__(
        self,
        tokenizer: str | Callable[[str], Iterable[str]] = r"(?u)\b\w+\b",
        lowercase: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        self.lowercase = lowercase

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and learn the names of the columns.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_rows, 2), list of tuples, or other iterable of pairs
            Two texts a row. Accepts DataFrames of pandas and polars. An iterator is read once.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The fitted vectorizer.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """Return the features of pairs, as ``fit(X).transform(X)`` does.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_rows, 2), list of tuples, or other iterable of pairs
            Two texts a row.
        y : object, default=None
            Ignored.

        Returns
        -------
        features : ndarray of shape (n_rows, 7), float64
            A row for each pair.
        """
        return self._count(self._fit(X))

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the features of pairs.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_rows, 2), list of tuples, or other iterable of pairs
            Two texts a row. Columns with names must be those that ``fit`` saw, in their order.

        Returns
        -------
        features : ndarray of shape (n_rows, 7), float64
            A row for each pair.
        """
        check_is_fitted(self, "n_features_in_")
        pairs = read_pairs(X)
        self._check_names(pairs.names)
        return self._count(pairs)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : sequence of str or None, default=None
            The names of the columns that ``fit`` saw, or None.

        Returns
        -------
        names : ndarray of shape (7,), dtype object
            See Notes of the class.

        Raises
        ------
        InvalidTextError
            If ``input_features`` are not two names, or others than ``fit`` saw.
        """
        check_is_fitted(self, "n_features_in_")
        self._check_given_names(input_features)
        return np.array(_NAMES, dtype=object)

    def _fit(self, X: Any) -> PairColumns:
        check_tokenizer(self.tokenizer)
        check_flag("lowercase", self.lowercase)
        pairs = read_pairs(X)
        self._keep_names(pairs.names)
        return pairs

    def _count(self, pairs: PairColumns) -> NDArray[np.float64]:
        n_rows = len(pairs)
        found = split_words([*pairs.first, *pairs.second], self.tokenizer, self.lowercase)
        shape = (2 * n_rows, len(found.words))
        words = sparse.csr_array((np.ones(len(found.ids)), found.ids, found.offsets), shape)
        words.sum_duplicates()
        words.data[:] = 1  # a word counts once, however often it stands in the text
        u, v = words[:n_rows], words[n_rows:]
        n_u, n_v, common = (each.sum(axis=1) for each in (u, v, u * v))
        return np.column_stack(
            [
                *(n_u, n_v, common),
                *(_share(common, whole) for whole in (n_u + n_v - common, n_u, n_v)),
                np.abs(n_u - n_v),
            ]
        )


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
