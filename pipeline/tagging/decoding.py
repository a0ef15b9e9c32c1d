"""Scores of tags for words from any classifier, and the rules of a scheme as scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier

from ...errors import InvalidParameterError
from ...validation import invalid, short_repr
from .schemes import transitions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_classifier", "check_scores", "rules_as_scores", "tag_probabilities", "tag_scores"]

_IMPOSSIBLE = 1e6  # below all other scores: taken only where every other way is forbidden


def check_classifier(estimator: Any) -> None:
    """Raise if an estimator declares itself to be something other than a classifier."""
    if hasattr(estimator, "__sklearn_tags__") and not is_classifier(estimator):
        raise invalid("estimator", "a classifier, such as LogisticRegression(), or None", estimator)


def check_scores(
    scores: NDArray[np.float64], offsets: NDArray[np.int64], estimator: Any, n_before: int = 0
) -> None:
    """Raise if scores are NaN; ``n_before`` sentences came before these."""
    faulty = np.flatnonzero(np.isnan(scores).any(axis=1))
    if len(faulty):
        sentence = int(np.searchsorted(offsets, faulty[0], side="right")) - 1
        raise InvalidParameterError(
            "The 'estimator' parameter must be a classifier whose scores are numbers. The"
            f" estimator {short_repr(estimator)} gave NaN for word {faulty[0] - offsets[sentence]}"
            f" of sentence {n_before + sentence}, counted from 0. Take another, or scale its"
            " features."
        )


def tag_scores(estimator: Any, features: Any, tags: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return the scores of tags, of shape (n_words, n_tags), float64.

    Logarithms of probabilities if the classifier has them, else its decision function unless it is
    one-vs-one, else 1 for the predicted class and 0 for the others. Tags that the classifier does
    not know score lowest.
    """
    with np.errstate(divide="ignore"):
        found = _class_scores(estimator, features)
    if found is None:
        predicted = np.asarray(estimator.predict(features)).astype(str)
        return np.asarray(predicted[:, None] == tags, dtype=np.float64)
    found[np.isposinf(found)] = _IMPOSSIBLE
    lowest = found.min(initial=0.0, where=np.isfinite(found)) - _IMPOSSIBLE
    found[np.isneginf(found)] = lowest
    return _by_tag(estimator, found, tags, 2 * lowest)


def tag_probabilities(estimator: Any, features: Any, tags: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return probabilities of shape (n_words, n_tags); 0 for tags the classifier lacks."""
    return _by_tag(
        estimator, np.asarray(estimator.predict_proba(features), dtype=np.float64), tags, 0.0
    )


def rules_as_scores(
    tags: NDArray[np.str_], scheme: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores (transitions, start, end) of a scheme: 0 if allowed, else -inf."""
    start, allowed, end = (
        np.where(rule, 0.0, -np.inf) for rule in transitions(tags.tolist(), scheme)
    )
    return allowed, start, end


def _class_scores(estimator: Any, features: Any) -> NDArray[np.float64] | None:
    """Return a score for each of the estimator's classes; None if it only predicts."""
    n_classes = len(getattr(estimator, "classes_", ()))
    for name in ("predict_log_proba", "predict_proba", "decision_function"):
        if (
            n_classes
            and hasattr(estimator, name)
            and not (name == "decision_function" and n_classes > 2 and _is_of_pairs(estimator))
        ):
            found = np.array(getattr(estimator, name)(features), dtype=np.float64)
            if found.ndim == 1 and n_classes == 2:
                found = np.column_stack([-found, found])
            if found.shape == (features.shape[0], n_classes):
                return np.log(found) if name == "predict_proba" else found
    return None


def _is_of_pairs(estimator: Any) -> bool:
    """Return whether a decision function may be one-vs-one; for 3 classes shapes are equal."""
    holders: list[Any] = [estimator, getattr(estimator, "best_estimator_", None)]
    parameters = [
        item for one in holders if hasattr(one, "get_params") for item in one.get_params().items()
    ]
    return any(
        name.endswith("decision_function_shape") and isinstance(value, str) and value == "ovo"
        for name, value in parameters
    )


def _by_tag(
    estimator: Any, found: NDArray[np.float64], tags: NDArray[np.str_], unknown: float
) -> NDArray[np.float64]:
    """Move columns from the estimator's classes to tags."""
    columns = {str(name): number for number, name in enumerate(estimator.classes_)}
    moved = np.full((len(found), len(tags)), unknown)
    for index, tag in enumerate(tags.tolist()):
        if tag in columns:
            moved[:, index] = found[:, columns[tag]]
    return moved
