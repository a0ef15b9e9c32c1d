"""What is trained on: token sequences with their targets, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..ragged import chunks, ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.text_tokens import TokenizedTexts

__all__ = ["Batch", "Examples", "bucketed_batches"]

_BATCHES_A_BUCKET = 50


@dataclass(frozen=True)
class Batch:
    """Token sequences of some examples, one after another, the longest first.

    Parameters
    ----------
    sequences : ndarray of shape (n_sequences,)
        Indices of the sequences.
    ids, types : ndarray of shape (n_tokens,)
        Tokens and their types; None as types means 0.
    lengths : ndarray of shape (n_sequences,)
        Tokens of each sequence.
    owners : ndarray of shape (n_sequences,)
        The example of each sequence, by its position in the batch.
    shares : ndarray of shape (n_sequences,)
        Part of its example's tokens that the sequence has, float32.
    words : ndarray of shape (n_words,) or None
        Positions in ``ids`` of the first tokens of words, example after example; -1 for words
        without tokens.
    """

    sequences: NDArray[np.int64]
    ids: NDArray[np.int32]
    types: NDArray[np.int32] | None
    lengths: NDArray[np.int64]
    owners: NDArray[np.int64]
    shares: NDArray[np.float32]
    words: NDArray[np.int64] | None

    def parts(self, most: int) -> Iterator[Batch]:
        """Yield the sequences in parts of up to ``most`` tokens, but of one sequence at least.

        The outputs of the parts add up to those of the batch, if it is of one example.
        """
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        for start, end in chunks(offsets, most):
            first, last = offsets[[start, end]]
            words = self.words
            if words is not None:
                words = np.where((words >= first) & (words < last), words - first, -1)
            yield Batch(
                sequences=self.sequences[start:end],
                ids=self.ids[first:last],
                types=None if self.types is None else self.types[first:last],
                lengths=self.lengths[start:end],
                owners=self.owners[start:end],
                shares=self.shares[start:end],
                words=words,
            )


@dataclass(frozen=True)
class Examples:
    """Texts, pairs or sentences as token sequences, and the words in them that are tagged.

    Parameters
    ----------
    tokenized : TokenizedTexts
        One sequence per example, or several windows.
    words : ndarray of shape (n_words,) or None
        Index in ``tokenized.ids`` of the first token of each word, sentence after sentence; -1 for
        a word without tokens, whose outputs are 0. None for examples that are predicted as a whole.
    first_word : ndarray of shape (n_examples + 1,) or None
        Sentence *i* has the words ``first_word[i]:first_word[i + 1]``.
    """

    tokenized: TokenizedTexts
    words: NDArray[np.int64] | None = None
    first_word: NDArray[np.int64] | None = None
    n_tokens: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        ends = self.tokenized.offsets[self.tokenized.first_window]
        object.__setattr__(self, "n_tokens", np.diff(ends))

    def __len__(self) -> int:
        return len(self.n_tokens)

    def targets_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the indices of the targets of examples: their own, or those of their words."""
        if self.first_word is None:
            return rows
        first = self.first_word[rows]
        return ranges(first, self.first_word[rows + 1] - first)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """Return the sequences of some examples."""
        tokenized = self.tokenized
        first = tokenized.first_window[rows]
        count = tokenized.first_window[rows + 1] - first
        owned = ranges(first, count)
        lengths = tokenized.offsets[owned + 1] - tokenized.offsets[owned]
        order = np.argsort(-lengths, kind="stable")
        sequences, lengths = owned[order], lengths[order]
        tokens = ranges(tokenized.offsets[sequences], lengths)
        owners = np.repeat(np.arange(len(rows)), count)[order]
        words = None
        if self.words is not None:
            row = np.append(-1, tokens)  # -1 is no token, and comes first in order
            order = np.argsort(row)
            words = order[np.searchsorted(row, self.words[self.targets_of(rows)], sorter=order)] - 1
        return Batch(
            sequences=sequences,
            ids=tokenized.ids[tokens],
            types=None if tokenized.types is None else tokenized.types[tokens],
            lengths=lengths,
            owners=owners,
            shares=(lengths / self.n_tokens[rows][owners]).astype(np.float32),
            words=words,
        )


def bucketed_batches(
    lengths: NDArray[np.int64], batch_size: int, random: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield batches of examples of like length, in random order, each example once.

    The examples are shuffled; every 50 batches of them are sorted by length and cut into batches,
    which are shuffled again.

    Examples
    --------
    >>> batches = bucketed_batches(np.array([5, 2, 5, 2]), 2, np.random.default_rng(0))
    >>> sorted(sorted(batch.tolist()) for batch in batches)
    [[0, 2], [1, 3]]
    """
    order = random.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), _BATCHES_A_BUCKET * batch_size):
        bucket = order[start : start + _BATCHES_A_BUCKET * batch_size]
        bucket = bucket[np.argsort(-lengths[bucket], kind="stable")]
        batches += [bucket[at : at + batch_size] for at in range(0, len(bucket), batch_size)]
    for index in random.permutation(len(batches)):
        yield batches[index]
