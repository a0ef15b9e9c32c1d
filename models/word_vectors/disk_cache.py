"""Cache tables of word vectors on disk, as memory-mapped arrays that processes share."""

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
from ..checkpoint.fingerprint import file_state
from .table import Subwords, WordVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Blocks = Iterable[tuple[list[str], NDArray[np.float32]]]
    Origin = tuple[Callable[..., WordVectors], tuple[Any, ...]]

__all__ = ["cached_table", "file_digest", "tables_directory"]

_FORMAT = 1  # raise it with each change of the files
_MAX_OPEN = 4
_SETTLED_NS = 2_000_000_000

_digests: dict[tuple[Any, ...], str] = {}
# By key and origin: two files may have the same content, and one may be removed
_open_tables: dict[tuple[Any, ...], WordVectors] = {}


def tables_directory() -> Path:
    """Return the directory of all tables: in the assets of huggingface-hub."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "bertvectorizer" / "word-vectors"


def cached_table(
    key: str,
    origin: Origin,
    blocks: Callable[[], Blocks],
    subwords: Callable[[list[str], Any], Subwords] | None = None,
) -> WordVectors:
    """Return the table of a key; if missing, one process writes ``blocks``, others wait.

    Where the directory cannot be written, warn and keep the table in memory. ``origin`` opens the
    table again from a pickle.
    """
    identity = (key, *origin[1])
    if identity in _open_tables:
        return _open_tables[identity]
    directory = tables_directory() / key
    try:
        opened = _open(directory) or _make(directory, blocks)
    except StoreError as error:
        warn_user(
            f"The word vectors cannot be cached in '{directory.parent}', so they are read into"
            f" memory: {error}."
        )
        all_words, matrices = zip(*blocks(), strict=True)
        opened = [word for words in all_words for word in words], np.concatenate(matrices)
    words, vectors = opened
    table = WordVectors.trusted(
        words,
        vectors,
        digest=key,
        origin=origin,
        subwords=subwords(words, vectors) if subwords else None,
    )
    while len(_open_tables) >= _MAX_OPEN:
        _open_tables.pop(next(iter(_open_tables)), None)
    return _open_tables.setdefault(identity, table)  # another thread may have been quicker


def _open(directory: Path) -> tuple[list[str], NDArray[np.float32]] | None:
    """Open a table; None if it is missing or damaged."""
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
    except (OSError, ValueError, KeyError, TypeError, OverflowError):  # damaged ones are rewritten
        return None


def _make(directory: Path, blocks: Callable[[], Blocks]) -> tuple[list[str], NDArray[np.float32]]:
    """Write a table under a lock, unless another process was first, and open it."""
    from filelock import FileLock

    with _as_store_error():
        directory.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{directory}.lock")
        lock.acquire()
    try:
        opened = _open(directory)
        if opened is None:
            _write(directory, blocks())
            opened = _open(directory)
        if opened is None:
            raise StoreError(f"'{directory}' cannot be read although it was written")
        return opened
    finally:
        lock.release()


def _write(directory: Path, blocks: Blocks) -> None:
    """Write a draft and rename it, so that no process sees an incomplete table."""
    for left in directory.parent.glob(f"{directory.name}.draft-*"):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    draft = directory.with_name(f"{directory.name}.draft-{os.getpid()}")
    with _as_store_error():
        draft.mkdir()  # follows the user's umask, unlike tempfile's
    try:
        words: list[str] = []
        n_dims = 0
        with _new_file(draft / "vectors.f32") as file:
            for more_words, vectors in blocks:  # their errors are not the cache's
                words += more_words
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
    """Open a file for writing; on a full disk, closing it may fail too."""
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
    except (OSError, NotImplementedError) as error:  # no locks on this file system
        raise StoreError(str(error)) from error


def file_digest(path: Path, *more: str) -> str:
    """Return a digest, 32 hexadecimal digits, of a file's content and of ``more``.

    The digest is cached on disk while the file's identity, size and both times are unchanged (ctime
    cannot be set back), except of a file changed just now: a file system's clock may be coarse.
    """
    state = path.stat()
    identity = (str(path), *file_state(state))
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
