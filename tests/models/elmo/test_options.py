"""Options of an ELMo: the sizes they stand for, and the rule that a wrong one breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertvectorizer.errors import ModelIntegrityError, UnsupportedModelError
from bertvectorizer.models.elmo.options import cell_name, find_options, read_options
from tests.tiny_elmo import changed_options

PATH = Path("model", "options.json")


def test_published_options_give_the_published_shapes() -> None:
    """Of the "original" model (Peters et al. 2018), which has 93.6 million weights."""
    filters = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]
    changes = {
        "lstm": {"use_skip_connections": True, "projection_dim": 512, "cell_clip": 3,
                 "proj_clip": 3, "dim": 4096, "n_layers": 2},
        "char_cnn": {"activation": "relu", "filters": filters, "n_highway": 2,
                     "embedding": {"dim": 16}, "n_characters": 262,
                     "max_characters_per_token": 50},
    }  # fmt: skip
    shapes = read_options(PATH, changed_options(changes)).shapes
    assert shapes[f"{cell_name(1, 1)}/W_0"] == (1024, 16384)
    n_numbers = 0
    for shape in shapes.values():
        size = 1
        for length in shape:
            size *= length
        n_numbers += size
    assert round(n_numbers / 1e6, 1) == 93.6


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("lstm.n_layers", 0, "an integer from 1 to 256"),
        ("lstm.n_layers", True, "an integer from 1 to 256"),
        ("lstm.dim", 5, "an integer from 6 to"),  # less than projection_dim
        ("lstm.dim", 10**30, "an integer from 6 to 1,048,576"),
        ("lstm.projection_dim", "512", "an integer from 1 to"),
        ("lstm.cell_clip", float("nan"), "a positive number, or null"),
        ("lstm.proj_clip", -3, "a positive number, or null"),
        ("lstm.use_skip_connections", "yes", "true or false"),
        ("lstm", [], "an integer"),
        ("char_cnn.n_characters", 300, "an integer from 261 to 262"),
        ("char_cnn.max_characters_per_token", 2, "an integer from 3 to"),
        ("char_cnn.filters", [[1, 4], [13, 2]], "pairs of a width from 1 to 12"),
        ("char_cnn.filters", [], "pairs"),
        ("char_cnn.filters", [[1, 4]] * 300, "pairs"),
        ("char_cnn.activation", "gelu", "'relu' or 'tanh'"),
        ("char_cnn.activation", {}, "'relu' or 'tanh'"),
        ("char_cnn.n_highway", -1, "an integer from 0"),
        ("char_cnn.embedding", ..., "an integer from 1"),
        ("bidirectional", False, "true, or missing"),
    ],
)
def test_an_option_that_breaks_its_rule_is_named(name: str, value: Any, rule: str) -> None:
    with pytest.raises(ModelIntegrityError) as caught:
        read_options(PATH, changed_options({name: value}))
    message = str(caught.value)
    assert str(PATH) in message
    assert name in message
    assert rule in message
    assert "download the model again" in message


def test_a_model_that_reads_no_characters_is_not_supported() -> None:
    with pytest.raises(UnsupportedModelError, match="table of vectors"):
        read_options(PATH, changed_options({"char_cnn": ...}))


def test_published_names_are_found_and_two_are_refused(tmp_path: Path) -> None:
    assert find_options(tmp_path) is None
    assert find_options(tmp_path / "nowhere") is None
    path = tmp_path / "elmo_2x1024_128_2048cnn_1xhighway_options.json"
    path.write_text(json.dumps({}))
    assert find_options(tmp_path) == path
    (tmp_path / "options.json").write_text("{}")
    with pytest.raises(ModelIntegrityError, match="one file of options"):
        find_options(tmp_path)
