"""Worlds of classes or numbers, learners, and what the product says of cross-validation in them.

The worlds and learners are others than those that the methods were tuned with, which were ridge
classifiers. See ``benchmarks.significance``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bertvectorizer.pipeline.comparison.folds import Folds, make_folds
from bertvectorizer.pipeline.comparison.intervals.class_metrics import (
    count_classes,
    read_class_metric,
)
from bertvectorizer.pipeline.comparison.intervals.estimates import (
    Judged,
    estimate_difference,
    estimate_score,
    judge,
)
from bertvectorizer.pipeline.comparison.metrics import Metric, resolve_scoring
from bertvectorizer.pipeline.comparison.outcome import Cost, Outcome
from bertvectorizer.pipeline.comparison.results_table import interval_of_folds
from bertvectorizer.pipeline.comparison.statistics import corrected_test, holm
from bertvectorizer.pipeline.comparison.target import Target

Floats = NDArray[np.float64]
Predictor = Callable[[Floats], Floats]

LEVEL = 0.05
_N_NEIGHBOURS = 9
_TEST_ROWS = 600
BINARY = ("accuracy", "balanced_accuracy", "f1_macro", "f1", "roc_auc", "average_precision")
MULTICLASS = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr")
REGRESSION = ("r2", "neg_mean_absolute_error")


@dataclass(frozen=True)
class World:
    """What data sets are drawn from.

    ``shares`` are those of the classes, none for numbers. ``separation`` is the distance of any two
    classes' means, in standard deviations; in the own features of the last member it is greater by
    the factor ``1 + gain``. Groups have one of ``sizes``, and ``likeness`` is the share of the
    variance that the rows of a group have in common.
    """

    name: str
    learner: str
    n_rows: int = 300
    shares: tuple[float, ...] = (0.5, 0.5)
    separation: float = 1.7
    n_features: int = 10
    n_shared: int = 5
    gain: float = 0.0
    sizes: tuple[int, ...] = (1,)
    likeness: float = 0.0
    n_members: int = 2
    designs: tuple[tuple[int, int], ...] = ((2, 5), (1, 5))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the scorers that are judged."""
        if not self.shares:
            return REGRESSION
        return (*(BINARY if len(self.shares) == 2 else MULTICLASS), "neg_brier_score")

    def draw(self, random: np.random.Generator) -> tuple[Floats, NDArray[Any], NDArray[np.int64]]:
        """Draw features ``(n_members, n_rows, n_features)``, the target and the groups."""
        sizes: list[int] = []
        while sum(sizes) < self.n_rows:
            sizes.append(min(int(random.choice(self.sizes)), self.n_rows - sum(sizes)))
        groups = np.repeat(np.arange(len(sizes)), sizes)
        target = None
        if self.shares:
            target = random.choice(len(self.shares), p=self.shares, size=len(sizes))[groups]
        return (*self._features(random, groups, target), groups)

    def draw_test(self, random: np.random.Generator) -> tuple[Floats, NDArray[Any], Floats]:
        """Draw features, target and weights of rows that are as many of each class."""
        n_classes = max(len(self.shares), 1)
        target = np.arange(_TEST_ROWS * max(2, n_classes // 2)) % n_classes
        weights = np.asarray(self.shares or (1.0,))[target]
        rows = np.arange(len(target))
        features, values = self._features(random, rows, target if self.shares else None)
        return features, values, weights / weights.sum()

    def _features(
        self, random: np.random.Generator, groups: NDArray[np.int64], target: Any
    ) -> tuple[Floats, NDArray[Any]]:
        n_groups = int(groups.max()) + 1

        def noise(*shape: int) -> Floats:
            own = random.normal(size=(*shape[:-1], len(groups), shape[-1]))
            if not self.likeness:
                return own
            common = random.normal(size=(*shape[:-1], n_groups, shape[-1]))[..., groups, :]
            return np.sqrt(1 - self.likeness) * own + np.sqrt(self.likeness) * common

        features = noise(self.n_members, self.n_features)
        features[:, :, : self.n_shared] = features[0, :, : self.n_shared]
        directions = np.random.default_rng(5).normal(size=(self.n_features, self.n_features))
        directions = np.linalg.qr(directions)[0]
        if target is None:
            # All members see noisy copies of the causes, but for those that they share.
            causes = features[0].copy()
            features[:] = causes
            own = random.normal(scale=0.7, size=features[:, :, self.n_shared :].shape)
            features[:, :, self.n_shared :] += own
            values = np.sqrt(0.5) * (causes @ directions[0] + noise(1)[:, 0])
            return features, values
        n_classes = len(self.shares)
        corners = (np.eye(n_classes) - 1 / n_classes) * self.separation / np.sqrt(2)
        means = np.repeat((corners @ directions[:n_classes])[None], self.n_members, axis=0)
        means[-1, :, self.n_shared :] *= 1 + self.gain
        return features + means[:, target], target


def learn(learner: str, features: Floats, target: NDArray[Any], n_classes: int) -> Predictor:
    """Fit a learner; its predictor returns shares of classes, or numbers if there are none."""
    if learner == "tree":
        kind = DecisionTreeClassifier if n_classes else DecisionTreeRegressor
        tree = kind(max_depth=4, min_samples_leaf=5, random_state=0).fit(features, target)
        return tree.predict_proba if n_classes else tree.predict  # type: ignore[no-any-return]
    if learner == "neighbours":
        values = np.eye(n_classes)[target] if n_classes else target[:, None]

        def neighbours(rows: Floats) -> Floats:
            far = (features**2).sum(axis=1) - 2 * rows @ features.T
            nearest = np.argpartition(far, _N_NEIGHBOURS, axis=1)[:, :_N_NEIGHBOURS]
            means = values[nearest].mean(axis=1)
            return means if n_classes else means[:, 0]

        return neighbours
    centre = features.mean(axis=0)
    if not n_classes:
        centred = features - centre
        gram = centred.T @ centred + np.eye(features.shape[1])
        weights = np.linalg.solve(gram, centred.T @ (target - target.mean()))
        return lambda rows: (rows - centre) @ weights + target.mean()
    means = np.stack([features[target == label].mean(axis=0) for label in range(n_classes)])
    covariance = np.eye(features.shape[1])
    prior = np.zeros(n_classes)
    if learner == "discriminant":
        residuals = features - means[target]
        covariance = 0.95 * residuals.T @ residuals / len(features) + 0.05 * covariance
        prior = np.log(np.bincount(target, minlength=n_classes) / len(target))
    slopes = np.linalg.solve(covariance, means.T)
    offsets = prior - (means.T * slopes).sum(axis=0) / 2

    def linear(rows: Floats) -> Floats:
        scores = rows @ slopes + offsets
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    return linear


@dataclass(frozen=True)
class Trial:
    """A data set of a world, cross-validated by one design: judged outcomes, and the truth.

    ``truth`` is of the first member: the mean score of its fitted models on rows drawn anew.
    """

    world: World
    target: Target
    folds: Folds
    values: Floats
    truth: dict[str, float]

    def outcomes(self, metric: Metric) -> list[Outcome]:
        """Return the outcome of each member, with the scores of a metric."""
        return [self._outcome(metric, values) for values in self.values]

    def _outcome(self, metric: Metric, values: Floats) -> Outcome:
        is_classes = self.target.classes is not None
        answers = (values.argmax(axis=2) if is_classes else values[..., 0]).astype(object)
        scores = [
            _score(metric, self.target, test, answers[repeat], values[repeat])
            for repeat, (_, test) in zip(self.folds.repeats, self.folds.splits, strict=True)
        ]
        kept = values[:, :, 1:] if self.target.kind == "binary" else values
        made = Outcome("", False, None, {metric.name: np.array(scores)}, {}, answers[0], Cost())
        return replace(
            made, repeats=answers, values=kept.astype(np.float32) if is_classes else None
        )


def draw_trials(world: World, seed: int) -> list[Trial]:
    """Draw a data set, and cross-validate all members by each design of the world."""
    random = np.random.default_rng([seed, *map(ord, world.name)])
    n_classes = len(world.shares)
    most = max(folds for _, folds in world.designs)
    while True:
        features, values, groups = world.draw(random)
        counts = [len(np.unique(groups[values == label])) for label in range(n_classes)]
        if min(counts, default=most) >= most:
            break
    kind: Any = {0: "regression", 2: "binary"}.get(n_classes, "multiclass")
    target = Target(values, kind, np.arange(n_classes) if n_classes else None, None)
    test, answers, weights = world.draw_test(random)
    trials = []
    for repeats, n_folds in world.designs:
        given = groups if world.sizes != (1,) else None
        folds = make_folds(f"{repeats}x{n_folds}", target, given, seed)
        predicted = np.full((world.n_members, repeats, len(values), max(n_classes, 1)), np.nan)
        truths: list[dict[str, float]] = []
        for repeat, (train, rows) in zip(folds.repeats, folds.splits, strict=True):
            for member, own in enumerate(features):
                predict = learn(world.learner, own[train], values[train], n_classes)
                predicted[member, repeat, rows] = predict(own[rows]).reshape(len(rows), -1)
                if not member:
                    truths.append(_truth(world, predict(test[0]), answers, weights))
        truth = {name: float(np.mean([one[name] for one in truths])) for name in truths[0]}
        trials.append(Trial(world, target, folds, predicted, truth))
    return trials


def judge_trials(world: World, seed: int) -> list[dict[str, Any]]:
    """Return for each design and metric what the product says of a data set, and the folds alone.

    The test compares the last member with the first.
    """
    rows = []
    for trial, design in zip(draw_trials(world, seed), world.designs, strict=True):
        for metric in resolve_scoring(list(world.metrics), trial.target.kind):
            first, *_, last = (
                judge(outcome, metric, trial.target, trial.folds)
                for outcome in trial.outcomes(metric)
            )
            found = estimate_score(first, metric, trial.target, trial.folds, 1 - LEVEL)
            test = estimate_difference(last, first, metric, trial.folds, 1 - LEVEL)
            scores = [one.outcome.scores[metric.name] for one in (first, last)]
            old = _by_folds(scores[0], metric, trial.folds)
            rows.append(
                {
                    "folds": f"{design[0]} x {design[1]}",
                    "metric": metric.name,
                    "interval": [found.low, found.high],
                    "interval_by_folds": [old.low, old.high],
                    "truth": trial.truth[metric.key],
                    "p": test.p_value,
                    "p_by_folds": _test_folds(scores[1] - scores[0], metric, trial.folds),
                    "methods": [found.method, test.method],
                }
            )
    return rows


def judge_family(world: World, n_baselines: int, seed: int) -> dict[str, bool]:
    """Compare all with the best baseline, as `compare` does; the first members are baselines.

    The test of the first contender is declared and not corrected, the other contenders are the
    exploratory family, baselines are not tested. And all as one family. All members are equally
    good: any verdict is a false alarm.
    """
    (trial,) = draw_trials(world, seed)
    (metric,) = resolve_scoring("accuracy", trial.target.kind)
    judged = [judge(own, metric, trial.target, trial.folds) for own in trial.outcomes(metric)]
    best = int(np.argmax([one.value for one in judged[:n_baselines]]))
    others: list[Judged] = [one for number, one in enumerate(judged) if number != best]
    tests = [estimate_difference(o, judged[best], metric, trial.folds, 1 - LEVEL) for o in others]
    raw, means = (np.array([getattr(test, key) for test in tests]) for key in ("p_value", "mean"))
    declared = n_baselines - 1  # the best baseline is no longer among them
    found = holm(raw) < LEVEL
    return {
        "declared": bool(raw[declared] < LEVEL),
        "declared_better": bool(raw[declared] < LEVEL and means[declared] > 0),
        "exploratory": bool((holm(raw[declared + 1 :]) < LEVEL).any()),
        "any": bool(found.any()),
        "contender_better": bool((found & (means > 0))[declared:].any()),
        "any_without_holm": bool((raw < LEVEL).any()),
    }


def _by_folds(scores: Floats, metric: Metric, folds: Folds) -> Any:
    n_train, n_test = folds.mean_sizes
    n_rows = len(np.unique(np.concatenate([test for _, test in folds.splits])))
    return interval_of_folds(scores, metric, n_test / n_train, n_test, n_rows)


def _test_folds(differences: Floats, metric: Metric, folds: Folds) -> float:
    n_train, n_test = folds.mean_sizes
    return corrected_test(
        differences, n_test / n_train, resolution=metric.resolution(n_test)
    ).p_value


def _score(
    metric: Metric, target: Target, rows: NDArray[np.int64], answers: Any, values: Floats
) -> float:
    """Return the score of some rows as it is shown."""
    truth = target.values[rows]
    class_metric = read_class_metric(metric.known_as, target)
    if class_metric is not None:
        part = replace(target, values=truth)
        counts = count_classes(part, answers[None, rows], np.arange(len(rows)))
        assert counts is not None
        return float(class_metric(counts.mean))
    if metric.key == "accuracy":
        return float((answers[rows] == truth).mean())
    return _score_values(metric.key, truth, values[rows], np.full(len(rows), 1 / len(rows)))


def _truth(world: World, values: Floats, truth: NDArray[Any], weights: Floats) -> dict[str, float]:
    """Return the scores on weighted rows, by the name of the scorer."""
    scores = {}
    n_classes = len(world.shares)
    if n_classes:
        table = np.zeros((n_classes, n_classes))
        np.add.at(table, (truth, values.argmax(axis=1)), weights)
        counts = np.stack([table.diagonal(), table.sum(axis=1), table.sum(axis=0)])
        kind: Any = "binary" if n_classes == 2 else "multiclass"
        target = Target(truth, kind, np.arange(n_classes), None)
    for name in world.metrics:
        class_metric = read_class_metric(name, target) if n_classes else None
        if class_metric is not None:
            scores[name] = float(class_metric(counts))
        elif name == "accuracy":
            scores[name] = float(table.trace())
        else:
            scores[name] = _score_values(name, truth, values.reshape(len(truth), -1), weights)
    return scores


def _score_values(name: str, truth: NDArray[Any], values: Floats, weights: Floats) -> float:
    if name == "r2":
        # The variance of the world's numbers is 1 on endlessly many rows.
        spread = ((truth - truth.mean()) ** 2).mean() if len(truth) < _TEST_ROWS else 1.0
        return float(1 - ((truth - values[:, 0]) ** 2).mean() / spread)
    if name == "neg_mean_absolute_error":
        return float(np.abs(truth - values[:, 0]).mean())
    n_classes = values.shape[1]
    if name == "neg_brier_score":
        losses = ((values - np.eye(n_classes)[truth]) ** 2).sum(axis=1)
        return float((losses * weights).sum() / (2 if n_classes == 2 else 1))
    if name == "average_precision":
        return float(average_precision_score(truth == 1, values[:, 1], sample_weight=weights))
    labels = [1] if n_classes == 2 else range(n_classes)
    areas = []
    for label in labels:
        is_label = truth == label
        ranks = rankdata(values[:, label])
        if n_classes > 2 and len(np.unique(weights)) > 1:
            areas.append(_weighted_area(is_label, values[:, label], weights))
            continue
        n_with = int(is_label.sum())
        pairs = n_with * (len(truth) - n_with)
        areas.append((ranks[is_label].sum() - n_with * (n_with + 1) / 2) / pairs)
    return float(np.mean(areas))


def _weighted_area(is_label: NDArray[np.bool_], values: Floats, weights: Floats) -> float:
    """Return the weighted area under the ROC curve, ties counted half."""
    others, order = values[~is_label], np.argsort(values[~is_label])
    total = np.concatenate([[0.0], np.cumsum(weights[~is_label][order])])
    below, upto = (
        np.searchsorted(others[order], values[is_label], side) for side in ("left", "right")
    )  # type: ignore[call-overload]
    return float(((total[below] + total[upto]) / 2 / total[-1]).mean())
