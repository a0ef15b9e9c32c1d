"""Linear layers in 8 bits on the CPU: a scale per output channel for weights, one per token for
activations.

Activations get 7 bits, since processors without VNNI add products of 8-bit numbers in 16 bits,
which overflow. A scale of its own for each token keeps a text's vector independent of the texts
beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ...errors import UnsupportedModelError

__all__ = ["Int8Linear", "quantize_linear_layers"]

_ZERO = 64
_LARGEST = 63


class Int8Linear(nn.Module):
    """A linear layer on integers, by oneDNN's kernels.

    Parameters
    ----------
    weight : Tensor
        *Shape:* ``(out_features, in_features)``, float32.
    bias : Tensor or None
        *Shape:* ``(out_features,)``.

    References
    ----------
    T. Dettmers et al., "LLM.int8()", NeurIPS 2022, section 2.1 (vector-wise quantization).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        integers = (weight / scale[:, None]).round().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(integers, None)
        self._scale = scale
        self._zero = torch.zeros(len(scale), dtype=torch.long)
        self._bias = bias

    def forward(self, states: Tensor) -> Tensor:
        """*Shape:* ``(..., in_features) -> (..., out_features)``."""
        rows = states.reshape(-1, states.shape[-1])
        largest = torch.maximum(
            rows.amax(dim=1, keepdim=True), rows.amin(dim=1, keepdim=True).neg_()
        )
        scale = largest.clamp_(min=1e-12).div_(_LARGEST)
        # Half above the integer wanted, then cut off: rounds, and int8 is converted several times
        # faster than uint8.
        integers = (
            torch.mul(rows, scale.reciprocal()).add_(_ZERO + 0.5).to(torch.int8).view(torch.uint8)
        )
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            integers,
            1.0,
            _ZERO,
            self._weight,
            self._scale,
            self._zero,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        product.mul_(scale)
        if self._bias is not None:
            product.add_(self._bias)
        return product.view(*states.shape[:-1], -1)


def quantize_linear_layers(model: nn.Module) -> None:
    """Replace every linear layer of ``model`` by an `Int8Linear`, in place."""
    n_replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Linear, Conv1D)):
                weight = child.weight.detach()
                bias = None if child.bias is None else child.bias.detach()
                setattr(
                    parent,
                    name,
                    Int8Linear(
                        weight.T.contiguous() if isinstance(child, Conv1D) else weight, bias
                    ),
                )
                n_replaced += 1
    if not n_replaced:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no linear layers to run in int8. Use precision='float32'."
        )
