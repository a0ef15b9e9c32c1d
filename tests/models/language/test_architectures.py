"""Sizes of networks, and configurations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.models.language.architectures import (
    ARCHITECTURES,
    find_architecture,
    make_config,
)
from bertvectorizer.models.language.wordpiece import learn_wordpiece

SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return learn_wordpiece(["the bat hit a ball"])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sizes_are_those_of_the_network(name: str, tokenizer: Any) -> None:
    """The parameters are counted in the network that transformers builds, without memory."""
    architecture = ARCHITECTURES[name]
    config = make_config(name, tokenizer)
    assert config.vocab_size == len(tokenizer)
    assert config.max_position_embeddings == architecture.positions
    for vocab_size in (None, 100):
        config.vocab_size = vocab_size or architecture.vocab_size
        with torch.device("meta"):
            network = transformers.AutoModel.from_config(config)
        expected = sum(parameter.numel() for parameter in network.parameters())
        assert architecture.n_parameters(vocab_size) == expected
    width = architecture.hidden_size
    layers = network.h if architecture.objective == "causal" else network.encoder.layer
    assert (len(layers), network.get_input_embeddings().weight.shape) == (
        architecture.layers,
        (100, width),
    )
    assert config.num_attention_heads == architecture.heads
    shapes = [size for parameter in layers[0].parameters() for size in parameter.shape]
    assert architecture.feed_forward in shapes


def test_sizes_of_the_papers() -> None:
    """BERT base and large, as their checkpoints have them; and 117 million of GPT."""
    assert ARCHITECTURES["bert-base"].n_parameters() == 109_482_240
    assert ARCHITECTURES["bert-large"].n_parameters() == 335_141_888
    assert ARCHITECTURES["gpt"].n_parameters() == 116_534_784 + 1536
    assert find_architecture("tiny") is find_architecture("bert-tiny")


@pytest.mark.parametrize(
    ("architecture", "objective", "expected"),
    [
        ("bert-tiny", "auto", "BertForMaskedLM"),
        ("tiny", "masked", "BertForMaskedLM"),
        ("tiny", "masked+next_sentence", "BertForPreTraining"),
        ("gpt", "auto", "GPT2LMHeadModel"),
        (SMALL, "masked", "BertForMaskedLM"),
        (SMALL | {"is_decoder": True}, "auto", "BertLMHeadModel"),
        (SMALL | {"model_type": "gpt2"}, "causal", "GPT2LMHeadModel"),
        ({"model_type": "openai-gpt", "n_embd": 32, "n_head": 2}, "auto", "OpenAIGPTLMHeadModel"),
        (SMALL | {"model_type": "roberta"}, "auto", "RobertaForMaskedLM"),
        (transformers.BertConfig(**SMALL).to_dict(), "auto", "BertForMaskedLM"),
    ],
)
def test_the_class_with_the_head(
    architecture: Any, objective: str, expected: str, tokenizer: Any
) -> None:
    config = make_config(architecture, tokenizer, objective, 60)
    assert config.architectures == [expected]
    assert (config.vocab_size, config.pad_token_id) == (len(tokenizer), tokenizer.pad_token_id)
    assert (config.bos_token_id, config.eos_token_id) == (
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
    )


def test_positions(tokenizer: Any) -> None:
    """RoBERTa's begin after the id of padding."""
    lengths = [
        make_config(architecture, tokenizer, max_length=length).max_position_embeddings
        for architecture, length in (
            ("tiny", 60),
            (SMALL, None),
            (SMALL | {"model_type": "roberta"}, 60),
            (SMALL | {"model_type": "gpt2", "n_positions": 99}, 60),
        )
    ]
    assert lengths == [60, 512, 61, 99]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("minni", "'architecture' parameter must be one of 'bert-tiny'.* Got 'minni'"),
        (None, "'architecture' parameter must be one of"),
        ({"model_type": "brt"}, "as 'model_type' one that transformers knows. Got 'brt'"),
        ({"model_type": ["bert"]}, "as 'model_type' one that transformers knows"),
        ({"model_type": "t5"}, "with a language head"),
        ({"hidden_sise": 64}, "settings of BertConfig. Got 'hidden_sise'.*mean 'hidden_size'"),
        ({3: 64}, "settings of BertConfig. Got 3"),
        ({"auto_map": {"AutoModel": "x--y.Z"}}, "settings of BertConfig. Got 'auto_map'"),
        ({"hidden_size": 64}, "hidden size .64. is not a multiple of the number of attention"),
        ({"hidden_size": "64"}, "Validation error for field 'hidden_size'"),
        ({"num_hidden_layers": 0}, r"as 'num_hidden_layers' an int in the range \[1, 4096\]"),
        ({"model_type": "gpt2", "n_layer": 10**9}, r"as 'n_layer' an int in .* Got 1000000000"),
        ({"hidden_act": "gelo"}, "builds no network .*'gelo'"),
        ({"intermediate_size": 1 << 24}, "a network of at most .* Got one of 3"),
        ({"max_position_embeddings": 10}, "'max_length' parameter must be at most 10, by"),
    ],
)
def test_invalid_architectures(settings: Any, message: str, tokenizer: Any) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        make_config(settings, tokenizer, max_length=60)


@pytest.mark.parametrize(
    ("architecture", "objective"),
    [
        ("gpt", "masked"),
        ("tiny", "causal"),
        ({"model_type": "roberta"}, "masked+next_sentence"),
        ("tiny", "mask"),
    ],
)
def test_invalid_objectives(architecture: Any, objective: str, tokenizer: Any) -> None:
    with pytest.raises(InvalidParameterError, match="'objective' parameter must be one "):
        make_config(architecture, tokenizer, objective)
