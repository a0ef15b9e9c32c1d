"""Tests of models/store/private_files.py."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bertvectorizer.errors import StoreError
from bertvectorizer.models.store.private_files import (
    SIDE_FILES,
    is_own_file,
    make_directory,
    make_private,
)

NOBODY = 65534

pytestmark = pytest.mark.skipif(
    not hasattr(os, "getuid"), reason="owners and modes of files are POSIX's"
)
needs_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file away"
)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture(params=[0o1777, 0o775, 0o1770])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory in which others may make files."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(request.param)
    return directory


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in directory.iterdir()}


class TestMakeDirectory:
    @pytest.mark.usefixtures("umask")
    def test_every_parent_is_the_owner_s_alone(self, tmp_path: Path) -> None:
        make_directory(tmp_path / "a" / "b" / "c")
        for path in ("a", "a/b", "a/b/c"):
            assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o700

    def test_what_exists_stays_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a").chmod(0o755)
        make_directory(tmp_path / "a" / "b")
        make_directory(tmp_path / "a" / "b")
        assert modes(tmp_path) == {"a": 0o755}
        assert modes(tmp_path / "a") == {"b": 0o700}

    def test_a_file_in_the_way_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        for path in (tmp_path / "a", tmp_path / "a" / "b"):
            with pytest.raises((FileExistsError, NotADirectoryError)):
                make_directory(path)


def give_away(path: Path) -> None:
    path.touch(0o600)
    os.chown(path, NOBODY, -1)


def open_to_all(path: Path) -> None:
    path.touch()
    path.chmod(0o666)


def add_a_name(path: Path) -> None:
    path.with_name("other").touch()
    path.hardlink_to(path.with_name("other"))


# What may lie in the place of a side file, how it gets there, and why it is refused.
PLANTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (os.mkfifo, "is not a plain file"),
    "a directory": (os.mkdir, "is not a plain file"),
    "a link": (lambda path: path.symlink_to("elsewhere"), "is not a plain file"),
    "another name of a file": (add_a_name, "is not a plain file"),
    "open to all": (open_to_all, "can be written by every user"),
    "somebody else's": (give_away, rf"belongs to another user \(uid {NOBODY}\)"),
}


class TestSideFiles:
    @pytest.mark.usefixtures("umask")
    def test_a_directory_of_one_s_own_has_none_of_them(self, tmp_path: Path) -> None:
        assert make_private(tmp_path / "own" / "store.sqlite") is False
        assert modes(tmp_path / "own") == {"store.sqlite": 0o600}

    @pytest.mark.usefixtures("umask")
    def test_in_a_shared_directory_their_names_are_taken(self, shared: Path) -> None:
        for _ in range(2):
            assert make_private(shared / "store.sqlite") is True
            assert modes(shared) == {f"store.sqlite{end}": 0o600 for end in ("", *SIDE_FILES)}

    def test_they_lie_beside_the_target_of_a_link(self, shared: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(shared / "store.sqlite")
        (shared / "store.sqlite").touch(0o600)
        assert make_private(tmp_path / "link") is True
        assert set(modes(shared)) == {f"store.sqlite{end}" for end in ("", *SIDE_FILES)}
        (shared / "store.sqlite-wal").chmod(0o666)
        with pytest.raises(StoreError, match=r"store\.sqlite-wal' can be written by every user"):
            make_private(tmp_path / "link")

    @pytest.mark.parametrize("suffix", SIDE_FILES)
    @pytest.mark.parametrize(
        "kind", [pytest.param(kind, marks=needs_root if "else" in kind else ()) for kind in PLANTED]
    )
    @pytest.mark.parametrize("mode", [0o700, 0o1777])
    def test_what_was_put_in_their_place_is_refused(
        self, mode: int, kind: str, suffix: str, tmp_path: Path
    ) -> None:
        tmp_path.chmod(mode)
        plant, message = PLANTED[kind]
        plant(tmp_path / f"store.sqlite{suffix}")
        with pytest.raises(StoreError, match=rf"store\.sqlite{suffix}' {message}"):
            make_private(tmp_path / "store.sqlite")

    @needs_root
    def test_a_link_of_somebody_else_is_refused(self, shared: Path, tmp_path: Path) -> None:
        (tmp_path / "store.sqlite").touch(0o600)
        (shared / "link").symlink_to(tmp_path / "store.sqlite")
        os.lchown(shared / "link", NOBODY, -1)
        with pytest.raises(StoreError, match="link' belongs to another user"):
            make_private(shared / "link")


class TestIsOwnFile:
    def test_a_plain_file_of_this_user_only(self, tmp_path: Path) -> None:
        own = tmp_path / "own"
        assert not is_own_file(own)
        own.touch()
        assert is_own_file(own)
        (tmp_path / "link").symlink_to(own)
        os.mkfifo(tmp_path / "pipe")
        assert not any(map(is_own_file, (tmp_path, tmp_path / "link", tmp_path / "pipe")))

    @needs_root
    def test_no_file_of_somebody_else(self, tmp_path: Path) -> None:
        (tmp_path / "other").touch()
        os.chown(tmp_path / "other", NOBODY, -1)
        assert not is_own_file(tmp_path / "other")


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="no place where nothing can be made")
def test_where_no_directory_can_be_made() -> None:
    with pytest.raises(OSError, match="/proc/none"):
        make_directory(Path("/proc/none/a"))
