"""What scores of folds, or of one test set, allow one to say: intervals, paired tests, and their correction for many tests."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats
from sklearn.utils import check_random_state

from ...validation import check_int, invalid

if TYPE_CHECKING:
    from numpy.random import RandomState
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Estimate",
    "bootstrap_interval",
    "bootstrap_test",
    "corrected_interval",
    "corrected_test",
    "holm",
    "resample_rows",
]


class Estimate(NamedTuple):
    """A number with its interval, and the p-value of "it is 0".

    Attributes
    ----------
    mean : float
        The score, or the difference of two scores.
    low, high : float
        Ends of the interval.
    p_value : float
        Two-sided; NaN where no test was asked for.
    """

    mean: float
    low: float
    high: float
    p_value: float


def corrected_interval(
    scores: ArrayLike,
    test_share: float,
    confidence: float = 0.95,
    *,
    resolution: float = 0.0,
    row_error: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Return the mean score of cross-validation with an interval that knows that folds share their
    rows.

    Parameters
    ----------
    scores : array-like of shape (n_folds,)
        One score for each fold; of all repeats, where folds were drawn several times.
    test_share : float
        Rows that a fold is scored on, divided by rows that it is fitted on: 0.25 for 5 folds.
    confidence : float
        How often such intervals hold the true score: the one expected of a model fitted on as many
        rows.
    resolution : float
        What a single row weighs in the score of a fold: ``1 / n_test_rows`` for accuracy. See
        Notes.
    row_error : float
        Standard error that the score has as other rows might have been drawn, the model being the
        same, if it is known: ``sqrt(score * (1 - score) / n_rows)`` for accuracy, with all rows.
        See Notes.
    bounds : tuple of float
        Least and greatest value that the score can take. The interval is cut there, which costs no
        confidence.

    Returns
    -------
    Estimate
        Without a p-value.

    Raises
    ------
    InvalidParameterError
        If there are fewer than two scores, one of them is not finite, or a parameter breaks its
        rule.

    Notes
    -----
    Rows serve in several training sets, so that folds depend on one another, and the plain ``variance / n_folds`` is too small.
    Nadeau and Bengio put ``(1 / n_folds + test_share) * variance`` in its place; Bouckaert and Frank found that it serves repeated
    cross-validation too. The t distribution has ``n_folds - 1`` degrees of freedom. Two things no variance of folds can show:

    - Stratified folds have the same share of each class; other data would not. A majority class
      even scores the same in all
      folds. The standard error is therefore taken to be no less than ``row_error``.
    - With every row right in every fold, other rows may still come out wrong. The variance is
      therefore taken to be no less
      than with one row in one fold otherwise, ``resolution ** 2 / n_folds``: a faultless model's
      interval then reaches 2.1 (2 x 5 folds) or 4.2 (5 folds) of all rows down at 95 %; the rule of
      three says 3 to 3.7.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.
    R. Bouckaert and E. Frank, "Evaluating the Replicability of Significance Tests for Comparing Learning Algorithms", PAKDD 2004.

    Examples
    --------
    >>> estimate = corrected_interval([0.80, 0.84, 0.78, 0.82, 0.81], test_share=0.25, bounds=(0, 1))
    >>> print(f"{estimate.mean:.3f}, from {estimate.low:.3f} to {estimate.high:.3f}")
    0.810, from 0.768 to 0.852
    """
    lowest, highest = _check_bounds(bounds)
    mean, fold_error, spread = _corrected("scores", scores, test_share, confidence, resolution)
    error = max(fold_error, _check_error("row_error", row_error))
    return Estimate(
        mean, max(mean - spread * error, lowest), min(mean + spread * error, highest), math.nan
    )


def corrected_test(
    differences: ArrayLike, test_share: float, confidence: float = 0.95, *, resolution: float = 0.0
) -> Estimate:
    """Test whether two kinds of features do equally well in cross-validation, by the corrected
    resampled t-test.

    Parameters
    ----------
    differences : array-like of shape (n_folds,)
        The score of the one less that of the other, on the same folds.
    test_share, confidence, resolution
        As in `corrected_interval`.

    Returns
    -------
    Estimate
        The mean difference, its interval, and the two-sided p-value; it is below ``1 - confidence``
        just where the interval does not hold 0.

    Raises
    ------
    InvalidParameterError
        As in `corrected_interval`.

    Notes
    -----
    Where all differences are the same, their variance is 0. With a ``resolution`` the test takes that of one row in one fold, see
    `corrected_interval`. Without it there remains what the test tends to as the variance vanishes: a p-value of 1 where all
    differences are 0, else of 0. That is more than any data can show, so give the resolution of scores that are counted.

    References
    ----------
    As in `corrected_interval`.

    Examples
    --------
    >>> estimate = corrected_test([0.02, 0.03, 0.01, 0.02, 0.04], test_share=0.25)
    >>> print(f"{estimate.mean:+.3f}, from {estimate.low:+.3f} to {estimate.high:+.3f}, p = {estimate.p_value:.3f}")
    +0.024, from +0.003 to +0.045, p = 0.035
    """
    mean, error, spread = _corrected("differences", differences, test_share, confidence, resolution)
    ratio = abs(mean) / error if error else math.inf if mean else 0.0
    return Estimate(
        mean,
        mean - spread * error,
        mean + spread * error,
        float(2 * stats.t.sf(ratio, np.size(differences) - 1)),
    )


def resample_rows(
    score: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    n_rows: int,
    *,
    n_resamples: int = 999,
    random_state: int | RandomState | None,
) -> NDArray[np.float64]:
    """Score bootstrap samples of the rows of a test set: as many rows, drawn with replacement.

    Parameters
    ----------
    score : callable
        Takes the rows of a sample, ``(n_rows,)`` int64, and returns the scores of all members on
        them, ``(n_members,)``, so that differences are paired. NaN says that a sample has no score,
        such as a ROC AUC where all rows are of one class.
    n_rows : int
        Rows of the test set.
    n_resamples : int
        Number of samples; the smallest p-value is ``1 / (n_resamples + 1)``.
    random_state : int, RandomState or None
        Seed of the samples.

    Returns
    -------
    ndarray of shape (n_resamples, n_members)
        Scores, float64.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or ``score`` returns anything but as many numbers each time.

    Examples
    --------
    >>> import numpy as np
    >>> is_right = np.array([[1, 1, 0, 1, 1, 0], [1, 0, 0, 1, 0, 0]])  # of two models, in six rows
    >>> resample_rows(lambda rows: is_right[:, rows].mean(axis=1), 6, n_resamples=99, random_state=0).shape
    (99, 2)
    """
    n_rows, n_resamples = check_int("n_rows", n_rows, 1), check_int("n_resamples", n_resamples, 1)
    if not callable(score):
        raise invalid("score", "a function of row numbers", score)
    try:
        random = check_random_state(random_state)
    except ValueError:
        raise invalid("random_state", "an int, a RandomState or None", random_state) from None
    resampled: list[NDArray[np.float64]] = []
    for _ in range(n_resamples):
        scores = np.asarray(
            score(random.randint(n_rows, size=n_rows, dtype=np.int64)), dtype=np.float64
        )
        if scores.ndim != 1 or (resampled and len(scores) != len(resampled[0])):
            raise invalid(
                "score", "a function that returns a vector with a number for each member", scores
            )
        resampled.append(scores)
    return np.stack(resampled)


def bootstrap_interval(
    value: float,
    resampled: ArrayLike,
    confidence: float = 0.95,
    *,
    resolution: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Return the score on a test set with the percentile interval of its bootstrap.

    Parameters
    ----------
    value : float
        Score on the rows as they are.
    resampled : array-like of shape (n_resamples,)
        Its scores on bootstrap samples: a column of what `resample_rows` returns. NaN are left out.
    confidence : float
        How often such intervals hold the true score: that of this fitted model on endlessly many
        rows. How much another training set would change is not in it.
    resolution : float
        What a single row weighs in the score: ``1 / n_rows`` for accuracy. The interval reaches at
        least ``-log((1 - confidence) / 2)`` rows to either side, 3.7 at 95 %: so far off may the
        truth be though not a single row came out wrong, and then no bootstrap sample shows it.
    bounds : tuple of float
        Least and greatest value that the score can take; the interval is cut there.

    Returns
    -------
    Estimate
        Its ``p_value`` is NaN. Without a finite score, or samples that have one, the ends are NaN
        too.

    Raises
    ------
    InvalidParameterError
        If ``resampled`` is not a vector, or a parameter breaks its rule.

    Notes
    -----
    The basic, normal and bias-corrected forms covered no better anywhere, and less where a score is near its end.

    References
    ----------
    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Examples
    --------
    >>> import numpy as np
    >>> is_right = np.arange(200) % 5 > 0
    >>> resampled = resample_rows(lambda rows: is_right[rows].mean(keepdims=True), 200, random_state=0)
    >>> estimate = bootstrap_interval(is_right.mean(), resampled[:, 0], resolution=1 / 200, bounds=(0, 1))
    >>> print(f"{estimate.mean:.3f}, from {estimate.low:.3f} to {estimate.high:.3f}")
    0.800, from 0.740 to 0.860
    """
    lowest, highest = _check_bounds(bounds)
    value, samples, reach = _sampled("resampled", value, resampled, confidence, resolution)
    if not len(samples):
        return Estimate(value, math.nan, math.nan, math.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], method="weibull")
    return Estimate(
        value,
        max(min(float(low), value - reach), lowest),
        min(max(float(high), value + reach), highest),
        math.nan,
    )


def bootstrap_test(
    value: float,
    resampled_differences: ArrayLike,
    confidence: float = 0.95,
    *,
    resolution: float = 0.0,
) -> Estimate:
    """Test whether two fitted models do equally well on a test set, by the bootstrap of their
    difference.

    Parameters
    ----------
    value : float
        Difference of their scores on the rows as they are.
    resampled_differences : array-like of shape (n_resamples,)
        The same on bootstrap samples: the difference of two columns of what `resample_rows`
        returns. NaN are left out.
    confidence, resolution
        As in `bootstrap_interval`.

    Returns
    -------
    Estimate
        The difference, a symmetric interval, and the two-sided p-value: the share of samples as far
        from the difference as that is from 0, one added to both counts. All but the difference are
        NaN where it or all samples are.

    Raises
    ------
    InvalidParameterError
        If ``resampled_differences`` is not a vector, or a parameter breaks its rule.

    References
    ----------
    P. Hall and S. Wilson, "Two Guidelines for Bootstrap Hypothesis Testing", Biometrics 47, 1991.
    B. Phipson and G. Smyth, "Permutation P-values Should Never Be Zero", Stat. Appl. Genet. Mol. Biol. 9, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> is_right = np.stack([np.arange(200) % 5 > 0, np.arange(200) % 4 > 0])  # of two models
    >>> resampled = resample_rows(lambda rows: is_right[:, rows].mean(axis=1), 200, random_state=0)
    >>> estimate = bootstrap_test(0.05, resampled[:, 0] - resampled[:, 1])
    >>> print(f"{estimate.mean:+.3f}, from {estimate.low:+.3f} to {estimate.high:+.3f}, p = {estimate.p_value:.2f}")
    +0.050, from -0.030 to +0.130, p = 0.25
    """
    value, samples, reach = _sampled(
        "resampled_differences", value, resampled_differences, confidence, resolution
    )
    if not len(samples):
        return Estimate(value, math.nan, math.nan, math.nan)
    distances = np.abs(samples - value)
    reach = max(reach, float(np.quantile(distances, confidence, method="weibull")))
    # Distances of counted scores are often exactly as far as 0 is, but for rounding.
    n_as_far = int((distances >= abs(value) * (1 - 1e-9)).sum())
    return Estimate(value, value - reach, value + reach, (1 + n_as_far) / (1 + len(samples)))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for their number, so that false alarms in all of them together stay as rare
    as in one.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        NaN stands for a test that was not made: it stays NaN and does not count.

    Returns
    -------
    ndarray of shape (n_tests,)
        Corrected p-values, float64, in the same order; never less than before, never above 1.

    Raises
    ------
    InvalidParameterError
        If they are no vector of numbers from 0 to 1.

    References
    ----------
    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.

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


def _corrected(
    name: str, values: ArrayLike, test_share: float, confidence: float, resolution: float
) -> tuple[float, float, float]:
    """Return the mean, its corrected standard error, and how many of these an interval reaches."""
    array = _vector(name, values)
    if len(array) < 2 or not np.isfinite(array).all():
        raise invalid(name, "at least two finite numbers, one for each fold", values)
    _check_number(
        "test_share", test_share, "a finite number above 0", lambda number: 0 < number < math.inf
    )
    _check_level(confidence, resolution)
    deviations = (
        array - array[0]
    )  # exactly 0 where all are the same, which deviations from a rounded mean would not be
    variance = max(float(deviations.var(ddof=1)), resolution**2 / len(array))
    error = math.sqrt((1 / len(array) + test_share) * variance)
    return (
        float(array[0] + deviations.mean()),
        error,
        float(stats.t.ppf((1 + confidence) / 2, len(array) - 1)),
    )


def _sampled(
    name: str, value: Any, samples: ArrayLike, confidence: float, resolution: float
) -> tuple[float, NDArray[np.float64], float]:
    """Return the value, the samples that have a score (none where the value is no score), and the least reach."""
    _check_level(confidence, resolution)
    value, array = (
        _check_number("value", value, "a number", lambda number: True),
        _vector(name, samples),
    )
    return (
        value,
        array[np.isfinite(array) & math.isfinite(value)],
        -math.log((1 - confidence) / 2) * resolution,
    )


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
        pass  # for the same error
    raise invalid("bounds", "two numbers, the lesser first", bounds)
