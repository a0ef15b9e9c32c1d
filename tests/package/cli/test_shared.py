"""Labels, progress and interrupts of several commands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import typer

from bertvectorizer.cli.shared import comparison_progress, split_labels, writing_rows
from bertvectorizer.errors import InvalidTableError


def test_labels_of_a_row() -> None:
    target = pd.Series(["a; b", "", None, " a ;;"])
    assert split_labels(target, None) is target
    assert split_labels(target, ";") == [["a", "b"], [], [], ["a"]]


@pytest.mark.parametrize(
    ("rows", "kept"), [((2, 1500), "1,502 rows are kept in out.csv.part"), ((), "nothing was")]
)
def test_an_interrupt_says_what_is_kept(
    rows: tuple[int, ...], kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def write() -> None:
        with writing_rows(Path("out.csv")) as progress:
            for number in rows:
                progress(number)
            raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as caught:
        write()
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err.startswith(f"Interrupted: {kept}")


def test_an_error_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        with writing_rows(Path("out.csv")) as progress:
            progress(3)
            raise InvalidTableError("No.")

    with pytest.raises(InvalidTableError, match=r"^No\. Of the rows before, 3 rows are kept in "):
        write()
    assert capsys.readouterr().err == ""


def test_the_end_says_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    with writing_rows(Path("out.csv")) as progress:
        progress(3)
    assert capsys.readouterr().err == "3 rows written to out.csv\n"


def test_a_log_has_a_line_for_each_feature_set(capsys: pytest.CaptureFixture[str]) -> None:
    with comparison_progress(2) as show:
        show("words", "texts", 1, 2)
        show("words", "folds", 1, 2)
        show("words", "folds", 2, 2)
    assert capsys.readouterr().err.startswith("words: done after 0.")
