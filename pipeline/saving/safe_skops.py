"""Reading skops files that may be hostile: what is in them is checked before anything is made of it."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import ModelError, ModelIntegrityError, ModelNotFoundError, UnsafeModelError
from ...private_api import SCIKIT_LEARN_TYPES

__all__ = ["TRUSTED", "read_skops", "write_skops"]

_LARGEST_SCHEMA = 16 << 20  # as Python objects it takes thirty times as much
_SCHEMA = "schema.json"
_PACKED = (
    "PackedDict",
    "PackedMatrix",
    "PackedNumbers",
    "PackedStrings",
    "PackedSubwords",
    "PackedTable",
)
_OWN = {
    "bertvectorizer.features.bert": ("BertVectorizer",),
    "bertvectorizer.features.bert_spans": ("BertSpanVectorizer",),
    "bertvectorizer.features.bert_words": ("BertWordVectorizer",),
    "bertvectorizer.features.static": ("StaticVectorizer",),
    "bertvectorizer.features.weighting": ("_Plain", "_PowerMean", "_Sif", "_Tfidf"),
    "bertvectorizer.features.word2vec": ("Word2VecVectorizer",),
    "bertvectorizer.features.static_base": ("OovReport",),
    "bertvectorizer.pipeline.tagging.crf": ("LinearChainCrf",),
    "bertvectorizer.models.checkpoint.text_tokens": ("Truncation",),
    "bertvectorizer.pipeline.tagging.labeler": ("SequenceLabeler",),
    "bertvectorizer.pipeline.saving.compact": _PACKED,
}
TRUSTED = (
    *(f"{module}.{name}" for module, names in _OWN.items() for name in names),
    *SCIKIT_LEARN_TYPES,
)

# Which way things may be made. Left out are methods, partial functions and the like, and what is
# compressed once more inside.
_LOADERS = {
    "DTypeNode",
    "DictNode",
    "FunctionNode",  # NumPy's and scipy's ufuncs, unless others are trusted
    "JsonNode",
    "ListNode",
    "LossNode",
    "MaskedArrayNode",
    "NdArrayNode",
    "ObjectNode",
    "RandomGeneratorNode",
    "RandomStateNode",
    "SetNode",
    "SliceNode",
    "TreeNode",  # not trusted by itself
    "TupleNode",
    "TypeNode",
}
_FAULTS = (
    zipfile.BadZipFile,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


def write_skops(content: Any, path: Path, trusted: Sequence[str]) -> None:
    """Write a skops file beside its place, read it back, and move it there whole.

    Parameters
    ----------
    content : object
    path : Path
    trusted : sequence of str
        Names of types to be trusted beside `TRUSTED`.

    Raises
    ------
    ModelError
        If it cannot be written; nothing is left behind then.
    UnsafeModelError
        If it holds types that loading would refuse.
    """
    import skops.io

    draft = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        try:
            with open(draft, "wb") as file:
                skops.io.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            read_skops(draft, trusted, shown=path)
            os.replace(draft, path)
        except OSError as error:
            raise ModelError(
                f"The file {str(path)!r} cannot be written: {error.strerror or error}."
            ) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def read_skops(path: Path, trusted: Sequence[str] = (), shown: Path | None = None) -> Any:
    """Read a skops file, without running code and without taking much more memory than its size.

    Parameters
    ----------
    path : Path
    trusted : sequence of str
        Names of types to be trusted beside `TRUSTED` and those that skops trusts.
    shown : Path or None
        What messages call it, if it has another name for now.

    Returns
    -------
    object

    Raises
    ------
    ModelNotFoundError
        If there is no such file.
    UnsafeModelError
        If it holds types that are not trusted, or is a pickle.
    ModelIntegrityError
        If it is damaged, or something else than a skops file.
    """
    shown = shown or path
    if not path.is_file():
        raise ModelNotFoundError(f"There is no file {str(shown)!r}.")
    try:
        with open(path, "rb") as file:
            _check_beginning(shown, file.read(2))
            return _load(path, file, trusted, shown)
    except OSError as error:
        raise ModelIntegrityError(
            f"The file {str(shown)!r} cannot be read: {error.strerror or error}."
        ) from error
    except ModelError:
        raise
    except _FAULTS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelIntegrityError(
            f"The file {str(shown)!r} is damaged, or no skops file: {reason:.200}."
        ) from error


def _check_beginning(path: Path, beginning: bytes) -> None:
    if beginning[:1] == b"\x80":
        raise UnsafeModelError(
            f"The file {str(path)!r} is a pickle, which could run code, and is not loaded. Save the"
            " pipeline with save_pipeline."
        )
    if beginning != b"PK":
        raise ModelIntegrityError(
            f"The file {str(path)!r} is no skops file. Give one that 'train' or save_pipeline has"
            " written."
        )


def _load(path: Path, file: IO[bytes], trusted: Sequence[str], shown: Path) -> Any:
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning
    from skops.io.exceptions import UntrustedTypesFoundException

    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        sizes = _checked_sizes(archive, size)
        schema = json.loads(archive.read(_SCHEMA))
    _check_repeated(schema, {})
    nodes = list(_nodes(schema))
    _check_nodes(shown, nodes, sizes, size)
    known = [*TRUSTED, *trusted]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", InconsistentVersionWarning
        )  # it is told once, for all libraries
        try:
            return skops.io.load(file, trusted=known)
        except UntrustedTypesFoundException as error:
            untrusted = sorted(set(skops.io.get_untrusted_types(file=path)) - set(known))
            raise _unsafe(
                shown, untrusted, f" If you trust its maker, name them: trusted={untrusted}."
            ) from error


def _unsafe(path: Path, names: list[str], remedy: str = "") -> UnsafeModelError:
    return UnsafeModelError(
        f"The file {str(path)!r} holds types that are not known to be safe: {', '.join(names)}."
        f" They could run code, or crash.{remedy}"
    )


def _checked_sizes(archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    """Return the sizes of an archive's files; nothing in it may be larger than it is itself, or than its header says."""
    files = archive.infolist()
    sizes = {file.filename: file.file_size for file in files}
    if (
        len(sizes) < len(files)
        or sum(sizes.values()) > size
        or any(file.compress_type != zipfile.ZIP_STORED for file in files)
    ):
        raise ValueError("its files are compressed, or lie within each other")
    if sizes[_SCHEMA] > _LARGEST_SCHEMA:
        raise ValueError(
            f"its description takes {sizes[_SCHEMA]:,} bytes, more than {_LARGEST_SCHEMA:,}"
        )
    for file in files:
        if file.filename != _SCHEMA:
            with archive.open(file) as member:
                _check_array(member, file.file_size)
    return sizes


def _check_array(member: IO[bytes], size: int) -> None:
    """Check that an array has the size that its header claims: NumPy takes the memory before it reads."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = readers[np.lib.format.read_magic(member)](member)
    n_items = 1
    for length in shape:
        if length < 0:
            raise ValueError("an array has a negative length")
        n_items *= length
    if (
        dtype.hasobject
        or (n_items and not dtype.itemsize)
        or member.tell() + n_items * dtype.itemsize != size
    ):
        raise ValueError("an array has another size than it says")


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield whatever in a description could be taken for the description of an object."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_repeated(value: Any, sizes: dict[Any, int]) -> int:
    """Check that an object that is there again is described in full, as skops does, and return the
    size of a description.

    skops believes the number of an object. Lists that refer to lists, ten times each, would become
    more than any memory holds.
    """
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    size = 1 + sum(_check_repeated(one, sizes) for one in inside)
    if (
        isinstance(value, dict)
        and value.get("__id__")
        and sizes.setdefault(value["__id__"], size) != size
    ):
        raise ValueError("two objects have the same number")
    return size


def _check_nodes(path: Path, nodes: list[dict[str, Any]], sizes: dict[str, int], size: int) -> None:
    own = {f"{module}.{name}" for module, names in _OWN.items() for name in names}
    unsafe = set()
    read: dict[
        Any, int
    ] = {}  # skops reads a file for every object anew, but makes an object with a number once
    for place, node in enumerate(nodes):
        name = f"{node['__module__']}.{node['__class__']}"
        loader = node["__loader__"]
        # An attribute may hold anything, but only `ObjectNode` makes one of our own types: no
        # constructor of theirs is called.
        if (
            loader not in _LOADERS
            or (name in own and loader != "ObjectNode")
            or name == "numpy.void"
        ):
            unsafe.add(name)
        if "file" in node:
            read[node.get("__id__") or -place] = sizes[node["file"]]
    if unsafe:
        raise _unsafe(path, sorted(unsafe))
    if sum(read.values()) > size:
        raise ValueError("more is read from it than there is in it")
