"""Trained pipelines as skops files, which run no code when they are loaded.

`pipeline_file` offers `save_pipeline`, `load_pipeline` and `SavedPipeline`. `safe_skops` reads
files that may be hostile, `restrict` resets what a file may not choose, `learned_numbers` checks
indices and shapes, `compact` packs vocabularies and tables, and `type_names` names types.
The other names are types that skops files refer to; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "LinearChainCrf": ("..tagging.crf", "LinearChainCrf"),
    "PackedBytes": (".compact", "PackedBytes"),
    "PackedDict": (".compact", "PackedDict"),
    "PackedMatrix": (".compact", "PackedMatrix"),
    "PackedNumbers": (".compact", "PackedNumbers"),
    "PackedStrings": (".compact", "PackedStrings"),
    "PackedSubwords": (".compact", "PackedSubwords"),
    "PackedTable": (".compact", "PackedTable"),
    "PlainWeighting": ("...features.weighting", "_Plain"),
    "PowerMeans": ("...features.weighting", "_PowerMean"),
    "SavedPipeline": (".pipeline_file", "SavedPipeline"),
    "SifWeighting": ("...features.weighting", "_Sif"),
    "TfidfWeighting": ("...features.weighting", "_Tfidf"),
    "load_pipeline": (".pipeline_file", "load_pipeline"),
    "save_pipeline": (".pipeline_file", "save_pipeline"),
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = globals()[name] = getattr(importlib.import_module(module, __name__), attribute)
    return value
