from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertVectorizer, Comparison, compare
from bertvectorizer.models.errors import InvalidParameterError, InvalidTableError, InvalidTextError
from bertvectorizer.pipeline import default_features, load_example, read_table

Roster = dict[str, Any]
MODULE = importlib.import_module("bertvectorizer.pipeline.compare")  # the name in the package is the function


@pytest.fixture(scope="module")
def example() -> pd.DataFrame:
    return load_example().head(90)


@pytest.fixture(scope="module")
def tiny(tiny_model: Any) -> BertVectorizer:
    return BertVectorizer(str(tiny_model("bert")))


@pytest.fixture
def roster() -> Roster:
    return {"majority class": None, "words": TfidfVectorizer()}


def test_the_default_roster(example: pd.DataFrame, tiny: BertVectorizer) -> None:
    comparison = compare(example["text"], example["label"], default_features(model_name=tiny.model_name), cv=3)
    assert isinstance(comparison, Comparison)
    assert comparison.table.columns.tolist() == ["features", "dimensions", "accuracy", "spread", "seconds"]
    assert comparison.table["features"].tolist() == ["majority class", "TF-IDF words", "BERT"]
    assert comparison.table["dimensions"].tolist()[::2] == [0, 32]
    for name, accuracy, spread in comparison.table[["features", "accuracy", "spread"]].itertuples(index=False):
        assert comparison.scores[name].shape == (3,)
        assert accuracy == comparison.scores[name].mean()
        assert spread == comparison.scores[name].std(ddof=1)
    assert (comparison.table["seconds"] >= 0).all()


def test_best_and_str(example: pd.DataFrame, roster: Roster) -> None:
    table = pd.DataFrame({"features": ["a", "b", "c"], "accuracy": [0.5, 0.9, 0.9]}, index=[7, 7, 7])
    assert Comparison(table, {}).best == "b"
    text = str(compare(example["text"], example["label"], roster, cv=2))
    assert text.splitlines()[0].split() == ["features", "dimensions", "accuracy", "spread", "seconds"]
    assert "majority class" in text


@pytest.mark.parametrize("cv", [2, 5])
def test_features_that_learn_are_fitted_inside_the_folds(cv: int, example: pd.DataFrame) -> None:
    words = TfidfVectorizer(min_df=2)
    comparison = compare(example["text"], example["label"], {"words": words}, cv=cv, random_state=3)
    pipe = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000))
    folds = StratifiedKFold(cv, shuffle=True, random_state=3)
    np.testing.assert_array_equal(comparison.scores["words"], cross_val_score(pipe, example["text"], example["label"], cv=folds))
    assert not hasattr(words, "vocabulary_")


def test_dense_features_that_learn_are_scaled_to_unit_variance(example: pd.DataFrame) -> None:
    topics = make_pipeline(TfidfVectorizer(), TruncatedSVD(8, random_state=0))
    comparison = compare(example["text"], example["label"], {"topics": topics}, cv=3)
    pipe = make_pipeline(topics, StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    np.testing.assert_allclose(comparison.scores["topics"], cross_val_score(pipe, example["text"], example["label"], cv=folds))
    assert comparison.table["dimensions"].tolist() == [8]


def test_bert_gives_what_a_pipeline_inside_the_folds_gives(example: pd.DataFrame, tiny: BertVectorizer) -> None:
    comparison = compare(example["text"], example["label"], {"BERT": tiny}, cv=3)
    pipe = make_pipeline(tiny, StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    np.testing.assert_allclose(
        comparison.scores["BERT"], cross_val_score(pipe, example["text"], example["label"], cv=folds), atol=1 / len(example)
    )


def test_sparse_features_that_need_no_fitting(example: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_TEXTS_AT_ONCE", 40)
    pipe = make_pipeline(HashingVectorizer(n_features=64), LogisticRegression(C=10.0, max_iter=1000))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    comparison = compare(example["text"], example["label"], {"hashes": HashingVectorizer(n_features=64)}, cv=3)
    assert comparison.table["dimensions"].tolist() == [64]
    np.testing.assert_array_equal(comparison.scores["hashes"], cross_val_score(pipe, example["text"], example["label"], cv=folds))


def test_texts_are_encoded_once(example: pd.DataFrame, tiny: BertVectorizer, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    vectors = BertVectorizer._vectors

    def count(self: BertVectorizer, texts: list[str]) -> Any:
        encoded.append(len(texts))
        return vectors(self, texts)

    monkeypatch.setattr(BertVectorizer, "_vectors", count)
    monkeypatch.setattr(MODULE, "_TEXTS_AT_ONCE", 40)
    calls: list[tuple[str, str, int, int]] = []
    texts, labels = pd.concat([example["text"]] * 2), pd.concat([example["label"]] * 2)
    twice = compare(texts, labels, {"BERT": tiny}, cv=5, progress=lambda *call: calls.append(call))
    assert encoded == [40, 40, 10]
    encodings = [call for call in calls if call[1] == "texts"]
    assert calls[: len(encodings)] == encodings == [("BERT", "texts", done, 180) for done in (0, 80, 160, 180)]
    assert calls[len(encodings) :] == [("BERT", "folds", done, 5) for done in range(6)]
    monkeypatch.undo()
    np.testing.assert_array_equal(compare(texts, labels, {"BERT": tiny}, cv=5).scores["BERT"], twice.scores["BERT"])


def test_folds_are_the_same_for_all_features(example: pd.DataFrame) -> None:
    seen: dict[str, list[list[str]]] = {"one": [], "two": []}

    class Spy(CountVectorizer):
        def __init__(self, name: str = "") -> None:
            super().__init__()
            self.name = name

        def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
            seen[self.name].append(list(raw_documents))
            return super().fit_transform(raw_documents)

    compare(example["text"], example["label"], {"one": Spy("one"), "two": Spy("two")}, cv=4)
    assert len(seen["one"]) == 4
    assert seen["one"] == seen["two"]
    assert len({tuple(fold) for fold in seen["one"]}) == 4


def test_a_seed_chooses_the_folds(example: pd.DataFrame, roster: Roster) -> None:
    def scores(seed: int | None) -> list[float]:
        return compare(example["text"], example["label"], roster, cv=5, random_state=seed).scores["words"].tolist()

    assert scores(1) == scores(1)
    assert scores(1) != scores(2)


def test_majority_class_scores_its_share() -> None:
    labels = ["often"] * 30 + ["seldom"] * 10
    comparison = compare([f"text {number}" for number in range(40)], labels, {"majority class": None}, cv=5)
    assert comparison.scores["majority class"].tolist() == [0.75] * 5
    assert comparison.table[["dimensions", "accuracy", "spread"]].to_numpy().tolist() == [[0, 0.75, 0]]


def test_progress_is_called_for_every_fold(example: pd.DataFrame, roster: Roster) -> None:
    calls: list[tuple[str, str, int, int]] = []
    compare(example["text"], example["label"], roster, cv=3, progress=lambda *call: calls.append(call))
    assert calls == [(name, "folds", done, 3) for name in roster for done in range(4)]


def labels_of_every_kind(labels: pd.Series) -> dict[str, Any]:
    living = labels == "living"
    return {
        "list": labels.tolist(),
        "array": labels.to_numpy(),
        "odd index": labels.set_axis([f"row {number // 2}" for number in range(len(labels))]),
        "categorical": labels.astype("category"),
        "unused category": pd.Series(pd.Categorical(labels, categories=["living", "thing", "never"])),
        "string": labels.astype("string"),
        "int": living.astype(int),
        "Int64": living.astype("Int64"),
        "float": living.astype(float),
        "bool": living,
        "boolean": living.astype("boolean"),
        "one column": labels.to_frame(),
        "polars": pl.Series(labels.tolist()),
        "polars categorical": pl.Series(labels.tolist(), dtype=pl.Categorical),
        "mixed": [1 if flag else "thing" for flag in living],
    }


@pytest.mark.parametrize("kind", labels_of_every_kind(load_example()["label"].head(4)))
def test_labels_of_every_kind_give_the_same(kind: str, example: pd.DataFrame) -> None:
    words = {"words": TfidfVectorizer()}
    expected = compare(example["text"], example["label"], words, cv=3).scores["words"]
    labels = labels_of_every_kind(example["label"])[kind]
    np.testing.assert_array_equal(compare(example["text"], labels, words, cv=3).scores["words"], expected)


@pytest.mark.parametrize("kind", ["list", "array", "column", "odd index", "frame", "polars"])
def test_texts_of_every_kind_give_the_same(kind: str, example: pd.DataFrame) -> None:
    words, texts = {"words": TfidfVectorizer()}, example["text"]
    kinds = {
        "list": texts.tolist(),
        "array": texts.to_numpy(dtype=object),
        "column": texts.to_numpy(dtype=object)[:, None],
        "odd index": texts.set_axis([3] * len(texts)),
        "frame": texts.to_frame(),
        "polars": pl.Series(texts.tolist()),
    }
    expected = compare(texts, example["label"], words, cv=3).scores["words"]
    np.testing.assert_array_equal(compare(kinds[kind], example["label"], words, cv=3).scores["words"], expected)


def test_missing_texts_read_as_empty(tiny: BertVectorizer) -> None:
    texts = ["bat", None, float("nan"), pd.NA, "crane", "river"] * 4
    comparison = compare(texts, ["a", "b", "c"] * 8, default_features(model_name=tiny.model_name), cv=2)
    assert len(comparison.table) == 3


FAULTS: dict[str, tuple[list[Any], Any, type[Exception], str]] = {
    "no rows": ([], [], InvalidTableError, "There are no texts"),
    "all texts missing": ([None, " "] * 5, ["a", "b"] * 5, InvalidTableError, "All 10 texts are missing or empty"),
    "unequal lengths": (["x"] * 4, ["a", "b"], InvalidTableError, "4 texts but 2 labels"),
    "missing label": (["x"] * 6, ["a", "b", "a", None, "a", pd.NA], InvalidTableError, "missing in 2 row.s., the first is row 3"),
    "missing number": (["x"] * 4, [0.0, 1.0, float("nan"), 0.0], InvalidTableError, "missing in 1 row.s., the first is row 2"),
    "one class": (["x"] * 4, ["a"] * 4, InvalidTableError, "at least 2 classes. Got 1, 'a' in every row"),
    "rare class": (["x"] * 9, ["a"] * 8 + ["b"], InvalidTableError, "folds .2.. Got 1 row.s. of class 'b'"),
    "two columns of labels": (["x"] * 4, [["a", "b"]] * 4, InvalidTableError, r"one column of labels. Got an array of shape \(4, 2\)"),
    "numbers as texts": ([1, 2, 3, 4], ["a", "b"] * 2, InvalidTextError, "must be str"),
    "nothing to learn": (["a", "b"] * 2, ["a", "b"] * 2, InvalidTableError, "'words' cannot be learnt from these texts: empty vocabulary"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line(fault: str, roster: Roster) -> None:
    texts, labels, error, message = FAULTS[fault]
    with pytest.raises(error, match=message) as caught:
        compare(texts, labels, roster, cv=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["series", "frame", "polars"])
def test_a_missing_label_is_named_by_column_and_row(kind: str) -> None:
    labels = ["a", "b", None, "a"]
    y = pl.Series("stars", labels) if kind == "polars" else pd.Series(labels, name="stars")
    with pytest.raises(InvalidTableError, match=r"target 'stars' is missing in 1 row\(s\), the first is row 2 \(counted from 0\)"):
        compare(["x"] * 4, y.to_frame() if kind == "frame" else y, cv=2)


@pytest.mark.parametrize("cv", [1, 0, 2.5, "5", True, None])
def test_folds_must_be_a_number_from_two(cv: Any) -> None:
    with pytest.raises(InvalidParameterError, match="'cv'"):
        compare(["x"] * 4, ["a", "b"] * 2, cv=cv)


@pytest.mark.parametrize(("name", "text", "target"), [("sst2/dev.tsv", "0", "1"), ("sms_spam/SMSSpamCollection.tsv", "1", "0")])
def test_real_texts(name: str, text: str, target: str, shared_data: Path, tiny: BertVectorizer) -> None:
    table = read_table(shared_data / name, [text, target], header=False).head(200)
    comparison = compare(table[text], table[target], default_features(model_name=tiny.model_name, overflow="head_tail"))
    assert comparison.table["accuracy"].between(0.4, 1).all()


def test_context_beats_words_where_the_label_depends_on_it(default_model_directory: Path) -> None:
    table = load_example().head(200)
    comparison = compare(table["text"], table["label"], default_features(model_name=str(default_model_directory)))
    scores = dict(zip(comparison.table["features"], comparison.table["accuracy"], strict=True))
    assert comparison.best == "BERT"
    assert scores["BERT"] > scores["TF-IDF words"] + 0.1
