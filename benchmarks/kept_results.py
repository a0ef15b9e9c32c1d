"""A result file that grows row by row, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock


class Measurement(NamedTuple):
    """What identifies a row of results, and how to measure the rest of it."""

    key: dict[str, Any]
    run: Callable[[], dict[str, Any]]


class KeptResults:
    """Rows of results by part, in a JSON file that several processes may write.

    Parameters
    ----------
    path : Path
        The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(Path(tempfile.gettempdir()) / f"{path.name}.lock")

    def read(self) -> dict[str, Any]:
        """Return all parts."""
        return json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}

    def has(self, part: str, key: dict[str, Any]) -> bool:
        """Whether a part has the row that ``key`` identifies."""
        return any(_is_row(row, key) for row in self._rows(part))

    def add(self, part: str, facts: dict[str, Any], row: dict[str, Any]) -> None:
        """Add a row to a part, and set the facts that hold for the whole part."""
        self._path.parent.mkdir(exist_ok=True)
        with self._lock:
            parts = self.read()
            parts[part] = {**facts, "rows": [*parts.get(part, {}).get("rows", []), row]}
            unfinished = self._path.with_suffix(".part")
            unfinished.write_text(json.dumps(parts, indent=1) + "\n", encoding="utf-8")
            os.replace(unfinished, self._path)

    def drop(self, part: str) -> None:
        """Forget a part."""
        with self._lock:
            parts = self.read()
            if parts.pop(part, None) is not None:
                self._path.write_text(json.dumps(parts, indent=1) + "\n", encoding="utf-8")

    def _rows(self, part: str) -> list[dict[str, Any]]:
        return self.read().get(part, {}).get("rows", [])


def _is_row(row: dict[str, Any], key: dict[str, Any]) -> bool:
    return all(name in row and row[name] == value for name, value in key.items())
