"""Tests of pipeline/tagging/sentences.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.pipeline.tagging.labeler import SequenceLabeler
from tests.pipeline.tagging.labeled import X_NEW, Y_NEW, HashedWords, X, Y

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize(
    "form",
    [
        tuple,
        lambda x: [tuple(words) for words in x],
        pd.Series,
        lambda x: [np.array(words) for words in x],
    ],
)
def test_sentences_and_tags_in_other_containers(form: Any) -> None:
    plain = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, Y)
    other = SequenceLabeler(HashedWords(), LogisticRegression()).fit(form(X), form(Y))
    assert other.predict(form(X_NEW)) == plain.predict(X_NEW)
    assert other.score(form(X_NEW), form(Y_NEW)) == plain.score(X_NEW, Y_NEW)
    assert other.tags_.dtype.kind == "U"


@pytest.mark.parametrize("decode", ["viterbi", "greedy", "crf"])
def test_empty_sentences(decode: str) -> None:
    labeler = SequenceLabeler(HashedWords(), decode=decode).fit([[], *X, []], [[], *Y, []])
    plain = SequenceLabeler(HashedWords(), decode=decode).fit(X, Y)
    assert labeler.predict(X_NEW) == plain.predict(X_NEW)
    assert labeler.predict([[], X_NEW[0], [], []]) == [[], plain.predict(X_NEW)[0], [], []]
    assert labeler.predict([[]]) == [[]]
    assert labeler.predict([]) == []
    proba = labeler.predict_proba([[], X_NEW[0], []])
    assert [len(rows) for rows in proba] == [0, len(X_NEW[0]), 0]
    assert labeler.predict_proba([]) == []
    assert labeler.predict_proba([[]])[0].shape == (0, len(labeler.tags_))


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ([], [], "at least one word to learn from. Got 0 sentences"),
        ([[], []], [[], []], "at least one word to learn from. Got 2 sentences"),
        ([["a"], ["b", "c"]], [["O"], ["O"]], "Got 1 tags for the 2 words of sentence 1"),
        (
            [["a"], ["b"]],
            [["O"]],
            r"for each of the 2 sentences of X\. Got 1 instead\. Give as many",
        ),
        ([["a"]], None, r"y must hold the tags .*Give \[\[tag"),
        ([["a", "b"]], ["O", "O"], "as sentence 0"),
        ([["a", "b"]], [["O", 3]], "Got 3 for word 1 of sentence 0"),
        ([["a", "b"]], [["O", None]], "Got None for word 1 of sentence 0"),
        ([["a", "b"]], [["O", ""]], "Got '' for word 1 of sentence 0"),
        ([["a", "b"]], "OO", r"Got 'OO' instead\. Give \[tags\]"),
        (
            [["a"]],
            pd.DataFrame({"tag": [["O"]]}),
            r"Got a DataFrame instead\. Give its column of lists, df\['tag'\]",
        ),
        (
            [["a"]],
            [[["O"]]],
            r"Got \['O'\] for word 0 of sentence 0, .*too deep\. Give one tag for each word",
        ),
        (
            [["a"], ["b"]],
            [["O"], float("nan")],
            "Got nan as sentence 1, .* drop sentences whose tags are not known",
        ),
        (
            [["a"], ["b"]],
            [["O"], [float("nan")]],
            "Got nan for word 0 of sentence 1, .* Give each word a tag",
        ),
        ([["a"]], [["B-"]], "type behind its hyphen.* Got 'B-' for word 0 of sentence 0"),
        ([["a", "b"]], [["B-X", "Y"]], "Got 'Y' for word 1 of sentence 0"),
    ],
)
def test_tags_that_do_not_fit(words: Any, tags: Any, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        SequenceLabeler().fit(words, tags)


@pytest.mark.parametrize("words", ["a text", ["a text"], [["a", None]], [["a", 3]], [None], 7])
def test_what_is_no_list_of_words(words: Any) -> None:
    labeler = SequenceLabeler()
    with pytest.raises(InvalidTextError):
        labeler.fit(words, [["O", "O"]])
    with pytest.raises(InvalidTextError):
        SequenceLabeler(HashedWords()).fit(X, Y).predict(words)
