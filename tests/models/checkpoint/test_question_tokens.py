"""Windows of contexts as transformers' own tokenizers cut them, and the tokens of answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers as hf
from numpy.typing import NDArray
from tokenizers.pre_tokenizers import ByteLevel

from bertvectorizer.errors import InvalidParameterError, UnsupportedModelError
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.question_tokens import QuestionTokenizer
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.pipeline.fine_tuning.answer_spans import cut_characters
from tests.tiny import ModelFactory

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = [("<pad>", 0.0), ("<unk>", -9.0), *((letter, -2.0) for letter in ["▁", *LETTERS])]
LONG = "the old crane flew in the night . a bat hit the river bank of the old money ball ."

# Hard for offsets: case, accents of one or two characters, CJK, emoji of several characters, signs
# that tokenizers drop, leading and other spaces.
CONTEXTS = [
    "  ÉCOLE Ångström café cafe\u0301 fin.",
    "\n\tline one\r\nline\u00a0two\u200b end  ",
    "日本 の 東京 !",
    "👩\u200d🚀 flew 👍🏽 to 🇪🇸 ❤\ufe0f",
    "soft\u00adhyphen 6½ 1,066 don't \ufffd x\x00y",
    "pair \ud83d\ude00 lone \ud800 z",
    "i\u0307stanbul İstanbul ﬁn ﷺ",
]


DROPPED = "\ufffd\ud800"  # BERT makes no token of them


def own_tokenizer(kind: str, default: Path) -> Any:
    """Tokenizers of the families, as transformers makes them; unknown words are one token."""
    if kind == "MiniLM":
        return hf.AutoTokenizer.from_pretrained(default)
    if kind == "RoBERTa":  # bytes as tokens
        names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
        return hf.RobertaTokenizer(vocab={name: n for n, name in enumerate(names)}, merges=[])
    if kind == "XLNet":  # [CLS] at the end
        return hf.XLNetTokenizer(vocab=PIECES)
    return hf.AlbertTokenizer(vocab=[("[CLS]", 0.0), ("[SEP]", 0.0), ("[MASK]", 0.0), *PIECES])


@pytest.fixture(scope="module")
def default(default_model_directory: Path) -> Path:
    return default_model_directory


def tokenizer_of(kind: str, default: Path, **settings: Any) -> tuple[Any, QuestionTokenizer]:
    own = own_tokenizer(kind, default)
    # Of the checkpoint, only the number of vectors and the length count here.
    return own, QuestionTokenizer(open_checkpoint(default), own, **settings)


def as_spans(*spans: tuple[int, int]) -> NDArray[np.int64]:
    return np.array(spans, dtype=np.int64)


@pytest.mark.parametrize("kind", ["MiniLM", "RoBERTa", "ALBERT", "XLNet"])
def test_windows_are_those_of_transformers(kind: str, default: Path) -> None:
    own, tokenizer = tokenizer_of(kind, default, max_length=40, stride=7)
    questions, contexts = ["who flew", "", "where ?"], [LONG, LONG, "a bat"]
    windows = tokenizer(questions, contexts)
    for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        options = {"max_length": 40, "stride": 7, "return_offsets_mapping": True}
        if own.padding_side == "left":
            own.padding_side = "right"
        expected = own(
            *(question, context),
            truncation="only_second",
            return_overflowing_tokens=True,
            **options,
        )
        first, stop = windows.first_window[row : row + 2]
        for number, window in enumerate(range(first, stop)):
            start, end = windows.offsets[window : window + 2]
            ids = windows.ids[start:end].tolist()
            at, count = windows.context_at[window], windows.n_context[window]
            begin = windows.begins[window]
            found = windows.characters_of(row)[begin : begin + count].tolist()
            types = [0] * len(ids) if windows.types is None else windows.types[start:end].tolist()
            if number < stop - first - 1 or number == 0:
                assert ids == expected["input_ids"][number]
                own_types = expected.get("token_type_ids", [[0] * len(ids)] * (number + 1))
                assert types == own_types[number]
                mapping = expected["offset_mapping"][number]
                of_context = [each == 1 for each in expected.sequence_ids(number)]
                assert found == [list(mapping[n]) for n in np.flatnonzero(of_context)]
                assert at - start == of_context.index(True)
            if number == stop - first - 1:
                assert begin + count == len(windows.characters_of(row))  # to the very end
            assert len(ids) == 40 or stop - first == 1
            assert windows.ids[windows.no_answer[window]] == own.cls_token_id
    assert windows.truncation.n_lost == 0


@pytest.mark.parametrize("kind", ["MiniLM", "RoBERTa", "ALBERT"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_no_character_of_an_answer_is_lost(kind: str, context: str, default: Path) -> None:
    """An answer of one to three words is found again from its first and last token."""
    _, tokenizer = tokenizer_of(kind, default)
    words, at = [], 0
    for word in context.split():
        at = context.index(word, at)
        words.append((at, at := at + len(word)))
    spans = [
        (first[0], last[1])
        for number, first in enumerate(words)
        for last in words[number : number + 3]
    ]
    windows = tokenizer(["who?"] * len(spans), [context] * len(spans))
    for row, (span, (first, last)) in enumerate(
        zip(spans, windows.targets(as_spans(*spans)), strict=True)
    ):
        answer = context[slice(*span)]
        if kind == "MiniLM" and (answer[0] in DROPPED or answer[-1] in DROPPED):
            continue
        begin = windows.offsets[row] - windows.context_at[row]
        found = cut_characters(windows.characters_of(row), first + begin, last + begin, context)
        assert (found, context[slice(*found)]) == (span, answer)


def test_targets_are_inside_the_window_or_no_answer(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    own = load_tokenizer(checkpoint)
    tokenizer = QuestionTokenizer(checkpoint, own, max_length=10, stride=2)
    context = "the bat hit the old ball in a river"  # 9 tokens: windows 0-4, 3-7, 4-8
    spans = [(4, 7), (16, 24), (4, 24), (33, 35), (30, 35), (-1, -1)]
    windows = tokenizer(["old bat"] * len(spans), [context] * len(spans))
    assert windows.begins.tolist() == [0, 3, 4] * len(spans)
    assert windows.context_at[:3].tolist() == [4, 14, 24]
    assert windows.targets(as_spans(*spans)).reshape(-1, 3, 2).tolist() == [
        [[5, 5], [0, 0], [0, 0]],
        [[0, 0], [5, 6], [4, 5]],
        [[0, 0], [0, 0], [0, 0]],  # longer than any window holds
        [[0, 0], [0, 0], [8, 8]],  # a part of a word, at the very end
        [[0, 0], [0, 0], [8, 8]],
        [[0, 0]] * 3,
    ]


def test_long_questions_lose_their_end(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    own = load_tokenizer(checkpoint)
    windows = QuestionTokenizer(checkpoint, own, max_question_length=3)([LONG, "bat"], ["", "old"])
    assert own.convert_ids_to_tokens(windows.ids[:5]) == ["[CLS]", *LONG.split()[:3], "[SEP]"]
    assert windows.n_lost.tolist() == [len(LONG.split()) - 3, 0]
    assert (windows.n_context.tolist(), len(windows.characters)) == ([0, 1], 1)
    # Half of the window at most: 13 tokens are 3 special ones, 5 of the question, 5 of the context.
    windows = QuestionTokenizer(checkpoint, own, max_length=13, stride=0)([LONG], [LONG])
    assert set(windows.n_context.tolist()) == {5}
    with pytest.raises(InvalidParameterError, match=r"'stride' .* smaller than the 5 tokens"):
        QuestionTokenizer(checkpoint, own, max_length=13, stride=5)
    with pytest.raises(InvalidParameterError, match="as long as 'questions', which has 1"):
        QuestionTokenizer(checkpoint, own)(["a"], [])


def test_a_tokenizer_without_offsets_is_refused(default: Path) -> None:
    slow: Any = SimpleNamespace(is_fast=False)
    with pytest.raises(UnsupportedModelError, match="does not return the offsets"):
        QuestionTokenizer(open_checkpoint(default), slow)
