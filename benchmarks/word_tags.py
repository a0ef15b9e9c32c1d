"""Named entities from frozen word vectors: the layers of Devlin et al., Table 7, and others."""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from gensim.models import Word2Vec
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import (
    BertWordVectorizer,
    EmbeddingStore,
    SequenceLabeler,
    StaticVectorizer,
    load_word_vectors,
)
from bertvectorizer.models import open_checkpoint

from .tagged import TaggedSet, tagged_set

LAST_FOUR = "-4,-3,-2,-1"
SHAPES = "word shapes alone"


class Held(TransformerMixin, BaseEstimator):
    """A vectorizer that `clone` does not copy and that encodes the same sentences once."""

    def __init__(self, vectorizer: Any) -> None:
        self.vectorizer = vectorizer

    def __sklearn_clone__(self) -> Self:
        return self

    def fit(self, X: list[list[str]], y: Any = None) -> Self:
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: list[list[str]], y: Any = None) -> np.ndarray:
        if not hasattr(self, "_vectors"):
            self._vectors = {_key(X): self.vectorizer.fit_transform(X, y)}
        return self.transform(X)

    def transform(self, X: list[list[str]]) -> np.ndarray:
        key = _key(X)
        if key not in self._vectors:
            self._vectors[key] = self.vectorizer.transform(X)
        return self._vectors[key]


def feature_sets(
    model: str, store: EmbeddingStore, sentences: list[list[str]]
) -> dict[str, BaseEstimator]:
    """Return the vectorizers by name; "word2vec" is trained on ``sentences``."""
    n_layers = open_checkpoint(model, local_files_only=True).n_layers
    layers = {
        "embeddings (layer 0)": {"layers": 0},
        "second-to-last layer": {"layers": -2},
        "last layer": {"layers": -1},
        "sum of the last four": {"layers": LAST_FOUR, "layer_merge": "sum"},
        "concatenation of the last four": {"layers": LAST_FOUR},
        f"sum of all {n_layers} layers": {
            "layers": list(range(1, n_layers + 1)),
            "layer_merge": "sum",
        },
        "weighted, last four": {"layers": LAST_FOUR, "layer_merge": "weighted"},
        "weighted, all layers and embeddings": {"layers": "all", "layer_merge": "weighted"},
    }
    lowered = [[word.lower() for word in words] for words in sentences]
    trained = Word2Vec(
        lowered, vector_size=100, sg=1, window=5, min_count=2, epochs=10, seed=0, workers=1
    ).wv
    return {
        "static, distilled words": StaticVectorizer(f"distill:{model}", unit="word"),
        "static, word2vec on the training words": StaticVectorizer(
            load_word_vectors(trained), unit="word"
        ),
        **{
            name: BertWordVectorizer(model, store=store, local_files_only=True, **options)
            for name, options in layers.items()
        },
    }


def run(
    data: Path,
    model: str,
    sizes: dict[str, int],
    n_others: int,
    c_values: list[float],
    max_iter: int,
) -> Iterator[dict[str, Any]]:
    """Yield the results of each data set; ``sizes`` limits training sentences, 0 is all."""
    for name, n_train in sizes.items():
        split = tagged_set(data, name, n_train, n_others)
        with tempfile.TemporaryDirectory() as folder:
            store = EmbeddingStore(Path(folder) / "words.sqlite", keep="requested", durable=False)
            yield {
                "set": name,
                **{
                    f"{part}_sentences": len(getattr(split, part).words)
                    for part in ("train", "dev", "test")
                },
                "train_words": sum(map(len, split.train.words)),
                "rows": list(_rows(split, model, store, c_values, max_iter)),
                "distinct_sentences": split.n_distinct,
                "encoded": store.stats.encoded,
            }


def _rows(
    split: TaggedSet, model: str, store: EmbeddingStore, c_values: list[float], max_iter: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each feature set; all layers first, so that the store has the others."""
    majority = SequenceLabeler(estimator=DummyClassifier()).fit(*split.train)
    yield {"features": "majority tag", "dims": 0, "plain": _scores(majority, split), "shaped": None}
    yield {
        "features": SHAPES,
        "dims": 0,
        "plain": None,
        "shaped": _best(split, None, True, c_values, max_iter),
    }
    vectorizers = feature_sets(model, store, split.train.words)
    rows = {}
    for name, vectorizer in reversed(vectorizers.items()):
        held = Held(vectorizer)
        start = time.perf_counter()
        dims = int(held.fit_transform(*split.train).shape[1])
        seconds = time.perf_counter() - start
        plain = _best(split, held, False, c_values, max_iter)
        rows[name] = {
            "features": name,
            "dims": dims,
            "reading_seconds": seconds,
            "layer_weights": _weights(vectorizer),
            "plain": plain,
            "shaped": _best(split, held, True, [plain["strength"]], max_iter),
        }
        print(
            f"{split.name}: {name}: test {plain['test']:.4f}, with shapes"
            f" {rows[name]['shaped']['test']:.4f}",
            file=sys.stderr,
            flush=True,
        )
    yield from (rows[name] for name in vectorizers)


def _best(
    split: TaggedSet,
    vectorizer: Held | None,
    with_shapes: bool,
    c_values: list[float],
    max_iter: int,
) -> dict[str, Any]:
    """Return the scores of the labeler whose C is best on the dev part."""
    found = []
    for c in c_values:
        estimator = make_pipeline(
            StandardScaler(copy=False), LogisticRegression(C=c, max_iter=max_iter)
        )
        labeler = SequenceLabeler(
            vectorizer, estimator, context=1, decode="viterbi", word_shape=with_shapes
        )
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # max_iter is the same for all, and in the table
            labeler.fit(*split.train)
        seconds = time.perf_counter() - start
        iterations = int(labeler.estimator_[-1].n_iter_.max())
        found.append(
            (
                labeler.score(*split.dev),
                {"strength": c, "fit_seconds": seconds, "iterations": iterations},
                labeler,
            )
        )
    _, facts, labeler = max(found, key=lambda one: one[0])
    return {
        **_scores(labeler, split),
        **facts,
        "dev_by_strength": {str(one["strength"]): score for score, one, _ in found},
    }


def _scores(labeler: SequenceLabeler, split: TaggedSet) -> dict[str, float]:
    return {"dev": labeler.score(*split.dev), "test": labeler.score(*split.test)}


def _weights(vectorizer: Any) -> list[float] | None:
    weights = getattr(vectorizer, "layer_weights_", None)
    return None if weights is None else [float(weight) for weight in weights]


def _key(sentences: list[list[str]]) -> int:
    return hash(tuple(map(tuple, sentences)))
