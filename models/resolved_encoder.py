"""Encoders of texts as one process has resolved them, so that others load nothing for known texts.

A worker of a search would import PyTorch and transformers for seconds only to learn under which
keys the store has its texts. The process that started it has noted these.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..warning import lighten_filters
from .checkpoint.description import LaterModule
from .checkpoint.fingerprint import changed
from .checkpoint.output_spec import OutputSpec
from .encode_texts import Sizes, arithmetic_settings, engine_versions
from .store.session_notes import read_note, write_note

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .checkpoint.output_spec import Part
    from .checkpoint.text_tokens import TextTokenizer, TokenizedTexts
    from .encode_texts import TextEncoder
    from .network.devices import Precision

__all__ = ["ResolvedEncoder", "note_encoder", "resolved_encoder"]

# PyTorch's settings as it is imported. A process that has set others notes nothing, as its workers
# do not have these.
_DEFAULTS = {"none", "highest"}
_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_PREFIXES = ("PYTORCH_", "TORCH_")


@dataclass(frozen=True)
class ResolvedEncoder:
    """Stands for a `TextEncoder`, which is made by ``load`` when a text is not in the store."""

    output: OutputSpec
    sizes: Sizes
    batch_tokens: int
    key_settings: tuple[str, ...]
    fingerprint: str
    device: str
    precision: Precision
    load: Callable[[], TextEncoder]

    @cached_property
    def _loaded(self) -> TextEncoder:
        encoder = self.load()
        if encoder.key_settings != self.key_settings:
            raise changed(encoder.checkpoint.directory)
        return encoder

    @property
    def tokenizer(self) -> TextTokenizer:
        """Tokenizer of texts."""
        return self._loaded.tokenizer

    def encode(
        self,
        texts: Sequence[str],
        parts: Sequence[Part],
        progress: Callable[[float], Any] | None = None,
    ) -> tuple[NDArray[np.float32], TokenizedTexts]:
        """Run the network."""
        return self._loaded.encode(texts, parts, progress)


def note_encoder(settings: Sequence[str], encoder: TextEncoder) -> None:
    """Note an encoder for the worker processes of this session.

    ``settings`` tell it from all others: the state of the model's files, and the parameters.
    """
    if not _DEFAULTS.issuperset(arithmetic_settings(encoder.device, "float32")[1:]):
        return
    output = encoder.output
    note = {
        "layers": output.layers,
        "layer_merge": output.layer_merge,
        "poolings": output.poolings,
        "later_modules": [
            (module.type, str(module.path), module.content) for module in output.later_modules
        ],
        "normalize": output.normalize,
        "n_features": output.n_features,
        "sizes": encoder.sizes,
        "batch_tokens": encoder.batch_tokens,
        "key_settings": encoder.key_settings,
        "fingerprint": encoder.fingerprint,
        "device": str(encoder.device),
        "precision": encoder.precision,
    }
    write_note(_fields(settings), note)
    lighten_filters()


def resolved_encoder(
    settings: Sequence[str], load: Callable[[], TextEncoder]
) -> ResolvedEncoder | None:
    """Return the encoder that a process of this session has noted; None if none has."""
    note = read_note(_fields(settings))
    if note is None:
        return None
    return ResolvedEncoder(
        output=OutputSpec(
            layers=tuple(note["layers"]),
            layer_merge=note["layer_merge"],
            poolings=tuple(note["poolings"]),
            later_modules=tuple(
                LaterModule(kind, Path(path), content)
                for kind, path, content in note["later_modules"]
            ),
            normalize=note["normalize"],
            n_features=note["n_features"],
        ),
        sizes=Sizes(*note["sizes"]),
        batch_tokens=note["batch_tokens"],
        key_settings=tuple(note["key_settings"]),
        fingerprint=note["fingerprint"],
        device=note["device"],
        precision=note["precision"],
        load=load,
    )


def _fields(settings: Sequence[str]) -> list[str]:
    """Add what may change which device is found, and the numbers it gives."""
    environment = [
        f"{name}={value}"
        for name, value in sorted(os.environ.items())
        if name in _DEVICES or name.startswith(_PREFIXES)
    ]
    return [*engine_versions(), *settings, *environment]
