"""Tests of models/checkpoint/saved_settings.py, against sentence-transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import ModelIntegrityError, UnsafeModelError, UnsupportedModelError
from bertvectorizer.models import open_checkpoint
from tests.tiny import ModelFactory, save_model, save_sentence_transformer

TEXTS = [
    "the old bat flew in the night", "a ball", "", "the river bank. " * 60,
    "A [SEP] BAT \u0391\u03a3 [MASK] \u0130",
]  # fmt: skip
TRANSFORMER = "sentence_bert_config.json"
MODEL = "config_sentence_transformers.json"


@pytest.fixture(scope="module")
def saved(tiny_model: ModelFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sentence_transformer(
        tiny_model("bert"), tmp_path_factory.mktemp("saved"), dense=16, normalize=True
    )


@pytest.fixture
def directory(saved: Path, tmp_path: Path) -> Path:
    """A copy of a checkpoint with Dense and Normalize, to write into."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def edit(path: Path, **entries: Any) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | entries))


def assert_equal_to_the_peer(directory: Path) -> None:
    peer = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": torch.float32})
    vectors = BertVectorizer(str(directory), store=None, overflow="truncate").transform(TEXTS)
    np.testing.assert_allclose(vectors, peer.encode(TEXTS), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:. of 5 texts are longer")
class TestHonoured:
    @pytest.mark.parametrize(
        "settings",
        [
            {"max_seq_length": 8},
            {"max_seq_length": 400},  # more than the tokenizer says
            {"tokenizer_args": {"model_max_length": 8}},
            {"processor_kwargs": {"truncation_side": "left", "model_max_length": 8}},
            {"max_seq_length": 20, "processor_kwargs": {"model_max_length": 8}},
            {"processing_kwargs": {"text": {"add_special_tokens": False}}},
            {"processing_kwargs": {"common": {"max_length": 9}, "text": {"max_length": 12}}},
            {"processing_kwargs": {"text": {"max_length": 9, "truncation": True}}},
            {"config_kwargs": {"num_hidden_layers": 2}},
            {"config_args": {"hidden_act": "relu"}},
            {"config_args": {"hidden_act": "relu"}, "config_kwargs": {"is_decoder": True}},
            {"do_lower_case": True},
        ],
    )
    def test_it_changes_the_vectors_as_their_author_s(
        self, directory: Path, settings: dict[str, Any]
    ) -> None:
        before = BertVectorizer(str(directory), store=None).transform(TEXTS)
        edit(directory / TRANSFORMER, **settings)
        assert_equal_to_the_peer(directory)
        after = BertVectorizer(str(directory), store=None).transform(TEXTS)
        assert np.abs(after - before).max() > 1e-3 or settings == {"do_lower_case": True}

    @pytest.mark.parametrize("truncate_dim", [5, 16, 99])
    def test_truncate_dim(self, directory: Path, truncate_dim: int) -> None:
        edit(directory / MODEL, truncate_dim=truncate_dim)
        assert_equal_to_the_peer(directory)
        assert BertVectorizer(str(directory)).n_features_out_ == min(truncate_dim, 16)
        assert BertVectorizer(str(directory), pooling="mean").n_features_out_ == 32

    @pytest.mark.parametrize("name", ["query", "document", None])
    def test_a_default_prompt_that_every_model_has(self, directory: Path, name: str | None) -> None:
        edit(directory / MODEL, default_prompt_name=name, prompts={})
        assert_equal_to_the_peer(directory)


@pytest.mark.filterwarnings("ignore:. of 5 texts are longer")
class TestFilesOfSettings:
    def test_the_first_with_entries_of_those_that_the_peer_knows(self, directory: Path) -> None:
        (directory / TRANSFORMER).write_text("{}")
        for family, length in (("albert", 9), ("deberta", 6), ("roberta", 12), ("xlnet", 7)):
            edit(directory / f"sentence_{family}_config.json", max_seq_length=length)
        assert open_checkpoint(directory).max_seq_length == 12
        assert_equal_to_the_peer(directory)

    def test_one_that_the_peer_does_not_know_is_not_read(self, directory: Path) -> None:
        (directory / TRANSFORMER).rename(directory / "sentence_mpnet_config.json")
        edit(directory / "sentence_mpnet_config.json", max_seq_length=6)
        assert_equal_to_the_peer(directory)


@pytest.mark.filterwarnings("ignore:. of . texts are longer")
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("modernbert", {"max_position_embeddings": 32}),
        ("mistral", {"max_position_embeddings": 32}),
        ("esm", {"max_position_embeddings": 32, "position_embedding_type": "rotary"}),
        ("deberta-v2", {"max_position_embeddings": 32, "position_biased_input": False}),
    ],
)
def test_a_length_beyond_the_positions_where_they_are_relative(
    family: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    model = save_model(family, tmp_path / "model", **changes)
    directory = save_sentence_transformer(model, tmp_path / "saved")
    edit(directory / TRANSFORMER, max_seq_length=90)
    texts = ["the old bat", "the old bat flew in the night. " * 20]
    peer = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": torch.float32})
    expected = np.concatenate([peer.encode([text]) for text in texts])
    vectors = BertVectorizer(directory, store=None).transform(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-5, rtol=1e-5)
    shorter = BertVectorizer(directory, store=None, max_length=32).transform(texts)
    assert np.abs(vectors[1] - shorter[1]).max() > 1e-2


@pytest.mark.parametrize("pooling", ["cls", "mean", "weightedmean", "lasttoken"])
@pytest.mark.parametrize(
    ("special_tokens", "prompt"),
    [
        ("[CLS] $A [SEP]", "the old "),
        ("[CLS] $A", "the old "),
        ("$A [SEP] [SEP]", "the old "),
        ("[CLS] $A", "the old [SEP]"),
    ],
)
def test_the_tokens_of_a_prompt_that_are_not_pooled(
    pooling: str, special_tokens: str, prompt: str, tmp_path: Path
) -> None:
    model = save_model("bert", tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single=special_tokens, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(model / "tokenizer.json"))
    options: dict[str, Any] = {"prompts": {"own": prompt}, "default_prompt_name": "own"}
    directory = save_sentence_transformer(
        model, tmp_path / "saved", pooling=pooling, include_prompt=False, **options
    )
    texts = ["a ball", "", "the old bat flew"]
    peer = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": torch.float32})
    vectors = BertVectorizer(directory, store=None).transform(texts)
    np.testing.assert_allclose(vectors, peer.encode(texts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"unpad_inputs": None, "query_length": 4, "document_length": 5, "query_expansion": None},
        {"model_args": {"torch_dtype": "float16", "attn_implementation": "eager"}},
        {"processor_kwargs": {"trust_remote_code": True, "revision": "main"}},
        {"processing_kwargs": {"image": {"size": 3}, "common": {"padding": "longest"}}},
    ],
)
def test_what_leaves_the_vectors_of_texts_alone_is_accepted(
    directory: Path, settings: dict[str, Any]
) -> None:
    before = BertVectorizer(str(directory), store=None).fit_transform(TEXTS[:2])
    edit(directory / TRANSFORMER, **settings)
    after = BertVectorizer(str(directory), store=None).fit_transform(TEXTS[:2])
    np.testing.assert_array_equal(after, before)


class TestRefused:
    @pytest.mark.parametrize(
        ("file", "settings", "name"),
        [
            (TRANSFORMER, {"pool_twice": True}, "pool_twice"),
            (TRANSFORMER, {"transformer_task": "fill-mask"}, "transformer_task"),
            (TRANSFORMER, {"module_output_name": "sentence_embedding"}, "module_output_name"),
            (TRANSFORMER, {"tokenizer_name_or_path": "another"}, "tokenizer_name_or_path"),
            (
                TRANSFORMER,
                {"modality_config": {"message": {"method": "forward"}}},
                "modality_config.message",
            ),
            (
                TRANSFORMER,
                {"modality_config": {"text": {"method": "forward", "method_output_name": "x"}}},
                "modality_config.text",
            ),
            (TRANSFORMER, {"modality_config": {"image": {}}}, "modality_config.text"),
            (TRANSFORMER, {"model_kwargs": {"variant": "fp16"}}, "model_kwargs.variant"),
            (TRANSFORMER, {"tokenizer_args": {"vocab_file": "/x"}}, "processor_kwargs.vocab_file"),
            (TRANSFORMER, {"processing_kwargs": {"sound": {}}}, "processing_kwargs.sound"),
            (
                TRANSFORMER,
                {"processing_kwargs": {"text": {"truncation": False}}},
                "processing_kwargs.text.truncation",
            ),
            (
                TRANSFORMER,
                {"processing_kwargs": {"text": {"stride": 3}}},
                "processing_kwargs.text.stride",
            ),
            (
                TRANSFORMER,
                {"processing_kwargs": {"text": {"padding": "max_length"}}},
                "processing_kwargs.text.padding",
            ),
            (
                TRANSFORMER,
                {"processing_kwargs": {"common": {"pad_to_multiple_of": 8}}},
                "processing_kwargs.text.pad_to_multiple_of",
            ),
            (TRANSFORMER, {"config_kwargs": {"auto_map": {}}}, "auto_map"),
            (TRANSFORMER, {"config_args": {"no_such_entry": 1}}, "no_such_entry"),
            (MODEL, {"model_type": "SparseEncoder"}, "model_type"),
            (MODEL, {"whitening": [1.0]}, "whitening"),
            ("1_Pooling/config.json", {"pooling_mode_median_tokens": True}, "pooling_mode_median"),
            ("2_Dense/config.json", {"module_input_name": "token_embeddings"}, "module_input_name"),
            ("2_Dense/config.json", {"scale": 2.0}, "scale"),
        ],
    )
    def test_what_would_change_the_vectors_is_named(
        self, directory: Path, file: str, settings: dict[str, Any], name: str
    ) -> None:
        edit(directory / file, **settings)
        with pytest.raises(UnsupportedModelError, match=name):
            open_checkpoint(directory)

    @pytest.mark.parametrize(
        ("file", "settings", "name"),
        [
            (TRANSFORMER, {"max_seq_length": "64"}, "max_seq_length"),
            (TRANSFORMER, {"max_seq_length": 0}, "max_seq_length"),
            (TRANSFORMER, {"max_seq_length": 6.5}, "max_seq_length"),
            (TRANSFORMER, {"max_seq_length": True}, "max_seq_length"),
            (TRANSFORMER, {"do_lower_case": "false"}, "do_lower_case"),
            (TRANSFORMER, {"config_kwargs": [1]}, "config_kwargs"),
            (TRANSFORMER, {"tokenizer_args": {"model_max_length": "8"}}, "model_max_length"),
            (MODEL, {"truncate_dim": "8"}, "truncate_dim"),
            (MODEL, {"prompts": {"query": 3}}, "query"),
            (MODEL, {"prompts": {"query": "the "}, "default_prompt_name": "question"}, "question"),
            ("1_Pooling/config.json", {"include_prompt": "no"}, "include_prompt"),
            ("2_Dense/config.json", {"out_features": "16"}, "out_features"),
        ],
    )
    def test_a_value_of_the_wrong_kind_is_named(
        self, directory: Path, file: str, settings: dict[str, Any], name: str
    ) -> None:
        edit(directory / file, **settings)
        with pytest.raises(ModelIntegrityError, match=name):
            open_checkpoint(directory)

    @pytest.mark.parametrize("length", ["64", True, 0, None, float("nan")])
    def test_a_length_of_the_tokenizer_that_is_none(self, directory: Path, length: Any) -> None:
        edit(directory / "tokenizer_config.json", model_max_length=length)
        if length is None:  # transformers reads it as no limit
            BertVectorizer(str(directory), store=None).fit(TEXTS)
        else:
            with pytest.raises(ModelIntegrityError, match="model_max_length"):
                BertVectorizer(str(directory), store=None).fit(TEXTS)

    def test_a_length_without_room_for_a_text(self, directory: Path) -> None:
        edit(directory / TRANSFORMER, max_seq_length=2)
        with pytest.raises(ModelIntegrityError, match="read 2 tokens of a text"):
            BertVectorizer(str(directory), store=None).fit(TEXTS)

    def test_an_activation_function_that_is_not_torch_s(self, directory: Path) -> None:
        edit(directory / "2_Dense/config.json", activation_function="os.system")
        with pytest.raises(UnsafeModelError, match=r"os\.system"):
            open_checkpoint(directory)

    def test_a_version_that_the_author_asks_for(self, directory: Path) -> None:
        edit(directory / MODEL, requirements={"transformers": ">=1000"})
        with pytest.raises(UnsupportedModelError, match="requirements"):
            open_checkpoint(directory)
