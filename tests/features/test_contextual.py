"""What the vectorizers of words and spans share: how their targets are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertvectorizer.features.contextual import read_targets
from bertvectorizer.models.errors import InvalidParameterError


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
