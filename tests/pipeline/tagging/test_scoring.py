"""Tests of pipeline/tagging/scoring.py."""

from __future__ import annotations

import json

import pytest
from seqeval.metrics import classification_report, f1_score
from sklearn.linear_model import LogisticRegression

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.tagging.labeler import SequenceLabeler
from bertvectorizer.pipeline.tagging.schemes import convert_tags
from tests.pipeline.tagging.labeled import X_NEW, Y_NEW, HashedWords, X, Y

pytestmark = pytest.mark.numeric


def test_bilou_is_scored_without_warnings() -> None:
    letters = {"E": "L", "S": "U"}
    bilou = [
        [letters.get(tag[0], tag[0]) + tag[1:] for tag in tags] for tags in convert_tags(Y, "IOBES")
    ]
    labeler = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, bilou)
    assert labeler.predict(X) == convert_tags(Y, "IOBES")
    assert labeler.score(X, bilou) == 1
    assert labeler.classification_report(X, bilou, output_dict=True)["PER"]["f1-score"] == 1


def test_scores_and_reports_are_those_of_seqeval() -> None:
    few = SequenceLabeler(HashedWords(), LogisticRegression(C=0.02)).fit(X[:6], Y[:6])
    predicted = few.predict(X_NEW)
    assert few.score(X_NEW, Y_NEW) == f1_score(Y_NEW, predicted)
    assert 0 < few.score(X_NEW, Y_NEW) < 1
    assert few.classification_report(X_NEW, Y_NEW) == classification_report(Y_NEW, predicted)
    assert few.classification_report(X_NEW, Y_NEW, digits=4) == classification_report(
        Y_NEW, predicted, digits=4
    )
    assert few.classification_report(X_NEW, Y_NEW, output_dict=True) == classification_report(
        Y_NEW, predicted, output_dict=True
    )


def test_nothing_to_find_is_no_cause_for_warnings() -> None:
    labeler = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, Y)
    assert labeler.score([["saw"]], [["O"]]) == 0
    assert labeler.score([["saw"], []], [["B-NEW"], []]) == 0
    assert labeler.score([], []) == labeler.score([[]], [[]]) == 0
    assert labeler.score([["ann"]], [["O"]]) == 0
    assert "NEW" in labeler.classification_report([["saw"]], [["B-NEW"]])
    labeler = SequenceLabeler().fit([["saw"]], [["O"]])
    assert (
        labeler.classification_report([["saw"]], [["O"]])
        == "There are no entities, neither in y nor among those predicted."
    )
    assert (
        labeler.classification_report([["saw"]], [["O"]], output_dict=True)["micro avg"]["support"]
        == 0
    )


def test_true_tags_of_another_kind() -> None:
    labeler = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, Y)
    assert labeler.score(X, convert_tags(Y, "IOBES")) == 1  # the same entities
    with pytest.raises(InvalidParameterError, match="'NOUN' for word 0 of sentence 1"):
        labeler.score([["ann"], ["ann"]], [["B-PER"], ["NOUN"]])


def test_true_tags_of_another_kind_than_those_learned() -> None:
    entities = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, Y)
    plain = SequenceLabeler(HashedWords(), LogisticRegression()).fit(
        [["ann", "saw"]], [["NAME", "VERB"]]
    )
    for method in ("score", "classification_report"):
        with pytest.raises(
            InvalidParameterError,
            match=r"^y must mark entities, .*in BIO\. Got plain tags, such as 'NAME'",
        ):
            getattr(entities, method)([["ann", "saw"]], [["NAME", "O"]])
        with pytest.raises(
            InvalidParameterError,
            match=r"^y must hold plain tags, .*such as 'NAME'\. Got .*such as 'B-PER'",
        ):
            getattr(plain, method)([["ann", "saw"]], [["B-PER", "O"]])
    assert plain.score([["ann", "saw"]], [["NAME", "O"]]) == 0.5
    prefixed = SequenceLabeler(HashedWords(), LogisticRegression(), scheme="plain").fit(X, Y)
    assert prefixed.score(X, Y) == 1


@pytest.mark.parametrize("is_plain", [False, True])
def test_numbers_of_a_report_can_be_written_as_json(is_plain: bool) -> None:
    labeler = SequenceLabeler(
        HashedWords(), LogisticRegression(), scheme="plain" if is_plain else "auto"
    ).fit(X, Y)
    report = labeler.classification_report(X, Y, output_dict=True)
    assert json.loads(json.dumps(report)) == report
    numbers = [
        number
        for row in report.values()
        for number in (row.values() if isinstance(row, dict) else [row])
    ]
    assert {type(number) for number in numbers} <= {int, float}


def test_digits_and_output_dict_are_checked() -> None:
    labeler = SequenceLabeler(HashedWords()).fit(X, Y)
    with pytest.raises(InvalidParameterError, match="'digits' parameter must be an int"):
        labeler.classification_report(X, Y, digits="2")
    with pytest.raises(
        InvalidParameterError, match="'output_dict' parameter must be True or False"
    ):
        labeler.classification_report(X, Y, output_dict="yes")
