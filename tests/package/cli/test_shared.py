"""Labels, progress and interrupts of several commands."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import typer

import bertvectorizer.cli
from bertvectorizer.cli.shared import (
    comparison_progress,
    output_target,
    read_rows,
    readable_file,
    say,
    split_labels,
    writing_rows,
)
from bertvectorizer.errors import InvalidTableError
from tests.package.cli.command import Run, assert_one_line


def test_labels_of_a_row() -> None:
    target = pd.Series(["a; b", "", None, " a ;;"])
    assert split_labels(target, None) is target
    assert split_labels(target, ";") == [["a", "b"], [], [], ["a"]]


@pytest.mark.parametrize(
    ("rows", "kept"), [((2, 1500), "1,502 rows are kept in out.csv.part-1"), ((), "nothing was")]
)
def test_an_interrupt_says_what_is_kept(
    rows: tuple[int, ...], kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def write() -> None:
        with writing_rows(Path("out.csv")) as progress:
            for number in rows:
                progress(number)
            error = KeyboardInterrupt()
            error.add_note(f"{sum(rows):,} rows are kept in out.csv.part-1")
            raise error

    with pytest.raises(typer.Exit) as caught:
        write()
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err.startswith(f"Interrupted: {kept}")


def test_an_error_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> None:
        with writing_rows(Path("out.csv")) as progress:
            progress(3)
            error = InvalidTableError("No.")
            error.add_note("3 rows are kept in out.csv.part-1")
            raise error

    with pytest.raises(InvalidTableError, match=r"^No\. Of the rows before, 3 rows are kept in "):
        write()
    assert capsys.readouterr().err == ""


def test_only_say_prints() -> None:
    """What it prints is escaped; anything else may send a file's control characters."""
    for path in Path(bertvectorizer.cli.__path__[0]).glob("*.py"):
        calls = path.read_text(encoding="utf-8").count("print(")
        allowed = {
            "shared.py": ["print(lines"],
            "compare.py": ["Console().print(table)", "_print("],
        }
        assert calls == sum(
            path.read_text(encoding="utf-8").count(one) for one in allowed.get(path.name, [])
        ), path


def test_what_is_said_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    say("\x1b[31mred\n\ud800 [/x]\x9b", error=True)
    assert capsys.readouterr() == ("", "\\x1b[31mred\n\\ud800 [/x]\\x9b\n")


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (b"a,b\n", ".csv"),
        (b"", ".csv"),
        (b'\n {"a": 1}', ".jsonl"),
        (b"PAR1", ".parquet"),
        (b"PK\x03\x04", ".xlsx"),
    ],
)
def test_standard_input_is_a_file_of_its_format(
    data: bytes, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    with readable_file(Path("-")) as path:
        assert path.read_bytes() == data
        assert path.suffix == ending
    assert not path.parent.exists()
    with readable_file(Path("a.csv")) as path:
        assert path == Path("a.csv")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "The standard input is empty."),
        (b"a,b\n", "The standard input has no column 'text'."),
        (b"PAR1", "The standard input cannot be read as parquet: "),
        (b'{"text": 1', "The standard input cannot be read: line 1 is no JSON: "),
        (b"text\nA\n\xff", "The standard input cannot be read as csv: "),
    ],
)
def test_a_fault_of_standard_input_names_it(
    data: bytes, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(InvalidTableError) as caught:
        read_rows(Path("-"), ["text"], None, 0, {})
    assert str(caught.value).startswith(fault)


def test_closed_streams_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InvalidTableError, match="Standard input is closed"):
        read_rows(Path("-"), ["text"], None, 0, {})
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(InvalidTableError, match="Standard output is closed"):
        output_target(Path("-"))


def test_what_is_for_a_closed_stream_goes_to_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    say("3 rows written to standard output", error=True)
    assert capsys.readouterr().out == ""


def test_there_is_no_room_for_standard_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def copy(*_anything: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", copy)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"text\n")))
    with pytest.raises(InvalidTableError, match=r"to '.*': No space left on device\. Make room"):
        read_rows(Path("-"), ["text"], None, 0, {})
    assert list(tmp_path.iterdir()) == []


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


def test_progress_shows_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    with comparison_progress(1) as show:
        show("[/x] [red]\x1b]0;title\x07", "folds", 1, 1)
    assert "[/x] [red]\\x1b]0;title\\x07" in capsys.readouterr().err


def same_path(path: Path, name: str) -> Path:
    path.rename(path.with_name(name))
    return path.with_name(name)


def by_hard_link(path: Path, name: str) -> Path:
    path.with_name(name).hardlink_to(path)
    return path.with_name(name)


def by_link(path: Path, name: str) -> Path:
    path.with_name(name).symlink_to(path)
    return path.with_name(name)


def by_linked_directory(path: Path, name: str) -> Path:
    (path.parent / "link").symlink_to(path.parent)
    return path.parent / "link" / same_path(path, name).name


OUTPUTS: dict[str, tuple[str, list[str]]] = {
    "embed": ("out.csv", ["embed", "INPUT", "--text", "text", "-o", "OUT", "--sep", ","]),
    "embed, store": (
        "out.npy",
        ["embed", "t.csv", "--text", "text", "-o", "OUT", "--store", "OUT"],
    ),
    "predict": ("out.csv", ["predict", "m.skops", "INPUT", "-o", "OUT", "--sep", ","]),
    "predict, model": ("out.jsonl", ["predict", "INPUT", "t.csv", "-o", "OUT"]),
    "predict, store": ("o.csv", ["predict", "m.skops", "t.csv", "-o", "OUT", "--store", "OUT"]),
    "train": (
        "out.skops",
        ["train", "INPUT", "--text", "text", "--target", "y", "-o", "OUT", "--sep", ","],
    ),
    "train, vectors": (
        "out.skops",
        [*("train", "t.csv", "--text", "text", "--target", "y"), "-o", "OUT", "--vectors", "INPUT"],
    ),
    "compare --json": (
        "out.json",
        ["compare", "INPUT", "--text", "text", "--target", "y", "--json", "OUT", "--sep", ","],
    ),
    "compare --report": (
        "out.html",
        ["compare", "INPUT", "--text", "text", "--target", "y", "--report", "OUT", "--sep", ","],
    ),
    "compare --test": (
        "out.json",
        [
            *("compare", "t.csv", "--text", "text", "--target", "y"),
            *("--json", "OUT", "--test", "INPUT"),
        ],
    ),
}


@pytest.mark.parametrize("another", [same_path, by_hard_link, by_link, by_linked_directory])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_no_output_is_an_input_by_whatever_name(
    kind: str, another: Callable[[Path, str], Path], tmp_path: Path, run: Run
) -> None:
    name, words = OUTPUTS[kind]
    given = tmp_path / "input"
    given.write_text("text,y\na bat,1\n", encoding="utf-8")
    output = another(given, name)
    content = {"INPUT": given if given.exists() else output.resolve(), "OUT": output}
    words = [str(content.get(word, word)) for word in words]
    assert_one_line(run(*words), "is the file to be read, or another output")
    assert output.read_text(encoding="utf-8") == "text,y\na bat,1\n"
    assert not list(tmp_path.glob("*.part-*"))
