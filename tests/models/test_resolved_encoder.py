"""Encoders that another process has resolved: what they tell, and when they are not used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import ModelChangedError
from bertvectorizer.models.encode_texts import TextEncoder
from bertvectorizer.models.resolved_encoder import note_encoder, resolved_encoder
from tests.tiny import ModelFactory, save_sentence_transformer


@pytest.fixture
def encoder(tiny_model: ModelFactory, tmp_path: Any) -> TextEncoder:
    save_sentence_transformer(tiny_model("bert"), tmp_path, normalize=True)
    return BertVectorizer(str(tmp_path), truncate_dim=5, store=None)._encoder(is_fitting=True)


def test_a_note_tells_what_the_encoder_does(encoder: TextEncoder) -> None:
    note_encoder(["its settings"], encoder)
    found = resolved_encoder(["its settings"], lambda: encoder)
    assert found is not None
    for name in ("output", "sizes", "batch_tokens", "key_settings", "fingerprint", "precision"):
        assert getattr(found, name) == getattr(encoder, name), name
    assert found.output.parts == encoder.output.parts
    assert found.device == str(encoder.device)
    assert found.tokenizer is encoder.tokenizer
    assert resolved_encoder(["others"], lambda: encoder) is None


def test_another_environment_is_another_note(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_encoder(["an environment"], encoder)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert resolved_encoder(["an environment"], lambda: encoder) is None


def test_settings_that_workers_do_not_have_are_not_noted(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
        note_encoder(["medium"], encoder)
    assert resolved_encoder(["medium"], lambda: encoder) is None


def test_an_encoder_that_has_become_another_is_refused(encoder: TextEncoder) -> None:
    note_encoder(["changed"], encoder)
    other = replace(encoder, precision="int8")
    found = resolved_encoder(["changed"], lambda: other)
    assert found is not None
    with pytest.raises(ModelChangedError, match="changed while it was being read"):
        found.encode(["a bat"], encoder.output.parts)
