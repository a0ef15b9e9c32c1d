"""Named entities: a fine-tuned tagger beside a labeler on frozen vectors, on the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertTagger, BertWordVectorizer, SequenceLabeler
from bertvectorizer.pipeline.tagging.scoring import tag_score

from .cpu_seconds import fit_and_predict
from .kept_results import Measurement
from .tagged import FILES, tagged_set
from .word_tags import LAST_FOUR

SUM_OF_FOUR: dict[str, Any] = {"layers": LAST_FOUR, "layer_merge": "sum"}
# Whether the shapes of words are features, too.
FROZEN = {
    "SequenceLabeler, sum of the last four layers": False,
    "SequenceLabeler, sum of the last four layers, word shapes": True,
}
TUNED: dict[str, Any] = {"BertTagger, top 2 layers": 2, "BertTagger, all layers": "all"}
C = 0.003  # chosen on dev in `benchmarks.words`
MAX_ITER = 200


def measurements(
    data: Path, model: str, seeds: list[int], limit: int | None, n_spanish: int
) -> Iterator[Measurement]:
    """Yield what to measure, one seed after another; ``n_spanish`` training sentences of CoNLL."""
    sizes = {"wnut17": limit or 0, "conll2002_es": min(limit or n_spanish, n_spanish)}
    splits = {name: tagged_set(data, name, sizes[name], limit or 0) for name in FILES}

    def measure(name: str, way: str, seed: int) -> dict[str, Any]:
        split = splits[name]
        tagger = _labeler(model, way) if way in FROZEN else _tagger(model, way, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # MAX_ITER is in README.md
            predicted, facts = fit_and_predict(tagger, *split.train, split.test.words)
        return {
            "f1": tag_score(split.test.tags, predicted, tagger.scheme_),
            **facts,
            "train": len(split.train.words),
            "test": len(split.test.words),
            **({} if way in FROZEN else {"loss_curve": tagger.loss_curve_}),
        }

    upper, whole = TUNED
    for seed in seeds:
        for ways in ((upper, *FROZEN), (whole,)):
            for name in FILES:
                for way in ways:
                    yield Measurement(
                        {"set": name, "way": way, "seed": None if way in FROZEN else seed},
                        lambda name=name, way=way, seed=seed: measure(name, way, seed),
                    )


def _labeler(model: str, way: str) -> SequenceLabeler:
    return SequenceLabeler(
        BertWordVectorizer(model, store=None, **SUM_OF_FOUR),
        make_pipeline(StandardScaler(copy=False), LogisticRegression(C=C, max_iter=MAX_ITER)),
        word_shape=FROZEN[way],
    )


def _tagger(model: str, way: str, seed: int) -> Any:
    return BertTagger(model, trainable_layers=TUNED[way], random_state=seed, store=None)
