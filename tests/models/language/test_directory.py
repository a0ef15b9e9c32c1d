"""Tests of models/language/directory.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language.directory import read_files, save_language_model, write_files
from bertvectorizer.models.language.network import language_network
from tests.tiny import ModelFactory, save_sentence_transformer
from tests.training import examples_of

CPU = torch.device("cpu")


def test_the_modules_of_a_checkpoint_stand_in_the_directory(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    """Also where the transformer lies in a directory of its own, and the network goes on."""
    given = save_sentence_transformer(tiny_model("bert"), tmp_path / "given", dense=5)
    inner = given / "0_Transformer"
    inner.mkdir()
    for path in list(given.iterdir()):
        if path.is_file() and path.name not in (
            "modules.json",
            "config_sentence_transformers.json",
        ):
            path.rename(inner / path.name)
    modules = json.loads((given / "modules.json").read_text())
    modules[0]["path"] = inner.name
    (given / "modules.json").write_text(json.dumps(modules))
    (given / "README.md").write_text("not read")
    checkpoint = open_checkpoint(str(given))
    network = language_network(checkpoint, CPU, "masked")
    batch = examples_of(checkpoint.directory).batch(np.arange(3))
    with torch.no_grad():
        before = network.states(batch)
        save_language_model(network, load_tokenizer(checkpoint), tmp_path / "saved")
        torch.testing.assert_close(network.states(batch), before)
    saved = open_checkpoint(str(tmp_path / "saved"))
    assert saved.later_modules[0].name == checkpoint.later_modules[0].name == "Dense"
    assert saved.max_seq_length == checkpoint.max_seq_length
    assert not (tmp_path / "saved" / "README.md").exists()
    _, info = AutoModelForMaskedLM.from_pretrained(saved.directory, output_loading_info=True)
    assert not info["missing_keys"]


def test_files_are_written_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a.json": b"{}", "inner/b.bin": b"\0\1"}
    target = tmp_path / "there"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", lambda *_: exec("raise OSError(28, 'full')"))
        with pytest.raises(OSError, match="full"):
            write_files(files, target)
    assert list(tmp_path.iterdir()) == []
    write_files(files, target)
    assert read_files(target) == files
    (target / "a.json").unlink()  # as systems remove temporary files that are old
    write_files(files, target)
    assert read_files(target) == files
