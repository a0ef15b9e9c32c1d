"""Intervals and paired tests for scores of folds or of one test set, and Holm's correction.

References
----------
C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.
P. Bayle, A. Bayle, L. Janson and L. Mackey, "Cross-validation Confidence Intervals for Test Error",
NeurIPS 2020.
C. Goutte and E. Gaussier, "A Probabilistic Interpretation of Precision, Recall and F-score, with
Implication for Evaluation", ECIR 2005.
J. Hanley and B. McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic
(ROC) Curve", Radiology 143, 1982.
K. Boyd, K. Eng and C. Page, "Area under the Precision-Recall Curve: Point Estimates and Confidence
Intervals", ECML PKDD 2013.
R. Bouckaert and E. Frank, "Evaluating the Replicability of Significance Tests for Comparing
Learning Algorithms", PAKDD 2004.
B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
A. Davison and D. Hinkley, "Bootstrap Methods and their Application", 1997.
P. Hall and S. Wilson, "Two Guidelines for Bootstrap Hypothesis Testing", Biometrics 47, 1991.
B. Phipson and G. Smyth, "Permutation P-values Should Never Be Zero", Stat. Appl. Genet. Mol. Biol.
9, 2010.
S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
Statistics 6, 1979.
R. Serlin, "Confidence Intervals and the Scientific Method: A Case for Holm on the Range", Journal
of Experimental Education 61, 1993.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats
from sklearn.utils import check_random_state

from ...validation import check_int, invalid

if TYPE_CHECKING:
    from numpy.random import RandomState
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "AVERAGE_PRECISION",
    "BOOTSTRAP",
    "CORRECTED_T",
    "CORRECTED_T_AND_ROWS",
    "DIRICHLET",
    "HOLM",
    "PAIRED_ROWS",
    "PART_OF_FOLDS",
    "PART_OF_ROWS",
    "RANKS",
    "REFERENCES",
    "Estimate",
    "bootstrap_interval",
    "bootstrap_test",
    "corrected_interval",
    "corrected_test",
    "family_confidence",
    "hanley_mcneil_error",
    "holm",
    "resample_rows",
]


CORRECTED_T = "corrected resampled t of the folds"
CORRECTED_T_AND_ROWS = f"{CORRECTED_T}, or the standard error of rows if that is larger"
RANKS = f"{CORRECTED_T}, or Hanley and McNeil's standard error if that is larger"
AVERAGE_PRECISION = (
    f"{CORRECTED_T}, or the binomial standard error if that is larger, around the pooled score"
)
DIRICHLET = "Dirichlet draws of the pooled confusion matrix"
PAIRED_ROWS = "paired t of the differences of rows, variance corrected for folds"
BOOTSTRAP = "bootstrap of the test rows"
HOLM = "Holm's correction of exploratory p-values"
PART_OF_FOLDS = "selection by a part of the folds, scores of the others"
PART_OF_ROWS = "selection by a part of the test rows, scores of the others"
REFERENCES = {
    CORRECTED_T: "Nadeau and Bengio, Machine Learning 52, 2003",
    CORRECTED_T_AND_ROWS: "Nadeau and Bengio, Machine Learning 52, 2003",
    RANKS: "Nadeau and Bengio, Machine Learning 52, 2003; Hanley and McNeil, Radiology 143, 1982",
    AVERAGE_PRECISION: (
        "Boyd, Eng and Page, ECML PKDD 2013; Nadeau and Bengio, Machine Learning 52, 2003"
    ),
    DIRICHLET: (
        "Goutte and Gaussier, ECIR 2005; variance after Nadeau and Bengio, Machine Learning 52,"
        " 2003"
    ),
    PAIRED_ROWS: (
        "Bayle et al., NeurIPS 2020; variance after Nadeau and Bengio, Machine Learning 52, 2003"
    ),
    BOOTSTRAP: "Efron and Tibshirani, An Introduction to the Bootstrap, 1993",
    HOLM: (
        "Holm, Scandinavian Journal of Statistics 6, 1979; intervals after Serlin, Journal of"
        " Experimental Education 61, 1993"
    ),
    PART_OF_FOLDS: (
        "after Tsamardinos, Greasidou and Borboudakis, Machine Learning 107, 2018, and Tibshirani"
        " and Tibshirani, Annals of Applied Statistics 3, 2009"
    ),
    PART_OF_ROWS: "after Tsamardinos, Greasidou and Borboudakis, Machine Learning 107, 2018",
}


class Estimate(NamedTuple):
    """A score or difference, its interval, and the two-sided p-value of 0 (NaN: no test).

    ``method`` is the name of the method of interval and test, a key of `REFERENCES`; "" if there
    are none.
    """

    mean: float
    low: float
    high: float
    p_value: float
    method: str = ""


def corrected_interval(
    scores: ArrayLike,
    test_share: float,
    confidence: float = 0.95,
    *,
    resolution: float = 0.0,
    row_error: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    n_folds: float | None = None,
) -> Estimate:
    """Return the mean score of cross-validation with its corrected confidence interval.

    ``test_share`` is the ratio of test rows to training rows of a fold, ``resolution`` the weight
    of one row in the score of a fold (``1 / n_test_rows`` for accuracy), ``row_error`` the standard
    error from sampling rows, and ``bounds`` the range of the score. ``n_folds`` is how many folds
    count at most, None for all: further repeats do not see further rows.

    Training sets of folds overlap, so ``variance / n_folds`` is too small. Nadeau and Bengio
    replace it by ``(1 / n_folds + test_share) * variance``; Bouckaert and Frank found that this
    also suits repeated cross-validation. Two effects do not show in the variance of folds:

    - Stratified folds have equal class shares, which other data would not have. The standard error
      is therefore at least ``row_error``.
    - If every row is right in every fold, other rows may still be wrong. The variance is therefore
      at least that of one row in one fold, ``resolution ** 2 / n_folds``. The 95 % interval of a
      faultless model then reaches 2.1 (2 x 5 folds) or 4.2 (5 folds) rows down; the rule of three
      gives 3 to 3.7.

    Examples
    --------
    >>> scores = [0.80, 0.84, 0.78, 0.82, 0.81]
    >>> estimate = corrected_interval(scores, test_share=0.25, bounds=(0, 1))
    >>> print(f"{estimate.mean:.3f}, from {estimate.low:.3f} to {estimate.high:.3f}")
    0.810, from 0.768 to 0.852
    """
    lowest, highest = _check_bounds(bounds)
    mean, error, n_folds = _corrected("scores", scores, test_share, confidence, resolution, n_folds)
    reach = float(stats.t.ppf((1 + confidence) / 2, n_folds - 1))
    reach *= max(error, _check_error("row_error", row_error))
    low, high = max(mean - reach, lowest), min(mean + reach, highest)
    return Estimate(mean, low, high, math.nan, CORRECTED_T_AND_ROWS if row_error else CORRECTED_T)


def corrected_test(
    differences: ArrayLike,
    test_share: float,
    confidence: float = 0.95,
    *,
    resolution: float = 0.0,
    n_folds: float | None = None,
) -> Estimate:
    """Test whether two feature sets score equally, by the corrected resampled t-test.

    ``differences`` are paired by fold; the other parameters are those of `corrected_interval`. The
    p-value is below ``1 - confidence`` exactly if the interval excludes 0. Without a resolution,
    equal differences have no variance: p is 1 if they are 0, else 0.

    Examples
    --------
    >>> estimate = corrected_test([0.02, 0.03, 0.01, 0.02, 0.04], test_share=0.25)
    >>> [round(number, 3) for number in estimate[:4]]
    [0.024, 0.003, 0.045, 0.035]
    """
    mean, error, n_folds = _corrected(
        "differences", differences, test_share, confidence, resolution, n_folds
    )
    reach = float(stats.t.ppf((1 + confidence) / 2, n_folds - 1)) * error
    ratio = abs(mean) / error if error else math.inf if mean else 0.0
    p_value = float(2 * stats.t.sf(ratio, n_folds - 1))
    return Estimate(mean, mean - reach, mean + reach, p_value, CORRECTED_T)


def hanley_mcneil_error(auc: float, with_class: ArrayLike, without: ArrayLike) -> float:
    """Return the standard error of an area under the ROC curve after Hanley and McNeil.

    ``with_class`` and ``without`` are the numbers of rows, or groups, that have a class and that do
    not; for a mean over classes they are vectors. Areas below 0.5 count as 0.5, those of 1 as if
    half a row were wrong.

    Examples
    --------
    >>> round(hanley_mcneil_error(0.9, 50, 50), 4)
    0.0321
    """
    n_with, n_without = (np.atleast_1d(np.asarray(n, float)) for n in (with_class, without))
    area = np.minimum(max(auc, 0.5), 1 - 0.5 / (n_with + 1))
    pairs = (n_with - 1) * (area / (2 - area) - area**2)
    pairs += (n_without - 1) * (2 * area**2 / (1 + area) - area**2)
    variances = (area * (1 - area) + pairs) / (n_with * n_without)
    return math.sqrt(float(variances.sum())) / len(variances)


def resample_rows(
    score: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    n_rows: int,
    *,
    n_resamples: int = 999,
    groups: NDArray[np.int64] | None = None,
    random_state: int | RandomState | None,
) -> NDArray[np.float64]:
    """Score bootstrap samples of the rows of a test set, or of its groups.

    ``score`` takes the row numbers of a sample and returns a score for each model, so that
    differences are paired; NaN where a sample has no score. The result has shape ``(n_resamples,
    n_models)``. The smallest p-value is ``1 / (n_resamples + 1)``. With the number of the group of
    each row, of shape ``(n_rows,)``, as many groups are drawn as there are, each with all its rows
    (Davison and Hinkley, section 3.8).

    Examples
    --------
    >>> import numpy as np
    >>> is_right = np.array([[1, 1, 0, 1, 1, 0], [1, 0, 0, 1, 0, 0]])  # of two models, in six rows
    >>> score = lambda rows: is_right[:, rows].mean(axis=1)
    >>> resample_rows(score, 6, n_resamples=99, random_state=0).shape
    (99, 2)
    """
    n_rows, n_resamples = check_int("n_rows", n_rows, 1), check_int("n_resamples", n_resamples, 1)
    if not callable(score):
        raise invalid("score", "a function of row numbers", score)
    try:
        random = check_random_state(random_state)
    except ValueError:
        raise invalid("random_state", "an int, a RandomState or None", random_state) from None
    members = _members(groups, n_rows)
    resampled: list[NDArray[np.float64]] = []
    for _ in range(n_resamples):
        rows = random.randint(len(members), size=len(members), dtype=np.int64)
        if groups is not None:
            rows = np.concatenate([members[drawn] for drawn in rows.tolist()])
        scores = np.asarray(score(rows), dtype=np.float64)
        if scores.ndim != 1 or (resampled and len(scores) != len(resampled[0])):
            raise invalid(
                "score", "a function that returns a vector with a number for each model", scores
            )
        resampled.append(scores)
    return np.stack(resampled)


def _members(
    groups: NDArray[np.int64] | None, n_rows: int
) -> Sequence[NDArray[np.int64]] | NDArray[np.int64]:
    """Return the rows of each group, or the rows."""
    if groups is None:
        return np.arange(n_rows)
    if np.shape(groups) != (n_rows,):
        raise invalid("groups", f"a group for each of the {n_rows} rows, or None", groups)
    numbers = np.unique(groups, return_inverse=True)[1]
    starts = np.cumsum(np.bincount(numbers))[:-1]
    return np.split(np.argsort(numbers, kind="stable"), starts)


def bootstrap_interval(
    value: float,
    resampled: ArrayLike,
    confidence: float = 0.95,
    *,
    resolution: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Return the score on a test set with the percentile interval of its bootstrap.

    ``resampled`` are scores on bootstrap samples; NaN are left out. The interval is that of this
    fitted model, not of another training set. It reaches at least ``-log((1 - confidence) / 2)``
    rows of weight ``resolution`` to either side, 3.7 at 95 %, since a faultless score has no
    spread. Basic, normal and bias-corrected intervals covered no better, and worse near the bounds.

    Examples
    --------
    >>> import numpy as np
    >>> is_right = np.arange(200) % 5 > 0
    >>> score = lambda rows: is_right[rows].mean(keepdims=True)
    >>> resampled = resample_rows(score, 200, random_state=0)[:, 0]
    >>> estimate = bootstrap_interval(is_right.mean(), resampled, resolution=1 / 200, bounds=(0, 1))
    >>> print(f"{estimate.mean:.3f}, from {estimate.low:.3f} to {estimate.high:.3f}")
    0.800, from 0.740 to 0.860
    """
    lowest, highest = _check_bounds(bounds)
    value, samples, reach = _sampled("resampled", value, resampled, confidence, resolution)
    if not len(samples):
        return Estimate(value, math.nan, math.nan, math.nan)
    tail = (1 - confidence) / 2
    low, high = map(float, np.quantile(samples, [tail, 1 - tail], method="weibull"))
    low, high = min(low, value - reach), max(high, value + reach)
    return Estimate(value, max(low, lowest), min(high, highest), math.nan, BOOTSTRAP)


def bootstrap_test(
    value: float,
    resampled_differences: ArrayLike,
    confidence: float = 0.95,
    *,
    resolution: float = 0.0,
) -> Estimate:
    """Test whether two fitted models score equally on a test set, by their bootstrapped difference.

    The p-value is the share of samples whose difference deviates from ``value`` by at least
    ``value``, with one added to both counts. It is at least ``2 * exp(-abs(value) / resolution)``,
    as the interval reaches at least as far as that of `bootstrap_interval`. It is below ``1 -
    confidence`` exactly if the interval excludes 0. All but the difference are NaN if no sample has
    one.

    Examples
    --------
    >>> import numpy as np
    >>> is_right = np.stack([np.arange(200) % 5 > 0, np.arange(200) % 4 > 0])  # of two models
    >>> resampled = resample_rows(lambda rows: is_right[:, rows].mean(axis=1), 200, random_state=0)
    >>> estimate = bootstrap_test(0.05, resampled[:, 0] - resampled[:, 1])
    >>> [round(number, 2) for number in estimate[:4]]
    [0.05, -0.03, 0.13, 0.25]
    """
    value, samples, reach = _sampled(
        "resampled_differences", value, resampled_differences, confidence, resolution
    )
    if not len(samples):
        return Estimate(value, math.nan, math.nan, math.nan)
    distances = np.abs(samples - value)
    reach = max(reach, float(np.quantile(distances, confidence, method="weibull")))
    # Counted scores often deviate by exactly the value, except for rounding.
    n_as_far = int((distances >= abs(value) * (1 - 1e-9)).sum())
    p_value = (1 + n_as_far) / (1 + len(samples))
    if resolution:
        p_value = max(p_value, min(2 * math.exp(-abs(value) / resolution), 1.0))
    if p_value >= 1 - confidence:  # the quantile lies between two samples
        reach = max(reach, abs(value))
    return Estimate(value, value - reach, value + reach, p_value, BOOTSTRAP)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for multiple tests; NaN stays NaN and does not count as a test.

    Examples
    --------
    >>> holm([0.01, float("nan"), 0.04, 0.03]).tolist()
    [0.03, nan, 0.06, 0.06]
    """
    corrected = _vector("p_values", p_values).copy()
    if ((corrected < 0) | (corrected > 1)).any():
        raise invalid("p_values", "numbers from 0 to 1, or NaN", p_values)
    order = np.argsort(corrected)[: np.count_nonzero(~np.isnan(corrected))]  # NaN come last
    corrected[order] = np.minimum(
        np.maximum.accumulate(np.arange(len(order), 0, -1) * corrected[order]), 1
    )
    return corrected


def family_confidence(p_values: ArrayLike, confidence: float = 0.95) -> NDArray[np.float64]:
    """Return the confidence of each interval of a family of tests, given uncorrected p-values.

    The intervals agree with `holm`: each excludes 0 exactly if its corrected p-value is below ``1 -
    confidence``. They are simultaneous by Bonferroni, except where only the later steps of Holm's
    procedure find a difference. There the interval has the level of that step, after Serlin.

    Examples
    --------
    >>> family_confidence([0.01, 0.02, 0.6]).round(4).tolist()
    [0.9833, 0.975, 0.9833]
    """
    raw, corrected = _vector("p_values", p_values), holm(p_values)
    _check_level(confidence, 0.0)
    level, n_tests = 1 - confidence, max(int(np.count_nonzero(~np.isnan(raw))), 1)
    only_holm = (corrected < level) & (n_tests * raw >= level)
    steps: NDArray[np.float64] = np.full(len(raw), 1 / n_tests)
    np.divide(raw, corrected, out=steps, where=only_holm)
    return np.asarray(1 - level * steps, dtype=np.float64)


def _corrected(
    name: str,
    values: ArrayLike,
    test_share: float,
    confidence: float,
    resolution: float,
    n_folds: float | None,
) -> tuple[float, float, float]:
    """Return the mean, its corrected standard error, and the number of folds that count."""
    array = _vector(name, values)
    if len(array) < 2 or not np.isfinite(array).all():
        raise invalid(name, "at least two finite numbers, one for each fold", values)
    _check_number(
        "test_share", test_share, "a finite number above 0", lambda number: 0 < number < math.inf
    )
    _check_level(confidence, resolution)
    deviations = array - array[0]  # exactly 0 if all are equal, unlike deviations from the mean
    variance = max(float(deviations.var(ddof=1)), resolution**2 / len(array))
    n_folds = float(len(array)) if n_folds is None else min(n_folds, float(len(array)))
    error = math.sqrt((1 / n_folds + test_share) * variance)
    return float(array[0] + deviations.mean()), error, n_folds


def _sampled(
    name: str, value: Any, samples: ArrayLike, confidence: float, resolution: float
) -> tuple[float, NDArray[np.float64], float]:
    """Return the value, the finite samples (none without a finite value), and the least reach."""
    _check_level(confidence, resolution)
    value = _check_number("value", value, "a number", lambda number: True)
    array = _vector(name, samples)
    reach = -math.log((1 - confidence) / 2) * resolution
    return value, array[np.isfinite(array) & math.isfinite(value)], reach


def _vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise invalid(name, f"a vector of numbers ({error})", values) from error
    if array.ndim != 1:
        raise invalid(name, "a vector of numbers", values)
    return array


def _check_number(name: str, value: Any, rule: str, holds: Callable[[float], bool]) -> float:
    if (
        isinstance(value, (bool, np.bool_))
        or not isinstance(value, numbers.Real)
        or not holds(float(value))
    ):
        raise invalid(name, rule, value)
    return float(value)


def _check_level(confidence: Any, resolution: Any) -> None:
    _check_number(
        "confidence", confidence, "a number between 0 and 1", lambda number: 0 < number < 1
    )
    _check_error("resolution", resolution)


def _check_error(name: str, value: Any) -> float:
    return _check_number(
        name, value, "a finite number of at least 0", lambda number: 0 <= number < math.inf
    )


def _check_bounds(bounds: Any) -> tuple[float, float]:
    try:
        lowest, highest = map(float, bounds)
        if lowest < highest:
            return lowest, highest
    except (TypeError, ValueError):
        pass
    raise invalid("bounds", "two numbers, the lesser first", bounds)
