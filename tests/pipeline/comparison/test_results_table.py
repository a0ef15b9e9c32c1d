from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertvectorizer.pipeline.comparison.folds import Folds
from bertvectorizer.pipeline.comparison.metrics import resolve_scoring
from bertvectorizer.pipeline.comparison.outcome import Cost, Outcome
from bertvectorizer.pipeline.comparison.results_table import NO_EVIDENCE, best_of, rank
from bertvectorizer.pipeline.comparison.statistics import (
    bootstrap_interval,
    bootstrap_test,
    corrected_interval,
    corrected_test,
    holm,
)

COST = Cost(10, 1.0, 2.0, 3.0, 4.0, 5, math.nan, 0.5)
FOLDS = Folds([(np.arange(80), np.arange(80, 100))] * 5, 5, "")
ONE_FOLD = Folds([(np.arange(50), np.arange(50, 100))], 1, "")
STEPS = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
ACCURACY = resolve_scoring("accuracy", "binary")
BRIER = resolve_scoring("neg_brier_score", "binary")


def outcome(
    name: str, scores: Any, contextual: bool = False, metric: str = "accuracy", **changes: Any
) -> Outcome:
    of_metrics = scores if isinstance(scores, dict) else {metric: np.asarray(scores, dtype=float)}
    made = Outcome(name, contextual, None, of_metrics, {}, np.zeros(100, dtype=object), COST)
    return dataclasses.replace(made, **changes)


def ranked(
    *outcomes: Outcome, metrics: Any = ACCURACY, folds: Folds = FOLDS, n_test: int = 0
) -> tuple[pd.DataFrame, str]:
    table, baseline = rank({outcome.name: outcome for outcome in outcomes}, metrics, folds, n_test)
    assert table["features"].tolist() == [outcome.name for outcome in outcomes]
    assert table.columns.is_unique
    return table, baseline


MAJORITY, WORDS = outcome("majority", 0.5 + STEPS), outcome("words", 0.8 + STEPS)
BETTER = outcome("better", 0.9 + STEPS[::-1] / 2, True)
CLOSE = outcome("close", 0.81 + STEPS[[1, 0, 3, 2, 4]], True)
WORSE = outcome("worse", 0.6 + STEPS, True)


def test_the_columns() -> None:
    table, _ = ranked(MAJORITY, WORDS, BETTER)
    of_scores = ["features", "is_contextual", "accuracy", "low", "high"]
    of_tests = ["difference", "difference_low", "difference_high", "p_value", "verdict"]
    assert table.columns.tolist() == of_scores + of_tests + [
        field.name for field in dataclasses.fields(Cost)
    ]
    assert table["is_contextual"].tolist() == [False, False, True]
    assert table["kept_bytes"].tolist() == [5, 5, 5]


def test_numbers_are_those_of_the_corrected_test() -> None:
    table, baseline = ranked(MAJORITY, WORDS, BETTER, CLOSE, WORSE)
    assert baseline == "words"
    others = [MAJORITY, BETTER, CLOSE, WORSE]
    tests = [
        corrected_test(other.scores["accuracy"] - WORDS.scores["accuracy"], 0.25, resolution=0.05)
        for other in others
    ]
    p_values = holm([test.p_value for test in tests])
    for other, test, p_value in zip(others, tests, p_values, strict=True):
        row = table.set_index("features").loc[other.name]
        share = other.scores["accuracy"].mean()
        interval = corrected_interval(
            other.scores["accuracy"],
            0.25,
            resolution=0.05,
            row_error=math.sqrt(share * (1 - share) / 100),
            bounds=(0, 1),
        )
        assert (row["accuracy"], row["low"], row["high"]) == interval[:3]
        assert (row["difference"], row["difference_low"], row["difference_high"]) == test[:3]
        assert row["p_value"] == p_value >= test.p_value
    assert table["verdict"].tolist() == ["worse", "best baseline", "better", NO_EVIDENCE, "worse"]


def test_the_best_baseline_is_not_compared_with_itself() -> None:
    row = ranked(MAJORITY, WORDS, BETTER)[0].iloc[1]
    assert row[["difference", "difference_low", "difference_high", "p_value"]].isna().all()
    assert row["verdict"] == "best baseline"


def test_holm_spans_all_members() -> None:
    alone = ranked(WORDS, outcome("x", 0.83 + STEPS[::-1], True))[0]["p_value"].iloc[1]
    among = ranked(
        WORDS,
        outcome("x", 0.83 + STEPS[::-1], True),
        CLOSE,
        CLOSE.__class__(**{**vars(CLOSE), "name": "close 2"}),
    )[0]["p_value"].iloc[1]
    assert among == pytest.approx(3 * alone)


def test_the_best_of_equals_is_the_first() -> None:
    same = outcome("same", 0.8 + STEPS)
    assert ranked(WORDS, same)[1] == "words"
    assert ranked(same, WORDS)[1] == "same"
    assert best_of({"same": same, "words": WORDS}, ACCURACY[0]) == "same"
    row = ranked(WORDS, same)[0].iloc[1]
    assert (row["difference"], row["p_value"], row["verdict"]) == (0, 1, NO_EVIDENCE)


def test_where_everything_is_contextual_the_best_is_the_baseline() -> None:
    table, baseline = ranked(CLOSE, BETTER, WORSE)
    assert baseline == "better"
    assert table["verdict"].tolist() == ["worse", "best baseline", "worse"]


def test_one_member_alone() -> None:
    for only in (WORDS, BETTER):
        table, baseline = ranked(only)
        assert baseline == only.name
        assert table["verdict"].tolist() == ["best baseline"]


def test_where_less_is_better() -> None:
    def of(name: str, level: float, contextual: bool = False) -> Outcome:
        return outcome(
            name, level + (1 + level) * (STEPS - STEPS.mean()) / 10, contextual, "brier_score"
        )

    table, baseline = ranked(
        of("majority", 0.5),
        of("words", 0.3),
        of("good", 0.1, True),
        of("bad", 0.4, True),
        metrics=BRIER,
    )
    assert baseline == "words"
    assert table["difference"].round(9).tolist()[2:] == [-0.2, 0.1]
    assert table["verdict"].tolist() == ["worse", "best baseline", "better", "worse"]
    outcomes = {"bad": of("bad", 0.4), "good": of("good", 0.1)}
    assert best_of(outcomes, BRIER[0]) == "good"
    assert (table["low"] >= 0).all()


def test_intervals_stay_inside_the_bounds() -> None:
    table, _ = ranked(outcome("perfect", np.ones(5)), outcome("hopeless", np.zeros(5)))
    assert table["high"].tolist()[0] == 1
    assert table["low"].tolist()[0] < 1
    assert table["low"].tolist()[1] == 0
    assert table["high"].tolist()[1] > 0
    assert table["p_value"].iloc[1] < 0.001


def test_one_fold_is_judged_by_the_bootstrap() -> None:
    random = np.random.RandomState(0)
    one = outcome("one", [0.7], resampled=random.normal(0.7, 0.03, 999))
    other = outcome("other", [0.9], True, resampled=random.normal(0.9, 0.03, 999))
    table, baseline = ranked(one, other, folds=ONE_FOLD)
    assert baseline == "one"
    assert one.resampled is not None
    assert other.resampled is not None
    interval = bootstrap_interval(0.7, one.resampled, resolution=0.02, bounds=(0, 1))
    assert tuple(table.loc[0, ["accuracy", "low", "high"]]) == interval[:3]
    test = bootstrap_test(0.9 - 0.7, other.resampled - one.resampled, resolution=0.02)
    assert (
        tuple(table.loc[1, ["difference", "difference_low", "difference_high", "p_value"]]) == test
    )
    assert table.loc[1, "verdict"] == "better"


def test_rows_held_back() -> None:
    metrics = resolve_scoring(["accuracy", "neg_brier_score"], "binary")
    scores = {"accuracy": np.full(5, 0.8), "brier_score": np.full(5, 0.2)}
    held_back = np.random.RandomState(0).normal(0.75, 0.04, 999)
    one = outcome(
        "one", scores, test_scores={"accuracy": 0.75, "brier_score": 0.25}, test_resampled=held_back
    )
    table, _ = ranked(one, metrics=metrics, n_test=40)
    interval = bootstrap_interval(0.75, held_back, resolution=1 / 40, bounds=(0, 1))
    assert tuple(table.loc[0, ["test", "test_low", "test_high"]]) == interval[:3]
    assert table.loc[0, "brier_score"] == pytest.approx(0.2)
    assert table.loc[0, "test_brier_score"] == 0.25


def test_a_further_metric_that_a_fold_lacks_is_unknown() -> None:
    metrics = resolve_scoring(["accuracy", "roc_auc"], "binary")
    one = outcome(
        "one", {"accuracy": np.full(5, 0.8), "roc_auc": np.array([0.8, math.nan, 0.8, 0.8, 0.8])}
    )
    assert math.isnan(ranked(one, metrics=metrics)[0].loc[0, "roc_auc"])


def test_rows_never_judged_make_no_score_surer() -> None:
    judged = np.repeat([None, 1], [50, 50]).astype(object)
    subset, every = (
        ranked(outcome("one", np.full(5, 0.8), predictions=rows))[0].loc[0]
        for rows in (judged, np.ones(50, dtype=object))
    )
    assert (subset["low"], subset["high"]) == (every["low"], every["high"])


def test_no_outcomes() -> None:
    with pytest.raises(ValueError, match="empty"):
        best_of({}, ACCURACY[0])
