"""From the vectors of a sequence's tokens to one vector, under sentence-transformers' names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...validation import invalid

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["POOLINGS", "pool", "resolve_pooling"]

POOLINGS = ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def resolve_pooling(pooling: Any) -> tuple[str, ...]:
    """Return the requested poolings as a tuple of names; ``"auto"`` must be resolved before.

    Examples
    --------
    >>> resolve_pooling("mean"), resolve_pooling(["cls", "max"])
    (('mean',), ('cls', 'max'))
    """
    names = pooling.tolist() if isinstance(pooling, np.ndarray) else pooling
    names = (names,) if isinstance(names, str) else names
    rule = "'auto', one of " + ", ".join(map(repr, POOLINGS)) + ", or a tuple of these"
    if not isinstance(names, (tuple, list)) or not names:
        raise invalid("pooling", rule, pooling)
    if not all(isinstance(name, str) and name in POOLINGS for name in names):
        raise invalid("pooling", rule, pooling)
    if len(set(names)) < len(names):
        raise invalid("pooling", "free of repetition", pooling)
    return tuple(names)


def pool(states: Tensor, pooling: str, skip: int = 0) -> Tensor:
    """Pool the tokens of sequences of equal length, in float32.

    ``states`` is of shape (..., n_tokens, hidden), the result of shape (..., hidden). The first
    ``skip`` tokens, those of a prompt, stay out. If there are no others, ``cls`` takes the first of
    them, and the other poolings give zeros. ``weightedmean`` weighs token *i* (from 1, skipped ones
    included) by *i*.

    References
    ----------
    N. Reimers, I. Gurevych, "Sentence-BERT", EMNLP 2019, section 3 (cls, mean, max).
    N. Muennighoff, "SGPT", 2022, section 3 (weightedmean, lasttoken).
    """
    import torch

    length = states.shape[-2]
    if skip >= length and pooling != "cls":
        return torch.zeros_like(states[..., 0, :], dtype=torch.float32)
    first = skip if skip < length else 0
    states = states[..., first:, :].float()
    if pooling in ("cls", "lasttoken"):
        return states[..., 0 if pooling == "cls" else -1, :]
    if pooling == "max":
        return states.amax(dim=-2)
    if pooling == "mean":
        return states.mean(dim=-2)
    if pooling == "mean_sqrt_len_tokens":
        return states.sum(dim=-2) / math.sqrt(length - first)
    weights = torch.arange(first + 1, length + 1, dtype=torch.float32, device=states.device)
    return torch.einsum("...td,t->...d", states, weights / weights.sum())
