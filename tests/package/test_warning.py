from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from bertvectorizer import BertVectorizer
from tests.tiny import ModelFactory

LONG = ["the old bat flew in the night " * 40, "a ball"] * 4
LABELS = [0, 1] * 4


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_a_warning_points_at_the_line_that_called(tiny_model: ModelFactory, output: str) -> None:
    vectorizer = BertVectorizer(str(tiny_model("bert")))
    vectorizer.set_output(transform=output)
    for method in (vectorizer.fit, vectorizer.fit_transform):
        with pytest.warns(UserWarning, match="lose their end") as caught:
            method(LONG)
        assert Path(caught[0].filename) == Path(__file__)


def test_a_warning_looks_through_pipelines_and_searches(tiny_model: ModelFactory) -> None:
    pipeline = make_pipeline(
        BertVectorizer(str(tiny_model("bert"))), LogisticRegression(max_iter=1000)
    )
    with pytest.warns(UserWarning, match="lose their end") as caught:
        pipeline.fit(LONG, LABELS)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]
    with pytest.warns(UserWarning, match="lose their end") as caught:
        cross_validate(pipeline, LONG, LABELS, cv=2)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)] * 2


def test_a_warning_is_shown_once_per_line_by_default(tiny_model: ModelFactory) -> None:
    vectorizer = BertVectorizer(str(tiny_model("bert")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            vectorizer.fit(LONG)
    assert len(caught) == 1
