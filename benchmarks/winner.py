"""Simulation of the best of several feature sets: its plain score, and the corrected one.

For ``benchmarks.significance``. The truth is the exact score of the model that is fitted on all
rows of the feature set that came out best, which is what ``bertvectorizer train`` saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit

from bertvectorizer.pipeline.comparison.folds import make_folds
from bertvectorizer.pipeline.comparison.intervals.estimates import estimate_score, judge
from bertvectorizer.pipeline.comparison.intervals.selection import correct_selection
from bertvectorizer.pipeline.comparison.metrics import Metric, resolve_scoring
from bertvectorizer.pipeline.comparison.outcome import Cost, Outcome
from bertvectorizer.pipeline.comparison.target import Target

from .markdown import markdown
from .simulation import World, exact, fit, predict, rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CONTESTS", "judge_contests", "summarize", "winner_table"]

METRICS = ("accuracy", "f1_macro")  # in the order of `exact`
_GROUP = 5  # rows of a group, all alike
_OVERLAPPING = "20 % of the rows, 5 times"


@dataclass(frozen=True)
class Contest:
    """A world, and how its members are compared."""

    world: World
    metric: str = "accuracy"
    cv: str = "2x5"
    has_groups: bool = False

    @property
    def name(self) -> str:
        """What the table says of it."""
        parts = [self.world.name, f"{self.world.n_rows:,} rows"]
        parts += [self.metric] * (self.metric != "accuracy") + [self.cv] * (self.cv != "2x5")
        return ", ".join(parts)


_ALIKE = World("13 alike", n_members=13)
_BETTER = World("1 of 3 better", n_members=3, gain=0.5)
CONTESTS = [
    *(Contest(replace(_ALIKE, n_rows=n_rows)) for n_rows in (60, 200, 1000)),
    Contest(replace(_ALIKE, n_rows=200, n_shared=5, name="13 alike, half shared")),
    Contest(replace(_ALIKE, n_rows=200, separation=4.7, name="13 alike, nearly faultless")),
    Contest(replace(_ALIKE, n_rows=500, name="13 alike, 100 groups"), has_groups=True),
    Contest(replace(_ALIKE, n_rows=300, minority=0.15), "f1_macro"),
    *(Contest(replace(_ALIKE, n_rows=200), cv=cv) for cv in ("1x5", "10x5", _OVERLAPPING)),
    *(Contest(replace(_BETTER, n_rows=n_rows)) for n_rows in (60, 200)),
    Contest(replace(_BETTER, n_rows=1000, gain=0.15)),
    Contest(replace(_BETTER, n_rows=500, name="1 of 3 better, 100 groups"), has_groups=True),
    Contest(World("1 of 13 better", n_rows=200, n_members=13, gain=0.5)),
]


def judge_contests(contest: Contest, seeds: Sequence[int]) -> list[list[float]]:
    """Return for each seed the truth of the best member, its score and interval, and corrected."""
    return [_judge(contest, seed) for seed in seeds]


def summarize(trials: Sequence[list[float]]) -> dict[str, Any]:
    """Return the bias and the coverage of the plain and the corrected score."""
    truth, plain, low, high, corrected, corrected_low, corrected_high = np.array(trials).T
    return {
        "truth": float(truth.mean()),
        "plain_bias": _mean(plain - truth),
        "bias": _mean(corrected - truth),
        "plain_covered": rate((low <= truth) & (truth <= high)),
        "covered": rate((corrected_low <= truth) & (truth <= corrected_high)),
        "plain_width": float((high - low).mean()),
        "width": float((corrected_high - corrected_low).mean()),
    }


def winner_table(rows: Mapping[str, dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    header = ["world", "true score", "bias", "corrected", "covered", "corrected"]
    body = [
        [
            name,
            f"{row['truth']:.3f}",
            *(f"{100 * row[key][0]:+.1f} ± {100 * row[key][1]:.1f}" for key in _BIASES),
            *(f"{row[key][0]:.1%} ± {row[key][1]:.1%}" for key in _COVERED),
            *(f"{row[key]:.3f}" for key in ("plain_width", "width")),
        ]
        for name, row in rows.items()
    ]
    return markdown([*header, "width", "corrected"], body)


_BIASES, _COVERED = ("plain_bias", "bias"), ("plain_covered", "covered")


def _mean(errors: NDArray[np.float64]) -> list[float]:
    return [float(errors.mean()), float(errors.std() / np.sqrt(len(errors)))]


def _judge(contest: Contest, seed: int) -> list[float]:
    features, classes, groups = _draw(contest, seed)
    target = Target(classes, "binary", np.array([-1.0, 1.0]), "target")
    folds = make_folds(_splitter(contest.cv, seed), target, groups, seed)
    (metric,) = resolve_scoring(contest.metric, "binary")
    outcomes = _cross_validate(features, target, folds, metric)
    judged = [judge(outcome, metric, target, folds) for outcome in outcomes]
    shown = [estimate_score(one, metric, target, folds, 0.95) for one in judged]
    corrected = correct_selection(judged, shown, metric, folds)
    best = int(corrected.features)
    truth = exact(contest.world, *fit(features, classes))[best, METRICS.index(contest.metric)]
    plain = shown[best]
    return [
        float(truth),
        *(plain.mean, plain.low, plain.high),
        *(corrected.score, corrected.low, corrected.high),
    ]


def _draw(
    contest: Contest, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64] | None]:
    world, random = contest.world, np.random.default_rng(seed)
    if not contest.has_groups:
        return *world.draw(random), None
    features, classes = replace(world, n_rows=world.n_rows // _GROUP).draw(random)
    groups = np.arange(world.n_rows) // _GROUP
    return np.repeat(features, _GROUP, axis=1), np.repeat(classes, _GROUP), groups


def _splitter(cv: str, seed: int) -> Any:
    is_overlapping = cv == _OVERLAPPING
    return StratifiedShuffleSplit(5, test_size=0.2, random_state=seed) if is_overlapping else cv


def _cross_validate(
    features: NDArray[np.float64], target: Target, folds: Any, metric: Metric
) -> list[Outcome]:
    """Return the outcomes of all members, whose names are their numbers."""
    truth, numbers = target.values, folds.repeats
    shape = (len(features), int(numbers[-1]) + 1, len(truth))
    predictions = np.full(shape, None, dtype=object)
    scores = []
    for number, (train, test) in zip(numbers, folds.splits, strict=True):
        model = fit(features[:, train], truth[train])
        predicted = np.where(predict(features[:, test], *model), 1.0, -1.0)
        predictions[:, number, test] = predicted
        scores.append([_score(metric, truth[test], one) for one in predicted])
    return [
        Outcome(
            name=str(member),
            is_contextual=False,
            cell=None,
            scores={metric.name: of_folds},
            test_scores={},
            predictions=repeats[0],
            cost=Cost(),
            repeats=repeats,
        )
        for member, (repeats, of_folds) in enumerate(
            zip(predictions, np.array(scores).T, strict=True)
        )
    ]


def _score(metric: Metric, truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    if metric.is_accuracy:
        return float((truth == predicted).mean())
    scores = []
    for label in (-1.0, 1.0):
        is_true, is_called = truth == label, predicted == label
        total = is_true.sum() + is_called.sum()
        scores.append(2 * (is_true & is_called).sum() / total if total else 0.0)
    return float(np.mean(scores))
