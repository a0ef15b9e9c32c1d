"""Transformer layers as a few large operations, in place of the library's many small modules.

A layer becomes one product for queries, keys and values, attention, and three products that add
what passes by them or apply the activation. oneDNN multiplies by weights that it reorders once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, linear, relu, silu
from transformers.pytorch_utils import Conv1D

from ...private_api import has_packed_linear, linear_product, pack_linear_weight
from .packed_attention import AttentionSettings, attend

__all__ = [
    "ACTIVATIONS",
    "FusedLayers",
    "LayerParts",
    "LinearParts",
    "PackedLinear",
    "Parts",
    "PlainLinear",
    "read_layers",
]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": partial(gelu, approximate="tanh"),
    "relu": relu,
    "silu": silu,
}
# Called with rows of shape (n_tokens, in_features); returns (n_tokens, out_features).
Linear: TypeAlias = Callable[..., Tensor]


class PackedLinear:
    """A linear layer whose weight oneDNN has reordered for the processor."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight = pack_linear_weight(weight)
        self._bias = bias

    def __call__(
        self, rows: Tensor, activation: str | None = None, residual: Tensor | None = None
    ) -> Tensor:
        """Map rows of shape (n_tokens, in_features); apply a function, or add what is given."""
        product: Tensor = linear_product(rows, self._weight, self._bias, activation, residual)
        return product


class PlainLinear:
    """A linear layer by PyTorch's own operations, where oneDNN has none for a format or device."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(
        self, rows: Tensor, activation: str | None = None, residual: Tensor | None = None
    ) -> Tensor:
        """Map rows of shape (n_tokens, in_features); apply a function, or add what is given."""
        product = linear(rows, self._weight, self._bias)
        if activation is not None:
            product = ACTIVATIONS[activation](product)
        return product if residual is None else product + residual


class _Norm(NamedTuple):
    """A norm over features; it stays outside of the products, which have no such operation."""

    weight: Tensor | None
    bias: Tensor | None
    epsilon: float

    def __call__(self, states: Tensor) -> Tensor:
        return layer_norm(states, states.shape[-1:], self.weight, self.bias, self.epsilon)


class LinearParts(NamedTuple):
    """A weight, (out_features, in_features), and what belongs to it.

    ``bias`` is of shape (out_features,), and ``largest`` of shape (in_features,): the magnitudes
    that the input features reached.
    """

    weight: Tensor
    bias: Tensor | None
    largest: Tensor


MakeLinear: TypeAlias = Callable[[LinearParts], Linear]


class LayerParts(NamedTuple):
    """The parts of a layer.

    ``linears`` are those of the products: query with key and value, output of attention, up, down.
    """

    linears: list[LinearParts]
    norms: list[_Norm]
    is_norm_first: bool
    attention: AttentionSettings
    activation: str


Parts: TypeAlias = tuple[list[LayerParts], "_Norm | None"]  # of all layers, and the norm after


class FusedLayers:
    """The layers of a transformer, from the states that enter the first to those of the last.

    Products and attention are computed in ``dtype``; the states that layers add to, and norms, stay
    in float32, since rounding would add up there. ``make_linear`` turns the parts of a product into
    a function of rows; None takes oneDNN's where it has one.
    """

    def __init__(
        self,
        layers: Sequence[LayerParts],
        final_norm: _Norm | None,
        dtype: torch.dtype = torch.float32,
        make_linear: MakeLinear | None = None,
    ) -> None:
        if make_linear is None:
            is_packed = has_packed_linear(layers[0].linears[0].weight.to(dtype))
            kind = PackedLinear if is_packed else PlainLinear

            def make_linear(part: LinearParts) -> Linear:
                bias = None if part.bias is None else part.bias.to(dtype)
                return kind(part.weight.to(dtype), bias)

        self._layers = [_FusedLayer(layer, make_linear, dtype) for layer in layers]
        self._final_norm = final_norm

    def __call__(
        self, states: Tensor, runs: list[tuple[int, int]], wanted: Iterable[int]
    ) -> dict[int, Tensor]:
        """Return the states of the wanted layers, of shape (n_tokens, hidden); 0 are those given.

        The tokens are those of ``runs`` (count, length) of sequences, one after the other.
        """
        layers = set(wanted)
        found = {0: states} if 0 in layers else {}
        for number, layer in enumerate(self._layers[: max(layers)], start=1):
            states = layer(states, runs)
            if number in layers:
                found[number] = states
        last = len(self._layers)
        if last in found and self._final_norm is not None:
            found[last] = self._final_norm(found[last])
        return found


class _FusedLayer:
    def __init__(self, parts: LayerParts, make_linear: MakeLinear, dtype: torch.dtype) -> None:
        self._enter, self._leave, self._up, self._down = (
            make_linear(part) for part in parts.linears
        )
        self._first_norm, self._second_norm = parts.norms
        self._is_norm_first, self._activation = parts.is_norm_first, parts.activation
        self._attention = parts.attention
        self._dtype = dtype

    def __call__(self, states: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        """Run the layer on states of shape (n_tokens, hidden), float32."""
        if self._is_norm_first:
            states = _add(states, self._leave, self._attend(self._first_norm(states), runs))
            return _add(states, self._down, self._feed(self._second_norm(states)))
        states = self._first_norm(_add(states, self._leave, self._attend(states, runs)))
        return self._second_norm(_add(states, self._down, self._feed(states)))

    def _attend(self, states: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        joint = self._enter(states.to(self._dtype)).unflatten(1, (3, self._attention.heads, -1))
        query, key, value = joint.unbind(1)
        return attend(query, key, value, runs, self._attention).flatten(1)

    def _feed(self, states: Tensor) -> Tensor:
        return self._up(states.to(self._dtype), activation=self._activation)


def _add(states: Tensor, linear: Linear, rows: Tensor) -> Tensor:
    """Add the product of rows to states; the kernel does it where both have one format."""
    return linear(rows, residual=states) if rows.dtype == states.dtype else states + linear(rows)


def read_layers(
    layers: Sequence[nn.Module], model: nn.Module, run: Callable[[list[AttentionSettings]], Any]
) -> Parts | None:
    """Return the parts of layers, and the norm after the last; None if they are built otherwise.

    ``run`` runs the model, and appends the settings of attention in each layer to a list. Whether
    `FusedLayers` of these parts give the same numbers is to be tried.
    """
    inner = {module for layer in layers for module in layer.modules()}
    calls = [_Calls(layer.modules()) for layer in layers]
    after = _Calls(module for module in model.modules() if module not in inner)
    clear = layers[-1].register_forward_hook(lambda *_: after.clear())
    settings: list[AttentionSettings] = []
    try:
        run(settings)
    finally:
        clear.remove()
        for each in (*calls, after):
            each.stop()
    norms = after.norms
    if len(settings) != len(layers) or after.kinds not in ("", "N"):
        return None
    parts = [each.parts(own) for each, own in zip(calls, settings, strict=True)]
    found = [part for part in parts if part is not None]
    return (found, norms[0] if norms else None) if len(found) == len(layers) else None


class _Calls:
    """The calls of linear layers and norms among some modules, in their order."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._calls: list[tuple[Any, Tensor, Tensor]] = []
        self._hooks = [
            module.register_forward_hook(self._note)
            for module in modules
            if isinstance(module, (nn.Linear, Conv1D, nn.LayerNorm))
        ]

    def _note(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self._calls.append((module, inputs[0], output))

    def clear(self) -> None:
        self._calls.clear()

    def stop(self) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def kinds(self) -> str:
        return "".join("N" if isinstance(part, nn.LayerNorm) else "L" for part, *_ in self._calls)

    @property
    def norms(self) -> list[_Norm]:
        modules = (module for module, *_ in self._calls if isinstance(module, nn.LayerNorm))
        return [_Norm(_detached(norm.weight), _detached(norm.bias), norm.eps) for norm in modules]

    def parts(self, attention: AttentionSettings) -> LayerParts | None:
        """Return the parts of the layer whose modules these are; None if it is built otherwise."""
        if self.kinds not in ("LLLLNLLN", "LLNLLN", "NLLLLNLL", "NLLNLL"):
            return None
        linears = [call for call in self._calls if not isinstance(call[0], nn.LayerNorm)]
        *joint, leave, up, down = (_linear_parts(module, rows) for module, rows, _ in linears)
        activation = _find_activation(linears[-2][2], linears[-1][1])
        n_features = sum(len(part.weight) for part in joint)
        is_even = len({len(part.weight) for part in joint}) == 1  # else fewer keys than queries
        if activation is None or not is_even or n_features % (3 * attention.heads):
            return None
        return LayerParts(
            linears=[_join(joint), leave, up, down],
            norms=self.norms,
            is_norm_first=self.kinds.startswith("N"),
            attention=attention,
            activation=activation,
        )


def _find_activation(before: Tensor, after: Tensor) -> str | None:
    for name, function in ACTIVATIONS.items():
        if before.shape == after.shape and torch.allclose(function(before), after, atol=1e-6):
            return name
    return None


def _join(linears: Sequence[LinearParts]) -> LinearParts:
    """Return the parts of one product for several of the same input."""
    weight = torch.cat([part.weight for part in linears])
    if all(part.bias is None for part in linears):
        return LinearParts(weight, None, linears[0].largest)
    biases = [
        part.weight.new_zeros(len(part.weight)) if part.bias is None else part.bias
        for part in linears
    ]
    return LinearParts(weight, torch.cat(biases), linears[0].largest)


def _linear_parts(module: Any, rows: Tensor) -> LinearParts:
    weight = module.weight.detach()
    weight = weight.T.contiguous() if isinstance(module, Conv1D) else weight
    return LinearParts(weight, _detached(module.bias), rows.detach().flatten(0, -2).abs().amax(0))


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
