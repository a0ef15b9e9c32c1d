"""Tests of models/network/int8.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from transformers import AutoModel
from transformers.pytorch_utils import Conv1D

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models.network.devices import int8_activation_bits
from bertvectorizer.models.network.int8 import Int8Linear, quantize_linear_layers
from tests.processes import run_python
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
    """Integers in [low, high], the least and the largest of which stand in every row."""
    numbers = torch.randint(
        low, high + 1, shape, generator=torch.Generator().manual_seed(3)
    ).float()
    numbers[..., 0], numbers[..., -1] = low, high
    return numbers


@pytest.mark.parametrize("in_features", [2, 7, 64, 1536])
@pytest.mark.parametrize("bias", [True, False])
def test_whole_numbers_in_range_come_out_exactly(in_features: int, bias: bool) -> None:
    weight, states = integers(-127, 127, 24, in_features), integers(-100, 155, 2, 5, in_features)
    added = integers(-9, 9, 24) if bias else None
    result = Int8Linear(weight, added, n_bits=8)(states)
    exact = torch.nn.functional.linear(states, weight, added)
    if int8_activation_bits() == 7:  # sums overflow where the processor has no VNNI
        assert not torch.allclose(result, exact, rtol=1e-5, atol=1e-2) or in_features < 64
    else:
        torch.testing.assert_close(result, exact, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("n_bits", [7, 8])
def test_numbers_between_are_rounded(n_bits: int) -> None:
    states = torch.linspace(-3, 52, 100).repeat(20, 1)
    weight = torch.diag(torch.linspace(0.1, 2, 100))  # no sum is beyond 16 bits
    result = Int8Linear(weight, None, n_bits=n_bits)(states) / weight.diagonal()
    step = 55 / 255
    error = (result - states)[0]
    assert error.abs().max() < step * (0.501 if n_bits == 8 else 1.01)
    assert error.abs().max() > step * (0.4 if n_bits == 8 else 0.8)
    assert error.mean().abs() < 0.05 * step


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_do_not_overflow(sign: int) -> None:
    """Without VNNI, products of 8-bit numbers are added in 16 bits."""
    weight, states = torch.full((16, 512), 127.0), torch.full((3, 512), 254.0 * sign)
    states[:, ::9] = 0
    for n_bits in (7, None):
        result = Int8Linear(weight, None, n_bits=n_bits)(states)
        torch.testing.assert_close(result, states @ weight.T, atol=0, rtol=5e-3)


WITHOUT_VNNI = """
import torch
from bertvectorizer.models.network.devices import int8_activation_bits
from bertvectorizer.models.network.int8 import Int8Linear
weight, states = torch.full((16, 512), 127.0), torch.full((40, 512), 255.0)
states[:, 0] = 0
errors = [Int8Linear(weight, None, n_bits=n)(states) / (states @ weight.T) - 1 for n in (None, 8)]
print(int8_activation_bits(), *[bool(error.abs().max() < 0.01) for error in errors])
"""


@pytest.mark.parametrize(
    ("setting", "value", "bits"),
    [("ONEDNN_MAX_CPU_ISA", "AVX2", 7), ("ATEN_CPU_CAPABILITY", "default", None)],
)
def test_activations_have_as_many_bits_as_the_processor_adds_exactly(
    setting: str, value: str, bits: int | None
) -> None:
    expected = bits or int8_activation_bits()
    assert run_python(WITHOUT_VNNI, **{setting: value}) == f"{expected} True {expected == 8}\n"


# Sums of 8 bits overflow where the processor has no VNNI.
@pytest.mark.parametrize("n_bits", sorted({7, int8_activation_bits()}))
def test_features_that_reach_far_beyond_the_others_stay_exact(n_bits: int) -> None:
    states, weight = torch.randn(50, 96), torch.randn(20, 96)
    states[:, [3, 70]] *= 1000
    exact = torch.nn.functional.linear(states, weight)
    by_some = (states * (states.abs().amax(dim=0) < 100)) @ weight.T
    errors = [
        float((Int8Linear(weight, None, largest, n_bits)(states) - exact).abs().max())
        for largest in (None, states.abs().amax(dim=0))
    ]
    assert errors[0] > 10
    assert errors[1] < 0.02 * float(by_some.abs().max())


def test_an_activation_or_a_residual_follows() -> None:
    layer, states, other = Int8Linear(torch.randn(8, 16), torch.randn(8)), *torch.randn(2, 5, 16)
    plain = layer(states)
    residual = other[:, :8].contiguous()
    before = residual.clone()
    assert torch.equal(layer(states, activation="gelu"), torch.nn.functional.gelu(plain))
    assert torch.equal(layer(states, residual=residual), plain + residual)
    assert torch.equal(residual, before)


def test_rows_and_channels_have_scales_of_their_own() -> None:
    weight = torch.randn(32, 256) * torch.logspace(-4, 2, 32)[:, None]
    states = torch.randn(20, 256) * torch.logspace(-3, 3, 20)[:, None]
    exact, result = states @ weight.T, Int8Linear(weight, None)(states)
    size = states.norm(dim=1, keepdim=True) * weight.norm(dim=1) / 256**0.5
    assert ((result - exact) / size).abs().max() < 0.1
    assert torch.nn.functional.cosine_similarity(result, exact).min() > 0.99


@pytest.mark.parametrize("n_bits", [7, 8])
def test_a_row_does_not_depend_on_the_rows_beside_it(n_bits: int) -> None:
    states = torch.randn(9, 64)
    states[:, 5] *= 30
    largest = states.abs().amax(dim=0)
    layer = Int8Linear(torch.randn(32, 64), torch.randn(32), largest, n_bits)
    together = layer(torch.cat([states, torch.randn(100, 64) * 1e4]))
    for count in range(1, 10):
        assert torch.equal(layer(states[:count]), together[:count]), count


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
        quantize_linear_layers(model, lambda: model(ids))
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
        quantize_linear_layers(torch.nn.Sequential(torch.nn.Embedding(3, 4)), lambda: None)
