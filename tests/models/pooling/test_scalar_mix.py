"""Tests of models/pooling/scalar_mix.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bertvectorizer.models.pooling.scalar_mix import ScalarMix, fit_scalar_mix
from tests.tolerance import tolerance

pytestmark = pytest.mark.numeric

CLASSES = np.random.default_rng(0).integers(0, 3, 150)
NUMBERS = np.random.default_rng(1).normal(1000.0, 50.0, 150).astype(np.float32)


def layers_of(signal: NDArray[np.float64], layer: int, n_layers: int = 4) -> NDArray[np.float32]:
    """Layers of noise, of which one predicts the targets."""
    rng = np.random.default_rng(2)
    layers = rng.normal(size=(n_layers, len(signal), 8))
    layers[layer, :, : signal.shape[1]] = signal + rng.normal(0, 0.05, signal.shape)
    return layers.astype(np.float32)


def check_weights(mix: ScalarMix, n_layers: int) -> None:
    assert mix.weights.shape == (n_layers,)
    assert mix.weights.dtype == np.float32
    assert (mix.weights > 0).all()
    assert mix.weights.sum() == pytest.approx(1, abs=tolerance(len(mix.weights)))
    assert np.isfinite(mix.scale)
    assert mix.scale >= 0


@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_the_layer_that_predicts_the_targets_gets_most_weight(layer: int, kind: str) -> None:
    signal = (
        np.eye(3)[CLASSES] if kind == "classes" else (NUMBERS[:, None].astype(float) - 1000) / 50
    )
    targets, n_classes = (CLASSES, 3) if kind == "classes" else (NUMBERS, None)
    mix = fit_scalar_mix(layers_of(signal, layer), targets, n_classes)
    check_weights(mix, 4)
    assert mix.weights.argmax() == layer
    assert mix.weights[layer] > 0.6


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_the_size_of_the_numbers_does_not_matter(factor: float) -> None:
    layers = layers_of(np.eye(3)[CLASSES], 1)
    expected = fit_scalar_mix(layers, CLASSES, 3)
    mix = fit_scalar_mix((layers * factor).astype(np.float32), CLASSES, 3)
    np.testing.assert_allclose(mix.weights, expected.weights, atol=0.05)


def test_nothing_is_drawn_and_nothing_is_changed() -> None:
    layers = layers_of(np.eye(3)[CLASSES], 1)
    before, seed = layers.copy(), torch.random.get_rng_state()
    mixes = [fit_scalar_mix(layers, CLASSES, 3) for _ in range(2)]
    np.testing.assert_array_equal(mixes[0].weights, mixes[1].weights)
    assert mixes[0].scale == mixes[1].scale
    np.testing.assert_array_equal(layers, before)
    assert torch.equal(torch.random.get_rng_state(), seed)


@pytest.mark.parametrize(
    ("n", "targets", "n_classes"),
    [
        (0, np.empty(0, dtype=np.int64), 0),
        (0, np.empty(0, dtype=np.float32), None),
        (1, np.array([0]), 1),
        (1, np.array([2.5], dtype=np.float32), None),
        (5, np.zeros(5, dtype=np.int64), 1),
        (5, np.full(5, 7.0, dtype=np.float32), None),
    ],
)
def test_too_little_to_learn_from_leaves_the_mean(
    n: int, targets: NDArray[np.float32], n_classes: int | None
) -> None:
    mix = fit_scalar_mix(
        np.random.default_rng(3).normal(size=(3, n, 4)).astype(np.float32), targets, n_classes
    )
    check_weights(mix, 3)
    np.testing.assert_allclose(mix.weights, 1 / 3, atol=0.02)


@pytest.mark.parametrize("n_classes", [2, None])
def test_layers_of_zeros_are_no_obstacle(n_classes: int | None) -> None:
    targets = np.array([0, 1, 0, 1]) if n_classes else np.array([0, 1, 0, 1], dtype=np.float32)
    check_weights(fit_scalar_mix(np.zeros((2, 4, 3), dtype=np.float32), targets, n_classes), 2)


def test_a_single_layer_has_all_the_weight() -> None:
    assert fit_scalar_mix(
        layers_of(np.eye(3)[CLASSES], 0, n_layers=1), CLASSES, 3
    ).weights.tolist() == [1.0]


def test_mixing_is_a_weighted_sum() -> None:
    layers = np.random.default_rng(4).normal(size=(3, 5, 2)).astype(np.float32)
    before = layers.copy()
    mix = ScalarMix(np.array([0.2, 0.3, 0.5], dtype=np.float32), 2.0)
    mixed = mix(layers)
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(
        mixed, 2 * np.einsum("l,lnw->nw", mix.weights, layers), atol=tolerance(3, scale=2)
    )
    np.testing.assert_array_equal(layers, before)
    assert mix(layers[:, :0]).shape == (0, 2)


def test_settings_of_the_process_do_not_matter() -> None:
    layers = layers_of(np.eye(3)[CLASSES], 1)
    expected = fit_scalar_mix(layers, CLASSES, 3)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            mix = fit_scalar_mix(layers, CLASSES, 3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert mix.weights.dtype == np.float32
    np.testing.assert_allclose(mix.weights, expected.weights, atol=1e-3)  # steps are rounded
