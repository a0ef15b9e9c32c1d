"""Tests of models/training/network.py: gradients, what trains, passes that begin above layers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, T5EncoderModel

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models.training.heads import ArchitectureHead
from bertvectorizer.models.training.loop import train
from bertvectorizer.models.training.network import TrainableNetwork
from tests.tiny import SIZE, ModelFactory
from tests.training import (
    CLASSES,
    TEXTS,
    assert_equal_weights,
    data_of,
    examples_of,
    network_of,
    outputs_of,
    settings_of,
    weights_of,
)

pytestmark = pytest.mark.numeric

FAMILIES = (
    *("bert", "distilbert", "albert", "mpnet", "deberta-v2", "modernbert"),
    *("gpt2", "t5", "convbert"),
)
ROWS = np.arange(len(TEXTS))
NARROW = {"initializer_range": 0.1}  # 0.3 lets rounding grow with each layer


class WithLinearHead(torch.nn.Module):
    """T5's encoder, with the linear head of a network on the mean of its states."""

    def __init__(self, directory: Path, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.model = T5EncoderModel.from_pretrained(directory)
        self.linear = torch.nn.Linear(linear.in_features, linear.out_features)
        self.linear.load_state_dict(linear.state_dict())

    def forward(self, **inputs: Any) -> torch.Tensor:
        states = self.model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        logits: torch.Tensor = self.linear(mean)
        return logits


def plain_model_of(network: TrainableNetwork) -> tuple[torch.nn.Module, dict[str, str]]:
    """Return transformers' own model with the same weights, and our names of its parameters."""
    directory, head = network.checkpoint.directory, network.head
    if not isinstance(head, ArchitectureHead):
        plain: Any = WithLinearHead(directory, head.linear)
        return plain.eval(), {"model.": "base.", "linear.": "head.linear."}
    plain = AutoModelForSequenceClassification.from_pretrained(
        *(directory,), num_labels=3, pad_token_id=network.backbone.model.config.pad_token_id or 0
    )
    prefix = plain.base_model_prefix
    ours = dict(network.named_parameters())
    names = {f"{prefix}.pooler.": f"head.whole.{prefix}.pooler.", f"{prefix}.": "base."}
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(ours[our_name(name, names | {"": "head.whole."})])
    return plain.eval(), names | {"": "head.whole."}


def our_name(name: str, prefixes: dict[str, str]) -> str:
    theirs, ours = next(each for each in prefixes.items() if name.startswith(each[0]))
    return ours + name.removeprefix(theirs)


def gradients(parameters: Any) -> dict[str, torch.Tensor]:
    return {name: each.grad for name, each in parameters if each.grad is not None}


class TestGradients:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_packed_rows_give_those_of_transformers_padded_and_one_by_one(
        self, tiny_model: ModelFactory, family: str
    ) -> None:
        directory = tiny_model(family, **({} if family == "t5" else NARROW))
        network = network_of(directory)
        examples = examples_of(directory)
        targets = torch.from_numpy(CLASSES)

        network.train()
        outputs = network.outputs(examples.batch(ROWS), None)
        loss = torch.nn.functional.cross_entropy(outputs, targets)
        loss.backward()
        found = gradients(network.named_parameters())

        plain, names = plain_model_of(network)
        offsets, ids = examples.tokenized.offsets, torch.from_numpy(examples.tokenized.ids).long()
        sequences = [ids[offsets[row] : offsets[row + 1]] for row in ROWS]
        ways = {"one by one": [[row] for row in ROWS], "padded": [list(ROWS)]}
        if family == "convbert":  # padding changes the tokens beside it
            del ways["padded"]
        for way, batches in ways.items():
            plain.zero_grad()
            total = 0.0
            for rows in batches:
                pad_id = network.backbone.model.config.pad_token_id or 0
                padded = torch.nn.utils.rnn.pad_sequence(
                    [sequences[row] for row in rows], batch_first=True, padding_value=pad_id
                )
                lengths = torch.tensor([len(sequences[row]) for row in rows])
                mask = torch.arange(padded.shape[1]) < lengths[:, None]
                given = plain(input_ids=padded, attention_mask=mask.long())
                logits = getattr(given, "logits", given)
                torch.testing.assert_close(outputs[rows], logits, rtol=1e-5, atol=1e-5)
                part = torch.nn.functional.cross_entropy(logits, targets[rows], reduction="sum")
                (part / len(ROWS)).backward()
                total += float(part.detach()) / len(ROWS)
            assert float(loss.detach()) == pytest.approx(total, rel=1e-5), way
            expected = {
                our_name(name, names): each
                for name, each in gradients(plain.named_parameters()).items()
            }
            assert set(found) == set(expected)
            size = max(float(each.norm()) for each in expected.values())
            for name, each in expected.items():
                difference = float((found[name] - each).norm())
                assert difference <= 1e-5 * max(float(each.norm()), 0.01 * size), (way, name)

    @pytest.mark.parametrize("family", ["bert", "mpnet"])
    def test_dropout_reaches_attention(self, tiny_model: ModelFactory, family: str) -> None:
        directory = tiny_model(family, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
        network = network_of(directory, dropout=None, pooling=("mean",))
        batch = examples_of(directory).batch(ROWS)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            network.train(False)
            expected = network.vectors(batch, None, ("mean",))
            network.train()
            draws = torch.stack([network.vectors(batch, None, ("mean",)) for _ in range(50)])
        spread = draws.std(dim=0).mean()
        assert spread > 0.05
        # Dropout keeps the mean of each attended state, but not of what is not linear above.
        assert (draws.mean(dim=0) - expected).abs().mean() < spread

    def test_dropout_of_the_spec_is_that_of_every_module(self, tiny_model: ModelFactory) -> None:
        cases: Any = [("bert", None), ("bert", ("mean",)), ("gpt2", None), ("t5", None)]
        for family, pooling in cases:
            network = network_of(tiny_model(family), dropout=0.25, pooling=pooling)
            found = {
                module.p
                for part in (network.base, network.head)
                for module in part.modules()
                if isinstance(module, torch.nn.Dropout)
            }
            assert found == {0.25}, (family, pooling)
        own = network_of(tiny_model("t5", dropout_rate=0.375), dropout=None)
        assert own.head.dropout.p == 0.375  # type: ignore[union-attr]


# Parameters beside the layers themselves: after them, or shared by them.
AFTER_LAYERS = {"gpt2": {"ln_f"}, "modernbert": {"final_norm"}, "t5": {"final_layer_norm"}}
SHARED = {"mpnet": {"relative_attention_bias"}, "deberta-v2": {"encoder.LayerNorm", "rel_embed"}}
SKIPPING = tuple(family for family in FAMILIES if family not in ("albert", "t5"))


def expected_to_train(network: TrainableNetwork, family: str, lowest: int) -> set[str]:
    """Names, by the numbers in them, of what lies above a layer."""
    names = set()
    for name, _ in network.named_parameters():
        number = re.search(r"\.(?:layer|layers|h|block)\.(\d+)\.", f".{name}")
        beside = AFTER_LAYERS.get(family, set()) | (
            SHARED.get(family, set()) if not lowest else set()
        )
        is_beside = number is None and any(part in name for part in beside)
        if name.startswith("head.") or is_beside or (number and int(number.group(1)) >= lowest):
            names.add(name)
    return names


class TestTrainedLayers:
    @pytest.mark.parametrize(
        ("family", "n_trained"),
        [
            *((family, 1) for family in FAMILIES),
            *((family, 3) for family in ("bert", "albert", "mpnet", "deberta-v2", "t5")),
            ("bert", 0),
            ("gpt2", 0),
        ],
    )
    def test_upper_layers_train_over_stored_states_as_in_the_whole_network(
        self, tiny_model: ModelFactory, family: str, n_trained: int
    ) -> None:
        directory = tiny_model(family)
        if family == "albert" and n_trained == 1:
            with pytest.raises(UnsupportedModelError, match="share their weights"):
                network_of(directory, n_trained_layers=n_trained)
            return
        network = network_of(directory, n_trained_layers=n_trained)
        begins = n_trained == 0 or family in SKIPPING or (family, n_trained) == ("t5", 3)
        assert network.begins_at == (3 - n_trained if begins else None)

        whole = network_of(directory)
        if n_trained == 0:
            expected = {name for name in whole.trained if name.startswith("head.")}
        elif family == "albert":
            expected = {name for name in whole.trained if "embedding" not in name}
        else:
            expected = expected_to_train(whole, family, 3 - n_trained)
        assert network.trained == expected
        if not begins:
            return
        for name, parameter in whole.named_parameters():
            parameter.requires_grad_(name in expected)
        whole.trained = expected
        before = weights_of(whole)
        settings = settings_of(learning_rate=1e-4)
        results = [train(each, data_of(each), settings) for each in (network, whole)]
        np.testing.assert_allclose(results[0].loss_curve, results[1].loss_curve, rtol=1e-6)
        plain = weights_of(whole)
        assert_equal_weights(weights_of(network), plain, expected)
        for name in expected:
            assert n_trained == 0 or not torch.equal(plain[name], before[name]), name
        for name in set(before) - expected:
            assert torch.equal(plain[name], before[name])
        examples = examples_of(directory)
        np.testing.assert_allclose(
            outputs_of(network, examples), outputs_of(whole, examples), atol=1e-5
        )

    @pytest.mark.parametrize("n_trained", [0, 1, None])
    def test_a_model_of_one_layer(self, tiny_model: ModelFactory, n_trained: int | None) -> None:
        network = network_of(
            tiny_model("bert", num_hidden_layers=1), n_trained_layers=n_trained, needs_depths=True
        )
        assert network.begins_at == {0: 1, 1: 0, None: None}[n_trained]
        before = weights_of(network)
        train(network, data_of(network), settings_of())
        changed = {
            name
            for name, each in weights_of(network).items()
            if not torch.equal(each, before[name])
        }
        assert changed == network.trained

    def test_new_tokens_are_known_to_the_network_alone(self, tiny_model: ModelFactory) -> None:
        directory = tiny_model("gpt2")
        for n_trained in (0, 1):
            network = network_of(directory, n_trained_layers=n_trained, vocab_size=SIZE + 3)
            assert network.begins_at is None
            table = network.base.get_input_embeddings().weight
            again = network_of(directory, vocab_size=SIZE + 3).base.get_input_embeddings().weight
            assert len(table) == SIZE + 3
            assert torch.equal(table, again)

    def test_depths_are_the_layers_that_parameters_belong_to(
        self, tiny_model: ModelFactory
    ) -> None:
        network = network_of(tiny_model("modernbert"), needs_depths=True)
        for name, _ in network.named_parameters():
            number = re.search(r"\.layers\.(\d+)\.", name)
            expected = 0
            if number:
                expected = int(number.group(1)) + 1
            elif "final_norm" in name:
                expected = 3
            elif name.startswith("head."):
                expected = 4
            assert network.depth_of(name) == expected, name

    def test_dropout_is_off_in_what_is_frozen(self, tiny_model: ModelFactory) -> None:
        network = network_of(tiny_model("bert"), n_trained_layers=1, dropout=0.5)
        network.train()
        assert network.base.encoder.layer[2].training
        assert not network.base.embeddings.dropout.training
        network.train(False)
        assert not network.base.encoder.layer[2].training


class TestOutputs:
    def test_windows_are_averaged_by_their_lengths(self, tiny_model: ModelFactory) -> None:
        directory = tiny_model("bert")
        network = network_of(directory)
        texts = ["bat " * 11, "river", "crane money " * 20]
        examples = examples_of(directory, texts, max_length=9, overflow="window", stride=2)
        assert len(examples.tokenized.lengths) > 3
        outputs = outputs_of(network, examples)
        tokenized = examples.tokenized
        for row in range(3):
            windows = []
            for sequence in range(*tokenized.first_window[row : row + 2]):
                ids = tokenized.ids[slice(*tokenized.offsets[sequence : sequence + 2])]
                plain, _ = plain_model_of(network)
                with torch.no_grad():
                    given = plain(
                        input_ids=torch.from_numpy(ids).long()[None],
                        attention_mask=torch.ones(1, len(ids)).long(),
                    )
                windows.append((given.logits[0].numpy(), len(ids)))
            logits, lengths = zip(*windows, strict=True)
            np.testing.assert_allclose(
                outputs[row], np.average(logits, axis=0, weights=lengths), atol=1e-5
            )

    def test_the_seed_decides_on_new_weights(self, tiny_model: ModelFactory) -> None:
        directory = tiny_model("bert")
        before = torch.random.get_rng_state()
        one, same, other = (weights_of(network_of(directory, seed=seed)) for seed in (1, 1, 2))
        for name, each in one.items():
            assert torch.equal(each, same[name])
            is_new = name == "head.whole.classifier.weight"
            assert torch.equal(each, other[name]) is not is_new, name
        assert torch.equal(torch.random.get_rng_state(), before)
