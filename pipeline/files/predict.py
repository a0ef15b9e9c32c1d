"""Predict for a file of any size, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils import get_tags

from ...errors import BertVectorizerError, InvalidTableError
from ...features import read_texts
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import invalid, short_text
from .columns import FittedColumns, fitted_columns
from .read import read_chunks
from .write import CsvWriter, JsonLinesWriter, ParquetWriter, Writer, convert_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..saving.pipeline_file import SavedPipeline

__all__ = ["FORMATS", "predict_file"]

FORMATS: dict[str, type[Writer]] = {
    ".csv": CsvWriter,
    ".parquet": ParquetWriter,
    ".jsonl": JsonLinesWriter,
}


def predict_file(
    saved: SavedPipeline,
    file: str | Path,
    output: str | Path,
    *,
    text: str | None = None,
    header: bool = True,
    separator: str | None = None,
    chunk_rows: int = 4096,
    probabilities: bool = True,
    progress: Callable[[int], Any] | None = None,
) -> int:
    r"""Write the predictions of a pipeline to a file, one row for each text of a column.

    Parameters
    ----------
    saved : SavedPipeline
        A pipeline from `load_pipeline`.
    file : str or Path
        File to read: CSV, TSV, Parquet or JSON lines, see `read_table`.
    output : str or Path
        File to write: ``.csv``, ``.parquet`` or ``.jsonl``. Its columns are ``row`` (counted from
        0), ``text`` (if there are texts), the name of the target or of each label, and
        ``probability_<class>``. In CSV, texts that a spreadsheet could run as formulas begin with
        an apostrophe. It is called ``<output>.part`` until it is complete. After an error that file
        holds the finished rows.
    text : str or None, default=None
        Name of the column with the texts, if it has another than in training. Other columns that
        the pipeline was trained on keep their names.
    header : bool, default=True
        Whether the first line of a CSV or TSV file names the columns, see `read_table`.
    separator : str or None, default=None
        Character between two fields, see `read_table`.
    chunk_rows : int, default=4096
        Maximum number of rows in memory.
    probabilities : bool, default=True
        Whether to write probabilities, if the estimator has ``predict_proba``.
    progress : callable or None, default=None
        Called with the number of rows of each chunk after it is written.

    Returns
    -------
    n_rows : int
        Number of rows written.

    Raises
    ------
    InvalidParameterError
        If ``text`` is None and the pipeline does not name a column.
    InvalidTableError
        If the file cannot be read or lacks the column, or the output cannot be written or its
        suffix is unknown, or the pipeline cannot take the values of a column.
    InvalidTextError
        If a column of texts holds a value that is neither a text nor missing. The message names
        the row.
    ModelNotFoundError
        If the transformer that the pipeline was fitted with cannot be found.
    ModelChangedError
        If the transformer is not the one that the pipeline was fitted with.

    Warns
    -----
    UserWarning
        If a vectorizer warns. Each warning is given once, at the end.

    See Also
    --------
    embed_file : Write the vectors of texts.
    load_pipeline : Load a pipeline from a file.

    Notes
    -----
    Missing texts are read as "", unless the first step of the pipeline accepts missing values.

    A pipeline that was fitted on several columns of a DataFrame gets them by name. In CSV and TSV
    files, columns of numbers are read as numbers, unless the pipeline learned texts from them.
    Columns that it does not use need not be there.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from pathlib import Path
    >>> from sklearn.pipeline import make_pipeline
    >>> from bertvectorizer.pipeline import SavedPipeline, predict_file
    >>> texts, senses = ["a cricket bat", "a sleeping bat"], ["thing", "animal"]
    >>> pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, senses)
    >>> saved = SavedPipeline(pipeline, "text", "sense")
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     table, output = Path(directory, "bats.csv"), Path(directory, "senses.csv")
    ...     _ = table.write_text("text\ncricket\nsleeping\n", encoding="utf-8")
    ...     rows = predict_file(saved, table, output, probabilities=False)
    ...     print(output.read_text(encoding="utf-8"), end="")
    "row","text","sense"
    0,"cricket","thing"
    1,"sleeping","animal"
    """
    columns = fitted_columns(saved, text)
    column = (saved.text if text is None else text) if columns is None else columns.in_file
    if column is None:
        rule = "the name of a column, since the pipeline does not say which it was trained on"
        raise invalid("text", rule, text)
    predictor = _Predictor(saved, probabilities, columns, file)

    def example() -> pd.DataFrame:
        if columns is None:
            return predictor(pd.Series([""], dtype=object))
        rows = read_chunks(file, columns.in_file, 1, header=header, separator=separator)
        first = next((chunk for chunk in rows if len(chunk)), None)
        return predictor.titles() if first is None else predictor(first)

    return convert_file(
        path=file,
        column=column,
        output=output,
        formats=FORMATS,
        convert=predictor,
        example=example,
        header=header,
        separator=separator,
        chunk_rows=chunk_rows,
        progress=progress,
    )


class _Predictor:
    """Predictions and probabilities of a pipeline as a table, from features computed once."""

    def __init__(
        self,
        saved: SavedPipeline,
        probabilities: bool,
        columns: FittedColumns | None,
        file: str | Path,
    ) -> None:
        pipeline = saved.pipeline
        self._features = pipeline[:-1] if len(pipeline) > 1 else None
        self._estimator = pipeline[-1]
        self._target = saved.target
        self._with_probabilities = probabilities and hasattr(self._estimator, "predict_proba")
        self._takes_missing = len(pipeline) > 1 and get_tags(pipeline[0]).input_tags.allow_nan
        self._columns = columns
        self._file = file
        if columns is not None:
            candidates = [saved.text, *columns.texts]
            self._shown = next((name for name in candidates if name in columns.texts), None)

    def __call__(self, rows: Any) -> pd.DataFrame:
        """Predict for a series of texts, or for a table of the columns."""
        if self._columns is None:
            read = read_texts(rows)
            # With None at its end NumPy makes an array of one dimension, even of a single text.
            given: Any = np.array([*read.texts, None], dtype=object)[:-1]
            if self._takes_missing:
                given[read.is_missing] = None
            return self._table(rows.index, given, _shown(read.texts, read.is_missing))
        given = self._columns.table(rows, self._file)
        texts = None
        if self._shown is not None:
            missing = rows[self._columns.in_file[self._columns.names.index(self._shown)]].isna()
            texts = _shown(given[self._shown], missing)
        try:
            return self._table(rows.index, given, texts)
        except BertVectorizerError:
            raise
        except (TypeError, ValueError) as error:
            raise InvalidTableError(
                f"The pipeline cannot take rows {rows.index[0]} to {rows.index[-1]} (counted from"
                f" 0) of the file {str(self._file)!r}: {short_text(str(error), 300)} Give each"
                f" column values as in training: {', '.join(map(repr, self._columns.in_file))}."
            ) from error

    def titles(self) -> pd.DataFrame:
        """Return the table of no rows, where there is none to predict for."""
        target = self._target
        names = list(target) if isinstance(target, tuple) else [target or "prediction"]
        if self._with_probabilities:
            classes = names if isinstance(target, tuple) else self._estimator.classes_
            names = [*names, *(f"probability_{name}" for name in classes)]
        shown = [] if self._columns is None or self._shown is None else ["text"]
        return pd.DataFrame(columns=_distinct(["row", *shown, *names]), dtype=object)

    def _table(self, index: pd.Index, given: Any, shown: list[str | None] | None) -> pd.DataFrame:
        features = given if self._features is None else self._features.transform(given)
        predictions = np.asarray(self._estimator.predict(features))
        names = self._names(predictions)
        columns = [
            index.to_numpy(),
            *([] if shown is None else [pd.Series(shown, dtype=object)]),
            *(predictions.T if predictions.ndim == 2 else [predictions]),
        ]
        titles = ["row", *([] if shown is None else ["text"]), *names]
        if self._with_probabilities:
            shares, classes = self._probabilities(features, names)
            columns += list(shares.T)
            titles += [f"probability_{name}" for name in classes]
        frame = pd.concat([pd.Series(np.asarray(column)) for column in columns], axis=1)
        return frame.set_axis(_distinct(titles), axis=1)

    def _names(self, predictions: NDArray[Any]) -> list[str]:
        """Return the names of the columns of predictions."""
        if predictions.ndim == 1:
            return [self._target if isinstance(self._target, str) else "prediction"]
        n_labels = predictions.shape[1]
        if isinstance(self._target, tuple) and len(self._target) == n_labels:
            return list(self._target)
        name = self._target if isinstance(self._target, str) else "prediction"
        return [f"{name}_{number}" for number in range(n_labels)]

    def _probabilities(
        self, features: Any, names: list[str]
    ) -> tuple[NDArray[np.float64], Sequence[Any]]:
        """Return probabilities of shape (n_texts, n_classes), and the names of the classes."""
        shares = self._estimator.predict_proba(features)
        classes = self._estimator.classes_
        if isinstance(shares, list):
            # An array for each label: its absence and presence, or one of them if it never changed.
            present = [
                one[:, list(known).index(1)] if 1 in known else np.zeros(len(one))
                for one, known in zip(shares, classes, strict=True)
            ]
            return np.stack(present, axis=1), names
        return shares, names if len(names) == shares.shape[1] > 1 else list(classes)


def _distinct(titles: list[str]) -> list[str]:
    """Make the names of columns distinct."""
    taken: dict[str, None] = {}
    for title in titles:
        name = title
        while name in taken:
            name += "_"
        taken[name] = None
    return list(taken)


def _shown(texts: Iterable[Any], is_missing: Iterable[Any]) -> list[str | None]:
    """Return texts as they are written: None for missing ones, and no lone surrogates."""
    return [
        None if missing else replace_lone_surrogates(str(one))
        for one, missing in zip(texts, is_missing, strict=True)
    ]
