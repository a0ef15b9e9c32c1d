"""Ways to turn texts into the means of their words' vectors."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .fork_server import ForkServer

_WORD = re.compile(r"(?u)\b\w\w+\b")
_DISTILL = "distill:sentence-transformers/all-MiniLM-L6-v2"
_ANY = ["A text to fit on: the mean learns nothing."]

Pool = Callable[[list[str]], np.ndarray]


def _plain(table: str, mean: Callable[[Any, list[str]], np.ndarray]) -> Pool:
    """Return a plain loop over gensim's `KeyedVectors` in memory."""
    from gensim.models import KeyedVectors

    from bertvectorizer import load_word_vectors

    ours = load_word_vectors(table)
    keyed = KeyedVectors(ours.n_dims)
    keyed.add_vectors(ours.words, np.array(ours.vectors))
    return lambda texts: np.array(
        [mean(keyed, _WORD.findall(text.lower())) for text in texts], dtype=np.float32
    )


def _by_numpy(keyed: Any, words: list[str]) -> np.ndarray:
    vectors = [keyed[word] for word in words if word in keyed]
    return np.mean(vectors, axis=0) if vectors else np.zeros(keyed.vector_size, dtype=np.float32)


def _by_gensim(keyed: Any, words: list[str]) -> np.ndarray:
    known = [word for word in words if word in keyed]
    return (
        keyed.get_mean_vector(known, pre_normalize=False)
        if known
        else np.zeros(keyed.vector_size, dtype=np.float32)
    )


def _ours(table: str) -> Pool:
    from bertvectorizer import StaticVectorizer

    return StaticVectorizer(table).fit(_ANY).transform


def _model2vec(folder: str) -> Pool:
    from model2vec import StaticModel

    return StaticModel.from_pretrained(folder).encode


CONTENDERS: dict[str, Callable[[str, str], Pool]] = {
    "gensim, np.mean": lambda table, _: _plain(table, _by_numpy),
    "gensim, get_mean_vector": lambda table, _: _plain(table, _by_gensim),
    "StaticVectorizer(file)": lambda table, _: _ours(table),
    "model2vec": lambda _, folder: _model2vec(str(Path(folder) / "model2vec")),
    'StaticVectorizer("distill:...")': lambda _, folder: _ours(_DISTILL),
}
PEER_OF = {
    "StaticVectorizer(file)": "gensim, np.mean",
    'StaticVectorizer("distill:...")': "model2vec",
}


def prepare(folder: str) -> None:
    """Distil the model, for model2vec and for us, where it is not there yet."""
    from bertvectorizer import load_word_vectors
    from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate

    load_word_vectors(_DISTILL)
    path = Path(folder) / "model2vec"
    if not path.exists():
        from model2vec.distill import distill

        distill(
            str(locate(DEFAULT_MODEL, local_files_only=True)), device="cpu", quantize_to="float32"
        ).save_pretrained(path)


def pool(name: str, texts: list[str], table: str, folder: str, save: str) -> float:
    """Pool four times in one process; returns the median of the last three, in seconds."""
    make = CONTENDERS[name](table, folder)
    vectors = make(texts)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        vectors = make(texts)
        seconds.append(time.perf_counter() - start)
    np.save(save, vectors)
    return median(seconds)


def pooling(
    server: ForkServer, kind: str, texts: list[str], table: str, folder: str, rounds: int
) -> dict[str, Any]:
    """Compare the contenders, taking turns."""
    server.call(prepare, folder=folder)
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    vectors = {}
    for number in range(rounds):
        for name, taken in seconds.items():
            print(f"pooling {kind}: {name}, round {number + 1} of {rounds}", file=sys.stderr)
            path = str(Path(folder) / "vectors.npy")
            taken.append(
                server.call(pool, name=name, texts=texts, table=table, folder=folder, save=path)
            )
            vectors[name] = np.load(path)
    difference = partial(_largest_difference, vectors)
    return {
        "kind": kind,
        "texts": len(texts),
        "words": sum(len(_WORD.findall(text)) for text in texts),
        "rows": [
            {
                "contender": name,
                "seconds": taken,
                "texts_per_second": len(texts) / median(taken),
                "peer": PEER_OF.get(name),
                "ratio": (
                    median(
                        peer / own for peer, own in zip(seconds[PEER_OF[name]], taken, strict=True)
                    )
                    if name in PEER_OF
                    else None
                ),
                "largest_difference": (
                    difference(name, PEER_OF[name]) if name == "StaticVectorizer(file)" else None
                ),
            }
            for name, taken in seconds.items()
        ],
    }


def _largest_difference(vectors: dict[str, np.ndarray], one: str, other: str) -> float:
    return float(np.abs(vectors[one] - vectors[other]).max())
