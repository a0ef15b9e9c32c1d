"""Numbers, names and the verdict as text."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bertvectorizer.pipeline.report.formatting import (
    format_bytes,
    format_p,
    format_score,
    format_seconds,
    format_share,
    one_line,
    shorten,
    verdict,
)
from tests.pipeline.comparisons import NAMES, make_comparison


@pytest.mark.parametrize(
    ("gain", "tone", "answer"),
    [
        (0.06, "yes", "Yes, BERT"),
        (-0.02, "open", "No evidence that BERT is better"),
        (-0.4, "no", "No, BERT is worse"),
    ],
)
def test_the_verdict_is_that_of_the_declared_test(gain: float, tone: str, answer: str) -> None:
    comparison = make_comparison(gain=gain)
    found = verdict(comparison)
    assert found.tone == tone
    assert found.answer.startswith(answer)
    assert ("no evidence of a difference" in found.reasons[1]) == (tone == "open")
    row = comparison.table.set_index("features").loc["BERT"]
    assert row["family"] == "primary"
    assert (row["verdict"] in ("better", "worse")) == (tone != "open")


def test_the_headline_never_denies_a_row() -> None:
    roster = ["majority class", "TF-IDF words", *(name for name in NAMES if "BERT" in name)]
    against = {"yes": "worse", "no": "better", "open": "better"}
    seen = set()
    for gain in np.linspace(-0.1, 0.1, 41):
        for primary in ("BERT cls", "BERT", "BERT concat of last 4"):
            comparison = make_comparison(names=roster, gain=float(gain), primary=primary)
            found = verdict(comparison)
            table = comparison.table
            says = table[(table["family"] != "") & (table["verdict"] == against[found.tone])]
            denied = [name for name in says["features"] if name != primary]
            assert ("(exploratory)" in found.answer) == bool(denied)
            assert not denied or any(name in found.answer for name in denied)
            assert primary in found.answer
            seen.add((found.tone, bool(denied)))
    assert {("open", True), ("open", False), ("yes", False)} <= seen


def test_a_declared_test_that_was_not_made_is_said() -> None:
    comparison = make_comparison()
    outcomes = {name: one for name, one in comparison.outcomes.items() if name != "BERT"}
    found = verdict(dataclasses.replace(comparison, outcomes=outcomes))
    assert found.tone == "open"
    assert found.answer.startswith("The primary test, of BERT, was not made, but BERT ")
    alone = dataclasses.replace(comparison, outcomes={"BERT": comparison.outcomes["BERT"]})
    assert verdict(alone).answer == "The primary test, of BERT, was not made"
    assert verdict(make_comparison(names=["TF-IDF words"])).answer.startswith("The best baseline")
    assert verdict(make_comparison(names=["BERT", "BERT cls"])).answer.startswith("The best is")


@pytest.mark.parametrize(
    ("format_value", "value", "expected"),
    [
        (format_score, -0.0123, "−0.012"),
        (format_score, 1234567.0, "1.23e+06"),
        (format_score, float("nan"), "–"),
        (format_p, 0.0004, "< 0.001"),
        (format_p, 0.05, "0.050"),
        (format_seconds, 0.9996, "1 s"),
        (format_seconds, 0.0123, "12.3 ms"),
        (format_seconds, 600, "10 min"),
        (format_seconds, float("nan"), "–"),
        (format_bytes, 999, "999 B"),
        (format_bytes, 2.5e12, "2.5e+03 GB"),
        (format_bytes, 12_345_678, "12.3 MB"),
        (format_share, 0.0123, "1.23 %"),
    ],
)
def test_numbers_are_for_people(format_value: Any, value: float, expected: str) -> None:
    assert format_value(value) == expected


def test_long_names_keep_both_ends() -> None:
    assert shorten("x" * 10 + "middle" + "y" * 30, 20).startswith("xxxx")
    assert shorten("x" * 30 + "y" * 30, 20).endswith("yyy")
    assert len(shorten("中" * 40, 20)) <= 12
    assert shorten("") == "(nothing)"
    assert one_line("a\u2028b\ud800") == "a b\ufffd"
