from __future__ import annotations

import csv
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV, RidgeCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import (
    InvalidParameterError,
    InvalidTableError,
    InvalidTextError,
    ModelNotFoundError,
)
from bertvectorizer.pipeline.files.predict import FORMATS, predict_file
from bertvectorizer.pipeline.saving.pipeline_file import SavedPipeline
from tests.full_disk import full_disk
from tests.tiny import ModelFactory

TRAINING = [
    "the old bat flew",
    "a crane hit the ball",
    "money in the bank",
    "river bank",
    "the night",
    "old money",
]
TEXTS = [
    "The bat flew.",
    None,
    "He hit the ball,\nhard",
    "=money()",
    '"quoted"',
    "The bat flew.",
    "x \ud800",
]
SHOWN = [*TEXTS[:6], "x \ufffd"]
LABELS = ["=a", "b", "=a", "b", "b", "=a"]
WHICH = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]])


def read_jsonl(path: Path) -> pd.DataFrame:
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return pd.DataFrame(map(json.loads, lines))


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, keep_default_na=False, na_values=[""]),
    ".parquet": pd.read_parquet,
    ".jsonl": read_jsonl,
}


def fitted(estimator: Any, labels: Any = LABELS) -> Pipeline:
    return make_pipeline(TfidfVectorizer(), estimator).fit(TRAINING, labels)


@pytest.fixture
def saved() -> SavedPipeline:
    return SavedPipeline(fitted(LogisticRegression()), "text", "sense")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    return path


class Echo(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Predicts the text itself."""

    def fit(self, X: Any, y: Any = None) -> Echo:
        self.n_ = len(X)
        return self

    def predict(self, X: Any) -> Any:
        return np.array([text or "" for text in X], dtype=object)


WILD = st.text(
    st.sampled_from([*"\"'\t\r\n ,;|=a\ufeff", "\x85", "\u2028", "\x0b", "\x1c", "é", "🦇"]),
    max_size=7,
)


@given(
    st.lists(st.tuples(WILD, WILD), min_size=1, max_size=4),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_rows_that_pandas_wrote_are_predicted_row_by_row_or_refused(
    rows: list[tuple[str, str]], separator: str, quoting: Any, end: str, index: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path, output = Path(directory, "table"), Path(directory, "out.jsonl")
        frame = pd.DataFrame(rows, columns=["text", "other"])
        frame.to_csv(path, sep=separator, quoting=quoting, lineterminator=end, index=index)
        pipeline = make_pipeline(Echo().fit(["a"]))
        saved = SavedPipeline(pipeline, "text", "sense")
        try:
            n_rows = predict_file(
                saved, path, output, separator=separator, keep=["other"], chunk_rows=2
            )
        except InvalidTableError:
            # Before Python 3.13 a carriage return alone is no reason to quote a field.
            assert quoting == csv.QUOTE_MINIMAL
            assert "\r" in "".join(map("".join, rows))
            return
        found = read_jsonl(output)
        assert n_rows == len(rows)
        assert found["sense"].tolist() == [text for text, _ in rows]
        assert found["other"].fillna("").tolist() == [other for _, other in rows]


def test_all_formats_are_tried() -> None:
    assert FORMATS.keys() == READERS.keys()


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("chunk_rows", [2, 4096])
def test_predictions_row_for_row(
    ending: str, chunk_rows: int, table: Path, saved: SavedPipeline
) -> None:
    output = table.with_name(f"out{ending}")
    done: list[int] = []
    assert (
        predict_file(saved, table, output, chunk_rows=chunk_rows, progress=done.append)
        == len(TEXTS)
        == sum(done)
    )
    frame = READERS[ending](output)
    quoted = "'" if ending == ".csv" else ""
    assert frame.columns.tolist() == ["row", "text", "sense", "probability_=a", "probability_b"]
    assert frame["row"].tolist() == list(range(len(TEXTS)))
    assert frame["text"].isna().tolist() == [text is None for text in TEXTS]
    assert frame["text"].dropna().tolist() == [
        quoted + text if text[0] == "=" else text for text in SHOWN if text
    ]
    plain = [text or "" for text in TEXTS]
    assert frame["sense"].tolist() == [
        quoted + label if label[0] == "=" else label for label in saved.pipeline.predict(plain)
    ]
    np.testing.assert_array_equal(
        frame[["probability_=a", "probability_b"]], saved.pipeline.predict_proba(plain)
    )
    assert sorted(path.name for path in table.parent.iterdir()) == [output.name, "table.jsonl"]


@pytest.mark.parametrize("ending", READERS)
def test_without_probabilities_and_without_rows(
    ending: str, tmp_path: Path, saved: SavedPipeline
) -> None:
    (tmp_path / "table.csv").write_text("words\n", encoding="utf-8")
    output = tmp_path / f"out{ending}"
    assert (
        predict_file(saved, tmp_path / "table.csv", output, text="words", probabilities=False) == 0
    )
    assert READERS[ending](output).columns.tolist() == (
        [] if ending == ".jsonl" else ["row", "text", "sense"]
    )


def test_regression(table: Path) -> None:
    saved = SavedPipeline(fitted(RidgeCV(), np.arange(6) * 0.5), "text", "stars")
    predict_file(saved, table, table.with_name("out.parquet"))
    frame = pd.read_parquet(table.with_name("out.parquet"))
    assert frame["stars"].dtype == np.float64
    np.testing.assert_array_equal(
        frame["stars"], saved.pipeline.predict([text or "" for text in TEXTS])
    )


@pytest.mark.parametrize(
    "estimator",
    [RidgeClassifierCV(), MultiOutputClassifier(LogisticRegression()), DummyClassifier()],
)
def test_several_labels_a_row(estimator: Any, table: Path) -> None:
    pipeline = fitted(estimator, WHICH)
    predict_file(
        SavedPipeline(pipeline, "text", ("old", "new", "old_")), table, table.with_name("out.csv")
    )
    frame = pd.read_csv(table.with_name("out.csv"))
    assert frame.columns[2:5].tolist() == ["old", "new", "old_"]
    np.testing.assert_array_equal(
        frame.iloc[:, 2:5], pipeline.predict([text or "" for text in TEXTS])
    )
    if hasattr(estimator, "predict_proba"):
        assert frame.columns[5:].tolist() == [
            "probability_old",
            "probability_new",
            "probability_old_",
        ]
        expected = np.stack(
            [one[:, 1] for one in pipeline.predict_proba([text or "" for text in TEXTS])], axis=1
        )
        np.testing.assert_array_equal(frame.iloc[:, 5:], expected)


def test_names_that_are_taken(table: Path) -> None:
    pipeline = fitted(DummyClassifier(), [1, 2, 1, 2, 1, 2])
    for target, names in (
        ("row", ["row_"]),
        (None, ["prediction"]),
        ("probability_1", ["probability_1"]),
    ):
        predict_file(SavedPipeline(pipeline, "text", target), table, table.with_name("out.parquet"))
        frame = pd.read_parquet(table.with_name("out.parquet"))
        assert frame.columns[2:3].tolist() == names
        assert len(set(frame.columns)) == frame.shape[1] == 5
    predict_file(
        SavedPipeline(fitted(DummyClassifier(), WHICH), "text", "t"),
        table,
        table.with_name("out.parquet"),
        probabilities=False,
    )
    assert pd.read_parquet(table.with_name("out.parquet")).columns[2:].tolist() == [
        "t_0",
        "t_1",
        "t_2",
    ]


def test_an_estimator_alone_takes_texts(table: Path) -> None:
    pipeline = make_pipeline(DummyClassifier()).fit(np.array(TRAINING, dtype=object), LABELS)
    assert predict_file(
        SavedPipeline(pipeline, "text", "y"), table, table.with_name("out.csv")
    ) == len(TEXTS)


class Counter(BertVectorizer):
    """Counts the texts it embeds, and warns of each chunk."""

    n_texts = 0

    def transform(self, X: Any) -> Any:
        Counter.n_texts += len(X)
        warnings.warn(f"{len(X)} texts", UserWarning, stacklevel=2)
        return super().transform(X)


@pytest.mark.filterwarnings("ignore:.*texts")
@pytest.mark.numeric
def test_texts_are_embedded_once_and_missing_ones_as_the_vectorizer_says(
    table: Path, tiny_model: ModelFactory
) -> None:
    pipeline = make_pipeline(
        Counter(str(tiny_model("bert")), missing="zero"), LogisticRegression()
    ).fit(TRAINING, LABELS)
    Counter.n_texts = 0
    with pytest.warns(
        UserWarning, match=r"In 3 chunks of rows, in the first of them: 1 texts"
    ) as caught:
        predict_file(
            SavedPipeline(pipeline, "text", "y"),
            table,
            table.with_name("out.parquet"),
            chunk_rows=5,
        )
    assert len(caught) == 1
    assert Counter.n_texts == len(TEXTS) + 1  # and one to see what comes out
    expected = pipeline.predict_proba(np.array(TEXTS, dtype=object))
    np.testing.assert_allclose(
        pd.read_parquet(table.with_name("out.parquet")).iloc[:, 3:], expected, rtol=0, atol=1e-6
    )


def test_a_model_that_is_gone_is_reported_before_anything_is_written(
    table: Path, tiny_model: ModelFactory
) -> None:
    pipeline = make_pipeline(BertVectorizer(str(tiny_model("bert"))), LogisticRegression()).fit(
        TRAINING, LABELS
    )
    pipeline[0].set_params(model_name="no/such-model", local_files_only=True)
    with pytest.raises(ModelNotFoundError, match="no/such-model"):
        predict_file(SavedPipeline(pipeline, "text", "y"), table, table.with_name("out.csv"))
    assert list(table.parent.iterdir()) == [table]


@pytest.mark.parametrize("chunk_rows", [1, 4096])
@pytest.mark.parametrize("ending", READERS)
def test_columns_are_kept(
    ending: str, chunk_rows: int, tmp_path: Path, saved: SavedPipeline
) -> None:
    table = tmp_path / "table.parquet"
    frame = pd.DataFrame(
        {
            "id": [3, 1, 2],
            "sense": [None, "=x", "y \u00e9"],
            "text": ["a bat", None, "the bank"],
            "when": pd.to_datetime(["2020-01-01", None, "2021-02-03"]),
        }
    )
    frame.to_parquet(table)
    output = tmp_path / f"out{ending}"
    predict_file(
        saved,
        table,
        output,
        keep=["id", "text", "sense", "when", "id"],
        probabilities=False,
        chunk_rows=chunk_rows,
    )
    found = READERS[ending](output)
    assert found.columns.tolist() == ["row", "id", "text", "sense", "when", "sense_"]
    assert found["id"].tolist() == [3, 1, 2]
    assert found["text"].fillna("-").tolist() == ["a bat", "-", "the bank"]
    quoted = "'=x" if ending == ".csv" else "=x"
    assert found["sense"].fillna("-").tolist() == ["-", quoted, "y \u00e9"]
    assert pd.to_datetime(found["when"]).dt.year.fillna(0).tolist() == [2020, 0, 2021]
    predict_file(saved, table, output, keep=[], probabilities=False)
    assert READERS[ending](output).columns.tolist() == ["row", "sense"]


def test_columns_to_keep_at_fault(table: Path, saved: SavedPipeline) -> None:
    with pytest.raises(InvalidTableError, match="no column 'id'"):
        predict_file(saved, table, table.with_name("out.csv"), keep=["id"])
    with pytest.raises(InvalidParameterError, match="'keep' parameter must be a sequence"):
        predict_file(saved, table, table.with_name("out.csv"), keep="id")
    table.write_text('{"text": "a", "id": 1}\n{"text": "b", "id": "x"}\n', encoding="utf-8")
    with pytest.raises(InvalidTableError, match="several types, which Parquet cannot hold"):
        predict_file(saved, table, table.with_name("out.parquet"), keep=["id"], chunk_rows=1)


def test_probabilities_are_demanded(table: Path, saved: SavedPipeline) -> None:
    with pytest.raises(InvalidParameterError, match="RidgeCV has no probabilities"):
        predict_file(
            SavedPipeline(fitted(RidgeCV(), np.arange(6)), "text", "y"),
            table,
            table.with_name("out.csv"),
            probabilities=True,
        )


@pytest.mark.parametrize("name", ["new.csv.part", "new.csv.part-0123abcd"])
def test_an_unfinished_output_is_no_input(name: str, tmp_path: Path, saved: SavedPipeline) -> None:
    source, output = tmp_path / name, tmp_path / "new.csv"
    content = "text\n" + "".join(f"bat {number}\n" for number in range(50))
    source.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidTableError, match=r"name of an unfinished 'new\.csv'.* Rename it"):
        predict_file(saved, source, output, separator=",", chunk_rows=7)
    assert source.read_text(encoding="utf-8") == content
    assert not output.exists()
    assert predict_file(saved, source, tmp_path / "other.csv", separator=",", chunk_rows=7) == 50


def test_what_is_kept_is_noted_in_the_exception(table: Path, saved: SavedPipeline) -> None:
    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    for _ in range(2):  # a second run leaves what the first has kept
        with pytest.raises(KeyboardInterrupt) as caught:
            predict_file(saved, table, table.with_name("out.csv"), chunk_rows=4, progress=stop)
        parts = list(table.parent.glob("out.csv.part-*"))
        assert caught.value.__notes__ in [[f"4 rows are kept in {part}"] for part in parts]
    assert len(parts) == 2


def test_a_stream_gets_csv(table: Path, saved: SavedPipeline) -> None:
    stream = io.BytesIO(b"before\n")
    stream.seek(0, io.SEEK_END)
    predict_file(saved, table, stream, chunk_rows=2)
    predict_file(saved, table, table.with_name("out.csv"))
    assert stream.getvalue() == b"before\n" + table.with_name("out.csv").read_bytes()
    with pytest.raises(InvalidParameterError, match="'output' parameter must be a path or"):
        predict_file(saved, table, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", READERS)
def test_a_fault_further_down_keeps_the_rows_before_it(
    ending: str, table: Path, saved: SavedPipeline
) -> None:
    with table.open("a", encoding="utf-8") as file:
        file.write('{"text": ["no text"]}\n')
    output = table.with_name(f"out{ending}")
    with pytest.raises(
        InvalidTextError,
        match=r"Got list \['no text'\] in row 7 \(counted from 0\) of column 'text' of the file",
    ):
        predict_file(saved, table, output, chunk_rows=3)
    assert not output.exists()
    (part,) = output.parent.glob(f"{output.name}.part-*")
    part = part.rename(output)
    assert READERS[ending](part.with_name(output.name))["row"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("ending", READERS)
def test_an_interrupt_leaves_whole_rows_or_nothing(
    ending: str, table: Path, saved: SavedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = table.with_name(f"out{ending}")

    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_file(saved, table, output, chunk_rows=4, progress=stop)
    (part,) = output.parent.glob(f"{output.name}.part-*")
    part = part.rename(output)
    assert len(READERS[ending](part.with_name(output.name))) == 4
    output.unlink()
    monkeypatch.setattr(FORMATS[ending], "write", lambda *_: stop(0))
    with pytest.raises(KeyboardInterrupt):
        predict_file(saved, table, output)
    assert list(table.parent.iterdir()) == [table]


@pytest.mark.skipif(
    os.name != "posix" or not Path("/dev/full").exists(),
    reason="needs /dev/full, a device that is always full",
)
@pytest.mark.parametrize("ending", READERS)
def test_a_full_disk_is_one_line(
    ending: str, table: Path, saved: SavedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = table.with_name(f"out{ending}")
    full_disk(monkeypatch)
    with pytest.raises(InvalidTableError, match="cannot be written: ") as caught:
        predict_file(saved, table, output)
    assert "\n" not in str(caught.value)
    assert not output.exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.npy", r"must end in one of \.csv, \.parquet, \.jsonl"),
        ("nowhere/out.csv", "there is no folder"),
        ("folder.csv", "it is a folder"),
        ("table.jsonl", "is the file to be read"),
    ],
)
def test_an_output_at_fault_is_named(
    output: str, message: str, table: Path, saved: SavedPipeline
) -> None:
    table.with_name("folder.csv").mkdir()
    with pytest.raises(InvalidTableError, match=message):
        predict_file(saved, table, table.with_name("x").parent / output)


def test_a_column_at_fault_is_named(table: Path, saved: SavedPipeline) -> None:
    with pytest.raises(InvalidTableError, match="no column 'txt'"):
        predict_file(saved, table, table.with_name("out.csv"), text="txt")
    with pytest.raises(
        InvalidParameterError, match="'text' parameter must be the name of a column"
    ):
        predict_file(SavedPipeline(saved.pipeline, None, None), table, table.with_name("out.csv"))
