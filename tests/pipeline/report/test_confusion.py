"""Confusion matrices: counts, shares and mistakes."""

from __future__ import annotations

import pytest

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.report.confusion import count_confusions
from tests.pipeline.comparisons import make_comparison


def test_confusions_are_counted() -> None:
    comparison = make_comparison("multiclass", n_rows=3)
    comparison.target.values[:] = ["money", "sport", "sport"]
    comparison.outcomes["BERT"].predictions[:] = [None, "world", "sport"]
    found = count_confusions(comparison, "BERT")
    assert found.rows == found.columns == ["money", "sport", "world"]
    assert found.counts.tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert found.mistakes == [("sport", "world", 1)]
    assert found.shares[1].tolist() == [0, 0.5, 0.5]


def test_labels_have_true_and_false_positives_and_false_negatives() -> None:
    comparison = make_comparison("multilabel", n_rows=3)
    comparison.target.values[:] = [[1, 1, 1], [1, 0, 1], [0, 1, 1]]
    comparison.outcomes["BERT"].predictions[:] = [[None] * 3, [1, 1, 0], [0, 1, 1]]
    found = count_confusions(comparison, "BERT")
    assert found.counts.tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    assert found.mistakes == [("b", "false positives", 1), ("c", "false negatives", 1)]


def test_of_many_classes_those_with_most_mistakes_are_kept() -> None:
    comparison = make_comparison("multiclass", n_rows=2000, classes=list(range(200)))
    found = count_confusions(comparison)
    assert (len(found.rows), found.n_classes) == (20, 200)
    every = count_confusions(comparison, at_most=200)
    wrong = every.totals + every.counts.sum(axis=0) - 2 * every.counts.diagonal()
    kept = [every.rows.index(name) for name in found.rows]
    assert kept == sorted(kept), "in the order of the classes"
    assert sorted(wrong[kept]) == sorted(wrong)[-20:]
    assert (found.totals == every.totals[kept]).all(), "rows predicted as another class count too"


def test_a_regression_has_no_classes() -> None:
    with pytest.raises(InvalidParameterError, match="no classes"):
        count_confusions(make_comparison("regression"))
