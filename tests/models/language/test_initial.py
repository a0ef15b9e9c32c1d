"""Networks with random weights as directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import (
    InvalidParameterError,
    ModelIntegrityError,
    ModelNotFoundError,
    OutOfMemoryError,
    UnsafeModelError,
)
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.language.initial import read_tokenizer, write_initial_model
from bertvectorizer.models.language.wordpiece import learn_wordpiece

SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
TEXTS = ["the bat hit a ball", "a bat", ""]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return learn_wordpiece(TEXTS)


def written(directory: Path, *arguments: Any, **settings: Any) -> dict[str, bytes]:
    write_initial_model(directory, *arguments, **settings)
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_seed_decides(tokenizer: Any, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    first = written(tmp_path / "a", SMALL, tokenizer, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(1)
    assert written(tmp_path / "b", SMALL, tokenizer, seed=1) == first
    other = written(tmp_path / "c", SMALL, tokenizer, seed=2)
    assert [name for name in first if first[name] != other[name]] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("architecture", "objective", "auto_class"),
    [
        ("tiny", "masked", transformers.AutoModelForMaskedLM),
        (SMALL, "masked+next_sentence", transformers.AutoModelForPreTraining),
        (SMALL | {"model_type": "gpt2"}, "causal", transformers.AutoModelForCausalLM),
        (SMALL | {"model_type": "roberta"}, "auto", transformers.AutoModelForMaskedLM),
    ],
)
def test_all_open_it(
    architecture: Any, objective: str, auto_class: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_initial_model(tmp_path, architecture, tokenizer, objective=objective, max_length=60)
    network, info = auto_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert open_checkpoint(str(tmp_path)).n_positions == 60
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert opened.model_max_length == 60
    assert opened.get_vocab() == tokenizer.get_vocab()
    assert tokenizer.model_max_length > 60  # that of the caller
    found = BertVectorizer(str(tmp_path), pooling="lasttoken", store=None).fit_transform(TEXTS)
    base = getattr(network.eval(), network.base_model_prefix)
    for text, vector in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            states = base(**opened(text, return_tensors="pt")).last_hidden_state
        np.testing.assert_allclose(vector, states[0, -1].numpy(), atol=1e-5)


@pytest.mark.parametrize("name", [5, "", " ", b"a", None])
def test_what_names_no_tokenizer(name: Any) -> None:
    with pytest.raises(InvalidParameterError, match="'tokenizer' parameter must be the path"):
        read_tokenizer(name)


def test_errors(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidParameterError, match="'architecture' parameter must be one of"):
        write_initial_model(tmp_path, "huge", tokenizer)

    def build(config: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(transformers, "BertForMaskedLM", build)
    with pytest.raises(OutOfMemoryError, match=r"no memory for a network of .*hidden_size"):
        write_initial_model(tmp_path, SMALL, tokenizer)
    assert not list(tmp_path.iterdir())


def test_tokenizers_are_read_with_and_without_a_network(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path / "alone")
    write_initial_model(tmp_path / "model", SMALL, tokenizer)
    for name in ("alone", "model"):
        assert read_tokenizer(tmp_path / name).get_vocab() == tokenizer.get_vocab()
    code = '{"auto_map": {"AutoTokenizer": ["x--y.Z", null]}, "tokenizer_class": "Z"}'
    (tmp_path / "alone" / "tokenizer_config.json").write_text(code)
    with pytest.raises(UnsafeModelError, match="names code of the model's own"):
        read_tokenizer(tmp_path / "alone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelIntegrityError, match="Give a directory that train_wordpiece"):
        read_tokenizer(tmp_path / "empty")
    with pytest.raises(ModelNotFoundError):
        read_tokenizer(tmp_path / "nowhere")
