"""By what estimators are judged, and how it is called."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, brier_score_loss, get_scorer, make_scorer

from ...errors import InvalidParameterError
from ...validation import invalid
from .outcome import Cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Metric", "Scorer", "resolve_scoring"]

Scorer = Callable[[Any, Any, Any], float]

_DEFAULTS = {
    "binary": ("accuracy", "f1_macro", "roc_auc", "neg_brier_score"),
    "multiclass": ("accuracy", "f1_macro", "roc_auc_ovr", "neg_brier_score"),
    "multilabel": ("f1_macro", "accuracy", "roc_auc"),
    "regression": ("r2", "spearman", "neg_mean_absolute_error"),
}
_TAKEN = {
    *(
        "features",
        "is_contextual",
        "low",
        "high",
        "difference",
        "difference_low",
        "difference_high",
        "p_value",
        "verdict",
    ),
    *("test", "test_low", "test_high", "n_rows", *(field.name for field in fields(Cost))),
}
_OF_CLASSES = ("f1", "balanced_accuracy", "precision", "recall", "jaccard", "average_precision")
_BELOW_ONE = ("r2", "explained_variance")
_CORRELATIONS = ("spearman", "matthews_corrcoef")
_SHARES = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "jaccard",
    "roc_auc",
    "average_precision",
    "top_k_accuracy",
)


class Metric:
    """A scorer with the name under which people know what it measures.

    Parameters
    ----------
    key : str
        scikit-learn's name. Its ``neg_`` is dropped where numbers are shown, and so is their sign.
    scorer : callable
        Called with an estimator, features and the truth; more is better.
    known_as : str
        scikit-learn's name of the scorer, where ``key`` is another; "" for one that it does not
        know.

    Attributes
    ----------
    name : str
    greater_is_better : bool
        Of the numbers shown.
    bounds : tuple of float
        Least and greatest number that can be shown.
    reason : str
        Why there was no score when there was none for the last time.
    """

    def __init__(self, key: str, scorer: Scorer, known_as: str = "") -> None:
        self.key = key
        self.name = key.removeprefix("neg_")
        self.greater_is_better = self.name == key
        self.scorer = scorer
        self.reason = ""
        self.known_as = known_as
        self._is_share = known_as.startswith(_SHARES)
        self.bounds = (
            (0.0, 1.0)
            if self._is_share
            else (-math.inf, math.inf)
            if self.greater_is_better
            else (0.0, math.inf)
        )
        if known_as in (*_BELOW_ONE, *_CORRELATIONS):
            self.bounds = (-1.0 if known_as in _CORRELATIONS else -math.inf, 1.0)

    def resolution(self, n_rows: float) -> float:
        """Return what a single one of so many rows weighs, where the metric counts rows; 0 where it does not."""
        return 1 / n_rows if self._is_share else 0.0

    def row_error(self, score: float, n_rows: int) -> float:
        """Return the standard error that a share of so many rows has at least; 0 for metrics that are none."""
        return math.sqrt(score * (1 - score) / n_rows) if self.is_accuracy else 0.0

    @property
    def is_of_classes(self) -> bool:
        """Whether a rare class weighs more in it than its rows do."""
        return self.known_as.startswith(_OF_CLASSES)

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the share of rows that come out right."""
        return self.known_as == "accuracy"

    def shown(self, scores: Any) -> Any:
        """Return scores as people know them."""
        return scores if self.greater_is_better else -scores

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return the score; NaN where the estimator cannot give what is asked, or the rows have too few classes for it."""
        try:
            return float(self.scorer(estimator, X, y))
        except (AttributeError, ValueError) as error:
            self.reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            return math.nan


def resolve_scoring(scoring: Any, kind: str) -> list[Metric]:
    """Return the metrics that a ``scoring`` parameter means, the one that decides first.

    Parameters
    ----------
    scoring : None, str, callable, sequence of str, or dict of str to (str or callable)
        As in scikit-learn. None takes, for classes, accuracy, macro-averaged F1, area under the ROC
        curve and Brier score; for several labels a row, macro-averaged F1 first; for amounts, R2,
        Spearman's correlation and mean absolute error.
    kind : {"binary", "multiclass", "multilabel", "regression"}

    Returns
    -------
    list of Metric

    Raises
    ------
    InvalidParameterError
        If scikit-learn knows no such scorer.

    Examples
    --------
    >>> [metric.name for metric in resolve_scoring(None, "binary")]
    ['accuracy', 'f1_macro', 'roc_auc', 'brier_score']
    """
    if scoring is None:
        scoring = _DEFAULTS[kind]
    if isinstance(scoring, str):
        scoring = [scoring]
    if isinstance(scoring, Mapping):
        named = {str(name): scorer for name, scorer in scoring.items()}
    elif callable(scoring):
        named = {getattr(scoring, "__name__", "score"): scoring}
    elif isinstance(scoring, Sequence) and all(isinstance(name, str) for name in scoring):
        named = {name: name for name in scoring}
    else:
        raise invalid(
            "scoring", "a scorer's name, a callable, a list of names, a dict or None", scoring
        )
    if not named:
        raise invalid("scoring", "at least one scorer", scoring)
    metrics = [Metric(name, _scorer(scorer), _known_as(scorer)) for name, scorer in named.items()]
    names = [metric.name for metric in metrics]
    for name in names:
        if name in _TAKEN or names.count(name) > 1:
            raise InvalidParameterError(
                "The 'scoring' parameter must have names that are no other columns of the table."
                f" Got {name!r}."
            )
    return metrics


def _known_as(scorer: Any) -> str:
    """Return scikit-learn's name of a scorer; "" for one that it does not know."""
    if isinstance(scorer, str):
        return scorer
    return "accuracy" if getattr(scorer, "_score_func", None) is accuracy_score else ""


def _scorer(scorer: str | Scorer) -> Scorer:
    if callable(scorer):
        return scorer
    if not isinstance(scorer, str):
        raise invalid("scoring", "names of scorers or callables only", scorer)
    if scorer in _OURS:
        return _OURS[scorer]
    try:
        return get_scorer(scorer)  # type: ignore[no-any-return]
    except (ValueError, TypeError):
        raise InvalidParameterError(
            "The 'scoring' parameter must name a scorer that sklearn.metrics.get_scorer_names()"
            f" lists, 'spearman' or 'neg_brier_score'. Got {scorer!r} instead."
        ) from None


def _brier(estimator: Any, X: Any, y: NDArray[Any]) -> float:
    """scikit-learn's own scorer refuses two classes that are neither {0, 1} nor {-1, 1}."""
    probabilities, classes = estimator.predict_proba(X), estimator.classes_
    if len(classes) == 2:
        return -float(brier_score_loss(y, probabilities[:, 1], pos_label=classes[1]))
    return -float(brier_score_loss(y, probabilities, labels=classes))


def _spearman(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Rank correlation; NaN, and no warning, where one side never changes."""
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(spearmanr(truth, predicted).statistic)


_OURS: dict[str, Scorer] = {"neg_brier_score": _brier, "spearman": make_scorer(_spearman)}
