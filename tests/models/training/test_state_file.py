"""Tests of models/training/state_file.py."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from bertvectorizer.errors import InvalidParameterError, ModelIntegrityError
from bertvectorizer.models.training.loop import Training
from bertvectorizer.models.training.network import TrainableNetwork
from bertvectorizer.models.training.state_file import StateFile
from tests.tiny import ModelFactory
from tests.training import assert_equal_weights, data_of, network_of, settings_of, weights_of

FACTS = {"texts": "5af1", "epochs": 3, "seed": None, "rate": 0.1}


@pytest.fixture
def begin(tiny_model: ModelFactory) -> Callable[[], tuple[TrainableNetwork, Training]]:
    def begin() -> tuple[TrainableNetwork, Training]:
        network = network_of(tiny_model("bert"), dropout=0.1)
        return network, Training(network, data_of(network), settings_of(epochs=3))

    return begin


def finish(training: Training) -> None:
    while not training.is_over:
        training.run_epoch()


def test_another_training_goes_on_with_the_same_numbers(
    begin: Callable[[], Any], tmp_path: Path
) -> None:
    file = StateFile(tmp_path / "state")
    network, training = begin()
    assert file.facts() is None
    assert not file.restore(training, FACTS)
    for _ in range(2):
        training.run_epoch()
        file.save(training, FACTS)
    assert file.facts() == FACTS
    other_network, other = begin()
    assert file.restore(other, FACTS)
    finish(training)
    finish(other)
    assert other.result == training.result
    assert_equal_weights(weights_of(other_network), weights_of(network), tolerance=0)
    assert os.listdir(tmp_path) == ["state"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": "77"}, "texts was '5af1', and is '77' now"),
        ({"epochs": 4}, "epochs was 3, and is 4 now"),
        ({"new": 1}, "new was None, and is 1 now"),
    ],
)
def test_other_trainings_are_refused(
    begin: Callable[[], Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    file = StateFile(tmp_path / "state")
    network, training = begin()
    training.run_epoch()
    file.save(training, FACTS)
    before = weights_of(network)
    with pytest.raises(InvalidParameterError, match=message):
        file.restore(training, FACTS | changes)
    assert_equal_weights(weights_of(network), before, tolerance=0)


def damaged(content: bytes) -> dict[str, bytes]:
    middle = len(content) * 3 // 4
    return {
        "cut": content[:-5],
        "flipped": content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :],
        "header": content.replace(b'\\"step\\"', b'\\"stop\\"'),
        "facts": content.replace(b'"facts":"{', b'"facts":"['),
        "a fact": content.replace(b'\\"seed\\": null', b'\\"seed\\": 1234'),
        "no facts": re.sub(
            rb'"facts":"\{.*?\}"',
            lambda found: b'"facts":"5%*s"' % (len(found[0]) - 11, b""),
            content,
        ),
        "empty": b"",
        "text": b"a bat " * 99,
    }


@pytest.mark.parametrize("fault", damaged(b" " * 9))
def test_damaged_files_are_refused(begin: Callable[[], Any], tmp_path: Path, fault: str) -> None:
    file = StateFile(tmp_path / "state")
    _network, training = begin()
    training.run_epoch()
    file.save(training, FACTS)
    content = file.path.read_bytes()
    file.path.write_bytes(damaged(content)[fault])
    assert file.path.read_bytes() != content
    other_network, other = begin()
    before = weights_of(other_network)
    facts = FACTS | ({"seed": 1234} if fault == "a fact" else {})  # as if it were right
    with pytest.raises(ModelIntegrityError, match=r"state' cannot be read.*Remove the file"):
        file.restore(other, facts)
    assert_equal_weights(weights_of(other_network), before, tolerance=0)


def test_other_files_are_refused(begin: Callable[[], Any], tmp_path: Path) -> None:
    network, training = begin()
    file = StateFile(tmp_path / "model.safetensors")
    save_file(weights_of(network), file.path)
    with pytest.raises(ModelIntegrityError, match="holds no state of a training"):
        file.restore(training, FACTS)


def test_a_full_disk_ends_no_training_and_old_drafts_go(
    begin: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = StateFile(tmp_path / "state[1]")
    (tmp_path / "state[1].part-0a1b2c3d").write_bytes(b"of a process that was killed")
    others = ["state1.part-0a1b2c3d", "state[1].part-2"]  # a pattern, and a file of the user
    for name in others:
        (tmp_path / name).touch()
    _network, training = begin()
    training.run_epoch()
    file.save(training, FACTS)
    content = file.path.read_bytes()

    def fail(tensors: Any, name: str, header: Any) -> None:
        Path(name).write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bertvectorizer.models.training.state_file.save_file", fail)
    training.run_epoch()
    with pytest.warns(UserWarning, match=r"No space left.*It goes on"):
        file.save(training, FACTS)
    assert file.path.read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == sorted(["state[1]", *others])
