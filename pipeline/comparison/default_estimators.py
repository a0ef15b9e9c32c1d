"""The estimator that stands on features where the user names none: its strength of regularisation is chosen on the training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["default_estimator", "majority_estimator"]

_MOST_LOGISTIC_CLASSES = 20
_MOST_INNER_FOLDS = 3
_MOST_LEFT_OUT_ONE_BY_ONE = 2000
# Weights of scaled columns are held back more than those of rows of unit length, whose numbers are
# small.
_DENSE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
_SPARSE_STRENGTHS = (1e-1, 1.0, 10.0, 100.0)


def majority_estimator(kind: str) -> DummyClassifier | DummyRegressor:
    """Return what knows nothing of the texts: the share of each class, or the mean amount."""
    return DummyRegressor() if kind == "regression" else DummyClassifier()


def default_estimator(features: Any, kind: str, labels: NDArray[Any]) -> Pipeline:
    """Return a scaler and a linear estimator that fit features.

    Parameters
    ----------
    features : ndarray or sparse matrix
        Features of the training rows. *Shape:* ``(n_rows, n_features)``. Dense columns are scaled
        to unit variance; sparse rows to unit length, since scaling their columns would undo idf
        weights.
    kind : {"binary", "multiclass", "multilabel", "regression"}
    labels : ndarray
        Of the training rows. *Shape:* ``(n_rows,)`` or ``(n_rows, n_labels)``.

    Returns
    -------
    Pipeline
        `LogisticRegressionCV` for up to 20 classes, `RidgeClassifierCV` for more, whose cost does
        not grow with them, and for several labels a row, `RidgeCV` for amounts. Not fitted.

    Notes
    -----
    The strength of logistic regression is chosen by log loss in three folds of the training rows, that of ridge regression by their
    leave-one-out error; for more than 2,000 rows in three folds too, since leaving one out takes time with their cube. With a class of
    one row nothing can be chosen, and the strength is a middling one.

    Examples
    --------
    >>> default_estimator(np.eye(4), "binary", np.array(["a", "b", "a", "b"]))[0]
    StandardScaler()
    """
    is_sparse = sparse.issparse(features)
    scaler = Normalizer() if is_sparse else StandardScaler()
    return make_pipeline(
        scaler,
        (
            _ridge(RidgeCV, is_sparse, len(labels))
            if kind == "regression"
            else _classifier(is_sparse, kind, labels)
        ),
    )


def _alphas(is_sparse: bool) -> NDArray[np.float64]:
    return np.logspace(-2, 2, 5) if is_sparse else np.logspace(0, 5, 6)


def _ridge(kind: type[Any], is_sparse: bool, n_rows: int) -> Any:
    return kind(
        alphas=_alphas(is_sparse),
        cv=_MOST_INNER_FOLDS if n_rows > _MOST_LEFT_OUT_ONE_BY_ONE else None,
    )


def _classifier(is_sparse: bool, kind: str, labels: NDArray[Any]) -> Any:
    if kind == "multilabel":
        return _ridge(RidgeClassifierCV, is_sparse, len(labels))
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) > _MOST_LOGISTIC_CLASSES:
        return _ridge(RidgeClassifierCV, is_sparse, len(labels))
    strengths = _SPARSE_STRENGTHS if is_sparse else _DENSE_STRENGTHS
    if counts.min() < 2:
        return LogisticRegression(C=strengths[2], max_iter=1000)
    inner = StratifiedKFold(min(_MOST_INNER_FOLDS, int(counts.min())), shuffle=True, random_state=0)
    return LogisticRegressionCV(
        Cs=list(strengths),
        cv=inner,
        scoring="neg_log_loss",
        max_iter=1000,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
