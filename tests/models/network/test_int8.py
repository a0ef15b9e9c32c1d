"""Tests of models/network/int8.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from transformers import AutoModel
from transformers.pytorch_utils import Conv1D

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models.network.int8 import Int8Linear, quantize_linear_layers
from tests.tiny import ModelFactory

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN"),
]


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        yield


def integers(low: int, high: int, *shape: int) -> torch.Tensor:
    """Integers in [low, high], the largest of which stands in every row."""
    numbers = torch.randint(
        low, high + 1, shape, generator=torch.Generator().manual_seed(3)
    ).float()
    numbers[..., 0] = high
    return numbers


@pytest.mark.parametrize("in_features", [1, 7, 64, 1536])
@pytest.mark.parametrize("bias", [True, False])
def test_whole_numbers_in_range_come_out_exactly(in_features: int, bias: bool) -> None:
    weight, states = integers(-127, 127, 24, in_features), integers(-63, 63, 2, 5, in_features)
    added = integers(-9, 9, 24) if bias else None
    result = Int8Linear(weight, added)(states)
    torch.testing.assert_close(
        result, torch.nn.functional.linear(states, weight, added), atol=0, rtol=1e-6
    )


def test_numbers_between_are_rounded_to_the_nearest() -> None:
    states = torch.tensor([[63, 0.6, -0.6, 0.4, -0.4, 1.49, -62.7]])
    result = Int8Linear(torch.eye(7) * 127, None)(states) / 127
    torch.testing.assert_close(result, torch.tensor([[63.0, 1, -1, 0, 0, 1, -63]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_do_not_overflow(sign: int) -> None:
    """Without VNNI, products of 8-bit numbers are added in 16 bits."""
    weight, states = torch.full((16, 512), 127.0), torch.full((3, 512), 63.0 * sign)
    torch.testing.assert_close(
        Int8Linear(weight, None)(states), states @ weight.T, atol=0, rtol=1e-6
    )


def test_rows_and_channels_have_scales_of_their_own() -> None:
    weight = torch.randn(32, 256) * torch.logspace(-4, 2, 32)[:, None]
    states = torch.randn(20, 256) * torch.logspace(-3, 3, 20)[:, None]
    exact, result = states @ weight.T, Int8Linear(weight, None)(states)
    size = states.norm(dim=1, keepdim=True) * weight.norm(dim=1) / 256**0.5
    assert ((result - exact) / size).abs().max() < 0.1
    assert torch.nn.functional.cosine_similarity(result, exact).min() > 0.99


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    layer, states = Int8Linear(torch.randn(32, 64), torch.randn(32)), torch.randn(9, 64)
    beside_giants = torch.cat([states, torch.randn(100, 64) * 1e4])
    assert torch.equal(layer(states), layer(beside_giants)[:9])
    assert torch.equal(layer(states)[4:5], layer(states[4:5]))


def test_zeros_give_the_bias_and_no_nan() -> None:
    weight = torch.randn(8, 16)
    weight[3] = 0
    bias = torch.randn(8)
    torch.testing.assert_close(Int8Linear(weight, bias)(torch.zeros(2, 16)), bias.expand(2, 8))
    assert torch.equal(Int8Linear(weight, bias)(torch.randn(2, 16))[:, 3], bias[3].expand(2))


def test_the_input_is_left_as_it_is() -> None:
    states = torch.randn(4, 16)
    before = states.clone()
    Int8Linear(torch.randn(8, 16), None)(states)
    assert torch.equal(states, before)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_every_linear_layer_is_replaced_conv1d_too(tiny_model: ModelFactory, family: str) -> None:
    model = AutoModel.from_pretrained(tiny_model(family)).eval()
    linear = sum(isinstance(module, (torch.nn.Linear, Conv1D)) for module in model.modules())
    ids = torch.tensor([[5, 9, 30, 31, 7]])
    with torch.inference_mode():
        expected = model(ids).last_hidden_state
        quantize_linear_layers(model)
        result = model(ids).last_hidden_state
    assert sum(isinstance(module, Int8Linear) for module in model.modules()) == linear > 0
    assert not any(isinstance(module, (torch.nn.Linear, Conv1D)) for module in model.modules())
    assert torch.nn.functional.cosine_similarity(result, expected, dim=-1).min() > 0.95
    assert not torch.equal(result, expected)


def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(
        UnsupportedModelError,
        match=r"Sequential has no linear layers to run in int8\. Use precision='float32'",
    ):
        quantize_linear_layers(torch.nn.Sequential(torch.nn.Embedding(3, 4)))
