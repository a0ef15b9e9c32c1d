"""From token sequences to vectors: batches, the network, poolings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import OutOfMemoryError, UnsupportedModelError
from ..checkpoint.weights import load_elmo
from ..elmo.network import ElmoNetwork
from ..pooling.tokens import pool
from ..ragged import ranges, runs_of_equal_length
from ..torch_threads import lock_held_by_forks, use_one_thread_in_forks
from .backbone import Backbone
from .batching import Batches
from .devices import Precision, fits_in_memory, keep_freed_memory, tokens_per_batch
from .parallel import changes_itself, n_runners, run_side_by_side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.description import Checkpoint
    from ..checkpoint.output_spec import Part
    from ..checkpoint.text_tokens import TokenizedTexts, TokenSequences
    from ..pooling.layers import LayerMerge

__all__ = ["Encoder", "load_encoder"]


class Encoder:
    """A transformer that turns tokenized texts into vectors."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: Precision) -> None:
        use_one_thread_in_forks()
        self.checkpoint = checkpoint
        self.device = device
        self.precision = precision
        self.backbone: Backbone | ElmoNetwork = (
            Backbone(checkpoint, device, precision)
            if checkpoint.elmo is None
            else load_elmo(checkpoint, checkpoint.elmo).to(device)
        )
        if device.type == "cpu":
            keep_freed_memory()

    def encode(
        self,
        tokenized: TokenizedTexts,
        parts: Sequence[Part],
        batch_tokens: int | None = None,
        progress: Callable[[int], Any] | None = None,
    ) -> NDArray[np.float32]:
        """Return vectors of texts, of shape (n_texts, n_parts, hidden); zeros without tokens.

        ``batch_tokens`` bounds a batch; None fits the device, and it is halved whenever memory runs
        out. ``progress`` is called with the number of tokens in each batch. `OutOfMemoryError` is
        raised if a single sequence does not fit.
        """
        shape = (len(tokenized.lengths), len(parts), self.checkpoint.hidden_size)
        pooled = np.zeros(shape, dtype=np.float32)

        def take(
            batch: NDArray[np.int64], lengths: NDArray[np.int64], states: dict[int, Tensor]
        ) -> None:
            pooled[batch] = _pool_batch(states, lengths, parts, tokenized.n_prompt_tokens)

        layers = {layer for part in parts for layer in part.layers}
        self.run(
            tokenized, tokenized.lengths, layers, take, batch_tokens=batch_tokens, progress=progress
        )
        self.check_finite(pooled)
        return _join_windows(pooled, tokenized)

    @contextmanager
    def _pass(self) -> Iterator[None]:
        """Compute in ``precision``, whatever autocast the caller has set."""
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            yield

    @cached_property
    def _changes_itself(self) -> bool:
        def example(length: int) -> None:
            ids, lengths = self.backbone.tokens(length), np.array([length])
            self.backbone.hidden_states(ids, lengths, [self.checkpoint.n_layers])

        with self._pass():
            return changes_itself(self.backbone.model, self.checkpoint.text_config, example)

    def check_finite(self, vectors: NDArray[np.float32]) -> None:
        """Raise if a number is infinite or NaN, before it is stored."""
        if np.isfinite(vectors).all():
            return
        remedy = (
            "Its weights may be damaged: download the model again, or choose another one."
            if self.precision == "float32"
            else "Use precision='float32'."
        )
        raise UnsupportedModelError(
            f"The model in '{self.checkpoint.directory}' gives a vector that is not finite in"
            f" {self.precision}. {remedy}"
        )

    def run(
        self,
        sequences: TokenSequences,
        lengths: NDArray[np.int64],
        layers: Iterable[int],
        take: Callable[[NDArray[np.int64], NDArray[np.int64], dict[int, Tensor]], None],
        batch_tokens: int | None = None,
        progress: Callable[[int], Any] | None = None,
    ) -> None:
        """Run the network over sequences, batch by batch, or several batches at a time.

        ``lengths`` is of shape (n_sequences,); 0 leaves a sequence out. ``take`` gets the indices
        of the sequences in a batch, their lengths, and the hidden states of each layer, of shape
        (n_tokens, hidden), sequence after sequence; other threads may call it. The rest is as for
        `encode`.
        """
        wanted = set(layers)
        budget = batch_tokens or tokens_per_batch(self.device, self.checkpoint.widest)
        left = lengths.copy()  # 0 where done

        def run_batch(batch: NDArray[np.int64]) -> None:
            starts, n_tokens = sequences.offsets[batch], lengths[batch]
            tokens = ranges(starts, n_tokens)
            types = None if sequences.types is None else sequences.types[tokens]
            with self._pass():
                states = self.backbone.hidden_states(sequences.ids[tokens], n_tokens, wanted, types)
                take(batch, n_tokens, states)

        def fits(batch: NDArray[np.int64]) -> bool:
            return fits_in_memory(partial(run_batch, batch), self.device)

        def done(batch: NDArray[np.int64]) -> None:
            left[batch] = 0
            if progress is not None:
                progress(int(lengths[batch].sum()))

        runners = n_runners(self.device)
        if runners > 1 and left.sum() > budget and not self._changes_itself:
            run_side_by_side(fits, iter(Batches(lengths, budget, runners)), runners, done)
        batches = Batches(left, budget)  # all, or what did not fit beside others
        for batch in batches:
            if fits(batch):
                done(batch)
            elif not batches.halve(batch):
                raise OutOfMemoryError(
                    f"One sequence of {lengths[batch[0]]} tokens does not fit into the memory of"
                    f" device '{self.device}'. Lower 'max_length', choose fewer layers, or use"
                    " another device."
                )


def _pool_batch(
    states: dict[int, Tensor], lengths: NDArray[np.int64], parts: Sequence[Part], skip: int
) -> NDArray[np.float32]:
    """Pool layers of shape (n_tokens, hidden): the result is (n_sequences, n_parts, hidden)."""
    merged = {
        part[:2]: _merge([states[layer] for layer in part.layers], part.merge) for part in parts
    }
    runs = []
    first = 0
    for count, length in runs_of_equal_length(lengths):
        last = first + count * length
        of_run = {
            key: layer[first:last].unflatten(0, (count, length)) for key, layer in merged.items()
        }
        runs.append(
            torch.stack([pool(of_run[part[:2]], part.pooling, skip) for part in parts], dim=1)
        )
        first = last
    pooled: NDArray[np.float32] = torch.cat(runs).cpu().numpy()
    return pooled


def _merge(layers: list[Tensor], merge: LayerMerge) -> Tensor:
    """Merge layers of shape (n_tokens, hidden) token by token."""
    if len(layers) == 1:
        return layers[0]
    total = layers[0].float()
    for layer in layers[1:]:
        total = total + layer.float()
    return total if merge == "sum" else total / len(layers)


def _join_windows(pooled: NDArray[np.float32], tokenized: TokenizedTexts) -> NDArray[np.float32]:
    """Average the windows of each text by length; the shape is (n_texts, n_parts, hidden)."""
    first = tokenized.first_window
    if len(first) - 1 == len(pooled):
        return pooled
    joined = np.empty((len(first) - 1, *pooled.shape[1:]), dtype=np.float32)
    for row, (start, end) in enumerate(pairwise(first)):
        if end - start == 1:
            joined[row] = pooled[start]
        else:
            weights = tokenized.lengths[start:end]
            joined[row] = np.average(pooled[start:end], axis=0, weights=weights)
    return joined


_loading = lock_held_by_forks()


def load_encoder(checkpoint: Checkpoint, device: torch.device, precision: Precision) -> Encoder:
    """Return an encoder; the last two stay in memory, so that clones of an estimator share one."""
    with _loading:
        return _cached_encoder(checkpoint, device, precision)


@lru_cache(maxsize=2)
def _cached_encoder(checkpoint: Checkpoint, device: torch.device, precision: Precision) -> Encoder:
    return Encoder(checkpoint, device, precision)
