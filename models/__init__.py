"""From words to numbers: transformers read at any layer, in batches without padding.

Nothing here depends on scikit-learn; :mod:`bertvectorizer.features` builds on it. The exports are
light; :mod:`bertvectorizer.models.network.encoder` and what runs the network import torch. Import
those modules where they are used. `encode_texts` and `encode_spans` join the store and the network,
and `resolved_encoder` finds known texts without the latter. `ragged` has helpers for ranges and
runs in arrays, and `torch_threads` lets forks compute.
"""

from __future__ import annotations

from .checkpoint.description import Checkpoint
from .checkpoint.output_spec import OutputSpec, resolve_output_spec
from .checkpoint.pair_tokens import PairTokenizer
from .checkpoint.source import DEFAULT_MODEL, locate, open_checkpoint
from .checkpoint.text_tokens import TextTokenizer, TokenizedTexts, Truncation
from .network.devices import check_precision, resolve_device

__all__ = [
    "DEFAULT_MODEL",
    "Checkpoint",
    "OutputSpec",
    "PairTokenizer",
    "TextTokenizer",
    "TokenizedTexts",
    "Truncation",
    "check_precision",
    "locate",
    "open_checkpoint",
    "resolve_device",
    "resolve_output_spec",
]
