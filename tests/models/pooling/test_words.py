"""Tests of models/pooling/words.py."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertvectorizer.models.pooling.words import _tensor, pool_words, power_means
from tests.tolerance import tolerance

pytestmark = pytest.mark.numeric

HUGE = np.finfo(np.float32).max

Case = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n_words, n_dims = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    numbers = st.floats(-100, 100, width=32)
    vectors = draw(
        st.lists(
            st.lists(numbers, min_size=n_dims, max_size=n_dims), min_size=n_words, max_size=n_words
        )
    )
    texts = draw(
        st.lists(st.lists(st.integers(0, n_words - 1), max_size=6), min_size=1, max_size=6)
    )
    return np.array(vectors, dtype=np.float32), *joined(texts)


def joined(texts: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids = np.array([word for text in texts for word in text], dtype=np.int64)
    return ids, np.cumsum([0, *map(len, texts)], dtype=np.int64)[:-1]


def words_of(case: Case) -> list[NDArray[np.float64]]:
    vectors, ids, offsets = case
    return [
        vectors[ids[start:end]].astype(np.float64) for start, end in pairwise([*offsets, len(ids)])
    ]


@given(cases())
def test_sums_means_and_maxima_equal_loops(case: Case) -> None:
    zeros = np.zeros(case[0].shape[1])
    largest = float(np.abs(case[0]).max())
    for kind, by_loop, scale in (("sum", np.sum, 6), ("mean", np.mean, 1), ("max", np.max, 1)):
        expected = [by_loop(words, axis=0) if len(words) else zeros for words in words_of(case)]
        pooled = pool_words(*case, kind)
        assert pooled.dtype == np.float32
        np.testing.assert_allclose(
            pooled, expected, rtol=0, atol=tolerance(6, scale=scale * largest)
        )


@given(cases(), st.integers(0, 2**32 - 1))
def test_weighted_sums_equal_loops(case: Case, seed: int) -> None:
    vectors, ids, offsets = case
    weights = np.random.default_rng(seed).random(len(ids), dtype=np.float32)
    parts = np.split(weights, offsets[1:])
    expected = [part @ words for part, words in zip(parts, words_of(case), strict=True)]
    np.testing.assert_allclose(
        pool_words(vectors, ids, offsets, "sum", weights),
        expected,
        rtol=0,
        atol=tolerance(6, scale=6 * float(np.abs(vectors).max())),
    )


@given(
    cases(), st.lists(st.sampled_from([1, 2, 3, 4, 7, math.inf, -math.inf]), min_size=1, max_size=3)
)
def test_power_means_equal_loops(case: Case, powers: list[float]) -> None:
    def one(words: NDArray[np.float64], power: float) -> NDArray[np.float64]:
        if not len(words):
            return np.zeros(words.shape[1])
        if math.isinf(power):
            return words.max(axis=0) if power > 0 else words.min(axis=0)
        mean = (words**power).mean(axis=0)
        return np.sign(mean) * np.abs(mean) ** (1 / power)

    expected = [np.concatenate([one(words, power) for power in powers]) for words in words_of(case)]
    pooled = power_means(*case, powers)
    assert pooled.dtype == np.float32
    # What is left of powers that cancel out grows under the root.
    highest = max([power for power in powers if math.isfinite(power)], default=1)
    np.testing.assert_allclose(
        pooled, expected, rtol=1e-5, atol=float(np.abs(case[0]).max()) * 1e-15 ** (1 / highest)
    )


class TestPowerMeans:
    def test_numbers_by_hand(self) -> None:
        vectors = np.array([[3, -1], [4, -2]], dtype=np.float32)
        result = power_means(vectors, *joined([[0, 1], []]), [1, 2, 3, math.inf, -math.inf])
        by_hand = [3.5, -1.5, 12.5**0.5, 2.5**0.5, 45.5 ** (1 / 3), -(4.5 ** (1 / 3)), 4, -1, 3, -2]
        np.testing.assert_allclose(result, [by_hand, [0] * 10], rtol=1e-6)

    @pytest.mark.parametrize("power", [1, 2, 3, 8, 9, 100])
    def test_huge_numbers_do_not_overflow(self, power: int) -> None:
        vectors = np.array([[HUGE, -HUGE], [HUGE, -HUGE]], dtype=np.float32)
        expected = [[HUGE, HUGE if power % 2 == 0 else -HUGE]]
        np.testing.assert_allclose(
            power_means(vectors, *joined([[0, 1]]), [power]), expected, rtol=1e-6
        )

    @pytest.mark.parametrize("power", [1, 2, 3, 5])
    def test_no_text_depends_on_the_words_of_others(self, power: int) -> None:
        vectors = np.random.default_rng(0).standard_normal((3, 8), dtype=np.float32) * np.float32(
            [[1], [1e-6], [1e30]]
        )
        alone = power_means(vectors, *joined([[0, 1], [1]]), [power])
        together = power_means(vectors, *joined([[0, 1], [1], [2]]), [power])
        np.testing.assert_array_equal(together[:2], alone)
        assert np.abs(alone[1]).min() > 0

    def test_all_zeros(self) -> None:
        result = power_means(
            np.zeros((2, 3), dtype=np.float32), *joined([[0, 1], [1], []]), [2, 3, -math.inf]
        )
        assert not result.any()
        assert not np.signbit(result).any()


class TestEdges:
    @pytest.mark.parametrize("kind", ["sum", "mean", "max"])
    @pytest.mark.parametrize("texts", [[[]], [[], []], [[], [0], []]])
    def test_a_text_without_words_gets_zeros(self, kind: str, texts: list[list[int]]) -> None:
        result = pool_words(np.full((1, 2), -3, dtype=np.float32), *joined(texts), kind)
        np.testing.assert_array_equal(result, [[-3, -3] if text else [0, 0] for text in texts])

    def test_no_texts_and_no_words(self) -> None:
        assert pool_words(np.ones((1, 2), dtype=np.float32), *joined([]), "mean").shape == (0, 2)
        assert power_means(np.ones((1, 2), dtype=np.float32), *joined([]), [1, 2]).shape == (0, 4)
        assert not pool_words(np.empty((0, 2), dtype=np.float32), *joined([[], []]), "max").any()

    def test_vectors_that_must_not_be_written_to(self) -> None:
        vectors = np.ones((2, 2), dtype=np.float32)
        vectors.flags.writeable = False
        assert pool_words(vectors, *joined([[0, 1]]), "sum").tolist() == [[2, 2]]
        assert power_means(vectors, *joined([[0, 1]]), [2, math.inf]).tolist() == [[1, 1, 1, 1]]


def test_a_table_that_must_not_be_written_to_is_pooled_without_a_warning_and_without_a_copy() -> (
    None
):
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    vectors.flags.writeable = False
    filters = list(warnings.filters)
    assert pool_words(vectors, np.array([0, 2]), np.array([0]), "mean").tolist() == [[2, 3]]
    assert _tensor(vectors).data_ptr() == vectors.ctypes.data
    assert warnings.filters == filters
    assert not vectors.flags.writeable
