"""Each private interface is where package/private_api.py expects it; a new version may move it."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertModel

from bertvectorizer import private_api


def test_the_attention_implementation_of_a_model() -> None:
    config = BertConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        attn_implementation="eager",
    )
    model = BertModel(config)
    assert private_api.attention_implementation(model.config) == "eager"
    model.set_attn_implementation("sdpa")
    assert private_api.attention_implementation(model.config) == "sdpa"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_on_the_cpu(precision: str) -> None:
    supported = private_api.has_half_precision(precision)
    assert isinstance(supported, bool)
    assert supported <= torch.backends.mkldnn.is_available()
