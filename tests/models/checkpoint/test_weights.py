"""Tests of models/checkpoint/weights.py."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertForMaskedLM
from transformers.integrations import hub_kernels
from transformers.utils import logging

from bertvectorizer.errors import ModelChangedError, ModelIntegrityError, UnsupportedModelError
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.checkpoint.weights import load_model, quiet_transformers
from tests.tiny import (
    FAMILIES,
    MORE_FAMILIES,
    SIZE,
    ModelFactory,
    save_model,
    save_sentence_transformer,
    save_tokenizer,
)


def assert_equal_to_the_library_s(directory: Path) -> None:
    own = load_model(open_checkpoint(directory))
    theirs = AutoModel.from_pretrained(directory).eval()
    if theirs.config.is_encoder_decoder:
        theirs = theirs.get_encoder()
    ids = torch.tensor([[5, 9, 30, 31, 7]])
    with torch.inference_mode():
        expected = theirs(input_ids=ids).last_hidden_state
        assert torch.equal(own(input_ids=ids).last_hidden_state, expected)


@pytest.mark.parametrize("family", [*FAMILIES, *MORE_FAMILIES])
def test_a_model_is_the_library_s(tiny_model: ModelFactory, family: str) -> None:
    assert_equal_to_the_library_s(tiny_model(family))


_SIZES = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
_BART = {
    "d_model": 32,
    **dict.fromkeys(["encoder_layers", "decoder_layers"], 3),
    **dict.fromkeys(["encoder_attention_heads", "decoder_attention_heads"], 4),
    **dict.fromkeys(["encoder_ffn_dim", "decoder_ffn_dim"], 64),
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "init_std": 0.3,
}
_PROPHET = {
    "hidden_size": 32,
    **dict.fromkeys(["num_encoder_layers", "num_decoder_layers"], 3),
    **dict.fromkeys(["num_encoder_attention_heads", "num_decoder_attention_heads"], 4),
    **dict.fromkeys(["encoder_ffn_dim", "decoder_ffn_dim"], 64),
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
_GEMMA = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def save_encoder(kind: str, directory: Path) -> None:
    """Save a seeded model of a class of transformers with an encoder, and a tokenizer."""
    name = kind.removesuffix("EncoderModel").removesuffix("Encoder").removesuffix("Model")
    config_class = getattr(transformers, f"{name}Config")
    if name == "T5Gemma":
        config = config_class(encoder=_GEMMA, decoder=_GEMMA, is_encoder_decoder=False)
    else:
        sizes = _SIZES if "T5" in name or "Switch" in name else _BART
        config = config_class(vocab_size=SIZE, **_PROPHET if name == "ProphetNet" else sizes)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        class_of(kind, name)(config).eval().save_pretrained(directory)
    save_tokenizer(directory)


def class_of(kind: str, name: str) -> Any:
    return getattr(sys.modules[getattr(transformers, f"{name}PreTrainedModel").__module__], kind)


class TestEncoderAlone:
    """Encoders whose decoder is not stored, as sentence-transformers saves T5 and Pegasus."""

    @pytest.mark.parametrize(
        "kind",
        [
            *(f"{name}EncoderModel" for name in ("T5", "MT5", "UMT5", "LongT5", "T5Gemma")),
            *("SwitchTransformersEncoderModel", "PegasusEncoder", "M2M100Encoder"),
            "ProphetNetEncoder",
        ],
    )
    def test_it_is_read_by_the_class_that_wrote_it(self, tmp_path: Path, kind: str) -> None:
        save_encoder(kind, tmp_path)
        own = load_model(open_checkpoint(tmp_path))
        assert type(own).__name__ == kind
        theirs = type(own).from_pretrained(tmp_path).eval()
        ids = torch.tensor([[5, 9, 30, 31, 7]])
        with torch.inference_mode():
            expected = theirs(input_ids=ids).last_hidden_state
            assert torch.equal(own(input_ids=ids).last_hidden_state, expected)

    @pytest.mark.parametrize("kind", ["T5Model", "BartModel", "PegasusModel"])
    def test_of_a_whole_model_the_encoder_is_read(self, tmp_path: Path, kind: str) -> None:
        save_encoder(kind, tmp_path)
        assert_equal_to_the_library_s(tmp_path)

    def test_where_sentence_transformers_pools_the_decoder_the_model_is_refused(
        self, tmp_path: Path
    ) -> None:
        save_encoder("BartModel", tmp_path / "bart")
        save_sentence_transformer(tmp_path / "bart", tmp_path / "saved")
        with pytest.raises(UnsupportedModelError, match="may pool the decoder"):
            load_model(open_checkpoint(tmp_path / "saved"))
        # What the message advises
        (tmp_path / "saved" / "modules.json").unlink()
        assert_equal_to_the_library_s(tmp_path / "saved")


class TestWeights:
    @pytest.fixture
    def model(self, tiny_model: ModelFactory, tmp_path: Path) -> Path:
        return Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))

    def rewrite(self, model: Path, **tensors: torch.Tensor | None) -> None:
        path = model / "model.safetensors"
        weights = load_file(path) | tensors
        save_file(
            {name: tensor for name, tensor in weights.items() if tensor is not None},
            path,
            metadata={"format": "pt"},
        )

    @pytest.mark.parametrize("kept", [0.9, 0.5, 0.0])
    def test_a_file_cut_short(self, model: Path, kept: float) -> None:
        path = model / "model.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * kept)])
        with pytest.raises(
            ModelIntegrityError,
            match=(
                r"\(model\.safetensors\) cannot be read: .* damaged or cut short; download the"
                r" model again"
            ),
        ):
            load_model(open_checkpoint(model))

    def test_a_file_of_something_else(self, model: Path) -> None:
        (model / "model.safetensors").write_bytes(b"\xff" * 4096)
        with pytest.raises(ModelIntegrityError, match="cannot be read"):
            load_model(open_checkpoint(model))

    def test_missing_tensors(self, model: Path) -> None:
        self.rewrite(
            model,
            **{
                "encoder.layer.1.attention.self.query.weight": None,
                "embeddings.word_embeddings.weight": None,
            },
        )
        with pytest.raises(
            ModelIntegrityError,
            match=(
                r"do not fit its config\.json: 2 are missing or of another shape,"
                r" \['embeddings\.word"
            ),
        ):
            load_model(open_checkpoint(model))

    def test_a_tensor_of_another_shape(self, model: Path) -> None:
        self.rewrite(model, **{"encoder.layer.1.attention.self.query.weight": torch.zeros(32, 16)})
        with pytest.raises(ModelIntegrityError, match="do not fit its"):
            load_model(open_checkpoint(model))

    def test_more_layers_in_the_configuration_than_in_the_file(self, model: Path) -> None:
        config = (model / "config.json").read_text()
        (model / "config.json").write_text(
            config.replace('"num_hidden_layers": 3', '"num_hidden_layers": 4')
        )
        with pytest.raises(ModelIntegrityError, match="16 are missing"):
            load_model(open_checkpoint(model))

    def test_architectures_that_are_no_list(self, model: Path) -> None:
        config = json.loads((model / "config.json").read_text()) | {"architectures": 3}
        (model / "config.json").write_text(json.dumps(config))
        assert_equal_to_the_library_s(model)

    def test_a_model_far_larger_than_its_file(self, model: Path) -> None:
        """It would take 120 GB."""
        config = json.loads((model / "config.json").read_text()) | {"vocab_size": 10**9}
        (model / "config.json").write_text(json.dumps(config))
        with pytest.raises(
            ModelIntegrityError, match=r"has 32,000,\d+,?\d* numbers, and the files"
        ):
            load_model(open_checkpoint(model))

    def test_a_pooler_is_not_missed(self, model: Path) -> None:
        self.rewrite(model, **{"pooler.dense.weight": None, "pooler.dense.bias": None})
        assert_equal_to_the_library_s(model)

    def test_weights_of_a_model_with_a_head(self, tmp_path: Path) -> None:
        BertForMaskedLM(FAMILIES["bert"]()).save_pretrained(tmp_path)
        save_tokenizer(tmp_path)
        assert_equal_to_the_library_s(tmp_path)

    def test_weights_stored_in_half_precision_run_in_float32(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        AutoModel.from_pretrained(tiny_model("bert")).half().save_pretrained(tmp_path)
        save_tokenizer(tmp_path)
        model = load_model(open_checkpoint(tmp_path))
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


class TestChosenByTheFile:
    """What config.json says of how to compute is not followed."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What is asked of the hub, as if the library kernels were installed."""
        asked: list[str] = []

        def get_kernel(name: str, *_: Any, **__: Any) -> Any:
            asked.append(name)
            raise ValueError(name)

        monkeypatch.setattr(hub_kernels, "is_kernels_available", lambda *_: True)
        monkeypatch.setattr("transformers.modeling_utils.is_kernels_available", lambda *_: True)
        monkeypatch.setattr(hub_kernels, "get_kernel", get_kernel)
        return asked

    @pytest.mark.parametrize(
        "config",
        [
            {"_attn_implementation": "kernels-community/anything"},
            {"attn_implementation": "kernels-community/anything"},
            {"_attn_implementation": "flash_attention_2"},
            {"_attn_implementation": "no such thing"},
            {"_experts_implementation": "sonicmoe"},
        ],
    )
    def test_an_implementation(
        self, tiny_model: ModelFactory, tmp_path: Path, asked: list[str], config: dict[str, Any]
    ) -> None:
        model = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
        content = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(content | config))
        loaded, plain = (load_model(open_checkpoint(path)) for path in (model, tiny_model("bert")))
        ids = torch.tensor([[5, 9, 30]])
        assert torch.equal(
            loaded(input_ids=ids).last_hidden_state, plain(input_ids=ids).last_hidden_state
        )
        assert asked == []

    def test_quantized_weights(self, tiny_model: ModelFactory, tmp_path: Path) -> None:
        model = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
        content = json.loads((model / "config.json").read_text())
        content["quantization_config"] = {"quant_method": "mxfp4"}
        (model / "config.json").write_text(json.dumps(content))
        with pytest.raises(UnsupportedModelError, match="has a quantization_config"):
            open_checkpoint(model)


class TestReplacedWhileItLoads:
    """By one of another content, which is gone again once the weights are read."""

    @pytest.mark.parametrize("reader", ["AutoConfig", "AutoTokenizer", "AutoModel"])
    @pytest.mark.parametrize("comes_back", [True, False])
    def test_nothing_is_taken_for_what_it_was(
        self,
        tiny_model: ModelFactory,
        tmp_path: Path,
        reader: str,
        comes_back: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        model, other = (
            save_model("bert", tmp_path / name, initializer_range=width)
            for name, width in [("model", 0.25), ("other", 0.2)]
        )
        former = Path(shutil.copytree(model, tmp_path / "former"))

        def replace_by(source: Path) -> None:
            for file in source.iterdir():
                shutil.copy(file, tmp_path / "new")
                os.replace(tmp_path / "new", model / file.name)

        own = getattr(transformers, reader).from_pretrained

        def read_another(*arguments: Any, **options: Any) -> Any:
            replace_by(other)
            result = own(*arguments, **options)
            if comes_back:
                replace_by(former)
            return result

        checkpoint = open_checkpoint(model)
        with monkeypatch.context() as patch:
            patch.setattr(getattr(transformers, reader), "from_pretrained", read_another)
            load = load_tokenizer.__wrapped__ if reader == "AutoTokenizer" else load_model
            with pytest.raises(ModelChangedError, match="changed while it was being read"):
                load(checkpoint)
            if reader == "AutoConfig" and comes_back:  # at each try, that is
                with pytest.raises(ModelChangedError):
                    open_checkpoint(model)
        now = open_checkpoint(model)
        assert (now == checkpoint) is comes_back
        assert now == open_checkpoint(former if comes_back else other)

    def test_a_model_written_over_leaves_what_was_loaded(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        """Weights that are mapped into memory would change with their file."""
        model = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
        loaded = load_model(open_checkpoint(model))
        path = model / "model.safetensors"
        with open(path, "r+b") as file:
            size = int.from_bytes(file.read(8), "little")
            file.seek(8 + size)
            file.write(bytes(path.stat().st_size - 8 - size))
        matrices = [parameter for parameter in loaded.parameters() if parameter.ndim > 1]
        assert all(bool(matrix.any()) for matrix in matrices)


def test_loading_changes_neither_the_checkpoint_nor_its_configuration(
    tiny_model: ModelFactory,
) -> None:
    checkpoint = open_checkpoint(str(tiny_model("gpt2")))
    before = checkpoint.config.to_dict()
    load_model(checkpoint)
    assert checkpoint.config.to_dict() == before
    assert before["use_cache"]


def test_nothing_can_be_trained(tiny_model: ModelFactory) -> None:
    model = load_model(open_checkpoint(tiny_model("bert")))
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def fail_quietly() -> None:
    with quiet_transformers():
        assert logging.get_verbosity() == logging.ERROR
        assert not logging.is_progress_bar_enabled()
        torch.rand(3)
        raise ZeroDivisionError


@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.parametrize("verbosity", [10, 40])
def test_quiet_transformers_puts_everything_back(verbosity: int, bars: bool) -> None:
    before, bars_before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    switch = logging.enable_progress_bar if bars else logging.disable_progress_bar
    try:
        logging.set_verbosity(verbosity)
        switch()
        state = torch.get_rng_state()
        with pytest.raises(ZeroDivisionError):
            fail_quietly()
        assert logging.get_verbosity() == verbosity
        assert logging.is_progress_bar_enabled() is bars
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        logging.set_verbosity(before)
        (logging.enable_progress_bar if bars_before else logging.disable_progress_bar)()


def test_quiet_transformers_in_many_threads_puts_everything_back() -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.get_rng_state()

    def hush() -> None:
        for _ in range(50):
            with quiet_transformers():
                torch.rand(1)

    threads = [threading.Thread(target=hush) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("name", ["flash_attention_2", "eager", "no_such_attention"])
def test_the_attention_that_a_configuration_names_is_not_needed(
    tiny_model: ModelFactory, tmp_path: Path, name: str
) -> None:
    expected = load_model(open_checkpoint(tiny_model("bert")))
    directory = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"attn_implementation": name}))
    ids = torch.tensor([[5, 9, 30, 31, 7]])
    with torch.inference_mode():
        states = load_model(open_checkpoint(directory))(input_ids=ids).last_hidden_state
        assert torch.equal(states, expected(input_ids=ids).last_hidden_state)
