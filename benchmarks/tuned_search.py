"""A grid search over a fine-tuned classifier: what stored lower states save."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from sklearn.model_selection import GridSearchCV, StratifiedKFold

from bertvectorizer import BertClassifier, EmbeddingStore
from bertvectorizer.models.network.backbone import Backbone
from bertvectorizer.models.training.lower_states import LowerStates

from .cpu_seconds import seconds_of, timed
from .kept_results import Measurement
from .texts import labelled_sentences

STORED = "top 2 layers, states below from the store"
RECOMPUTED = "top 2 layers, those below run in every step"
ALL = "all layers"
GRID = {"learning_rate": [5e-5, 1e-4, 2e-4], "epochs": [1, 2]}
FOLDS = 5


def measurements(data: Path, model: str, n_texts: int, limit: int | None) -> Iterator[Measurement]:
    """Yield the ways to search."""
    texts, labels = labelled_sentences(data, min(n_texts, limit or n_texts))
    for way in (STORED, RECOMPUTED, ALL):
        yield Measurement({"way": way}, lambda way=way: _search(way, model, texts, labels))


def _search(way: str, model: str, texts: list[str], labels: list[int]) -> dict[str, Any]:
    """Search without a refit; the lower layers stay in the network unless they are stored."""
    whole = mock.patch.object(Backbone, "skip_layers", return_value=False)
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(folder, durable=False)
        classifier = BertClassifier(
            model, trainable_layers="all" if way == ALL else 2, store=store, random_state=0
        )
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        search = GridSearchCV(classifier, GRID, cv=folds, refit=False)
        with (
            whole if way == RECOMPUTED else nullcontext(),
            seconds_of(LowerStates, "prepare") as lower,
        ):
            _, seconds = timed(lambda: search.fit(texts, labels))
        return {
            "seconds": seconds,
            "lower_seconds": sum(lower),
            "encoded": store.stats.encoded,
            "hits": store.stats.hits,
            "texts": len(texts),
            "distinct": len(set(texts)),
            "fits": len(search.cv_results_["params"]) * FOLDS,
            "scores": search.cv_results_["mean_test_score"].tolist(),
        }
