"""Compressed files, read within limits.

A kilobyte can expand to gigabytes. What expands further than texts and numbers do is refused before
it is in memory.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

__all__ = [
    "CheckedStream",
    "ExpansionError",
    "fault_of_member",
    "most_bytes",
    "open_bz2",
    "open_xz",
    "within_limits",
]

_MOST_EXPANSION = 100
_SMALL = 16 << 20
_LONGEST_LINE = 16 << 20  # a character takes up to 16 bytes while a line is parsed


class ExpansionError(OSError):
    """A compressed file expands too far."""


def most_bytes(n_compressed: int, small: int = _SMALL) -> int:
    """Return how many bytes may come of compressed ones; ``small`` ones always may."""
    return max(small, n_compressed * _MOST_EXPANSION)


def within_limits(stream: IO[bytes] | Any, n_compressed: int) -> io.BufferedReader:
    """Return a decompressed stream that raises `ExpansionError` where it grows too long.

    The whole is limited, and each line, since a line has to fit into memory several times.
    """
    return io.BufferedReader(_Limited(stream, most_bytes(n_compressed)))


def fault_of_member(member: zipfile.ZipInfo) -> str:
    """Say why a member of a zip cannot be read in bounded memory; empty if it can.

    bzip2 and LZMA expand there without limit in one step.
    """
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed by another method than Deflate"
    return ""


def open_bz2(path: Path) -> io.RawIOBase:
    """Open a .bz2 file, which may hold several streams; what is damaged raises an error.

    `bz2.open` drops the rest of a file where a stream after the first is damaged at its beginning.
    """
    return _Streams(path.open("rb"), bz2.BZ2Decompressor)


def open_xz(path: Path) -> io.RawIOBase:
    """Open an .xz file; unlike `lzma.open`, it drops nothing either."""
    return _Streams(path.open("rb"), lzma.LZMADecompressor)


class _Streams(io.RawIOBase):
    """The data of compressed streams that follow each other, with zeros between them."""

    def __init__(self, file: IO[bytes], begin: Callable[[], Any]) -> None:
        self._file, self._begin, self._stream = file, begin, begin()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data, packed = b"", b""
        while not data:
            if self._stream.eof:
                packed = self._stream.unused_data.lstrip(b"\0")
                while not packed and (piece := self._file.read(io.DEFAULT_BUFFER_SIZE)):
                    packed = piece.lstrip(b"\0")
                if not packed:
                    return 0
                self._stream = self._begin()
            elif self._stream.needs_input and not (
                packed := self._file.read(io.DEFAULT_BUFFER_SIZE)
            ):
                raise EOFError("it ends within a compressed stream")
            data, packed = self._stream.decompress(packed, len(buffer)), b""
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        try:
            self._file.close()
        finally:
            super().close()


class CheckedStream(io.RawIOBase):
    """A stream whose bytes are passed to `check` before they are handed on."""

    def __init__(self, stream: IO[bytes] | Any) -> None:
        self._stream = stream

    def check(self, data: bytes) -> None:
        """Raise if the bytes are refused. There are none at the end of the stream."""
        raise NotImplementedError

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer and return the number of bytes."""
        data = self._stream.read(len(buffer))
        self.check(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the stream too."""
        try:
            self._stream.close()
        finally:
            super().close()


class _Limited(CheckedStream):
    """A stream of a limited length, of the whole and of each line."""

    def __init__(self, stream: IO[bytes] | Any, n_allowed: int) -> None:
        super().__init__(stream)
        self._n_allowed = n_allowed
        self._n_bytes = self._n_in_line = 0

    def check(self, data: bytes) -> None:
        """Count the bytes, and those of the last line."""
        self._n_bytes += len(data)
        end = data.rfind(b"\n")
        self._n_in_line = len(data) - end - 1 + (self._n_in_line if end < 0 else 0)
        remedy = "If you trust it, decompress it yourself and give the result."
        if self._n_bytes > self._n_allowed:
            raise ExpansionError(
                f"it expands to more than {_MOST_EXPANSION} times its size, at byte"
                f" {self._n_bytes:,}. {remedy}"
            )
        if self._n_in_line > _LONGEST_LINE:
            raise ExpansionError(f"it has a line longer than {_LONGEST_LINE:,} bytes. {remedy}")
