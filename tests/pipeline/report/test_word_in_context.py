"""One word in many texts, and where its points lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.comparison.target import Target
from bertvectorizer.pipeline.report.word_in_context import occurrences_in, word_occurrences
from tests.pipeline.comparisons import make_comparison
from tests.tiny import ModelFactory

TEXTS = ["The old bat flew.", "A Bat hit the ball; the BAT!", "batty combat bat_2", "the bat"]


def test_a_word_has_one_point_without_context_and_many_in_it(tiny_model: ModelFactory) -> None:
    found = occurrences_in(
        TEXTS, ["living", "thing", "x", "thing"], "bat", BertVectorizer(tiny_model("bert"))
    )
    assert found.spans.tolist() == [[8, 11], [2, 5], [24, 27], [4, 7]]
    assert found.labels.tolist() == ["living", "thing", "thing", "thing"]
    assert found.shown_labels == ["thing", "living"]
    assert not found.static.any()
    assert len(np.unique(found.contextual.round(5), axis=0)) == 4
    assert 0 < found.explained <= 1 + 1e-9
    assert -1 <= found.separation <= 1
    assert (found.n_found, found.layer, found.is_example) == (4, -2, False)


def test_one_occurrence_has_no_directions(tiny_model: ModelFactory) -> None:
    found = occurrences_in(
        TEXTS[:1],
        ["living"],
        "bat",
        BertVectorizer(tiny_model("bert", num_hidden_layers=1)),
        layer=-9,
    )
    assert found.contextual.tolist() == [[0, 0]]
    assert np.isnan(found.explained)
    assert np.isnan(found.separation)
    assert found.layer == -2, "the embeddings, where the model has fewer layers"


def test_of_many_occurrences_and_labels_some_are_shown(tiny_model: ModelFactory) -> None:
    texts = ["bat"] * 400
    labels = [f"label {row % 20}" for row in range(400)]
    vectorizer = BertVectorizer(tiny_model("bert"))
    found = occurrences_in(texts, labels, "bat", vectorizer)
    assert (len(found.texts), found.n_found) == (300, 400)
    assert len(found.shown_labels) == 7
    assert found.shown_labels[-1] == "other"
    again = occurrences_in(texts, labels, "bat", vectorizer)
    assert again.labels.tolist() == found.labels.tolist()


def test_a_word_that_no_text_has_is_refused(tiny_model: ModelFactory) -> None:
    with pytest.raises(
        InvalidParameterError, match="Got 'crane' instead, which none of 4 texts holds"
    ):
        occurrences_in(TEXTS, [0, 1, 0, 1], "crane", BertVectorizer(tiny_model("bert")))


@pytest.mark.parametrize(
    ("kind", "values", "classes", "labels"),
    [
        ("binary", [True, False], [False, True], ["True", "False"]),
        ("regression", [1.5, 2.5], None, ["below 2", "at least 2"]),
        ("multilabel", [[1, 1], [0, 0]], ["a", "b"], ["a, b", "(no label)"]),
    ],
)
def test_every_target_has_colours(
    tiny_model: ModelFactory,
    kind: str,
    values: list[object],
    classes: list[object] | None,
    labels: list[str],
) -> None:
    pipeline = make_pipeline(BertVectorizer(tiny_model("bert")), StandardScaler())
    comparison = replace(
        make_comparison(texts=["a bat", "the bat"], roster={"majority": None, "mine": pipeline}),
        target=Target(np.array(values), kind, None if classes is None else np.array(classes), "y"),
    )
    found = word_occurrences(comparison, "bat")
    assert found.labels.tolist() == labels
    assert found.model_name == str(tiny_model("bert"))


def test_without_a_word_the_example_is_shown(tiny_model: ModelFactory) -> None:
    found = word_occurrences(make_comparison(roster={"BERT": BertVectorizer(tiny_model("bert"))}))
    assert found.is_example
    assert sorted(found.shown_labels) == ["living", "thing"]
    assert found.n_found >= 15


def test_the_default_model_keeps_the_senses_of_the_example_apart(
    default_model_directory: object,
) -> None:
    found = word_occurrences(
        make_comparison(roster={"BERT": BertVectorizer(local_files_only=True)})
    )
    assert found.separation > 0.2
