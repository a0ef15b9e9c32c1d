"""Ways to keep vectors by text, each written in one process and read in others."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np

from .common import installed
from .fork_server import ForkServer

WIDTH = 384
_AT_ONCE = 10_000


def text_of(number: int) -> str:
    """Return one of the distinct texts."""
    return f"This is sentence number {number} of those that are kept."


def vector_of(text: str) -> np.ndarray:
    """Return the vector of a text; *shape:* ``(384,)``, float32."""
    return np.random.default_rng(int(text.split()[4])).standard_normal(WIDTH, dtype=np.float32)


class Kept(ABC):
    """A way to keep vectors; what it imports is there before the clock starts.

    Attributes
    ----------
    most : int or None
        Texts at most: where reading all would take long, the time is that of a sample, and scaled.
    requires : str or None
        Package without which it is left out.
    """

    most: int | None = None
    requires: str | None = None

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    @abstractmethod
    def write(self, texts: list[str]) -> None:
        """Keep the vectors of texts."""

    @abstractmethod
    def read(self, texts: list[str]) -> np.ndarray:
        """Return what was kept. *Shape:* ``(n_texts, 384)``, float32."""


class Store(Kept):
    """``EmbeddingStore.fetch``, as `BertVectorizer` calls it: keys, records, one matrix."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        from bertvectorizer.models.store import embedding_store as store
        from bertvectorizer.models.store import records

        self._records, self._store = records, store

    def write(self, texts: list[str]) -> None:
        self._fetch(
            texts,
            lambda chunk, indices, _: [
                self._records.Record(9, 0, vector_of(chunk[index])[None]) for index in indices
            ],
        )

    def read(self, texts: list[str]) -> np.ndarray:
        return self._fetch(texts, _refuse)

    def _fetch(self, texts: list[str], compute: Callable[..., Any]) -> np.ndarray:
        store = self._store.EmbeddingStore(self._folder / "store.sqlite")
        part = [self._records.part_name("a layer")]
        records = []
        for start in range(0, len(texts), _AT_ONCE):
            chunk = texts[start : start + _AT_ONCE]
            sizes = list(map(len, chunk))
            keys = self._store.text_keys(["settings"], chunk)
            records += store.fetch(
                keys,
                sizes,
                self._store.PartNames(part, part, part, part),
                sum(sizes),
                SimpleNamespace(encode=partial(compute, chunk)),
            )
        return np.concatenate([record.vectors for record in records])


def _refuse(texts: Any, indices: Any, names: Any) -> Any:
    raise AssertionError("All texts should be there.")


class Array(Kept):
    """``numpy.load`` of one file with all vectors and nothing else: no keys, no checks."""

    def write(self, texts: list[str]) -> None:
        np.save(self._folder / "vectors.npy", np.stack([vector_of(text) for text in texts]))

    def read(self, texts: list[str]) -> np.ndarray:
        return np.load(self._folder / "vectors.npy")


class JoblibMemory(Kept):
    """A function of one text under ``joblib.Memory``."""

    most = 5_000

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        import joblib

        self._memory = joblib.Memory

    def write(self, texts: list[str]) -> None:
        self.read(texts)

    def read(self, texts: list[str]) -> np.ndarray:
        remembered = self._memory(self._folder / "joblib", verbose=0).cache(vector_of)
        return np.stack([remembered(text) for text in texts])


class DiskCache(Kept):
    """``diskcache.Cache`` with the text as its key."""

    most = 20_000
    requires = "diskcache"

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        import diskcache

        self._cache = diskcache.Cache

    def write(self, texts: list[str]) -> None:
        with self._cache(str(self._folder / "diskcache")) as cache, cache.transact():
            for text in texts:
                cache[text] = vector_of(text)

    def read(self, texts: list[str]) -> np.ndarray:
        with self._cache(str(self._folder / "diskcache")) as cache:
            return np.stack([cache[text] for text in texts])


STORE = "EmbeddingStore"
MEMORY = "joblib.Memory"
WAYS: dict[str, type[Kept]] = {
    STORE: Store,
    "numpy.load": Array,
    MEMORY: JoblibMemory,
    "diskcache": DiskCache,
}


def write(way: str, folder: str, n_texts: int) -> float:
    """Keep the vectors, in a process of its own; returns seconds."""
    texts, kept = list(map(text_of, range(n_texts))), WAYS[way](folder)
    start = time.perf_counter()
    kept.write(texts)
    return time.perf_counter() - start


def read(way: str, folder: str, n_texts: int) -> float:
    """Read the vectors, in a process of its own; returns seconds."""
    texts, kept = list(map(text_of, range(n_texts))), WAYS[way](folder)
    start = time.perf_counter()
    vectors = kept.read(texts)
    seconds = time.perf_counter() - start
    assert vectors.shape == (n_texts, WIDTH)
    assert all(
        np.array_equal(vectors[number], vector_of(texts[number]))
        for number in range(0, n_texts, max(1, n_texts // 100))
    )
    return seconds


def run(server: ForkServer, folder: str, n_texts: int, rounds: int) -> dict[str, Any]:
    """Write once in each way, then read, taking turns."""
    sizes = {}
    for name, way in WAYS.items():
        if way.requires and not installed(way.requires):
            print(f"reads: {name} is left out, not installed: {way.requires}", file=sys.stderr)
        else:
            sizes[name] = min(n_texts, way.most or n_texts)
    written = {}
    for name, size in sizes.items():
        print(f"reads: writing {size:,} vectors with {name}", file=sys.stderr)
        written[name] = server.call(write, way=name, folder=folder, n_texts=size)
    measured: dict[str, list[float]] = {name: [] for name in sizes}
    for number in range(rounds):
        for name, size in sizes.items():
            print(f"reads: round {number + 1} of {rounds}: {name}", file=sys.stderr)
            measured[name].append(server.call(read, way=name, folder=folder, n_texts=size))
    rates = {name: sizes[name] / median(seconds) for name, seconds in measured.items()}
    rows = [
        {
            "way": name,
            "texts_measured": sizes[name],
            "extrapolated": sizes[name] < n_texts,
            "measured_seconds": seconds,
            "write_seconds": written[name],
            "seconds": n_texts / rates[name],
            "texts_per_second": rates[name],
            "ratio": rates[name] / rates[MEMORY],
        }
        for name, seconds in measured.items()
    ]
    return {"texts": n_texts, "texts_a_call": _AT_ONCE, "rows": rows}
