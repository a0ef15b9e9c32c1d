"""What a model is, by content: not its path, and not the name of a branch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

__all__ = ["fingerprint", "sha256"]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    The digest is remembered for as long as the file's identity, size and both times stay as they
    were; the time of change (ctime) can't be set back, so a file rewritten under an old date is
    read anew.
    """
    state = path.stat()
    return _sha256(
        str(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
    )


@lru_cache(maxsize=1024)
def _sha256(path: str, *_state: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """Return a digest of the content of files.

    Parameters
    ----------
    root : Path
        Directory to which their names are relative.
    files : iterable of Path

    Returns
    -------
    str
        32 hexadecimal digits: BLAKE2b over the sorted names and SHA-256 digests of the files.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(set(files)):
        name = path.relative_to(root).as_posix()
        digest.update(f"{len(name)}:{name}{sha256(path)}".encode())
    return digest.hexdigest()
