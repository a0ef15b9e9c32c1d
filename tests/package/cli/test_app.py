from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import bertvectorizer
from bertvectorizer.cli.app import app
from tests.package.cli.command import Result, Run, assert_one_line
from tests.processes import Process
from tests.tiny import ModelFactory


def commands(group: Any, *before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield " ".join([*before, name]), command


COMMANDS: dict[str, Any] = dict(commands(typer.main.get_command(app)))
README = Path(__file__).parents[3] / "README.md"


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


def test_the_commands() -> None:
    assert sorted(COMMANDS) == [
        "compare",
        "embed",
        "predict",
        "store clear",
        "store info",
        "store verify",
        "train",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_has_help(command: str, run: Run) -> None:
    result = run(*command.split(), "--help")
    assert result.code == 0
    assert result.err == ""
    assert COMMANDS[command].help.splitlines()[0] in result.out
    for parameter in COMMANDS[command].params:
        assert parameter.help, f"{parameter.name} has no help"
        is_argument = parameter.param_type_name == "argument"
        for shown in [parameter.metavar] if is_argument else parameter.opts:
            assert shown in result.out


@pytest.mark.parametrize("words", [["--help"], []])
def test_the_app_has_help(words: list[str], run: Run) -> None:
    result = run(*words)
    assert result.code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command.split()[0]}  +\w", result.out, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_names_every_command(command: str) -> None:
    assert f"bertvectorizer {command}" in README.read_text(encoding="utf-8")


def test_version(run: Run) -> None:
    assert run("--version") == Result(0, f"bertvectorizer {bertvectorizer.__version__}\n", "")


OPTIONS = [
    (command, option)
    for command in COMMANDS
    for parameter in COMMANDS[command].params
    for option in parameter.opts
    if "-" in option
]


def test_options_were_found() -> None:
    assert {("compare", "--target"), ("embed", "-o"), ("embed", "--chunk-rows")} <= set(OPTIONS)


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_a_typo_in_an_option_is_one_line(command: str, option: str, run: Run) -> None:
    typo = option + "q" if option.startswith("--") else "-z"
    assert_one_line(
        run(*command.split(), "table.csv", typo, "3"),
        "No such option",
        typo,
        f"bertvectorizer {command} --help",
    )


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["comparr"], ["No such command", "comparr"]),
        (["embed"], ["Missing argument", "embed --help"]),
        (["embed", "table.csv"], ["Missing option", "--text"]),
        (["embed", "table.csv", "--text", "text"], ["Missing option", "--output"]),
        (
            ["embed", "table.csv", "--text", "text", "-o", "out.npy", "--chunk-rows", "0"],
            ["--chunk-rows", "1"],
        ),
        (
            ["embed", "table.csv", "--text", "text", "-o", "out.npy", "--sep", "ab"],
            ["--sep", "one character", "'ab'"],
        ),
        (["embed", "table.csv", "--text", "text", "-o", "out.txt"], [".parquet, .npy, .csv"]),
        (
            ["embed", "table.csv", "--text", "text", "-o", "nowhere/out.npy"],
            ["no folder 'nowhere'"],
        ),
        (["embed", "table.csv", "--text", "txt", "-o", "out.npy"], ["no column 'txt'"]),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_line(
    words: list[str], parts: list[str], table: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table.parent)
    assert_one_line(run(*words), *parts)
    assert list(table.parent.iterdir()) == [table]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--layers", "99"),
        ("--layers", "last"),
        ("--pooling", "middle"),
        ("--precision", "float8"),
        ("--model", " "),
    ],
)
def test_a_bad_parameter_is_one_line(
    option: str, value: str, table: Path, model: Path, run: Run
) -> None:
    words = [
        "embed",
        table,
        "--text",
        "text",
        "-o",
        table.with_name("out.npy"),
        "--model",
        model,
        option,
        value,
    ]
    result = run(*words)
    assert_one_line(result, option.strip("-"), value)
    assert list(table.parent.iterdir()) == [table]


@pytest.mark.parametrize("command", ["compare", "embed"])
def test_an_unknown_model_offline_names_places_and_remedies(
    command: str, table: Path, run: Run
) -> None:
    more = ["--target", "label"] if command == "compare" else ["-o", table.with_name("out.npy")]
    result = run(
        command, table, "--text", "text", *more, "--model", "no/such-model", "--local-files-only"
    )
    assert result.code == 2
    assert result.err.startswith("Error: The model 'no/such-model' was not found.")
    assert "Remedies" in result.err
    assert "Traceback" not in result.err


def test_progress_is_shown_to_a_terminal(
    table: Path, model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    result = run(
        "embed",
        table,
        "--text",
        "text",
        "-o",
        table.with_name("out.npy"),
        "--model",
        model,
        "--chunk-rows",
        "4",
    )
    assert "12 rows" in result.err
    assert "None" not in result.err


def test_python_m_bertvectorizer_leaves_no_traceback(tmp_path: Path) -> None:
    command = ["-m", "bertvectorizer", "compare", "none.csv", "--text", "text", "--target", "label"]
    with Process(*command, cwd=tmp_path) as process:
        printed = process.finish(expect=2)
        assert_one_line(
            Result(process.returncode, printed, process.error_output), "There is no file 'none.csv'"
        )


def test_the_installed_command_does_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("bertvectorizer")
    if not script.exists():
        pytest.skip("the package's command is not installed beside this interpreter")
    with Process(script, "--version", cwd=tmp_path) as process:
        assert process.finish() == f"bertvectorizer {bertvectorizer.__version__}\n"
        assert process.error_output == ""
