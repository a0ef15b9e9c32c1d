"""Write files: a text at once, or a table chunk by chunk as it is computed."""

from __future__ import annotations

import os
import re
import signal
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import IO, Any, Protocol

import numpy as np
import pandas as pd

from ...errors import InvalidParameterError, InvalidTableError, InvalidTextError
from ...foreign import foreign_errors_as
from ...output_file import atomic_write, open_draft, output_fault
from ...validation import invalid, short_repr
from .read import read_chunks
from .safe_csv import csv_text, defuse, json_text

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

_INTERRUPTS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def check_output(output: str | Path, endings: Collection[str], *others: str | Path) -> Path:
    """Return the path of an output if it can be written; it may be none of the ``others``."""
    output = Path(output)
    if output.suffix.lower() not in endings:
        is_sheet = output.suffix.lower() in {".xlsx", ".xls", ".ods"} and ".csv" in endings
        raise InvalidTableError(
            f"The output {str(output)!r} must end in one of {', '.join(endings)}."
            + (" Spreadsheet programs open .csv." if is_sheet else "")
        )
    if fault := output_fault(output):
        raise InvalidTableError(f"The output {str(output)!r} cannot be written: {fault}")
    for other in map(Path, others):
        is_same = os.path.realpath(output) == os.path.realpath(other)
        if is_same or (
            os.path.exists(output) and os.path.exists(other) and os.path.samefile(output, other)
        ):
            raise InvalidTableError(
                f"The output {str(output)!r} is the file to be read, or another output. Give it"
                " another name."
            )
        if other.parent == output.parent and other.name.startswith(f"{output.name}.part"):
            raise InvalidTableError(
                f"The file {str(other)!r} has the name of an unfinished {output.name!r}, what an"
                " interrupted run leaves behind. Rename it, or give the output another name."
            )
    return output


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file atomically and return its path."""
    path = Path(os.path.expanduser(path))
    try:
        if fault := output_fault(path):
            raise OSError(fault.rstrip("."))
        with atomic_write(path) as draft:
            draft.write(text.encode(errors="replace"))  # a lone surrogate must not cost the file
    except OSError as error:
        raise InvalidParameterError(
            "The 'path' parameter must be a file in a directory that can be written to. Got"
            f" '{path}' instead: {error.strerror or error}."
        ) from error
    return path


def convert_file(
    path: str | Path,
    columns: Sequence[str],
    output: str | Path | IO[bytes],
    formats: Mapping[str, type[Writer]],
    convert: Callable[[pd.DataFrame], pd.DataFrame],
    example: Callable[[pd.DataFrame | None], pd.DataFrame],
    *,
    text: str | None,
    chunk_rows: int,
    progress: Callable[[int], Any] | None,
    **table_options: Any,
) -> int:
    """Read columns in chunks, convert each, write it; return the number of rows.

    ``text`` is the column of texts, if it is the only one that is converted. ``example`` returns a
    table with the columns of the output, given the first rows, or None without any. It is called
    after they were read, so that a fault of the file is found before a model is loaded. Until the
    output is finished, it has a fresh name beside it. If an error or Ctrl-C stops the work, that
    file is closed and holds the rows done, and a note of the exception names it; without any
    rows it is removed. A stream is CSV.
    """
    target = check_output(output, formats, path) if isinstance(output, (str, Path)) else None
    if target is None and not hasattr(output, "write"):
        raise invalid("output", "a path or a binary stream", output)
    ending, shown = (target.suffix.lower(), repr(str(target))) if target else (".csv", "stream")
    chunks = read_chunks(path, list(dict.fromkeys(columns)), chunk_rows, **table_options)
    first = next((chunk for chunk in chunks if len(chunk)), None)
    rows = 0
    with warning_once():
        sample = example(first)
        with _as_table_error(shown):
            file: Any = open_draft(target) if target else _Stream(output)
        try:
            with _closing(file, shown):
                with _as_table_error(shown):
                    writer = formats[ending](file, sample)
                with _closing(writer, shown):
                    for chunk in chain([] if first is None else [first], chunks):
                        if chunk.empty:  # estimators refuse no rows
                            continue
                        try:
                            frame = convert(chunk)
                        except InvalidTextError as error:
                            if text is None:
                                raise
                            fault = describe_fault(chunk[text], path)
                            raise InvalidTextError(fault or str(error)) from error
                        with _interrupt_deferred():
                            with _as_table_error(shown):
                                writer.write(frame)
                            rows += len(chunk)
                            if progress is not None:
                                progress(len(chunk))
            if target:
                with _as_table_error(shown):
                    os.replace(file.name, target)
        except BaseException as error:
            where = f"kept in {file.name}" if target else "written"
            if rows:
                error.add_note(f"{rows:,} rows are {where}")
            elif target:
                Path(file.name).unlink(missing_ok=True)
            raise
    return rows


class _Stream:
    """A stream that is written to only: it is neither cut nor closed."""

    name = ""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        """Write and return the number of bytes."""
        self._stream.write(data)
        return len(data)

    def truncate(self, size: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Pass on what is buffered."""
        self._stream.flush()


@contextmanager
def _interrupt_deferred() -> Iterator[None]:
    """Deliver Ctrl-C after the block, so that no chunk is written without being counted.

    So are other signals that do what Ctrl-C does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    for number in _INTERRUPTS:
        if callable(handler := signal.getsignal(number)):
            handlers[number] = handler
    pending: list[tuple[int, FrameType | None]] = []
    for number in handlers:
        signal.signal(number, lambda number, frame: pending.append((number, frame)))
    try:
        yield
    finally:
        for number, one in handlers.items():
            signal.signal(number, one)
    if pending:
        number, frame = pending[0]
        handlers[number](number, frame)


class _Closeable(Protocol):
    def close(self) -> None: ...


@contextmanager
def _closing(thing: _Closeable, shown: str) -> Iterator[None]:
    try:
        yield
    finally:
        with _as_table_error(shown):
            thing.close()


@contextmanager
def _as_table_error(shown: str) -> Iterator[None]:
    """Turn the operating system's errors into one that names the output."""
    try:
        yield
    except BrokenPipeError:  # the reader of a stream wants no more, which is no fault
        raise
    except OSError as error:
        raise InvalidTableError(
            f"The output {shown} cannot be written: {error.strerror or error}."
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
    """A file that grows by tables and is complete when it is closed, after an interrupt too.

    The file itself stays open.
    """

    @abstractmethod
    def __init__(self, file: Any, example: pd.DataFrame) -> None:
        """Begin an empty file; ``example`` has the columns of the tables to come."""

    @abstractmethod
    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class ParquetWriter(Writer):
    """Parquet; floats are written without a dictionary, as they seldom repeat.

    The types are those of the first rows.
    """

    def __init__(self, file: Any, example: pd.DataFrame) -> None:
        import pyarrow as pa

        self._arrow = pa
        self._sink = file
        self._example = example
        self._file: Any = None

    def _open(self, frame: pd.DataFrame) -> None:
        from pyarrow import parquet

        pa = self._arrow
        fields = [
            pa.field(field.name, pa.string()) if pa.types.is_null(field.type) else field
            for field in pa.Schema.from_pandas(frame, preserve_index=False)
        ]
        repeated = [field.name for field in fields if not pa.types.is_floating(field.type)]
        self._schema = pa.schema(fields)
        self._file = parquet.ParquetWriter(self._sink, self._schema, use_dictionary=repeated)

    def write(self, frame: pd.DataFrame) -> None:
        """Add a row group."""
        fault = "The values of a column have several types, which Parquet cannot hold"
        with foreign_errors_as(InvalidTableError, fault, "Choose another format for the output."):
            if self._file is None:
                self._open(frame)
            # With a schema, from_pandas would cut 2.5 to an integer, and drop keys of mappings.
            table = self._arrow.Table.from_pandas(frame, preserve_index=False)
            for own, field in zip(table.schema, self._schema, strict=True):
                if not _keeps_values(own.type, field.type):
                    raise TypeError(
                        f"{field.name!r} holds {own.type} after {field.type} in rows before"
                    )
            table = table.cast(self._schema)
        self._file.write_table(table)

    def close(self) -> None:
        """Write the footer."""
        if self._file is None:
            self._open(self._example)
        self._file.close()


def _keeps_values(own: Any, wanted: Any) -> bool:
    """Whether a cast of Arrow's from one type to another keeps each value, or raises."""
    from pyarrow import types

    if own.equals(wanted) or types.is_null(own):
        return True
    if types.is_list(own) and types.is_list(wanted):
        return _keeps_values(own.value_type, wanted.value_type)
    return all(types.is_integer(one) or types.is_floating(one) for one in (own, wanted))


class _LinesWriter(Writer):
    """Lines of text. A chunk that was interrupted while it was written is cut off at the end."""

    def __init__(self, file: Any, example: pd.DataFrame) -> None:
        self._file = file
        self._end = 0
        self._append(self._text(example.head(0), header=True))

    def _append(self, text: str) -> None:
        self._end += self._file.write(text.encode(errors="replace"))

    def write(self, frame: pd.DataFrame) -> None:
        self._append(self._text(frame, header=False))

    def close(self) -> None:
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
        safe = frame.set_axis([defuse(str(name)) for name in frame.columns], axis=1)
        return safe.to_csv(header=header, index=False, lineterminator="\n")


class JsonLinesWriter(_LinesWriter):
    """A JSON object for each row; missing values are null."""

    @staticmethod
    def _text(frame: pd.DataFrame, *, header: bool) -> str:
        series = [frame.iloc[:, index].astype(object) for index in range(frame.shape[1])]
        columns = [one.where(one.notna(), None).tolist() for one in series]
        records = (dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True))
        return "".join(f"{json_text(record)}\n" for record in records)


class NpyWriter(Writer):
    """A float32 matrix. NumPy's header has room for a larger number of rows at the end."""

    def __init__(self, file: Any, example: pd.DataFrame) -> None:
        self._shape = (0, example.shape[1])
        self._file = file
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
        self._file.truncate(self._start + self._shape[0] * self._shape[1] * 4)
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self._start
