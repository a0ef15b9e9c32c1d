"""Gain of a store: a grid search compared with peers, reads from a kept store, and its cost.

Run ``python -m benchmarks.search``; README.md says what each number means.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Any

from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate

from . import ahead, grid_search, store_reads
from .common import machine, parser, write
from .fork_server import ForkServer
from .grid_search import Rounds
from .second_run import first_run, second_run
from .table import search_table
from .texts import labelled_reviews, labelled_sentences

PARTS = ("search", "ahead", "reads", "second", "first")
QUICK = {
    "rounds": 1,
    "sentences": 40,
    "reviews": 0,
    "n_jobs": [1],
    "vectors": 2_000,
    "second": 100,
    "first": 50,
    "first_rounds": 2,
    "ahead": 40,
    "ahead_rounds": 1,
}


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to run")
    known.add_argument(
        "--quick",
        action="store_true",
        help="try it out with tiny sizes; nothing is written without --name",
    )
    known.add_argument(
        "--rounds", type=int, default=3, help="rounds, but for peers and the first run"
    )
    known.add_argument(
        "--sentences",
        type=int,
        default=1_000,
        help="SST-2 sentences of the search; 0 leaves them out",
    )
    known.add_argument(
        "--reviews", type=int, default=120, help="IMDB reviews of the search; 0 leaves them out"
    )
    known.add_argument(
        "--n-jobs", type=int, nargs="+", default=[1, 2], help="numbers of jobs of the search"
    )
    known.add_argument("--peer-rounds", type=int, default=1, help="rounds of the peers")
    known.add_argument(
        "--peer-candidates", type=int, default=2, help="candidates of 12 that peers really run"
    )
    known.add_argument("--peer-folds", type=int, default=1, help="folds of 5 that peers really run")
    known.add_argument("--vectors", type=int, default=100_000, help="vectors to read")
    known.add_argument(
        "--second", type=int, default=2_000, help="SST-2 sentences of the second run"
    )
    known.add_argument("--first", type=int, default=600, help="SST-2 sentences of the first run")
    known.add_argument(
        "--first-rounds", type=int, default=7, help="counted rounds of the first run"
    )
    known.add_argument(
        "--ahead", type=int, default=600, help="SST-2 sentences that are encoded ahead of a search"
    )
    known.add_argument("--ahead-rounds", type=int, default=3, help="rounds of it")
    given = None if arguments is None else list(arguments)
    if known.parse_args(given).quick:
        known.set_defaults(**QUICK)
    options = known.parse_args(given)
    start = time.perf_counter()
    with ForkServer() as server, tempfile.TemporaryDirectory() as folder:
        done = dict(_run(server, folder, options))
    settings = {key: value for key, value in vars(options).items() if key not in ("data", "name")}
    result = {
        "machine": machine(),
        "settings": {"model": DEFAULT_MODEL, **settings},
        **done,
        "minutes": (time.perf_counter() - start) / 60,
    }
    print("\n" + search_table(result))
    if options.name or not options.quick:
        name = "search-ahead" if options.parts == ["ahead"] else "search"
        write(options.name or name, result)


def _run(server: ForkServer, folder: str, options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yield the results of each part."""
    if "search" in options.parts:
        yield "search", list(_search(server, options))
    if "ahead" in options.parts:
        labelled = labelled_sentences(options.data, options.ahead)
        model = str(locate(DEFAULT_MODEL, local_files_only=True))
        yield "ahead", ahead.run(server, labelled, options.ahead_rounds, model)
    if "reads" in options.parts:
        yield "reads", store_reads.run(server, folder, options.vectors, options.rounds)
    if "second" in options.parts:
        yield (
            "second",
            second_run(
                server, folder, labelled_sentences(options.data, options.second)[0], options.rounds
            ),
        )
    if "first" in options.parts:
        yield (
            "first",
            first_run(
                server,
                folder,
                labelled_sentences(options.data, options.first)[0],
                options.first_rounds,
            ),
        )


def _search(server: ForkServer, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a case for each kind of text and number of jobs."""
    model = str(locate(DEFAULT_MODEL, local_files_only=True))
    rounds = Rounds(
        options.rounds, options.peer_rounds, options.peer_candidates, options.peer_folds
    )
    kinds = [
        ("SST-2", "sentences", options.sentences, labelled_sentences),
        ("IMDB", "the first 250 words of reviews", options.reviews, labelled_reviews),
    ]
    for name, remark, size, sample in kinds:
        if size:
            labelled = sample(options.data, size)
            for n_jobs in options.n_jobs:
                yield grid_search.run(server, name, remark, labelled, n_jobs, rounds, model)


if __name__ == "__main__":
    main()
