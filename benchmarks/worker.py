"""A contender in a process of its own, which answers requests: one JSON object a line, over
standard input and output.

One process each, since the engines change the behaviour of the memory allocator and the peaks of
memory must not mix."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .common import peak_mib
from .engines import ENGINES, Contender, Place
from .network import Gemm, Network
from .process import JsonProcess, answers


class WorkerProcess(JsonProcess):
    """The side of the benchmark: starts the process and asks."""

    def __init__(self, contender: Contender, place: Place) -> None:
        super().__init__("benchmarks.worker", json.dumps([asdict(contender), asdict(place)]))
        self._name = contender.name

    def ask(self, what: str, **arguments: Any) -> Any:
        """Call a public method of `Worker` over there."""
        return self.request(self._name, [what, arguments])


class Worker:
    """The side of the contender."""

    def __init__(self, contender: Contender, place: Place) -> None:
        self._contender = contender
        self._place = place
        self._engine = ENGINES[contender.engine](contender, place)
        self._texts: list[str] = []
        self._vectors = np.empty(0)
        self._gemm: Gemm | None = None

    def hold(self, texts: list[str]) -> float:
        """Keep the texts for `encode`; returns the peak of memory so far, in MiB: the model and its libraries."""
        self._texts = texts
        return self.peak()

    def encode(self) -> float:
        """Encode the texts; returns seconds."""
        start = time.perf_counter()
        self._vectors = self._engine.encode(self._texts)
        return time.perf_counter() - start

    def save(self, path: str) -> None:
        """Write the last vectors to a ``.npy`` file."""
        np.save(path, self._vectors)

    def peak(self) -> float:
        """Return the largest resident memory of this process so far, in MiB."""
        return peak_mib()

    def device_peak(self) -> float | None:
        """Return the largest memory of the GPU that tensors took so far, in MiB."""
        import torch

        return torch.cuda.max_memory_allocated() / 2**20 if self._place.device == "cuda" else None

    def gemm(self) -> float:
        """Return the machine's FLOP/s in matrix products of the network's shapes."""
        if self._gemm is None:
            import torch

            from bertvectorizer.models.network.devices import tokens_per_batch

            network = Network.of(Path(self._place.model))
            n_tokens = tokens_per_batch(torch.device(self._place.device), network.intermediate)
            self._gemm = Gemm(network, n_tokens, self._place.device, self._contender.precision)
        return self._gemm.rate()

    def facts(self) -> dict[str, Any]:
        """Return what only PyTorch knows of the machine."""
        import torch

        gpu = torch.cuda.get_device_name() if self._place.device == "cuda" else None
        return {"threads": torch.get_num_threads(), "gpu": gpu}


def main() -> None:
    """Answer requests until the input ends."""
    replies = answers()
    contender, place = json.loads(sys.argv[1])
    worker = Worker(Contender(**contender), Place(**place))
    for line in sys.stdin:
        what, arguments = json.loads(line)
        print(json.dumps(getattr(worker, what)(**arguments)), file=replies)


if __name__ == "__main__":
    main()
