"""Hidden states of the tokens of spans: read from the store, or computed and kept there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .encode_texts import BATCHES_PER_WRITE, CHARACTERS_PER_TOKEN, record_keys
from .ragged import chunks, ranges
from .store.embedding_store import EmbeddingStore, PartNames
from .store.records import Record, part_name

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .checkpoint.description import Checkpoint
    from .checkpoint.span_tokens import SpanTokenizer, TokenizedSpans
    from .network.devices import Precision

__all__ = ["BYTES_PER_NUMBER", "Passage", "SpanEncoder", "SpanStates", "encode_spans"]

_CHUNK_BYTES = 64 << 20
_MIN_CHUNK_CHARACTERS = 16_384
_MAX_CHUNK_TEXTS = 2048
BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class Passage:
    """A text and spans in it, whose vectors are kept together.

    ``spans``, of shape (n_spans, 2) and int64, has the first character of each span, and the one
    after its last.
    """

    text: str
    spans: NDArray[np.int64]


@dataclass(frozen=True)
class SpanStates:
    """Hidden states of the tokens of the spans of several passages.

    ``states``, of shape (n_layers, n_tokens, hidden) and float32, has the tokens of each span in
    turn, for the passages at ``indices`` in turn; ``counts`` has the tokens of each span.
    """

    indices: list[int]
    states: NDArray[np.float32]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class SpanEncoder:
    """A model that is ready to read hidden states of spans, at layers counted from 0."""

    checkpoint: Checkpoint
    tokenizer: SpanTokenizer
    layers: tuple[int, ...]
    device: torch.device
    precision: Precision
    batch_tokens: int

    def encode(
        self, tokenized: TokenizedSpans, rows: NDArray[np.int64], layers: Sequence[int]
    ) -> NDArray[np.float32]:
        """Return states of the spans in ``rows``, of shape (n_layers, n_tokens, hidden)."""
        import torch

        from .network.encoder import load_encoder

        network = load_encoder(self.checkpoint, self.device, self.precision)
        counts = tokenized.counts[rows]
        # Of each token: its sequence, its position there, and its index in the result.
        sequence = np.repeat(tokenized.sequence[rows], counts)
        position = ranges(tokenized.bounds[rows, 0], counts)
        order = np.argsort(sequence, kind="stable")
        n_wanted = np.bincount(sequence, minlength=len(tokenized.offsets) - 1)
        first = np.cumsum(n_wanted) - n_wanted
        result = np.empty(
            (len(layers), len(sequence), self.checkpoint.hidden_size), dtype=np.float32
        )

        def take(
            batch: NDArray[np.int64], lengths: NDArray[np.int64], states: dict[int, Any]
        ) -> None:
            wanted = order[ranges(first[batch], n_wanted[batch])]
            before = np.repeat(np.cumsum(lengths) - lengths, n_wanted[batch])
            in_batch = torch.from_numpy(before + position[wanted]).to(self.device)
            for number, layer in enumerate(layers):
                result[number, wanted] = states[layer][in_batch].float().cpu().numpy()

        network.run(
            tokenized, np.where(n_wanted > 0, tokenized.lengths, 0), layers, take, self.batch_tokens
        )
        network.check_finite(result)
        return result


def encode_spans(
    encoder: SpanEncoder, passages: Sequence[Passage], store: EmbeddingStore | None
) -> Iterator[SpanStates]:
    """Yield the states of distinct passages, each once, in any order, a chunk at a time.

    The store keeps states of tokens, so that other ways to pool them cost no pass. Records are
    found by their tokens: whatever changes the tokens of a text leads to other records.
    """
    by_text: dict[str, list[int]] = {}
    for index, passage in enumerate(passages):
        by_text.setdefault(passage.text, []).append(index)
    # A chunk takes tens of MiB, even where a store keeps all layers.
    n_layers = encoder.checkpoint.n_layers + 1 if store is not None else len(encoder.layers)
    per_token = n_layers * encoder.checkpoint.hidden_size * BYTES_PER_NUMBER
    room = max(_CHUNK_BYTES // per_token * CHARACTERS_PER_TOKEN, _MIN_CHUNK_CHARACTERS)
    distinct = list(by_text)
    offsets = np.cumsum([0, *map(len, distinct)], dtype=np.int64)
    for start, end in chunks(offsets, room, _MAX_CHUNK_TEXTS):
        texts = distinct[start:end]
        indices = [index for text in texts for index in by_text[text]]
        owners = np.repeat(
            np.arange(len(texts)),
            [sum(len(passages[index].spans) for index in by_text[text]) for text in texts],
        )
        spans = np.concatenate([passages[index].spans for index in indices])
        tokenized = encoder.tokenizer(texts, spans, owners)
        if store is None:
            states = encoder.encode(tokenized, np.arange(len(spans)), encoder.layers)
        else:
            first_span = np.cumsum([0, *(len(passages[index].spans) for index in indices)])
            states = _SpanRecordEncoder(encoder, tokenized, first_span).fetch(store)
        yield SpanStates(indices, states, tokenized.counts)


class _SpanRecordEncoder:
    """Encodes the distinct passages of one request for the store.

    Passage *i* has the spans ``first_span[i]:first_span[i + 1]`` of ``tokenized``.
    """

    def __init__(
        self, encoder: SpanEncoder, tokenized: TokenizedSpans, first_span: NDArray[np.int64]
    ) -> None:
        self._encoder = encoder
        self._tokenized = tokenized
        self._first_span = first_span
        self._first_token = np.concatenate([[0], np.cumsum(tokenized.counts)])[first_span]
        self._layer_of = {_part(layer): layer for layer in range(encoder.checkpoint.n_layers + 1)}
        # Passages without tokens have nothing to keep, and several texts may have the same tokens.
        self._names: list[bytes] = []
        first_of: dict[bytes, int] = {}
        for passage in np.flatnonzero(np.diff(self._first_token)).tolist():
            name = _name(tokenized, slice(*first_span[passage : passage + 2]))
            self._names.append(name)
            first_of.setdefault(name, passage)
        self._distinct = np.array(list(first_of.values()), dtype=np.int64)
        self._distinct_names = list(first_of)

    def encode(self, indices: Sequence[int], parts: Sequence[bytes]) -> list[Record]:
        passages = self._distinct[list(indices)]
        first, last = self._first_span[passages], self._first_span[passages + 1]
        states = self._encoder.encode(
            self._tokenized, ranges(first, last - first), [self._layer_of[name] for name in parts]
        )
        cuts = np.cumsum(self._first_token[passages + 1] - self._first_token[passages])[:-1]
        return [
            Record(of_passage.shape[1], 0, of_passage.reshape(len(parts), -1))
            for of_passage in np.split(states, cuts, axis=1)
        ]

    def fetch(self, store: EmbeddingStore) -> NDArray[np.float32]:
        """Return the states of all spans, computing those that are not in the store."""
        encoder, every = self._encoder, list(self._layer_of)
        hidden = encoder.checkpoint.hidden_size
        shape = (len(encoder.layers), -1, hidden)
        requested = [_part(layer) for layer in encoder.layers]
        records = store.fetch(
            record_keys(
                *(encoder.checkpoint, encoder.precision, encoder.device),
                settings=["tokens"],
                units=[name.decode("latin-1") for name in self._distinct_names],
            ),
            sizes=_work(self._tokenized, self._first_span)[self._distinct].tolist(),
            # Every token has its own states: the layers passed are many times those requested.
            parts=PartNames(requested, passed=requested, same_pooling=every, every=every),
            batch_size=encoder.batch_tokens * BATCHES_PER_WRITE,
            encoder=self,
            widths=(hidden * np.diff(self._first_token)[self._distinct]).tolist(),
        )
        states = {
            name: record.vectors.reshape(shape)
            for name, record in zip(self._distinct_names, records, strict=True)
        }
        none = np.empty((shape[0], 0, shape[2]), dtype=np.float32)
        return np.concatenate([none, *(states[name] for name in self._names)], axis=1)


def _work(tokenized: TokenizedSpans, first_span: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tokens to read for each passage; those that share a sequence share its tokens."""
    passage = np.repeat(np.arange(len(first_span) - 1), np.diff(first_span))
    pairs = np.unique(np.column_stack([passage, tokenized.sequence])[tokenized.counts > 0], axis=0)
    share = tokenized.lengths / np.maximum(
        np.bincount(pairs[:, 1], minlength=len(tokenized.lengths)), 1
    )
    return np.ceil(
        np.bincount(pairs[:, 0], share[pairs[:, 1]], minlength=len(first_span) - 1)
    ).astype(np.int64)


def _part(layer: int) -> bytes:
    return part_name(f"{layer} tokens")


def _name(tokenized: TokenizedSpans, rows: slice) -> bytes:
    """Return what the states of a passage depend on beside the model: tokens, and its spans."""
    sequence, bounds = tokenized.sequence[rows], tokenized.bounds[rows]
    has_tokens = bounds[:, 1] > 0
    used, number = np.unique(sequence[has_tokens], return_inverse=True)
    starts, lengths = tokenized.offsets[used], tokenized.lengths[used]
    tokens = tokenized.ids[ranges(starts, lengths)]
    positions = np.column_stack([number, bounds[has_tokens]])
    # Each array with its length before it, so that no two lists of arrays collide.
    return b"".join(
        len(array).to_bytes(8, "little") + array.tobytes() for array in (lengths, tokens, positions)
    )
