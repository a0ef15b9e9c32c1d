"""BertAnswerer beside simple baselines on XQuAD's English questions.

Run ``python -m benchmarks.answering``; README.md says what each number means. Each measurement is
written when it is done, and a later run goes on with those that are missing.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from bertvectorizer import BertAnswerer
from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL
from bertvectorizer.pipeline.fine_tuning.squad_metrics import (
    exact_match,
    mean_over_rows,
    normalized,
    token_f1,
)

from .answering_table import answering_table
from .common import RESULTS, machine, parser
from .cpu_seconds import fit_and_predict
from .kept_results import KeptResults, Measurement

Question = tuple[str, str]
Answer = tuple[str, int]

TEST_ARTICLES = 12  # of 48
LONGEST_SPAN = 10  # words of a random span
DRAWS = 20
REACH = 10  # words on each side of a span whose overlap with the question counts
TUNED: dict[str, dict[str, Any]] = {
    "BertAnswerer, top 2 layers": {"trainable_layers": 2, "epochs": 4, "learning_rate": 3e-4},
    "BertAnswerer, all layers": {"epochs": 2, "learning_rate": 3e-4},
}
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\S+")


def xquad(data: Path) -> tuple[list[list[Question]], list[list[Answer]]]:
    """Return the questions with their contexts, and the answers, by article."""
    articles = json.loads((data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    X: list[list[Question]] = []
    y: list[list[Answer]] = []
    for article in articles:
        asked = [(part["context"], each) for part in article["paragraphs"] for each in part["qas"]]
        X.append([(each["question"], context) for context, each in asked])
        answers = [each["answers"][0] for _, each in asked]
        y.append([(answer["text"], answer["answer_start"]) for answer in answers])
    return X, y


def first_sentence(question: str, context: str) -> list[str]:
    """Return the first sentence of a context."""
    return [_SENTENCE.split(context.strip())[0]]


def random_spans(question: str, context: str) -> list[str]:
    """Return spans of words, drawn with a seed."""
    words = context.split()
    random = np.random.default_rng(len(context) + len(question))
    starts = random.integers(len(words), size=DRAWS)
    counts = random.integers(1, LONGEST_SPAN + 1, size=DRAWS)
    return [
        " ".join(words[start : start + count])
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True)
    ]


def sliding_overlap(question: str, context: str) -> list[str]:
    """Return the span whose neighbours have most words of the question, as in MCTest's baseline.

    Words weigh log(1 + 1 / count) by their count in the context. A span has no word of the question
    and up to three words; of equals, the one nearest to the words that count is taken.
    """
    found = [match[0] for match in _WORD.finditer(context)]
    words = [normalized(word) for word in found]
    asked = set(normalized(question).split())
    counts = Counter(words)
    weights = np.array(
        [np.log1p(1 / counts[word]) if word and word in asked else 0.0 for word in words]
    )
    best, chosen = -1.0, ""
    for start in range(len(words)):
        for stop in range(start + 1, min(start + 3, len(words)) + 1):
            if not all(words[start:stop]) or weights[start:stop].any():
                break
            near = np.concatenate(
                [weights[max(start - REACH, 0) : start][::-1], weights[stop : stop + REACH]]
            )
            distance = np.concatenate([np.arange(min(start, REACH)), np.arange(REACH)])[: len(near)]
            score = float((near * (1 - 0.01 * distance)).sum())
            if score > best:
                best, chosen = score, " ".join(found[start:stop])
    return [chosen]


BASELINES: dict[str, Callable[[str, str], list[str]]] = {
    "first sentence": first_sentence,
    "random span": random_spans,
    "sliding overlap": sliding_overlap,
}


def measurements(
    data: Path, model: str, seeds: list[int], limit: int | None
) -> Iterator[Measurement]:
    """Yield what to measure; the test articles are the same ones for all."""
    X, y = xquad(data)
    order = np.random.default_rng(0).permutation(len(X)).tolist()
    X_test, y_test = (
        [row for article in order[:TEST_ARTICLES] for row in part[article]][:limit]
        for part in (X, y)
    )
    X_train, y_train = (
        [row for article in order[TEST_ARTICLES:] for row in part[article]][:limit]
        for part in (X, y)
    )

    def scores(predicted: list[list[str]]) -> dict[str, Any]:
        """Return the mean over the answers to each question, then over the questions."""
        rows = [
            (answer, [text], 1 / len(answers))
            for answers, (text, _) in zip(predicted, y_test, strict=True)
            for answer in answers
        ]
        answers, true, weights = zip(*rows, strict=True)
        return {
            "train": len(X_train),
            "test": len(X_test),
            "f1": mean_over_rows(token_f1, answers, true, np.array(weights)),
            "exact_match": mean_over_rows(exact_match, answers, true, np.array(weights)),
        }

    def tuned(way: str, seed: int) -> dict[str, Any]:
        answerer = BertAnswerer(model, random_state=seed, store=None, **TUNED[way])
        found, facts = fit_and_predict(answerer, X_train, y_train, X_test)
        answers = [[answer] for answer in found["answer"]]
        return {**scores(answers), **facts, "loss_curve": answerer.loss_curve_}

    for way, answer in BASELINES.items():
        yield Measurement(
            {"way": way, "seed": 0}, lambda answer=answer: scores([answer(*row) for row in X_test])
        )
    for way in TUNED:
        for seed in seeds:
            yield Measurement(
                {"way": way, "seed": seed}, lambda way=way, seed=seed: tuned(way, seed)
            )


def main(arguments: Iterable[str] | None = None) -> None:
    """Run what the result file lacks."""
    known = parser(__doc__)
    known.add_argument("--seeds", nargs="+", type=int, default=[0], help="of fine-tuning")
    known.add_argument("--model", default=DEFAULT_MODEL, help="the transformer")
    known.add_argument("--threads", type=int, default=2, help="of PyTorch and BLAS")
    known.add_argument(
        "--limit", type=int, help="most questions of each side, for a quick try; needs --name"
    )
    known.add_argument("--again", action="store_true", help="forget earlier results")
    options = known.parse_args(None if arguments is None else list(arguments))
    if options.limit and not options.name:
        known.error("--limit needs --name, so that results of the whole set are not mixed")
    threadpool_limits(options.threads)
    torch.set_num_threads(options.threads)
    results = KeptResults(RESULTS / f"{options.name or 'answering'}.json")
    settings = {
        "model": options.model,
        "threads": options.threads,
        "test_articles": TEST_ARTICLES,
        "tuned": TUNED,
    }
    facts = {"machine": {**machine(), "threads": options.threads}, "settings": settings}
    if options.again:
        results.drop("xquad")
    for key, run in measurements(options.data, options.model, options.seeds, options.limit):
        if results.has("xquad", key):
            continue
        print(f"{key['way']}, seed {key['seed']}", file=sys.stderr, flush=True)
        row = {**key, **run()}
        print(f"    {row}", file=sys.stderr, flush=True)
        results.add("xquad", facts, row)
    print("\n" + answering_table(results.read()))


if __name__ == "__main__":
    main()
