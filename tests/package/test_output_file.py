"""Files that are written at once, or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from bertvectorizer.errors import InvalidParameterError, StoreError
from bertvectorizer.output_file import (
    atomic_directory,
    atomic_write,
    full_path,
    new_directory,
    open_draft,
    output_fault,
)


def test_the_file_appears_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as draft:
        draft.write(b"new")
        assert Path(draft.name).parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_have_two_drafts(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_text() == "first"  # the one that ended last
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as draft:
            draft.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_user_s_mask_decides_who_reads_it(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a.txt") as draft:
            draft.write(b"a")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_draft_is_a_new_file_whatever_lies_at_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have put a file or a link there, where they may write to the directory."""
    precious, path = tmp_path / "precious", tmp_path / "a.txt"
    precious.write_text("precious")
    number = uuid.uuid4()
    monkeypatch.setattr("bertvectorizer.output_file.uuid4", lambda: number)
    draft = open_draft(path)
    draft.close()
    taken = Path(draft.name)
    for make in (lambda: taken.symlink_to(precious), lambda: taken.symlink_to("none"), taken.touch):
        taken.unlink()
        make()
        with pytest.raises(FileExistsError):
            open_draft(path)
        with pytest.raises(FileExistsError), atomic_write(path) as file:
            file.write(b"a")
        assert os.path.lexists(taken)
    assert precious.read_text() == "precious"
    assert not path.exists()
    assert not (tmp_path / "none").exists()


def test_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert output_fault(tmp_path / "a.txt") == ""
    assert output_fault(tmp_path) == "it is a folder."
    assert output_fault(tmp_path / "no" / "a.txt").endswith("no'. Make it first.")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert output_fault(tmp_path / "pipe").startswith("it is a pipe, a device")
        assert output_fault(Path(os.devnull)).startswith("it is a pipe, a device")
    (tmp_path / "link").symlink_to("nowhere")
    assert output_fault(tmp_path / "link") == ""
    assert output_fault(tmp_path / ("a" * 300)) == "File name too long."
    assert output_fault(full_path(tmp_path / "a\0b")) == "embedded null byte."
    (tmp_path / "loop").symlink_to("loop")
    assert output_fault(full_path(tmp_path / "loop")).startswith("Too many levels")
    (tmp_path / "old.txt").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert output_fault(tmp_path / "a.txt").endswith("is write-protected.")
    assert output_fault(tmp_path / "old.txt") == "it is write-protected."


def test_a_directory_appears_when_it_is_finished(tmp_path: Path) -> None:
    path = new_directory(tmp_path / "new" / "model")
    with (
        pytest.raises(StoreError, match=r"model' cannot be written: .*TMPDIR"),
        atomic_directory(path) as draft,
    ):
        (draft / "a.txt").rename(draft / "missing" / "b.txt")
    assert not list(path.parent.iterdir())
    with atomic_directory(new_directory(path)) as draft:
        (draft / "a.txt").touch()
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["a.txt"]
    with pytest.raises(ZeroDivisionError), atomic_directory(path.with_name("b")):
        _ = 1 / 0
    (tmp_path / "file").touch()
    for wrong in (path, 3, tmp_path / "file" / "model", tmp_path / "a\0b"):
        with pytest.raises(
            InvalidParameterError, match=r"'directory' parameter must be (the path of|in a dir)"
        ):
            new_directory(wrong)  # type: ignore[arg-type]
