"""Tests of models/language/space.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language.corpus import Corpus
from bertvectorizer.models.language.network import language_network
from bertvectorizer.models.language.sequences import TextSequences
from bertvectorizer.models.language.space import VectorSpace
from tests.tiny import WORDS, ModelFactory, save_sentence_transformer
from tests.training import CPU, TEXTS


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_agreement_is_the_rank_correlation_of_cosines(
    pooling: str, tiny_model: ModelFactory, tmp_path: Path
) -> None:
    base = tiny_model("bert", initializer_range=0.1)
    given = save_sentence_transformer(base, tmp_path / "given", pooling=pooling)
    checkpoint = open_checkpoint(str(given))
    network = language_network(checkpoint, CPU, "masked")
    tokenizer = TextTokenizer(checkpoint, load_tokenizer(checkpoint), "", None)
    sequences = TextSequences(Corpus(tokenizer, TEXTS + TEXTS), tokenizer)
    state = torch.random.get_rng_state()
    space = VectorSpace(network, sequences)
    assert space.n_texts == len(set(TEXTS))
    assert space.agreement(network) == pytest.approx(1)
    assert torch.equal(torch.random.get_rng_state(), state)

    before = SentenceTransformer(str(given), device="cpu").encode(TEXTS)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.base.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.05)
    network.base.save_pretrained(given)
    after = SentenceTransformer(str(given), device="cpu").encode(TEXTS)
    upper = np.triu_indices(len(TEXTS), 1)
    cosines = [_cosines(each)[upper] for each in (before, after)]
    expected = spearmanr(*cosines).statistic
    assert 0.1 < expected < 0.95
    assert space.agreement(network) == pytest.approx(expected, abs=1e-3)


def _cosines(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines: NDArray[np.float32] = unit @ unit.T
    return cosines


def test_a_large_corpus_gives_a_few_texts_of_all_parts(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(str(tiny_model("bert")))
    network = language_network(checkpoint, CPU, "masked")
    tokenizer = TextTokenizer(checkpoint, load_tokenizer(checkpoint), "", None)
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS[:14], size=100)) for _ in range(1000)]
    space = VectorSpace(network, TextSequences(Corpus(tokenizer, texts), tokenizer))
    numbers = sorted(int(row) for batch in space._batches for row in batch.sequences)
    assert 60 < space.n_texts < 90
    assert numbers[0] < 20
    assert numbers[-1] > 970
