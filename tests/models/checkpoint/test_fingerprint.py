"""Tests of models/checkpoint/fingerprint.py."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from bertvectorizer.errors import ModelChangedError, ModelIntegrityError, UnsafeModelError
from bertvectorizer.models.checkpoint.fingerprint import _sha256, file_state, fingerprint, sha256
from bertvectorizer.models.checkpoint.source import file_states, open_checkpoint
from bertvectorizer.models.checkpoint.weights import load_model
from tests.files import rewrite
from tests.tiny import ModelFactory, save_sentence_transformer


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
    model: Path, tiny_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = of_model(model)
    assert len(before) == 32
    assert int(before, 16)
    assert before == of_model(tiny_model("bert"))
    (tmp_path / "link").symlink_to(model, target_is_directory=True)
    assert before == of_model(tmp_path / "link")
    monkeypatch.chdir(model)
    assert before == of_model(Path())


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_file_changed_in_place_changes_the_fingerprint(model: Path, file: str) -> None:
    path = model / file
    path.write_bytes(path.read_bytes() + b" ")
    before = of_model(model)
    rewrite(path, path.read_bytes()[:-1] + b"\n")
    assert of_model(model) != before


def in_place(path: Path, content: bytes) -> None:
    rewrite(path, content)  # under its former date


def by_rename(path: Path, content: bytes) -> None:
    state = path.stat()
    new = path.with_name("new.tmp")
    new.write_bytes(content)
    os.utime(new, ns=(state.st_atime_ns, state.st_mtime_ns))
    new.rename(path)


def by_hard_link(path: Path, content: bytes) -> None:
    other = path.parents[2] / "other name"
    other.hardlink_to(path)
    rewrite(other, content)


def by_the_target_of_a_link(path: Path, content: bytes) -> None:
    rewrite(path.resolve(), content)


def by_another_target(path: Path, content: bytes) -> None:
    target = path.parents[2] / "another target"
    target.write_bytes(content)
    path.unlink()
    path.symlink_to(target)


def by_another_directory(path: Path, content: bytes) -> None:
    """A directory of the model is a link, as in "current -> v1", and is turned elsewhere."""
    new = path.parents[2] / "new directory"
    shutil.copytree(path.parent, new)
    (new / path.name).write_bytes(content)
    path.parent.rename(path.parents[2] / "former directory")
    path.parent.symlink_to(new)


WAYS = [
    *(in_place, by_rename, by_hard_link, by_the_target_of_a_link, by_another_target),
    by_another_directory,
]


@pytest.mark.parametrize("change", WAYS)
@pytest.mark.parametrize(
    "file", ["model.safetensors", "tokenizer.json", "2_Dense/model.safetensors", "modules.json"]
)
def test_a_file_is_replaced_in_whatever_way(
    model: Path, file: str, change: Callable[[Path, bytes], None], tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    directory = save_sentence_transformer(model, inside / "sentences", dense=8)
    path = directory / file
    content = path.read_bytes()
    if change is by_the_target_of_a_link:
        path.rename(tmp_path / "blob")
        path.symlink_to(tmp_path / "blob")
    before = open_checkpoint(directory)
    assert open_checkpoint(directory) is before
    new = {
        "tokenizer.json": content.replace(b'"bat"', b'"cat"'),
        "modules.json": content.replace(b"\n", b" ", 1),
    }.get(file, content[:-1] + bytes([content[-1] ^ 1]))
    change(path, new)
    after = open_checkpoint(directory)
    assert after.fingerprint != before.fingerprint
    if file.startswith("2_Dense"):
        assert after.later_modules[0].content != before.later_modules[0].content


def test_sha256_is_that_of_the_file_whose_state_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    state = file_state(path.stat())
    rewrite(path, b"weighty")
    for _ in range(2):  # what was read of another file is not kept under this one's state
        with pytest.raises(ModelChangedError, match="changed while it was being read"):
            _sha256(str(path), state)
    path.unlink()
    with pytest.raises(ModelIntegrityError, match="cannot be read"):
        _sha256(str(path), state)


# Of all tokenizers in transformers, and one that is not written yet.
@pytest.mark.parametrize(
    "file",
    [
        "vocab.txt", "spiece.model", "merges.bpe", "bpe.codes", "dict.txt", "emoji.json",
        "word_shape.json", "word_pronunciation.json", "byte_maps.json", "normalizer.json",
        "entity_vocab.json", "source.spm", "prophetnet.tokenizer", "tekken.json", "mecabrc",
        "chat_template.jinja", "additional_chat_templates/query.jinja", "a file of the future",
        "model-00001-of-00002.safetensors", "config.5.0.json", "adapter_model.safetensors",
    ],
)  # fmt: skip
def test_a_new_file_that_can_change_numbers_changes_the_fingerprint(model: Path, file: str) -> None:
    before = of_model(model)
    (model / file).parent.mkdir(exist_ok=True)
    (model / file).write_text("x")
    assert of_model(model) != before


@pytest.mark.parametrize("file", ["modeling_own.py", "layers/attention.py"])
def test_code_counts_where_it_may_run(model: Path, file: str) -> None:
    before = of_model(model), of_model(model, trust_remote_code=True)
    (model / file).parent.mkdir(exist_ok=True)
    (model / file).write_text("x")
    assert of_model(model) == before[0]
    assert of_model(model, trust_remote_code=True) != before[1]


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        ".gitattributes",
        ".cache/download.json",
        "onnx/model.json",
        "model.onnx",
        "store.sqlite-journal",
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
        fingerprints.add(fingerprint([directory], file_states([directory], False)))
    assert len(fingerprints) == 4


class TestNames:
    """Files may only name files that count."""

    def split(self, model: Path, shard: str) -> None:
        """Put the weights into one shard, which an index names."""
        weights = load_file(model / "model.safetensors")
        (model / "model.safetensors").unlink()
        (model / shard).parent.mkdir(exist_ok=True)
        save_file(weights, model / shard, metadata={"format": "pt"})
        save_file({}, model / "decoy.safetensors")
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(weights, shard)}
        (model / "model.safetensors.index.json").write_text(json.dumps(index))

    @pytest.mark.parametrize(
        "shard",
        [
            "shards/model-00001-of-00001.safetensors",
            "../outside/model-00001-of-00001.safetensors",
            "pytorch_model-00001-of-00001.bin",
            "README.safetensors",
            ".model.safetensors",
        ],
    )
    def test_a_shard_elsewhere_or_of_another_format_is_refused(
        self, model: Path, shard: str
    ) -> None:
        self.split(model, shard)
        with pytest.raises(UnsafeModelError, match=r"index\.json' names .* under 'weight_map'"):
            open_checkpoint(model)

    def test_a_shard_beside_its_index_is_read_and_counts(self, model: Path) -> None:
        shard = "model-00001-of-00001.safetensors"
        self.split(model, shard)
        before = open_checkpoint(model)
        load_model(before)
        content = bytearray((model / shard).read_bytes())
        content[-1] ^= 1
        (model / shard).write_bytes(content)
        assert open_checkpoint(model).fingerprint != before.fingerprint

    @pytest.mark.parametrize(
        ("file", "key", "value"),
        [
            ("config.json", "transformers_weights", "other/model.safetensors"),
            ("config.json", "transformers_weights", "adapter_model.bin"),
            ("config.json", "configuration_files", ["config.json", "../config.4.0.json"]),
            ("config.4.0.json", "transformers_weights", "other/model.safetensors.index.json"),
            ("tokenizer_config.json", "fast_tokenizer_files", ["other/tokenizer.4.0.json"]),
            ("tokenizer_config.json", "fast_tokenizer_files", 4),
            ("model.safetensors.index.json", "weight_map", ["/etc/model.safetensors"]),
            ("model.safetensors.index.json", "weight_map", {"x": None}),
        ],
    )
    def test_other_files_that_name_files(
        self, model: Path, file: str, key: str, value: Any
    ) -> None:
        path = model / file
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(content | {key: value}))
        with pytest.raises(UnsafeModelError, match=f"{file}' names .* under '{key}'"):
            open_checkpoint(model)

    @pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
    @pytest.mark.parametrize(
        "key", ["vocab", "vocab_file", "merges", "merges_file", "tokenizer_file", "init_inputs"]
    )
    def test_a_tokenizer_reads_no_file_that_does_not_count(
        self, model: Path, tmp_path: Path, file: str, key: str
    ) -> None:
        outside = tmp_path / "vocab.txt"
        outside.write_text("[PAD]\n[UNK]\nbat\n")
        path = model / file
        content = json.loads(path.read_text()) if path.exists() else {}
        value: Any = [str(outside)] if key == "init_inputs" else str(outside)
        path.write_text(json.dumps(content | {key: value}))
        with pytest.raises(UnsafeModelError, match=f"{file}' names the file .* under '{key}'"):
            open_checkpoint(model)

    def test_paths_of_another_machine_and_inline_content_are_no_files(self, model: Path) -> None:
        path = model / "tokenizer_config.json"
        noise = {
            "vocab_file": "/root/.cache/vocab.txt",
            "tokenizer_file": None,
            "special_tokens_map_file": str(path),
            "init_inputs": [],
        }
        path.write_text(json.dumps(json.loads(path.read_text()) | noise))
        open_checkpoint(model)


def test_a_file_whose_name_is_no_text_counts(model: Path) -> None:
    before = open_checkpoint(model).fingerprint
    try:
        Path(os.fsdecode(os.fsencode(model) + b"/vocab\xff.txt")).write_text("bat")
    except (OSError, UnicodeError):
        pytest.skip("names of files are texts here")
    assert open_checkpoint(model).fingerprint != before
