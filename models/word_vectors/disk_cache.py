"""Cache tables of word vectors on disk, as memory-mapped arrays that processes share.

A digest stands beside everything that is kept. Words are compared with theirs when a table is
opened, vectors block by block when they are first read. A table that differs is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import ModelIntegrityError, StoreError
from ...foreign import foreign_errors_as
from ...warning import warn_user
from ..checkpoint.fingerprint import file_state
from .table import Subwords, WordVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Blocks = Iterable[tuple[list[str], NDArray[np.float32]]]
    Origin = tuple[Callable[..., WordVectors], tuple[Any, ...]]

__all__ = ["cached_table", "file_digest", "tables_directory"]

_FORMAT = 1  # raise it where the same file would give other vectors
_BLOCK_BYTES = 1 << 18
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
    n_skipped: Callable[[], int] = lambda: 0,
) -> WordVectors:
    """Return the table of a key; if missing, one process writes ``blocks``, others wait.

    Where the directory cannot be written, warn and keep the table in memory. ``origin`` opens the
    table again from a pickle. ``n_skipped`` counts the rows that ``blocks`` has left out.
    """
    identity = (key, *origin[1])
    if identity in _open_tables:
        return _open_tables[identity]
    directory = tables_directory() / key
    opened: _Opened | None = None
    with suppress(_DamagedError):  # a process that holds the lock may be replacing it
        opened = _open(directory)
    if opened is None:
        opened = _make(directory, blocks, n_skipped)
    verified = _Verified(opened, partial(_make, directory, blocks, n_skipped))
    table = WordVectors.trusted(
        opened.words,
        opened.vectors,
        digest=key,
        origin=origin,
        subwords=subwords(opened.words, verified(None)) if subwords else None,
        verified=verified,
        n_skipped=opened.n_skipped,
    )
    while len(_open_tables) >= _MAX_OPEN:
        _open_tables.pop(next(iter(_open_tables)), None)
    return _open_tables.setdefault(identity, table)  # another thread may have been quicker


class _DamagedError(ValueError):
    """What is kept differs from its digest."""


class _Opened(NamedTuple):
    """A table; a digest for each ``n_rows`` rows of its vectors, none if they are in memory."""

    words: list[str]
    vectors: NDArray[np.float32]
    n_rows: int
    digests: list[str]
    n_skipped: int

    def check(self, block: int) -> None:
        """Compare a block of vectors with its digest."""
        rows = self.vectors[block * self.n_rows : (block + 1) * self.n_rows]
        if hashlib.blake2b(rows.data, digest_size=16).hexdigest() != self.digests[block]:
            raise _DamagedError(f"block {block:,} of vectors.f32 differs from its digest")


class _Verified:
    """The vectors of a table, each block compared with its digest when it is first requested."""

    def __init__(self, opened: _Opened, make: Callable[[], _Opened]) -> None:
        self._opened, self._make = opened, make
        self._unchecked = np.ones(len(opened.digests), dtype=bool)

    def __call__(self, rows: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Return all vectors; those of ``rows`` are sound, all if None."""
        opened, unchecked = self._opened, self._unchecked
        if unchecked.any():
            wanted = np.full_like(unchecked, rows is None)
            if rows is not None:
                wanted[rows // opened.n_rows] = True
            try:
                for block in np.flatnonzero(wanted & unchecked).tolist():
                    opened.check(block)
                    unchecked[block] = False
            except _DamagedError:
                opened = self._opened = self._make()
                self._unchecked = np.zeros(len(opened.digests), dtype=bool)
        return opened.vectors


def _open(directory: Path, is_whole: bool = False) -> _Opened | None:
    """Open a table; compare its vectors with their digests only if ``is_whole``.

    Return None if there is none, or one of a version that kept no digests.
    """
    try:
        facts = json.loads((directory / "facts.json").read_bytes())
        if "n_words" in facts and "digest" not in facts:
            return None
        digest = facts.pop("digest")
        listed = (directory / "words.json").read_bytes()
        shape = (int(facts["n_words"]), int(facts["n_dims"]))
        size = (directory / "vectors.f32").stat().st_size
        for name, is_right in (
            ("facts.json", digest == _digest(json.dumps(facts))),
            ("words.json", facts["words"] == _digest(listed)),
            ("vectors.f32", size == 4 * shape[0] * shape[1]),
        ):
            if not is_right:
                raise _DamagedError(f"{name} differs from its digest or its size")
        vectors = np.memmap(directory / "vectors.f32", dtype="<f4", mode="r", shape=shape)
        opened = _Opened(
            json.loads(listed),
            np.asarray(vectors),
            facts["n_rows"],
            facts["vectors"],
            facts["n_skipped"],
        )
        for block in range(len(opened.digests) if is_whole else 0):
            opened.check(block)
        return opened
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if not directory.is_dir():
            return None
        raise _DamagedError(str(error)) from error


def _make(directory: Path, blocks: Callable[[], Blocks], n_skipped: Callable[[], int]) -> _Opened:
    """Return a sound table: the one there is, or one made of ``blocks``; in memory at worst."""
    try:
        return _make_on_disk(directory, blocks, n_skipped)
    except StoreError as error:
        warn_user(
            f"The word vectors cannot be cached in '{directory.parent}', so they are read into"
            f" memory: {error}."
        )
        all_words, matrices = zip(*blocks(), strict=True)
        words = [word for words in all_words for word in words]
        return _Opened(words, np.concatenate(matrices), 1, [], n_skipped())


def _make_on_disk(
    directory: Path, blocks: Callable[[], Blocks], n_skipped: Callable[[], int]
) -> _Opened:
    """Write a table under a lock, unless another process was first, and open it."""
    from filelock import FileLock

    with _as_store_error():
        directory.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{directory}.lock")
        lock.acquire()
    try:
        opened = None
        try:
            opened = _open(directory, is_whole=True)
        except _DamagedError as error:
            warn_user(
                f"The word vectors cached in '{directory}' are damaged: {error}. They are made"
                " anew from their source."
            )
        if opened is None:
            _write(directory, blocks(), n_skipped)
            with suppress(_DamagedError):
                opened = _open(directory, is_whole=True)
        if opened is None:
            raise StoreError(f"'{directory}' cannot be read although it was written")
        return opened
    finally:
        lock.release()


def _write(directory: Path, blocks: Blocks, n_skipped: Callable[[], int]) -> None:
    """Write a draft and rename it, so that no process sees an incomplete table."""
    for left in directory.parent.glob(f"{directory.name}.draft-*"):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    draft = directory.with_name(f"{directory.name}.draft-{os.getpid()}")
    with _as_store_error():
        draft.mkdir()  # follows the user's umask, unlike tempfile's
    try:
        words: list[str] = []
        digests = _Digests()
        with _new_file(draft / "vectors.f32") as file:
            for more_words, vectors in blocks:  # their errors are not the cache's
                words += more_words
                exact = np.ascontiguousarray(vectors, dtype="<f4")
                digests.add(exact)
                with _as_store_error():
                    file.write(exact.data)
            with _as_store_error():
                _flush(file)
        listed = json.dumps(words).encode()
        facts = {
            "n_words": len(words),
            "n_dims": digests.n_dims,
            "words": _digest(listed),
            "n_rows": digests.n_rows,
            "vectors": digests.finish(),
            "n_skipped": n_skipped(),
        }
        facts["digest"] = _digest(json.dumps(facts))
        with _as_store_error():
            for name, content in (("words", listed), ("facts", json.dumps(facts).encode())):
                with _new_file(draft / f"{name}.json") as file:
                    file.write(content)
                    _flush(file)
            shutil.rmtree(directory, ignore_errors=True)
            draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _Digests:
    """Digests of blocks of rows, while these arrive in other portions."""

    def __init__(self) -> None:
        self.n_dims = self.n_rows = self._n_left = 0
        self._finished: list[str] = []
        self._current = hashlib.blake2b(digest_size=16)

    def add(self, vectors: NDArray[np.float32]) -> None:
        if not self.n_dims:
            self.n_dims = vectors.shape[1]
            self.n_rows = self._n_left = max(1, _BLOCK_BYTES // (4 * self.n_dims))
        while len(vectors):
            self._current.update(vectors[: self._n_left].data)
            n_taken = min(self._n_left, len(vectors))
            vectors = vectors[n_taken:]
            self._n_left -= n_taken
            if not self._n_left:
                self._close_block()

    def finish(self) -> list[str]:
        if self._n_left < self.n_rows:
            self._close_block()
        return self._finished

    def _close_block(self) -> None:
        self._finished.append(self._current.hexdigest())
        self._current = hashlib.blake2b(digest_size=16)
        self._n_left = self.n_rows


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
    with _reading(path):
        state = path.stat()
    identity = (str(path), *file_state(state))
    note = tables_directory() / f"{_digest(repr(identity))}.digest"
    content = _digests.get(identity, "")
    if not content:
        with suppress(OSError, UnicodeDecodeError):
            content, _, checksum = note.read_text(encoding="ascii").partition(" ")
            if checksum != _digest(content + repr(identity)):  # damaged, or of an earlier version
                content = ""
    if not content:
        with _reading(path), open(path, "rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS:
            _digests[identity] = content
            with suppress(OSError):
                note.parent.mkdir(parents=True, exist_ok=True)
                note.write_text(f"{content} {_digest(content + repr(identity))}", encoding="ascii")
    return _digest(repr((_FORMAT, content, *more)))


def _reading(path: Path) -> AbstractContextManager[None]:
    return foreign_errors_as(
        ModelIntegrityError, f"The file '{path}' cannot be read", "Give one that you may read."
    )


def _digest(content: str | bytes) -> str:
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return hashlib.blake2b(data, digest_size=16).hexdigest()
