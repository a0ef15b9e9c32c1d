"""Tests of models/language/objectives.py, against transformers' own models and losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models import PairTokenizer, TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language.corpus import Corpus
from bertvectorizer.models.language.masking import Masking
from bertvectorizer.models.language.network import language_network
from bertvectorizer.models.language.objectives import CausalData, MaskedData, own_objective
from bertvectorizer.models.language.sequences import SegmentPairs, TextSequences
from bertvectorizer.models.training.loop import train
from tests.tiny import FAMILIES, SIZE, ModelFactory, save_with_head
from tests.training import TEXTS, settings_of

pytestmark = pytest.mark.numeric

CPU = torch.device("cpu")
IGNORED = -100
DOCUMENTS = [[text, *TEXTS[number : number + 3]] for number, text in enumerate(TEXTS)]


def texts_of(directory: Path, texts: Sequence[str] = TEXTS) -> tuple[TextSequences, Masking]:
    checkpoint = open_checkpoint(str(directory))
    reader = TextTokenizer(checkpoint, load_tokenizer(checkpoint), "")
    return TextSequences(Corpus(reader, texts), reader), Masking.of(reader, 0.3, False, 0)


def assert_same_step(network: Any, data: Any, plain: Any, expected: torch.Tensor) -> None:
    """Compare a loss and its gradients, ours in two passes, with those of transformers."""
    rows = np.arange(len(data.n_tokens))
    network.train()
    parts = np.array_split(rows, 2)
    loss = torch.stack([data.loss(network, data.prepare(part), rows) for part in parts]).sum()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert data.mean_loss(network) == pytest.approx(float(expected.detach()), rel=1e-6)
    expected.backward()
    theirs = {name: each.grad for name, each in plain.named_parameters() if each.grad is not None}
    prefix = plain.base_model_prefix
    ours = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            short = name.removeprefix("head.whole.")
            ours[short if name != short else f"{prefix}.{name.removeprefix('base.')}"] = parameter
    assert set(ours) == set(theirs)
    size = max(float(each.norm()) for each in theirs.values())
    for name, gradient in theirs.items():
        difference = ours[name].grad - gradient
        assert float(difference.abs().max()) <= 1e-6, name
        assert float(difference.norm()) <= 1e-5 * max(float(gradient.norm()), 0.01 * size), name


def padded(batch: Any, values: Any, filling: int) -> torch.Tensor:
    parts = np.split(np.asarray(values, dtype=np.int64), np.cumsum(batch.lengths)[:-1])
    return torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(part) for part in parts], batch_first=True, padding_value=filling
    )


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "albert", "modernbert"])
def test_masked_losses_and_gradients_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    directory = save_with_head(hf.AutoModelForMaskedLM, family, tmp_path / "model")
    sequences, masking = texts_of(directory)
    data = MaskedData(sequences, masking)
    network = language_network(open_checkpoint(str(directory)), CPU, "masked", dropout=0.0)
    assert network.new_weights == []
    plain = hf.AutoModelForMaskedLM.from_pretrained(directory).eval()

    given = data.prepare(np.arange(len(data.n_tokens)))
    labels = np.full(len(given.batch.ids), IGNORED)
    labels[given.positions] = given.targets
    pad_id = plain.config.pad_token_id or 0
    mask = padded(given.batch, np.ones(len(labels)), 0)
    outputs = plain(
        input_ids=padded(given.batch, given.batch.ids, pad_id),
        attention_mask=mask,
        labels=padded(given.batch, labels, IGNORED),
    )
    assert len(given.positions) > 10
    assert_same_step(network, data, plain, outputs.loss)


@pytest.mark.parametrize("family", ["gpt2", "openai-gpt"])
def test_causal_losses_and_gradients_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    directory = save_with_head(hf.AutoModelForCausalLM, family, tmp_path / "model")
    data = CausalData(texts_of(directory)[0])
    network = language_network(open_checkpoint(str(directory)), CPU, "causal", dropout=0.0)
    plain = hf.AutoModelForCausalLM.from_pretrained(directory).eval()
    batch = data.prepare(np.arange(len(data.n_tokens))).batch
    ids = padded(batch, batch.ids, 0)
    # Padding follows, and no token before it reads it.
    outputs = plain(input_ids=ids, labels=padded(batch, batch.ids, IGNORED))
    assert_same_step(network, data, plain, outputs.loss)


def test_next_sentence_losses_and_gradients_are_those_of_transformers(tmp_path: Path) -> None:
    directory = save_with_head(hf.AutoModelForPreTraining, "bert", tmp_path / "model")
    checkpoint = open_checkpoint(str(directory))
    reader = PairTokenizer(checkpoint, load_tokenizer(checkpoint), 24)
    pairs = SegmentPairs(Corpus(reader, DOCUMENTS), reader, 0)
    data = MaskedData(pairs, Masking.of(reader, 0.3, False, 0))
    data.draw(1)
    network = language_network(checkpoint, CPU, "masked+next_sentence", dropout=0.0)
    assert network.new_weights == []
    plain = hf.BertForPreTraining.from_pretrained(directory).eval()
    given = data.prepare(np.arange(len(data.n_tokens)))
    assert set(given.labels.tolist()) == {0, 1}  # type: ignore[union-attr]
    labels = np.full(len(given.batch.ids), IGNORED)
    labels[given.positions] = given.targets
    outputs = plain(
        input_ids=padded(given.batch, given.batch.ids, 0),
        token_type_ids=padded(given.batch, given.batch.types, 0),
        attention_mask=padded(given.batch, np.ones(len(labels)), 0),
        labels=padded(given.batch, labels, IGNORED),
        next_sentence_label=torch.from_numpy(given.labels),
    )
    assert_same_step(network, data, plain, outputs.loss)


def test_logits_are_computed_at_masked_places_only(
    tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences, masking = texts_of(tiny_model("bert"))
    data = MaskedData(sequences, masking)
    network = language_network(open_checkpoint(str(tiny_model("bert"))), CPU, "masked")
    assert network.new_weights  # the tiny model has no head
    seen = []
    logits = network.head.logits  # type: ignore[union-attr]
    monkeypatch.setattr(
        network.head, "logits", lambda states: seen.append(len(states)) or logits(states)
    )
    rows = np.arange(len(data.n_tokens))
    loss = data.loss(network, data.prepare(rows), rows)
    assert seen == [data.n_targets(rows)]
    assert seen[0] < data.n_tokens.sum() / 2
    assert float(loss.detach()) > 0
    few = next(part for part in np.split(rows, len(rows)) if not data.n_targets(part))
    loss = data.loss(network, data.prepare(few), few)  # of a batch in which nothing is masked
    loss.backward()
    assert float(loss.detach()) == 0
    assert not any(each.grad.any() for each in network.parameters() if each.grad is not None)


def test_every_epoch_has_its_own_masks_and_training_learns(tiny_model: ModelFactory) -> None:
    directory = tiny_model("bert", initializer_range=0.1)
    sequences, masking = texts_of(directory)
    data = MaskedData(sequences, masking)
    rows = np.arange(len(data.n_tokens))
    first = data.prepare(rows)
    again = data.prepare(rows)
    np.testing.assert_array_equal(first.positions, again.positions)
    data.draw(1)
    assert first.positions.tolist() != data.prepare(rows).positions.tolist()
    network = language_network(open_checkpoint(str(directory)), CPU, "masked")
    result = train(network, data, settings_of(epochs=15, learning_rate=1e-2), data)
    assert result.loss_curve[0] > np.log(SIZE) / 2
    assert np.mean(result.loss_curve[-3:]) < 0.75 * result.loss_curve[0]


def test_the_objective_follows_the_architecture() -> None:
    for family, expected in {"bert": "masked", "roberta": "masked", "gpt2": "causal"}.items():
        assert own_objective(FAMILIES[family]()) == expected
    with pytest.raises(UnsupportedModelError, match="no head"):
        own_objective(hf.ViTConfig())
