"""Help in plain words, options that are given once, and completion."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bertvectorizer.cli.options import FEATURE_NAMES
from bertvectorizer.pipeline import default_features
from bertvectorizer.pipeline.comparison import candidates
from tests.package.cli.command import Run, assert_one_line
from tests.package.cli.test_app import COMMANDS
from tests.processes import WATCH_SOCKETS, run_python

VALUED = [
    (command, parameter)
    for command, found in COMMANDS.items()
    for parameter in found.params
    if not getattr(parameter, "is_flag", False)
]
ONCE = [
    (command, parameter.opts[0])
    for command, parameter in VALUED
    if parameter.param_type_name == "option" and not parameter.multiple
]
REPEATED = [
    (command, parameter.opts[0])
    for command, parameter in VALUED
    if getattr(parameter, "multiple", False)
]


@pytest.mark.parametrize("command", ["", *COMMANDS, "store"])
def test_help_has_plain_words(command: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run(*command.split(), "--help").out
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(
        r"[<>{}|]|\b(str|int|float|Path|list|bool|None|TEXT|INTEGER|PATH)\b", shown
    )
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.|0, 1,\s+\.\.\.|part-\.\.\.", "", shown)


@pytest.mark.parametrize(("command", "parameter"), VALUED)
def test_a_value_has_a_plain_name(command: str, parameter: object, run: Run) -> None:
    name = str(getattr(parameter, "metavar", ""))
    assert re.fullmatch(r"[A-Z_]+", name)
    assert name in run(*command.split(), "--help").out


@pytest.mark.parametrize(("command", "option"), ONCE)
def test_an_option_is_given_once(command: str, option: str, run: Run) -> None:
    result = run(*command.split(), "a.csv", option, "1", option, "2")
    assert_one_line(result, option, "It can be given only once")


def test_options_that_repeat() -> None:
    assert sorted(REPEATED) == [
        *(("compare", f"--{name}") for name in ("features", "model", "scoring", "text", "vectors")),
        ("embed", "--text"),  # to say that it takes no pairs
        *(("predict", f"--{name}") for name in ("keep", "text")),
        *(("train", f"--{name}") for name in ("features", "model", "text", "vectors")),
    ]


@pytest.mark.parametrize("command", ["compare", "train"])
def test_help_names_the_feature_sets(
    command: str, run: Run, default_model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "can_distill", lambda: True)
    known = default_features(model_name=str(default_model_directory), pairs=True)
    assert list(known) == list(FEATURE_NAMES)
    shown = " ".join(run(command, "--help").out.split())
    assert [name for name in FEATURE_NAMES if f"'{name}'" not in shown] == []
    assert f"'{candidates.FINE_TUNED}'" in shown
    assert "tfidf" in shown


PROGRAM = f"""
{WATCH_SOCKETS}
import io, os, sys
from contextlib import redirect_stdout
from bertvectorizer.cli.app import main

def complete(shell, line):
    words = line.split(" ")
    os.environ |= {{
        "_BERTVECTORIZER_COMPLETE": f"complete_{{shell}}", "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1), "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_WORD_TO_COMPLETE": words[-1],
    }}
    try:
        with redirect_stdout(io.StringIO()) as shown:
            main([])
    except SystemExit as end:
        assert end.code == 0, end.code
    return shown.getvalue()

for shell in ("bash", "zsh", "fish", "powershell"):
    assert "compare" in complete(shell, "bertvectorizer com"), shell
    for command, option in (("compare", "--features"), ("store info", "--help")):
        shown = complete(shell, f"bertvectorizer {{command}} {{option[:4]}}")
        assert option in shown, (shell, shown)
del os.environ["_BERTVECTORIZER_COMPLETE"]

os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"  # no shell runs a test
for option in ("--show-completion", "--install-completion"):
    for shell in ("bash", "zsh", "fish"):
        try:
            main([option, shell])
        except SystemExit as end:
            assert end.code == 0, (option, shell, end.code)
assert not opened, opened
heavy = {{"torch", "transformers", "sklearn", "pandas", "openpyxl"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_completion_needs_no_network_and_no_slow_imports(tmp_path: Path) -> None:
    # The options take the name of a shell only where none is detected, so they are made then.
    shown = run_python(PROGRAM, HOME=tmp_path, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1)
    assert "complete -o default -F _bertvectorizer_completion bertvectorizer" in shown
    assert "_BERTVECTORIZER_COMPLETE=complete_fish" in shown
    installed = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*bertvec*")}
    assert installed == {
        ".bash_completions/bertvectorizer.sh",
        ".zfunc/_bertvectorizer",
        ".config/fish/completions/bertvectorizer.fish",
    }
    assert "bertvectorizer.sh" in (tmp_path / ".bashrc").read_text(encoding="utf-8")
