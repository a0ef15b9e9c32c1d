"""Read files of word vectors: plain, gzip or in a zip, recognized by their first bytes."""

from __future__ import annotations

import gzip
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from ...compressed import ExpansionError, within_limits
from ...errors import ModelIntegrityError, ModelNotFoundError, UnsafeModelError
from ...foreign import foreign_errors_as
from ...validation import invalid
from .array_formats import check_member, read_npz, read_safetensors
from .checks import Faults
from .text_format import read_header, read_text
from .word2vec_format import read_word2vec_binary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Blocks = Iterator[tuple[list[str], NDArray[np.float32]]]

__all__ = ["VectorFile", "find", "read_blocks"]

_FIRST_BYTES = 1 << 16
_FASTTEXT_BINARY = (793712314).to_bytes(4, "little")


class VectorFile(NamedTuple):
    """A file of word vectors; ``member`` names one in a zip archive."""

    path: Path
    member: str | None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"


class _Compressed:
    """A stream that is decompressed within limits."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, name: str, size: int) -> None:
        self._stream, self._name = within_limits(stream, size), name
        self._n_bytes = 0

    def read(self, n: int) -> bytes:
        with foreign_errors_as(
            ModelIntegrityError,
            f"The file '{self._name}' cannot be decompressed beyond byte {self._n_bytes:,}",
            "Fetch it again.",
        ):
            try:
                data = self._stream.read(n)
            except ExpansionError as error:
                raise ModelIntegrityError(
                    f"The file '{self._name}' cannot be read: {error}"
                ) from None
        self._n_bytes += len(data)
        return data


def find(path: str | os.PathLike[str]) -> VectorFile:
    """Return the file at a path, which may continue in an archive: ``a.zip/member.txt``."""
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise invalid("vectors", "the path of a file", path)
    full = Path(os.path.expanduser(path)).absolute()
    if os.path.isdir(full):
        raise ModelNotFoundError(
            f"'{full}' is a directory, and holds no static model of sentence-transformers or"
            " model2vec; give the path of a file of word vectors in it."
        )
    for candidate in (full, *full.parents):
        if os.path.isfile(candidate):
            inside = full.relative_to(candidate).as_posix()
            if candidate != full and not zipfile.is_zipfile(candidate):
                break
            return VectorFile(candidate, None if inside == "." else inside)
    raise ModelNotFoundError(
        f"There is no file '{full}' of word vectors. Give the path of a file in GloVe, word2vec or"
        " fastText format."
    )


def read_blocks(source: VectorFile, faults: Faults | None = None) -> Blocks:
    """Yield words and vectors of shape (n_words, n_dims), block by block in bounded memory.

    Vectors are finite and float32. The words of all blocks are distinct. ``faults`` counts the rows
    that are left out; without it they are errors.
    """
    path, name = source.path, str(source)
    size = path.stat().st_size
    with _opening(f"file '{path}' cannot be read"), open(path, "rb") as file:
        start = file.read(9)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _read_zip(source, faults)
    elif start.startswith(b"\x1f\x8b"):
        with gzip.open(path) as stream:
            yield from _read_stream(_Compressed(stream, name, size).read, name, None, faults)
    elif start[4:] == b"\0\0\0\0{":  # after the length of the header
        yield read_safetensors(path, faults)
    else:
        with open(path, "rb") as file:
            yield from _read_stream(file.read, name, size, faults)


def _opening(fault: str) -> AbstractContextManager[None]:
    return foreign_errors_as(ModelIntegrityError, f"The {fault}", "Fetch it again.")


def _read_zip(source: VectorFile, faults: Faults | None) -> Blocks:
    with _opening(f"file '{source.path}' cannot be read as a zip archive"):
        archive = zipfile.ZipFile(source.path)
    with archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        if source.member is None and any(info.filename.endswith(".npy") for info in members):
            yield read_npz(archive, source.path, faults)
            return
        chosen = [info for info in members if source.member in (None, info.filename)]
        if len(chosen) != 1:
            names = ", ".join(info.filename for info in members[:8])
            raise ModelNotFoundError(
                f"The archive '{source.path}' holds {len(chosen)} files that could be meant:"
                f" {names}. Name one, as in"
                f" '{source.path.name}/{members[0].filename if members else 'vectors.txt'}'."
            )
        name = f"{source.path}/{chosen[0].filename}"
        check_member(chosen[0], f"The file '{name}'")
        with _opening(f"file '{name}' cannot be decompressed"):
            stream = archive.open(chosen[0])
        with stream:
            yield from _read_stream(
                _Compressed(stream, name, chosen[0].compress_size).read, name, None, faults
            )


def _read_stream(
    read: Callable[[int], bytes], name: str, size: int | None, faults: Faults | None
) -> Blocks:
    """Read text or word2vec's binary format; ``size`` of the file, if known, bounds its header."""
    first = b""
    while len(first) < _FIRST_BYTES and (data := read(_FIRST_BYTES - len(first))):
        first += data
    _refuse_other_formats(first, name)
    header = read_header(first, name, size)
    if header is not None and not header.is_text:
        yield from read_word2vec_binary(first, read, header, name, faults)
    else:
        yield from read_text(first, read, header, name, faults)


def _refuse_other_formats(first: bytes, name: str) -> None:
    if first[:1] == b"\x80" and first[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise UnsafeModelError(
            f"The file '{name}' is a pickle, and loading a pickle can run code. Remedy: where you"
            " trust it, KeyedVectors.load(path) and give that object, or write it once by"
            " save_word2vec_format() and give the result."
        )
    if first.startswith(b"\x93NUMPY"):
        raise UnsafeModelError(
            f"The file '{name}' is a NumPy array, which has no words and may hold pickled objects. "
            "Remedy: np.savez('table.npz', words=words, vectors=vectors)."
        )
    if first.startswith(_FASTTEXT_BINARY):
        raise ModelIntegrityError(
            f"The file '{name}' is a fastText model in its own binary format. Remedy: give the .vec"
            " file beside it, or, for subwords,"
            " gensim.models.fasttext.load_facebook_vectors(path)."
        )
