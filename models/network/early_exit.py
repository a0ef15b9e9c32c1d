"""Read the requested layers, and stop the network after the deepest of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UnsupportedModelError

__all__ = ["LayerReader", "agree"]

_TOLERANCE = 5e-5


class _DepthReached(Exception):
    """Ends the forward pass after the deepest requested layer."""


class LayerReader:
    """Collects hidden states where they enter a layer, without computing later layers.

    The modules that hidden states enter are found by watching one forward pass of ``example``, not
    by their names, and tried in a second one. Models whose layers cannot be distinguished that way
    run to the end, with the library's own ``output_hidden_states``. ``example`` runs the model on a
    small input and passes its keyword arguments on.
    """

    def __init__(self, model: nn.Module, n_layers: int, example: Callable[..., Any]) -> None:
        self.n_layers = n_layers
        self._name = type(model).__name__
        self._local = threading.local()
        found, expected = self._find_entrances(model, example)
        self.entrances = found or []
        hooks = [
            module.register_forward_pre_hook(self._enter, with_kwargs=True)
            for module in self.entrances
        ]
        self.stops_early = found is not None
        # A layer that runs more often than it is counted would shift the numbers of the others.
        if self.stops_early and not self._reads(example, expected):
            self.stops_early = False
            for hook in hooks:
                hook.remove()

    def _reads(self, example: Callable[..., Any], expected: list[Tensor]) -> bool:
        """Whether the hooks give the states that the model itself returns."""
        states = self(example, range(self.n_layers + 1))
        return all(
            layer in states and agree(expected[layer], states[layer])
            for layer in range(self.n_layers + 1)
        )

    def all_states(self, forward: Callable[..., Any]) -> list[Tensor]:
        """Run ``forward`` to its end; return the states of every layer, the embeddings first.

        The last ones are the model's result, which some models scale after their last layer.
        """
        output = forward(output_hidden_states=True)
        states = getattr(output, "hidden_states", None) or ()
        if len(states) != self.n_layers + 1:
            raise UnsupportedModelError(
                f"{self._name} returns {len(states)} hidden states, not those of the embeddings and"
                f" {self.n_layers} layers, so its layers cannot be distinguished. Choose a model of"
                " another family, such as BERT or RoBERTa."
            )
        last = getattr(output, "last_hidden_state", None)
        if last is None:
            raise UnsupportedModelError(
                f"{self._name} returns no vectors of tokens (last_hidden_state), so there is"
                " nothing to pool. Choose a model of another family, such as BERT or RoBERTa."
            )
        return [*states[:-1], last]

    def _find_entrances(
        self, model: nn.Module, example: Callable[..., Any]
    ) -> tuple[list[nn.Module] | None, list[Tensor]]:
        """Return the modules, None where a state enters none, and the states of every layer."""
        entered: list[tuple[nn.Module, Tensor]] = []

        def watch(module: nn.Module, args: Any, kwargs: Any) -> None:
            state = _first_tensor(args, kwargs)
            if state is not None:
                entered.append((module, state))

        hooks = [
            module.register_forward_pre_hook(watch, with_kwargs=True) for module in model.modules()
        ]
        try:
            expected = self.all_states(example)
        finally:
            for hook in hooks:
                hook.remove()
        entrances: list[nn.Module] = []
        for state in expected[:-1]:
            outermost = next((module for module, tensor in entered if _same(tensor, state)), None)
            if outermost is None:
                return None, expected
            if outermost not in entrances:
                entrances.append(outermost)
        return entrances, expected

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        reading = getattr(self._local, "reading", None)
        state = _first_tensor(args, kwargs)
        if reading is not None and state is not None:
            reading.add(state)

    def __call__(self, forward: Callable[..., Any], layers: Iterable[int]) -> dict[int, Tensor]:
        """Run ``forward`` as far as needed; return states of shape (batch, length, hidden)."""
        wanted = set(layers)
        if not self.stops_early:
            states = self.all_states(forward)
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


def agree(expected: Tensor, actual: Tensor, tolerance: float = _TOLERANCE) -> bool:
    """Whether states are equal but for rounding, relative to the largest of them."""
    scale = max(1.0, float(expected.detach().abs().max()))
    return expected.shape == actual.shape and torch.allclose(
        expected, actual, rtol=0, atol=tolerance * scale, equal_nan=True
    )
