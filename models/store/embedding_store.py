"""Embed once: the vectors of texts, shared by folds, candidates, runs and processes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import StoreError
from ...validation import check_choice, check_flag, check_int, invalid
from .fail_safe import Shelf
from .memory_cache import Remembered
from .records import Record, is_sound
from .single_flight import Compute, Flight
from .sqlite import FAULTS, OtherFormatError, is_busy, is_ours

__all__ = ["KEEP", "EmbeddingStore", "Parts", "StoreStats", "absolute", "reopen", "text_keys"]

KEEP = ("asked", "passed", "all_layers")

_ROOMY = 1 / 4
_NOTED_SECONDS = 60.0


class Parts(NamedTuple):
    """Names of the parts of a text that a request is about, each more than the one before.

    Attributes
    ----------
    asked : sequence of bytes
        What is asked for.
    passed : sequence of bytes
        Layers that are passed on the way there, under the poolings asked for.
    layers : sequence of bytes
        All layers under the poolings asked for.
    whole : sequence of bytes
        All layers under all poolings.
    """

    asked: Sequence[bytes]
    passed: Sequence[bytes]
    layers: Sequence[bytes]
    whole: Sequence[bytes]


class StoreStats(NamedTuple):
    """What a store has done, over all processes that used it.

    Attributes
    ----------
    hits, misses : int
        Texts asked for that were there, and that were not.
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
    """Return a path that stays the same when the working directory changes, and ``~`` as the home directory."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise invalid("path", "a path whose home directory can be told", path) from error


def text_keys(settings: Sequence[str], texts: Sequence[str]) -> list[bytes]:
    """Return the key of each text under settings that change its numbers.

    Fields are hashed with their lengths before them, so that no two lists of fields meet.

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
    """Keeps the vectors of texts in one file, so that no text goes through a network twice.

    Many processes may share a store: of those that need a text, one encodes it and the others wait
    for it. Whatever goes wrong with the file costs one warning and no result: the run goes on
    without it.

    Parameters
    ----------
    path : str or Path
        A file, made if need be; or a directory, in which ``embeddings.sqlite`` is made. Its owner
        alone may use it.
    max_bytes : int or None
        Largest size of the file, in bytes; the least recently used texts make room. None sets no
        limit.
    keep : {"asked", "passed", "all_layers"}
        What is kept of a text: what was asked for; the layers that were passed on the way there
        too, under the poolings asked for, which cost space and no work; or the whole, all layers
        under all poolings. Whichever it is, a text that is asked for anything else is encoded once
        more and then kept whole. While the file takes more than a quarter of ``max_bytes``, less is
        kept (but with ``"all_layers"`` at first): what was asked for, and then all layers under the
        poolings asked for.
    durable : bool
        Whether what is written must survive a power cut; what a killed process wrote survives
        anyway.

    Attributes
    ----------
    path, max_bytes, keep, durable
        As given; the path made absolute.
    stats : StoreStats
        What the store has done.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule. What is wrong with the file is only told when it is used.

    Notes
    -----
    Each process also remembers what it used last, up to 256 MiB. An empty file takes 115 kB. A text kept whole takes
    ``(layers + 1) x 6 x hidden x 4`` bytes, 64 kB for the default model. The maximum over a sum or mean of layers cannot be
    told from the layers themselves and is kept apart, after a pass of its own.

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
        keep: str = "asked",
        durable: bool = True,
    ) -> None:
        if not isinstance(path, (str, Path)) or not str(path):
            raise invalid("path", "the path of a file or directory", path)
        self.path = absolute(path)
        if os.path.isdir(self.path):  # which, other than Path.is_dir(), never raises
            self.path = self.path / "embeddings.sqlite"
        self.max_bytes = check_int("max_bytes", max_bytes, 1, optional=True)
        self.keep = check_choice("keep", keep, KEEP)
        self.durable = check_flag("durable", durable)
        self._open()

    def _open(self) -> None:
        self._shelf = Shelf(self.path, self.max_bytes, self.durable)
        self._remembered = Remembered()
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
        parts: Parts,
        portion: int,
        compute: Compute,
    ) -> list[Record]:
        """Return the vectors of texts, computing those that are nowhere.

        Parameters
        ----------
        keys : sequence of bytes
            Keys of distinct texts, see `text_keys`.
        sizes : sequence of int
            Roughly the work that each text is.
        parts : Parts
            What is asked for, and what may be kept beside it.
        portion : int
            Work to claim, do and write down at a time, in the unit of ``sizes``.
        compute : callable
            Given places in ``keys`` and names of parts, returns the records.

        Returns
        -------
        list of Record
            The parts asked for, in the order of ``keys``.
        """
        first, again = (
            {"asked": (), "passed": parts.passed, "all_layers": parts.whole}[self.keep],
            parts.whole,
        )
        if self.max_bytes is not None and self._size() > _ROOMY * self.max_bytes:
            first, again = first if self.keep == "all_layers" else (), parts.layers
        flight = Flight(self._shelf, keys, parts.asked, first, again, compute)
        asked = b"".join(parts.asked)
        remembered = self._remembered.recall(keys, asked)
        flight.found.update(remembered)
        missing = flight.look_up([place for place, key in enumerate(keys) if key not in remembered])
        # What is remembered was noted as used when it was read; to note it now and then is enough.
        if is_due := time.monotonic() - self._noted > _NOTED_SECONDS:
            self._noted = time.monotonic()
        used = [key for key in flight.found if is_due or key not in remembered]
        self._shelf.note(used, hits=len(flight.found), misses=len(missing))
        flight.land(missing, sizes, portion)
        self._remembered.add(flight.found, asked)
        return [flight.found[key] for key in keys]

    @property
    def stats(self) -> StoreStats:
        """What the store has done, over all processes that used it; zeros, after a warning, if it cannot be read."""
        return self._shelf.attempt(self._count, StoreStats(0, 0, 0, 0, 0, 0.0))

    def read_stats(self) -> StoreStats:
        """Return what the store has done, over all processes that used it.

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
        self._shelf.flush()
        database = self._shelf.database
        counted = database.counters()
        encoded, hits = int(counted.get("encoded", 0)), int(counted.get("hits", 0))
        saved = hits * counted.get("seconds", 0.0) / encoded if encoded else 0.0
        return StoreStats(
            hits, int(counted.get("misses", 0)), encoded, database.n_records(), self._size(), saved
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Say of what cannot be read how to be rid of it."""
        try:
            yield
        except FAULTS as error:
            remedy = (
                ""
                if isinstance(error, StoreError)
                else f" To forget all of it: bertvectorizer store clear '{self.path}'."
            )
            raise StoreError(f"The store '{self.path}' cannot be read: {error}.{remedy}") from error

    def verify(self) -> list[str]:
        """Check every record and the file's structure; return what is wrong, in words.

        Raises
        ------
        StoreError
            If the file cannot be read at all.
        """
        with self._reading():
            database = self._shelf.database
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
        """Forget everything; a store that is damaged or of another format makes room for an empty
        one.

        Raises
        ------
        StoreError
            If the file is in use, or is no store as far as can be told: it is left alone.
        """
        try:
            self._shelf.database.clear()
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
            for suffix in ("", "-journal", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._shelf.close()
        self._open()
        with self._reading():
            self._shelf.database.connection()

    def __deepcopy__(self, memo: Any) -> EmbeddingStore:
        return self  # the clones of an estimator share one store

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (self.path, self.max_bytes, self.keep, self.durable)


def reopen(
    path: Path, max_bytes: int | None = None, keep: str = "asked", durable: bool = True
) -> EmbeddingStore:
    """Return this process's store of these parameters, so that all estimators that name a path, or were unpickled, share one."""
    return _reopen(path, max_bytes, keep, durable)


_reopen = cache(EmbeddingStore)
