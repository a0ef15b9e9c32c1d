"""Tests of models/language/masking.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language.corpus import Corpus
from bertvectorizer.models.language.masking import Masking
from bertvectorizer.models.language.sequences import TextSequences
from tests.tiny import SIZE, ModelFactory

UNKNOWN, MASK = 1, 4
SPECIAL = range(5)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: ModelFactory) -> TextTokenizer:
    checkpoint = open_checkpoint(str(tiny_model("bert")))
    return TextTokenizer(checkpoint, load_tokenizer(checkpoint), "", max_length=20)


@pytest.fixture(scope="module")
def sequences(tokenizer: TextTokenizer) -> TextSequences:
    words = "the old bats flew hitting [MASK] in \u4e2d uncranes night of banks . river"
    random = np.random.default_rng(0)
    texts = (" ".join(random.choice(words.split(), size=12)) for _ in range(2000))
    return TextSequences(Corpus(tokenizer, texts), tokenizer)


def is_binomial(count: int, n: int, probability: float) -> bool:
    """Whether a count lies within 4.5 standard deviations."""
    return abs(count - n * probability) < 4.5 * np.sqrt(n * probability * (1 - probability))


@pytest.mark.parametrize("whole_words", [False, True])
def test_statistics_are_those_of_bert(
    tokenizer: TextTokenizer, sequences: TextSequences, whole_words: bool
) -> None:
    masking = Masking.of(tokenizer, 0.15, whole_words, seed=3)
    batch = sequences.batch(np.arange(len(sequences)))
    masked = masking.mask(batch, epoch=1)
    is_masked = np.zeros(len(batch.ids), dtype=bool)
    is_masked[masked.positions] = True
    units = (batch.starts_word if whole_words else True) & ~batch.is_special
    assert is_binomial(int((is_masked & units).sum()), int(units.sum()), 0.15)
    assert masked.targets.tolist() == batch.ids[is_masked].tolist()
    assert not np.isin(masked.targets, SPECIAL).any()
    assert {UNKNOWN, MASK} <= set(batch.ids.tolist())
    assert (masked.ids[~is_masked] == batch.ids[~is_masked]).all()

    read, n = masked.ids[masked.positions], len(masked.positions)
    n_drawn = int(((read != MASK) & (read != masked.targets)).sum())
    n_candidates = SIZE - len(SPECIAL)
    assert is_binomial(int((read == MASK).sum()), n, 0.8)
    assert is_binomial(n_drawn, n, 0.1 * (1 - 1 / n_candidates))
    drawn = read[(read != MASK) & (read != masked.targets)]
    counts = np.bincount(drawn, minlength=SIZE)
    assert counts[list(SPECIAL)].sum() == 0
    assert all(is_binomial(count, n_drawn, 1 / n_candidates) for count in counts[5:].tolist())

    if whole_words:  # a word is masked as a whole: neighbours within one agree
        within = np.flatnonzero(~batch.starts_word)
        assert len(within) > 1000
        assert (is_masked[within] == is_masked[within - 1]).all()


def test_draws_depend_on_seed_epoch_and_sequence_only(
    tokenizer: TextTokenizer, sequences: TextSequences
) -> None:
    masking = Masking.of(tokenizer, 0.3, seed=1)
    rows = np.array([40, 7, 900, 3])
    together = masking.mask(sequences.batch(rows), epoch=2).ids.tolist()
    order = sequences.batch(rows).sequences
    alone = [masking.mask(sequences.batch(rows[rows == row]), epoch=2).ids for row in order]
    assert np.concatenate(alone).tolist() == together
    batch = sequences.batch(rows)
    assert masking.mask(batch, epoch=3).ids.tolist() != together
    assert replace(masking, seed=2).mask(batch, epoch=2).ids.tolist() != together


def test_a_model_without_a_vector_for_the_mask_is_refused(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(str(tiny_model("bert", vocab_size=MASK)))
    with pytest.raises(UnsupportedModelError, match="objective='causal'"):
        Masking.of(TextTokenizer(checkpoint, load_tokenizer(checkpoint), ""))
