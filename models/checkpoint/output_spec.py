"""Which vectors of a text are computed: layers, their merge, poolings, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...validation import check_choice, check_int, invalid
from ..pooling.layers import LAYER_MERGES, LayerMerge, resolve_layers
from ..pooling.tokens import POOLINGS, resolve_pooling

if TYPE_CHECKING:
    from .description import Checkpoint, LaterModule

__all__ = ["OutputSpec", "Part", "every_part", "resolve_output_spec"]


class Part(NamedTuple):
    """One vector of a text; several layers are merged by token before the pooling."""

    layers: tuple[int, ...]
    merge: LayerMerge
    pooling: str


def every_part(n_layers: int) -> tuple[Part, ...]:
    """Return every layer under every pooling."""
    return tuple(
        Part((layer,), "sum", pooling) for pooling in POOLINGS for layer in range(n_layers + 1)
    )


@dataclass(frozen=True)
class OutputSpec:
    """What to compute of each text, resolved against a checkpoint.

    Parameters
    ----------
    layers : tuple of int
        Layers from 0 (embeddings) to the model's number of layers.
    layer_merge : {"concat", "sum", "mean"}
        How the layers' token vectors become one.
    poolings : tuple of str
        Names of poolings. Their vectors are concatenated.
    later_modules : tuple of LaterModule
        The checkpoint's own modules to apply after the pooling.
    normalize : bool
        Whether the result is scaled to unit length.
    n_features : int
        Width of the result; of wider vectors, the first features are kept.

    See Also
    --------
    resolve_output_spec : Make one from the parameters of a vectorizer.
    """

    layers: tuple[int, ...]
    layer_merge: LayerMerge
    poolings: tuple[str, ...]
    later_modules: tuple[LaterModule, ...]
    normalize: bool
    n_features: int

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The vectors that the network must give, from which `merge_parts` makes the result.

        Layers may be summed after pooling as well as before, but for the maximum.
        """
        found: list[Part] = []
        for pooling in self.poolings:
            if self.layer_merge != "concat" and pooling == "max" and len(self.layers) > 1:
                found.append(Part(self.layers, self.layer_merge, pooling))
            else:
                found += [Part((layer,), "sum", pooling) for layer in self.layers]
        return tuple(found)


def resolve_output_spec(
    checkpoint: Checkpoint,
    layers: Any = -1,
    layer_merge: LayerMerge = "concat",
    pooling: Any = "auto",
    normalize: Any = "auto",
    truncate_dim: Any = None,
) -> OutputSpec:
    """Resolve the parameters of a vectorizer against a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    layers : int, list of int or str, default=-1
        Layers in Hugging Face's numbering.
    layer_merge : {"concat", "sum", "mean"}, default="concat"
        How several layers become one vector.
    pooling : str or tuple of str, default="auto"
        ``"auto"`` takes the checkpoint's own pooling and, if only the last layer is read, its later
        modules too.
    normalize : bool or "auto", default="auto"
        False leaves the checkpoint's Normalize out, True scales any result to unit length.
    truncate_dim : int or None, default=None
        Number of features to keep, the first ones. None takes the checkpoint's number where its
        later modules are applied, too.

    Returns
    -------
    OutputSpec
        What to compute.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or the model has no such layer.

    See Also
    --------
    OutputSpec : The result.
    open_checkpoint : Make a checkpoint.

    Examples
    --------
    >>> from bertvectorizer.models import open_checkpoint, resolve_output_spec
    >>> checkpoint = open_checkpoint("sentence-transformers/all-MiniLM-L6-v2")
    >>> spec = resolve_output_spec(checkpoint, layers=[-1, -2], pooling="mean")
    >>> spec.layers, spec.n_features
    ((6, 5), 768)
    """
    check_choice("layer_merge", layer_merge, LAYER_MERGES)
    is_auto = isinstance(normalize, str) and normalize == "auto"
    if not is_auto and not isinstance(normalize, (bool, np.bool_)):
        raise invalid("normalize", "'auto', True or False", normalize)
    numbers = resolve_layers(layers, checkpoint.n_layers)
    own = isinstance(pooling, str) and pooling == "auto"
    poolings = checkpoint.pooling if own else resolve_pooling(pooling)
    is_whole = own and numbers == (checkpoint.n_layers,)
    later = checkpoint.later_modules if is_whole else ()
    if not normalize:
        later = tuple(module for module in later if module.name != "Normalize")
    n_merged = len(numbers) if layer_merge == "concat" else 1
    width = checkpoint.hidden_size * len(poolings) * n_merged
    for module in later:
        width = module.out_features or width
    n_features = check_int("truncate_dim", truncate_dim, 1, optional=True)
    if n_features is None:
        n_features = min(width, (checkpoint.truncate_dim if is_whole else None) or width)
    elif n_features > width:
        rule = f"at most {width}, the number of features of these vectors, or None"
        raise invalid("truncate_dim", rule, truncate_dim)
    return OutputSpec(
        layers=numbers,
        layer_merge=layer_merge,
        poolings=poolings,
        later_modules=later,
        normalize=not is_auto and bool(normalize),
        n_features=n_features,
    )
