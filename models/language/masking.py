"""Choose the tokens that a masked language model predicts, and what it reads in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import UnsupportedModelError
from .sequences import sequence_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.text_tokens import ModelTokenizer
    from .sequences import TextBatch

__all__ = ["Masked", "Masking"]

# Of the tokens to predict; the rest stays as it is.
_SHARE_OF_MASKS, _SHARE_OF_RANDOM = 0.8, 0.1


class Masked(NamedTuple):
    """Token sequences to predict tokens in.

    Parameters
    ----------
    ids : ndarray of shape (n_tokens,)
        The tokens that the model reads.
    positions : ndarray of shape (n_masked,)
        Where tokens are to be predicted.
    targets : ndarray of shape (n_masked,)
        Those tokens.
    """

    ids: NDArray[np.int32]
    positions: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Masking:
    """Chooses tokens at random, each with ``probability``, and masks them as BERT does [1]_.

    In place of 80 % of them the model reads the mask, of 10 % a random token, and of 10 % the token
    itself. What is drawn for a sequence depends on the seed, the epoch and the sequence, but not on
    its batch. Special tokens are neither chosen nor drawn.

    Parameters
    ----------
    mask_id : int
        The mask.
    candidates : ndarray of shape (n_candidates,)
        The tokens that random ones are drawn from.
    probability : float, default=0.15
        Of each token, or word.
    whole_words : bool, default=False
        Choose words, and all tokens of each.
    seed : int, default=0
        Of the draws.

    References
    ----------
    .. [1] J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
       Understanding", NAACL 2019, section 3.1 and appendix A.1.
    """

    mask_id: int
    candidates: NDArray[np.int64]
    probability: float = 0.15
    whole_words: bool = False
    seed: int = 0

    @classmethod
    def of(
        cls,
        tokenizer: ModelTokenizer,
        probability: float = 0.15,
        whole_words: bool = False,
        seed: int = 0,
    ) -> Masking:
        """Return the masking for a tokenizer, or raise `UnsupportedModelError`."""
        if tokenizer.mask_id is None:
            raise UnsupportedModelError(
                "The model has no token for a mask, so that no words can be masked. Choose"
                " objective='causal', or a model such as BERT or RoBERTa."
            )
        return cls(tokenizer.mask_id, tokenizer.ordinary_ids, probability, whole_words, seed)

    def mask(self, batch: TextBatch, epoch: int) -> Masked:
        """Mask tokens of some sequences."""
        draws = [
            sequence_generator(self.seed, epoch, sequence).random((3, length))
            for sequence, length in zip(
                batch.sequences.tolist(), batch.lengths.tolist(), strict=True
            )
        ]
        chance, action, choice = np.concatenate(draws, axis=1)
        if self.whole_words:  # the first token of a word decides
            begins = np.where(batch.starts_word, np.arange(len(chance)), 0)
            chance = chance[np.maximum.accumulate(begins)]
        positions = np.flatnonzero((chance < self.probability) & ~batch.is_special)
        targets = batch.ids[positions].astype(np.int64)
        action, choice = action[positions], choice[positions]
        drawn = self.candidates[(choice * len(self.candidates)).astype(np.int64)]
        read = np.where(action < _SHARE_OF_MASKS + _SHARE_OF_RANDOM, drawn, targets)
        ids = batch.ids.copy()
        ids[positions] = np.where(action < _SHARE_OF_MASKS, self.mask_id, read)
        return Masked(ids, positions, targets)
