"""Word vectors distilled from a transformer by model2vec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ModelNotFoundError, UnsupportedModelError
from ...foreign import foreign_errors_as
from ...private_api import quiet_distiller
from ..checkpoint.text_tokens import replace_lone_surrogates
from ..pooling.words import pool_words
from ..torch_threads import use_one_thread_in_forks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.description import Checkpoint

__all__ = ["TokenSubwords", "distilled_blocks", "distiller"]

# Prefixes of tokens that begin a word, in byte-level and in SentencePiece vocabularies
_MARKERS = ("Ġ", "▁")
_WORDS_AT_ONCE = 1024
_INSIDE = "##"  # prefix of other tokens in WordPiece vocabularies, and here for all


def distiller() -> str:
    """Return the name and version of the library that distils."""
    try:
        metadata.version("skeletoken")
        return f"model2vec {metadata.version('model2vec')}"
    except metadata.PackageNotFoundError as error:
        raise ModelNotFoundError(
            f"Distilled word vectors need {error.name}, which is not installed: pip install"
            " 'bertvectorizer[distill]'."
        ) from None


def distilled_blocks(checkpoint: Checkpoint) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Encode each token of the vocabulary alone, then apply PCA (256 dims) and Zipf's SIF weights.

    Tokens come in the order of the vocabulary; those inside a word begin with ``##``.
    """
    from model2vec.distill import distill_from_model

    from ..checkpoint.text_tokens import load_tokenizer
    from ..checkpoint.weights import load_model

    use_one_thread_in_forks()
    network: Any = load_model(checkpoint)  # safetensors only
    tokenizer = load_tokenizer(checkpoint)
    fault = f"model2vec cannot distil the model in '{checkpoint.directory}'"
    with (
        quiet_distiller(),
        foreign_errors_as(UnsupportedModelError, fault, "Choose another model."),
    ):
        model = distill_from_model(network, tokenizer, device="cpu", quantize_to="float32")
    names = _TokenNames(checkpoint)
    rows: dict[str, int] = {}
    for row, token in enumerate(model.tokens):
        if name := names(token):
            rows.setdefault(name, row)
    yield list(rows), np.ascontiguousarray(model.embedding[list(rows.values())], dtype=np.float32)


class _TokenNames:
    """Names of tokens in one notation for all vocabularies: ``##`` begins those inside a word."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        from ..checkpoint.text_tokens import load_tokenizer

        self._tokenizer = load_tokenizer(checkpoint)
        self._special = set(self._tokenizer.all_special_tokens)
        self._has_markers = any(token.startswith(_MARKERS) for token in self._tokenizer.get_vocab())

    def __call__(self, token: str) -> str:
        """Return the name, "" for special tokens."""
        if token in self._special:
            return ""
        if not self._has_markers:
            return token
        text: str = self._tokenizer.convert_tokens_to_string([token]).strip()
        return text if token.startswith(_MARKERS) or not text else _INSIDE + text

    def all(self) -> list[str]:
        """Return the names of all tokens, by number."""
        return [
            self(token)
            for token in self._tokenizer.convert_ids_to_tokens(range(len(self._tokenizer)))
        ]

    def numbers(self, words: Sequence[str]) -> Iterator[list[int]]:
        """Yield the numbers of the tokens of each word."""
        space = " " if self._has_markers else ""
        for start in range(0, len(words), _WORDS_AT_ONCE):
            texts = [
                replace_lone_surrogates(space + word)
                for word in words[start : start + _WORDS_AT_ONCE]
            ]
            yield from self._tokenizer(
                texts,
                add_special_tokens=False,
                return_attention_mask=False,
                return_token_type_ids=False,
            )["input_ids"]


class TokenSubwords:
    """Vectors for words that are not tokens: the mean of their tokens, named as in ``words``."""

    def __init__(
        self, checkpoint: Checkpoint, words: list[str], vectors: NDArray[np.float32]
    ) -> None:
        self._checkpoint, self._words, self._vectors = checkpoint, words, vectors

    @cached_property
    def _names(self) -> _TokenNames:
        return _TokenNames(self._checkpoint)

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        """The row of each token, of shape (n_tokens,); -1 for those without."""
        rows = {word: row for row, word in enumerate(self._words)}
        return np.array([rows.get(name, -1) for name in self._names.all()], dtype=np.int64)

    def vectors(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return vectors of shape (n_words, n_dims), and which of the words have one."""
        numbers: list[int] = []
        ends = [0]
        for of_word in self._names.numbers(words):
            numbers += of_word
            ends.append(len(numbers))
        rows = self._rows[np.array(numbers, dtype=np.int64)]
        before = np.concatenate([[0], np.cumsum(rows >= 0)])[ends]
        return pool_words(self._vectors, rows[rows >= 0], before[:-1], "mean"), np.diff(before) > 0
