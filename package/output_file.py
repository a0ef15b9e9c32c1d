"""Files to be written: why one cannot be, and writing one at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

__all__ = ["atomic_write", "output_fault"]


def output_fault(path: Path) -> str:
    """Say why no file can be written at ``path``; empty if one can."""
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r}. Make it first."
    if path.is_dir():
        return "it is a folder."
    if not os.access(path.parent, os.W_OK):
        return f"the folder {str(path.parent)!r} is write-protected."
    return ""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a draft, which replaces ``path`` when the block ends without an error.

    Whatever happens, ``path`` is the old file or the new one, and no draft is left.
    """
    draft = path.with_name(f"{path.name}.part-{uuid4().hex[:8]}")
    try:
        yield draft
        with open(draft, "rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
