"""``bertvectorizer predict``; what it predicts is tested beside ``train``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bertvectorizer.pipeline.saving.pipeline_file import save_pipeline
from tests.package.cli.command import Result, Run, assert_one_line

ROWS = [("the old bat flew", "animal"), ("he hit the ball", "thing")] * 5


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    pd.DataFrame(ROWS, columns=["text", "sense"]).to_csv(path, index=False)
    return path


@pytest.fixture
def trained(table: Path) -> Path:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*zip(*ROWS, strict=True))
    save_pipeline(pipeline, table.with_name("model.skops"), text="text", target="sense")
    return table.with_name("model.skops")


def test_predict_names_what_is_wrong(trained: Path, table: Path, tmp_path: Path, run: Run) -> None:
    assert_one_line(
        run("predict", trained, tmp_path / "none.csv", "-o", tmp_path / "out.csv"),
        "There is no file",
        "none.csv",
    )
    assert_one_line(
        run("predict", trained, table, "-o", tmp_path / "out.csv", "--text", "txt"),
        "no column 'txt'",
    )
    assert_one_line(run("predict", trained, table, "-o", table), "is the file to be read")
    assert_one_line(
        run("predict", trained, table, "-o", tmp_path / "out.npy"),
        "must end in one of .csv, .parquet, .jsonl",
    )
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a"}\n{"text": "b"}\nrubbish\n', encoding="utf-8")
    result = run("predict", trained, broken, "-o", tmp_path / "out.csv", "--chunk-rows", "2")
    assert_one_line(result, "line 3 is no JSON", f"2 rows are kept in {tmp_path / 'out.csv'}.part")


def test_an_interrupt_is_one_line(
    trained: Path, table: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_anything: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bertvectorizer.pipeline.predict_file", stop)
    result = run("predict", trained, table, "-o", table.with_name("out.csv"))
    assert result == Result(130, "", "Interrupted: nothing was written\n")
