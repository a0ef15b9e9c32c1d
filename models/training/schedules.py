"""How the learning rate changes over the steps of a training."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

__all__ = ["SCHEDULES", "Schedule", "learning_rate_factor"]

Schedule: TypeAlias = Literal["linear", "slanted_triangular", "constant"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

_RATIO = 32  # of the highest to the lowest learning rate, in section 3.2 of the paper


def learning_rate_factor(schedule: Schedule, step: int, n_steps: int, warmup: float) -> float:
    """Return what the learning rate is multiplied by at a step, counted from 0.

    In the first ``warmup`` share of the steps it rises: to 1 from 0, or from 1/32 in
    ``"slanted_triangular"``. Then it falls to the same value, or stays.

    References
    ----------
    J. Howard, S. Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
    section 3.2, equation 3.

    Examples
    --------
    >>> [learning_rate_factor("linear", step, 4, 0.5) for step in range(4)]
    [0.0, 0.5, 1.0, 0.5]
    """
    n_rising = math.ceil(warmup * n_steps)
    if step < n_rising:
        factor = step / n_rising
    elif schedule == "constant":
        factor = 1.0
    else:
        factor = (n_steps - step) / (n_steps - n_rising)
    if schedule == "slanted_triangular":
        return (1 + factor * (_RATIO - 1)) / _RATIO
    return factor
