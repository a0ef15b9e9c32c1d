"""Trained pipelines as skops files, which run no code when they are loaded.

`pipeline_file` offers `save_pipeline`, `load_pipeline` and `SavedPipeline`. `safe_skops` reads
files that may be hostile, `compact` packs vocabularies and tables, and `type_names` names types.
The other names are types that skops files refer to; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...features.weighting import _Plain as PlainWeighting
    from ...features.weighting import _PowerMean as PowerMeans
    from ...features.weighting import _Sif as SifWeighting
    from ...features.weighting import _Tfidf as TfidfWeighting
    from ..tagging.crf import LinearChainCrf
    from .compact import (
        PackedDict,
        PackedMatrix,
        PackedNumbers,
        PackedStrings,
        PackedSubwords,
        PackedTable,
    )
    from .pipeline_file import SavedPipeline, load_pipeline, save_pipeline

__all__ = [
    "LinearChainCrf",
    "PackedDict",
    "PackedMatrix",
    "PackedNumbers",
    "PackedStrings",
    "PackedSubwords",
    "PackedTable",
    "PlainWeighting",
    "PowerMeans",
    "SavedPipeline",
    "SifWeighting",
    "TfidfWeighting",
    "load_pipeline",
    "save_pipeline",
]

_HOMES = {
    "LinearChainCrf": ("..tagging.crf", "LinearChainCrf"),
    "PlainWeighting": ("...features.weighting", "_Plain"),
    "PowerMeans": ("...features.weighting", "_PowerMean"),
    "SifWeighting": ("...features.weighting", "_Sif"),
    "TfidfWeighting": ("...features.weighting", "_Tfidf"),
    **{name: (".compact", name) for name in __all__ if name.startswith("Packed")},
    **{name: (".pipeline_file", name) for name in __all__ if name.lower().endswith("pipeline")},
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = globals()[name] = getattr(importlib.import_module(module, __name__), attribute)
    return value
