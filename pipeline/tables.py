"""Tables on disk: CSV, TSV, Parquet and JSON lines, whole or in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..models.errors import InvalidTableError

__all__ = ["read_chunks", "read_table"]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = {".jsonl", ".ndjson", ".json"}
_PARQUET = {".parquet", ".pq"}


def read_table(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read some columns of a file.

    Parameters
    ----------
    path : str or Path
        ``.csv``, ``.tsv``, ``.parquet`` or ``.jsonl``; the first two and the last may be compressed (``.gz``, ``.xz`` ...).
    columns : sequence of str
        Columns wanted. They are read as text where the format has no types.

    Returns
    -------
    DataFrame

    Raises
    ------
    InvalidTableError
        If the file is missing, cannot be read, or lacks a column.
    """
    chunks = list(read_chunks(path, columns, rows=1 << 20))
    return pd.concat(chunks, ignore_index=True) if chunks else pd.DataFrame(columns=list(columns))


def read_chunks(path: str | Path, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    """Read some columns of a file, ``rows`` rows at a time, so that the file may be larger than memory.

    Parameters and errors are those of `read_table`.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidTableError(f"There is no file {str(path)!r}.")
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix.lower() not in {".gz", ".xz", ".bz2", ".zst", ".zip"}), "").lower()
    try:
        if kind in _SEPARATORS:
            yield from _csv_chunks(path, columns, rows, _SEPARATORS[kind])
        elif kind in _PARQUET:
            yield from _parquet_chunks(path, columns, rows)
        elif kind in _JSON_LINES:
            yield from _json_chunks(path, columns, rows)
        else:
            raise InvalidTableError(
                f"The file {str(path)!r} has an ending that names no known format. Give a .csv, .tsv, .parquet or .jsonl file."
            )
    except (ValueError, OSError, EOFError) as error:
        if isinstance(error, InvalidTableError):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidTableError(f"The file {str(path)!r} cannot be read as {kind.lstrip('.')}: {reason}") from error


def _csv_chunks(path: Path, columns: Sequence[str], rows: int, separator: str) -> Iterator[pd.DataFrame]:
    options: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "na_values": [""], "encoding": "utf-8-sig"}
    if separator == "\t":
        options["quoting"] = 3  # tab-separated text seldom quotes, and a lone quotation mark would swallow lines
    header = pd.read_csv(path, nrows=0, **options)
    _check_columns(path, columns, header.columns)
    with pd.read_csv(path, usecols=list(columns), chunksize=rows, **options) as chunks:
        for chunk in chunks:
            yield chunk[list(columns)]


def _parquet_chunks(path: Path, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        _check_columns(path, columns, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
            yield batch.to_pandas()[list(columns)]


def _json_chunks(path: Path, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    with pd.read_json(path, lines=True, chunksize=rows, dtype=False, convert_dates=False, encoding="utf-8") as chunks:
        for chunk in chunks:
            _check_columns(path, columns, chunk.columns)
            yield chunk[list(columns)]


def _check_columns(path: Path, wanted: Sequence[str], present: Sequence[Any]) -> None:
    names = [str(name) for name in present]
    for name in wanted:
        if name not in names:
            raise InvalidTableError(f"The file {str(path)!r} has no column {name!r}. Its columns are: {', '.join(names[:20])}")
