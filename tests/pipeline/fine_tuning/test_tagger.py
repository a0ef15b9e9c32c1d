"""Words tagged by a tuned network: each word once, valid sequences, the same after saving."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import FunctionTransformer
from transformers import AutoModelForTokenClassification, AutoTokenizer

from bertvectorizer import BertTagger, BertWordVectorizer, SequenceLabeler
from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.pipeline.fine_tuning import base
from tests.tiny import ModelFactory

# "bank" is a place after "river", an organisation after "money", and nothing after other words.
PHRASES = {
    "the river bank": "O B-PLACE I-PLACE",
    "money bank": "B-ORG I-ORG",
    "old bank": "O O",
    "a bats flew": "O O O",
}
X, Y = [], []
for first, tags in PHRASES.items():
    for second, more in PHRASES.items():
        X.append(f"{first} . {second}".split())
        Y.append(f"{tags} O {more}".split())
NO_TOKEN = "\x00"  # the tokenizer removes it


def make(model: Path, **changes: Any) -> BertTagger:
    settings = {"epochs": 1, "batch_size": 8, "random_state": 0} | changes
    return BertTagger(model, **settings)


def test_a_rule_of_context_is_learned_and_saved(tiny_model: ModelFactory, tmp_path: Path) -> None:
    tagger = make(
        tiny_model("bert"), epochs=30, batch_size=4, trainable_layers=2, dropout=0.0
    ).set_params(learning_rate=3e-3)
    tagger.fit(X, Y)
    assert tagger.score(X, Y) == 1.0
    assert tagger.predict(X) == Y
    assert tagger.predict([["old", "bank"], [], ["river", "bank"]]) == [
        ["O", "O"],
        [],
        ["B-PLACE", "I-PLACE"],
    ]
    report = tagger.classification_report(X, Y, output_dict=True)
    assert report["ORG"]["support"] == 8  # type: ignore[index]
    found = np.concatenate(tagger.predict_proba(X))

    directory = tagger.save_pretrained(tmp_path / "tuned")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    batch = tokenizer(X, is_split_into_words=True, padding=True, return_tensors="pt")
    model = AutoModelForTokenClassification.from_pretrained(directory)
    assert list(model.config.id2label.values()) == tagger.tags_.tolist()
    with torch.no_grad():
        probabilities = model(**batch).logits.softmax(dim=-1).numpy()
    first_tokens = [
        probabilities[row, batch.word_ids(row).index(word)]
        for row, sentence in enumerate(X)
        for word in range(len(sentence))
    ]
    np.testing.assert_allclose(found, np.array(first_tokens), atol=1e-5)

    pickled = pickle.dumps(tagger)
    base._networks.clear()  # so that the network is built from the bytes
    np.testing.assert_array_equal(found, np.concatenate(pickle.loads(pickled).predict_proba(X)))


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Takes its features for probabilities."""

    def fit(self, features: Any, y: Any) -> Given:
        self.classes_ = np.unique(y)
        return self

    def predict(self, features: Any) -> NDArray[Any]:
        raise NotImplementedError

    def predict_proba(self, features: Any) -> NDArray[np.float64]:
        return np.asarray(features, dtype=np.float64)


@pytest.mark.parametrize("decode", ["viterbi", "greedy"])
def test_sequences_are_decoded_as_by_sequence_labeler(
    tiny_model: ModelFactory, decode: Any
) -> None:
    """A network that has learned nothing gives words tags that are not valid together."""
    tagger = make(tiny_model("bert"), decode=decode, coding="IOBES", learning_rate=1e-9).fit(X, Y)
    assert tagger.tags_.tolist() == ["B-ORG", "B-PLACE", "E-ORG", "E-PLACE", "O"]
    assert (tagger.scheme_, tagger.coding_) == ("BIO", "IOBES")
    vectorizer = FunctionTransformer(lambda X: np.concatenate(tagger.predict_proba(X)))
    labeler = SequenceLabeler(
        vectorizer, Given(), context=0, word_shape=False, decode=decode, coding="IOBES"
    ).fit(X, Y)
    found = tagger.predict(X)
    assert found == labeler.predict(X)
    assert tagger.score(X, Y) == labeler.score(X, Y)
    alone = tagger.tags_[np.concatenate(tagger.predict_proba(X)).argmax(axis=1)].tolist()
    assert [tag for tags in found for tag in tags] != [
        tag.replace("E-", "I-").replace("S-", "B-") for tag in alone
    ]


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_long_sentences_lose_no_word(tiny_model: ModelFactory, tmp_path: Path, family: str) -> None:
    """The outputs are a linear function of the vectors of BertWordVectorizer, in windows too."""
    tagger = make(tiny_model(family), trainable_layers=1, max_length=16).fit(X, Y)
    sentences = [X[0] * 12, [], ["", NO_TOKEN], ["unseenwords", NO_TOKEN, "bat"]]
    directory = tagger.save_pretrained(tmp_path / "tuned")
    words = BertWordVectorizer(
        directory, layers=-1, subtoken_pooling="first", prompt="", max_length=16
    )
    head = AutoModelForTokenClassification.from_pretrained(directory).classifier
    with torch.no_grad():
        logits = head(torch.from_numpy(words.transform(sentences))).softmax(dim=-1).numpy()
    n_long = len(sentences[0])
    logits[[n_long, n_long + 1, n_long + 3]] = tagger.tag_shares_  # words without tokens
    tagger.set_params(batch_tokens=20)  # a window at a time
    found = tagger.predict_proba(sentences)
    assert [len(each) for each in found] == [n_long, 0, 2, 3]
    np.testing.assert_allclose(np.concatenate(found), logits, atol=1e-5)
    assert list(map(len, tagger.predict(sentences))) == [n_long, 0, 2, 3]
    assert tagger.truncation_.n_lost == 0
    assert tagger.predict([]) == tagger.predict_proba([]) == []
    assert tagger.predict([[NO_TOKEN], []]) == [["O"], []]


def test_words_without_tokens_are_not_trained_on(tiny_model: ModelFactory) -> None:
    tagger = make(tiny_model("bert"), batch_size=100, dropout=0.0, trainable_layers=1, epochs=3)
    plain = clone(tagger).fit(X, Y)
    filled = clone(tagger).fit(
        [[], *([*words, NO_TOKEN, ""] for words in X), [], [NO_TOKEN]],
        [[], *([*tags, "B-ORG", "O"] for tags in Y), [], ["B-PLACE"]],
    )
    np.testing.assert_allclose(filled.loss_curve_, plain.loss_curve_, rtol=1e-5)
    for one, other in zip(filled.predict_proba(X), plain.predict_proba(X), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    with pytest.raises(InvalidTextError, match=r"at least one word.* of which the tokenizer"):
        tagger.fit([[NO_TOKEN], [""]], [["O"], ["B-ORG"]])


def test_a_weight_of_2_counts_as_the_sentence_twice(tiny_model: ModelFactory) -> None:
    tagger = make(tiny_model("bert"), batch_size=100, dropout=0.0, trainable_layers=1)
    weights = np.arange(len(X)) % 3  # those of weight 0 do not even bring their tags
    rows = np.repeat(np.arange(len(X)), weights)
    tags = [*Y[:-1], ["B-NEW", *Y[-1][1:]]]
    assert weights[-1] == 0
    once = clone(tagger).fit(X, tags, weights)
    twice = clone(tagger).fit([X[row] for row in rows], [Y[row] for row in rows])
    assert once.tags_.tolist() == twice.tags_.tolist()
    np.testing.assert_allclose(
        np.concatenate(once.predict_proba(X)), np.concatenate(twice.predict_proba(X)), atol=1e-5
    )


def test_sentences_of_a_group_are_not_split_for_validation(tiny_model: ModelFactory) -> None:
    tagger = make(tiny_model("bert"), early_stopping=True)
    with pytest.raises(InvalidParameterError, match="groups must be at least two"):
        tagger.fit(X, Y, groups=["one document"] * len(X))


def test_validation_does_not_count_unknown_tags(tiny_model: ModelFactory) -> None:
    tagger = make(tiny_model("bert"), epochs=3, early_stopping=True, n_iter_no_change=3)
    y_val = [["B-NEW", *tags[1:]] for tags in Y]  # which makes B of an I behind it
    y_val = [tags if tags[1] == "I-ORG" else new for tags, new in zip(Y, y_val, strict=True)]
    tagger.fit(X, Y, X_val=X, y_val=y_val)
    known = [
        np.log(row[tagger.tags_.tolist().index(tag)])
        for tags, rows in zip(y_val, tagger.predict_proba(X), strict=True)
        for tag, row in zip(tags, rows, strict=True)
        if tag != "B-NEW"
    ]
    assert np.mean(known) == pytest.approx(max(tagger.validation_scores_), abs=1e-5)
    alone = clone(tagger).fit(X, Y)  # a share of the sentences validates
    assert len(alone.validation_scores_) == alone.n_iter_


@pytest.mark.parametrize(
    ("translate", "scheme", "score"),
    [
        (lambda tag: {"I-ORG": "N", "I-PLACE": "N"}.get(tag, "X"), "plain", "accuracy"),
        (lambda tag: tag.replace("B-", "I-"), "IOB1", "F1"),
        (lambda tag: "O", "BIO", "F1"),
    ],
)
def test_other_schemes_and_a_single_tag(
    tiny_model: ModelFactory, translate: Any, scheme: str, score: str
) -> None:
    tags = [[translate(tag) for tag in own] for own in Y]
    tagger = make(tiny_model("bert"), trainable_layers=1).fit(X, tags)
    assert tagger.scheme_ == scheme
    found = tagger.predict(X)
    assert {tag for own in found for tag in own} <= {tag for own in tags for tag in own}
    if score == "accuracy":
        right = np.concatenate(found) == np.concatenate(tags)
        assert tagger.score(X, tags) == pytest.approx(right.mean())
    if len(tagger.tags_) == 1:
        assert found == tags


def test_a_grid_search_chooses_by_f1(tiny_model: ModelFactory) -> None:
    tagger = make(tiny_model("bert"), trainable_layers=2, batch_size=4, dropout=0.0)
    grid = {"epochs": [20], "learning_rate": [1e-9, 3e-3]}
    folds = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(tagger, grid, cv=folds, error_score="raise").fit(X, Y)
    assert search.best_params_["learning_rate"] == 3e-3
    assert search.score(X, Y) == search.best_estimator_.score(X, Y)
    assert not hasattr(tagger, "transform")  # BertWordVectorizer(directory) gives vectors


def test_what_is_wrong_is_named_and_leaves_the_tagger(tiny_model: ModelFactory) -> None:
    tagger = make(tiny_model("bert"), trainable_layers=0).fit(X, Y)
    before = tagger.tuned_weights_
    short = [*Y[:-1], ["O"]]
    wrong: list[tuple[dict[str, Any], Any, Any, str]] = [
        ({}, X, short, "y must hold one tag for each word. Got 1 tags for the 7"),
        ({}, X, None, "y must hold the tags"),
        ({}, [[], []], [[], []], "at least one word to learn from"),
        ({}, ["the river bank"], [["O"]], "X must hold documents"),
        ({"decode": "crf"}, X, Y, "decode"),
        ({"scheme": "IOB2"}, X, Y, "scheme.*BIO"),
        ({"scheme": "plain", "coding": "BIO"}, X, Y, "coding"),
        ({"trainable_layers": 9}, X, Y, "trainable_layers"),
    ]
    for parameters, sentences, tags, said in wrong:
        tagger.set_params(**{"decode": "viterbi", "scheme": "auto", "coding": None} | parameters)
        with pytest.raises((InvalidParameterError, InvalidTextError), match=said):
            tagger.fit(sentences, tags)
    tagger.set_params(trainable_layers=0, coding=None, scheme="auto")
    with pytest.raises(InvalidParameterError, match="y_val must hold one tag"):
        tagger.fit(X, Y, X_val=X, y_val=short)
    with pytest.raises(InvalidParameterError, match="y_val must mark entities"):
        tagger.fit(X, Y, X_val=[["a"]], y_val=[["NOUN"]])
    assert tagger.tuned_weights_ is before
    assert len(tagger.predict(X)) == len(X)
