"""Tests of models/language/network.py; test_objectives.py compares its numbers."""

from __future__ import annotations

import pytest
import torch

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.language.network import language_network, load_language_network
from tests.tiny import ModelFactory

CPU = torch.device("cpu")


def test_an_architecture_must_have_the_head_of_the_objective(tiny_model: ModelFactory) -> None:
    bert = open_checkpoint(str(tiny_model("bert")))
    with pytest.raises(UnsupportedModelError, match=r"objective='causal'.*after it"):
        language_network(bert, CPU, "causal")
    gpt2 = open_checkpoint(str(tiny_model("gpt2")))
    with pytest.raises(UnsupportedModelError, match="objective='masked'"):
        language_network(gpt2, CPU, "masked")
    for family in ("roberta", "albert"):  # ALBERT tells the order of sentences
        checkpoint = open_checkpoint(str(tiny_model(family)))
        with pytest.raises(UnsupportedModelError, match=r"masked\+next_sentence"):
            language_network(checkpoint, CPU, "masked+next_sentence")


def test_a_head_that_no_file_has_is_new_and_seeded(tiny_model: ModelFactory) -> None:
    bert = open_checkpoint(str(tiny_model("bert")))
    networks = [language_network(bert, CPU, "masked", seed=seed) for seed in (0, 0, 1)]
    heads = [
        torch.cat([each.flatten() for name, each in network.named_parameters() if "head." in name])
        for network in networks
    ]
    assert networks[0].new_weights
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    # The head of GPT-2 is its table of tokens, which every file has.
    gpt2 = open_checkpoint(str(tiny_model("gpt2")))
    network = load_language_network(gpt2, CPU, "causal")
    assert network.new_weights == []
    assert load_language_network(gpt2, CPU, "causal") is network
    assert all(name.startswith("base.") for name, _ in network.named_parameters())
