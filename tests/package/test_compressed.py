"""Tests of package/compressed.py."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bertvectorizer import compressed
from bertvectorizer.compressed import ExpansionError, fault_of_member, most_bytes, within_limits
from bertvectorizer.errors import InvalidTableError
from bertvectorizer.pipeline import read_conll, read_table

MEGABYTE = 1 << 20


def test_small_files_may_expand_as_far_as_they_like() -> None:
    assert most_bytes(0) == most_bytes(100) == most_bytes(1000, small=16 * MEGABYTE)
    assert most_bytes(MEGABYTE) == 100 * MEGABYTE
    assert most_bytes(1000, small=10) == 100_000


def test_what_is_within_the_limits_is_read_as_it_is() -> None:
    data = b"a bat\n" * 50_000
    assert within_limits(io.BytesIO(data), len(data)).read() == data
    assert b"".join(within_limits(io.BytesIO(data), len(data))) == data
    with within_limits(inner := io.BytesIO(data), 1) as stream:
        assert stream.readline() == b"a bat\n"
    assert inner.closed


def test_the_whole_and_each_line_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_LONGEST_LINE", 10_000)
    lines = within_limits(io.BytesIO((b"x" * 9999 + b"\n") * 100), 10_000)
    assert len(lines.read()) == 1_000_000
    with pytest.raises(ExpansionError, match="it has a line longer than 10,000 bytes"):
        within_limits(io.BytesIO((b"x" * 9999 + b"\n") * 9 + b"x" * 10_001), 10_000).read()
    with pytest.raises(ExpansionError, match=r"more than 100 times its size, at byte 16,7\d\d,\d"):
        within_limits(io.BytesIO(b"\n" * 17 * MEGABYTE), 1000).read()


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        (zipfile.ZIP_STORED, ""),
        (zipfile.ZIP_DEFLATED, ""),
        (zipfile.ZIP_BZIP2, "is compressed by another method than Deflate"),
        (zipfile.ZIP_LZMA, "is compressed by another method than Deflate"),
    ],
)
def test_members_of_a_zip(method: int, fault: str) -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(b"text", method))) as archive:
        (member,) = archive.infolist()
    assert fault_of_member(member) == fault
    member.flag_bits |= 1
    assert fault_of_member(member) == "is encrypted"


def zipped(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("table", data)
    return buffer.getvalue()


def zst(data: bytes) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    return bytes(pyarrow.compress(data, codec="zstd", asbytes=True))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "csv": ("text\nx", lambda path: read_table(path, ["text"])),
    "tsv": ("text\nx", lambda path: read_table(path, ["text"])),
    "jsonl": ('{"text": "', lambda path: read_table(path, ["text"])),
    "conll": ("x", read_conll),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
    "zip": zipped,
    "zst": zst,
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("packer", PACKERS)
def test_no_table_expands_without_limit(kind: str, packer: str, tmp_path: Path) -> None:
    if kind == "conll" and packer in ("zip", "zst"):
        pytest.skip("read_conll refuses these")
    start, read = READERS[kind]
    path = tmp_path / f"table.{kind}.{packer}"
    path.write_bytes(PACKERS[packer](start.encode() + b"x" * (20 * MEGABYTE)))
    assert path.stat().st_size < MEGABYTE / 10
    with pytest.raises(InvalidTableError, match=r"than 100 times its size, at byte 1[67],\d{3},"):
        read(path)


def test_no_column_of_parquet_expands_without_limit(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame({"text": ["x" * (20 * MEGABYTE)], "short": ["x"]})
    frame.to_parquet(path, compression="zstd")
    assert path.stat().st_size < MEGABYTE / 10
    with pytest.raises(
        InvalidTableError, match=r"column 'text' expands to [24]\d,\d{3},\d{3} bytes"
    ):
        read_table(path, ["text"])
    assert read_table(path, ["short"])["short"].tolist() == ["x"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_that_expand_in_one_step_are_refused(method: int, tmp_path: Path) -> None:
    path = tmp_path / "table.csv.zip"
    path.write_bytes(zipped(b"text\nx\n", method))
    with pytest.raises(InvalidTableError, match=r"another method than Deflate\. Extract it"):
        read_table(path, ["text"])
