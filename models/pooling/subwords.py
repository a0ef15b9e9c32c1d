"""From the vectors of a word's tokens to one vector, under flair's names of poolings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SUBTOKEN_POOLINGS", "SubtokenPooling", "pool_subtokens"]

SubtokenPooling: TypeAlias = Literal["first", "last", "first_last", "mean"]
SUBTOKEN_POOLINGS: tuple[SubtokenPooling, ...] = get_args(SubtokenPooling)


def pool_subtokens(
    states: NDArray[np.float32], counts: NDArray[np.int64], pooling: SubtokenPooling
) -> NDArray[np.float32]:
    """Pool the tokens of each word; a word without tokens gets zeros.

    ``states``, of shape (n_tokens, width), has word after word, and ``counts``, of shape
    (n_words,), the tokens of each word. The result is of shape (n_words, width), twice as wide
    with ``"first_last"``. On ``"first"``, see J. Devlin et al., "BERT", NAACL 2019, section 5.3.

    Examples
    --------
    >>> states = np.array([[1], [3], [5]], dtype=np.float32)
    >>> pool_subtokens(states, np.array([2, 0, 1]), "mean").tolist()
    [[2.0], [0.0], [5.0]]
    """
    ends = np.cumsum(counts)
    starts = ends - counts
    if pooling == "first_last":
        return np.concatenate(
            [pool_subtokens(states, counts, side) for side in ("first", "last")], axis=1
        )
    if len(counts) == len(states) and (counts == 1).all():
        return states
    pooled = np.zeros((len(counts), states.shape[1]), dtype=np.float32)
    has_tokens = counts > 0
    pooled[has_tokens] = states[(ends - 1 if pooling == "last" else starts)[has_tokens]]
    if pooling == "mean":
        longer = np.flatnonzero(counts > 1)
        for rank in range(1, int(counts.max(initial=0))):
            longer = longer[counts[longer] > rank]
            pooled[longer] += states[starts[longer] + rank]
        several = counts > 1
        pooled[several] /= counts[several, None].astype(np.float32)
    return pooled
