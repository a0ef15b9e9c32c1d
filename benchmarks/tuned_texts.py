"""SST-2 by rows to learn from: the best frozen layer beside fine-tuned upper layers and all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertClassifier, BertVectorizer, EmbeddingStore
from bertvectorizer.models import open_checkpoint

from .cpu_seconds import fit_and_predict, timed
from .kept_results import Measurement
from .texts import sst2

FROZEN = "frozen features, best layer"
TUNED: dict[str, dict[str, Any]] = {
    "top 2 layers": {"trainable_layers": 2},
    "top 2 layers, 10 epochs": {"trainable_layers": 2, "epochs": 10},
    "top 3 layers": {"trainable_layers": 3},
    "all layers": {},
}
CASES = (
    (2000, "top 2 layers"), (2000, "all layers"), (6920, "top 2 layers"),
    (2000, FROZEN), (500, FROZEN), (500, "top 2 layers"), (500, "top 2 layers, 10 epochs"),
    (100, FROZEN), (100, "top 2 layers"), (100, "top 2 layers, 10 epochs"),
)  # fmt: skip
FURTHER = (
    (6920, FROZEN), (2000, "top 3 layers"), (500, "all layers"), (100, "all layers"),
)  # fmt: skip
C_VALUES = [0.001, 0.01, 0.1]
FOLDS = 5


def measurements(
    data: Path, model: str, seeds: list[int], limit: int | None
) -> Iterator[Measurement]:
    """Yield what to measure, the most important first, one seed after another."""
    texts, labels = sst2(data, "train")
    test_texts, test_labels = (part[:limit] for part in sst2(data, "test"))

    def measure(n_rows: int, way: str, seed: int) -> dict[str, Any]:
        chosen = np.random.default_rng(seed).permutation(len(texts))[: min(n_rows, limit or n_rows)]
        X, y = [texts[row] for row in chosen], [labels[row] for row in chosen]
        if way == FROZEN:
            predictions, facts = _frozen(model, X, y, test_texts, seed)
        else:
            classifier = BertClassifier(model, random_state=seed, store=None, **TUNED[way])
            predictions, facts = fit_and_predict(classifier, X, y, test_texts)
            facts = {**facts, "loss_curve": classifier.loss_curve_}
        return {"accuracy": float(np.mean(predictions == np.array(test_labels))), **facts}

    for cases in (CASES, FURTHER):
        for seed in seeds:
            for n_rows, way in cases:
                yield Measurement(
                    {"rows": n_rows, "way": way, "seed": seed},
                    lambda n_rows=n_rows, way=way, seed=seed: measure(n_rows, way, seed),
                )


def _frozen(
    model: str, X: list[str], y: list[int], X_test: list[str], seed: int
) -> tuple[Any, dict[str, Any]]:
    """Choose the layer and C by cross-validation on the training rows, then predict."""
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(folder, keep="all_layers", durable=False)
        vectorizer = BertVectorizer(model, pooling="mean", store=store)
        _, encoding = timed(lambda: vectorizer.fit_transform(X))
        search = GridSearchCV(
            make_pipeline(vectorizer, StandardScaler(), LogisticRegression(max_iter=1000)),
            {
                "bertvectorizer__layers": list(range(1, open_checkpoint(model).n_layers + 1)),
                "logisticregression__C": C_VALUES,
            },
            cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
        )
        predictions, facts = fit_and_predict(search, X, y, X_test)
    return predictions, {**facts, "lower_seconds": encoding, "chosen": search.best_params_}
