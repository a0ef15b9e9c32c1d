"""A pipeline that was fitted on several columns gets them by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bertvectorizer import (
    BertVectorizer,
    StaticVectorizer,
    WordVectors,
    load_pipeline,
    save_pipeline,
)
from bertvectorizer.errors import InvalidParameterError, InvalidTableError, InvalidTextError
from bertvectorizer.pipeline import SavedPipeline, predict_file
from bertvectorizer.pipeline.files.columns import fitted_columns
from tests.tiny import ModelFactory

DATA = pd.DataFrame(
    {
        "id": ["a1", "a2", "a3", "a4", "a5", "a6"],
        "review": ["a bat", "the cat", "old bat", "12", "a hat", "the bat"],
        "price": [1.5, 2.0, 30.0, 4.25, 5.0, 6.0],
        "shop": ["01", "02", "01", "02", "01", "02"],
        "stars": [1, 2, 3, 1, 2, 3],
        "new": [True, False, True, True, False, False],
        "title": ["bat", "cat", "bat", "hat", "hat", "bat"],
    }
)
TARGET = ["x", "y", "x", "y", "y", "x"]


def fitted(*transformers: Any, data: Any = DATA, **more: Any) -> Pipeline:
    columns = ColumnTransformer(list(transformers), **more)
    return make_pipeline(columns, LogisticRegression()).fit(data, TARGET)


def words(column: Any = "review") -> tuple[str, Any, Any]:
    return "text", TfidfVectorizer(token_pattern=r"\w+"), column


WAYS: dict[str, Any] = {
    "numbers": lambda: fitted(words(), ("num", StandardScaler(), ["price", "stars", "new"])),
    "texts that look like numbers": lambda: fitted(
        words(), ("cat", OneHotEncoder(), ["shop"]), ("title", TfidfVectorizer(), "title")
    ),
    "categories of numbers and of texts": lambda: fitted(
        words(),
        ("cat", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["stars"]),
        ("more", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["shop"]),
    ),
    "columns by position": lambda: fitted(words(1), ("num", StandardScaler(), [2, 4])),
    "a slice of positions": lambda: fitted(words(), ("num", StandardScaler(), slice(4, 6))),
    "a slice of names": lambda: fitted(words(), ("num", StandardScaler(), slice("stars", "new"))),
    "a mask": lambda: fitted(
        words(), ("num", StandardScaler(), (DATA.columns == "price").tolist())
    ),
    "a selector": lambda: fitted(
        words(), ("num", StandardScaler(), make_column_selector(dtype_include="number"))
    ),
    "a selector by regular expression": lambda: fitted(
        words(), ("num", StandardScaler(), make_column_selector(pattern="^price$|^stars$"))
    ),
    "an index": lambda: fitted(words(), ("num", StandardScaler(), DATA.columns[[2, 4]])),
    "an array of names": lambda: fitted(
        words(), ("num", StandardScaler(), DATA.columns[[2, 4]].to_numpy())
    ),
    "a mask as an array": lambda: fitted(
        words(), ("num", StandardScaler(), np.array(DATA.columns == "price"))
    ),
    "positions from the end": lambda: fitted(words(-6), ("num", StandardScaler(), [-5, -3])),
    "what remains, scaled": lambda: fitted(
        words(), ("none", "drop", ["id", "shop", "title"]), remainder=StandardScaler()
    ),
    "column transformers within a union": lambda: make_pipeline(
        FeatureUnion(
            [
                ("a", ColumnTransformer([words()])),
                ("b", ColumnTransformer([("num", StandardScaler(), ["price"])])),
            ]
        ),
        LogisticRegression(),
    ).fit(DATA, TARGET),
    "column transformers within each other": lambda: fitted(
        (
            "inner",
            ColumnTransformer([words(), ("num", StandardScaler(), ["price"])]),
            ["price", "review"],
        ),
        ("new", "passthrough", ["new"]),
    ),
    "what remains": lambda: fitted(
        words(),
        ("none", "drop", ["id", "shop", "title"]),
        remainder="passthrough",
        sparse_threshold=0,
    ),
    "numbers alone": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(
        DATA[["price", "stars"]], TARGET
    ),
    "one column": lambda: fitted(words(), data=DATA[["review"]]),
}


def write(path: Path, data: pd.DataFrame) -> Path:
    if path.suffix == ".parquet":
        data.to_parquet(path)
    elif path.suffix == ".jsonl":
        data.to_json(path, orient="records", lines=True)
    else:
        data.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("way", WAYS)
def test_predictions_equal_those_from_the_data_frame(way: str, ending: str, tmp_path: Path) -> None:
    pipeline = WAYS[way]()
    saved = load_pipeline(save_pipeline(pipeline, tmp_path / "model.skops", target="kind"))
    columns = fitted_columns(saved, None)
    assert columns is not None
    assert not {"id"} & set(columns.names), "a column that is not used"
    # Other columns, in another order.
    given = DATA[columns.names[::-1]].assign(other="z")
    output = tmp_path / "out.parquet"
    n_rows = predict_file(saved, write(tmp_path / f"table{ending}", given), output, chunk_rows=4)
    assert n_rows == len(DATA)
    got = pd.read_parquet(output)
    data = DATA[list(pipeline.feature_names_in_)]
    assert got["kind"].tolist() == pipeline.predict(data).tolist()
    np.testing.assert_allclose(
        got[["probability_x", "probability_y"]], pipeline.predict_proba(data), rtol=1e-12
    )
    assert got.columns.tolist()[: 2 - (way == "numbers alone")] == (
        ["row"] if way == "numbers alone" else ["row", "text"]
    )
    assert way == "numbers alone" or got["text"].tolist() == DATA["review"].tolist()


def readme(model: str) -> Pipeline:
    features = ColumnTransformer(
        [
            ("text", BertVectorizer(model, store=None, missing="zero"), "review"),
            ("num", StandardScaler(), ["price"]),
        ]
    )
    return make_pipeline(features, LogisticRegression()).fit(DATA, TARGET)


def test_the_column_transformer_of_the_readme(tiny_model: ModelFactory, tmp_path: Path) -> None:
    pipeline = readme(str(tiny_model("bert")))
    saved = SavedPipeline(pipeline, "review", "kind")
    data = DATA.assign(review=["a bat", None, *DATA["review"][2:]])[["review", "price"]]
    output = tmp_path / "out.parquet"
    predict_file(saved, write(tmp_path / "a.csv", data), output)
    got = pd.read_parquet(output)
    assert got["text"].isna().tolist() == [False, True, *[False] * 4]
    np.testing.assert_allclose(got["probability_x"], pipeline.predict_proba(data)[:, 0], atol=1e-6)
    # The column of texts has another name in this file.
    other = write(tmp_path / "b.csv", data.rename(columns={"review": "words"}))
    predict_file(saved, other, tmp_path / "more.parquet", text="words")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "more.parquet"), got)


@pytest.mark.parametrize("names", [["text", "word"], ["text", "start", "end"]])
@pytest.mark.parametrize("within", [True, False])
def test_spans_get_their_columns(names: list[str], within: bool, tmp_path: Path) -> None:
    spans = {"text": ["a bat", "12 hat"] * 3, "word": ["bat", "12"] * 3}
    data = pd.DataFrame({**spans, "start": [2, 0] * 3, "end": [5, 2] * 3})[names]
    kinds = list("xyxyxy")
    vectors = WordVectors(["bat", "12"], [[1.0, 0.0], [0.0, 1.0]])
    first: Any = StaticVectorizer(vectors, unit="span")
    if within:
        first = ColumnTransformer([("spans", first, names)])
    pipeline = make_pipeline(first, LogisticRegression()).fit(data, kinds)
    path = save_pipeline(pipeline, tmp_path / "model.skops", text="text", target="kind")
    table = write(tmp_path / "table.csv", data.assign(other="z")[["other", *names[::-1]]])
    predict_file(load_pipeline(path), table, tmp_path / "out.parquet")
    got = pd.read_parquet(tmp_path / "out.parquet")
    assert got["kind"].tolist() == kinds
    assert got["text"].tolist() == spans["text"]


def test_a_file_without_rows(tmp_path: Path) -> None:
    saved = SavedPipeline(WAYS["numbers"](), "review", "kind")
    for name, ending in (("a", ".csv"), ("b", ".jsonl"), ("c", ".parquet")):
        table = write(tmp_path / "none.csv", DATA.head(0))
        assert predict_file(saved, table, tmp_path / f"{name}{ending}") == 0
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").strip().replace('"', "") == (
        "row,text,kind,probability_x,probability_y"
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda data: data.drop(columns="price"), InvalidTableError, "'price'"),
        (lambda data: data.rename(columns={"review": "words"}), InvalidTableError, "'review'"),
        (
            lambda data: data.assign(price=["1", "2", "3", "4", "5", "cheap"]),
            InvalidTableError,
            r"cannot take rows 4 to 5 \(counted from 0\).*cheap.*'review', 'price'",
        ),
    ],
)
def test_a_column_at_fault_is_named(
    change: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    saved = SavedPipeline(fitted(words(), ("num", StandardScaler(), ["price"])), "review", "kind")
    table = write(tmp_path / "table.csv", change(DATA))
    with pytest.raises(error, match=message):
        predict_file(saved, table, tmp_path / "out.csv", chunk_rows=2)


def test_a_value_that_is_no_text_is_named_by_its_row(tmp_path: Path) -> None:
    saved = SavedPipeline(WAYS["numbers"](), "review", "kind")
    table = tmp_path / "table.jsonl"
    write(table, DATA.assign(review=["a", "b", 3, "c", "d", "e"]))
    with pytest.raises(InvalidTextError, match=r"Got int 3 in row 2 .* of column 'review'"):
        predict_file(saved, table, tmp_path / "out.csv")


def test_pipelines_without_names_of_columns(tmp_path: Path) -> None:
    array = DATA[["review", "title"]].to_numpy(dtype=object)
    saved = SavedPipeline(fitted(words(0), data=array), "review", "kind")
    with pytest.raises(
        InvalidParameterError, match=r"2 columns without names\. Fit it on a DataFra"
    ):
        predict_file(saved, write(tmp_path / "table.csv", DATA), tmp_path / "out.csv")
    two = fitted(words(), ("more", TfidfVectorizer(), "title"))
    with pytest.raises(InvalidParameterError, match=r"'text' parameter .*'review', 'title'"):
        fitted_columns(SavedPipeline(two, None, "kind"), "words")
    for first in (TfidfVectorizer(), FeatureUnion([words()[:2]])):
        pipeline = make_pipeline(first, LogisticRegression()).fit(DATA["review"], TARGET)
        assert fitted_columns(SavedPipeline(pipeline, "review", "kind"), None) is None
