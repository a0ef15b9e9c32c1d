"""What a trained language model answers: probabilities of tokens that are masked, or come next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..network.batching import Batches
from ..training.examples import Batch, Examples
from ..training.loop import predict, run_batches
from .objectives import Predictions, pass_tokens
from .sequences import Sequences, pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.text_tokens import TextTokenizer, TokenizedTexts
    from ..training.network import TrainableNetwork
    from .corpus import Corpus
    from .sequences import TextBatch

__all__ = [
    "MaskedGroups",
    "NextTokens",
    "SingleTokens",
    "log_likelihoods",
    "mask_probabilities",
    "next_sentence_probabilities",
]

_GROUPS = 7  # one token of seven is masked, about as many as in training
_SEED = 0  # of all masks: they are the same for every model and random state


class _Questions(Protocol):
    """Sequences, and the tokens that are predicted in each."""

    texts: NDArray[np.int64]  # the text of each sequence
    share: float  # of the tokens, that are predicted

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each sequence, of shape (n_sequences,)."""

    def prepare(self, rows: NDArray[np.int64]) -> Predictions:
        """Return some sequences, and what is predicted in them."""


class SingleTokens(Sequences):
    """A sequence for each of some tokens, in which this one alone is masked.

    Around a token of a text that is longer than the model stands the part of the text that has it
    in the middle.

    Parameters
    ----------
    corpus : Corpus
        The texts.
    tokenizer : TextTokenizer
        Its special tokens, its mask and its length.
    places : ndarray of shape (n_sequences,) or None, default=None
        Which tokens of the corpus. None takes all but special ones, that for unknown words
        included: the pseudo-log-likelihood [1]_.

    References
    ----------
    .. [1] J. Salazar, D. Liang, T. Q. Nguyen, K. Kirchhoff, "Masked Language Model Scoring",
       ACL 2020, section 2.
    """

    def __init__(
        self, corpus: Corpus, tokenizer: TextTokenizer, places: NDArray[np.int64] | None = None
    ) -> None:
        if places is None:
            places = np.flatnonzero(~tokenizer.is_special[corpus.ids])
        self.texts = np.searchsorted(corpus.offsets, places, side="right") - 1
        first, end = corpus.offsets[self.texts], corpus.offsets[self.texts + 1]
        begins = np.clip(
            places - tokenizer.room // 2, first, np.maximum(first, end - tokenizer.room)
        )
        counts = np.minimum(end - begins, tokenizer.room)
        super().__init__(corpus, tokenizer, begins[:, None], counts[:, None])
        self._at = places - begins + len(tokenizer.special[0])
        self.share = max(len(places), 1) / max(int(self.n_tokens.sum()), 1)

    def prepare(self, rows: NDArray[np.int64]) -> Predictions:
        """Return some sequences, and the one token that is predicted in each."""
        batch = self.batch(rows)
        places = np.cumsum(batch.lengths) - batch.lengths + self._at[batch.sequences]
        return _masked(batch, places, self._tokenizer.mask_id)


class MaskedGroups(Sequences):
    """Sequences of texts in which one token of seven is masked.

    A text has up to seven sequences, in which each of its tokens is masked once, except special
    ones. Which are masked together is drawn from a fixed seed, and depends on nothing but the
    number of tokens. Longer texts than the model reads are cut as in training.

    Parameters
    ----------
    corpus : Corpus
        The texts.
    tokenizer : TextTokenizer
        Its special tokens, its mask and its length.
    first_alone : bool, default=False
        Whether to leave out all but the first sequence of each text, or of each part of it.
    """

    share = 1 / _GROUPS

    def __init__(self, corpus: Corpus, tokenizer: TextTokenizer, first_alone: bool = False) -> None:
        chosen = np.arange(corpus.n_texts)
        (begins, ends), n_pieces = pieces(corpus, chosen, tokenizer.room)
        n_groups = np.minimum(ends - begins, 1 if first_alone else _GROUPS)
        begins, ends, self.texts = (
            np.repeat(each, n_groups) for each in (begins, ends, np.repeat(chosen, n_pieces))
        )
        self._groups = np.arange(len(begins)) - np.repeat(np.cumsum(n_groups) - n_groups, n_groups)
        super().__init__(corpus, tokenizer, begins[:, None], (ends - begins)[:, None])

    def prepare(self, rows: NDArray[np.int64]) -> Predictions:
        """Return some sequences, and the tokens that are predicted in each."""
        batch = self.batch(rows)
        ordinary = np.flatnonzero(~batch.is_special)
        counts = np.bincount(_owners(batch.lengths, ordinary), minlength=len(batch.lengths))
        of_token = np.concatenate([np.empty(0, np.int64), *map(_groups, counts.tolist())])
        is_masked = of_token == np.repeat(self._groups[batch.sequences], counts)
        return _masked(batch, ordinary[is_masked], self._tokenizer.mask_id)


class NextTokens(Sequences):
    """Sequences of texts in which each token is predicted from those before it.

    Of a text that is longer than the model, each sequence begins in the middle of the one before,
    so that every token but the first ones has half a sequence before it. Each is predicted once;
    special tokens are not, nor is the first token of a text, unless a special one is before it.

    Parameters
    ----------
    corpus : Corpus
        The texts.
    tokenizer : TextTokenizer
        Its special tokens and its length.
    """

    share = 1.0

    def __init__(self, corpus: Corpus, tokenizer: TextTokenizer) -> None:
        room, n_tokens = tokenizer.room, np.diff(corpus.offsets)
        step = max(room - room // 2, 1)
        n_windows = np.where(n_tokens > 0, 1 + np.maximum(0, -((room - n_tokens) // step)), 0)
        self.texts = np.repeat(np.arange(corpus.n_texts), n_windows)
        number = np.arange(len(self.texts)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
        first = corpus.offsets[self.texts]
        ends = np.minimum(room + number * step, n_tokens[self.texts])
        begins = np.maximum(ends - room, 0)
        predicted = np.where(number > 0, room + (number - 1) * step, 0)  # by no window before
        super().__init__(corpus, tokenizer, (first + begins)[:, None], (ends - begins)[:, None])
        self._from = len(tokenizer.special[0]) + predicted - begins

    def prepare(self, rows: NDArray[np.int64]) -> Predictions:
        """Return some sequences, and the tokens that are predicted in each."""
        batch = self.batch(rows)
        starts = np.cumsum(batch.lengths) - batch.lengths
        begins = np.maximum(self._from[batch.sequences], 1) + starts
        is_late = np.arange(len(batch.ids)) >= np.repeat(begins, batch.lengths)
        predicted = np.flatnonzero(is_late & ~batch.is_special)
        return Predictions(batch, predicted - 1, batch.ids[predicted].astype(np.int64))


def log_likelihoods(
    network: TrainableNetwork,
    questions: _Questions,
    n_texts: int,
    step: Callable[[int], object] = lambda _: None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the sum of log-probabilities of the predicted tokens of each text, and their number.

    Both have the shape (n_texts,). ``step`` is called with the number of tokens of each pass.
    """
    n_sequences = len(questions.n_tokens)
    sums, counts = np.zeros(n_sequences), np.zeros(n_sequences, dtype=np.int64)

    def take(given: Predictions, logits: Tensor) -> None:
        targets = torch.from_numpy(given.targets).to(logits.device)
        losses = functional.cross_entropy(logits, targets, reduction="none").cpu().numpy()
        owners, n_rows = _owners(given.batch.lengths, given.positions), len(given.batch.lengths)
        sums[given.batch.sequences] = -np.bincount(owners, losses, minlength=n_rows)
        counts[given.batch.sequences] = np.bincount(owners, minlength=n_rows)

    _run(network, questions, take, step)
    of_texts = np.bincount(questions.texts, sums, minlength=n_texts).astype(np.float64)
    n_predicted = np.bincount(questions.texts, counts, minlength=n_texts).astype(np.int64)
    return of_texts, n_predicted


def mask_probabilities(
    network: TrainableNetwork,
    questions: SingleTokens,
    top_k: int,
    candidates: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return tokens for each mask and their probabilities, of shape (n_masks, n_tokens) each.

    These are the ``top_k`` most probable ones, or all ``candidates``, of shape (n_masks, n_tokens),
    in their order.
    """
    n_masks = len(questions.n_tokens)
    vocab_size = int(network.checkpoint.text_config.vocab_size)
    shape = (n_masks, min(top_k, vocab_size)) if candidates is None else candidates.shape
    tokens, found = np.zeros(shape, dtype=np.int64), np.zeros(shape)

    def take(given: Predictions, logits: Tensor) -> None:
        rows = given.batch.sequences
        probabilities = logits.softmax(dim=-1)
        if candidates is None:
            values, chosen = probabilities.topk(shape[1], dim=-1)
        else:
            chosen = torch.from_numpy(candidates[rows]).to(logits.device)
            values = probabilities.gather(1, chosen)
        tokens[rows], found[rows] = chosen.cpu().numpy(), values.cpu().numpy()

    _run(network, questions, take, lambda _: None)
    return tokens, found


def next_sentence_probabilities(
    network: TrainableNetwork, pairs: TokenizedTexts
) -> NDArray[np.float64]:
    """Return the probability of each pair that its second text follows the first, (n_pairs,)."""
    head: Any = network.head

    def compute(batch: Batch, _: Tensor | None) -> Tensor:
        first = torch.from_numpy(np.cumsum(batch.lengths) - batch.lengths).to(network.device)
        logits = head.next_sentence_logits(network.states(batch)[first]).float()
        order = torch.from_numpy(np.argsort(batch.owners)).to(network.device)
        found: Tensor = logits.softmax(dim=-1)[order, :1]
        return found

    return predict(network, Examples(pairs), None, compute)[:, 0].astype(np.float64)


def _run(
    network: TrainableNetwork,
    questions: _Questions,
    take: Callable[[Predictions, Tensor], None],
    step: Callable[[int], object],
) -> None:
    """Call ``take`` with some sequences at a time, and the logits of their predicted tokens."""

    def run(rows: NDArray[np.int64]) -> None:
        given = questions.prepare(rows)
        if len(given.positions):
            with torch.no_grad():
                take(given, given.logits(network, network.states(given.batch)))
        step(int(lengths[rows].sum()))

    lengths = questions.n_tokens
    batches = Batches(lengths, pass_tokens(network, questions.share))
    run_batches(run, batches, network.device)


def _masked(batch: TextBatch, positions: NDArray[np.int64], mask_id: int | None) -> Predictions:
    """Return sequences with the mask at some positions, where the tokens are predicted."""
    assert mask_id is not None
    ids = batch.ids.copy()
    ids[positions] = mask_id
    return Predictions(replace(batch, ids=ids), positions, batch.ids[positions].astype(np.int64))


def _owners(lengths: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sequence of each position."""
    return np.searchsorted(np.cumsum(lengths), positions, side="right")


@lru_cache(maxsize=1024)
def _groups(n_tokens: int) -> NDArray[np.int64]:
    """Return which of the groups each of ``n_tokens`` tokens is in."""
    return np.random.default_rng((_SEED, n_tokens)).permutation(n_tokens) % _GROUPS
