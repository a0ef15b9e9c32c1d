"""Read and write tables as arrays, safetensors and npz, without pickles."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...compressed import fault_of_member, most_bytes
from ...errors import InvalidParameterError, ModelIntegrityError, UnsafeModelError
from ...foreign import foreign_errors_as
from ...output_file import atomic_write, output_fault
from ...validation import short_repr
from .checks import Faults, check_shape, check_vectors, check_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = tuple[list[str], NDArray[np.float32]]

__all__ = ["check_member", "read_npz", "read_safetensors", "write_safetensors"]

_VECTORS = ("vectors", "embeddings", "embedding")
# Arrays up to these sizes may be as easy to compress as they like. A word takes far more memory
# as a str than as a few characters of an array.
_SMALL_VECTORS = 8 << 20
_SMALL_WORDS = 1 << 20
_LONGEST_WORD = 1 << 16


def write_safetensors(path: Path, words: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Write a table, atomically; words are a JSON list in utf-8 bytes."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    listed = np.frombuffer(json.dumps(list(words)).encode("utf-8"), dtype=np.uint8)
    try:
        if fault := output_fault(path):
            raise OSError(fault.rstrip("."))
        with atomic_write(path) as draft:
            save_file({"vectors": np.ascontiguousarray(vectors), "words": listed}, draft.name)
    except (OSError, SafetensorError) as error:
        raise InvalidParameterError(
            "The 'path' parameter must be a file in a directory that can be written to. Got"
            f" '{path}' instead: {error}."
        ) from error


def read_safetensors(path: Path, faults: Faults | None = None) -> Table:
    """Read a table as `write_safetensors` writes it."""
    from safetensors import safe_open

    with (  # it may be damaged, or have a dtype that NumPy lacks
        _reading(f"file '{path}' cannot be read as safetensors"),
        safe_open(path, framework="np") as file,
    ):
        names = list(file.keys())
        kind = next((name for name in _VECTORS if name in names), None)
        if kind is None or "words" not in names:
            raise ModelIntegrityError(
                f"The file '{path}' must hold the tensors 'vectors' and 'words', as"
                f" WordVectors.save() writes them. It holds {short_repr(names)}."
            )
        vectors, listed = file.get_tensor(kind), file.get_tensor("words")
    with _reading(f"tensor 'words' of '{path}' must be a JSON list in utf-8 bytes"):
        words = json.loads(listed.tobytes())
    return _checked(words, vectors, path, faults)


def read_npz(archive: zipfile.ZipFile, path: Path, faults: Faults | None = None) -> Table:
    """Read the arrays ``words`` and ``vectors`` of an npz file; refuse pickled objects."""
    members = {info.filename: info for info in archive.infolist()}
    kind = next((name for name in _VECTORS if f"{name}.npy" in members), None)
    if kind is None or "words.npy" not in members:
        raise ModelIntegrityError(
            f"The file '{path}' must hold the arrays 'words' and 'vectors'. It holds"
            f" {sorted(members)[:8]}."
        )
    limits = {"words": _SMALL_WORDS, kind: _SMALL_VECTORS}
    shapes = [
        _checked_shape(archive, members[f"{name}.npy"], path, small)
        for name, small in limits.items()
    ]
    if len(shapes[0]) == 1:  # other words are refused below
        _as_integrity_error(path, check_shape, shapes[1], shapes[0][0])
    words, vectors = (_read_array(archive, members[f"{name}.npy"], path) for name in limits)
    with _reading(f"array 'words' of '{path}' must be utf-8"):
        listed = (np.char.decode(words, "utf-8") if words.dtype.kind == "S" else words).tolist()
    return _checked(listed, vectors, path, faults)


def check_member(member: zipfile.ZipInfo, where: str) -> None:
    """Refuse encrypted members, and methods (bzip2, LZMA) that expand without limit in one step."""
    if fault := fault_of_member(member):
        raise ModelIntegrityError(f"{where} {fault}. Extract it, and give the result.")


def _checked_shape(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, small: int
) -> tuple[int, ...]:
    """Return the shape of an array that is as large as it promises, and can be read safely."""
    where = f"The array '{member.filename}' of '{path}'"
    if member.file_size > most_bytes(member.compress_size, small):
        raise ModelIntegrityError(
            f"{where} promises {member.file_size:,} bytes from {member.compress_size:,}: no array"
            " is so easy to compress."
        )
    check_member(member, where)
    fault = f"array '{member.filename}' of '{path}' cannot be read"
    with _reading(fault), archive.open(member) as file:
        is_version_1 = np.lib.format.read_magic(file) == (1, 0)
        read = (
            np.lib.format.read_array_header_1_0
            if is_version_1
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise UnsafeModelError(
                f"{where} holds pickled objects, and loading these can run code. Write it anew:"
                " words=np.array(words, dtype=str)."
            )
        promised = int(np.prod(shape, dtype=object)) * dtype.itemsize + file.tell()
        if promised != member.file_size or not dtype.itemsize:  # items of size 0 always fit
            raise ModelIntegrityError(
                f"{where} promises {promised:,} bytes and has {member.file_size:,}. Fetch it again."
            )
        if dtype.itemsize > _LONGEST_WORD:
            raise ModelIntegrityError(
                f"{where} has items of {dtype.itemsize:,} bytes, and no word is longer than"
                f" {_LONGEST_WORD:,}."
            )
        return tuple(shape)


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    fault = f"array '{member.filename}' of '{path}' cannot be read"
    with _reading(fault), archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _reading(fault: str) -> AbstractContextManager[None]:
    return foreign_errors_as(ModelIntegrityError, f"The {fault}", "Fetch it again.")


def _checked(words: Any, vectors: NDArray[Any], path: Path, faults: Faults | None) -> Table:
    if faults and faults.on_error != "raise" and isinstance(words, list):
        _as_integrity_error(path, check_shape, vectors.shape, len(words))
        if vectors.dtype.kind in "fiu":
            with np.errstate(over="ignore"):  # overflow is a fault
                words, vectors = faults.leave_out(
                    words, vectors.astype(np.float32, copy=False), f"'{path}'"
                )
    listed: list[str] = _as_integrity_error(path, check_words, words)
    array = _as_integrity_error(path, check_vectors, vectors, len(listed))
    return listed, np.ascontiguousarray(array)


def _as_integrity_error(path: Path, check: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a check returns; its error is that of the file."""
    try:
        return check(*arguments)
    except InvalidParameterError as error:
        raise ModelIntegrityError(
            f"The file '{path}' holds no table of word vectors. {error}"
        ) from error
