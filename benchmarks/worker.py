"""Run a contender in a process that answers requests: one JSON object a line.

One process each, since the engines change the behaviour of the memory allocator and the peaks of
memory must not mix.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .common import peak_mib
from .engines import ENGINES, Contender, ModelSetup
from .network import Gemm, Network
from .process import JsonProcess, reply_stream


class WorkerProcess(JsonProcess):
    """The process of a contender, as the benchmark sees it."""

    def __init__(self, contender: Contender, setup: ModelSetup) -> None:
        super().__init__("benchmarks.worker", json.dumps([asdict(contender), asdict(setup)]))
        self._name = contender.name

    def call(self, method: str, **arguments: Any) -> Any:
        """Call a public method of `Worker` in the process."""
        return self.request(self._name, [method, arguments])


class Worker:
    """The contender in its process."""

    def __init__(self, contender: Contender, setup: ModelSetup) -> None:
        self._contender = contender
        self._place = setup
        self._engine = ENGINES[contender.engine](contender, setup)
        self._texts: list[str] = []
        self._vectors = np.empty(0)
        self._gemm: Gemm | None = None

    def set_texts(self, texts: list[str]) -> float:
        """Set the texts for `encode`; returns the peak of memory of model and libraries, in MiB."""
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
    replies = reply_stream()
    contender, setup = json.loads(sys.argv[1])
    worker = Worker(Contender(**contender), ModelSetup(**setup))
    for line in sys.stdin:
        method, arguments = json.loads(line)
        print(json.dumps(getattr(worker, method)(**arguments)), file=replies)


if __name__ == "__main__":
    main()
