"""Memory of `BertWordVectorizer.iter_transform`, and of fitting `SequenceLabeler`.

The first should not grow with the sentences, the second not with the context.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate

from .common import peak_mib
from .fork_server import ForkServer
from .tagged import sized_like_conll2003
from .texts import wikipedia

STORES = {"store=None": None, "the default store": "auto"}

CONCATENATED = {"layers": "-4,-3,-2,-1", "layer_merge": "concat"}
FITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default settings": ({}, {}),
    "concatenation of the last four, viterbi": (CONCATENATED, {"decode": "viterbi"}),
    "concatenation of the last four, crf": (CONCATENATED, {"decode": "crf"}),
}


def run_fits(data: Path, size: int) -> Iterator[dict[str, Any]]:
    """Yield the peak of fitting a labeler on so many sentences, each in a process of its own."""
    for name in FITS:
        print(f"fitting with {name}", file=sys.stderr, flush=True)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            yield {"case": name, **process.submit(fit, str(data), size, name).result()}


def fit(data: str, size: int, name: str) -> dict[str, Any]:
    """Return peak memory in MiB before, and after fitting, and the seconds it took."""
    from sklearn.exceptions import ConvergenceWarning

    from bertvectorizer import BertWordVectorizer, SequenceLabeler

    warnings.simplefilter("ignore", ConvergenceWarning)
    sentences = sized_like_conll2003(Path(data), size)
    layers, settings = FITS[name]
    labeler = SequenceLabeler(
        BertWordVectorizer(device="cpu", local_files_only=True, **layers), **settings
    )
    before = peak_mib()
    start, cpu_start = time.perf_counter(), time.process_time()
    labeler.fit(*sentences)
    n_words = sum(map(len, sentences.words))
    width = (2 * labeler.context + 1) * (labeler.vectorizer_.n_features_out_ + 29)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu_start,
        "peak_mib": peak_mib(),
        "start_mib": before,
        "sentences": len(sentences.words),
        "words": n_words,
        "features": width,
        "whole_mib": 4 * n_words * width / 2**20,
    }


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
