"""What the vectorizers of words and spans share: targets, parameters, layer weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import NotFittedError

from bertvectorizer import BertSpanVectorizer, BertWordVectorizer
from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.features.bert_span_base import list_targets, read_targets
from tests.tiny import ModelFactory


@pytest.mark.parametrize(
    "y",
    [
        ["a", "b"],
        [1, 2],
        [0.5, 1.0],
        [True, False],
        pd.Series(["a", "b"], index=[7, 8]),
        pd.Categorical(["a", "b"]),
    ],
)
def test_targets_are_read_as_they_are(y: Any) -> None:
    assert read_targets(y).tolist() == list(y)


@pytest.mark.parametrize("wrong", [None, np.nan, pd.NA])
@pytest.mark.parametrize("others", [["a", "b"], [1, 2], [0.5, 1.0]])
def test_a_missing_target_is_named(wrong: Any, others: list[Any]) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=(
            rf"y must hold classes or finite numbers. Got {wrong!r} as target 2."
            " Missing or infinite targets: 2"
        ),
    ):
        read_targets([*others, wrong, wrong])


@pytest.mark.parametrize("wrong", [np.inf, -np.inf])
def test_an_infinite_target_is_named(wrong: float) -> None:
    with pytest.raises(InvalidParameterError, match=rf"Got {wrong!r} as target 1"):
        read_targets([0.5, wrong])


@pytest.mark.parametrize("several", [["x", "y"], ("x",), np.array([1, 2]), {"x"}])
def test_several_targets_instead_of_one_are_named(several: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=rf"y must hold one class .* Got {type(several).__name__} .* as row 1\. Choose one",
    ):
        read_targets(["a", several], "row {}".format)


@pytest.mark.parametrize("y", [5, "tags", b"tags", {"a": 1}, {"a"}, np.array(5)])
def test_what_is_no_sequence_of_targets_is_refused(y: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=rf"y must be a list, .*\. Got {type(y).__name__} .*\. Put them in a list",
    ):
        list_targets(y)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_a_table_of_targets_has_one_column(kind: Any) -> None:
    assert list_targets(kind({"tag": ["a", "b"]})) == ["a", "b"]
    with pytest.raises(
        InvalidParameterError,
        match=r"y must be .* Got a DataFrame with 2 columns: \['tag', 'word'\]\. .*df\['tag'\]",
    ):
        list_targets(kind({"tag": ["a"], "word": ["b"]}))


EARLY = [
    ("layer_merge", "stack"),
    ("subtoken_pooling", "avg"),
    ("layers", "last"),
    ("layers", []),
    ("random_state", -1),
    ("show_progress_bar", "yes"),
    ("stride", 1.5),
]


@pytest.mark.parametrize(("parameter", "value"), EARLY)
def test_parameters_are_checked_before_the_model_is_searched(parameter: str, value: Any) -> None:
    parameters: dict[str, Any] = {"model_name": "no-such-owner/no-such-model", parameter: value}
    table = pd.DataFrame({"text": ["a bat"], "word": ["bat"]})
    words, spans = BertWordVectorizer(**parameters), BertSpanVectorizer(**parameters)
    for method, X in (
        (words.fit, [["bat"]]),
        (words.transform, [["bat"]]),
        (words.iter_transform, [["bat"]]),
        (spans.fit, table),
        (spans.transform, table),
    ):
        with pytest.raises(
            InvalidParameterError, match=f"'{parameter}' parameter must be"
        ) as caught:
            method(X)
        assert repr(value) in str(caught.value)


def test_missing_is_checked_before_the_model_is_searched() -> None:
    vectorizer = BertSpanVectorizer("no-such-owner/no-such-model", missing="blank")
    for method in (vectorizer.fit, vectorizer.transform):
        with pytest.raises(InvalidParameterError, match="'missing' parameter must be one of"):
            method(pd.DataFrame({"text": ["a bat"], "word": ["bat"]}))


def test_learned_weights_belong_to_the_layers_of_fit(tiny_model: ModelFactory) -> None:
    documents, tags = [["the", "bat"], ["a", "ball"]], [["x", "y"], ["x", "y"]]
    vectorizer = BertWordVectorizer(
        tiny_model("bert"), layers=[-1, -2], layer_merge="weighted"
    ).fit(documents, tags)
    assert vectorizer.layers_ == (3, 2)
    with pytest.raises(NotFittedError, match=r"weights of the layers \[1, 0\]"):
        vectorizer.set_params(layers=[1, 0]).transform(documents)
    assert vectorizer.set_params(layers="3,2").transform(documents).shape == (4, 32), (
        "the same ones, written otherwise"
    )
