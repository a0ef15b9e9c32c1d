"""What every vectorizer shares: input, missing texts, repeated texts, column names, tags."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError

from ..errors import InvalidTextError
from ..private_api import output_container
from .bert_common import naming_row
from .inputs.frames import first_names
from .inputs.texts import Missing, TextColumn, read_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["TextVectorizer", "VectorizerBase"]


class _Distinct:
    """The distinct texts of columns, and the index of each text among them, row by row."""

    def __init__(self, column: TextColumn) -> None:
        self.column = column
        self.texts = list(dict.fromkeys(column.texts))
        index_of = dict(zip(self.texts, range(len(self.texts)), strict=True))
        self.inverse = np.array(list(map(index_of.__getitem__, column.texts)), dtype=np.int64)
        self.counts = np.bincount(self.inverse, minlength=len(self.texts))

    def row_of(self, text: str) -> int:
        """Return the first row that has a text."""
        found = int(np.argmax(self.inverse == self.texts.index(text)))
        return found // self.column.n_columns


class VectorizerBase(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]  # scikit-learn has no types
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
    metaclass=ABCMeta,
):
    """A transformer that numbers its columns, of vectors in float32."""

    @abstractmethod
    def _n_features(self) -> int:
        """Return the number of features of a text under the present parameters."""

    @property
    def n_features_out_(self) -> int:
        """Number of columns of the result."""
        return self._n_features()

    @property
    def _n_features_out(self) -> int:  # read by ClassNamePrefixFeaturesOutMixin
        return self.n_features_out_

    def _name_features(self, columns: Sequence[str] | None) -> NDArray[np.object_]:
        """Number the features of each column; None gives them the name of the class."""
        if columns is None:
            names: NDArray[np.object_] = super().get_feature_names_out()
            return names
        numbers = range(self._n_features())
        return np.array([f"{name}_{n}" for name in columns for n in numbers], dtype=object)

    def _span_column(self) -> list[str] | None:
        """Return the name of the features of spans: that of the columns which ``fit`` read."""
        columns = getattr(self, "span_columns_", None)
        return None if columns is None else ["_".join(columns)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


class TextVectorizer(VectorizerBase):
    """Base of the vectorizers: columns of texts in, a float32 matrix out.

    A subclass stores its parameters in ``__init__``, among them ``missing``, and implements
    ``_learn``, ``_vectors`` and ``_n_features``.
    """

    missing: Missing

    def _read(self, X: Any) -> TextColumn:
        """Return the texts of each row of the result; subclasses may accept other inputs."""
        return read_columns(X, self.missing)

    def _reads_one_column(self) -> bool:
        """Whether the input may be one-dimensional."""
        return True

    def _reads_texts(self) -> bool:
        """Whether the input is columns of texts, which name the features."""
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
        """Learn from texts.

        Parameters
        ----------
        X : iterable of str, ndarray, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
            The texts. Accepts Series and DataFrames of pandas and polars, and any iterable that is
            no mapping or set, such as a column of a Hugging Face dataset. All columns of a
            DataFrame must be texts. `StaticVectorizer` also accepts documents or a table of spans,
            according to its ``unit``.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The fitted vectorizer.
        """
        distinct = _Distinct(self._read(X))
        with naming_row(distinct.row_of):
            self._learn(distinct.texts, distinct.counts)
        self._keep_columns(distinct.column)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> NDArray[np.float32]:
        """Learn from texts and return their vectors, as ``fit(X).transform(X)`` does.

        Parameters
        ----------
        X : iterable of str, ndarray, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
            The texts, as for ``fit``.
        y : object, default=None
            Ignored.
        **fit_params : dict
            None are accepted.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_features), float32
            A row for each row of X, with the vectors of all columns side by side.

        Raises
        ------
        TypeError
            If there are fit parameters.
        """
        if fit_params:
            raise TypeError(f"{type(self).__name__}.fit_transform() takes no {sorted(fit_params)}.")
        distinct = _Distinct(self._read(X))
        with naming_row(distinct.row_of):
            vectors = self._learn_vectors(distinct.texts, distinct.counts)
        self._keep_columns(distinct.column)
        return self._spread(vectors, distinct)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of texts.

        Parameters
        ----------
        X : iterable of str, ndarray, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
            The texts. Several columns must be those that ``fit`` saw, in their order.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_features), float32
            A row for each row of X, with the vectors of all columns side by side.
        """
        distinct = _Distinct(self._read(X))
        self._check_columns(distinct.column)
        with naming_row(distinct.row_of):
            vectors = self._vectors(distinct.texts)
        return self._spread(vectors, distinct)

    @property
    def n_features_out_(self) -> int:
        """Number of columns of the result."""
        return self._n_columns() * self._n_features()

    def _is_fitted(self) -> bool:
        return any(name.endswith("_") for name in vars(self))

    def _keep_columns(self, column: TextColumn) -> None:
        """Keep the number of columns and their names, which name the features."""
        for name in ("n_features_in_", "feature_names_in_", "span_columns_"):
            self.__dict__.pop(name, None)  # of an earlier fit
        if self._reads_texts():
            self.n_features_in_ = column.n_columns
            if column.names is not None:
                self.feature_names_in_ = np.array(column.names, dtype=object)
        elif column.names is not None:
            self.span_columns_ = list(column.names)

    def _n_columns(self) -> int:
        """Return the number of columns of texts; it is 1 before ``fit``."""
        return getattr(self, "n_features_in_", 1) if self._reads_texts() else 1

    def _check_columns(self, column: TextColumn) -> None:
        """Refuse other columns than ``fit`` saw; a single one may have another name."""
        n_columns, names = self._n_columns(), getattr(self, "feature_names_in_", None)
        if not self._is_fitted():
            if column.n_columns > 1 and output_container(self) != "default":
                raise NotFittedError(
                    f"X has {column.n_columns} columns, whose names this {type(self).__name__} does"
                    " not know yet. Call 'fit' first, as features are named by their columns."
                )
        elif column.n_columns != n_columns or (
            n_columns > 1 and names is not None and tuple(names) != column.names
        ):
            raise InvalidTextError(
                f"X must have the columns that 'fit' saw: {_described(n_columns, names)}. Got"
                f" {_described(column.n_columns, column.names)} instead. Choose them in this order,"
                " such as df[['title', 'text']], or fit again."
            )

    def _spread(self, vectors: NDArray[np.float32], distinct: _Distinct) -> NDArray[np.float32]:
        """Give each row the vectors of its texts, and fill those of missing texts."""
        if len(distinct.texts) < len(distinct.inverse):
            vectors = vectors[distinct.inverse]
        if self.missing in ("zero", "nan"):
            is_missing = distinct.column.is_missing
            vectors[is_missing] = 0.0 if self.missing == "zero" else np.nan
        if (n_columns := distinct.column.n_columns) > 1:
            return vectors.reshape(len(vectors) // n_columns, n_columns * vectors.shape[1])
        return vectors

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : sequence of str or None, default=None
            Names of the text columns. None takes those that ``fit`` saw.

        Returns
        -------
        names : ndarray of shape (n_features,), dtype object
            The name of the text column, an underscore and a number from 0. If the columns have no
            names, the class name in lower case and a number. Features of spans have the names of
            all columns that tell the span, such as ``text_word_0``.

        Raises
        ------
        InvalidTextError
            If ``input_features`` has another length than the number of columns, or other names than
            ``fit`` saw.
        """
        return self._name_features(self._column_names(input_features))

    def _column_names(self, given: Any) -> list[str] | None:
        """Return the names of the text columns, or None if features have the class's name."""
        n_columns, known = self._n_columns(), getattr(self, "feature_names_in_", None)
        if given is None:
            if not self._reads_texts():
                return self._span_column()
            return None if known is None else list(known)
        if len(given) != n_columns and self._reads_one_column():
            raise InvalidTextError(
                "The 'input_features' parameter must hold"
                f" {'one name' if n_columns == 1 else f'{n_columns} names'}. Got {len(given)}"
                " instead."
            )
        # Features that were fitted by a former version keep the names that later steps know.
        is_of_former_version = self._is_fitted() and not hasattr(self, "n_features_in_")
        if not self._reads_texts():
            return self._span_column()
        if is_of_former_version:
            return None
        if known is not None and list(given) != list(known):
            raise InvalidTextError(
                f"The 'input_features' parameter must hold the names that 'fit' saw, {list(known)}."
                f" Got {list(given)} instead: input_features is not equal to feature_names_in_."
            )
        return list(given)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = self._reads_one_column()
        tags.input_tags.two_d_array = not self._reads_one_column()
        tags.input_tags.allow_nan = True
        return tags


def _described(n_columns: int, names: Iterable[str] | None) -> str:
    """Return how messages describe columns.

    >>> _described(2, ["title", "body"]), _described(1, None)
    ("2 columns, 'title', 'body'", '1 column')
    """
    number = f"{n_columns} column{'s' if n_columns > 1 else ''}"
    return number if names is None else f"{number}, {first_names(list(map(repr, names)), 8)}"
