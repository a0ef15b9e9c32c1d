"""Tables of word vectors on disk: made once, then opened as a memory-mapped array whose pages processes share."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ...errors import StoreError
from ...warning import warn_user
from .table import Subwords, WordVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Blocks = Iterable[tuple[list[str], NDArray[np.float32]]]
    Origin = tuple[Callable[..., WordVectors], tuple[Any, ...]]

__all__ = ["file_digest", "forget_tables", "kept_table", "tables_directory"]

_FORMAT = 1  # to be raised by whoever changes what is written
_MOST_HELD = 4
_SETTLED_NS = 2_000_000_000

_digests: dict[tuple[Any, ...], str] = {}
_held: dict[
    tuple[Any, ...], WordVectors
] = {}  # by key and origin: the same content may lie in two files, one of which goes


def tables_directory() -> Path:
    """Return the directory of all tables: among huggingface-hub's assets, which ``HF_HOME`` or ``HF_ASSETS_CACHE`` move."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "bertvectorizer" / "word-vectors"


def forget_tables() -> None:
    """Let go of the tables that this process holds open."""
    _held.clear()
    _digests.clear()


def kept_table(
    key: str,
    origin: Origin,
    blocks: Callable[[], Blocks],
    subwords: Callable[[list[str], Any], Subwords] | None = None,
) -> WordVectors:
    """Return the table that is kept under a key, made by ``blocks`` where it is not there yet.

    Several processes that need a new table make it once: the others wait.

    Parameters
    ----------
    key : str
        Digest of all that the numbers depend on.
    origin : (callable, tuple)
        What opens the table again, for pickles.
    blocks : callable
        Returns words and vectors, block by block.
    subwords : callable or None
        Makes the table's `Subwords` of its words and vectors.

    Returns
    -------
    WordVectors
        Memory-mapped; in memory, after a warning, where the directory of tables cannot be written.
    """
    held = (key, *origin[1])
    if held in _held:
        return _held[held]
    directory = tables_directory() / key
    try:
        opened = _open(directory) or _make(directory, blocks)
    except StoreError as error:
        warn_user(
            f"The word vectors cannot be kept in '{directory.parent}', so they are read into"
            f" memory: {error}."
        )
        opened = _in_memory(blocks())
    words, vectors = opened
    table = WordVectors.trusted(
        words, vectors, key, origin, subwords(words, vectors) if subwords else None
    )
    while len(_held) >= _MOST_HELD:
        _held.pop(next(iter(_held)), None)
    return _held.setdefault(held, table)  # another thread may have been quicker


def _in_memory(blocks: Blocks) -> tuple[list[str], NDArray[np.float32]]:
    words: list[str] = []
    matrices = []
    for some, vectors in blocks:
        words += some
        matrices.append(vectors)
    return words, np.concatenate(matrices)


def _open(directory: Path) -> tuple[list[str], NDArray[np.float32]] | None:
    """Open a table; None where there is none, or one of another format or size than it says."""
    try:
        facts = json.loads((directory / "facts.json").read_bytes())
        words = json.loads((directory / "words.json").read_bytes())
        shape = (int(facts["n_words"]), int(facts["n_dims"]))
        if (
            len(words) != shape[0]
            or (directory / "vectors.f32").stat().st_size != 4 * shape[0] * shape[1]
        ):
            return None
        return words, np.asarray(
            np.memmap(directory / "vectors.f32", dtype="<f4", mode="r", shape=shape)
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):  # damaged; made anew
        return None


def _make(directory: Path, blocks: Callable[[], Blocks]) -> tuple[list[str], NDArray[np.float32]]:
    """Write a table beside its place and move it there whole, so that no process ever sees a part."""
    from filelock import FileLock

    with _as_store_error():
        directory.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{directory}.lock")
        lock.acquire()
    try:
        opened = _open(directory)
        if opened is None:  # else another process was first
            _write(directory, blocks())
            opened = _open(directory)
        if opened is None:
            raise StoreError(f"'{directory}' cannot be read although it was written")
        return opened
    finally:
        lock.release()


def _write(directory: Path, blocks: Blocks) -> None:
    for left in directory.parent.glob(
        f"{directory.name}.draft-*"
    ):  # by a process that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    draft = directory.with_name(f"{directory.name}.draft-{os.getpid()}")
    with _as_store_error():
        draft.mkdir()  # unlike those of tempfile, open to whom the user's umask allows it
    try:
        words: list[str] = []
        n_dims = 0
        with _new_file(draft / "vectors.f32") as file:
            for some, vectors in blocks:  # what is wrong with these is not the store's
                words += some
                n_dims = vectors.shape[1]
                with _as_store_error():
                    file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
            with _as_store_error():
                _flush(file)
        with _as_store_error():
            for name, content in (
                ("words", words),
                ("facts", {"n_words": len(words), "n_dims": n_dims}),
            ):
                with _new_file(draft / f"{name}.json") as file:
                    file.write(json.dumps(content).encode())
                    _flush(file)
            shutil.rmtree(directory, ignore_errors=True)
            draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be written; on a full disk, to close it is an error once more."""
    with _as_store_error():
        file = open(path, "wb")  # noqa: SIM115
    try:
        yield file
    finally:
        with _as_store_error():
            file.close()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _as_store_error() -> Iterator[None]:
    try:
        yield
    except (OSError, NotImplementedError) as error:  # the latter where a file system has no locks
        raise StoreError(str(error)) from error


def file_digest(path: Path, *more: str) -> str:
    """Return a digest of a file's content, and of what else decides how it is read.

    Large files take seconds, so the digest is kept from one process to the next, for as long as the
    file's identity, size and both times stay as they were (the time of change, ctime, cannot be set
    back). It is not kept of a file that has just been changed: the clock of a file system may be
    too coarse to tell of a second change.

    Parameters
    ----------
    path : Path
    *more : str

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    state = path.stat()
    identity = (
        str(path),
        state.st_dev,
        state.st_ino,
        state.st_size,
        state.st_mtime_ns,
        state.st_ctime_ns,
    )
    note = tables_directory() / f"{_digest(repr(identity))}.digest"
    content = _digests.get(identity, "")
    if not content:
        with suppress(OSError, UnicodeDecodeError):
            content = note.read_text(encoding="ascii")
    if not re.fullmatch("[0-9a-f]{32}", content):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS:
            _digests[identity] = content
            with suppress(OSError):
                note.parent.mkdir(parents=True, exist_ok=True)
                note.write_text(content, encoding="ascii")
    return _digest(repr((_FORMAT, content, *more)))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
