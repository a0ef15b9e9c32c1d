"""Tests of models/training/seeding.py."""

from __future__ import annotations

from contextlib import suppress

import torch

from bertvectorizer.models.training.seeding import seeded
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
