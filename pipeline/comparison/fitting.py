"""Features and the estimator that stands on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import Pipeline

from ...errors import InvalidTableError
from ...features import BertVectorizer, read_texts
from .candidates import parts_of, with_store
from .default_estimators import default_estimator, majority_estimator
from .target import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_rows", "as_texts", "fit_pipeline", "learn_features", "make_estimator"]


def as_texts(X: Any) -> NDArray[np.object_]:
    """Return a column of texts as an array, of which at least one says something. *Shape:* ``(n_rows,)``, dtype object."""
    texts = read_texts(X).texts
    if texts and not any(text.strip() for text in texts):
        raise InvalidTableError(f"All {len(texts)} texts are missing or empty.")
    return np.array(texts, dtype=object)


def as_rows(features: Any) -> Any:
    """Return a matrix whose rows can be chosen by number: sparse, or an array."""
    return features.tocsr() if hasattr(features, "tocsr") else np.asarray(features)


def make_estimator(estimator: Any, features: Any, kind: str, labels: NDArray[Any]) -> Any:
    """Return a new estimator for features: a clone of the one given, or what fits them."""
    return default_estimator(features, kind, labels) if estimator is None else clone(estimator)


def learn_features(transformer: Any, texts: NDArray[np.object_], labels: NDArray[Any]) -> Any:
    """Fit a transformer and return the features of the texts it was fitted on, as a matrix whose rows can be chosen."""
    return as_rows(_learn(transformer, texts, labels))


def _learn(transformer: Any, texts: NDArray[np.object_], labels: NDArray[Any]) -> Any:
    if hasattr(transformer, "fit_transform"):
        return transformer.fit_transform(texts, labels)
    return transformer.fit(texts, labels).transform(texts)


def fit_pipeline(
    transformer: Any,
    estimator: Any,
    texts: NDArray[np.object_],
    target: Target,
    store: Any = "auto",
) -> Pipeline:
    """Return features and an estimator, fitted on texts.

    Parameters
    ----------
    transformer : transformer or None
        None is the majority class.
    estimator : estimator or None
        None takes what fits the features.
    texts : ndarray
        *Shape:* ``(n_rows,)``, dtype object.
    target : Target
    store : "auto", path, EmbeddingStore or None
        Where vectors are looked for; the pipeline keeps the store that the transformer was given.

    Returns
    -------
    Pipeline
        Steps ``features`` and ``estimator``.
    """
    if transformer is None:
        return Pipeline([("estimator", majority_estimator(target.kind))]).fit(texts, target.values)
    features = with_store(transformer, store)
    vectors = _learn(features, texts, target.values)
    model = make_estimator(estimator, vectors, target.kind, target.values).fit(
        vectors, target.values
    )
    if estimator is None and isinstance(model[-1], LogisticRegressionCV):
        model[-1].set_params(
            scoring="accuracy"
        )  # what score() gives, as of any classifier; the strength was chosen by log loss
    for part, given in zip(parts_of(features), parts_of(transformer), strict=True):
        if isinstance(part, BertVectorizer):
            part.store = given.store
    return Pipeline([("features", features), ("estimator", model)])
