"""Tests of models/training/heads.py, against whole models of transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from bertvectorizer.models.training.heads import ArchitectureHead, LinearHead
from bertvectorizer.models.training.loop import train
from tests.tiny import FAMILIES, LEAKY_FAMILIES, MORE_FAMILIES, ROBERTA_FAMILIES, ModelFactory
from tests.training import TEXTS, data_of, examples_of, network_of, settings_of

pytestmark = pytest.mark.numeric

EVERY = [
    family
    for family in (*FAMILIES, *ROBERTA_FAMILIES, *MORE_FAMILIES, *LEAKY_FAMILIES)
    if family not in ("xlm-roberta", "camembert")  # they have RoBERTa's own code
]
# T5 has a decoder, and CPM-Ant no head; the others have none for words.
WITHOUT_HEAD = {"text": {"t5", "cpmant"}, "word": {"t5", "cpmant", "openai-gpt"}}
LAST_TOKEN = {"gpt2", "openai-gpt", "mistral"}
ROWS = np.arange(len(TEXTS))


@pytest.mark.parametrize(
    ("family", "unit"),
    [
        *((family, "text") for family in EVERY),
        *((family, "word") for family in ("bert", "deberta-v2", "gpt2", "openai-gpt", "convbert")),
    ],
)
def test_the_head_of_each_architecture_gives_what_the_whole_model_does(
    tiny_model: ModelFactory, family: str, unit: str
) -> None:
    directory = tiny_model(family)
    network = network_of(directory, unit=unit)
    head = network.head
    if family in WITHOUT_HEAD[unit]:
        assert isinstance(head, LinearHead)
        assert head.poolings == network.checkpoint.pooling
        return
    assert isinstance(head, ArchitectureHead)
    if unit == "text":
        assert head.poolings == ("lasttoken" if family in LAST_TOKEN else "cls",)
    examples = examples_of(directory)
    batch = examples.batch(ROWS)
    with torch.no_grad():
        outputs = (
            network.outputs(batch, None)
            if unit == "text"
            else head(network.backbone.hidden_states(batch.ids, batch.lengths, [3])[3], batch, 0)
        )
    whole = head.with_base(network.base)
    kind = {"text": "ForSequenceClassification", "word": "ForTokenClassification"}[unit]
    assert type(whole).__name__.endswith(kind)
    pad_id = whole.config.pad_token_id
    expected = []
    size = 1 if family in LEAKY_FAMILIES else len(ROWS)
    ends = np.cumsum(batch.lengths)
    for start in range(0, len(ROWS), size):
        rows = range(start, min(start + size, len(ROWS)))
        lengths = torch.from_numpy(batch.lengths[list(rows)])
        mask = torch.arange(int(lengths[0])) < lengths[:, None]
        ids = torch.full(mask.shape, pad_id)
        ids[mask] = torch.from_numpy(
            batch.ids[ends[start] - batch.lengths[start] : ends[rows[-1]]]
        ).long()
        with torch.no_grad():
            logits = whole(input_ids=ids, attention_mask=mask.long()).logits
        expected.append(logits if unit == "text" else logits[mask])
    order = batch.owners if unit == "text" else slice(None)
    torch.testing.assert_close(outputs[order], torch.cat(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_tokens_that_a_head_reads_are_found(tiny_model: ModelFactory, pooling: str) -> None:
    head = network_of(tiny_model("modernbert", classifier_pooling=pooling)).head
    assert isinstance(head, ArchitectureHead)
    assert head.poolings == (pooling,)


def test_a_pooling_asks_for_a_linear_layer(tiny_model: ModelFactory) -> None:
    directory = tiny_model("bert")
    network = network_of(directory, pooling=("max", "cls"))
    assert isinstance(network.head, LinearHead)
    assert network.head.poolings == ("max", "cls")
    batch = examples_of(directory).batch(ROWS)
    with torch.no_grad():
        vectors = network.vectors(batch, None, ("max", "cls"))
        assert vectors.shape == (len(TEXTS), 64)
        torch.testing.assert_close(
            network.outputs(batch, None), network.head.linear(vectors), rtol=1e-5, atol=1e-5
        )


def save_classifier(directory: Path, target: Path, n_classes: int) -> Path:
    """Write a checkpoint that was trained to tell classes apart."""
    shutil.copytree(directory, target)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        hf.AutoModelForSequenceClassification.from_pretrained(
            directory, num_labels=n_classes
        ).save_pretrained(target)
    return target


@pytest.mark.parametrize("n_classes", [3, 5])
def test_the_head_of_a_checkpoint_with_other_classes_is_new(
    tiny_model: ModelFactory, tmp_path: Path, n_classes: int
) -> None:
    directory = save_classifier(tiny_model("bert"), tmp_path / "classifier", n_classes)
    network = network_of(directory)
    assert isinstance(network.head, ArchitectureHead)
    layer: Any = network.head.output_layer
    assert layer.weight.shape == (3, 32)
    saved = load_file(directory / "model.safetensors")["classifier.weight"]
    assert saved.shape == (n_classes, 32)
    assert n_classes != 3 or not torch.equal(layer.weight, saved)
    plain = network_of(tiny_model("bert")).head.output_layer
    assert torch.equal(layer.weight, plain.weight)  # type: ignore[union-attr]


def test_the_layer_after_the_first_token_is_that_of_the_file_or_a_new_one(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    def pooler_of(directory: Path, seed: int) -> torch.Tensor:
        parameters = dict(network_of(directory, seed=seed).named_parameters())
        return parameters["head.whole.bert.pooler.dense.weight"].detach()

    directory = tiny_model("bert")
    weights = load_file(directory / "model.safetensors")
    assert torch.equal(pooler_of(directory, 0), weights["pooler.dense.weight"])

    without = Path(shutil.copytree(directory, tmp_path / "without"))
    left = {name: each for name, each in weights.items() if not name.startswith("pooler.")}
    save_file(left, without / "model.safetensors", {"format": "pt"})
    new = pooler_of(without, 1)
    assert torch.equal(new, pooler_of(without, 1))
    assert not torch.equal(new, pooler_of(without, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch without CUDA")
def test_a_gpu_trains_as_the_cpu_does(tiny_model: ModelFactory) -> None:
    directory = tiny_model("bert")
    curves = []
    for device in (torch.device("cpu"), torch.device("cuda", 0)):
        network = network_of(directory, device=device)
        assert isinstance(network.head, ArchitectureHead)
        curves.append(train(network, data_of(network), settings_of()).loss_curve)
    np.testing.assert_allclose(*curves, rtol=1e-3)


def test_a_transformer_that_always_calls_its_pooler_gives_the_same_states() -> None:
    sizes = {"vocab_size": 20, "num_hidden_layers": 1, "num_attention_heads": 4}
    groups = {f"{name}_groups": 1 for name in ("q", "k", "v", "post_attention", "intermediate")}
    config = hf.SqueezeBertConfig(
        **sizes, **groups, output_groups=1, hidden_size=16, embedding_size=16, intermediate_size=16
    )
    whole = hf.SqueezeBertForSequenceClassification(config).eval()
    base, tokens = whole.transformer, torch.arange(6)[None]
    with torch.no_grad():
        expected = base(tokens).last_hidden_state
        ArchitectureHead("text", whole)
        assert torch.equal(base(tokens).last_hidden_state, expected)
