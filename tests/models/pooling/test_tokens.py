"""Tests of models/pooling/tokens.py, against sentence-transformers' own Pooling module."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.models.pooling.tokens import POOLINGS, pool, resolve_pooling

pytestmark = pytest.mark.numeric


def reference(
    states: torch.Tensor, poolings: tuple[str, ...], skip: int = 0, padding: int = 0
) -> torch.Tensor:
    """Pool by sentence-transformers, without ``skip`` prompt tokens, with ``padding`` tokens."""
    n, length, hidden = states.shape
    junk = torch.full((n, padding, hidden), 1e3)
    mask = torch.cat([torch.ones(n, length), torch.zeros(n, padding)], dim=1).long()
    module = Pooling(hidden, cast(Any, poolings), include_prompt=not skip)
    features: dict[str, Any] = {
        "token_embeddings": torch.cat([states, junk], dim=1),
        "attention_mask": mask,
        "prompt_length": skip,
    }
    return cast(torch.Tensor, module(features)["sentence_embedding"])


def random_states(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5)) - 0.5


def test_the_names_are_those_of_sentence_transformers() -> None:
    assert sorted(POOLINGS) == sorted(Pooling.POOLING_MODES)


@pytest.mark.parametrize("length", [1, 2, 19])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_equals_sentence_transformers(pooling: str, length: int) -> None:
    states = random_states(4, length, 8)
    torch.testing.assert_close(
        pool(states, pooling), reference(states, (pooling,), padding=3), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_prompt_left_out_equals_sentence_transformers(pooling: str) -> None:
    states = random_states(4, 9, 8)
    expected = reference(states, (pooling,), skip=4, padding=2)
    torch.testing.assert_close(pool(states, pooling, skip=4), expected, atol=1e-5, rtol=0)
    if pooling != "lasttoken":
        assert (pool(states, pooling) - expected).abs().max() > 0.1


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_prompt_alone_equals_sentence_transformers(pooling: str) -> None:
    states = random_states(2, 3, 8)
    expected = reference(states, (pooling,), skip=3).clamp(min=-1e3)
    if pooling == "max":  # theirs is not finite
        assert expected.max() == -1e3
        expected = torch.zeros(2, 8)
    torch.testing.assert_close(pool(states, pooling, skip=3), expected)
    torch.testing.assert_close(pool(states, pooling, skip=99), expected)


def test_several_poolings_stand_side_by_side_in_the_order_requested() -> None:
    states = random_states(3, 7, 8)
    names = resolve_pooling(["weightedmean", "max", "cls", "mean"])
    torch.testing.assert_close(
        torch.cat([pool(states, name) for name in names], dim=-1),
        reference(states, names),
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_leading_dimensions_are_kept(pooling: str) -> None:
    states = random_states(2, 3, 5, 8)
    pooled = pool(states, pooling)
    assert pooled.shape == (2, 3, 8)
    torch.testing.assert_close(pooled[1], pool(states[1], pooling))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_half_precision_is_pooled_in_float32(pooling: str, dtype: torch.dtype) -> None:
    # 4096 tokens of about 1: summed in half precision, the mean would be far off.
    states = (random_states(1, 4096, 4) * 0.01 + 1).to(dtype)
    pooled = pool(states, pooling)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, pool(states.float(), pooling), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("pooling", "names"),
    [
        ("mean", ("mean",)),
        (("cls", "max"), ("cls", "max")),
        (["lasttoken"], ("lasttoken",)),
        (POOLINGS, POOLINGS),
    ],
)
def test_resolve_pooling(pooling: Any, names: tuple[str, ...]) -> None:
    assert resolve_pooling(pooling) == names


@pytest.mark.parametrize(
    "pooling",
    [
        "auto",
        "avg",
        "",
        "Mean",
        None,
        1,
        (),
        [],
        ("mean", "auto"),
        ("mean", None),
        {"mean"},
        [["mean"]],
    ],
)
def test_what_is_no_pooling_is_refused(pooling: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'pooling' parameter must be 'auto', one of 'cls', .*, or a tuple of these\. Got",
    ):
        resolve_pooling(pooling)


def test_a_pooling_named_twice_is_refused() -> None:
    with pytest.raises(
        InvalidParameterError, match="'pooling' parameter must be free of repetition"
    ):
        resolve_pooling(("mean", "cls", "mean"))
