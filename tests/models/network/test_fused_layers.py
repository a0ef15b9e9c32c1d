"""Tests of models/network/fused_layers.py, against the same network with its own modules."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.bert import modeling_bert

from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.network import fused_layers
from bertvectorizer.models.network.backbone import Backbone
from bertvectorizer.models.network.fused_layers import (
    ACTIVATIONS,
    PackedLinear,
    PlainLinear,
    read_layers,
)
from tests.tiny import FAMILIES, MORE_FAMILIES, ModelFactory
from tests.tolerance import network_tolerance

pytestmark = pytest.mark.numeric

LENGTHS = np.array([70, 33, 9, 9, 9, 6, 1])
EVERY = range(4)
FUSED = {"bert", "distilbert", "electra", "gpt2", "roberta", "xlm-roberta"}


def backbone_of(directory: Path, **settings: Any) -> Backbone:
    return Backbone(open_checkpoint(directory), torch.device("cpu"), "float32", **settings)


def assert_same_states(fused: Backbone, directory: Path) -> None:
    plain = backbone_of(directory, fuses=False)
    ids = plain.tokens(int(LENGTHS.sum()), seed=3)
    with torch.inference_mode():
        states = fused.hidden_states(ids, LENGTHS, EVERY)
        for layer, expected in plain.hidden_states(ids, LENGTHS, EVERY).items():
            tolerance = network_tolerance(scale=float(expected.abs().max()))
            torch.testing.assert_close(states[layer], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("family", [*FAMILIES, *MORE_FAMILIES])
def test_layers_are_fused_where_that_changes_no_state(
    tiny_model: ModelFactory, family: str
) -> None:
    directory = tiny_model(family)
    fused = backbone_of(directory)
    assert (fused._fused is not None) is (family in FUSED)
    assert_same_states(fused, directory)


@pytest.mark.parametrize(
    ("name", "activation"), [("gelu_new", "gelu_tanh"), ("relu", "relu"), ("silu", "silu")]
)
def test_the_activation_is_found(tiny_model: ModelFactory, name: str, activation: str) -> None:
    directory = tiny_model("bert", hidden_act=name)
    fused = backbone_of(directory)
    assert fused._fused is not None
    assert {layer._activation for layer in fused._fused._layers} == {activation}
    assert_same_states(fused, directory)


def test_other_activations_and_other_arithmetic_keep_their_modules(
    tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tanh", "gelu_10", "relu6"):  # the last two end at numbers that few texts reach
        assert backbone_of(tiny_model("bert", hidden_act=name))._fused is None

    class HalfResidual(modeling_bert.BertSelfOutput):
        def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden_states, input_tensor / 2)

    monkeypatch.setattr(modeling_bert, "BertSelfOutput", HalfResidual)
    directory = tiny_model("bert")
    other = backbone_of(directory)
    assert other._fused is None
    assert_same_states(other, directory)


def test_models_that_call_or_ask_their_layers_in_other_ways(
    tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ByKeyword(modeling_bert.BertIntermediate):
        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            return self.intermediate_act_fn(self.dense(input=hidden_states))

    forward = modeling_bert.BertModel.forward

    @wraps(forward)
    def asking(model: Any, *args: Any, **kwargs: Any) -> Any:
        assert model.encoder.layer[0].attention.training is False
        return forward(model, *args, **kwargs)

    directory = tiny_model("bert")
    monkeypatch.setattr(modeling_bert, "BertIntermediate", ByKeyword)
    assert backbone_of(directory)._fused is not None
    monkeypatch.setattr(modeling_bert.BertModel, "forward", asking)
    other = backbone_of(directory)
    assert other._fused is None
    assert_same_states(other, directory)


def test_the_weights_of_the_modules_are_released(tiny_model: ModelFactory) -> None:
    fused = backbone_of(tiny_model("bert"))
    assert {name for name, _ in fused.model.named_parameters()} == {
        name for name, _ in fused.model.named_parameters() if name.startswith("embeddings.")
    }


def test_layers_beyond_the_deepest_are_not_run(
    tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = backbone_of(tiny_model("bert"))
    ran: list[Any] = []
    run = fused_layers._FusedLayer.__call__

    def spy(layer: Any, *inputs: Any) -> torch.Tensor:
        ran.append(layer)
        return run(layer, *inputs)

    monkeypatch.setattr(fused_layers._FusedLayer, "__call__", spy)
    for wanted in ([0], [1], [2, 0], [3]):
        ran.clear()
        states = fused.hidden_states(fused.tokens(int(LENGTHS.sum())), LENGTHS, wanted)
        assert (sorted(states), len(ran)) == (sorted(wanted), max(wanted))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_states_between_products_keep_their_bits_in_bfloat16(
    tiny_model: ModelFactory, family: str
) -> None:
    """Of plain layers, the states that pass by every product are rounded again and again."""
    checkpoint = open_checkpoint(tiny_model(family, num_hidden_layers=12))
    exact, plain, fused = (
        Backbone(checkpoint, torch.device("cpu"), precision, fuses=fuses)
        for precision, fuses in (("float32", True), ("bfloat16", False), ("bfloat16", True))
    )
    ids = exact.tokens(int(LENGTHS.sum()), seed=3)
    with torch.inference_mode():
        expected, rounded, kept = (
            one.hidden_states(ids, LENGTHS, [12])[12] for one in (exact, plain, fused)
        )
    assert (rounded.dtype, kept.dtype) == (torch.bfloat16, torch.float32)
    assert (kept - expected).square().mean() < (rounded.float() - expected).square().mean() / 2


def test_a_model_without_layers_of_its_own_has_no_parts() -> None:
    layers = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    assert read_layers(layers, layers, lambda settings: layers[0](torch.ones(1, 2))) is None


@pytest.mark.parametrize("kind", [PackedLinear, PlainLinear])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_add_what_is_given_or_apply_a_function(
    kind: type[PackedLinear | PlainLinear], dtype: torch.dtype
) -> None:
    if kind is PackedLinear and not fused_layers.has_packed_linear(torch.ones(8, 8, dtype=dtype)):
        pytest.skip("oneDNN has no kernel for this format on this processor")
    generator = torch.Generator().manual_seed(0)
    weight, rows, residual = (
        torch.randn(size, generator=generator).to(dtype) for size in ((24, 16), (5, 16), (5, 24))
    )
    bias = torch.randn(24, generator=generator).to(dtype)
    product = kind(weight, bias)
    exact = rows.double() @ weight.double().T + bias.double()
    tolerance = 4 * torch.finfo(dtype).eps * float(exact.abs().max() + residual.abs().max())
    results = {
        name: (function(exact), product(rows, activation=name))
        for name, function in ACTIVATIONS.items()
    }
    results["add"] = (exact + residual.double(), product(rows, residual=residual))
    results["none"] = (exact, product(rows))
    results["no bias"] = (exact - bias.double(), kind(weight, None)(rows))
    for name, (expected, result) in results.items():
        torch.testing.assert_close(result.double(), expected, rtol=0, atol=tolerance, msg=name)
