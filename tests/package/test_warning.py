from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from bertvectorizer import BertVectorizer
from bertvectorizer.warning import lighten_filters
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


class Heavy(UserWarning):
    """A category of another library."""

    __module__ = "torch.somewhere"


class Heavier(Heavy):
    pass


def test_light_filters_filter_as_before_and_travel_without_their_classes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "a text", Heavy)
        lighten_filters()
        lighten_filters()
        sent = pickle.dumps(warnings.filters[0])
        warnings.filters[0] = pickle.loads(sent)  # type: ignore[index]
        warnings.warn("a text", Heavy, stacklevel=1)
        warnings.warn("a text", Heavier, stacklevel=1)
        for message, category in (("another", Heavy), ("a text", UserWarning)):
            with pytest.raises(category, match=message):
                warnings.warn(message, category, stacklevel=1)
    assert issubclass(pickle.loads(sent)[2], Warning)
