"""Read a checkpoint's description: sizes, pooling, prompts and later modules, not weights."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ...errors import (
    BertVectorizerError,
    ModelIntegrityError,
    UnsafeModelError,
    UnsupportedModelError,
)
from ...foreign import foreign_errors_as, reason_of
from ...private_api import forget_implementations
from ...validation import short_repr
from ..elmo.options import OPTIONS, ElmoOptions, find_options, read_options
from ..elmo.weights import check_weights, find_weights
from ..torch_threads import lock_held_by_forks
from .adapter import ADAPTER_CONFIG, read_adapter
from .fingerprint import TOKENIZER_FILES, check_names, check_no_pickle, fingerprint
from .saved_settings import (
    check_config_settings,
    check_module_settings,
    read_json,
    read_model_settings,
    read_pooling,
    read_transformer_settings,
)

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = [
    "CONFIG_FILES",
    "Checkpoint",
    "LaterModule",
    "check_tokenizer_code",
    "first_position",
    "importing",
    "is_elmo",
    "model_directories",
    "quiet_messages",
    "read_checkpoint",
    "read_config",
    "read_modules",
    "settings_lock",
    "transformer_directory",
]

# Modules that take one vector of a text and give another.
_LATER_MODULES = {"Dense", "Dropout", "LayerNorm", "Normalize"}
_LOADED = ("AutoConfig", "AutoModel", "AutoTokenizer")
_MOST_LAYERS = 1 << 12
_LARGEST = (1 << 31) - 1
_LONGEST_PATH = 200
_ELMO_WIDEST = 512  # for batches of 4,096 words on a CPU: one product a step for many sentences
CONFIG_FILES = ("config.json", "modules.json", ADAPTER_CONFIG)
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
        return read_json(path, dict).get("out_features") if os.path.isfile(path) else None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The description of a model in a directory.

    Attributes
    ----------
    directory : Path
        The directory of the transformer, or of the adapter that changes it.
    fingerprint : str
        Digest of weights, tokenizer, configuration and modules, 32 hexadecimal digits.
    config : PreTrainedConfig
        The transformer's configuration.
    pooling : tuple of str
        The checkpoint's own pooling; of a plain Hugging Face checkpoint, ``("mean",)``, or
        ``("lasttoken",)`` for a causal language model.
    include_prompt : bool
        Whether the tokens of a prompt are pooled.
    later_modules : tuple of LaterModule
        Modules after the pooling: Dense, Normalize, LayerNorm, Dropout.
    max_seq_length : int or None
        Longest input in tokens, special tokens included, where the checkpoint sets it.
    add_special_tokens : bool
        Whether the tokenizer's special tokens stand around every text.
    do_lower_case : bool
        Whether texts are lower-cased before the tokenizer.
    prompts : dict of str to str
        Prompts by name.
    default_prompt : str
        Prompt before every text, unless another is requested.
    truncate_dim : int or None
        Number of features to keep of a vector, where the checkpoint sets it.
    tokenizer_settings, config_settings : dict
        Settings that the checkpoint adds to those of its tokenizer and its configuration.
    trust_remote_code : bool
        Whether the user allows code from the checkpoint to run.
    directories : tuple of Path
        The directories that the files of the model lie in, the one that was opened first.
    has_modules : bool
        Whether sentence-transformers' list of modules says what is read of the transformer.
    base : Path or None
        The directory of the base model that a PEFT adapter in ``directory`` changes, which may be
        the same. None without an adapter.
    tokenizer_directory : Path or None
        The directory of the tokenizer, where it is that of the base model. None takes
        ``directory``.
    elmo : ElmoOptions or None
        The sizes of an ELMo; None of a transformer.

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
    add_special_tokens: bool = True
    do_lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str = ""
    truncate_dim: int | None = None
    tokenizer_settings: dict[str, Any] = field(default_factory=dict)
    config_settings: dict[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    directories: tuple[Path, ...] = ()
    has_modules: bool = False
    base: Path | None = None
    tokenizer_directory: Path | None = None
    elmo: ElmoOptions | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, bool]:
        """Two directories of the same content are the same model."""
        return self.fingerprint, self.trust_remote_code

    @cached_property
    def text_config(self) -> PreTrainedConfig:
        """The part of the configuration for texts; that of the encoder, if it has its own."""
        return _text_config(self.config)

    @cached_property
    def n_layers(self) -> int:
        """Number of transformer layers."""
        # ALBERT repeats groups of layers.
        groups = int(getattr(self.text_config, "inner_group_num", 1))
        return int(self.text_config.num_hidden_layers) * groups

    @cached_property
    def hidden_size(self) -> int:
        """Width of a token's vector."""
        return int(self.text_config.hidden_size)

    @cached_property
    def widest(self) -> int:
        """Width of the widest activation, that of the feed-forward layers."""
        size = getattr(self.text_config, "intermediate_size", None) or 4 * self.hidden_size
        return max(size) if isinstance(size, list) else int(size)  # a list has one for each layer

    @cached_property
    def n_positions(self) -> int | None:
        """Longest sequence in tokens, None without a limit."""
        config = self.text_config
        positions = getattr(config, "max_position_embeddings", None)
        if not positions or positions < 0:
            return None
        pad_id = getattr(config, "pad_token_id", None)  # some configurations have none
        return int(positions) - first_position(config.model_type, pad_id)

    @cached_property
    def reads_beyond_positions(self) -> bool:
        """Whether positions are angles or distances, so that `n_positions` is no end of a table.

        Angles that change with the longest text of a batch (dynamic RoPE) are left out.
        """
        config = self.text_config
        is_rotary = getattr(config, "position_embedding_type", None) == "rotary"
        if is_rotary or not getattr(config, "position_biased_input", True):
            return True
        rope = getattr(config, "rope_parameters", None)
        found = (rope, *rope.values()) if isinstance(rope, dict) else ()
        kinds = [settings.get("rope_type") for settings in found if isinstance(settings, dict)]
        return any(kinds) and "dynamic" not in kinds

    def require_transformer(self, purpose: str) -> None:
        """Raise if the model is an ELMo, which has nothing that serves a purpose."""
        if self.elmo is not None:
            raise UnsupportedModelError(
                f"The model in '{self.directory}' is an ELMo, and {purpose} needs a transformer, as"
                " BERT is. Choose such a model here; BertVectorizer, BertWordVectorizer and"
                " BertSpanVectorizer read an ELMo."
            )

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


def first_position(model_type: str, pad_id: int | None) -> int:
    """Return the number of a text's first position."""
    return (pad_id or 0) + 1 if model_type in _POSITIONS_AFTER_PADDING else 0


def transformer_directory(root: Path) -> Path:
    """Return the directory of the transformer, or of the adapter that changes it."""
    return read_modules(root)[0].path if os.path.isfile(root / "modules.json") else root


def model_directories(root: Path, with_code: bool, base: Path | None = None) -> tuple[Path, ...]:
    """Return the directories that the files of a model lie in; code may lie in all below.

    ``base`` is that of the base model of an adapter, where it lies elsewhere.
    """
    modules = read_modules(root) if os.path.isfile(root / "modules.json") else []
    found = [root, *(module.path for module in modules)]
    found += [path / "additional_chat_templates" for path in found[:2]]
    if base is not None:
        found += [base, base / "additional_chat_templates"]
    for top in (root, base) if with_code else ():
        if top is not None:
            found += [Path(path) for path, _, _ in os.walk(top) if not _is_hidden(top, path)]
    return tuple(dict.fromkeys(found))


def _is_hidden(root: Path, path: str) -> bool:
    return any(part.startswith(".") for part in Path(path).relative_to(root).parts)


def read_checkpoint(
    directories: tuple[Path, ...],
    states: Mapping[str, tuple[Any, ...]],
    trust_remote_code: bool,
    base: Path | None = None,
) -> Checkpoint:
    """Read the description of the model in directories whose files have these states.

    ``base`` is the directory of the base model of an adapter, where it lies elsewhere.
    """
    root = directories[0]
    if is_elmo(root):
        return _read_elmo(directories, states)
    described: dict[str, Any] = {}
    transformer = root
    modules: list[LaterModule] = []
    if os.path.isfile(root / "modules.json"):
        modules = read_modules(root)
        transformer = modules[0].path
    check_names(transformer)
    adapter = read_adapter(transformer)
    tokenizer = None
    if base is not None:
        check_names(base)
        if not trust_remote_code:
            check_tokenizer_code(transformer)
        if not any(map(TOKENIZER_FILES.fullmatch, os.listdir(transformer))):
            tokenizer = base
    if modules:
        described = _sentence_transformer(root, modules, states)
    settings = described.get("config_settings", {})
    config = read_config(base or transformer, trust_remote_code, settings)
    if not modules:
        described["pooling"] = _default_pooling(config)
    return Checkpoint(
        directory=transformer,
        directories=directories,
        base=None if adapter is None else base or transformer,
        tokenizer_directory=tokenizer,
        fingerprint=fingerprint(directories, states),
        config=config,
        trust_remote_code=trust_remote_code,
        has_modules=bool(modules),
        **described,
    )


def is_elmo(root: Path) -> bool:
    """Whether a directory has an ELMo: its options, and nothing of a transformer."""
    is_transformer = any(os.path.isfile(root / file) for file in CONFIG_FILES)
    return not is_transformer and find_options(root) is not None


def _read_elmo(directories: tuple[Path, ...], states: Mapping[str, tuple[Any, ...]]) -> Checkpoint:
    """Read the description of an ELMo. Of its tokens, each is a word, and none is special."""
    root = directories[0]
    path = find_options(root) or root / OPTIONS
    options = read_options(path, read_json(path, dict))
    check_weights(find_weights(root), options)
    with importing:
        _need_no_temporary_directory()
        from transformers import PreTrainedConfig

    return Checkpoint(
        directory=root,
        directories=directories,
        fingerprint=fingerprint(directories, states),
        config=PreTrainedConfig(
            num_hidden_layers=options.n_layers,
            hidden_size=2 * options.width,
            intermediate_size=_ELMO_WIDEST,
        ),
        add_special_tokens=False,
        elmo=options,
    )


def _default_pooling(config: Any) -> tuple[str, ...]:
    """Return the pooling of a plain Hugging Face checkpoint, as sentence-transformers chooses it.

    In a causal language model, only the last token has seen the whole text.
    """
    named = config.architectures if isinstance(config.architectures, list) else []
    is_causal = str(*named[:1]).endswith("ForCausalLM") and getattr(config, "is_causal", True)
    return ("lasttoken",) if is_causal else ("mean",)


# Of settings of the process: transformers' messages and PyTorch's random state.
settings_lock = lock_held_by_forks()


@contextmanager
def quiet_messages() -> Iterator[None]:
    """Silence transformers' messages; one thread at a time, as the settings are the process's."""
    from transformers.utils import logging

    with settings_lock:
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)


def _need_no_temporary_directory() -> None:
    """Let PyTorch's compiler, which transformers imports, name another directory for its files."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.abspath(os.sep))  # never written


importing = threading.Lock()  # a second thread may see transformers half imported


def read_config(
    directory: Path, trust_remote_code: bool, settings: dict[str, Any]
) -> PreTrainedConfig:
    """Read the configuration of the transformer in a directory, and change ``settings`` in it."""
    path = directory / "config.json"
    read_json(path, dict)
    with importing:
        _need_no_temporary_directory()
        from transformers import AutoConfig

    options = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    with (
        foreign_errors_as(
            ModelIntegrityError,
            f"The file '{path}' has an invalid value",
            "Correct it, or download the model again.",
        ),
        quiet_messages(),
    ):
        try:
            config: PreTrainedConfig = AutoConfig.from_pretrained(directory, **options)
            if settings:
                check_config_settings(config, settings)
                config = AutoConfig.from_pretrained(directory, **options, **settings)
        except ValueError as error:
            if isinstance(error, BertVectorizerError):
                raise
            raise UnsupportedModelError(
                f"The model in {str(directory)!r} has an architecture that the installed"
                f" transformers does not know: {reason_of(error)}. Remedy: a newer transformers,"
                " or, where you trust its code, trust_remote_code=True with a pinned revision."
            ) from error
    if getattr(config, "quantization_config", None):
        raise UnsupportedModelError(
            f"The file '{path}' has a quantization_config: its weights are stored in a format that"
            " other libraries must decode. Choose the model in full precision; precision='int8'"
            " quantizes it here."
        )
    if not trust_remote_code:
        _check_code(path, getattr(config, "auto_map", None))
        check_tokenizer_code(directory)
    forget_implementations(config)  # the name of one may be that of compiled code on the hub
    _check_sizes(path, config)
    return config


def _text_config(config: Any) -> PreTrainedConfig:
    encoder = getattr(config, "encoder", None)
    config = encoder if hasattr(encoder, "get_text_config") else config
    try:
        text_config: PreTrainedConfig = config.get_text_config()
    except ValueError as error:  # it has several
        raise UnsupportedModelError(
            f"The {type(config).__name__} of the model does not say which of its parts reads texts:"
            f" {reason_of(error)}. Choose a model of another family, such as BERT."
        ) from error
    return text_config


def _check_sizes(path: Path, config: PreTrainedConfig) -> None:
    """Raise unless the sizes of a `Checkpoint` are whole numbers that a model can have."""
    text_config = _text_config(config)
    for name, is_needed, least, most in (
        ("num_hidden_layers", True, 1, _MOST_LAYERS),
        ("hidden_size", True, 1, _LARGEST),
        ("inner_group_num", False, 1, _MOST_LAYERS),
        ("intermediate_size", False, 1, _LARGEST),
        ("max_position_embeddings", False, -_LARGEST, _LARGEST),
        ("vocab_size", False, 1, _LARGEST),
        ("pad_token_id", False, -_LARGEST, _LARGEST),
    ):
        value = getattr(text_config, name, None)
        if value is None and not is_needed:
            continue
        if value is None or isinstance(value, dict):  # LXMERT has one for each of its parts
            raise UnsupportedModelError(
                f"The model in '{path.parent}' must have one number as {name!r} in its"
                f" configuration. Got {short_repr(value)} instead, so its layers of tokens cannot"
                " be read. Choose a model of another family, such as BERT."
            )
        sizes = value if name == "intermediate_size" and isinstance(value, list) else [value]
        if not sizes or not all(type(size) is int and least <= size <= most for size in sizes):
            raise ModelIntegrityError(
                f"The file '{path}' must have an integer from {least:,} to {most:,} as {name!r}."
                f" Got {short_repr(value)} instead. Correct it, or download the model again."
            )


def check_tokenizer_code(directory: Path) -> None:
    """Raise if the tokenizer in a directory has code of its own."""
    path = directory / "tokenizer_config.json"
    if os.path.isfile(path):
        _check_code(path, read_json(path, dict).get("auto_map"))


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


def read_modules(root: Path) -> list[LaterModule]:
    """Read the list of modules of a sentence-transformers checkpoint."""
    file = root / "modules.json"
    modules = []
    names: list[Any] = []
    for entry in read_json(file, list):
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("type"), str)
            or not isinstance(entry.get("path"), str)
        ):
            raise ModelIntegrityError(
                f"The file {str(file)!r} has an entry without a type or a path:"
                f" {short_repr(entry)}. Download the model again."
            )
        path = PurePosixPath(entry["path"].replace("\\", "/"))
        is_inside = not (
            path.is_absolute() or ".." in path.parts or {":", "\0"} & set(entry["path"])
        )
        if not is_inside or len(entry["path"]) > _LONGEST_PATH:
            fault = "is too long" if is_inside else "leads out of the model's directory"
            raise UnsafeModelError(
                f"The file {str(file)!r} names the path {short_repr(entry['path'])}, which {fault}."
                " Choose another checkpoint."
            )
        modules.append(LaterModule(entry["type"], root / path))
        names.append(entry.get("name", len(names)))
    if not modules:
        raise ModelIntegrityError(
            f"The file {str(file)!r} names no modules. Download the model again."
        )
    # sentence-transformers keeps only the last one of a name.
    if len(set(map(repr, names))) < len(names):
        raise ModelIntegrityError(
            f"The file {str(file)!r} has several modules of one name, {short_repr(names, 200)}."
            " Correct it, or download the model again."
        )
    return modules


def _sentence_transformer(
    root: Path, modules: list[LaterModule], states: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """Read the sentence-transformers files beside the transformer."""
    for module in modules:
        if not module.type.startswith("sentence_transformers."):
            raise UnsafeModelError(
                f"The checkpoint in {str(root)!r} names the module"
                f" {short_repr(module.type, 100)}, which is not sentence-transformers' own and"
                " would run foreign code. Such modules are never run here, not even with"
                " trust_remote_code=True. Choose another checkpoint."
            )
    first, *rest = modules
    if first.name != "Transformer" or not any(
        os.path.isfile(first.path / file) for file in ("config.json", ADAPTER_CONFIG)
    ):
        raise UnsupportedModelError(
            f"The checkpoint in {str(root)!r} begins with {short_repr(first.type, 100)}, which is"
            " no transformer, so it has no contextual layers to read. Choose a checkpoint whose"
            " first module is a Transformer."
        )
    described: dict[str, Any] = {}
    if rest and rest[0].name == "Pooling":
        described.update(read_pooling(rest[0].path / "config.json"))
        rest = rest[1:]
    for module in rest:
        if module.name not in _LATER_MODULES:
            raise UnsupportedModelError(
                f"The checkpoint in {str(root)!r} has the module {short_repr(module.type, 100)},"
                " which is not supported. Supported are a Transformer and its Pooling, and after"
                f" them {', '.join(sorted(_LATER_MODULES))}. Choose another checkpoint."
            )
        if module.name != "Normalize" and not os.path.isdir(module.path):
            raise ModelIntegrityError(
                f"The module {module.name} has no directory {str(module.path)!r}. Download the"
                " model again."
            )
        check_no_pickle(module.path)
        check_module_settings(module.name, module.path)
    described["later_modules"] = tuple(
        replace(module, content=fingerprint([module.path], _files_of(module, states)))
        for module in rest
    )
    return {**described, **read_transformer_settings(first.path), **read_model_settings(root)}


def _files_of(
    module: LaterModule, states: Mapping[str, tuple[Any, ...]]
) -> dict[str, tuple[Any, ...]]:
    """Return the states of the files in a module's directory, which has no code."""
    return {
        path: state
        for path, state in states.items()
        if Path(path).parent == module.path and not path.endswith(".py")
    }
