from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError, InvalidTableError
from bertvectorizer.pipeline.comparison.target import Target, join_target, read_target


def read(y: Any, n_rows: int | None = None, task: str = "auto") -> Target:
    return read_target(y, len(y) if n_rows is None else n_rows, task)[0]


# What it is, and that labels stay as they were given

ODD = ["a,b", 'say "ham"', "🦇", "'", "=1+1", " ham ", "ham", "é", "é", "", "<script>"]
CLASSES: dict[str, tuple[Any, list[Any]]] = {
    "text": (["spam", "ham", "spam"], ["spam", "ham", "spam"]),
    "int": ([1, 0, 1], [1, 0, 1]),
    "negative int": (np.array([-1, 1, 1], dtype=np.int8), [-1, 1, 1]),
    "bool": ([True, False, True], [True, False, True]),
    "array of bool": (np.array([True, False]), [True, False]),
    "whole float": ([1.0, 0.0, 2.0], [1, 0, 2]),
    "Int64": (pd.Series([3, 1, 3], dtype="Int64"), [3, 1, 3]),
    "boolean": (pd.Series([True, False], dtype="boolean"), [True, False]),
    "string": (pd.Series(["b", "a"], dtype="string"), ["b", "a"]),
    "categorical": (
        pd.Series(pd.Categorical(["b", "a"], categories=["never", "b", "a"])),
        ["b", "a"],
    ),
    "categorical of int": (pd.Series(pd.Categorical([7, 3])), [7, 3]),
    "index": (pd.Index(["b", "a"]), ["b", "a"]),
    "array of text": (np.array(["b", "a"]), ["b", "a"]),
    "column of an array": (np.array([["b"], ["a"]]), ["b", "a"]),
    "frame": (pd.DataFrame({"y": ["b", "a"]}), ["b", "a"]),
    "polars": (pl.Series([2, 1]), [2, 1]),
    "polars frame": (pl.DataFrame({"y": ["b", "a"]}), ["b", "a"]),
    "polars categorical": (pl.Series(["b", "a"], dtype=pl.Categorical), ["b", "a"]),
    "whole numbers as text": (["1", "2", "01"], ["1", "2", "01"]),
    "mixed": ([1, "thing", 2.5], ["1", "thing", "2.5"]),
    "int and bool": ([1, True, 0], ["1", "True", "0"]),
    "odd text": (ODD, ODD),
    # As they come from list(array), or from a column of objects.
    "list of NumPy's int": (list(np.array([1, 0])), [1, 0]),
    "list of NumPy's bool": (list(np.array([True, False])), [True, False]),
    "list of NumPy's float": (list(np.array([1.0, 0.0])), [1, 0]),
    "column of objects": (pd.Series([np.int64(1), 0], dtype=object), [1, 0]),
    "large int": ([2**62, 2**62 + 1], [2**62, 2**62 + 1]),
    "int beyond 64 bits": ([2**63, -1], [2**63, -1]),
    "large float": ([1e300, 1.0], [1e300, 1.0]),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_labels_stay_as_they_are(kind: str) -> None:
    y, labels = CLASSES[kind]
    target = read(y)
    values = target.values.tolist()
    assert values == labels
    assert [type(value) for value in values] == [type(label) for label in labels]
    assert target.classes is not None
    assert target.classes.tolist() == sorted(set(labels))
    assert target.kind == ("binary" if len(set(labels)) == 2 else "multiclass")
    assert target.is_classes
    assert len(target) == len(labels)


def test_values_are_the_users_own_no_more() -> None:
    y = np.array([0.5, 1.5])
    read(y).values[:] = 7
    assert y.tolist() == [0.5, 1.5]


REGRESSION_TARGETS: dict[str, tuple[Any, list[float]]] = {
    "float": ([0.5, 1.0], [0.5, 1]),
    "float32": (np.array([0.5, 1.0], dtype=np.float32), [0.5, 1]),
    "Float64": (pd.Series([0.5, 1.0], dtype="Float64"), [0.5, 1]),
    "Decimal": ([Decimal("0.5"), Decimal(1)], [0.5, 1]),
    "polars": (pl.Series([0.5, 1.0]), [0.5, 1]),
}


@pytest.mark.parametrize("kind", REGRESSION_TARGETS)
def test_numbers_with_fractions_are_a_regression(kind: str) -> None:
    y, numbers = REGRESSION_TARGETS[kind]
    target, notes = read_target(y, 2)
    assert (target.kind, target.classes, notes) == ("regression", None, [])
    assert target.values.dtype == np.float64
    assert target.values.tolist() == numbers


def test_a_task_overrides_the_guess() -> None:
    assert read([1, 2, 3]).kind == "multiclass"
    assert read([1, 2, 3], task="regression").values.tolist() == [1.0, 2.0, 3.0]
    assert read([0.5, 1.5, 0.5], task="classification").kind == "binary"
    assert read(["1", "2"], task="regression").values.tolist() == [1.0, 2.0]
    with pytest.raises(InvalidParameterError, match="'task'"):
        read([1, 2], task="clustering")


def test_a_user_hears_of_guesses() -> None:
    target, notes = read_target(["0.5", "1.25", "2"], 3)
    assert target.values.tolist() == [0.5, 1.25, 2.0]
    assert notes == [
        "The target came as text and was read as numbers, with fractions: a regression."
    ]
    target, notes = read_target(range(200), 200)
    assert target.kind == "multiclass"
    assert len(notes) == 1
    assert "200 distinct whole numbers, taken as classes" in notes[0]
    assert read_target(range(200), 200, "classification")[1] == []
    assert read_target([f"class {number}" for number in range(200)], 200)[1] == []


def test_names() -> None:
    assert read(pd.Series(["a", "b"], name="stars")).name == "stars"
    assert read(pd.Series(["a", "b"], name=3)).name == "3"
    assert read(pd.DataFrame({"stars": ["a", "b"]})).name == "stars"
    assert read(pl.Series("stars", ["a", "b"])).name == "stars"
    assert read(pl.Series(["a", "b"])).name is None
    assert read(["a", "b"]).name is None


def test_rows_of_each_class_the_rarest_first() -> None:
    counts = read(["b", "a", "b", "c", "c", "c"]).count_classes()
    assert counts.index.tolist() == ["a", "b", "c"]
    assert counts.tolist() == [1, 2, 3]
    assert read([["a", "b"], ["a"], []]).count_classes().to_dict() == {"b": 1, "a": 2}


# Several labels a row

LABELS = [["sport", "money"], [], ["money"]]
MATRIX = [[1, 1], [0, 0], [1, 0]]
SEVERAL: dict[str, Any] = {
    "lists": LABELS,
    "tuples": [tuple(labels) for labels in LABELS],
    "sets": [set(labels) for labels in LABELS],
    "Series": pd.Series(LABELS),
    "polars": pl.Series(LABELS),
    "arrays, as parquet gives them": pd.Series(
        [np.array(labels, dtype=object) for labels in LABELS]
    ),
    "labels twice": [["sport", "money", "sport"], [], ["money"]],
    "frame": pd.DataFrame(MATRIX, columns=["money", "sport"]),
    "polars frame": pl.DataFrame(MATRIX, schema=["money", "sport"], orient="row"),
    "frame of bool": pd.DataFrame(MATRIX, columns=["money", "sport"]).astype(bool),
    "frame of Int64": pd.DataFrame(MATRIX, columns=["money", "sport"]).astype("Int64"),
    "frame of float": pd.DataFrame(MATRIX, columns=["money", "sport"]).astype(float),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_labels(kind: str) -> None:
    target = read(SEVERAL[kind])
    assert target.kind == "multilabel"
    assert target.values.dtype == np.int64
    assert target.values.tolist() == MATRIX
    assert target.classes is not None
    assert target.classes.tolist() == ["money", "sport"]
    assert not target.is_classes


@pytest.mark.parametrize("rows", [np.array(MATRIX), list(np.array(MATRIX))])
def test_a_matrix_of_labels_without_names(rows: Any) -> None:
    target = read(rows)
    assert target.kind == "multilabel"
    assert target.values.tolist() == MATRIX
    assert target.classes is not None
    assert target.classes.tolist() == ["0", "1"]


# Faults

FAULTS: dict[str, tuple[Any, str, str]] = {
    "no rows": ([], "auto", "There are no texts"),
    "no target": (None, "auto", "must be a column of labels"),
    "a number": (5, "auto", "must be a column of labels"),
    "a text": ("ham", "auto", "must be a column of labels"),
    "three axes": (np.zeros((2, 2, 2)), "auto", r"Got shape \(2, 2, 2\)"),
    "no columns": (pd.DataFrame(index=range(2)), "auto", "column"),
    "None": (
        ["a", None, "b", None],
        "auto",
        r"missing in 2 row\(s\), the first is row 1 \(counted from 0\)",
    ),
    "NaN": ([0.5, 1.5, math.nan], "auto", r"missing in 1 row\(s\), the first is row 2"),
    "NA": (pd.Series([1, None, 2], dtype="Int64"), "auto", "the first is row 1"),
    "NaT": ([pd.NaT, "a"], "auto", "the first is row 0"),
    "null": (pl.Series("stars", ["a", None]), "auto", "target 'stars' is missing in 1 row"),
    "missing category": (pd.Series(pd.Categorical(["a", None])), "auto", "the first is row 1"),
    "missing row of labels": ([["a"], None], "auto", "the first is row 1"),
    "one class": (["a"] * 3, "auto", "at least 2 classes. Got 1, a in every row"),
    "one number": ([7] * 3, "auto", "at least 2 classes. Got 1, 7 in every row"),
    "a fraction that never changes": (
        [0.5] * 3,
        "auto",
        "at least 2 values. Got 1, 0.5 in every row",
    ),
    "a number that never changes": (
        [2] * 3,
        "regression",
        "at least 2 values. Got 1, 2 in every row",
    ),
    "inf": ([1, 2, math.inf], "regression", "finite numbers. Got inf in row 2"),
    "inf among fractions": ([0.5, 1.25, -math.inf], "auto", "finite numbers. Got -inf in row 2"),
    "inf among whole numbers": ([1, 2.0, math.inf], "auto", "finite numbers. Got inf in row 2"),
    "text for a regression": (
        ["1", "2", "many"],
        "regression",
        "finite numbers. Got 'many' in row 2",
    ),
    "truth for a regression": ([True, False], "regression", "finite numbers. Got True in row 0"),
    "a label in all rows": ([["a"], ["a", "b"]], "auto", "Got 'a' in all rows"),
    "no labels": ([[], []], "auto", "has no labels"),
    "a label in no row": (pd.DataFrame({"a": [0, 1], "b": [0, 0]}), "auto", "Got 'b' in no rows"),
    "other numbers": (
        np.array([[0, 1], [2, 0]]),
        "auto",
        "0 and 1 only, .* Got .*2.* in row 1, column 0",
    ),
    "several numbers": (np.array([[0.5, 1], [2, 0]]), "auto", "0 and 1 only"),
    "NaN in a column": (
        pd.DataFrame({"a": [0, math.nan], "b": [0, 1]}),
        "auto",
        "in row 1, column 0",
    ),
    "NA in a column": (
        pd.DataFrame({"a": [0, None], "b": [0, 1]}, dtype="Int64"),
        "auto",
        "in row 1, column 0",
    ),
    "labels of a row, and a label": ([["a", "b"], "b", ["a"]], "auto", "row 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line(fault: str) -> None:
    y, task, message = FAULTS[fault]
    with pytest.raises(InvalidTableError, match=message) as caught:
        read(y, len(y) if hasattr(y, "__len__") and not isinstance(y, str) else 3, task)
    assert "\n" not in str(caught.value)


def test_each_text_needs_a_label() -> None:
    for y in (["a", "b"], pd.Series(["a", "b"]), np.eye(2)):
        with pytest.raises(InvalidTableError, match="3 texts but 2 labels"):
            read_target(y, 3)


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.integers(),
            st.floats(),
            st.text(max_size=3),
            st.booleans(),
            st.none(),
            st.binary(max_size=2),
        ),
        max_size=6,
    )
)
def test_whatever_comes_is_read_or_refused(y: list[Any]) -> None:
    try:
        target, _ = read_target(y, len(y))
    except InvalidTableError:
        return
    assert len(target) == len(y)
    if target.classes is not None:
        assert set(target.classes.tolist()) == set(target.values.tolist())
        assert len(target.classes) >= 2
        assert [
            np.array([label], dtype=object)[0] for label in target.values.tolist()
        ] == target.values.tolist()
    else:
        assert np.isfinite(target.values).all()


# Rows held back


def test_rows_held_back_may_have_few_of_the_labels() -> None:
    assert join_target(read(["a", "b"]), ["b"], 1).values.tolist() == ["a", "b", "b"]
    assert join_target(read([1, 2]), np.array([2, 2]), 2).values.tolist() == [1, 2, 2, 2]
    assert join_target(read([0.5, 2]), [1], 1).values.tolist() == [0.5, 2.0, 1.0]
    assert join_target(read(LABELS), [["sport"]], 1).values.tolist() == [*MATRIX, [0, 1]]
    assert join_target(read(np.array(MATRIX)), np.array([[0, 1]]), 1).values.tolist() == [
        *MATRIX,
        [0, 1],
    ]
    mixed = read([1, "thing", 1])
    assert join_target(mixed, [1], 1).values.tolist() == ["1", "thing", "1", "1"]


def test_joining_changes_no_type() -> None:
    for y in (["a", "b"], [1, 2], [True, False], [0.5, 1]):
        target = read(y)
        joint = join_target(target, y, 2)
        assert joint.values.dtype == target.values.dtype
        assert (joint.kind, joint.name) == (target.kind, target.name)


@pytest.mark.parametrize(
    ("y", "held_back", "message"),
    [
        (["a", "b"], ["a", "c"], "no labels but those of the other rows. Got 'c'"),
        (["a", "b"], ["a", None], r"missing in 1 row\(s\), the first is row 1"),
        (["a", "b"], ["a"], "2 texts in 'test' but 1 labels"),
        ([1, 2], ["1", "2"], "no labels but those of the other rows"),
        ([0.5, 1], [1, math.inf], "finite numbers. Got inf in row 1"),
        ([0.5, 1], ["x", 1], "finite numbers. Got 'x' in row 0"),
        (LABELS, [["sport"], ["war"]], "no labels but those of the other rows. Got 'war'"),
        (LABELS, ["sport", "money"], "labels"),
        (
            np.array(MATRIX),
            np.array([[1], [0]]),
            "2 columns of 0 and 1|list of labels|labels for each row",
        ),
        (np.array(MATRIX), np.array([[1, 2], [0, 0]]), "2 columns of 0 and 1"),
    ],
)
def test_faults_of_rows_held_back(y: Any, held_back: Any, message: str) -> None:
    with pytest.raises(InvalidTableError, match=message) as caught:
        join_target(read(y), held_back, 2)
    assert "\n" not in str(caught.value)
