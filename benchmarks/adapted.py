"""Checkpoints adapted to texts without labels, kept on disk: each is trained once."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bertvectorizer import LanguageModel
from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL

from .cpu_seconds import timed
from .texts import sms, sst2, tass

ULMFIT: dict[str, Any] = {"layer_decay": 1 / 2.6, "schedule": "slanted_triangular"}
FOLDER = Path(tempfile.gettempdir()) / "bertvectorizer-adapted"


class Adapted(NamedTuple):
    """A checkpoint directory, and what its training took."""

    directory: Path
    facts: dict[str, Any]


def unlabelled(data: Path, name: str) -> list[str]:
    """Return the training texts of a set in an order drawn with a seed, without their labels."""
    texts = sms(data) if name == "sms" else {"tass": tass, "sst2": sst2}[name](data, "train")[0]
    shuffled = list(dict.fromkeys(texts))
    random.Random(0).shuffle(shuffled)
    return shuffled


def adapt(
    data: Path, name: str, n_texts: int, epochs: int, folder: Path = FOLDER, **settings: Any
) -> Adapted:
    """Return the default model adapted to the first texts of a set, from the disk if it is there.

    ``settings`` are parameters of `LanguageModel`.
    """
    parts = [name, n_texts, epochs, *(f"{key}_{value}" for key, value in settings.items())]
    place = folder / "-".join(map(str, parts))
    record = place.with_name(f"{place.name}.json")
    if not record.exists():
        model = LanguageModel(
            DEFAULT_MODEL,
            objective="masked",
            epochs=epochs,
            random_state=0,
            device="cpu",
            verbose=True,
            **settings,
        )
        texts = unlabelled(data, name)[:n_texts]
        _, seconds = timed(lambda: model.fit(texts))
        if not place.exists():
            model.save_pretrained(place)
        facts = {
            "texts": len(texts),
            "training_seconds": seconds,
            "loss_curve": model.loss_curve_,
            "agreement": model.similarity_agreement_,
        }
        record.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return Adapted(place, json.loads(record.read_text(encoding="utf-8")))
