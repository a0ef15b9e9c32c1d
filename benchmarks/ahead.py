"""A search in new worker processes, with and without `encode_ahead`, beside the least to do.

The least is one pass of our network over the texts, and the same fits on ready arrays in two new
worker processes.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from . import timed_search
from .fork_server import ForkServer
from .searchers import ENCODERS, OURS
from .timed_search import CS

WAYS = ("least", "encode_ahead", "without it")


def run(
    server: ForkServer, labelled: tuple[list[str], list[int]], rounds: int, model: str
) -> dict[str, Any]:
    """Measure the three ways in turns, each in its own process."""
    texts, labels = labelled
    measured: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS:
            print(f"ahead: round {number + 1} of {rounds}: {way}", file=sys.stderr)
            measured[way].append(
                server.call(one_search, way=way, texts=texts, labels=labels, model=model)
            )
    rows = [
        {
            "way": way,
            "seconds": median(done["seconds"] for done in measured[way]),
            "cpu_seconds": median(done["cpu_seconds"] for done in measured[way]),
            "of_least": _ratio(measured, way, "seconds"),
            "cpu_of_least": _ratio(measured, way, "cpu_seconds"),
            "encoded": measured[way][0]["encoded"],
            "rounds": measured[way],
        }
        for way in WAYS
    ]
    return {"texts": len(texts), "n_jobs": 2, "rows": rows}


def _ratio(measured: dict[str, list[dict[str, Any]]], way: str, what: str) -> float:
    """Compare within each round."""
    pairs = zip(measured[way], measured["least"], strict=True)
    return median(own[what] / least[what] for own, least in pairs)


def one_search(way: str, texts: list[str], labels: list[int], model: str) -> dict[str, Any]:
    """Run one search, and time it with the start of its workers."""
    encoder, values = ENCODERS[OURS](model)
    encoder.transform(["A text to warm up."])  # the model is loaded, without a store
    run_it: Callable[..., Any] = _least if way == "least" else _search
    before = _cpu_seconds()
    start = time.perf_counter()
    done = run_it(encoder, values, texts, labels, way)
    seconds = time.perf_counter() - start
    _end_workers()
    return {"seconds": seconds, "cpu_seconds": _cpu_seconds() - before, **done}


def _search(
    encoder: Any, values: dict[str, list[Any]], texts: list[str], labels: list[int], way: str
) -> dict[str, Any]:
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline

    from bertvectorizer import encode_ahead

    y = np.array(labels)
    pipeline = Pipeline(
        [("encode", encoder.set_params(store="auto")), ("classify", timed_search._classifier())]
    )
    grid = {"classify__C": CS, **{f"encode__{name}": each for name, each in values.items()}}
    search = GridSearchCV(pipeline, grid, cv=timed_search._folds(y), n_jobs=2)
    if way == "encode_ahead":
        encode_ahead(search, texts)
    search.fit(texts, y)
    return {
        "best_score": float(search.best_score_),
        "encoded": timed_search._encoded("session", ""),
    }


def _least(
    encoder: Any, values: dict[str, list[Any]], texts: list[str], labels: list[int], way: str
) -> dict[str, Any]:
    from bertvectorizer.warning import lighten_filters

    lighten_filters()  # else its workers import torch to read filters of warnings
    done = timed_search.floor(texts, labels, 2, encoder.model_name)
    return {name: done[name] for name in ("best_score", "encoded")}


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it started and that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _end_workers() -> None:
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
