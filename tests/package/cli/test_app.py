from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import bertvectorizer
from bertvectorizer.cli.app import app
from bertvectorizer.pipeline.files import read
from tests.hostile import DAMAGES, copy_of
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


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_class_with_a_lone_surrogate_is_one_line(command: str, tmp_path: Path) -> None:
    rows = [{"text": f"bat {number}", "label": ["a", "\ud800"][number % 2]} for number in range(20)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["-m", "bertvectorizer", command, "t.jsonl", "--text", "text", "--target", "label"]
    words += ["--features", "tf-idf words", *(["-o", "m.skops"] if command == "train" else [])]
    with Process(*words, cwd=tmp_path) as process:
        printed = process.finish(expect=2)
        result = Result(process.returncode, printed, process.error_output)
    assert_one_line(result, "The target must have classes of valid Unicode", r"'\ud800'")
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


def test_a_field_beyond_the_limit_of_csv_is_one_line(
    table: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_LONGEST_FIELD", 5)
    words = ["compare", table, "--text", "text", "--target", "label"]
    assert_one_line(run(*words), f"{str(table)!r}", "line 2", "field larger than field limit (5)")


@pytest.mark.parametrize("change", [{"hidden_act": "nonsense"}, {"num_attention_heads": 0}])
@pytest.mark.parametrize("command", ["compare", "embed", "train"])
def test_a_hostile_model_is_one_line(
    change: dict[str, Any], command: str, table: Path, model: Path, run: Run
) -> None:
    directory = copy_of(model, table.with_name("model"))
    config = json.loads((directory / "config.json").read_text()) | change
    (directory / "config.json").write_text(json.dumps(config))
    words = [command, table, "--text", "text", "--model", directory]
    if command != "embed":
        words += ["--target", "label", "--features", "bert", "--cv", "2"]
    if command != "compare":
        words += ["-o", table.with_name("o.skops" if command == "train" else "o.npy")]
    if command == "train":
        words = [word for word in words if word not in ("--cv", "2")]
    assert_one_line(run(*words), str(directory))
    assert sorted(path.name for path in table.parent.iterdir()) == ["model", "table.csv"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_pipeline_is_one_line(damage: Any, table: Path, run: Run) -> None:
    words = [table, "--text", "text", "--target", "label", "--features", "tf-idf words"]
    file = table.with_name("m.skops")
    assert run("train", *words, "-o", file).code == 0
    file.write_bytes(damage(file.read_bytes(), 1000))
    assert_one_line(run("predict", file, table, "-o", table.with_name("o.csv")), str(file))


def test_ctrl_c_while_libraries_are_imported(tmp_path: Path) -> None:
    code = """
import sys
class Interrupting:
    def find_spec(self, name, *more):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from bertvectorizer.__main__ import main
main()
"""
    with Process("-c", code, cwd=tmp_path, fresh=True) as process:
        assert process.finish(expect=130) == ""
        assert process.error_output == "Interrupted.\n"


def test_letters_that_standard_output_cannot_show(table: Path) -> None:
    table.write_text(table.read_text().replace("label", "läbel"), encoding="utf-8")
    words = ["compare", table, "--text", "text", "--target", "läbel", "--cv", "2"]
    words += ["--features", "tf-idf words"]
    with Process("-m", "bertvectorizer", *words, PYTHONIOENCODING="ascii") as process:
        assert "l\\xe4bel" in process.finish()


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
    with Process(script, "--version", cwd=tmp_path, fresh=True) as process:
        assert process.finish() == f"bertvectorizer {bertvectorizer.__version__}\n"
        assert process.error_output == ""
