"""Tests of models/checkpoint/fingerprint.py."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from bertvectorizer.models.checkpoint.fingerprint import _sha256, fingerprint, sha256
from bertvectorizer.models.checkpoint.source import open_checkpoint
from tests.files import rewrite
from tests.tiny import ModelFactory


@pytest.fixture
def model(tiny_model: ModelFactory, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))


def of_model(directory: Path, trust_remote_code: bool = False) -> str:
    return open_checkpoint(directory, trust_remote_code=trust_remote_code).fingerprint


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights" * 100_000)
    assert sha256(path) == hashlib.sha256(b"weights" * 100_000).hexdigest()


def test_sha256_of_a_file_changed_under_the_same_size_and_date(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    before = sha256(path)
    rewrite(path, b"weighty")
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest() != before


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    before = _sha256.cache_info()
    assert sha256(path) == sha256(path) == sha256(path)
    after = _sha256.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)


def test_a_fingerprint_is_that_of_the_content_not_of_the_path(
    model: Path, tiny_model: ModelFactory, tmp_path: Path
) -> None:
    before = of_model(model)
    assert len(before) == 32
    assert int(before, 16)
    assert before == of_model(tiny_model("bert"))
    (tmp_path / "link").symlink_to(model, target_is_directory=True)
    assert before == of_model(tmp_path / "link")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_file_changed_in_place_changes_the_fingerprint(model: Path, file: str) -> None:
    path = model / file
    path.write_bytes(path.read_bytes() + b" ")
    before = of_model(model)
    rewrite(path, path.read_bytes()[:-1] + b"\n")
    assert of_model(model) != before


@pytest.mark.parametrize(
    "file", ["vocab.txt", "spiece.model", "merges.bpe", "model-00001-of-00002.safetensors"]
)
def test_a_new_file_that_can_change_numbers_changes_the_fingerprint(model: Path, file: str) -> None:
    before = of_model(model)
    (model / file).write_text("x")
    assert of_model(model) != before


def test_code_counts_where_it_may_run(model: Path) -> None:
    before = of_model(model), of_model(model, trust_remote_code=True)
    (model / "modeling_own.py").write_text("x")
    assert of_model(model) == before[0]
    assert of_model(model, trust_remote_code=True) != before[1]


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        ".gitattributes",
        ".cache/download.json",
        "onnx/model.json",
        "pytorch_model.bin",
        "train.py",
        "data_config.json",
    ],
)
def test_other_files_do_not_change_the_fingerprint(model: Path, file: str) -> None:
    before = of_model(model)
    (model / file).parent.mkdir(parents=True, exist_ok=True)
    (model / file).write_text("x")
    assert of_model(model) == before


def test_content_cannot_move_between_files_unnoticed(tmp_path: Path) -> None:
    fingerprints = set()
    for number, files in enumerate(
        [
            {"a.txt": "b", "ab.txt": ""},
            {"a.txt": "", "ab.txt": "b"},
            {"a.txt": "b"},
            {"ab.txt": "b"},
        ]
    ):
        directory = tmp_path / str(number)
        directory.mkdir()
        for name, content in files.items():
            (directory / name).write_text(content)
        fingerprints.add(fingerprint(directory, directory.iterdir()))
    assert len(fingerprints) == 4
