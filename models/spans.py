"""Vectors of single words where they stand: a span of characters, read out of its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .batching import Batches
from .errors import OutOfMemoryError, UnsupportedModelError
from .hardware import is_out_of_memory, tokens_per_batch
from .tokenization import TextTokenizer, replace_lone_surrogates
from .validation import invalid

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from .checkpoint import Checkpoint

__all__ = ["SpanTokens", "input_vectors", "span_tokens", "span_vectors"]

_SPANS_AT_ONCE = 2048


@dataclass(frozen=True)
class SpanTokens:
    """Token sequences around spans of characters, and the tokens that each span consists of.

    Attributes
    ----------
    ids : ndarray
        Tokens of all sequences, one after another. *Shape:* ``(n_tokens,)``, int32.
    offsets : ndarray
        Sequence *i* is ``ids[offsets[i]:offsets[i + 1]]``. Spans of one text share a sequence, unless the text is longer than the
        model reads. *Shape:* ``(n_sequences + 1,)``, int64.
    sequence : ndarray
        The sequence of each span. *Shape:* ``(n_spans,)``, int64.
    bounds : ndarray
        First token of each span within its sequence, and the one after its last; both the same for a span without tokens.
        *Shape:* ``(n_spans, 2)``, int64.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sequence: NDArray[np.int64]
    bounds: NDArray[np.int64]


class _Windows:
    """Tokenizes texts with the places of their tokens, and cuts a window around a span where a text is too long."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, prompt: str | None, max_length: int | None) -> None:
        if not tokenizer.is_fast:
            raise UnsupportedModelError(
                f"The tokenizer {type(tokenizer).__name__} does not tell where in a text its tokens stand, so single words cannot be "
                "found. Choose a model with a fast tokenizer."
            )
        self._tokenizer = tokenizer
        self._lower_case = checkpoint.do_lower_case
        self._prompt = checkpoint.resolve_prompt(prompt)
        self._max_length = TextTokenizer(checkpoint, tokenizer, prompt, max_length).max_length
        self._n_prompt = int(np.count_nonzero(self._encode([""])["special_tokens_mask"][0] == 0))

    def _prepare(self, text: str) -> str:
        prepared = replace_lone_surrogates(self._prompt + text)
        return prepared.lower() if self._lower_case else prepared

    def _encode(self, texts: Sequence[str]) -> dict[str, list[NDArray[np.int64]]]:
        encoded: Any = self._tokenizer(
            [self._prepare(text) for text in texts],
            truncation=False,
            padding=False,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return {name: [np.asarray(values, dtype=np.int64) for values in encoded[name]] for name in encoded}

    def __call__(self, texts: Sequence[str], spans: NDArray[np.int64]) -> Iterator[tuple[tuple[str, int], NDArray[np.int64], int, int]]:
        """Yield for each span the name of its sequence, the sequence, and the bounds of the span's tokens in it."""
        distinct = list(dict.fromkeys(texts))
        encoded = self._encode(distinct)
        rows = {text: row for row, text in enumerate(distinct)}
        for text, (start, end) in zip(texts, spans.tolist(), strict=True):
            row = rows[text]
            ids, places, special = (encoded[name][row] for name in ("input_ids", "offset_mapping", "special_tokens_mask"))
            # What comes before decides where the span begins once surrogates are joined and letters are lowered.
            first, last = len(self._prepare(text[:start])), len(self._prepare(text[:end]))
            inside = (places[:, 0] < last) & (places[:, 1] > first) & (places[:, 1] > places[:, 0]) & (special == 0)
            found = np.flatnonzero(inside)
            begin, stop = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)
            yield self._cut(text, ids, special, begin, stop)

    def _cut(
        self, text: str, ids: NDArray[np.int64], special: NDArray[np.int64], begin: int, stop: int
    ) -> tuple[tuple[str, int], NDArray[np.int64], int, int]:
        """Keep as many tokens on either side of the span as fit; special tokens and the prompt stay."""
        excess = len(ids) - self._max_length
        if excess <= 0:
            return (text, 0), ids, begin, stop
        own = np.flatnonzero(special == 0)
        head, tail = int(own[0]) + self._n_prompt, int(own[-1]) + 1
        room = max(tail - head - excess, 1)
        first = min(max((begin + stop) // 2 - room // 2, head), tail - room)
        if stop - begin >= room:
            first = min(begin, tail - room)
        window = np.concatenate([ids[:head], ids[first : first + room], ids[tail:]])
        begin, stop = max(begin, first) - first + head, min(stop, first + room) - first + head
        return (text, first), window, begin, max(stop, begin)


def span_tokens(
    checkpoint: Checkpoint, texts: Sequence[str], spans: NDArray[np.int64], prompt: str | None = None, max_length: int | None = None
) -> SpanTokens:
    """Find the tokens of spans of characters, and sequences around them that fit the model.

    Parameters
    ----------
    checkpoint : Checkpoint
    texts : sequence of str
        The text of each span; a text with several spans is repeated. *Length:* ``n_spans``.
    spans : ndarray
        First character of each span, and the one after its last. *Shape:* ``(n_spans, 2)``, int64.
    prompt, max_length
        As for `TextTokenizer`.

    Returns
    -------
    SpanTokens

    Raises
    ------
    InvalidParameterError
        If a span does not lie in its text.
    UnsupportedModelError
        If the tokenizer does not tell where its tokens stand.

    Notes
    -----
    Every token with a character of the span belongs to it, as the tokenizer itself reports places: pieces are never joined again.
    """
    from .encoder import load_tokenizer

    for row, (text, (start, end)) in enumerate(zip(texts, spans.tolist(), strict=True)):
        if not 0 <= start < end <= len(text):
            raise invalid("spans", f"within their texts; that of row {row} has {len(text)} characters", (start, end))
    windows = _Windows(checkpoint, load_tokenizer(checkpoint), prompt, max_length)
    numbers: dict[tuple[str, int], int] = {}
    sequences: list[NDArray[np.int64]] = []
    sequence, bounds = np.zeros(len(texts), dtype=np.int64), np.zeros((len(texts), 2), dtype=np.int64)
    for first in range(0, len(texts), _SPANS_AT_ONCE):
        portion = slice(first, first + _SPANS_AT_ONCE)
        for row, (name, ids, begin, stop) in enumerate(windows(texts[portion], spans[portion]), start=first):
            if name not in numbers:
                numbers[name] = len(sequences)
                sequences.append(ids)
            sequence[row], bounds[row] = numbers[name], (begin, stop)
    return SpanTokens(
        ids=np.concatenate([np.empty(0, dtype=np.int32), *sequences], dtype=np.int32, casting="same_kind"),
        offsets=np.cumsum([0, *map(len, sequences)], dtype=np.int64),
        sequence=sequence,
        bounds=bounds,
    )


def span_vectors(
    checkpoint: Checkpoint,
    tokens: SpanTokens,
    layer: int,
    device: torch.device,
    precision: str = "float32",
    batch_tokens: int | None = None,
) -> NDArray[np.float32]:
    """Return the mean of the hidden states of each span's tokens.

    Parameters
    ----------
    checkpoint : Checkpoint
    tokens : SpanTokens
    layer : int
        0 is the output of the embeddings, -1 the last layer.
    device : torch.device
    precision : {"float32", "bfloat16", "float16", "int8"}
    batch_tokens : int or None
        Most tokens in a batch; None fits the device. It is halved whenever memory runs out.

    Returns
    -------
    ndarray
        *Shape:* ``(n_spans, hidden)``, float32. A span without tokens gets zeros.

    Raises
    ------
    InvalidParameterError
        If the model has no such layer.
    OutOfMemoryError
        If a single sequence does not fit.
    """
    from .encoder import load_encoder

    depth = layer + checkpoint.n_layers + 1 if layer < 0 else layer
    if not 0 <= depth <= checkpoint.n_layers:
        raise invalid("layer", f"an int in the range [{-checkpoint.n_layers - 1}, {checkpoint.n_layers}]", layer)
    encoder = load_encoder(checkpoint, device, precision)
    vectors = np.zeros((len(tokens.sequence), checkpoint.hidden_size), dtype=np.float32)
    batches = Batches(np.diff(tokens.offsets), batch_tokens or tokens_per_batch(device, checkpoint.widest))
    for batch in batches:
        starts, ends = tokens.offsets[batch], tokens.offsets[batch + 1]
        ids = np.concatenate([tokens.ids[start:end] for start, end in zip(starts, ends, strict=True)])
        try:
            states = encoder.backbone.hidden_states(ids, ends - starts, [depth])[depth]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            states = None  # what failed holds on to its memory until this block is left
        if states is None:
            if not batches.halve(batch):
                raise OutOfMemoryError(
                    f"One sequence of {len(ids)} tokens does not fit into the memory of device '{device}'. Lower 'max_length', or use "
                    "another device."
                )
            continue
        place = np.full(len(tokens.offsets) - 1, -1, dtype=np.int64)
        place[batch] = np.cumsum(ends - starts) - (ends - starts)
        rows = np.flatnonzero(place[tokens.sequence] >= 0)
        vectors[rows] = _means(states, tokens.bounds[rows] + place[tokens.sequence[rows], None])
    return vectors


def input_vectors(checkpoint: Checkpoint, tokens: SpanTokens) -> NDArray[np.float32]:
    """Return the mean of the word embeddings of each span's tokens: what the model knows of a word before it reads its text.

    Parameters
    ----------
    checkpoint : Checkpoint
    tokens : SpanTokens

    Returns
    -------
    ndarray
        Neither position nor context is in it, so that it is the same wherever the tokens are. *Shape:* ``(n_spans, n_dims)``, float32;
        some models have fewer dimensions here than in their layers.
    """
    import torch

    from .backbone import load_model

    network: Any = load_model(checkpoint)
    inside = [slice(*pair) for pair in (tokens.bounds + tokens.offsets[tokens.sequence, None]).tolist()]
    ids = np.concatenate([np.empty(0, dtype=np.int32), *(tokens.ids[part] for part in inside)])
    ends = np.cumsum([0, *(part.stop - part.start for part in inside)], dtype=np.int64)
    with torch.inference_mode():
        states = network.get_input_embeddings().weight[torch.from_numpy(ids.astype(np.int64))]
        return _means(states, np.column_stack([ends[:-1], ends[1:]]))


def _means(states: torch.Tensor, bounds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Average runs of rows; *shapes:* ``(n_tokens, n_dims)``, ``(n_runs, 2)`` to ``(n_runs, n_dims)``."""
    import torch

    with torch.inference_mode():
        averages = torch.zeros((len(bounds), states.shape[1]), device=states.device)
        for row, (begin, end) in enumerate(bounds.tolist()):
            if end > begin:
                averages[row] = states[begin:end].float().mean(dim=0)
        return np.asarray(averages.cpu().numpy())
