"""Tests of models/checkpoint/output_spec.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.models import Checkpoint, open_checkpoint, resolve_output_spec
from tests.tiny import ModelFactory, save_sentence_transformer

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def checkpoint(tiny_model: ModelFactory, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A checkpoint with pooling, Dense and Normalize of its own."""
    directory: Path = tmp_path_factory.mktemp("readout")
    save_sentence_transformer(
        tiny_model("bert"), directory, pooling=("cls", "mean"), dense=16, normalize=True
    )
    return open_checkpoint(str(directory))


def test_auto_is_the_checkpoint_s_own(checkpoint: Checkpoint) -> None:
    readout = resolve_output_spec(checkpoint)
    assert (readout.layers, readout.poolings, readout.normalize, readout.n_features) == (
        (3,),
        ("cls", "mean"),
        False,
        16,
    )
    assert [module.name for module in readout.later_modules] == ["Dense", "Normalize"]


@pytest.mark.parametrize("layers", [3, [-1], "3", "-1"])
def test_the_last_layer_under_any_name_keeps_the_later_modules(
    checkpoint: Checkpoint, layers: Any
) -> None:
    assert resolve_output_spec(checkpoint, layers) == resolve_output_spec(checkpoint)


@pytest.mark.parametrize(
    ("layers", "n_features"), [(-2, 64), ("-1,-2", 128), (0, 64), ("all", 256)]
)
def test_other_layers_keep_the_pooling_alone(
    checkpoint: Checkpoint, layers: Any, n_features: int
) -> None:
    readout = resolve_output_spec(checkpoint, layers)
    assert (readout.poolings, readout.later_modules, readout.n_features) == (
        ("cls", "mean"),
        (),
        n_features,
    )


def test_a_requested_pooling_drops_the_later_modules(checkpoint: Checkpoint) -> None:
    readout = resolve_output_spec(checkpoint, pooling=("cls", "mean"))
    assert (readout.later_modules, readout.n_features) == ((), 64)


@pytest.mark.parametrize(
    ("normalize", "modules"),
    [(False, ["Dense"]), (True, ["Dense", "Normalize"]), ("auto", ["Dense", "Normalize"])],
)
def test_normalize(checkpoint: Checkpoint, normalize: Any, modules: list[str]) -> None:
    readout = resolve_output_spec(checkpoint, normalize=normalize)
    assert [module.name for module in readout.later_modules] == modules
    assert readout.normalize is (normalize is True)
    assert readout.n_features == 16


@pytest.mark.parametrize(
    ("layer_merge", "n_features"), [("concat", 3 * 2 * 32), ("sum", 2 * 32), ("mean", 2 * 32)]
)
def test_width_of_merged_layers_and_poolings(
    checkpoint: Checkpoint, layer_merge: str, n_features: int
) -> None:
    assert (
        resolve_output_spec(checkpoint, [1, 2, 3], layer_merge, ["max", "lasttoken"]).n_features
        == n_features
    )


@pytest.mark.parametrize("layer_merge", ["average", None, "Concat", ("sum",)])
def test_what_is_no_layer_merge_is_refused(checkpoint: Checkpoint, layer_merge: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match="'layer_merge' parameter must be one of 'concat', 'sum', 'mean'",
    ):
        resolve_output_spec(checkpoint, layer_merge=layer_merge)


@pytest.mark.parametrize("normalize", [None, 1, 0, "l2", "True"])
def test_what_is_no_normalize_is_refused(checkpoint: Checkpoint, normalize: Any) -> None:
    with pytest.raises(
        InvalidParameterError, match="'normalize' parameter must be 'auto', True or False"
    ):
        resolve_output_spec(checkpoint, normalize=normalize)


def test_layers_and_poolings_are_checked(checkpoint: Checkpoint) -> None:
    with pytest.raises(
        InvalidParameterError, match=r"in the range \[-4, 3\] for this model of 3 layers"
    ):
        resolve_output_spec(checkpoint, layers=4)
    with pytest.raises(InvalidParameterError, match="'pooling' parameter must be 'auto', one of"):
        resolve_output_spec(checkpoint, pooling="median")


@pytest.mark.parametrize("truncate_dim", [0, -1, 33, 4.0, "8", True])
def test_what_is_no_number_of_features_is_refused(
    tiny_model: ModelFactory, truncate_dim: Any
) -> None:
    checkpoint = open_checkpoint(str(tiny_model("bert")))
    with pytest.raises(InvalidParameterError, match="'truncate_dim' parameter must be"):
        resolve_output_spec(checkpoint, truncate_dim=truncate_dim)
    assert resolve_output_spec(checkpoint, truncate_dim=32).n_features == 32
