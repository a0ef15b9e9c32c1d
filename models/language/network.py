"""The network of a language model: a transformer with a head that predicts tokens."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import UnsupportedModelError
from ..network.early_exit import agree
from ..torch_threads import lock_held_by_forks
from ..training.network import NetworkSpec, TrainableNetwork

if TYPE_CHECKING:
    from ..checkpoint.description import Checkpoint
    from .objectives import Objective

__all__ = ["language_network", "load_language_network"]


def language_network(
    checkpoint: Checkpoint,
    device: torch.device,
    objective: Objective,
    *,
    n_trained_layers: int | None = None,
    dropout: float | None = None,
    seed: int = 0,
    needs_depths: bool = False,
) -> TrainableNetwork:
    """Return a trainable network with the head of an objective.

    `UnsupportedModelError` is raised if the architecture has no such head, or reads what it is to
    predict.
    """
    spec = NetworkSpec(
        unit=objective,
        n_outputs=0,
        pooling=None,
        n_trained_layers=n_trained_layers,
        dropout=dropout,
        vocab_size=None,
        seed=seed,
        needs_depths=needs_depths,
    )
    network = TrainableNetwork(checkpoint, device, spec)
    if objective == "causal" and _reads_ahead(network):
        raise UnsupportedModelError(
            f"objective='causal' predicts each token from those before it, and"
            f" {type(network.base).__name__} of '{checkpoint.directory}' reads those after it, too."
            " Set objective='masked', or choose a causal model, such as GPT-2."
        )
    return network


def _reads_ahead(network: TrainableNetwork) -> bool:
    """Whether the states of tokens depend on a token that follows."""
    ids, lengths = network.backbone.tokens(6), np.array([6])
    changed = ids.copy()
    changed[-1] = ids[0]
    layer = network.n_layers
    with torch.no_grad():
        states, others = (
            network.backbone.hidden_states(each, lengths, [layer])[layer][:-1]
            for each in (ids, changed)
        )
    return not agree(states, others)


_loading = lock_held_by_forks()


def load_language_network(
    checkpoint: Checkpoint, device: torch.device, objective: Objective
) -> TrainableNetwork:
    """Return a network that predicts tokens; the last one stays in memory."""
    with _loading:
        return _cached(checkpoint, device, objective)


@lru_cache(maxsize=1)
def _cached(*key: Any) -> TrainableNetwork:
    return language_network(*key)
