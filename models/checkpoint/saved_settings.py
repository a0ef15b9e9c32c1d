"""Read the settings that sentence-transformers saved with a checkpoint.

Each one is honoured, known to leave vectors of texts alone, or refused by name: a setting that is
skipped gives other vectors than its author's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from ...errors import ModelIntegrityError, UnsafeModelError, UnsupportedModelError
from ...foreign import foreign_errors_as
from ...validation import short_repr
from ..pooling.tokens import POOLINGS

T = TypeVar("T")

__all__ = [
    "check_config_settings",
    "check_module_settings",
    "is_length",
    "read_json",
    "read_model_settings",
    "read_pooling",
    "read_transformer_settings",
]

_LEGACY_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Every model has these prompts; they are empty where the file gives them no text.
_OWN_PROMPTS = ("query", "document")
# Where files are sought, and whether code runs, is for the user to say.
_PLACES = (
    "cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token",
    "trust_remote_code",
)  # fmt: skip
# The engine has a number format, an attention and a place of its own.
_WEIGHTS = (
    "add_pooling_layer", "attn_implementation", "device_map", "dtype", "low_cpu_mem_usage",
    "torch_dtype", "use_safetensors",
)  # fmt: skip
# What of a configuration decides which code is run.
_NOT_CHANGED = ("auto_map", "architectures", "model_type", "quantization_config")
_TOKENIZER = {
    "add_bos_token", "add_eos_token", "add_prefix_space", "additional_special_tokens", "bos_token",
    "clean_up_tokenization_spaces", "cls_token", "do_lower_case", "eos_token", "legacy",
    "mask_token", "pad_token", "padding_side", "sep_token", "strip_accents",
    "tokenize_chinese_chars", "truncation_side", "unk_token", "use_fast",
}  # fmt: skip
# In whose names sentence-transformers seeks the settings of a transformer, in this order.
_FAMILIES_OF_SETTINGS = (
    "bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet",
)  # fmt: skip
# Former names of settings, which hold where both are there.
_FORMER_NAMES = {
    "model_args": "model_kwargs", "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
}  # fmt: skip
_STATES = ("last_hidden_state", ["last_hidden_state"])
_MODULES = {
    "Dense": ("bias", "use_residual"),
    "Dropout": ("dropout",),
    "LayerNorm": ("dimension",),
    "Normalize": (),
}


def read_json(path: Path, kind: type[T]) -> T:
    """Read a file with a JSON object (dict) or array (list); its texts are valid Unicode."""
    fault = f"The file {str(path)!r} cannot be read"
    with foreign_errors_as(ModelIntegrityError, fault, "Download the model again."):
        content = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False).encode()  # no lone surrogates
    if not isinstance(content, kind):
        raise ModelIntegrityError(
            f"The file {str(path)!r} must contain a {kind.__name__}, not a"
            f" {type(content).__name__}. Download the model again."
        )
    return content


def read_transformer_settings(directory: Path) -> dict[str, Any]:
    """Return the fields of a `Checkpoint` that are saved beside the transformer."""
    for family in _FAMILIES_OF_SETTINGS:
        path = directory / f"sentence_{family}_config.json"
        # Of several files, the first with entries is read.
        if os.path.isfile(path) and (entries := read_json(path, dict)):
            for former, name in _FORMER_NAMES.items():
                if former in entries:
                    entries[name] = entries.pop(former)
            return _transformer_settings(_Settings(path, entries))
    return {}


def _transformer_settings(settings: _Settings) -> dict[str, Any]:
    settings.expect("transformer_task", "feature-extraction")
    settings.expect("module_output_name", "token_embeddings")
    settings.expect("tokenizer_name_or_path")
    _check_modalities(settings.section("modality_config"))
    # Those of queries and documents hold where a task is given, which `encode` does without.
    settings.ignore("unpad_inputs", "query_length", "document_length", "query_expansion")
    settings.section("model_kwargs").ignore(*_PLACES, *_WEIGHTS).finish()

    tokenizer = settings.section("processor_kwargs").ignore(*_PLACES)
    own_length = tokenizer.take("model_max_length", "a number of tokens", is_length)
    tokenizer_settings = {
        key: value for key in _TOKENIZER if (value := tokenizer.take(key)) is not None
    }
    tokenizer.finish()

    steps = settings.section("processing_kwargs").ignore("audio", "image", "video", "chat_template")
    of_call = steps.section("text", "common")
    steps.finish()
    of_call.ignore("logits_to_keep", "padding_side", "return_tensors", "return_token_type_ids")
    of_call.ignore("verbose")
    # Padding beyond the longest text moves positions, or leaks into the vectors of some families.
    of_call.expect("padding", True, "longest")
    of_call.expect("pad_to_multiple_of")
    of_call.expect("truncation", True, "longest_first", "only_first")
    special_tokens = of_call.take("add_special_tokens", "true or false", _is_flag)
    call_length = of_call.take("max_length", "a number of tokens", is_length)
    of_call.finish()

    max_length = settings.take("max_seq_length", "a number of tokens", is_length)
    lower_case = settings.take("do_lower_case", "true or false", _is_flag)
    configuration = settings.section("config_kwargs").ignore(*_PLACES)
    found = {
        "max_seq_length": call_length or own_length or max_length,
        "do_lower_case": bool(lower_case),
        "add_special_tokens": special_tokens is not False,
        "tokenizer_settings": tokenizer_settings,
        "config_settings": configuration.ignore("attn_implementation").rest(),
    }
    settings.finish()
    return found


def check_config_settings(config: Any, settings: dict[str, Any]) -> None:
    """Raise if a change of the configuration is none of its entries, or says what is to run."""
    for name, value in settings.items():
        if name.startswith("_") or name in _NOT_CHANGED or not hasattr(config, name):
            raise UnsupportedModelError(
                f"The checkpoint sets {name} = {short_repr(value)} in 'config_kwargs', which is no"
                f" entry of {type(config).__name__} that may be changed. Choose another checkpoint."
            )


def read_model_settings(root: Path) -> dict[str, Any]:
    """Return the fields of a `Checkpoint` that are saved for the whole model."""
    path = root / "config_sentence_transformers.json"
    if not os.path.isfile(path):
        return {}
    settings = _Settings(path, read_json(path, dict)).ignore("__version__", "similarity_fn_name")
    settings.expect("model_type", "SentenceTransformer")
    _check_requirements(path, settings.section("requirements").rest())
    truncate_dim = settings.take("truncate_dim", "a number of features", is_length)
    texts = settings.section("prompts").rest()
    default = settings.take("default_prompt_name", "a name", lambda name: isinstance(name, str))
    settings.finish()
    if wrong := [name for name, text in texts.items() if not isinstance(text, str | None)]:
        raise ModelIntegrityError(
            f"The file '{path}' must have a text as the prompt {wrong[0]!r}. Got"
            f" {short_repr(texts[wrong[0]])} instead. Correct it, or download the model again."
        )
    prompts = {name: text or "" for name, text in texts.items()}
    if default is not None and default not in (*prompts, *_OWN_PROMPTS):
        raise ModelIntegrityError(
            f"The file '{path}' names the default prompt {short_repr(default)}, which is not among"
            f" its prompts {sorted(prompts)}. Correct the name, or download the model again."
        )
    return {
        "prompts": prompts,
        "default_prompt": prompts.get(default or "", ""),
        "truncate_dim": truncate_dim,
    }


def _check_modalities(ways: _Settings) -> None:
    """Raise unless the tokens of texts are read, and texts are read as they are."""
    if not ways:
        return
    ways.expect("message", meaning=" (a chat template around every text)")
    of_text = ({"method": "forward", "method_output_name": states} for states in _STATES)
    ways.expect("text", *of_text, or_missing=False)


def _check_requirements(path: Path, requirements: dict[str, Any]) -> None:
    """Raise if an installed package has not the version that the checkpoint asks for."""
    if not requirements:
        return
    from sentence_transformers.util.environment import check_version_requirements

    fault = f"The 'requirements' in '{path}' are not met"
    with foreign_errors_as(UnsupportedModelError, fault, "Install these versions."):
        check_version_requirements(requirements)


def read_pooling(path: Path) -> dict[str, Any]:
    """Return the fields of a `Checkpoint` that its pooling sets."""
    settings = _Settings(path, read_json(path, dict))
    settings.ignore("word_embedding_dimension", "embedding_dimension")
    legacy = [name for key, name in _LEGACY_POOLINGS.items() if settings.take(key)]
    modes = settings.take("pooling_mode")
    include_prompt = settings.take("include_prompt", "true or false", _is_flag)
    settings.finish()
    if modes is None:
        modes = legacy or ["mean"]
    pooling = tuple(modes) if isinstance(modes, list) else (modes,)
    unknown = [mode for mode in pooling if mode not in POOLINGS]
    if unknown or not pooling:
        raise UnsupportedModelError(
            f"The pooling {short_repr(unknown)} in {str(path)!r} is not known. Set 'pooling' to one"
            f" of {POOLINGS}."
        )
    return {"pooling": pooling, "include_prompt": include_prompt is not False}


def check_module_settings(name: str, directory: Path) -> None:
    """Raise if a module after the pooling is set to do something else than it does here."""
    path = directory / "config.json"
    if not os.path.isfile(path):
        return
    settings = _Settings(path, read_json(path, dict)).ignore(*_MODULES[name])
    settings.expect("module_input_name", "sentence_embedding")
    settings.expect("module_output_name", "sentence_embedding")
    if name == "Dense":
        for key in ("in_features", "out_features"):
            settings.take(key, "a number of features", is_length)
        function = settings.take("activation_function")
        if function is not None and not str(function).startswith("torch.nn."):
            raise UnsafeModelError(
                f"The file '{path}' names the activation function {short_repr(function)}, which is"
                " not PyTorch's own and would run foreign code. Name a pooling (pooling='mean') of"
                " a checkpoint without it."
            )
    settings.finish()


def is_length(value: Any) -> bool:
    """Whether a value of a file is a number of tokens or features; an integer above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


class _Settings:
    """The entries of a JSON object, taken one by one; `finish` refuses what is left.

    ``within`` names the object in its file.
    """

    def __init__(self, path: Path, entries: dict[str, Any], within: str = "") -> None:
        self._path, self._left, self._within = path, dict(entries), within

    def __bool__(self) -> bool:
        return bool(self._left)

    def take(
        self, key: str, rule: str = "", is_valid: Callable[[Any], bool] = lambda value: True
    ) -> Any:
        """Return an entry, None where it is null or missing, or raise if it breaks its rule."""
        value = self._left.pop(key, None)
        if value is not None and not is_valid(value):
            raise ModelIntegrityError(
                f"The file '{self._path}' must have {rule} as {self._name(key)}. Got"
                f" {short_repr(value)} instead. Correct it, or download the model again."
            )
        return value

    def section(self, *keys: str) -> _Settings:
        """Take objects and merge them; the entries of later ones hold."""
        merged: dict[str, Any] = {}
        for key in keys:
            merged |= self.take(key, "an object", lambda value: isinstance(value, dict)) or {}
        return _Settings(self._path, merged, f"{self._within}{keys[0]}.")

    def expect(self, key: str, *supported: Any, or_missing: bool = True, meaning: str = "") -> None:
        """Raise unless an entry is one of ``supported``, or missing where it may be."""
        value = self._left.pop(key, None)
        if value not in supported and not (or_missing and value is None):
            raise self._refused(f"{self._name(key)} = {short_repr(value)}{meaning}")

    def ignore(self, *keys: str) -> Self:
        """Take entries that leave the vectors of texts alone."""
        for key in keys:
            self._left.pop(key, None)
        return self

    def rest(self) -> dict[str, Any]:
        """Take every other entry."""
        rest, self._left = self._left, {}
        return rest

    def finish(self) -> None:
        """Raise if an entry is left."""
        if self._left:
            key = min(self._left)
            raise self._refused(f"{self._name(key)} = {short_repr(self._left[key])}")

    def _name(self, key: str) -> str:
        return repr(self._within + key)

    def _refused(self, setting: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"The file '{self._path}' sets {setting}, which bertvectorizer does not support, and"
            " without which the vectors would not be those of the checkpoint. Choose another"
            " checkpoint; if its vectors do not need the entry, remove it from a copy of the model."
        )
