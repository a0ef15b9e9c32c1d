"""Notes of a session: what is read again, and where nothing is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bertvectorizer.models.store.session_notes import has_notes, keep_notes, read_note, write_note
from tests.processes import run_python


def test_a_note_is_found_under_its_fields_only() -> None:
    write_note(["a", "bc"], {"prompt": "\ud800", "sizes": [1, 2]})
    assert read_note(["a", "bc"]) == {"prompt": "\ud800", "sizes": [1, 2]}
    assert read_note(["ab", "c"]) is None
    write_note(["a", "bc"], {"prompt": ""})
    assert read_note(["a", "bc"]) == {"prompt": ""}


@pytest.mark.parametrize("damage", [b"", b'{"a": 1}', b'00000000 {"a": 2}', b"\xff"])
def test_a_damaged_note_is_none(damage: bytes) -> None:
    fields = ["damaged", repr(damage)]
    before = set(Path(tempfile.gettempdir()).rglob("*.json"))
    write_note(fields, {"a": 1})
    (path,) = set(Path(tempfile.gettempdir()).rglob("*.json")) - before
    path.write_bytes(damage)
    assert read_note(fields) is None


def test_without_temporary_directories_nothing_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    keep_notes()
    write_note(["a"], {"b": 1})
    assert (has_notes(), read_note(["a"])) == (False, None)


def test_reading_makes_no_directory_and_a_session_ends_with_its_notes(tmp_path: Path) -> None:
    code = """
import os, sys
from bertvectorizer.models.store.session_notes import *
print(has_notes(), read_note(["a"]), os.listdir(sys.argv[1]))
keep_notes()
write_note(["a"], {"b": 1})
print(has_notes(), read_note(["a"]), len(os.listdir(sys.argv[1])))
"""
    assert run_python(code, tmp_path, TMPDIR=tmp_path) == "False None []\nTrue {'b': 1} 1\n"
    assert list(tmp_path.iterdir()) == []
    code = f"import tempfile; tempfile.tempdir = '/proc/none'{code}"
    assert run_python(code, tmp_path) == "False None []\nFalse None 0\n"
