"""Results of one feature set: scores, predictions, cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cost", "Outcome"]


@dataclass(frozen=True)
class Cost:
    """Cost of a feature set.

    Values that do not apply are NaN.

    Attributes
    ----------
    dimensions : int, default=0
        Number of features. 0 if the estimator reads the texts itself.
    encode_seconds : float, default=nan
        Seconds to turn 1,000 texts into features, without a store.
    fit_seconds : float, default=nan
        Seconds to fit the estimator, and transformers that learn, on 1,000 rows. Folds of a
        fine-tuned model share the states below the trained layers.
    predict_seconds : float, default=nan
        Seconds to predict 1,000 rows from computed features. If the estimator reads the texts
        itself, from the texts, without a store.
    peak_mib : float, default=nan
        Peak memory of a process, in MiB.
    kept_bytes : int, default=0
        Size of the features of all rows, in bytes.
    oov_rate : float, default=nan
        Share of words without a static vector, in [0, 1].
    truncation_rate : float, default=nan
        Share of texts that are longer than the limit of the model, in [0, 1].

    See Also
    --------
    Outcome : Results of one feature set, including its cost.
    Comparison.table : The costs of all feature sets.

    Examples
    --------
    >>> from bertvectorizer.pipeline import Cost
    >>> Cost(dimensions=384, encode_seconds=4.2).dimensions
    384
    """

    dimensions: int = 0
    encode_seconds: float = math.nan
    fit_seconds: float = math.nan
    predict_seconds: float = math.nan
    peak_mib: float = math.nan
    kept_bytes: int = 0
    oov_rate: float = math.nan
    truncation_rate: float = math.nan


@dataclass(frozen=True)
class Outcome:
    """Results of one feature set in cross-validation.

    Attributes
    ----------
    name : str
        Name of the feature set.
    is_contextual : bool
        Whether it contains a `BertVectorizer` or a fine-tuned model. Other feature sets are
        baselines.
    cell : tuple of (int, str), or None
        Layer (0 is the output of the embeddings) and pooling, if it reads one of each.
    scores : dict of str to ndarray of shape (n_folds,)
        Scores on the folds by metric, float64. Scores of error metrics are positive.
    test_scores : dict of str to float
        Scores on the held-back rows by metric, after a fit on all others. Empty without such rows.
    predictions : ndarray of shape (n_rows,) or (n_rows, n_labels), dtype object
        Out-of-fold predictions of the first repeat. None for rows that are in no test fold.
    cost : Cost
        Cost of the feature set.
    curve : ndarray of shape (n_sizes, n_folds_of_first_repeat) or None, default=None
        First metric on the folds for each number of training rows of the learning curve.
    resampled : ndarray of shape (n_resamples,) or None, default=None
        First metric on bootstrap samples of the test rows, if there is one fold. All feature sets
        get the same samples.
    test_resampled : ndarray of shape (n_resamples,) or None, default=None
        First metric on bootstrap samples of the held-back rows.
    reason : str, default=""
        Why the first metric has no value on a fold. "" if it has one on each.
    probabilities : ndarray of shape (n_rows, n_classes) or None, default=None
        Out-of-fold probabilities of the same models as ``predictions``, float64, with a column for
        each class or label of the target. NaN for rows that are in no test fold. None if the
        estimator gives none.
    repeats : ndarray of shape (n_repeats, n_rows) or (n_repeats, n_rows, n_labels) or None, \
            default=None
        Out-of-fold predictions of all repeats, dtype object; the first is ``predictions``. None for
        rows that a repeat does not test.
    values : ndarray of shape (n_repeats, n_rows, n_columns) or None, default=None
        Out-of-fold decision values or probabilities that the first metric reads, float32, with a
        column for each class or label, or one column for two classes. NaN for rows that a repeat
        does not test. None if the first metric reads predictions.
    pooled : dict of str to float, default={}
        Scores of the out-of-fold predictions of all rows together, mean over repeats, by metric.
        Only of metrics by classes, such as F1, of average precision if it is the first metric, and
        of those whose mean over folds is biased, such as R2.

    See Also
    --------
    Comparison : Result of `compare`. Its attribute ``outcomes`` holds those of all feature sets.

    Examples
    --------
    >>> from bertvectorizer import compare
    >>> outcomes = compare(list("abcdefgh"), [0, 1] * 4, ["majority class"], cv=2).outcomes
    >>> outcomes["majority class"].scores["accuracy"].tolist()
    [0.5, 0.5]
    """

    name: str
    is_contextual: bool
    cell: tuple[int, str] | None
    scores: dict[str, NDArray[np.float64]]
    test_scores: dict[str, float]
    predictions: NDArray[np.object_] = field(repr=False)
    cost: Cost
    curve: NDArray[np.float64] | None = field(default=None, repr=False)
    resampled: NDArray[np.float64] | None = field(default=None, repr=False)
    test_resampled: NDArray[np.float64] | None = field(default=None, repr=False)
    reason: str = ""
    probabilities: NDArray[np.float64] | None = field(default=None, repr=False)
    repeats: NDArray[np.object_] | None = field(default=None, repr=False)
    values: NDArray[np.float32] | None = field(default=None, repr=False)
    pooled: dict[str, float] = field(default_factory=dict)

    @property
    def is_judged(self) -> NDArray[np.bool_]:
        """Whether each row has an out-of-fold prediction, of shape (n_rows,)."""
        values = self.predictions
        first = values if values.ndim == 1 else values[:, 0]
        return np.array([value is not None for value in first], dtype=bool)

    @property
    def n_judged(self) -> int:
        """Number of rows with an out-of-fold prediction."""
        return int(self.is_judged.sum())
