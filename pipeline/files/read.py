"""Read tables: CSV, TSV, Parquet and JSON lines, at once, in chunks, or a sample."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from ...compressed import ExpansionError, fault_of_member, most_bytes, within_limits
from ...errors import InvalidTableError
from ...features.inputs.frames import first_names
from ...validation import check_int, invalid, short_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_chunks", "read_sample", "read_table"]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = {".jsonl", ".ndjson", ".json"}
_PARQUET = {".parquet", ".pq"}
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
)
_COLUMNS_NAMED = 20
_ROWS_AT_ONCE = 1 << 14


def read_table(
    path: str | Path, columns: Sequence[str], *, header: bool = True, separator: str | None = None
) -> pd.DataFrame:
    r"""Read columns of a file as a table.

    Parameters
    ----------
    path : str or Path
        File to read: ``.csv``, ``.tsv``, ``.parquet`` or ``.jsonl``, in UTF-8. Formats other than
        Parquet may be compressed (``.gz``, ``.bz2``, ``.xz``, ``.zst``, ``.zip``).
    columns : sequence of str
        Names of the columns to read. In CSV and TSV files all values are text, and only an empty
        field is missing.
    header : bool, default=True
        Whether the first line of a CSV or TSV file names the columns. If not, the columns are
        called "0", "1", ...
    separator : str or None, default=None
        Character between two fields. None takes a comma or a tab, according to the suffix of the
        file. With a separator, a file with any suffix is read as CSV.

    Returns
    -------
    table : DataFrame of shape (n_rows, n_columns)
        The columns, in the order of ``columns``.

    Raises
    ------
    InvalidParameterError
        If the separator is not one character.
    InvalidTableError
        If the file is missing, empty, cannot be read, or lacks a column.

    See Also
    --------
    read_chunks : Read a file that is larger than memory.
    read_sample : Read a random sample of rows.

    Notes
    -----
    In tab-separated files quotation marks are ordinary characters, since such files rarely quote
    fields. Empty lines are skipped.

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
    chunks = list(read_chunks(path, columns, rows=1 << 20, header=header, separator=separator))
    return (
        pd.concat(chunks, ignore_index=True)
        if chunks
        else pd.DataFrame(columns=list(columns), dtype=object)
    )


def read_chunks(
    path: str | Path,
    columns: Sequence[str],
    rows: int,
    *,
    header: bool = True,
    separator: str | None = None,
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
    header : bool, default=True
        Whether the first line of a CSV or TSV file names the columns.
    separator : str or None, default=None
        Character between two fields, see `read_table`.

    Yields
    ------
    chunk : DataFrame of shape (n_rows, n_columns)
        Up to ``rows`` rows. Their index counts the rows of the file, from 0.

    Raises
    ------
    InvalidParameterError
        If the separator is not one character.
    InvalidTableError
        If the file is missing, empty, cannot be read, or lacks a column.

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
    start = 0
    for chunk in _chunks(path, columns, rows, header, separator):
        yield chunk.set_axis(pd.RangeIndex(start, start + len(chunk)))
        start += len(chunk)


def read_sample(
    path: str | Path,
    columns: Sequence[str],
    n_rows: int,
    *,
    random_state: int | None = 0,
    header: bool = True,
    separator: str | None = None,
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
    header : bool, default=True
        Whether the first line of a CSV or TSV file names the columns.
    separator : str or None, default=None
        Character between two fields, see `read_table`.

    Returns
    -------
    table : DataFrame of shape (n_rows, n_columns)
        Rows in the order of the file. Their index counts the rows of the file, from 0.

    Raises
    ------
    InvalidParameterError
        If ``n_rows`` or ``random_state`` is out of range, or the separator is not one character.
    InvalidTableError
        If the file is missing, empty, cannot be read, or lacks a column.

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
    for chunk in read_chunks(path, columns, _ROWS_AT_ONCE, header=header, separator=separator):
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


def _chunks(
    path: str | Path, columns: Sequence[str], rows: int, header: bool, separator: str | None
) -> Iterator[pd.DataFrame]:
    path = Path(path)
    if separator is not None and (not isinstance(separator, str) or len(separator) != 1):
        raise invalid("separator", "one character or None", separator)
    if not path.is_file():
        raise InvalidTableError(f"There is no file {str(path)!r}.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSIONS else ""
    kind = suffixes[-1] if suffixes else ""
    try:
        if separator is not None or kind in _SEPARATORS:
            yield from _csv_chunks(
                path, compression, columns, rows, separator or _SEPARATORS[kind], header
            )
        elif kind in _PARQUET and not compression:
            yield from _parquet_chunks(path, columns, rows)
        elif kind in _JSON_LINES:
            yield from _json_chunks(path, compression, columns, rows)
        else:
            raise InvalidTableError(
                f"The file {str(path)!r} has an ending that names no known format. Give a .csv,"
                " .tsv, .parquet or .jsonl file, or pass the separator of its fields."
            )
    except _UNREADABLE as error:
        if isinstance(error, InvalidTableError):
            raise
        raise InvalidTableError(
            f"The file {str(path)!r} cannot be read{_format_name(kind)}: {_reason(error)}"
        ) from error


def _csv_chunks(
    path: Path, compression: str, columns: Sequence[str], rows: int, separator: str, header: bool
) -> Iterator[pd.DataFrame]:
    options: dict[str, Any] = {
        "sep": separator,
        "header": 0 if header else None,
        "index_col": False,
        "dtype": str,
        "keep_default_na": False,
        "na_values": [""],
        "encoding": "utf-8-sig",
        "quoting": csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL,
    }
    with _open(path, compression) as file:
        try:
            first = pd.read_csv(file, nrows=0 if header else 1, **options)
        except pd.errors.EmptyDataError:
            raise InvalidTableError(f"The file {str(path)!r} is empty.") from None
    names = {str(name): name for name in first.columns}
    _check_columns(path, columns, names, _other_reading(first, separator, header))
    wanted = [names[column] for column in columns]
    # All columns are read, since with usecols pandas would silently cut rows that have too many
    # fields.
    with _open(path, compression) as file, pd.read_csv(file, chunksize=rows, **options) as chunks:
        while (chunk := _next_chunk(chunks, path, compression, separator)) is not None:
            yield chunk[wanted].set_axis(list(columns), axis=1)


def _next_chunk(
    chunks: Iterator[pd.DataFrame], path: Path, compression: str, separator: str
) -> pd.DataFrame | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return next(chunks, None)
        except (pd.errors.ParserWarning, pd.errors.ParserError) as error:
            raise ValueError(_long_line(path, compression, separator) or _reason(error)) from None


def _long_line(path: Path, compression: str, separator: str) -> str:
    """Describe the first line that has more fields than line 1; empty if there is none."""
    with (
        _open(path, compression) as file,
        io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines,
    ):
        reader = csv.reader(
            lines,
            delimiter=separator,
            quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL,
        )
        width, number = 0, 1
        try:
            for fields in reader:
                width = width or len(fields)
                if len(fields) > width:
                    within = (
                        "Replace tabs within fields"
                        if separator == "\t"
                        else f"Put fields that hold {separator!r} in quotation marks"
                    )
                    return (
                        f"line {number} has {len(fields)} fields, but the first line has {width}."
                        f" {within}, or pass another separator of fields (--sep, separator=)."
                    )
                number = reader.line_num + 1
        except csv.Error:
            pass
    return ""


def _other_reading(first: pd.DataFrame, separator: str, header: bool) -> str:
    """Suggest another way to read a table that lacks a column."""
    if first.shape[1] == 1:
        line = str(first.columns[0] if header else first.iloc[0, 0])
        for other in ";\t|,":
            if other != separator and other in line:
                return (
                    f" If its fields are separated by {other!r}, say so (--sep {other!r},"
                    f" separator={other!r})."
                )
    return " If its first line is no header, say so (--no-header, header=False)." if header else ""


def _parquet_chunks(path: Path, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        _check_columns(path, columns, file.schema_arrow.names)
        _check_expansion(file.metadata, columns)
        for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
            yield batch.to_pandas()[list(columns)]


def _check_expansion(metadata: Any, columns: Sequence[str]) -> None:
    """Refuse columns whose pages expand too far."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            is_wanted = f"{column.path_in_schema}.".startswith(tuple(f"{n}." for n in columns))
            if is_wanted and column.total_uncompressed_size > most_bytes(
                column.total_compressed_size
            ):
                raise ExpansionError(
                    f"its column {column.path_in_schema!r} expands to"
                    f" {column.total_uncompressed_size:,} bytes from"
                    f" {column.total_compressed_size:,}. If you trust it, write it without"
                    " compression."
                )


def _json_chunks(
    path: Path, compression: str, columns: Sequence[str], rows: int
) -> Iterator[pd.DataFrame]:
    _check_columns(path, columns, _json_names(path, compression, columns))
    values: list[list[Any]] = []
    for record in _json_records(path, compression):
        values.append([record.get(column) for column in columns])
        if len(values) == rows:
            yield pd.DataFrame(values, columns=list(columns), dtype=object)
            values = []
    if values:
        yield pd.DataFrame(values, columns=list(columns), dtype=object)


def _json_names(path: Path, compression: str, wanted: Sequence[str]) -> list[str]:
    """Return the keys of records, until all that are wanted were found."""
    names: dict[str, None] = {}
    for record in _json_records(path, compression):
        names.update(dict.fromkeys(record))
        if all(column in names for column in wanted):
            return list(names)
    if not names:
        raise InvalidTableError(f"The file {str(path)!r} is empty.")
    return list(names)


def _json_records(path: Path, compression: str) -> Iterator[dict[str, Any]]:
    with _open(path, compression) as file, io.TextIOWrapper(file, encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise InvalidTableError(
                    f"The file {str(path)!r} cannot be read: line {number} is no JSON: {error}"
                ) from error
            if not isinstance(record, dict):
                raise InvalidTableError(
                    f"The file {str(path)!r} must hold a JSON object in each line. Got a"
                    f" {type(record).__name__} in line {number}."
                )
            yield record


def _open_zst(path: Path) -> IO[bytes]:
    import pyarrow as pa

    return cast("IO[bytes]", pa.input_stream(path, compression="zstd"))


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    members = [
        member for member in archive.infolist() if not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise InvalidTableError(
            f"The archive {str(path)!r} must hold one file. It holds {len(members)}."
        )
    if fault := fault_of_member(members[0]):
        raise InvalidTableError(f"The file in {str(path)!r} {fault}. Extract it, and give it.")
    return archive.open(members[0])


_COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    ".bz2": bz2.open,
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".zip": _open_zip,
    ".zst": _open_zst,
}


def _open(path: Path, compression: str) -> IO[bytes]:
    if not compression:
        return path.open("rb")
    return within_limits(_COMPRESSIONS[compression](path), path.stat().st_size)


def _check_columns(
    path: Path, wanted: Sequence[str], present: Iterable[str], remedy: str = ""
) -> None:
    names = list(present)
    for name in wanted:
        if name not in names:
            shown = first_names([short_text(known, 39) for known in names], _COLUMNS_NAMED)
            raise InvalidTableError(
                f"The file {str(path)!r} has no column {name!r}. Its columns are: {shown}.{remedy}"
            )


def _format_name(kind: str) -> str:
    return f" as {kind[1:]}" if kind in {*_SEPARATORS, *_JSON_LINES, *_PARQUET} else ""


def _reason(error: BaseException) -> str:
    lines = str(error).strip().removeprefix("Error tokenizing data. C error: ").splitlines()
    remedy = ". Save it as UTF-8." if isinstance(error, UnicodeError) else ""
    return (lines[0] if lines else type(error).__name__) + remedy
