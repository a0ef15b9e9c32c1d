"""PEFT adapters: which ones are applied, and their weights merged into those of their base."""

from __future__ import annotations

import inspect
import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import ModelIntegrityError, UnsupportedModelError
from ...foreign import foreign_errors_as
from ...private_api import merge_adapter_layers
from ...validation import short_repr
from .fingerprint import pickles, unsafe
from .saved_settings import read_json

__all__ = ["ADAPTER_CONFIG", "merge_adapter", "read_adapter"]

ADAPTER_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
# Methods that transformers loads and whose adapters become part of the weights. Of the others, some
# need tokens or modules of their own or name further files, and some are too rare to be tried.
_METHODS = ("IA3", "LN_TUNING", "LOHA", "LOKR", "LORA", "OFT", "TRAINABLE_TOKENS")
# What of a configuration imports other libraries, or gives the model other layers.
_REFUSED = ("layer_replication", "megatron_config")
_TOLERANCE = 1e-4


def read_adapter(directory: Path) -> dict[str, Any] | None:
    """Read the configuration of the adapter in a directory, or raise if it cannot be applied.

    Returns None where there is none.
    """
    path = directory / ADAPTER_CONFIG
    if not os.path.isfile(path):
        return None
    if find_spec("peft") is None:
        raise UnsupportedModelError(
            f"The model in '{directory}' has a PEFT adapter ({ADAPTER_CONFIG}), and without the"
            " library peft it would be left out. Remedy: pip install 'bertvectorizer[peft]'."
        )
    settings = read_json(path, dict)
    method = settings.get("peft_type")
    if method not in _METHODS:
        raise _refused(path, "peft_type", method, f" Supported are {', '.join(_METHODS)}.")
    for key in _REFUSED:
        if settings.get(key):
            raise _refused(path, key, settings[key])
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start.startswith("pissa_niter"):
        raise _refused(path, "init_lora_weights", start, " It changes the base model at random.")
    if not os.path.isfile(directory / _WEIGHTS):
        raise unsafe(str(directory), pickles(directory))
    return settings


def _refused(path: Path, key: str, value: Any, reason: str = "") -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The file '{path}' has {key} = {short_repr(value)}, which bertvectorizer does not"
        f" support.{reason} Choose another checkpoint, or let PEFT merge the adapter into its base"
        " model: PeftModel.from_pretrained(base, path).merge_and_unload().save_pretrained(new_path)"
    )


def merge_adapter(model: Any, directory: Path) -> None:
    """Change the weights of a model as the adapter in a directory says.

    The layers of the adapter are gone afterwards, so that all else treats the model as any other.
    """
    import torch
    from safetensors.torch import load_file

    path, weights = directory / ADAPTER_CONFIG, directory / _WEIGHTS
    settings = read_adapter(directory) or {}
    with foreign_errors_as(
        ModelIntegrityError,
        f"The adapter '{weights}' cannot be read",
        "The file is damaged or cut short; download the model again.",
    ):
        tensors = {_full_name(name): tensor for name, tensor in load_file(weights).items()}
    with (
        foreign_errors_as(
            UnsupportedModelError,
            f"PEFT cannot apply the adapter '{path}' to its base model",
            "Adapter and base may not belong together; a newer peft may know the adapter.",
        ),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # notes on how PEFT treats a layer
        config = _peft_config(path, settings)
        _check_rank(path, settings, tensors)
        # The tensors are read here, so that PEFT opens no file, which might be a pickle.
        info = model.load_adapter(
            peft_config=config,
            adapter_state_dict=tensors,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            dtype=torch.float32,
        )
        _check_tensors(directory, model, info)
        before = _try(model)
        merge_adapter_layers(model)
        after = _try(model)
    scale = max(1.0, float(before.abs().max()))
    if not torch.allclose(before, after, rtol=0, atol=_TOLERANCE * scale):
        raise UnsupportedModelError(
            f"The adapter '{path}' ({settings['peft_type']}) cannot be merged into the weights of"
            " its base model: the numbers would be others. Choose another checkpoint."
        )


def _full_name(name: str) -> str:
    """Return a weight's name as transformers seeks it; PEFT shortens that of DoRA's magnitudes."""
    return f"{name}.weight" if name.endswith("lora_magnitude_vector") else name


def _peft_config(path: Path, settings: dict[str, Any]) -> Any:
    """Return PEFT's own object of the settings, or raise if it does not know one of them."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    kind = PEFT_TYPE_TO_CONFIG_MAPPING[settings["peft_type"]]
    known = inspect.signature(kind).parameters
    for key, value in settings.items():
        if key not in known and value:  # an empty one of a newer version requests nothing
            raise _refused(path, key, value, " A newer peft may know it.")
    return kind(**{key: value for key, value in settings.items() if key in known})


def _check_rank(path: Path, settings: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Raise if PEFT would make larger layers than the adapter has weights for."""
    widest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    ranks = [settings.get("r", 0), *(settings.get("rank_pattern") or {}).values()]
    if settings["peft_type"] == "LORA" and max(ranks) > widest:
        raise ModelIntegrityError(
            f"The adapter '{path}' sets the rank {max(ranks)}, but no weight in '{_WEIGHTS}' is so"
            " wide. Download the adapter again."
        )


def _check_tensors(directory: Path, model: Any, info: Any) -> None:
    """Raise unless each tensor of the adapter has its place, but for heads that are not loaded."""
    children = dict(model.named_children())
    stray = []
    for key in info.unexpected_keys:
        own = key.removeprefix("base_model.model.").removeprefix(f"{model.base_model_prefix}.")
        if own.partition(".")[0] in children:
            stray.append(key)
    wrong = sorted(map(str, [*info.missing_keys, *info.mismatched_keys, *stray]))
    if wrong:
        raise ModelIntegrityError(
            f"The adapter in '{directory}' does not fit its base model: {len(wrong)} of its weights"
            f" are missing, of another shape or without a place, {short_repr(wrong[:3], 300)} among"
            " them. Name the base model that it was trained on as base_model_name_or_path in"
            f" {ADAPTER_CONFIG}, or download the adapter again."
        )


def _try(model: Any) -> Any:
    """Return the states of a few tokens."""
    import torch

    network = model.get_encoder() if model.config.is_encoder_decoder else model
    size = min(int(model.config.get_text_config().vocab_size), 16)
    with torch.inference_mode():
        return network.eval()(input_ids=torch.arange(size)[None]).last_hidden_state
