"""What is read out of the network for each text: layers, their merge, poolings, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .layers import LAYER_MERGES, resolve_layers
from .pooling import resolve_pooling
from .validation import check_choice, invalid

if TYPE_CHECKING:
    from .checkpoint import Checkpoint, LaterModule

__all__ = ["Readout", "resolve_readout"]


@dataclass(frozen=True)
class Readout:
    """A request, resolved against a checkpoint.

    Attributes
    ----------
    layers : tuple of int
        Layers from 0 (embeddings) to the model's number of layers.
    layer_merge : {"concat", "sum", "mean"}
        How the layers' token vectors become one.
    poolings : tuple of str
        Their vectors stand side by side.
    later_modules : tuple of LaterModule
        The checkpoint's own modules to apply after the pooling.
    normalize : bool
        Whether the result is scaled to unit length.
    n_features : int
        Width of the result.
    """

    layers: tuple[int, ...]
    layer_merge: str
    poolings: tuple[str, ...]
    later_modules: tuple[LaterModule, ...]
    normalize: bool
    n_features: int


def resolve_readout(
    checkpoint: Checkpoint, layers: Any = -1, layer_merge: str = "concat", pooling: Any = "auto", normalize: Any = "auto"
) -> Readout:
    """Resolve what the user asked for.

    ``pooling="auto"`` takes the checkpoint's own pooling and, when the last layer alone is read, its later modules
    too. ``normalize=False`` leaves the checkpoint's Normalize out, True scales whatever comes out to unit length.
    """
    check_choice("layer_merge", layer_merge, LAYER_MERGES)
    if not isinstance(normalize, (bool, np.bool_)) and not (isinstance(normalize, str) and normalize == "auto"):
        raise invalid("normalize", "'auto', True or False", normalize)
    numbers = resolve_layers(layers, checkpoint.n_layers)
    own = isinstance(pooling, str) and pooling == "auto"
    poolings = checkpoint.pooling if own else resolve_pooling(pooling)
    later = checkpoint.later_modules if own and numbers == (checkpoint.n_layers,) else ()
    if normalize != "auto" and not normalize:
        later = tuple(module for module in later if module.name != "Normalize")
    width = checkpoint.hidden_size * len(poolings) * (len(numbers) if layer_merge == "concat" else 1)
    for module in later:
        width = module.out_features or width
    return Readout(numbers, layer_merge, poolings, later, normalize != "auto" and bool(normalize), width)
