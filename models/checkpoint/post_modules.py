"""What a sentence-transformers checkpoint does to vectors after its pooling."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ModelIntegrityError
from .description import LaterModule
from .fingerprint import sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from .output_spec import OutputSpec

__all__ = ["apply_post_modules"]


def apply_post_modules(vectors: NDArray[np.float32], readout: OutputSpec) -> NDArray[np.float32]:
    """Apply the checkpoint's later modules, and scale to unit length where asked.

    *Shape:* ``(n_texts, width) -> (n_texts, readout.n_features)``.
    """
    if not (readout.later_modules or readout.normalize):
        return vectors
    import torch

    with torch.inference_mode():
        result = torch.from_numpy(vectors)
        for module in readout.later_modules:
            result = _load(module)({"sentence_embedding": result})["sentence_embedding"]
        if readout.normalize:
            result = torch.nn.functional.normalize(result, dim=-1)
        return np.ascontiguousarray(result.numpy(), dtype=np.float32)


def _load(module: LaterModule) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    if module.name == "Normalize":  # the most frequent one, and not worth the import
        return _normalize
    return _load_by_library(
        module, tuple(sha256(path) for path in sorted(module.path.glob("*")) if path.is_file())
    )


def _normalize(features: dict[str, Tensor]) -> dict[str, Tensor]:
    import torch

    return {
        "sentence_embedding": torch.nn.functional.normalize(features["sentence_embedding"], dim=-1)
    }


@lru_cache(maxsize=8)
def _load_by_library(
    module: LaterModule, _content: tuple[str, ...]
) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """Load a module by sentence-transformers' own code; the last few stay in memory, known by their content."""
    from sentence_transformers.util import import_from_string

    from .weights import quiet_transformers

    kind: Any = import_from_string(f"sentence_transformers.models.{module.name}")
    try:
        with quiet_transformers():  # it draws random weights before it reads the file
            loaded: Callable[[dict[str, Tensor]], dict[str, Tensor]] = kind.load(
                str(module.path)
            ).eval()
    except Exception as error:  # damaged files raise many kinds
        raise ModelIntegrityError(
            f"The module {module.name} in '{module.path}' cannot be loaded: {error}"
        ) from error
    return loaded
