"""What the store keeps of one text: vectors of some layers under some poolings, each with a checksum."""

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

# Checksum of what follows up to the vectors; tokens of the text, tokens lost, parts, numbers in a
# vector.
_HEADER = struct.Struct("<IIIII")
_NAME_BYTES = 8
_CHECKSUM_BYTES = 4
_NUMBER_BYTES = 4


class DamagedRecordError(ValueError):
    """The checksum of a record is wrong."""


class Record(NamedTuple):
    """Vectors of one text.

    Attributes
    ----------
    n_tokens, n_lost : int
        Tokens of the text, and those that the model does not see.
    vectors : ndarray
        The parts that were asked for, in that order. *Shape:* ``(n_parts, hidden)``, float32.
    """

    n_tokens: int
    n_lost: int
    vectors: NDArray[np.float32]


@lru_cache(maxsize=4096)
def part_name(words: str) -> bytes:
    """Return the name under which a record holds a part: 8 bytes that stand for its description."""
    return hashlib.blake2b(words.encode(), digest_size=_NAME_BYTES).digest()


def pack(record: Record, names: Sequence[bytes]) -> bytes:
    """Return a record as bytes, little-endian on every machine."""
    vectors = np.ascontiguousarray(record.vectors, dtype="<f4")
    checksums = b"".join(
        [zlib.crc32(vector).to_bytes(_CHECKSUM_BYTES, "little") for vector in vectors]
    )
    return _assemble(
        record.n_tokens,
        record.n_lost,
        b"".join(names),
        checksums,
        vectors.shape[1],
        vectors.tobytes(),
    )


def extend(data: bytes, record: Record, names: Sequence[bytes]) -> bytes:
    """Return a packed record with further parts; those that it holds stay as they are, bit for bit."""
    old = _Layout.of(data)
    new = _Layout.of(more := pack(record, names))
    return _assemble(
        record.n_tokens,
        record.n_lost,
        old.names(data) + new.names(more),
        data[old.checksums : old.vectors] + more[new.checksums : new.vectors],
        new.width,
        data[old.vectors :] + more[new.vectors :],
    )


def unpack(data: Any, names: Sequence[bytes]) -> Record | None:
    """Return the parts asked for.

    Returns
    -------
    Record or None
        None if the record lacks one of the parts.

    Raises
    ------
    DamagedRecordError
        If a checksum is wrong.
    """
    layout = _Layout.of(data)
    places = _places(layout.names(data), tuple(names))
    if places is None:
        return None
    size = layout.width * _NUMBER_BYTES
    vectors = [layout.vector(data, place) for place in places]
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


def is_sound(data: Any) -> bool:
    """Tell whether every checksum of a record is right."""
    try:
        unpack(data, names_in(data))
    except DamagedRecordError:
        return False
    return True


class _Layout(NamedTuple):
    """Where things lie in a record."""

    n_tokens: int
    n_lost: int
    width: int
    checksums: int
    vectors: int

    @classmethod
    def of(cls, data: Any) -> _Layout:
        """Read the header, and check that what it says of the rest is so."""
        if not isinstance(data, bytes) or len(data) < _HEADER.size:
            raise DamagedRecordError("it is no record")
        checksum, n_tokens, n_lost, n_parts, width = _HEADER.unpack_from(data)
        checksums = _HEADER.size + n_parts * _NAME_BYTES
        vectors = checksums + n_parts * _CHECKSUM_BYTES
        if (
            not n_parts
            or len(data) != vectors + n_parts * width * _NUMBER_BYTES
            or zlib.crc32(data[4:vectors]) != checksum
        ):
            raise DamagedRecordError("its header is damaged")
        return cls(n_tokens, n_lost, width, checksums, vectors)

    def names(self, data: bytes) -> bytes:
        return data[_HEADER.size : self.checksums]

    def vector(self, data: bytes, place: int) -> bytes:
        size = self.width * _NUMBER_BYTES
        vector = data[self.vectors + place * size : self.vectors + (place + 1) * size]
        at = self.checksums + place * _CHECKSUM_BYTES
        if zlib.crc32(vector) != int.from_bytes(data[at : at + _CHECKSUM_BYTES], "little"):
            raise DamagedRecordError("its numbers are damaged")
        return vector


def _assemble(
    n_tokens: int, n_lost: int, names: bytes, checksums: bytes, width: int, vectors: bytes
) -> bytes:
    head = (
        _HEADER.pack(0, n_tokens, n_lost, len(names) // _NAME_BYTES, width)[4:] + names + checksums
    )
    return b"".join((zlib.crc32(head).to_bytes(4, "little"), head, vectors))


@lru_cache(maxsize=1024)
def _places(held: bytes, wanted: tuple[bytes, ...]) -> tuple[int, ...] | None:
    """Where a record with these names holds the parts asked for; a handful of patterns serves all records."""
    places = {
        held[start : start + _NAME_BYTES]: start // _NAME_BYTES
        for start in range(0, len(held), _NAME_BYTES)
    }
    return (
        tuple(places[name] for name in wanted) if all(name in places for name in wanted) else None
    )
