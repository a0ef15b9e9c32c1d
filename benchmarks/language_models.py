"""Language models from nothing: held-out loss by tokens seen, beside the loss of unigrams.

Run ``python -m benchmarks.language_models``; README.md says what each number means. Each
measurement is written when it is done, and a later run goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import lzma
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from bertvectorizer import BertVectorizer, LanguageModel, train_wordpiece
from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language.corpus import Corpus
from bertvectorizer.models.language.initial import read_tokenizer
from bertvectorizer.models.language.masking import Masking
from bertvectorizer.models.language.network import language_network
from bertvectorizer.models.language.objectives import MaskedData
from bertvectorizer.models.language.sequences import TextSequences

from .common import RESULTS, machine, parser
from .cpu_seconds import timed
from .kept_results import KeptResults, Measurement
from .language_tables import from_nothing_table
from .texts import sst2

CORPORA = {
    "English": "corpora/enwiki_2014_30mb.txt.xz",
    "Spanish": "corpora/es_novels_conha19_30mb.txt.xz",
}
HELD_OUT = 50  # the last one of as many parts of the file: whole articles and novels


def paragraphs(path: Path, limit: int | None) -> tuple[list[str], list[str]]:
    """Return the lines of a corpus that are not blank: those to learn from, and held-out ones."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        lines = [line.strip() for line in islice(file, limit) if line.strip()]
    first = len(lines) - len(lines) // HELD_OUT
    return lines[:first], lines[first:]


def unigram_loss(model: LanguageModel, train: list[str], held: list[str]) -> dict[str, float]:
    """Return the loss of unigrams on the masked tokens of ``fit``'s validation.

    A token has the probability of its count in the training texts plus one. ``loss_again`` is that
    of the network under the same masks, which must be that of ``fit``.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = open_checkpoint(model.save_pretrained(Path(folder) / "model"))
        reader = TextTokenizer(checkpoint, load_tokenizer(checkpoint), "", model.max_length)
        seed = int(check_random_state(model.random_state).randint(1 << 31))
        sequences = TextSequences(Corpus(reader, held), reader)
        data = MaskedData(sequences, Masking.of(reader, seed=seed))
        targets = data.prepare(np.arange(len(data.n_tokens))).targets
        ids = Corpus(reader, train).ids
        ordinary = reader.ordinary_ids
        counts = np.bincount(ids, minlength=len(reader.is_special))[ordinary] + 1.0
        log = np.full(len(reader.is_special), np.nan)
        log[ordinary] = np.log(counts / counts.sum())
        network = language_network(
            checkpoint, torch.device("cpu"), "masked", n_trained_layers=None, dropout=0.0, seed=0,
            needs_depths=False,
        )  # fmt: skip
        return {
            "unigram_loss": float(-log[targets].mean()),
            "masked_tokens": len(targets),
            "loss_again": data.mean_loss(network),
            "unknown": float(np.mean(reader.is_special[ids])),
        }


def sentiment(data: Path, model: LanguageModel, n_rows: int) -> dict[str, float]:
    """Return the test accuracy on SST-2 of frozen features and TF-IDF, with the same classifier."""
    X, y = sst2(data, "train")
    chosen = np.random.default_rng(0).permutation(len(X))[:n_rows]
    texts, labels = [X[row] for row in chosen], [y[row] for row in chosen]
    X_test, y_test = sst2(data, "test")
    settings: dict[str, Any] = {"layers": -2, "pooling": "mean", "store": None}
    ways = {
        "from nothing": model.vectorizer(**settings),
        "default model": BertVectorizer(**settings),
    }
    scores = {
        name: make_pipeline(way, StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        .fit(texts, labels)
        .score(X_test, y_test)
        for name, way in ways.items()
    }
    tfidf = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    return {**scores, "TF-IDF": tfidf.fit(texts, labels).score(X_test, y_test)}


def measurements(options: argparse.Namespace) -> Iterator[Measurement]:
    """Held-out loss by tokens seen."""

    def measure(language: str) -> dict[str, Any]:
        train, held = paragraphs(options.data / CORPORA[language], options.limit)
        held = held[:: math.ceil(len(held) / options.held_out)]
        directory, vocabulary_seconds = timed(lambda: train_wordpiece(train, options.vocab_size))
        tokenizer = read_tokenizer(directory)
        chosen, n_tokens = [], 0
        for row in np.random.default_rng(0).permutation(len(train)).tolist():
            if n_tokens >= options.tokens:
                break
            chosen.append(train[row])
            n_tokens += len(tokenizer.encode(train[row], add_special_tokens=False))
        model = LanguageModel(
            architecture=options.architecture,
            tokenizer=directory,
            max_length=options.max_length,
            epochs=options.epochs,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            dropout=0.0,
            random_state=0,
            device="cpu",
        )
        _, seconds = timed(lambda: model.fit(chosen, X_val=held))
        more = (
            {"sst2": sentiment(options.data, model, options.rows)} if language == "English" else {}
        )
        return {
            "texts": len(chosen),
            "tokens": n_tokens,
            "vocabulary": len(tokenizer),
            "vocabulary_seconds": vocabulary_seconds,
            "fit_seconds": seconds,
            "uniform_loss": math.log(len(tokenizer)),
            "losses": [-score for score in model.validation_scores_],
            **unigram_loss(model, train, held),
            **more,
        }

    for language in CORPORA:
        yield Measurement({"language": language}, partial(measure, language))


def main(arguments: Iterable[str] | None = None) -> None:
    """Run what the result file lacks."""
    known = parser(__doc__)
    known.add_argument("--architecture", default="bert-mini", help="the network")
    known.add_argument("--vocab-size", type=int, default=8000)
    known.add_argument("--max-length", type=int, default=64, help="tokens of a sequence")
    known.add_argument("--tokens", type=int, default=400_000, help="tokens of an epoch")
    known.add_argument("--epochs", type=int, default=4)
    known.add_argument("--batch-size", type=int, default=8)
    known.add_argument("--learning-rate", type=float, default=1e-3)
    known.add_argument("--held-out", type=int, default=400, help="held-out paragraphs")
    known.add_argument("--rows", type=int, default=2000, help="training rows of SST-2")
    known.add_argument(
        "--limit", type=int, help="most lines of each corpus, for a quick try; needs --name"
    )
    known.add_argument("--again", action="store_true", help="forget earlier results")
    options = known.parse_args(None if arguments is None else list(arguments))
    if options.limit and not options.name:
        known.error("--limit needs --name, so that results of whole sets are not mixed with others")
    threadpool_limits(1)
    torch.set_num_threads(1)
    results = KeptResults(RESULTS / f"{options.name or 'language_models'}.json")
    settings = {
        name: value
        for name, value in vars(options).items()
        if name not in ("data", "name", "again")
    }
    facts = {"machine": machine(), "settings": {**settings, "threads": 1}}
    if options.again:
        results.drop("loss")
    for key, run in measurements(options):
        if not results.has("loss", key):
            row = {**key, **run()}
            print(f"    {row}", file=sys.stderr, flush=True)
            results.add("loss", facts, row)
    print("\n" + from_nothing_table(results.read()))


if __name__ == "__main__":
    main()
