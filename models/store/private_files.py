"""The files of a store belong to its user: how they are made, and which ones are refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ...errors import StoreError

__all__ = ["SIDE_FILES", "is_own_file", "make_directory", "make_private"]

# SQLite takes what these hold for pages of the database itself, whoever wrote them.
SIDE_FILES = ("-journal", "-wal", "-shm")


def make_directory(path: Path) -> None:
    """Create a directory and its parents for their owner alone, whatever the umask."""
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)  # in /proc there can be none
    except OSError:  # it exists, or the file system is read-only
        if not path.is_dir():
            raise


def make_private(path: Path) -> bool:
    """Create the file of a store for its owner alone, and refuse files that others could write.

    Returns whether others may make files in its directory. Then all side files are created as well,
    so that nobody else can: where others can remove nothing of ours, the names stay ours.
    """
    make_directory(path.parent)
    if path.exists() and not path.is_file():
        raise StoreError(f"'{path}' is not a file. Choose another path")
    if not hasattr(os, "getuid"):
        return False
    directory = _check(path.parent)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    _check_owner(path, path.lstat())  # of a link, which its owner could turn elsewhere at any time
    _check(path)
    real = Path(os.path.realpath(path))  # of a link; SQLite keeps the side files beside its target
    if real.parent != path.parent:
        directory = _check(real.parent)
    is_shared = bool(directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    for suffix in SIDE_FILES:
        _check_side_file(real.with_name(real.name + suffix), create=is_shared)
    return is_shared


def is_own_file(path: Path) -> bool:
    """Return whether there is a plain file that belongs to this user."""
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and (
        not hasattr(os, "getuid") or state.st_uid == os.getuid()
    )


def _check(entry: Path) -> os.stat_result:
    """Return the state of a file or directory that belongs to this user or to root."""
    state = entry.stat()
    _check_owner(entry, state)
    # In a sticky directory, such as the temporary one, others can remove nothing of ours.
    is_sticky = stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX
    if state.st_mode & stat.S_IWOTH and not is_sticky:
        raise StoreError(f"'{entry}' can be written by every user; run: chmod o-w '{entry}'")
    return state


def _check_side_file(path: Path, create: bool) -> None:
    try:
        if create:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        pass
    try:
        state = path.lstat()
    except FileNotFoundError:
        return
    _check_owner(path, state)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        raise StoreError(f"'{path}' is not a plain file. Remove it, or choose another path")
    if state.st_mode & stat.S_IWOTH:
        raise StoreError(f"'{path}' can be written by every user. Remove it")


def _check_owner(path: Path, state: os.stat_result) -> None:
    if state.st_uid not in (os.getuid(), 0):
        raise StoreError(
            f"'{path}' belongs to another user (uid {state.st_uid}). Choose another path"
        )
