from __future__ import annotations

import errno
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertvectorizer.pipeline import Comparison
from tests.package.cli.command import Result, Run, assert_one_line
from tests.tiny import ModelFactory

DONE = re.compile(r": done after \d+\.\d s$", re.MULTILINE)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
QUICK = ["--features", "majority class", "--features", "tf-idf words"]


@pytest.fixture(scope="module")
def model(tiny_model: ModelFactory) -> Path:
    return Path(tiny_model("bert"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    labels = ["a;b" if row % 2 else ("a" if row % 3 else "") for row in range(12)]
    rows = [
        f"the {animal} number {row},{animal},,x,{row / 7},{row % 4},{labels[row]}"
        for row, animal in enumerate(["bat", "crane"] * 6)
    ]
    path.write_text(
        "text,label,none,one,amount,author,tags\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    return path


@pytest.fixture
def notes_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let warnings be no errors, as outside of tests."""
    monkeypatch.setattr("warnings.filters", [])


@pytest.fixture
def compare(run: Run, table: Path, model: Path) -> Any:
    """Run the command on the table."""

    def call(*words: object, target: str = "label", features: list[str] | None = None) -> Result:
        chosen = (
            QUICK
            if features is None
            else [word for name in features for word in ("--features", name)]
        )
        return run(
            "compare",
            table,
            "--text",
            "text",
            "--target",
            target,
            "--model",
            model,
            *chosen,
            *words,
        )

    return call


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--text"], ["--text", "requires an argument", "compare --help"]),
        (["table.csv", "extra"], ["extra"]),
        (["--text", "text"], ["give the file too"]),
        (["--no-header"], ["give the file too"]),
        (["--sample", "3"], ["give the file too"]),
        (["table.csv"], ["--text COL", "--target COL"]),
        (["table.csv", "--text", "text"], ["--target COL"]),
        (
            ["table.csv", "--text", "text", "--target", "text"],
            ["must be different columns", "'text'"],
        ),
        (
            ["table.csv", "--text", "text", "--target", "label", "--group", "label"],
            ["must be different columns", "'label'"],
        ),
        (["no.csv", "--text", "text", "--target", "label"], ["There is no file 'no.csv'"]),
        (
            ["table.csv", "--text", "text", "--target", "labels"],
            ["no column 'labels'", "'text', 'label'"],
        ),
        (
            ["table.csv", "--text", "text", "--target", "label", "--group", "who"],
            ["no column 'who'"],
        ),
        (
            ["table.csv", "--text", "text", "--target", "label", "--sep", ";;"],
            ["--sep", "one character"],
        ),
        (["table.csv", "--text", "text", "--target", "label", "--sample", "0"], ["--sample", "1"]),
        (
            ["table.csv", "--text", "text", "--target", "label", "--report", "nowhere/r.html"],
            ["'nowhere/r.html' cannot be written"],
        ),
        (
            ["table.csv", "--text", "text", "--target", "label", "--report", "table.csv"],
            ["'table.csv' must end in one of .html"],
        ),
        (["table.csv", "--text", "text", "--target", "label", "--word", "bat"], ["--report"]),
        (["--title", "Mine"], ["--title", "--report"]),
        (["--title", " ", "--report", "r.html"], ["--title", "empty"]),
        (
            [
                "table.csv",
                "--text",
                "text",
                "--target",
                "label",
                "--word",
                "zebra",
                "--report",
                "r.html",
            ],
            ["'zebra'", "in no text"],
        ),
        (
            ["table.csv", "--text", "text", "--target", "label", "--json", "here.txt"],
            ["'here.txt' must end in one of .json"],
        ),
        (
            ["table.csv", "--text", "text", "--target", "label", "--test", "no.csv"],
            ["There is no file 'no.csv'"],
        ),
        (
            ["table.csv", "--text", "text", "--target", "label", "--features", "bart"],
            ["'features'", "TF-IDF words", "'bart'"],
        ),
        (
            [
                *["table.csv", "--text", "text", "--target", "label"],
                *["--precision", "float8", "--features", "tfidf"],
            ],
            ["precision", "float8"],
        ),
        (
            ["table.csv", "--text", "text", "--target", "label", "--vectors", "table.csv"],
            ["Line 1", "table.csv"],
        ),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_line(
    words: list[str],
    parts: list[str],
    table: Path,
    model: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(table.parent)
    assert_one_line(run("compare", "--model", model, *words), *parts)
    assert list(table.parent.iterdir()) == [table]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--cv", "1"], ["'cv'", "2", "'1'"]),
        (["--cv", "many"], ["'cv'", "'2x5'", "'many'"]),
        (["--cv", "7"], ["folds (7)", "6 row(s) of class"]),
        (["--scoring", "goodness"], ["'scoring'", "'goodness'"]),
        (["--task", "ranking"], ["'task'", "'ranking'"]),
        (["--task", "regression"], ["finite numbers", "'bat' in row 0"]),
        (["--group", "one"], ["as many groups as folds", "1 group(s)"]),
    ],
    ids=" ".join,
)
def test_a_mistake_in_what_is_asked_is_one_line(
    words: list[str], parts: list[str], compare: Any
) -> None:
    assert_one_line(compare(*words), *parts)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("none", ["target 'none' is missing in 12 row(s)", "counted from 0"]),
        ("one", ["at least 2 classes", "x in every row"]),
    ],
)
def test_a_useless_target_is_one_line(target: str, parts: list[str], compare: Any) -> None:
    assert_one_line(compare(target=target), *parts)


def test_on_the_built_in_example(default_model_directory: Path, run: Run, tmp_path: Path) -> None:
    numbers, report = tmp_path / "numbers.json", tmp_path / "report.html"
    result = run(
        "compare",
        "--model",
        default_model_directory,
        "--cv",
        "5",
        *QUICK,
        "--features",
        "BERT",
        "--json",
        numbers,
        "--report",
        report,
    )
    assert result.code == 0
    assert DONE.sub("", result.err) == (
        f"majority class\nTF-IDF words\nBERT\nReport written to {report}\n"
        f"Numbers written to {numbers}\n"
    )
    assert not CONTROL.search(result.out)
    lines = [line.strip() for line in result.out.splitlines()]
    assert lines[0] == "label: 2 classes; 400 texts; 5 stratified folds"
    assert max(map(len, lines)) <= 80
    assert "…" not in result.out
    rows = {
        line.split("  ")[0]: re.split(" {2,}", line)[1:]
        for line in lines
        if re.search(r"\d\.\d{3} \d\.\d{3}", line)
    }
    assert list(rows) == ["majority class", "TF-IDF words", "BERT"]
    assert float(rows["BERT"][0]) > 0.6
    assert rows["BERT"][-2] == "384"
    assert any(line.startswith("Best baseline: TF-IDF words.") for line in lines)
    assert "Yes, BERT is better on these texts." in lines
    assert "Primary test: BERT. Its p is not corrected." in lines
    said = " ".join(lines)
    assert "Best: BERT; corrected for the selection among 3 feature sets, 0." in said
    assert "Intervals: corrected resampled t of the folds, or the standard error of rows" in said
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert found["best"] == "BERT"
    assert f"{found['table'][2]['accuracy']:.3f}" == rows["BERT"][0]
    page = report.read_text(encoding="utf-8")
    assert "<title>Comparison of text features: built-in example</title>" in page
    assert found["settings"]["command"].startswith("bertvectorizer compare --model")
    assert found["settings"]["command"].endswith(str(report))
    assert f"<span>{report}</span>" in page


@pytest.mark.usefixtures("notes_are_shown")
def test_a_file_without_a_header(tmp_path: Path, model: Path, run: Run) -> None:
    path = tmp_path / "messages"
    path.write_text('a\tthe "bat\nb\ta crane\n' * 9, encoding="utf-8")
    words = [
        "--no-header",
        "--sep",
        "\\t",
        "--text",
        "1",
        "--target",
        "0",
        "--cv",
        "3",
        "--model",
        model,
        *QUICK,
    ]
    result = run("compare", path, *words)
    assert result.code == 0
    assert "18 texts; 3 stratified folds" in result.out
    assert len(DONE.findall(result.err)) == 2
    assert "18 of 18 rows are judged after learning from the same text" in result.err


@pytest.mark.usefixtures("notes_are_shown")
def test_rows_held_back_groups_and_a_sample(compare: Any, table: Path) -> None:
    result = compare(
        "--cv",
        "2",
        "--group",
        "author",
        "--test",
        table,
        "--sample",
        "10",
        "--learning-curve",
        "--seed",
        "4",
    )
    assert result.code == 0
    assert "10 texts in 4 groups; 2 stratified folds that keep groups together" in result.out
    assert "12 of 12 rows held back are judged after learning from other rows of" in result.err
    assert " test " in result.out


def test_held_back_rows_need_the_column_of_groups(compare: Any, table: Path) -> None:
    test = table.with_name("test.csv")
    test.write_text("text,label\na bat,bat\n", encoding="utf-8")
    assert_one_line(compare("--group", "author", "--test", test), "no column 'author'", "test.csv")


@pytest.mark.usefixtures("notes_are_shown")
def test_duplicates_can_be_kept_together(tmp_path: Path, model: Path, run: Run) -> None:
    path = tmp_path / "table.csv"
    path.write_text(
        "text,label\n"
        + "".join(
            f"Bat {row % 6},{'ab'[row % 2]}\nbat  {row % 6},{'ab'[row % 2]}\n" for row in range(12)
        ),
        encoding="utf-8",
    )
    words = [
        "compare",
        path,
        "--text",
        "text",
        "--target",
        "label",
        "--cv",
        "2",
        "--model",
        model,
        *QUICK,
    ]
    assert "of 24 rows are judged after learning from the same text" in run(*words).err
    again = run(*words, "--group-duplicates")
    assert again.code == 0
    assert "rows are judged" not in again.err


@pytest.mark.usefixtures("notes_are_shown")
def test_several_labels_a_row(compare: Any) -> None:
    result = compare("--label-sep", ";", "--cv", "2", target="tags")
    assert result.code == 0
    assert "f1_macro, more is better" in result.out


@pytest.mark.usefixtures("notes_are_shown")
def test_regression(compare: Any) -> None:
    result = compare("--cv", "2", "--scoring", "neg_mean_absolute_error", target="amount")
    assert result.code == 0
    assert "mean_absolute_error, less is better" in result.out
    assert "came as text and was read as numbers" in result.err


def test_vectors_and_all_layers(compare: Any, tmp_path: Path) -> None:
    vectors = tmp_path / "glove.txt"
    vectors.write_text("bat 1 0\ncrane 0 1\n", encoding="utf-8")
    result = compare(
        "--cv",
        "2",
        "--vectors",
        vectors,
        "--all-layers",
        features=["vectors glove.txt", "BERT max -1"],
    )
    assert result.code == 0
    assert result.out.count("1.000") >= 1
    assert "BERT max -1" in result.out


def test_several_models_side_by_side(
    compare: Any, run: Run, table: Path, model: Path, tiny_model: ModelFactory, tmp_path: Path
) -> None:
    other, numbers = tmp_path / "other", tmp_path / "numbers.json"
    shutil.copytree(tiny_model("bert", num_hidden_layers=1), other)
    features = ["tfidf", "bert", "BERT mean -1", "majorityclass"]
    result = compare("--cv", "2", "--model", other, "--json", numbers, features=features)
    assert result.code == 0, result.err
    found = json.loads(numbers.read_text(encoding="utf-8"))
    name = model.name
    assert list(found["scores"]) == [
        "TF-IDF words",
        "majority class",
        name,
        f"{name} mean -1",
        "other",
        "other mean -1",
    ]
    assert f"Primary test: {name}." in result.out
    again = compare("--cv", "2", "--model", other, "--primary", "OTHER", features=features)
    assert "Primary test: other." in again.out
    assert_one_line(compare("--model", other, "--model", other), "Got", "other' twice")
    words = ["--text", "text", "--target", "label", "--model", other, "--model", "no/such"]
    missing = run("compare", table, *words, "--all-layers", "--local-files-only")
    assert missing.code == 2
    assert missing.err.startswith("Error: The model 'no/such' was not found")


def test_names_of_files_are_shown_as_they_are(compare: Any, tmp_path: Path) -> None:
    """They are no markup of rich, and no commands to the terminal."""
    names = ["[red]v.txt", "d[/x].txt", "e\x1b[2J.txt", ":bat:.txt"]
    words: list[object] = []
    for name in names:
        vectors = tmp_path / name
        vectors.parent.mkdir(exist_ok=True)
        vectors.write_text("the 1 0\nbat 1 0\ncrane 0 1\n", encoding="utf-8")
        words += ["--vectors", vectors]
    numbers = tmp_path / "numbers.json"
    result = compare("--cv", "2", "--json", numbers, *words, features=["majority class"])
    assert result.code == 0, result.err
    assert not CONTROL.search(result.out + result.err)
    for shown in ("vectors [red]v.txt", "x].txt", "e\\x1b[2J.txt", "vectors :bat:.txt"):
        assert shown in result.out
        assert shown in result.err
    assert len(json.loads(numbers.read_text(encoding="utf-8"))["scores"]) == 5


def test_the_files_are_written_though_the_table_cannot_be_printed(
    compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_anything: object, **_more: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "the reader wants no more")

    monkeypatch.setattr("bertvectorizer.cli.compare.say", fail)
    numbers, report = tmp_path / "numbers.json", tmp_path / "report.html"
    monkeypatch.setattr("sys.stdout", sys.stdout)  # restored, since typer replaces it
    words = ["--cv", "2", "--json", numbers, "--report", report, "--title", "Mine <3"]
    assert compare(*words).code == 1
    assert numbers.exists()
    page = report.read_text(encoding="utf-8")
    assert "<title>Mine &lt;3</title>" in page
    assert "table.csv" in page
    settings = json.loads(numbers.read_text(encoding="utf-8"))["settings"]
    assert "--title 'Mine <3'" in settings["command"]


@pytest.mark.usefixtures("notes_are_shown")
def test_what_fails_is_left_out_and_reported(run: Run, tmp_path: Path, model: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("text,label\n" + "? !,a\n. ;,b\n" * 6, encoding="utf-8")
    result = run(
        "compare",
        path,
        "--text",
        "text",
        "--target",
        "label",
        "--cv",
        "2",
        "--model",
        model,
        *QUICK,
    )
    assert result.code == 1
    assert result.err.count("Note: TF-IDF words failed: ") == 1
    assert result.err.endswith("Left out, as noted above: TF-IDF words.\n")
    assert "majority class" in result.out
    output = tmp_path / "model.skops"
    options = ["--text", "text", "--target", "label", "--model", model, "-o", output]
    assert run("train", path, *options, *QUICK).code == 1
    assert output.exists()


@pytest.mark.parametrize("function", ["compare", "read_table"])
def test_an_interrupt_before_anything_is_finished(
    function: str, compare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_anything: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"bertvectorizer.pipeline.{function}", stop)
    assert compare() == Result(130, "", "Interrupted: the comparison is not finished.\n")


def test_an_interrupt_prints_and_writes_what_is_finished(
    compare: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from bertvectorizer.pipeline.comparison.cross_validation import CrossValidation

    run = CrossValidation.run

    def stop(self: CrossValidation, name: str, *rest: Any) -> Any:
        if name != "majority class":
            raise KeyboardInterrupt
        return run(self, name, *rest)

    monkeypatch.setattr(CrossValidation, "run", stop)
    numbers = tmp_path / "numbers.json"
    result = compare("--cv", "2", "--json", numbers)
    assert result.code == 130
    assert "majority class" in result.out
    assert result.err.endswith("Interrupted: the table has what is finished.\n")
    assert list(json.loads(numbers.read_text(encoding="utf-8"))["scores"]) == ["majority class"]


@pytest.mark.usefixtures("notes_are_shown")
def test_a_warning_is_one_line(tmp_path: Path, model: Path, run: Run) -> None:
    path = tmp_path / "table.csv"
    path.write_text(
        "text,label\n"
        + "".join(f"{f'the bat {row} ' * 200},a\na crane {row},b\n" for row in range(3)),
        encoding="utf-8",
    )
    result = run(
        "compare",
        path,
        "--text",
        "text",
        "--target",
        "label",
        "--cv",
        "2",
        "--model",
        model,
        "--features",
        "BERT",
        "--features",
        "BERT cls",
    )
    assert result.code == 0
    notes = [line for line in result.err.splitlines() if not DONE.search(line)]
    assert len(notes) == 1
    assert notes[0].startswith("Note: BERT, BERT cls: 3 of 6 texts are longer than the model reads")


def test_progress_is_shown_to_a_terminal(compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    result = compare("--cv", "2")
    assert "2/2 folds" in result.err
    assert "left:" in result.err


def test_the_numbers_are_those_of_python(compare: Any, table: Path, tmp_path: Path) -> None:
    from bertvectorizer import compare as run_compare

    numbers = tmp_path / "numbers.json"
    compare("--cv", "2x3", "--seed", "5", "--json", numbers)
    rows = pd.read_csv(table)
    expected = run_compare(
        rows["text"], rows["label"], ["majority class", "TF-IDF words"], cv="2x3", random_state=5
    )
    assert isinstance(expected, Comparison)
    for name, scores in json.loads(numbers.read_text(encoding="utf-8"))["scores"].items():
        np.testing.assert_array_equal(
            scores["accuracy"], expected.outcomes[name].scores["accuracy"]
        )


def test_pairs_have_two_columns_of_texts(tmp_path: Path, model: Path, run: Run) -> None:
    table, report = tmp_path / "pairs.csv", tmp_path / "pairs.html"
    rows = [
        (f"the bat {row}", f"{reply} {row}", reply) for row, reply in enumerate(["yes", "no"] * 10)
    ]
    pd.DataFrame(rows, columns=["said", "reply", "label"]).to_csv(table, index=False)
    words = ["compare", table, "--text", "said", "--text", "reply", "--target", "label"]
    words += ["--model", model, "--cv", "2", "--features", "overlap", "--features", "BERT"]
    result = run(*words, "--report", report, "--word", "yes")
    assert result.code == 0
    assert "20 pairs of texts; 2 stratified folds that keep pairs with a common" in result.out
    assert "word overlap" in result.out
    assert "said" in report.read_text(encoding="utf-8")
    grouped = run(*words, "--no-group-duplicates")
    assert "2 stratified folds\n" in grouped.out
    assert_one_line(run(*words, "--text", "label"), "must be different columns", "'said', 'reply'")
    table.write_text("a,b,c,d\n1,2,3,4\n")
    words[2:8] = ["--text", "a", "--text", "b", "--text", "c", "--target", "d"]
    assert_one_line(run(*words), "--text must name one column of texts, or two")
