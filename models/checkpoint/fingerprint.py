"""A model's files: which ones its numbers depend on, their digest, and pickles, refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from ...errors import UnsafeModelError

__all__ = [
    "PICKLES",
    "TOKENIZER_SUFFIXES",
    "check_no_pickle",
    "file_state",
    "fingerprint",
    "is_tokenizer_file",
    "model_files",
    "pickles",
    "sha256",
    "unsafe",
]

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")

TOKENIZER_SUFFIXES = (".model", ".spm", ".bpe")

_TOKENIZER_NAMES = (
    "tokenizer",
    "vocab",
    "merges",
    "special_tokens",
    "added_tokens",
    "spiece",
    "sentencepiece",
)


# What of a stat changes when a file is replaced or written to.
file_state = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")


def is_tokenizer_file(path: Path) -> bool:
    """Whether a file belongs to a tokenizer, by its name."""
    return path.name.startswith(_TOKENIZER_NAMES) or path.suffix in TOKENIZER_SUFFIXES


def model_files(
    root: Path, transformer: Path, later_modules: Iterable[Path], with_code: bool
) -> Iterator[Path]:
    """Yield the files of a model that can change its numbers: not its README, nor ONNX weights."""
    for path in transformer.iterdir():
        is_weights = path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json")
        is_config = path.name == "config.json" or fnmatch(path.name, "sentence_*_config.json")
        is_code = with_code and path.suffix == ".py"
        if (is_weights or is_config or is_code or is_tokenizer_file(path)) and path.is_file():
            yield path
    for name in ("modules.json", "config_sentence_transformers.json"):
        if (root / name).is_file():
            yield root / name
    for directory in later_modules:
        yield from (
            path for path in directory.glob("*") if path.suffix in (".json", ".safetensors")
        )


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """Return BLAKE2b over the sorted names, relative to ``root``, and SHA-256 digests of files."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(set(files)):
        name = path.relative_to(root).as_posix()
        digest.update(f"{len(name)}:{name}{sha256(path)}".encode())
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read again only if its inode, size, mtime or ctime change.

    The ctime cannot be set back, so a file rewritten under an old date is noticed.
    """
    return _sha256(str(path), file_state(path.stat()))


@lru_cache(maxsize=1024)
def _sha256(path: str, _state: tuple[int, ...]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pickles(directory: Path) -> list[str]:
    """Return the names of the pickled files in a directory."""
    return sorted(path.name for path in directory.rglob("*") if path.suffix in PICKLES)


def check_no_pickle(directory: Path) -> None:
    """Raise if the weights in ``directory`` are only pickled."""
    found = pickles(directory)
    if found and not any(directory.rglob("*.safetensors")):
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
