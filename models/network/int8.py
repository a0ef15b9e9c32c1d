"""Linear layers in 8 bits on the CPU: a scale per output channel and a scale per token.

Activations get 7 bits, since processors without VNNI add products of 8-bit numbers in 16 bits,
which overflow. Each token has its own scale, so a text's vector does not depend on other texts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ...errors import UnsupportedModelError
from ...private_api import int8_product, pack_int8_weight
from .fused_layers import ACTIVATIONS

__all__ = ["Int8Linear", "quantize_linear_layers"]

_ZERO = 64
_LARGEST = 63


class Int8Linear(nn.Module):
    """A linear layer on integers, by oneDNN's kernels.

    ``weight`` is of shape (out_features, in_features), float32. Vector-wise quantization: T.
    Dettmers et al., "LLM.int8()", NeurIPS 2022, section 2.1.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        integers = (weight / scale[:, None]).round().to(torch.int8)
        self._weight = pack_int8_weight(integers)
        # Some layers ask the weight of the next one for its type, as T5's; it has no numbers.
        self.weight = torch.empty(weight.shape, device="meta")
        self._scale = scale
        self._zero = torch.zeros(len(scale), dtype=torch.long)
        self._bias = bias

    def forward(
        self, states: Tensor, activation: str | None = None, residual: Tensor | None = None
    ) -> Tensor:
        """Map states of shape (..., in_features); apply a function, or add what is given."""
        rows = states.reshape(-1, states.shape[-1])
        largest = torch.maximum(
            rows.amax(dim=1, keepdim=True), rows.amin(dim=1, keepdim=True).neg_()
        )
        scale = largest.clamp_(min=1e-12).div_(_LARGEST)
        # Adding a half and cutting off rounds; int8 is converted several times faster than uint8.
        integers = (
            torch.mul(rows, scale.reciprocal()).add_(_ZERO + 0.5).to(torch.int8).view(torch.uint8)
        )
        product: Tensor = int8_product(integers, _ZERO, self._weight, self._scale, self._zero)
        product.mul_(scale)
        if self._bias is not None:
            product.add_(self._bias)
        if activation is not None:
            product = ACTIVATIONS[activation](product)
        if residual is not None:
            product.add_(residual)
        return product.view(*states.shape[:-1], -1)


def quantize_linear_layers(model: nn.Module) -> None:
    """Replace every linear layer of ``model`` by an `Int8Linear`."""
    n_replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Linear, Conv1D)):
                weight = child.weight.detach()
                if isinstance(child, Conv1D):
                    weight = weight.T.contiguous()
                bias = None if child.bias is None else child.bias.detach()
                setattr(parent, name, Int8Linear(weight, bias))
                n_replaced += 1
    if not n_replaced:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no linear layers to run in int8. Use precision='float32'."
        )
