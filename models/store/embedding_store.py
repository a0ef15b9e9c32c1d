"""A store of embeddings in one file, shared by folds, candidates, runs and processes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from ...errors import StoreError
from ...validation import check_choice, check_flag, check_int, invalid
from .fail_safe import FailSafeCache
from .memory_cache import MemoryCache
from .private_files import SIDE_FILES
from .records import Record, is_sound
from .single_flight import Lookup, RecordEncoder
from .sqlite import FAULTS, OtherFormatError, is_busy, is_ours

__all__ = [
    "KEEP",
    "EmbeddingStore",
    "Keep",
    "PartNames",
    "StoreStats",
    "absolute",
    "reopen",
    "text_keys",
]

Keep: TypeAlias = Literal["requested", "passed", "all_layers"]
KEEP: tuple[Keep, ...] = get_args(Keep)

# Share of max_bytes above which less is kept.
_LARGE = 1 / 4
_NOTE_SECONDS = 60.0


class PartNames(NamedTuple):
    """Names of the parts of a text that a request is about; each field includes the one before.

    A part is one layer under one pooling. ``passed`` are the layers below the deepest one
    requested, and ``same_pooling`` all layers, under the poolings requested; ``every`` is all
    layers under all poolings.
    """

    requested: Sequence[bytes]
    passed: Sequence[bytes]
    same_pooling: Sequence[bytes]
    every: Sequence[bytes]


class StoreStats(NamedTuple):
    """What a store has done, over all processes that used it.

    Attributes
    ----------
    hits : int
        Requested texts that the store had.
    misses : int
        Requested texts that it did not have.
    encoded : int
        Texts that went through a network.
    texts : int
        Texts kept now.
    bytes : int
        Size of the file.
    seconds_saved : float
        Hits times the mean time that encoding a text took.
    """

    hits: int
    misses: int
    encoded: int
    texts: int
    bytes: int
    seconds_saved: float


def absolute(path: str | Path) -> Path:
    """Return an absolute path, with ``~`` expanded."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise invalid("path", "a path whose home directory is known", path) from error


def text_keys(settings: Sequence[str], texts: Sequence[str]) -> list[bytes]:
    """Return the key of each text under settings that change its numbers.

    Each field is hashed with its length before it, so that no two lists of fields collide.

    Examples
    --------
    >>> text_keys(["a", "bc"], ["d"]) == text_keys(["ab", "c"], ["d"])
    False
    """
    base = hashlib.blake2b(digest_size=20)
    for field in settings:
        base.update(_field(field))
    keys = []
    for text in texts:
        digest = base.copy()
        digest.update(_field(text))
        keys.append(digest.digest())
    return keys


def _field(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "little") + data


class EmbeddingStore:
    """Keep the vectors of texts in one file, so that no text is encoded twice.

    Many processes may share a store: of those that need a text, one encodes it and the others wait
    for it. If the file fails, the store warns once, and texts are encoded without it.

    Parameters
    ----------
    path : str or Path
        A file, which is created if need be, or a directory, in which ``embeddings.sqlite`` is
        created. Only its owner may use it.
    max_bytes : int or None, default=None
        Largest size of the file, in bytes; the least recently used texts are evicted. None sets no
        limit.
    keep : {"requested", "passed", "all_layers"}, default="requested"
        What is kept of a new text:

        - ``"requested"``: the layers and poolings requested.
        - ``"passed"``: also the layers below them, which cost space and no work.
        - ``"all_layers"``: all layers under all poolings.

        A text that is requested again with other layers or poolings is encoded once more; then all
        its layers are kept. While the file takes more than a quarter of ``max_bytes``,
        ``"requested"`` and ``"passed"`` keep less.
    durable : bool, default=True
        Whether what is written survives a power cut. It survives a killed process in any case.

    Attributes
    ----------
    path : Path
        The absolute path of the file.
    max_bytes : int or None
        The parameter.
    keep : str
        The parameter.
    durable : bool
        The parameter.
    stats : StoreStats
        What the store has done, over all processes.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule. The file itself is opened by the first call that needs it.

    See Also
    --------
    BertVectorizer : Takes a store as its ``store`` parameter.

    Notes
    -----
    Each process also keeps the records that it used last in memory, up to 256 MiB of those that
    take at most 32 KiB. An empty file takes 115 kB. A text with all its layers takes
    ``(layers + 1) x 6 x hidden x 4`` bytes, 64 kB for the default model. The maximum over a sum or
    mean of layers does not follow from the layers themselves; it is computed and kept apart.

    Examples
    --------
    >>> import tempfile
    >>> from bertvectorizer import BertVectorizer, EmbeddingStore
    >>> store = EmbeddingStore(tempfile.mkdtemp())
    >>> vectorizer = BertVectorizer(store=store)
    >>> _ = vectorizer.fit_transform(["once", "twice"]), vectorizer.transform(["twice", "once"])
    >>> store.stats.encoded, store.stats.hits
    (2, 2)
    """

    def __init__(
        self,
        path: str | Path,
        max_bytes: int | None = None,
        keep: Keep = "requested",
        durable: bool = True,
    ) -> None:
        if not isinstance(path, (str, Path)) or not str(path):
            raise invalid("path", "the path of a file or directory", path)
        self.path = absolute(path)
        if os.path.isdir(self.path):  # unlike Path.is_dir(), this never raises
            self.path = self.path / "embeddings.sqlite"
        self.max_bytes = check_int("max_bytes", max_bytes, 1, optional=True)
        self.keep: Keep = check_choice("keep", keep, KEEP)
        self.durable = check_flag("durable", durable)
        self._open()

    def _open(self) -> None:
        self._cache = FailSafeCache(self.path, self.max_bytes, self.durable)
        self._memory = MemoryCache()
        self._noted = time.monotonic()

    def __repr__(self) -> str:
        return (
            f"EmbeddingStore({str(self.path)!r}, max_bytes={self.max_bytes}, keep={self.keep!r},"
            f" durable={self.durable})"
        )

    def fetch(
        self,
        keys: Sequence[bytes],
        sizes: Sequence[int],
        parts: PartNames,
        batch_size: int,
        encoder: RecordEncoder,
        widths: Sequence[int] | None = None,
    ) -> list[Record]:
        """Return the requested parts of distinct texts, computing those that are not in the store.

        ``sizes`` estimates the work of each text, and ``batch_size`` is the work to do and write at
        a time. A record whose vectors have another width than ``widths`` says is damaged.
        """
        requested = b"".join(parts.requested)
        cached = self._memory.get(keys, requested)
        if len(cached) == len(keys):
            self._note(cached, cached, 0)
            return list(map(cached.__getitem__, keys))
        lookup = Lookup(self._cache, keys, parts.requested, *self._parts_to_keep(parts), widths)
        lookup.found.update(cached)
        missing = lookup.read([index for index, key in enumerate(keys) if key not in cached])
        self._note(lookup.found, cached, len(missing))
        if missing:
            lookup.complete(encoder, missing, sizes, batch_size)
        self._memory.add(lookup.found, requested)
        return [lookup.found[key] for key in keys]

    def stored(
        self, keys: Sequence[bytes], parts: PartNames, widths: Sequence[int] | None = None
    ) -> list[Record] | None:
        """Return the requested parts of texts; None unless the store has them all."""
        requested = b"".join(parts.requested)
        lookup = Lookup(self._cache, keys, parts.requested, (), (), widths)
        lookup.found.update(self._memory.get(keys, requested))
        if lookup.read([index for index, key in enumerate(keys) if key not in lookup.found]):
            return None
        self._memory.add(lookup.found, requested)
        return [lookup.found[key] for key in keys]

    def _parts_to_keep(self, parts: PartNames) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Return what to keep of a new text beside what is requested, and of a known one."""
        first = {"requested": (), "passed": parts.passed, "all_layers": parts.every}[self.keep]
        if self.max_bytes is not None and self._size() > _LARGE * self.max_bytes:
            return first if self.keep == "all_layers" else (), parts.same_pooling
        return first, parts.every

    def _note(self, found: Mapping[bytes, Record], cached: Collection[bytes], misses: int) -> None:
        """Count hits and misses, and note which records were used.

        Records in memory were noted when they were read; once a minute they are noted again.
        """
        used: list[bytes] = []
        if time.monotonic() - self._noted > _NOTE_SECONDS:
            self._noted = time.monotonic()
            used = list(found)
        elif len(found) > len(cached):
            used = [key for key in found if key not in cached]
        self._cache.note(used, hits=len(found), misses=misses)

    @property
    def stats(self) -> StoreStats:
        """What the store has done, over all processes; zeros, after a warning, if unreadable."""
        if not self._cache.is_broken:
            with self._cache.guard:
                return self._count()
        return StoreStats(hits=0, misses=0, encoded=0, texts=0, bytes=0, seconds_saved=0.0)

    def read_stats(self) -> StoreStats:
        """Return what the store has done, over all processes that used it.

        Returns
        -------
        StoreStats
            The same as ``stats``.

        Raises
        ------
        StoreError
            If the file cannot be read.
        """
        with self._reading():
            return self._count()

    def _size(self) -> int:
        size = 0
        for suffix in ("", "-wal"):
            with suppress(OSError):
                size += os.stat(f"{self.path}{suffix}").st_size
        return size

    def _count(self) -> StoreStats:
        self._cache.flush()
        database = self._cache.database
        counted = database.counters()
        encoded, hits = int(counted.get("encoded", 0)), int(counted.get("hits", 0))
        saved = hits * counted.get("seconds", 0.0) / encoded if encoded else 0.0
        return StoreStats(
            hits=hits,
            misses=int(counted.get("misses", 0)),
            encoded=encoded,
            texts=database.n_records(),
            bytes=self._size(),
            seconds_saved=saved,
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn a fault of the file into a StoreError that names the remedy."""
        try:
            yield
        except FAULTS as error:
            remedy = f" To forget all of it: bertvectorizer store clear '{self.path}'."
            if isinstance(error, StoreError):
                remedy = ""
            raise StoreError(f"The store '{self.path}' cannot be read: {error}.{remedy}") from error

    def verify(self) -> list[str]:
        """Check every record and the structure of the file.

        Returns
        -------
        list of str
            What is wrong; empty if nothing is.

        Raises
        ------
        StoreError
            If the file cannot be read at all.
        """
        with self._reading():
            database = self._cache.database
            wrong = database.check()
            keys = database.keys()
            for start in range(0, len(keys), 256):
                rows = database.read(keys[start : start + 256])
                wrong += [
                    f"text {key.hex()} is damaged"
                    for key, data in rows.items()
                    if not is_sound(data)
                ]
        return wrong

    def clear(self) -> None:
        """Delete all records; a store that is damaged or of another format is replaced.

        Raises
        ------
        StoreError
            If the file is in use, or is not a store; it is left as it is.
        """
        try:
            self._cache.database.clear()
        except FAULTS as error:
            if is_busy(error):
                raise StoreError(
                    f"The store '{self.path}' is in use and is left alone: {error}. Try again"
                    " later."
                ) from error
            if os.path.exists(self.path) and not is_ours(self.path):
                raise StoreError(
                    f"'{self.path}' does not look like a store of bertvectorizer and is left alone:"
                    f" {error}."
                ) from error
            if isinstance(error, StoreError) and not isinstance(error, OtherFormatError):
                raise
            for suffix in ("", *SIDE_FILES):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._cache.close()
        self._open()
        with self._reading():
            self._cache.database.connection()

    def __deepcopy__(self, memo: Any) -> EmbeddingStore:
        return self  # the clones of an estimator share one store

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (self.path, self.max_bytes, self.keep, self.durable)


def reopen(
    path: Path, max_bytes: int | None = None, keep: Keep = "requested", durable: bool = True
) -> EmbeddingStore:
    """Return this process's store with these parameters; estimators with the same path share it."""
    return _reopen(path, max_bytes, keep, durable)


_reopen = cache(EmbeddingStore)
