"""What turns words into numbers: transformers read at any layer, in batches without padding.

Nothing here knows scikit-learn; :mod:`bertvectorizer.features` builds on it. What this package exports is light;
:mod:`bertvectorizer.models.encoder` and all that runs the network import torch and are imported where they are used.
"""

from __future__ import annotations

from .checkpoint import Checkpoint, open_checkpoint
from .hardware import check_precision, resolve_device
from .readout import Readout, resolve_readout
from .source import DEFAULT_MODEL, locate
from .tokenization import TextTokenizer, TokenizedTexts, Truncation

__all__ = [
    "DEFAULT_MODEL",
    "Checkpoint",
    "Readout",
    "TextTokenizer",
    "TokenizedTexts",
    "Truncation",
    "check_precision",
    "locate",
    "open_checkpoint",
    "resolve_device",
    "resolve_readout",
]
