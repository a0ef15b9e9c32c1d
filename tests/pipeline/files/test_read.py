from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError, InvalidTableError
from bertvectorizer.pipeline import read_chunks, read_table
from bertvectorizer.pipeline.files.read import read_sample
from tests.processes import run_python

TEXTS = [
    "plain",
    'He said "bat", twice',
    "two\nlines",
    "tab\there",
    "comma, and; semicolon",
    "naïve café 🦇",
    "NA",
    "  spaces  ",
    "'",
]
LABELS = ["a", "b", "c", "1", "01", "true", "null", "None", "nan"]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"number": range(len(TEXTS)), "text": TEXTS, "label": LABELS})


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


def write_bom(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False, encoding="utf-8-sig")
    return path


def write_zst(frame: pd.DataFrame, path: Path) -> Path:
    import pyarrow as pa

    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(frame.to_csv(index=False).encode())
    return path


def write_zip(frame: pd.DataFrame, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("table.csv", frame.to_csv(index=False))
        archive.writestr("__MACOSX/._table.csv", "rubbish")
    return path


def write_parquet(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_parquet(path, row_group_size=4)
    return path


def write_jsonl(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_json(path, orient="records", lines=True)
    return path


FORMATS: dict[str, Callable[[pd.DataFrame, Path], Path]] = {
    "table.csv": write_csv,
    "TABLE.CSV": write_csv,
    "dotted.name.csv": write_csv,
    "bom.csv": write_bom,
    "table.csv.gz": write_csv,
    "table.csv.bz2": write_csv,
    "table.csv.xz": write_csv,
    "table.csv.zst": write_zst,
    "table.csv.zip": write_zip,
    "table.parquet": write_parquet,
    "table.pq": write_parquet,
    "table.jsonl": write_jsonl,
    "table.ndjson": write_jsonl,
    "table.json": write_jsonl,
    "table.jsonl.gz": write_jsonl,
    "table.jsonl.xz": write_jsonl,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_texts_and_labels(
    name: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    path = FORMATS[name](frame, tmp_path / name)
    table = read_table(path, ["label", "text"])
    assert table.columns.tolist() == ["label", "text"]
    assert table["text"].tolist() == TEXTS
    assert table["label"].tolist() == LABELS
    assert table.index.equals(pd.RangeIndex(len(TEXTS)))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [1, 2, 4, 9, 1000])
def test_chunks_put_together_are_the_whole(
    name: str, rows: int, frame: pd.DataFrame, tmp_path: Path
) -> None:
    path = FORMATS[name](frame, tmp_path / name)
    chunks = list(read_chunks(path, ["text"], rows))
    assert all(1 <= len(chunk) <= rows for chunk in chunks)
    assert [text for chunk in chunks for text in chunk["text"]] == TEXTS
    assert [row for chunk in chunks for row in chunk.index] == list(range(len(TEXTS)))


SEPARATORS = [("table.csv", None), ("table.tsv", None), ("table.txt", "\t")]
SEPARATORS += [("table.csv", ";"), ("table.csv", "|"), ("table.csv", " ")]
WILD = st.text(st.sampled_from([*'"\t\r\n ,;|a\x00\ufeff', "\x85", "\u2028", "é"]), max_size=6)


@pytest.mark.parametrize(("name", "separator"), SEPARATORS)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_what_pandas_writes_comes_back_with_any_separator(
    name: str, separator: str | None, quoting: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    path, wanted = tmp_path / name, ["label", "text", "number"]
    written = separator or ("\t" if name == "table.tsv" else ",")
    frame.to_csv(path, sep=written, quoting=quoting, index=False)
    table = read_table(path, wanted, separator=separator)
    expected = pd.read_csv(path, sep=written, dtype=str, keep_default_na=False)
    assert table.to_numpy().tolist() == expected[wanted].to_numpy().tolist()
    assert table["text"].tolist() == TEXTS
    with pytest.raises(InvalidTableError, match=r"no column|--quoting none"):
        read_table(path, wanted, separator=separator, quoting="none")


@given(st.lists(st.tuples(WILD, WILD), min_size=1, max_size=4), st.sampled_from([*"\t,;| "]))
def test_any_texts_come_back(rows: list[tuple[str, str]], separator: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "table")
        # Before Python 3.13 a carriage return alone is no reason to quote a field.
        quoting = csv.QUOTE_ALL if "\r" in "".join(map("".join, rows)) else csv.QUOTE_MINIMAL
        frame = pd.DataFrame(rows, columns=["a", "b"])
        frame.to_csv(path, sep=separator, quoting=quoting, index=False)
        table = read_table(path, ["a", "b"], separator=separator)
    assert table.fillna("").to_numpy().tolist() == list(map(list, rows))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_are_those_of_the_file(end: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(end.join(["text", "a", '"b\rc"', "", "d", ""]).encode())
    assert read_table(path, ["text"])["text"].tolist() == ["a", "b\rc", "d"]
    path.write_bytes(end.join(["text", "a", "b\rc", ""]).encode())
    if end == "\r":
        assert read_table(path, ["text"])["text"].tolist() == ["a", "b", "c"]
    else:
        with pytest.raises(InvalidTableError, match="line 3 has a carriage return within a field"):
            read_table(path, ["text"])


def test_a_line_feed_far_down_is_one(tmp_path: Path) -> None:
    """A first row of 100 kB does not make its carriage returns ends of lines."""
    path = tmp_path / "table.csv"
    path.write_bytes(b"a\rb" + b"c" * 100_000 + b"\nd\n")
    with pytest.raises(InvalidTableError, match="line 1 has a carriage return within a field"):
        read_table(path, ["0"], header=False)
    path.write_bytes(b"a\rb" + b"c" * 100_000 + b"\rd\r")
    assert len(read_table(path, ["0"], header=False)) == 3


def test_without_quoting_quotation_marks_are_characters(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    texts = ['a 5" screen', '"a lone mark', '"quoted"', '"one" two "three"', "``plain''", 'end"']
    path.write_text("text\tlabel\n" + "".join(f"{text}\tx\n" for text in texts), encoding="utf-8")
    assert read_table(path, ["text"], quoting="none")["text"].tolist() == texts
    with pytest.raises(InvalidTableError, match=r"--quoting none, quoting='none'"):
        read_table(path, ["text"])


@pytest.mark.parametrize(
    "content",
    [
        'text\tlabel\n"two\nlines"\tx\n',
        'label\ttext\nx\t"two\nlines"\n',
        'text\na\n"two\nlines"\n',
        'text\tlabel\n"tab\there"\tx\n',
        'text\tlabel\n"the ""bat"""\tx\n',
        'text\tlabel\n"a"\tx\n"b"\ty\n',
    ],
)
def test_a_quoted_file_is_not_read_without_quoting(content: str, tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(content, encoding="utf-8")
    assert not read_table(path, ["text"])["text"].str.contains('^"').any()
    with pytest.raises(InvalidTableError, match=r"--quoting none.* out"):
        read_table(path, ["text"], quoting="none")


@pytest.mark.parametrize("bom", [True, False])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
@pytest.mark.parametrize("name", ["table.csv", "table.jsonl", "table.tsv.gz"])
def test_encodings(name: str, encoding: str, bom: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    content = '{"text": "naïve", "n": 1}\n' if "json" in name else "text\tn\nnaïve\t1\n"
    marked = bom and encoding != "cp1252"
    data = (("\ufeff" if marked and encoding not in {"utf-16", "utf-32"} else "") + content).encode(
        encoding
    )
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    options = {} if "json" in name else {"separator": "\t"}
    table = read_table(path, ["text"], encoding=encoding, **options)
    assert table["text"].tolist() == ["naïve"]
    if marked or encoding in {"utf-8", "utf-16", "utf-32"}:
        assert read_table(path, ["text"], **options).equals(table)


@pytest.mark.parametrize("encoding", ["utf-88", "rot13", "", 8])
def test_an_encoding_is_known(encoding: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="'encoding' parameter must be the name"):
        read_table(tmp_path / "table.csv", ["text"], encoding=encoding)


def test_an_encoding_that_the_file_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("text\na\n", encoding="utf-8")
    with pytest.raises(InvalidTableError, match="Its encoding is not 'utf-16': pass another"):
        read_table(path, ["text"], encoding="utf-16")


def test_quoting_is_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="'quoting' parameter must be one of 'minimal'"):
        read_table(tmp_path / "table.csv", ["text"], quoting="all")  # type: ignore[arg-type]


def test_a_field_may_be_long_and_the_limit_of_the_process_stays(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "table.csv"
    path.write_text(f"text\n{'a' * 300_000}\n", encoding="utf-8")
    assert read_table(path, ["text"])["text"].str.len().tolist() == [300_000]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl", "table.parquet"])
def test_two_columns_of_the_name_that_is_read(name: str, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / name
    if name.endswith("parquet"):
        parquet.write_table(
            pa.Table.from_arrays([pa.array(["a"])] * 3, ["text", "n", "text"]), path
        )
    else:
        path.write_text(
            '{"text": "a", "n": "b", "text": "c"}' if "json" in name else "text,n,text\na,b,c\n",
            encoding="utf-8",
        )
    with pytest.raises(InvalidTableError, match=r"(2 columns|two values are) called 'text'"):
        read_table(path, ["text"])
    if "json" not in name:
        assert len(read_table(path, ["n"])) == 1


def test_columns_without_a_name_are_called_as_in_pandas(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a"]}).to_csv(tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv", ["Unnamed: 0"])["Unnamed: 0"].tolist() == ["0"]


def test_a_line_of_blanks_is_a_text_where_each_line_is_one(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text('text\na\n  \n\n""\n', encoding="utf-8")
    assert read_table(tmp_path / "one.csv", ["text"])["text"].tolist() == ["a", "  ", None]
    (tmp_path / "two.csv").write_text("text,n\na,1\n  \n\nb,2\n \n", encoding="utf-8")
    assert read_table(tmp_path / "two.csv", ["text"])["text"].tolist() == ["a", "b"]


def test_without_a_header_columns_are_called_by_number(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text('ham\tOk "lar\nspam\tFree entry\n', encoding="utf-8")
    table = read_table(path, ["1", "0"], header=False)
    assert table.columns.tolist() == ["1", "0"]
    assert table.to_numpy().tolist() == [['Ok "lar', "ham"], ["Free entry", "spam"]]
    chunks = list(read_chunks(path, ["1"], 1, header=False))
    assert [chunk["1"].tolist() for chunk in chunks] == [['Ok "lar'], ["Free entry"]]
    with pytest.raises(InvalidTableError, match=r"--sep '\\t', separator='\\t'"):
        read_table(path, ["1"], header=False, separator=";")
    with pytest.raises(
        InvalidTableError, match=r"no column '2'. Its columns are: '0', '1'\. .* leave --no-header"
    ):
        read_table(path, ["2"], header=False)


@pytest.mark.parametrize(
    ("separator", "name"), [(";", "table.csv"), ("\t", "SMSSpamCollection"), ("|", "table.txt")]
)
def test_a_separator_overrules_the_ending(separator: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(f"text{separator}label\nHello, you{separator}x\n", encoding="utf-8")
    assert read_table(path, ["text", "label"], separator=separator).to_numpy().tolist() == [
        ["Hello, you", "x"]
    ]


@pytest.mark.parametrize("separator", ["", ", ", 1, '"', "\n", "\r", "\0"])
def test_a_separator_is_one_character(separator: object, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="one character"):
        read_table(tmp_path / "table.csv", ["text"], separator=separator)  # type: ignore[arg-type]


def test_only_an_empty_field_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('text,label\n,a\n"",b\nNA,c\n-,d\n', encoding="utf-8")
    table = read_table(path, ["text"])
    assert table["text"].isna().tolist() == [True, True, False, False]


def test_json_lines_keep_types_and_take_absent_keys_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    records = [
        {"0": "a", "date": "2020-01-01"},
        {"text": "b", "0": True},
        {"text": None, "0": 1},
        {"text": "lone \ud800", "0": 2.5},
    ]
    path.write_text("\n\n".join(json.dumps(record) for record in records), encoding="utf-8")
    for rows in (1, 100):
        table = pd.concat(list(read_chunks(path, ["text", "0", "date"], rows)))
        assert table["text"].tolist() == [None, "b", None, "lone \ud800"]
        assert table["0"].tolist() == ["a", True, 1, 2.5]
        assert table["date"].iloc[0] == "2020-01-01"


def test_parquet_keeps_types(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame(
        {"text": pd.Categorical(["a", "b", "a"]), "label": [True, False, True], "a.b": [1, 2, 3]}
    )
    frame.to_parquet(path)
    table = read_table(path, ["text", "label", "a.b"])
    assert table["text"].tolist() == ["a", "b", "a"]
    assert table["label"].dtype == bool
    assert table["a.b"].tolist() == [1, 2, 3]


def test_lists_and_objects_of_parquet_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = {
        "words": [["a", "bat"], None, []],
        "deep": [[{"w": "a", "n": [1]}, {"w": None, "n": []}], [], None],
        "map": [[("k", "v")], [], None],
        "one": [{"w": "a"}, None, {"w": None}],
    }
    types = {"map": pa.map_(pa.string(), pa.string())}
    table = pa.table({name: pa.array(values, types.get(name)) for name, values in rows.items()})
    parquet.write_table(table, tmp_path / "table.parquet")
    found = read_table(tmp_path / "table.parquet", list(rows))
    assert found["words"].iloc[0].tolist() == ["a", "bat"]
    assert found["deep"].iloc[0][0]["w"] == "a"
    assert found["map"].iloc[0] == [("k", "v")]
    assert found["one"].iloc[0] == {"w": "a"}


@pytest.mark.parametrize("name", ["table.csv", "table.tsv"])
def test_a_header_alone_gives_no_rows(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("text\n", encoding="utf-8")
    table = read_table(path, ["text"])
    assert table.shape == (0, 1)
    assert table.columns.tolist() == ["text"]


def test_parquet_without_rows(tmp_path: Path) -> None:
    pd.DataFrame({"text": pd.Series([], dtype=str)}).to_parquet(tmp_path / "table.parquet")
    assert read_table(tmp_path / "table.parquet", ["text"]).shape == (0, 1)


def as_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a folder": ("table.csv", Path.mkdir, "There is no file"),
    "unknown ending": ("table.xls", as_bytes(b"x"), "ending that names no known format"),
    "no ending": ("table", as_bytes(b"text\nx\n"), "ending that names no known format"),
    "packed Parquet": ("table.parquet.gz", as_bytes(b"x"), "ending that names no known format"),
    "missing column": (
        "table.csv",
        as_bytes(b"a,b\n1,2\n"),
        r"no column 'text'\. Its columns are: 'a', 'b'\. .*--no-header",
    ),
    "blank in a name": (
        "table.csv",
        as_bytes(b"text ,b\n1,2\n"),
        r"no column 'text'\. Its columns are: 'text ', 'b'\.",
    ),
    "long header": (
        "table.tsv",
        as_bytes(b"x" * 500 + b"\t1\n"),
        r"Its columns are: 'x{38}\.\.\., '1'\.",
    ),
    "many columns": (
        "table.csv",
        as_bytes(",".join(f"c{n}" for n in range(99)).encode()),
        r"'c19', \.\.\.\.",
    ),
    "empty CSV": ("table.csv", as_bytes(b""), "is empty"),
    "empty TSV": ("table.tsv", as_bytes(b"\n\n"), "is empty"),
    "empty gzip": ("table.csv.gz", as_bytes(gzip.compress(b"")), "is empty"),
    "empty JSON lines": ("table.jsonl", as_bytes(b"\n"), "is empty"),
    "empty Parquet": ("table.parquet", as_bytes(b""), "cannot be read as parquet: "),
    "broken Parquet": ("table.parquet", as_bytes(b"PAR1 and more"), "cannot be read as parquet: "),
    "Latin-1": (
        "table.csv",
        as_bytes("text\ncafé\n".encode("latin-1")),
        r"cannot be read as csv: .*Save it as UTF-8",
    ),
    "Latin-1 as JSON": (
        "table.jsonl",
        as_bytes('{"text": "café"}'.encode("latin-1")),
        r"cannot be read as jsonl: .*Save it as UTF-8.*--encoding",
    ),
    "unquoted comma": (
        "table.csv",
        as_bytes(b"text,label\na,x\nHello, world,y\n"),
        r"line 3 has 3 fields, but the first .* 2\. .*--sep",
    ),
    "unquoted commas": (
        "table.csv",
        as_bytes(b"text,label\nHello, world,y\nOh, well,x\n"),
        r"line 2 has 3 .*quotation marks",
    ),
    "quoted lines": (
        "table.csv",
        as_bytes(b'text,label\n"two\nlines",y\n\nOh, well,x\n'),
        "line 5 has 3 fields",
    ),
    "tabs within": (
        "table.tsv",
        as_bytes(b"text\tlabel\na\tb\tx\n"),
        r"line 2 has 3 fields.* Put fields that hold '\\t' in quotation marks",
    ),
    "a short row": (
        "table.csv",
        as_bytes(b"text,label\na,x\nHello\n"),
        r"line 3 has 1 field, but the first line has 2\..*--quoting none",
    ),
    "text after a quotation": (
        "table.tsv",
        as_bytes(b'text\tlabel\na\tx\n"Hello" you\ty\n'),
        r"line 3 has text between a closing quotation mark and .*--quoting none",
    ),
    "a lone mark that another closes": (
        "table.tsv",
        as_bytes(b'text\tlabel\n"Hello\tx\nyou" all\ty\n'),
        r"line 2 has text between .*--quoting none",
    ),
    "a control character": ("table.csv", as_bytes(b"\x1b[2J\n1\n"), r"are: '\\x1b\[2J'\."),
    "semicolons": (
        "table.csv",
        as_bytes(b"text;label\nx;y\n"),
        r"no column 'text'.*separated by ';', say so \(--sep ';'",
    ),
    "tabs": ("table.csv", as_bytes(b"text\tlabel\nx\ty\n"), r"--sep '\\t'"),
    "bars": ("table.tsv", as_bytes(b"text|label\nx|y\n"), r"--sep '\|'"),
    "open quotation": (
        "table.csv",
        as_bytes(b'text,label\n"Hello,y\n'),
        "cannot be read as csv: EOF inside string",
    ),
    "no gzip": ("table.csv.gz", as_bytes(b"text\nx\n"), "cannot be read as csv: "),
    "cut gzip": (
        "table.csv.gz",
        as_bytes(gzip.compress(b"text\n" + bytes(range(97, 120)) * 99)[:-20]),
        "cannot be read as csv: ",
    ),
    "damaged gzip": (
        "table.jsonl.gz",
        as_bytes(gzip.compress(b"{}" * 99)[:12] + b"\xff" * 30),
        "cannot be read as jsonl: ",
    ),
    "no xz": ("table.csv.xz", as_bytes(b"text\nx\n"), "cannot be read as csv: "),
    "cut xz": (
        "table.csv.xz",
        as_bytes(lzma.compress(b"text\nx\n" * 99)[:-20]),
        "cannot be read as csv: ",
    ),
    "no bz2": (
        "table.csv.bz2",
        as_bytes(bz2.compress(b"text")[:9] + b"x"),
        "cannot be read as csv: ",
    ),
    "no zst": ("table.csv.zst", as_bytes(b"text\nx\n"), "cannot be read as csv: "),
    "no zip": ("table.csv.zip", as_bytes(b"text\nx\n"), "cannot be read as csv: "),
    "empty zip": (
        "table.csv.zip",
        lambda path: zipfile.ZipFile(path, "w").close(),
        "must hold one file. It holds 0",
    ),
    "no JSON": ("table.jsonl", as_bytes(b'{"text": "a"}\n{"text": \n'), "line 2 is no JSON: "),
    "a JSON array": ("table.json", as_bytes(b'[{"text": "a"}]'), "Got a list in line 1"),
    "an indented JSON": ("table.json", as_bytes(b'{\n"text": "a"}'), "line 1 is no JSON: "),
    "JSON without the key": (
        "table.jsonl",
        as_bytes(b'{"a": 1}\n{"b": 1}\n'),
        r"no column 'text'. Its columns are: 'a', 'b'\.$",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line_that_names_the_file(fault: str, tmp_path: Path) -> None:
    name, make, message = FAULTS[fault]
    make(tmp_path / name)
    with pytest.raises(InvalidTableError, match=message) as caught:
        read_table(tmp_path / name, ["text"])
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match=r"There is no file .*nowhere\.csv'\.$"):
        read_table(tmp_path / "nowhere.csv", ["text"])


def test_a_fault_further_down_comes_after_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\nrubbish\n', encoding="utf-8")
    chunks = read_chunks(path, ["text"], 1)
    assert [next(chunks)["text"].tolist(), next(chunks)["text"].tolist()] == [["a"], ["b"]]
    with pytest.raises(InvalidTableError, match="line 3"):
        next(chunks)


def test_a_long_line_in_a_later_chunk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("text,label\na,1\nb,2\nc,3,4\n", encoding="utf-8")
    for rows in (1, 2, 3):
        with pytest.raises(InvalidTableError, match="line 4 has 3 fields"):
            list(read_chunks(path, ["text"], rows))


def test_parquet_of_pandas_is_read_by_the_names_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    large = 2**53 + 1
    frame = pd.DataFrame({0: ["a", "b"], "id": pd.array([large, None], dtype="Int64")})
    frame.set_index("id").to_parquet(path)
    assert read_table(path, ["0", "id"]).to_numpy().tolist() == [["a", large], ["b", None]]


def test_parquet_with_an_index_of_its_own_counts_rows(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b", "c"]}, index=[7, 7, 8]).to_parquet(tmp_path / "table.parquet")
    assert [
        chunk.index.tolist() for chunk in read_chunks(tmp_path / "table.parquet", ["text"], 2)
    ] == [[0, 1], [2]]


def test_real_files_without_a_header(shared_data: Path) -> None:
    sst2 = read_table(shared_data / "sst2" / "dev.tsv", ["0", "1"], header=False)
    assert sst2.shape == (872, 2)
    assert set(sst2["1"]) == {"0", "1"}
    messages = shared_data / "sms_spam" / "SMSSpamCollection.tsv"
    spam = read_table(messages, ["0", "1"], header=False, quoting="none")
    assert spam["0"].value_counts().to_dict() == {"ham": 4827, "spam": 747}
    assert not np.any(spam.isna())
    with pytest.raises(InvalidTableError, match="--quoting none"):
        read_table(messages, ["0", "1"], header=False)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.csv"
    pd.DataFrame({"number": [f"n{row}" for row in range(1000)]}).to_csv(path, index=False)
    return path


def test_a_sample_is_rows_of_the_file_in_its_order(numbers: Path) -> None:
    sample = read_sample(numbers, ["number"], 100, random_state=1)
    assert sample["number"].tolist() == [f"n{row}" for row in sample.index]
    assert len(sample) == sample.index.nunique() == 100
    assert sample.index.is_monotonic_increasing
    assert read_sample(numbers, ["number"], 100, random_state=1).equals(sample)
    assert not read_sample(numbers, ["number"], 100, random_state=2).equals(sample)


@pytest.mark.parametrize("n_rows", [1000, 1001, 10**9])
def test_a_sample_of_more_rows_than_there_are_is_the_file(n_rows: int, numbers: Path) -> None:
    pd.testing.assert_frame_equal(
        read_sample(numbers, ["number"], n_rows),
        read_table(numbers, ["number"]),
        check_index_type=False,
    )


@pytest.mark.parametrize("rows_at_once", [13, 300])
@pytest.mark.parametrize("n_rows", [1, 10, 999])
def test_a_sample_does_not_depend_on_chunks(
    n_rows: int, rows_at_once: int, numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_sample(numbers, ["number"], n_rows)
    monkeypatch.setattr("bertvectorizer.pipeline.files.read._ROWS_AT_ONCE", rows_at_once)
    assert read_sample(numbers, ["number"], n_rows).equals(expected)


def test_every_row_has_the_same_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("\n".join(["number", *map(str, range(20))]), encoding="utf-8")
    monkeypatch.setattr("bertvectorizer.pipeline.files.read._ROWS_AT_ONCE", 6)
    drawn = np.concatenate(
        [read_sample(path, ["number"], 5, random_state=seed).index for seed in range(80)]
    )
    counts = np.bincount(drawn, minlength=20)  # each 20 on average, with a variance of 15
    assert ((counts - 20) ** 2 / 15).sum() < 19 * 2
    assert np.corrcoef(counts, np.arange(20))[0, 1] ** 2 < 0.3


def test_a_sample_of_a_table_without_rows(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("text,label\n", encoding="utf-8")
    sample = read_sample(tmp_path / "empty.csv", ["label", "text"], 5)
    assert sample.shape == (0, 2)
    assert sample.columns.tolist() == ["label", "text"]


@pytest.mark.parametrize("n_rows", [0, -1, 2.5, "5"])
def test_a_sample_has_rows(n_rows: object, numbers: Path) -> None:
    with pytest.raises(InvalidParameterError, match="'n_rows' parameter must be an int"):
        read_sample(numbers, ["number"], n_rows)  # type: ignore[arg-type]


def test_a_fault_anywhere_in_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("text\n" + "a\n" * 20_000 + "b,c\n", encoding="utf-8")
    with pytest.raises(InvalidTableError, match="line 20002 has 2 fields"):
        read_sample(tmp_path / "table.csv", ["text"], 5)


@pytest.mark.skipif(sys.platform == "win32", reason="has no module resource")
def test_a_sample_takes_no_memory_for_the_rest(tmp_path: Path) -> None:
    line = b"%06d," + b"some words that fill a line " * 20 + b"\n"
    for name, n_rows in (("small", 5_000), ("large", 60_000)):
        with (tmp_path / f"{name}.csv").open("wb") as file:
            file.write(b"number,text\n")
            file.writelines(line % row for row in range(n_rows))
    code = """
import resource, sys
from bertvectorizer.pipeline.files import read
read._ROWS_AT_ONCE = 1024
read_sample = read.read_sample
unit = 1 if sys.platform == "darwin" else 1024
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
read_sample(sys.argv[1], ["number", "text"], 200)
before = peak()
rows = len(read_sample(sys.argv[2], ["number", "text"], 200))
print(rows, peak() - before)
"""
    rows, grown = map(int, run_python(code, tmp_path / "small.csv", tmp_path / "large.csv").split())
    assert rows == 200
    assert grown < 15, "MiB; the larger file has 30 MiB more"
