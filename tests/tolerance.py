"""How far two floating-point results may differ that exact arithmetic makes equal."""

from __future__ import annotations

import numpy as np

# The sums of a layer of tests.tiny that follow each other: over its features, over its wider ones.
_TERMS_PER_LAYER = 32 + 64


def tolerance(n_terms: int, dtype: type[np.floating] = np.float32, scale: float = 1.0) -> float:
    """Return how far two sums of the same terms, added in another order, may lie apart.

    An addition rounds by at most ``eps / 2`` of the sum so far, which is at most ``scale``. The
    signs of the roundings are random, so that they add up to a multiple of ``sqrt(n_terms)``: the
    standard deviation of the difference is ``sqrt(n_terms / 6) * eps``, and the bound 2.4 times
    that where all partial sums are as large as ``scale``. Most are much smaller.
    """
    return float(scale * np.sqrt(n_terms) * np.finfo(dtype).eps)


def network_tolerance(n_layers: int = 3, scale: float = 1.0) -> float:
    """Return `tolerance` for the states of a model of tests.tiny, batched in another way."""
    return tolerance(n_layers * _TERMS_PER_LAYER, scale=scale)
