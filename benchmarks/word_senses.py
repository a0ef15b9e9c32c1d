"""Accuracy of word senses from contextual vectors, layer by layer, and from static ones."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertSpanVectorizer, BertVectorizer, EmbeddingStore, StaticVectorizer
from bertvectorizer.models import open_checkpoint

from .tagged import sense_table
from .word_tags import LAST_FOUR

WORDS = ("hard", "interest")
FOLDS = 5
C_VALUES = (0.001, 0.01, 0.1, 1.0)


class View(NamedTuple):
    """What a classifier sees of an occurrence.

    Attributes
    ----------
    name : str
    vectorizer : transformer
    reads : {"span", "text"}
        Whether it takes the table, or its texts only.
    layer : int or None
        The only layer that is read.
    """

    name: str
    vectorizer: Any
    reads: str
    layer: int | None = None


def views(model: str, store: EmbeddingStore) -> list[View]:
    """Return what is compared, in the order of the table."""
    n_layers = open_checkpoint(model, local_files_only=True).n_layers
    static = f"distill:{model}"

    def spans(**options: Any) -> BertSpanVectorizer:
        return BertSpanVectorizer(model, store=store, local_files_only=True, **options)

    return [
        View("static vector of the word", StaticVectorizer(static, unit="span"), "span"),
        View("static vectors of the sentence, mean", StaticVectorizer(static), "text"),
        View(
            "`BertVectorizer()`, the sentence",
            BertVectorizer(model, store=store, local_files_only=True),
            "text",
        ),
        *(
            View(f"`BertSpanVectorizer(layers={layer})`", spans(layers=layer), "span", layer)
            for layer in range(n_layers + 1)
        ),
        View("concatenation of the last four", spans(layers=LAST_FOUR), "span"),
        View("sum of the last four", spans(layers=LAST_FOUR, layer_merge="sum"), "span"),
        View(
            "weighted, all layers and embeddings",
            spans(layers="all", layer_merge="weighted"),
            "span",
        ),
    ]


def run(data: Path, model: str, size: int) -> Iterator[dict[str, Any]]:
    """Yield the results of each word; ``size`` is the number of its occurrences to take, 0 all."""
    for word in WORDS:
        table, senses = sense_table(data, word, size)
        with tempfile.TemporaryDirectory() as folder:
            store = EmbeddingStore(Path(folder) / "senses.sqlite", keep="all_layers", durable=False)
            rows = [_row("majority class", _accuracies(None, table, senses))]
            for view in views(model, store):
                print(f"{word}: {view.name}", file=sys.stderr, flush=True)
                rows.append(_row(view.name, _accuracies(view, table, senses), layer=view.layer))
            forms = [text[start:end] for text, start, end in table.itertuples(index=False)]
            kinds, counts = np.unique(forms, return_counts=True)
            yield {
                "word": word,
                "occurrences": len(table),
                "senses": len(set(senses)),
                "forms": dict(
                    sorted(
                        zip(kinds.tolist(), counts.tolist(), strict=True), key=lambda form: -form[1]
                    )
                ),
                "rows": rows,
            }


def _accuracies(view: View | None, table: pd.DataFrame, senses: NDArray[np.str_]) -> list[float]:
    """Return the accuracy of each fold; vectorizers, too, are fitted on the other folds."""
    found = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(table, senses):
        if view is None:
            found.append(
                DummyClassifier()
                .fit(table.iloc[train], senses[train])
                .score(table.iloc[test], senses[test])
            )
            continue
        X = table if view.reads == "span" else table["text"]
        learnt, unseen = (
            view.vectorizer.fit_transform(X.iloc[train], senses[train]),
            view.vectorizer.transform(X.iloc[test]),
        )
        found.append(_classifier().fit(learnt, senses[train]).score(unseen, senses[test]))
    return [float(accuracy) for accuracy in found]


def _classifier() -> GridSearchCV:
    return GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        {"logisticregression__C": C_VALUES},
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
    )


def _row(name: str, accuracies: list[float], **facts: Any) -> dict[str, Any]:
    spread = float(np.std(accuracies, ddof=1))
    return {
        "features": name,
        "accuracy": float(np.mean(accuracies)),
        "deviation": spread,
        "folds": accuracies,
        **facts,
    }
