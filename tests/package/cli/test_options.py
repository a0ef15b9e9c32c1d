"""Options as parameters of the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from bertvectorizer.cli.options import bert_parameters, table_parameters
from bertvectorizer.pipeline.saving.pipeline_file import save_pipeline
from tests.package.cli.command import Run, assert_one_line


def test_no_model_is_the_default_model() -> None:
    assert bert_parameters(None, layers=-1) == {"layers": -1}
    assert bert_parameters("a/b", layers=-1) == {"model_name": "a/b", "layers": -1}


def test_a_header_is_the_default() -> None:
    assert table_parameters() == {
        "header": True,
        "separator": None,
        "quoting": "minimal",
        "encoding": None,
    }
    assert table_parameters(True, ";", "none", "cp1252") == {
        "header": False,
        "separator": ";",
        "quoting": "none",
        "encoding": "cp1252",
    }


@pytest.mark.parametrize("command", ["compare", "train", "predict", "embed"])
def test_quoting_and_encoding_reach_the_reader(command: str, tmp_path: Path, run: Run) -> None:
    table = tmp_path / "table.tsv"
    table.write_text('text\tlabel\n"café\tx\n', encoding="cp1252")
    words = {
        "compare": [table, "--text", "t", "--target", "label"],
        "train": [table, "--text", "t", "--target", "label", "-o", tmp_path / "m.skops"],
        "predict": [tmp_path / "m.skops", table, "--text", "t", "-o", tmp_path / "o.csv"],
        "embed": [table, "--text", "t", "-o", tmp_path / "o.csv"],
    }[command]
    if command == "predict":
        pipeline = make_pipeline(DummyClassifier()).fit(np.array(["a", "b"], dtype=object), [0, 1])
        save_pipeline(pipeline, tmp_path / "m.skops")
    for option, value in (("--quoting", "all"), ("--encoding", "utf-88")):
        assert_one_line(run(command, *words, option, value), f"'{option[2:]}' parameter", value)
    words[words.index("t")] = "text"
    result = run(command, *words)
    assert_one_line(result, "--encoding")
    result = run(command, *words, "--encoding", "cp1252")
    assert_one_line(result, "--quoting none")


@pytest.mark.parametrize("command", ["compare", "train", "predict", "embed"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", ""])
def test_numbers_are_whole(command: str, value: str, run: Run) -> None:
    option = "--sample" if command in {"compare", "train"} else "--chunk-rows"
    rule = f"It must be a whole number of at least 1. Got {value!r}."
    assert_one_line(run(command, option, value), f"'{option}': {rule}")


@pytest.mark.parametrize("command", ["compare", "train", "predict", "embed"])
def test_a_separator_is_one_character(command: str, run: Run) -> None:
    result = run(command, "--sep", "::")
    assert result.code == 2
    assert "It must be one character, or '\\t' for a tab. Got '::'." in result.err
