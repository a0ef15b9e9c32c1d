"""Tiny seeded ELMos, and what they compute in plain NumPy, word by word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bertvectorizer.models.elmo.options import read_options

h5py = pytest.importorskip("h5py", reason="needs the extra elmo")

OPTIONS: dict[str, Any] = {
    "lstm": {
        "n_layers": 2,
        "dim": 12,
        "projection_dim": 6,
        "cell_clip": 0.3,
        "proj_clip": 0.3,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "n_characters": 262,
        "max_characters_per_token": 12,
        "embedding": {"dim": 4},
        "filters": [[1, 4], [2, 6], [3, 5]],
        "n_highway": 2,
        "activation": "relu",
    },
}


def changed_options(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with changes by dotted names; a value of `...` leaves one out."""
    options: dict[str, Any] = json.loads(json.dumps(OPTIONS))
    for name, value in changes.items():
        *groups, last = name.split(".")
        place = options
        for group in groups:
            place = place[group]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return options


def save_elmo(
    directory: Path,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    has_vocabulary: bool = True,
) -> Path:
    """Save an ELMo with random weights, which are wide enough for clipping to act."""
    options = changed_options(changes or {})
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "options.json").write_text(json.dumps(options))
    if has_vocabulary:
        (directory / "vocab.txt").write_text("</S>\n<S>\n<UNK>\nbat\n")
    rng = np.random.default_rng(seed)
    shapes = read_options(directory / "options.json", options).shapes
    with h5py.File(directory / "weights.hdf5", "w") as file:
        for name, shape in shapes.items():
            file[name] = rng.normal(scale=0.5, size=shape).astype(np.float32)
    return directory


def characters(word: str, longest: int) -> list[int]:
    """Return the numbers of a word's bytes and marks, as bilm-tf has them."""
    marks = {"<S>": [256], "</S>": [257]}
    body = marks.get(word) or list(word.encode())[: longest - 2]
    return ([258, *body, 259] + [260] * longest)[:longest]


class NumpyElmo:
    """An ELMo in float64, one sentence, direction and word at a time."""

    def __init__(self, directory: Path, clips: bool = True) -> None:
        self.options = json.loads((directory / "options.json").read_text())
        self.weights: dict[str, NDArray[np.float64]] = {}
        with h5py.File(directory / "weights.hdf5") as file:
            file.visititems(self._keep)
        self._clips = clips

    def _keep(self, name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            self.weights[name] = item[()].astype(np.float64)

    def word(self, word: str) -> NDArray[np.float64]:
        """Return the vector of a word without context."""
        options, weights = self.options["char_cnn"], self.weights
        ids = characters(word, options["max_characters_per_token"])
        letters = weights["char_embed"][ids]
        found = []
        for index, (width, _) in enumerate(options["filters"]):
            windows = [letters[start : start + width] for start in range(len(ids) - width + 1)]
            sums = np.einsum("nwc,wcf->nf", windows, weights[f"CNN/W_cnn_{index}"][0])
            found.append((sums + weights[f"CNN/b_cnn_{index}"]).max(axis=0))
        activation = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[options["activation"]]
        vector = activation(np.concatenate(found))
        for index in range(options.get("n_highway", 0)):
            carry, changed = (
                vector @ weights[f"CNN_high_{index}/W_{gate}"]
                + weights[f"CNN_high_{index}/b_{gate}"]
                for gate in ("carry", "transform")
            )
            share = _sigmoid(carry)
            vector = share * np.maximum(changed, 0) + (1 - share) * vector
        if "CNN_proj/W_proj" in weights:
            vector = vector @ weights["CNN_proj/W_proj"] + weights["CNN_proj/b_proj"]
        return vector

    def __call__(self, words: Sequence[str]) -> NDArray[np.float64]:
        """Return the states of a sentence, of shape (n_layers + 1, n_words, 2 * width)."""
        vectors = np.array([self.word(word) for word in ("<S>", *words, "</S>")])
        layers = [np.hstack([vectors, vectors])]
        both = [vectors, vectors[::-1]]
        for layer in range(self.options["lstm"]["n_layers"]):
            both = [self._lstm(direction, layer, both[direction]) for direction in (0, 1)]
            layers.append(np.hstack([both[0], both[1][::-1]]))
        return np.array(layers)[:, 1:-1]

    def _lstm(self, direction: int, layer: int, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        options = self.options["lstm"]
        name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
        weights, bias = self.weights[f"{name}/W_0"], self.weights[f"{name}/B"]
        cell, state = np.zeros(options["dim"]), np.zeros(options["projection_dim"])
        outputs = []
        for vector in inputs:
            update, candidate, forget, output = np.split(
                np.concatenate([vector, state]) @ weights + bias, 4
            )
            cell = _sigmoid(forget + 1) * cell + _sigmoid(update) * np.tanh(candidate)
            cell = self._clip(cell, options["cell_clip"])
            state = _sigmoid(output) * np.tanh(cell)
            if f"{name}/W_P_0" in self.weights:
                state = self._clip(state @ self.weights[f"{name}/W_P_0"], options["proj_clip"])
            skips = options["use_skip_connections"] and layer > 0
            outputs.append(state + vector if skips else state)
        return np.array(outputs)

    def _clip(self, values: NDArray[np.float64], limit: float | None) -> NDArray[np.float64]:
        return values if limit is None or not self._clips else np.clip(values, -limit, limit)


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))
