"""Linear layers in 8 bits on the CPU: a scale per output channel, a step and a least per token.

Each token has a scale of its own, so a text's vector does not depend on other texts. The few input
features that reach far beyond the others would make every step of their tokens coarse; they are
multiplied in float32 (T. Dettmers et al., "LLM.int8()", NeurIPS 2022). Which ones is found once,
on arbitrary tokens. Processors without VNNI add products of 8-bit numbers in 16 bits, which
overflow; there activations get 7 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UnsupportedModelError
from ...private_api import int8_product, pack_int8_weight, quantize_rows
from .devices import int8_activation_bits
from .fused_layers import ACTIVATIONS, LINEAR, Calls, largest_magnitudes, linear_parts

__all__ = ["Int8Linear", "quantize_linear_layers"]

_MOST_OUTLIERS = 6
_FAR = 4  # times what the median feature reaches
# Products of fewer rows add in another order, so that a text's numbers would depend on others.
_FEWEST_ROWS = 16


class Int8Linear(nn.Module):
    """A linear layer on integers, by oneDNN's kernels.

    ``weight`` is of shape (out_features, in_features), float32. ``largest``, of shape
    (in_features,), are magnitudes that the input features reach; those that reach far beyond the
    others stay in float32. None quantizes all of them.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        largest: Tensor | None = None,
        n_bits: int | None = None,  # of activations; None is what the processor can do
    ) -> None:
        super().__init__()
        # Some layers ask the weight of the next one for its type, as T5's; it has no numbers.
        self.weight = torch.empty(weight.shape, device="meta")
        n_features = weight.shape[1]
        self._n_features = n_features
        self._is_halved = (int8_activation_bits() if n_bits is None else n_bits) == 7
        self._outliers = self._kept = None
        exact: list[Tensor] = []
        outliers = None if largest is None else _outliers(largest)
        if outliers is not None:
            self._outliers = outliers
            self._kept = torch.ones(n_features).index_fill_(0, outliers, 0)
            exact = [weight[:, outliers].T]
            weight = weight * self._kept
        scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        integers = (weight / scale[:, None]).round()
        self._weight = pack_int8_weight(integers.to(torch.int8))
        self._scale = scale
        self._zero = torch.zeros(len(scale), dtype=torch.long)
        constant = torch.zeros(len(scale)) if bias is None else bias
        # Multiplied by what is exact in a row: its least number, one, and its outliers.
        self._exact_weight = torch.cat(
            [(integers.sum(dim=1) * scale)[None], constant[None], *exact]
        ).contiguous()

    def forward(
        self, states: Tensor, activation: str | None = None, residual: Tensor | None = None
    ) -> Tensor:
        """Map states of shape (..., in_features); apply a function, or add what is given."""
        rows = states.reshape(-1, self._n_features).float()
        n_rows = len(rows)
        if n_rows < _FEWEST_ROWS:
            rows = nn.functional.pad(rows, (0, 0, 0, _FEWEST_ROWS - n_rows))
        quantized = quantize_rows(rows if self._kept is None else rows * self._kept)
        integers, scales = quantized.tensor_split([self._n_features], dim=1)
        step, least = (
            scales.clone(memory_format=torch.contiguous_format).view(torch.float32).split(1, dim=1)
        )
        if self._is_halved:
            integers = integers >> 1
            # Half of them lost a half as they were rounded down.
            least = torch.add(least, step, alpha=0.5)
            step = step * 2
        product: Tensor = int8_product(integers.contiguous(), self._weight, self._scale, self._zero)
        product.mul_(step)
        exact = [least, torch.ones_like(least)]
        if self._outliers is not None:
            exact.append(rows.index_select(1, self._outliers))
        product.addmm_(torch.cat(exact, dim=1), self._exact_weight)
        product = product[:n_rows].view(*states.shape[:-1], -1)
        if activation is not None:
            product = ACTIVATIONS[activation](product)
        return product if residual is None else product.add_(residual)


def _outliers(largest: Tensor) -> Tensor | None:
    """Return the indices of the features that reach far beyond the others, None without any."""
    reached, features = largest.topk(min(_MOST_OUTLIERS, len(largest)))
    found = features[reached > _FAR * largest.median()]
    return found.sort().values if len(found) else None


def quantize_linear_layers(model: nn.Module, run: Callable[[], Any]) -> None:
    """Replace every linear layer of ``model`` by an `Int8Linear`; ``run`` runs it on examples."""
    with Calls(model.modules()) as calls:
        run()
    largest: dict[nn.Module, Tensor] = {}
    for module, states in calls.linears:
        if states.numel():  # an expert may get no token
            reached = largest_magnitudes(states)
            largest[module] = torch.maximum(reached, largest.get(module, reached))
    n_replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LINEAR):
                setattr(parent, name, Int8Linear(*linear_parts(child, largest.get(child))))
                n_replaced += 1
    if not n_replaced:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no linear layers to run in int8. Use precision='float32'."
        )
