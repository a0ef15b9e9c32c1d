"""ELMo at the published sizes: CPU time a word, and distance to the states that bilm-tf wrote.

Run ``python -m benchmarks.elmo``; README.md says what each number means. It takes two minutes.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn

from bertvectorizer import BertVectorizer
from bertvectorizer.models.checkpoint.source import open_checkpoint
from bertvectorizer.models.checkpoint.weights import load_elmo
from bertvectorizer.models.elmo.network import ElmoNetwork
from bertvectorizer.models.elmo.options import read_options
from bertvectorizer.models.elmo.words import characters_of

from .common import machine, parser, write
from .table import elmo_table
from .texts import sst2

_ALONE = 5  # texts that are read one by one, which takes long
PUBLISHED: dict[str, Any] = {
    "lstm": {
        "use_skip_connections": True,
        "projection_dim": 512,
        "cell_clip": 3,
        "proj_clip": 3,
        "dim": 4096,
        "n_layers": 2,
    },
    "char_cnn": {
        "activation": "relu",
        "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
        "n_highway": 2,
        "embedding": {"dim": 16},
        "n_characters": 262,
        "max_characters_per_token": 50,
    },
}


def save_model(directory: Path) -> None:
    """Save a model of the published sizes with random weights."""
    path = directory / "options.json"
    path.write_text(json.dumps(PUBLISHED))
    random = np.random.default_rng(0)
    with h5py.File(directory / "weights.hdf5", "w") as file:
        for name, shape in read_options(path, PUBLISHED).shapes.items():
            file[name] = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)


class TorchElmo:
    """The same character network under PyTorch's own LSTM, packed, which has no clipping."""

    def __init__(self, network: ElmoNetwork) -> None:
        self._network = network
        sizes = PUBLISHED["lstm"]
        self._layers = [
            nn.LSTM(sizes["projection_dim"], sizes["dim"], proj_size=sizes["projection_dim"]).eval()
            for _ in range(2 * sizes["n_layers"])
        ]

    def __call__(self, sentences: list[list[str]]) -> None:
        """Compute both directions of each layer for sentences, the longest first."""
        distinct = sorted({word for sentence in sentences for word in ("<S>", *sentence, "</S>")})
        numbers = {word: number for number, word in enumerate(distinct)}
        with torch.inference_mode():
            vectors = self._network.word_vectors(characters_of(distinct, 50))
            for step in (1, -1):
                packed = nn.utils.rnn.pack_sequence(
                    [
                        vectors[[numbers[word] for word in ("<S>", *sentence, "</S>")[::step]]]
                        for sentence in sentences
                    ]
                )
                for layer in self._layers[:: 2 if step == 1 else -2]:
                    packed, _ = layer(packed)


def measure(data: Path, n_texts: int, rounds: int) -> list[dict[str, Any]]:
    """Let all ways encode the same sentences in turns; the first round warms up."""
    texts = sst2(data, "test")[0][:n_texts]
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder))
        vectorizer = BertVectorizer(folder, store=None).fit(texts)
        checkpoint = open_checkpoint(folder)
        assert checkpoint.elmo is not None
        plain = TorchElmo(load_elmo(checkpoint, checkpoint.elmo))
        sentences = sorted((text.split() for text in texts), key=len, reverse=True)
        n_words = vectorizer.truncation_.n_tokens
        few = texts[:_ALONE]
        n_few = BertVectorizer(folder, store=None).fit(few).truncation_.n_tokens
        ways: dict[str, tuple[Callable[[], object], int]] = {
            "BertVectorizer": (lambda: vectorizer.transform(texts), n_words),
            "torch.nn.LSTM, packed, without clipping": (lambda: plain(sentences), n_words),
            "BertVectorizer, one text a call": (
                lambda: [vectorizer.transform([text]) for text in few],
                n_few,
            ),
        }
        per_word: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr)
            for name, (call, words) in ways.items():
                start = time.process_time()
                call()
                per_word[name].append(1e3 * (time.process_time() - start) / words)
    first = per_word["BertVectorizer"][1:]
    return [
        {
            "way": name,
            "milliseconds": own[1:],
            "milliseconds_per_word": median(own[1:]),
            "ratio": median(one / ours for one, ours in zip(own[1:], first, strict=True)),
        }
        for name, own in per_word.items()
    ]


def distance(directory: Path) -> float:
    """Return the largest difference to the last layer that bilm-tf wrote for its ten batches.

    bilm-tf kept the states of a batch for the next, and so does this.
    """
    checkpoint = open_checkpoint(directory)
    assert checkpoint.elmo is not None
    network = load_elmo(checkpoint, checkpoint.elmo)
    texts = json.loads((directory / "lm_embeddings_sentences.json").read_text())
    sizes = (checkpoint.elmo.width, checkpoint.elmo.n_units)
    memory: Any = [[torch.zeros(2, 3, size) for size in sizes] for _ in range(2)]
    files = [h5py.File(directory / f"lm_embeddings_{index}.hdf5") for index in range(3)]
    largest = 0.0
    for number in range(10):
        batch = [texts[index][number].split() for index in range(3)]
        order = sorted(range(3), key=lambda index: -len(batch[index]))
        memory = [[part[:, order].clone() for part in layer] for layer in memory]
        lengths = np.array([len(batch[index]) for index in order])
        words = [word for index in order for word in batch[index]]
        ids = characters_of(words, checkpoint.elmo.longest_word)
        with torch.inference_mode():
            states = network.hidden_states(ids, lengths, [2], memory=memory)[2].numpy()
        memory = [[part[:, np.argsort(order)] for part in layer] for layer in memory]
        expected = [np.concatenate(list(files[index][str(number)][()]), 1) for index in order]
        largest = max(largest, float(np.abs(states - np.concatenate(expected)).max()))
    return largest


def main() -> None:
    """Measure, write the result file and print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=2, help="counted rounds after one")
    arguments.add_argument("--texts", type=int, default=200, help="number of sentences")
    options = arguments.parse_args()
    torch.set_num_threads(1)  # threads that wait for each other take CPU time as well
    result = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "texts": options.texts,
        "distance": distance(options.data / "elmo_fixture" / "model"),
        "rows": measure(options.data, options.texts, options.rounds),
    }
    print("\n" + elmo_table(result))
    write(options.name or "elmo", result)


if __name__ == "__main__":
    main()
