"""Check whether a file or directory can be written, and write both atomically."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast
from uuid import uuid4

from .errors import BertVectorizerError, StoreError
from .foreign import reason_of
from .validation import invalid

__all__ = [
    "atomic_directory",
    "atomic_write",
    "full_path",
    "new_directory",
    "open_draft",
    "output_fault",
    "writing",
]


def output_fault(path: Path) -> str:
    """Say why no file can be written at ``path``; empty if one can."""
    if not os.path.isdir(path.parent):  # unlike Path.is_dir, never raises
        return f"there is no folder {str(path.parent)!r}. Make it first."
    if os.path.isdir(path):
        return "it is a folder."
    try:
        path.stat()
        is_there = True
    except FileNotFoundError:
        is_there = False
    except (OSError, ValueError) as error:  # too long a name, or a null character in it
        return f"{getattr(error, 'strerror', None) or error}."
    if is_there and not path.is_file():  # it would be replaced, not written to
        return "it is a pipe, a device or a socket, not a file."
    if is_there and not os.access(path, os.W_OK):
        return "it is write-protected."
    is_writable = os.access(path.parent, os.W_OK)
    return "" if is_writable else f"the folder {str(path.parent)!r} is write-protected."


def open_draft(path: Path) -> IO[bytes]:
    """Open a new file beside ``path`` for writing and reading; its ``name`` is its path.

    No file that is there is opened, and no link is followed, so that nobody who may write to the
    directory can choose which file is written.
    """
    draft = path.with_name(f"{path.name}.part-{uuid4().hex[:8]}")
    return cast("IO[bytes]", open(str(draft), "x+b", opener=_open_without_links))


def _open_without_links(path: str, flags: int) -> int:
    # "x" sets O_EXCL, which ignores links already; O_NOFOLLOW is absent on Windows.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Yield a draft, which replaces ``path`` when the block ends without an error.

    Whatever happens, ``path`` is the old file or the new one, and no draft is left.
    """
    file = open_draft(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)
    finally:
        with suppress(OSError):
            os.unlink(file.name)


def new_directory(directory: str | Path) -> Path:
    """Return the path of a directory that can be written, or raise if something is there."""
    if not isinstance(directory, (str, os.PathLike)):
        raise invalid("directory", "the path of a new or empty directory", directory)
    path = full_path(directory)
    if os.path.exists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise invalid("directory", "the path of a new or empty directory", str(directory))
    parent = next(each for each in path.parents if os.path.exists(each))
    if "\0" in str(path) or not (os.path.isdir(parent) and os.access(parent, os.W_OK)):
        raise invalid("directory", "in a directory that can be written", str(directory))
    return path


def full_path(path: str | os.PathLike[str]) -> Path:
    """Return a path as a whole, where links lead; what is wrong with it, `output_fault` says."""
    expanded = os.path.expanduser(path)
    try:
        return Path(os.path.realpath(expanded))
    except ValueError:  # a null character
        return Path(expanded).absolute()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write to a file or directory within the block; what fails is a `StoreError`."""
    try:
        yield
    except Exception as error:
        # safetensors has an error of its own for a full disk.
        is_of_disk = isinstance(error, OSError) or type(error).__name__ == "SafetensorError"
        if not is_of_disk or isinstance(error, BertVectorizerError):
            raise
        raise StoreError(
            f"'{path}' cannot be written: {reason_of(error)}. Make room there, or choose another"
            " place; that of temporary files is set by the environment variable TMPDIR."
        ) from error


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a draft, which becomes the new or empty directory ``path`` if there is no error.

    `StoreError` is raised where it cannot be written.
    """
    draft = path.with_name(f".{path.name}-{uuid4().hex[:8]}")
    try:
        with writing(path):
            draft.mkdir(parents=True)  # which follows the user's umask, unlike tempfile's
            yield draft
            draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
