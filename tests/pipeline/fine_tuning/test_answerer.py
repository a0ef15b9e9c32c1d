"""Answers found by a tuned network: learned, cut whole, the same after saving."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import transformers as hf
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold

from bertvectorizer import BertAnswerer, load_pipeline, save_pipeline
from bertvectorizer.errors import InvalidParameterError, InvalidTextError, ModelChangedError
from bertvectorizer.models.training.network import TrainableNetwork
from bertvectorizer.pipeline.fine_tuning import base
from tests.pipeline.fine_tuning.questions import ANSWERS, HAS_ANSWER, QUESTIONS
from tests.tiny import ModelFactory

X = QUESTIONS[["question", "context"]]
FERRY = X.context[0]
LONG = "It rained, and nothing happened. " * 20 + FERRY
SOME = X[:8]


def make(model: Path, **changes: Any) -> BertAnswerer:
    settings = {"epochs": 1, "batch_size": 8, "trainable_layers": 1, "random_state": 0} | changes
    return BertAnswerer(model, **settings)


@pytest.fixture(scope="module")
def untrained(default_model_directory: Path) -> BertAnswerer:
    answerer = make(default_model_directory, learning_rate=1e-9, store=None)
    return answerer.fit(X[:3], ANSWERS[:3])


@pytest.fixture(scope="module")
def tuned(default_model_directory: Path) -> BertAnswerer:
    answerer = make(default_model_directory, epochs=14, learning_rate=1e-3, store=None)
    return answerer.fit(X, ANSWERS)


def test_questions_are_learned(tuned: BertAnswerer, untrained: BertAnswerer) -> None:
    before, after = (each.score(X, ANSWERS) for each in (untrained, tuned))
    assert before < 0.5 < 0.8 < after
    assert tuned.exact_match(X, ANSWERS) > 0.8
    labels = pd.Index([f"row {number}" for number in range(len(X))])
    found = tuned.predict(X.set_axis(labels, axis=0))
    assert found.index.equals(labels)
    cut = [c[s:e] for c, s, e in zip(X.context, found.start, found.end, strict=True)]
    assert cut == found.answer.tolist()
    # Case, accents, signs of other scripts and emoji are those of the context.
    assert {"Zoë Krämer", "crème brûlée", "東京", "🇯🇵", "4 May"} <= set(found.answer)
    none = found[found.answer == ""]
    assert len(none) >= 6
    assert (none.start.eq(-1) & none.end.eq(-1)).all()
    assert found.answer.tolist()[-2:] == ["", ""]  # of the empty context
    assert found.probability.between(0, 1).all()
    # What is predicted can be a target, also by its columns.
    assert tuned.score(X, found) == tuned.exact_match(X, found) == 1.0
    weights = np.arange(len(X)) == 0
    assert tuned.score(X, ANSWERS, sample_weight=weights) in (0.0, 1.0)
    assert tuned.truncation_.n_lost == 0
    assert tuned.n_features_in_ == 2
    assert tuned.feature_names_in_.tolist() == ["question", "context"]


def test_an_answer_beyond_the_first_window(tuned: BertAnswerer) -> None:
    rows = [(X.question[0], LONG), (X.question[0], LONG + " " + FERRY)]
    shorter = clone(tuned).set_params(max_length=64)
    shorter.__dict__ |= {key: each for key, each in vars(tuned).items() if key.endswith("_")}
    shorter._form = tuned._form
    found = shorter.predict(rows)
    assert found.answer.tolist() == ["nine in the evening"] * 2
    assert found.start[0] == LONG.index("nine")
    # The same question beside shorter rows.
    np.testing.assert_allclose(
        shorter.predict([*X.to_numpy().tolist(), rows[0]]).probability.iloc[-1],
        found.probability[0],
        rtol=1e-4,
    )


def test_inputs_in_other_forms(tuned: BertAnswerer) -> None:
    expected = tuned.predict(SOME)
    for other in (
        pl.DataFrame(SOME),
        SOME[["context", "question"]].assign(id=1),
        SOME.to_numpy(),
        list(SOME.itertuples(index=False, name=None)),
        (dict(row) for row in SOME.to_dict("records")),
    ):
        pd.testing.assert_frame_equal(tuned.predict(other), expected)
    nothing = tuned.predict([])
    assert (nothing.shape, list(nothing.columns)) == ((0, 4), list(expected.columns))
    with pytest.raises(InvalidTextError, match=r"as in 'fit'|columns that 'fit' saw"):
        tuned.predict(SOME.set_axis(["q", "c"], axis=1))


@pytest.mark.numeric
def test_a_saved_directory_gives_the_same_numbers(tuned: BertAnswerer, tmp_path: Path) -> None:
    part = X[::4]
    found = tuned.predict(part)
    directory = tuned.save_pretrained(tmp_path / "tuned")
    model = hf.AutoModelForQuestionAnswering.from_pretrained(directory).eval()
    assert type(model).__name__ == "BertForQuestionAnswering"
    tokenizer = hf.AutoTokenizer.from_pretrained(directory)
    rows = tuned._read(part)
    tools = tuned._encoder()
    examples = tuned._tokenize(rows, tools)
    scores = tuned._computed(tools, examples)
    for window, (question, context) in enumerate(zip(rows.first, rows.second or [], strict=True)):
        with torch.no_grad():
            outputs = model(**tokenizer([question], [context], return_tensors="pt"))
        expected = torch.stack([outputs.start_logits[0], outputs.end_logits[0]], dim=1)
        start, end = examples.windows.offsets[window : window + 2]
        tolerance = 1e-5 * max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(scores[start:end], expected, rtol=0, atol=tolerance)

    # Its head answers without `fit`, and `fit` goes on from it.
    opened = make(directory, null_threshold=0.0)
    again = opened.predict(part)
    pd.testing.assert_frame_equal(again, found, rtol=1e-4)
    assert opened.score(part, ANSWERS[::4]) == tuned.score(part, ANSWERS[::4])
    with pytest.raises(NotFittedError):
        opened.save_pretrained(tmp_path / "other")
    opened.set_params(learning_rate=1e-9).fit(SOME, ANSWERS[:8])
    pd.testing.assert_frame_equal(opened.predict(part), found, rtol=1e-3)


def test_files_and_copies(tuned: BertAnswerer, tiny_model: ModelFactory, tmp_path: Path) -> None:
    found = tuned.predict(SOME)
    save_pipeline(tuned, tmp_path / "tuned.skops")
    for other in (
        pickle.loads(pickle.dumps(tuned)),
        load_pipeline(tmp_path / "tuned.skops").pipeline,
    ):
        base._networks.clear()  # so that the network is built from the bytes
        pd.testing.assert_frame_equal(other.predict(SOME), found)
    assert repr(clone(tuned)) == repr(tuned)
    with pytest.raises(NotFittedError, match="has no head for answers"):
        make(tiny_model("bert")).predict(SOME)


@pytest.mark.parametrize("family", ["roberta", "gpt2", "xlm-roberta", "albert"])
def test_other_families(tiny_model: ModelFactory, tmp_path: Path, family: str) -> None:
    answerer = make(tiny_model(family), trainable_layers="all").fit(SOME, ANSWERS[:8])
    found = answerer.predict(X)
    cut = [c[s:e] for c, s, e in zip(X.context, found.start, found.end, strict=True)]
    assert cut == found.answer.tolist()
    opened = BertAnswerer(answerer.save_pretrained(tmp_path / "tuned"))
    pd.testing.assert_frame_equal(opened.predict(X), found, rtol=1e-3)
    other = tiny_model("bert" if family != "bert" else "roberta")
    with pytest.raises(ModelChangedError):
        answerer.set_params(model_name=other).predict(X)


def test_an_architecture_without_a_head(tiny_model: ModelFactory, tmp_path: Path) -> None:
    answerer = make(tiny_model("t5")).fit(SOME, ANSWERS[:8])
    directory = answerer.save_pretrained(tmp_path / "tuned")
    assert (directory / "head").is_dir()
    with pytest.raises(NotFittedError, match="has no head for answers"):
        BertAnswerer(directory).predict(SOME)


def test_rows_without_answers(tiny_model: ModelFactory) -> None:
    rows = np.flatnonzero(HAS_ANSWER)
    answered = make(tiny_model("bert")).fit(X.iloc[rows], [ANSWERS[row] for row in rows])
    assert not answered.has_unanswerable_
    assert (answered.predict(X).answer != "")[:-2].all()  # but of the empty context
    assert (answered.set_params(null_threshold=-np.inf).predict(X).answer == "").all()
    nothing = [None] * len(X)
    never = make(tiny_model("bert"), epochs=8, learning_rate=0.01).fit(X, nothing)
    assert never.has_unanswerable_
    assert never.exact_match(X, nothing) > 0.8


def test_weights_groups_and_validation(tiny_model: ModelFactory) -> None:
    model, n = make(tiny_model("bert"), epochs=2), 24
    rows, y = X[:n], ANSWERS[:n]
    weights = (np.arange(n) % 3 > 0).astype(float)
    some = np.flatnonzero(weights)
    found = clone(model).fit(rows, y, sample_weight=5 * weights).predict(X)
    expected = clone(model).fit(rows.iloc[some], [y[row] for row in some]).predict(X)
    pd.testing.assert_frame_equal(found, expected)

    early = clone(model).set_params(early_stopping=True, validation_fraction=0.3, epochs=3)
    own = early._read(rows)
    (learned, _), held = early._split(
        own, early._learn_target(y, own, None), None, None, None, seed=0
    )
    assert held is not None
    assert not set(learned.second or []) & set(held[0].second or [])
    assert len(early.fit(rows, y).validation_scores_) == early.n_iter_
    given = clone(model).fit(rows, y, X_val=X[n:], y_val=ANSWERS[n:])
    assert len(given.validation_scores_) == 2
    one_context = X[:5]
    assert early.fit(one_context, ANSWERS[:5]).n_iter_ > 0


def test_a_grid_search_scores_f1(tiny_model: ModelFactory) -> None:
    search = GridSearchCV(
        make(tiny_model("bert", num_hidden_layers=1)),
        {"max_answer_length": [25, 30]},
        cv=GroupKFold(2),
    )
    search.fit(X, ANSWERS, groups=X.context)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    shortest = search.best_estimator_.set_params(max_answer_length=1)
    assert shortest.predict(X).answer.str.split().str.len().max() <= 1


def test_long_questions_are_warned_of(tiny_model: ModelFactory) -> None:
    rows = [("who flew " * 20, "the bat flew")]
    with pytest.warns(UserWarning, match="1 of 1 questions .* max_question_length=8"):
        make(tiny_model("bert"), max_question_length=8).fit(rows, [("bat", 4)])


def test_answers_that_cannot_be_predicted_are_warned_of(tiny_model: ModelFactory) -> None:
    rows = [("who?", FERRY), ("who?", FERRY), ("who?", "a bat")]
    y = [(FERRY, 0), None, ("bat", 2)]  # the first one is longer than any window
    model = make(tiny_model("bert"), max_length=40)
    with pytest.warns(UserWarning, match="1 of 2 answers cannot be predicted: .* not learned"):
        model.fit(rows, y)
    with pytest.raises(InvalidParameterError, match=r"1 row\(s\) whose answers are all longer"):
        clone(model).fit(rows[:1], y[:1])
    with pytest.warns(UserWarning, match="2 of 2 answers .* max_answer_length=1 tokens"):
        clone(model).set_params(max_answer_length=1).fit(rows, [y[0], ("night ferry", 4), None])
    assert model.has_unanswerable_


WRONG: dict[str, Any] = {
    "model_name": 3,
    "trainable_layers": 4,
    "max_answer_length": 0,
    "null_threshold": "never",
    "max_question_length": 0,
    "epochs": 0,
    "batch_size": 2.5,
    "learning_rate": "fast",
    "head_learning_rate": 0,
    "layer_decay": 1.5,
    "schedule": "cosine",
    "warmup": 1,
    "unfreezing": "all",
    "weight_decay": -1,
    "dropout": 1.0,
    "max_grad_norm": 0,
    "early_stopping": 1,
    "validation_fraction": 1.0,
    "n_iter_no_change": 0,
    "random_state": "seed",
    "max_length": 1,
    "stride": -1,
    "precision": "float8",
    "device": "tpu",
    "batch_tokens": 0,
    "revision": 3,
    "local_files_only": "no",
    "trust_remote_code": None,
    "store": 7,
    "verbose": 2,
}


@pytest.mark.parametrize("name", inspect.signature(BertAnswerer).parameters)
def test_a_wrong_parameter_is_named_before_anything_is_loaded(
    name: str, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(tiny_model("bert")).set_params(**{name: WRONG[name]})
    monkeypatch.setattr(TrainableNetwork, "__init__", None)
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter must be .* Got"):
        model.fit(X, ANSWERS)


@pytest.mark.parametrize(
    ("rows", "y", "error", "message"),
    [
        ([], [], InvalidParameterError, "at least one row"),
        (X, ANSWERS[1:], InvalidParameterError, "Got 39 instead"),
        (X, None, InvalidParameterError, "y is None"),
        (X[["question"]], ANSWERS, InvalidTextError, "columns 'question'"),
        (X.assign(context=5), ANSWERS, InvalidTextError, "Got int 5 in row 0"),
        (X, [("nine", 0), *ANSWERS[1:]], InvalidParameterError, r"context\[0:4\] must be 'nine'"),
    ],
)
def test_wrong_data_is_named(
    rows: Any, y: Any, error: type[Exception], message: str, tiny_model: ModelFactory
) -> None:
    with pytest.raises(error, match=message):
        make(tiny_model("bert")).fit(rows, y)


def test_wrong_validation_data_is_named(tiny_model: ModelFactory) -> None:
    model = make(tiny_model("bert"))
    with pytest.raises(
        InvalidParameterError, match="answer of y_val in row 0 must stand in its context"
    ):
        model.fit(X, ANSWERS, X_val=X[:1], y_val=[("ten", 3)])
    with pytest.raises(InvalidParameterError, match="'y_val' parameter must be given"):
        model.fit(X, ANSWERS, X_val=X[:1])
