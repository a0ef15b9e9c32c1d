"""Tests of models/network/packed_attention.py."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface

from bertvectorizer.models.network.packed_attention import ATTENTION, packed, register

pytestmark = pytest.mark.numeric

register()
attention = AttentionInterface()[ATTENTION]
RUNS = [(2, 9), (1, 5), (3, 1)]


class Layer(torch.nn.Module):
    """The attributes of a layer that an attention function reads."""

    def __init__(self, is_causal: bool = False) -> None:
        super().__init__()
        self.is_causal = is_causal


def states(heads: int, n_tokens: int = 26, size: int = 8) -> torch.Tensor:
    return torch.randn(1, heads, n_tokens, size, generator=torch.Generator().manual_seed(heads))


def one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    causal: bool,
    window: int | None = None,
) -> torch.Tensor:
    """Attention of each sequence by itself, under a mask written out."""
    done, start = [], 0
    for length in [length for count, length in RUNS for _ in range(count)]:
        part = slice(start, start + length)
        mask = torch.ones(length, length, dtype=torch.bool)
        for row in range(length):
            for column in range(length):
                mask[row, column] = (column <= row or not causal) and (
                    window is None or abs(row - column) < window
                )
        groups = query.shape[1] // key.shape[1]
        keys, values = (
            tensor[:, :, part].repeat_interleave(groups, dim=1) for tensor in (key, value)
        )
        done.append(scaled_dot_product_attention(query[:, :, part], keys, values, attn_mask=mask))
        start += length
    return torch.cat(done, dim=2).transpose(1, 2)


@pytest.mark.parametrize("heads_of_keys", [4, 2, 1])
@pytest.mark.parametrize("window", [None, 1, 3, 9, 100])
@pytest.mark.parametrize("causal", [False, True])
def test_each_sequence_attends_to_itself_only(
    causal: bool, window: int | None, heads_of_keys: int
) -> None:
    query, key, value = states(4), states(heads_of_keys), states(heads_of_keys).flip(2)
    with packed(RUNS):
        result, weights = attention(Layer(causal), query, key, value, None, sliding_window=window)
    assert weights is None
    assert result.shape == (1, 26, 4, 8)
    torch.testing.assert_close(
        result, one_by_one(query, key, value, causal, window), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("heads_of_keys", [4, 2])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_bfloat16_attends_as_float32_does(
    causal: bool, window: int | None, heads_of_keys: int
) -> None:
    query, key, value = (
        part.bfloat16() for part in (states(4), states(heads_of_keys), states(heads_of_keys))
    )
    with packed(RUNS):
        result, _ = attention(Layer(causal), query, key, value, None, sliding_window=window)
    expected = one_by_one(query.float(), key.float(), value.float(), causal, window)
    tolerance = 4 * torch.finfo(torch.bfloat16).eps * float(value.abs().max())
    torch.testing.assert_close(result.float(), expected, atol=tolerance, rtol=0)


def test_what_the_caller_says_of_causality_and_scale_comes_first() -> None:
    query, key, value = states(4), states(4).flip(1), states(4).flip(2)
    with packed(RUNS):
        result, _ = attention(
            Layer(is_causal=True), query, key, value, None, is_causal=False, scaling=1.0
        )
    torch.testing.assert_close(
        result, one_by_one(query * 8**0.5, key, value, causal=False), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("extra", [{"position_bias": torch.zeros(1)}, {"softcap": 30.0}])
def test_what_cannot_be_packed_is_said(extra: dict[str, Any]) -> None:
    with packed(RUNS), pytest.raises(NotImplementedError, match="cannot be packed"):
        attention(Layer(), states(4), states(4), states(4), None, **extra)


def test_outside_of_the_block_it_is_the_library_s_own_attention() -> None:
    query, key, value = states(4), states(4).flip(1), states(4).flip(2)
    expected, _ = sdpa_attention_forward(Layer(), query, key, value, None)
    with packed(RUNS):
        pass
    assert torch.equal(attention(Layer(), query, key, value, None)[0], expected)


def test_a_block_is_left_even_by_an_error() -> None:
    expected, _ = sdpa_attention_forward(Layer(), states(4), states(4), states(4), None)
    with pytest.raises(ZeroDivisionError), packed(RUNS):
        raise ZeroDivisionError
    assert torch.equal(attention(Layer(), states(4), states(4), states(4), None)[0], expected)


def test_a_block_holds_for_its_own_thread_only() -> None:
    results: dict[str, torch.Tensor] = {}

    def elsewhere() -> None:
        results["elsewhere"] = attention(Layer(), states(4), states(4), states(4), None)[0]

    with packed(RUNS):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        results["here"] = attention(Layer(), states(4), states(4), states(4), None)[0]
    expected, _ = sdpa_attention_forward(Layer(), states(4), states(4), states(4), None)
    assert torch.equal(results["elsewhere"], expected)
    assert not torch.allclose(results["here"], expected)


def test_rows_need_no_mask() -> None:
    mask = AttentionMaskInterface()[ATTENTION]
    arguments: dict[str, Any] = {
        "batch_size": 1,
        "q_length": 4,
        "kv_length": 4,
        "allow_is_causal_skip": False,
    }
    with packed(RUNS):
        assert mask(**arguments) is None
    assert mask(**arguments).shape == (1, 1, 4, 4)
