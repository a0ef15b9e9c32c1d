from __future__ import annotations

import runpy
import sys
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


def check_elmo(lines: list[str]) -> None:
    word, *contexts, weights, tags = lines
    assert word == "layer 0: cosine of the two banks 1.00"
    assert all(float(line.split()[-1]) < 0.995 for line in contexts)
    assert len(contexts) == 2
    assert sum(map(float, weights.split()[-3:])) == pytest.approx(1, abs=0.02)
    assert tags == "tags: O FIRM O"


def check_from_nothing(lines: list[str]) -> None:
    pieces, size, loss, verbs = lines
    assert pieces == "['tavo', 'dalem', '##s', 'kesu', '.']"
    assert size.startswith("bert-tiny: 2 layers")
    assert float(loss.split()[1]) > 2 * float(loss.split()[-4])
    assert verbs.startswith(
        ("verbs of kesu: ['dalem', 'dalok'", "verbs of kesu: ['dalok', 'dalem'")
    )


def check_language_model(lines: list[str]) -> None:
    loss, likelihood, leaks, drinks, plumber = lines
    first, last = loss.removeprefix("loss: ").split(", then ")
    assert float(last) < 0.7 * float(first)
    assert -8 < float(likelihood.split()[-1]) < 0
    assert leaks.endswith("Pump P7 leaks oil in hall one.")
    assert float(leaks.split()[0]) > 0.7 > 0.3 > float(drinks.split()[0])
    assert plumber == "plumber: [True, False]"


def check_question_answering(lines: list[str]) -> None:
    assert lines == [
        "Where does it sail? Lisbon",
        "When does it sail? seven",
        "Who steers it? (not in the text)",
        "F1 1.00, exact 1.00",
    ]


def check_ulmfit(lines: list[str]) -> None:
    loss, accuracy = lines
    first, last = loss.removeprefix("language model: loss ").split(", then ")
    assert float(last) < float(first)
    assert float(accuracy.split()[-1]) > 0.55


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "column_transformer.py": check_column_transformer,
    "elmo.py": check_elmo,
    "from_nothing.py": check_from_nothing,
    "grid_search.py": check_grid_search,
    "language_model.py": check_language_model,
    "question_answering.py": check_question_answering,
    "ulmfit.py": check_ulmfit,
}


def test_every_example_has_a_check() -> None:
    assert EXAMPLES.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", CHECKS)
def test_an_example_prints_what_it_promises(
    name: str,
    default_model_directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    runpy.run_path(str(EXAMPLES[name]), run_name="__main__")
    CHECKS[name](capsys.readouterr().out.splitlines())
