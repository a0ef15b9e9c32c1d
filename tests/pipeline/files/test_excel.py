"""Workbooks: cells as CSV gives them, and files that are damaged or were made to do harm."""

from __future__ import annotations

import io
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertvectorizer.errors import InvalidTableError
from bertvectorizer.pipeline import read_chunks, read_table
from bertvectorizer.pipeline.files.excel import excel_rows

openpyxl = pytest.importorskip("openpyxl", reason="needs the extra excel")

SHEET = "xl/worksheets/sheet1.xml"
START = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
END = "</sheetData></worksheet>"
HEADER = '<row r="1"><c r="A1" t="str"><v>text</v></c></row>'


def save(path: Path, rows: list[list[Any]]) -> Path:
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    workbook.save(path)
    return path


def replace_parts(path: Path, **parts: str | bytes | None) -> Path:
    """Write a workbook of one row anew, with other parts; None is a part left out."""
    save(path, [["text"], ["a"]])
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
    found |= parts
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def sheet(path: Path, rows: str, end: str = END) -> Path:
    return replace_parts(path, **{SHEET: START + rows + end})


def share(path: Path, texts: str, rows: str = HEADER) -> Path:
    """Write a workbook whose cells share texts, as those of Excel do."""
    save(path, [])
    with zipfile.ZipFile(path) as archive:
        types = archive.read("[Content_Types].xml").decode()
    name = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{name}"/></Types>'
    parts: dict[str, str] = {"[Content_Types].xml": types.replace("</Types>", part)}
    return replace_parts(
        path, **parts, **{"xl/sharedStrings.xml": texts, SHEET: START + rows + END}
    )


def test_texts_that_cells_share(tmp_path: Path) -> None:
    texts = (
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        "<si><t>text</t></si><si><r><t>two </t></r><r><rPr><b/></rPr><t>runs</t></r></si>"
        "<si><t>東京</t><rPh sb='0' eb='2'><t>とうきょう</t></rPh></si></sst>"
    )
    cells = [0, 1, 2, 1]
    rows = "".join(
        f'<row r="{row}"><c r="A{row}" t="s"><v>{text}</v></c></row>'
        for row, text in enumerate(cells, start=1)
    )
    table = read_table(share(tmp_path / "table.xlsx", texts, rows), ["text"])
    assert table["text"].tolist() == ["two runs", "東京", "two runs"]


def test_cells_are_what_pandas_writes_to_csv(tmp_path: Path) -> None:
    rows = [
        ["text", "label", "when", "number", "flag", 2024],
        ["plain", 0, datetime(2020, 1, 1), 0.5, True, "NA"],
        ['He said "bat"', 1, datetime(2021, 12, 31), -1.25, False, None],
        ["two\nlines", 12, datetime(2022, 2, 3), 1e-7, True, "b"],
        ["  naïve 🦇, you ", -3, datetime(1999, 1, 2), 1e22, False, "c"],
    ]
    path = save(tmp_path / "table.xlsx", rows)
    written = pd.read_excel(path, keep_default_na=False, na_values=[""]).to_csv(index=False)
    (tmp_path / "table.csv").write_text(written, encoding="utf-8")
    columns = [str(name) for name in rows[0]]
    table = read_table(path, columns)
    assert table.equals(read_table(tmp_path / "table.csv", columns))
    assert table["when"].tolist()[:2] == ["2020-01-01", "2021-12-31"]
    assert table["2024"].tolist() == ["NA", None, "b", "c"]


def test_cells_of_one_column_may_differ(tmp_path: Path) -> None:
    values = {
        "5": 5.0,
        "0.1": 0.1,
        "9007199254740991": 2**53 - 1,
        "True": True,
        "2020-01-02 03:04:00": datetime(2020, 1, 2, 3, 4),
        "2020-01-03": date(2020, 1, 3),
        "03:04:05": time(3, 4, 5),
        "1 day, 1:00:00": timedelta(hours=25),
        "=1+1 as a text": "'=1+1 as a text"[1:],
    }
    path = tmp_path / "table.xlsx"
    workbook = openpyxl.Workbook()
    workbook.active.append(["text"])
    for row, value in enumerate(values.values(), start=2):
        cell = workbook.active.cell(row, 1, value)
        cell.data_type = "s" if isinstance(value, str) else cell.data_type
    workbook.save(path)
    assert read_table(path, ["text"])["text"].tolist() == list(values)


def test_formulas_have_their_saved_value_and_errors_are_missing(tmp_path: Path) -> None:
    rows = (
        '<row r="2"><c r="A2" t="str"><f>"a"&amp;B2</f><v>a b</v></c></row>'
        '<row r="3"><c r="A3"><f>1+1</f><v>2</v></c></row>'
        '<row r="4"><c r="A4" t="e"><f>NA()</f><v>#N/A</v></c><c r="B4"><v>1</v></c></row>'
        '<row r="5"><c r="A5" t="str"><f>""</f><v></v></c><c r="B5"><v>1</v></c></row>'
        '<row r="6"><c r="A6" t="inlineStr"><is><r><t>two </t></r><r><t>runs</t></r></is></c></row>'
    )
    header = HEADER.replace("</row>", '<c r="B1" t="str"><v>n</v></c></row>')
    end = END.replace(
        "</w", '<extLst><ext uri="x" xmlns:m="m"><m:f>Sheet1!A1</m:f></ext></extLst></w'
    )
    path = sheet(tmp_path / "table.xlsx", header + rows, end)
    assert read_table(path, ["text"])["text"].tolist() == ["a b", "2", None, None, "two runs"]


def test_blank_rows_are_those_of_csv(tmp_path: Path) -> None:
    rows = [[], [None, None], ["text", "n"], ["a", 1], [], [None, None], ["b"], [None, 2], [], [""]]
    table = read_table(save(tmp_path / "two.xlsx", rows), ["text", "n"])
    assert table["text"].tolist() == ["a", None, None, "b", None]
    assert table["n"].tolist() == ["1", None, None, None, "2"]
    one = save(tmp_path / "one.xlsx", [["text"], ["a"], [], ["b"], []])
    assert read_table(one, ["text"])["text"].tolist() == ["a", "b"]


def test_names_of_columns(tmp_path: Path) -> None:
    path = save(tmp_path / "table.xlsx", [["text", None, 5, "text"], ["a", "b", "c", "d", "e"]])
    assert read_table(path, ["5", "Unnamed: 1"]).to_numpy().tolist() == [["c", "b"]]
    with pytest.raises(InvalidTableError, match="2 columns called 'text'"):
        read_table(path, ["text"])
    with pytest.raises(
        InvalidTableError,
        match=r"are: 'text', 'Unnamed: 1', '5', 'text', 'Unnamed: 4'\. Only the first sh",
    ):
        read_table(path, ["label"])
    table = read_table(path, ["4", "0"], header=False)
    assert table.to_numpy().tolist() == [[None, "text"], ["e", "a"]]


def test_chunks_put_together_are_the_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "TABLE.XLSX", [["n", "text"], *([n, f"t{n}"] for n in range(10))])
    for rows in (1, 3, 10, 11):
        chunks = list(read_chunks(path, ["text"], rows))
        assert all(1 <= len(chunk) <= rows for chunk in chunks)
        assert [text for chunk in chunks for text in chunk["text"]] == [f"t{n}" for n in range(10)]
        assert [row for chunk in chunks for row in chunk.index] == list(range(10))


def test_only_the_first_sheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.xlsx"
    workbook = openpyxl.Workbook()
    workbook.create_chartsheet("chart", 0)
    workbook.active = 1
    workbook["Sheet"].append(["text"])
    workbook["Sheet"].append(["a"])
    workbook.create_sheet("second").append(["other"])
    workbook.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, content in {
        "xl/worksheets/sheet2.xml": b"no XML",
        "docProps/core.xml": b"no XML",
    }.items():
        assert name in parts
        parts[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert read_table(path, ["text"])["text"].tolist() == ["a"]


def test_dimensions_that_are_wrong_cut_nothing_off(tmp_path: Path) -> None:
    for ref in ("A1", "A1:XFD1048576", "B7:C9"):
        path = save(tmp_path / "table.xlsx", [["text", "n"], ["a", "b"]])
        with zipfile.ZipFile(path) as archive:
            content = archive.read(SHEET).decode()
        assert 'dimension ref="A1:B2"' in content
        path = replace_parts(path, **{SHEET: content.replace("A1:B2", ref)})
        rows = list(excel_rows(path))
        assert [row[:2] for row in rows] == [["text", "n"], ["a", "b"]]


def test_without_openpyxl_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "table.xlsx", [["text"], ["a"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InvalidTableError, match=r'pip install "bertvectorizer\[excel\]"') as caught:
        read_table(path, ["text"])
    assert "table.xlsx" in str(caught.value)


def cut(path: Path) -> None:
    content = save(path, [["text"], ["a"]]).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def damage(path: Path) -> None:
    content = save(path, [["text"], *[[f"text {n}"] for n in range(500)]]).read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(SHEET).header_offset
    path.write_bytes(content[: start + 200] + b"\xff" * 50 + content[start + 250 :])


ENTITIES = '<!DOCTYPE worksheet [<!ENTITY a "aaaaaaaaaa">]>'
STYLES = (
    '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs>'
    + "<xf/>" * 100_001
)
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no archive": (lambda path: path.write_bytes(b"text\na\n"), "no .xlsx file"),
    "an old workbook": (
        lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504),
        r"no \.xlsx file\. If it has a password or is an older \.xls file, save it anew",
    ),
    "an empty file": (lambda path: path.write_bytes(b""), "no .xlsx file"),
    "a cut file": (cut, "no .xlsx file"),
    "damaged bytes": (damage, "openpyxl fails with .* Save it anew"),
    "another archive": (
        lambda path: zipfile.ZipFile(path, "w").writestr("table.csv", "text\na\n"),
        "openpyxl fails with .* Save it anew",
    ),
    "no sheet": (lambda path: replace_parts(path, **{SHEET: None}), "it has no sheet of cells"),
    "no cells": (lambda path: sheet(path, ""), "is empty"),
    "half a sheet": (
        lambda path: sheet(path, HEADER + '<row r="2"><c', ""),
        "fails with ExpatError",
    ),
    "no number": (
        lambda path: sheet(path, HEADER + '<row r="2"><c r="A2"><v>x</v></c></row>'),
        "fails with ValueError",
    ),
    "a text that is not there": (
        lambda path: sheet(path, HEADER + '<row r="2"><c r="A2" t="s"><v>9</v></c></row>'),
        "fails with IndexError",
    ),
    "rows in another order": (
        lambda path: sheet(path, HEADER + '<row r="3"/><row r="2"/>'),
        "row 2 comes after row 3",
    ),
    "a row twice": (lambda path: sheet(path, HEADER * 2), "row 1 comes after row 1"),
    "cells in another order": (
        lambda path: sheet(path, '<row r="1"><c r="B1"><v>1</v></c><c r="A1"><v>2</v></c></row>'),
        "cell A1 comes after column",
    ),
    "a row far below": (
        lambda path: sheet(path, HEADER + '<row r="99999999999"/>'),
        "row 99999999999 comes after",
    ),
    "a column far away": (
        lambda path: sheet(path, '<row r="1"><c r="AAAAAAAA1"><v>1</v></c></row>'),
        "fails with ValueError",
    ),
    "a formula without its value": (
        lambda path: save(path, [["text", "n"], ["a", "=1+1"]]),
        "cell B2 holds a formula whose value was not saved. Open the file",
    ),
    "the last formula without its value": (
        lambda path: sheet(path, HEADER + '<row r="2"><c r="A2"><f>1+1</f></c></row>'),
        "cell A2 holds a formula whose value was not saved",
    ),
    "entities": (
        lambda path: replace_parts(path, **{SHEET: ENTITIES + START + HEADER + END}),
        "it defines entities",
    ),
    "entities among the texts": (
        lambda path: share(path, ENTITIES + "<sst/>"),
        "it defines entities",
    ),
    "many elements among the texts": (
        lambda path: share(path, "<sst>" + "<r/>" * 100_001 + "</sst>"),
        "100,000 elements",
    ),
    "many styles": (lambda path: replace_parts(path, **{"xl/styles.xml": STYLES}), "100,000 elem"),
    "a wide row": (
        lambda path: sheet(path, '<row r="1">' + "<c/>" * 100_001 + "</row>"),
        "100,000 elements",
    ),
    "a long cell": (
        lambda path: sheet(path, HEADER.replace("text", "a" * 32_768)),
        "a cell has 32,768 characters",
    ),
    "a bomb": (
        lambda path: sheet(path, HEADER + " " * (64 << 20)),
        r"expands to 67,\d+,\d+ bytes from \d+,\d+\. If you trust it, save its sheet as CSV",
    ),
    "a bomb that is not read": (
        lambda path: replace_parts(path, **{"xl/media/image1.png": b"\0" * (64 << 20)}),
        "expands to 67",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line_that_names_the_file(fault: str, tmp_path: Path) -> None:
    make, message = FAULTS[fault]
    path = tmp_path / "table.xlsx"
    make(path)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidTableError, match=message) as caught:
            read_table(path, ["text"])
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
    assert "table.xlsx" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_part_compressed_by_another_method(tmp_path: Path) -> None:
    path = tmp_path / "table.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(InvalidTableError, match="is compressed by another method than Deflate"):
        read_table(path, ["text"])


def test_compressed_workbooks_and_other_spreadsheets_are_no_known_format(tmp_path: Path) -> None:
    for name in ("table.xlsx.gz", "table.xls", "table.ods"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(InvalidTableError, match=r"no known format.* \.jsonl or \.xlsx file"):
            read_table(tmp_path / name, ["text"])


def test_the_file_is_closed(tmp_path: Path) -> None:
    rows = excel_rows(save(tmp_path / "table.xlsx", [["text"], ["a"]]))
    assert next(rows) == ["text"]
    rows.close()  # an open file would warn, which is an error here
    assert io.BytesIO((tmp_path / "table.xlsx").read_bytes()).read(2) == b"PK"
