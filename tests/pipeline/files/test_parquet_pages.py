"""Sizes of Parquet pages, as their headers have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from bertvectorizer.errors import InvalidTableError
from bertvectorizer.pipeline import read_table
from bertvectorizer.pipeline.files.parquet_pages import Page, pages_of

WRITERS: dict[str, dict[str, Any]] = {
    "default": {},
    "version 2": {"compression": "zstd", "data_page_version": "2.0"},
    "checksums": {"write_page_checksum": True, "compression": "gzip"},
    "plain": {"use_dictionary": False, "compression": None, "store_schema": False},
    "prefixes": {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
    "statistics in pages": {"data_page_size": 2000, "write_page_index": False},
    "groups": {"row_group_size": 700, "data_page_size": 500},
}


def pages(path: Path) -> dict[tuple[int, str], list[Page]]:
    metadata = parquet.ParquetFile(path).metadata
    found = {}
    with path.open("rb") as file:
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for column in map(group.column, range(group.num_columns)):
                found[number, column.path_in_schema] = list(pages_of(file, column))
    return found


@pytest.mark.parametrize("writer", WRITERS)
def test_sizes_and_numbers_of_values_are_those_of_the_column(writer: str, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    texts = [f"text {row} " * 9 if row % 7 else None for row in range(3000)]
    table = pa.table({"text": texts, "n": range(3000), "words": [["a", "bat"], []] * 1500})
    parquet.write_table(table, path, **WRITERS[writer])
    metadata = parquet.ParquetFile(path).metadata
    for (number, name), own in pages(path).items():
        group = metadata.row_group(number)
        column = next(
            one for one in map(group.column, range(group.num_columns)) if one.path_in_schema == name
        )
        n_headers = column.total_uncompressed_size - sum(page.n_bytes for page in own)
        assert 0 < n_headers < 200 * len(own), name
        assert sum(page.n_values for page in own) == column.num_values


def lie(path: Path, size: int) -> None:
    """Make the footer say that its first column takes 9 bytes before compression."""
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    old, value = b"", 2 * size  # a signed number, as Thrift has it
    while value > 127:
        old, value = old + bytes([value & 127 | 128]), value >> 7
    old += bytes([value])
    new = bytes([18 | 128, *[128] * (len(old) - 2), 0])
    assert data.count(old, footer) == 2, "of the column and of its row group"
    path.write_bytes(data[:footer] + data[footer:].replace(old, new))


def test_a_footer_that_lies_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = pa.table({"text": ["x" * (40 << 20)]})
    parquet.write_table(
        table, path, compression="zstd", use_dictionary=False, write_statistics=False
    )
    column = parquet.ParquetFile(path).metadata.row_group(0).column(0)
    lie(path, column.total_uncompressed_size)
    metadata = parquet.ParquetFile(path).metadata
    assert metadata.row_group(0).column(0).total_uncompressed_size == 9
    with pytest.raises(InvalidTableError, match=r"column 'text' expands to 41,943,\d{3} bytes"):
        read_table(path, ["text"])


@pytest.mark.parametrize("byte", [0x00, 0x1C, 0x1D, 0x8F, 0xFF])
def test_a_damaged_header_is_an_error_of_the_file(byte: int, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    parquet.write_table(pa.table({"text": ["a", "b"]}), path)
    start = parquet.ParquetFile(path).metadata.row_group(0).column(0).dictionary_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 12] = bytes([byte]) * 12
    path.write_bytes(data)
    with pytest.raises(InvalidTableError, match="cannot be read as parquet: "):
        read_table(path, ["text"])
