"""Logistic regression on scaled features that are made a chunk of rows at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ...errors import InvalidParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .word_features import WordFeatures

__all__ = ["fit_logistic"]

_CHUNK_BYTES = 2 << 20
_TOL = 1e-4  # of scikit-learn, and so are the other criteria of convergence


def fit_logistic(
    features: WordFeatures, labels: NDArray[np.str_], C: float, max_iter: int
) -> Pipeline:
    """Return what ``make_pipeline(StandardScaler(), LogisticRegression(C, max_iter))`` learns.

    ``labels`` has at least two classes. The objective and the criteria of convergence are those of
    scikit-learn, whose estimators need all features at once; the weights differ by rounding.
    """
    from scipy.optimize import minimize

    scaler = StandardScaler()
    for _, chunk in _chunks(features):
        if not np.isfinite(chunk).all():
            raise InvalidParameterError(
                "The 'vectorizer' parameter must be a transformer that returns finite numbers. Got"
                " one that returned NaN or infinity instead. Replace these, or take an estimator"
                " that accepts them."
            )
        scaler.partial_fit(chunk)
    mean, inverse = (row.astype(np.float32) for row in (scaler.mean_, 1.0 / scaler.scale_))
    classes, numbers = np.unique(labels, return_inverse=True)
    n_words, n_features = features.shape
    n_columns = 1 if len(classes) == 2 else len(classes)  # of two classes, the first scores zero

    def parts(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights of scaled features, and the bias."""
        table = parameters.reshape(n_features + 1, n_columns)
        return table[:-1], table[-1]

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = parts(parameters)
        single = weights.astype(np.float32)
        loss, of_bias = 0.0, np.zeros(n_columns)
        gradient = np.zeros_like(weights)
        for rows, chunk in _chunks(features):
            scaled = np.multiply(np.subtract(chunk, mean, out=chunk), inverse, out=chunk)
            scores = np.zeros((len(scaled), len(classes)))
            scores[:, -n_columns:] = scaled @ single + bias
            scores -= scores.max(axis=1, keepdims=True)
            residual = np.exp(scores)
            sums = residual.sum(axis=1)
            true = np.arange(len(scaled)), numbers[rows]
            loss += float(np.log(sums).sum() - scores[true].sum())
            residual /= sums[:, None]
            residual[true] -= 1.0
            residual = residual[:, -n_columns:]
            of_bias += residual.sum(axis=0)
            gradient += scaled.T @ residual.astype(np.float32)
        gradient += weights / C
        value = loss + float(np.vdot(weights, weights)) / (2 * C)
        return value / n_words, np.concatenate([gradient, of_bias[None]]).ravel() / n_words

    found = minimize(
        objective,
        np.zeros((n_features + 1) * n_columns),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": max_iter,
            "maxfun": 10 * max_iter,
            "maxls": 50,
            "gtol": _TOL,
            "ftol": 64 * np.finfo(float).eps,
        },
    )
    if found.nit >= max_iter:
        warnings.warn(
            f"The default estimator did not converge in {max_iter} iterations. Pass an estimator"
            " with more iterations or more regularization (estimator=).",
            ConvergenceWarning,
            stacklevel=4,
        )
    weights, bias = parts(found.x)
    classifier = LogisticRegression(C=C, max_iter=max_iter)
    learned: dict[str, Any] = {
        "classes_": classes,
        "coef_": np.ascontiguousarray(weights.T, dtype=np.float32),
        "intercept_": bias.astype(np.float32),
        "n_iter_": np.array([found.nit], dtype=np.int32),
        "n_features_in_": n_features,
    }
    for name, value in learned.items():
        setattr(classifier, name, value)
    return make_pipeline(scaler, classifier)


def _chunks(features: WordFeatures) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    n_words, n_features = features.shape
    n_rows = max(_CHUNK_BYTES // (4 * max(n_features, 1)), 1)
    for start in range(0, n_words, n_rows):
        rows = slice(start, min(start + n_rows, n_words))
        yield rows, features[rows]
