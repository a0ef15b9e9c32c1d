"""Vectors of texts: read from the store, or computed by the network and kept there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib import metadata
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..validation import invalid
from .checkpoint.output_spec import OutputSpec, Part, every_part
from .checkpoint.post_modules import apply_post_modules, merge_parts
from .store.embedding_store import EmbeddingStore, PartNames, absolute, reopen, text_keys
from .store.records import Record, part_name
from .store.session_store import session_store

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .checkpoint.description import Checkpoint
    from .checkpoint.text_tokens import TextTokenizer, TokenizedTexts
    from .network.devices import Precision

__all__ = [
    "BATCHES_PER_WRITE",
    "CHARACTERS_PER_TOKEN",
    "Encoder",
    "Sizes",
    "TextEncoder",
    "arithmetic_settings",
    "count_tokens",
    "encode_texts",
    "engine_versions",
    "fetch_parts",
    "key_settings",
    "open_store",
    "record_keys",
]

# To be raised with every change of the numbers that the network code gives: records of older
# versions are then not used.
_ENGINE = "5"
CHARACTERS_PER_TOKEN = 4
BATCHES_PER_WRITE = 4
_COUNTED_AT_ONCE = 2048


def open_store(store: Any) -> EmbeddingStore | None:
    """Return the store that a ``store`` parameter means."""
    if store is None or isinstance(store, EmbeddingStore):
        return store
    if isinstance(store, str) and store == "auto":
        return session_store()
    if isinstance(store, (str, Path)) and str(store):
        return reopen(absolute(store))
    raise invalid("store", "'auto', a path, an EmbeddingStore or None", store)


def record_keys(
    checkpoint: Checkpoint,
    precision: Precision,
    device: torch.device,
    settings: Sequence[str],
    units: Sequence[str],
) -> list[bytes]:
    """Return the key of each unit (a text, or the tokens of spans) in a store."""
    return text_keys(key_settings(checkpoint, precision, device, settings), units)


def key_settings(
    checkpoint: Checkpoint, precision: Precision, device: torch.device, settings: Sequence[str]
) -> tuple[str, ...]:
    """Return all that changes the numbers of a unit; ``settings`` are those of the tokenizer."""
    return (
        _ENGINE,
        *_library_versions(),
        checkpoint.fingerprint,
        str(checkpoint.trust_remote_code),
        precision,
        *arithmetic_settings(device, precision),
        *settings,
    )


def engine_versions() -> tuple[str, ...]:
    """Return the versions of what computes numbers, here and in other libraries."""
    return (_ENGINE, *_library_versions())


@cache
def _library_versions() -> tuple[str, ...]:
    """Return the versions of the libraries whose numbers are stored; "" if one is not installed."""
    versions = []
    for name in ("torch", "transformers", "tokenizers", "peft"):
        try:
            versions.append(metadata.version(name))
        except metadata.PackageNotFoundError:
            versions.append("")
    return tuple(versions)


def arithmetic_settings(device: torch.device, precision: Precision) -> tuple[str, ...]:
    """Return what may change a number on a device, PyTorch's settings first, as strings."""
    import torch

    from .network.devices import int8_activation_bits

    settings = [device.type]
    for name in ("fp32_precision", "cuda.matmul.fp32_precision", "mkldnn.matmul.fp32_precision"):
        with suppress(AttributeError, RuntimeError):  # PyTorch 2.9 and later
            settings.append(str(attrgetter(name)(torch.backends)))
    with suppress(RuntimeError):  # it is refused once the settings above were used
        settings.append(torch.get_float32_matmul_precision())
    if precision == "int8":
        settings.append(f"{int8_activation_bits()} bits")  # it depends on the processor's kind
    return tuple(settings)


class Encoder(Protocol):
    """What encodes texts: a `TextEncoder`, or what stands for one until it is needed."""

    @property
    def output(self) -> OutputSpec:
        """What is read of the model."""

    @property
    def sizes(self) -> Sizes:
        """Numbers of the model."""

    @property
    def batch_tokens(self) -> int:
        """Most tokens in a batch."""

    @property
    def key_settings(self) -> tuple[str, ...]:
        """All that changes the numbers of a text."""

    @property
    def tokenizer(self) -> TextTokenizer:
        """Tokenizer of texts."""

    def encode(
        self,
        texts: Sequence[str],
        parts: Sequence[Part],
        progress: Callable[[float], Any] | None = None,
    ) -> tuple[NDArray[np.float32], TokenizedTexts]:
        """Run the network."""


class Sizes(NamedTuple):
    """Numbers of layers of a model, and width of a token's vector."""

    n_layers: int
    hidden_size: int


@dataclass(frozen=True)
class TextEncoder:
    """A model that is ready to encode texts, and what is read out of it."""

    checkpoint: Checkpoint
    output: OutputSpec
    tokenizer: TextTokenizer
    device: torch.device
    precision: Precision
    batch_tokens: int

    @property
    def fingerprint(self) -> str:
        """Digest of the model's files."""
        return self.checkpoint.fingerprint

    @cached_property
    def sizes(self) -> Sizes:
        """Numbers of the model."""
        return Sizes(self.checkpoint.n_layers, self.checkpoint.hidden_size)

    @property
    def key_settings(self) -> tuple[str, ...]:
        """All that changes the numbers of a text, under PyTorch's settings of this moment."""
        return key_settings(self.checkpoint, self.precision, self.device, self.tokenizer.settings)

    def encode(
        self,
        texts: Sequence[str],
        parts: Sequence[Part],
        progress: Callable[[float], Any] | None = None,
    ) -> tuple[NDArray[np.float32], TokenizedTexts]:
        """Run the network: return vectors of shape (n_texts, n_parts, hidden), and the tokens.

        ``progress`` is called with a number of characters after each batch.
        """
        from .network.encoder import load_encoder

        tokenized = self.tokenizer(texts)
        network = load_encoder(self.checkpoint, self.device, self.precision)
        per_token = sum(map(len, texts)) / max(len(tokenized.ids), 1)
        advance = None if progress is None else lambda n_tokens: progress(n_tokens * per_token)
        return network.encode(tokenized, parts, self.batch_tokens, advance), tokenized


def encode_texts(
    encoder: Encoder,
    texts: Sequence[str],
    store: EmbeddingStore | None,
    progress: Callable[[float], Any] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return vectors of distinct texts, encoding those that are not in the store.

    Returns vectors of shape (n_texts, n_features), and, both of shape (n_texts,), the tokens of
    each text and how many of them are cut off.
    """
    output = encoder.output
    if not texts:
        none = np.zeros(0, dtype=np.int64)
        return np.empty((0, output.n_features), dtype=np.float32), none, none
    if store is None:
        vectors, tokenized = encoder.encode(texts, output.parts, progress)
        n_tokens, n_lost = tokenized.n_tokens, tokenized.n_lost
    else:
        vectors, n_tokens, n_lost = fetch_parts(encoder, output.parts, texts, store, progress)
    return apply_post_modules(merge_parts(vectors, output), output), n_tokens, n_lost


def fetch_parts(
    encoder: Encoder,
    parts: tuple[Part, ...],
    texts: Sequence[str],
    store: EmbeddingStore,
    progress: Callable[[float], Any] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the vectors of parts, of shape (n_texts, n_parts, hidden), and numbers of tokens."""
    names, part_of = _part_names(parts, encoder.sizes.n_layers)
    records = store.fetch(
        text_keys(encoder.key_settings, texts),
        sizes=list(map(len, texts)),
        parts=names,
        batch_size=encoder.batch_tokens * CHARACTERS_PER_TOKEN * BATCHES_PER_WRITE,
        encoder=_TextRecordEncoder(encoder, texts, part_of, progress),
        widths=[encoder.sizes.hidden_size] * len(texts),
    )
    n_tokens, n_lost, vectors = zip(*records, strict=True)
    return np.stack(vectors), np.array(n_tokens, np.int64), np.array(n_lost, np.int64)


def count_tokens(
    encoder: Encoder, texts: Sequence[str], store: EmbeddingStore | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tokens of each text and how many are cut off, from a store if it has all."""
    if store is not None and texts:
        names, _ = _part_names(encoder.output.parts, encoder.sizes.n_layers)
        widths = [encoder.sizes.hidden_size] * len(texts)
        records = store.stored(text_keys(encoder.key_settings, texts), names, widths)
        if records is not None:
            n_tokens, n_lost, _ = zip(*records, strict=True)
            return np.array(n_tokens, np.int64), np.array(n_lost, np.int64)
    # Of a few texts at a time: only the numbers are kept.
    few = range(0, max(len(texts), 1), _COUNTED_AT_ONCE)
    counted = [encoder.tokenizer(texts[start : start + _COUNTED_AT_ONCE]) for start in few]
    return (
        np.concatenate([tokenized.n_tokens for tokenized in counted]),
        np.concatenate([tokenized.n_lost for tokenized in counted]),
    )


@dataclass(frozen=True)
class _TextRecordEncoder:
    """Encodes texts of one request for the store."""

    encoder: Encoder
    texts: Sequence[str]
    part_of: dict[bytes, Part]
    progress: Callable[[float], Any] | None

    def encode(self, indices: Sequence[int], parts: Sequence[bytes]) -> list[Record]:
        vectors, tokenized = self.encoder.encode(
            [self.texts[index] for index in indices],
            [self.part_of[name] for name in parts],
            self.progress,
        )
        return list(map(Record, tokenized.n_tokens.tolist(), tokenized.n_lost.tolist(), vectors))


@lru_cache(maxsize=64)
def _part_names(parts: tuple[Part, ...], n_layers: int) -> tuple[PartNames, dict[bytes, Part]]:
    """Return the names of what is requested and what may be kept beside it, and their parts."""
    every = every_part(n_layers)
    deepest = max(max(part.layers) for part in parts)
    poolings = {part.pooling for part in parts}
    same_pooling = [part for part in every if part.pooling in poolings]
    passed = [part for part in same_pooling if part.layers <= (deepest,)]
    names = PartNames(
        *([_name(part) for part in group] for group in (parts, passed, same_pooling, every))
    )
    return names, {_name(part): part for part in (*parts, *every)}


def _name(part: Part) -> bytes:
    layers = "+".join(map(str, part.layers))
    return part_name(f"{layers} {part.merge if len(part.layers) > 1 else ''} {part.pooling}")
