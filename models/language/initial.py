"""Networks with random weights, as directories that are read like any checkpoint; tokenizers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from ...errors import ModelIntegrityError, OutOfMemoryError
from ...foreign import foreign_errors_as
from ...private_api import without_hub_kernels
from ...validation import invalid, short_repr
from ..checkpoint.description import check_tokenizer_code, first_position
from ..checkpoint.fingerprint import check_names
from ..checkpoint.source import open_checkpoint
from ..checkpoint.text_tokens import load_tokenizer
from ..checkpoint.weights import quiet_transformers
from ..training.seeding import seeded
from .architectures import make_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["read_tokenizer", "write_initial_model"]

_OF_CHECKPOINTS = ("config.json", "modules.json", "adapter_config.json")


def read_tokenizer(name: str | Path, local_files_only: bool = False) -> PreTrainedTokenizerBase:
    """Read the tokenizer of a checkpoint, or of a directory without a network.

    Parameters
    ----------
    name : str or Path
        A directory, or the name of a checkpoint.
    local_files_only : bool, default=False
        Whether to never open a connection.

    Returns
    -------
    tokenizer : PreTrainedTokenizerBase
        The tokenizer.

    Raises
    ------
    InvalidParameterError
        If ``name`` is no name.
    ModelError
        If there is none, or its files would run code or are damaged.
    """
    text = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(text, str) or not text.strip():
        raise invalid("tokenizer", "the path of a directory of train_wordpiece, or None", name)
    path = Path(os.path.expanduser(text))
    if not os.path.isdir(path) or any(os.path.exists(path / each) for each in _OF_CHECKPOINTS):
        return load_tokenizer(open_checkpoint(text, local_files_only=local_files_only))
    check_names(path)
    check_tokenizer_code(path)
    fault = f"The tokenizer in '{path}' cannot be read"
    remedy = "Give a directory that train_wordpiece, or save_pretrained of a tokenizer, wrote."
    with foreign_errors_as(ModelIntegrityError, fault, remedy), quiet_transformers():
        tokenizer: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        if len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise ModelIntegrityError(f"The tokenizer in '{path}' knows no words. {remedy}")
    return tokenizer


def write_initial_model(
    directory: Path,
    architecture: str | Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    *,
    objective: str = "auto",
    max_length: int | None = None,
    seed: int = 0,
) -> Path:
    """Write a network with its head and tokenizer into a directory; same seed, same weights.

    Parameters
    ----------
    directory : Path
        Is made if it is not there; files of the same names are replaced.
    architecture, tokenizer, objective, max_length
        As in `make_config`.
    seed : int, default=0
        Seed of the weights. The random state of the process stays as it is.

    Returns
    -------
    directory : Path
        With config.json, model.safetensors and the files of the tokenizer.

    Raises
    ------
    InvalidParameterError
        If a parameter is invalid, a setting is unknown, or no network can be built.
    OutOfMemoryError
        If the network does not fit into memory.
    """
    config = make_config(architecture, tokenizer, objective, max_length)
    model_class = getattr(transformers, config.architectures[0])
    tokenizer = deepcopy(tokenizer)  # its owner may use it for something else
    if positions := max_length or getattr(config, "max_position_embeddings", None):
        first = 0 if max_length else first_position(config.model_type, config.pad_token_id)
        tokenizer.model_max_length = positions - first
    if not hasattr(config, "type_vocab_size"):  # GPT-2 would add words for the parts of a pair
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names
    fault = (
        f"There is no memory for a network of the 'architecture' {short_repr(architecture, 200)}"
    )
    with quiet_transformers(), without_hub_kernels():
        with (
            foreign_errors_as(OutOfMemoryError, fault, "Choose a smaller one."),
            seeded(seed, torch.device("cpu")),
        ):
            model = model_class(config)
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    return directory
