"""Predict for a file of any size: read a chunk, predict, write it, forget it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils import get_tags

from ...errors import InvalidTextError
from ...features import read_texts
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import invalid
from .read import read_chunks
from .safe_csv import csv_text
from .write import blaming, check_output, describe_fault, warning_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..saving.pipeline_file import SavedPipeline

__all__ = ["FORMATS", "predict_file"]


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
    r"""Write what a pipeline predicts for a column of texts, row for row.

    Parameters
    ----------
    saved : SavedPipeline
        From `load_pipeline`.
    file : str or Path
        Table to read: CSV, TSV, Parquet or JSON lines, see `read_table`.
    output : str or Path
        ``.csv``, ``.parquet`` or ``.jsonl``. Its columns are ``row`` (counted from 0), ``text``,
        the name of the target (one for each label where a row may have several), and
        ``probability_<class>``. In CSV, texts that a spreadsheet could take for formulas come after
        an apostrophe. While it is being written it is called ``<output>.part``; if something stops
        the work, that file is closed properly and holds the rows done.
    text : str or None
        Column with the texts; None takes the one that the pipeline was trained on.
    header, separator
        As in `read_table`.
    chunk_rows : int
        Rows in memory at a time.
    probabilities : bool
        Whether to write probabilities, where the estimator has them.
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
        ending that names no known format.
    InvalidTextError
        If the column holds something that is neither a text nor missing; the message names the row.
    ModelNotFoundError, ModelChangedError
        If the transformer that the pipeline was fitted with is not here, or is another one.

    Notes
    -----
    Missing texts read as "", unless the first step has a way of its own with them. What a vectorizer warns of is told once, at the end.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from bertvectorizer.pipeline.saving.pipeline_file import SavedPipeline
    >>> pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["a cricket bat", "a sleeping bat"], ["thing", "animal"])
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     table, output = Path(directory, "bats.csv"), Path(directory, "senses.csv")
    ...     _ = table.write_text("text\ncricket\nsleeping\n", encoding="utf-8")
    ...     rows = predict_file(SavedPipeline(pipeline, "text", "sense"), table, output, probabilities=False)
    ...     print(output.read_text(encoding="utf-8"), end="")
    "row","text","sense"
    0,"cricket","thing"
    1,"sleeping","animal"
    """
    output = check_output(output, FORMATS, file)
    column = saved.text if text is None else text
    if column is None:
        raise invalid(
            "text",
            "the name of a column, since the pipeline does not say which it was trained on",
            text,
        )
    chunks = read_chunks(file, [column], chunk_rows, header=header, separator=separator)
    first = list(islice(chunks, 1))
    part = output.with_name(output.name + ".part")
    rows = 0
    with warning_once():
        predictor = _Predictor(saved, probabilities)
        example = predictor(pd.Series([""], dtype=object))
        with blaming(output):
            writer = FORMATS[output.suffix.lower()](part, example)
        try:
            with _closing(writer, output):
                for chunk in chain(first, chunks):
                    if chunk.empty:  # of a table that is a header only; estimators refuse no rows
                        continue
                    try:
                        frame = predictor(chunk[column])
                    except InvalidTextError as error:
                        raise InvalidTextError(
                            describe_fault(chunk[column], file) or str(error)
                        ) from error
                    with blaming(output):
                        writer.write(frame)
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


class _Predictor:
    """Predictions and probabilities of a pipeline as a table; texts are turned into features once for both."""

    def __init__(self, saved: SavedPipeline, probabilities: bool) -> None:
        pipeline = saved.pipeline
        self._features = pipeline[:-1] if len(pipeline) > 1 else None
        self._estimator = pipeline[-1]
        self._target = saved.target
        self._with_probabilities = probabilities and hasattr(self._estimator, "predict_proba")
        self._takes_missing = (
            bool(get_tags(pipeline[0]).input_tags.allow_nan)
            if self._features is not None
            else False
        )

    def __call__(self, texts: pd.Series) -> pd.DataFrame:
        read = read_texts(texts)
        given = np.array([*read.texts, None], dtype=object)[
            :-1
        ]  # NumPy would look into a text that stands alone
        shown = [
            None if missing else replace_lone_surrogates(one)
            for one, missing in zip(read.texts, read.is_missing, strict=True)
        ]
        if self._takes_missing:
            given[read.is_missing] = None
        features = given if self._features is None else self._features.transform(given)
        predictions = np.asarray(self._estimator.predict(features))
        names = self._names(predictions)
        columns = [
            texts.index.to_numpy(),
            pd.Series(shown, dtype=object),
            *(predictions.T if predictions.ndim == 2 else [predictions]),
        ]
        titles = ["row", "text", *names]
        if self._with_probabilities:
            shares, classes = self._probabilities(features, names)
            columns += list(shares.T)
            titles += [f"probability_{name}" for name in classes]
        frame = pd.concat([pd.Series(np.asarray(column)) for column in columns], axis=1)
        return frame.set_axis(_distinct(titles), axis=1)

    def _names(self, predictions: NDArray[Any]) -> list[str]:
        """Names of the columns of predictions."""
        if predictions.ndim == 1:
            return [self._target if isinstance(self._target, str) else "prediction"]
        n_labels = predictions.shape[1]
        if isinstance(self._target, tuple) and len(self._target) == n_labels:
            return list(self._target)
        return [
            f"{self._target if isinstance(self._target, str) else 'prediction'}_{number}"
            for number in range(n_labels)
        ]

    def _probabilities(
        self, features: Any, names: list[str]
    ) -> tuple[NDArray[np.float64], Sequence[Any]]:
        """Return probabilities, and of what they are. *Shape:* ``(n_texts, n_classes)``."""
        shares = self._estimator.predict_proba(features)
        classes = self._estimator.classes_
        if isinstance(
            shares, list
        ):  # an array for each label, of its absence and presence; of one of these if it never changed
            present = [
                one[:, list(known).index(1)] if 1 in known else np.zeros(len(one))
                for one, known in zip(shares, classes, strict=True)
            ]
            return np.stack(present, axis=1), names
        return shares, names if len(names) == shares.shape[1] > 1 else list(classes)


def _distinct(titles: list[str]) -> list[str]:
    """Return names of columns of which no two are the same."""
    taken: dict[str, None] = {}
    for title in titles:
        name = title
        while name in taken:
            name += "_"
        taken[name] = None
    return list(taken)


@contextmanager
def _closing(writer: _Writer, output: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with blaming(output):
            writer.close()


class _Writer(ABC):
    """A file that grows by tables, and is whole whenever it is closed; an example says what columns it has."""

    def __init__(self, path: Path, example: pd.DataFrame) -> None:
        self.path = path

    @abstractmethod
    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class _LinesWriter(_Writer):
    """What was interrupted in the middle of a chunk is cut off at the end."""

    def __init__(self, path: Path, example: pd.DataFrame) -> None:
        super().__init__(path, example)
        self._file = path.open("wb")
        self._end = 0

    def _append(self, text: str) -> None:
        self._end += self._file.write(text.encode())

    def close(self) -> None:
        with self._file:
            self._file.truncate(self._end)


class _CsvWriter(_LinesWriter):
    def __init__(self, path: Path, example: pd.DataFrame) -> None:
        super().__init__(path, example)
        self._append(csv_text(example.head(0)))

    def write(self, frame: pd.DataFrame) -> None:
        self._append(csv_text(frame, header=False))


class _JsonWriter(_LinesWriter):
    def write(self, frame: pd.DataFrame) -> None:
        series = [frame.iloc[:, place].astype(object) for place in range(frame.shape[1])]
        columns = [one.where(one.notna(), None).tolist() for one in series]  # JSON has no NaN
        records = (dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True))
        self._append("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


class _ParquetWriter(_Writer):
    def __init__(self, path: Path, example: pd.DataFrame) -> None:
        super().__init__(path, example)
        import pyarrow as pa
        from pyarrow import parquet

        self._arrow = pa
        self._schema = pa.Schema.from_pandas(example, preserve_index=False)
        self._file = parquet.ParquetWriter(path, self._schema)

    def write(self, frame: pd.DataFrame) -> None:
        self._file.write_table(
            self._arrow.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
        )

    def close(self) -> None:
        self._file.close()


FORMATS: dict[str, type[_Writer]] = {
    ".csv": _CsvWriter,
    ".parquet": _ParquetWriter,
    ".jsonl": _JsonWriter,
}
