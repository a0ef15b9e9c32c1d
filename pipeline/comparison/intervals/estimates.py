"""The interval of a score and the test of a difference, by the method that suits the metric."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score

from ....validation import short_repr
from ..folds import count_units
from ..statistics import (
    AVERAGE_PRECISION,
    DIRICHLET,
    PAIRED_ROWS,
    RANKS,
    Estimate,
    bootstrap_interval,
    bootstrap_test,
    corrected_interval,
    corrected_test,
    hanley_mcneil_error,
)
from .class_metrics import ClassCounts, ClassMetric, count_classes, read_class_metric
from .row_metrics import REGRESSION, cluster_error, group_sums, score_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..folds import Folds
    from ..metrics import Metric
    from ..outcome import Outcome
    from ..target import Target

__all__ = [
    "Judged",
    "estimate_difference",
    "estimate_score",
    "has_no_interval",
    "judge",
    "known_misses",
    "pool_scores",
    "variance_factor",
]

# Tuned by simulation on ridge classifiers; `python -m benchmarks.significance` judges with others.
_LARGEST_OVERLAP = 1.25  # Nadeau and Bengio's term of training sets of 80 %: more is never needed
_RARE_CLASS, _RARE_CLASS_PAIRED = 1.75, 0.75  # what a rare class adds to the factor
_LEAST_ROWS = 10  # that decide a difference, for a test by rows
_FEW_UNITS, _FEW_OF_CLASS = 60, 15  # rows or groups, the fewest of the simulations


@dataclass(frozen=True)
class Judged:
    """What intervals and tests of a metric read from an outcome.

    ``folds`` has a score for each fold, ``value`` is the score as shown, ``pooled`` that of the
    predictions of all rows (NaN: none). ``influence`` is what each row adds to the latter,
    ``(n_repeats, n_rows)``, and ``counts`` are those of a class metric.
    """

    outcome: Outcome
    folds: NDArray[np.float64]
    value: float
    pooled: float = math.nan
    influence: NDArray[np.float64] | None = None
    class_metric: ClassMetric | None = None
    counts: ClassCounts | None = None

    @property
    def imbalance(self) -> float:
        """0 for classes of equal size or a mean over rows, nearly 1 where a rare class counts."""
        if self.class_metric is None or self.counts is None or self.class_metric.average == "micro":
            return 0.0
        return self.counts.imbalance


def judge(outcome: Outcome, metric: Metric, target: Target | None, folds: Folds) -> Judged:
    """Read what the metric needs; without a target or the predictions of all repeats, the folds."""
    scores = outcome.scores[metric.name]
    simple = Judged(outcome, scores, float(scores.mean()))
    repeats = outcome.repeats
    if target is None or repeats is None or not np.isfinite(scores).all():
        return simple
    groups = _groups(folds, repeats.shape[1])
    class_metric = read_class_metric(metric.known_as, target)
    if class_metric is not None and (counts := count_classes(target, repeats, groups)):
        pooled = float(class_metric(counts.mean))
        influence = counts.influence(class_metric)
        return Judged(outcome, scores, simple.value, pooled, influence, class_metric, counts)
    if metric.known_as == "average_precision" and outcome.values is not None:
        return replace(simple, pooled=_pooled_precision(target, outcome.values))
    rows = score_rows(metric.known_as, target, repeats, outcome.values)
    if rows is None or not metric.is_pooled:
        return replace(simple, influence=rows.influence if rows else None)
    # A ratio of means is biased in small folds, its first-order effects are not.
    n_rows = np.mean([len(test) for _, test in folds.splits]) * len(folds.splits) / len(repeats)
    effects = [
        float(rows.influence[repeat, test].mean() * n_rows)
        for repeat, (_, test) in zip(folds.repeats, folds.splits, strict=True)
    ]
    of_folds = rows.value + np.array(effects)
    return Judged(outcome, of_folds, rows.value, rows.value, rows.influence)


def pool_scores(
    metrics: Sequence[Metric],
    target: Target,
    repeats: NDArray[np.object_],
    values: NDArray[np.float32] | None,
) -> dict[str, float]:
    """Return the scores of the predictions of all rows, mean over repeats, for metrics by classes.

    And for those whose mean over folds is biased. ``values`` are those of the first metric.
    """
    pooled: dict[str, float] = {}
    groups = np.arange(repeats.shape[1])
    counts = count_classes(target, repeats, groups) if target.classes is not None else None
    for place, metric in enumerate(metrics):
        class_metric = read_class_metric(metric.known_as, target)
        if class_metric is not None and counts is not None:
            pooled[metric.name] = float(class_metric(counts.mean))
        elif metric.known_as == "average_precision" and place == 0 and values is not None:
            pooled[metric.name] = _pooled_precision(target, values)
        elif metric.is_pooled and (rows := score_rows(metric.known_as, target, repeats, None)):
            pooled[metric.name] = rows.value
    return pooled


def estimate_score(
    judged: Judged, metric: Metric, target: Target | None, folds: Folds, confidence: float
) -> Estimate:
    """Return the score as it is shown, with its interval."""
    outcome, resolution = judged.outcome, metric.resolution(folds.mean_units)
    if outcome.resampled is not None:
        return bootstrap_interval(
            float(judged.folds[0]),
            outcome.resampled,
            confidence,
            resolution=resolution,
            bounds=metric.bounds,
        )
    if judged.class_metric is not None and judged.counts is not None and len(judged.folds) > 1:
        factor = variance_factor(folds, 2) + _RARE_CLASS * judged.imbalance
        draws = judged.counts.draws(judged.class_metric, factor)
        low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
        return _holding(judged, float(low), float(high), DIRICHLET)
    if has_no_interval(judged.folds, resolution):
        return Estimate(judged.value, math.nan, math.nan, math.nan)
    n_train, n_test = folds.mean_sizes
    n_units = count_units(folds.groups, np.flatnonzero(outcome.is_judged))
    row_error = metric.row_error(judged.value, n_units)
    if judged.influence is not None:
        groups = _groups(folds, judged.influence.shape[1])
        row_error = cluster_error(judged.influence, groups)
        if not metric.is_accuracy:  # whose resolution is known
            # A few large losses decide: as many degrees of freedom, where folds have more.
            n_free = max(_n_deciding(judged.influence, groups) - 1, 1)
            n_folds = min(_most_folds(folds) or math.inf, len(judged.folds))
            wide, narrow = stats.t.ppf((1 + confidence) / 2, [n_free, n_folds - 1])
            row_error *= max(1.0, float(wide / narrow))
    elif metric.known_as.startswith("roc_auc") and target is not None:
        row_error = hanley_mcneil_error(judged.value, *_class_units(target, outcome, folds))
    found = corrected_interval(
        judged.folds,
        n_test / n_train,
        confidence,
        resolution=resolution,
        row_error=row_error * math.sqrt(_rows_of_repeats(folds)),
        n_folds=_most_folds(folds),
    )
    if math.isfinite(judged.pooled) and not metric.is_pooled and target is not None:
        n_with, _ = _class_units(target, outcome, folds)
        share = np.clip(judged.pooled, 0.5 / n_with, 1 - 0.5 / n_with)
        error = math.sqrt(float((share * (1 - share) / n_with).sum())) / len(n_with)
        quantile = float(stats.norm.ppf((1 + confidence) / 2))
        reach = quantile * math.sqrt(variance_factor(folds, 2)) * error
        reach = max(found.high - found.mean, reach)
        found = _holding(judged, judged.pooled - reach, judged.pooled + reach, AVERAGE_PRECISION)
    elif metric.known_as.startswith("roc_auc"):
        found = found._replace(method=RANKS)
    low, high = metric.bounds
    return found._replace(
        mean=judged.value,
        low=max(min(found.low, judged.value), low),
        high=min(max(found.high, judged.value), high),
    )


def estimate_difference(
    judged: Judged, reference: Judged, metric: Metric, folds: Folds, confidence: float
) -> Estimate:
    """Return the difference of two scores with its interval and p-value."""
    differences, resolution = judged.folds - reference.folds, metric.resolution(folds.mean_units)
    resampled = judged.outcome.resampled, reference.outcome.resampled
    if resampled[0] is not None and resampled[1] is not None:
        found = bootstrap_test(
            float(differences[0]), resampled[0] - resampled[1], confidence, resolution=resolution
        )
    else:
        found = _test_rows(judged, reference, folds, confidence)
        if math.isnan(found.p_value):
            if has_no_interval(differences, resolution):
                return Estimate(judged.value - reference.value, math.nan, math.nan, math.nan)
            n_train, n_test = folds.mean_sizes
            found = corrected_test(
                differences,
                n_test / n_train,
                confidence,
                resolution=resolution,
                n_folds=_most_folds(folds),
            )
    reach = metric.bounds[1] - metric.bounds[0]  # the largest possible difference
    return found._replace(low=max(found.low, -reach), high=min(found.high, reach))


def known_misses(metric: Metric, target: Target, folds: Folds) -> list[str]:
    """Return why the interval of a metric may not hold what it promises on this data.

    Each is a clause that can follow "since". An empty list: simulations of such data hold.

    Examples
    --------
    >>> from bertvectorizer.pipeline.comparison.folds import make_folds
    >>> from bertvectorizer.pipeline.comparison.metrics import resolve_scoring
    >>> from bertvectorizer.pipeline.comparison.target import read_target
    >>> target, _ = read_target(["a", "b"] * 20, 40)
    >>> folds = make_folds(None, target, None, 0)
    >>> known_misses(resolve_scoring("accuracy", "binary")[0], target, folds)
    ['there are only 40 rows, and simulations had 60 or more']
    """
    judged = folds.tested
    unit = "rows" if folds.groups is None else "groups"
    n_units = count_units(folds.groups, judged)
    misses = []
    if n_units < _FEW_UNITS:
        misses.append(
            f"there are only {n_units:.0f} {unit}, and simulations had {_FEW_UNITS} or more"
        )
    is_ranked = metric.known_as.startswith(("roc_auc", "average_precision"))
    by_class = read_class_metric(metric.known_as, target)
    is_by_class = by_class is not None and by_class.average != "micro"
    if target.classes is not None and (is_by_class or is_ranked):
        is_labels = target.kind == "multilabel"
        has = target.values == 1 if is_labels else target.values[:, None] == target.classes
        counts = [count_units(folds.groups, judged[column[judged]]) for column in has.T]
        rarest = int(np.argmin(counts))
        if counts[rarest] < _FEW_OF_CLASS:
            misses.append(
                f"only {counts[rarest]:.0f} {unit} are of class"
                f" {short_repr(str(target.classes[rarest]))}, and simulations had"
                f" {_FEW_OF_CLASS} or more"
            )
    if len(folds.splits) > 1 and not _has_method(metric, target):
        misses.append(f"they come from the scores of {len(folds.splits)} folds alone")
    return misses


def _has_method(metric: Metric, target: Target) -> bool:
    """Whether an interval sees more than the scores of folds."""
    name = metric.known_as
    if target.kind == "regression":
        return name in REGRESSION
    means = ("accuracy", "neg_brier_score", "neg_log_loss", "average_precision")
    if name.startswith("roc_auc") or name in means:
        return True
    return read_class_metric(name, target) is not None


def variance_factor(folds: Folds, n_repeats: int) -> float:
    """Return the ratio of the variance of a score to that of its rows in one repeat.

    It is the factor of Nadeau and Bengio for ``n_repeats`` repeats of these folds. It does not
    depend on how many there are: the variance of rows is a mean over repeats, and neither that nor
    the truth shrinks with more of them. Training rows that are hardly fewer than all do not make it
    less than the variance of the test rows.

    Examples
    --------
    >>> from bertvectorizer.pipeline.comparison.folds import Folds
    >>> rows = np.arange(100)
    >>> folds = Folds([(rows[rows % 5 != k], rows[rows % 5 == k]) for k in range(5)], 5, "")
    >>> variance_factor(folds, 2)
    1.75
    """
    rows = _rows_of_repeats(folds)
    n_train, n_test = folds.mean_sizes
    in_repeat = n_test * len(folds.splits) / (folds.repeats[-1] + 1)
    overlap = min(in_repeat / n_train, _LARGEST_OVERLAP)
    return float(rows / n_repeats + max(overlap, rows))


def _rows_of_repeats(folds: Folds) -> float:
    """Return the variance of a mean over the test rows of all repeats, by that of one repeat.

    It is 1 if all repeats test the same rows, and less if they test others, as random splits do.
    """
    n_tests = np.bincount(np.concatenate([test for _, test in folds.splits])).astype(float)
    n_repeats = folds.repeats[-1] + 1
    return float((n_tests**2).sum() / (n_tests.sum() * n_repeats))


def has_no_interval(scores: NDArray[np.float64], resolution: float) -> bool:
    """Whether there is one score, or equal scores of a metric without resolution."""
    return (
        len(scores) < 2
        or not np.isfinite(scores).all()
        or (not resolution and bool(np.ptp(scores) == 0))
    )


def _test_rows(judged: Judged, reference: Judged, folds: Folds, confidence: float) -> Estimate:
    """Test a difference by what the rows add to it; all NaN if there are too few such rows."""
    none = Estimate(math.nan, math.nan, math.nan, math.nan)
    own, other = judged.influence, reference.influence
    if own is None or other is None or own.shape != other.shape or len(judged.folds) < 2:
        return none
    groups = _groups(folds, own.shape[1])
    if _n_deciding(own - other, groups) < _LEAST_ROWS:
        return none
    imbalance = max(judged.imbalance, reference.imbalance)
    factor = variance_factor(folds, 4) + _RARE_CLASS_PAIRED * imbalance
    error = math.sqrt(factor) * cluster_error(own - other, groups)
    difference = judged.value - reference.value
    if math.isfinite(judged.pooled):
        difference = judged.pooled - reference.pooled
    n_free = int((group_sums(own - other, groups) != 0).any(axis=0).sum()) - 1
    reach = float(stats.t.ppf((1 + confidence) / 2, n_free)) * error
    p_value = float(2 * stats.t.sf(abs(difference) / error, n_free))
    return Estimate(difference, difference - reach, difference + reach, p_value, PAIRED_ROWS)


def _n_deciding(influence: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Return the effective number of rows or groups that decide a variance."""
    squares = group_sums(influence, groups) ** 2
    largest = max(float((squares**2).sum()), 1e-300)
    return float(squares.sum() ** 2 / largest / len(squares))


def _holding(judged: Judged, low: float, high: float, method: str) -> Estimate:
    """Return an interval that also holds the pooled score, and the shown one."""
    held = (judged.value, judged.pooled)
    return Estimate(judged.value, min(low, *held), max(high, *held), math.nan, method)


def _groups(folds: Folds, n_rows: int) -> NDArray[np.int64]:
    return np.arange(n_rows) if folds.groups is None else folds.groups


def _most_folds(folds: Folds) -> float | None:
    """Return the number of folds of two repeats if there are more, for they tell little more."""
    n_repeats, n_folds = int(folds.repeats[-1]) + 1, len(folds.splits)
    sizes = np.bincount(folds.repeats, [len(test) for _, test in folds.splits])
    is_whole = bool((sizes == len(folds.tested)).all()) and n_folds > n_repeats
    return 2 * n_folds / n_repeats if n_repeats > 2 and is_whole else None


def _class_units(
    target: Target, outcome: Outcome, folds: Folds
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each class or label how many groups have it, and how many do not.

    Of two classes, for the second only.
    """
    assert target.classes is not None
    truth = target.values
    if target.kind != "multilabel":
        classes = target.classes[1:] if target.kind == "binary" else target.classes
        truth = truth[:, None] == classes
    truth, is_judged = truth.astype(bool), outcome.is_judged[:, None]
    with_it, without = (
        [count_units(folds.groups, np.flatnonzero(column)) for column in (has & is_judged).T]
        for has in (truth, ~truth)
    )
    return np.maximum(with_it, 1.0), np.maximum(without, 1.0)


def _pooled_precision(target: Target, values: NDArray[np.float32]) -> float:
    """Return the average precision of the values of all folds, mean over repeats."""
    assert target.classes is not None
    truth = target.values
    if target.kind != "multilabel":
        truth = truth[:, None] == (
            target.classes[1:] if len(target.classes) == 2 else target.classes
        )
    scores = []
    for repeat in values:
        is_judged = np.isfinite(repeat).all(axis=1)
        scores.append(average_precision_score(truth[is_judged], repeat[is_judged]))
    return float(np.mean(scores))
