"""What every vectorizer shares: input, missing texts, repeated texts, column names, tags."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from ..errors import InvalidTextError
from .inputs.texts import Missing, TextColumn, read_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["TextVectorizer", "VectorizerBase"]


class _Distinct:
    """The distinct texts of a column, and the index of each row's text among them."""

    def __init__(self, column: TextColumn) -> None:
        self.texts = list(dict.fromkeys(column.texts))
        index_of = dict(zip(self.texts, range(len(self.texts)), strict=True))
        self.inverse = np.array(list(map(index_of.__getitem__, column.texts)), dtype=np.int64)
        self.counts = np.bincount(self.inverse, minlength=len(self.texts))
        self.is_missing = column.is_missing


class VectorizerBase(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]  # scikit-learn has no types
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
    metaclass=ABCMeta,
):
    """A transformer that numbers its columns, of vectors in float32."""

    @abstractmethod
    def _n_features(self) -> int:
        """Return the number of columns under the present parameters."""

    @property
    def n_features_out_(self) -> int:
        """Number of columns of the result."""
        return self._n_features()

    @property
    def _n_features_out(self) -> int:  # read by ClassNamePrefixFeaturesOutMixin
        return self._n_features()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


class TextVectorizer(VectorizerBase):
    """Base of the vectorizers: a column of texts in, a float32 matrix out.

    A subclass stores its parameters in ``__init__``, among them ``missing``, and implements
    ``_learn``, ``_vectors`` and ``_n_features``.
    """

    missing: Missing

    def _read(self, X: Any) -> TextColumn:
        """Return a text for each row of the result; subclasses may accept other inputs."""
        return read_texts(X, self.missing)

    def _reads_one_column(self) -> bool:
        """Whether the input is one column, the only name to give to `get_feature_names_out`."""
        return True

    @abstractmethod
    def _learn(self, texts: list[str], counts: NDArray[np.int64]) -> None:
        """Learn from distinct texts, each ``counts`` times in X, and set the fitted attributes."""

    @abstractmethod
    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        """Return the vectors of distinct texts, of shape (n_texts, n_features)."""

    def _learn_vectors(self, texts: list[str], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Learn from distinct texts and return their vectors."""
        self._learn(texts, counts)
        return self._vectors(texts)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from a column of texts.

        Parameters
        ----------
        X : list, tuple, ndarray, Series or one-column DataFrame of shape (n_texts,)
            The texts. Accepts Series and DataFrames of pandas and polars. `StaticVectorizer` also
            accepts documents or a table of spans, according to its ``unit``.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The fitted vectorizer.
        """
        distinct = _Distinct(self._read(X))
        self._learn(distinct.texts, distinct.counts)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> NDArray[np.float32]:
        """Learn from a column of texts and return their vectors, as ``fit(X).transform(X)`` does.

        Parameters
        ----------
        X : list, tuple, ndarray, Series or one-column DataFrame of shape (n_texts,)
            The texts.
        y : object, default=None
            Ignored.
        **fit_params : dict
            None are accepted.

        Returns
        -------
        vectors : ndarray of shape (n_texts, n_features), float32
            A row for each text.

        Raises
        ------
        TypeError
            If there are fit parameters.
        """
        if fit_params:
            raise TypeError(f"{type(self).__name__}.fit_transform() takes no {sorted(fit_params)}.")
        distinct = _Distinct(self._read(X))
        return self._spread(self._learn_vectors(distinct.texts, distinct.counts), distinct)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of a column of texts.

        Parameters
        ----------
        X : list, tuple, ndarray, Series or one-column DataFrame of shape (n_texts,)
            The texts.

        Returns
        -------
        vectors : ndarray of shape (n_texts, n_features), float32
            A row for each text.
        """
        distinct = _Distinct(self._read(X))
        return self._spread(self._vectors(distinct.texts), distinct)

    def _spread(self, vectors: NDArray[np.float32], distinct: _Distinct) -> NDArray[np.float32]:
        """Give each row the vector of its text, and fill the rows of missing texts."""
        if len(distinct.texts) < len(distinct.inverse):
            vectors = vectors[distinct.inverse]
        if self.missing in ("zero", "nan"):
            vectors[distinct.is_missing] = 0.0 if self.missing == "zero" else np.nan
        return vectors

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : sequence of one str or None, default=None
            Name of the text column. Only their number is checked.

        Returns
        -------
        names : ndarray of shape (n_features,), dtype object
            The class name in lower case followed by the number of the column.

        Raises
        ------
        InvalidTextError
            If ``input_features`` has another length than 1.
        """
        if input_features is not None and len(input_features) != 1 and self._reads_one_column():
            raise InvalidTextError(
                f"The 'input_features' parameter must hold one name. Got {len(input_features)}"
                " instead."
            )
        names: NDArray[np.object_] = super().get_feature_names_out(input_features)
        return names

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = self._reads_one_column()
        tags.input_tags.two_d_array = not self._reads_one_column()
        tags.input_tags.allow_nan = True
        return tags
