"""Transformer layers as a few large operations, in place of the library's many small modules.

A layer becomes one product for queries, keys and values, attention, and three products that add
what passes by them or apply the activation. oneDNN multiplies by weights that it reorders once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
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
    "LINEAR",
    "Calls",
    "FusedLayers",
    "LayerParts",
    "LinearParts",
    "PackedLinear",
    "Parts",
    "PlainLinear",
    "largest_magnitudes",
    "linear_parts",
    "read_layers",
]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": partial(gelu, approximate="tanh"),
    "relu": relu,
    "silu": silu,
}
LINEAR = (nn.Linear, Conv1D)
# Calls of linear layers and norms in a layer: norms follow or come first, and query, key and value
# are three products or one.
_KINDS = ("LLLLNLLN", "LLNLLN", "NLLLLNLL", "NLLNLL")
_FAR = 50.0  # some activations are cut off at 6 or 10
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
    that the input features reached, None where that is not known.
    """

    weight: Tensor
    bias: Tensor | None
    largest: Tensor | None


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
    settings: list[AttentionSettings] = []
    with ExitStack() as stack:
        calls = [stack.enter_context(Calls(layer.modules())) for layer in layers]
        after = stack.enter_context(Calls(one for one in model.modules() if one not in inner))
        clear = layers[-1].register_forward_hook(lambda *_: after.made.clear())
        stack.callback(clear.remove)
        run(settings)
    if (
        len(settings) != len(layers)
        or after.kinds not in ("", "N")
        or any(each.kinds not in _KINDS for each in calls)
    ):
        return None
    activations = _find_activations([each.linears[-2:] for each in calls], run)
    parts = [
        _layer_parts(each, own, activation)
        for each, own, activation in zip(calls, settings, activations, strict=True)
    ]
    found = [part for part in parts if part is not None]
    norms = after.norms
    return (found, norms[0] if norms else None) if len(found) == len(layers) else None


class Calls:
    """Within a block, the calls of linear layers and norms among some modules, in their order."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.made: list[tuple[Any, Tensor]] = []  # the module, and what it was given
        self._hooks = [
            module.register_forward_hook(self._note, with_kwargs=True)
            for module in modules
            if isinstance(module, (*LINEAR, nn.LayerNorm))
        ]

    def _note(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Tensor) -> None:
        self.made.append((module, (*args, *kwargs.values())[0]))

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def kinds(self) -> str:
        """Return a letter for each call, L or N."""
        return "".join("L" if isinstance(module, LINEAR) else "N" for module, _ in self.made)

    @property
    def linears(self) -> list[tuple[Any, Tensor]]:
        """Return the calls of linear layers."""
        return [call for call in self.made if isinstance(call[0], LINEAR)]

    @property
    def norms(self) -> list[_Norm]:
        """Return the norms that were called."""
        modules = (module for module, _ in self.made if isinstance(module, nn.LayerNorm))
        return [_Norm(_detached(norm.weight), _detached(norm.bias), norm.eps) for norm in modules]


def _layer_parts(
    calls: Calls, attention: AttentionSettings, activation: str | None
) -> LayerParts | None:
    """Return the parts of the layer that made these calls; None if it is built otherwise."""
    *joint, leave, up, down = (
        linear_parts(module, largest_magnitudes(rows)) for module, rows in calls.linears
    )
    n_features = sum(len(part.weight) for part in joint)
    is_even = len({part.weight.shape for part in joint}) == 1  # else fewer keys than queries
    if activation is None or not is_even or n_features % (3 * attention.heads):
        return None
    return LayerParts(
        linears=[_join(joint), leave, up, down],
        norms=calls.norms,
        is_norm_first=calls.kinds.startswith("N"),
        attention=attention,
        activation=activation,
    )


def _find_activations(
    pairs: Sequence[Sequence[tuple[Any, Tensor]]], run: Callable[[list[AttentionSettings]], Any]
) -> list[str | None]:
    """Return the function between the two products of each pair; None where it is another one.

    The numbers of an example may not reach where a function is cut off, so others are given to it.
    """
    with ExitStack() as stack:
        for (up, _), _ in pairs:
            give = up.register_forward_hook(lambda module, args, output: _far_numbers(output))
            stack.callback(give.remove)
        later = stack.enter_context(Calls(down for _, (down, _) in pairs))
        run([])
    reached = dict(later.made)
    return [_name_of(reached[down]) for _, (down, _) in pairs]


def _far_numbers(like: Tensor) -> Tensor:
    numbers = torch.linspace(-_FAR, _FAR, like.numel(), dtype=like.dtype, device=like.device)
    return numbers.view_as(like)


def _name_of(result: Tensor) -> str | None:
    """Return the name of the activation that gives this result for `_far_numbers`."""
    given = _far_numbers(result)
    for name, function in ACTIVATIONS.items():
        if torch.allclose(function(given), result, atol=1e-6):
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


def linear_parts(module: Any, largest: Tensor | None) -> LinearParts:
    """Return the parts of one of the `LINEAR` layers."""
    weight = module.weight.detach()
    weight = weight.T.contiguous() if isinstance(module, Conv1D) else weight
    return LinearParts(weight, _detached(module.bias), largest)


def largest_magnitudes(states: Tensor) -> Tensor:
    """Return the largest magnitude of each feature of states, of shape (..., n_features)."""
    return states.detach().flatten(0, -2).abs().amax(dim=0)


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
