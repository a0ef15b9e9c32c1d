"""The best legal span over windows, beside one that is found by trying all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp

from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.question_tokens import QuestionTokenizer, QuestionWindows
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.pipeline.fine_tuning.answer_spans import (
    FoundAnswer,
    cut_characters,
    find_answers,
)
from tests.tiny import ModelFactory

CONTEXT = "the bat hit the old ball in a river of money"  # of 11 tokens
ALWAYS = float("inf")
# Two answers of XQuAD end within a number, one begins within two words without a space.
COMPLETED = {
    "en": {"7,000,000 square kilometres (2,70": "7,000,000 square kilometres (2,700"},
    "es": {
        "7 000 000 000 km2 (2 70": "7 000 000 000 km2 (2 700",
        "Nueva Holanda": "llamadaNueva Holanda",
    },
}


def windows_of(model: Path, contexts: list[str], **settings: Any) -> QuestionWindows:
    checkpoint = open_checkpoint(model)
    tokenizer = QuestionTokenizer(checkpoint, load_tokenizer(checkpoint), **settings)
    return tokenizer(["old bat"] * len(contexts), contexts)


def flat(windows: QuestionWindows) -> NDArray[np.float32]:
    """Scores that prefer nothing."""
    return np.zeros((len(windows.ids), 2), dtype=np.float32)


def one(windows: QuestionWindows, scores: Any, context: str, **options: Any) -> FoundAnswer:
    options = {"max_answer_length": 30, "null_threshold": ALWAYS} | options
    return find_answers(windows, scores, [context], **options)[0]


@pytest.mark.parametrize("longest", [1, 3, 30])
def test_no_span_is_better(tiny_model: ModelFactory, longest: int) -> None:
    windows = windows_of(tiny_model("bert"), [CONTEXT, "a", CONTEXT], max_length=12, stride=4)
    scores = np.random.default_rng(0).normal(size=(len(windows.ids), 2)).astype(np.float32)
    found = find_answers(windows, scores, [CONTEXT, "a", CONTEXT], longest, 0.5)
    assert np.diff(windows.first_window).tolist() == [3, 1, 3]
    kinds = set()
    for row, context in enumerate([CONTEXT, "a", CONTEXT]):
        own = range(*windows.first_window[row : row + 2])
        none = min(float(scores[windows.no_answer[window]].sum()) for window in own)
        best: dict[tuple[int, int], tuple[int, float]] = {}  # margin and score of each span
        for window in own:
            at, n, begin = (
                int(each[window])
                for each in (windows.context_at, windows.n_context, windows.begins)
            )
            for i in range(n):
                for j in range(i, min(i + longest, n)):
                    margin, score = min(i, n - 1 - j), float(scores[at + i, 0] + scores[at + j, 1])
                    span = begin + i, begin + j
                    if span not in best or margin > best[span][0]:
                        best[span] = margin, score
        (first, last), (_, top) = max(best.items(), key=lambda item: item[1][1])
        total = logsumexp([none, *(score for _, score in best.values())])
        kinds.add(none - top > 0.5)
        if none - top > 0.5:
            expected = FoundAnswer(-1, -1, pytest.approx(np.exp(none - total)))
        else:
            characters = windows.characters_of(row)
            start, end = int(characters[first, 0]), int(characters[last, 1])
            expected = FoundAnswer(start, end, pytest.approx(np.exp(top - total)))
            assert context[start:end].split()
        assert found[row] == expected
    assert kinds == {False, True}


def test_tokens_of_the_question_and_special_ones_never_answer(tiny_model: ModelFactory) -> None:
    windows = windows_of(tiny_model("bert"), [CONTEXT])
    scores = flat(windows)
    context = slice(windows.context_at[0], windows.context_at[0] + windows.n_context[0])
    scores[:] = 9.0
    scores[context] = 0.0
    scores[context][4, 0], scores[context][5, 1] = 1.0, 1.0
    found = one(windows, scores, CONTEXT)
    assert CONTEXT[found.start : found.end] == "old ball"
    assert one(windows, scores, CONTEXT, null_threshold=0.0) == FoundAnswer(
        -1, -1, pytest.approx(1.0, abs=1e-4)
    )


def test_the_end_is_not_before_the_start(tiny_model: ModelFactory) -> None:
    windows = windows_of(tiny_model("bert"), [CONTEXT])
    scores = flat(windows)
    at = windows.context_at[0]
    scores[at + 10, 0], scores[at, 1] = 5.0, 4.0  # the best two tokens are no span
    found = one(windows, scores, CONTEXT)
    assert CONTEXT[found.start : found.end] == "money"  # at the very end


@pytest.mark.parametrize("context", ["", "  \n ", "\x00"])
def test_a_context_without_a_span_has_no_answer(tiny_model: ModelFactory, context: str) -> None:
    windows = windows_of(tiny_model("bert"), [context])
    assert one(windows, flat(windows), context) == FoundAnswer(-1, -1, 1.0)


def test_the_threshold_is_one_of_scores(tiny_model: ModelFactory) -> None:
    windows = windows_of(tiny_model("bert"), [CONTEXT])
    scores = flat(windows)
    scores[windows.context_at[0] + 1] = 1.0  # "bat": 2
    scores[windows.no_answer[0]] = 2.5  # 5
    for threshold, start in ((2.9, -1), (3.0, 4), (-np.inf, -1), (np.inf, 4)):
        assert one(windows, scores, CONTEXT, null_threshold=threshold).start == start


def test_the_same_words_at_two_places(tiny_model: ModelFactory) -> None:
    context = "a bat hit a bat"
    windows = windows_of(tiny_model("bert"), [context])
    scores = flat(windows)
    scores[windows.context_at[0] + 4] = 3.0
    assert (one(windows, scores, context).start, context.index("bat")) == (12, 2)


@pytest.mark.parametrize(
    ("tokens", "context", "span"),
    [
        ([(0, 2), (2, 6)], "Norman", (0, 6)),  # a part of a word
        ([(0, 2), (2, 4)], "1966", (0, 4)),
        ([(0, 1), (1, 3)], "5km", (0, 1)),
        ([(0, 1), (1, 2)], "日本", (0, 1)),
        ([(0, 4)], "cafe\u0301 x", (0, 5)),
        ([(0, 1), (2, 3)], "👩\u200d🚀", (0, 3)),
        ([(0, 1), (1, 2)], "👍🏽", (0, 2)),
        ([(0, 2), (3, 4)], "👩\u200d x", (0, 2)),  # a joiner of nothing
        ([(0, 1), (1, 2)], "🇪🇸", (0, 2)),
        ([(0, 4), (4, 5)], " the.", (1, 4)),  # a space is in the token, as RoBERTa's
        ([(0, 3), (3, 4)], "ab\n.", (0, 2)),
    ],
)
def test_characters_of_an_answer(tokens: Any, context: str, span: tuple[int, int]) -> None:
    assert cut_characters(np.array(tokens), 0, 0, context) == span
    if span[1] > tokens[0][1]:
        assert cut_characters(np.array(tokens), len(tokens) - 1, len(tokens) - 1, context) == span


@pytest.mark.parametrize("language", ["en", "es"])
def test_real_answers_are_found_again_from_their_tokens(
    language: str, default_model_directory: Path, shared_data: Path
) -> None:
    path = shared_data / "xquad" / f"xquad.{language}.json"
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    rows = [
        (part["context"], each["question"], each["answers"][0])
        for article in articles
        for part in article["paragraphs"]
        for each in part["qas"]
    ]
    contexts = [context for context, _, _ in rows]
    checkpoint = open_checkpoint(default_model_directory)
    windows = QuestionTokenizer(checkpoint, load_tokenizer(checkpoint), max_length=180)(
        [question for _, question, _ in rows], contexts
    )
    starts = np.array([answer["answer_start"] for _, _, answer in rows])
    lengths = np.array([len(answer["text"]) for _, _, answer in rows])
    targets = windows.targets(np.column_stack([starts, starts + lengths]))
    scores = flat(windows)
    for target, first, none in zip(targets, windows.offsets[:-1], windows.no_answer, strict=True):
        if target[0] + first != none:
            scores[target[0] + first, 0] = scores[target[1] + first, 1] = 9.0
    found = find_answers(windows, scores, contexts, 128, ALWAYS)
    changed = {
        answer["text"]: context[one.start : one.end]
        for (context, _, answer), one in zip(rows, found, strict=True)
        if context[one.start : one.end] != answer["text"]
    }
    assert len(windows.lengths) > 1.3 * len(rows)
    assert changed == COMPLETED[language]
