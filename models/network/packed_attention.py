"""Attention over sequences that follow each other in a single row, so that nothing is padded.

All else in a transformer works on one token at a time, so the library's own model code runs such a
row unchanged. Attention is computed for each run of sequences of equal length, as a dense batch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

__all__ = ["ATTENTION", "AttentionSettings", "attend", "packed", "register"]

ATTENTION = "bertvectorizer_packed"
_LONGEST_BY_PRODUCTS = 512  # the scores of all pairs of tokens lie in memory

_row = threading.local()


class AttentionSettings(NamedTuple):
    """How the tokens of a sequence see each other."""

    heads: int
    is_causal: bool
    window: int | None
    scale: float | None


@contextmanager
def packed(
    runs: list[tuple[int, int]], settings: list[AttentionSettings] | None = None
) -> Iterator[None]:
    """Within this block, and in this thread, rows hold runs (count, length) of sequences.

    The settings of each attention are appended to ``settings``.
    """
    _row.runs, _row.settings = runs, settings
    try:
        yield
    finally:
        _row.runs = _row.settings = None


@cache
def register() -> None:
    """Make `ATTENTION` known to transformers; outside of `packed` it is its own ``sdpa``."""
    AttentionInterface.register(ATTENTION, _attention)
    AttentionMaskInterface.register(ATTENTION, _mask)


def _mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """Return no mask for a packed row: it would be quadratic, and `_attention` needs none."""
    return None if getattr(_row, "runs", None) else sdpa_mask(*args, **kwargs)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend within sequences: shape (1, heads, n_tokens, size) to (1, n_tokens, heads, size).

    ``key`` and ``value`` may have fewer heads than ``query``.
    """
    runs = getattr(_row, "runs", None)
    if not runs:
        by_sdpa: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return by_sdpa
    if kwargs.get("position_bias") is not None or kwargs.get("softcap") is not None:
        raise NotImplementedError("attention with a position bias or a soft cap cannot be packed")
    causal = kwargs.get("is_causal")
    settings = AttentionSettings(
        heads=query.shape[1],
        is_causal=bool(getattr(module, "is_causal", True)) if causal is None else bool(causal),
        window=kwargs.get("sliding_window"),
        scale=kwargs.get("scaling"),
    )
    if _row.settings is not None:
        _row.settings.append(settings)
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
    return attend(query, key, value, runs, settings, kwargs.get("dropout") or 0.0)[None], None


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    runs: list[tuple[int, int]],
    settings: AttentionSettings,
    dropout: float = 0.0,
) -> Tensor:
    """Attend within sequences of ``runs`` (count, length); all of shape (n_tokens, heads, size).

    ``key`` and ``value`` may have fewer heads than ``query``.
    """
    is_causal, window = settings.is_causal, settings.window
    by_products = (
        query.dtype is torch.bfloat16
        and query.device.type == "cpu"
        and not (is_causal or dropout or query.requires_grad)
        and query.shape == key.shape
    )
    parts = []
    start = 0
    for count, length in runs:
        tokens, shape = slice(start, start + count * length), (count, length)
        near = None
        if window is not None and length > window:
            near = _window_mask(length, window, is_causal, query.device)
        queries, keys, values = (
            states[tokens].unflatten(0, shape).transpose(1, 2) for states in (query, key, value)
        )
        if by_products and near is None and length <= _LONGEST_BY_PRODUCTS:
            attended = _attend_by_products(queries, keys, values, settings.scale)
        else:
            attended = scaled_dot_product_attention(
                queries,
                keys,
                values,
                attn_mask=near,
                dropout_p=dropout,
                is_causal=is_causal and near is None and length > 1,
                scale=settings.scale,
                enable_gqa=key.shape[1] != query.shape[1],
            )
        parts.append(attended.transpose(1, 2).flatten(0, 1))
        start = tokens.stop
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_by_products(
    queries: Tensor, keys: Tensor, values: Tensor, scale: float | None
) -> Tensor:
    """Attend in bfloat16, where two products take a fifth less time than the fused kernel.

    All are of shape (count, heads, length, size).
    """
    query, key, value = (states.flatten(0, 1) for states in (queries, keys, values))
    scale = query.shape[2] ** -0.5 if scale is None else scale
    scores = torch.baddbmm(query.new_empty(()), query, key.transpose(1, 2), beta=0, alpha=scale)
    attended: Tensor = torch.bmm(scores.softmax(-1), value).unflatten(0, queries.shape[:2])
    return attended


def _window_mask(length: int, window: int, causal: bool, device: torch.device) -> Tensor:
    """Return which tokens see which, those less than ``window`` away."""
    position = torch.arange(length, device=device)
    distance = position[:, None] - position
    return (distance.abs() < window) & ((distance >= 0) | (not causal))
