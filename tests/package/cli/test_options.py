"""Options as parameters of the library."""

from __future__ import annotations

import pytest

from bertvectorizer.cli.options import bert_parameters, table_parameters
from tests.package.cli.command import Run


def test_no_model_is_the_default_model() -> None:
    assert bert_parameters(None, layers=-1) == {"layers": -1}
    assert bert_parameters("a/b", layers=-1) == {"model_name": "a/b", "layers": -1}


def test_a_header_is_the_default() -> None:
    assert table_parameters(False, None) == {"header": True, "separator": None}
    assert table_parameters(True, ";") == {"header": False, "separator": ";"}


@pytest.mark.parametrize("command", ["compare", "train", "predict", "embed"])
def test_a_separator_is_one_character(command: str, run: Run) -> None:
    result = run(command, "--sep", "::")
    assert result.code == 2
    assert "It must be one character, or '\\t' for a tab. Got '::'." in result.err
