"""Sentences that tiny models can be trained on, and estimators that take little time."""

from __future__ import annotations

from typing import Any

from bertvectorizer import BertClassifier
from tests.tiny import ModelFactory

TEXTS = [
    f"the {adjective} {noun} {end}"
    for adjective in ("old", "un", "a")
    for noun in ("bank", "ball")
    for end in ("flew", "in the night")
]
LABELS = ["money" if "bank" in text else "game" for text in TEXTS]
PAIRS = list(zip(TEXTS, TEXTS[1:] + TEXTS[:1], strict=True))


def classifier(tiny_model: ModelFactory, family: str = "bert", **parameters: Any) -> BertClassifier:
    """Return a classifier of a tiny model that learns `LABELS` in a moment."""
    settings = {
        "trainable_layers": 1,
        "epochs": 4,
        "learning_rate": 0.01,
        "batch_size": 4,
        "random_state": 0,
    }
    return BertClassifier(tiny_model(family), **{**settings, **parameters})


def full_batch(tiny_model: ModelFactory, family: str = "bert", **parameters: Any) -> BertClassifier:
    """Return one of which each step has all rows, and nothing is random: order does not matter."""
    settings = {"batch_size": 100, "dropout": 0.0, "schedule": "constant", "warmup": 0.0}
    return classifier(tiny_model, family, **{**settings, **parameters})
