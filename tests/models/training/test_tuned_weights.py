"""Tests of models/training/tuned_weights.py: bytes, and directories that other tools open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import ModelIntegrityError
from bertvectorizer.models import TextTokenizer
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.training.examples import Examples
from bertvectorizer.models.training.labelled import Loss
from bertvectorizer.models.training.loop import predict, train
from bertvectorizer.models.training.network import TrainableNetwork
from bertvectorizer.models.training.tuned_weights import TunedWeights, save_directory
from tests.tiny import SIZE, ModelFactory, save_sentence_transformer
from tests.training import (
    CLASSES,
    PAIRS,
    TEXTS,
    data_of,
    examples_of,
    lower_of,
    network_of,
    outputs_of,
    settings_of,
    weights_of,
)

pytestmark = pytest.mark.numeric


def trained(directory: Path, **changes: Any) -> TrainableNetwork:
    network = network_of(directory, **changes)
    train(network, data_of(network), settings_of(learning_rate=1e-2))
    return network


def save_to(directory: Path, network: TrainableNetwork, **changes: Any) -> None:
    settings: dict[str, Any] = {
        "labels": ["a", "b", "c"],
        "problem": "single_label_classification",
        "max_length": 64,
        "poolings": network.head.poolings,
    }
    save_directory(
        network, load_tokenizer(network.checkpoint), directory, **{**settings, **changes}
    )


class TestBytes:
    @pytest.mark.parametrize("n_trained", [0, 1, None])
    def test_a_network_of_the_same_spec_becomes_the_trained_one(
        self, tiny_model: ModelFactory, n_trained: int | None
    ) -> None:
        directory = tiny_model("bert")
        network = trained(directory, n_trained_layers=n_trained)
        tuned = TunedWeights.of(network)
        assert set(load(tuned.data)) == network.trained
        n_numbers = sum(
            each.numel() for name, each in network.named_parameters() if name in network.trained
        )
        assert 4 * n_numbers < len(tuned.data) < 4 * n_numbers + 200 * len(network.trained)
        again = network_of(directory, n_trained_layers=n_trained)
        tuned.load_into(again)
        assert TunedWeights.of(again) == tuned
        examples = examples_of(directory)
        assert np.array_equal(outputs_of(network, examples), outputs_of(again, examples))

    @pytest.mark.parametrize("n_trained", [0, 1])
    def test_a_network_with_all_layers_takes_the_weights_of_the_upper_ones(
        self, tiny_model: ModelFactory, n_trained: int
    ) -> None:
        directory = tiny_model("bert")
        network = trained(directory, n_trained_layers=n_trained)
        whole = network_of(directory)
        TunedWeights.of(network).load_into(whole)
        examples = examples_of(directory)
        np.testing.assert_allclose(
            outputs_of(whole, examples), outputs_of(network, examples), atol=1e-5
        )

    @pytest.mark.parametrize(
        "damage", ["cut", "empty", "header", "missing head", "other name", "other shape", "nan"]
    )
    def test_damaged_weights_are_refused_and_the_network_stays(
        self, tiny_model: ModelFactory, damage: str
    ) -> None:
        network = network_of(tiny_model("bert"), n_trained_layers=1)
        data = TunedWeights.of(network).data
        tensors = load(data)
        name = "head.whole.classifier.weight"
        match = "do not fit this model"
        if damage in ("cut", "empty", "header"):
            data = {"cut": data[:-5], "empty": b"", "header": b"\xff" + data[1:]}[damage]
            match = "cannot be read"
        elif damage == "missing head":
            data = save({key: each for key, each in tensors.items() if key != name})
        elif damage == "other name":
            data = save(tensors | {"base.encoder.layer.0.output.dense.bias": torch.zeros(32)})
        elif damage == "other shape":
            data = save(tensors | {name: torch.zeros(2, 32)})
        else:
            data = save(tensors | {name: torch.full((3, 32), torch.nan)})
            match = "are not finite"
        before = weights_of(network)
        with pytest.raises(ModelIntegrityError, match=match):
            TunedWeights(data).load_into(network)
        for key, each in weights_of(network).items():
            assert torch.equal(each, before[key])


class TestDirectory:
    @pytest.mark.parametrize("family", ["bert", "albert", "deberta-v2", "modernbert", "gpt2"])
    def test_transformers_and_the_vectorizer_give_the_same_numbers(
        self, tiny_model: ModelFactory, tmp_path: Path, family: str
    ) -> None:
        network = trained(tiny_model(family))
        examples = examples_of(tiny_model(family))
        expected, poolings = outputs_of(network, examples), network.head.poolings
        vectors = predict(
            *(network, examples, lower_of(network, examples)),
            lambda batch, states: network.vectors(batch, states, poolings),
        )
        directory = tmp_path / "saved"
        save_to(directory, network)
        assert [path.name for path in tmp_path.iterdir()] == ["saved"]

        model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
        assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
        tokenizer = AutoTokenizer.from_pretrained(directory)
        assert tokenizer.model_max_length == 64
        with torch.no_grad():
            found = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
        np.testing.assert_allclose(found, expected, atol=1e-5)

        np.testing.assert_allclose(
            BertVectorizer(directory, store=None).fit_transform(TEXTS), vectors, atol=1e-5
        )
        encoder = SentenceTransformer(str(directory), device="cpu")
        np.testing.assert_allclose(
            encoder.encode(TEXTS, show_progress_bar=False), vectors, atol=1e-5
        )
        assert "bertvectorizer" not in (directory / "config.json").read_text()

    @pytest.mark.parametrize(("family", "n_outputs"), [("bert", 3), ("roberta", 1)])
    def test_pairs_open_in_cross_encoder(
        self, tiny_model: ModelFactory, tmp_path: Path, family: str, n_outputs: int
    ) -> None:
        network = network_of(tiny_model(family), n_outputs=n_outputs)
        targets: Any = CLASSES[: len(PAIRS)]
        if n_outputs == 1:
            targets = targets[:, None].astype(np.float32)
        loss: Loss = "numbers" if n_outputs == 1 else "classes"
        data = data_of(network, PAIRS, targets, loss_kind=loss, is_pairs=True)
        assert (data.examples.tokenized.types is not None) is (family == "bert")
        train(network, data, settings_of(learning_rate=1e-2))
        expected = outputs_of(network, data.examples)
        save_to(
            *(tmp_path / "saved", network),
            labels=["score"] if n_outputs == 1 else ["a", "b", "c"],
            problem="regression" if n_outputs == 1 else "single_label_classification",
        )
        encoder = CrossEncoder(str(tmp_path / "saved"), device="cpu")
        found = encoder.predict(PAIRS, show_progress_bar=False).reshape(expected.shape)
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_words_open_in_token_classification(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        directory = tiny_model("bert")
        network = network_of(directory, unit="word")
        batch = examples_of(directory, TEXTS[:1]).batch(np.array([0]))
        with torch.no_grad():
            states = network.backbone.hidden_states(batch.ids, batch.lengths, [3])[3]
            expected = network.head(states, batch, 0)
        save_to(tmp_path / "saved", network, poolings=("mean",))
        model = AutoModelForTokenClassification.from_pretrained(tmp_path / "saved").eval()
        with torch.no_grad():
            found = model(torch.from_numpy(batch.ids).long()[None]).logits[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)

    @pytest.mark.parametrize(("family", "poolings"), [("bert", ("cls", "max")), ("t5", ("mean",))])
    def test_a_linear_head_lies_in_a_directory_of_its_own(
        self, tiny_model: ModelFactory, tmp_path: Path, family: str, poolings: tuple[str, ...]
    ) -> None:
        network = trained(tiny_model(family), pooling=poolings)
        expected = outputs_of(network, examples_of(tiny_model(family)))
        save_to(tmp_path / "saved", network)
        vectors = BertVectorizer(tmp_path / "saved", store=None).fit_transform(TEXTS)
        encoder = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
        np.testing.assert_allclose(
            encoder.encode(TEXTS, show_progress_bar=False), vectors, atol=1e-5
        )
        head = load_file(tmp_path / "saved" / "head" / "model.safetensors")
        np.testing.assert_allclose(
            vectors @ head["linear.weight"].numpy().T + head["linear.bias"].numpy(),
            expected,
            atol=1e-5,
        )
        settings = json.loads((tmp_path / "saved" / "head" / "config.json").read_text())
        assert settings["in_features"] == vectors.shape[1]
        assert settings["out_features"] == 3

    @pytest.mark.parametrize("include_prompt", [False, True])
    def test_the_prompt_is_that_of_the_directory(
        self, tiny_model: ModelFactory, tmp_path: Path, include_prompt: bool
    ) -> None:
        base = save_sentence_transformer(
            *(tiny_model("bert"), tmp_path / "base"),
            include_prompt=include_prompt,
            prompts={"query": "the old "},
        )
        network = network_of(base)
        examples = examples_of(base, prompt="query")
        assert examples.tokenized.n_prompt_tokens == (0 if include_prompt else 3)
        vectors = predict(
            *(network, examples, None),
            lambda batch, states: network.vectors(
                *(batch, states, ("mean",)), examples.tokenized.n_prompt_tokens
            ),
        )
        save_to(tmp_path / "saved", network, poolings=("mean",), prompt="the old ")
        found = BertVectorizer(tmp_path / "saved", store=None).fit_transform(TEXTS)
        np.testing.assert_allclose(found, vectors, atol=1e-5)
        encoder = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
        found = encoder.encode(TEXTS, show_progress_bar=False)
        np.testing.assert_allclose(found, vectors, atol=1e-5)

    def test_the_tokenizer_that_estimators_share_stays(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        network = network_of(tiny_model("bert"))
        save_to(tmp_path / "saved", network, max_length=7)
        assert load_tokenizer(network.checkpoint).model_max_length == 128

    @pytest.mark.parametrize("is_there", [False, True])
    def test_a_failed_save_leaves_nothing_behind(
        self,
        tiny_model: ModelFactory,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        is_there: bool,
    ) -> None:
        network = network_of(tiny_model("bert"))
        target = tmp_path / "saved"
        if is_there:
            target.mkdir()
            (target / "mine").write_text("kept")
        else:

            def fail(*args: Any, **kwargs: Any) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(type(load_tokenizer(network.checkpoint)), "save_pretrained", fail)
        with pytest.raises(OSError):  # noqa: PT011
            save_to(target, network)
        assert [path.name for path in tmp_path.rglob("*")] == (
            ["saved", "mine"] if is_there else []
        )

    @pytest.mark.parametrize("pad_token", [None, "[SEP]"])
    def test_padding_gets_a_token_that_stands_for_nothing_else(
        self, tiny_model: ModelFactory, tmp_path: Path, pad_token: str | None
    ) -> None:
        """GPT-2 has none, and its users take the token that ends a text."""
        network = trained(tiny_model("gpt2"))
        texts = [*TEXTS, "[PAD]", "bat [SEP]"]
        tokenizer = AutoTokenizer.from_pretrained(
            tiny_model("gpt2"), pad_token=pad_token, eos_token="[SEP]"
        )
        assert tokenizer.pad_token == pad_token
        expected = outputs_of(
            network, Examples(TextTokenizer(network.checkpoint, tokenizer)(texts))
        )
        save_directory(
            *(network, tokenizer, tmp_path / "saved"),
            labels=["a", "b", "c"],
            problem="single_label_classification",
            max_length=64,
            poolings=("lasttoken",),
        )
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
        assert tokenizer.pad_token_id == model.config.pad_token_id == SIZE
        with torch.no_grad():
            found = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        np.testing.assert_allclose(found, expected, atol=1e-5)
