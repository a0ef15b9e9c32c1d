"""Tests of package/compressed.py."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from bertvectorizer import compressed
from bertvectorizer.compressed import ExpansionError, fault_of_member, most_bytes, within_limits
from bertvectorizer.errors import InvalidTableError
from bertvectorizer.pipeline import read_chunks, read_conll, read_table
from tests.processes import run_python

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
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


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


def write_repeated(path: Path) -> None:
    """A text of 1 MiB, which stands once in the file, a thousand times."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["x" * MEGABYTE])
    parquet.write_table(pa.table({"text": text}), path, store_schema=False, compression="zstd")


def write_list(path: Path) -> None:
    """A row with a list of such texts."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["x" * MEGABYTE])
    lists = pa.ListArray.from_arrays(pa.array([0, 1000], pa.int32()), texts)
    parquet.write_table(pa.table({"text": lists}), path, store_schema=False, compression="zstd")


def write_prefixes(path: Path) -> None:
    """Texts of 1 MiB, each given by the length of what it shares with the one before."""
    texts = pa.array(["x" * MEGABYTE] * 300)
    parquet.write_table(
        pa.table({"text": texts}),
        path,
        use_dictionary=False,
        compression="zstd",
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
    )


def write_missing(path: Path) -> None:
    """Twenty million missing texts."""
    schema = pa.schema({"text": pa.string()})
    with parquet.ParquetWriter(path, schema) as file:
        for _ in range(20):
            file.write_table(pa.table({"text": pa.nulls(1_000_000, pa.string())}, schema))


def write_pages(path: Path) -> None:
    """Texts of 200 MiB together in the pages of one column."""
    parquet.write_table(
        pa.table({"text": ["x" * MEGABYTE] * 200}), path, use_dictionary=False, compression="gzip"
    )


def write_line(start: str, packer: str, path: Path) -> None:
    """A line of 48 MiB after so much noise that its size is in proportion to the file."""
    noise = "".join(f"{start}{os.urandom(500).hex()}{END[start]}\n" for _ in range(1500))
    header = "text\n" if start == "" else ""
    path.write_bytes(PACKERS[packer](f"{header}{noise}{start}".encode() + b"x" * (48 * MEGABYTE)))
    assert path.stat().st_size * 100 > 50 * MEGABYTE


END = {"": "", '{"text": "': '"}'}
BOMBS: dict[str, Callable[[Path], None]] = {
    "repeated.parquet": write_repeated,
    "list.parquet": write_list,
    "prefixes.parquet": write_prefixes,
    "missing.parquet": write_missing,
    "pages.parquet": write_pages,
    **{
        f"line.{kind}.{packer}": partial(write_line, start, packer)
        for kind, start in (("csv", ""), ("jsonl", '{"text": "'))
        for packer in PACKERS
    },
}
READ = """
import sys
from bertvectorizer.errors import InvalidTableError
from bertvectorizer.pipeline import read_chunks
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))
list(read_chunks(sys.argv[1], ["text"], 4096))
before = peak()
try:
    for chunk in read_chunks(sys.argv[2], ["text"], 4096):
        chunk = None
    print("it was read")
except InvalidTableError as error:
    print(error)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells no peak")
@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_little_memory(name: str, tmp_path: Path) -> None:
    small, path = tmp_path / f"small.{name.partition('.')[2]}", tmp_path / name
    BOMBS[name](path)
    assert path.stat().st_size < 2 * MEGABYTE
    if name.endswith("parquet"):
        pd.DataFrame({"text": ["x"]}).to_parquet(small)
    else:
        kind, packer = name.split(".")[1:]
        start = READERS[kind][0]
        small.write_bytes(PACKERS[packer]((start + END.get(start, "")).encode()))
    message, grown = run_python(READ, small, path).splitlines()
    assert "it expands to" in message or "has a line longer" in message or "column" in message
    assert int(grown) < 250, "MiB"


def test_what_repeats_within_the_limits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    texts = [f"{number} bats" * 9 for number in range(50)] * 2000
    for kind in (str, "category"):
        pd.DataFrame({"text": texts}).astype(kind).to_parquet(path, row_group_size=30_000)
        chunks = list(read_chunks(path, ["text"], 4096))
        assert {len(chunk) for chunk in chunks[:-1]} == {4096}
        assert [text for chunk in chunks for text in chunk["text"]] == texts


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_that_expand_in_one_step_are_refused(method: int, tmp_path: Path) -> None:
    path = tmp_path / "table.csv.zip"
    path.write_bytes(zipped(b"text\nx\n", method))
    with pytest.raises(InvalidTableError, match=r"another method than Deflate\. Extract it"):
        read_table(path, ["text"])


@pytest.mark.parametrize(
    ("ending", "pack"), [("bz2", bz2.compress), ("gz", gzip.compress), ("xz", lzma.compress)]
)
def test_no_stream_after_the_first_is_lost(
    ending: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"table.csv.{ending}"
    first, second = pack(b"text\na bat\n"), pack(b"b\n" * 50_000)
    for between in (b"", b"\0" * 8192 * 3):
        path.write_bytes(first + between + second + between)
        assert read_table(path, ["text"])["text"].tolist() == ["a bat", *["b"] * 50_000]
    for damaged in (b"X" + second[1:], b"garbage", second[: len(second) // 2]):
        path.write_bytes(first + damaged)
        with pytest.raises(InvalidTableError, match="cannot be read"):
            read_table(path, ["text"])
    conll = tmp_path / f"words.conll.{ending}"
    conll.write_bytes(pack(b"bat O\n") + b"garbage")
    with pytest.raises(InvalidTableError, match="cannot be read"):
        read_conll(conll)


def test_a_zip_may_hold_the_folder_of_its_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "table.csv.zip", "w") as archive:
        archive.mkdir("tables")
        archive.writestr("tables/table.csv", "text\na bat\n")
    assert read_table(tmp_path / "table.csv.zip", ["text"])["text"].tolist() == ["a bat"]
