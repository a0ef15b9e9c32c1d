"""From the vectors of parts to features: the merge of layers, then Dense, Normalize and others."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ModelIntegrityError
from ...foreign import foreign_errors_as
from .description import LaterModule, importing
from .source import reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .output_spec import OutputSpec

__all__ = ["apply_post_modules", "merge_parts"]

_ROWS_AT_ONCE = 1024
_SHORTEST = np.float32(1e-12)


def merge_parts(vectors: NDArray[np.float32], spec: OutputSpec) -> NDArray[np.float32]:
    """Merge parts of shape (n_texts, n_parts, hidden) into (n_texts, n_merged * hidden)."""
    if spec.layer_merge == "concat" or len(spec.layers) == 1:
        return vectors.reshape(len(vectors), vectors.shape[1] * vectors.shape[2])
    blocks = []
    for pooling in spec.poolings:
        of_pooling = [part.pooling == pooling for part in spec.parts]
        block = vectors[:, of_pooling].sum(axis=1)
        if spec.layer_merge == "mean" and pooling != "max":
            block = block / len(spec.layers)
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def apply_post_modules(vectors: NDArray[np.float32], spec: OutputSpec) -> NDArray[np.float32]:
    """Apply Dense, Normalize ...; the result is of shape (n_texts, spec.n_features).

    A vector is truncated after the checkpoint's own modules, and before it is normalized.
    """
    for module in spec.later_modules:
        # The most frequent one, and not worth an import: known texts do without torch.
        vectors = _unit(vectors) if module.name == "Normalize" else _applied(module, vectors)
    if vectors.shape[1] != spec.n_features:
        vectors = np.ascontiguousarray(vectors[:, : spec.n_features])
    return _unit(vectors) if spec.normalize else vectors


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors of unit length, as `torch.nn.functional.normalize` does."""
    result = np.empty_like(vectors)
    with np.errstate(all="ignore"):  # a vector of infinite numbers gives NaN
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            block = vectors[start : start + _ROWS_AT_ONCE]
            norms = np.sqrt((block * block).sum(axis=1, keepdims=True))
            np.divide(block, np.maximum(norms, _SHORTEST), out=result[start : start + len(block)])
    return result


def _applied(module: LaterModule, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a module of sentence-transformers."""
    import torch

    loaded = _load(module)
    fault = f"The module {module.name} in '{module.path}' does not take these vectors"
    # In float32 whatever the process's settings: under autocast, Dense would give bfloat16.
    with (
        torch.inference_mode(),
        torch.autocast("cpu", enabled=False),
        foreign_errors_as(ModelIntegrityError, fault, "Download the model again."),
    ):
        result = loaded({"sentence_embedding": torch.from_numpy(vectors)})["sentence_embedding"]
        return np.ascontiguousarray(result.numpy(), dtype=np.float32)


@lru_cache(maxsize=8)
def _load(module: LaterModule) -> Any:
    """Load a module by sentence-transformers; the last few stay in memory, known by content."""
    from safetensors.torch import load_model

    from .weights import quiet_transformers

    with importing:
        from sentence_transformers.sentence_transformer import modules
    kind = getattr(modules, module.name)
    fault = f"The module {module.name} in '{module.path}' cannot be loaded"
    with (
        foreign_errors_as(ModelIntegrityError, fault, "Download the model again."),
        reading([module.path], False, module.content),
        quiet_transformers(),
    ):
        # It draws random weights before it reads the file.
        loaded = kind.load(str(module.path), local_files_only=True).eval().float()
        weights = module.path / "model.safetensors"
        if os.path.isfile(weights):  # again: torch's default, as bfloat16, may have rounded them
            load_model(loaded, weights)
        return loaded
