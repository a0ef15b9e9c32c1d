"""Simulation: how often intervals hold the truth, and how often tests find what is not there.

Run ``python -m benchmarks.significance``. It goes on where it was ended: what is done is kept in
``results/significance.json``, by part and world. ``--parts`` names those to run (again with
``--fresh``). Each data set has a seed, from 0 on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from . import winner
from .common import RESULTS, installed, machine, parser, write
from .learned_worlds import World, judge_family, judge_trials
from .significance_table import significance_table
from .simulation import TEST_SETS, check_classifier, held_back, rate

ALL_DESIGNS = ((2, 5), (1, 5), (10, 5), (5, 2), (1, 10))
WORLDS = [
    World("60 rows", "centroid", n_rows=60, designs=ALL_DESIGNS),
    World("120 rows", "discriminant", n_rows=120),
    World("3 classes, 300 rows", "neighbours", shares=(0.5, 0.3, 0.2)),
    World("20 % of 250 rows", "discriminant", n_rows=250, shares=(0.8, 0.2), designs=ALL_DESIGNS),
    World("10 % of 400 rows", "discriminant", n_rows=400, shares=(0.9, 0.1), separation=2.0),
    World("12 % of 1,000 rows", "tree", n_rows=1000, shares=(0.88, 0.12)),
    World("6 % of 2,000 rows", "discriminant", n_rows=2000, shares=(0.94, 0.06)),
    World(
        "5 classes, 400 rows",
        "centroid",
        n_rows=400,
        shares=(0.4, 0.25, 0.15, 0.12, 0.08),
        separation=2.2,
    ),
    World("5 classes of 20 rows", "centroid", n_rows=100, shares=(0.2,) * 5, separation=3.5),
    World("8 classes of 25 rows", "centroid", n_rows=200, shares=(0.125,) * 8, separation=3.5),
    World("8 classes, 800 rows", "neighbours", n_rows=800, shares=(0.125,) * 8, separation=2.5),
    World("40 features, 200 rows", "discriminant", n_rows=200, n_features=40, n_shared=20),
    World("nearly faultless, 200 rows", "discriminant", n_rows=200, separation=4.7),
    World(
        "groups of 4 equal rows, 18 % of 400",
        "discriminant",
        n_rows=400,
        shares=(0.82, 0.18),
        sizes=(4,),
        likeness=1.0,
    ),
    World(
        "groups of 1 to 8 rows, 30 % of 500",
        "neighbours",
        n_rows=500,
        shares=(0.7, 0.3),
        sizes=(1, 2, 3, 8),
        likeness=0.5,
    ),
    World("numbers, 60 rows", "linear", n_rows=60, shares=(), designs=ALL_DESIGNS),
    World("numbers, 400 rows", "tree", n_rows=400, shares=()),
    World("numbers, groups of 3", "neighbours", n_rows=300, shares=(), sizes=(3,), likeness=0.8),
]
GAINS = [
    World(f"{n_rows} rows, gain {gain:.0%}", "discriminant", n_rows=n_rows, gain=gain)
    for n_rows in (200, 300)
    for gain in (0.2, 0.4, 0.6)
]
_GAIN_METRICS = ("accuracy", "f1_macro", "brier_score")
FAMILIES = [
    World("3 baselines, 8 contenders, nothing shared", "discriminant", n_members=11, n_shared=0),
    World("3 baselines, 8 contenders, half shared", "discriminant", n_members=11),
    World(
        "3 baselines, 8 contenders, 15 % of one class",
        "discriminant",
        n_rows=600,
        shares=(0.85, 0.15),
        n_members=11,
    ),
]
N_BASELINES = 3
N_TRAIN = 300
PARTS = ("intervals", "power", "families", "held_back", "winner")
_PORTION = 25


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--data-sets", type=int, default=500, help="data sets for each figure")
    known.add_argument("--jobs", type=int, default=2, help="processes")
    known.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to run")
    known.add_argument("--fresh", action="store_true", help="run what is done already again")
    options = known.parse_args(None if arguments is None else list(arguments))
    name = options.name or "significance"
    check_classifier()
    settings = {
        "data_sets": options.data_sets,
        "seeds": f"0 to {options.data_sets - 1}",
        "scipy": installed("scipy"),
        "worlds": [asdict(world) for world in (*WORLDS, *GAINS, *FAMILIES)],
        "test_sets": [asdict(world) for world in TEST_SETS],
        "train_rows_before_test_set": N_TRAIN,
        "baselines": N_BASELINES,
    }
    result = _read(name, settings)
    result["contests"] = [asdict(contest) for contest in winner.CONTESTS]
    seeds = list(range(options.data_sets))
    with Parallel(n_jobs=options.jobs) as parallel:
        for part in options.parts:
            worlds, run = _RUNS[part]
            done = {} if options.fresh else result[part]
            result[part] = done
            for world in worlds:
                if world.name in done:
                    continue
                print(f"{part}: {world.name}", file=sys.stderr, flush=True)
                start = time.perf_counter()
                portions = [seeds[at : at + _PORTION] for at in range(0, len(seeds), _PORTION)]
                found = parallel(delayed(run)(world, portion) for portion in portions)
                done[world.name] = _SUMMARIES[part]([one for portion in found for one in portion])
                result["minutes"] += (time.perf_counter() - start) / 60
                write(name, result)
    print("\n" + significance_table(result))


def _read(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what is done by the same settings."""
    path = RESULTS / f"{name}.json"
    settings = json.loads(json.dumps(settings))
    if path.exists():
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if result["settings"] == settings:
            return {part: {} for part in PARTS} | result
    parts = {part: {} for part in PARTS}
    return {"machine": machine(), "settings": settings, "minutes": 0.0, **parts}


def _judge(world: World, seeds: list[int]) -> list[list[dict[str, Any]]]:
    return [judge_trials(world, seed) for seed in seeds]


def _judge_gain(world: World, seeds: list[int]) -> list[list[dict[str, Any]]]:
    world = replace(world, designs=((2, 5),))
    return [
        [row for row in judge_trials(world, seed) if row["metric"] in _GAIN_METRICS]
        for seed in seeds
    ]


def _judge_family(world: World, seeds: list[int]) -> list[dict[str, bool]]:
    world = replace(world, designs=((2, 5),))
    return [judge_family(world, N_BASELINES, seed) for seed in seeds]


def _hold_back(world: Any, seeds: list[int]) -> list[dict[str, bool]]:
    found = held_back(world, N_TRAIN, seeds)
    return [{key: bool(value[at]) for key, value in found.items()} for at in range(len(seeds))]


def _summarize(trials: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return rates by design and metric, and beside them those by the scores of folds alone."""
    rows = []
    for of_seeds in zip(*trials, strict=True):
        truth = float(np.mean([row["truth"] for row in of_seeds]))
        row = {"folds": of_seeds[0]["folds"], "metric": of_seeds[0]["metric"], "truth": truth}
        for key in ("interval", "interval_by_folds"):
            low, high = np.array([one[key] for one in of_seeds], dtype=float).T
            row[key] = {
                "covered": rate((low <= truth) & (truth <= high)),
                "width": float(np.nanmean(high - low)),
            }
        for key in ("p", "p_by_folds"):
            row[key] = {"found": rate(np.array([one[key] for one in of_seeds]) < 0.05)}
        methods = [one["methods"] for one in of_seeds]
        row["methods"] = [max(set(kind), key=kind.count) for kind in zip(*methods, strict=True)]
        rows.append(row)
    return rows


def _rates(trials: list[dict[str, bool]]) -> dict[str, list[float]]:
    return {key: rate(np.array([trial[key] for trial in trials])) for key in trials[0]}


_RUNS: dict[str, tuple[list[Any], Callable[[Any, list[int]], list[Any]]]] = {
    "intervals": (WORLDS, _judge),
    "power": (GAINS, _judge_gain),
    "families": (FAMILIES, _judge_family),
    "held_back": (TEST_SETS, _hold_back),
    "winner": (winner.CONTESTS, winner.judge_contests),
}
_SUMMARIES: dict[str, Callable[[list[Any]], Any]] = {
    "intervals": _summarize,
    "power": _summarize,
    "families": _rates,
    "held_back": _rates,
    "winner": winner.summarize,
}

if __name__ == "__main__":
    main()
