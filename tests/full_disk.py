"""A disk without room for the outputs of this package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import pytest

from bertvectorizer.output_file import open_draft


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is written to a draft go to a device that is always full."""

    def open_full(path: Path) -> IO[bytes]:
        draft = open_draft(path)
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, draft.fileno())
        os.close(full)
        return draft

    monkeypatch.setattr("bertvectorizer.pipeline.files.write.open_draft", open_full)
