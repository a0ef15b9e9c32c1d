from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import get_scorer
from sklearn.neighbors import KNeighborsClassifier

from bertvectorizer import BertVectorizer, StaticVectorizer
from bertvectorizer.pipeline.comparison import cross_validation as module
from bertvectorizer.pipeline.comparison.cross_validation import CrossValidation, _CachedPredictions
from bertvectorizer.pipeline.comparison.folds import Folds, make_folds
from bertvectorizer.pipeline.comparison.metrics import resolve_scoring
from bertvectorizer.pipeline.comparison.outcome import Outcome
from bertvectorizer.pipeline.comparison.statistics import resample_rows
from bertvectorizer.pipeline.comparison.target import read_target
from tests.tiny import ModelFactory

pytestmark = pytest.mark.numeric

TEXTS = np.array(
    [f"{word} number {number}" for number in range(10) for word in ("ham", "spam", "eggs")],
    dtype=object,
)
LABELS = np.array([0, 1, 1] * 10)
TARGET = read_target(LABELS, 30)[0]
CURVE = [[(np.arange(6), np.arange(20, 30))] * 3]


class Spy(TransformerMixin, BaseEstimator):
    """Counts letters, and keeps what it saw: texts to learn from, texts to transform, labels."""

    learned: ClassVar[list[list[str]]] = []
    labels: ClassVar[list[list[Any]]] = []
    transformed: ClassVar[list[list[str]]] = []

    def fit(self, X: Any, y: Any = None) -> Spy:
        Spy.learned.append(list(X))
        Spy.labels.append(list(y))
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        Spy.transformed.append(list(X))
        return np.array([[len(text), text.count("a")] for text in X], dtype=float)


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "resample_rows", partial(resample_rows, n_resamples=99))


@pytest.fixture(autouse=True)
def new_spy() -> None:
    for seen in (Spy.learned, Spy.labels, Spy.transformed):
        seen.clear()


def make_cross_validation(**changes: Any) -> CrossValidation:
    parts: dict[str, Any] = {
        "texts": TEXTS,
        "target": TARGET,
        "n_rows": 30,
        "folds": make_folds(3, TARGET, None, 0),
        "metrics": resolve_scoring("accuracy", "binary"),
        "estimator": LogisticRegression(),
        "curve": [],
        "n_jobs": None,
        "store": None,
        "random_state": 0,
        **changes,
    }
    return CrossValidation(**parts)


def run(transformer: Any, **changes: Any) -> Outcome:
    return make_cross_validation(**changes).run("it", transformer, lambda *_news: None)[0]


def test_features_learn_from_the_training_rows_only() -> None:
    spy = Spy()
    folds = make_folds("2x3", TARGET, None, 0)
    run(spy, folds=folds)
    assert Spy.learned == [TEXTS[train].tolist() for train, _ in folds.splits]
    assert Spy.labels == [LABELS[train].tolist() for train, _ in folds.splits]
    for number, (train, test) in enumerate(folds.splits):
        assert Spy.transformed[2 * number : 2 * number + 2] == [
            TEXTS[train].tolist(),
            TEXTS[test].tolist(),
        ]
    assert not hasattr(spy, "fitted_")


def test_held_back_rows_are_judged_once_after_learning_from_all_others() -> None:
    outcome = run(
        Spy(),
        n_rows=24,
        folds=make_folds(3, read_target(LABELS[:24], 24)[0], None, 0),
        curve=CURVE[:1],
    )
    assert len(Spy.learned) == 3 + 1 + 3
    assert Spy.learned[3] == TEXTS[:24].tolist()
    assert sum(text in seen for text in TEXTS[24:] for seen in Spy.learned) == 0
    assert outcome.test_scores.keys() == {"accuracy"}
    assert outcome.test_resampled is not None
    assert outcome.test_resampled.shape == (99,)
    assert outcome.test_resampled.mean() == pytest.approx(outcome.test_scores["accuracy"], abs=0.1)
    assert outcome.predictions.shape == (24,)
    assert outcome.resampled is None


def test_scores_and_predictions_are_those_of_each_fold() -> None:
    folds = make_folds("2x3", TARGET, None, 0)
    outcome = run(CountVectorizer(), folds=folds)
    assert outcome.scores["accuracy"].shape == (6,)
    assert outcome.repeats is not None
    assert outcome.values is None  # accuracy reads predictions
    for number, (train, test) in enumerate(folds.splits):
        words = CountVectorizer()
        model = LogisticRegression().fit(words.fit_transform(TEXTS[train]), LABELS[train])
        predicted = model.predict(words.transform(TEXTS[test]))
        assert outcome.scores["accuracy"][number] == (predicted == LABELS[test]).mean()
        assert outcome.repeats[number // 3, test].tolist() == predicted.tolist()
        if number < 3:
            assert outcome.predictions[test].tolist() == predicted.tolist()
    assert {type(value) for value in outcome.predictions} == {int}


@pytest.mark.parametrize(
    ("scoring", "method"), [("roc_auc", "decision_function"), ("neg_brier_score", "predict_proba")]
)
def test_what_the_first_metric_reads_is_kept_of_all_repeats(scoring: str, method: str) -> None:
    folds = make_folds("2x3", TARGET, None, 0)
    values = run(Spy(), folds=folds, metrics=resolve_scoring(scoring, "binary")).values
    assert values is not None
    assert values.shape == (2, 30, 1)
    for number, (train, test) in enumerate(folds.splits):
        model = LogisticRegression().fit(Spy().transform(TEXTS[train]), LABELS[train])
        theirs = np.asarray(getattr(model, method)(Spy().transform(TEXTS[test])))
        theirs = theirs if theirs.ndim == 1 else theirs[:, 1]
        np.testing.assert_allclose(values[number // 3, test, 0], theirs, rtol=1e-5)
    three = read_target([*LABELS[:-9], *["third"] * 9], 30)[0]
    values = run(Spy(), target=three, metrics=resolve_scoring("roc_auc_ovr", "multiclass")).values
    assert values is not None
    np.testing.assert_allclose(values.sum(axis=2), 1, rtol=1e-5)


def test_rows_never_judged_have_no_prediction() -> None:
    folds = Folds([(np.arange(20), np.arange(20, 30))], 1, "")
    outcome = run(CountVectorizer(), folds=folds)
    assert outcome.predictions[:20].tolist() == [None] * 20
    assert None not in outcome.predictions[20:].tolist()
    assert outcome.resampled is not None
    assert outcome.resampled.shape == (99,)


def test_members_meet_the_same_bootstrap_samples() -> None:
    folds = Folds([(np.arange(20), np.arange(20, 30))], 1, "")
    noise = read_target(np.random.RandomState(0).randint(2, size=30), 30)[0]
    one, other, another = (
        run(Spy(), target=noise, folds=folds, random_state=seed).resampled for seed in (3, 3, 4)
    )
    assert one is not None
    assert len(set(one)) > 1
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, another)


def test_the_learning_curve_has_a_row_for_each_size() -> None:
    folds = make_folds(3, TARGET, None, 0)
    curve = [[(train[:size], test) for train, test in folds.splits] for size in (8, 20)]
    outcome = run(CountVectorizer(), folds=folds, curve=curve)
    assert outcome.curve is not None
    assert outcome.curve.shape == (2, 3)
    np.testing.assert_array_equal(outcome.curve[1], outcome.scores["accuracy"])


def test_too_few_rows_for_a_transformer_cost_one_point_of_the_curve() -> None:
    folds = make_folds(3, TARGET, None, 0)
    curve = [[(train[:size], test) for train, test in folds.splits] for size in (3, 20)]
    outcome = run(CountVectorizer(min_df=4), folds=folds, curve=curve)
    assert outcome.curve is not None
    assert np.isnan(outcome.curve[0]).all()
    np.testing.assert_array_equal(outcome.curve[1], outcome.scores["accuracy"])


@pytest.mark.parametrize("at_once", [1, 7, 1024])
def test_features_that_learn_nothing_are_computed_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    whole = HashingVectorizer.transform

    def count(self: Any, X: Any) -> Any:
        calls.append(len(X))
        return whole(self, X)

    monkeypatch.setattr(HashingVectorizer, "transform", count)
    monkeypatch.setattr(module, "_CHUNK_TEXTS", at_once)
    news: list[tuple[str, int, int]] = []
    texts = np.concatenate([TEXTS, TEXTS])
    target = read_target(np.tile(LABELS, 2), 60)[0]
    folds = make_folds(3, target, None, 0)
    hashes = HashingVectorizer(n_features=32)
    cross_validation = make_cross_validation(texts=texts, target=target, n_rows=60, folds=folds)
    outcome, _ = cross_validation.run("it", hashes, lambda *call: news.append(call))
    of_texts = [call for call in news if call[0] == "texts"]
    assert sum(calls) == 30 + 1 + 30  # all, one that loads the model, those that are timed
    assert of_texts[0] == ("texts", 0, 60)
    assert of_texts[-1] == ("texts", 60, 60)
    assert [done for _, done, _ in of_texts] == sorted({done for _, done, _ in of_texts})
    assert news[len(of_texts) :] == [("folds", done, 3) for done in range(4)]
    monkeypatch.undo()
    for number, (train, test) in enumerate(folds.splits):
        model = LogisticRegression().fit(hashes.transform(texts[train]), target.values[train])
        assert outcome.scores["accuracy"][number] == model.score(
            hashes.transform(texts[test]), target.values[test]
        )
    assert outcome.cost.dimensions == 32
    features = hashes.transform(texts)
    assert (
        outcome.cost.kept_bytes
        == features.data.nbytes + features.indices.nbytes + features.indptr.nbytes
    )


def test_costs(tiny_model: ModelFactory) -> None:
    majority = run(None).cost
    assert (majority.dimensions, majority.kept_bytes) == (0, 0)
    assert math.isnan(majority.encode_seconds)
    assert math.isnan(majority.oov_rate)
    bert = run(BertVectorizer(str(tiny_model("bert")), max_length=4))
    assert bert.is_contextual
    assert bert.cost.dimensions == 32
    assert bert.cost.kept_bytes == 30 * 32 * 4
    assert bert.cost.truncation_rate == 1
    assert math.isnan(bert.cost.oov_rate)
    for seconds in (
        bert.cost.encode_seconds,
        bert.cost.fit_seconds,
        bert.cost.predict_seconds,
        majority.fit_seconds,
    ):
        assert seconds > 0
    assert bert.cost.peak_mib > 1


def test_words_without_a_vector_are_counted() -> None:
    static = StaticVectorizer(pd.DataFrame(np.eye(2, dtype=np.float32), index=["ham", "number"]))
    texts = np.array(["ham number", "ham eggs"] * 15, dtype=object)
    target = read_target([0, 1] * 15, 30)[0]
    outcome = run(static, texts=texts, target=target, folds=make_folds(3, target, None, 0))
    assert outcome.cost.oov_rate == pytest.approx(0.25)
    assert not outcome.is_contextual


def test_warnings_are_kept_once_and_shown_to_nobody(tiny_model: ModelFactory) -> None:
    texts = np.array(
        [f"the old bat number {number} of the river" for number in range(60)], dtype=object
    )
    target = read_target([0, 1] * 30, 60)[0]
    cross_validation = make_cross_validation(
        texts=texts, target=target, n_rows=60, folds=make_folds(2, target, None, 0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, messages = cross_validation.run(
            "it", BertVectorizer(str(tiny_model("bert")), max_length=4), lambda *_news: None
        )
    assert len(messages) == 1
    assert "60 of 60 texts are longer" in messages[0]


class TestAnswers:
    X = np.random.RandomState(0).normal(size=(40, 3))
    y = np.where(X[:, 0] > 0.3, "spam", "ham")
    rows = np.array([3, 3, 5, 0, 17, 22, 39])

    @pytest.mark.parametrize(
        "scorer",
        [
            "accuracy",
            "f1_macro",
            "roc_auc",
            "neg_log_loss",
            "average_precision",
            "balanced_accuracy",
        ],
    )
    def test_scorers_find_in_them_what_they_find_in_the_estimator(self, scorer: str) -> None:
        y = (self.y == "spam").astype(int) if scorer == "average_precision" else self.y
        model = LogisticRegression().fit(self.X, y)
        score = get_scorer(scorer)
        answers = _CachedPredictions(model, sparse.csr_matrix(self.X))
        assert score(answers, self.rows, y[self.rows]) == score(
            model, self.X[self.rows], y[self.rows]
        )

    def test_what_the_estimator_cannot_they_cannot(self) -> None:
        answers = _CachedPredictions(RidgeClassifier().fit(self.X, self.y), self.X)
        assert not hasattr(answers, "predict_proba")
        assert hasattr(answers, "decision_function")
        np.testing.assert_array_equal(answers.classes_, ["ham", "spam"])

    def test_the_estimator_is_asked_once(self) -> None:
        class Counted(LogisticRegression):
            times = 0

            def predict(self, X: Any) -> Any:
                Counted.times += 1
                return super().predict(X)

        answers = _CachedPredictions(Counted().fit(self.X, self.y), self.X)
        for _ in range(5):
            get_scorer("accuracy")(answers, self.rows, self.y[self.rows])
        assert Counted.times == 1

    def test_probabilities_of_several_labels_a_row(self) -> None:
        several = np.column_stack([self.X[:, 0] > 0, self.X[:, 1] > 0]).astype(int)
        model = KNeighborsClassifier(3).fit(self.X, several)
        score = get_scorer("roc_auc")
        assert score(_CachedPredictions(model, self.X), self.rows, several[self.rows]) == score(
            model, self.X[self.rows], several[self.rows]
        )

    def test_a_scorer_of_the_users_that_asks_for_the_score(self) -> None:
        model = LogisticRegression().fit(self.X, self.y)
        answers: Any = _CachedPredictions(model, self.X)
        assert answers.score(self.rows, self.y[self.rows]) == model.score(
            self.X[self.rows], self.y[self.rows]
        )
