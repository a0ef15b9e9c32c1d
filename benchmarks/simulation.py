"""Held-back test sets from worlds whose truth is known exactly, for ``benchmarks.significance``.

Every world has two classes. A member of a comparison sees Gaussian features, some of its own and
some shared by all; the classes differ in their means. A ridge classifier is linear, so its accuracy
and macro-F1 on endlessly many rows are known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import RidgeClassifier

from bertvectorizer.pipeline.comparison.statistics import (
    bootstrap_interval,
    bootstrap_test,
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


TEST_SETS = [
    World("100 rows", n_rows=100, n_shared=5),
    World("500 rows", n_rows=500, n_shared=5),
    World("500 rows, 15 % of one class", n_rows=500, minority=0.15, n_shared=5),
    World("200 rows, nearly faultless", n_rows=200, separation=4.7, n_shared=5),
]


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


def check_classifier() -> None:
    """Compare the classifier with scikit-learn's, and its exact score with a large test set."""
    world = World("check", n_rows=300_000)
    features, target = world.draw(np.random.default_rng(0))
    model = fit(features[:, :300], target[:300])
    for member, columns in enumerate(features):
        theirs = RidgeClassifier().fit(columns[:300], target[:300]).predict(columns[300:]) > 0
        ours = predict(features[:, 300:], *model)[member]
        if (ours != theirs).mean() > 1e-5 or abs(
            (ours == (target[300:] > 0)).mean() - exact(world, *model)[member, 0]
        ) > 4e-3:
            raise AssertionError("the simulation's classifier is not what it should be")


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


def rate(events: NDArray[np.bool_]) -> list[float]:
    """Return the share of events and its standard error."""
    share = float(np.mean(events))
    return [share, float(np.sqrt(share * (1 - share) / len(events)))]
