"""How much of a space of vectors is left after training: which texts are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from ..network.batching import Batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..training.network import TrainableNetwork
    from .sequences import SegmentPairs, TextSequences

__all__ = ["VectorSpace"]

_MOST_TEXTS = 200  # 19,900 pairs
_MOST_TOKENS = 1 << 13  # of all: seconds on a CPU
_BATCH_TOKENS = 1 << 11


class VectorSpace:
    """The cosines between some sequences, by the vectors that a network gives now.

    At most 200 distinct sequences are taken, of about 8,192 tokens in all, evenly over the corpus.
    Nothing is drawn at random, and the network stays as it is.
    """

    def __init__(self, network: TrainableNetwork, sequences: TextSequences | SegmentPairs) -> None:
        n_tokens = sequences.n_tokens
        rows = np.unique(np.linspace(0, len(n_tokens) - 1, _MOST_TEXTS).astype(np.int64))
        most = max(1, int(_MOST_TOKENS / n_tokens[rows].mean()))
        rows = rows[:: -(-len(rows) // most)]
        distinct = {sequences.batch(row[None]).ids.tobytes(): row for row in rows}
        rows = np.array(list(distinct.values()), dtype=np.int64)
        self._batches = [
            sequences.batch(rows[part]) for part in Batches(n_tokens[rows], _BATCH_TOKENS)
        ]
        self.n_texts = len(rows)
        self._cosines = self._cosines_of(network)

    def agreement(self, network: TrainableNetwork) -> float:
        """Return the rank correlation of these cosines with those that a network gives."""
        both = self._cosines, self._cosines_of(network)
        first, second = (np.argsort(np.argsort(cosines)) for cosines in both)
        n_pairs = len(first)
        # Spearman's formula without ties: cosines of distinct texts have none.
        return 1 - 6 * float(((first - second) ** 2).sum()) / (n_pairs * (n_pairs**2 - 1))

    def _cosines_of(self, network: TrainableNetwork) -> NDArray[np.float32]:
        """Return the cosine of each pair of sequences, by the checkpoint's pooling."""
        poolings = network.checkpoint.pooling
        with torch.no_grad():
            vectors = normalize(
                torch.cat([network.vectors(batch, None, poolings) for batch in self._batches])
            )
            cosines: NDArray[np.float32] = (vectors @ vectors.T).float().cpu().numpy()
        return cosines[np.triu_indices(self.n_texts, 1)]
