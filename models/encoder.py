"""The engine: token sequences in, one vector per text out."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .backbone import Backbone, quiet_transformers
from .batching import Batches, runs_of_equal_length
from .errors import ModelIntegrityError, OutOfMemoryError
from .hardware import is_out_of_memory, keep_freed_memory, tokens_per_batch
from .pooling import pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .checkpoint import Checkpoint, LaterModule
    from .readout import Readout
    from .tokenization import TokenizedTexts

__all__ = ["Encoder", "load_encoder", "load_tokenizer"]


class Encoder:
    """A transformer that turns tokenized texts into vectors.

    Parameters
    ----------
    checkpoint : Checkpoint
    device : torch.device
    precision : {"float32", "bfloat16", "float16", "int8"}
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.backbone = Backbone(checkpoint, device, precision)
        self._later = lru_cache(maxsize=None)(_load_later)
        if device.type == "cpu":
            keep_freed_memory()

    def encode(
        self,
        tokenized: TokenizedTexts,
        readout: Readout,
        batch_tokens: int | None = None,
        progress: Callable[[int], Any] | None = None,
    ) -> NDArray[np.float32]:
        """Encode texts.

        Parameters
        ----------
        tokenized : TokenizedTexts
        readout : Readout
        batch_tokens : int or None
            Most tokens in a batch; None fits the device. It is halved whenever memory runs out.
        progress : callable or None
            Called with the number of tokens done after each batch.

        Returns
        -------
        ndarray
            *Shape:* ``(n_texts, readout.n_features)``, float32. A text without a single token gets zeros.

        Raises
        ------
        OutOfMemoryError
            If a single sequence does not fit.
        """
        lengths = tokenized.lengths
        budget = batch_tokens or tokens_per_batch(self.device, self._widest())
        pooled = np.zeros((len(lengths), *self._pooled_shape(readout)), dtype=np.float32)
        batches = Batches(lengths, budget)
        for batch in batches:
            try:
                pooled[batch] = self._pooled(tokenized, batch, readout)
                fits = True
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                fits = False  # what failed holds on to its memory until this block is left
            if not fits:
                if not batches.halve(batch):
                    raise OutOfMemoryError(
                        f"One sequence of {lengths[batch[0]]} tokens does not fit into the memory of device '{self.device}'. "
                        "Lower 'max_length', ask for fewer layers, or use another device."
                    )
                self._free_memory()
                continue
            if progress is not None:
                progress(int(lengths[batch].sum()))
        return self._finish(_join_windows(pooled.reshape(len(lengths), math.prod(pooled.shape[1:])), tokenized), readout)

    def _widest(self) -> int:
        config = self.checkpoint.config.get_text_config()
        return int(getattr(config, "intermediate_size", None) or 4 * self.checkpoint.hidden_size)

    def _pooled_shape(self, readout: Readout) -> tuple[int, int, int]:
        merged = len(readout.layers) if readout.layer_merge == "concat" else 1
        return len(readout.poolings), merged, self.checkpoint.hidden_size

    def _pooled(self, tokenized: TokenizedTexts, batch: NDArray[np.int64], readout: Readout) -> NDArray[np.float32]:
        """Pool one batch of sequences. *Shape:* ``(n_batch, n_poolings, n_merged_layers, hidden)``."""
        starts, ends = tokenized.offsets[batch], tokenized.offsets[batch + 1]
        ids = np.concatenate([tokenized.ids[start:end] for start, end in zip(starts, ends, strict=True)])
        states = self.backbone.hidden_states(ids, ends - starts, readout.layers)
        with torch.inference_mode():
            merged = _merge([states[layer] for layer in readout.layers], readout.layer_merge)
            parts = []
            first = 0
            for count, length in runs_of_equal_length(ends - starts):
                last = first + count * length
                run = [layer[first:last].unflatten(0, (count, length)) for layer in merged]
                parts.append(
                    torch.stack(
                        [
                            torch.stack([pool(layer, pooling, tokenized.n_prompt_tokens) for layer in run], dim=1)
                            for pooling in readout.poolings
                        ],
                        dim=1,
                    )
                )
                first = last
            return torch.cat(parts).cpu().numpy()

    def _finish(self, vectors: NDArray[np.float32], readout: Readout) -> NDArray[np.float32]:
        """Apply the checkpoint's later modules, and scale to unit length where asked."""
        if not (readout.later_modules or readout.normalize):
            return vectors
        with torch.inference_mode():
            result = torch.from_numpy(vectors)
            for module in readout.later_modules:
                result = self._later(module)({"sentence_embedding": result})["sentence_embedding"]
            if readout.normalize:
                result = torch.nn.functional.normalize(result, dim=-1)
            return np.ascontiguousarray(result.numpy(), dtype=np.float32)

    def _free_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _merge(layers: list[Tensor], layer_merge: str) -> list[Tensor]:
    """Merge layers token by token; *shape of each:* ``(n_tokens, hidden)``."""
    if layer_merge == "concat" or len(layers) == 1:
        return layers
    total = layers[0].float()
    for layer in layers[1:]:
        total = total + layer.float()
    return [total if layer_merge == "sum" else total / len(layers)]


def _join_windows(pooled: NDArray[np.float32], tokenized: TokenizedTexts) -> NDArray[np.float32]:
    """Average the windows of each text, weighted by their lengths. *Shape:* ``(n_texts, width)``."""
    first = tokenized.first_window
    if len(first) - 1 == len(pooled):
        return pooled
    joined = np.empty((len(first) - 1, pooled.shape[1]), dtype=np.float32)
    for row, (start, end) in enumerate(pairwise(first)):
        single = end - start == 1
        joined[row] = pooled[start] if single else np.average(pooled[start:end], axis=0, weights=tokenized.lengths[start:end])
    return joined


def _load_later(module: LaterModule) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """Load a module of a sentence-transformers checkpoint by sentence-transformers' own code."""
    if module.name == "Normalize":  # the most frequent one, and not worth the import
        return lambda features: {"sentence_embedding": torch.nn.functional.normalize(features["sentence_embedding"], dim=-1)}
    from sentence_transformers.util import import_from_string

    kind: Any = import_from_string(f"sentence_transformers.models.{module.name}")
    try:
        with quiet_transformers():  # it draws random weights before it reads the file
            loaded: Callable[[dict[str, Tensor]], dict[str, Tensor]] = kind.load(str(module.path)).eval()
    except Exception as error:  # damaged files raise many kinds
        raise ModelIntegrityError(f"The module {module.name} in '{module.path}' cannot be loaded: {error}") from error
    return loaded


@lru_cache(maxsize=4)
def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """Return the checkpoint's tokenizer; the last few stay in memory."""
    directory = checkpoint.directory
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=checkpoint.trust_remote_code, local_files_only=True)
    except Exception as error:  # damaged files raise many kinds, a bare Exception among them
        raise ModelIntegrityError(f"The tokenizer in '{directory}' cannot be read: {error!r}. Download the model again.") from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers makes one up where the files are missing
        raise ModelIntegrityError(f"The tokenizer in '{directory}' knows no words, as its files are missing. Download the model again.")
    return tokenizer


_loading = threading.Lock()


def load_encoder(checkpoint: Checkpoint, device: torch.device, precision: str) -> Encoder:
    """Return an encoder; the last two stay in memory, so that clones of an estimator share one."""
    with _loading:
        return _cached_encoder(checkpoint, device, precision)


@lru_cache(maxsize=2)
def _cached_encoder(checkpoint: Checkpoint, device: torch.device, precision: str) -> Encoder:
    return Encoder(checkpoint, device, precision)
