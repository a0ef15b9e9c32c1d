"""Word overlap: counts by hand, empty texts, words of other scripts, faults, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bertvectorizer import OverlapVectorizer
from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.pipeline import load_pipeline, save_pipeline

PAIRS = [
    ("A bat and a ball", "a BAT, a bird!"),  # a, bat in common; 4 and 3 words
    ("Ein Fußball", None),
    ("", "..."),
    ("a b", "a b"),
]


def test_features_are_counted_by_hand() -> None:
    overlap = OverlapVectorizer()
    X = overlap.fit_transform(pd.DataFrame(PAIRS, columns=["first", "second"]))
    wanted = [
        [4, 3, 2, 2 / 5, 2 / 4, 2 / 3, 1],
        [2, 0, 0, 0, 0, 0, 2],
        [0] * 7,
        [2, 2, 2, 1, 1, 1, 0],
    ]
    np.testing.assert_allclose(X, wanted, rtol=1e-15)
    np.testing.assert_array_equal(overlap.transform(PAIRS), X)
    assert overlap.transform([]).shape == (0, 7)
    letters = OverlapVectorizer(tokenizer=list, lowercase=False).fit_transform([("aab", "Ab")])
    assert letters[0, :3].tolist() == [2, 2, 1]


@pytest.mark.parametrize(
    ("parameters", "X", "error", "message"),
    [
        ({"tokenizer": 3}, PAIRS, InvalidParameterError, "'tokenizer' parameter"),
        ({"lowercase": 1}, PAIRS, InvalidParameterError, "'lowercase' parameter"),
        ({}, ["a b"], InvalidTextError, "must be a pair"),
    ],
)
def test_faults_are_named(
    parameters: dict[str, Any], X: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        OverlapVectorizer(**parameters).fit(X)


def test_it_can_be_saved(tmp_path: Path) -> None:
    pipeline = make_pipeline(OverlapVectorizer(), LogisticRegression()).fit(PAIRS, [1, 0, 0, 1])
    loaded = load_pipeline(save_pipeline(pipeline, tmp_path / "overlap.skops")).pipeline
    np.testing.assert_array_equal(loaded.predict_proba(PAIRS), pipeline.predict_proba(PAIRS))
