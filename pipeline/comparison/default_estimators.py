"""The default estimator: a linear model with regularization chosen on training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .target import Kind

__all__ = ["default_estimator", "majority_estimator"]

_MAX_LOGISTIC_CLASSES = 20
_MAX_INNER_FOLDS = 3
_MAX_LEAVE_ONE_OUT_ROWS = 2000
# Scaled dense columns need more regularization than sparse rows of unit length.
_DENSE_CS = (1e-4, 1e-3, 1e-2, 1e-1)
_SPARSE_CS = (1e-1, 1.0, 10.0, 100.0)


def majority_estimator(kind: Kind) -> DummyClassifier | DummyRegressor:
    """Return an estimator that ignores the features: class frequencies, or the mean."""
    return DummyRegressor() if kind == "regression" else DummyClassifier()


def default_estimator(
    features: Any, kind: Kind, labels: NDArray[Any], groups: NDArray[np.int64] | None = None
) -> Pipeline:
    """Return an unfitted scaler and linear estimator for the features of training rows.

    Dense columns are scaled to unit variance. Sparse rows are scaled to unit length, since scaling
    their columns would undo idf weights. `LogisticRegressionCV` serves up to 20 classes, and up to
    20 labels, one by one; `RidgeClassifierCV` more of either, whose number does not change its
    cost; `RidgeCV` regression. Logistic regression chooses C by log loss in three folds, ridge
    regression alpha by leave-one-out error; above 2,000 rows in three folds, since the cost of
    leave-one-out grows with their cube. If a class has one row, C is fixed.

    With ``groups``, the folds are to keep groups together, which `fit_with_groups` sees to: ridge
    regression takes three folds too, and without folds that have each class on both sides, or with
    one group, the parameter is fixed.

    Examples
    --------
    >>> default_estimator(np.eye(4), "binary", np.array(["a", "b", "a", "b"]))[0]
    StandardScaler()
    """
    is_sparse = sparse.issparse(features)
    Cs = _SPARSE_CS if is_sparse else _DENSE_CS
    estimator: Any
    if kind == "multilabel":
        n_classes, counts = (
            labels.shape[1],
            np.array([labels.sum(axis=0), (1 - labels).sum(axis=0)]),
        )
        counts = counts[:, counts.all(axis=0)]  # a label of all rows, or of none, is not learned
    else:
        counts = np.unique(labels, return_counts=True)[1]
        n_classes = len(counts)
    if kind == "regression" or n_classes > _MAX_LOGISTIC_CLASSES:
        estimator = _ridge(is_sparse, kind == "regression", len(labels), groups)
    else:
        n_folds = min(_MAX_INNER_FOLDS, int(counts.min(initial=len(labels))))
        if groups is not None:
            n_folds = _count_group_folds(n_folds, labels, groups)
        estimator = _logistic(Cs, n_folds)
        estimator = OneVsRestClassifier(estimator) if kind == "multilabel" else estimator
    return make_pipeline(Normalizer() if is_sparse else StandardScaler(), estimator)


def _ridge(
    is_sparse: bool, is_regression: bool, n_rows: int, groups: NDArray[np.int64] | None
) -> Any:
    alphas = np.logspace(-2, 2, 5) if is_sparse else np.logspace(0, 5, 6)
    cv: Any = _MAX_INNER_FOLDS if n_rows > _MAX_LEAVE_ONE_OUT_ROWS else None
    if groups is not None:
        if np.ptp(groups) == 0:
            return (Ridge if is_regression else RidgeClassifier)(float(alphas[len(alphas) // 2]))
        # Not stratified: of many classes some have fewer rows than there are folds.
        cv = KFold(_MAX_INNER_FOLDS, shuffle=True, random_state=0)
    return (RidgeCV if is_regression else RidgeClassifierCV)(alphas=alphas, cv=cv)


def _count_group_folds(n_folds: int, labels: NDArray[Any], groups: NDArray[np.int64]) -> int:
    """Return the largest number of folds whose sides have each class; 0 if there is none."""
    columns: Any = labels.T if labels.ndim == 2 else labels[None]
    columns = [column for column in columns if len(np.unique(column)) > 1]

    def is_even(n_folds: int, column: NDArray[Any]) -> bool:
        n_classes = len(np.unique(column))
        splits = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0).split(
            column, column, groups
        )
        return all(len(np.unique(column[rows])) == n_classes for split in splits for rows in split)

    most = min(n_folds, len(np.unique(groups)))
    even = (n for n in range(most, 1, -1) if all(is_even(n, column) for column in columns))
    return next(even, 0)


def _logistic(Cs: tuple[float, ...], n_folds: int) -> LogisticRegression | LogisticRegressionCV:
    if n_folds < 2:
        return LogisticRegression(C=Cs[2], max_iter=1000)
    return LogisticRegressionCV(
        Cs=list(Cs),
        cv=StratifiedKFold(n_folds, shuffle=True, random_state=0),
        scoring="neg_log_loss",
        max_iter=1000,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
