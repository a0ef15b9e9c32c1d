"""Ways to read word vectors from a text file, and the memory that processes share."""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .common import peak_mib
from .fork_server import ForkServer

_READERS = ("bertvectorizer, first time", "bertvectorizer, again", "gensim")


def generate(path: Path, words: list[str], n_words: int, n_dims: int, seed: int = 0) -> None:
    """Write a table in GloVe's text format: the given words, then invented ones."""
    random = np.random.default_rng(seed)
    numbers = np.array(
        [f"{number:.5f}" for number in random.standard_normal(100_000)], dtype=object
    )
    invented = (f"w{number}" for number in range(n_words))
    with open(path, "w", encoding="utf-8") as file:
        for word in [*words, *invented][:n_words]:
            file.write(f"{word} {' '.join(numbers[random.integers(len(numbers), size=n_dims)])}\n")


def read(path: str, way: str) -> dict[str, float]:
    """Read the table in a process of its own; returns seconds, MiB at most, and MiB before."""
    before = peak_mib()
    start = time.perf_counter()
    if way == "gensim":
        from gensim.models import KeyedVectors

        table = KeyedVectors.load_word2vec_format(path, binary=False, no_header=True)
        shape = table.vectors.shape
    else:
        from bertvectorizer import load_word_vectors

        shape = load_word_vectors(path).vectors.shape
    return {
        "seconds": time.perf_counter() - start,
        "peak_mib": peak_mib(),
        "before_mib": before,
        "n_words": shape[0],
        "n_dims": shape[1],
    }


def reading(server: ForkServer, path: Path, tables: Path, rounds: int) -> dict[str, Any]:
    """Compare ways to read one file; each round writes the cache and opens it again."""
    seconds: dict[str, list[dict[str, float]]] = {way: [] for way in _READERS}
    for number in range(rounds):
        for way in _READERS:
            if way == "gensim" and number:
                continue  # it takes minutes
            if way == _READERS[0]:
                for kept in tables.rglob("*.f32"):
                    kept.unlink()
            print(f"reading: {way}, round {number + 1} of {rounds}", file=sys.stderr)
            seconds[way].append(server.call(read, path=str(path), way=way))
    gensim = median(run["seconds"] for run in seconds["gensim"])
    rows = [
        {
            "way": way,
            "seconds": [run["seconds"] for run in runs],
            "peak_mib": max(run["peak_mib"] for run in runs),
            "before_mib": max(run["before_mib"] for run in runs),
            "ratio": gensim / median(run["seconds"] for run in runs),
        }
        for way, runs in seconds.items()
    ]
    first = seconds["gensim"][0]
    assert all(
        (run["n_words"], run["n_dims"]) == (first["n_words"], first["n_dims"])
        for runs in seconds.values()
        for run in runs
    )
    return {
        "megabytes": path.stat().st_size / 1e6,
        "n_words": first["n_words"],
        "n_dims": first["n_dims"],
        "rows": rows,
    }


def touch(path: str, barrier: Any, answers: Any) -> None:
    """Read the whole table; return the memory of its pages that this process does not share."""
    from bertvectorizer import load_word_vectors

    total = float(load_word_vectors(path).vectors.sum())
    barrier.wait()
    fields = {"Rss": 0, "Pss": 0}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = line.endswith("vectors.f32")
        elif inside and (name := line.split(":")[0]) in fields:
            fields[name] += int(line.split()[1])
    answers.put({"total": total, **{name: kilobytes / 1024 for name, kilobytes in fields.items()}})
    barrier.wait()


def sharing(path: str, n_processes: int) -> list[dict[str, float]]:
    """Return resident and proportional MiB of the table's pages in concurrent processes."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(n_processes), context.SimpleQueue()
    processes = [
        context.Process(target=touch, args=(path, barrier, answers)) for _ in range(n_processes)
    ]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return found
