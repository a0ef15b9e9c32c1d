"""Embed a file of any size: read a chunk, encode it, write it, forget it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..models.errors import InvalidTableError
from .tables import read_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..features import TextVectorizer

__all__ = ["FORMATS", "embed_file"]


def embed_file(
    path: str | Path,
    column: str,
    output: str | Path,
    vectorizer: TextVectorizer,
    *,
    chunk_rows: int = 4096,
    progress: Callable[[int], Any] | None = None,
) -> int:
    """Write the vectors of a column of texts to a file, row for row.

    Parameters
    ----------
    path : str or Path
        Table to read: CSV, TSV, Parquet or JSON lines.
    column : str
        Column with the texts.
    output : str or Path
        ``.parquet`` (a float32 column for each feature), ``.npy`` (a matrix) or ``.csv``. While it is being written it
        is called ``<output>.part``; if something stops the work, that file is closed properly and holds the rows done.
    vectorizer : TextVectorizer
        A vectorizer that needs no fitting, or a fitted one.
    chunk_rows : int
        Rows in memory at a time.
    progress : callable or None
        Called with the number of rows done after each chunk.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    InvalidTableError
        If the file cannot be read, lacks the column, or the output's ending names no known format.
    """
    output = Path(output)
    if output.suffix not in FORMATS:
        raise InvalidTableError(f"The output {str(output)!r} must end in one of {', '.join(FORMATS)}.")
    part = output.with_name(output.name + ".part")
    names = vectorizer.get_feature_names_out().tolist()
    rows = 0
    with FORMATS[output.suffix](part, names) as writer:
        for chunk in read_chunks(path, [column], chunk_rows):
            writer.write(vectorizer.transform(chunk[column]))
            rows += len(chunk)
            if progress is not None:
                progress(len(chunk))
    part.replace(output)
    return rows


class _Writer(ABC):
    """A file that grows by matrices, and is whole whenever it is closed."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.names = names

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @abstractmethod
    def write(self, vectors: NDArray[np.float32]) -> None:
        """Add rows. *Shape:* ``(n_rows, n_features)``."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _ParquetWriter(_Writer):
    def __init__(self, path: Path, names: list[str]) -> None:
        super().__init__(path, names)
        import pyarrow as pa
        from pyarrow import parquet

        self._arrow = pa
        self._schema = pa.schema([(name, pa.float32()) for name in names])
        self._file = parquet.ParquetWriter(path, self._schema, use_dictionary=False)

    def write(self, vectors: NDArray[np.float32]) -> None:
        columns = [self._arrow.array(column) for column in np.ascontiguousarray(vectors.T)]
        self._file.write_table(self._arrow.table(columns, schema=self._schema))

    def close(self) -> None:
        self._file.close()


class _CsvWriter(_Writer):
    def __init__(self, path: Path, names: list[str]) -> None:
        super().__init__(path, names)
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._file.write(",".join(names) + "\n")

    def write(self, vectors: NDArray[np.float32]) -> None:
        pd.DataFrame(vectors).to_csv(self._file, header=False, index=False)

    def close(self) -> None:
        self._file.close()


class _NpyWriter(_Writer):
    """NumPy leaves room in the header for the number of rows to grow, so it can be written again at the end."""

    def __init__(self, path: Path, names: list[str]) -> None:
        super().__init__(path, names)
        self._rows = 0
        self._file: IO[bytes] = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def _write_header(self) -> None:
        shape = (self._rows, len(self.names))
        np.lib.format.write_array_header_1_0(self._file, {"descr": "<f4", "fortran_order": False, "shape": shape})

    def write(self, vectors: NDArray[np.float32]) -> None:
        self._file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
        self._rows += len(vectors)

    def close(self) -> None:
        self._file.truncate(self._start + self._rows * len(self.names) * 4)
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self._start
        self._file.close()


FORMATS: dict[str, type[_Writer]] = {".parquet": _ParquetWriter, ".npy": _NpyWriter, ".csv": _CsvWriter}
