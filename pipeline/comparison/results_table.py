"""The table of a comparison: scores with intervals, tests against the best baseline, costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .folds import count_units
from .intervals.estimates import (
    Judged,
    estimate_difference,
    estimate_score,
    has_no_interval,
    judge,
    known_misses,
)
from .statistics import Estimate, bootstrap_interval, corrected_interval, family_confidence, holm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .folds import Folds
    from .metrics import Metric
    from .outcome import Outcome
    from .target import Target

__all__ = [
    "BEST_BASELINE",
    "CONFIDENCE",
    "EXPLORATORY",
    "NOT_TESTED",
    "NO_EVIDENCE",
    "PRIMARY",
    "best_of",
    "interval_of_folds",
    "note_misses",
    "rank",
    "score_of",
]

CONFIDENCE = 0.95
BEST_BASELINE = "best baseline"
NO_EVIDENCE = "no evidence of a difference"
NOT_TESTED = "not tested"
PRIMARY, EXPLORATORY = "primary", "exploratory"  # families of tests


def best_of(outcomes: Mapping[str, Outcome], metric: Metric) -> str:
    """Return the name of the outcome with the best mean score, the first of equals."""
    sign = 1 if metric.greater_is_better else -1
    return max(outcomes, key=lambda name: sign * score_of(outcomes[name], metric))


def score_of(outcome: Outcome, metric: Metric) -> float:
    """Return the score that is shown: the mean over folds, or the pooled one where that is biased.

    Average precision and metrics by classes, such as F1, are shown as means; their pooled scores
    are `Outcome.pooled`.
    """
    if metric.is_pooled and metric.name in outcome.pooled:
        return outcome.pooled[metric.name]
    return float(outcome.scores[metric.name].mean())


def rank(
    outcomes: Mapping[str, Outcome],
    metrics: list[Metric],
    folds: Folds,
    n_test: int,
    primary: str | None = None,
    test_groups: NDArray[np.int64] | None = None,
    target: Target | None = None,
) -> tuple[pd.DataFrame, str]:
    """Build the table of a comparison; return it and the name of the best baseline.

    The baseline is the best feature set that is neither contextual nor ``primary``; without one,
    the best of all others. Since it is chosen by the same scores it looks slightly too good, which
    makes the tests conservative.

    The test of ``primary`` against it was declared beforehand and is not corrected. The other
    contextual feature sets are one exploratory family. Other baselines are not tested. Without a
    ``primary`` all feature sets are of one kind, and all but the best are exploratory.

    ``test_groups`` are the groups of the held-back rows, of shape ``(n_test,)``. Without a
    ``target`` intervals and tests know the scores of folds only.
    """
    metric = metrics[0]
    others = {name: outcome for name, outcome in outcomes.items() if name != primary} or outcomes
    baselines = {name: outcome for name, outcome in others.items() if not outcome.is_contextual}
    baseline = best_of(baselines or others, metric)
    families = {
        name: _family(name, outcome, primary) if name != baseline else ""
        for name, outcome in outcomes.items()
    }
    judged = {name: judge(outcome, metric, target, folds) for name, outcome in outcomes.items()}
    differences, p_values = _test_all(judged, families, baseline, metric, folds)
    scores = [estimate_score(one, metric, target, folds, CONFIDENCE) for one in judged.values()]
    columns: dict[str, Any] = {
        "features": list(outcomes),
        "is_contextual": [outcome.is_contextual for outcome in outcomes.values()],
        metric.name: [score.mean for score in scores],
        "low": [score.low for score in scores],
        "high": [score.high for score in scores],
        "interval_method": [score.method for score in scores],
        "difference": [difference.mean for difference in differences],
        "difference_low": [difference.low for difference in differences],
        "difference_high": [difference.high for difference in differences],
        "p_value": p_values,
        "difference_method": [difference.method for difference in differences],
        "family": list(families.values()),
        "verdict": [
            _verdict(difference.mean, float(p), metric)
            if families[name]
            else (BEST_BASELINE if name == baseline else NOT_TESTED)
            for name, difference, p in zip(outcomes, differences, p_values, strict=True)
        ],
    }
    if not metric.is_pooled and any(metric.name in own.pooled for own in outcomes.values()):
        columns["pooled"] = [own.pooled.get(metric.name, np.nan) for own in outcomes.values()]
    if n_test:
        n_units = count_units(test_groups, np.arange(n_test))
        tests = [_test_score(outcome, metric, n_units) for outcome in outcomes.values()]
        columns |= {
            "test": [test.mean for test in tests],
            "test_low": [test.low for test in tests],
            "test_high": [test.high for test in tests],
            "test_interval_method": [test.method for test in tests],
        }
    for other in metrics[1:]:
        columns[other.name] = [score_of(own, other) for own in outcomes.values()]
        if n_test:
            columns[f"test_{other.name}"] = [
                outcome.test_scores[other.name] for outcome in outcomes.values()
            ]
    costs = pd.DataFrame([asdict(outcome.cost) for outcome in outcomes.values()])
    return pd.concat([pd.DataFrame(columns), costs], axis=1), baseline


def note_misses(metric: Metric, target: Target, folds: Folds) -> list[str]:
    """Return a note where no simulation tells that the intervals of a metric hold; else none."""
    misses = known_misses(metric, target, folds)
    if not misses:
        return []
    return [f"95 % intervals of {metric.name} may be too narrow, since {'; and '.join(misses)}."]


def _family(name: str, outcome: Outcome, primary: str | None) -> str:
    """Return the family of tests of a feature set other than the best baseline; "" if untested."""
    if name == primary:
        return PRIMARY
    return EXPLORATORY if outcome.is_contextual or primary is None else ""


def _test_all(
    judged: Mapping[str, Judged],
    families: Mapping[str, str],
    baseline: str,
    metric: Metric,
    folds: Folds,
) -> tuple[list[Estimate], NDArray[np.float64]]:
    """Return the differences to the baseline, and p-values; both corrected in the family."""

    def test(name: str, confidence: float) -> Estimate:
        found = estimate_difference(judged[name], judged[baseline], metric, folds, confidence)
        if families[name]:
            return found
        mean = np.nan if name == baseline else found.mean
        return Estimate(mean, np.nan, np.nan, np.nan)

    raw = np.array([test(name, CONFIDENCE).p_value for name in judged])
    is_exploratory = np.array([family == EXPLORATORY for family in families.values()], dtype=bool)
    confidence = np.full(len(raw), CONFIDENCE)
    confidence[is_exploratory] = family_confidence(raw[is_exploratory], CONFIDENCE)
    p_values = raw.copy()
    p_values[is_exploratory] = holm(raw[is_exploratory])
    differences = [test(name, own) for name, own in zip(judged, confidence.tolist(), strict=True)]
    return differences, p_values


def interval_of_folds(
    scores: NDArray[np.float64], metric: Metric, test_share: float, n_test: float, n_units: float
) -> Estimate:
    """Return the mean score of folds with its interval, where one can be estimated.

    ``test_share`` is the ratio of test rows to training rows of a fold. ``n_test`` is the number of
    groups in the test rows of a fold, and ``n_units`` that in the test rows of all folds, both as
    `count_units` counts them; without groups, the numbers of rows.
    """
    if has_no_interval(scores, metric.resolution(n_test)):
        return Estimate(float(scores.mean()), np.nan, np.nan, np.nan)
    return corrected_interval(
        scores,
        test_share,
        CONFIDENCE,
        resolution=metric.resolution(n_test),
        row_error=metric.row_error(float(scores.mean()), n_units),
        bounds=metric.bounds,
    )


def _test_score(outcome: Outcome, metric: Metric, n_units: float) -> Estimate:
    score = outcome.test_scores[metric.name]
    assert outcome.test_resampled is not None
    return bootstrap_interval(
        score,
        outcome.test_resampled,
        CONFIDENCE,
        resolution=metric.resolution(n_units),
        bounds=metric.bounds,
    )


def _verdict(difference: float, p_value: float, metric: Metric) -> str:
    if not p_value < 1 - CONFIDENCE:
        return NO_EVIDENCE
    return "better" if (difference > 0) == metric.greater_is_better else "worse"
