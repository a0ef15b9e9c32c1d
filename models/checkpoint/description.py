"""Read a checkpoint's description: sizes, pooling, prompts and later modules, not weights."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import ModelIntegrityError, UnsafeModelError, UnsupportedModelError
from ...private_api import forget_implementations
from ...validation import short_repr
from ..pooling.tokens import POOLINGS
from .fingerprint import check_names, check_no_pickle, fingerprint, pickles, unsafe

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

T = TypeVar("T")

__all__ = ["Checkpoint", "LaterModule", "model_directories", "read_checkpoint", "read_config"]

_LEGACY_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Modules that take one vector of a text and give another.
_LATER_MODULES = {"Dense", "Dropout", "LayerNorm", "Normalize"}
_LOADED = ("AutoConfig", "AutoModel", "AutoTokenizer")
# Families whose positions start after the padding index, as in fairseq.
_POSITIONS_AFTER_PADDING = {
    "camembert", "data2vec-text", "esm", "ibert", "lilt", "longformer", "luke", "markuplm", "mpnet",
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip


@dataclass(frozen=True)
class LaterModule:
    """A module of a sentence-transformers checkpoint that follows its pooling."""

    type: str
    path: Path
    content: str = ""  # fingerprint of its files

    @cached_property
    def name(self) -> str:
        """Class name, such as ``"Dense"`` or ``"Normalize"``."""
        return self.type.rpartition(".")[2]

    @property
    def out_features(self) -> int | None:
        """Width of the output, where the module sets it."""
        path = self.path / "config.json"
        return _read_json(path, dict).get("out_features") if path.is_file() else None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The description of a model in a directory.

    Attributes
    ----------
    directory : Path
        The directory of the transformer and its tokenizer.
    fingerprint : str
        Digest of weights, tokenizer, configuration and modules, 32 hexadecimal digits.
    config : PreTrainedConfig
        The transformer's configuration.
    pooling : tuple of str
        The checkpoint's own pooling; ``("mean",)`` for a plain Hugging Face checkpoint.
    include_prompt : bool
        Whether the tokens of a prompt are pooled.
    later_modules : tuple of LaterModule
        Modules after the pooling: Dense, Normalize, LayerNorm, Dropout.
    max_seq_length : int or None
        Longest input in tokens, special tokens included, where the checkpoint sets it.
    do_lower_case : bool
        Whether texts are lower-cased before the tokenizer.
    prompts : dict of str to str
        Prompts by name.
    default_prompt : str
        Prompt before every text, unless another is requested.
    trust_remote_code : bool
        Whether the user allows code from the checkpoint to run.
    directories : tuple of Path
        The directories that the files of the model lie in, the one that was opened first.

    See Also
    --------
    open_checkpoint : Find a model and read its description.
    """

    directory: Path
    fingerprint: str
    config: PreTrainedConfig
    pooling: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    later_modules: tuple[LaterModule, ...] = ()
    max_seq_length: int | None = None
    do_lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str = ""
    trust_remote_code: bool = False
    directories: tuple[Path, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, bool]:
        """Two directories of the same content are the same model."""
        return self.fingerprint, self.trust_remote_code

    @cached_property
    def n_layers(self) -> int:
        """Number of transformer layers."""
        config = self.config.get_text_config()
        # ALBERT repeats groups of layers.
        return int(config.num_hidden_layers) * int(getattr(config, "inner_group_num", 1))

    @cached_property
    def hidden_size(self) -> int:
        """Width of a token's vector."""
        return int(self.config.get_text_config().hidden_size)

    @cached_property
    def widest(self) -> int:
        """Width of the widest activation, that of the feed-forward layers."""
        return int(
            getattr(self.config.get_text_config(), "intermediate_size", None)
            or 4 * self.hidden_size
        )

    @cached_property
    def n_positions(self) -> int | None:
        """Longest sequence in tokens, None without a limit."""
        config = self.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None)
        if not positions or positions < 0:
            return None
        if config.model_type in _POSITIONS_AFTER_PADDING:
            positions -= config.pad_token_id + 1
        return int(positions)

    def resolve_prompt(self, prompt: str | None) -> str:
        """Return the text of a prompt.

        Parameters
        ----------
        prompt : str or None
            The name of one of the checkpoint's prompts, or another text. None takes the default.

        Returns
        -------
        str
            The text to put before every text.
        """
        return self.default_prompt if prompt is None else self.prompts.get(prompt, prompt)


def model_directories(root: Path, with_code: bool) -> tuple[Path, ...]:
    """Return the directories that the files of a model lie in; code may lie in all below."""
    modules = _read_modules(root) if (root / "modules.json").is_file() else []
    found = [root, *(module.path for module in modules)]
    found += [path / "additional_chat_templates" for path in found[:2]]
    if with_code:
        found += [Path(path) for path, _, _ in os.walk(root) if not _is_hidden(root, path)]
    return tuple(dict.fromkeys(found))


def _is_hidden(root: Path, path: str) -> bool:
    return any(part.startswith(".") for part in Path(path).relative_to(root).parts)


def read_checkpoint(
    directories: tuple[Path, ...], states: Mapping[str, tuple[Any, ...]], trust_remote_code: bool
) -> Checkpoint:
    """Read the description of the model in directories whose files have these states."""
    root = directories[0]
    described: dict[str, Any] = {}
    transformer = root
    modules: list[LaterModule] = []
    if (root / "modules.json").is_file():
        modules = _read_modules(root)
        transformer = modules[0].path
    check_names(transformer)
    _check_adapter(transformer)
    if modules:
        described = _sentence_transformer(root, modules, states)
    return Checkpoint(
        directory=transformer,
        directories=directories,
        fingerprint=fingerprint(root, states),
        config=read_config(transformer, trust_remote_code),
        trust_remote_code=trust_remote_code,
        **described,
    )


def _check_adapter(directory: Path) -> None:
    """Raise if a PEFT adapter lies in a directory and cannot be applied."""
    if not (directory / "adapter_config.json").is_file():
        return
    found = f"The model in '{directory}' has a PEFT adapter (adapter_config.json)"
    merge = (
        "merge it into its base model once: PeftModel.from_pretrained(base, path)"
        ".merge_and_unload().save_pretrained(new_path)."
    )
    if find_spec("peft") is None:
        raise UnsupportedModelError(
            f"{found}, and without the library peft it would be left out. Remedy: pip install peft,"
            f" or {merge}"
        )
    if not (directory / "config.json").is_file():
        raise UnsupportedModelError(f"{found} without its base model. Remedy: {merge}")
    if not (directory / "adapter_model.safetensors").is_file():
        raise unsafe(str(directory), pickles(directory))


_importing = threading.Lock()  # a second thread may see transformers half imported


def read_config(directory: Path, trust_remote_code: bool) -> PreTrainedConfig:
    """Read the configuration of the transformer in a directory."""
    path = directory / "config.json"
    _read_json(path, dict)
    with _importing:
        from transformers import AutoConfig

    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            directory, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except ValueError as error:
        raise UnsupportedModelError(
            f"The model in {str(directory)!r} has an architecture that the installed transformers"
            f" does not know: {error} Remedy: a newer transformers, or, where you trust its code,"
            " trust_remote_code=True with a pinned revision."
        ) from error
    except Exception as error:  # a field of the wrong type raises many kinds
        raise ModelIntegrityError(f"The file '{path}' has an invalid value: {error!r}") from error
    if getattr(config, "quantization_config", None):
        raise UnsupportedModelError(
            f"The file '{path}' has a quantization_config: its weights are stored in a format that"
            " other libraries must decode. Choose the model in full precision; precision='int8'"
            " quantizes it here."
        )
    if not trust_remote_code:
        _check_code(path, getattr(config, "auto_map", None))
        tokenizer = directory / "tokenizer_config.json"
        if tokenizer.is_file():
            _check_code(tokenizer, _read_json(tokenizer, dict).get("auto_map"))
    forget_implementations(config)  # the name of one may be that of compiled code on the hub
    return config


def _check_code(path: Path, auto_map: Any) -> None:
    """Raise if a model has code of its own for what is loaded, beside a known architecture."""
    named = auto_map if isinstance(auto_map, dict) else dict.fromkeys(_LOADED, auto_map)
    if any(named.get(kind) for kind in _LOADED):
        raise UnsafeModelError(
            f"The file '{path}' names code of the model's own, {short_repr(auto_map)}. It does not"
            " run unless you trust it, and without it the numbers may be others. Remedy, where you"
            " trust it: trust_remote_code=True, with a pinned commit as 'revision' for a model of"
            " the hub."
        )


def _read_modules(root: Path) -> list[LaterModule]:
    """Read the list of modules of a sentence-transformers checkpoint."""
    file = root / "modules.json"
    modules = []
    for entry in _read_json(file, list):
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("type"), str)
            or not isinstance(entry.get("path"), str)
        ):
            raise ModelIntegrityError(
                f"The file {str(file)!r} has an entry without a type or a path: {entry!r}. Download"
                " the model again."
            )
        path = PurePosixPath(entry["path"].replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in entry["path"]:
            raise UnsafeModelError(
                f"The file {str(file)!r} names the path {entry['path']!r}, which leads out of the"
                " model's directory."
            )
        modules.append(LaterModule(entry["type"], root / path))
    if not modules:
        raise ModelIntegrityError(
            f"The file {str(file)!r} names no modules. Download the model again."
        )
    return modules


def _sentence_transformer(
    root: Path, modules: list[LaterModule], states: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """Read the sentence-transformers files beside the transformer."""
    for module in modules:
        if not module.type.startswith("sentence_transformers."):
            raise UnsafeModelError(
                f"The checkpoint in {str(root)!r} names the module {module.type!r}, which is not"
                " sentence-transformers' own and would run foreign code. Such modules are never"
                " run here, not even with trust_remote_code=True. Choose another checkpoint."
            )
    first, *rest = modules
    if first.name != "Transformer" or not (first.path / "config.json").is_file():
        raise UnsupportedModelError(
            f"The checkpoint in {str(root)!r} begins with {first.type!r}, which is no transformer,"
            " so it has no contextual layers to read. Choose a checkpoint whose first module is a"
            " Transformer."
        )
    described: dict[str, Any] = {}
    if rest and rest[0].name == "Pooling":
        described.update(_read_pooling(rest[0].path / "config.json"))
        rest = rest[1:]
    for module in rest:
        if module.name not in _LATER_MODULES:
            raise UnsupportedModelError(
                f"The checkpoint in {str(root)!r} has the module {module.type!r} after its pooling;"
                f" known are {sorted(_LATER_MODULES)}."
            )
        if module.name != "Normalize" and not module.path.is_dir():
            raise ModelIntegrityError(
                f"The module {module.name} has no directory {str(module.path)!r}. Download the"
                " model again."
            )
        check_no_pickle(module.path)
        _check_activation(module.path / "config.json")
    described["later_modules"] = tuple(
        replace(module, content=fingerprint(module.path, _files_of(module, states)))
        for module in rest
    )
    for file in sorted(first.path.glob("sentence_*_config.json")):
        settings = _read_json(file, dict)
        described["max_seq_length"] = settings.get("max_seq_length")
        described["do_lower_case"] = bool(settings.get("do_lower_case", False))
    if (root / "config_sentence_transformers.json").is_file():
        settings = _read_json(root / "config_sentence_transformers.json", dict)
        prompts = {name: text or "" for name, text in (settings.get("prompts") or {}).items()}
        described["prompts"] = prompts
        described["default_prompt"] = prompts.get(settings.get("default_prompt_name") or "", "")
    return described


def _files_of(
    module: LaterModule, states: Mapping[str, tuple[Any, ...]]
) -> dict[str, tuple[Any, ...]]:
    """Return the states of the files in a module's directory, which has no code."""
    return {
        path: state
        for path, state in states.items()
        if Path(path).parent == module.path and not path.endswith(".py")
    }


def _check_activation(path: Path) -> None:
    """Raise if a module names an activation that sentence-transformers would replace by tanh."""
    name = _read_json(path, dict).get("activation_function") if path.is_file() else None
    if name is not None and not str(name).startswith("torch.nn."):
        raise UnsafeModelError(
            f"The file '{path}' names the activation function {short_repr(name)}, which is not"
            " PyTorch's own and would run foreign code. Choose another checkpoint."
        )


def _read_pooling(path: Path) -> dict[str, Any]:
    config = _read_json(path, dict)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [name for key, name in _LEGACY_POOLINGS.items() if config.get(key)] or ["mean"]
    pooling = tuple(modes) if isinstance(modes, list) else (modes,)
    unknown = [mode for mode in pooling if mode not in POOLINGS]
    if unknown:
        raise UnsupportedModelError(
            f"The pooling {unknown} in {str(path)!r} is not known. Set 'pooling' to one of"
            f" {POOLINGS}."
        )
    return {"pooling": pooling, "include_prompt": config.get("include_prompt", True)}


def _read_json(path: Path, kind: type[T]) -> T:
    """Read a file with a JSON object (dict) or array (list)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelIntegrityError(
            f"The file {str(path)!r} cannot be read: {error}. Download the model again."
        ) from error
    if not isinstance(content, kind):
        raise ModelIntegrityError(
            f"The file {str(path)!r} must contain a {kind.__name__}, not a"
            f" {type(content).__name__}. Download the model again."
        )
    return content
