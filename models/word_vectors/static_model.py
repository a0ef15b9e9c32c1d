"""Static models of sentence-transformers (StaticEmbedding) and model2vec: vectors of tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...compressed import most_bytes
from ...errors import (
    ModelChangedError,
    ModelIntegrityError,
    UnsafeModelError,
    UnsupportedModelError,
)
from ...foreign import foreign_errors_as
from ...validation import short_repr
from ..checkpoint.description import read_modules
from ..checkpoint.saved_settings import is_length, read_json, read_model_settings
from ..pooling.words import pool_words
from .disk_cache import file_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

__all__ = ["ModelTokens", "StaticModel", "read_static_model"]

_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"
_SETTINGS = ("modules.json", "config.json", "config_sentence_transformers.json")
_OWN = "sentence_transformers."
_MODEL2VEC_TENSOR, _TENSOR = "embeddings", "embedding.weight"
_MAX_LENGTH = 512  # of model2vec
_MOST_READ = 4

_read: dict[tuple[Path, str], StaticModel] = {}


class StaticModel(NamedTuple):
    """A static model, without its vectors. What its author saved applies to each text."""

    directory: Path
    files: tuple[Path, ...]  # the weights first
    key: str
    tokenizer: str
    is_model2vec: bool
    normalize: bool
    prompt: str
    truncate_dim: int | None
    max_length: int | None

    def blocks(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Yield the tokens, in the order of their numbers, and their vectors."""
        vectors = _vectors(self.files[0])[:, : self.truncate_dim]
        tokens = ModelTokens.tokenizer_of(self)
        left_out = _unknown(tokens) if self.is_model2vec else None
        numbers = {
            number: token
            for token, number in tokens.get_vocab().items()
            if token and number != left_out
        }
        rows = sorted(numbers)
        if not rows or rows[-1] >= len(vectors):
            raise ModelIntegrityError(
                f"The tokenizer of '{self.directory}' has tokens up to number"
                f" {max(rows, default=0):,}, but there are {len(vectors):,} vectors. Fetch the"
                " model again."
            )
        chosen = vectors[rows]
        if not np.isfinite(chosen).all():
            raise ModelIntegrityError(
                f"The vectors in '{self.files[0]}' must be finite numbers. Fetch the model again."
            )
        yield [numbers[row] for row in rows], chosen
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raise if a file differs from what it was when the key was taken."""
        if _key(self.files) != self.key:
            raise ModelChangedError(
                f"The model in '{self.directory}' was changed while it was read. Try again when it"
                " is complete."
            )


class ModelTokens:
    """Splits texts as a static model does, and gives words the mean of their tokens' vectors."""

    def __init__(self, model: StaticModel, words: list[str], vectors: NDArray[np.float32]) -> None:
        self.normalize = model.normalize
        self._model, self._words, self._vectors = model, words, vectors

    @staticmethod
    def tokenizer_of(model: StaticModel) -> Tokenizer:
        """Return the tokenizer of a model."""
        from tokenizers import Tokenizer

        with _reading(f"file '{_TOKENIZER}' of '{model.directory}' cannot be read"):
            tokenizer = Tokenizer.from_str(model.tokenizer)
            tokenizer.no_padding()
            if model.is_model2vec:
                if model.max_length is None:
                    tokenizer.no_truncation()
                else:
                    tokenizer.enable_truncation(model.max_length)
            return tokenizer

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return self.tokenizer_of(self._model)

    @cached_property
    def _names(self) -> dict[int, str]:
        return {number: token for token, number in self._tokenizer.get_vocab().items()}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self._words)}

    @cached_property
    def _unknown_token(self) -> str | None:
        number = _unknown(self._tokenizer)
        return None if number is None else self._tokenizer.id_to_token(number)

    @cached_property
    def _most_characters(self) -> int | None:
        """Where model2vec cuts a text before it is split."""
        if not self._model.is_model2vec or self._model.max_length is None:
            return None
        lengths = [len(token) for token in self._tokenizer.get_vocab()]
        return self._model.max_length * int(np.median(lengths))

    def split(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        return self._encode((self._model.prompt + text)[: self._most_characters])

    def _encode(self, text: str) -> list[str]:
        # By number: for what the vocabulary lacks, some tokenizers return the text itself.
        tokenizer = self._tokenizer
        with _reading(f"tokenizer of '{self._model.directory}' cannot split a text into tokens"):
            numbers = tokenizer.encode(text, add_special_tokens=False).ids
        return [self._names[number] for number in numbers]

    def vectors(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return vectors of shape (n_words, n_dims), and which of the words have one."""
        rows: list[int] = []
        starts = []
        for word in words:
            starts.append(len(rows))
            if word != self._unknown_token:
                rows += [self._rows[token] for token in self._encode(word) if token in self._rows]
        offsets = np.array([*starts, len(rows)], dtype=np.int64)
        pooled = pool_words(self._vectors, np.array(rows, dtype=np.int64), offsets[:-1], "mean")
        return pooled, np.diff(offsets) > 0


def read_static_model(directory: Path) -> StaticModel | None:
    """Read the description of a static model; None if the directory holds no such model."""
    modules = read_modules(directory) if os.path.isfile(directory / "modules.json") else []
    place = directory
    if modules:
        first, *rest = modules
        if first.name != "StaticEmbedding":
            return None
        if not first.type.startswith(_OWN):
            raise UnsafeModelError(
                f"The model in '{directory}' has a module of its own, {short_repr(first.type)}, and"
                " loading it would run code. Choose a model with modules of sentence-transformers"
                " only."
            )
        others = [
            one.type for one in rest if one.name != "Normalize" or not one.type.startswith(_OWN)
        ]
        if others:
            raise UnsupportedModelError(
                f"The model in '{directory}' must have StaticEmbedding and Normalize as its modules"
                f" to serve as static word vectors. Got {short_repr(others)} in its modules.json."
            )
        place = first.path
    weights, tokenizer = place / _WEIGHTS, place / _TOKENIZER
    if not os.path.isfile(weights) or not os.path.isfile(tokenizer):
        if modules:
            raise ModelIntegrityError(
                f"The static model in '{directory}' must have the files '{_WEIGHTS}' and"
                f" '{_TOKENIZER}'. Fetch it again; weights in other formats are not read."
            )
        return None
    tensors = _tensors(weights)
    is_model2vec = _MODEL2VEC_TENSOR in tensors and _TENSOR not in tensors
    if not modules and not is_model2vec:
        return None
    files = (weights, tokenizer, *(directory / name for name in _SETTINGS))
    key = _key(files)
    if known := _read.get((directory, key)):
        return known
    path = directory / "config.json"
    config = read_json(path, dict) if is_model2vec and os.path.isfile(path) else {}
    saved = read_model_settings(directory)
    normalize = len(modules) > 1 or config.get("normalize") is True
    truncate_dim = saved.get("truncate_dim")
    if normalize and truncate_dim is not None:
        raise UnsupportedModelError(
            f"The model in '{directory}' normalizes its vectors and keeps truncate_dim ="
            f" {truncate_dim} features of them. In word vectors, features are left out first, which"
            " gives other numbers. Choose another model, or remove truncate_dim from a copy of it."
        )
    max_length = config.get("max_length", _MAX_LENGTH)
    if max_length is not None and not is_length(max_length):
        raise ModelIntegrityError(
            f"The setting 'max_length' of '{directory}' must be an int from 1 or null. Got"
            f" {short_repr(max_length)} instead."
        )
    with _reading(f"file '{tokenizer}' cannot be read"):
        described = tokenizer.read_text(encoding="utf-8")
    model = StaticModel(
        directory=directory,
        files=files,
        key=key,
        tokenizer=described,
        is_model2vec=is_model2vec,
        normalize=normalize,
        prompt=saved.get("default_prompt", ""),
        truncate_dim=truncate_dim,
        max_length=max_length,
    )
    model.check_unchanged()
    while len(_read) >= _MOST_READ:
        _read.pop(next(iter(_read)), None)
    return _read.setdefault((directory, key), model)


def _key(files: tuple[Path, ...]) -> str:
    weights, *others = files
    digests = [f"{path.name} {file_digest(path)}" for path in others if os.path.isfile(path)]
    return file_digest(weights, "static model", *digests)


def _reading(fault: str) -> AbstractContextManager[None]:
    return foreign_errors_as(ModelIntegrityError, f"The {fault}", "Fetch the model again.")


def _tensors(weights: Path, *names: str) -> dict[str, NDArray[Any] | None]:
    """Return the tensors of these names; those of other names as None."""
    from safetensors import safe_open

    with (
        _reading(f"file '{weights}' cannot be read as safetensors"),
        safe_open(weights, framework="np") as file,
    ):
        return {
            name: file.get_tensor(name) if name in names else None
            for name in file.keys()  # noqa: SIM118
        }


def _vectors(weights: Path) -> NDArray[np.float32]:
    """Return a vector for each token; model2vec may save fewer, with a number for each token."""
    tensors = _tensors(weights, _TENSOR, _MODEL2VEC_TENSOR, "mapping", "weights")
    vectors, mapping, factors = tensors.get(_TENSOR), None, None
    if vectors is None:
        names = (_MODEL2VEC_TENSOR, "mapping", "weights")
        vectors, mapping, factors = (tensors.get(name) for name in names)
    with _reading(f"file '{weights}' holds no vectors of tokens"):
        if vectors is None or vectors.ndim != 2 or vectors.dtype.kind not in "fi":
            raise ValueError(f"there is no matrix {_TENSOR!r} or {_MODEL2VEC_TENSOR!r}")
        if mapping is not None:
            if mapping.ndim != 1 or mapping.dtype.kind not in "iu" or (mapping < 0).any():
                raise ValueError("its mapping is no list of rows")
            n_bytes = 4 * len(mapping) * vectors.shape[1]
            if n_bytes > most_bytes(weights.stat().st_size):
                raise ValueError(f"its mapping expands to {n_bytes:,} bytes")
            vectors = vectors[mapping]
        vectors = vectors.astype(np.float32)
        if factors is not None:
            vectors = vectors * factors.astype(np.float32).reshape(len(vectors), 1)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _unknown(tokenizer: Tokenizer) -> int | None:
    """Return the number of the token for what the vocabulary lacks."""
    model = tokenizer.model
    if hasattr(model, "unk_token"):
        return None if model.unk_token is None else tokenizer.token_to_id(model.unk_token)
    number: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return number
