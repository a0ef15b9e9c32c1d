"""None"""

from __future__ import annotations

import itertools
import pickle
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.tagging import labeler as module
from bertvectorizer.pipeline.tagging.labeler import SequenceLabeler
from bertvectorizer.pipeline.tagging.schemes import convert_tags
from tests.pipeline.tagging.labeled import (
    CITIES,
    ESTIMATORS,
    PEOPLE,
    VERBS,
    X_NEW,
    Y_NEW,
    HashedWords,
    X,
    Y,
    assert_legal,
)

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: repr(estimator)[:30])
@pytest.mark.parametrize("decode", ["viterbi", "greedy"])
def test_any_estimator(estimator: Any, decode: str) -> None:
    labeler = SequenceLabeler(HashedWords(), estimator, decode=decode).fit(X, Y)
    predicted = labeler.predict(X_NEW)
    assert [len(tags) for tags in predicted] == [len(words) for words in X_NEW]
    assert all(type(tag) is str for tags in predicted for tag in tags)
    assert_legal(predicted, "BIO")
    assert labeler.score(X_NEW, Y_NEW) > 0.8
    if estimator is not None:
        assert type(labeler.estimator_) is type(estimator)
        assert labeler.estimator_ is not estimator


@pytest.mark.parametrize("coding", [None, "BIO", "IOBES", "IOB1"])
def test_a_conditional_random_field(coding: str | None) -> None:
    labeler = SequenceLabeler(HashedWords(), decode="crf", coding=coding).fit(X, Y)
    assert not hasattr(labeler, "estimator_")
    assert labeler.crf_.converged_
    assert labeler.coding_ == (coding or "BIO")
    assert labeler.predict(X_NEW) == Y_NEW
    probabilities = labeler.predict_proba(X_NEW)
    assert [len(rows) for rows in probabilities] == [len(words) for words in X_NEW]
    np.testing.assert_allclose(np.concatenate(probabilities).sum(axis=1), 1.0)


def test_the_default_decoder_is_by_tags_and_estimator() -> None:
    plain = [["N" if word in PEOPLE + CITIES else "V" for word in words] for words in X]
    for estimator, tags, is_crf in (
        (None, Y, True),
        (LogisticRegression(), Y, False),
        (None, plain, False),
    ):
        labeler = SequenceLabeler(HashedWords(), estimator).fit(X, tags)
        assert hasattr(labeler, "crf_") == is_crf
        assert hasattr(labeler, "estimator_") != is_crf
        named = clone(labeler).set_params(decode="crf" if is_crf else "viterbi").fit(X, tags)
        assert labeler.predict(X_NEW) == named.predict(X_NEW)
        for own, other in zip(
            labeler.predict_proba(X_NEW), named.predict_proba(X_NEW), strict=True
        ):
            np.testing.assert_array_equal(own, other)
        assert labeler.set_params(decode=named.decode).predict(X_NEW) == named.predict(X_NEW)
        with pytest.raises(InvalidParameterError, match="'decode' parameter must be what it was"):
            labeler.set_params(decode="viterbi" if is_crf else "crf").predict(X_NEW)


def test_tags_that_may_not_stand_together_never_do() -> None:
    # Features say nothing, so that by itself each word of the second and third column would be I.
    X, Y = [["x", "y", "y"]] * 9, [["O", "O", "O"], ["B-A", "I-A", "I-A"], ["O", "B-A", "I-A"]] * 3
    for decode in ("viterbi", "greedy", "crf"):
        labeler = SequenceLabeler(decode=decode, context=0, estimator=LogisticRegression()).fit(
            X, Y
        )
        assert_legal(labeler.predict([["y"], ["y", "y"], ["y"] * 5, ["x", "y"]]), "BIO")


def test_one_tag_only() -> None:
    for decode in ("viterbi", "greedy", "crf"):
        for tag in ("O", "B-X"):
            labeler = SequenceLabeler(HashedWords(), LinearSVC(), decode=decode).fit(
                [["a", "b"], ["c"]], [[tag, tag], [tag]]
            )
            assert labeler.predict([["a", "x", "y"], []]) == [[tag] * 3, []]
            assert labeler.score([["a"]], [[tag]]) == (tag != "O")
            assert "O" in labeler.tags_


def test_the_estimator_is_refused_before_vectors_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HashedWords, "fit", lambda *args: pytest.fail("the vectorizer was fitted"))
    with pytest.raises(InvalidParameterError, match="'estimator' parameter must be a classifier"):
        SequenceLabeler(HashedWords(), Ridge()).fit(X, Y)


@pytest.mark.parametrize("decode", ["viterbi", "greedy", "crf"])
@pytest.mark.parametrize("scheme", ["IOB1", "BIO", "IOBES"])
@pytest.mark.parametrize("coding", [None, "BIO", "IOBES"])
def test_predictions_are_in_the_scheme_of_the_training_tags(
    scheme: str, coding: str | None, decode: str
) -> None:
    words = [*X, ["ann", "kim", "kim", "lee"]] * 2
    own = convert_tags([*Y, ["B-PER", "I-PER", "B-PER", "I-PER"]] * 2, scheme)
    labeler = SequenceLabeler(
        HashedWords(),
        LogisticRegression(C=10, max_iter=500),
        scheme=scheme,
        coding=coding,
        decode=decode,
    ).fit(words, own)
    assert (labeler.scheme_, labeler.coding_) == (
        scheme,
        coding or ("BIO" if scheme == "IOB1" else scheme),
    )
    assert {tag[0] for tag in labeler.tags_} == set(
        "OBIES" if labeler.coding_ == "IOBES" else "OBI"
    ) - ({"I"} if labeler.coding_ == "IOBES" else set())
    predicted = labeler.predict(X_NEW)
    assert_legal(predicted, scheme)
    assert predicted == convert_tags(predicted, scheme, scheme)
    expected = convert_tags(Y_NEW, scheme)
    assert labeler.score(X_NEW, expected) == f1_score(expected, predicted) > 0.9


def test_the_scheme_is_found() -> None:
    assert SequenceLabeler(HashedWords()).fit(X, Y).scheme_ == "BIO"
    assert SequenceLabeler(HashedWords()).fit(X, convert_tags(Y, "IOBES")).scheme_ == "IOBES"
    assert SequenceLabeler(HashedWords()).fit(X, convert_tags(Y, "IOB1")).scheme_ == "IOB1"


@pytest.mark.parametrize("decode", ["viterbi", "greedy", "crf"])
def test_plain_tags(decode: str) -> None:
    kinds = {
        **dict.fromkeys(PEOPLE, "NOUN"),
        **dict.fromkeys(CITIES, "X.Y"),
        **dict.fromkeys(VERBS, "VERB"),
    }
    tags, tags_new = ([[kinds[word] for word in words] for words in each] for each in (X, X_NEW))
    labeler = SequenceLabeler(HashedWords(), LinearSVC(), decode=decode).fit(X, tags)
    assert labeler.scheme_ == labeler.coding_ == "plain"
    assert labeler.tags_.tolist() == ["NOUN", "VERB", "X.Y"]
    assert labeler.predict(X_NEW) == tags_new
    wrong = [["NOUN"] * len(words) for words in X_NEW]
    flat = [[tag for tags in each for tag in tags] for each in (wrong, labeler.predict(X_NEW))]
    assert labeler.score(X_NEW, wrong) == accuracy_score(*flat)
    report = labeler.classification_report(X_NEW, tags_new, output_dict=True)
    assert report["VERB"]["recall"] == 1
    assert "X.Y" in labeler.classification_report(X_NEW, tags_new, digits=3)
    assert labeler.classification_report([[]], [[]]) == "There are no words."
    assert labeler.score([[]], [[]]) == 0
    with pytest.raises(
        InvalidParameterError, match="'coding' parameter must be None for plain tags"
    ):
        clone(labeler).set_params(coding="IOBES").fit(X, tags)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"vectorizer": "bert"},
            (
                "'vectorizer' parameter must be an object with the methods 'fit' and 'transform',"
                " or None. Got 'bert'"
            ),
        ),
        ({"vectorizer": HashedWords}, "'vectorizer' parameter must be an object with"),
        (
            {"estimator": LogisticRegression},
            (
                "'estimator' parameter must be an object with the methods 'fit' and 'predict', or"
                " None. Got <class"
            ),
        ),
        (
            {"estimator": StandardScaler()},
            r"'estimator' parameter must be .* Got StandardScaler\(\)",
        ),
        ({"estimator": Ridge()}, r"'estimator' parameter must be a classifier, .* Got Ridge\(\)"),
        (
            {"estimator": make_pipeline(StandardScaler(), Ridge())},
            "'estimator' parameter must be a classifier",
        ),
        ({"estimator": SequenceLabeler()}, "'estimator' parameter must be a classifier"),
        (
            {"scheme": "IOB2"},
            (
                r"'scheme' parameter must be one of 'auto', .* Got 'IOB2' instead\. 'BIO' is its"
                r" name here\.$"
            ),
        ),
        ({"context": -1}, r"'context' parameter must be an int in the range \[0, inf\). Got -1"),
        ({"context": 1.5}, "'context' parameter must be an int .* Got 1.5"),
        (
            {"decode": "beam"},
            "'decode' parameter must be one of 'auto', 'viterbi', 'greedy', 'crf'. Got 'beam'",
        ),
        ({"word_shape": 1}, "'word_shape' parameter must be True or False. Got 1"),
        (
            {"word_shape": False},
            "'word_shape' parameter must be True if there is no vectorizer.* Got False",
        ),
        (
            {"scheme": "BILOU"},
            (
                "'scheme' parameter must be one of 'auto', 'IOB1', 'BIO', 'IOBES', 'plain'. Got"
                " 'BILOU'"
            ),
        ),
        (
            {"coding": "plain"},
            "'coding' parameter must be one of 'IOB1', 'BIO', 'IOBES'.* Got 'plain'",
        ),
        ({"coding": 1}, "'coding' parameter must be one of .* Got 1"),
        ({"crf_l2": 0}, r"'crf_l2' parameter must be a number in the range \(0, inf\). Got 0"),
        (
            {"crf_l2": "much"},
            r"'crf_l2' parameter must be a number in the range \(0, inf\). Got 'much'",
        ),
        ({"max_iter": 0}, r"'max_iter' parameter must be an int in the range \[1, inf\). Got 0"),
    ],
)
def test_parameters_that_break_their_rule(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        SequenceLabeler(**changes).fit(X, Y)


def test_it_is_an_estimator_like_others() -> None:
    labeler = SequenceLabeler(HashedWords(8), LogisticRegression(C=3), decode="greedy", context=2)
    assert not is_classifier(labeler)
    assert labeler.get_params()["vectorizer__n_features"] == 8
    copy = clone(labeler.set_params(vectorizer__n_features=9, estimator__C=2.0))
    assert (copy.vectorizer.n_features, copy.estimator.C, copy.context) == (9, 2.0, 2)
    assert copy.vectorizer is not labeler.vectorizer
    assert "HashedWords" in repr(copy)
    given = copy.vectorizer
    copy.fit(X, Y)
    assert copy.vectorizer is given
    assert not hasattr(given, "seen_"), "what was given is left as it was"
    for method in (labeler.predict, labeler.predict_proba):
        with pytest.raises(NotFittedError):
            method(X)
    with pytest.raises(NotFittedError):
        labeler.score(X, Y)


def test_pickled_labelers_go_on() -> None:
    for decode in ("viterbi", "crf"):
        labeler = SequenceLabeler(HashedWords(), decode=decode).fit(X, Y)
        loaded = pickle.loads(pickle.dumps(labeler))
        assert loaded.predict(X_NEW) == labeler.predict(X_NEW)
        for a, b in zip(loaded.predict_proba(X_NEW), labeler.predict_proba(X_NEW), strict=True):
            np.testing.assert_array_equal(a, b)


def test_training_is_repeatable() -> None:
    for decode in ("viterbi", "crf"):
        first, second = (
            SequenceLabeler(HashedWords(), decode=decode).fit(X, Y).predict_proba(X_NEW)
            for _ in range(2)
        )
        np.testing.assert_array_equal(np.concatenate(first), np.concatenate(second))


def test_cross_validation_does_not_stratify_and_scores_by_entities() -> None:
    labeler = SequenceLabeler(HashedWords(), LogisticRegression())
    scores = cross_val_score(labeler, X, Y, cv=3)
    expected = []
    for train, test in KFold(3).split(X):
        fitted = clone(labeler).fit([X[row] for row in train], [Y[row] for row in train])
        expected.append(
            f1_score([Y[row] for row in test], fitted.predict([X[row] for row in test]))
        )
    np.testing.assert_allclose(scores, expected)


def test_grid_search() -> None:
    grid = [
        {"decode": ["viterbi", "greedy"], "estimator__C": [1e-4, 1.0], "context": [0, 1]},
        {"decode": ["crf"], "crf_l2": [0.01, 10.0], "vectorizer__n_features": [4, 24]},
    ]
    search = GridSearchCV(
        SequenceLabeler(HashedWords(), LogisticRegression()), grid, cv=2, error_score="raise"
    ).fit(X, Y)
    assert len(search.cv_results_["mean_test_score"]) == 12
    assert search.best_score_ > search.cv_results_["mean_test_score"].min() + 0.1
    assert search.predict(X_NEW) == search.best_estimator_.predict(X_NEW)
    assert search.score(X_NEW, Y_NEW) > 0.9


def test_two_processes() -> None:
    labeler = SequenceLabeler(estimator=LogisticRegression())
    words, tags = [[word.title() for word in words] for words in X], Y
    grid = {"context": [0, 1], "decode": ["viterbi", "crf"]}
    one, two = (
        GridSearchCV(labeler, grid, cv=2, n_jobs=n, error_score="raise").fit(words, tags)
        for n in (None, 2)
    )
    np.testing.assert_allclose(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"], atol=1e-12
    )


def test_probabilities_are_there_where_the_estimator_has_them() -> None:
    assert hasattr(SequenceLabeler(), "predict_proba")
    assert hasattr(SequenceLabeler(estimator=LinearSVC(), decode="crf"), "predict_proba")
    assert not hasattr(SequenceLabeler(estimator=LinearSVC()), "predict_proba")
    assert not hasattr(SequenceLabeler(HashedWords(), LinearSVC()).fit(X, Y), "predict_proba")
    labeler = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, Y)
    flat = np.concatenate(labeler.predict_proba(X_NEW))
    np.testing.assert_allclose(flat.sum(axis=1), 1.0, rtol=1e-5)
    tags = np.concatenate([np.array(tags) for tags in Y_NEW])
    assert (labeler.tags_[flat.argmax(axis=1)] == tags).mean() > 0.9


def test_decode_may_change_after_fit_unless_it_is_another_model() -> None:
    labeler = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, Y)
    assert labeler.set_params(decode="greedy").predict(X_NEW) == Y_NEW
    with pytest.raises(
        InvalidParameterError, match=r"'decode' parameter must be what it was in fit.*Got 'crf'"
    ):
        labeler.set_params(decode="crf").predict(X)
    with pytest.raises(InvalidParameterError, match="'decode' parameter must be one of"):
        labeler.set_params(decode="beam").predict(X)
    labeler.set_params(decode="crf").fit(X, Y)
    assert not hasattr(labeler, "estimator_")
    assert not hasattr(labeler.set_params(decode="viterbi").fit(X, Y), "crf_")


@pytest.mark.parametrize("decode", ["viterbi", "greedy", "crf"])
def test_features_may_not_change_after_fit(decode: str) -> None:
    labeler = SequenceLabeler(HashedWords(), decode=decode).fit(X, Y)
    for name, value in (("context", 2), ("word_shape", False)):
        own = labeler.get_params()[name]
        labeler.set_params(**{name: value})
        for method in (labeler.predict, labeler.predict_proba):
            with pytest.raises(
                InvalidParameterError,
                match=(
                    rf"'{name}' parameter must be what it was in fit, {own}; fit again.*Got {value}"
                ),
            ):
                method(X)
        labeler.set_params(**{name: own})
    assert labeler.predict(X_NEW) == Y_NEW


@pytest.mark.parametrize("decode", ["viterbi", "crf"])
@pytest.mark.parametrize("at", ["tags", "coding", "vectorizer", "estimator"])
def test_a_fit_that_fails_leaves_the_one_before(
    decode: str, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeler = SequenceLabeler(HashedWords(), LogisticRegression(), decode=decode).fit(X, Y)
    before = dict(vars(labeler))
    words, tags = [["Ann", "saw"]], [["NAME", "VERB"]]

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise InvalidParameterError("no")

    with monkeypatch.context() as patch:
        if at == "tags":
            tags = [["NAME", "B-X"]]
        elif at == "coding":
            labeler.set_params(coding="IOBES")
        elif at == "vectorizer":
            patch.setattr(HashedWords, "transform", fails)
        else:
            patch.setattr(LogisticRegression, "fit", fails)
            patch.setattr(module.LinearChainCrf, "fit", fails)
        with pytest.raises(InvalidParameterError):
            labeler.fit(words, tags)
    labeler.set_params(coding=None)
    assert vars(labeler).keys() == before.keys()
    assert all(vars(labeler)[name] is value for name, value in before.items())
    assert labeler.predict(X_NEW) == Y_NEW


def test_a_lack_of_probabilities_is_explained() -> None:
    with pytest.raises(AttributeError) as caught:
        SequenceLabeler(estimator=LinearSVC()).predict_proba  # noqa: B018
    assert str(caught.value.__cause__).startswith(
        "The estimator LinearSVC() has no predict_proba. Use one that has"
    )


def test_a_random_field_that_did_not_converge_warns() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        SequenceLabeler(HashedWords(), decode="crf", max_iter=2).fit(X, Y)


@pytest.mark.parametrize("decode", ["viterbi", "greedy", "crf"])
def test_chunks_change_nothing(decode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labeler = SequenceLabeler(HashedWords(), decode=decode).fit(X, Y)
    words = [[], [], *X_NEW, [], ["unheard", "of"]]
    whole, proba = labeler.predict(words), labeler.predict_proba(words)
    calls = labeler.vectorizer_.n_calls_
    sizes = []
    own = module.word_features

    def counted(vectors: Any, flat: list[str], offsets: Any, *rest: Any) -> Any:
        sizes.append((len(flat), len(offsets) - 1))
        return own(vectors, flat, offsets, *rest)

    monkeypatch.setattr(module, "word_features", counted)
    monkeypatch.setattr(module, "_MOST_BYTES", 9 * 4 * 3 * (24 + 29))  # nine words
    assert labeler.predict(words) == whole
    assert labeler.vectorizer_.n_calls_ == calls + len(sizes)
    assert sum(n_words for n_words, _ in sizes) == sum(map(len, words))
    assert all(n_words <= 9 or n_sentences == 1 for n_words, n_sentences in sizes)
    assert all(a + b > 9 for (a, _), (b, _) in itertools.pairwise(sizes)), (
        "no chunk is smaller than it must be"
    )
    np.testing.assert_allclose(
        np.concatenate(labeler.predict_proba(words)), np.concatenate(proba), rtol=1e-4, atol=1e-6
    )


def test_memory_of_prediction_does_not_grow_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 300 * 4 * 3 * (24 + 29))
    labeler = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, Y)
    words = X * 5
    peaks = []
    for times in (1, 6):
        tracemalloc.start()
        labeler.predict(words * times)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    n_words = sum(map(len, words))
    n_features = 3 * (24 + 29)
    assert peaks[1] - peaks[0] < 5 * n_words * n_features * 4 / 4, (
        "features of all words would be four times as much"
    )


@settings(max_examples=25)
@given(data=st.data())
def test_any_sentences_and_tags(data: st.DataObject) -> None:
    words = st.lists(st.sampled_from(["a", "B", "c", "", " ", "1"]), max_size=4)
    sentences = data.draw(st.lists(words, min_size=1, max_size=5).filter(any))
    tag = st.sampled_from(["O", "B-X", "I-X", "I-Y"])
    tags = [data.draw(st.lists(tag, min_size=len(own), max_size=len(own))) for own in sentences]
    scheme = data.draw(st.sampled_from(["auto", "BIO", "IOB1", "IOBES", "plain"]))
    decode = data.draw(st.sampled_from(["viterbi", "greedy", "crf"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labeler = SequenceLabeler(
            scheme=scheme,
            decode=decode,
            coding=data.draw(st.sampled_from([None, "IOBES"])) if scheme != "plain" else None,
        )
        predicted = labeler.fit(sentences, tags).predict(sentences)
        score = labeler.score(sentences, tags)
    assert [len(own) for own in predicted] == [len(own) for own in sentences]
    assert 0 <= score <= 1
    if scheme != "plain":
        assert_legal(predicted, labeler.scheme_)
