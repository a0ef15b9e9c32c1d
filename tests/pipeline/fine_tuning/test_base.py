"""What fine-tuned estimators share: parameters, inputs, the estimator after errors."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from bertvectorizer import BertClassifier
from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.models.training.network import TrainableNetwork
from tests.pipeline.fine_tuning.sentences import LABELS, PAIRS, TEXTS, classifier
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


@pytest.mark.parametrize(
    "parameters",
    [{"overflow": "window"}, {"overflow": "head_tail"}, {"stride": 2}, {"prompt": "the"}],
)
def test_pairs_refuse_what_they_do_not_have(
    parameters: dict[str, Any], tiny_model: ModelFactory
) -> None:
    with pytest.raises(InvalidParameterError, match="for pairs"):
        classifier(tiny_model, **parameters).fit(PAIRS, LABELS)
    with pytest.raises(InvalidParameterError, match=r"'order' .* for single texts"):
        classifier(tiny_model, order="both").fit(TEXTS, LABELS)
