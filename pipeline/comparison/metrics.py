"""Metrics of a comparison: scorers with names, directions and bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, brier_score_loss, get_scorer, make_scorer

from ...errors import InvalidParameterError
from ...private_api import score_function
from ...validation import invalid, short_repr
from .outcome import Cost
from .target import Kind

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["TABLE_COLUMNS", "Metric", "Scorer", "resolve_scoring"]

Scorer = Callable[[Any, Any, Any], float]

_DEFAULTS = {
    "binary": ("accuracy", "f1_macro", "roc_auc", "neg_brier_score"),
    "multiclass": ("accuracy", "f1_macro", "roc_auc_ovr", "neg_brier_score"),
    "multilabel": ("f1_macro", "accuracy", "roc_auc"),
    "regression": ("r2", "spearman", "neg_mean_absolute_error"),
}
TABLE_COLUMNS = {
    *("features", "is_contextual", "low", "high", "difference", "difference_low"),
    *("difference_high", "p_value", "family", "verdict", "test", "test_low", "test_high", "n_rows"),
    *("pooled", "interval_method", "difference_method", "test_interval_method"),
    *(field.name for field in fields(Cost)),
}
_BELOW_ONE = ("r2", "explained_variance")
_CORRELATIONS = ("spearman", "matthews_corrcoef")
_SHARES = (
    *("accuracy", "balanced_accuracy", "f1", "precision", "recall", "jaccard", "roc_auc"),
    *("average_precision", "top_k_accuracy"),
)


class Metric:
    """A scorer with its name for people.

    ``key`` is scikit-learn's name. Numbers are shown without its ``neg_`` and without that sign.
    ``known_as`` is scikit-learn's name of the scorer where ``key`` is another; "" if it has none.
    """

    def __init__(self, key: str, scorer: Scorer, known_as: str = "") -> None:
        self.key = key
        self.name = key.removeprefix("neg_")
        self.greater_is_better = self.name == key  # of the numbers shown
        self.scorer = scorer
        # Under a name of the other sign it is shown by other numbers than its own.
        known_as = known_as if known_as.startswith("neg_") != self.greater_is_better else ""
        self.known_as = known_as
        self.reason = ""  # why the last score is NaN
        self._is_share = known_as.startswith(_SHARES)
        self.bounds = (0.0, math.inf)  # of the numbers shown
        if self._is_share:
            self.bounds = (0.0, 1.0)
        elif known_as in (*_BELOW_ONE, *_CORRELATIONS):
            self.bounds = (-1.0 if known_as in _CORRELATIONS else -math.inf, 1.0)
        elif self.greater_is_better or not known_as:  # a scorer of the user's may be any number
            self.bounds = (-math.inf, math.inf)

    @property
    def reads(self) -> tuple[str, ...]:
        """Methods of an estimator of which it reads the first there is; none: predictions."""
        if self.known_as in ("roc_auc", "average_precision"):
            return ("decision_function", "predict_proba")
        is_probabilistic = self.known_as.startswith(("roc_auc_ov", "neg_brier", "neg_log_loss"))
        return ("predict_proba",) if is_probabilistic else ()

    def resolution(self, n_units: float) -> float:
        """Return the weight of one row or group; 0 if the metric does not count rows."""
        return 1 / n_units if self._is_share else 0.0

    def row_error(self, score: float, n_units: float) -> float:
        """Return the binomial standard error of an accuracy; 0 for other metrics.

        ``n_units`` is the number of rows, or of groups.
        """
        return math.sqrt(score * (1 - score) / n_units) if self.is_accuracy else 0.0

    @property
    def is_pooled(self) -> bool:
        """Whether it is shown for the rows of all folds together: its mean over folds is biased."""
        return self.known_as in (*_BELOW_ONE, "neg_root_mean_squared_error")

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the share of rows that are right."""
        return self.known_as == "accuracy"

    def shown(self, scores: Any) -> Any:
        """Return scores as they are shown."""
        return scores if self.greater_is_better else -scores

    def best_first(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table, the best by this metric first; missing scores come last."""
        return table.sort_values(self.name, ascending=not self.greater_is_better, kind="stable")

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return the score; NaN if the estimator lacks a method or the rows lack classes."""
        try:
            return float(self.scorer(estimator, X, y))
        except (AttributeError, ValueError) as error:
            self.reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            return math.nan


def resolve_scoring(scoring: Any, kind: Kind, is_skewed: bool = False) -> list[Metric]:
    """Return the metrics that a ``scoring`` parameter means, the one that decides first.

    None takes defaults; if one class has nearly all rows, balanced accuracy comes first.

    Examples
    --------
    >>> [metric.name for metric in resolve_scoring(None, "binary")]
    ['accuracy', 'f1_macro', 'roc_auc', 'brier_score']
    """
    if scoring is None:
        scoring = (*(("balanced_accuracy",) if is_skewed else ()), *_DEFAULTS[kind])
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
        if name in TABLE_COLUMNS or names.count(name) > 1:
            raise InvalidParameterError(
                "The 'scoring' parameter must have names that are no other columns of the table."
                f" Got {short_repr(name)}."
            )
    return metrics


def _known_as(scorer: Any) -> str:
    """Return scikit-learn's name of a scorer; "" for one that it does not know."""
    if isinstance(scorer, str):
        return scorer
    is_accuracy = score_function(scorer) is accuracy_score
    return "accuracy" if is_accuracy and repr(scorer) == repr(get_scorer("accuracy")) else ""


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
            f" lists, 'spearman' or 'neg_brier_score'. Got {short_repr(scorer)} instead."
        ) from None


def _brier(estimator: Any, X: Any, y: NDArray[Any]) -> float:
    """Brier score; scikit-learn's scorer refuses two classes other than {0, 1} and {-1, 1}."""
    probabilities, classes = estimator.predict_proba(X), estimator.classes_
    if len(classes) == 2:
        return -float(brier_score_loss(y, probabilities[:, 1], pos_label=classes[1]))
    return -float(brier_score_loss(y, probabilities, labels=classes))


def _spearman(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Rank correlation; NaN without a warning if one side is constant."""
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(spearmanr(truth, predicted).statistic)


_OURS: dict[str, Scorer] = {"neg_brier_score": _brier, "spearman": make_scorer(_spearman)}
