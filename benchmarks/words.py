"""Words in context: accuracy of entities and senses, speed, and memory.

Run ``python -m benchmarks.words``; README.md says what each number means.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL

from . import word_memory, word_senses, word_speed, word_tags
from .common import RESULTS, machine, parser, write
from .words_table import words_table

QUICK = {
    "wnut": 150,
    "sentences": 150,
    "held_back": 80,
    "strengths": [0.003],
    "max_iter": 30,
    "occurrences": 150,
    "rounds": 1,
    "short": 60,
    "spanish": 40,
    "long": 10,
    "memory": 400,
    "every": 100,
    "fitted": 200,
}


def tags(options: argparse.Namespace) -> dict[str, Any]:
    """Named entities, layer by layer."""
    sizes = {"wnut17": options.wnut, "conll2002_es": options.sentences}
    return {
        "sets": list(
            word_tags.run(
                options.data,
                options.model,
                sizes,
                options.held_back,
                options.strengths,
                options.max_iter,
            )
        )
    }


def senses(options: argparse.Namespace) -> dict[str, Any]:
    """Senses of an ambiguous word, layer by layer."""
    return {"words": list(word_senses.run(options.data, options.model, options.occurrences))}


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Words a second."""
    sizes = {"wnut17": options.short, "conll2002_es": options.spanish, "documents": options.long}
    return {"cases": list(word_speed.run(options.data, options.rounds, sizes))}


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory over many sentences."""
    return {"runs": list(word_memory.run(options.data, options.memory, options.every))}


def fitting(options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of fitting a labeler on a large training set."""
    return {"fits": list(word_memory.run_fits(options.data, options.fitted))}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "tags": tags,
    "senses": senses,
    "speed": speed,
    "memory": memory,
    "fitting": fitting,
}


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark; the result file keeps the parts that are not run."""
    known = parser(__doc__)
    known.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="what to run")
    known.add_argument(
        "--quick",
        action="store_true",
        help="try it out with tiny sizes; nothing is written without --name",
    )
    known.add_argument("--model", default=DEFAULT_MODEL, help="the transformer of tags and senses")
    known.add_argument(
        "--wnut", type=int, default=0, help="training sentences of WNUT-17; 0 is all"
    )
    known.add_argument(
        "--sentences",
        type=int,
        default=1500,
        help="training sentences of CoNLL-2002, drawn with a seed; 0 is all",
    )
    known.add_argument(
        "--held-back", type=int, default=0, help="sentences to choose by, and to test on; 0 is all"
    )
    known.add_argument(
        "--c-values",
        dest="strengths",  # the key in the result files
        metavar="C",
        type=float,
        nargs="+",
        default=[0.003],
        help="values of C of the classifier of tags; if several, each row takes the best on dev",
    )
    known.add_argument(
        "--max-iter", type=int, default=200, help="most iterations of the classifier of tags"
    )
    known.add_argument(
        "--occurrences", type=int, default=0, help="occurrences of each ambiguous word; 0 is all"
    )
    known.add_argument("--rounds", type=int, default=3, help="rounds of speed")
    known.add_argument("--short", type=int, default=1500, help="sentences of WNUT-17, for speed")
    known.add_argument(
        "--spanish", type=int, default=600, help="sentences of CoNLL-2002, for speed"
    )
    known.add_argument(
        "--long", type=int, default=150, help="documents of 180 words from IMDB, for speed"
    )
    known.add_argument("--memory", type=int, default=50_000, help="sentences to read for memory")
    known.add_argument(
        "--every", type=int, default=5_000, help="sentences between two looks at memory"
    )
    known.add_argument(
        "--fitted", type=int, default=14_041, help="sentences to fit a labeler on for its memory"
    )
    given = None if arguments is None else list(arguments)
    if known.parse_args(given).quick:
        known.set_defaults(**QUICK)
    options = known.parse_args(given)
    settings = {
        key: value for key, value in vars(options).items() if key not in ("data", "name", "only")
    }
    name = options.name or "words"
    for part in options.only:
        start = time.perf_counter()
        found = PARTS[part](options)
        done = {
            "machine": machine(),
            "settings": settings,
            "minutes": (time.perf_counter() - start) / 60,
            **found,
        }
        print("\n" + words_table({part: done}), flush=True)
        if options.name or not options.quick:
            path = RESULTS / f"{name}.json"
            former = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            write(name, {**former, part: done})


if __name__ == "__main__":
    main()
