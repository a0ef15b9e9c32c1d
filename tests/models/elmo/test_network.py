"""ELMo's network beside plain NumPy and beside the expected states of bilm-tf's own test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertvectorizer.models.elmo import network as network_module
from bertvectorizer.models.elmo.network import ElmoNetwork
from bertvectorizer.models.elmo.options import find_options, read_options
from bertvectorizer.models.elmo.weights import find_weights, read_weights
from bertvectorizer.models.elmo.words import characters_of
from tests.tiny_elmo import NumpyElmo, h5py, save_elmo

SENTENCES = [
    ["The", "bat", "hung", "from", "an", "old", "beam", ".", "The", "bat"],
    ["a-word-that-is-longer-than-the-table", "naïve", "東京", "🦇"],
    ["bat", "bats", "at", "tab"],
    ["bat"],
]


def load(directory: Path) -> ElmoNetwork:
    path = find_options(directory)
    assert path is not None
    options = read_options(path, json.loads(path.read_text()))
    return ElmoNetwork(options, read_weights(find_weights(directory), options))


def states_of(
    network: ElmoNetwork,
    sentences: Sequence[Sequence[str]],
    layers: Iterable[int] = (0, 1, 2),
    memory: Any = None,
) -> list[np.ndarray[Any, Any]]:
    """Return the states of sentences, the longest first: (n_layers, n_words, width) of each."""
    words = [word for sentence in sentences for word in sentence]
    lengths = np.array(list(map(len, sentences)))
    ids = characters_of(words, network._options.longest_word)
    with torch.inference_mode():
        states = network.hidden_states(ids, lengths, layers, memory=memory)
    stacked = np.stack([states[layer].numpy() for layer in layers])
    return np.split(stacked, np.cumsum(lengths)[:-1], axis=1)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lstm.use_skip_connections": False, "char_cnn.activation": "tanh"},
        # Neither of the projections is stored where it would change no width.
        {"lstm.dim": 15, "lstm.projection_dim": 15, "lstm.proj_clip": None},
        {"lstm.n_layers": 1, "char_cnn.n_highway": 0, "lstm.cell_clip": None},
        {"char_cnn.filters": [[12, 9]], "char_cnn.n_characters": 261},
    ],
)
def test_each_layer_equals_plain_numpy(changes: dict[str, Any], tmp_path: Path) -> None:
    directory = save_elmo(tmp_path, changes=changes)
    network, reference = load(directory), NumpyElmo(directory)
    layers = range(reference.options["lstm"]["n_layers"] + 1)
    for found, sentence in zip(states_of(network, SENTENCES, layers), SENTENCES, strict=True):
        np.testing.assert_allclose(found, reference(sentence), atol=1e-5)
    if not changes:
        free = NumpyElmo(directory, clips=False)
        assert np.abs(free(SENTENCES[0]) - reference(SENTENCES[0])).max() > 0.1, "clipping acts"


@pytest.mark.numeric
def test_a_sentence_depends_on_nothing_beside_or_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load(save_elmo(tmp_path))
    together = states_of(network, SENTENCES)
    for _ in range(2):  # the second time, nothing is left of the first
        for sentence, found in zip(SENTENCES, together, strict=True):
            (alone,) = states_of(network, [sentence])
            np.testing.assert_allclose(found, alone, rtol=0, atol=1e-6)
    # What is computed in parts does not depend on their sizes.
    monkeypatch.setattr(network_module, "_INPUTS_AT_ONCE", 3)
    monkeypatch.setattr(network_module, "_WORDS_AT_ONCE", 2)
    for found, in_parts in zip(together, states_of(network, SENTENCES), strict=True):
        np.testing.assert_allclose(in_parts, found, rtol=0, atol=1e-6)


def test_layers_above_the_deepest_requested_one_are_not_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load(save_elmo(tmp_path))
    runs: list[Any] = []
    run = network._run
    monkeypatch.setattr(network, "_run", lambda *args: runs.append(args) or run(*args))
    for deepest in (0, 1, 2):
        runs.clear()
        states_of(network, SENTENCES, [deepest])
        assert len(runs) == deepest


@pytest.mark.numeric
def test_bilm_tf_has_the_same_states(shared_data: Path) -> None:
    """The network that made them kept its memory from one batch of three sentences to the next."""
    directory = shared_data / "elmo_fixture" / "model"
    if not directory.is_dir():
        pytest.skip("../shared/data/elmo_fixture is not on this machine")
    network = load(directory)
    texts = json.loads((directory / "lm_embeddings_sentences.json").read_text())
    sizes = (network._options.width, network._options.n_units)
    memory: Any = [tuple(torch.zeros(2, 3, size) for size in sizes) for _ in range(2)]
    files = [h5py.File(directory / f"lm_embeddings_{index}.hdf5") for index in range(3)]
    for number in range(10):
        batch = [texts[index][number].split() for index in range(3)]
        order = sorted(range(3), key=lambda index: -len(batch[index]))
        memory = [[part[:, order].clone() for part in layer] for layer in memory]
        found = states_of(network, [batch[index] for index in order], memory=memory)
        back = np.argsort(order)
        memory = [[part[:, back] for part in layer] for layer in memory]
        for index, states in zip(order, found, strict=True):
            expected = np.concatenate(list(files[index][str(number)][()]), axis=1)
            np.testing.assert_allclose(states[2], expected, rtol=0, atol=1e-5)
    # Without memory the first batch is the same, and the next ones are not.
    (again,) = states_of(network, [texts[0][9].split()])
    expected = np.concatenate(list(files[0]["9"][()]), axis=1)
    assert np.abs(again[2] - expected).max() > 1e-3
