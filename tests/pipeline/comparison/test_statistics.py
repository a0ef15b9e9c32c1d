from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.comparison.statistics import (
    Estimate,
    bootstrap_interval,
    bootstrap_test,
    corrected_interval,
    corrected_test,
    family_confidence,
    holm,
    resample_rows,
)

pytestmark = pytest.mark.numeric

Vector = np.ndarray[tuple[int], np.dtype[np.float64]]
SCORES = arrays(
    np.float64, st.integers(2, 20), elements=st.floats(0, 1).map(lambda number: round(number, 6))
)
SHARES = st.floats(0.01, 4)
P_VALUES = arrays(
    np.float64,
    st.integers(0, 12),
    elements=st.one_of(st.floats(0, 1), st.just(math.nan), st.sampled_from([0.01, 0.05])),
)


def same(left: Estimate, right: Estimate) -> None:
    np.testing.assert_allclose(left[:4], right[:4], rtol=1e-6, atol=1e-9, equal_nan=True)


# Cross-validation


def test_interval_by_hand() -> None:
    # Mean 0.8; squared deviations 0.0004 + 0 + 0.0004 over 2; standard error sqrt((1/3 + 1/2) *
    # 0.0004); t(2, 0.975) = 4.30265.
    estimate = corrected_interval([0.78, 0.80, 0.82], test_share=0.5)
    reach = 4.30265273 * math.sqrt((1 / 3 + 1 / 2) * 0.0004)
    assert estimate[:3] == pytest.approx((0.8, 0.8 - reach, 0.8 + reach))
    assert math.isnan(estimate.p_value)


def test_test_by_hand() -> None:
    # With 2 degrees of freedom P(|T| > t) = 1 - t / sqrt(2 + t^2).
    estimate = corrected_test([0.01, 0.02, 0.03], test_share=0.5)
    t = 0.02 / math.sqrt((1 / 3 + 1 / 2) * 0.0001)
    assert estimate.mean == pytest.approx(0.02)
    assert estimate.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_without_shared_rows_it_is_the_plain_paired_test() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, 12)
    plain = stats.ttest_1samp(differences, 0)
    estimate = corrected_test(differences, test_share=1e-12, confidence=0.9)
    interval = plain.confidence_interval(0.9)
    same(estimate, Estimate(differences.mean(), interval.low, interval.high, plain.pvalue))


@given(SCORES, SHARES, st.floats(-100, 100), st.floats(0.01, 100), st.floats(0.5, 0.999))
def test_shift_and_scale(
    scores: Vector, share: float, shift: float, scale: float, confidence: float
) -> None:
    mean, low, high, *_ = corrected_interval(scores, share, confidence)
    assert low <= mean <= high
    moved = corrected_interval(scores * scale + shift, share, confidence)
    np.testing.assert_allclose(
        moved[:3], np.array([mean, low, high]) * scale + shift, rtol=1e-6, atol=1e-6
    )
    assert corrected_test(scores * scale, share).p_value == pytest.approx(
        corrected_test(scores, share).p_value, rel=1e-6, abs=1e-9
    )


@given(SCORES, SHARES, st.sampled_from([0.0, 0.01]))
def test_sign_and_order_of_folds(differences: Vector, share: float, resolution: float) -> None:
    differences = differences - 0.5
    mean, low, high, p_value, _ = corrected_test(differences, share, resolution=resolution)
    same(
        corrected_test(-differences, share, resolution=resolution),
        Estimate(-mean, -high, -low, p_value),
    )
    same(
        corrected_test(differences[::-1], share, resolution=resolution),
        Estimate(mean, low, high, p_value),
    )
    interval = corrected_interval(differences, share, resolution=resolution)
    assert interval[:3] == (mean, low, high)


@given(SCORES, SHARES, st.floats(0.5, 0.999))
def test_interval_and_p_value_agree(differences: Vector, share: float, confidence: float) -> None:
    estimate = corrected_test(differences - 0.5, share, confidence, resolution=1e-3)
    assume(abs(estimate.p_value - (1 - confidence)) > 1e-9)
    assert (estimate.p_value < 1 - confidence) == (not estimate.low <= 0 <= estimate.high)


@given(SCORES, SHARES)
def test_more_shared_rows_widen(scores: Vector, share: float) -> None:
    narrow, wide = corrected_interval(scores, share), corrected_interval(scores, 2 * share)
    assert wide.low <= narrow.low <= narrow.high <= wide.high


@given(SCORES, SHARES)
def test_bounds_cut_and_no_more(scores: Vector, share: float) -> None:
    free, cut = corrected_interval(scores, share), corrected_interval(scores, share, bounds=(0, 1))
    assert cut[:3] == (free.mean, max(free.low, 0.0), min(free.high, 1.0))


def test_differences_all_the_same() -> None:
    assert corrected_test([0.0] * 5, 0.25)[:4] == (0, 0, 0, 1)
    assert corrected_test([0.1] * 5, 0.25)[:4] == (
        0.1,
        0.1,
        0.1,
        0,
    )  # 0.1 * 5 / 5 is rounded; the variance must yet be 0
    estimate = corrected_test([0.1] * 5, 0.25, resolution=0.01)
    assert 0 < estimate.p_value < 1e-4
    assert estimate.low < 0.1 < estimate.high
    assert corrected_test([0.0] * 5, 0.25, resolution=0.01).p_value == 1


def test_a_faultless_model_has_an_interval() -> None:
    for n_folds, share in ((5, 0.25), (10, 0.25), (10, 1 / 9)):
        n_rows = 1000
        n_test_rows = round(n_rows * share / (1 + share))
        low = corrected_interval(
            [1.0] * n_folds, share, resolution=1 / n_test_rows, bounds=(0, 1)
        ).low
        assert 2 < (1 - low) * n_rows < 4.2
        # It is what one fold with one row wrong gives.
        scores = [1.0] * (n_folds - 1) + [1 - 1 / n_test_rows]
        estimate = corrected_interval(scores, share)
        assert estimate.mean - estimate.low == pytest.approx(1 - low)


def test_rows_that_stratified_folds_do_not_show() -> None:
    # A majority class: 80 % in every fold, yet of 400 other rows another share. The t distribution
    # with 9 degrees of freedom.
    estimate = corrected_interval([0.8] * 10, 0.25, row_error=0.02)
    assert estimate[:3] == pytest.approx((0.8, 0.8 - 2.26215716 * 0.02, 0.8 + 2.26215716 * 0.02))
    scores = [0.7, 0.8, 0.9]
    assert (
        corrected_interval(scores, 0.5, row_error=1e-3)[:3] == (corrected_interval(scores, 0.5)[:3])
    )


# One test set


def test_samples_are_shared_and_repeatable() -> None:
    values = np.random.default_rng(0).random(20)
    seen: list[Any] = []

    def score(rows: Any) -> Any:
        seen.append(rows)
        return [values[rows].mean(), values[rows].mean() - 1, math.nan]

    resampled = resample_rows(score, 20, n_resamples=30, random_state=3)
    assert resampled.shape == (30, 3)
    assert resampled.dtype == np.float64
    assert all(
        rows.shape == (20,) and rows.dtype == np.int64 and rows.min() >= 0 and rows.max() < 20
        for rows in seen
    )
    np.testing.assert_allclose(resampled[:, 0] - resampled[:, 1], 1)
    assert np.isnan(resampled[:, 2]).all()
    np.testing.assert_array_equal(
        resampled, resample_rows(score, 20, n_resamples=30, random_state=np.random.RandomState(3))
    )
    assert len({tuple(rows) for rows in seen[:30]}) == 30


def test_percentiles_by_hand() -> None:
    # Of 999 samples the 25th from either end: 1000 * 0.025.
    samples = np.random.default_rng(0).permutation(np.arange(1.0, 1000))
    same(bootstrap_interval(500, samples), Estimate(500, 25, 975, math.nan))
    same(bootstrap_interval(500, samples, bounds=(30, 2000)), Estimate(500, 30, 975, math.nan))
    same(bootstrap_interval(500, [*samples, math.nan, math.inf]), Estimate(500, 25, 975, math.nan))


def test_p_value_by_hand() -> None:
    # Samples -49 ... 49 around 0, moved to 40; as far from 40 as 0 is: those of at most 0 and at
    # least 80, ten of each. Of the distances 0, 1, 1, 2, 2, ... the 95th is 47.
    samples = np.arange(-49.0, 50) + 40
    estimate = bootstrap_test(40, samples)
    same(estimate, Estimate(40, 40 - 47, 40 + 47, (1 + 20) / 100))
    same(bootstrap_test(40, np.append(samples, math.nan)), estimate)
    assert bootstrap_test(60, samples + 20).p_value == 1 / 100
    assert bootstrap_test(0, np.zeros(99))[:4] == (0, 0, 0, 1)


def test_rounding_does_not_decide() -> None:
    samples = np.array(
        [0.9 - 0.6, 0.3 - 0.3, 0.6 - 0.0]
    )  # 0.3 by itself, and as far from it as 0 is
    assert bootstrap_test(0.3, samples).p_value == 3 / 4


def test_least_reach_is_the_exact_interval_of_a_faultless_model() -> None:
    exact = stats.binomtest(500, 500).proportion_ci(0.95, method="exact")
    estimate = bootstrap_interval(1.0, np.ones(99), resolution=1 / 500, bounds=(0, 1))
    assert (estimate.low, estimate.high) == (pytest.approx(exact.low, abs=1e-4), 1)
    assert bootstrap_test(0.0, np.zeros(99), resolution=1 / 500).high == pytest.approx(
        1 - exact.low, abs=1e-4
    )


@given(
    arrays(np.float64, st.integers(1, 50), elements=st.floats(-1, 1)),
    st.floats(-1, 1),
    st.floats(0.5, 0.99),
)
def test_sign_of_the_bootstrap(samples: Vector, value: float, confidence: float) -> None:
    mean, low, high, p_value, _ = bootstrap_test(value, samples, confidence)
    same(bootstrap_test(-value, -samples, confidence), Estimate(-mean, -high, -low, p_value))
    assert low <= mean <= high
    assert 1 / (len(samples) + 1) <= p_value <= 1
    interval = bootstrap_interval(value, samples, confidence)
    same(
        bootstrap_interval(-value, -samples, confidence),
        Estimate(-value, -interval.high, -interval.low, math.nan),
    )
    assert interval.low <= value <= interval.high


@pytest.mark.parametrize(
    ("value", "samples"), [(math.nan, [0.1, 0.2]), (0.5, [math.nan] * 3), (0.5, [])]
)
def test_nothing_to_go_by(value: float, samples: list[float]) -> None:
    for estimate in (bootstrap_interval(value, samples), bootstrap_test(value, samples)):
        same(estimate, Estimate(value, math.nan, math.nan, math.nan))


# Many tests


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9, math.nan]), [1, 1, math.nan])
    assert holm([]).shape == (0,)


@given(P_VALUES)
def test_holm_by_its_definition(p_values: Vector) -> None:
    corrected = holm(p_values)
    present = [p for p in p_values if not math.isnan(p)]
    for p, q in zip(p_values, corrected, strict=True):
        if math.isnan(p):
            assert math.isnan(q)
            continue
        # The most that any p-value up to this one gives, times the number of those not below it.
        steps = [r * (len(present) - sorted(present).index(r)) for r in present if r <= p]
        assert q == pytest.approx(min(1, max(steps)))
        assert p <= q


@given(P_VALUES, st.floats(0.001, 0.2))
def test_holm_rejects_step_by_step(p_values: Vector, level: float) -> None:
    remaining = sorted(p for p in p_values if not math.isnan(p))
    n_rejected = 0
    while remaining and remaining[0] * len(remaining) <= level:
        remaining.pop(0)
        n_rejected += 1
    assert (holm(p_values) <= level).sum() == n_rejected


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_keeps_order(p_values: Vector, random: Any) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)
    before = p_values.copy()
    np.testing.assert_array_equal(holm(p_values[order]), holm(p_values)[order])
    np.testing.assert_array_equal(p_values, before)


@given(P_VALUES, st.floats(0.5, 0.99))
def test_intervals_of_a_family_agree_with_holm(p_values: Vector, confidence: float) -> None:
    corrected, own = holm(p_values), family_confidence(p_values, confidence)
    n_tests = max(int((~np.isnan(p_values)).sum()), 1)
    for p, q, level in zip(p_values, corrected, 1 - own, strict=True):
        assert (1 - confidence) / n_tests * (1 - 1e-9) <= level <= (1 - confidence) * (1 + 1e-9)
        if not math.isnan(p) and abs(q - (1 - confidence)) > 1e-9 < abs(p - level):
            assert (q < 1 - confidence) == (p < level)


@given(
    arrays(np.float64, st.integers(1, 60), elements=st.floats(-1, 1)),
    st.floats(-1, 1),
    st.floats(0.5, 0.99),
    st.sampled_from([0.0, 0.02, 0.2]),
)
def test_interval_and_p_value_of_the_bootstrap_agree(
    samples: Vector, value: float, confidence: float, resolution: float
) -> None:
    estimate = bootstrap_test(value, samples, confidence, resolution=resolution)
    excludes = not estimate.low <= 0 <= estimate.high
    assert (estimate.p_value < 1 - confidence) == excludes


# Bad input


@pytest.mark.parametrize(
    "scores", [[], [0.5], [[0.5, 0.6]], 0.5, [0.5, math.nan], [0.5, math.inf], ["a", "b"], None]
)
def test_bad_scores(scores: Any) -> None:
    with pytest.raises(InvalidParameterError, match="scores"):
        corrected_interval(scores, 0.25)
    with pytest.raises(InvalidParameterError, match="differences"):
        corrected_test(scores, 0.25)


@pytest.mark.parametrize("share", [0, -0.25, math.nan, math.inf, "0.25", None, True])
def test_bad_share(share: Any) -> None:
    with pytest.raises(
        InvalidParameterError, match="'test_share' parameter must be a finite number above 0"
    ):
        corrected_interval([0.5, 0.6], share)
    with pytest.raises(InvalidParameterError, match="test_share"):
        corrected_test([0.5, 0.6], share)


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": 1},
        {"confidence": 0},
        {"confidence": 95},
        {"resolution": -1},
        {"resolution": math.nan},
    ],
)
def test_bad_level(change: dict[str, Any]) -> None:
    (name,) = change
    for function in (corrected_interval, corrected_test):
        with pytest.raises(InvalidParameterError, match=name):
            function([0.5, 0.6], 0.25, **change)
    for function in (bootstrap_interval, bootstrap_test):
        with pytest.raises(InvalidParameterError, match=name):
            function(0.5, [0.5, 0.6], **change)


@pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, math.nan), 1, None, "ab", (0, 1, 2)])
def test_bad_bounds(bounds: Any) -> None:
    with pytest.raises(InvalidParameterError, match="bounds"):
        corrected_interval([0.5, 0.6], 0.25, bounds=bounds)
    with pytest.raises(InvalidParameterError, match="bounds"):
        bootstrap_interval(0.5, [0.5, 0.6], bounds=bounds)


@pytest.mark.parametrize("row_error", [-1, math.nan, math.inf, None])
def test_bad_row_error(row_error: Any) -> None:
    with pytest.raises(InvalidParameterError, match="row_error"):
        corrected_interval([0.5, 0.6], 0.25, row_error=row_error)


def test_bad_samples() -> None:
    with pytest.raises(InvalidParameterError, match="resampled"):
        bootstrap_interval(0.5, [[0.5]])
    with pytest.raises(InvalidParameterError, match="resampled_differences"):
        bootstrap_test(0.5, 0.5)
    with pytest.raises(InvalidParameterError, match="value"):
        bootstrap_test("0.5", [0.5])  # type: ignore[arg-type]
    scores = iter([np.zeros(2), np.zeros(3)])
    for score in (lambda rows: 0.5, lambda rows: next(scores), "accuracy"):
        with pytest.raises(InvalidParameterError, match="score"):
            resample_rows(score, 5, random_state=0)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="random_state"):
        resample_rows(lambda rows: np.zeros(1), 5, random_state="zero")  # type: ignore[arg-type]
    for change in ({"n_rows": 0}, {"n_rows": 5, "n_resamples": 0}):
        with pytest.raises(InvalidParameterError, match=list(change)[-1]):
            resample_rows(lambda rows: np.zeros(1), random_state=0, **change)


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [[0.5]], ["a"], 0.5, [math.inf]])
def test_bad_p_values(p_values: Any) -> None:
    with pytest.raises(InvalidParameterError, match="p_values"):
        holm(p_values)
