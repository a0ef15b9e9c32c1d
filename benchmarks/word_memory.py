"""Memory of `BertWordVectorizer.iter_transform`, which should not grow with the sentences."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate

from .fork_server import ForkServer
from .texts import wikipedia

STORES = {"store=None": None, "the default store": "auto"}


def run(data: Path, size: int, every: int) -> Iterator[dict[str, Any]]:
    """Yield the curve of memory with each kind of store, each in a process of its own."""
    model = str(locate(DEFAULT_MODEL, local_files_only=True))
    with ForkServer() as server:
        for name, store in STORES.items():
            print(f"memory with {name}", file=sys.stderr, flush=True)
            found = server.call(
                watch, data=str(data), model=model, size=size, every=every, store=store
            )
            curve = np.array([(point["sentences"], point["rss_mib"]) for point in found["curve"]])
            later = curve[curve[:, 0] >= size / 2]
            slope = (
                float(np.polyfit(later[:, 0], later[:, 1], 1)[0]) * 10_000
                if len(later) > 1
                else None
            )
            yield {"store": name, "slope_mib_per_10000": slope, **found}


def watch(data: str, model: str, size: int, every: int, store: str | None) -> dict[str, Any]:
    """Return resident memory in MiB during the run; the sentences are read before."""
    import psutil

    from bertvectorizer import BertWordVectorizer

    process = psutil.Process()
    texts = wikipedia(Path(data), size)
    vectorizer = BertWordVectorizer(model, store=store, device="cpu", local_files_only=True).fit(
        [["A", "word"]]
    )
    curve = [{"sentences": 0, "rss_mib": process.memory_info().rss / 2**20}]
    n_words = 0
    start = time.perf_counter()
    for number, vectors in enumerate(vectorizer.iter_transform(text.split() for text in texts), 1):
        n_words += len(vectors)
        if number % every == 0:
            curve.append({"sentences": number, "rss_mib": process.memory_info().rss / 2**20})
    seconds = time.perf_counter() - start
    return {
        "curve": curve,
        "sentences": number,
        "words": n_words,
        "seconds": seconds,
        "words_per_second": n_words / seconds,
    }
