"""A transformer's hidden states, without padding where the model allows it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UnsupportedModelError
from ...private_api import attention_implementation
from ..checkpoint.weights import load_model, quiet_transformers
from ..ragged import runs_of_equal_length
from .early_exit import LayerReader
from .int8 import quantize_linear_layers
from .packed_attention import ATTENTION, packed, register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.description import Checkpoint
    from .devices import Precision

__all__ = ["Backbone"]

_PROBE_LENGTHS = (7, 4, 4, 2)
_PROBE_TOLERANCE = 5e-5
_LONGEST_PROBED_WINDOW = 512
_MOST_PROBED_POSITIONS = 4096


class Backbone:
    """The transformer of a checkpoint, as a function from token sequences to hidden states.

    Whether sequences can be packed into one row is found by trying: a few short sequences are run
    alone and in one row, and every hidden state must agree. Models that fail, because they never
    call the attention interface or add relative positions of their own, run in padded batches.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: Precision) -> None:
        register()
        self.device = device
        self.is_packed = False
        self.position_offset = 0  # of a packed sequence's first token; not 0 in RoBERTa and its kin
        self._config = checkpoint.config.get_text_config()
        self._pad_id: int | None = getattr(self._config, "pad_token_id", None)
        self._model: Any = load_model(checkpoint).to(device)
        accepted = inspect.signature(self._model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        # GPT-2 and its kin take token types as well, but add the embeddings of words for them.
        self._takes_types = "token_type_ids" in accepted and bool(
            getattr(self._config, "type_vocab_size", 0)
        )
        with torch.inference_mode():
            probe = partial(self._forward_alone, self._tokens(3))
            self._read = LayerReader(self._model, checkpoint.n_layers, probe)
            self._choose_path(checkpoint.n_layers)
            if precision != "float32":
                self._reduce(precision)

    @property
    def stops_early(self) -> bool:
        """Whether layers beyond the deepest requested one stay uncomputed."""
        return self._read.stops_early

    def hidden_states(
        self, ids: NDArray[np.int32], lengths: NDArray[np.int64], layers: Iterable[int]
    ) -> dict[int, Tensor]:
        """Return hidden states of shape (n_tokens, hidden) by layer; 0 is the embeddings' output.

        ``ids``, of shape (n_tokens,), has sequence after sequence, the longest first, and
        ``lengths``, of shape (n_sequences,), their lengths.
        """
        with torch.inference_mode():
            if self.is_packed:
                starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
                positions = self._tensor(np.arange(len(ids)) - starts + self.position_offset)
                forward = partial(self._forward, ids[None], position_ids=positions[None])
                with packed(runs_of_equal_length(lengths)):
                    states = self._read(forward, layers)
                return {layer: state[0] for layer, state in states.items()}
            mask = np.arange(lengths[0]) < lengths[:, None]
            states = self._read(partial(self._forward_padded, ids, mask), layers)
            keep = self._tensor(mask)
            return {layer: state[keep] for layer, state in states.items()}

    def _forward_alone(self, sequence: NDArray[np.int32], **kwargs: Any) -> Any:
        return self._forward_padded(sequence, np.ones((1, len(sequence)), dtype=bool), **kwargs)

    def _forward_padded(
        self, ids: NDArray[np.int32], mask: NDArray[np.bool_], **kwargs: Any
    ) -> Any:
        table = np.full(mask.shape, self._pad_id or 0, dtype=np.int64)
        table[mask] = ids
        return self._forward(table, attention_mask=self._tensor(mask.astype(np.int64)), **kwargs)

    def _forward(self, table: NDArray[Any], **kwargs: Any) -> Any:
        ids = self._tensor(table.astype(np.int64))
        if self._takes_types:
            kwargs["token_type_ids"] = torch.zeros_like(ids)
        return self._model(input_ids=ids, return_dict=True, **kwargs)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _tokens(self, length: int, seed: int = 0) -> NDArray[np.int32]:
        """Return arbitrary tokens, of shape (length,), that are unlikely to be special ones."""
        size = self._config.vocab_size
        return np.random.default_rng(seed).integers(size // 3, size, size=length, dtype=np.int32)

    def _choose_path(self, n_layers: int) -> None:
        """Pack if, at every layer, packed states equal those of each sequence by itself."""
        window = getattr(self._config, "sliding_window", None)
        if not self._takes_positions or (window or 0) > _LONGEST_PROBED_WINDOW:
            return
        # Longer than a sliding window, if there is one.
        lengths = _PROBE_LENGTHS if window is None else (2 * window + 5, *_PROBE_LENGTHS)
        sequences = [self._tokens(length, seed) for seed, length in enumerate(lengths)]
        alone = [
            self._forward_alone(sequence, output_hidden_states=True).hidden_states
            for sequence in sequences
        ]
        if any(len(states) != n_layers + 1 for states in alone):
            return
        expected = [torch.cat([state[0] for state in layer]) for layer in zip(*alone, strict=True)]
        own_attention = attention_implementation(self._model.config)
        self.is_packed = self._set_attention(ATTENTION)
        if not self.is_packed:
            return
        for offset in (0,) if self._pad_id is None else (0, self._pad_id + 1):
            self.position_offset = offset
            if self._packs(sequences, expected):
                return
        self._set_attention(own_attention)
        self.is_packed, self.position_offset = False, 0

    def _set_attention(self, name: str) -> bool:
        """Choose an attention function; False if the architecture takes none but its own."""
        with quiet_transformers():
            try:
                self._model.set_attn_implementation(name)
            except (ValueError, KeyError):
                return False
        return attention_implementation(self._model.config) == name

    def _packs(self, sequences: list[NDArray[np.int32]], expected: list[Tensor]) -> bool:
        lengths = np.array(list(map(len, sequences)))
        ids = np.concatenate(sequences)
        # Rows are longer than the model has positions; the first layer shows whether it minds.
        positions = getattr(self._config, "max_position_embeddings", None) or 0
        repeats = positions // len(ids) + 1 if positions <= _MOST_PROBED_POSITIONS else 1
        repeated = np.tile(np.arange(len(sequences)), repeats)
        repeated = repeated[np.argsort(-lengths[repeated], kind="stable")]
        try:
            together = self.hidden_states(ids, lengths, range(len(expected)))
            long_ids = np.concatenate([sequences[index] for index in repeated])
            long_row = self.hidden_states(long_ids, lengths[repeated], [1])[1]
        except (NotImplementedError, IndexError, RuntimeError, ValueError, TypeError):
            return False  # the model can't take a row of sequences at these positions
        parts = expected[1].split(lengths.tolist())
        return all(map(_agree, expected, together.values())) and _agree(
            torch.cat([parts[index] for index in repeated]), long_row
        )

    def _reduce(self, precision: Precision) -> None:
        """Convert the parameters; not the buffers, since rotary positions need every bit."""
        if precision == "int8":
            quantize_linear_layers(self._model)
        else:
            for parameter in self._model.parameters():
                parameter.data = parameter.data.to(getattr(torch, precision))
        try:
            self._forward_alone(self._tokens(3))
        except Exception as error:
            raise UnsupportedModelError(
                f"{type(self._model).__name__} does not run in {precision}: {error!r}. Use"
                " precision='float32'."
            ) from error


def _agree(expected: Tensor, actual: Tensor) -> bool:
    scale = max(1.0, float(expected.abs().max()))
    return bool((expected - actual).abs().max() <= _PROBE_TOLERANCE * scale)
