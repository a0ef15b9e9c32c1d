"""Tests of models/training/seeding.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import torch

from bertvectorizer.models.training.seeding import RandomStream, seeded
from tests.training import CPU


def test_numbers_come_from_the_seed_and_the_random_state_stays() -> None:
    before = torch.random.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        with seeded(seed, CPU):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_random_state_comes_back_after_an_error() -> None:
    before = torch.random.get_rng_state()
    with suppress(KeyboardInterrupt), seeded(0, CPU):
        torch.rand(4)
        raise KeyboardInterrupt
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_stream_goes_on_and_threads_draw_from_their_own() -> None:
    def draw(seed: int) -> list[float]:
        stream, numbers = RandomStream(seed, CPU), []
        for _ in range(50):
            with stream.block():
                numbers.append(float(torch.rand(1)))
        return numbers

    before = torch.random.get_rng_state()
    with seeded(1, CPU):
        expected = torch.rand(50).tolist()
    assert draw(1) == expected
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(draw, [1, 2, 1, 3]))
    assert drawn[0] == drawn[2] == expected
    assert drawn[1] != drawn[3]
    assert torch.equal(torch.random.get_rng_state(), before)
