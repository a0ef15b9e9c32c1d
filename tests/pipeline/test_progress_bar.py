"""The bar of a comparison: who sees it, and that it ends at 100 %."""

from __future__ import annotations

import io
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bertvectorizer import BertVectorizer, compare
from bertvectorizer.pipeline.progress_bar import comparison_bar, is_watched
from tests.tiny import ModelFactory

TEXTS, LABELS = [f"the {word} {n}" for n in range(3) for word in "abcd"], ["a", "b"] * 6


class Fails(TransformerMixin, BaseEstimator):
    """Fails in its fit."""

    def fit(self, X: Any, y: Any = None) -> Fails:
        raise ZeroDivisionError

    def transform(self, X: Any) -> Any:
        return X


class Terminal(io.StringIO):
    """A standard error that people read."""

    def isatty(self) -> bool:
        return True


def quick(**options: Any) -> None:
    features = options.pop("features", {"majority": None, "words": TfidfVectorizer()})
    compare(TEXTS, LABELS, features, LogisticRegression(), 2, "accuracy", **options)


def last_line(shown: str) -> str:
    return [line for line in re.split("[\r\n]", shown) if line.strip()][-1]


def test_the_bar_ends_at_100_percent(
    tiny_model: ModelFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    features = {
        "fails at \x1b[2J once": Fails(),
        "BERT": BertVectorizer(tiny_model("bert")),
        "fails": Fails(),
    }
    with pytest.warns(UserWarning, match="failed"):
        quick(features=features, show_progress_bar=True, test=(["a bat"], ["a"]))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.match(r"compare: 100%\|.*\| 9/9 \[", last_line(shown.err))
    assert "BERT: 0/13 texts:  33%" in shown.err
    assert "\x1b[2J" not in shown.err


def test_without_anybody_who_looks_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    quick()
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    for options, has_bar in (
        ({}, True),
        ({"show_progress_bar": False}, False),
        ({"progress": lambda *_: None}, False),
        ({"progress": lambda *_: None, "show_progress_bar": True}, True),
    ):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        quick(**options)
        assert ("100%" in terminal.getvalue()) is has_bar, options


def test_a_notebook_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    ipython: Any = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    for shell, expected in (
        (None, False),
        (SimpleNamespace(config={}), False),
        (SimpleNamespace(config={"IPKernelApp": {}}), True),
    ):
        ipython.get_ipython = lambda shell=shell: shell
        assert is_watched() is expected


def test_a_standard_error_that_is_gone_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        assert not is_watched()


def test_a_bar_stays_where_the_work_ended(capsys: pytest.CaptureFixture[str]) -> None:
    def stop_early() -> None:
        with comparison_bar(["one", "two"], 4) as show:
            for done in range(3):
                show("two", "folds", done, 4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_early()
    assert re.match(r"two:  75%\|.*\| 6/8 \[", last_line(capsys.readouterr().err))
