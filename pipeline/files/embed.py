"""Embed a file of any size, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd

from ...models.checkpoint.text_tokens import replace_lone_surrogates
from .read import TableOptions
from .write import NpyWriter, NumbersCsvWriter, ParquetWriter, Writer, convert_file

if TYPE_CHECKING:
    from ...features import TextVectorizer

__all__ = ["FORMATS", "embed_file"]

FORMATS: dict[str, type[Writer]] = {
    ".parquet": ParquetWriter,
    ".npy": NpyWriter,
    ".csv": NumbersCsvWriter,
}


def embed_file(
    path: str | Path,
    column: str,
    output: str | Path | IO[bytes],
    vectorizer: TextVectorizer,
    *,
    chunk_rows: int = 4096,
    progress: Callable[[int], Any] | None = None,
    **table_options: Unpack[TableOptions],
) -> int:
    r"""Write the vectors of a column of texts to a file, one row for each text.

    Parameters
    ----------
    path : str or Path
        File to read: CSV, TSV, Parquet, JSON lines or Excel, see `read_table`.
    column : str
        Name of the column with the texts.
    output : str, Path or binary stream
        File to write: ``.parquet`` (a float32 column for each feature), ``.npy`` (a matrix) or
        ``.csv``. A stream is CSV. Until the file is complete it has a fresh name beside it,
        ``<output>.part-...``. After an error or Ctrl-C that file holds the finished rows, and a
        note of the exception names it.
    vectorizer : TextVectorizer
        A vectorizer that is fitted, or needs no fitting.
    chunk_rows : int, default=4096
        Maximum number of rows in memory.
    progress : callable or None, default=None
        Called with the number of rows of each chunk after it is written.
    **table_options : Unpack[TableOptions]
        How to read the file: ``header``, ``separator``, ``quoting`` and ``encoding`` of
        `read_table`.

    Returns
    -------
    n_rows : int
        Number of rows written.

    Raises
    ------
    InvalidTableError
        If the file cannot be read or lacks the column, or the output cannot be written or its
        suffix is unknown.
    InvalidTextError
        If the column holds a value that is neither a text nor missing. The message names the row.

    Warns
    -----
    UserWarning
        If the vectorizer warns, for example of texts that are longer than the limit of the model.
        Each warning is given once, at the end. If it differs between chunks only in its numbers,
        it has the numbers of the first chunk and the number of chunks.

    See Also
    --------
    predict_file : Write the predictions of a fitted pipeline.
    read_table : Read a file. Describes the formats.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from bertvectorizer import BertVectorizer
    >>> from bertvectorizer.pipeline import embed_file
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     table, matrix = Path(directory, "bats.csv"), Path(directory, "bats.npy")
    ...     _ = table.write_text("text\nHe swung the bat.\n", encoding="utf-8")
    ...     rows = embed_file(table, "text", matrix, BertVectorizer())
    ...     rows, np.load(matrix).shape
    (1, (1, 384))
    """

    def names() -> list[str]:
        return [replace_lone_surrogates(name) for name in vectorizer.get_feature_names_out()]

    def embed(chunk: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(np.asarray(vectorizer.transform(chunk[column])), columns=names())

    return convert_file(
        path=path,
        columns=[column],
        text=column,
        output=output,
        formats=FORMATS,
        convert=embed,
        example=lambda _: pd.DataFrame(columns=names(), dtype=np.float32),
        chunk_rows=chunk_rows,
        progress=progress,
        **table_options,
    )
