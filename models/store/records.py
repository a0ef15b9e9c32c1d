"""What the store keeps of one text: vectors of layers under poolings, each with a checksum."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DamagedRecordError",
    "Record",
    "extend",
    "is_sound",
    "names_in",
    "pack",
    "part_name",
    "unpack",
]

# Checksum of all that follows up to the vectors; tokens of the text, tokens lost, number of parts,
# width of a vector.
_HEADER = struct.Struct("<IIIII")
_NAME_BYTES = 8
_CHECKSUM_BYTES = 4
_NUMBER_BYTES = 4


class DamagedRecordError(ValueError):
    """A record has a wrong checksum or another shape."""


class Record(NamedTuple):
    """Vectors of one text, of shape (n_parts, hidden), float32.

    ``n_lost`` of its ``n_tokens`` tokens are not seen by the model.
    """

    n_tokens: int
    n_lost: int
    vectors: NDArray[np.float32]


@lru_cache(maxsize=4096)
def part_name(description: str) -> bytes:
    """Return the name of a part in a record: a digest of its description, 8 bytes."""
    return hashlib.blake2b(description.encode(), digest_size=_NAME_BYTES).digest()


def pack(record: Record, names: Sequence[bytes]) -> bytes:
    """Return a record as bytes, little-endian on every machine."""
    vectors = np.ascontiguousarray(record.vectors, dtype="<f4")
    checksums = b"".join(
        [zlib.crc32(vector).to_bytes(_CHECKSUM_BYTES, "little") for vector in vectors]
    )
    return _assemble(
        record,
        names=b"".join(names),
        checksums=checksums,
        width=vectors.shape[1],
        vectors=vectors.tobytes(),
    )


def extend(data: bytes, record: Record, names: Sequence[bytes]) -> bytes:
    """Return a packed record with further parts; those that it holds stay bit for bit."""
    old = _Layout.of(data)
    new = _Layout.of(more := pack(record, names))
    return _assemble(
        record,
        names=old.names(data) + new.names(more),
        checksums=data[old.checksums : old.vectors] + more[new.checksums : new.vectors],
        width=new.width,
        vectors=data[old.vectors :] + more[new.vectors :],
    )


def unpack(data: Any, names: Sequence[bytes], width: int | None = None) -> Record | None:
    """Return the parts with these names, or None if the record lacks one.

    `DamagedRecordError` is raised for a wrong checksum, and for vectors that have another width.
    """
    layout = _Layout.of(data)
    if width is not None and layout.width != width:
        raise DamagedRecordError(f"its vectors have {layout.width} numbers, not {width}")
    positions = _positions(layout.names(data), tuple(names))
    if positions is None:
        return None
    size = layout.width * _NUMBER_BYTES
    vectors = [layout.vector(data, position) for position in positions]
    joined = vectors[0] if len(vectors) == 1 else b"".join(vectors)
    return Record(
        layout.n_tokens,
        layout.n_lost,
        np.frombuffer(joined, dtype="<f4").reshape(len(vectors), size // _NUMBER_BYTES),
    )


def names_in(data: Any) -> tuple[bytes, ...]:
    """Return the names of the parts that a record holds."""
    names = _Layout.of(data).names(data)
    return tuple(names[start : start + _NAME_BYTES] for start in range(0, len(names), _NAME_BYTES))


def is_sound(data: Any, width: int | None = None) -> bool:
    """Return whether every checksum of a record is right, and so is the width of its vectors."""
    try:
        unpack(data, names_in(data), width)
    except DamagedRecordError:
        return False
    return True


class _Layout(NamedTuple):
    """Offsets of the fields of a record."""

    n_tokens: int
    n_lost: int
    width: int
    checksums: int
    vectors: int

    @classmethod
    def of(cls, data: Any) -> _Layout:
        """Read the header, and check that the rest fits it."""
        if not isinstance(data, bytes) or len(data) < _HEADER.size:
            raise DamagedRecordError("it is not a record")
        checksum, n_tokens, n_lost, n_parts, width = _HEADER.unpack_from(data)
        checksums = _HEADER.size + n_parts * _NAME_BYTES
        vectors = checksums + n_parts * _CHECKSUM_BYTES
        if (
            not n_parts
            or len(data) != vectors + n_parts * width * _NUMBER_BYTES
            or zlib.crc32(data[4:vectors]) != checksum
        ):
            raise DamagedRecordError("its header is damaged")
        return cls(n_tokens, n_lost, width, checksums=checksums, vectors=vectors)

    def names(self, data: bytes) -> bytes:
        return data[_HEADER.size : self.checksums]

    def vector(self, data: bytes, position: int) -> bytes:
        size = self.width * _NUMBER_BYTES
        vector = data[self.vectors + position * size : self.vectors + (position + 1) * size]
        at = self.checksums + position * _CHECKSUM_BYTES
        if zlib.crc32(vector) != int.from_bytes(data[at : at + _CHECKSUM_BYTES], "little"):
            raise DamagedRecordError("its numbers are damaged")
        return vector


def _assemble(
    record: Record, *, names: bytes, checksums: bytes, width: int, vectors: bytes
) -> bytes:
    """Return the bytes of a record; all but its numbers of tokens is given as bytes."""
    n_parts = len(names) // _NAME_BYTES
    header = _HEADER.pack(0, record.n_tokens, record.n_lost, n_parts, width)
    head = header[_CHECKSUM_BYTES:] + names + checksums
    return b"".join((zlib.crc32(head).to_bytes(_CHECKSUM_BYTES, "little"), head, vectors))


@lru_cache(maxsize=1024)
def _positions(held: bytes, names: tuple[bytes, ...]) -> tuple[int, ...] | None:
    """Return the positions of names among those that a record holds; few patterns serve all."""
    positions = {
        held[start : start + _NAME_BYTES]: start // _NAME_BYTES
        for start in range(0, len(held), _NAME_BYTES)
    }
    found = tuple(positions[name] for name in names if name in positions)
    return found if len(found) == len(names) else None
