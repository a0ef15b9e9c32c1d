"""Tests of models/ragged.py."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.models.ragged import chunks, ranges, runs_of_equal_length

LENGTHS = st.lists(st.integers(0, 40), max_size=60).map(
    lambda lengths: np.array(lengths, dtype=np.int64)
)


@given(LENGTHS)
def test_runs_describe_the_lengths_and_are_as_long_as_can_be(lengths: np.ndarray) -> None:
    runs = runs_of_equal_length(lengths)
    assert [length for count, length in runs for _ in range(count)] == lengths.tolist()
    assert all(one[1] != other[1] for one, other in pairwise(runs))


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 20)), max_size=30))
def test_ranges_are_python_ranges_in_one_row(runs: list[tuple[int, int]]) -> None:
    starts, counts = np.array(runs, dtype=np.int64).reshape(-1, 2).T
    numbers = ranges(starts, counts)
    assert numbers.tolist() == [
        number for start, count in runs for number in range(start, start + count)
    ]
    assert numbers.dtype == np.int64


@given(LENGTHS, st.integers(0, 100))
def test_chunks_follow_each_other_and_are_full(lengths: np.ndarray, most: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    found = list(chunks(offsets, most))
    assert [0, *(end for _, end in found)] == [*(start for start, _ in found), len(lengths)]
    for start, end in found:
        assert end == start + 1 or offsets[end] - offsets[start] <= most
        assert end == len(lengths) or offsets[end + 1] - offsets[start] > most
