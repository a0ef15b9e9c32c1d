"""Probabilities with a column for each class or label, whatever form an estimator gives them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...validation import short_text
from ...warning import warn_user

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .target import Target

__all__ = ["label_probabilities", "read_probabilities", "read_values"]


def label_probabilities(shares: Sequence[Any], classes: Sequence[Any]) -> NDArray[np.float64]:
    """Return the probability of each label, given an array and the classes of each label.

    The classes are absence and presence, or one of them if a label never changed.

    Examples
    --------
    >>> shares = [np.array([[0.25, 0.75]]), np.array([[1.0]])]
    >>> label_probabilities(shares, [np.array([0, 1]), np.array([0])]).tolist()
    [[0.75, 0.0]]
    """
    present = [
        np.asarray(one)[:, list(known).index(1)] if 1 in known else np.zeros(len(one))
        for one, known in zip(shares, classes, strict=True)
    ]
    return np.stack(present, axis=1)


def read_values(
    estimator: Any, X: Any, target: Target, labels: NDArray[Any], methods: Sequence[str]
) -> NDArray[np.float32] | None:
    """Return what a metric reads, of shape (n_rows, n_columns): the first of ``methods`` there is.

    Two classes have one column, that of the second. The result is None if there is no such method,
    it fails, or the training rows, of which ``labels`` are the labels, lack a class.
    """
    if target.classes is None:
        return None
    for method in methods:
        if not hasattr(estimator, method):
            continue
        if method == "predict_proba":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # read_probabilities warns where it is asked for
                values = read_probabilities(estimator, X, target, labels)
            values = values[:, 1:] if values is not None and target.kind == "binary" else values
        else:
            values = np.asarray(estimator.decision_function(X))
            values = values.reshape(len(values), -1)
        n_columns = 1 if target.kind == "binary" else len(target.classes)
        n_classes = len(target.classes) if labels.ndim == 2 else len(np.unique(labels))
        if values is None or values.shape[1] != n_columns or n_classes < len(target.classes):
            return None
        return values.astype(np.float32)
    return None


def read_probabilities(
    estimator: Any, X: Any, target: Target, labels: NDArray[Any]
) -> NDArray[np.float64] | None:
    """Return the probabilities of a target's classes, of shape (n_rows, n_classes).

    ``labels`` are those of the training rows: a class that is not among them gets 0. The result is
    None for regression and if the estimator has no ``predict_proba``, or with a warning if that
    fails.
    """
    if target.classes is None:
        return None
    try:
        if not hasattr(estimator, "predict_proba"):
            return None
        shares = estimator.predict_proba(X)
        if isinstance(shares, list):
            shares = label_probabilities(shares, estimator.classes_)
        shares = np.asarray(shares, dtype=np.float64)
        places = list(range(len(target.classes)))
        if target.kind != "multilabel":
            place_of = {label: place for place, label in enumerate(target.classes.tolist())}
            classes = np.asarray(getattr(estimator, "classes_", np.unique(labels)))
            places = [place_of[label] for label in classes.tolist()]
        if shares.ndim != 2 or shares.shape[1] != len(places):
            raise ValueError(f"it gives shape {shares.shape} for {len(places)} classes")
        result = np.zeros((len(shares), len(target.classes)))
        result[:, places] = shares
    except Exception as error:  # an estimator of the user's; its predictions stand without them
        reason = f"{type(error).__name__}: {short_text(str(error), 200)}"
        warn_user(f"Its probabilities are missing, since predict_proba failed ({reason}).")
        return None
    return result
