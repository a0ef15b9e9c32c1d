"""Floating-point operations of the network, and the best rate of the machine."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer


@dataclass(frozen=True)
class Network:
    """The sizes of a BERT that matter for its cost."""

    hidden: int
    intermediate: int
    layers: int

    @classmethod
    def of(cls, directory: Path) -> Network:
        """Read the sizes from a model's ``config.json``."""
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        return cls(config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"])

    @property
    def linear_shapes(self) -> list[tuple[int, int]]:
        """``(in, out)`` of one layer's linear maps: query, key, value, output, feed-forward."""
        square = (self.hidden, self.hidden)
        return [square] * 4 + [(self.hidden, self.intermediate), (self.intermediate, self.hidden)]

    @property
    def linear_flops_per_token(self) -> int:
        """Operations of one layer's linear maps on one token; a multiply-add counts as two."""
        return sum(2 * rows * columns for rows, columns in self.linear_shapes)

    def flops(self, lengths: np.ndarray) -> float:
        """Operations for texts of these lengths, in tokens, without padding.

        Linear maps and the two products of attention (queries by keys, weights by values) are
        counted: ``2 * 2 * length * hidden`` per token and layer for the latter. Embeddings,
        softmax, GELU, norms, pooling and the tokenizer cost time, but are not counted.
        """
        attention = 4 * self.hidden * float(np.square(lengths.astype(float)).sum())
        return self.layers * (self.linear_flops_per_token * float(lengths.sum()) + attention)


class Gemm:
    """The machine's best rate of matrix products at the shapes of one layer.

    Parameters
    ----------
    network : Network
    n_tokens : int
        Rows of the left matrix: the tokens in a batch of our engine.
    device, precision : str
        Where, and in which format; int8 contenders are compared with float32 as well.
    """

    def __init__(self, network: Network, n_tokens: int, device: str, precision: str) -> None:
        import torch

        self._flops = network.linear_flops_per_token * n_tokens
        self._wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        options = {"device": device, "dtype": getattr(torch, precision)}
        self._products = [
            (
                torch.randn(n_tokens, rows, **options),
                torch.randn(columns, rows, **options),
                torch.randn(columns, **options),
            )
            for rows, columns in network.linear_shapes
        ]

    def rate(self, seconds: float = 0.5) -> float:
        """Return FLOP/s of ``torch.nn.functional.linear``, over a number of seconds."""
        import torch

        repeats = 0
        with torch.inference_mode():
            self._once()
            self._wait()
            start = time.perf_counter()
            while (elapsed := time.perf_counter() - start) < seconds:
                for _ in range(10):
                    self._once()
                self._wait()
                repeats += 10
        return repeats * self._flops / elapsed

    def _once(self) -> None:
        from torch.nn.functional import linear

        for states, weight, bias in self._products:
            linear(states, weight, bias)


def load_tokenizer(directory: Path) -> Tokenizer:
    """Return the model's tokenizer: truncates as sentence-transformers does, never pads."""
    settings = json.loads((directory / "sentence_bert_config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings["max_seq_length"])
    return tokenizer


def token_counts(directory: Path, texts: list[str]) -> np.ndarray:
    """Return the number of tokens that the network sees of each text, special tokens included."""
    return np.array(
        [len(encoding.ids) for encoding in load_tokenizer(directory).encode_batch(texts)]
    )
