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
from bertvectorizer.pipeline.comparison.results_table import (
    EXPLORATORY,
    NO_EVIDENCE,
    NOT_TESTED,
    PRIMARY,
    best_of,
    rank,
)
from bertvectorizer.pipeline.comparison.statistics import (
    bootstrap_interval,
    bootstrap_test,
    corrected_interval,
    corrected_test,
    family_confidence,
    holm,
)

COST = Cost(10, 1.0, 2.0, 3.0, 4.0, 5, math.nan, 0.5)
TESTS = np.arange(100).reshape(5, 20)
FOLDS = Folds([(np.setdiff1d(TESTS, test), test) for test in TESTS], 5, "")
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
    *outcomes: Outcome,
    metrics: Any = ACCURACY,
    folds: Folds = FOLDS,
    n_test: int = 0,
    primary: str | None = None,
) -> tuple[pd.DataFrame, str]:
    by_name = {outcome.name: outcome for outcome in outcomes}
    table, baseline = rank(by_name, metrics, folds, n_test, primary)
    assert table["features"].tolist() == [outcome.name for outcome in outcomes]
    assert table.columns.is_unique
    return table, baseline


MAJORITY, WORDS = outcome("majority", 0.5 + STEPS), outcome("words", 0.8 + STEPS)
BETTER = outcome("better", 0.9 + STEPS[::-1] / 2, True)
CLOSE = outcome("close", 0.81 + STEPS[[1, 0, 3, 2, 4]], True)
WORSE = outcome("worse", 0.6 + STEPS, True)


def test_the_columns() -> None:
    table, _ = ranked(MAJORITY, WORDS, BETTER)
    of_scores = ["features", "is_contextual", "accuracy", "low", "high", "interval_method"]
    of_tests = ["difference", "difference_low", "difference_high", "p_value", "difference_method"]
    of_tests += ["family", "verdict"]
    assert table.columns.tolist() == of_scores + of_tests + [
        field.name for field in dataclasses.fields(Cost)
    ]
    assert table["is_contextual"].tolist() == [False, False, True]
    assert table["kept_bytes"].tolist() == [5, 5, 5]


def difference(one: Outcome, confidence: float = 0.95) -> Any:
    return corrected_test(
        one.scores["accuracy"] - WORDS.scores["accuracy"], 0.25, confidence, resolution=0.05
    )


def test_scores_have_corrected_intervals() -> None:
    table, _ = ranked(MAJORITY, WORDS, BETTER, primary="better")
    for one, (_, row) in zip((MAJORITY, WORDS, BETTER), table.iterrows(), strict=True):
        share = one.scores["accuracy"].mean()
        interval = corrected_interval(
            one.scores["accuracy"],
            0.25,
            resolution=0.05,
            row_error=math.sqrt(share * (1 - share) / 100),
            bounds=(0, 1),
        )
        assert (row["accuracy"], row["low"], row["high"]) == interval[:3]


def test_one_test_is_declared_and_the_others_are_a_family() -> None:
    table, baseline = ranked(MAJORITY, WORDS, BETTER, CLOSE, WORSE, primary="better")
    assert baseline == "words"
    assert table["family"].tolist() == ["", "", PRIMARY, EXPLORATORY, EXPLORATORY]
    verdicts = [NOT_TESTED, "best baseline", "better", NO_EVIDENCE, "worse"]
    assert table["verdict"].tolist() == verdicts
    assert table.loc[0, "difference"] == pytest.approx(-0.3)
    for untested in (0, 1):
        of_tests = table.loc[untested, ["difference_low", "difference_high", "p_value"]]
        assert of_tests.isna().all()
    assert math.isnan(table.loc[1, "difference"])
    numbers = table[["difference", "difference_low", "difference_high", "p_value"]]
    assert tuple(numbers.loc[2]) == difference(BETTER)[:4]
    raw = [difference(one).p_value for one in (CLOSE, WORSE)]
    for row, (one, confidence, p_value) in enumerate(
        zip((CLOSE, WORSE), family_confidence(raw), holm(raw), strict=True)
    ):
        assert tuple(numbers.loc[3 + row]) == (*difference(one, confidence)[:3], p_value)


def test_the_declared_test_does_not_depend_on_who_else_is_compared() -> None:
    alone = ranked(WORDS, BETTER, primary="better")[0].set_index("features").loc["better"]
    others = [outcome(f"other {n}", 0.7 + n / 100 + STEPS[::-1], n % 2 == 0) for n in range(10)]
    among = ranked(WORDS, MAJORITY, *others, BETTER, primary="better")[0].set_index("features")
    assert among.loc["better"].equals(alone)
    few = ranked(WORDS, CLOSE, WORSE, BETTER, primary="better")[0].set_index("features")
    more = ranked(WORDS, CLOSE, WORSE, BETTER, MAJORITY, others[1], primary="better")[0]
    pd.testing.assert_frame_equal(
        more.set_index("features").loc[few.index], few, obj="further baselines"
    )


def test_intervals_and_p_values_agree() -> None:
    random = np.random.default_rng(0)
    n_apart = 0
    for _ in range(40):
        levels = 0.8 + random.uniform(-0.1, 0.1, size=8)
        several = [
            outcome(f"one {n}", level + random.normal(scale=0.02, size=5), True)
            for n, level in enumerate(levels)
        ]
        for primary in (None, "one 0"):
            table = ranked(WORDS, *several, primary=primary)[0].drop(index=0)
            excludes = (table["difference_low"] > 0) | (table["difference_high"] < 0)
            assert (excludes == (table["p_value"] < 0.05)).all()
            assert (excludes == table["verdict"].isin(["better", "worse"])).all()
            n_apart += excludes.sum()
    assert 100 < n_apart < 600


def test_a_primary_that_is_no_contextual_feature_set_is_not_the_baseline() -> None:
    table, baseline = ranked(WORDS, MAJORITY, CLOSE, primary="words")
    assert baseline == "majority"
    assert table["family"].tolist() == [PRIMARY, "", EXPLORATORY]
    assert ranked(BETTER, CLOSE, primary="better")[1] == "close"
    table, baseline = ranked(WORDS, CLOSE, primary="failed")
    assert table["family"].tolist() == ["", EXPLORATORY]


def test_holm_spans_the_family_only() -> None:
    one = outcome("x", 0.83 + STEPS[::-1], True)
    alone = ranked(WORDS, one)[0]["p_value"].iloc[1]
    again = dataclasses.replace(CLOSE, name="close 2")
    among = ranked(WORDS, one, CLOSE, again, MAJORITY, BETTER, primary="better")[0]
    assert among["p_value"].iloc[1] == pytest.approx(3 * alone)


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
        primary="good",
    )
    assert baseline == "words"
    assert table["difference"].round(9).tolist()[2:] == [-0.2, 0.1]
    assert table["verdict"].tolist() == [NOT_TESTED, "best baseline", "better", "worse"]
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
        tuple(table.loc[1, ["difference", "difference_low", "difference_high", "p_value"]])
        == test[:4]
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
