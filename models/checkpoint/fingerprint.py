"""A model's files: which ones are read, their digest, and what they may not name or contain."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import translate
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from ...errors import ModelChangedError, ModelIntegrityError, UnsafeModelError
from ...validation import short_repr

__all__ = [
    "PICKLES",
    "TOKENIZER_FILES",
    "UNREAD",
    "UNREAD_NAME",
    "changed",
    "check_names",
    "check_no_pickle",
    "file_state",
    "fingerprint",
    "pickles",
    "sha256",
    "unsafe",
]

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")

# Files that no reader of a model opens: documents, records of a training, tables, stores, pickles,
# and weights in formats of other programs. Everything else counts, whatever its name.
UNREAD = (
    ".*", "README*", "LICENSE*", "*.md", "*.log", "*.csv", "*.parquet", "*.html", "*.skops",
    "*.sqlite*", "data_config.json", "trainer_state.json", *(f"*{end}" for end in PICKLES),
    "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.onnx_data", "*.gguf", "*.tflite",
)  # fmt: skip
UNREAD_NAME = re.compile("|".join(map(translate, UNREAD)))

TOKENIZER_FILES = re.compile(
    r"(tokenizer|vocab|merges|special_tokens|added_tokens|spiece|sentencepiece|tekken).*"
    r"|.*\.(model|spm|bpe|codes)"
)

# Where a model's file may name other files.
_NAMING_KEYS = ("configuration_files", "fast_tokenizer_files", "transformers_weights")
_WEIGHTS = (".safetensors", ".safetensors.index.json")
# Where a tokenizer's settings may hold the content of a file, or name one anywhere.
_CONTENT_KEYS = ("vocab", "merges", "init_inputs", "gguf_file")
_UNREAD_KEYS = ("special_tokens_map_file", "added_tokens_file")

# What of a stat changes when a file is replaced or written to.
file_state = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")


def fingerprint(directories: Sequence[Path], states: Mapping[str, tuple[Any, ...]]) -> str:
    """Return BLAKE2b over the names and the SHA-256 digests of files.

    Names are relative to the first of ``directories`` that the file is in; outside the very first
    one, as the base model of an adapter may be, they begin with a slash. ``states`` maps the paths
    to what `file_state` returned of them.
    """
    named = {_name(directories, Path(path)): path for path in states}
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(named, key=Path):
        path = named[name]
        entry = f"{len(name)}:{name}{_sha256(path, states[path])}"
        digest.update(entry.encode("utf-8", "surrogateescape"))  # names may be of any bytes
    return digest.hexdigest()


def _name(directories: Sequence[Path], path: Path) -> str:
    outer = next(directory for directory in directories if path.is_relative_to(directory))
    name = path.relative_to(outer).as_posix()
    return name if outer == directories[0] else f"/{name}"


def changed(directory: str | Path) -> ModelChangedError:
    """Return the error for files that change while they are read."""
    return ModelChangedError(
        f"The model in '{directory}' changed while it was being read. Run this again when its files"
        " are complete, and write a new model to a new directory."
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read again only if its inode, size, mtime or ctime change.

    The ctime cannot be set back, so a file rewritten under an old date is noticed.
    """
    return _sha256(str(path), file_state(path.stat()))


@lru_cache(maxsize=1024)
def _sha256(path: str, state: tuple[int, ...]) -> str:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            actual = file_state(os.fstat(file.fileno()))
    except OSError as error:
        raise ModelIntegrityError(f"The file {path!r} cannot be read: {error}.") from error
    if actual != state:
        raise changed(path)
    return digest


def check_names(directory: Path) -> None:
    """Raise if a file of a model names files that do not lie beside it, or pickled weights.

    Only what lies in the directory itself is part of the fingerprint.
    """
    for path in sorted(directory.glob("*.json")):
        is_index = path.name.endswith(".safetensors.index.json")
        is_tokens = path.name.startswith(("tokenizer_config.", "special_tokens_map."))
        if not (is_index or is_tokens or path.name.startswith("config.")):
            continue
        content: Any = None
        with suppress(OSError, ValueError, RecursionError):  # whoever needs the file reports it
            content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            continue
        for key in _NAMING_KEYS:
            ends = _WEIGHTS if key == "transformers_weights" else (".json",)
            _check_plain(path, key, content.get(key), ends)
        if is_tokens:
            _check_tokenizer(path, content)
        if is_index:
            shards = content.get("weight_map")
            names = list(shards.values()) if isinstance(shards, dict) else shards
            _check_plain(path, "weight_map", names, (".safetensors",))


def _check_tokenizer(path: Path, content: dict[str, Any]) -> None:
    """Raise if the settings of a tokenizer name a file that is read and does not lie beside them.

    Paths on the machine where a tokenizer was saved are common there; such files do not exist.
    """
    for key, value in content.items():
        names: Any = value if isinstance(value, list) and key == "init_inputs" else [value]
        for name in names:
            if not isinstance(name, str) or not name:
                continue
            is_elsewhere = (
                os.path.isfile(name) and Path(name).absolute().parent != path.absolute().parent
            )
            if key in _CONTENT_KEYS or (
                key.endswith("_file") and key not in _UNREAD_KEYS and is_elsewhere
            ):
                raise UnsafeModelError(
                    f"The file '{path}' names the file {short_repr(name)} under {key!r}, which is"
                    " no part of the model. Remedy: save a trusted tokenizer again:"
                    " AutoTokenizer.from_pretrained(path).save_pretrained(new_path)."
                )


def _check_plain(path: Path, key: str, names: Any, ends: tuple[str, ...]) -> None:
    """Raise if one of the names under ``key`` is not that of a file in the fingerprint."""
    for name in names if isinstance(names, list) else [] if names is None else [names]:
        is_plain = isinstance(name, str) and not re.search(r"[/\\:]", name)
        if not (is_plain and name.endswith(ends)) or UNREAD_NAME.match(name):
            raise UnsafeModelError(
                f"The file '{path}' names {short_repr(name)} under {key!r}. It may only name files"
                f" beside it that end in {' or '.join(ends)}. Remedy: save a trusted model again:"
                " AutoModel.from_pretrained(path).save_pretrained(new_path)."
            )


def pickles(directory: Path) -> list[str]:
    """Return the names of the pickled files in a directory."""
    return sorted(path.name for path in directory.rglob("*") if path.suffix in PICKLES)


def check_no_pickle(directory: Path) -> None:
    """Raise if the weights of a module in ``directory`` are only pickled."""
    found = pickles(directory)
    if found and not os.path.isfile(directory / "model.safetensors"):
        raise unsafe(str(directory), found)


def unsafe(where: str, pickled: list[str]) -> UnsafeModelError:
    """Return the error for a model without weights as safetensors."""
    found = (
        f"only pickles ({', '.join(pickled)}), and loading a pickle can run code"
        if pickled
        else "no weights at all"
    )
    return UnsafeModelError(
        f"The model in {where} is refused: weights must be safetensors, found {found}. Remedy:"
        " choose a revision with safetensors, or convert a trusted model once:"
        " AutoModel.from_pretrained(path).save_pretrained(new_path, safe_serialization=True)."
    )
