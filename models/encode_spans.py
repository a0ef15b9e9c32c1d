"""Hidden states of the tokens of spans, read from the store or computed, a portion of texts at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .encode_texts import BATCHES_AT_ONCE, numeric_settings, record_keys
from .ragged import ranges
from .store.embedding_store import EmbeddingStore, Parts
from .store.records import Record, part_name

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from .checkpoint.description import Checkpoint
    from .checkpoint.span_tokens import SpanTokenizer, TokenizedSpans

__all__ = ["Passage", "SpanReader", "SpanStates"]

_PORTION_BYTES = 64 << 20
_LEAST_CHARACTERS = 16_384
_MOST_TEXTS = 2048
_CHARACTERS_PER_TOKEN = 4
_NUMBER_BYTES = 4


@dataclass(frozen=True)
class Passage:
    """A text and spans in it, whose vectors are kept together.

    Attributes
    ----------
    text : str
    spans : ndarray
        First character of each span, and the one after its last. *Shape:* ``(n_spans, 2)``, int64.
    """

    text: str
    spans: NDArray[np.int64]


@dataclass(frozen=True)
class SpanStates:
    """Hidden states of the tokens of some passages' spans.

    Attributes
    ----------
    places : list of int
        Which passages these are.
    states : ndarray
        Token after token, span after span, passage after passage. *Shape:* ``(n_layers, n_tokens,
        hidden)``, float32.
    counts : ndarray
        Tokens of each span. *Shape:* ``(n_spans,)``, int64.
    """

    places: list[int]
    states: NDArray[np.float32]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class SpanReader:
    """Reads hidden states of spans at some layers.

    What is kept in the store are states of tokens, so that any pooling of a word's tokens costs no
    pass of its own. Records are found by their tokens, not by their texts: whatever changes the
    tokens of a text leads to other records.

    Attributes
    ----------
    checkpoint : Checkpoint
    tokenizer : SpanTokenizer
    layers : tuple of int
        From 0 (embeddings) to the model's number of layers.
    device : torch.device
    precision : {"float32", "bfloat16", "float16", "int8"}
    batch_tokens : int
        Most tokens in a batch.
    store : EmbeddingStore or None
    """

    checkpoint: Checkpoint
    tokenizer: SpanTokenizer
    layers: tuple[int, ...]
    device: torch.device
    precision: str
    batch_tokens: int
    store: EmbeddingStore | None

    def read(self, passages: Sequence[Passage]) -> Iterator[SpanStates]:
        """Yield the states of distinct passages, a portion at a time, those of one text together.

        Parameters
        ----------
        passages : sequence of Passage

        Yields
        ------
        SpanStates
            Together they have each passage once, in any order.
        """
        by_text: dict[str, list[int]] = {}
        for place, passage in enumerate(passages):
            by_text.setdefault(passage.text, []).append(place)
        for texts in self._portions(list(by_text)):
            yield self._read_portion(texts, [by_text[text] for text in texts], passages)

    def _portions(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """Cut texts so that the states of a portion take some ten MiB, whatever a store asks for beside them."""
        n_layers = self.checkpoint.n_layers + 1 if self.store is not None else len(self.layers)
        per_token = n_layers * self.checkpoint.hidden_size * _NUMBER_BYTES
        room = max(_PORTION_BYTES // per_token * _CHARACTERS_PER_TOKEN, _LEAST_CHARACTERS)
        portion: list[str] = []
        size = 0
        for text in texts:
            if portion and (size + len(text) > room or len(portion) == _MOST_TEXTS):
                yield portion
                portion, size = [], 0
            portion.append(text)
            size += len(text)
        if portion:
            yield portion

    def _read_portion(
        self, texts: list[str], places_of: list[list[int]], passages: Sequence[Passage]
    ) -> SpanStates:
        places = [place for some in places_of for place in some]
        owners = np.repeat(
            np.arange(len(texts)),
            [sum(len(passages[place].spans) for place in some) for some in places_of],
        )
        spans = np.concatenate([passages[place].spans for place in places])
        tokenized = self.tokenizer(texts, spans, owners)
        first_span = np.cumsum([0, *(len(passages[place].spans) for place in places)])
        if self.store is None:
            states = self._compute(tokenized, np.arange(len(spans)), self.layers)
        else:
            states = self._fetch(self.store, tokenized, first_span)
        return SpanStates(places, states, tokenized.counts)

    def _compute(
        self, tokenized: TokenizedSpans, rows: NDArray[np.int64], layers: Sequence[int]
    ) -> NDArray[np.float32]:
        """Run the network over the sequences of some spans. *Shape:* ``(n_layers, n_tokens, hidden)``."""
        import torch

        from .network.encoder import load_encoder

        encoder = load_encoder(self.checkpoint, self.device, self.precision)
        counts = tokenized.counts[rows]
        # Every token wanted: its sequence, its place there, and its place in the result.
        sequence = np.repeat(tokenized.sequence[rows], counts)
        place = ranges(tokenized.bounds[rows, 0], counts)
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
            in_batch = torch.from_numpy(before + place[wanted]).to(self.device)
            for number, layer in enumerate(layers):
                result[number, wanted] = states[layer][in_batch].float().cpu().numpy()

        encoder.run(
            tokenized, np.where(n_wanted > 0, tokenized.lengths, 0), layers, take, self.batch_tokens
        )
        return result

    def _fetch(
        self, store: EmbeddingStore, tokenized: TokenizedSpans, first_span: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the states of all spans, computing those of passages that are not in the store."""
        n_tokens = np.concatenate([[0], np.cumsum(tokenized.counts)])[first_span]
        # A passage without tokens has nothing to keep, and the same passage may be there under
        # several texts.
        with_tokens = np.flatnonzero(np.diff(n_tokens)).tolist()
        number_of: dict[bytes, int] = {}
        distinct: list[int] = []
        numbers = []
        for passage in with_tokens:
            number = number_of.setdefault(
                _name(tokenized, slice(*first_span[passage : passage + 2])), len(distinct)
            )
            if number == len(distinct):
                distinct.append(passage)
            numbers.append(number)
        if not distinct:
            return np.empty((len(self.layers), 0, self.checkpoint.hidden_size), dtype=np.float32)
        layer_of = {_part(layer): layer for layer in range(self.checkpoint.n_layers + 1)}
        asked = [_part(layer) for layer in self.layers]

        def compute(places: Sequence[int], names: Sequence[bytes]) -> list[Record]:
            passages = np.array([distinct[place] for place in places])
            rows = ranges(first_span[passages], first_span[passages + 1] - first_span[passages])
            states = self._compute(tokenized, rows, [layer_of[name] for name in names])
            cuts = np.cumsum([n_tokens[passage + 1] - n_tokens[passage] for passage in passages])[
                :-1
            ]
            return [
                Record(some.shape[1], 0, some.reshape(len(names), -1))
                for some in np.split(states, cuts, axis=1)
            ]

        records = store.fetch(
            record_keys(
                (*numeric_settings(self.checkpoint, self.precision, self.device), "tokens"),
                [name.decode("latin-1") for name in number_of],
            ),
            _work(tokenized, first_span)[distinct].tolist(),
            # The layers passed on the way are many times what is asked for, as every token has its
            # own.
            Parts(asked=asked, passed=asked, layers=list(layer_of), whole=list(layer_of)),
            self.batch_tokens * BATCHES_AT_ONCE,
            compute,
        )
        shape = (len(self.layers), -1, self.checkpoint.hidden_size)
        return np.concatenate(
            [records[number].vectors.reshape(shape) for number in numbers], axis=1
        )


def _work(tokenized: TokenizedSpans, first_span: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tokens that each passage makes the network read; those that share a sequence share its work, and so stay together."""
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
    """Return what a passage's states depend on beside the model: its tokens, and which of them belong to its spans."""
    sequence, bounds = tokenized.sequence[rows], tokenized.bounds[rows]
    has_tokens = bounds[:, 1] > 0
    used, number = np.unique(sequence[has_tokens], return_inverse=True)
    starts, lengths = tokenized.offsets[used], tokenized.lengths[used]
    tokens = tokenized.ids[ranges(starts, lengths)]
    places = np.column_stack([number, bounds[has_tokens]])
    # Each array with its length before it, so that no two lists of arrays meet.
    return b"".join(
        len(array).to_bytes(8, "little") + array.tobytes() for array in (lengths, tokens, places)
    )
