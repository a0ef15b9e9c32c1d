"""Sizes of the pages of a Parquet column, by their headers.

What the footer says of a column's size is a claim of whoever wrote the file. Arrow allocates what
the header of each page says, so these are read before Arrow is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, NamedTuple

__all__ = ["Page", "pages_of"]

_MOST_HEADER_BYTES = 16 << 20  # as in Arrow
_MOST_NESTING = 16

# Field numbers of the struct PageHeader of Parquet's format, and of the structs within it.
_UNCOMPRESSED, _COMPRESSED, _NUM_VALUES = 2, 3, 1
_DATA_PAGE, _DATA_PAGE_V2 = 5, 8

# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)


class Page(NamedTuple):
    """A page: its bytes before compression, and the number of values if it holds data."""

    n_bytes: int
    n_values: int


def pages_of(file: IO[bytes], column: Any) -> Iterator[Page]:
    """Yield the pages of a column of a row group, given pyarrow's ``ColumnChunkMetaData``.

    Raises ValueError if a header cannot be read.
    """
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    end = start + column.total_compressed_size
    n_values = 0
    while start < end and n_values < column.num_values:  # as Arrow does
        header, length = _header(file, start, end)
        n_bytes, n_stored = header.get(_UNCOMPRESSED, -1), header.get(_COMPRESSED, -1)
        if not all(isinstance(size, int) and size >= 0 for size in (n_bytes, n_stored)):
            raise ValueError(f"the page at byte {start:,} has no sizes")
        data = header.get(_DATA_PAGE) or header.get(_DATA_PAGE_V2)
        page = Page(n_bytes, data.get(_NUM_VALUES, 0) if isinstance(data, dict) else 0)
        yield page
        n_values += page.n_values
        start += length + n_stored


def _header(file: IO[bytes], start: int, end: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a page's header, and its number of bytes."""
    n_bytes = 256
    while True:
        file.seek(start)
        reader = _CompactReader(file.read(min(n_bytes, end - start)))
        try:
            return reader.struct(), reader.position
        except IndexError:
            if n_bytes >= min(end - start, _MOST_HEADER_BYTES):
                raise ValueError(f"the header of the page at byte {start:,} has no end") from None
        n_bytes *= 16


class _CompactReader:
    """Reads values of Thrift's compact protocol; IndexError says that bytes are missing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Read a struct as its fields by number."""
        if depth > _MOST_NESTING:
            raise ValueError("the header of a page is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_TRUE, _FALSE, _BYTE):  # a flag takes a byte in a list
            self._skip(1)
        elif kind == _DOUBLE:
            self._skip(8)
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind in (_LIST, _SET):
            head = self._byte()
            self._skip_values(head >> 4 if head >> 4 < 15 else self._varint(), [head & 15], depth)
        elif kind == _MAP:
            n = self._varint()
            head = self._byte() if n else 0
            self._skip_values(n, [head >> 4, head & 15], depth)
        else:
            raise ValueError(f"the header of a page has a field of the unknown type {kind}")
        return None

    def _skip_values(self, n: int, kinds: list[int], depth: int) -> None:
        if depth > _MOST_NESTING:
            raise ValueError("the header of a page is nested too deeply")
        for _ in range(n):  # each takes a byte at least, so this ends
            for kind in kinds:
                self._value(kind, depth + 1)

    def _byte(self) -> int:
        byte = self._data[self.position]
        self.position += 1
        return byte

    def _skip(self, n: int) -> None:
        self.position += n
        if self.position > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("the header of a page has a number that is too long")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
