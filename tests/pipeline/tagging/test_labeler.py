from __future__ import annotations

import itertools
import json
import pickle
import tracemalloc
import warnings
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from seqeval.metrics import classification_report, f1_score
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from bertvectorizer import BertVectorizer, StaticVectorizer
from bertvectorizer.errors import (
    InvalidParameterError,
    InvalidTextError,
    ModelNotFoundError,
    StoreError,
)
from bertvectorizer.pipeline.tagging import labeler as module
from bertvectorizer.pipeline.tagging.decoding import tag_scores
from bertvectorizer.pipeline.tagging.labeler import SequenceLabeler
from bertvectorizer.pipeline.tagging.schemes import convert_tags, transitions

pytestmark = pytest.mark.numeric

PEOPLE, PLACES, VERBS = ["ann", "bo", "kim", "lee"], ["ulm", "rio", "oslo"], ["saw", "met", "left"]


class HashedWords(BaseEstimator):
    """A row of numbers for each word, by its spelling."""

    def __init__(self, n_features: int = 24, form: str = "dense") -> None:
        self.n_features = n_features
        self.form = form

    def fit(self, X: Any, y: Any = None) -> HashedWords:
        assert all(isinstance(word, str) for words in X for word in words)
        assert [len(words) for words in X] == [len(tags) for tags in y], (
            "tags come nested, as they were given"
        )
        self.seen_ = y
        self.n_calls_ = 0
        return self

    def transform(self, X: Any) -> Any:
        self.n_calls_ += 1
        words = [word for words in X for word in words]
        assert words, "nothing is asked of no words"
        rows = [
            np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.n_features)
            for word in words
        ]
        matrix = np.array(rows)
        return {
            "dense": matrix,
            "sparse": sparse.csr_matrix(matrix),
            "frame": pd.DataFrame(matrix),
        }[self.form]


class Letters(BaseEstimator):
    """Counts of letters in words, as a sparse matrix."""

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        self.counter_ = CountVectorizer(analyzer="char", ngram_range=(1, 2))
        return self.counter_.fit_transform([word for words in X for word in words])

    def fit(self, X: Any, y: Any = None) -> Letters:
        self.fit_transform(X)
        return self

    def transform(self, X: Any) -> Any:
        return self.counter_.transform([word for words in X for word in words])


class PredictsOnly:
    """The least that an estimator has: no probabilities, no classes."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def fit(self, X: Any, y: Any) -> PredictsOnly:
        self.inside = LogisticRegression().fit(X, y)
        return self

    def predict(self, X: Any) -> Any:
        return self.inside.predict(X)


def made_up(n: int = 40, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences of people, some of two names, who do something with places; in BIO."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(n):
        words, tags = [], []
        for _ in range(int(rng.integers(1, 3))):
            n_names = int(rng.integers(1, 3))
            words += [*rng.choice(PEOPLE, n_names), rng.choice(VERBS), rng.choice(PLACES)]
            tags += [*["B-PER", "I-PER"][:n_names], "O", "B-LOC"]
        X.append([str(word) for word in words])
        y.append(tags)
    return X, y


def assert_legal(predicted: list[list[str]], scheme: str) -> None:
    tags = sorted({tag for sentence in predicted for tag in sentence})
    start, allowed, end = transitions(tags, scheme)
    for sentence in predicted:
        numbers = [tags.index(tag) for tag in sentence]
        if numbers:
            assert start[numbers[0]]
            assert end[numbers[-1]]
            assert all(allowed[pair] for pair in itertools.pairwise(numbers))


LETTERS = pd.DataFrame(np.eye(3), index=list("abc"))
VECTORS = pd.DataFrame(np.eye(len(PEOPLE + PLACES + VERBS)), index=PEOPLE + PLACES + VERBS)
X, Y = made_up()
X_NEW, Y_NEW = made_up(15, seed=1)
ESTIMATORS = [
    LogisticRegression(max_iter=500),
    LinearSVC(),
    SGDClassifier(random_state=0),
    RidgeClassifier(),
    SVC(decision_function_shape="ovo"),
    SVC(),
    GaussianNB(),
    KNeighborsClassifier(3),
    DecisionTreeClassifier(random_state=0),
    CalibratedClassifierCV(RidgeClassifier(), cv=2),
    make_pipeline(StandardScaler(), LogisticRegression()),
    PredictsOnly(),
    None,
]


# ---- Estimators and decoders


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


def test_tags_that_may_not_stand_together_never_do() -> None:
    # Features say nothing, so that by itself each word of the second and third column would be I.
    X, Y = [["x", "y", "y"]] * 9, [["O", "O", "O"], ["B-A", "I-A", "I-A"], ["O", "B-A", "I-A"]] * 3
    for decode in ("viterbi", "greedy", "crf"):
        labeler = SequenceLabeler(decode=decode, context=0, estimator=LogisticRegression()).fit(
            X, Y
        )
        assert_legal(labeler.predict([["y"], ["y", "y"], ["y"] * 5, ["x", "y"]]), "BIO")


class Fixed(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Gives each word of four the scores it was made with."""

    def __init__(self, scores: Any = None) -> None:
        self.scores = scores

    def fit(self, X: Any, y: Any) -> Fixed:
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X: Any) -> Any:
        return np.tile(self.scores, (len(X), 1))

    def predict(self, X: Any) -> Any:
        raise NotImplementedError


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
    proba = (
        SequenceLabeler(scheme="IOBES").fit([["a", "b"]], [["B-X", "E-X"]]).predict_proba([["a"]])
    )
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


def test_one_tag_only() -> None:
    for decode in ("viterbi", "greedy", "crf"):
        for tag in ("O", "B-X"):
            labeler = SequenceLabeler(HashedWords(), LinearSVC(), decode=decode).fit(
                [["a", "b"], ["c"]], [[tag, tag], [tag]]
            )
            assert labeler.predict([["a", "x", "y"], []]) == [[tag] * 3, []]
            assert labeler.score([["a"]], [[tag]]) == (tag != "O")
            assert "O" in labeler.tags_


# ---- Features


def test_vectors_reach_the_estimator_with_neighbours_and_shapes() -> None:
    class Keeps(LogisticRegression):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> Keeps:
            self.features_, self.labels_ = X, y
            return super().fit(X, y)  # type: ignore[no-any-return]

    words, tags = [["ann", "Saw"], ["bo"]], [["B-PER", "O"], ["B-PER"]]
    labeler = SequenceLabeler(HashedWords(4), Keeps(), context=2, word_shape=False).fit(words, tags)
    rows = HashedWords(4).fit(words, tags).transform(words)
    zeros = np.zeros(4)
    expected = [
        [zeros, zeros, rows[0], rows[1], zeros],
        [zeros, rows[0], rows[1], zeros, zeros],
        [zeros, zeros, rows[2], zeros, zeros],
    ]
    np.testing.assert_allclose(
        labeler.estimator_.features_, np.reshape(expected, (3, 20)), rtol=1e-6
    )
    assert labeler.estimator_.features_.dtype == np.float32
    assert labeler.estimator_.labels_.tolist() == ["B-PER", "O", "B-PER"]
    assert labeler.vectorizer_.seen_ == tags

    thin = SequenceLabeler(HashedWords(4, "sparse"), Keeps(), context=2, word_shape=False).fit(
        words, tags
    )
    assert sparse.issparse(thin.estimator_.features_)
    np.testing.assert_array_equal(thin.estimator_.features_.toarray(), labeler.estimator_.features_)
    both = [
        SequenceLabeler(HashedWords(4, form), Keeps(), context=1).fit(words, tags)
        for form in ("dense", "sparse", "frame")
    ]
    features = both[0].estimator_.features_
    assert features.shape == (3, 3 * (4 + 29))
    for other in both[1:]:
        own = other.estimator_.features_
        np.testing.assert_array_equal(own.toarray() if sparse.issparse(own) else own, features)


@pytest.mark.parametrize("decode", ["viterbi", "crf"])
def test_sparse_vectors(decode: str) -> None:
    labeler = SequenceLabeler(Letters(), decode=decode).fit(X, Y)
    assert labeler.score(X_NEW, Y_NEW) > 0.9


def test_shapes_alone_and_vectors_alone() -> None:
    words, tags = (
        [["Ann", "saw", "it"], ["we", "saw", "Bo"]] * 5,
        [["B-PER", "O", "O"], ["O", "O", "B-PER"]] * 5,
    )
    alone = SequenceLabeler(estimator=LogisticRegression()).fit(words, tags)
    assert alone.vectorizer_ is None
    assert alone.predict([["they", "left", "Rio"]]) == [["O", "O", "B-PER"]]
    assert SequenceLabeler(HashedWords(), word_shape=False).fit(X, Y).score(X_NEW, Y_NEW) > 0.9


def test_neighbours_help() -> None:
    # Whether a word is tagged is known from the next word only.
    rng = np.random.default_rng(0)
    words = [[str(word) for word in rng.choice(["a", "b", "c", "!"], 8)] for _ in range(60)]
    tags = [
        ["B-X" if behind == "!" else "O" for behind in [*sentence[1:], ""]] for sentence in words
    ]
    scores = [
        SequenceLabeler(HashedWords(), LogisticRegression(), context=n, word_shape=False)
        .fit(words, tags)
        .score(words, tags)
        for n in (0, 1)
    ]
    assert scores[0] < 0.7
    assert scores[1] == 1


class Wrong(HashedWords):
    """A row for each sentence, as vectorizers of texts have it."""

    def transform(self, X: Any) -> Any:
        return np.zeros((len(X), 2)) if self.form == "dense" else np.zeros(sum(map(len, X)))


@pytest.mark.parametrize("form", ["dense", "flat"])
def test_a_vectorizer_of_texts_is_named_with_a_remedy(form: str) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'vectorizer' parameter .* one row for each word .*Got Wrong\(.*unit='word'",
    ):
        SequenceLabeler(Wrong(form=form)).fit(X, Y)


@pytest.mark.parametrize(
    "vectorizer",
    [
        CountVectorizer(),
        TfidfVectorizer(),
        StandardScaler(),
        StaticVectorizer(VECTORS),
        BertVectorizer("none"),
    ],
    ids=lambda vectorizer: type(vectorizer).__name__,
)
def test_a_vectorizer_that_takes_no_lists_of_words_is_named(vectorizer: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=rf"'vectorizer' parameter .*Got {type(vectorizer).__name__}\(.*unit='word'",
    ) as caught:
        SequenceLabeler(vectorizer).fit(X, Y)
    assert caught.value.__cause__ is not None
    assert str(caught.value.__cause__).rstrip(".") in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        InvalidParameterError("The 'layers' parameter"),
        ModelNotFoundError("no model"),
        StoreError("no store"),
        KeyError("bug"),
    ],
    ids=repr,
)
def test_errors_of_a_vectorizer_about_itself_are_left_as_they_are(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> Any:
        raise error

    monkeypatch.setattr(Letters, "fit_transform", fails)
    with pytest.raises(type(error)) as caught:
        SequenceLabeler(Letters()).fit(X, Y)
    assert caught.value is error


def test_the_estimator_is_refused_before_vectors_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HashedWords, "fit", lambda *args: pytest.fail("the vectorizer was fitted"))
    with pytest.raises(InvalidParameterError, match="'estimator' parameter must be a classifier"):
        SequenceLabeler(HashedWords(), Ridge()).fit(X, Y)


def test_searches_for_classifiers_are_classifiers() -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [1.0]},
        cv=2,
    )
    assert SequenceLabeler(HashedWords(), search).fit(X, Y).predict(X_NEW) == Y_NEW


# ---- Schemes


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
        **dict.fromkeys(PLACES, "X.Y"),
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


def test_bilou_is_scored_without_warnings() -> None:
    letters = {"E": "L", "S": "U"}
    bilou = [
        [letters.get(tag[0], tag[0]) + tag[1:] for tag in tags] for tags in convert_tags(Y, "IOBES")
    ]
    labeler = SequenceLabeler(HashedWords(), LogisticRegression()).fit(X, bilou)
    assert labeler.predict(X) == convert_tags(Y, "IOBES")
    assert labeler.score(X, bilou) == 1
    assert labeler.classification_report(X, bilou, output_dict=True)["PER"]["f1-score"] == 1


# ---- Scores


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


def test_true_tags_of_another_kind_than_those_learnt() -> None:
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


# ---- Input


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
            "'decode' parameter must be one of 'viterbi', 'greedy', 'crf'. Got 'beam'",
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


def test_digits_and_output_dict_are_checked() -> None:
    labeler = SequenceLabeler(HashedWords()).fit(X, Y)
    with pytest.raises(InvalidParameterError, match="'digits' parameter must be an int"):
        labeler.classification_report(X, Y, digits="2")
    with pytest.raises(
        InvalidParameterError, match="'output_dict' parameter must be True or False"
    ):
        labeler.classification_report(X, Y, output_dict="yes")


# ---- scikit-learn


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
        "The estimator LinearSVC() has no predict_proba. Take one that has"
    )


def test_a_random_field_that_did_not_converge_warns() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        SequenceLabeler(HashedWords(), decode="crf", max_iter=2).fit(X, Y)


# ---- Portions


@pytest.mark.parametrize("decode", ["viterbi", "greedy", "crf"])
def test_portions_change_nothing(decode: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
        "no portion is smaller than it must be"
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
