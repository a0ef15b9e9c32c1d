"""Tests of models/network/early_exit.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModel

from bertvectorizer.errors import UnsupportedModelError
from bertvectorizer.models.network.early_exit import LayerReader
from tests.tiny import FAMILIES, ModelFactory

pytestmark = pytest.mark.numeric

IDS = torch.tensor([[5, 9, 30, 31, 7]])
N_LAYERS = 3


def layers_of(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers, as the library lists them; ALBERT runs a single one several times."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return list(next((found for found in lists if len(found) == N_LAYERS), lists[0]))


def reader_of(model: torch.nn.Module) -> LayerReader:
    with torch.inference_mode():
        return LayerReader(
            model, N_LAYERS, lambda **options: model(input_ids=IDS, return_dict=True, **options)
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_beyond_the_deepest_are_not_run(tiny_model: ModelFactory, family: str) -> None:
    model = AutoModel.from_pretrained(tiny_model(family)).eval()
    with torch.inference_mode():
        expected = model(input_ids=IDS, output_hidden_states=True).hidden_states
    reader = reader_of(model)
    assert reader.stops_early
    finished: list[torch.nn.Module] = []
    for layer in layers_of(model):
        layer.register_forward_hook(lambda module, *_: finished.append(module))
    for layers in ([0], [1], [2], [3], [0, 2], [2, 1], [3, 0], [0, 1, 2, 3]):
        finished.clear()
        with torch.inference_mode():
            states = reader(
                lambda **options: model(input_ids=IDS, return_dict=True, **options), layers
            )
        assert len(finished) == max(layers)
        assert set(layers) <= set(states)
        for layer in layers:
            torch.testing.assert_close(states[layer], expected[layer], atol=1e-6, rtol=1e-6)


def test_the_model_itself_is_as_before_when_nothing_is_read(tiny_model: ModelFactory) -> None:
    model = AutoModel.from_pretrained(tiny_model("bert")).eval()
    with torch.inference_mode():
        expected = model(input_ids=IDS).last_hidden_state
        reader_of(model)
        assert torch.equal(model(input_ids=IDS).last_hidden_state, expected)


def test_an_error_on_the_way_leaves_nothing_behind(tiny_model: ModelFactory) -> None:
    model = AutoModel.from_pretrained(tiny_model("bert")).eval()
    reader = reader_of(model)
    with torch.inference_mode():
        expected = model(input_ids=IDS).last_hidden_state
        with pytest.raises(IndexError):
            reader(lambda **options: model(input_ids=IDS + 10_000, **options), [1])
        assert torch.equal(model(input_ids=IDS).last_hidden_state, expected)


class Copying(torch.nn.Module):
    """A network that passes copies of its states on, which are not recognized in a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(N_LAYERS))

    def forward(self, states: torch.Tensor, output_hidden_states: bool = False) -> Any:
        seen = [states]
        for layer in self.layers:
            states = layer(states.clone())
            seen.append(states)
        return SimpleNamespace(
            last_hidden_state=states, hidden_states=tuple(seen) if output_hidden_states else None
        )


def test_a_model_whose_layers_cannot_be_distinguished_is_run_to_the_end() -> None:
    model, states = Copying(), torch.linspace(-1, 1, 8).reshape(1, 2, 4)
    reader = LayerReader(model, N_LAYERS, lambda **options: model(states, **options))
    assert not reader.stops_early
    expected = model(states, output_hidden_states=True).hidden_states
    read = reader(lambda **options: model(states, **options), [2, 0])
    assert list(read) == [0, 2]
    assert all(torch.equal(read[layer], expected[layer]) for layer in read)


class Looped(torch.nn.Module):
    """A network that runs its layers twice and counts the states of the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(N_LAYERS))

    def forward(self, states: torch.Tensor, output_hidden_states: bool = False) -> Any:
        for layer in self.layers:
            states = layer(states)
        seen = [states]
        for layer in self.layers:
            states = layer(states)
            seen.append(states)
        return SimpleNamespace(
            last_hidden_state=states, hidden_states=tuple(seen) if output_hidden_states else None
        )


def test_a_layer_that_runs_more_often_than_it_counts_shifts_no_other() -> None:
    model, states = Looped(), torch.linspace(-1, 1, 8).reshape(1, 2, 4)
    reader = LayerReader(model, N_LAYERS, lambda **options: model(states, **options))
    expected = model(states, output_hidden_states=True).hidden_states
    read = reader(lambda **options: model(states, **options), range(N_LAYERS + 1))
    assert all(torch.equal(read[layer], expected[layer]) for layer in range(N_LAYERS + 1))
    assert not any(module._forward_pre_hooks for module in model.modules())


class Scaled(Copying):
    """A network whose result is scaled after its last layer."""

    def forward(self, states: torch.Tensor, output_hidden_states: bool = False) -> Any:
        output = super().forward(states, output_hidden_states)
        output.last_hidden_state = 3 * output.last_hidden_state
        return output


def test_the_last_layer_is_the_result_of_the_model() -> None:
    model, states = Scaled(), torch.linspace(-1, 1, 8).reshape(1, 2, 4)
    reader = LayerReader(model, N_LAYERS, lambda **options: model(states, **options))
    read = reader(lambda **options: model(states, **options), [1, N_LAYERS])
    assert torch.equal(read[N_LAYERS], model(states).last_hidden_state)


@pytest.mark.parametrize("n_layers", [N_LAYERS - 1, N_LAYERS + 1])
def test_a_model_with_more_or_fewer_states_than_layers_is_refused(n_layers: int) -> None:
    model, states = Copying(), torch.linspace(-1, 1, 8).reshape(1, 2, 4)
    with pytest.raises(UnsupportedModelError, match=f"Copying returns {N_LAYERS + 1} hidden"):
        LayerReader(model, n_layers, lambda **options: model(states, **options))
