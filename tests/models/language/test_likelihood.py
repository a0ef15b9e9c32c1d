"""Tests of models/language/likelihood.py, against a loop over transformers' own models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language import likelihood
from bertvectorizer.models.language.corpus import Corpus
from bertvectorizer.models.language.likelihood import (
    MaskedGroups,
    NextTokens,
    SingleTokens,
    log_likelihoods,
)
from bertvectorizer.models.language.network import load_language_network
from bertvectorizer.models.language.objectives import Objective
from tests.tiny import save_with_head
from tests.training import CPU, TEXTS

pytestmark = pytest.mark.numeric

UNKNOWN = "the ☃ bat"  # of which the snowman is not counted


def parts_of(directory: Path, objective: Objective, max_length: int | None = None) -> Any:
    """Return the network, the tokenizer of texts and transformers' model."""
    checkpoint = open_checkpoint(str(directory))
    reader = TextTokenizer(checkpoint, load_tokenizer(checkpoint), "", max_length)
    kind = hf.AutoModelForMaskedLM if objective == "masked" else hf.AutoModelForCausalLM
    plain = kind.from_pretrained(directory).eval()
    return load_language_network(checkpoint, CPU, objective), reader, plain


@torch.no_grad()
def log_probabilities(plain: Any, ids: list[int]) -> torch.Tensor:
    found: torch.Tensor = plain(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    return found


@pytest.mark.parametrize("max_length", [None, 9])
def test_pseudo_likelihood_masks_each_token_alone(max_length: int | None, tmp_path: Path) -> None:
    directory = save_with_head(hf.AutoModelForMaskedLM, "bert", tmp_path / "model")
    network, reader, plain = parts_of(directory, "masked", max_length)
    texts = ["", UNKNOWN, *TEXTS[:5]]
    expected = []
    for text in texts:
        body, total = reader.words_of([text])[0].tolist(), 0.0
        for place, token in enumerate(body):
            if reader.is_special[token]:
                continue
            begin = min(max(place - reader.room // 2, 0), max(len(body) - reader.room, 0))
            ids = [2, *body[begin : begin + reader.room], 3]
            ids[1 + place - begin] = reader.mask_id
            total += float(log_probabilities(plain, ids)[1 + place - begin, token])
        expected.append(total)
    corpus = Corpus(reader, texts)
    sums, counts = log_likelihoods(network, SingleTokens(corpus, reader), len(texts))
    np.testing.assert_allclose(sums, expected, atol=1e-4, rtol=1e-6)
    assert counts[:2].tolist() == [0, 2]
    assert counts.sum() == np.count_nonzero(~reader.is_special[corpus.ids])


def test_masks_in_groups_hide_each_token_once(tmp_path: Path) -> None:
    directory = save_with_head(hf.AutoModelForMaskedLM, "bert", tmp_path / "model")
    network, reader, plain = parts_of(directory, "masked", 20)
    texts = [UNKNOWN, *TEXTS, " ".join(TEXTS[:6])]
    corpus = Corpus(reader, texts)
    questions = MaskedGroups(corpus, reader)
    hidden: list[tuple[int, ...]] = []
    for row in range(len(questions)):
        given = questions.prepare(np.array([row]))
        assert set(given.batch.ids[given.positions]) <= {reader.mask_id}
        assert len(given.positions) <= 3  # one of seven
        hidden += [(int(questions.texts[row]), token) for token in given.targets.tolist()]
    ordinary = ~reader.is_special[corpus.ids]
    owners = np.repeat(np.arange(len(texts)), np.diff(corpus.offsets))
    assert sorted(hidden) == sorted(zip(owners[ordinary], corpus.ids[ordinary], strict=True))

    sums, counts = log_likelihoods(network, questions, len(texts))
    assert counts.sum() == len(hidden)
    # A text has its masks, and its numbers, whatever stands beside it.
    alone = MaskedGroups(Corpus(reader, texts[3:4]), reader)
    np.testing.assert_allclose(log_likelihoods(network, alone, 1)[0], sums[3:4], atol=1e-5)
    total = 0.0
    for row in range(len(alone)):
        given = alone.prepare(np.array([row]))
        found = log_probabilities(plain, given.batch.ids.tolist())
        total += float(found[given.positions, given.targets].sum())
    assert sums[3] == pytest.approx(total, abs=1e-4)
    first = MaskedGroups(corpus, reader, first_alone=True)
    n_pieces = np.bincount(first.texts, minlength=len(texts))
    assert n_pieces.tolist() == [-(-length // 18) for length in np.diff(corpus.offsets)]


@pytest.mark.parametrize("max_length", [None, 7])
@pytest.mark.parametrize("family", ["gpt2", "openai-gpt"])
def test_causal_likelihood_predicts_each_token_once(
    family: str, max_length: int | None, tmp_path: Path
) -> None:
    directory = save_with_head(hf.AutoModelForCausalLM, family, tmp_path / "model")
    network, reader, plain = parts_of(directory, "causal", max_length)
    sums, counts = log_likelihoods(network, NextTokens(Corpus(reader, ["", *TEXTS[:6]]), reader), 7)
    assert counts[0] == sums[0] == 0
    for row, text in enumerate(TEXTS[:6], start=1):
        body = reader.words_of([text])[0].tolist()
        assert counts[row] == len(body) - 1  # nothing is before the first
        if max_length is None and len(body) > 1:
            ids = torch.tensor([body])
            loss = float(plain(ids, labels=ids).loss.detach())
            assert -sums[row] / counts[row] == pytest.approx(loss, rel=1e-5)
        else:  # windows of 7 tokens, of which each but the first predicts 4
            total, end, done = 0.0, min(7, len(body)), 1
            while done < len(body):
                begin = max(end - 7, 0)
                found = log_probabilities(plain, body[begin:end])
                total += sum(float(found[at - 1 - begin, body[at]]) for at in range(done, end))
                done, end = end, min(end + 4, len(body))
            assert sums[row] == pytest.approx(total, abs=1e-4)


def test_numbers_do_not_depend_on_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = save_with_head(hf.AutoModelForMaskedLM, "bert", tmp_path / "model")
    network, reader, _ = parts_of(directory, "masked")
    questions = SingleTokens(Corpus(reader, TEXTS[:8]), reader)
    expected, _ = log_likelihoods(network, questions, 8)
    seen: list[int] = []
    monkeypatch.setattr(likelihood, "pass_tokens", lambda *_: 12)
    np.testing.assert_allclose(
        log_likelihoods(network, questions, 8, seen.append)[0], expected, atol=1e-5
    )
    assert sum(seen) == questions.n_tokens.sum()
    assert len(seen) > 10
