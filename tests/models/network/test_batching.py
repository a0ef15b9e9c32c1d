"""Tests of models/network/batching.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.models.network.batching import Batches

LENGTHS = st.lists(st.integers(0, 40), max_size=60).map(
    lambda lengths: np.array(lengths, dtype=np.int64)
)


@given(LENGTHS, st.integers(1, 100))
def test_every_sequence_that_has_tokens_comes_once_longest_first(
    lengths: np.ndarray, budget: int
) -> None:
    seen = [number for batch in Batches(lengths, budget) for number in batch.tolist()]
    assert sorted(seen) == np.flatnonzero(lengths).tolist()
    assert lengths[seen].tolist() == sorted(lengths[seen].tolist(), reverse=True)


@given(LENGTHS, st.integers(1, 100))
def test_batches_are_full_and_within_the_budget(lengths: np.ndarray, budget: int) -> None:
    batches = list(Batches(lengths, budget))
    for number, batch in enumerate(batches):
        assert lengths[batch].sum() <= budget or len(batch) == 1
        if number + 1 < len(batches):
            assert lengths[batch].sum() + lengths[batches[number + 1][0]] > budget


def test_equal_lengths_keep_their_order() -> None:
    assert [batch.tolist() for batch in Batches(np.array([2, 3, 2, 3, 2]), budget=100)] == [
        [1, 3, 0, 2, 4]
    ]


@given(LENGTHS, st.integers(1, 100), st.integers(1, 100))
def test_halving_until_batches_fit_still_gives_every_sequence_once(
    lengths: np.ndarray, budget: int, fits: int
) -> None:
    batches = Batches(lengths, budget)
    done: list[int] = []
    too_long: list[int] = []
    for batch in batches:
        if lengths[batch].sum() <= fits:
            done += batch.tolist()
        elif not batches.halve(batch):
            too_long += batch.tolist()
    assert sorted(done + too_long) == np.flatnonzero(lengths).tolist()
    assert too_long == [
        number for number in np.argsort(-lengths, kind="stable") if lengths[number] > fits
    ]


def test_halving_halves_what_failed_not_the_budget_that_was_never_filled() -> None:
    batches = Batches(np.array([4, 4, 4, 4]), budget=1000)
    failed = next(iter(batches))
    assert batches.halve(failed)
    assert batches.budget == 8
    assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3]]


def test_a_single_sequence_cannot_be_halved() -> None:
    batches = Batches(np.array([4]), budget=1)
    assert not batches.halve(next(iter(batches)))


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_nothing_to_do(lengths: list[int]) -> None:
    assert list(Batches(np.array(lengths, dtype=np.int64), budget=8)) == []


def test_batches_side_by_side_are_of_like_size() -> None:
    def sizes(n_sequences: int, **settings: int) -> list[int]:
        return [len(batch) for batch in Batches(np.full(n_sequences, 10), **settings)]

    assert sizes(30, budget=200) == [20, 10]
    assert sizes(30, budget=200, side_by_side=2) == [15, 15]
    assert sizes(36, budget=53, side_by_side=2) == [5, 4, 5, 4, 5, 4, 5, 4]
    assert sizes(30, budget=10, side_by_side=2) == [1] * 30


@given(LENGTHS, st.integers(1, 100), st.integers(2, 4))
def test_batches_side_by_side_are_within_the_budget_and_complete(
    lengths: np.ndarray, budget: int, side_by_side: int
) -> None:
    batches = list(Batches(lengths, budget, side_by_side))
    assert all(lengths[batch].sum() <= budget or len(batch) == 1 for batch in batches)
    seen = [number for batch in batches for number in batch.tolist()]
    assert sorted(seen) == np.flatnonzero(lengths).tolist()
