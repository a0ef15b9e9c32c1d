"""A transformer's hidden states, without padding where the model allows it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UnsupportedModelError
from ...foreign import reason_of
from ...private_api import attention_implementation
from ..checkpoint.weights import load_model, quiet_transformers
from ..ragged import runs_of_equal_length
from .devices import is_out_of_memory
from .early_exit import LayerReader, agree
from .fused_layers import FusedLayers, read_layers
from .int8 import Int8Linear, quantize_linear_layers
from .packed_attention import ATTENTION, packed, register
from .skipped_layers import SkippedLayers, find_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.description import Checkpoint
    from .devices import Precision
    from .fused_layers import Parts
    from .packed_attention import AttentionSettings

__all__ = ["Backbone"]

_PROBE_LENGTHS = (40, 7, 4, 4, 2)
_SPECIAL_TOKENS = ("bos", "cls", "eos", "mask", "pad", "sep", "unk")
_LONGEST_PROBE = 2 * 512 + 5
_NOISE = 1e-2  # more than devices that add in another order each time differ by
_MOST_PROBED_POSITIONS = 4096
_CHARACTERS = 128  # tried in models that read characters, and so have no vocabulary


class Backbone:
    """The transformer of a checkpoint, as a function from token sequences to hidden states.

    How sequences may share a pass is found by trying: a few short ones are run alone and together,
    and every hidden state must agree. One row without padding is tried first. Models that never
    call the attention interface, or add relative positions of their own, get padded batches. Where
    padding changes the tokens beside it, as in ConvBERT and FNet, batches are of equal length;
    where sequences of a batch change each other, each runs by itself.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        precision: Precision,
        model: nn.Module | None = None,  # loaded before; None loads it
        fuses: bool = True,  # whether layers may be replaced by fused ones, without gradients
    ) -> None:
        register()
        self.device = device
        self.is_packed = False
        self.batching: Literal["padded", "equal_length", "single"] = "padded"  # where not packed
        self._skipped: SkippedLayers | None = None
        self._fused: FusedLayers | None = None
        # Of a packed sequence's first token. Where it is not 0, as in RoBERTa and its kin, padding
        # has the position before it, even amid a text, and is not counted.
        self.position_offset = 0
        self._config = checkpoint.text_config
        self._pad_id: int | None = getattr(self._config, "pad_token_id", None)
        self._longest = _longest_of_full_attention(self._config)
        self.model: Any = (load_model(checkpoint) if model is None else model).to(device)
        accepted = inspect.signature(self.model.forward).parameters
        self._takes_mask = "attention_mask" in accepted
        self._takes_positions = "position_ids" in accepted
        # GPT-2 and its kin take token types as well, but add the embeddings of words for them.
        self._takes_types = "token_type_ids" in accepted and bool(
            getattr(self._config, "type_vocab_size", 0)
        )
        # Not in inference mode, since what a model keeps of it could not be trained on. Under
        # autocast, rounding would hide whether sequences change each other.
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            self._try_model(checkpoint)
            parts = self._fuse(checkpoint) if fuses else None
            if precision != "float32":
                self._reduce(precision, checkpoint, parts)

    @property
    def stops_early(self) -> bool:
        """Whether layers beyond the deepest requested one stay uncomputed."""
        return self._read.stops_early

    def hidden_states(
        self,
        ids: NDArray[np.int32],
        lengths: NDArray[np.int64],
        layers: Iterable[int],
        types: NDArray[np.int32] | None = None,
        entering: Tensor | None = None,
    ) -> dict[int, Tensor]:
        """Return hidden states of shape (n_tokens, hidden) by layer; 0 is the embeddings' output.

        ``ids``, of shape (n_tokens,), has sequence after sequence, the longest first, and
        ``lengths``, of shape (n_sequences,), their lengths. ``types`` are the types of the tokens;
        None means 0. ``entering``, of shape (n_tokens, hidden), are the states that enter the
        lowest layer that is left after `skip_layers`. Gradients flow to what requires them.
        """
        if self._longest is not None and lengths[0] > self._longest:
            raise UnsupportedModelError(
                f"A text has {lengths[0]} tokens. {type(self.model).__name__} reads more than"
                f" {self._longest} by sparse attention, and then by full attention after the first"
                f" shorter text. Set max_length={self._longest}, or in config.json of a copy of the"
                " model 'attention_type': 'original_full'."
            )
        if self.is_packed:
            positions = self._tensor(self._positions(ids, lengths)[None])
            forward = partial(
                self._forward,
                ids[None],
                types if types is None else types[None],
                position_ids=positions,
            )
            runs = runs_of_equal_length(lengths)
            with packed(runs), self._entering(None if entering is None else entering[None]):
                states = self._read(forward, layers if self._fused is None else [0])
            if self._fused is not None:
                return self._fused(states[0][0], runs, layers)
            return {layer: state[0] for layer, state in states.items()}
        if self.batching == "padded":
            return self._padded_states(ids, lengths, layers, types, entering)
        single = self.batching == "single"
        runs = [(1, n) for n in lengths.tolist()] if single else runs_of_equal_length(lengths)
        wanted = sorted(set(layers))
        parts = []
        start = 0
        for count, length in runs:
            run = slice(start, start + count * length)
            parts.append(
                self._padded_states(
                    ids[run],
                    np.full(count, length),
                    wanted,
                    types if types is None else types[run],
                    entering if entering is None else entering[run],
                )
            )
            start = run.stop
        return {layer: torch.cat([part[layer] for part in parts]) for layer in wanted}

    @cached_property
    def layers(self) -> nn.ModuleList | None:
        """The layers, from the first to the last, None where they are not one list of modules."""
        entrances = self._read.entrances
        if len(entrances) != self._read.n_layers:
            return None  # some run several times, as in ALBERT
        return find_layers(self.model, entrances)

    def skip_layers(self, count: int) -> bool:
        """Leave the ``count`` lowest layers out of later passes, which then get ``entering``.

        False, and nothing changes, if the model cannot: a few sequences are run both ways.
        """
        if self.layers is None or self._fused is not None:
            return False
        sequences = [self.tokens(length, seed) for seed, length in enumerate((7, 4, 4, 2))]
        ids, lengths = np.concatenate(sequences), np.array(list(map(len, sequences)))
        last = len(self.layers)
        with torch.no_grad():
            expected = self.hidden_states(ids, lengths, [count, last])
            for returns_pair in (False, True):
                skipped = SkippedLayers(self.layers, count, returns_pair)
                self._skipped = skipped
                try:
                    states = self.hidden_states(ids, lengths, [last], entering=expected[count])
                    if agree(expected[last], states[last]):
                        return True
                except Exception as error:
                    if is_out_of_memory(error):
                        raise
                self._skipped = None
                skipped.restore()
            return False

    def _entering(self, states: Tensor | None) -> AbstractContextManager[None]:
        return nullcontext() if self._skipped is None else self._skipped.entering(states)

    def _positions(self, ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the position of each token of a packed row, of shape (n_tokens,)."""
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        positions: NDArray[np.int64] = np.arange(len(ids)) - starts
        if self.position_offset:
            is_counted = (ids != self._pad_id).astype(np.int64)
            counts = np.cumsum(is_counted)
            counts -= (counts - is_counted)[starts]  # those of the sequences before
            positions = counts * is_counted + self.position_offset - 1
        return positions

    def _padded_states(
        self,
        ids: NDArray[np.int32],
        lengths: NDArray[np.int64],
        layers: Iterable[int],
        types: NDArray[np.int32] | None = None,
        entering: Tensor | None = None,
    ) -> dict[int, Tensor]:
        mask = np.arange(lengths[0]) < lengths[:, None]
        keep = self._tensor(mask)
        if entering is not None:
            table = entering.new_zeros((*mask.shape, entering.shape[-1]))
            table[keep] = entering
            entering = table
        with self._entering(entering):
            states = self._read(partial(self._forward_padded, ids, mask, types), layers)
        return {layer: state[keep] for layer, state in states.items()}

    def _forward_alone(self, sequence: NDArray[np.int32], **kwargs: Any) -> Any:
        return self._forward_padded(sequence, np.ones((1, len(sequence)), dtype=bool), **kwargs)

    def _forward_padded(
        self,
        ids: NDArray[np.int32],
        mask: NDArray[np.bool_],
        types: NDArray[np.int32] | None = None,
        **kwargs: Any,
    ) -> Any:
        table = np.full(mask.shape, self._pad_id or 0, dtype=np.int64)
        table[mask] = ids
        padded_types = None
        if types is not None:
            padded_types = np.zeros_like(table)
            padded_types[mask] = types
        if self._takes_mask:
            kwargs["attention_mask"] = self._tensor(mask.astype(np.int64))
        return self._forward(table, padded_types, **kwargs)

    def _forward(
        self, table: NDArray[Any], types: NDArray[Any] | None = None, **kwargs: Any
    ) -> Any:
        ids = self._tensor(table.astype(np.int64))
        if self._takes_types:
            kwargs["token_type_ids"] = (
                torch.zeros_like(ids) if types is None else self._tensor(types.astype(np.int64))
            )
        return self.model(input_ids=ids, return_dict=True, **kwargs)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def tokens(self, length: int, seed: int = 0) -> NDArray[np.int32]:
        """Return arbitrary tokens, of shape (length,), that are unlikely to be special ones."""
        size = getattr(self._config, "vocab_size", None) or _CHARACTERS
        return np.random.default_rng(seed).integers(size // 3, size, size=length, dtype=np.int32)

    def _special_tokens(self) -> list[int]:
        """Return the special tokens; a text has them where it contains their names."""
        size = getattr(self._config, "vocab_size", None) or 0
        named = {getattr(self._config, f"{name}_token_id", None) for name in _SPECIAL_TOKENS}
        return sorted(token for token in named if isinstance(token, int) and 0 <= token < size)

    def _try_model(self, checkpoint: Checkpoint) -> None:
        """Find out, on a few tokens, how to read the layers and to batch sequences."""
        try:
            probe = partial(self._forward_alone, self.tokens(3))
            self._read = LayerReader(self.model, checkpoint.n_layers, probe)
            self._choose_batching(checkpoint)
        except UnsupportedModelError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UnsupportedModelError(
                f"{type(self.model).__name__} of '{checkpoint.directory}' does not run on the"
                f" tokens of a text: {reason_of(error)}. Choose a model of another family, such as"
                " BERT or RoBERTa."
            ) from error

    def _probes(self, checkpoint: Checkpoint, *longer: int) -> list[NDArray[np.int32]]:
        """Return sequences to try the model with, the longest first, with special tokens amid it.

        Some models count positions without padding, or scale all tokens by how many are masked.
        """
        limits = [limit for limit in (checkpoint.n_positions, self._longest) if limit]
        sequences = [
            self.tokens(min(length, *limits) if limits else length, seed)
            for seed, length in enumerate((*longer, *_PROBE_LENGTHS))
        ]
        special = self._special_tokens()
        sequences[0][3 : 3 + len(special)] = special[: max(0, len(sequences[0]) - 3)]
        return sequences

    def _choose_batching(self, checkpoint: Checkpoint) -> None:
        """Take the first way in which, at every layer, sequences are as each by itself."""
        window = getattr(self._config, "sliding_window", None)
        beyond_window = 0 if window is None else 2 * window + 5
        beyond_limit = _limit_of_short_positions(self._config) + 1
        longest = max(beyond_window, beyond_limit)
        is_tried = _PROBE_LENGTHS[0] < longest <= _LONGEST_PROBE
        sequences = self._probes(checkpoint, *([longest] if is_tried else []))
        n_tokens = sum(map(len, sequences))
        alone = [
            self._read.all_states(partial(self._forward_alone, sequence)) for sequence in sequences
        ]
        expected = [torch.cat([state[0] for state in layer]) for layer in zip(*alone, strict=True)]
        for layer, state in enumerate(expected):
            if state.shape != (n_tokens, checkpoint.hidden_size):
                raise UnsupportedModelError(
                    f"Layer {layer} of {type(self.model).__name__} gives states of shape"
                    f" {tuple(state.shape)} for {n_tokens} tokens, where its configuration says"
                    f" {checkpoint.hidden_size} features for each. Choose a model of another"
                    " family, such as BERT or RoBERTa."
                )
        if longest <= _LONGEST_PROBE and self._takes_positions and self._pack(sequences, expected):
            return
        if beyond_limit <= _LONGEST_PROBE and self._agrees(sequences, expected):
            return
        self.batching = "equal_length"
        if self._agrees(sequences, expected):
            return
        self.batching = "single"
        if not self._agrees(sequences, expected, _NOISE):
            raise UnsupportedModelError(
                f"{type(self.model).__name__} gives the same text other vectors each time it runs."
                " Choose a model of another family, such as BERT or RoBERTa."
            )

    def _pack(self, sequences: list[NDArray[np.int32]], expected: list[Tensor]) -> bool:
        """Pack from now on if packed states are those of each sequence by itself."""
        own_attention = attention_implementation(self.model.config)
        self.is_packed = self._set_attention(ATTENTION)
        if not self.is_packed:
            return False
        for offset in (0,) if self._pad_id is None else (0, self._pad_id + 1):
            self.position_offset = offset
            if self._agrees(sequences, expected):
                return True
        self._set_attention(own_attention)
        self.is_packed, self.position_offset = False, 0
        return False

    def _set_attention(self, name: str) -> bool:
        """Choose an attention function; False if the architecture takes none but its own."""
        with quiet_transformers():
            try:
                self.model.set_attn_implementation(name)
            except (ValueError, KeyError):
                return False
        return attention_implementation(self.model.config) == name

    def _agrees(
        self, sequences: list[NDArray[np.int32]], expected: list[Tensor], *tolerance: float
    ) -> bool:
        """Whether the states of sequences run together are those of each by itself."""
        lengths = np.array(list(map(len, sequences)))
        try:
            together = self.hidden_states(np.concatenate(sequences), lengths, range(len(expected)))
            return all(
                agree(state, together[layer], *tolerance) for layer, state in enumerate(expected)
            ) and (not self.is_packed or self._packs_long_rows(sequences, expected[1]))
        except (NotImplementedError, IndexError, RuntimeError, ValueError, TypeError):
            return False  # the model cannot take the sequences so

    def _packs_long_rows(self, sequences: list[NDArray[np.int32]], expected: Tensor) -> bool:
        """Whether a row may be longer than the model has positions; the first layer shows it."""
        lengths = np.array(list(map(len, sequences)))
        positions = getattr(self._config, "max_position_embeddings", None) or 0
        n_tokens = int(lengths.sum())
        repeats = positions // n_tokens + 1 if positions <= _MOST_PROBED_POSITIONS else 1
        repeated = np.tile(np.arange(len(sequences)), repeats)
        repeated = repeated[np.argsort(-lengths[repeated], kind="stable")]
        ids = np.concatenate([sequences[index] for index in repeated])
        row = self.hidden_states(ids, lengths[repeated], [1])[1]
        parts = expected.split(lengths.tolist())
        return agree(torch.cat([parts[index] for index in repeated]), row)

    def _fuse(self, checkpoint: Checkpoint) -> Parts | None:
        """Fuse the layers if that gives the same states; return their parts."""
        if not (self.is_packed and self.stops_early and self.layers):
            return None
        sequences = self._probes(checkpoint)
        ids, lengths = np.concatenate(sequences), np.array(list(map(len, sequences)))
        every = range(checkpoint.n_layers + 1)

        def run(settings: list[AttentionSettings]) -> None:
            with packed(runs_of_equal_length(lengths), settings):
                positions = self._tensor(self._positions(ids, lengths)[None])
                self._forward(ids[None], position_ids=positions)

        expected = self.hidden_states(ids, lengths, every)
        modules = [dict(layer._modules) for layer in self.layers]
        try:
            parts = read_layers(list(self.layers), self.model, run)
            if parts is not None:
                self._fused = FusedLayers(*parts)
                for layer in self.layers:
                    layer._modules.clear()  # only the states that enter the first one are read now
                if self._agrees(sequences, [expected[layer] for layer in every]):
                    return parts
        except Exception as error:
            if is_out_of_memory(error):
                raise
        self._fused = None
        for layer, own in zip(self.layers, modules, strict=True):
            layer._modules.update(own)
        return None

    def _reduce(self, precision: Precision, checkpoint: Checkpoint, parts: Parts | None) -> None:
        """Convert the parameters; not the buffers, since rotary positions need every bit."""
        self._fused = None  # else its weights would be held as well
        if precision == "int8":
            if parts is None:
                examples = self._probes(checkpoint)
                quantize_linear_layers(
                    self.model, lambda: [self._forward_alone(example) for example in examples]
                )
            else:
                self._fused = FusedLayers(*parts, make_linear=lambda part: Int8Linear(*part))
        else:
            dtype = getattr(torch, precision)
            if parts is not None:
                self._fused = FusedLayers(*parts, dtype)
            else:
                for parameter in self.model.parameters():
                    parameter.data = parameter.data.to(dtype)
        try:
            self.hidden_states(self.tokens(3), np.array([3]), [self._read.n_layers])
        except Exception as error:
            raise UnsupportedModelError(
                f"{type(self.model).__name__} does not run in {precision}: {reason_of(error)}. Use"
                " precision='float32'."
            ) from error


def _longest_of_full_attention(config: Any) -> int | None:
    """Length up to which BigBird attends to all tokens; None in models that always do.

    A shorter text makes it attend to all tokens from then on, so a vector would depend on others.
    """
    if getattr(config, "attention_type", None) != "block_sparse":
        return None
    return int((5 + 2 * config.num_random_blocks) * config.block_size)


def _limit_of_short_positions(config: Any) -> int:
    """Length beyond which LongRoPE turns all positions of a batch by other angles; 0 without."""
    rope = getattr(config, "rope_parameters", None) or {}
    return max(
        (
            settings["original_max_position_embeddings"]
            for settings in (rope, *rope.values())
            if isinstance(settings, dict) and settings.get("rope_type") == "longrope"
        ),
        default=0,
    )
