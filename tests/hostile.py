"""Damaged and hostile versions of files, for the rule that every fault of a file is our error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bertvectorizer.errors import BertVectorizerError, ModelNotFoundError
from bertvectorizer.validation import printable

# In place of a value of a JSON file. None as a value is null.
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 3, 1.5, 10**12, 10**40, float("nan"), "", "3", "nonsense", "\ud800", "a\0b",
    "x" * 5000, "../..", [], {}, [None], ["\ud800", {}], {"a": {"b": [1]}},
)  # fmt: skip

# In place of the whole content of a JSON file.
HOSTILE_DOCUMENTS = (
    "null", "3", '"text"', "[]", "{}", "[[]]", '{"\\ud800": "\\udfff"}', "[" * 100_000, '{"a": 1',
    "NaN", "\ufeff{}",
)  # fmt: skip


def places(value: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value within a JSON value."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, one in inside:
        yield (*before, key)
        yield from places(one, *before, key)


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of a JSON value with another one at a place."""
    copy = json.loads(json.dumps(value))
    target = copy
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = new
    return copy


def cut(content: bytes, number: int) -> bytes:
    return content[: number % max(1, len(content))]


def flipped(content: bytes, number: int) -> bytes:
    if not content:
        return b"\x00"
    place = number % len(content)
    return content[:place] + bytes([content[place] ^ (1 + number % 255)]) + content[place + 1 :]


def with_nul(content: bytes, number: int) -> bytes:
    place = number % (len(content) + 1)
    return content[:place] + b"\x00" + content[place:]


def with_bad_bytes(content: bytes, number: int) -> bytes:
    place = number % (len(content) + 1)
    return content[:place] + b"\xff\xc0\xed\xa0\x80" + content[place:]


def doubled(content: bytes, number: int) -> bytes:
    place = number % (len(content) + 1)
    return content[place:] + content


DAMAGES: tuple[Callable[[bytes, int], bytes], ...] = (
    cut, flipped, with_nul, with_bad_bytes, doubled,
)  # fmt: skip


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def as_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


REPLACEMENTS: tuple[Callable[[Path], None], ...] = (
    Path.unlink, as_directory, as_dangling_link, as_circle,
)  # fmt: skip


def fault_of(action: Callable[[], Any], *names: str) -> str:
    """Run an action; return its message, "" for none; fail for what is not our error in a line.

    One of ``names`` must stand in the message.
    """
    try:
        action()
        return ""
    except BertVectorizerError as error:
        kind, message = type(error), str(error)
    # Where a model is nowhere, the places searched stand in lines of their own.
    assert kind is ModelNotFoundError or "\n" not in message, message
    assert printable(message.replace("\n", "")) == message.replace("\n", ""), ascii(message)
    assert not names or any(name in message for name in names), message
    assert len(message) < 3000, message
    return message


def copy_of(directory: Path, to: Path) -> Path:
    """Return a fresh copy of a directory."""
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(directory, to))
