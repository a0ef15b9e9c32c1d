"""Latency of one text: ``transform([text])`` with the model in memory against a bare forward pass.

Run ``python -m benchmarks.latency``; README.md says what each number means.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

from bertvectorizer import BertVectorizer, EmbeddingStore
from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate

from .common import machine, parser, processor_kind, write
from .table import latency_table

TEXT = "The {} bat that hung from the beam flew out when the guests arrived for dinner, at {}."


def texts(count: int) -> list[str]:
    """Return distinct texts of the same number of tokens."""
    words = ["old", "new", "big", "red", "wet", "shy", "fat", "thin", "young", "black"]
    return [TEXT.format(words[i % 10], words[i // 10 % 10]) + f" {i}" for i in range(count)]


def milliseconds(call: Callable[[str], object], text: str) -> float:
    """Return the time of a call, in milliseconds."""
    start = time.perf_counter()
    call(text)
    return 1e3 * (time.perf_counter() - start)


def measure(rounds: int) -> dict[str, Any]:
    """Time each way for each text, in turns; every text is new to every way but ``known``."""
    directory = locate(DEFAULT_MODEL, local_files_only=True)
    tokenizer, model = (
        AutoTokenizer.from_pretrained(directory),
        AutoModel.from_pretrained(directory),
    )
    model.eval()
    inputs = {text: tokenizer(text, return_tensors="pt") for text in texts(rounds + 10)}

    def forward(text: str) -> object:
        with torch.inference_mode():
            return model(**inputs[text])

    with tempfile.TemporaryDirectory() as folder:
        plain = BertVectorizer(DEFAULT_MODEL, store=None).fit([TEXT])
        stored = BertVectorizer(DEFAULT_MODEL, store=EmbeddingStore(folder, durable=False))
        stored.fit([TEXT])
        ways: dict[str, Callable[[str], object]] = {
            "bare forward pass": forward,
            "transform, store=None": lambda text: plain.transform([text]),
            "transform, new text": lambda text: stored.transform([text]),
            "transform, known text": lambda text: stored.transform([text]),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number, text in enumerate(inputs):
            for name, call in ways.items():
                elapsed = milliseconds(call, text)
                if number >= len(inputs) - rounds:  # the first ten warm up
                    taken[name].append(elapsed)
    return {"milliseconds": taken, "median": {name: median(ms) for name, ms in taken.items()}}


def main() -> None:
    """Measure, write the result file and print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=200, help="texts that are counted")
    options = arguments.parse_args()
    result = {"machine": machine(), "threads": torch.get_num_threads(), **measure(options.rounds)}
    write(options.name or f"latency-{processor_kind()}", result)
    print(latency_table(result))


if __name__ == "__main__":
    main()
