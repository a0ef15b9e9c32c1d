"""The tables of a report."""

from __future__ import annotations

import re

import pytest

from bertvectorizer import Comparison
from bertvectorizer.pipeline.comparison.statistics import (
    BOOTSTRAP,
    CORRECTED_T,
    CORRECTED_T_AND_ROWS,
)
from bertvectorizer.pipeline.report.tables import cost_table, find_flips, score_table
from tests.pipeline.comparisons import NAMES, make_comparison


def test_flipped_rows_are_shown_both_ways_and_ten_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = make_comparison(n_rows=2000, gain=-0.05)
    shown = find_flips(comparison, "BERT cls")
    assert [flip.heading for flip in shown] == [
        "Only BERT cls is right",
        f"Only {comparison.baseline} is right",
    ]
    for flip in shown:
        assert flip.table is not None
        assert len(flip.table.rows) == 10
        assert re.fullmatch(r"The first 10 of \d+ texts", flip.table.caption)
    nothing = comparison.errors("BERT", "BERT")
    monkeypatch.setattr(Comparison, "errors", lambda *_: nothing)
    assert [flip.table for flip in find_flips(comparison, "BERT cls")] == [None, None]


def test_scores_stand_the_best_first_and_beside_their_intervals() -> None:
    comparison = make_comparison(n_test=1000)
    table = score_table(comparison)
    assert table.columns == [
        *("features", "accuracy [2]", "difference to the best baseline [1]", "p [1]", "verdict"),
        *("test set [3]", "macro F1", "macro F1, test set"),
    ]
    assert list(comparison.methods)[:3] == [CORRECTED_T, CORRECTED_T_AND_ROWS, BOOTSTRAP]
    assert {len(row.cells) for row in table.rows} == {len(table.columns) - 1}
    ranked = comparison.table.sort_values("accuracy", ascending=False)
    assert [row.header for row in table.rows] == ranked["features"].tolist()
    marks = {row.header: row.mark for row in table.rows if row.mark}
    assert marks == {comparison.best: "best", comparison.baseline: "best baseline"}
    first, row = table.rows[0], ranked.iloc[0]
    assert first.kind == "contextual"
    assert first.cells[0].main == f"{row['accuracy']:.3f}"
    assert first.cells[0].detail == f"{row['low']:.3f} to {row['high']:.3f}"
    assert first.cells[1].main == f"+{row['difference']:.3f}"
    assert first.cells[3].main == "better"
    kinds = {row.header: row.cells[3].detail for row in table.rows}
    assert kinds["BERT"] == "primary"
    assert kinds["BERT cls"] == "exploratory"
    assert kinds["majority class"] == kinds[comparison.baseline] == ""
    assert "exploratory" in table.caption


def test_costs_have_units_and_unknown_ones_a_dash() -> None:
    table = cost_table(make_comparison(encode_seconds={"BERT": 600}))
    costs = {row.header: [cell.main for cell in row.cells] for row in table.rows}
    assert costs.keys() == set(NAMES)
    assert costs["BERT"] == [*("384", "10 min", "300 ms", "4 ms", "851 MB", "307 kB", "–", "0.2 %")]
    assert costs["majority class"][:2] == ["0", "–"]
    assert costs["Word2Vec"][6] == "1.3 %"
