"""Outputs that are checked, written at once, and warnings that come once."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet

from bertvectorizer.errors import InvalidParameterError, InvalidTableError
from bertvectorizer.pipeline.files.write import (
    ParquetWriter,
    check_output,
    describe_fault,
    warning_once,
    write_text,
)


def test_a_text_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old, and longer")
    assert write_text(str(path), "néw\n") == path
    assert path.read_bytes() == "néw\n".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["nowhere/a.txt", "folder"])
def test_a_text_that_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidParameterError, match=rf"Got '.*{name}' instead: .*\.$"):
        write_text(tmp_path / name, "a")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_outputs(tmp_path: Path) -> None:
    path = tmp_path / "a.CSV"
    assert check_output(path, [".csv"], tmp_path / "b.csv") == path
    with pytest.raises(
        InvalidTableError, match=r"in one of \.npy, \.csv\. Spreadsheet programs open"
    ):
        check_output(tmp_path / "a.xlsx", [".npy", ".csv"])
    path.touch()
    (tmp_path / "link.csv").symlink_to(path)
    for other in (path, tmp_path / "link.csv"):
        with pytest.raises(InvalidTableError, match="is the file to be read, or another output"):
            check_output(path, [".csv"], other)


def test_faults_are_those_of_the_file() -> None:
    texts = pd.Series(["a", None, 3], index=[7, 8, 9], name="t")
    assert "Got int 3 in row 9 (counted from 0) of column 't'" in describe_fault(texts, "a.csv")
    assert "no text in row 8 " in describe_fault(texts[:2], "a.csv")
    assert describe_fault(texts[:1], "a.csv") == ""


def test_warnings_that_differ_in_numbers_are_one() -> None:
    def warn() -> None:
        with warning_once():
            for number in (3, 4):
                warnings.warn(f"{number} texts", UserWarning, stacklevel=1)
            warnings.warn("other", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match=r".") as caught:
        warn()
    messages = [str(warning.message) for warning in caught]
    assert messages == ["In 2 chunks of rows, in the first of them: 3 texts", "other"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, 2.0),
        (1, 2.5),
        (2.5, 2),
        (0.5, 2**53 + 1),
        (None, "a"),
        ("a", None),
        (None, 1),
        (True, 2),
        (2, True),
        ("a", 1),
        ([1], []),
        ([1], [1.5]),
        ([], ["a"]),
        ({"a": 1}, {"b": 2}),
        ({"a": 1}, {"a": 2, "b": 3}),
        ([{"a": 1}], [{"b": 2}]),
    ],
)
def test_rows_of_another_type_are_written_as_they_are_or_refused(first: Any, second: Any) -> None:
    file = io.BytesIO()
    rows = [pd.DataFrame({"k": pd.Series([value], dtype=object)}) for value in (first, second)]
    writer = ParquetWriter(file, rows[0])
    writer.write(rows[0])
    with suppress(InvalidTableError):
        writer.write(rows[1])
    writer.close()
    found = parquet.read_table(file)["k"].to_pylist()
    assert found in ([first], [first, second])
