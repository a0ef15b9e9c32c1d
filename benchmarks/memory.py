"""Memory of ``bertvectorizer embed`` on many short texts: it should not grow with the file.

Run ``python -m benchmarks.memory``.
"""

from __future__ import annotations

import csv
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from .common import machine, parser, write
from .table import memory_table

_LIST = (
    "apple arm baby back ball bank bird black blue boat body book box boy bread bridge brown car"
    " cat chair child city clean clear cloud cold corner dark day dog door dream early east evening"
    " eye face family farm field finger fire fish floor flower food forest friend garden girl glass"
    " gold good grass green hair hand happy hat head heart high hill home horse house island key"
    " king lake lamp land large leaf letter light long man market milk moon morning mountain music"
    " narrow new night north old open paper park path picture pink quiet rain red river road rock"
    " room round salt sand school sea short silver sky slow small snow soft song south spring star"
    " stone storm street strong summer sun sweet table tall tea train tree valley village wall warm"
    " water west white wide wild wind window winter woman wood yellow young"
)
WORDS = _LIST.split()
POINTS = 40


def texts(rows: int, seed: int = 0) -> Iterator[str]:
    """Yield distinct texts of five to eight words."""
    numbers = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < rows:
        text = " ".join(numbers.choices(WORDS, k=numbers.randint(5, 8)))
        if text not in seen:
            seen.add(text)
            yield text


def watch(command: list[str], output: Path, seconds: float) -> Iterator[tuple[float, float, int]]:
    """Run a command; regularly yield seconds, resident MiB and bytes written."""
    start = time.perf_counter()
    part = output.with_name(output.name + ".part")
    process = psutil.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            yield (
                time.perf_counter() - start,
                process.memory_info().rss / 2**20,
                part.stat().st_size if part.exists() else 0,
            )
        except psutil.NoSuchProcess:
            break
        time.sleep(seconds)
    if process.wait():
        raise SystemExit(f"The command failed: {' '.join(command)}")


def measure(rows: int, precision: str, seconds: float) -> dict[str, Any]:
    """Embed ``rows`` texts and return the curve of memory over rows, its peak and its slope."""
    with tempfile.TemporaryDirectory() as folder:
        table, output = Path(folder) / "texts.csv", Path(folder) / "vectors.parquet"
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts(rows))])
        command = [
            sys.executable,
            "-m",
            "bertvectorizer",
            "embed",
            str(table),
            "--text",
            "text",
            "-o",
            str(output),
        ]
        start = time.perf_counter()
        samples = np.array(
            list(watch([*command, "--precision", precision, "--local-files-only"], output, seconds))
        )
        elapsed = time.perf_counter() - start
        done = (
            samples[:, 2] / output.stat().st_size * rows
        )  # the file grows by the same number of bytes with each row
    resident = samples[:, 1]
    later = done >= rows / 2
    slope = (
        float(np.polyfit(done[later], resident[later], 1)[0]) if len(set(done[later])) > 1 else None
    )
    shown = np.unique(np.linspace(0, len(samples) - 1, POINTS).round().astype(int))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": elapsed,
        "rows_per_second": rows / elapsed,
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**20,
        "slope_mib_per_100000_rows": None if slope is None else slope * 100_000,
        "curve": [
            {"seconds": float(samples[i, 0]), "rows": int(done[i]), "rss_mib": float(resident[i])}
            for i in shown
        ],
    }


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--rows", type=int, default=100_000)
    known.add_argument("--precision", default="float32")
    known.add_argument("--seconds", type=float, default=1.0, help="time between two samples")
    options = known.parse_args(None if arguments is None else list(arguments))
    settings = {"rows": options.rows, "precision": options.precision, "words": "5 to 8"}
    result = {
        "machine": machine(),
        "settings": settings,
        **measure(options.rows, options.precision, options.seconds),
    }
    print("\n" + memory_table(result))
    write(options.name or "memory", result)


if __name__ == "__main__":
    main()
