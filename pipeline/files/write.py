"""Write files: a text at once, or a table chunk by chunk as it is computed."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd

from ...errors import InvalidParameterError, InvalidTableError, InvalidTextError
from ...output_file import atomic_write, output_fault
from ...validation import short_repr
from .read import read_chunks
from .safe_csv import csv_text

__all__ = [
    "CsvWriter",
    "JsonLinesWriter",
    "NpyWriter",
    "NumbersCsvWriter",
    "ParquetWriter",
    "Writer",
    "check_output",
    "convert_file",
    "describe_fault",
    "warning_once",
    "write_text",
]


def check_output(output: str | Path, endings: Collection[str], *others: str | Path) -> Path:
    """Return the path of an output if it can be written; it may be none of the ``others``."""
    output = Path(output)
    if output.suffix.lower() not in endings:
        raise InvalidTableError(
            f"The output {str(output)!r} must end in one of {', '.join(endings)}."
        )
    if fault := output_fault(output):
        raise InvalidTableError(f"The output {str(output)!r} cannot be written: {fault}")
    for other in map(Path, others):
        if output == other or (output.exists() and other.exists() and output.samefile(other)):
            raise InvalidTableError(
                f"The output {str(output)!r} is the file to be read, or another output. Give it"
                " another name."
            )
    return output


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file atomically and return its path."""
    path = Path(os.path.expanduser(path))
    try:
        with atomic_write(path) as draft:
            draft.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InvalidParameterError(
            "The 'path' parameter must be a file in a directory that can be written to. Got"
            f" '{path}' instead: {error.strerror or error}."
        ) from error
    return path


def convert_file(
    path: str | Path,
    column: str | Sequence[str],
    output: str | Path,
    formats: Mapping[str, type[Writer]],
    convert: Callable[[Any], pd.DataFrame],
    example: Callable[[], pd.DataFrame],
    *,
    header: bool,
    separator: str | None,
    chunk_rows: int,
    progress: Callable[[int], Any] | None,
) -> int:
    """Read a column in chunks, convert each to a table, write it; return the number of rows.

    With several columns, ``convert`` is given tables in place of series.

    ``example`` returns a table with the columns of the output. It is called after the first chunk
    was read, so that a fault of the file is found before a model is loaded. The output is called
    ``<output>.part`` until it is finished. If an error stops the work, that file is closed and
    holds the rows done; without any it is removed.
    """
    output = check_output(output, formats, path)
    names = [column] if isinstance(column, str) else list(column)
    chunks = read_chunks(path, names, chunk_rows, header=header, separator=separator)
    first = list(islice(chunks, 1))
    part = output.with_name(output.name + ".part")
    rows = 0
    with warning_once():
        columns = example()
        with _as_table_error(output):
            writer = formats[output.suffix.lower()](part, columns)
        try:
            with _closing(writer, output):
                for chunk in chain(first, chunks):
                    if chunk.empty:  # a table with a header only; estimators refuse no rows
                        continue
                    try:
                        frame = convert(chunk[column])
                    except InvalidTextError as error:
                        if not isinstance(column, str):
                            raise
                        fault = describe_fault(chunk[column], path)
                        raise InvalidTextError(fault or str(error)) from error
                    with _interrupt_deferred():
                        with _as_table_error(output):
                            writer.write(frame)
                        rows += len(chunk)
                        if progress is not None:
                            progress(len(chunk))
        except BaseException:
            if not rows:
                part.unlink(missing_ok=True)
            raise
        with _as_table_error(output):
            part.replace(output)
    return rows


@contextmanager
def _interrupt_deferred() -> Iterator[None]:
    """Deliver Ctrl-C after the block, so that no chunk is written without being counted."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: pending.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pending:
        handler(*pending[0])


@contextmanager
def _closing(writer: Writer, output: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with _as_table_error(output):
            writer.close()


@contextmanager
def _as_table_error(output: Path) -> Iterator[None]:
    """Turn the operating system's errors into one that names the output."""
    try:
        yield
    except OSError as error:
        raise InvalidTableError(
            f"The output {str(output)!r} cannot be written: {error.strerror or error}."
        ) from error


def describe_fault(texts: pd.Series, path: str | Path) -> str:
    """Describe the first value of a chunk that is no text; empty where all are texts.

    The index of ``texts`` counts the rows of the file at ``path``.
    """
    gap = ""
    for row, value in texts.items():
        where = f"row {row} (counted from 0) of column {texts.name!r} of the file {str(path)!r}"
        if isinstance(value, str):
            continue
        if not (pd.api.types.is_scalar(value) and pd.isna(value)):
            return (
                f"Texts must be str, or missing. Got {type(value).__name__} {short_repr(value)} in"
                f" {where}. Store the column as text, or choose another one."
            )
        gap = gap or (
            f"There is no text in {where}, and missing='error' allows no gaps. Fill them, or leave"
            " such rows out."
        )
    return gap


@contextmanager
def warning_once() -> Iterator[None]:
    """Hold warnings back; at the end give those that differ only in their numbers once."""
    kinds: dict[str, list[warnings.WarningMessage]] = {}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield
    finally:
        for warning in caught:
            kinds.setdefault(re.sub(r"[\d.,]+", "0", str(warning.message)), []).append(warning)
        for first, *more in kinds.values():
            note = str(first.message)
            if any(str(other.message) != note for other in more):
                note = f"In {len(more) + 1} chunks of rows, in the first of them: {note}"
            warnings.warn_explicit(note, first.category, first.filename, first.lineno)


class Writer(ABC):
    """A file that grows by tables and is complete when it is closed, after an interrupt too."""

    @abstractmethod
    def __init__(self, path: Path, example: pd.DataFrame) -> None:
        """Open the file; ``example`` has the columns of the tables to come."""

    @abstractmethod
    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class ParquetWriter(Writer):
    """Parquet; floats are written without a dictionary, as they seldom repeat."""

    def __init__(self, path: Path, example: pd.DataFrame) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._arrow = pa
        self._schema = pa.Schema.from_pandas(example, preserve_index=False)
        repeated = [field.name for field in self._schema if not pa.types.is_floating(field.type)]
        self._file = parquet.ParquetWriter(path, self._schema, use_dictionary=repeated)

    def write(self, frame: pd.DataFrame) -> None:
        """Add a row group."""
        self._file.write_table(
            self._arrow.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
        )

    def close(self) -> None:
        """Write the footer."""
        self._file.close()


class _LinesWriter(Writer):
    """Lines of text. A chunk that was interrupted while it was written is cut off at the end."""

    def __init__(self, path: Path, example: pd.DataFrame) -> None:
        self._file = path.open("wb")
        self._end = 0
        self._append(self._text(example.head(0), header=True))

    def _append(self, text: str) -> None:
        self._end += self._file.write(text.encode())

    def write(self, frame: pd.DataFrame) -> None:
        self._append(self._text(frame, header=False))

    def close(self) -> None:
        with self._file:
            self._file.truncate(self._end)

    @staticmethod
    @abstractmethod
    def _text(frame: pd.DataFrame, *, header: bool) -> str: ...


class CsvWriter(_LinesWriter):
    """CSV in which no spreadsheet finds a formula."""

    @staticmethod
    def _text(frame: pd.DataFrame, *, header: bool) -> str:
        return csv_text(frame, header=header)


class NumbersCsvWriter(_LinesWriter):
    """CSV of numbers."""

    @staticmethod
    def _text(frame: pd.DataFrame, *, header: bool) -> str:
        return frame.to_csv(header=header, index=False, lineterminator="\n")


class JsonLinesWriter(_LinesWriter):
    """A JSON object for each row; missing values are null."""

    @staticmethod
    def _text(frame: pd.DataFrame, *, header: bool) -> str:
        series = [frame.iloc[:, index].astype(object) for index in range(frame.shape[1])]
        columns = [one.where(one.notna(), None).tolist() for one in series]
        records = (dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True))
        return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


class NpyWriter(Writer):
    """A float32 matrix. NumPy's header has room for a larger number of rows at the end."""

    def __init__(self, path: Path, example: pd.DataFrame) -> None:
        self._shape = (0, example.shape[1])
        self._file = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def _write_header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": "<f4", "fortran_order": False, "shape": self._shape}
        )

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        self._file.write(np.ascontiguousarray(frame, dtype="<f4").tobytes())
        self._shape = (self._shape[0] + len(frame), self._shape[1])

    def close(self) -> None:
        """Cut off half a chunk, and write the header with the number of rows."""
        with self._file:
            self._file.truncate(self._start + self._shape[0] * self._shape[1] * 4)
            self._file.seek(0)
            self._write_header()
            assert self._file.tell() == self._start
