"""A language model goes on after kill -9 with the same result as if its process had never ended."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from sklearn.base import clone

from bertvectorizer import LanguageModel
from bertvectorizer.errors import InvalidParameterError, ModelIntegrityError
from bertvectorizer.models.training.loop import Training
from bertvectorizer.models.training.state_file import StateFile
from tests.processes import Process
from tests.tiny import ModelFactory
from tests.training import TEXTS

DOCUMENTS = [[text, *TEXTS[number : number + 3]] for number, text in enumerate(TEXTS)]

CODE = """
import json, sys
from bertvectorizer import LanguageModel
from bertvectorizer.models.training.state_file import StateFile
save = StateFile.save
def save_and_wait(*arguments):
    save(*arguments)
    print("saved", flush=True)
    input()
StateFile.save = save_and_wait
parameters, texts = json.loads(sys.argv[1])
LanguageModel(**parameters).fit(texts)
"""


def model_of(directory: Path, **parameters: Any) -> LanguageModel:
    given = {"epochs": 3, "random_state": 0, "learning_rate": 1e-3, "device": "cpu", **parameters}
    return LanguageModel(directory, **given)


@pytest.fixture
def epochs_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs that are trained in this process."""
    found: list[int] = []
    run_epoch = Training.run_epoch

    def run(training: Training) -> None:
        found.append(training.result.n_iter)
        run_epoch(training)

    monkeypatch.setattr(Training, "run_epoch", run)
    return found


def test_it_goes_on_after_a_kill(
    tmp_path: Path, epochs_run: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing: a vocabulary, a network and next sentences, with dropout and validation."""
    parameters = {
        "architecture": "bert-tiny",
        "vocab_size": 60,
        "objective": "masked+next_sentence",
        "epochs": 3,
        "random_state": 0,
        "early_stopping": True,
        "n_iter_no_change": 3,
        "device": "cpu",
    }
    model = LanguageModel(**parameters, state_path=str(tmp_path / "state"), resume=True)
    given = json.dumps([model.get_params(), DOCUMENTS])
    with Process("-W", "error", "-c", CODE, given) as process:
        assert process.read_line() == "saved"
        process.kill()
        process.wait()
    resumed = clone(model).set_params(verbose=True).fit(DOCUMENTS)
    shown = capsys.readouterr().err
    assert re.search(r"LanguageModel, reading: [1-9][\d.]*k? tokens", shown)
    assert "epoch 1/3:  33%" in shown
    assert epochs_run == [1, 2]
    lines = tmp_path / "documents.txt"
    lines.write_text("\n\n".join(map("\n".join, DOCUMENTS)), encoding="utf-8")
    whole = LanguageModel(**parameters).fit(lines)
    assert epochs_run == [1, 2, 0, 1, 2]
    assert resumed.checkpoint_files_ == whole.checkpoint_files_
    assert resumed.loss_curve_ == whole.loss_curve_
    assert resumed.validation_scores_ == whole.validation_scores_
    # A training that is over gives its result at once.
    assert model.fit(DOCUMENTS).checkpoint_files_ == whole.checkpoint_files_
    assert len(epochs_run) == 5
    assert sorted(os.listdir(tmp_path)) == ["documents.txt", "state"]


def interrupt_after_an_epoch(monkeypatch: pytest.MonkeyPatch, model: LanguageModel) -> None:
    save = StateFile.save

    def interrupted(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(TEXTS)


def test_without_a_seed_that_of_the_file_serves(
    tiny_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs_run: list[int]
) -> None:
    state = tmp_path / "state"
    model = model_of(tiny_model("bert"), random_state=None, state_path=state, resume=True)
    interrupt_after_an_epoch(monkeypatch, model)
    facts = StateFile(state).facts() or {}
    model.fit(iter(TEXTS))
    assert epochs_run == [0, 1, 2]
    monkeypatch.setattr(LanguageModel, "_seed", lambda _: facts["seed"])
    whole = model_of(tiny_model("bert")).fit(TEXTS)
    assert model.checkpoint_files_ == whole.checkpoint_files_


def test_other_trainings_and_damaged_files_are_refused(
    tiny_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs_run: list[int]
) -> None:
    state = tmp_path / "state"
    model = model_of(tiny_model("bert"), state_path=state, resume=True)
    interrupt_after_an_epoch(monkeypatch, model)
    content = state.read_bytes()

    def refused(kind: type[Exception], match: str, texts: Any = TEXTS, **parameters: Any) -> None:
        other = clone(model).set_params(**parameters)
        before = dict(vars(other))
        with pytest.raises(kind, match=match):
            other.fit(texts)
        assert vars(other) == before

    refused(InvalidParameterError, "digest of the texts was", [*TEXTS[:-1], "a bat"])
    refused(InvalidParameterError, "epochs was 3, and is 4 now", epochs=4)
    refused(InvalidParameterError, "mask_probability was 0.15, and is 0.3", mask_probability=0.3)
    refused(InvalidParameterError, "seed was .*, and is", random_state=1)
    refused(
        InvalidParameterError, "fingerprint of the model",
        model_name=tiny_model("bert", initializer_range=0.1),
    )  # fmt: skip
    refused(InvalidParameterError, r"'resume'.*remove the file to begin anew", resume=False)
    refused(InvalidParameterError, "'state_path'.*resume=True", state_path=None)
    refused(InvalidParameterError, "'state_path'.*it is a folder", state_path=tmp_path)
    refused(InvalidParameterError, "'state_path'.*Got 5", state_path=5)
    refused(InvalidParameterError, "'resume'", resume="yes")
    state.write_bytes(content[:-9])
    refused(ModelIntegrityError, r"cannot be read.*Remove the file")
    assert epochs_run == [0]
    state.write_bytes(content)
    model.fit(TEXTS)
    assert epochs_run == [0, 1, 2]
