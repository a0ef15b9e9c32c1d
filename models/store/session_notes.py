"""Notes of a session: what one of its processes has resolved, so that workers need not."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from .embedding_store import text_keys
from .session_store import session_directory

__all__ = ["has_notes", "keep_notes", "read_note", "write_note"]


def keep_notes() -> None:
    """Let this session keep notes, where it can have a directory."""
    with suppress(OSError):
        session_directory(is_checked=True)


def has_notes() -> bool:
    """Whether this session keeps notes: its directory is there, as a store or a search made it."""
    with suppress(OSError):  # there may be no directory for temporary files
        return session_directory().is_dir()
    return False


def read_note(fields: Sequence[str]) -> dict[str, Any] | None:
    """Return what was noted under all these fields; None if nothing was, or it is damaged."""
    with suppress(OSError, ValueError):
        if has_notes():
            path = session_directory(is_checked=True) / _name(fields)
            digest, _, content = path.read_bytes().partition(b" ")
            if int(digest, 16) == zlib.crc32(content):
                note: dict[str, Any] = json.loads(content)
                return note
    return None


def write_note(fields: Sequence[str], note: dict[str, Any]) -> None:
    """Note something under fields; nothing happens where there can be no session directory."""
    with suppress(OSError):
        path = session_directory(is_checked=True) / _name(fields)
        draft = path.with_name(f"{path.name}.part-{uuid4().hex[:8]}")
        content = json.dumps(note).encode("ascii")
        draft.write_bytes(b"%08x %b" % (zlib.crc32(content), content))
        os.replace(draft, path)  # a reader sees all of it, or nothing


def _name(fields: Sequence[str]) -> str:
    return f"{text_keys(fields, ['note'])[0].hex()}.json"
