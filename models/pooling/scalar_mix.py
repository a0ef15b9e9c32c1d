"""A weighted sum of layers whose weights are learned from data: ELMo's scalar mix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..torch_threads import use_one_thread_in_forks

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ScalarMix", "fit_scalar_mix"]

_PENALTY = 1e-4
_MOST_STEPS = 100


@dataclass(frozen=True)
class ScalarMix:
    """``scale`` times the weighted sum of layers; weights are positive and add up to 1."""

    weights: NDArray[np.float32]
    scale: float

    def __call__(self, layers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix layers of shape (n_layers, n, width) into an array of shape (n, width)."""
        mixed: NDArray[np.float32] = self.weights[0] * layers[0]
        for weight, layer in zip(self.weights[1:], layers[1:], strict=True):
            mixed += weight * layer
        mixed *= np.float32(self.scale)
        return mixed


def fit_scalar_mix(
    layers: NDArray[np.float32], targets: NDArray[Any], n_classes: int | None
) -> ScalarMix:
    """Learn the mix of layers from which a linear model predicts the targets best.

    ``layers`` has the states, of shape (n_layers, n, width); ``targets``, of shape (n,), class
    numbers, int64, or regression targets, float32, with ``n_classes=None``. Softmax weights, scale
    and the linear model are found together, by L-BFGS on cross-entropy or squared error. A small
    penalty on squares keeps the scale and the coefficients from growing at each other's cost, and
    draws the weights' logits towards the plain mean. The linear model is then thrown away. Nothing
    is random.

    References
    ----------
    M. Peters et al., "Deep Contextualized Word Representations", NAACL 2018, section 3.2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> classes = rng.integers(0, 2, 200)
    >>> noise = rng.normal(0, 1, (200, 2))
    >>> layers = np.stack([noise, np.eye(2)[classes] + 0.1 * noise]).astype(np.float32)
    >>> mix = fit_scalar_mix(layers, classes, n_classes=2)
    >>> bool(mix.weights[1] > 0.9)
    True
    """
    import torch

    # Whatever the process's settings: a gradient is needed, and all of it in float32.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        return _fit(layers, targets, n_classes)


def _fit(layers: NDArray[np.float32], targets: NDArray[Any], n_classes: int | None) -> ScalarMix:
    import torch
    from torch.nn.functional import cross_entropy, mse_loss

    use_one_thread_in_forks()
    states = torch.from_numpy(np.ascontiguousarray(layers))
    n_outputs = 1 if n_classes is None else n_classes
    kind: Any = {"dtype": torch.float32, "requires_grad": True}
    mix = torch.zeros(len(states), **kind)
    scale = torch.ones(1, **kind)
    coefficients = torch.zeros(states.shape[2], n_outputs, **kind)
    intercept = torch.zeros(n_outputs, **kind)
    parameters = [mix, scale, coefficients, intercept]
    wanted = torch.from_numpy(targets)
    if n_classes is None:
        spread = float(wanted.std()) if len(wanted) > 1 else 0.0
        wanted = (wanted - wanted.mean()) / (spread or 1.0)
    # L-BFGS misjudges curvature where numbers are tiny or huge.
    states = states / (float(states.square().mean().sqrt()) or 1.0)
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=_MOST_STEPS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        mixed = scale * torch.tensordot(torch.softmax(mix, 0), states, dims=1)
        predicted = mixed @ coefficients + intercept
        if n_classes is None:
            error = mse_loss(predicted[:, 0], wanted)
        else:
            error = cross_entropy(predicted, wanted)
        total = error + _PENALTY * sum(
            (parameter.square().sum() for parameter in (coefficients, scale, mix)),
            start=torch.zeros(()),
        )
        total.backward()
        return total

    if len(wanted):
        optimizer.step(loss)
    return ScalarMix(torch.softmax(mix.detach(), 0).numpy(), abs(float(scale.detach())))
