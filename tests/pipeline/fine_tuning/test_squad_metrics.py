"""The official script's rules, on cases that are computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bertvectorizer.pipeline.fine_tuning.squad_metrics import (
    exact_match,
    mean_over_rows,
    normalized,
    token_f1,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat,\n a-dog; an\tox", "cat adog ox"),  # punctuation goes before articles
        ("a.the", "athe"),
        ("Theory of an Anthem", "theory of anthem"),
        ("«The» $1,000 «a»", "« » $1000 « »".replace("$", "")),  # ASCII punctuation only
        ("A", ""),
        ("ÉCOLE la", "école la"),
        ("中文", "中文"),
    ],
)
def test_normalized_answers(text: str, expected: str) -> None:
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("predicted", "true", "em", "f1"),
    [
        ("the Norman Conquest", "Norman conquest.", 1, 1),
        ("Norman conquest of England", "Norman conquest", 0, 2 * 2 / (4 + 2)),
        ("to be or not to be", "to be", 0, 2 * 2 / (6 + 2)),  # a word counts as often as in both
        ("to to", "to be to to", 0, 2 * 2 / (2 + 4)),
        ("England", "France", 0, 0),
        ("", "", 1, 1),
        ("England", "", 0, 0),
        ("", "England", 0, 0),
        ("the", "", 1, 1),  # nothing is left of it
    ],
)
def test_pairs_of_answers(predicted: str, true: str, em: float, f1: float) -> None:
    assert exact_match(predicted, true) == em
    assert token_f1(predicted, true) == pytest.approx(f1)


def test_the_best_true_answer_counts_and_rows_have_weights() -> None:
    true = [["in 1066", "1066"], [], ["a"], ["the Navy", "!"]]
    predicted = ["1066", "1066", "", "Navy ships"]
    f1 = [1, 0, 1, 2 * 1 / 3]  # answers of which nothing is left do not count
    assert mean_over_rows(token_f1, predicted, true, np.ones(4)) == pytest.approx(np.mean(f1))
    weights = np.array([1.0, 3.0, 0.0, 0.0])
    assert mean_over_rows(exact_match, predicted, true, weights) == 0.25
