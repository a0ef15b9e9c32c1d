"""Tests of models/network/skipped_layers.py: upper layers alone, on states given to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.network.backbone import Backbone
from bertvectorizer.models.network.skipped_layers import SkippedLayers, find_layers
from tests.tiny import FAMILIES, LEAKY_FAMILIES, MORE_FAMILIES, ModelFactory
from tests.tolerance import network_tolerance

pytestmark = pytest.mark.numeric

LENGTHS = np.array([9, 6, 6, 1])
# ALBERT runs one layer again and again, CPM-Ant has states of a prompt that it does not return, and
# the first layer of T5 makes the bias of all.
UNABLE = {"albert", "cpmant", "t5"}


def backbone_of(tiny_model: ModelFactory, family: str, **changes: object) -> Backbone:
    checkpoint = open_checkpoint(tiny_model(family, **changes))
    return Backbone(checkpoint, torch.device("cpu"), "float32", fuses=False)


@pytest.mark.parametrize(
    ("family", "count"),
    [*((family, 1) for family in (*FAMILIES, *MORE_FAMILIES, *LEAKY_FAMILIES)), ("t5", 0)],
)
def test_upper_layers_give_the_same_states_or_the_model_stays_whole(
    tiny_model: ModelFactory, family: str, count: int
) -> None:
    backbone = backbone_of(tiny_model, family)
    ids = backbone.tokens(int(LENGTHS.sum()), seed=5)
    names = {name for name, _ in backbone.model.named_parameters()}
    with torch.no_grad():
        expected = backbone.hidden_states(ids, LENGTHS, [count, 3])
        done = backbone.skip_layers(count)
        given = expected[count] if done else None
        states = backbone.hidden_states(ids, LENGTHS, [3], entering=given)[3]
    assert done is (family not in UNABLE or count == 0)
    scale = float(expected[3].abs().max())
    torch.testing.assert_close(states, expected[3], rtol=0, atol=network_tolerance(scale=scale))
    left = {name for name, _ in backbone.model.named_parameters()}
    assert left < names if done and count else left == names


def test_the_states_given_decide_and_not_the_tokens(tiny_model: ModelFactory) -> None:
    backbone = backbone_of(tiny_model, "bert")
    ids = backbone.tokens(int(LENGTHS.sum()))
    with torch.no_grad():
        entering = backbone.hidden_states(ids, LENGTHS, [1])[1]
        assert backbone.skip_layers(1)
        states = backbone.hidden_states(ids, LENGTHS, [3], entering=entering)[3]
        others = backbone.hidden_states(ids[::-1].copy(), LENGTHS, [3], entering=entering)[3]
    assert torch.equal(states, others)


def test_layers_come_back_where_the_upper_ones_give_other_states() -> None:
    layers = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    originals = list(layers)
    skipped = SkippedLayers(layers, 2)
    states = torch.ones(1, 2)
    with skipped.entering(states):
        assert torch.equal(layers[2](torch.zeros(1, 2)), originals[2](states))
    assert torch.equal(layers[0](states), states)
    skipped.restore()
    assert list(layers) == originals
    assert torch.equal(layers[2](torch.zeros(1, 2)), originals[2](torch.zeros(1, 2)))


def test_layers_are_found_by_the_modules_that_states_enter() -> None:
    model = torch.nn.Module()
    model.dropout = torch.nn.Dropout()
    model.others = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    model.layers = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    assert find_layers(model, [model.dropout, *model.layers[1:]]) is model.layers
    assert find_layers(model, list(model.layers)[:2]) is None
    assert find_layers(model, [model.layers[0]]) is None
