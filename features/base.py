"""What every vectorizer shares: input, missing texts, repeated texts, names of columns, tags."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ..errors import InvalidTextError
from .inputs.texts import TextColumn, read_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["TextVectorizer"]


class _Distinct:
    """The distinct texts of a column, and where each row finds its own."""

    def __init__(self, column: TextColumn) -> None:
        places: dict[str, int] = {}
        rows = (places.setdefault(text, len(places)) for text in column.texts)
        self.inverse = np.fromiter(rows, dtype=np.int64, count=len(column.texts))
        self.texts = list(places)
        self.counts = np.bincount(self.inverse, minlength=len(places))
        self.is_missing = column.is_missing


class TextVectorizer(TransformerMixin, BaseEstimator, metaclass=ABCMeta):  # type: ignore[misc]  # scikit-learn has no types
    """Base of the vectorizers: a column of texts in, a float32 matrix out.

    A subclass stores its parameters in ``__init__``, among them ``missing``, and says how it learns
    from texts and how it turns distinct texts into vectors; everything else is done here.
    """

    missing: str

    def _read(self, X: Any) -> TextColumn:
        """Return a text for each row of the result; for a subclass that takes more than a column of texts."""
        return read_texts(X, self.missing)

    def _reads_one_column(self) -> bool:
        """Whether the input is one column, whose name is all that ``get_feature_names_out`` may be given."""
        return True

    @abstractmethod
    def _learn(self, texts: list[str], counts: NDArray[np.int64]) -> None:
        """Learn from distinct texts, each ``counts`` times in the training set, and set the fitted attributes."""

    @abstractmethod
    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        """Return the vectors of distinct texts. *Shape:* ``(n_texts, n_features)``."""

    def _learn_vectors(self, texts: list[str], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Learn from distinct texts and return their vectors; for a subclass that does both in one go."""
        self._learn(texts, counts)
        return self._vectors(texts)

    @abstractmethod
    def _n_features(self) -> int:
        """Width of the result under the present parameters."""

    @property
    def n_features_out_(self) -> int:
        """Width of the result."""
        return self._n_features()

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from a column of texts.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series, or one-column DataFrame
            The texts. *Length:* ``n_texts``.
        y : ignored
            Here for scikit-learn's sake.

        Returns
        -------
        self
        """
        distinct = _Distinct(self._read(X))
        self._learn(distinct.texts, distinct.counts)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> NDArray[np.float32]:
        """Learn from a column of texts and return their vectors; the same as
        ``fit(X).transform(X)``.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series, or one-column DataFrame
            The texts. *Length:* ``n_texts``.
        y : ignored

        Returns
        -------
        ndarray
            *Shape:* ``(n_texts, n_features)``, float32.
        """
        if fit_params:
            raise TypeError(f"{type(self).__name__}.fit_transform() takes no {sorted(fit_params)}.")
        distinct = _Distinct(self._read(X))
        return self._spread(self._learn_vectors(distinct.texts, distinct.counts), distinct)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of a column of texts.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series, or one-column DataFrame
            The texts. *Length:* ``n_texts``.

        Returns
        -------
        ndarray
            *Shape:* ``(n_texts, n_features)``, float32. Zero texts give shape ``(0, n_features)``.
        """
        distinct = _Distinct(self._read(X))
        return self._spread(self._vectors(distinct.texts), distinct)

    def _spread(self, vectors: NDArray[np.float32], distinct: _Distinct) -> NDArray[np.float32]:
        """Give each row its vector, and missing texts what they are to have."""
        if len(distinct.texts) < len(distinct.inverse):
            vectors = vectors[distinct.inverse]
        if self.missing in ("zero", "nan"):
            vectors[distinct.is_missing] = 0.0 if self.missing == "zero" else np.nan
        return vectors

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : sequence of one str, or None
            Name of the text column; only its number is checked.

        Returns
        -------
        ndarray
            The class's name in lower case, and a number. *Shape:* ``(n_features,)``, dtype object.
        """
        if input_features is not None and len(input_features) != 1 and self._reads_one_column():
            raise InvalidTextError(
                f"The 'input_features' parameter must hold one name. Got {len(input_features)}"
                " instead."
            )
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{number}" for number in range(self._n_features())], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = self._reads_one_column()
        tags.input_tags.two_d_array = not self._reads_one_column()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags
