"""What is read out of the network for each text: layers, their merge, poolings, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...validation import check_choice, invalid
from ..pooling.layers import LAYER_MERGES, resolve_layers
from ..pooling.tokens import POOLINGS, resolve_pooling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .description import Checkpoint, LaterModule

__all__ = ["OutputSpec", "Part", "every_part", "resolve_output_spec"]


class Part(NamedTuple):
    """One vector of ``hidden`` numbers that the network gives for a text.

    Attributes
    ----------
    layers : tuple of int
        One layer, or several that are merged token by token before the pooling.
    merge : {"sum", "mean"}
        How several layers are merged; of no account for one.
    pooling : str
    """

    layers: tuple[int, ...]
    merge: str
    pooling: str


def every_part(n_layers: int) -> tuple[Part, ...]:
    """Return all that can be kept of a text: every layer under every pooling."""
    return tuple(
        Part((layer,), "sum", pooling) for pooling in POOLINGS for layer in range(n_layers + 1)
    )


@dataclass(frozen=True)
class OutputSpec:
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

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What the network must give, from which `merge` makes the result.

        The sum of layers may be taken after pooling as well as before, but for the maximum.
        """
        found: list[Part] = []
        for pooling in self.poolings:
            if self.layer_merge != "concat" and pooling == "max" and len(self.layers) > 1:
                found.append(Part(self.layers, self.layer_merge, pooling))
            else:
                found += [Part((layer,), "sum", pooling) for layer in self.layers]
        return tuple(found)

    def merge(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Merge the vectors of `parts`. *Shape:* ``(n_texts, n_parts, hidden) -> (n_texts, n_parts_merged * hidden)``."""
        if self.layer_merge == "concat" or len(self.layers) == 1:
            return vectors.reshape(len(vectors), vectors.shape[1] * vectors.shape[2])
        blocks = []
        for pooling in self.poolings:
            block = vectors[
                :, [place for place, part in enumerate(self.parts) if part.pooling == pooling]
            ]
            total = block.sum(axis=1)
            blocks.append(
                total / len(self.layers)
                if self.layer_merge == "mean" and pooling != "max"
                else total
            )
        return np.concatenate(blocks, axis=1)


def resolve_output_spec(
    checkpoint: Checkpoint,
    layers: Any = -1,
    layer_merge: str = "concat",
    pooling: Any = "auto",
    normalize: Any = "auto",
) -> OutputSpec:
    """Resolve what the user asked for.

    ``pooling="auto"`` takes the checkpoint's own pooling and, when the last layer alone is read,
    its later modules too. ``normalize=False`` leaves the checkpoint's Normalize out, True scales
    whatever comes out to unit length.
    """
    check_choice("layer_merge", layer_merge, LAYER_MERGES)
    if not isinstance(normalize, (bool, np.bool_)) and not (
        isinstance(normalize, str) and normalize == "auto"
    ):
        raise invalid("normalize", "'auto', True or False", normalize)
    numbers = resolve_layers(layers, checkpoint.n_layers)
    own = isinstance(pooling, str) and pooling == "auto"
    poolings = checkpoint.pooling if own else resolve_pooling(pooling)
    later = checkpoint.later_modules if own and numbers == (checkpoint.n_layers,) else ()
    if normalize != "auto" and not normalize:
        later = tuple(module for module in later if module.name != "Normalize")
    width = (
        checkpoint.hidden_size * len(poolings) * (len(numbers) if layer_merge == "concat" else 1)
    )
    for module in later:
        width = module.out_features or width
    return OutputSpec(
        numbers, layer_merge, poolings, later, normalize != "auto" and bool(normalize), width
    )
