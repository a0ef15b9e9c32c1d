"""Speed of word vectors, compared with sentence-transformers' token vectors."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate

from .fork_server import ForkServer
from .network import token_counts
from .tagged import distinct_words
from .texts import reviews

PEER = "sentence-transformers"
BATCHES = (32, 64, 128)
OURS = {"`BertWordVectorizer(store=None)`": None, "`BertWordVectorizer()`, its store new": "auto"}
DOCUMENT_WORDS = 180
_MOST_TOKENS = 256
_WARM_UP = 32


def run(data: Path, rounds: int, sizes: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Yield a case for each kind of documents; ``sizes`` says how many of each."""
    model = Path(locate(DEFAULT_MODEL, local_files_only=True))
    with ForkServer() as server:
        for kind, size in sizes.items():
            documents, n_tokens = _draw(data, kind, size + _WARM_UP, model)
            warm_up, documents = documents[:_WARM_UP], documents[_WARM_UP:]
            n_tokens = n_tokens[_WARM_UP:]
            seconds: dict[str, list[float]] = {}
            for number in range(rounds):
                print(f"{kind}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                for batch in BATCHES:
                    took = server.call(
                        encode_tokens,
                        model=str(model),
                        warm_up=warm_up,
                        documents=documents,
                        batch_size=batch,
                    )
                    seconds.setdefault(peer_name(batch), []).append(took)
                for name, store in OURS.items():
                    took = server.call(
                        encode_words,
                        model=str(model),
                        warm_up=warm_up,
                        documents=documents,
                        store=store,
                    )
                    seconds.setdefault(name, []).append(took)
            n_words = sum(map(len, documents))
            yield {
                "kind": kind,
                "documents": len(documents),
                "words": n_words,
                "tokens": sum(n_tokens),
                "rows": _rows(seconds, n_words),
            }


def peer_name(batch: int) -> str:
    """Return the name of the peer with a batch size."""
    return f"{PEER}, batches of {batch}" + (" (default)" if batch == BATCHES[0] else "")


def _rows(seconds: dict[str, list[float]], n_words: int) -> list[dict[str, Any]]:
    default, best = (
        seconds[peer_name(BATCHES[0])],
        min((seconds[peer_name(batch)] for batch in BATCHES), key=median),
    )
    return [
        {
            "contender": name,
            "seconds": own,
            "words_per_second": n_words / median(own),
            "ratio": median(theirs / ours for theirs, ours in zip(default, own, strict=True)),
            "ratio_to_best": median(theirs / ours for theirs, ours in zip(best, own, strict=True)),
        }
        for name, own in seconds.items()
    ]


def _draw(data: Path, kind: str, size: int, model: Path) -> tuple[list[list[str]], list[int]]:
    """Return distinct documents that the peer does not cut off, and their numbers of tokens."""
    spare = size + size // 2 + 50
    texts = (
        reviews(data, DOCUMENT_WORDS, spare)
        if kind == "documents"
        else map(" ".join, distinct_words(data, kind, spare))
    )
    drawn = [text.split() for text in texts]
    counts = token_counts(model, [" ".join(words) for words in drawn]).tolist()
    whole = [
        (words, count) for words, count in zip(drawn, counts, strict=True) if count < _MOST_TOKENS
    ][:size]
    return [words for words, _ in whole], [count for _, count in whole]


def encode_words(
    model: str, warm_up: list[list[str]], documents: list[list[str]], store: str | None
) -> float:
    """Return the seconds that our vectors of words take."""
    from bertvectorizer import BertWordVectorizer

    vectorizer = BertWordVectorizer(model, store=store, device="cpu", local_files_only=True).fit(
        warm_up
    )
    vectorizer.transform(warm_up)
    start = time.perf_counter()
    vectors = vectorizer.transform(documents)
    seconds = time.perf_counter() - start
    assert len(vectors) == sum(map(len, documents))
    return seconds


def encode_tokens(
    model: str, warm_up: list[list[str]], documents: list[list[str]], batch_size: int
) -> float:
    """Return the seconds of the peer's token vectors, without pooling them to words."""
    from sentence_transformers import SentenceTransformer

    texts = [" ".join(words) for words in documents]
    encoder = SentenceTransformer(model, device="cpu", local_files_only=True)
    options: dict[str, Any] = {
        "output_value": "token_embeddings",
        "batch_size": batch_size,
        "show_progress_bar": False,
    }
    encoder.encode([" ".join(words) for words in warm_up], **options)
    start = time.perf_counter()
    states = encoder.encode(texts, **options)
    seconds = time.perf_counter() - start
    assert len(states) == len(texts)
    return seconds
