"""Tests of pipeline/language/language_model.py."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertForMaskedLM,
    BertForPreTraining,
)

from bertvectorizer import BertVectorizer, LanguageModel, save_pipeline
from bertvectorizer.errors import (
    InvalidParameterError,
    InvalidTextError,
    StoreError,
    UnsupportedModelError,
)
from tests.tiny import ModelFactory, save_sentence_transformer
from tests.training import TEXTS

DOCUMENTS = [[text, *TEXTS[number : number + 3]] for number, text in enumerate(TEXTS)]


def model_of(directory: Path, **parameters: Any) -> LanguageModel:
    return LanguageModel(
        directory, **{"random_state": 0, "learning_rate": 1e-3, "device": "cpu", **parameters}
    )


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_the_result_is_a_checkpoint(family: str, tiny_model: ModelFactory, tmp_path: Path) -> None:
    """Ours, that of transformers and that of sentence-transformers read the same numbers."""
    base = tiny_model(family, **({"initializer_range": 0.1} if family == "bert" else {}))
    given = save_sentence_transformer(base, tmp_path / "given", dense=5, normalize=True)
    before = {path: path.read_bytes() for path in given.rglob("*") if path.is_file()}
    model = model_of(given, epochs=2).fit(pd.Series(TEXTS))
    assert {path: path.read_bytes() for path in given.rglob("*") if path.is_file()} == before
    assert model.objective_ == ("masked" if family == "bert" else "causal")
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert model.loss_curve_[1] < model.loss_curve_[0]

    saved = model.save_pretrained(tmp_path / "saved")
    vectors = model.vectorizer().fit_transform(TEXTS)
    np.testing.assert_array_equal(vectors, BertVectorizer(saved).fit_transform(TEXTS))
    np.testing.assert_allclose(
        vectors, SentenceTransformer(str(saved), device="cpu").encode(TEXTS), atol=1e-5
    )
    assert np.abs(vectors - BertVectorizer(given).fit_transform(TEXTS)).max() > 1e-3
    kind = AutoModelForMaskedLM if family == "bert" else AutoModelForCausalLM
    _, info = kind.from_pretrained(saved, output_loading_info=True)
    assert not info["missing_keys"]
    tokens = [AutoTokenizer.from_pretrained(path)(TEXTS)["input_ids"] for path in (saved, given)]
    assert tokens[0] == tokens[1]
    with pytest.raises(InvalidParameterError, match=r"'directory'.*new or empty"):
        model.save_pretrained(saved)

    with pytest.raises(InvalidParameterError, match=r"save_pretrained\(directory\)"):
        save_pipeline(model, tmp_path / "model.skops")

    again = pickle.loads(pickle.dumps(model))
    again.set_params(model_name="gone", objective="masked+next_sentence")  # for another fit
    score = again.score(TEXTS)
    assert score == model.score(TEXTS)
    np.testing.assert_array_equal(again.vectorizer().fit_transform(TEXTS), vectors)
    (model._own_directory() / "config.json").unlink()  # as systems remove old temporary files
    assert model.score(TEXTS) == score
    repeated = clone(model).fit(iter(TEXTS))  # read once
    assert repeated.loss_curve_ == model.loss_curve_
    assert repeated.checkpoint_files_ == model.checkpoint_files_


def test_next_sentences_are_learned_beside_masked_words(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    model = model_of(tiny_model("bert"), objective="masked+next_sentence", max_length=24)
    model.fit(DOCUMENTS)
    saved = model.save_pretrained(tmp_path / "saved")
    _, info = BertForPreTraining.from_pretrained(saved, output_loading_info=True)
    assert not info["missing_keys"]
    assert BertVectorizer(saved).fit_transform(TEXTS).shape == (len(TEXTS), 32)


def test_held_out_texts_decide_when_to_stop(tiny_model: ModelFactory) -> None:
    directory = tiny_model("bert", initializer_range=0.1)
    model = model_of(directory, early_stopping=True, epochs=6, learning_rate=1e-2)
    model.fit(TEXTS * 3)
    assert len(model.validation_scores_) == model.n_iter_ <= 6
    own = model_of(directory, epochs=2).fit(TEXTS, X_val=TEXTS[:4])
    assert len(own.validation_scores_) == 2  # under the same masks
    assert own.validation_scores_[1] > own.validation_scores_[0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"objective": "mask"}, "'objective'"),
        ({"epochs": 0}, "'epochs'"),
        ({"mask_probability": 1.0}, "'mask_probability'"),
        ({"whole_word_mask": "yes"}, "'whole_word_mask'"),
        ({"trainable_layers": 9}, "'trainable_layers'"),
        ({"tokenizer": "somewhere"}, "'tokenizer'"),
        ({"max_length": 1}, "'max_length'"),
        ({"schedule": "cosine"}, "'schedule'"),
        ({"missing": "zero"}, "'missing'"),
        ({"architecture": "bert-tiny"}, "'model_name'"),
        ({"dropout": 1}, "'dropout'"),
        ({"verbose": 1}, "'verbose'"),
    ],
)
def test_parameters_that_break_their_rule(
    parameters: dict[str, Any], message: str, tiny_model: ModelFactory
) -> None:
    model = model_of(tiny_model("bert"), **parameters)
    state = dict(vars(model))
    with pytest.raises(InvalidParameterError, match=message):
        model.fit(unread())
    assert vars(model) == state


def unread() -> Iterator[str]:
    raise AssertionError("the texts are read before the rest is known to be right")
    yield ""


def test_a_model_without_a_mask_is_refused_before_texts_are_read(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    directory = shutil.copytree(tiny_model("bert"), tmp_path / "copy")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(directory)
    with pytest.raises(UnsupportedModelError, match="no token for a mask"):
        model_of(directory).fit(unread())


def test_a_full_disk_is_told_before_and_after_training(
    tiny_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(tiny_model("bert"))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=99))
        with pytest.raises(StoreError, match=r"must have room.*There are 99 free.*TMPDIR"):
            model.fit(unread())
    with monkeypatch.context() as patch:
        full = SafetensorError("I/O error: No space left on device (os error 28)")
        patch.setattr(BertForMaskedLM, "save_pretrained", Mock(side_effect=full))
        with pytest.raises(StoreError, match=r"cannot be written: .*No space left.*TMPDIR"):
            model.fit(TEXTS)
    assert not hasattr(model, "checkpoint_files_")
    model.fit(TEXTS)
    monkeypatch.setattr(Path, "write_bytes", Mock(side_effect=OSError(28, "No space left")))
    for write in (lambda: model.save_pretrained(tmp_path / "a"), model.vectorizer):
        with pytest.raises(StoreError, match=r"cannot be written: .*No space left"):
            write()
    assert not list(tmp_path.iterdir())


def test_texts_that_cannot_be_learned_from(tiny_model: ModelFactory) -> None:
    directory = tiny_model("bert")
    for nothing in ([], ["", " "], [None]):
        with pytest.raises(InvalidTextError, match="X must have a text"):
            model_of(directory).fit(nothing)
    # One word of which nothing is masked, and words that are all unknown.
    for few in (["bat"], ["\u4e2d" * 50] * 50):
        with pytest.raises(InvalidTextError, match="In epoch 1, X must have tokens that are pred"):
            model_of(directory, epochs=2).fit(few)
    with pytest.raises(InvalidTextError, match="The held-out texts must have tokens"):
        model_of(directory).fit(TEXTS, X_val=["bat"])
    with pytest.raises(InvalidTextError, match=r"Of 'X_val', as X: .* in row 1"):
        model_of(directory).fit(TEXTS, X_val=["bat", 3])
    with pytest.raises(UnsupportedModelError, match="objective='causal'"):
        model_of(directory, objective="causal").fit(TEXTS)
    with pytest.raises(InvalidParameterError, match="'validation_fraction'"):
        model_of(directory, early_stopping=True).fit(TEXTS[:1])
    with pytest.raises(InvalidParameterError, match=r"'validation_fraction'.* 2 of 10"):
        model_of(directory, early_stopping=True, objective="masked+next_sentence").fit(
            DOCUMENTS[:10]
        )
    with pytest.raises(NotFittedError):
        model_of(directory).save_pretrained("anywhere")


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("bert", {"trainable_layers": 1, "layer_decay": 0.5}),
        ("gpt2", {"unfreezing": "gradual"}),  # whose head has no weights of its own
    ],
)
def test_upper_layers_alone_train(
    family: str, parameters: dict[str, Any], tiny_model: ModelFactory
) -> None:
    directory = tiny_model(family, initializer_range=0.1)
    model = model_of(directory, **parameters).fit(TEXTS)
    for layer, same in {1: True, 2: True, 3: False}.items():
        vectors = model.vectorizer(layers=layer).fit_transform(TEXTS)
        before = BertVectorizer(directory, layers=layer).fit_transform(TEXTS)
        assert np.allclose(vectors, before, atol=1e-6) is same
    assert torch.is_grad_enabled()


def test_a_head_without_weights_of_its_own_cannot_train_alone(tiny_model: ModelFactory) -> None:
    with pytest.raises(UnsupportedModelError, match=r"head of GPT2Model .*'trainable_layers'"):
        model_of(tiny_model("gpt2"), trainable_layers=0).fit(TEXTS)


def test_a_lost_space_of_sentence_vectors_is_told(tiny_model: ModelFactory, tmp_path: Path) -> None:
    """Of a checkpoint with sentence vectors alone, and only where training changed them much."""
    base = tiny_model("bert", initializer_range=0.1)
    given = save_sentence_transformer(base, tmp_path / "given")
    assert model_of(given).fit(TEXTS).similarity_agreement_ > 0.95  # no warning, which is an error
    hard = {"learning_rate": 6e-2, "epochs": 5}
    model = model_of(given, **hard)
    with pytest.warns(UserWarning, match=r"last layer.* is 0\.\d\d, below .*layers=-2") as caught:
        model.fit(TEXTS)
    assert caught[0].filename == __file__
    assert model.similarity_agreement_ < 0.6
    for other in (model_of(base, **hard), model_of(given, **hard)):
        other.fit(TEXTS if other.model_name == base else TEXTS[:4])
        assert not hasattr(other, "similarity_agreement_")
