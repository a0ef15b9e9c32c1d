from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = {
    path.name: path for path in sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
}


def check_grid_search(lines: list[str]) -> None:
    assert len(lines) == 7
    assert max(float(line.split()[0]) for line in lines[:6]) > 0.6
    assert lines[6].startswith("best: {'bertvectorizer__layers'")


def check_column_transformer(lines: list[str]) -> None:
    torn, snug, names = lines
    assert float(torn.split()[0]) < 0.5 < float(snug.split()[0])
    assert names == "385 features, from text__review_0 to number__price"


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "column_transformer.py": check_column_transformer,
    "grid_search.py": check_grid_search,
}


def test_every_example_has_a_check() -> None:
    assert EXAMPLES.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", CHECKS)
def test_an_example_prints_what_it_promises(
    name: str, default_model_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(EXAMPLES[name]), run_name="__main__")
    CHECKS[name](capsys.readouterr().out.splitlines())
