"""What fine-tuned estimators share: parameters, inputs, the estimator after errors."""

from __future__ import annotations

import inspect
import logging
import pickle
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import sklearn
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as hf_logging

from bertvectorizer import BertClassifier, BertVectorizer, EmbeddingStore
from bertvectorizer.errors import (
    InvalidParameterError,
    InvalidTextError,
    ModelChangedError,
    UnsupportedModelError,
)
from bertvectorizer.models import PairTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.network.devices import check_precision
from bertvectorizer.models.training.loop import Training
from bertvectorizer.models.training.network import TrainableNetwork
from bertvectorizer.pipeline.fine_tuning import base
from tests.pipeline.fine_tuning.sentences import LABELS, PAIRS, TEXTS, classifier, full_batch
from tests.tiny import ModelFactory

WRONG: dict[str, Any] = {
    "model_name": 3,
    "trainable_layers": 4,
    "pooling": "none",
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
    "class_weight": "even",
    "early_stopping": 1,
    "validation_fraction": 1.0,
    "n_iter_no_change": 0,
    "random_state": "seed",
    "max_length": 1,
    "overflow": "cut",
    "stride": -1,
    "prompt": 5,
    "missing": "drop",
    "order": "any",
    "precision": "float8",
    "device": "tpu",
    "batch_tokens": 0,
    "revision": 3,
    "local_files_only": "no",
    "trust_remote_code": None,
    "store": 7,
    "verbose": 2,
}


@pytest.mark.parametrize("name", inspect.signature(BertClassifier).parameters)
def test_a_wrong_parameter_is_named_before_anything_is_loaded(
    name: str, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = classifier(tiny_model).set_params(**{name: WRONG[name]})
    monkeypatch.setattr(TrainableNetwork, "__init__", None)
    for X in (TEXTS, PAIRS):
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter must be .* Got"):
            model.fit(X, LABELS)


@pytest.mark.parametrize("value", [True, -1, "4", None, 2.0, float("nan")])
def test_wrong_numbers_of_layers(value: Any, tiny_model: ModelFactory) -> None:
    with pytest.raises(InvalidParameterError, match=r"'all' or an int in the range \[0, 3\]"):
        classifier(tiny_model, trainable_layers=value).fit(TEXTS, LABELS)


@pytest.mark.parametrize("parameters", [{"overflow": "window"}, {"stride": 2}, {"prompt": "the"}])
def test_pairs_refuse_what_they_do_not_have(
    parameters: dict[str, Any], tiny_model: ModelFactory
) -> None:
    with pytest.raises(InvalidParameterError, match="for pairs"):
        classifier(tiny_model, **parameters).fit(PAIRS, LABELS)
    with pytest.raises(InvalidParameterError, match=r"'order' .* for single texts"):
        classifier(tiny_model, order="both").fit(TEXTS, LABELS)
    classifier(tiny_model, trainable_layers=0, epochs=1, prompt="").fit(PAIRS, LABELS)


# --- clones, parameters and files ---


def test_a_clone_takes_another_model(tiny_model: ModelFactory) -> None:
    model = classifier(tiny_model).fit(TEXTS, LABELS)
    chances = model.predict_proba(TEXTS)
    other = clone(model).set_params(model_name=tiny_model("roberta"))
    assert not vars(other).keys() & {"classes_", "tuned_weights_"}
    expected = classifier(tiny_model, "roberta").fit(TEXTS, LABELS).predict_proba(TEXTS)
    assert np.array_equal(other.fit(TEXTS, LABELS).predict_proba(TEXTS), expected)
    model.set_params(trainable_layers="all", pooling="mean", dropout=0.5, learning_rate=1.0)
    assert np.array_equal(model.predict_proba(TEXTS), chances)
    with pytest.raises(ModelChangedError, match="fitted with a model"):
        model.set_params(model_name=tiny_model("roberta")).predict(TEXTS)
    assert repr(clone(model)) == repr(BertClassifier(**model.get_params()))


@pytest.mark.parametrize("layers", ["all", 2, 0])
def test_a_file_holds_what_was_trained(layers: Any, tiny_model: ModelFactory) -> None:
    model = classifier(tiny_model, trainable_layers=layers, epochs=1).fit(TEXTS, LABELS)
    tensors = safetensors.torch.load(model.tuned_weights_)
    names = {name for name in tensors if name.startswith("base.")}
    if layers == "all":
        assert "base.embeddings.word_embeddings.weight" in names
    else:
        kept = {f"base.encoder.layer.{3 - layer}." for layer in range(1, layers + 1)}
        assert {".".join(name.split(".")[:4]) + "." for name in names} == kept
    n_bytes = sum(each.nbytes for each in tensors.values())
    assert len(pickle.dumps(model)) < n_bytes + 6000 + 120 * len(tensors)


def test_training_leaves_the_encoder_of_others_alone(tiny_model: ModelFactory) -> None:
    vectorizer = BertVectorizer(tiny_model("bert"), store=None)
    before = vectorizer.fit_transform(TEXTS)
    tuned = classifier(tiny_model, trainable_layers="all").fit(TEXTS, LABELS).transform(TEXTS)
    assert np.array_equal(vectorizer.transform(TEXTS), before)
    assert np.array_equal(clone(vectorizer).fit_transform(TEXTS), before)
    assert np.abs(tuned - before).max() > 0.01


def test_a_search_computes_the_states_below_once(tiny_model: ModelFactory, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "states.sqlite")
    model = classifier(tiny_model, store=store, epochs=1)
    search = GridSearchCV(model, {"learning_rate": [0.01, 0.02]}, cv=2, error_score="raise")
    search.fit(TEXTS, LABELS).predict(TEXTS)
    assert store.stats.encoded == len(TEXTS)


# --- randomness and the process ---


def test_results_are_those_of_the_random_state(tiny_model: ModelFactory) -> None:
    def chances(state: Any) -> Any:
        model = classifier(tiny_model, random_state=state, early_stopping=True, epochs=2)
        return model.set_params(validation_fraction=0.3).fit(TEXTS, LABELS).predict_proba(TEXTS)

    first = chances(3)
    assert np.array_equal(first, chances(3))
    assert np.array_equal(chances(np.random.RandomState(3)), chances(np.random.RandomState(3)))
    assert not np.array_equal(first, chances(4))
    assert not np.array_equal(chances(None), chances(None))


def test_the_process_stays_as_it_was(tiny_model: ModelFactory) -> None:
    def process() -> Any:
        numbers = np.random.get_state()[1].tolist()  # noqa: NPY002
        loggers = {name: logging.getLogger(name).level for name in ("transformers", "torch")}
        bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
        return (
            *(random.getstate(), numbers, torch.get_rng_state().tolist()),
            *(torch.get_num_threads(), torch.is_grad_enabled(), loggers, *bars),
            *(torch.get_default_dtype(), sklearn.get_config()),
        )

    before = process()
    for state in (0, None):
        model = classifier(tiny_model, trainable_layers="all", random_state=state)
        model.fit(TEXTS, LABELS).predict(TEXTS)
    assert process() == before


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def test_settings_of_the_process_change_nothing(tiny_model: ModelFactory, tmp_path: Path) -> None:
    settings: dict[str, list[Callable[[], Any]]] = {
        "auto": [torch.no_grad, torch.inference_mode],
        "mean": [
            lambda: torch.device("meta"),
            lambda: torch.autocast("cpu", torch.bfloat16),
            lambda: default_type(torch.bfloat16),
        ],
    }
    for pooling, chosen in settings.items():
        model = classifier(tiny_model, epochs=1, pooling=pooling, store=None).fit(TEXTS, LABELS)
        expected = model.predict_proba(TEXTS)
        for setting in chosen:
            base._networks.clear()  # so that the network is built from the bytes
            with setting():
                assert np.array_equal(model.predict_proba(TEXTS), expected)
                assert clone(model).fit(TEXTS, LABELS).tuned_weights_ == model.tuned_weights_
    with default_type(torch.bfloat16):
        directory = model.save_pretrained(tmp_path / "new" / "tuned")
    head = safetensors.torch.load_file(directory / "head" / "model.safetensors")
    assert {each.dtype for each in head.values()} == {torch.float32}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12
def test_a_search_over_processes(tiny_model: ModelFactory) -> None:
    """By fork, which also shows that children with PyTorch's threads do not hang."""
    grid = {"learning_rate": [0.01, 0.02], "trainable_layers": [1, "all"], "epochs": [1]}
    search = GridSearchCV(classifier(tiny_model), grid, cv=2, scoring="neg_log_loss", n_jobs=2)
    one = clone(search).set_params(n_jobs=1).fit(TEXTS, LABELS)
    with joblib.parallel_config("multiprocessing"):
        two = search.fit(TEXTS, LABELS)
    scores = [each.cv_results_["mean_test_score"] for each in (one, two)]
    assert len(set(scores[0])) == 4
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    np.testing.assert_allclose(one.predict_proba(TEXTS), two.predict_proba(TEXTS), atol=1e-6)


def test_fits_in_threads_are_those_without(tiny_model: ModelFactory) -> None:
    models = [classifier(tiny_model, trainable_layers=layers) for layers in ("all", 2, 0)]
    alone = [model.fit(TEXTS, LABELS).predict_proba(TEXTS) for model in models]
    state = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        fitted = pool.map(lambda model: clone(model).fit(TEXTS, LABELS), models)
    for expected, model in zip(alone, fitted, strict=True):
        assert np.array_equal(model.predict_proba(TEXTS), expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_threads_predict_with_one_estimator(tiny_model: ModelFactory) -> None:
    model = classifier(tiny_model).fit(TEXTS, LABELS)
    base._networks.clear()
    parts = [TEXTS[start : start + 3] for start in range(0, 12, 3)] * 8
    expected = [model.predict_proba(part) for part in parts]
    base._networks.clear()
    barrier = threading.Barrier(4)

    def work(part: Any) -> Any:
        barrier.wait()
        return model.predict_proba(part)

    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(work, parts), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-6)


# --- within other estimators ---


def test_within_other_estimators(tiny_model: ModelFactory) -> None:
    frame = pd.DataFrame(
        {"n": range(12), "one": TEXTS, "other": [pair[1] for pair in PAIRS], "y": LABELS}
    )
    for columns, X in (("one", TEXTS), (["one", "other"], PAIRS)):
        alone = classifier(tiny_model).fit(X, LABELS)
        chosen = FunctionTransformer(lambda table, columns=columns: table[columns])
        kept = ColumnTransformer(
            [("text", "passthrough", [columns] if columns == "one" else columns)],
            verbose_feature_names_out=False,
        ).set_output(transform="pandas")
        for step in (chosen, kept):
            pipeline = make_pipeline(step, classifier(tiny_model)).fit(frame, frame.y)
            assert np.array_equal(pipeline.predict_proba(frame), alone.predict_proba(X))
            assert pipeline.score(frame, frame.y) == alone.score(X, LABELS)
    table = ColumnTransformer(
        [("tuned", FrozenEstimator(classifier(tiny_model).fit(TEXTS, LABELS)), "one"),
         ("n", "passthrough", ["n"])]
    ).set_output(transform="pandas").fit_transform(frame)  # fmt: skip
    assert table.columns.tolist() == [*(f"tuned__bertclassifier{i}" for i in range(32)), "n__n"]
    with pytest.raises(InvalidParameterError, match="FrozenEstimator"):
        make_pipeline(classifier(tiny_model), LogisticRegression()).fit(TEXTS, LABELS)
    X = np.array(TEXTS, dtype=object)
    calibrated = CalibratedClassifierCV(classifier(tiny_model), cv=2).fit(X, LABELS)
    words = make_pipeline(CountVectorizer(), LogisticRegression())
    stack = StackingClassifier([("words", words), ("bert", classifier(tiny_model))], cv=2)
    for model in (calibrated, stack.fit(X, LABELS)):
        assert model.predict_proba(X).shape == (12, 2)


def test_metadata_is_routed(tiny_model: ModelFactory) -> None:
    weights = np.array([2.0, 1.0] * 6)
    model = classifier(tiny_model, epochs=1)
    folds = [(np.arange(8), np.arange(8, 12))]
    with sklearn.config_context(enable_metadata_routing=True):
        asked = clone(model).set_fit_request(sample_weight=True, X_val=True, y_val=True)
        asked.set_score_request(sample_weight=False)
        validation = {"X_val": TEXTS[:2], "y_val": LABELS[:2]}
        found = cross_validate(
            *(asked, np.array(TEXTS), np.array(LABELS)),
            cv=folds,
            params={"sample_weight": weights, **validation},
            return_estimator=True,
            error_score="raise",
        )["estimator"][0]
    expected = model.fit(TEXTS[:8], LABELS[:8], weights[:8], **validation)
    assert np.array_equal(found.predict_proba(TEXTS), expected.predict_proba(TEXTS))
    assert found.validation_scores_ == expected.validation_scores_


# --- errors ---


def test_an_interrupt_leaves_the_estimator_as_it_was(
    tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, fresh = classifier(tiny_model).fit(TEXTS, LABELS), classifier(tiny_model)
    before, chances = dict(vars(model)), model.predict_proba(TEXTS)
    step, n_steps = Training._take_step, 0

    def interrupted(run: Any, rows: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        if n_steps % 5 == 0:
            raise KeyboardInterrupt
        return step(run, rows)

    monkeypatch.setattr(Training, "_take_step", interrupted)
    state = torch.get_rng_state()
    for X in (TEXTS, PAIRS):
        for one in (model, fresh):
            with pytest.raises(KeyboardInterrupt):
                one.fit(X, LABELS)
    assert n_steps == 20
    assert vars(model) == before
    assert vars(fresh) == vars(classifier(tiny_model))
    assert np.array_equal(model.predict_proba(TEXTS), chances)
    assert torch.equal(torch.get_rng_state(), state)


def test_wrong_inputs_are_refused(tiny_model: ModelFactory) -> None:
    model = classifier(tiny_model, epochs=1).fit(TEXTS, LABELS)
    wrong: list[tuple[Any, str]] = [
        (np.array([["a"] * 3] * 12), "X must"),
        (pd.DataFrame([["a"] * 3] * 12), "X must"),
        ([("a", "b", "c")] * 12, "row 0"),
        ([*TEXTS[1:], 3], "row 11"),
        ([*PAIRS[1:], ("a", 3)], "row 11"),
        ("a text", "X must"),
        (None, "X must"),
        (np.zeros((12, 2)), "row 0"),
    ]
    for X, message in wrong:
        with pytest.raises(InvalidTextError, match=message):
            model.fit(X, LABELS)
        with pytest.raises(InvalidTextError, match=message):
            model.predict(X)


def test_a_second_fit_forgets_the_first(tiny_model: ModelFactory) -> None:
    frame = pd.DataFrame(PAIRS, columns=["one", "other"])
    model = classifier(tiny_model, early_stopping=True, validation_fraction=0.3)
    model.set_output(transform="pandas").fit(frame, LABELS)
    model.set_params(early_stopping=False).fit(TEXTS, np.array(LABELS) == "money")
    assert not vars(model).keys() & {"feature_names_in_", "validation_scores_"}
    assert np.array_equal(
        model.predict_proba(TEXTS), classifier(tiny_model).fit(TEXTS, LABELS).predict_proba(TEXTS)
    )
    assert isinstance(model.transform(TEXTS), pd.DataFrame)


def test_texts_and_pairs_are_not_confused(tiny_model: ModelFactory) -> None:
    frame = pd.DataFrame(PAIRS, columns=["one", "other"])
    texts, pairs = (classifier(tiny_model, epochs=1).fit(X, LABELS) for X in (TEXTS, frame))
    assert pairs.feature_names_in_.tolist() == ["one", "other"]
    for model, X in ((texts, PAIRS), (pairs, TEXTS), (pairs, frame[["other", "one"]])):
        for method in (model.predict, model.transform, model.predict_proba):
            with pytest.raises(InvalidTextError, match=r"(in|that) 'fit'"):
                method(X)
    with pytest.raises(InvalidParameterError, match="at least one row"):
        texts.fit([], [])
    assert pairs.predict(list(PAIRS)).tolist() == pairs.predict(frame).tolist()


# --- models and settings ---


@pytest.mark.parametrize("family", ["albert", "mpnet", "deberta-v2", "gpt2", "t5"])
def test_models_of_several_families(family: str, tiny_model: ModelFactory) -> None:
    """Some cannot begin above the lower layers, share layers, or have no form of pairs."""
    for X, layers in ((TEXTS, 1), (PAIRS, 1), (PAIRS, "all")):
        model = full_batch(tiny_model, family, epochs=2, trainable_layers=layers)
        if layers == 1 and (family == "albert" or (family == "gpt2" and X is PAIRS)):
            with pytest.raises(UnsupportedModelError, match="Set trainable_layers='all'"):
                model.fit(X, LABELS)
            continue
        model.fit(X, LABELS)
        assert model.loss_curve_[1] != model.loss_curve_[0]
        chances = model.predict_proba(X)
        base._networks.clear()
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_allclose(again.predict_proba(X), chances, atol=1e-6)
        np.testing.assert_allclose(again.predict_proba(X[:1]), chances[:1], atol=1e-5)


def test_both_orders_of_pairs_are_averaged(tiny_model: ModelFactory) -> None:
    turned = [(second, first) for first, second in PAIRS]
    model = classifier(tiny_model, order="both").fit(PAIRS, LABELS)
    outputs = model.decision_function(PAIRS)
    np.testing.assert_allclose(model.decision_function(turned), outputs, atol=1e-5)
    model.set_params(order="given")
    both = [model.decision_function(X) for X in (PAIRS, turned)]
    assert np.abs(both[0] - both[1]).max() > 1e-3
    np.testing.assert_allclose(np.mean(both, axis=0), outputs, atol=1e-5)


def test_tokens_that_are_cut_off_are_counted(tiny_model: ModelFactory) -> None:
    with pytest.warns(UserWarning, match=r"12 of 12 rows .* lose"):
        pairs = classifier(tiny_model, max_length=7, epochs=1).fit(PAIRS, LABELS)
    with pytest.warns(UserWarning, match=r"6 of 12 rows"):
        texts = classifier(tiny_model, max_length=7, epochs=1).fit(TEXTS, LABELS)
    n_tokens, n_lost = texts.truncation_.n_tokens, texts.truncation_.n_lost
    assert pairs.truncation_.n_tokens == 2 * n_tokens
    assert pairs.truncation_.n_lost == 2 * n_tokens - 12 * 4
    windows = classifier(tiny_model, max_length=5, overflow="window").fit(TEXTS, LABELS)
    assert windows.truncation_.n_lost == 0 < n_lost
    outputs = windows.decision_function(TEXTS)
    assert outputs.shape == (12,)
    in_parts = windows.set_params(batch_tokens=5).decision_function(TEXTS)
    np.testing.assert_allclose(in_parts, outputs, atol=1e-5)
    assert not np.allclose(
        windows.set_params(overflow="truncate").decision_function(TEXTS), outputs
    )


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_lower_layers_in_other_precisions(precision: Any, tiny_model: ModelFactory) -> None:
    try:
        check_precision(precision, torch.device("cpu"))
    except UnsupportedModelError as error:
        pytest.skip(str(error))
    exact, rough = (
        classifier(tiny_model, precision=each).fit(TEXTS, LABELS).transform(TEXTS)
        for each in ("float32", precision)
    )
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 3
    assert np.corrcoef(rough.ravel(), exact.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_saved_directory_gives_the_tuned_vectors_with_their_prompt(
    tiny_model: ModelFactory, tmp_path: Path, family: str
) -> None:
    fitted = classifier(tiny_model, family, prompt="the old ").fit(TEXTS, LABELS)
    (tmp_path / "place").mkdir()
    (tmp_path / "tuned").symlink_to(tmp_path / "place")
    directory = fitted.save_pretrained(tmp_path / "tuned")  # an empty directory, through a link
    np.testing.assert_allclose(
        BertVectorizer(directory, store=None).fit_transform(TEXTS),
        fitted.transform(TEXTS),
        atol=1e-5,
    )


def test_a_saved_directory_knows_the_new_tokens_of_pairs(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    """GPT-2's pairs have tokens of their own, and padding another one."""
    fitted = classifier(tiny_model, "gpt2", trainable_layers="all").fit(PAIRS, LABELS)
    directory = fitted.save_pretrained(tmp_path / "tuned")
    checkpoint = open_checkpoint(directory)
    pairs = PairTokenizer(checkpoint, load_tokenizer(checkpoint))
    assert pairs.new_tokens == ()
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    tokenized = pairs(*map(list, zip(*PAIRS, strict=True)))
    for row, expected in enumerate(fitted.predict_proba(PAIRS)):
        ids = torch.from_numpy(tokenized.ids[slice(*tokenized.offsets[row : row + 2])]).long()
        padded = torch.cat([ids, torch.full((3,), model.config.pad_token_id)])[None]
        with torch.no_grad():
            logits = model(padded, attention_mask=torch.arange(len(ids) + 3)[None] < len(ids))
        np.testing.assert_allclose(logits.logits[0].softmax(dim=-1), expected, atol=1e-5)
