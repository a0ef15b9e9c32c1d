"""Time one grid search with every contender, alternating, each in its own process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from . import timed_search
from .common import installed
from .fork_server import ForkServer
from .searchers import FLOOR, OURS, SEARCHERS, Searcher
from .timed_search import CANDIDATES, FOLDS


@dataclass(frozen=True)
class Rounds:
    """How often, and of the peers also how much, is run.

    Attributes
    ----------
    ours, peers : int
        Rounds.
    candidates, folds : int
        What peers really run; the rest is computed from it.
    """

    ours: int
    peers: int
    candidates: int = 2
    folds: int = FOLDS

    def of(self, searcher: Searcher) -> int:
        return self.peers if searcher.is_peer else self.ours


def run(
    server: ForkServer,
    name: str,
    remark: str,
    labelled: tuple[list[str], list[int]],
    n_jobs: int,
    rounds: Rounds,
    model: str,
) -> dict[str, Any]:
    """Run one case: a kind of text, and a number of jobs."""
    searchers = []
    for one in SEARCHERS:
        if all(map(installed, one.requires)):
            searchers.append(one)
        else:
            print(
                f"search: {one.name} is left out, not installed: {', '.join(one.requires)}",
                file=sys.stderr,
            )
    measured: dict[str, list[dict[str, Any]]] = {one.name: [] for one in searchers}
    for number in range(max(rounds.ours, rounds.peers)):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "vectors.sqlite")
            for one in searchers:
                if number < rounds.of(one):
                    print(
                        f"search: {name}, n_jobs={n_jobs}, round {number + 1} of {rounds.of(one)}:"
                        f" {one.name}",
                        file=sys.stderr,
                    )
                    measured[one.name].append(
                        _measure(server, one, path, labelled, n_jobs, rounds, model)
                    )
    return {
        "name": name,
        "remark": remark,
        "texts": len(labelled[0]),
        "n_jobs": n_jobs,
        "rows": list(_rows(searchers, measured, n_jobs)),
    }


def _measure(
    server: ForkServer,
    searcher: Searcher,
    path: str,
    labelled: tuple[list[str], list[int]],
    n_jobs: int,
    rounds: Rounds,
    model: str,
) -> dict[str, Any]:
    texts, labels = labelled
    common = {"texts": texts, "labels": labels, "n_jobs": n_jobs, "model": model}
    if searcher == FLOOR:
        return server.call(timed_search.floor, **common)
    part = (rounds.candidates, rounds.folds) if searcher.is_peer else (CANDIDATES, FOLDS)
    share = part[0] * part[1] / (CANDIDATES * FOLDS)
    done = server.call(
        timed_search.search,
        kind=searcher.kind,
        keep=searcher.keep,
        path=path,
        candidates=part[0],
        folds=part[1],
        **common,
    )
    if share < 1:
        done["measured_seconds"] = done["search_seconds"]
        done["search_seconds"] = (done["measured_seconds"] - done["refit_seconds"]) / share + done[
            "refit_seconds"
        ]
    return done


def _rows(
    searchers: list[Searcher], measured: dict[str, list[dict[str, Any]]], n_jobs: int
) -> Iterator[dict[str, Any]]:
    """Compare with the faster peer, by medians, and with the floor, round by round."""
    for one in searchers:
        rounds = measured[one.name]
        ours = one.kind == OURS
        yield {
            "contender": one.name,
            "extrapolated": "measured_seconds" in rounds[0],
            "seconds": median(_totals(rounds, n_jobs)),
            "start_seconds": (
                median(done["start_seconds"] for done in rounds) if n_jobs > 1 else None
            ),
            "encoded": rounds[0]["encoded"],
            "best_score": None if one.is_peer else rounds[0]["best_score"],
            "best_peer": (
                _best_peer(searchers, measured, n_jobs) / median(_totals(rounds, n_jobs))
                if ours
                else None
            ),
            "of_floor": _of_floor(rounds, measured[FLOOR.name], n_jobs) if ours else None,
            # the same with workers that are there already
            "warm_best_peer": (
                _best_peer(searchers, measured, 1) / median(_totals(rounds, 1)) if ours else None
            ),
            "warm_of_floor": _of_floor(rounds, measured[FLOOR.name], 1) if ours else None,
            "rounds": rounds,
        }


def _totals(rounds: list[dict[str, Any]], n_jobs: int) -> list[float]:
    """Return seconds of each round, the start of worker processes included."""
    return [
        done["search_seconds"] + (done["start_seconds"] if n_jobs > 1 else 0.0) for done in rounds
    ]


def _best_peer(
    searchers: list[Searcher], measured: dict[str, list[dict[str, Any]]], n_jobs: int
) -> float:
    return min(median(_totals(measured[one.name], n_jobs)) for one in searchers if one.is_peer)


def _of_floor(rounds: list[dict[str, Any]], floor: list[dict[str, Any]], n_jobs: int) -> float:
    return median(
        own / least
        for own, least in zip(_totals(rounds, n_jobs), _totals(floor, n_jobs), strict=True)
    )
