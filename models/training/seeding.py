"""Random numbers of PyTorch from a seed, without a trace in the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from ..checkpoint.description import settings_lock

__all__ = ["RandomStream", "seeded"]


class RandomStream:
    """Random numbers from a seed: each block goes on where the last one ended.

    After a block, the random state of the process is what it was. Other threads wait that have a
    block, or load a model, which keeps the random state, too: each draws its own numbers.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._cuda = [device] if device.type == "cuda" else []
        self.state: list[torch.Tensor] = []  # empty before the first block

    @contextmanager
    def block(self) -> Iterator[None]:
        """Draw from this stream within the block."""
        with settings_lock, torch.random.fork_rng(devices=self._cuda):
            if self.state:
                torch.random.set_rng_state(self.state[0])
                for device, state in zip(self._cuda, self.state[1:], strict=True):
                    torch.cuda.set_rng_state(state, device)
            else:
                torch.manual_seed(self._seed)
            yield
            self.state = [torch.random.get_rng_state(), *map(torch.cuda.get_rng_state, self._cuda)]


def seeded(seed: int, device: torch.device) -> AbstractContextManager[None]:
    """Return a block that draws from a seed."""
    return RandomStream(seed, device).block()
