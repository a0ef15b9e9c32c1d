"""What adapting the default model to unlabelled texts brings, and what it costs.

Run ``python -m benchmarks.adaptation``; README.md says what each number means. Each measurement is
written when it is done, and a later run goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bertvectorizer import BertVectorizer, EmbeddingStore
from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL
from bertvectorizer.pipeline import compare

from .adapted import FOLDER, ULMFIT, Adapted, adapt
from .common import RESULTS, machine, parser
from .kept_results import KeptResults, Measurement
from .language_tables import adaptation_table
from .texts import sst2, stsb, tass

Measurements = Iterator[Measurement]

LAYERS: dict[str, dict[str, Any]] = {
    "last": {"layers": -1},
    "second to last": {"layers": -2},
    "mean of all": {"layers": "all", "layer_merge": "mean"},
}
# A set, its texts, epochs, and further settings.
AMOUNTS: tuple[tuple[str, int, int, dict[str, Any]], ...] = (
    ("sst2", 300, 1, {}),
    ("sst2", 300, 1, {"learning_rate": 5e-4}),
    ("sst2", 1200, 1, {}),
    ("tass", 300, 1, {}),
    ("tass", 2400, 2, ULMFIT),
    ("tass", 2400, 2, {}),
    ("sst2", 300, 1, {"learning_rate": 2e-3}),
    ("sst2", 2400, 1, {}),
)
# Texts to compare on, which no model was adapted to.
LABELLED: dict[str, Callable[[Path], tuple[list[str], list[Any]]]] = {
    "tass": lambda data: tass(data, "dev"),
    "sst2": lambda data: sst2(data, "test"),
}
COMPARED = (("tass", 2400, 2, ULMFIT), ("tass", 2400, 2, {}), ("sst2", 2400, 1, {}))


def space(data: Path, folder: Path) -> Measurements:
    """Similarity of sentences before and after, by the amount of training."""

    def measure(model: str | Path) -> dict[str, float]:
        pairs = stsb(data, "dev")
        with tempfile.TemporaryDirectory() as directory:
            store = EmbeddingStore(directory, keep="all_layers", durable=False)
            return {
                name: _similarity(BertVectorizer(model, store=store, **LAYERS[name]), pairs)
                for name in ("last", "second to last")
            }

    def of(amount: tuple[str, int, int, dict[str, Any]]) -> dict[str, Any]:
        name, n_texts, epochs, settings = amount
        adapted = adapt(data, name, n_texts, epochs, folder, **settings)
        return {**adapted.facts, **measure(adapted.directory)}

    yield Measurement({"set": "none"}, lambda: measure(DEFAULT_MODEL))
    for amount in AMOUNTS:
        yield Measurement(_key(amount), lambda amount=amount: of(amount))


def classification(data: Path, folder: Path) -> Measurements:
    """Macro F1 of frozen features before and after, by `compare`."""

    def measure(amount: tuple[str, int, int, dict[str, Any]], layers: str) -> dict[str, Any]:
        name, n_texts, epochs, settings = amount
        adapted: Adapted = adapt(data, name, n_texts, epochs, folder, **settings)
        texts, labels = LABELLED[name](data)
        # On a CPU, so that figures can be repeated without a GPU.
        features = {
            way: BertVectorizer(model, pooling="mean", device="cpu", **LAYERS[layers])
            for way, model in (("before", DEFAULT_MODEL), ("adapted", adapted.directory))
        }
        comparison = compare(
            texts,
            labels,
            features,
            make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)),
            scoring="f1_macro",
            primary="adapted",
            show_progress_bar=False,
        )
        table = comparison.table.set_index("features")
        row = table.loc["adapted"]
        return {
            "rows": len(texts),
            **{
                f"{way}_{name}": float(table.loc[way, column])
                for way in features
                for name, column in (("f1", "f1_macro"), ("low", "low"), ("high", "high"))
            },
            **{
                name: float(row[name])
                for name in ("difference", "difference_low", "difference_high", "p_value")
            },
            "training_seconds": adapted.facts["training_seconds"],
        }

    for amount in COMPARED:
        for layers in LAYERS:
            yield Measurement(
                {**_key(amount), "layers": layers},
                lambda amount=amount, layers=layers: measure(amount, layers),
            )


PARTS: dict[str, Callable[[Path, Path], Measurements]] = {
    "classification": classification,
    "space": space,
}


def _key(amount: tuple[str, int, int, dict[str, Any]]) -> dict[str, Any]:
    name, n_texts, epochs, settings = amount
    return {"set": name, "texts": n_texts, "epochs": epochs, "settings": settings}


def _similarity(vectorizer: BertVectorizer, pairs: list[tuple[str, str, float]]) -> float:
    """Return the Spearman correlation of cosines with people's scores."""
    sides = [vectorizer.fit_transform([pair[side] for pair in pairs]) for side in (0, 1)]
    first, second = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    cosines = (first * second).sum(axis=1)
    return float(spearmanr(cosines, [score for *_, score in pairs]).statistic)


def main(arguments: Iterable[str] | None = None) -> None:
    """Run what the result file lacks."""
    known = parser(__doc__)
    known.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to run")
    known.add_argument("--adapted", type=Path, default=FOLDER, help="where checkpoints are kept")
    options: argparse.Namespace = known.parse_args(None if arguments is None else list(arguments))
    warnings.filterwarnings("ignore", message=".*rank correlation")  # it is in the table
    threadpool_limits(1)
    torch.set_num_threads(1)
    results = KeptResults(RESULTS / f"{options.name or 'adaptation'}.json")
    for part in options.parts:
        for key, run in PARTS[part](options.data, options.adapted):
            if not results.has(part, key):
                print(f"{part}: {key}", file=sys.stderr, flush=True)
                row = {**key, **run()}
                print(f"    {row}", file=sys.stderr, flush=True)
                results.add(part, {"machine": machine(), "threads": 1}, row)
    print("\n" + adaptation_table(results.read()))


if __name__ == "__main__":
    main()
