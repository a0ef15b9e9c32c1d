"""What the whole default comparison costs beside one pass of encoding and the classifiers.

Run ``python -m benchmarks.comparison_cost``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from statistics import median
from typing import Any

from .common import machine, parser, write
from .nursery import Nursery
from .texts import labelled_sentences

_WARM_UP = "A text to warm up, which is not in the data."


def encode(texts: list[str]) -> dict[str, float]:
    """Encode all texts once, the model loaded, for everything that the roster reads of them: the last four layers."""
    from bertvectorizer import BertVectorizer

    vectorizer = BertVectorizer(layers="-1,-2,-3,-4", device="cpu", local_files_only=True, store=None)
    vectorizer.transform([_WARM_UP])
    start = time.perf_counter()
    vectorizer.transform(texts)
    return {"seconds": time.perf_counter() - start}


def compare_all(texts: list[str], labels: list[int]) -> dict[str, Any]:
    """Run the default comparison, the model loaded, and add up what its classifiers and learnt features took."""
    from bertvectorizer import BertVectorizer, compare, default_features

    BertVectorizer(device="cpu", local_files_only=True, store=None).transform([_WARM_UP])
    start = time.perf_counter()
    comparison = compare(texts, labels, default_features(device="cpu", local_files_only=True))
    seconds = time.perf_counter() - start
    learning = 0.0
    for name, outcome in comparison.outcomes.items():
        cost = outcome.cost
        for train, test in comparison.folds.splits:
            learning += cost.fit_seconds * len(train) / 1000 + cost.predict_seconds * len(test) / 1000
            if not outcome.is_contextual and name != "majority class":
                learning += cost.encode_seconds * len(test) / 1000
    return {"seconds": seconds, "learning_seconds": learning, "members": len(comparison.outcomes), "failures": comparison.failures}


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--size", type=int, default=5000, help="sentences of SST-2")
    known.add_argument("--rounds", type=int, default=3)
    options = known.parse_args(None if arguments is None else list(arguments))
    texts, labels = labelled_sentences(options.data, options.size)
    nursery = Nursery()
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        once = nursery.call(encode, texts=texts)["seconds"]
        whole = nursery.call(compare_all, texts=texts, labels=labels)
        floor = once + whole["learning_seconds"]
        rounds.append({"encode_seconds": once, **whole, "floor_seconds": floor, "ratio": whole["seconds"] / floor})
        rounds[-1]["encoding_ratio"] = (whole["seconds"] - whole["learning_seconds"]) / once
        print(rounds[-1], file=sys.stderr)
    result = {
        "machine": machine(),
        "size": options.size,
        "rounds": rounds,
        "ratio": median(one["ratio"] for one in rounds),
        "encoding_ratio": median(one["encoding_ratio"] for one in rounds),
    }
    write(options.name or "comparison_cost", result)


if __name__ == "__main__":
    main()
