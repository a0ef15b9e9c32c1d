"""Fixtures of the tests of tagging."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write(text)`` returns the path of a file."""

    def write_text(text: str, encoding: str = "utf-8") -> Path:
        (tmp_path / "words.conll").write_bytes(text.encode(encoding))
        return tmp_path / "words.conll"

    return write_text
