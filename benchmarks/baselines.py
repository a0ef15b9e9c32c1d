"""Each baseline beside BERT: SST-2 and SMS spam, word similarity, analogies, two senses.

Run ``python -m benchmarks.baselines``.
"""

from __future__ import annotations

import lzma
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import Word2Vec
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import (
    BertVectorizer,
    StaticVectorizer,
    Word2VecVectorizer,
    WordVectors,
    load_word_vectors,
)

from .common import machine, parser, write
from .table import baselines_table
from .texts import senseval, sms, sst2

DISTILL = "distill:sentence-transformers/all-MiniLM-L6-v2"
GLOVE = "glove_subsets/glove.twitter.27B.25d.subset11925.txt"
CORPUS = "corpora/enwiki_2014_30mb.txt.xz"
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)

Split = tuple[list[str], list[int], list[str], list[int]]


def feature_sets(tables: dict[str, WordVectors]) -> dict[str, BaseEstimator]:
    """Return the vectorizers to compare, by their names in the table."""
    features: dict[str, BaseEstimator] = {
        "TF-IDF words": TfidfVectorizer(),
        "TF-IDF words, 1 and 2 in a row": TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        "`Word2VecVectorizer()`": Word2VecVectorizer(random_state=0),
        "`Word2VecVectorizer(weighting='sif')`": Word2VecVectorizer(
            random_state=0, weighting="sif"
        ),
        "`Word2VecVectorizer('fasttext')`": Word2VecVectorizer("fasttext", random_state=0),
    }
    for name, table in tables.items():
        for weighting in ("mean", "tfidf", "sif", "power_mean"):
            features[f"`StaticVectorizer`, {name}, {weighting}"] = StaticVectorizer(
                table, weighting=weighting
            )
    features["`BertVectorizer()`"] = BertVectorizer(device="cpu")
    features["`BertVectorizer(layers=-2, pooling='mean')`"] = BertVectorizer(
        layers=-2, pooling="mean", device="cpu"
    )
    return features


def classify(split: Split, features: dict[str, BaseEstimator]) -> Iterator[dict[str, Any]]:
    """Yield the test accuracy of each vectorizer with tuned logistic regression."""
    train, labels, test, truth = split
    majority = DummyClassifier().fit(train, labels)
    yield {
        "features": "majority class",
        **_scores(truth, majority.predict(test)),
        "dims": 0,
        "oov_rate": None,
        "seconds": 0.0,
    }
    for name, vectorizer in features.items():
        print(name, file=sys.stderr)
        start = time.perf_counter()
        X, X_test = vectorizer.fit_transform(train), vectorizer.transform(test)
        seconds = time.perf_counter() - start
        is_sparse = isinstance(
            vectorizer, TfidfVectorizer
        )  # its rows have unit length, and are left so
        steps = [] if is_sparse else [StandardScaler()]
        search = GridSearchCV(
            make_pipeline(*steps, LogisticRegression(max_iter=3000)),
            {
                "logisticregression__C": [
                    penalty * 100 if is_sparse else penalty for penalty in PENALTIES
                ]
            },
            cv=StratifiedKFold(5, shuffle=True, random_state=0),
        ).fit(X, labels)
        yield {
            "features": name,
            **_scores(truth, search.predict(X_test)),
            "dims": int(X.shape[1]),
            "oov_rate": (
                vectorizer.oov_report(test).rate if hasattr(vectorizer, "oov_report") else None
            ),
            "seconds": seconds,
        }


def _scores(truth: list[int], predicted: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": float(np.mean(np.array(truth) == predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
    }


def intrinsic(data: Path, tables: dict[str, WordVectors]) -> Iterator[dict[str, Any]]:
    """Yield word similarity and analogies of each table."""
    files = {
        "WordSim-353": "EN-WS-353-ALL",
        "SimLex-999": "EN-SIMLEX-999",
        "MEN": "EN-MEN-TR-3k",
        "RareWords": "EN-RW-STANFORD",
    }
    for name, table in tables.items():
        print(f"word by word: {name}", file=sys.stderr)
        similarity = {
            kind: table.evaluate_similarity(data / "word_similarity_en" / f"{file}.txt")
            for kind, file in files.items()
        }
        analogies = {
            method: table.evaluate_analogies(
                data / "analogies_en" / "questions-words.txt", method=method
            )
            for method in ("3cosadd", "3cosmul")
        }
        yield {
            "table": name,
            "n_words": len(table),
            "n_dims": table.n_dims,
            "similarity": {
                kind: {"spearman": score.spearman, "pairs": score.n_pairs}
                for kind, score in similarity.items()
            },
            "analogies": {
                method: {"accuracy": score.accuracy, "questions": score.n_questions}
                for method, score in analogies.items()
            },
        }


def senses(data: Path, table: WordVectors) -> Iterator[dict[str, Any]]:
    """Yield the accuracy of a word's sense from its own static vector, in five folds."""
    for word in ("hard", "interest"):
        occurrences = senseval(data, word)
        truth = np.array([occurrence.sense for occurrence in occurrences])
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        views: dict[str, Callable[[str], str]] = {
            "the word": lambda _, word=word: word,
            "its form": lambda form: form,
        }  # type: ignore[misc]
        rows = {"majority class": (DummyClassifier(), np.zeros((len(truth), 1)))}
        for view, spelt in views.items():
            X = np.stack([table[spelt(occurrence.form)] for occurrence in occurrences])
            rows[f"static vector of {view}"] = (
                make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)),
                X,
            )
        for name, (classifier, X) in rows.items():
            accuracy = cross_val_score(classifier, X, truth, cv=folds)
            yield {
                "word": word,
                "occurrences": len(truth),
                "senses": len(set(truth)),
                "forms": Counter(occurrence.form for occurrence in occurrences).most_common(4),
                "features": name,
                "accuracy": float(accuracy.mean()),
            }


def train_on_corpus(path: Path, n_dims: int, workers: int) -> WordVectors:
    """Train word2vec on running text, in slices of a hundred words."""
    print(f"training on {path.name}", file=sys.stderr)
    words = re.findall(r"\b\w\w+\b", lzma.decompress(path.read_bytes()).decode("utf-8").lower())
    slices = [words[start : start + 100] for start in range(0, len(words), 100)]
    return load_word_vectors(
        Word2Vec(
            slices,
            vector_size=n_dims,
            sg=1,
            window=5,
            min_count=5,
            epochs=5,
            seed=0,
            workers=workers,
        ).wv
    )


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument(
        "--limit", type=int, help="number of texts of each set to use, for a quick try"
    )
    known.add_argument(
        "--no-corpus",
        dest="corpus",
        action="store_false",
        help="do not train word2vec on Wikipedia, which takes minutes",
    )
    options = known.parse_args(None if arguments is None else list(arguments))
    data, limited = options.data, slice(options.limit)
    tables = {"GloVe Twitter, 11,925 words": load_word_vectors(data / GLOVE)}
    if options.corpus:
        tables["word2vec on 30 MB of Wikipedia"] = train_on_corpus(data / CORPUS, 200, 2)
    tables["distilled words"] = load_word_vectors(DISTILL)
    train, test = sst2(data, "train"), sst2(data, "test")
    messages = sms(data)
    texts, held_back, labels, truth = train_test_split(
        list(messages),
        list(messages.values()),
        test_size=0.3,
        stratify=list(messages.values()),
        random_state=0,
    )
    sets: dict[str, Split] = {
        "SST-2": (train[0][limited], train[1][limited], test[0][limited], test[1][limited]),
        "SMS spam": (texts[limited], labels[limited], held_back[limited], truth[limited]),
    }
    result = {
        "machine": machine(),
        "settings": {"penalties": PENALTIES, "limit": options.limit},
        "classification": [
            {
                "set": name,
                "train": len(split[0]),
                "test": len(split[2]),
                "rows": list(classify(split, feature_sets(tables))),
            }
            for name, split in sets.items()
        ],
        "intrinsic": list(intrinsic(data, tables)),
        "senses": list(senses(data, tables["distilled words"])),
    }
    print("\n" + baselines_table(result))
    write(options.name or "baselines", result)


if __name__ == "__main__":
    main()
