"""Hidden states below the trained layers: computed once per sequence, kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encode_texts import BATCHES_PER_WRITE, record_keys
from ..network.devices import tokens_per_batch
from ..network.encoder import Encoder, load_encoder
from ..ragged import chunks, ranges
from ..store.embedding_store import EmbeddingStore, PartNames
from ..store.records import Record, part_name

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ..checkpoint.description import Checkpoint
    from ..checkpoint.text_tokens import TokenSequences
    from ..network.devices import Precision

__all__ = ["LowerStates"]

_MOST_BYTES = 1 << 30  # kept in memory
_CHUNK_TOKENS = 1 << 15


class LowerStates:
    """The states of token sequences at one layer, read from the store or computed and kept there.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model, which training does not change below ``layer``.
    device : torch.device
        Where the layers run.
    precision : str
        Number format of the layers.
    layer : int
        The layer, in Hugging Face's numbering.
    sequences : TokenSequences
        The sequences; equal ones are computed once.
    store : EmbeddingStore or None
        Where the states are kept, for other folds, candidates and processes.
    batch_tokens : int or None
        Most tokens in a batch; None fits the device.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        precision: Precision,
        layer: int,
        sequences: TokenSequences,
        store: EmbeddingStore | None,
        batch_tokens: int | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._device = device
        self._precision: Precision = precision
        self._layer = layer
        self._sequences = sequences
        self._store = store
        self._batch_tokens = batch_tokens or tokens_per_batch(device, checkpoint.widest)
        offsets, ids, types = sequences.offsets, sequences.ids, sequences.types
        bounds = list(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))
        names = [
            ids[start:end].tobytes() + (b"" if types is None else types[start:end].tobytes())
            for start, end in bounds
        ]
        first_of: dict[bytes, int] = {}
        self._first = np.array(
            [first_of.setdefault(name, index) for index, name in enumerate(names)], dtype=np.int64
        )
        self._names = names
        self._kept: dict[int, NDArray[np.float32]] = {}

    def prepare(self, progress: Callable[[int], Any] | None = None) -> None:
        """Compute what the store does not have, and keep what fits in memory.

        ``progress`` is called with numbers of tokens.
        """
        distinct = np.unique(self._first)
        distinct = distinct[np.argsort(-self._sequences.lengths[distinct], kind="stable")]
        room = _MOST_BYTES
        offsets = np.concatenate([[0], np.cumsum(self._sequences.lengths[distinct])])
        for start, end in chunks(offsets, _CHUNK_TOKENS):
            wanted = distinct[start:end]
            for index, states in zip(wanted.tolist(), self._compute(wanted), strict=True):
                room -= states.nbytes
                if room >= 0:
                    self._kept[index] = states
            if progress is not None:
                progress(int(offsets[end] - offsets[start]))

    def of(self, sequences: NDArray[np.int64]) -> torch.Tensor:
        """Return the states of some sequences, one after another: (n_tokens, hidden)."""
        import torch

        wanted = self._first[sequences]
        missing = np.array([index for index in wanted.tolist() if index not in self._kept])
        found = self._kept
        if len(missing):
            missing = np.unique(missing)
            found = found | dict(zip(missing.tolist(), self._compute(missing), strict=True))
        joined = np.concatenate([found[index] for index in wanted.tolist()])
        return torch.from_numpy(joined).to(self._device)

    def _compute(self, sequences: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """Return the states of distinct sequences, each of shape (n_tokens, hidden)."""
        lengths, hidden = self._sequences.lengths[sequences], self._checkpoint.hidden_size
        encoder = _StateEncoder(
            lambda: load_encoder(self._checkpoint, self._device, self._precision),
            self._sequences,
            sequences,
            self._layer,
            self._batch_tokens,
        )
        if self._store is None:
            return encoder.states(range(len(sequences)))
        name = [part_name(f"{self._layer} tokens")]
        records = self._store.fetch(
            record_keys(
                *(self._checkpoint, self._precision, self._device),
                settings=["sequence", str(self._sequences.types is not None)],
                units=[self._names[index].decode("latin-1") for index in sequences.tolist()],
            ),
            sizes=lengths.tolist(),
            # Every token has its own states: other layers would take as much again.
            parts=PartNames(name, passed=name, same_pooling=name, every=name),
            batch_size=self._batch_tokens * BATCHES_PER_WRITE,
            encoder=encoder,
            widths=(hidden * lengths).tolist(),
        )
        return [record.vectors.reshape(-1, hidden) for record in records]


@dataclass(frozen=True)
class _StateEncoder:
    """Computes the states of ``chosen`` sequences for the store."""

    load: Callable[[], Encoder]
    sequences: TokenSequences
    chosen: NDArray[np.int64]
    layer: int
    batch_tokens: int

    def encode(self, indices: Sequence[int], parts: Sequence[bytes]) -> list[Record]:
        return [Record(len(each), 0, each.reshape(1, -1)) for each in self.states(indices)]

    def states(self, indices: Sequence[int]) -> list[NDArray[np.float32]]:
        """Return states of shape (n_tokens, hidden)."""
        network = self.load()
        chosen = self.chosen[list(indices)]
        lengths = np.zeros(len(self.sequences.lengths), dtype=np.int64)
        lengths[chosen] = self.sequences.lengths[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        result = np.empty((int(starts[-1]), network.checkpoint.hidden_size), dtype=np.float32)

        def take(batch: NDArray[np.int64], n_tokens: NDArray[np.int64], states: Any) -> None:
            result[ranges(starts[batch], n_tokens)] = states[self.layer].float().cpu().numpy()

        network.run(self.sequences, lengths, [self.layer], take, self.batch_tokens)
        network.check_finite(result)
        return [result[starts[index] : starts[index + 1]] for index in chosen.tolist()]
