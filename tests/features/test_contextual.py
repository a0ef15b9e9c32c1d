"""What the vectorizers of words and spans share: how their targets are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from bertvectorizer import BertWordVectorizer
from bertvectorizer.features.contextual import read_targets
from bertvectorizer.models.errors import InvalidParameterError
from tests.tiny import ModelFactory


@pytest.mark.parametrize(
    "y", [["a", "b"], [1, 2], [0.5, 1.0], [True, False], pd.Series(["a", "b"], index=[7, 8]), pd.Categorical(["a", "b"])]
)
def test_targets_are_read_as_they_are(y: Any) -> None:
    assert read_targets(y).tolist() == list(y)


@pytest.mark.parametrize("wrong", [None, np.nan, pd.NA])
@pytest.mark.parametrize("others", [["a", "b"], [1, 2], [0.5, 1.0]])
def test_a_missing_target_is_named(wrong: Any, others: list[Any]) -> None:
    with pytest.raises(
        InvalidParameterError, match=rf"y must hold classes or finite amounts. Got {wrong!r} as target 2, and 2 such in all"
    ):
        read_targets([*others, wrong, wrong])


@pytest.mark.parametrize("wrong", [np.inf, -np.inf])
def test_an_infinite_amount_is_named(wrong: float) -> None:
    with pytest.raises(InvalidParameterError, match=rf"Got {wrong!r} as target 1"):
        read_targets([0.5, wrong])


def test_learnt_weights_belong_to_the_layers_they_were_learnt_for(tiny_model: ModelFactory) -> None:
    documents, tags = [["the", "bat"], ["a", "ball"]], [["x", "y"], ["x", "y"]]
    vectorizer = BertWordVectorizer(tiny_model("bert"), layers=[-1, -2], layer_merge="weighted").fit(documents, tags)
    assert vectorizer.layers_ == (3, 2)
    with pytest.raises(NotFittedError, match=r"weights of the layers \[1, 0\]"):
        vectorizer.set_params(layers=[1, 0]).transform(documents)
    assert vectorizer.set_params(layers="3,2").transform(documents).shape == (4, 32), "the same ones, written otherwise"
