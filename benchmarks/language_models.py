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
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bertvectorizer import BertVectorizer, LanguageModel, train_wordpiece
from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language.corpus import Corpus
from bertvectorizer.models.language.initial import read_tokenizer, write_initial_model
from bertvectorizer.models.language.likelihood import MaskedGroups

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


def unigrams(tokenizer: Path, train: list[str], held: list[str], length: int) -> dict[str, Any]:
    """Return the loss of unigrams on the tokens that `LanguageModel.score` masks.

    A token has the probability of its count in the training texts plus one.
    """
    with tempfile.TemporaryDirectory() as folder:
        size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        write_initial_model(Path(folder), size, read_tokenizer(tokenizer), max_length=length)
        checkpoint = open_checkpoint(folder)
        reader = TextTokenizer(checkpoint, load_tokenizer(checkpoint), "", length)
    masked = MaskedGroups(Corpus(reader, held), reader, first_alone=True)
    targets = masked.prepare(np.arange(len(masked.n_tokens))).targets
    ids = Corpus(reader, train).ids
    counts = np.bincount(ids, minlength=len(reader.is_special)) + 1.0
    counts[reader.is_special] = 0
    return {
        "unigram_loss": float(-np.log(counts[targets] / counts.sum()).mean()),
        "uniform_loss": math.log(len(reader.ordinary_ids)),
        "masked_tokens": len(targets),
        "corpus_tokens": len(ids),
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


def measurements(options: argparse.Namespace, language: str) -> Iterator[Measurement]:
    """Yield what to measure: unigrams, then networks by the number of their tokens."""
    train, held = paragraphs(options.data / CORPORA[language], options.limit)
    held = held[:: math.ceil(len(held) / options.held_out)]
    vocabulary = partial(train_wordpiece, train, options.vocab_size)
    tokenizer, vocabulary_seconds = timed(vocabulary)

    def measure_unigrams() -> dict[str, Any]:
        found = unigrams(tokenizer, train, held, options.max_length)
        return {**found, "vocabulary_seconds": vocabulary_seconds}

    def measure(n_wanted: int) -> dict[str, Any]:
        """Train once on each of so many tokens of paragraphs."""
        count = read_tokenizer(tokenizer)
        texts, n_tokens = [], 0
        for row in np.random.default_rng(0).permutation(len(train)).tolist():
            if n_tokens >= n_wanted:
                break
            texts.append(train[row])
            n_tokens += len(count.encode(train[row], add_special_tokens=False))
        model = LanguageModel(
            architecture=options.architecture,
            tokenizer=tokenizer,
            max_length=options.max_length,
            batch_size=options.batch_size,
            mask_probability=options.mask_probability,
            dropout=0.0,
            random_state=0,
            device="cpu",
        )
        _, seconds = timed(lambda: model.fit(texts))
        row = {"texts": len(texts), "found": n_tokens, "seconds": seconds}
        row["loss"] = -model.score(held)
        if language == "English" and n_wanted == max(options.tokens):
            row["sst2"] = sentiment(options.data, model, options.rows)
        return row

    yield Measurement({"language": language, "tokens": 0}, measure_unigrams)
    for n_tokens in options.tokens:
        key = {"language": language, "tokens": n_tokens}
        yield Measurement(key, partial(measure, n_tokens))


def main(arguments: Iterable[str] | None = None) -> None:
    """Run what the result file lacks."""
    known = parser(__doc__)
    known.add_argument(
        "--languages", nargs="+", choices=CORPORA, default=list(CORPORA), help="what to run"
    )
    known.add_argument("--architecture", default="bert-mini", help="the network")
    known.add_argument("--vocab-size", type=int, default=8000)
    known.add_argument("--max-length", type=int, default=64, help="tokens of a sequence")
    known.add_argument("--tokens", nargs="+", type=int, default=[250_000, 500_000, 1_000_000])
    known.add_argument("--batch-size", type=int, default=8, help="sequences")
    known.add_argument("--mask-probability", type=float, default=0.4, help="in training")
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
        if name not in ("data", "name", "again", "languages", "tokens")
    }
    facts = {"machine": machine(), "settings": {**settings, "threads": 1}}
    if options.again:
        results.drop("loss")
    for key, run in chain.from_iterable(measurements(options, each) for each in options.languages):
        if not results.has("loss", key):
            row = {**key, **run()}
            print(f"    {row}", file=sys.stderr, flush=True)
            results.add("loss", facts, row)
    print("\n" + from_nothing_table(results.read()))


if __name__ == "__main__":
    main()
