"""Embed a file of any size: read a chunk, encode it, write it, forget it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import InvalidTextError
from .read import read_chunks
from .write import blaming, check_output, describe_fault, warning_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...features import TextVectorizer

__all__ = ["FORMATS", "embed_file"]


def embed_file(
    path: str | Path,
    column: str,
    output: str | Path,
    vectorizer: TextVectorizer,
    *,
    header: bool = True,
    separator: str | None = None,
    chunk_rows: int = 4096,
    progress: Callable[[int], Any] | None = None,
) -> int:
    r"""Write the vectors of a column of texts to a file, row for row.

    Parameters
    ----------
    path : str or Path
        Table to read: CSV, TSV, Parquet or JSON lines, see `read_table`.
    column : str
        Column with the texts.
    output : str or Path
        ``.parquet`` (a float32 column for each feature), ``.npy`` (a matrix) or ``.csv``. While it
        is being written it is called ``<output>.part``; if something stops the work, that file is
        closed properly and holds the rows done.
    vectorizer : TextVectorizer
        A vectorizer that needs no fitting, or a fitted one.
    header, separator
        As in `read_table`.
    chunk_rows : int
        Rows in memory at a time.
    progress : callable or None
        Called with the number of rows of each chunk once it is written.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    InvalidTableError
        If the file cannot be read or lacks the column, or the output cannot be written or has an
        ending that names no known format. Files at fault are found before the model is loaded.
    InvalidTextError
        If the column holds something that is neither a text nor missing; the message names the row.

    Warns
    -----
    UserWarning
        What the vectorizer warns of, such as texts longer than the model reads: once, when the work
        ends. If the figures differ from chunk to chunk, it says in how many chunks, and gives those
        of the first.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from bertvectorizer import BertVectorizer
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     table, matrix = Path(directory, "bats.csv"), Path(directory, "bats.npy")
    ...     _ = table.write_text("text\nHe swung the bat.\n", encoding="utf-8")
    ...     rows = embed_file(table, "text", matrix, BertVectorizer())
    ...     rows, np.load(matrix).shape
    (1, (1, 384))
    """
    output = check_output(output, FORMATS, path)
    chunks = read_chunks(path, [column], chunk_rows, header=header, separator=separator)
    first = list(islice(chunks, 1))
    names = vectorizer.get_feature_names_out().tolist()
    part = output.with_name(output.name + ".part")
    with blaming(output):
        writer = FORMATS[output.suffix.lower()](part, names)
    rows = 0
    try:
        with warning_once(), _closing(writer, output):
            for chunk in chain(first, chunks):
                try:
                    vectors = vectorizer.transform(chunk[column])
                except InvalidTextError as error:
                    raise InvalidTextError(
                        describe_fault(chunk[column], path) or str(error)
                    ) from error
                with blaming(output):
                    writer.write(vectors)
                rows += len(chunk)
                if progress is not None:
                    progress(len(chunk))
    except BaseException:
        if not rows:
            part.unlink(missing_ok=True)
        raise
    with blaming(output):
        part.replace(output)
    return rows


@contextmanager
def _closing(writer: _Writer, output: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with blaming(output):
            writer.close()


class _Writer(ABC):
    """A file that grows by matrices, and is whole whenever it is closed."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.names = names

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
    """What was interrupted in the middle of a chunk is cut off at the end."""

    def __init__(self, path: Path, names: list[str]) -> None:
        super().__init__(path, names)
        self._file = path.open("wb")
        self._end = 0
        self._append(",".join(names) + "\n")

    def _append(self, text: str) -> None:
        self._end += self._file.write(text.encode())

    def write(self, vectors: NDArray[np.float32]) -> None:
        self._append(pd.DataFrame(vectors).to_csv(header=False, index=False, lineterminator="\n"))

    def close(self) -> None:
        with self._file:
            self._file.truncate(self._end)


class _NpyWriter(_Writer):
    """NumPy leaves room in the header for the number of rows to grow, so it can be written again at the end."""

    def __init__(self, path: Path, names: list[str]) -> None:
        super().__init__(path, names)
        self._rows = 0
        self._file = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def _write_header(self) -> None:
        shape = (self._rows, len(self.names))
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )

    def write(self, vectors: NDArray[np.float32]) -> None:
        self._file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
        self._rows += len(vectors)

    def close(self) -> None:
        with self._file:
            self._file.truncate(self._start + self._rows * len(self.names) * 4)
            self._file.seek(0)
            self._write_header()
            assert self._file.tell() == self._start


FORMATS: dict[str, type[_Writer]] = {
    ".parquet": _ParquetWriter,
    ".npy": _NpyWriter,
    ".csv": _CsvWriter,
}
