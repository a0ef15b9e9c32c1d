"""The weights of a checkpoint, loaded by transformers into a PyTorch model."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import MODEL_MAPPING, AutoModel, PreTrainedModel
from transformers.utils import logging

from ...errors import ModelIntegrityError, UnsupportedModelError
from ...foreign import foreign_errors_as, reason_of
from ...private_api import without_hub_kernels
from ...validation import short_repr, short_text
from ..elmo.network import ElmoNetwork
from ..elmo.options import ElmoOptions
from ..elmo.weights import find_weights, read_weights
from .adapter import ADAPTER_CONFIG, merge_adapter
from .description import Checkpoint, quiet_messages, read_config
from .source import reading

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["load_elmo", "load_model", "load_with_head", "quiet_transformers"]

_MOST_SPARE = 1 << 24  # masks and positions that models compute and files lack


def load_model(checkpoint: Checkpoint) -> torch.nn.Module:
    """Load the weights in float32, ready for inference; of an encoder-decoder, the encoder."""
    checkpoint.require_transformer("this use of it")
    with reading(checkpoint.directories, checkpoint.trust_remote_code, checkpoint.fingerprint):
        return _load(checkpoint, None, {})[0]


def load_with_head(
    checkpoint: Checkpoint, auto_class: Any, **settings: Any
) -> tuple[torch.nn.Module, list[str]]:
    """Load a model with a head, and the names of the weights that are new: no file has them.

    ``auto_class`` is one such as `AutoModelForSequenceClassification`, and ``settings`` are those
    of its configuration.
    """
    checkpoint.require_transformer("this use of it")
    with reading(checkpoint.directories, checkpoint.trust_remote_code, checkpoint.fingerprint):
        return _load(checkpoint, auto_class, settings)


def load_elmo(checkpoint: Checkpoint, options: ElmoOptions) -> ElmoNetwork:
    """Load the network of an ELMo in float32."""
    with reading(checkpoint.directories, False, checkpoint.fingerprint):
        weights = read_weights(find_weights(checkpoint.directory), options)
    return ElmoNetwork(options, weights)


def _load(
    checkpoint: Checkpoint, with_head: Any, settings: dict[str, Any]
) -> tuple[torch.nn.Module, list[str]]:
    directory = checkpoint.base or checkpoint.directory
    # A fresh configuration, since loading writes into the one it is given.
    config = read_config(directory, checkpoint.trust_remote_code, checkpoint.config_settings)
    config.update(settings | ({"use_cache": False} if hasattr(config, "use_cache") else {}))
    options: dict[str, Any] = {}
    known = MODEL_MAPPING.get(type(config), None)
    encoder = None
    # Of code of its own, AutoModel finds the class.
    if with_head is None and not getattr(config, "auto_map", None):
        encoder = _encoder_class(known, config.architectures)
    if encoder is not None:
        config.is_encoder_decoder = False
    elif config.is_encoder_decoder and checkpoint.has_modules:
        raise UnsupportedModelError(
            f"The model in '{checkpoint.directory}' has an encoder and a decoder"
            f" ({type(config).__name__}). Of such models, sentence-transformers may pool the"
            " decoder, which bertvectorizer does not read. Choose another checkpoint, or read the"
            " encoder from a copy of this one without modules.json."
        )
    if with_head is None and _accepts(known, "add_pooling_layer"):
        options["add_pooling_layer"] = False
    if checkpoint.base is not None:
        # Sought where none can be, an adapter does not hide which weights of its base are missing.
        options["adapter_kwargs"] = {"subfolder": ADAPTER_CONFIG}
    files = sorted(path.name for path in directory.glob("*.safetensors"))
    weights = short_text(", ".join(files), 200) or "no safetensors file"
    where = f"in '{directory}' ({weights})"
    with (
        foreign_errors_as(
            UnsupportedModelError,
            f"The model {where} cannot be built from its config.json",
            "Correct the file, download the model again, or choose one of another family, such as"
            " BERT or RoBERTa.",
        ),
        quiet_transformers(),
        without_hub_kernels(),
    ):
        loaded = with_head or encoder or AutoModel
        if known is not None:
            _check_size(encoder or loaded.from_config, config, directory)
        try:
            model, info = loaded.from_pretrained(
                directory,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=checkpoint.trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                **options,
            )
        except (SafetensorError, OSError) as error:
            raise ModelIntegrityError(
                f"The weights {where} cannot be read: {reason_of(error)}. A file is damaged or cut"
                " short; download the model again."
            ) from error
        prefix = "" if with_head is None else f"{model.base_model_prefix}."
        new = _check_complete(directory, info, prefix)
        if checkpoint.base is not None:
            merge_adapter(getattr(model, prefix[:-1]) if prefix else model, checkpoint.directory)
        if config.is_encoder_decoder:
            model = model.get_encoder()
    if not isinstance(model, torch.nn.Module):
        raise UnsupportedModelError(f"{type(model).__name__} is no PyTorch model.")
    # They are mapped into memory, and would change with a file that is written over.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model.eval().requires_grad_(False), new


def _accepts(known: Any, parameter: str) -> bool:
    return known is not None and parameter in inspect.signature(known.__init__).parameters


def _check_complete(directory: Path, info: dict[str, Any], prefix: str) -> list[str]:
    """Raise if the files have not every weight of a model whose names begin with ``prefix``.

    A model with a head has one: its head may be new, and so may its layer after the first token be.
    The names of those that are new come back.
    """
    missing = sorted(info.get("missing_keys", ()))
    mismatched = [
        each if isinstance(each, str) else each[0] for each in info.get("mismatched_keys", ())
    ]
    wrong = [
        name
        for name in (*missing, *mismatched)
        if name.startswith(prefix) and not (prefix and name.startswith(f"{prefix}pooler."))
    ]
    if wrong:
        raise ModelIntegrityError(
            f"The weights in '{directory}' do not fit its config.json: {len(wrong)} are missing or"
            f" of another shape, {short_repr(wrong[:3], 300)} among them. Download the model again."
        )
    return [*missing, *mismatched]


def _encoder_class(known: Any, architectures: list[str] | None) -> Any:
    """Return the class of an encoder that is stored, or can be loaded, without its decoder.

    ``known`` is the class for a configuration, ``architectures`` names those that wrote the
    weights. A bare encoder, as that of Pegasus, is read only by its own class. Others, as
    ``T5EncoderModel``, find the encoder within a whole model too.
    """
    if not isinstance(known, type):
        return None
    whole = f"{known.__name__.removesuffix('Model')}EncoderModel"
    named = architectures if isinstance(architectures, list) else []  # a file may say anything
    for name in map(str, (*named, whole)):
        kind = getattr(sys.modules[known.__module__], name, None)
        is_encoder = name.endswith(("Encoder", "EncoderModel", "Stack"))
        if is_encoder and isinstance(kind, type) and issubclass(kind, PreTrainedModel):
            return kind
    return None


def _check_size(build: Callable[..., Any], config: PreTrainedConfig, directory: Path) -> None:
    """Raise if a model is far larger than its files, before it takes memory."""
    with torch.device("meta"):
        model = build(deepcopy(config))
    n_numbers = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    n_bytes = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
    if n_numbers > 4 * n_bytes + _MOST_SPARE:  # files may hold half of a model
        raise ModelIntegrityError(
            f"The weights in '{directory}' do not fit its config.json: a model of its sizes has"
            f" {n_numbers:,} numbers, and the files have {n_bytes:,} bytes. Download the model"
            " again."
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' loading messages and keep the random state; restore both afterwards."""
    with quiet_messages():
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            with torch.random.fork_rng(devices=[]):
                yield
        finally:
            if bars:
                logging.enable_progress_bar()
