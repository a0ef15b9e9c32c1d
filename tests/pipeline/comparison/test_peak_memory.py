from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from bertvectorizer.pipeline.comparison import peak_memory as memory
from bertvectorizer.pipeline.comparison.peak_memory import read_peak, reset_peak


def test_a_peak_is_remembered() -> None:
    before = read_peak()
    held = np.ones(4 << 20)  # 32 MiB
    assert read_peak() >= before
    assert read_peak() > held.nbytes / (1 << 20)
    del held
    assert read_peak() > 32


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_a_peak_is_forgotten() -> None:
    held = np.ones(12 << 20)  # 96 MiB
    high = read_peak()
    del held
    reset_peak()
    assert read_peak() < high - 48


class Nowhere:
    """A path that leads nowhere, as on a system without /proc."""

    def __init__(self, _path: str) -> None:
        pass

    def read_text(self, encoding: str) -> str:
        raise FileNotFoundError

    def write_text(self, _text: str, encoding: str) -> int:
        raise PermissionError


def test_without_proc_the_peak_is_that_of_the_whole_life(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resource")
    monkeypatch.setattr(memory, "Path", Nowhere)
    reset_peak()
    assert 10 < read_peak() < 1 << 20
    monkeypatch.setattr(sys, "platform", "darwin")  # counts bytes there
    assert read_peak() < 10_000


def test_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "Path", Nowhere)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert math.isnan(read_peak())
