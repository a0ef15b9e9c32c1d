"""Tests of pipeline/tagging/decoding.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from bertvectorizer import StaticVectorizer
from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.tagging import labeler as module
from bertvectorizer.pipeline.tagging.decoding import tag_scores
from bertvectorizer.pipeline.tagging.labeler import SequenceLabeler
from tests.pipeline.tagging.labeled import (
    LETTERS,
    X_NEW,
    Y_NEW,
    Fixed,
    HashedWords,
    PredictsOnly,
    X,
    Y,
)

pytestmark = pytest.mark.numeric


def test_iobes_finds_its_end_though_tags_were_never_seen() -> None:
    # Neither O nor S was seen: one word alone has no other way than O, which is always there.
    labeler = SequenceLabeler(estimator=Fixed([5.0, 0.0]), scheme="IOBES").fit(
        [["a", "b"]], [["B-X", "E-X"]]
    )
    assert labeler.tags_.tolist() == ["B-X", "E-X", "O"]
    assert labeler.predict([["a"], ["a", "b"], ["a", "b", "c"]]) in (
        [["O"], ["B-X", "E-X"], ["B-X", "E-X", "O"]],
        [["O"], ["B-X", "E-X"], ["O", "B-X", "E-X"]],
    )
    greedy = clone(labeler).set_params(decode="greedy").fit([["a", "b"]], [["B-X", "E-X"]])
    assert greedy.predict([["a"], ["a", "b"], ["a", "b", "c"]]) == [
        ["O"],
        ["B-X", "E-X"],
        ["B-X", "E-X", "O"],
    ]
    labeler = SequenceLabeler(decode="viterbi", scheme="IOBES").fit([["a", "b"]], [["B-X", "E-X"]])
    proba = labeler.predict_proba([["a"]])
    assert proba[0].shape == (1, 3)
    assert proba[0][0, 2] == 0


def test_viterbi_weighs_the_whole_sentence_and_greedy_does_not() -> None:
    y = [["O", "O"], ["B-X", "I-X"]]
    scores = {"B-X": 0.0, "I-X": 3.0, "O": 1.0}
    found = {}
    for decode in ("viterbi", "greedy"):
        labeler = SequenceLabeler(
            estimator=Fixed([scores[tag] for tag in sorted(scores)]), decode=decode
        ).fit([["a", "b"]] * 2, y)
        found[decode] = labeler.predict([["a", "b"]])
    assert found == {"viterbi": [["B-X", "I-X"]], "greedy": [["O", "O"]]}


def test_scores_are_the_best_that_an_estimator_offers() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 3)), np.array(["a", "b", "c"] * 20)
    tags = np.array(["O", "a", "b", "c"])
    logistic = LogisticRegression().fit(features, labels)
    np.testing.assert_allclose(
        tag_scores(logistic, features, tags)[:, 1:], logistic.predict_log_proba(features)
    )
    neighbours = KNeighborsClassifier(3).fit(features, labels)
    probabilities = neighbours.predict_proba(features)
    found = tag_scores(neighbours, features, tags)
    np.testing.assert_allclose(
        found[:, 1:][probabilities > 0], np.log(probabilities[probabilities > 0])
    )
    assert found[:, 1:][probabilities == 0].max() < -1e5
    assert found[:, 0].max() < found[:, 1:].min()
    vectors = LinearSVC().fit(features, labels)
    np.testing.assert_allclose(
        tag_scores(vectors, features, tags)[:, 1:], vectors.decision_function(features)
    )
    two = LinearSVC().fit(features, np.array(["a", "b"] * 30))
    np.testing.assert_allclose(
        tag_scores(two, features, tags)[:, 2], two.decision_function(features)
    )
    np.testing.assert_allclose(
        tag_scores(two, features, tags)[:, 1], -two.decision_function(features)
    )
    one_by_one = SVC(decision_function_shape="ovo").fit(
        features, np.array(["a", "b", "c", "d"] * 15)
    )
    assert set(np.unique(tag_scores(one_by_one, features, tags))) == {0.0, 1.0}
    only = PredictsOnly().fit(features, labels)
    np.testing.assert_array_equal(
        tag_scores(only, features, tags).argmax(axis=1),
        np.searchsorted(tags, only.predict(features)),
    )


@pytest.mark.parametrize("kind", ["alone", "in a pipeline", "found by a search"])
def test_scores_of_pairs_of_classes_are_none_of_classes(kind: str) -> None:
    # Three classes have three pairs, so that the shape of the scores does not tell.
    estimator: Any = SVC(decision_function_shape="ovo")
    if kind == "in a pipeline":
        estimator = make_pipeline(StandardScaler(), estimator)
    if kind == "found by a search":
        estimator = GridSearchCV(SVC(), {"decision_function_shape": ["ovo"]}, cv=2)
    features, labels = np.repeat(np.eye(3), 10, axis=0), np.repeat(["a", "b", "c"], 10)
    found = tag_scores(estimator.fit(features, labels), features, np.array(["a", "b", "c"]))
    np.testing.assert_array_equal(found, features)
    words, tags = [list("abc")] * 9, [["O", "B-X", "I-X"]] * 9
    assert (
        SequenceLabeler(StaticVectorizer(LETTERS, unit="word"), clone(estimator), word_shape=False)
        .fit(words, tags)
        .score(words, tags)
        == 1
    )


@pytest.mark.parametrize("decode", ["viterbi", "greedy"])
def test_scores_that_are_no_numbers_are_named_by_their_word(
    decode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeler = SequenceLabeler(HashedWords(), Fixed([1.0, 0.0, 0.0, 0.0]), decode=decode).fit(X, Y)

    def faulty(self: Any, features: Any) -> Any:
        scores = np.ones((len(features), 4))
        scores[-1, 1] = np.nan
        scores[:, 2] = -np.inf
        return scores

    monkeypatch.setattr(Fixed, "decision_function", faulty)
    monkeypatch.setattr(module, "_MOST_BYTES", 1)
    with pytest.raises(
        InvalidParameterError,
        match=r"The estimator Fixed\(.*gave NaN for word 1 of sentence 2, counted from 0",
    ):
        labeler.predict([[], [], ["ann", "bo"]])


def test_searches_for_classifiers_are_classifiers() -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [1.0]},
        cv=2,
    )
    assert SequenceLabeler(HashedWords(), search).fit(X, Y).predict(X_NEW) == Y_NEW
