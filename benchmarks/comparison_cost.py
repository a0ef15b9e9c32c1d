"""What the whole default comparison costs beside one pass of encoding and the classifiers.

Run ``python -m benchmarks.comparison_cost``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from statistics import median

from .common import machine, parser, write
from .fork_server import ForkServer
from .texts import labelled_sentences
from .whole_comparison import compare_all, encode


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--size", type=int, default=5000, help="sentences of SST-2")
    known.add_argument("--rounds", type=int, default=3)
    options = known.parse_args(None if arguments is None else list(arguments))
    texts, labels = labelled_sentences(options.data, options.size)
    server = ForkServer()
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        once = server.call(encode, texts=texts)["seconds"]
        whole = server.call(compare_all, texts=texts, labels=labels)
        floor = once + whole["learning_seconds"]
        rounds.append(
            {
                "encode_seconds": once,
                **whole,
                "floor_seconds": floor,
                "ratio": whole["seconds"] / floor,
            }
        )
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
