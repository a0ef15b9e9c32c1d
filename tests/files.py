"""Files that tests change."""

from __future__ import annotations

import os
from pathlib import Path

from bertvectorizer.models.word_vectors import disk_cache


def rewrite(path: Path, content: bytes) -> None:
    """Write content of the same size in place, so that of a file's identity only its ctime changes.

    The clock of a file system may be coarse: it is written until its ctime differs.
    """
    before = after = path.stat()
    while after.st_ctime_ns == before.st_ctime_ns:
        with path.open("r+b") as file:
            file.write(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )


def forget_tables() -> None:
    """Close the tables of word vectors that this process has open, and forget digests of files."""
    disk_cache._open_tables.clear()
    disk_cache._digests.clear()
