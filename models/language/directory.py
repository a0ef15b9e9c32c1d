"""A trained language model as a directory, which transformers and sentence-transformers open."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import StoreError
from ...output_file import atomic_directory, atomic_write, writing
from ..checkpoint.weights import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..checkpoint.description import Checkpoint
    from ..training.network import TrainableNetwork

__all__ = ["read_files", "save_language_model", "write_files"]

# Of sentence-transformers: what follows the transformer, and how texts are read.
_SETTINGS = ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json")


def save_language_model(
    network: TrainableNetwork, tokenizer: PreTrainedTokenizerBase, directory: Path
) -> None:
    """Write a network with its head; the modules of its checkpoint stay what they were."""
    checkpoint = network.checkpoint
    head: Any = network.head
    root = checkpoint.directories[0] if checkpoint.directories else checkpoint.directory
    transformer = directory
    if checkpoint.has_modules:
        transformer = directory / checkpoint.directory.relative_to(root)
        _copy_modules(checkpoint, root, directory)
    transformer.mkdir(parents=True, exist_ok=True)
    with quiet_transformers(), head.whole_with(network.base) as whole:
        whole.save_pretrained(transformer)
        copy.deepcopy(tokenizer).save_pretrained(transformer)


def _copy_modules(checkpoint: Checkpoint, root: Path, new: Path) -> None:
    for directory in {root, checkpoint.directory}:
        for name in _SETTINGS:
            if (directory / name).is_file():
                target = new / directory.relative_to(root) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(directory / name, target)
    for path in checkpoint.directories[1:]:
        if path.is_relative_to(root) and path not in (root, checkpoint.directory):
            _copy_plain(path, new / path.relative_to(root))


def _copy_plain(source: Path, target: Path) -> None:
    """Copy the files of a module: its configuration and its weights."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir() if source.is_dir() else ():
        if path.is_file() and path.suffix in (".json", ".safetensors"):
            shutil.copyfile(path, target / path.name)


def read_files(directory: Path) -> dict[str, bytes]:
    """Return the content of all files in a directory, by path."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def write_files(files: dict[str, bytes], directory: Path) -> None:
    """Write files as a new directory; into one that is there, those that it lacks."""
    if not _holds_files(directory):
        try:
            with atomic_directory(directory) as draft:
                for name, content in files.items():
                    path = draft / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
        except StoreError:
            if not _holds_files(directory):  # no other process was first
                raise
    for name, content in files.items():  # systems remove temporary files that are old
        path = directory / name
        if not path.is_file() or path.stat().st_size != len(content):
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as file:
                    file.write(content)


def _holds_files(directory: Path) -> bool:
    return directory.is_dir() and any(directory.iterdir())
