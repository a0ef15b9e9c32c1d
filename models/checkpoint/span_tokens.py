"""The tokens of character spans, inside sequences that fit the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UnsupportedModelError
from ...validation import invalid
from ..elmo.words import ElmoTokenizer
from ..ragged import ranges
from .text_tokens import ModelTokenizer, TokenSequences, replace_lone_surrogates, token_id

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from .description import Checkpoint

__all__ = [
    "SpanTokenizer",
    "TokenizedSpans",
    "input_vectors",
    "prepared_positions",
    "tokens_of_spans",
]

_TEXTS_AT_ONCE = 2048
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SPACE_TOKENS = ("▁", "Ġ")  # of SentencePiece and of byte-level BPE


@dataclass(frozen=True)
class TokenizedSpans(TokenSequences):
    """Token sequences around character spans, and the tokens of each span.

    Spans of one text share a sequence, unless the text is longer than the model reads. Each
    sequence has a span. ``sequence``, of shape (n_spans,), is the index of each span's sequence,
    and ``bounds``, of shape (n_spans, 2), its first token there and the one after its last; both
    are 0 for a span without tokens.
    """

    sequence: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of tokens of each span, of shape (n_spans,)."""
        return self.bounds[:, 1] - self.bounds[:, 0]

    @property
    def first_tokens(self) -> NDArray[np.int64]:
        """Index in ``ids`` of each span's first token, -1 without one, of shape (n_spans,)."""
        found = self.counts > 0
        first = np.full(len(found), -1, dtype=np.int64)
        first[found] = self.offsets[self.sequence[found]] + self.bounds[found, 0]
        return first


class SpanTokenizer(ModelTokenizer):
    """Finds the tokens of spans by the character offsets that the tokenizer reports.

    All tokens from the first to the last one with a character of the span belong to it, and the
    space before it if that is a token of its own, as in ``is_split_into_words``. A text that is
    longer than the model reads becomes windows that overlap by ``stride`` tokens, or by a share
    ``overlap`` of the window. Each span is read in the window with most text on either side of it,
    and windows without a span are left out. A span that no window contains gets one of its own; one
    that is longer than the model reads is cut off. Where tokens are words, as in ELMo, a span is a
    token with ``keeps_words``.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        prompt: str | None = None,
        max_length: int | None = None,
        stride: int | None = None,
        overlap: float = 0.25,
        keeps_words: bool = False,
    ) -> None:
        if not tokenizer.is_fast:
            raise UnsupportedModelError(
                f"The tokenizer {type(tokenizer).__name__} does not return the offsets of its"
                " tokens, so words cannot be found. Choose a model with a fast tokenizer."
            )
        super().__init__(checkpoint, tokenizer, prompt, max_length, keeps_prompt=True)
        self._stride = self._resolve_stride(stride, True, overlap)
        self._keeps_words = keeps_words and isinstance(tokenizer, ElmoTokenizer)
        # With a dtype, since an empty list would become floats.
        self._before = np.array(self._prefix, dtype=np.int32)
        self._after = np.array(self._suffix, dtype=np.int32)
        found = (token_id(tokenizer, token) for token in _SPACE_TOKENS)
        self._space_ids = [number for number in found if number is not None]

    def __call__(
        self, texts: Sequence[str], spans: NDArray[np.int64], owners: NDArray[np.int64]
    ) -> TokenizedSpans:
        """Find the tokens of spans.

        ``spans``, of shape (n_spans, 2), has the first character of each span in its text and the
        one after its last, both the same for an empty span; ``owners``, of shape (n_spans,), the
        indices of their texts, ascending. Lone surrogates are read as U+FFFD, since no tokenizer
        accepts them.
        """
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        wrong = np.flatnonzero(
            (spans[:, 0] < 0) | (spans[:, 0] > spans[:, 1]) | (spans[:, 1] > lengths[owners])
        )
        if len(wrong):
            row = wrong[0]
            raise invalid(
                "spans",
                f"within their texts; that of row {row} has {lengths[owners[row]]} characters",
                tuple(spans[row].tolist()),
            )
        sequences: list[Any] = []
        sequence = np.zeros(len(spans), dtype=np.int64)
        bounds = np.zeros((len(spans), 2), dtype=np.int64)
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            chunk = texts[first : first + _TEXTS_AT_ONCE]
            rows = slice(*np.searchsorted(owners, [first, first + _TEXTS_AT_ONCE]))
            sequence[rows], bounds[rows] = self._find(
                chunk, spans[rows], owners[rows] - first, sequences
            )
        ids = np.concatenate(sequences) if sequences else np.empty(0, dtype=np.int32)
        offsets = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
        return TokenizedSpans(ids, offsets, sequence, bounds)

    def _find(
        self,
        texts: Sequence[str],
        spans: NDArray[np.int64],
        owners: NDArray[np.int64],
        sequences: list[Any],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Append the sequences of texts, and return the sequence and bounds of each span."""
        prepared = self._in_prepared(texts, spans, owners)
        first_span = np.searchsorted(owners, np.arange(len(texts) + 1))
        more: dict[str, Any] = {}
        if self._keeps_words:
            more["whole"] = [prepared[start:end] for start, end in pairwise(first_span)]
        encoded = self._encode(texts, return_offsets_mapping=True, **more)
        n_tokens = np.fromiter(map(len, encoded["input_ids"]), dtype=np.int64, count=len(texts))
        ends = np.cumsum(n_tokens)
        starts = ends - n_tokens
        numbers = np.fromiter(
            chain.from_iterable(encoded["input_ids"]), dtype=np.int64, count=n_tokens.sum()
        )
        self._check_known(numbers, texts, encoded["input_ids"])
        ids = numbers.astype(np.int32)
        characters = np.fromiter(
            chain.from_iterable(chain.from_iterable(encoded["offset_mapping"])),
            dtype=np.int64,
            count=2 * len(ids),
        ).reshape(-1, 2)
        tokens = tokens_of_spans(characters, n_tokens, prepared, owners) - starts[owners, None]
        tokens[tokens[:, 0] >= tokens[:, 1]] = 0
        self._take_spaces(tokens, texts, owners, starts[owners], ids, characters)
        has_tokens = tokens[:, 1] > 0
        n_before = len(sequences)
        sequence = np.zeros(len(spans), dtype=np.int64)
        bounds = np.zeros((len(spans), 2), dtype=np.int64)
        for text in np.unique(owners[has_tokens]).tolist():
            body = ids[starts[text] : ends[text]]
            rows = np.arange(first_span[text], first_span[text + 1])
            rows = rows[has_tokens[rows]]
            if len(body) <= self._room:
                sequence[rows], bounds[rows] = len(sequences), tokens[rows] + len(self._before)
                sequences.append(np.concatenate([self._before, body, self._after]))
            else:
                # A space at the prompt's end often joins the first token of the text.
                is_behind = characters[starts[text] : ends[text], 1] > len(self._prepare(""))
                n_prompt = min(self._n_prompt, int(np.argmax(is_behind)))
                last = starts[text] + n_prompt - 1
                if n_prompt and self._is_space(ids[last], characters[last], texts[text]):
                    n_prompt -= 1  # it belongs to the first word of the text
                sequence[rows], bounds[rows] = self._windows(
                    body, n_prompt, tokens[rows], sequences
                )
        for index in range(n_before, len(sequences)):
            sequences[index] = self._as_read(encoded, sequences[index])
        return sequence, bounds

    def _take_spaces(
        self,
        tokens: NDArray[np.int64],
        texts: Sequence[str],
        owners: NDArray[np.int64],
        starts: NDArray[np.int64],
        ids: NDArray[np.int32],
        characters: NDArray[np.int64],
    ) -> None:
        """Let each span begin with the space before it, where that is a token of its own.

        A span whose first token begins with a space leaves the space before it alone. ``tokens``
        and ``starts``, the first token of each span's text among all, have a row for each span.
        """
        rows = np.flatnonzero(tokens[:, 0] > 0)
        first = starts[rows] + tokens[rows, 0]
        may_be_space = np.isin(ids[first - 1], self._space_ids)
        for row, token in zip(rows[may_be_space], first[may_be_space], strict=True):
            name: Any = self._tokenizer.convert_ids_to_tokens(int(ids[token]))
            if not name.startswith(_SPACE_TOKENS) and self._is_space(
                ids[token - 1], characters[token - 1], texts[owners[row]]
            ):
                tokens[row, 0] -= 1

    def _is_space(self, token: np.int32, characters: NDArray[np.int64], text: str) -> bool:
        """Whether a token stands for a space: letters such as "Ġ" are in vocabularies too."""
        start, end = characters.tolist()
        return int(token) in self._space_ids and not self._prepare(text)[start:end].strip()

    def _in_prepared(
        self, texts: Sequence[str], spans: NDArray[np.int64], owners: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return spans in prepared texts: behind the prompt, surrogates joined."""
        moved = spans.copy()
        first_span = np.searchsorted(owners, np.arange(len(texts) + 1))
        for row, text in enumerate(texts):
            if replace_lone_surrogates(text) != text:
                of_text = slice(*first_span[row : row + 2])
                moved[of_text] = prepared_positions(text)[moved[of_text]]
        moved += len(self._prepare(""))
        moved[spans[:, 0] == spans[:, 1]] = 0
        return moved

    def _windows(
        self,
        body: NDArray[np.int32],
        n_prompt: int,
        tokens: NDArray[np.int64],
        sequences: list[Any],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Append the windows of a long text; return each span's window and its bounds there."""
        room = self._room - n_prompt
        last = len(body) - n_prompt - room
        grid = np.append(np.arange(0, last, room - self._stride), last)
        begins, stops = (tokens - n_prompt).T
        # Twice the start of a window with the span in its middle, so that halves stay exact.
        middle = np.clip(begins + stops - room, 0, 2 * last)
        index = np.searchsorted(2 * grid, middle)
        before, after = grid[np.maximum(index - 1, 0)], grid[np.minimum(index, len(grid) - 1)]
        chosen = np.where(middle - 2 * before <= 2 * after - middle, before, after)
        fits = (chosen <= begins) & (stops <= chosen + room)
        own = np.where(stops - begins >= room, np.minimum(begins, last), middle // 2)
        chosen = np.where(fits, chosen, own)
        windows, number = np.unique(chosen, return_inverse=True)
        head = np.concatenate([self._before, body[:n_prompt]])
        first = len(sequences)
        sequences += [
            np.concatenate([head, body[n_prompt + start : n_prompt + start + room], self._after])
            for start in windows.tolist()
        ]
        inside = np.column_stack([np.maximum(begins - chosen, 0), np.minimum(stops - chosen, room)])
        return first + number, inside + len(head)


def prepared_positions(text: str) -> NDArray[np.int64]:
    """Return the position in the prepared text of each character, and the text's end."""
    lengths = [1] * len(text)
    for pair in _PAIR.finditer(text):
        lengths[pair.start() + 1] = 0
    return np.cumsum([0, *lengths], dtype=np.int64)


def tokens_of_spans(
    characters: NDArray[np.int64],
    n_tokens: NDArray[np.int64],
    spans: NDArray[np.int64],
    owners: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the first token of each span and the one after its last, of shape (n_spans, 2).

    ``characters``, of shape (n_all_tokens, 2), has the offsets of all tokens in their texts.
    """
    # All texts on one number line, one after another.
    width = np.int64(max(characters.max(initial=0), spans.max(initial=0)) + 1)
    texts = np.repeat(np.arange(len(n_tokens)), n_tokens) * width
    is_empty = characters[:, 0] >= characters[:, 1]  # tokens without a character
    starts = np.where(is_empty, np.iinfo(np.int64).max, characters[:, 0] + texts)
    starts = np.minimum.accumulate(starts[::-1])[::-1]
    ends = np.maximum.accumulate(characters[:, 1] + texts)
    line = spans + owners[:, None] * width
    first = np.searchsorted(ends, line[:, 0], side="right")
    return np.column_stack([first, np.searchsorted(starts, line[:, 1], side="left")])


def input_vectors(checkpoint: Checkpoint, tokens: TokenizedSpans) -> NDArray[np.float32]:
    """Return the mean word embedding of each span's tokens, of shape (n_spans, n_dims).

    It depends on neither position nor context. Some models have fewer dimensions here than in their
    layers.
    """
    import torch

    from ..pooling.subwords import pool_subtokens
    from .weights import load_elmo, load_model

    ids = tokens.ids[ranges(tokens.bounds[:, 0] + tokens.offsets[tokens.sequence], tokens.counts)]
    with torch.inference_mode():
        if checkpoint.elmo is not None:
            words = load_elmo(checkpoint, checkpoint.elmo).word_vectors(ids)
            return pool_subtokens(words.numpy(), tokens.counts, "mean")
        network: Any = load_model(checkpoint)
        embeddings = network.get_input_embeddings().weight
        vectors = embeddings[torch.from_numpy(ids.astype(np.int64))].numpy()
    return pool_subtokens(vectors, tokens.counts, "mean")
