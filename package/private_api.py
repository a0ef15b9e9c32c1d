"""Private interfaces of other libraries that have no public counterpart."""

from __future__ import annotations

from typing import Any

__all__ = ["attention_implementation", "has_half_precision"]


def attention_implementation(config: Any) -> str:
    """Return the name of the attention function that a transformers configuration uses."""
    name: str = config._attn_implementation
    return name


def has_half_precision(precision: str) -> bool:
    """Return whether oneDNN has kernels for ``"bfloat16"`` or ``"float16"`` on this CPU."""
    import torch

    mkldnn = torch.ops.mkldnn
    if precision == "bfloat16":
        return bool(mkldnn._is_mkldnn_bf16_supported())
    return bool(mkldnn._is_mkldnn_fp16_supported())
