"""Questions, contexts and answers in every form that users hold them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.pipeline.fine_tuning.answer_inputs import Answer, read_answers, read_questions

QUESTIONS, CONTEXTS = ["who?", "when?"], ["Ann met Bo.", "It was 1066, not 1067."]
COLUMNS = {"id": [1, 2], "context": CONTEXTS, "question": QUESTIONS}
ANSWERS = [(Answer("Bo", 8),), ()]


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame(COLUMNS, index=["a", "b"]),
        pl.DataFrame(COLUMNS),
        pa.table(COLUMNS),
        pd.DataFrame({"q": QUESTIONS, "text": CONTEXTS}),
        list(zip(QUESTIONS, CONTEXTS, strict=True)),
        np.array([QUESTIONS, CONTEXTS]).T,
        [{"context": c, "question": q} for q, c in zip(QUESTIONS, CONTEXTS, strict=True)],
        np.array(pd.DataFrame(COLUMNS).to_dict("records")),  # as iterable as a Hugging Face dataset
        zip(QUESTIONS, CONTEXTS, strict=True),
    ],
)
def test_questions_in_every_form(X: Any) -> None:
    pairs = read_questions(X)
    assert (pairs.first, pairs.second) == (QUESTIONS, CONTEXTS)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"question": QUESTIONS}), "columns 'question'. Rename"),
        (pd.DataFrame({"context": CONTEXTS, "q": QUESTIONS}), "columns 'context', 'q'. Rename"),
        (pd.DataFrame({"a": QUESTIONS, "b": CONTEXTS, "c": CONTEXTS}), "'a', 'b', 'c'. Rename"),
        (QUESTIONS, "pair of texts"),
        ("who?", "a single str"),
        (pl.LazyFrame(COLUMNS), "a polars LazyFrame. Compute it first"),
        ([{"question": "who?"}], "dict without 'context' in row 0"),
        ([("who?", 3)], "Got int 3 in row 0, second text"),
        (pd.DataFrame({"question": QUESTIONS, "context": ["Ann", None]}), "the context of row 1"),
    ],
)
def test_other_forms_are_refused(X: Any, message: str) -> None:
    with pytest.raises(InvalidTextError, match=message):
        read_questions(X)


@pytest.mark.parametrize(
    "y",
    [
        [("Bo", 8), None],
        [("Bo", 8), ""],
        [{"text": "Bo", "start": 8}, {"text": None, "start": None}],
        pd.Series([{"text": "Bo", "start": 8.0}, np.nan], index=[3, 4]),
        pl.Series([{"text": "Bo", "start": 8}, None]),
        np.array([["Bo", 8], [None, None]], dtype=object),
        [{"text": ["Bo"], "answer_start": [8]}, {"text": [], "answer_start": []}],
        np.array([{"text": np.array(["Bo"]), "answer_start": np.array([8])}, None], dtype=object),
        [[{"text": "Bo", "answer_start": 8}], []],
        pd.DataFrame({"answer": ["Bo", ""], "start": [8, -1], "end": [10, -1]}),  # of `predict`
        pl.DataFrame({"text": ["Bo", None], "answer_start": [8, None]}),
        iter([("Bo", np.int64(8)), pd.NA]),
    ],
)
def test_answers_in_every_form(y: Any) -> None:
    assert read_answers(y, CONTEXTS) == ANSWERS


def test_several_answers_of_a_row() -> None:
    expected = [(), (Answer("1066", 7), Answer("1067", 17))]
    assert read_answers([[], {"text": ["1066", "1067"], "start": [7, 17]}], CONTEXTS) == expected
    assert read_answers([None, [("1066", 7), ("1067", 17)]], CONTEXTS) == expected


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([("Bo", 7), None], r"y in row 0 .* context\[7:9\] must be 'Bo'. Got ' B' .* at 8"),
        ([None, ("106", 0)], r"row 1 .* The context has it at 7, 17\."),
        ([("Bob", 8), None], "does not have it: correct the text, or give None"),
        ([("Bo", -3), None], "number of the answer's first character .* Got -3"),
        ([("Bo", np.nan), None], "Got nan"),
        ([("Bo", True), None], "Got True"),
        ([("Bo", "8"), None], "Got '8'"),
        ([(" ", 3), None], "with a visible character, or None. Got ' '"),
        ([(8, "Bo"), None], "Got 8"),
        (["Bo", None], "does not tell which of several places"),
        ([{"text": "Bo"}, None], "without 'start'"),
        ([{"text": ["Bo"], "start": 8}, None], "as many starts as texts"),
        ([("Bo", 8)], "as many values as X has rows, 2. Got 1"),
        (None, "y is None"),
        ("Bo", "Got 'Bo'"),
        (pd.DataFrame({"answer": ["Bo", ""]}), r"column 'start' .* \['answer'\]"),
        (pd.Series([("Bo", 0), None], index=["k", "l"]), r"row 0 \(index 'k'\)"),
    ],
)
def test_wrong_answers_are_named(y: Any, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        read_answers(y, CONTEXTS)
