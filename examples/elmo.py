"""ELMo: the same word has another vector in each sentence, and a tagger mixes the layers.

Give the directory of a published model (``python elmo.py DIRECTORY``); without one, a tiny
ELMo with random weights is written. It needs the extra ``elmo``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from bertvectorizer import BertWordVectorizer, SequenceLabeler

SENTENCES = [["a", "river", "bank"], ["the", "bank", "closed"], ["a", "bank", "of", "reeds"]]
TAGS = [["O", "O", "PLACE"], ["O", "FIRM", "O"], ["O", "PLACE", "O", "O"]]


def write_tiny_elmo(directory: Path) -> None:
    """Write the two files of an ELMo of two layers: options, and weights in HDF5."""
    width, cell, letters, filters = 8, 16, 4, [[1, 8], [2, 8]]
    n_filters = sum(number for _, number in filters)
    convolutions = {"n_characters": 262, "max_characters_per_token": 50, "activation": "relu"}
    lstm = {"n_layers": 2, "dim": cell, "projection_dim": width, "cell_clip": 3, "proj_clip": 3}
    options = {
        "lstm": {**lstm, "use_skip_connections": True},
        "char_cnn": {
            **convolutions, "embedding": {"dim": letters}, "filters": filters, "n_highway": 1,
        },
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"char_embed": (261, letters)}
    for index, (span, number) in enumerate(filters):
        shapes[f"CNN/W_cnn_{index}"] = (1, span, letters, number)
        shapes[f"CNN/b_cnn_{index}"] = (number,)
    for gate in ("carry", "transform"):
        shapes[f"CNN_high_0/W_{gate}"] = (n_filters, n_filters)
        shapes[f"CNN_high_0/b_{gate}"] = (n_filters,)
    shapes |= {"CNN_proj/W_proj": (n_filters, width), "CNN_proj/b_proj": (width,)}
    for direction in (0, 1):
        for layer in (0, 1):
            name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            shapes[f"{name}/W_0"] = (2 * width, 4 * cell)
            shapes[f"{name}/B"] = (4 * cell,)
            shapes[f"{name}/W_P_0"] = (cell, width)

    (directory / "options.json").write_text(json.dumps(options), encoding="utf-8")
    random = np.random.default_rng(0)
    with h5py.File(directory / "weights.hdf5", "w") as file:
        for name, shape in shapes.items():
            file[name] = random.normal(scale=0.5, size=shape).astype(np.float32)


def show(directory: Path) -> None:
    """Compare the word "bank" in two sentences by layer, and learn a mix of the layers."""
    for layer in (0, 1, 2):
        vectors = BertWordVectorizer(directory, layers=layer).fit_transform(SENTENCES)
        river, firm = vectors[2], vectors[4]
        cosine = river @ firm / np.linalg.norm(river) / np.linalg.norm(firm)
        print(f"layer {layer}: cosine of the two banks {cosine:.2f}")

    mix = BertWordVectorizer(directory, layers="all", layer_merge="weighted")
    tagger = SequenceLabeler(mix, decode="greedy").fit(SENTENCES * 8, TAGS * 8)
    print("weights of the layers:", *tagger.vectorizer_.layer_weights_.round(2))
    print("tags:", *tagger.predict(SENTENCES[1:2])[0])


def main() -> None:
    """Show a published ELMo, or a tiny one."""
    if len(sys.argv) > 1 and Path(sys.argv[1]).is_dir():
        show(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as directory:
        write_tiny_elmo(Path(directory))
        show(Path(directory))


if __name__ == "__main__":
    main()
