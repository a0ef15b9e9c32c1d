"""What turns words into numbers: transformers read at any layer, in batches without padding.

Nothing here knows scikit-learn; :mod:`bertvectorizer.features` builds on it. What this package
exports is light; :mod:`bertvectorizer.models.network.encoder` and all that runs the network import
torch and are imported where they are used.
"""

from __future__ import annotations

from .checkpoint.description import Checkpoint, open_checkpoint
from .checkpoint.output_spec import OutputSpec, resolve_output_spec
from .checkpoint.source import DEFAULT_MODEL, locate
from .checkpoint.text_tokens import TextTokenizer, TokenizedTexts, Truncation
from .network.devices import check_precision, resolve_device

__all__ = [
    "DEFAULT_MODEL",
    "Checkpoint",
    "OutputSpec",
    "TextTokenizer",
    "TokenizedTexts",
    "Truncation",
    "check_precision",
    "locate",
    "open_checkpoint",
    "resolve_device",
    "resolve_output_spec",
]
