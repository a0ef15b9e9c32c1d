"""Read skops files that may be hostile: check the content before any object is made."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import ModelError, ModelIntegrityError, ModelNotFoundError, UnsafeModelError
from ...output_file import atomic_write
from ...private_api import SCIKIT_LEARN_TYPES
from ...validation import short_text
from .type_names import FORMER_NAMES, OWN_TYPES, public_names

__all__ = ["TRUSTED", "read_skops", "write_skops"]

_LARGEST_SCHEMA = 16 << 20  # as Python objects it takes thirty times as much
_SCHEMA = "schema.json"
_MOST_NAMED = 20
_LONGEST_NAME = 100
TRUSTED = (*sorted(OWN_TYPES), *SCIKIT_LEARN_TYPES, "numpy.dtype")

# Excluded are methods, partial functions and the like, and nodes that are compressed once more.
_LOADERS = {
    "DTypeNode",
    "DictNode",
    "FunctionNode",  # none is trusted by itself
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
# Memory that reading may take, beside arrays: some for every file, and this often its size.
_FREE = 4 << 20
_TIMES = 20
# Bytes that a list or an object of a description takes in Python, and what skops makes of it: each
# part holds the names of all types that are trusted.
_CONTAINER = 200
_NODE = {"JsonNode": 1600, "RandomStateNode": 8000, "RandomGeneratorNode": 8000}
_OTHER_NODE = 4000


def write_skops(content: Any, path: Path, trusted: Sequence[str]) -> None:
    """Write a skops file atomically; it is read back before it takes its place.

    Names of types in ``trusted`` are trusted beside `TRUSTED`. Types of this package get their
    public names.
    """
    import skops.io

    try:
        with atomic_write(path) as draft:
            with BytesIO() as dumped:
                skops.io.dump(content, dumped)
                with zipfile.ZipFile(dumped) as archive:
                    schema = json.loads(archive.read(_SCHEMA))
                    _rename_types(_nodes(schema), public_names())
                    _copy(archive, schema, draft)
            draft.flush()
            read_skops(Path(draft.name), trusted, shown=path)
    except OSError as error:
        raise ModelError(
            f"The file {str(path)!r} cannot be written: {error.strerror or error}."
        ) from error


def read_skops(path: Path, trusted: Sequence[str] = (), shown: Path | None = None) -> Any:
    """Read a skops file, without running code and within bounds of memory.

    Beside its arrays, which are not compressed, it may take 4 MiB and 20 times its size.

    Names of types in ``trusted`` are trusted beside `TRUSTED` and those that skops trusts.
    Messages call the file ``shown``, if that is given.
    """
    shown = shown or path
    if not os.path.isfile(path):
        raise ModelNotFoundError(f"There is no file {str(shown)!r}.")
    try:
        with open(path, "rb") as file:
            _check_beginning(shown, file.read(2))
            return _load(file, trusted, shown)
    except OSError as error:
        raise ModelIntegrityError(
            f"The file {str(shown)!r} cannot be read: {error.strerror or error}."
        ) from error
    except ModelError:
        raise
    except Exception as error:  # damaged files raise many kinds, tokenize.TokenError among them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelIntegrityError(
            f"The file {str(shown)!r} is damaged, or no skops file: {short_text(reason, 200)}."
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


def _load(file: IO[bytes], trusted: Sequence[str], shown: Path) -> Any:
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning
    from skops.io.exceptions import UntrustedTypesFoundException

    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        sizes = _checked_sizes(archive, size)
        schema = json.loads(_checked_description(archive, size))
        nodes = list(_nodes(schema))
        if _rename_types(nodes, FORMER_NAMES):
            file = _copy(archive, schema, BytesIO())
    _check_repeated(schema, {})
    _check_nodes(shown, nodes, sizes, size, trusted)
    # skops keeps a list of these names for each part.
    found = {f"{node['__module__']}.{node['__class__']}" for node in nodes}
    known = [*(name for name in TRUSTED if name in found), *trusted]
    del schema, nodes  # skops reads them again
    with warnings.catch_warnings():
        # load_pipeline warns once, for all libraries.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            return skops.io.load(file, trusted=known)
        except UntrustedTypesFoundException as error:
            untrusted = sorted(set(skops.io.get_untrusted_types(file=file)) - set(known))
            raise _unsafe(shown, untrusted, _remedy(untrusted)) from error


def _rename_types(nodes: Iterable[dict[str, Any]], names: Mapping[str, str]) -> bool:
    """Rename types in the description of objects; return whether there were any."""
    renamed = False
    for node in nodes:
        name = names.get(f"{node.get('__module__')}.{node.get('__class__')}")
        if name is not None:
            node["__module__"], _, node["__class__"] = name.rpartition(".")
            renamed = True
    return renamed


def _copy(archive: zipfile.ZipFile, schema: Any, file: IO[bytes]) -> IO[bytes]:
    """Copy an archive with another description, and return the file."""
    with zipfile.ZipFile(file, "w") as copy:
        for name in archive.namelist():
            text = json.dumps(schema, indent=2) if name == _SCHEMA else archive.read(name)
            copy.writestr(name, text)
    return file


def _unsafe(path: Path, names: list[str], remedy: str = "") -> UnsafeModelError:
    return UnsafeModelError(
        f"The file {str(path)!r} holds types or functions that are not known to be safe:"
        f" {', '.join(short_text(name, _LONGEST_NAME) for name in names[:_MOST_NAMED])}."
        f" They could run code, or crash.{remedy}"
    )


def _checked_sizes(archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    """Return the sizes of an archive's files.

    No file may be compressed, larger than the archive, or larger than its header says.
    """
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
                _check_array(member, file.file_size, size)
    return sizes


def _checked_description(archive: zipfile.ZipFile, size: int) -> bytes:
    """Return the description of the objects, if Python objects of it fit into the bounds."""
    description = archive.read(_SCHEMA)
    n_containers = description.count(b"{") + description.count(b"[")
    if n_containers * _CONTAINER > _FREE + _TIMES * size:
        raise ValueError(f"its description has {n_containers:,} parts, too many for its size")
    return description


def _check_array(member: IO[bytes], size: int, size_of_all: int) -> None:
    """Check that an array has the size in its header: NumPy takes the memory before it reads."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = readers[np.lib.format.read_magic(member)](member)
    n_items = 1
    for length in shape:
        if not 0 <= length <= size_of_all:
            raise ValueError("an array has a length that is negative, or more than the file's")
        n_items *= length
    if (
        dtype.hasobject
        or (n_items and not dtype.itemsize)
        or member.tell() + n_items * dtype.itemsize != size
    ):
        raise ValueError("an array has another size than it says")


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a description that skops could take for the description of an object."""
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
    """Check that objects with the same number have descriptions of the same size; return the size.

    skops trusts the number of an object. Lists that refer to lists, ten times each, would otherwise
    become more than any memory holds.
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


def _check_nodes(
    path: Path,
    nodes: list[dict[str, Any]],
    sizes: dict[str, int],
    size: int,
    trusted: Sequence[str],
) -> None:
    unsafe, functions = set(), set()
    memory = 0
    # skops reads a file again for every object, but makes an object with a number once.
    read: dict[tuple[str, Any], int] = {}
    masked: dict[tuple[str, Any], int] = {}
    for index, node in enumerate(nodes):
        name = f"{node['__module__']}.{node['__class__']}"
        loader = node["__loader__"]
        memory += _NODE.get(loader, _OTHER_NODE)
        # Only `ObjectNode` makes a type of ours: it calls no constructor.
        is_misused = name in OWN_TYPES and loader != "ObjectNode"
        if loader not in _LOADERS or is_misused or name == "numpy.void":
            unsafe.add(name)
        if loader == "FunctionNode" and name not in trusted:  # skops trusts many
            functions.add(name)
        number = node.get("__id__")
        key = ("number", number) if number else ("index", index)
        if "file" in node:
            # Which of two descriptions with one number is read depends on skops.
            read[key] = max(read.get(key, 0), sizes[node["file"]])
        if loader == "MaskedArrayNode":  # NumPy may copy a mask, which several could share
            parts = node["content"].values()
            masked[key] = sum(sizes[part["file"]] for part in parts if "file" in part)
        _check_growth(node, loader)
    if unsafe:
        raise _unsafe(path, sorted(unsafe))
    if functions:
        raise _unsafe(path, sorted(functions), _remedy(sorted(functions)))
    if max(sum(read.values()), sum(masked.values())) > size:
        raise ValueError("more is read from it than there is in it")
    if memory > _FREE + _TIMES * size:
        raise ValueError(f"its description has {len(nodes):,} objects, too many for its size")


def _check_growth(node: dict[str, Any], loader: str) -> None:
    """Check that a value does not become larger than its parts, which others may share."""
    if loader == "JsonNode" and node["content"].lstrip()[:1] in ("[", "{"):
        raise ValueError("a plain value is a list")  # lists have descriptions of their own
    if loader == "NdArrayNode" and node.get("type") == "json":
        # NumPy makes each number of an array within an array of objects an object.
        waiting = list(node["content"])
        while waiting:
            one = waiting.pop()
            if one["__loader__"] in ("NdArrayNode", "MaskedArrayNode") and "file" in one:
                raise ValueError("an array lies within an array of objects")
            if one["__loader__"] in ("ListNode", "TupleNode"):
                waiting += one["content"]


def _remedy(names: list[str]) -> str:
    shown = [name[:_LONGEST_NAME] for name in names[:_MOST_NAMED]]
    return f" If you trust its maker, name them: trusted={shown}."
