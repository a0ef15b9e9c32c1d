"""Simulation: how often intervals hold the truth, and how often tests find what is not there.

Run ``python -m benchmarks.significance``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import RidgeClassifier

from .common import installed, machine, parser, write
from .significance_table import significance_table
from .simulation import (
    METRICS,
    Floats,
    World,
    coverage,
    cross_validate,
    exact,
    family,
    fit,
    held_back,
    paired,
    predict,
    rate,
)

DESIGNS = [(2, 5), (1, 5), (1, 10), (5, 2)]
DEFAULT = DESIGNS[0]
WORLDS = [
    World("two classes of equal size"),
    World("the same, half of the features shared", n_shared=5),
    World("200 rows, 100 features", n_rows=200, n_features=100, n_shared=50),
    World("nearly faultless", separation=4.7, n_shared=5),
    World("15 % of 600 rows are of one class", n_rows=600, minority=0.15, n_shared=5),
    World(
        "15 % of 200 rows, hardly to be told", n_rows=200, minority=0.15, separation=1.0, n_shared=5
    ),
]
GAINS = [
    World(f"gain in separation {gain:.1f}", n_shared=5, gain=gain) for gain in (0.1, 0.2, 0.4, 0.6)
]
FAMILIES = [
    World("3 baselines, 8 contenders, nothing shared", n_members=11),
    World("3 baselines, 8 contenders, half shared", n_members=11, n_shared=5),
    World(
        "3 baselines, 8 contenders, 15 % of one class",
        n_rows=600,
        minority=0.15,
        n_members=11,
        n_shared=5,
    ),
]
N_BASELINES = 3
N_TRAIN = 300
TEST_SETS = [
    World("100 rows", n_rows=100, n_shared=5),
    World("500 rows", n_rows=500, n_shared=5),
    World("500 rows, 15 % of one class", n_rows=500, minority=0.15, n_shared=5),
    World("200 rows, nearly faultless", n_rows=200, separation=4.7, n_shared=5),
]


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--data-sets", type=int, default=2000, help="data sets for each figure")
    known.add_argument("--jobs", type=int, default=2, help="processes")
    options = known.parse_args(None if arguments is None else list(arguments))
    start = time.perf_counter()
    check_classifier()
    seeds = list(range(options.data_sets))
    result: dict[str, Any] = {"machine": machine(), "settings": _settings(options.data_sets)}
    with Parallel(n_jobs=options.jobs) as parallel:
        judged = [_judge(parallel, world, seeds, DESIGNS) for world in WORLDS]
        # The second world has the first one's data, but for what the second member sees.
        result["intervals"] = [
            row for index, (intervals, _) in enumerate(judged) if index != 1 for row in intervals
        ]
        result["alarms"] = [row for _, pairs in judged for row in pairs]
        result["power"] = [
            row
            for world in GAINS
            for row in _judge(parallel, world, seeds, [DEFAULT])[1]
            if row["metric"] == METRICS[0]
        ]
        result["families"] = [_family(parallel, world, seeds) for world in FAMILIES]
        result["held_back"] = [
            row for world in TEST_SETS for row in _held_back(parallel, world, seeds)
        ]
    result["minutes"] = (time.perf_counter() - start) / 60
    print("\n" + significance_table(result))
    write(options.name or "significance", result)


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


def _settings(n_data_sets: int) -> dict[str, Any]:
    return {
        "data_sets": n_data_sets,
        "scipy": installed("scipy"),
        "designs": DESIGNS,
        "worlds": [asdict(world) for world in (*WORLDS, *GAINS, *FAMILIES)],
        "test_sets": [asdict(world) for world in TEST_SETS],
        "train_rows_before_test_set": N_TRAIN,
        "baselines": N_BASELINES,
    }


def _portions(seeds: list[int]) -> list[list[int]]:
    return [seeds[start : start + 250] for start in range(0, len(seeds), 250)]


def _simulate(
    parallel: Parallel, world: World, seeds: list[int], designs: list[tuple[int, int]]
) -> list[tuple[Floats, Floats]]:
    """Return for each design all scores and exact scores, see `cross_validate`."""
    print(world.name, file=sys.stderr)
    portions = parallel(
        delayed(cross_validate)(world, designs, portion) for portion in _portions(seeds)
    )
    return [
        tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        for parts in zip(*portions, strict=True)
    ]  # type: ignore[misc]


def _judge(
    parallel: Parallel, world: World, seeds: list[int], designs: list[tuple[int, int]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a row for each metric and design: intervals, and differences of last to first."""
    cases, intervals, pairs = [], [], []
    for (repeats, folds), (scores, truths) in zip(
        designs, _simulate(parallel, world, seeds, designs), strict=True
    ):
        for index, metric in enumerate(METRICS):
            first, last = scores[:, :, 0, index], scores[:, :, -1, index]
            truth, other = (float(truths[:, :, member, index].mean()) for member in (0, -1))
            # Members that are equal by construction differ by nothing, whatever their estimated
            # truths are.
            difference = other - truth if world.gain else 0.0
            cases.append({"world": world.name, "metric": metric, "folds": f"{repeats} x {folds}"})
            intervals.append(
                delayed(coverage)(first, truth, 1 / (folds - 1), world.n_rows, metric == "accuracy")
            )
            pairs.append(delayed(paired)(last - first, difference, 1 / (folds - 1), world.n_rows))
    done = parallel([*intervals, *pairs])
    return tuple(
        [where | row for where, row in zip(cases, half, strict=True)]
        for half in (done[: len(cases)], done[len(cases) :])
    )  # type: ignore[return-value]


def _family(parallel: Parallel, world: World, seeds: list[int]) -> dict[str, Any]:
    ((scores, _),) = _simulate(parallel, world, seeds, [DEFAULT])
    repeats, folds = DEFAULT
    return {
        "world": world.name,
        "folds": f"{repeats} x {folds}",
        **family(scores[..., 0], N_BASELINES, 1 / (folds - 1), world.n_rows),
    }


def _held_back(parallel: Parallel, world: World, seeds: list[int]) -> list[dict[str, Any]]:
    print(world.name, file=sys.stderr)
    portions = parallel(delayed(held_back)(world, N_TRAIN, portion) for portion in _portions(seeds))
    verdicts = {
        name: rate(np.concatenate([portion[name] for portion in portions])) for name in portions[0]
    }
    return [
        {
            "world": world.name,
            "metric": m,
            "covered": verdicts[f"{m} covered"],
            "found": verdicts[f"{m} found"],
        }
        for m in METRICS
    ]


if __name__ == "__main__":
    main()
