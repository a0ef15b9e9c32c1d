"""The store of a session: in the temporary directory, shared with workers, removed at exit."""

from __future__ import annotations

import atexit
import getpass
import glob
import multiprocessing
import os
import platform
import shutil
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from ...errors import StoreError
from ...warning import warn_user
from .embedding_store import EmbeddingStore, reopen

__all__ = ["comparison_store", "session_directory", "session_store"]

_MAX_BYTES = 8 << 30
_MIN_FREE_BYTES = 16 << 20


@cache
def session_store() -> EmbeddingStore | None:
    """Return the store of this session; None, after a warning, where it cannot be created.

    A worker process uses the store of its parent, which it finds by the parent's process number.
    An estimator holds nothing of it, so that pickles and hashes are the same in every session.
    """
    try:
        directory = session_directory()
        _make(directory)
        path = directory / "embeddings.sqlite"
        free = shutil.disk_usage(directory).free + (path.stat().st_size if path.exists() else 0)
        if free < _MIN_FREE_BYTES:
            raise StoreError(
                f"there are only {free:,} bytes free in '{directory.parent}'; TMPDIR may name"
                " another directory"
            )
        return reopen(path, min(_MAX_BYTES, free // 2), "passed", durable=False)
    except OSError as error:
        warn_user(
            f"There can be no store for this session, so texts are encoded without it: {error}."
        )
        return None


def comparison_store() -> EmbeddingStore | None:
    """Return a second store of this session, which keeps all layers."""
    session = session_store()
    return session and reopen(
        session.path.with_name("layers.sqlite"), session.max_bytes, "all_layers", durable=False
    )


def session_directory(*, is_checked: bool = False) -> Path:
    """Return the directory of this session, which worker processes share with their parent.

    ``is_checked`` makes it if need be. `StoreError` is raised where there can be none, or it is not
    this user's alone.
    """
    parent = multiprocessing.parent_process()
    try:
        directory = _directory(os.getpid() if parent is None or parent.pid is None else parent.pid)
        if is_checked:
            _make(directory)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"There is no directory for temporary files: {error}") from error
    return directory


def _directory(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"{_prefix()}{pid}"


def _prefix() -> str:
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return f"bertvectorizer-{user}-{platform.node()}-"


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        state = directory.lstat()
        if not stat.S_ISDIR(state.st_mode) or (
            hasattr(os, "getuid") and state.st_uid != os.getuid()
        ):
            raise StoreError(
                f"'{directory}' exists, but is not a directory of this user; TMPDIR may name"
                " another directory"
            ) from None
    else:
        atexit.register(_remove, os.getpid())  # a forked process has one of its own
        _sweep()


def _sweep() -> None:
    """Remove the directories of sessions that were killed."""
    if os.name != "posix":  # elsewhere os.kill() cannot ask whether a process lives
        return
    for path in Path(tempfile.gettempdir()).glob(f"{glob.escape(_prefix())}*"):
        number = path.name.removeprefix(_prefix())
        if number.isdecimal() and not _is_alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _remove(pid: int) -> None:
    if pid == os.getpid():
        with suppress(OSError):  # there may be no directory for temporary files
            shutil.rmtree(_directory(pid), ignore_errors=True)


if multiprocessing.parent_process() is None:
    atexit.register(_remove, os.getpid())
