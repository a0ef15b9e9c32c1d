"""Tests of models/language/sequences.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertvectorizer.errors import InvalidTextError
from bertvectorizer.models import PairTokenizer, TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.description import Checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language.corpus import Corpus
from bertvectorizer.models.language.sequences import SegmentPairs, TextBatch, TextSequences
from tests.tiny import ModelFactory

CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def checkpoint(tiny_model: ModelFactory) -> Checkpoint:
    return open_checkpoint(str(tiny_model("bert")))


def rows_of(batch: TextBatch, values: Any) -> list[list[int]]:
    parts = np.split(values, np.cumsum(batch.lengths)[:-1])
    return [part.tolist() for part in parts]


def test_texts_become_windows_without_overlap(checkpoint: Checkpoint) -> None:
    own = load_tokenizer(checkpoint)
    tokenizer = TextTokenizer(checkpoint, own, "", max_length=6)
    texts = ["a bat", "", "the old bats hit the crane of the river"]
    corpus = Corpus(tokenizer, texts)
    sequences = TextSequences(corpus, tokenizer)
    long = own(texts[2], add_special_tokens=False)["input_ids"]
    assert len(long) == 10
    expected = [own(texts[0])["input_ids"]] + [
        [CLS, *long[start : start + 4], SEP] for start in (0, 4, 8)
    ]
    assert sequences.n_tokens.tolist() == [4, 6, 6, 4]
    batch = sequences.batch(np.array([3, 0, 2, 1]))
    assert batch.sequences.tolist() == [2, 1, 3, 0]  # the longest first
    assert batch.owners.tolist() == [2, 3, 0, 1]
    assert rows_of(batch, batch.ids) == [expected[row] for row in batch.sequences]
    assert batch.types is None
    assert rows_of(batch, batch.is_special)[0] == [True, False, False, False, False, True]
    # "bat" "##s" is cut between windows: what is left of it begins one.
    first = sequences.batch(np.array([1]))
    assert own.convert_ids_to_tokens(first.ids.tolist())[3:5] == ["bat", "##s"]
    assert first.starts_word.tolist() == [True, True, True, True, False, True]
    cut = TextSequences(corpus, TextTokenizer(checkpoint, own, "", max_length=5))
    assert cut.batch(np.array([2])).starts_word.all()
    chosen = TextSequences(corpus, tokenizer, np.array([1, 0]))
    assert chosen.batch(np.arange(len(chosen))).ids.tolist() == expected[0]
    none = TextSequences(Corpus(tokenizer, [""]), tokenizer)
    assert len(none) == 0 == len(none.batch(np.empty(0, dtype=np.int64)).ids)


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def documents(sizes: list[int]) -> list[list[str]]:
    """Return documents whose sentences are one letter, as often as the sentence has words."""
    random = np.random.default_rng(5)
    return [
        [" ".join([LETTERS[number]] * random.integers(1, 6)) for _ in range(size)]
        for number, size in enumerate(sizes)
    ]


def test_pairs_are_drawn_as_bert_draws_them(checkpoint: Checkpoint) -> None:
    own = load_tokenizer(checkpoint)
    tokenizer = PairTokenizer(checkpoint, own, max_length=16)
    texts = documents([30, 2, 1, 45, 0, 17, 9])
    pairs = SegmentPairs(Corpus(tokenizer, texts), tokenizer, seed=0)
    n_tokens, n_random, n_pairs = [], 0, 0
    rows = np.arange(len(pairs))
    seen: set[tuple[int, ...]] = set()
    others: set[int] = set()
    for epoch in range(200):
        pairs.draw(epoch)
        assert len(pairs.n_tokens) == len(rows)
        n_tokens.append(pairs.n_tokens)
        batch = pairs.batch(rows)
        labels = pairs.labels(batch.sequences)
        assert batch.types is not None
        for ids, types, label in zip(
            rows_of(batch, batch.ids), rows_of(batch, batch.types), labels.tolist(), strict=True
        ):
            first, second = ids[1 : (end := ids.index(SEP))], ids[end + 1 : -1]
            assert (ids[0], ids[-1], len(ids) <= 16) == (CLS, SEP, True)
            assert types == [0] * (end + 1) + [1] * (len(second) + 1)
            # A document is its letter: A is of one, B of the same one only if it follows.
            assert len(set(first)) == len(set(second)) == 1
            assert (first[0] != second[0]) == bool(label)
            seen.add((first[0],))
            others.update(second if label else [])
        n_random, n_pairs = n_random + int(labels.sum()), n_pairs + len(labels)
    assert abs(n_random - n_pairs / 2) < 4.5 * np.sqrt(n_pairs) / 2
    number = dict(zip(LETTERS, own.convert_tokens_to_ids(list(LETTERS)), strict=True))
    # One sentence gives no pair, but may follow others; no document follows itself.
    assert {letter for (letter,) in seen} == {number[letter] for letter in "abdfg"}
    assert others == {number[letter] for letter in "abcdfg"}
    assert max(map(max, n_tokens)) == 16
    assert any((n_tokens[0] != each).any() for each in n_tokens)


def test_true_neighbours_follow_each_other_and_no_text_is_lost(checkpoint: Checkpoint) -> None:
    own = load_tokenizer(checkpoint)
    tokenizer = PairTokenizer(checkpoint, own, max_length=15)
    text = " ".join(LETTERS)
    sentences = [text, "a b", "c", "d e f g", "h i j", text + " . " + text]
    corpus = Corpus(tokenizer, [sentences, ["bat"]])
    pairs = SegmentPairs(corpus, tokenizer, seed=4)
    rows = np.arange(len(pairs))
    whole = corpus.ids[: corpus.offsets[6]].tolist()
    joined = " ".join(map(str, whole))
    read: set[int] = set()
    for epoch in range(40):
        pairs.draw(epoch)
        batch = pairs.batch(rows[pairs.labels(rows) == 0])
        for ids, row in zip(rows_of(batch, batch.ids), batch.sequences, strict=True):
            first, second = ids[1 : (end := ids.index(SEP))], ids[end + 1 : -1]
            assert " ".join(map(str, first)) in joined
            assert " ".join(map(str, second)) in joined
            (one, other), counts = pairs._starts[row], pairs._counts[row]
            assert other >= one + counts[0]
            read.update(range(one, one + counts[0]), range(other, other + counts[1]))
    assert read == set(range(len(whole)))


def test_pairs_that_are_cut_fill_the_sequence(checkpoint: Checkpoint) -> None:
    tokenizer = PairTokenizer(checkpoint, load_tokenizer(checkpoint), max_length=16)
    corpus = Corpus(tokenizer, [["a b c d"] * 4] * 2)  # 16 tokens for a room of 13
    pairs = SegmentPairs(corpus, tokenizer, seed=0)
    counts: set[tuple[int, ...]] = set()
    for epoch in range(40):
        pairs.draw(epoch)
        counts |= {tuple(each) for each in pairs._counts[pairs._labels == 0].tolist()}
    assert counts == {(4, 9), (7, 6), (9, 4)}  # the longer one loses tokens, the second if equal


def test_draws_do_not_depend_on_the_batch_and_return_by_epoch(checkpoint: Checkpoint) -> None:
    tokenizer = PairTokenizer(checkpoint, load_tokenizer(checkpoint), max_length=16)
    corpus = Corpus(tokenizer, documents([12, 8, 20]))
    one, other = (SegmentPairs(corpus, tokenizer, seed=1) for _ in range(2))
    for epoch in (3, 1):
        one.draw(epoch)
    other.draw(1)
    rows = np.arange(len(one))
    assert one.batch(rows).ids.tolist() == other.batch(rows).ids.tolist()
    by_row = [other.batch(rows[row : row + 1]).ids for row in one.batch(rows).sequences]
    assert np.concatenate(by_row).tolist() == one.batch(rows).ids.tolist()
    again = SegmentPairs(corpus, tokenizer, seed=2)
    again.draw(1)
    assert again.labels(rows).tolist() != one.labels(rows).tolist()
    chosen = SegmentPairs(corpus, tokenizer, seed=1, documents=np.array([2, 0]))
    assert 0 < len(chosen) < len(one)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([["a bat", "a crane"], [""]], "two documents or more. Got 1"),
        ([], "two documents or more. Got 0"),
        (["a bat", "a crane"], "2 documents of one sentence.*splitlines"),
    ],
)
def test_documents_without_pairs_are_refused(
    checkpoint: Checkpoint, texts: list[Any], message: str
) -> None:
    tokenizer = PairTokenizer(checkpoint, load_tokenizer(checkpoint))
    with pytest.raises(InvalidTextError, match=message):
        SegmentPairs(Corpus(tokenizer, texts), tokenizer, seed=0)
