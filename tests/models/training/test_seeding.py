"""Tests of models/training/seeding.py."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import torch

from bertvectorizer.models.checkpoint.weights import quiet_transformers
from bertvectorizer.models.training.seeding import RandomStream, seeded
from tests.training import CPU


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


def test_loading_a_model_in_another_thread_disturbs_no_stream() -> None:
    """Loading sets the random state back when it ends."""
    begun, may_end = threading.Event(), threading.Event()

    def load() -> None:
        with quiet_transformers():
            begun.set()
            may_end.wait(0.1)

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        begun.wait()
        with seeded(0, CPU):
            numbers = torch.rand(2)
            may_end.set()
            loading.result()
            numbers = torch.cat([numbers, torch.rand(2)])
    with seeded(0, CPU):
        assert torch.equal(numbers, torch.cat([torch.rand(2), torch.rand(2)]))
