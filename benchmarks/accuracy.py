"""Accuracy on SST-2, similarity against people's scores, equality with sentence-transformers.

Run ``python -m benchmarks.accuracy``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertVectorizer
from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate
from bertvectorizer.private_api import multiplies_bfloat16

from .common import machine, parser, write
from .table import accuracy_table
from .texts import distinct_sentences, sick, sst2, stsb

Pairs = list[tuple[str, str, float]]

PRECISIONS = [
    name for name in ("float32", "bfloat16", "int8") if name != "bfloat16" or multiplies_bfloat16()
]
PARAMETERS: list[dict[str, Any]] = [{"layers": -2, "pooling": "mean"}, {}]
PUBLISHED = {"STS-B test": 0.8203247, "SICK": 0.7758246}  # MTEB, revision 8b3219a9 of the model


def classify(
    train: tuple[list[str], list[int]], test: tuple[list[str], list[int]]
) -> Iterator[dict[str, Any]]:
    """Yield the accuracy on SST-2's test set for each set of parameters in each precision."""
    for parameters in PARAMETERS:
        exact = None
        for precision in PRECISIONS:
            vectorizer = BertVectorizer(**parameters, precision=precision, device="cpu")
            name = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
            print(f"SST-2: BertVectorizer({name}), {precision}", file=sys.stderr)
            classifier = make_pipeline(
                vectorizer, StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
            )
            accuracy = float(classifier.fit(*train).score(*test))
            exact = accuracy if exact is None else exact
            yield {
                "features": f"BertVectorizer({name})",
                "precision": precision,
                "accuracy": accuracy,
                "points_from_float32": 100 * (accuracy - exact),
            }


def compare_similarity(sets: dict[str, Pairs]) -> Iterator[dict[str, Any]]:
    """Yield Spearman's correlation of the cosines of pairs with people's scores."""
    for name, pairs in sets.items():
        for precision in PRECISIONS:
            print(f"{name}: {precision}", file=sys.stderr)
            vectors = _encode(BertVectorizer(precision=precision, device="cpu"), pairs)
            cosines = [float(vectors[one] @ vectors[other]) for one, other, _ in pairs]
            spearman = (
                float(spearmanr(cosines, [score for *_, score in pairs]).statistic)
                if pairs
                else None
            )
            yield {
                "set": name,
                "pairs": len(pairs),
                "precision": precision,
                "spearman": spearman,
                "published": PUBLISHED.get(name),
            }


def _encode(vectorizer: BertVectorizer, pairs: Pairs) -> dict[str, np.ndarray]:
    sentences = distinct_sentences(pairs)
    vectors = np.asarray(vectorizer.transform(sentences), dtype=np.float64)
    return dict(
        zip(sentences, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True)
    )


def compare_vectors(sets: dict[str, Pairs]) -> Iterator[dict[str, Any]]:
    """Yield the largest difference from ``SentenceTransformer.encode``."""
    theirs = SentenceTransformer(
        str(locate(DEFAULT_MODEL, local_files_only=True)), device="cpu", local_files_only=True
    )
    for name, pairs in sets.items():
        print(f"{name}: against sentence-transformers", file=sys.stderr)
        sentences = distinct_sentences(pairs)
        difference = np.abs(
            BertVectorizer(device="cpu").transform(sentences)
            - theirs.encode(sentences, show_progress_bar=False)
        )
        yield {
            "set": name,
            "sentences": len(sentences),
            "largest_difference": float(difference.max()),
        }


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument(
        "--limit", type=int, help="number of texts or pairs of each set to use, for a quick try"
    )
    options = known.parse_args(None if arguments is None else list(arguments))
    data, taken = options.data, slice(options.limit)
    train, test = (tuple(part[taken] for part in sst2(data, split)) for split in ("train", "test"))
    sets = {
        "STS-B test": stsb(data, "test")[taken],
        "STS-B dev": stsb(data, "dev")[taken],
        "SICK": sick(data)[taken],
    }
    result = {
        "machine": {**machine(), "threads": torch.get_num_threads()},
        "settings": {"model": DEFAULT_MODEL, "limit": options.limit},
        "classification": list(classify(train, test)),
        "similarity": list(compare_similarity(sets)),
        "equality": list(compare_vectors({name: pairs for name, pairs in sets.items() if pairs})),
    }
    print("\n" + accuracy_table(result))
    write(options.name or "accuracy", result)


if __name__ == "__main__":
    main()
