"""Pairs of texts as features, from the vectors of both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, get_args

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..errors import InvalidParameterError, InvalidTextError
from ..validation import check_choice, invalid, short_repr
from .base import TextVectorizer
from .bert import BertVectorizer
from .inputs.pairs import PairColumns, read_pairs
from .inputs.texts import Missing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["PairVectorizer", "PairsBase", "distinct_sentences"]

_Part: TypeAlias = Literal["u", "v", "abs_diff", "product", "sum", "cosine"]
_PARTS: tuple[_Part, ...] = get_args(_Part)


class PairsBase(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # no types
    """A transformer of pairs of texts: the names of both columns, and its tags."""

    def _keep_names(self, names: tuple[str, str] | None) -> None:
        self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        self.n_features_in_ = 2
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)

    def _check_names(self, names: tuple[str, str] | None) -> None:
        """Refuse columns by other names than ``fit`` saw; pairs without names have an order."""
        known = getattr(self, "feature_names_in_", None)
        if names is not None and known is not None and names != tuple(known):
            raise InvalidTextError(
                f"X must have the columns that 'fit' saw: {known[0]!r} and {known[1]!r}. Got"
                f" {names[0]!r} and {names[1]!r} instead. Choose them in this order,"
                f" df[{list(known)}], or fit again."
            )

    def _check_given_names(self, given: Any) -> None:
        """Refuse ``input_features`` other than the names that ``fit`` saw; None is accepted."""
        if given is None:
            return
        known, given = getattr(self, "feature_names_in_", None), list(given)
        if len(given) != 2:
            fault = "input_features should have length equal to 2, the number of columns"
        elif known is not None and given != list(known):
            fault = "input_features is not equal to feature_names_in_"
        else:
            return
        raise InvalidTextError(
            "The 'input_features' parameter must hold the names of the two columns that"
            f" 'fit' saw{'' if known is None else f', {list(known)}'}. Got {given} instead:"
            f" {fault}."
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class PairVectorizer(PairsBase):
    """Turn pairs of texts into features: both vectors, their difference, product and cosine.

    Any vectorizer of texts serves both sides. It is fitted once, on the distinct sentences of both
    columns, and turns each distinct sentence into its vector once.

    Parameters
    ----------
    vectorizer : transformer or None, default=None
        Turns a list of texts into a row of features each: a vectorizer of this package or of
        scikit-learn, or a `Pipeline` of one and further transformers. None is `BertVectorizer()`,
        whose parameters can be set and searched, too: ``vectorizer__layers``.
    combine : str or sequence of str, default=("u", "v", "abs_diff", "product")
        What the features of a pair are, side by side, with ``u`` and ``v`` the vectors of its first
        and second text:

        - ``"u"``, ``"v"``: the vector of one text.
        - ``"abs_diff"``: the absolute difference of each feature, ``|u - v|``.
        - ``"product"``: the product of each feature, ``u * v``.
        - ``"sum"``: the sum of each feature, ``u + v``.
        - ``"cosine"``: the cosine similarity, one column. It is 0 if a vector is all zeros.

        ``"abs_diff"``, ``"product"``, ``"sum"`` and ``"cosine"`` are symmetric: they stay the same
        where the sides are swapped. Choose among these alone if the order of a pair means nothing,
        as in paraphrase or similarity; entailment needs ``"u"`` and ``"v"``.

    Attributes
    ----------
    vectorizer_ : transformer
        The fitted vectorizer, a clone of ``vectorizer``.
    n_features_in_ : int
        Number of columns that ``fit`` saw: 2.
    feature_names_in_ : ndarray of shape (2,), dtype object
        Their names. Defined only if each of them has a str as its name.
    n_features_out_ : int
        Number of columns of the result.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or ``vectorizer`` does not return a row for each text.
    InvalidTextError
        If X does not hold pairs of texts, or other columns than ``fit`` saw, or has missing texts
        and the vectorizer has ``missing="error"``.
    NotFittedError
        If a method is called before ``fit``.

    See Also
    --------
    BertVectorizer : Vectors of texts; several columns give theirs side by side.
    OverlapVectorizer : Counts of common words, a baseline.

    Notes
    -----
    ``vectorizer`` is fitted without targets: a sentence may stand in several pairs, which differ in
    theirs.

    Sparse vectors give sparse features. Numbers are float32 or float64, as those of the vectors;
    others become float64.

    A missing text is read as "". If ``vectorizer``, or the first step of a pipeline, is a
    vectorizer of this package, its parameter ``missing`` says what becomes of it: an error, a
    vector of zeros or one of NaN.

    References
    ----------
    A. Conneau, D. Kiela, H. Schwenk, L. Barrault, A. Bordes, "Supervised Learning of Universal
    Sentence Representations from Natural Language Inference Data", EMNLP 2017, section 3.1
    (InferSent): ``("u", "v", "abs_diff", "product")``.

    N. Reimers, I. Gurevych, "Sentence-BERT", EMNLP 2019, section 3: ``("u", "v", "abs_diff")`` for
    classification, and ``"cosine"`` for similarity.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from bertvectorizer import PairVectorizer
    >>> pairs = [("A man sings.", "A man is singing."), ("A man sings.", "A dog barks.")]
    >>> vectorizer = PairVectorizer(TfidfVectorizer(), combine=("abs_diff", "cosine"))
    >>> vectorizer.fit_transform(pairs).shape
    (2, 7)
    >>> vectorizer.get_feature_names_out()[[0, -1]].tolist()
    ['abs_diff0', 'cosine']
    >>> PairVectorizer().set_params(vectorizer__layers=-2).fit_transform(pairs).shape
    (2, 1536)
    """

    def __init__(
        self,
        vectorizer: Any = None,
        combine: str | Sequence[str] = ("u", "v", "abs_diff", "product"),
    ) -> None:
        # An object, so that set_params(vectorizer__layers=...) has one to set.
        self.vectorizer = BertVectorizer() if vectorizer is None else vectorizer
        self.combine = combine

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the vectorizer on the distinct sentences of both columns.

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
        vectorizer = self._new_vectorizer()
        pairs, sentences, _ = _distinct(X, vectorizer)
        vectorizer.fit(sentences)
        self._keep(vectorizer, pairs)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit the vectorizer and return the features of the pairs.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_rows, 2), list of tuples, or other iterable of pairs
            Two texts a row, as for ``fit``.
        y : object, default=None
            Ignored.

        Returns
        -------
        features : ndarray or sparse matrix of shape (n_rows, n_features)
            A row for each pair.
        """
        vectorizer = self._new_vectorizer()
        pairs, sentences, places = _distinct(X, vectorizer)
        if hasattr(vectorizer, "fit_transform"):
            found = vectorizer.fit_transform(sentences)
        else:
            found = vectorizer.fit(sentences).transform(sentences)
        vectors = _checked(found, vectorizer, len(sentences))
        self._keep(vectorizer, pairs)
        return self._combined(vectors, places)

    def transform(self, X: Any) -> Any:
        """Return the features of pairs.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_rows, 2), list of tuples, or other iterable of pairs
            Two texts a row. Columns with names must be those that ``fit`` saw, in their order.

        Returns
        -------
        features : ndarray or sparse matrix of shape (n_rows, n_features)
            A row for each pair.
        """
        check_is_fitted(self, "vectorizer_")
        self._parts()
        pairs, sentences, places = _distinct(X, self.vectorizer_)
        self._check_names(pairs.names)
        return self._combined(self._vectors(sentences), places)

    @property
    def n_features_out_(self) -> int:
        """Number of columns of the result."""
        return len(self.get_feature_names_out())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : sequence of str or None, default=None
            The names of the columns that ``fit`` saw, or None.

        Returns
        -------
        names : ndarray of shape (n_features,), dtype object
            Such as ``u0``, ``v0``, ``abs_diff0``, ``product0``, ``sum0`` and ``cosine``.

        Raises
        ------
        InvalidTextError
            If ``input_features`` are not two names, or others than ``fit`` saw.
        """
        check_is_fitted(self, "vectorizer_")
        self._check_given_names(input_features)
        numbers = range(self._n_dimensions())
        names = [
            name
            for part in self._parts()
            for name in ([part] if part == "cosine" else [f"{part}{n}" for n in numbers])
        ]
        return np.array(names, dtype=object)

    def _n_dimensions(self) -> int:
        """Return the number of features of a text."""
        try:
            return len(self.vectorizer_.get_feature_names_out())
        except AttributeError:  # some transformers have no names
            return int(self._vectors([""]).shape[1])

    def _new_vectorizer(self) -> Any:
        """Check the parameters and return a vectorizer to fit."""
        self._parts()
        given = BertVectorizer() if self.vectorizer is None else self.vectorizer
        if isinstance(given, type) or not (hasattr(given, "fit") and hasattr(given, "transform")):
            rule = "a transformer of texts, such as BertVectorizer() or TfidfVectorizer(), or None"
            raise invalid("vectorizer", rule, given)
        return clone(given)

    def _parts(self) -> list[_Part]:
        """Return what the features consist of."""
        given = [self.combine] if isinstance(self.combine, str) else self.combine
        if not isinstance(given, (list, tuple, np.ndarray)) or not len(given):
            rule = f"one or more of {', '.join(map(repr, _PARTS))}"
            raise invalid("combine", rule, self.combine)
        parts = [check_choice("combine", one, _PARTS) for one in given]
        if len(set(parts)) < len(parts):
            raise invalid("combine", "distinct names", self.combine)
        return parts

    def _keep(self, vectorizer: Any, pairs: PairColumns) -> None:
        self.vectorizer_ = vectorizer
        self._keep_names(pairs.names)

    def _combined(self, vectors: Any, places: NDArray[np.int64]) -> Any:
        """Return the features of pairs from the vectors of their sentences."""
        return _combined(vectors, places, self._parts())

    def _vectors(self, sentences: list[str | None]) -> Any:
        """Return the vectors of distinct sentences."""
        # Without sentences, some of scikit-learn's transformers raise; "" gives the number type.
        texts = sentences or [""]
        return _checked(self.vectorizer_.transform(texts), self.vectorizer_, len(texts))


def _distinct(X: Any, vectorizer: Any) -> tuple[PairColumns, list[str | None], NDArray[np.int64]]:
    """Read pairs; return them, the distinct sentences, and the places of both in each row.

    A missing text is None where the vectorizer fills its row, else "".
    """
    first = vectorizer
    while isinstance(first, Pipeline):
        first = first[0]
    missing: Missing = first.missing if isinstance(first, TextVectorizer) else "empty"
    pairs = read_pairs(X, missing)
    texts: list[str | None] = [
        text for pair in zip(pairs.first, pairs.second, strict=True) for text in pair
    ]
    if missing in ("zero", "nan"):
        for place in np.flatnonzero(pairs.is_missing).tolist():
            texts[place] = None
    place_of = dict(zip(dict.fromkeys(texts), count(), strict=False))
    places = np.array(list(map(place_of.__getitem__, texts)), dtype=np.int64)
    return pairs, list(place_of), places.reshape(-1, 2)


def distinct_sentences(X: Any, vectorizer: Any) -> list[str | None]:
    """Return the distinct sentences of pairs, as a `PairVectorizer` gives them to its own."""
    return _distinct(X, vectorizer)[1]


def _checked(vectors: Any, vectorizer: Any, n_texts: int) -> Any:
    """Return vectors as a CSR matrix or an array, of float32 or float64."""
    vectors = vectors.tocsr() if sparse.issparse(vectors) else np.asarray(vectors)
    is_table = vectors.ndim == 2 and vectors.shape[0] == n_texts
    if not is_table or vectors.dtype.kind not in "biufO":
        raise InvalidParameterError(
            "The 'vectorizer' parameter must return a row of real numbers for each text. Got shape"
            f" {vectors.shape} of {vectors.dtype} for {n_texts} texts from"
            f" {short_repr(vectorizer)}. Choose one that does, such as BertVectorizer() or"
            " TfidfVectorizer()."
        )
    return vectors if vectors.dtype in (np.float32, np.float64) else vectors.astype(np.float64)


def _combined(vectors: Any, places: NDArray[np.int64], parts: list[_Part]) -> Any:
    """Return the features of pairs from the vectors of their sentences."""
    u, v = vectors[places[:, 0]], vectors[places[:, 1]]
    if sparse.issparse(vectors) and parts != ["cosine"]:
        blocks = [
            type(u)(block) if part == "cosine" else block
            for part, block in zip(parts, (_COMBINED[part](u, v) for part in parts), strict=True)
        ]
        return sparse.hstack(blocks, format="csr", dtype=vectors.dtype)
    widths = [1 if part == "cosine" else vectors.shape[1] for part in parts]
    features = np.empty((len(places), sum(widths)), dtype=vectors.dtype)
    start = 0
    for part, width in zip(parts, widths, strict=True):
        features[:, start : start + width] = _COMBINED[part](u, v)
        start += width
    return features


def _product(u: Any, v: Any) -> Any:
    return u.multiply(v) if sparse.issparse(u) else u * v


def _cosine(u: Any, v: Any) -> NDArray[np.float64]:
    norms = np.sqrt(_dot(u, u)) * np.sqrt(_dot(v, v))
    cosines: NDArray[np.float64] = np.divide(
        _dot(u, v), norms, out=np.zeros_like(norms), where=norms != 0
    )
    return cosines.clip(-1, 1).reshape(-1, 1)


def _dot(u: Any, v: Any) -> NDArray[np.float64]:
    """Return the scalar products of rows."""
    dots: NDArray[np.float64]
    if sparse.issparse(u):
        dots = np.asarray(u.multiply(v).sum(axis=1, dtype=np.float64)).ravel()
    else:
        dots = np.einsum("ij,ij->i", u, v, dtype=np.float64)
    return dots


_COMBINED: dict[_Part, Callable[[Any, Any], Any]] = {
    "u": lambda u, v: u,
    "v": lambda u, v: v,
    "abs_diff": lambda u, v: abs(u - v),
    "product": _product,
    "sum": lambda u, v: u + v,
    "cosine": _cosine,
}
