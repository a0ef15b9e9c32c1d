"""The tokens of spans of characters, inside sequences that fit the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UnsupportedModelError
from ...validation import invalid
from ..ragged import ranges
from .text_tokens import ModelTokenizer, TokenSequences, replace_lone_surrogates

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from .description import Checkpoint

__all__ = ["SpanTokenizer", "TokenizedSpans", "input_vectors"]

_TEXTS_AT_ONCE = 2048
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


@dataclass(frozen=True)
class TokenizedSpans(TokenSequences):
    """Token sequences around spans of characters, and the tokens that each span consists of.

    Spans of one text share a sequence, unless the text is longer than the model reads. No sequence
    is without a span.

    Attributes
    ----------
    sequence : ndarray
        The sequence of each span. *Shape:* ``(n_spans,)``, int64.
    bounds : ndarray
        First token of each span within its sequence, and the one after its last; both 0 for a span
        without tokens. *Shape:* ``(n_spans, 2)``, int64.
    """

    sequence: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Tokens of each span. *Shape:* ``(n_spans,)``."""
        return self.bounds[:, 1] - self.bounds[:, 0]


class SpanTokenizer(ModelTokenizer):
    """Finds the tokens of spans, as the tokenizer itself reports where its tokens stand.

    Every token with a character of the span belongs to it, and what is between such: pieces are
    never joined again. A text that is longer than the model reads becomes overlapping windows, of
    which each span is read in the one that has most text on either side of it; windows that no span
    needs are left out. A span that lies in no window whole gets one of its own, and one that is
    longer than the model reads is read as far as it goes.

    Parameters
    ----------
    checkpoint : Checkpoint
    tokenizer : PreTrainedTokenizerBase
    prompt, max_length
        As for `ModelTokenizer`.
    stride : int or None
        Tokens that neighbouring windows share.
    overlap : float
        What None means for ``stride``: a share of the window, in [0, 1).

    Raises
    ------
    UnsupportedModelError
        If the tokenizer does not tell where its tokens stand.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        prompt: str | None = None,
        max_length: int | None = None,
        stride: int | None = None,
        overlap: float = 0.25,
    ) -> None:
        if not tokenizer.is_fast:
            raise UnsupportedModelError(
                f"The tokenizer {type(tokenizer).__name__} does not tell where in a text its tokens"
                " stand, so single words cannot be found. Choose a model with a fast tokenizer."
            )
        super().__init__(checkpoint, tokenizer, prompt, max_length, keeps_prompt=True)
        self._stride = self._resolve_stride(stride, True, overlap)
        # As arrays, since an empty list beside one would make floats of its numbers.
        self._before, self._after = (
            np.array(self._prefix, dtype=np.int32),
            np.array(self._suffix, dtype=np.int32),
        )

    def __call__(
        self, texts: Sequence[str], spans: NDArray[np.int64], owners: NDArray[np.int64]
    ) -> TokenizedSpans:
        """Find the tokens of spans.

        Parameters
        ----------
        texts : sequence of str
            Lone surrogates are read as U+FFFD, since no tokenizer takes them.
        spans : ndarray
            First character of each span in its text, and the one after its last; both the same for
            a span of nothing. *Shape:* ``(n_spans, 2)``, int64.
        owners : ndarray
            The text of each span, in ascending order. *Shape:* ``(n_spans,)``, int64.

        Returns
        -------
        TokenizedSpans

        Raises
        ------
        InvalidParameterError
            If a span does not lie in its text.
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
        sequence, bounds = (
            np.zeros(len(spans), dtype=np.int64),
            np.zeros((len(spans), 2), dtype=np.int64),
        )
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            begin, stop = np.searchsorted(owners, [first, first + _TEXTS_AT_ONCE])
            some = slice(begin, stop)
            sequence[some], bounds[some] = self._find(
                texts[first : first + _TEXTS_AT_ONCE], spans[some], owners[some] - first, sequences
            )
        return TokenizedSpans(
            ids=np.concatenate(
                [np.empty(0, dtype=np.int32), *sequences], dtype=np.int32, casting="same_kind"
            ),
            offsets=np.cumsum([0, *map(len, sequences)], dtype=np.int64),
            sequence=sequence,
            bounds=bounds,
        )

    def _find(
        self,
        texts: Sequence[str],
        spans: NDArray[np.int64],
        owners: NDArray[np.int64],
        sequences: list[Any],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Append the sequences of a few texts, and return the sequence and bounds of each of their spans."""
        encoded = self._encode(texts, return_offsets_mapping=True)
        n_tokens = np.fromiter(map(len, encoded["input_ids"]), dtype=np.int64, count=len(texts))
        ends = np.cumsum(n_tokens)
        starts = ends - n_tokens
        ids = np.fromiter(
            chain.from_iterable(encoded["input_ids"]), dtype=np.int32, count=n_tokens.sum()
        )
        places = np.fromiter(
            chain.from_iterable(chain.from_iterable(encoded["offset_mapping"])),
            dtype=np.int64,
            count=2 * len(ids),
        )
        tokens = (
            _tokens_of_spans(
                places.reshape(-1, 2), n_tokens, self._in_prepared(texts, spans, owners), owners
            )
            - starts[owners, None]
        )
        tokens[tokens[:, 0] >= tokens[:, 1]] = 0
        has_tokens = tokens[:, 1] > 0
        sequence, bounds = (
            np.zeros(len(spans), dtype=np.int64),
            np.zeros((len(spans), 2), dtype=np.int64),
        )
        first_span = np.searchsorted(owners, np.arange(len(texts) + 1))
        for text in np.unique(owners[has_tokens]).tolist():
            body = ids[starts[text] : ends[text]]
            rows = np.arange(first_span[text], first_span[text + 1])
            rows = rows[has_tokens[rows]]
            if len(body) <= self._room:
                sequence[rows], bounds[rows] = len(sequences), tokens[rows] + len(self._before)
                sequences.append(np.concatenate([self._before, body, self._after]))
            else:
                # A space at the prompt's end is often no token of its own where a text follows.
                is_behind = places[2 * starts[text] : 2 * ends[text]][1::2] > len(self._prepare(""))
                n_prompt = min(self._n_prompt, int(np.argmax(is_behind)))
                sequence[rows], bounds[rows] = self._windows(
                    body, n_prompt, tokens[rows], sequences
                )
        return sequence, bounds

    def _in_prepared(
        self, texts: Sequence[str], spans: NDArray[np.int64], owners: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return where spans stand in what the tokenizer was given: behind the prompt, surrogates joined, letters lowered."""
        moved = spans.copy()
        first_span = np.searchsorted(owners, np.arange(len(texts) + 1))
        for row, text in enumerate(texts):
            is_longer = self._lower_case and len(text.lower()) != len(text)
            if is_longer or replace_lone_surrogates(text) != text:
                of_text = slice(*first_span[row : row + 2])
                moved[of_text] = _places_in_prepared(text, is_longer)[moved[of_text]]
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
        """Append the windows of a long text in which spans are read, and return the window and bounds of each span."""
        room = self._room - n_prompt
        last = len(body) - n_prompt - room
        grid = np.append(np.arange(0, last, room - self._stride), last)
        begins, stops = (tokens - n_prompt).T
        # Where a span has as much on its left as on its right, twice, so that halves stay exact.
        middle = np.clip(begins + stops - room, 0, 2 * last)
        place = np.searchsorted(2 * grid, middle)
        before, after = grid[np.maximum(place - 1, 0)], grid[np.minimum(place, len(grid) - 1)]
        chosen = np.where(middle - 2 * before <= 2 * after - middle, before, after)
        is_whole = (chosen <= begins) & (stops <= chosen + room)
        chosen = np.where(
            is_whole,
            chosen,
            np.where(stops - begins >= room, np.minimum(begins, last), middle // 2),
        )
        windows, number = np.unique(chosen, return_inverse=True)
        head = np.concatenate([self._before, body[:n_prompt]])
        first = len(sequences)
        sequences += [
            np.concatenate([head, body[n_prompt + start : n_prompt + start + room], self._after])
            for start in windows.tolist()
        ]
        inside = np.column_stack([np.maximum(begins - chosen, 0), np.minimum(stops - chosen, room)])
        return first + number, inside + len(head)


def _places_in_prepared(text: str, is_lowered: bool) -> NDArray[np.int64]:
    """Return where each character stands once surrogate pairs are joined and letters are lowered. *Shape:* ``(n_characters + 1,)``."""
    lengths = [len(character.lower()) if is_lowered else 1 for character in text]
    for pair in _PAIR.finditer(text):
        lengths[pair.start() + 1] = 0
    return np.cumsum([0, *lengths], dtype=np.int64)


def _tokens_of_spans(
    places: NDArray[np.int64],
    n_tokens: NDArray[np.int64],
    spans: NDArray[np.int64],
    owners: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the first token with a character of each span, and the one after the last, among the tokens of all texts."""
    # One number line for all texts, each on a stretch of its own.
    stretch = np.int64(max(places.max(initial=0), spans.max(initial=0)) + 1)
    texts = np.repeat(np.arange(len(n_tokens)), n_tokens) * stretch
    is_nowhere = places[:, 0] >= places[:, 1]  # tokens that stand for no character
    starts = np.minimum.accumulate(
        np.where(is_nowhere, np.iinfo(np.int64).max, places[:, 0] + texts)[::-1]
    )[::-1]
    ends = np.maximum.accumulate(places[:, 1] + texts)
    line = spans + owners[:, None] * stretch
    return np.column_stack(
        [
            np.searchsorted(ends, line[:, 0], side="right"),
            np.searchsorted(starts, line[:, 1], side="left"),
        ]
    )


def input_vectors(checkpoint: Checkpoint, tokens: TokenizedSpans) -> NDArray[np.float32]:
    """Return the mean of the word embeddings of each span's tokens: what the model knows of a word
    before it reads its text.

    Parameters
    ----------
    checkpoint : Checkpoint
    tokens : TokenizedSpans

    Returns
    -------
    ndarray
        Neither position nor context is in it, so that it is the same wherever the tokens are.
        *Shape:* ``(n_spans, n_dims)``, float32; some models have fewer dimensions here than in
        their layers.
    """
    import torch

    from ..pooling.subwords import pool_subtokens
    from .weights import load_model

    network: Any = load_model(checkpoint)
    ids = tokens.ids[ranges(tokens.bounds[:, 0] + tokens.offsets[tokens.sequence], tokens.counts)]
    with torch.inference_mode():
        vectors = (
            network.get_input_embeddings().weight[torch.from_numpy(ids.astype(np.int64))].numpy()
        )
    return pool_subtokens(vectors, tokens.counts, "mean")
