"""Run only the upper layers of a network, on hidden states that were computed before."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = ["SkippedLayers", "find_layers"]


def find_layers(model: nn.Module, entrances: Sequence[nn.Module]) -> nn.ModuleList | None:
    """Return the list of a model's layers, or None if it has no such list.

    ``entrances`` are the modules that the hidden states enter, one for each layer; the first may be
    the dropout of the embeddings.
    """
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == len(entrances):
            pairs = zip(module, entrances, strict=True)
            if all(layer is entrance for layer, entrance in list(pairs)[1:]):
                return module
    return None


class SkippedLayers:
    """The lowest layers of a model, taken out: what enters the next one is given instead.

    With ``returns_pair``, the model expects of a layer its states and something else.
    """

    def __init__(self, layers: nn.ModuleList, count: int, returns_pair: bool = False) -> None:
        self._layers = layers
        self._lowest = list(layers[:count])
        self._local = threading.local()
        for index, layer in enumerate(self._lowest):
            layers[index] = _Skipped(layer, returns_pair)
        self._hook = layers[count].register_forward_pre_hook(self._enter, with_kwargs=True)

    def restore(self) -> None:
        """Put the layers back."""
        self._hook.remove()
        for index, layer in enumerate(self._lowest):
            self._layers[index] = layer

    @contextmanager
    def entering(self, states: Tensor | None) -> Iterator[None]:
        """Let these states, of shape (batch, length, hidden), enter the lowest layer left."""
        self._local.states = states
        try:
            yield
        finally:
            self._local.states = None

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        states = getattr(self._local, "states", None)
        if states is None:
            return None
        if args:
            return (states, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": states}


class _Skipped(nn.Module):
    """Stands where a layer was, and returns what enters it."""

    def __init__(self, layer: nn.Module, returns_pair: bool) -> None:
        super().__init__()
        for name, value in vars(layer).items():  # such as the kind of its attention
            if not name.startswith("_") and name != "training":
                setattr(self, name, value)
        self._returns_pair = returns_pair

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return (hidden_states, None) if self._returns_pair else hidden_states
