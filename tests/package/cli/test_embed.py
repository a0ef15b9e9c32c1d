"""``bertvectorizer embed``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bertvectorizer import BertVectorizer
from tests.package.cli.command import Result, Run, assert_one_line
from tests.tiny import ModelFactory


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(
        "text,label,none,one\n" + "the bat flew,a,,x\na crane,b,,x\n" * 6, encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def model(tiny_model: ModelFactory) -> Path:
    return Path(tiny_model("bert"))


@pytest.mark.parametrize(
    "words", [[], ["--chunk-rows", "5", "--layers", "-1,-2", "--pooling", "max"]]
)
@pytest.mark.numeric
def test_embed_writes_what_the_vectorizer_gives(
    words: list[str], table: Path, model: Path, run: Run
) -> None:
    output = table.with_name("out.npy")
    result = run("embed", table, "--text", "text", "-o", output, "--model", model, *words)
    assert result == Result(0, "", f"12 rows written to {output}\n")
    parameters = {"layers": "-1,-2", "pooling": "max"} if words else {}
    expected = BertVectorizer(str(model), **parameters).fit_transform(pd.read_csv(table)["text"])
    np.testing.assert_allclose(np.load(output), expected, atol=1e-5)


def test_embed_says_which_rows_are_kept(tmp_path: Path, model: Path, run: Run) -> None:
    path, output = tmp_path / "table.jsonl", tmp_path / "out.npy"
    path.write_text('{"text": "bat"}\n{"text": "bats"}\nrubbish\n', encoding="utf-8")
    result = run(
        "embed", path, "--text", "text", "-o", output, "--model", model, "--chunk-rows", "2"
    )
    (part,) = tmp_path.glob("out.npy.part-*")
    assert_one_line(result, "line 3 is no JSON", f"2 rows are kept in {part}")


def test_embed_takes_an_interrupt_before_the_first_row(
    table: Path, model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_anything: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BertVectorizer, "transform", stop)
    result = run(
        "embed", table, "--text", "text", "-o", table.with_name("out.npy"), "--model", model
    )
    assert result == Result(130, "", "Interrupted: nothing was written\n")
    assert list(table.parent.iterdir()) == [table]
