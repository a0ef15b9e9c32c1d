"""Tests of pipeline/tagging/word_features.py."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertVectorizer, BertWordVectorizer, StaticVectorizer
from bertvectorizer.errors import InvalidParameterError, ModelNotFoundError, StoreError
from bertvectorizer.pipeline.tagging import crf, streamed_logistic, word_features
from bertvectorizer.pipeline.tagging.labeler import SequenceLabeler
from tests.pipeline.tagging.labeled import VECTORS, X_NEW, Y_NEW, HashedWords, Letters, Wrong, X, Y
from tests.tiny import ModelFactory

pytestmark = pytest.mark.numeric


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


class Streams(HashedWords):
    """Gives vectors one sentence at a time, too; each value is ``factor`` times as large."""

    factor = 1.0

    def transform(self, X: Any) -> Any:
        return self.factor * super().transform(X)

    def iter_transform(self, X: Any) -> Any:
        for words in X:
            yield self.transform([words]).astype(np.float32)

    def fit_transform(self, X: Any, y: Any) -> Any:
        pytest.fail("the vectors of all words were asked for at once")


@pytest.mark.parametrize("decode", ["viterbi", "crf"])
def test_fitting_never_makes_the_features_of_all_words(
    decode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = SequenceLabeler(HashedWords(), decode=decode).fit(X, Y).predict_proba(X_NEW)
    n_words, row = sum(map(len, X)), 3 * (24 + 29)
    shapes, blocks = [], []
    own = word_features.WordFeatures.__getitem__

    def counted(self: Any, rows: slice) -> Any:
        found = own(self, rows)
        shapes.append(found.shape)
        blocks.append(self._blocks[0])
        return found

    monkeypatch.setattr(word_features.WordFeatures, "__getitem__", counted)
    monkeypatch.setattr(streamed_logistic, "_CHUNK_BYTES", 16 * 4 * row)
    monkeypatch.setattr(crf, "_CHUNK_BYTES", 16 * 8 * row)
    monkeypatch.setattr(word_features, "_MOST_BYTES", 4 * 24 * n_words - 1)
    labeler = SequenceLabeler(Streams(), decode=decode).fit(X, Y)
    assert max(shapes) == (16, row)
    assert n_words > 5 * 16
    assert {block.dtype for block in blocks} == {np.dtype(np.float16)}
    # Half precision rounds each value by 5e-4 of it at most.
    found = labeler.predict_proba(X_NEW)
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), atol=2e-3)
    assert labeler.predict(X_NEW) == Y_NEW

    # Neither small sets nor values beyond the range of half precision are rounded.
    for most, factor in ((4 * 24 * n_words, 1.0), (0, 1e5)):
        monkeypatch.setattr(word_features, "_MOST_BYTES", most)
        monkeypatch.setattr(Streams, "factor", factor)
        blocks.clear()
        labeler = SequenceLabeler(Streams(), decode=decode).fit(X, Y)
        assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
        assert labeler.predict(X_NEW) == Y_NEW


@pytest.mark.parametrize("repeats", [0, 2])
def test_a_stream_has_a_row_for_each_word(repeats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def stream(self: Any, X: Any) -> Any:
        return (np.zeros((1, 4), np.float32) for words in X * repeats for _ in words)

    monkeypatch.setattr(Streams, "iter_transform", stream)
    with pytest.raises(InvalidParameterError, match=r"one row for each word .*Got Streams\("):
        SequenceLabeler(Streams()).fit(X, Y)


def test_vectors_of_earlier_sentences_are_given_up_before_others_are_made(
    tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert = str(tiny_model("bert"))
    monkeypatch.setattr("bertvectorizer.features.bert_words._BYTES_PER_CHUNK", 1)
    made: list[weakref.ref[Any]] = []
    own = BertWordVectorizer._vectors

    def watched(self: Any, *args: Any) -> Any:
        assert all(one() is None for one in made)
        found = own(self, *args)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(BertWordVectorizer, "_vectors", watched)
    words = [["the", "bat"], ["river"], ["the", "river"]]
    vectors = word_features.learn_word_vectors(BertWordVectorizer(bert), words, [])
    assert len(made) == 3
    np.testing.assert_allclose(vectors, BertWordVectorizer(bert).transform(words), atol=1e-5)
