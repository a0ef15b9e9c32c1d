"""Fine-tuned transformers beside frozen features: quality, and CPU seconds of one thread.

Run ``python -m benchmarks.fine_tuning``; README.md says what each number means. Each measurement is
written when it is done, and a later run goes on with those that are missing. Two processes may run
different parts at the same time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator

import torch
from threadpoolctl import threadpool_limits

from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL

from . import training_steps, tuned_pairs, tuned_search, tuned_tags, tuned_texts
from .common import RESULTS, machine, parser
from .fine_tuning_table import fine_tuning_table
from .kept_results import KeptResults, Measurement

Measurements = Iterator[Measurement]


def sst2(options: argparse.Namespace) -> Measurements:
    """SST-2 by the number of training rows."""
    return tuned_texts.measurements(options.data, options.model, options.seeds, options.limit)


def sick(options: argparse.Namespace) -> Measurements:
    """Entailment and relatedness of pairs."""
    return tuned_pairs.sick_measurements(options.data, options.model, options.seeds, options.limit)


def stsb(options: argparse.Namespace) -> Measurements:
    """Similarity of pairs."""
    return tuned_pairs.stsb_measurements(options.data, options.model, options.seeds, options.limit)


def tagging(options: argparse.Namespace) -> Measurements:
    """Named entities."""
    return tuned_tags.measurements(
        options.data, options.model, options.seeds, options.limit, options.sentences
    )


def step(options: argparse.Namespace) -> Measurements:
    """Tokens a second of training."""
    return training_steps.measurements(
        options.data, options.model, options.rounds, options.step_texts, options.limit
    )


def search(options: argparse.Namespace) -> Measurements:
    """Grid search over a fine-tuned classifier."""
    return tuned_search.measurements(
        options.data, options.model, options.search_texts, options.limit
    )


PARTS: dict[str, Callable[[argparse.Namespace], Measurements]] = {
    "sst2": sst2,
    "sick": sick,
    "stsb": stsb,
    "tagging": tagging,
    "step": step,
    "search": search,
}


def main(arguments: Iterable[str] | None = None) -> None:
    """Run what the result file lacks."""
    known = parser(__doc__)
    known.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to run")
    known.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of fine-tuning")
    known.add_argument("--model", default=DEFAULT_MODEL, help="the transformer")
    known.add_argument(
        "--sentences",
        type=int,
        default=1500,
        help="training sentences of CoNLL-2002, drawn with a seed",
    )
    known.add_argument("--rounds", type=int, default=3, help="rounds of training steps")
    known.add_argument("--step-texts", type=int, default=640, help="texts of a round")
    known.add_argument("--search-texts", type=int, default=600, help="texts of the grid search")
    known.add_argument(
        "--limit", type=int, help="most rows of each set, for a quick try; needs --name"
    )
    known.add_argument("--again", action="store_true", help="forget earlier results of the parts")
    options = known.parse_args(None if arguments is None else list(arguments))
    if options.limit and not options.name:
        known.error("--limit needs --name, so that results of whole sets are not mixed with others")
    threadpool_limits(1)
    torch.set_num_threads(1)
    results = KeptResults(RESULTS / f"{options.name or 'fine_tuning'}.json")
    settings = {
        name: value
        for name, value in vars(options).items()
        if name not in ("data", "name", "parts", "again", "seeds")
    }
    facts = {"machine": machine(), "settings": {**settings, "threads": 1}}
    for part in options.parts:
        if options.again:
            results.drop(part)
        for key, run in PARTS[part](options):
            if results.has(part, key):
                continue
            print(
                f"{part}: {', '.join(f'{name} {value}' for name, value in key.items())}",
                file=sys.stderr,
                flush=True,
            )
            row = {**key, **run()}
            print(f"    {row}", file=sys.stderr, flush=True)
            results.add(part, facts, row)
    print("\n" + fine_tuning_table(results.read()))


if __name__ == "__main__":
    main()
