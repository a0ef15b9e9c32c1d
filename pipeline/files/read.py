"""Read tables: CSV, TSV, Parquet, JSON lines and Excel, at once, in chunks, or a sample."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import lzma
import os
import re
import threading
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast

import numpy as np
import pandas as pd

from ...compressed import (
    ExpansionError,
    fault_of_member,
    most_bytes,
    open_bz2,
    open_xz,
    within_limits,
)
from ...errors import InvalidTableError
from ...features.inputs.frames import first_names
from ...foreign import foreign_errors_as
from ...validation import check_choice, check_int, invalid, short_repr
from .excel import excel_rows
from .parquet_pages import pages_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TableOptions", "read_chunks", "read_sample", "read_table"]

Quoting = Literal["minimal", "none"]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = {".jsonl", ".ndjson", ".json"}
_PARQUET = {".parquet", ".pq"}
_EXCEL = {".xlsx"}
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
)
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_QUOTING: dict[Quoting, Literal[0, 3]] = {"minimal": csv.QUOTE_MINIMAL, "none": csv.QUOTE_NONE}
_QUOTED_FIELD = re.compile(r'"(?:[^"]|"")*+"')
_NO_QUOTING = (
    " If quotation marks are ordinary characters in this file, say so (--quoting none,"
    " quoting='none')."
)
_LONGEST_FIELD = 1 << 28  # characters; the standard library stops at 131,072
_field_limit_lock = threading.Lock()
_COLUMNS_NAMED = 20
_BATCH_BYTES = 64 << 20
_BYTES_PER_VALUE = 8  # a pointer to a text, or a number
_TRUST = "If you trust it, write it without compression and without a dictionary."
_ROWS_AT_ONCE = 1 << 14


class TableOptions(TypedDict, total=False):
    """How to read a file: parameters of `read_table`."""

    header: bool
    separator: str | None
    quoting: Quoting
    encoding: str | None


def read_table(
    path: str | Path,
    columns: Sequence[str],
    *,
    header: bool = True,
    separator: str | None = None,
    quoting: Quoting = "minimal",
    encoding: str | None = None,
) -> pd.DataFrame:
    r"""Read columns of a file as a table.

    Parameters
    ----------
    path : str or Path
        File to read: ``.csv``, ``.tsv``, ``.parquet``, ``.jsonl`` or ``.xlsx`` (its first sheet;
        needs the extra ``excel``). CSV, TSV and JSON lines may be compressed (``.gz``, ``.bz2``,
        ``.xz``, ``.zst``, ``.zip``).
    columns : sequence of str
        Names of the columns to read. In CSV, TSV and Excel files all values are text, and only an
        empty field is missing.
    header : bool, default=True
        Whether the first row of a CSV, TSV or Excel file names the columns. If not, the columns are
        called "0", "1", ...
    separator : str or None, default=None
        Character between two fields. None takes a comma or a tab, according to the suffix of the
        file. With a separator, a file with any suffix is read as CSV.
    quoting : {"minimal", "none"}, default="minimal"
        Quotation marks of a CSV or TSV file. "minimal" reads them by the rules of pandas: a field
        that begins with a quotation mark ends at the next one, and may hold separators, line breaks
        and doubled quotation marks. "none" reads them as ordinary characters, for files such as
        those of SST-2.
    encoding : str or None, default=None
        Encoding of a CSV, TSV or JSON lines file. None takes that of the byte order mark, and
        UTF-8 without one.

    Returns
    -------
    table : DataFrame of shape (n_rows, n_columns)
        The columns, in the order of ``columns``.

    Raises
    ------
    InvalidParameterError
        If the separator is not one character, or ``quoting`` or ``encoding`` is unknown.
    InvalidTableError
        If the file is missing, empty, cannot be read, lacks a column or has two of its name, if a
        row has more or fewer fields than the first, or if ``quoting`` does not fit the file.

    See Also
    --------
    read_chunks : Read a file that is larger than memory.
    read_sample : Read a random sample of rows.

    Notes
    -----
    Empty lines are skipped. A file that is quoted although ``quoting="none"`` is given is refused.

    The cells of Excel files are read as the text that pandas writes to CSV: 5 is "5", and a date is
    "2026-01-31". Formulas have the value that was saved with them; errors such as #N/A are missing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from bertvectorizer.pipeline import read_table
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "bats.tsv")
    ...     _ = path.write_text("He swung the bat.\t1\n", encoding="utf-8")
    ...     read_table(path, ["1", "0"], header=False).to_numpy().tolist()
    [['1', 'He swung the bat.']]
    """
    chunks = list(
        read_chunks(
            path,
            columns,
            rows=1 << 20,
            header=header,
            separator=separator,
            quoting=quoting,
            encoding=encoding,
        )
    )
    return (
        pd.concat(chunks, ignore_index=True)
        if chunks
        else pd.DataFrame(columns=list(columns), dtype=object)
    )


def read_chunks(
    path: str | Path, columns: Sequence[str], rows: int, **table_options: Unpack[TableOptions]
) -> Iterator[pd.DataFrame]:
    r"""Read columns of a file in chunks.

    The file may be larger than memory.

    Parameters
    ----------
    path : str or Path
        File to read, see `read_table`.
    columns : sequence of str
        Names of the columns to read.
    rows : int
        Maximum number of rows in a chunk.
    **table_options : Unpack[TableOptions]
        How to read the file: ``header``, ``separator``, ``quoting`` and ``encoding`` of
        `read_table`.

    Yields
    ------
    chunk : DataFrame of shape (n_rows, n_columns)
        Up to ``rows`` rows. Their index counts the rows of the file, from 0.

    Raises
    ------
    InvalidParameterError
        If the separator is not one character, or ``quoting`` or ``encoding`` is unknown.
    InvalidTableError
        If the file is missing, empty, cannot be read, lacks a column or has two of its name, if a
        row has more or fewer fields than the first, or if ``quoting`` does not fit the file.

    See Also
    --------
    read_table : Read the whole file.
    read_sample : Read a random sample of rows.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from bertvectorizer.pipeline import read_chunks
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "numbers.csv")
    ...     _ = path.write_text("number\n1\n2\n3\n", encoding="utf-8")
    ...     [chunk["number"].tolist() for chunk in read_chunks(path, ["number"], 2)]
    [['1', '2'], ['3']]
    """
    file = _File(Path(path), **table_options)
    start = 0
    for chunk in _chunks(file, columns, rows):
        yield chunk.set_axis(pd.RangeIndex(start, start + len(chunk)))
        start += len(chunk)


def read_sample(
    path: str | Path,
    columns: Sequence[str],
    n_rows: int,
    *,
    random_state: int | None = 0,
    **table_options: Unpack[TableOptions],
) -> pd.DataFrame:
    r"""Read a random sample of the rows of a file, without replacement.

    The file may be larger than memory. It is read once.

    Parameters
    ----------
    path : str or Path
        File to read, see `read_table`.
    columns : sequence of str
        Names of the columns to read.
    n_rows : int
        Number of rows to return. All rows are returned if the file has fewer.
    random_state : int or None, default=0
        Seed of the sample. None gives another sample in every call.
    **table_options : Unpack[TableOptions]
        How to read the file: ``header``, ``separator``, ``quoting`` and ``encoding`` of
        `read_table`.

    Returns
    -------
    table : DataFrame of shape (n_rows, n_columns)
        Rows in the order of the file. Their index counts the rows of the file, from 0.

    Raises
    ------
    InvalidParameterError
        If ``n_rows`` or ``random_state`` is out of range, the separator is not one character, or
        ``quoting`` or ``encoding`` is unknown.
    InvalidTableError
        If the file is missing, empty, cannot be read, lacks a column or has two of its name, if a
        row has more or fewer fields than the first, or if ``quoting`` does not fit the file.

    See Also
    --------
    read_table : Read all rows.
    read_chunks : Read all rows in chunks.

    Notes
    -----
    Each row gets a random number, and the rows with the smallest numbers are returned [1]_.

    References
    ----------
    .. [1] P. S. Efraimidis, P. G. Spirakis, "Weighted random sampling with a reservoir",
       Information Processing Letters 97, 2006, section 2, with equal weights.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from bertvectorizer.pipeline import read_sample
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "numbers.csv")
    ...     _ = path.write_text("\n".join(["number", *map(str, range(10, 20))]), encoding="utf-8")
    ...     read_sample(path, ["number"], 3)["number"].to_dict()
    {1: '11', 2: '12', 3: '13'}
    """
    n_rows = check_int("n_rows", n_rows, 1)
    generator = np.random.default_rng(check_int("random_state", random_state, 0, optional=True))
    kept: list[pd.DataFrame] = []
    drawn = np.empty(0)
    limit = 1.0  # no row with a larger number can be among the smallest any more
    for chunk in read_chunks(path, columns, _ROWS_AT_ONCE, **table_options):
        numbers = generator.random(len(chunk))
        chosen = numbers < limit
        kept.append(chunk[chosen])
        drawn = np.concatenate([drawn, numbers[chosen]])
        if len(drawn) > n_rows + _ROWS_AT_ONCE:
            rows = _smallest(drawn, n_rows)
            kept, drawn = [pd.concat(kept).iloc[rows]], drawn[rows]
            limit = drawn.max()
    if not kept:
        return pd.DataFrame(columns=list(columns), dtype=object)
    return pd.concat(kept).iloc[_smallest(drawn, n_rows)]


def _smallest(numbers: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return the indices of the ``n`` smallest numbers, sorted."""
    if n >= len(numbers):
        return np.arange(len(numbers))
    return np.sort(np.argpartition(numbers, n - 1)[:n])


@dataclass(frozen=True)
class _File:
    """A file and how it is to be read."""

    path: Path
    header: bool = True
    separator: str | None = None
    quoting: Quoting = "minimal"
    encoding: str | None = None

    def check(self) -> None:
        """Raise if a parameter is out of range, or there is no such file."""
        one = self.separator
        if one is not None and (not isinstance(one, str) or len(one) != 1 or one in '"\r\n\0'):
            raise invalid(
                "separator",
                "one character, other than a quotation mark or line break, or None",
                one,
            )
        check_choice("quoting", self.quoting, _QUOTING)
        if self.encoding is not None:
            try:
                " ".encode(self.encoding)
            except (LookupError, TypeError, ValueError):
                rule = "the name of an encoding such as 'utf-16' or 'cp1252', or None"
                raise invalid("encoding", rule, self.encoding) from None
        if not os.path.isfile(self.path):
            raise InvalidTableError(f"There is no file {str(self.path)!r}.")

    @property
    def compression(self) -> str:
        """The suffix of a compressed file, or an empty string."""
        suffix = self.path.suffix.lower()
        return suffix if suffix in _COMPRESSIONS else ""

    @property
    def kind(self) -> str:
        """The suffix that names the format."""
        suffixes = [suffix.lower() for suffix in self.path.suffixes]
        if self.compression:
            suffixes.pop()
        return suffixes[-1] if suffixes else ""

    def open(self) -> IO[bytes]:
        """Open the file for its bytes, uncompressed."""
        if not self.compression:
            return self.path.open("rb")
        unpacked = _COMPRESSIONS[self.compression](self.path)
        return within_limits(unpacked, self.path.stat().st_size)

    def open_text(self) -> io.TextIOWrapper:
        """Open the file for its lines, with the line breaks that they have.

        Lines end at carriage returns only in a file without line feeds: elsewhere a lone carriage
        return is within a text.
        """
        with self.open() as file:
            piece = start = file.read(1 << 16)
            while piece and b"\n" not in piece:
                piece = file.read(1 << 16)
        newline = "\n" if piece else ""
        return io.TextIOWrapper(self.open(), encoding=self._encoding(start), newline=newline)

    def _encoding(self, start: bytes) -> str:
        """Return the given encoding; where the file has a byte order mark, the mark's."""
        if self.encoding is not None and not codecs.lookup(self.encoding).name.startswith("utf"):
            return self.encoding
        for mark, name in _BYTE_ORDER_MARKS.items():
            if start.startswith(mark):
                return name
        return self.encoding or "utf-8"


def _chunks(file: _File, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    file.check()
    kind = file.kind
    separator = file.separator or _SEPARATORS.get(kind)
    try:
        if separator is not None:
            yield from _csv_chunks(file, columns, rows, separator)
        elif kind in _PARQUET and not file.compression:
            yield from _parquet_chunks(file, columns, rows)
        elif kind in _JSON_LINES:
            yield from _json_chunks(file, columns, rows)
        elif kind in _EXCEL and not file.compression:
            with closing(excel_rows(file.path)) as records:
                yield from _record_chunks(file, columns, rows, records)
        else:
            raise InvalidTableError(
                f"The file {str(file.path)!r} has an ending that names no known format. Give a"
                " .csv, .tsv, .parquet, .jsonl or .xlsx file, or pass the separator of its fields"
                " (--sep, separator=)."
            )
    except _UNREADABLE as error:
        if isinstance(error, InvalidTableError):
            raise
        raise InvalidTableError(
            f"The file {str(file.path)!r} cannot be read{_format_name(kind)}:"
            f" {_reason(error, file.encoding)}"
        ) from error


def _csv_chunks(
    file: _File, columns: Sequence[str], rows: int, separator: str
) -> Iterator[pd.DataFrame]:
    with closing(_csv_rows(file, separator, file.quoting)) as records:
        yield from _record_chunks(file, columns, rows, records, separator)


def _record_chunks(
    file: _File,
    columns: Sequence[str],
    rows: int,
    records: Iterator[Sequence[str | None]],
    separator: str | None = None,
) -> Iterator[pd.DataFrame]:
    """Yield columns of rows whose first one names them; without a separator they are Excel's."""
    first = _take(records, 1)
    if not first:
        raise InvalidTableError(f"The file {str(file.path)!r} is empty.")
    # Columns without a name are called as in pandas.
    names = [
        (name or f"Unnamed: {index}") if file.header else str(index)
        for index, name in enumerate(first[0])
    ]
    _check_columns(file.path, columns, names, _other_reading(first[0], separator, file.header))
    wanted = [names.index(column) for column in columns]
    if separator is not None and file.quoting == "none":
        _check_unquoted(file, separator, wanted)
    rest = records if file.header else chain(first, records)
    chosen = (
        [(fields[index] or None) if index < len(fields) else None for index in wanted]
        for fields in rest
    )
    while values := _take(chosen, rows):
        yield _frame(values, columns)


def _frame(values: list[list[Any]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=list(columns), dtype=object)


def _take(records: Iterator[Any], n: int) -> list[Any]:
    """Return the next ``n`` records, whatever the length of their fields."""
    with _field_limit_lock:  # the limit is one of the process
        before = csv.field_size_limit(_LONGEST_FIELD)
        try:
            return list(islice(records, n))
        finally:
            csv.field_size_limit(before)


def _csv_rows(file: _File, separator: str, quoting: Quoting) -> Generator[list[str], None, None]:
    """Yield the fields of each row. All rows have as many; lines of blanks are skipped."""
    with file.open_text() as lines:
        reader = csv.reader(lines, delimiter=separator, quoting=_QUOTING[quoting], strict=True)
        width, line = 0, 1
        try:
            for fields in reader:
                # A line of blanks is a text only where each line is a text.
                if fields and not (width != 1 and len(fields) == 1 and fields[0].isspace()):
                    width = width or len(fields)
                    if len(fields) != width:
                        raise ValueError(_wrong_width(line, len(fields), width, separator, quoting))
                    yield fields
                line = reader.line_num + 1
        except csv.Error as error:
            if "end of data" in str(error):
                reason = f"EOF inside string: the field that begins in line {line} never ends."
            elif "expected after" in str(error):
                reason = f"line {line} has text between a closing quotation mark and {separator!r}."
            elif "new-line character" in str(error):
                reason = f"line {line} has a carriage return within a field. Replace it, or put"
                raise ValueError(f"{reason} the field in quotation marks.") from None
            else:
                raise ValueError(f"line {line}: {error}.") from None
            raise ValueError(reason + _NO_QUOTING) from None


def _wrong_width(line: int, found: int, width: int, separator: str, quoting: Quoting) -> str:
    """Describe a row with more or fewer fields than the first, and what helps."""
    fields = "field" if found == 1 else "fields"
    message = f"line {line} has {found} {fields}, but the first line has {width}."
    other = "or pass another separator of fields (--sep, separator=)."
    if quoting == "none":
        within = f"Replace {separator!r} and line breaks within fields"
        return f"{message} {within}; if quotation marks enclose them, leave --quoting none out."
    if found > width:
        return f"{message} Put fields that hold {separator!r} in quotation marks, {other}"
    return f"{message} Complete the row, {other}{_NO_QUOTING}"


def _check_unquoted(file: _File, separator: str, columns: Sequence[int]) -> None:
    """Raise if a file that is to be read without quoting is surely a quoted one.

    That is a file that obeys the rules of quoted fields throughout, and where a field in quotation
    marks holds a separator, a line break or a doubled quotation mark, or where a whole column is in
    quotation marks.
    """
    needed = False
    quoted = dict.fromkeys(columns, 0)
    filled = dict.fromkeys(columns, 0)
    try:
        records = _csv_rows(file, separator, "minimal")
        while some := _take(records, _ROWS_AT_ONCE):
            needed |= any(
                not {separator, "\r", "\n"}.isdisjoint(one) for row in some for one in row
            )
        if not needed:
            records = _csv_rows(file, separator, "none")
            _take(records, int(file.header))
            while some := _take(records, _ROWS_AT_ONCE):
                for row in some:
                    needed |= any('""' in one[1:-1] and _QUOTED_FIELD.fullmatch(one) for one in row)
                    for index in columns:
                        filled[index] += bool(row[index])
                        quoted[index] += bool(_QUOTED_FIELD.fullmatch(row[index]))
    except ValueError:
        return  # it cannot be read with quoting, or not at all, which the reader says
    if needed or any(quoted[index] == filled[index] > 1 for index in columns):
        raise InvalidTableError(
            f"The fields of the file {str(file.path)!r} are quoted, but were to be read without"
            " quoting. Leave --quoting none (quoting='none') out."
        )


def _other_reading(first: Sequence[str | None], separator: str | None, header: bool) -> str:
    """Suggest another way to read a table that lacks a column."""
    if separator is not None and len(first) == 1:
        for other in ";\t|,":
            if other != separator and other in (first[0] or ""):
                return (
                    f" If its fields are separated by {other!r}, say so (--sep {other!r},"
                    f" separator={other!r})."
                )
    sheet = " Only the first sheet is read." if separator is None else ""
    if header:
        return f"{sheet} If its first line is no header, say so (--no-header, header=False)."
    return f"{sheet} If its first line names them, leave --no-header (header=False) out."


def _parquet_chunks(file: _File, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    from pyarrow import parquet

    def frame(batches: list[Any]) -> pd.DataFrame:
        # What pandas says of its index and its names would move or rename columns. Large integers
        # would lose digits beside missing ones.
        table = pa.Table.from_batches(batches).select(list(columns))
        return cast(
            "pd.DataFrame", table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
        )

    n_allowed = most_bytes(file.path.stat().st_size, small=_BATCH_BYTES)
    fault = f"The file {str(file.path)!r} cannot be read as parquet"
    with (
        foreign_errors_as(InvalidTableError, fault, "Write it again."),
        parquet.ParquetFile(file.path) as table,
    ):
        _check_columns(file.path, columns, table.schema_arrow.names)
        largest = _largest_page(file.path, table.metadata, columns, n_allowed)
        # A text that repeats stands once in a page, and may take its bytes in each row of a batch.
        at_once = min(rows, max(1, _BATCH_BYTES // largest))
        _check_lists(file.path, table.schema, columns, at_once, n_allowed)
        batches: list[Any] = []
        n_bytes = n_rows = 0
        for batch in table.iter_batches(batch_size=at_once, columns=list(columns)):
            n_bytes += sum(map(_bytes_of_column, batch.columns))
            if n_bytes > n_allowed:
                raise _repeats(n_allowed)
            batches.append(batch)
            n_rows += batch.num_rows
            if n_rows >= rows:
                n_rows -= rows
                cut = batch.num_rows - n_rows
                yield frame([*batches[:-1], batch.slice(0, cut)])
                batches = [batch.slice(cut)]
        if n_rows:
            yield frame(batches)


def _repeats(n_allowed: int) -> ExpansionError:
    return ExpansionError(
        f"it expands to more than {n_allowed:,} bytes, since its texts repeat. {_TRUST}"
    )


def _is_wanted(path: str, columns: Sequence[str]) -> bool:
    """Whether a column of the file, such as "words.list.element", is part of one of ``columns``."""
    return f"{path}.".startswith(tuple(f"{column}." for column in columns))


def _check_lists(
    path: Path, schema: Any, columns: Sequence[str], at_once: int, n_allowed: int
) -> None:
    """Refuse lists whose texts repeat too often, as a single row may hold all of them."""
    from pyarrow import parquet

    of_lists = [
        column.path
        for column in map(schema.column, range(len(schema)))
        if column.max_repetition_level and _is_wanted(column.path, columns)
    ]
    if not of_lists:
        return
    n_bytes = 0
    with parquet.ParquetFile(path, read_dictionary=of_lists) as table:
        for batch in table.iter_batches(batch_size=at_once, columns=of_lists):
            n_bytes += sum(map(_bytes_of_texts, batch.columns))
            if n_bytes > n_allowed:
                raise _repeats(n_allowed)


def _bytes_of_texts(array: Any) -> int:
    """Return the bytes of texts in an array of lists when each stands for itself."""
    from pyarrow import compute

    if hasattr(array, "indices"):
        lengths = compute.binary_length(array.dictionary).take(array.indices)
        return int(compute.sum(lengths).as_py() or 0)
    if hasattr(array, "keys"):  # of a map
        return _bytes_of_texts(array.keys) + _bytes_of_texts(array.items)
    if not hasattr(array, "flatten") or not array.type.num_fields:
        return 0
    parts = array.flatten()
    return sum(map(_bytes_of_texts, parts if isinstance(parts, list) else [parts]))


def _bytes_of_column(column: Any) -> int:
    """Return the bytes of a column of a batch; all batches of categories share their texts."""
    return int(getattr(column, "indices", column).nbytes)


def _largest_page(path: Path, metadata: Any, columns: Sequence[str], n_allowed: int) -> int:
    """Return the bytes of the largest page of columns; refuse pages that expand too far."""
    largest, n_values = 1, 0
    with path.open("rb") as opened:
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                name, n_bytes = column.path_in_schema, 0
                if not _is_wanted(name, columns):
                    continue
                for page in pages_of(opened, column):
                    largest = max(largest, page.n_bytes)
                    n_bytes += page.n_bytes
                    n_values += page.n_values
                    if n_bytes > most_bytes(column.total_compressed_size):
                        raise ExpansionError(
                            f"its column {name!r} expands to {n_bytes:,} bytes or more from"
                            f" {column.total_compressed_size:,}. {_TRUST}"
                        )
                    if n_values > n_allowed // _BYTES_PER_VALUE:
                        raise ExpansionError(
                            f"it expands to {n_values:,} values or more from"
                            f" {path.stat().st_size:,} bytes. {_TRUST}"
                        )
    return largest


def _json_chunks(file: _File, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    _check_columns(file.path, columns, _json_names(file, columns))
    records = _json_records(file)
    while some := list(islice(records, rows)):
        yield _frame([[record.get(column) for column in columns] for record in some], columns)


def _json_names(file: _File, wanted: Sequence[str]) -> list[str]:
    """Return the keys of records, until all that are wanted were found."""
    names: dict[str, None] = {}
    for record in _json_records(file):
        names.update(dict.fromkeys(record))
        if all(column in names for column in wanted):
            return list(names)
    if not names:
        raise InvalidTableError(f"The file {str(file.path)!r} is empty.")
    return list(names)


def _json_records(file: _File) -> Iterator[dict[str, Any]]:
    with file.open_text() as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line, object_pairs_hook=_distinct_keys)
            except ValueError as error:
                raise InvalidTableError(
                    f"The file {str(file.path)!r} cannot be read: line {number} is no JSON: {error}"
                ) from error
            if not isinstance(record, dict):
                raise InvalidTableError(
                    f"The file {str(file.path)!r} must hold a JSON object in each line. Got a"
                    f" {type(record).__name__} in line {number}."
                )
            yield record


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"two values are called {twice!r}. Give each a name of its own.")
    return record


def _open_zst(path: Path) -> IO[bytes]:
    import pyarrow as pa

    return cast("IO[bytes]", pa.input_stream(path, compression="zstd"))


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    members = [
        member
        for member in archive.infolist()
        if not (member.is_dir() or member.filename.startswith("__MACOSX/"))
    ]
    if len(members) != 1:
        raise InvalidTableError(
            f"The archive {str(path)!r} must hold one file. It holds {len(members)}."
        )
    if fault := fault_of_member(members[0]):
        raise InvalidTableError(f"The file in {str(path)!r} {fault}. Extract it, and give it.")
    return archive.open(members[0])


_COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    ".bz2": open_bz2,
    ".gz": gzip.open,
    ".xz": open_xz,
    ".zip": _open_zip,
    ".zst": _open_zst,
}


def _check_columns(
    path: Path, wanted: Sequence[str], names: Sequence[str], remedy: str = ""
) -> None:
    for name in wanted:
        if name not in names:
            shown = first_names([short_repr(known, 41) for known in names], _COLUMNS_NAMED)
            raise InvalidTableError(
                f"The file {str(path)!r} has no column {name!r}. Its columns are: {shown}.{remedy}"
            )
        if (n := names.count(name)) > 1:
            raise InvalidTableError(
                f"The file {str(path)!r} has {n} columns called {name!r}. Give each a name of its"
                " own."
            )


def _format_name(kind: str) -> str:
    return f" as {kind[1:]}" if kind in {*_SEPARATORS, *_JSON_LINES, *_PARQUET, *_EXCEL} else ""


def _reason(error: BaseException, encoding: str | None) -> str:
    lines = str(error).strip().splitlines()
    remedy = "."
    if isinstance(error, UnicodeError) and encoding is not None:
        remedy = f". Its encoding is not {encoding!r}: pass another (--encoding, encoding=)."
    elif isinstance(error, UnicodeError):
        remedy = ". Save it as UTF-8, or pass its encoding (--encoding, encoding=)."
    return (lines[0] if lines else type(error).__name__).rstrip(".") + remedy
