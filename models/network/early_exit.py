"""Read the requested layers, and stop the network after the deepest of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LayerReader"]


class _DepthReached(Exception):
    """Ends the forward pass after the deepest requested layer."""


class LayerReader:
    """Collects hidden states where they enter a layer, without computing later layers.

    The modules that hidden states enter are found by watching one forward pass of ``example``, not
    by their names. Models whose layers cannot be distinguished that way run to the end, with the
    library's own ``output_hidden_states``. ``example`` runs the model on a small input and passes
    its keyword arguments on.
    """

    def __init__(self, model: nn.Module, n_layers: int, example: Callable[..., Any]) -> None:
        self.n_layers = n_layers
        self._local = threading.local()
        entrances = self._find_entrances(model, example)
        self.stops_early = entrances is not None
        for module in entrances or []:
            module.register_forward_pre_hook(self._enter, with_kwargs=True)

    def _find_entrances(
        self, model: nn.Module, example: Callable[..., Any]
    ) -> list[nn.Module] | None:
        entered: list[tuple[nn.Module, Tensor]] = []

        def watch(module: nn.Module, args: Any, kwargs: Any) -> None:
            state = _first_tensor(args, kwargs)
            if state is not None:
                entered.append((module, state))

        hooks = [
            module.register_forward_pre_hook(watch, with_kwargs=True) for module in model.modules()
        ]
        try:
            expected = example(output_hidden_states=True).hidden_states
        finally:
            for hook in hooks:
                hook.remove()
        if len(expected) != self.n_layers + 1:
            return None
        entrances: list[nn.Module] = []
        for state in expected[:-1]:
            outermost = next((module for module, tensor in entered if _same(tensor, state)), None)
            if outermost is None:
                return None
            if outermost not in entrances:
                entrances.append(outermost)
        return entrances

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        reading = getattr(self._local, "reading", None)
        state = _first_tensor(args, kwargs)
        if reading is not None and state is not None:
            reading.add(state)

    def __call__(self, forward: Callable[..., Any], layers: Iterable[int]) -> dict[int, Tensor]:
        """Run ``forward`` as far as needed; return states of shape (batch, length, hidden)."""
        wanted = set(layers)
        if not self.stops_early:
            states = forward(output_hidden_states=True).hidden_states
            return {layer: states[layer] for layer in sorted(wanted)}
        reading = self._local.reading = _Reading(wanted)
        try:
            reading.states[self.n_layers] = forward().last_hidden_state
        except _DepthReached:
            pass
        finally:
            self._local.reading = None
        return reading.states


class _Reading:
    """The hidden states seen so far in one forward pass."""

    def __init__(self, wanted: set[int]) -> None:
        self.states: dict[int, Tensor] = {}
        self._wanted = wanted
        self._deepest = max(wanted)
        self._layer = -1
        self._last: Tensor | None = None

    def add(self, state: Tensor) -> None:
        if self._last is not None and _same(state, self._last):
            return  # an encoder and its first layer are entered by the same states
        self._layer, self._last = self._layer + 1, state
        if self._layer in self._wanted:
            self.states[self._layer] = state
        if self._layer == self._deepest:
            raise _DepthReached


def _first_tensor(args: Any, kwargs: Any) -> Tensor | None:
    state = args[0] if args else kwargs.get("hidden_states")
    return state if isinstance(state, torch.Tensor) and state.is_floating_point() else None


def _same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape
