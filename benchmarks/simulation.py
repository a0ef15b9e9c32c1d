"""Cross-validation in worlds whose truth is known, for ``benchmarks.significance``.

Every world has two classes. A member of a comparison sees Gaussian features, some of its own and
some shared by all; the classes differ in their means. A ridge classifier is linear, so its accuracy
and macro-F1 on endlessly many rows are known exactly.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.model_selection import RepeatedStratifiedKFold

from bertvectorizer.pipeline.comparison.statistics import (
    bootstrap_interval,
    bootstrap_test,
    corrected_interval,
    corrected_test,
    holm,
    resample_rows,
)

Floats = NDArray[np.float64]

METRICS = ("accuracy", "macro-F1")
LEVEL = 0.05


@dataclass(frozen=True)
class World:
    """What data sets are drawn from.

    ``separation`` is the distance of the classes' means, in standard deviations, in each member's
    features together; that of the last member is greater by ``gain``.
    """

    name: str
    n_rows: int = 300
    minority: float = 0.5
    n_features: int = 10
    n_shared: int = 0
    separation: float = 1.7
    gain: float = 0.0
    n_members: int = 2

    def offsets(self) -> Floats:
        """Return the distance of the classes' means by feature, ``(n_members, n_features)``."""
        by_feature = self.separation / np.sqrt(self.n_features)
        offsets = np.full((self.n_members, self.n_features), by_feature)
        own = self.n_features - self.n_shared
        offsets[-1, self.n_shared :] = np.sqrt(
            ((self.separation + self.gain) ** 2 - self.n_shared * by_feature**2) / own
        )
        return offsets

    def draw(self, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw features ``(n_members, n_rows, n_features)`` and classes -1 and 1, ``(n_rows,)``."""
        target = np.where(random.random(self.n_rows) < self.minority, 1.0, -1.0)
        features = random.normal(size=(self.n_members, self.n_rows, self.n_features))
        features[:, :, : self.n_shared] = features[0, :, : self.n_shared]
        return features + target[:, None] * self.offsets()[:, None] / 2, target


def fit(features: Floats, target: Floats, alpha: float = 1.0) -> tuple[Floats, Floats]:
    """Fit what ``RidgeClassifier(alpha)`` fits, for each member.

    Returns
    -------
    tuple
        Weights, ``(n_members, n_features)``, and intercepts, ``(n_members,)``.
    """
    centre = features.mean(axis=1, keepdims=True)
    centred = features - centre
    gram = centred.transpose(0, 2, 1) @ centred + alpha * np.eye(features.shape[2])
    weights = np.linalg.solve(gram, (centred.transpose(0, 2, 1) @ target)[..., None])[..., 0]
    return weights, target.mean() - (weights * centre[:, 0]).sum(axis=1)


def predict(features: Floats, weights: Floats, intercepts: Floats) -> NDArray[np.bool_]:
    """Return whether rows are of class 1. *Shape:* ``(n_members, n_rows)``."""
    return (features @ weights[..., None])[..., 0] + intercepts[:, None] > 0


def metrics(
    true_positive: Any, false_positive: Any, false_negative: Any, true_negative: Any
) -> Floats:
    """Return accuracy and macro-F1 of counts or shares, along a new last axis."""
    right = true_positive + true_negative
    wrong = false_positive + false_negative
    f1 = [
        2 * hits / np.maximum(2 * hits + wrong, 1e-300) for hits in (true_positive, true_negative)
    ]
    return np.stack([right / (right + wrong), (f1[0] + f1[1]) / 2], axis=-1)


def score(predicted: NDArray[np.bool_], target: Floats) -> Floats:
    """Return the metrics of each member. *Shape:* ``(n_members, n_metrics)``."""
    positive = target > 0
    hits, called, n_positive = (
        (predicted & positive).sum(axis=1),
        predicted.sum(axis=1),
        positive.sum(),
    )
    return metrics(hits, called - hits, n_positive - hits, len(target) - called - n_positive + hits)


def exact(world: World, weights: Floats, intercepts: Floats) -> Floats:
    """Return the metrics on endlessly many rows. *Shape:* ``(n_members, n_metrics)``."""
    length = np.linalg.norm(weights, axis=1)
    middle = (weights * world.offsets()).sum(axis=1) / 2
    found, kept = (
        stats.norm.cdf((middle + intercepts) / length),
        stats.norm.cdf((middle - intercepts) / length),
    )
    share = world.minority
    return metrics(share * found, (1 - share) * (1 - kept), share * (1 - found), (1 - share) * kept)


def cross_validate(
    world: World, designs: list[tuple[int, int]], seeds: list[int]
) -> list[tuple[Floats, Floats]]:
    """Cross-validate all members on data sets of the world.

    Returns
    -------
    list
        For each design (repeats, folds) the scores of folds and the exact scores of the models that
        were fitted for them. *Shape of both:* ``(n_data_sets, n_folds, n_members, n_metrics)``.
    """
    results: list[tuple[list[Any], list[Any]]] = [([], []) for _ in designs]
    for seed in seeds:
        features, target = world.draw(np.random.default_rng(seed))
        for (repeats, folds), (scores, truths) in zip(designs, results, strict=True):
            splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
            fold_scores, fold_truths = [], []
            for train, test in splitter.split(target, target):
                model = fit(features[:, train], target[train])
                fold_scores.append(score(predict(features[:, test], *model), target[test]))
                fold_truths.append(exact(world, *model))
            scores.append(fold_scores)
            truths.append(fold_truths)
    return [(np.asarray(scores), np.asarray(truths)) for scores, truths in results]


def coverage(
    scores: Floats, truth: float, test_share: float, n_rows: int, is_share: bool
) -> dict[str, Any]:
    """Return how often intervals hold the truth. *Shape of scores:* ``(n_data_sets, n_folds)``.

    Only a score that is a share of the rows, such as accuracy, has a known error of rows.
    """
    resolution = _resolution(n_rows, test_share)
    means = scores.mean(axis=1)
    row_errors = np.sqrt(means * (1 - means) / n_rows) if is_share else np.zeros(len(means))
    estimates, folds_only = (
        np.array(
            [
                corrected_interval(
                    row, test_share, resolution=resolution, row_error=float(error), bounds=(0, 1)
                )
                for row, error in zip(scores, errors, strict=True)
            ]
        )
        for errors in (row_errors, np.zeros(len(means)))
    )
    plain = stats.t.ppf(1 - LEVEL / 2, scores.shape[1] - 1) * stats.sem(scores, axis=1)
    return {
        "truth": truth,
        "covered_by_folds_only": rate((folds_only[:, 1] <= truth) & (truth <= folds_only[:, 2])),
        "covered": rate((estimates[:, 1] <= truth) & (truth <= estimates[:, 2])),
        "covered_uncorrected": rate(np.abs(means - truth) <= plain),
        # Half the mean width, over what a normal distribution of the means would need.
        "width": float((estimates[:, 2] - estimates[:, 1]).mean() / 2 / (1.96 * means.std())),
    }


def paired(differences: Floats, truth: float, test_share: float, n_rows: int) -> dict[str, Any]:
    """Return how often a difference ``(n_data_sets, n_folds)`` is found, and covered."""
    estimates = np.array(
        [
            corrected_test(row, test_share, resolution=_resolution(n_rows, test_share))
            for row in differences
        ]
    )
    return {
        "truth": truth,
        "found": rate(estimates[:, 3] < LEVEL),
        "found_uncorrected": rate(uncorrected(differences) < LEVEL),
        "covered": rate((estimates[:, 1] <= truth) & (truth <= estimates[:, 2])),
    }


def uncorrected(differences: Floats) -> Floats:
    """Return p-values of the paired t-test along axis 1; 1 if all differences are 0."""
    varies = np.ptp(differences, axis=1) > 0
    p_values = np.where((differences == 0).all(axis=1), 1.0, 0.0)
    p_values[varies] = stats.ttest_1samp(differences[varies], 0, axis=1).pvalue
    return p_values


def family(scores: Floats, n_baselines: int, test_share: float, n_rows: int) -> dict[str, Any]:
    """Compare with the best baseline; the first members are the baselines.

    As `compare` does: the test of the first contender is declared and not corrected, the other
    contenders are the exploratory family, baselines are not tested. And all as one family.

    *Shape of scores:* ``(n_data_sets, n_folds, n_members)``. All members are equally good: any
    verdict is a false alarm.
    """
    resolution = _resolution(n_rows, test_share)
    alarms: defaultdict[str, list[bool]] = defaultdict(list)
    for folds in scores:
        best = int(folds[:, :n_baselines].mean(axis=0).argmax())
        differences = np.delete(folds - folds[:, [best]], best, axis=1).T
        raw = np.array(
            [corrected_test(row, test_share, resolution=resolution).p_value for row in differences]
        )
        declared = n_baselines - 1  # the best baseline is no longer among them
        alarms["declared"].append(raw[declared] < LEVEL)
        alarms["declared_better"].append(raw[declared] < LEVEL and differences[declared].mean() > 0)
        alarms["exploratory"].append((holm(raw[declared + 1 :]) < LEVEL).any())
        found = holm(raw) < LEVEL
        alarms["any"].append(found.any())
        alarms["contender_better"].append(
            (found & (differences.mean(axis=1) > 0))[n_baselines - 1 :].any()
        )
        alarms["any_without_holm"].append((raw < LEVEL).any())
        alarms["any_uncorrected"].append((holm(uncorrected(differences)) < LEVEL).any())
    return {name: rate(np.array(values)) for name, values in alarms.items()}


def held_back(world: World, n_train_rows: int, seeds: list[int]) -> dict[str, NDArray[np.bool_]]:
    """Judge two equally good fitted models on one test set of ``world.n_rows`` for each seed.

    Both have the weights that the first learned, each for its own features, which are alike: so
    they are equally good exactly.

    Returns
    -------
    dict
        For each metric whether the interval of the first held the exact score, and whether the test
        found a difference.
    """
    verdicts: dict[str, list[bool]] = {
        f"{metric} {what}": [] for metric in METRICS for what in ("covered", "found")
    }
    for seed in seeds:
        random = np.random.default_rng(seed)
        features, target = replace(world, n_rows=n_train_rows).draw(random)
        model = tuple(np.repeat(part[:1], 2, axis=0) for part in fit(features, target))
        truths = exact(world, *model)[0]
        features, target = world.draw(random)
        # All that the metrics need of a sample is how often it has each of the eight kinds of rows.
        kinds = (target > 0) * 4 + predict(features, *model).T @ [2, 1]
        drawn = resample_rows(
            lambda rows, kinds=kinds: np.bincount(kinds[rows], minlength=8),
            world.n_rows,
            random_state=seed,
        )
        value, resampled = _of_kinds(np.bincount(kinds, minlength=8)[None])[0], _of_kinds(drawn)
        for index, metric in enumerate(METRICS):
            level = {"resolution": 1 / world.n_rows}
            interval = bootstrap_interval(
                value[0, index], resampled[:, 0, index], **level, bounds=(0, 1)
            )
            verdicts[f"{metric} covered"].append(interval.low <= truths[index] <= interval.high)
            test = bootstrap_test(
                value[0, index] - value[1, index],
                resampled[:, 0, index] - resampled[:, 1, index],
                **level,
            )
            verdicts[f"{metric} found"].append(test.p_value < LEVEL)
    return {name: np.array(values) for name, values in verdicts.items()}


def _of_kinds(counts: Floats) -> Floats:
    """Return both models' metrics ``(n_samples, 2, n_metrics)`` from counts of predictions."""
    cells = counts.reshape(
        -1, 2, 2, 2
    )  # sample, target, the first model's prediction, the second's
    tables = np.stack(
        [cells.sum(axis=3), cells.sum(axis=2)], axis=1
    )  # sample, model, target, prediction
    return metrics(tables[..., 1, 1], tables[..., 0, 1], tables[..., 1, 0], tables[..., 0, 0])


def _resolution(n_rows: int, test_share: float) -> float:
    return (1 + test_share) / (test_share * n_rows)  # one row of a fold


def rate(events: NDArray[np.bool_]) -> list[float]:
    """Return the share of events and its standard error."""
    share = float(np.mean(events))
    return [share, float(np.sqrt(share * (1 - share) / len(events)))]
