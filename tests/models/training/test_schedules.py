"""Tests of models/training/schedules.py, against transformers and the formula of ULM-FiT."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

from bertvectorizer.models.training.schedules import SCHEDULES, Schedule, learning_rate_factor


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("n_steps", [1, 7, 70])
def test_linear_and_constant_are_those_of_transformers(n_steps: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    n_rising = math.ceil(warmup * n_steps)
    linear = get_linear_schedule_with_warmup(optimizer, n_rising, n_steps).lr_lambdas[0]
    constant = get_constant_schedule_with_warmup(optimizer, n_rising).lr_lambdas[0]
    for step in range(n_steps):
        assert learning_rate_factor("linear", step, n_steps, warmup) == linear(step)
        assert learning_rate_factor("constant", step, n_steps, warmup) == constant(step)


@pytest.mark.parametrize(("n_steps", "cut_share"), [(10, 0.1), (40, 0.25), (100, 0.1), (8, 0.5)])
def test_slanted_triangular_is_the_formula_of_the_paper(n_steps: int, cut_share: float) -> None:
    """Equation 3 of Howard & Ruder 2018."""
    ratio, cut = 32, math.floor(n_steps * cut_share)
    for t in range(n_steps):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_share - 1))
        assert learning_rate_factor("slanted_triangular", t, n_steps, cut_share) == pytest.approx(
            (1 + p * (ratio - 1)) / ratio, abs=1e-12
        )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_factor_stays_between_0_and_1_and_reaches_1(schedule: Schedule) -> None:
    factors = [learning_rate_factor(schedule, step, 30, 0.2) for step in range(30)]
    assert min(factors) >= 0
    assert max(factors) == factors[6] == 1
