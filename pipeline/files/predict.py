"""Predict for a file of any size, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from sklearn.utils import get_tags

from ...errors import InvalidTableError, ModelIntegrityError
from ...features import read_texts
from ...foreign import foreign_errors_as
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import invalid
from ..comparison.probabilities import label_probabilities
from .columns import FittedColumns, fitted_columns
from .read import TableOptions
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
    output: str | Path | IO[bytes],
    *,
    text: str | Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    chunk_rows: int = 4096,
    probabilities: bool | None = None,
    progress: Callable[[int], Any] | None = None,
    **table_options: Unpack[TableOptions],
) -> int:
    r"""Write the predictions of a pipeline to a file, one row for each text of a column.

    Parameters
    ----------
    saved : SavedPipeline
        A pipeline from `load_pipeline`.
    file : str or Path
        File to read: CSV, TSV, Parquet, JSON lines or Excel, see `read_table`.
    output : str, Path or binary stream
        File to write: ``.csv``, ``.parquet`` or ``.jsonl``. A stream is CSV. The columns are
        ``row`` (counted from 0), ``text`` (if there are texts; pairs have both columns under their
        names), the name of the target or of each label, and ``probability_<class>``. A name that is
        taken gets an underscore. In CSV, texts that a spreadsheet could run as formulas begin with
        an apostrophe. Until the file is complete it has a fresh name beside it,
        ``<output>.part-...``. After an error or Ctrl-C that file holds the finished rows, and a
        note of the exception names it.
    text : str, sequence of str or None, default=None
        Name of the column with the texts, or names of the two columns of pairs, if they have others
        than in training. Other columns that the pipeline was trained on keep their names.
    keep : sequence of str or None, default=None
        Columns of the file to write after ``row``, in place of ``text``.
    chunk_rows : int, default=4096
        Maximum number of rows in memory.
    probabilities : bool or None, default=None
        Whether to write probabilities. None writes them if the estimator has ``predict_proba``.
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
    InvalidParameterError
        If ``text`` is None and the pipeline does not name a column, or ``probabilities`` is True
        and the estimator has no ``predict_proba``.
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
    if columns is None and column is not None and not isinstance(column, str):
        raise invalid("text", "one name, since the pipeline was trained on single texts", text)
    if column is None:
        rule = "the name of a column, since the pipeline does not say which it was trained on"
        raise invalid("text", rule, text)
    if keep is not None and (isinstance(keep, str) or not all(isinstance(k, str) for k in keep)):
        raise invalid("keep", "a sequence of names of columns, or None", keep)
    predictor = _Predictor(saved, probabilities, columns, file)
    needed = [column] if isinstance(column, str) else list(column)
    shown = needed if isinstance(column, str) else predictor.text_columns
    default = {"text": shown[0]} if len(shown) == 1 else {name: name for name in shown}
    titles = default if keep is None else {name: name for name in keep}
    wanted = list(dict.fromkeys([*needed, *titles.values()]))

    def convert(chunk: pd.DataFrame) -> pd.DataFrame:
        kept = {title: chunk[name] for title, name in titles.items()}
        rows = chunk[column] if isinstance(column, str) else chunk[needed]
        return _beside(chunk.index, kept, predictor(rows))

    def example(first: pd.DataFrame | None) -> pd.DataFrame:
        if columns is None:
            return convert(pd.DataFrame({name: [""] for name in wanted}, dtype=object))
        if first is not None:
            return convert(first.iloc[:1])
        none = pd.DataFrame(columns=list(titles), dtype=object)
        return _beside(none.index, {title: none[title] for title in titles}, predictor.titles())

    return convert_file(
        path=file,
        columns=wanted,
        text=column if isinstance(column, str) else None,
        output=output,
        formats=FORMATS,
        convert=convert,
        example=example,
        chunk_rows=chunk_rows,
        progress=progress,
        **table_options,
    )


def _beside(
    rows: pd.Index, columns: Mapping[str, pd.Series], predictions: pd.DataFrame
) -> pd.DataFrame:
    """Return the numbers of rows, columns of the file and predictions as one table."""
    predicted = [predictions.iloc[:, index] for index in range(predictions.shape[1])]
    values = [_as_valid(one) for one in (*columns.values(), *predicted)]
    titles = [replace_lone_surrogates(str(title)) for title in (*columns, *predictions.columns)]
    frame = pd.concat([pd.Series(np.asarray(rows)), *values], axis=1)
    return frame.set_axis(_distinct(["row", *titles]), axis=1)


def _as_valid(column: pd.Series) -> pd.Series:
    """Return a column whose texts are valid Unicode, counted from 0."""
    if column.dtype.kind in "biufmM":
        return column.reset_index(drop=True)
    values = [replace_lone_surrogates(one) if isinstance(one, str) else one for one in column]
    return pd.Series(values, dtype=object)


class _Predictor:
    """Predictions and probabilities of a pipeline as a table, from features computed once."""

    def __init__(
        self,
        saved: SavedPipeline,
        probabilities: bool | None,
        columns: FittedColumns | None,
        file: str | Path,
    ) -> None:
        pipeline = saved.pipeline
        self._features = pipeline[:-1] if len(pipeline) > 1 else None
        self._estimator = pipeline[-1]
        self._target = saved.target
        has_probabilities = hasattr(self._estimator, "predict_proba")
        if probabilities and not has_probabilities:
            rule = f"False or None, since {type(self._estimator).__name__} has no probabilities"
            raise invalid("probabilities", rule, probabilities)
        self._with_probabilities = has_probabilities and probabilities is not False
        self._takes_missing = get_tags(pipeline[0]).input_tags.allow_nan
        self._columns = columns
        self._file = file
        self._text = saved.text

    @property
    def text_columns(self) -> list[str]:
        """The columns of the file with the texts to show, if there are several columns."""
        if self._columns is None:
            return []
        known = self._columns.texts
        first = next((name for name in (self._text, *known) if name in known), None)
        shown = self._columns.pair or (() if first is None else (first,))
        return self._columns.named_in_file(shown)

    def __call__(self, rows: Any) -> pd.DataFrame:
        """Predict for a series of texts, or for a table of the columns."""
        if self._columns is None:
            read = read_texts(rows)
            # With None at its end NumPy makes an array of one dimension, even of a single text.
            given: Any = np.array([*read.texts, None], dtype=object)[:-1]
            if self._takes_missing:
                given[read.is_missing] = None
            fault = "The pipeline cannot predict texts, so its file may be damaged"
            with foreign_errors_as(ModelIntegrityError, fault, "Train it again."):
                return self._table(given)
        given = self._columns.table(rows, self._file)
        with foreign_errors_as(
            InvalidTableError,
            f"The pipeline cannot take rows {rows.index[0]} to {rows.index[-1]} (counted from 0) of"
            f" the file {str(self._file)!r}",
            "Give each column values as in training:"
            f" {', '.join(map(repr, self._columns.in_file))}.",
        ):
            return self._table(given)

    def titles(self) -> pd.DataFrame:
        """Return the table of no rows, where there is none to predict for."""
        target = self._target
        names = list(target) if isinstance(target, tuple) else [target or "prediction"]
        if self._with_probabilities:
            classes = names if isinstance(target, tuple) else self._estimator.classes_
            names = [*names, *(f"probability_{name}" for name in classes)]
        return pd.DataFrame(columns=names, dtype=object)

    def _table(self, given: Any) -> pd.DataFrame:
        features = given if self._features is None else self._features.transform(given)
        predictions = np.asarray(self._estimator.predict(features))
        names = self._names(predictions)
        titles = list(names)
        columns = list(predictions.T) if predictions.ndim == 2 else [predictions]
        if self._with_probabilities:
            shares, classes = self._probabilities(features, names)
            columns += list(shares.T)
            titles += [f"probability_{name}" for name in classes]
        return pd.concat([pd.Series(column) for column in columns], axis=1).set_axis(titles, axis=1)

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
            return label_probabilities(shares, classes), names
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
