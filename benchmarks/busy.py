"""Speed beside a loop on every core that never rests, against sentence-transformers.

Run ``python -m benchmarks.busy``; README.md says what each number means.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate
from bertvectorizer.private_api import multiplies_bfloat16

from .common import machine, parser, processor_kind, write
from .encode import BASELINE
from .engines import ModelSetup, contender
from .table import busy_table
from .texts import TextSamples
from .worker import WorkerProcess

# It ends by itself when the process that started it is gone, however that ended.
LOOP = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep ``count`` processes running that do nothing but count."""
    with ExitStack() as stack:
        for _ in range(count):
            loop = subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid())])
            stack.callback(loop.wait)
            stack.callback(loop.kill)
        yield


def run(texts: list[str], precisions: list[str], rounds: int) -> list[dict[str, Any]]:
    """Let all contenders encode the texts in turns; the first round warms up."""
    setup = ModelSetup(str(locate(DEFAULT_MODEL, local_files_only=True)), "", "cpu")
    contenders = [
        contender(engine, precision)
        for precision in precisions
        for engine in (BASELINE, "bertvectorizer")
    ]
    seconds: dict[str, list[float]] = {one.name: [] for one in contenders}
    with ExitStack() as stack:
        workers = {one.name: stack.enter_context(WorkerProcess(one, setup)) for one in contenders}
        for worker in workers.values():
            worker.call("set_texts", texts=texts)
        stack.enter_context(busy_loops(os.cpu_count() or 1))
        for number in range(rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr)
            for name, worker in workers.items():
                seconds[name].append(worker.call("encode"))
    return [
        {
            "contender": one.name,
            "seconds": (own := seconds[one.name][1:]),
            "texts_per_second": len(texts) / median(own),
            "ratio": median(
                theirs / ours
                for theirs, ours in zip(
                    seconds[f"{BASELINE} {one.precision}"][1:], own, strict=True
                )
            ),
        }
        for one in contenders
    ]


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--rounds", type=int, default=5, help="counted rounds after one to warm up")
    known.add_argument("--short", type=int, default=300, help="number of short texts")
    known.add_argument("--mixed", type=int, default=90, help="number of mixed texts")
    known.add_argument("--long", type=int, default=32, help="number of long texts")
    options = known.parse_args(None if arguments is None else list(arguments))
    samples = TextSamples(options.data)
    precisions = ["float32", *(["bfloat16"] if multiplies_bfloat16() else [])]
    cases = []
    for kind in ("short", "mixed", "long"):
        texts = getattr(samples, kind)(getattr(options, kind))
        print(f"{kind}: {len(texts)} texts", file=sys.stderr)
        rows = run(texts, precisions, options.rounds)
        for row in rows:
            print(f"{row['contender']}: {row['ratio']:.2f}", file=sys.stderr)
        cases.append({"name": kind, "texts": len(texts), "rows": rows})
    result = {
        "machine": machine(),
        "settings": {"rounds": options.rounds, "loops": os.cpu_count(), "model": DEFAULT_MODEL},
        "cases": cases,
    }
    print("\n" + busy_table(result))
    write(options.name or f"busy-{processor_kind()}", result)


if __name__ == "__main__":
    main()
