"""Between an estimator and its store: encode what the store does not have, and only that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..validation import invalid
from .checkpoint.output_spec import Part, every_part
from .network.devices import arithmetic_settings
from .store.embedding_store import EmbeddingStore, Parts, absolute, reopen, text_keys
from .store.records import Record, part_name
from .store.session_store import session_store

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .checkpoint.description import Checkpoint
    from .checkpoint.text_tokens import TokenizedTexts

    Encode = Callable[[Sequence[str], Sequence[Part]], tuple[NDArray[np.float32], TokenizedTexts]]

__all__ = ["BATCHES_AT_ONCE", "encode_once", "numeric_settings", "open_store", "record_keys"]

# To be raised by whoever changes the numbers that the engine gives, so that stores made before are
# not believed.
_ENGINE = "1"
_CHARACTERS_PER_TOKEN = 4
BATCHES_AT_ONCE = 4


def open_store(store: Any) -> EmbeddingStore | None:
    """Return the store that a ``store`` parameter means: ``"auto"``, a path, an `EmbeddingStore` or None."""
    if store is None or isinstance(store, EmbeddingStore):
        return store
    if isinstance(store, str) and store == "auto":
        return session_store()
    if isinstance(store, (str, Path)) and str(store):
        return reopen(absolute(store))
    raise invalid("store", "'auto', a path, an EmbeddingStore or None", store)


def numeric_settings(
    checkpoint: Checkpoint, precision: str, device: torch.device
) -> tuple[str, ...]:
    """Return all that decides which numbers a network gives for a sequence of tokens, as strings."""
    return (
        checkpoint.fingerprint,
        str(checkpoint.trust_remote_code),
        precision,
        *arithmetic_settings(device),
    )


def record_keys(settings: Sequence[str], units: Sequence[str]) -> list[bytes]:
    """Return the key of each unit, a text or what else vectors are kept of, under settings that change its numbers."""
    return text_keys((_ENGINE, *settings), units)


def encode_once(
    store: EmbeddingStore,
    settings: Sequence[str],
    texts: Sequence[str],
    parts: Sequence[Part],
    n_layers: int,
    batch_tokens: int,
    encode: Encode,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return vectors of texts, encoding those that are not in the store.

    Parameters
    ----------
    store : EmbeddingStore
    settings : sequence of str
        Everything that changes the numbers, but for the parts.
    texts : sequence of str
        Distinct texts.
    parts : sequence of Part
        Vectors wanted of each.
    n_layers : int
        Layers of the model.
    batch_tokens : int
        Tokens in a batch; what is written down at a time is a few batches.
    encode : callable
        Encodes texts, given the parts wanted.

    Returns
    -------
    vectors : ndarray
        *Shape:* ``(n_texts, n_parts, hidden)``, float32.
    n_tokens, n_lost : ndarray
        Tokens of each text, and those that were cut off. *Shape of each:* ``(n_texts,)``, int64.
    """
    every = every_part(n_layers)
    by_name = {_name(part): part for part in (*parts, *every)}
    deepest = max(max(part.layers) for part in parts)
    poolings = {part.pooling for part in parts}
    layers = [part for part in every if part.pooling in poolings]
    passed = [part for part in layers if part.layers <= (deepest,)]
    names = Parts(*([_name(part) for part in some] for some in (parts, passed, layers, every)))

    def compute(places: Sequence[int], names: Sequence[bytes]) -> list[Record]:
        vectors, tokenized = encode(
            [texts[place] for place in places], [by_name[name] for name in names]
        )
        return list(map(Record, tokenized.n_tokens.tolist(), tokenized.n_lost.tolist(), vectors))

    records = store.fetch(
        record_keys(settings, texts),
        [len(text) for text in texts],
        names,
        batch_tokens * _CHARACTERS_PER_TOKEN * BATCHES_AT_ONCE,
        compute,
    )
    n_tokens, n_lost = np.array([record[:2] for record in records], dtype=np.int64).T
    return np.stack([record.vectors for record in records]), n_tokens, n_lost


def _name(part: Part) -> bytes:
    layers = "+".join(map(str, part.layers))
    return part_name(f"{layers} {part.merge if len(part.layers) > 1 else ''} {part.pooling}")
