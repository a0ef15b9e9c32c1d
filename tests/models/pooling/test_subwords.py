"""Tests of models/pooling/subwords.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.models.pooling.subwords import SUBTOKEN_POOLINGS, pool_subtokens
from tests.plain import POOLINGS, pooled
from tests.tolerance import tolerance

pytestmark = pytest.mark.numeric


def test_the_poolings_are_those_that_plain_code_knows() -> None:
    assert set(SUBTOKEN_POOLINGS) == set(POOLINGS)


@pytest.mark.parametrize("pooling", SUBTOKEN_POOLINGS)
@given(counts=st.lists(st.integers(0, 5), max_size=12), seed=st.integers(0, 99))
def test_every_word_is_pooled_by_itself(pooling: str, counts: list[int], seed: int) -> None:
    states = np.random.default_rng(seed).normal(size=(sum(counts), 3)).astype(np.float32)
    before = states.copy()
    result = pool_subtokens(states, np.array(counts, dtype=np.int64), pooling)
    assert result.dtype == np.float32
    assert result.shape == (len(counts), 6 if pooling == "first_last" else 3)
    ends = np.cumsum(counts, dtype=np.int64)
    for row, (end, count) in enumerate(zip(ends, counts, strict=True)):
        np.testing.assert_allclose(
            result[row],
            pooled(states[end - count : end], pooling),
            atol=tolerance(count, scale=float(np.abs(states).max(initial=0))),
        )
    np.testing.assert_array_equal(states, before)


@pytest.mark.parametrize("pooling", SUBTOKEN_POOLINGS)
def test_words_of_one_token_are_left_as_they_are(pooling: str) -> None:
    states = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(
        pool_subtokens(states, np.ones(3, dtype=np.int64), pooling)[:, :2], states
    )


def test_as_many_tokens_as_words_need_not_be_one_each() -> None:
    states = np.array([[1], [3]], dtype=np.float32)
    assert pool_subtokens(states, np.array([2, 0]), "mean").tolist() == [[2], [0]]
