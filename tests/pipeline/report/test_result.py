"""The plots, files and JSON of a comparison: what a report adds to its numbers."""

from __future__ import annotations

import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bertvectorizer import compare
from tests.pipeline.results import FEATURES, KINDS, LABELS, TEXTS, comparison_of, few_samples


@pytest.fixture(autouse=True)
def quick_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    few_samples(monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
def test_json(kind: str, tmp_path: Path) -> None:
    def refuse(number: str) -> None:
        raise AssertionError(number)

    comparison = comparison_of(kind)
    path = tmp_path / "found.json"
    text = comparison.to_json(path)
    found = json.loads(text, parse_constant=refuse)
    assert json.loads(path.read_text(encoding="utf-8")) == found
    assert (found["best"], found["baseline"], found["metric"]) == (
        "words",
        "words",
        comparison.metric,
    )
    assert [row["features"] for row in found["table"]] == list(FEATURES)
    assert found["table"][1]["p_value"] is None
    assert found["table"][0]["p_value"] == pytest.approx(comparison.table["p_value"][0])
    for name, outcome in comparison.outcomes.items():
        for metric, scores in outcome.scores.items():
            assert found["scores"][name][metric] == [
                None if math.isnan(score) else score for score in scores.tolist()
            ]
    assert len(found["learning_curve"]) == 6
    best = found["corrected_best"]
    assert (best["features"], best["n_candidates"]) == ("words", 3)
    assert best["low"] < best["score"] <= found["table"][1][comparison.metric]
    rows = [*found["table"], *found["learning_curve"]]
    methods = {row.get(name) for row in rows for name in ("interval_method", "difference_method")}
    methods = {*methods, best["method"]} - {None, ""}
    assert len(methods) >= 3
    assert methods <= set(found["methods"])
    assert all(re.search(r", (19|20)\d\d$", found["methods"][method]) for method in methods)
    assert not any(text_of_a_row in text for text_of_a_row in TEXTS)


def test_json_of_numbers_that_are_none() -> None:
    scoring: dict[str, Any] = {
        "accuracy": "accuracy",
        "endless": lambda *_: math.inf,
        "unknown": lambda *_: math.nan,
    }
    comparison = compare(TEXTS, LABELS["text"], {'a "name", 🦇': None}, cv=2, scoring=scoring)
    found = json.loads(comparison.to_json())
    assert found["scores"]['a "name", 🦇']["endless"] == [None, None]
    assert found["scores"]['a "name", 🦇']["unknown"] == [None, None]


def test_a_comparison_can_be_kept() -> None:
    of_text = comparison_of("text")
    again = pickle.loads(pickle.dumps(of_text))
    pd.testing.assert_frame_equal(again.table, of_text.table)
    assert (
        again.pipeline().predict(TEXTS[:2]).tolist()
        == of_text.pipeline().predict(TEXTS[:2]).tolist()
    )


def test_a_comparison_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        comparison_of("text").n_test = 3  # type: ignore[misc]
