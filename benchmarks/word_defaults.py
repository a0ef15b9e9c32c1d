"""Which layers and which decoder should be the defaults of vectors of words and of tagging.

Run ``python -m benchmarks.word_defaults``; README.md says what each number means. Each score is
written when it is known, and a later run goes on with those that are missing. Processes may run
different tasks at the same time.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bertvectorizer import BertSpanVectorizer, BertWordVectorizer, SequenceLabeler
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL

from .common import RESULTS, machine, parser
from .kept_results import KeptResults, Measurement
from .tagged import TaggedSet, sense_table, senseval_tags, tagged_set
from .word_defaults_table import word_defaults_table

Candidates = dict[str, tuple[list[int], str]]
SENSES = ("hard", "interest")
TASKS = (
    *(f"senses of {word}" for word in SENSES),
    "entities, wnut17",
    "entities, conll2002_es",
    "parts of speech, senseval",
    "parts of speech, conll2002_es",
)
C = 0.01  # that of SequenceLabeler's default estimator
# Conditional random fields take several times as long to fit: only these are compared with them.
WITH_CRF = ("last layer", "mean of the last four", "mean of all")


def candidates(n_layers: int) -> Candidates:
    """Return layers and their merge by name, in the order of the table."""
    last_four = list(range(n_layers - 3, n_layers + 1))
    return {
        **{f"layer {layer}": ([layer], "concat") for layer in range(1, n_layers)},
        "last layer": ([n_layers], "concat"),
        "mean of the last four": (last_four, "mean"),
        "mean of all": (list(range(1, n_layers + 1)), "mean"),
        "mean of all and the embeddings": (list(range(n_layers + 1)), "mean"),
        "concatenation of the last two": (last_four[2:], "concat"),
        "concatenation of a middle layer and the last": ([n_layers // 2, n_layers], "concat"),
        "concatenation of the last four": (last_four, "concat"),
    }


def merged(states: NDArray[np.float32], layers: list[int], merge: str) -> NDArray[np.float32]:
    """Merge some layers of states of shape (n_words, n_layers + 1, hidden)."""
    chosen = states[:, layers]
    return chosen.mean(axis=1) if merge == "mean" else chosen.reshape(len(chosen), -1)


class ReadLayers(TransformerMixin, BaseEstimator):
    """A vectorizer of sentences whose states of all layers are known."""

    def __init__(self, states: dict[tuple[str, ...], Any], layers: list[int], merge: str) -> None:
        self.states = states
        self.layers = layers
        self.merge = merge

    def __sklearn_clone__(self) -> Self:
        return self

    def fit(self, X: list[list[str]], y: Any = None) -> Self:
        return self

    def transform(self, X: list[list[str]]) -> NDArray[np.float32]:
        rows = [self.states[tuple(words)] for words in X]
        return merged(np.concatenate(rows), self.layers, self.merge)


def tag_measurements(load: Callable[[], TaggedSet], task: str, model: str) -> Iterator[Measurement]:
    """Yield scores of a tagger with default parameters: one pass over the sentences for all."""
    split: TaggedSet | None = None
    states: dict[tuple[str, ...], Any] = {}
    n_layers = open_checkpoint(model, local_files_only=True).n_layers
    fitted: dict[str, SequenceLabeler] = {}

    def measure(name: str, layers: list[int], merge: str, decode: str) -> dict[str, Any]:
        nonlocal split
        if split is None:
            split = load()
            parts = [words for part in split[1:] for words in part.words]
            distinct = [list(words) for words in dict.fromkeys(map(tuple, parts))]
            reader = BertWordVectorizer(model, layers="all", store=None, local_files_only=True)
            for words, found in zip(distinct, reader.iter_transform(distinct), strict=True):
                states[tuple(words)] = found.reshape(len(words), n_layers + 1, -1)
        start = time.process_time()
        if decode == "viterbi" and name in fitted:  # one classifier serves both decoders
            labeler = fitted.pop(name).set_params(decode=decode)
        else:
            labeler = SequenceLabeler(ReadLayers(states, layers, merge), decode=decode)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                labeler.fit(*split.train)
            if decode == "greedy":
                fitted[name] = labeler
        seconds = time.process_time() - start
        held_back = [dev + test for dev, test in zip(split.dev, split.test, strict=True)]
        return {
            "score": labeler.score(*held_back),
            "fit_cpu_seconds": seconds,
            "train": len(split.train.words),
            "train_words": sum(map(len, split.train.words)),
            "held_back": len(held_back[0]),
            "measure": "accuracy" if labeler.scheme_ == "plain" else "micro-F1",
        }

    hidden = open_checkpoint(model, local_files_only=True).hidden_size
    # With the 60 tags of Spanish parts of speech, random fields take minutes each.
    with_crf = () if task == "parts of speech, conll2002_es" else WITH_CRF
    for name, (layers, merge) in candidates(n_layers).items():
        width = hidden * (len(layers) if merge == "concat" else 1)
        for decode in ("greedy", "viterbi", *(["crf"] if name in with_crf else [])):
            yield Measurement(
                {"task": task, "features": name, "decode": decode, "width": width},
                lambda name=name, layers=layers, merge=merge, decode=decode: measure(
                    name, layers, merge, decode
                ),
            )


def sense_measurements(data: Path, word: str, model: str, size: int) -> Iterator[Measurement]:
    """Yield accuracies of a classifier of senses on the half of the occurrences held back."""
    known: list[NDArray[np.float32]] = []
    checkpoint = open_checkpoint(model, local_files_only=True)

    def measure(layers: list[int], merge: str) -> dict[str, Any]:
        table, senses = sense_table(data, word, size)
        if not known:
            reader = BertSpanVectorizer(model, layers="all", store=None, local_files_only=True)
            known.append(reader.transform(table).reshape(len(table), checkpoint.n_layers + 1, -1))
        train, test = train_test_split(
            np.arange(len(table)), test_size=0.5, stratify=senses, random_state=0
        )
        vectors = merged(known[0], layers, merge)
        start = time.process_time()
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
        classifier.fit(vectors[train], senses[train])
        return {
            "score": float(classifier.score(vectors[test], senses[test])),
            "fit_cpu_seconds": time.process_time() - start,
            "train": len(train),
            "train_words": len(train),
            "held_back": len(test),
            "measure": "accuracy",
        }

    for name, (layers, merge) in candidates(checkpoint.n_layers).items():
        width = checkpoint.hidden_size * (len(layers) if merge == "concat" else 1)
        yield Measurement(
            {"task": f"senses of {word}", "features": name, "decode": None, "width": width},
            lambda layers=layers, merge=merge: measure(layers, merge),
        )


def measurements(options: argparse.Namespace) -> Iterator[Measurement]:
    """Yield what to measure, task by task."""
    data, model, n_held_back = options.data, options.model, options.held_back // 2
    n_pos = options.pos_sentences
    sets: dict[str, Callable[[], TaggedSet]] = {
        "entities, wnut17": lambda: tagged_set(data, "wnut17", options.wnut, n_held_back),
        "entities, conll2002_es": lambda: tagged_set(
            data, "conll2002_es", options.sentences, n_held_back
        ),
        "parts of speech, senseval": lambda: senseval_tags(data, "hard", n_pos, n_held_back),
        "parts of speech, conll2002_es": lambda: tagged_set(
            data, "conll2002_es", n_pos, n_held_back, tag_column=1
        ),
    }
    for task in options.tasks:
        if task in sets:
            yield from tag_measurements(sets[task], task, model)
        else:
            word = task.removeprefix("senses of ")
            yield from sense_measurements(data, word, model, options.occurrences)


def main(arguments: Iterable[str] | None = None) -> None:
    """Run what the result file lacks."""
    known = parser(__doc__)
    known.add_argument("--model", default=DEFAULT_MODEL, help="the transformer")
    known.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, help="what to run")
    known.add_argument("--wnut", type=int, default=600, help="training sentences of WNUT-17")
    known.add_argument(
        "--sentences", type=int, default=400, help="training sentences of CoNLL-2002"
    )
    known.add_argument(
        "--pos-sentences", type=int, default=200, help="training sentences of parts of speech"
    )
    known.add_argument(
        "--held-back", type=int, default=1000, help="sentences held back of each set of tags"
    )
    known.add_argument(
        "--occurrences", type=int, default=0, help="occurrences of each ambiguous word; 0 is all"
    )
    known.add_argument("--again", action="store_true", help="forget earlier results")
    options = known.parse_args(None if arguments is None else list(arguments))
    threadpool_limits(1)
    torch.set_num_threads(1)
    results = KeptResults(RESULTS / f"{options.name or 'word_defaults'}.json")
    if options.again:
        results.drop("scores")
    settings = {
        name: value
        for name, value in vars(options).items()
        if name not in ("data", "name", "tasks", "again")
    }
    facts = {"machine": machine() | {"threads": 1}, "settings": settings}
    for key, run in measurements(options):
        if not results.has("scores", key):
            row = {**key, **run()}
            print(row, file=sys.stderr, flush=True)
            results.add("scores", facts, row)
    print("\n" + word_defaults_table(results.read()))


if __name__ == "__main__":
    main()
