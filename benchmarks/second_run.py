"""Gain of a kept store on the second run of `BertVectorizer.transform`, and cost on the first."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from .fork_server import ForkServer

_WARM_UP = "A text to warm up, which is not in the data."
_MOST_BYTES = 8 << 30


def transform(texts: list[str], path: str | None) -> dict[str, Any]:
    """Transform with the model loaded; returns seconds, and texts encoded with a store."""
    from bertvectorizer import BertVectorizer, EmbeddingStore

    BertVectorizer(device="cpu", local_files_only=True, store=None).transform([_WARM_UP])
    start = time.perf_counter()
    BertVectorizer(device="cpu", local_files_only=True, store=path).transform(texts)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "encoded": EmbeddingStore(path).stats.encoded if path else None}


def second_run(server: ForkServer, folder: str, texts: list[str], rounds: int) -> dict[str, Any]:
    """Compare encoding with reading a store that another process has filled, taking turns."""
    path = str(Path(folder) / "second.sqlite")
    print(f"second run: filling the store with {len(texts):,} texts", file=sys.stderr)
    first = server.call(transform, texts=texts, path=path)
    encoding, reading = [], []
    for number in range(rounds):
        print(f"second run: round {number + 1} of {rounds}", file=sys.stderr)
        encoding.append(server.call(transform, texts=texts, path=None)["seconds"])
        again = server.call(transform, texts=texts, path=path)
        assert again["encoded"] == first["encoded"] == len(texts), (
            "the second run should encode nothing"
        )
        reading.append(again["seconds"])
    return {
        "texts": len(texts),
        "encoding_seconds": encoding,
        "reading_seconds": reading,
        "ratio": median(one / other for one, other in zip(encoding, reading, strict=True)),
    }


def first_run(server: ForkServer, folder: str, texts: list[str], rounds: int) -> dict[str, Any]:
    """Compare one pass without a store with one pass into a store that is new."""
    seconds = server.call(cold, folder=folder, texts=texts, rounds=rounds)
    without = seconds["no store"]
    rows = [
        {
            "store": name,
            "seconds": own,
            "texts_per_second": len(texts) / median(own),
            "overhead": (
                median(one / other for one, other in zip(own, without, strict=True)) - 1
                if own is not without
                else None
            ),
        }
        for name, own in seconds.items()
    ]
    return {"texts": len(texts), "rounds": rounds, "rows": rows}


def cold(folder: str, texts: list[str], rounds: int) -> dict[str, list[float]]:
    """Transform into new stores in one process, in rotating order, after one warm-up round."""
    from bertvectorizer import BertVectorizer, EmbeddingStore

    makers = {
        "no store": lambda path: None,
        "durable": EmbeddingStore,
        "as in a session": lambda path: EmbeddingStore(path, max_bytes=_MOST_BYTES, durable=False),
    }
    names = list(makers)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        print(f"first run: round {number} of {rounds}", file=sys.stderr)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            path = Path(folder) / f"{name} {number}.sqlite"
            start = time.perf_counter()
            store = makers[name](path)
            BertVectorizer(device="cpu", local_files_only=True, store=store).transform(texts)
            seconds[name].append(time.perf_counter() - start)
            assert store is None or store.stats.texts == len(set(texts)), (
                "the store should have kept every text"
            )
    return {name: of_rounds[1:] for name, of_rounds in seconds.items()}
