"""Embed a file of any size, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
        is being written it is called ``<output>.part``. If an error stops the work, that file is
        closed and holds the rows done.
    vectorizer : TextVectorizer
        A vectorizer that needs no fitting, or a fitted one.
    header : bool, default=True
        Whether the first line of a CSV or TSV file names the columns, see `read_table`.
    separator : str, default=None
        Character between two fields, see `read_table`.
    chunk_rows : int, default=4096
        Rows in memory at a time.
    progress : callable, default=None
        Called with the number of rows of each chunk once it is written.

    Returns
    -------
    n_rows : int
        Rows written.

    Raises
    ------
    InvalidTableError
        If the file cannot be read or lacks the column, or the output cannot be written or has an
        unknown ending. Faulty files are found before the model is loaded.
    InvalidTextError
        If the column holds a value that is neither a text nor missing; the message names the row.

    Warns
    -----
    UserWarning
        For each warning of the vectorizer, such as of texts longer than the model reads: once, at
        the end. If its numbers differ between chunks, it names the number of chunks, and gives the
        numbers of the first.

    See Also
    --------
    predict_file : Write the predictions of a fitted pipeline.
    read_table : Formats that can be read.

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

    def embed(texts: pd.Series) -> pd.DataFrame:
        vectors = np.asarray(vectorizer.transform(texts))
        return pd.DataFrame(vectors, columns=vectorizer.get_feature_names_out())

    return convert_file(
        path,
        column,
        output,
        FORMATS,
        embed,
        lambda: pd.DataFrame(columns=vectorizer.get_feature_names_out(), dtype=np.float32),
        header=header,
        separator=separator,
        chunk_rows=chunk_rows,
        progress=progress,
    )
