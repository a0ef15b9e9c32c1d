"""Tests of models/store/memory_cache.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bertvectorizer.models.store.memory_cache import MemoryCache
from bertvectorizer.models.store.records import Record

PARTS, OTHERS = b"parts", b"others"
BYTES = 700  # what one record of 100 numbers is reckoned at


def record(number: int = 0, width: int = 100) -> Record:
    return Record(number, 0, np.full((1, width), number, dtype=np.float32))


def keys(*numbers: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in numbers]


def add(remembered: MemoryCache, *numbers: int) -> None:
    for number, key in zip(numbers, keys(*numbers), strict=True):
        remembered.add({key: record(number)}, PARTS)


def recalled(remembered: MemoryCache, *numbers: int) -> set[int]:
    return {found.n_tokens for found in remembered.get(keys(*numbers), PARTS).values()}


def test_what_was_added_comes_back_and_nothing_else() -> None:
    remembered = MemoryCache()
    kept = record(1)
    remembered.add({b"k": kept}, PARTS)
    found = remembered.get([b"k", b"other"], PARTS)
    assert list(found) == [b"k"]
    assert found[b"k"] is kept


def test_a_record_is_known_only_under_the_parts_that_it_was_added_for() -> None:
    remembered = MemoryCache()
    remembered.add({b"k": record(1)}, PARTS)
    assert remembered.get([b"k"], OTHERS) == {}
    assert remembered.get([b"k"], PARTS + OTHERS) == {}
    remembered.add({b"k": record(2)}, OTHERS)
    assert [remembered.get([b"k"], parts)[b"k"].n_tokens for parts in (PARTS, OTHERS)] == [1, 2]


def test_what_is_used_outlives_what_is_not() -> None:
    remembered = MemoryCache(max_bytes=4 * BYTES)  # two in each generation
    add(remembered, 1, 2, 3)
    assert recalled(remembered, 1) == {1}
    add(remembered, 4)
    assert recalled(remembered, 1, 2, 3, 4) == {1, 3, 4}


def test_what_is_used_again_and_again_is_never_forgotten() -> None:
    remembered = MemoryCache(max_bytes=4 * BYTES)
    add(remembered, 0)
    for number in range(1, 100):
        add(remembered, number)
        assert recalled(remembered, 0) == {0}


def test_no_more_bytes_are_kept_than_allowed() -> None:
    remembered = MemoryCache(max_bytes=50 * BYTES)
    for number in range(1000):
        add(remembered, number)
        assert len(recalled(remembered, *range(number + 1))) <= 50
    assert len(recalled(remembered, *range(1000))) >= 25


def test_a_record_added_twice_is_reckoned_once() -> None:
    remembered = MemoryCache(max_bytes=6 * BYTES)
    add(remembered, 1, 2, 3)
    for _ in range(50):
        add(remembered, 1, 2, 3)
    assert recalled(remembered, 1, 2, 3) == {1, 2, 3}


@pytest.mark.parametrize(("most", "width"), [(4 * BYTES, 1000), (1 << 20, 8192)])
def test_large_records_are_not_kept_and_drive_out_nothing(most: int, width: int) -> None:
    remembered = MemoryCache(most)
    add(remembered, 1, 2)
    for number in (7, 8, 9):
        remembered.add({number.to_bytes(4, "big"): record(number, width)}, PARTS)
    assert recalled(remembered, 1, 2, 7, 8, 9) == {1, 2}


def test_threads_that_meet_never_get_another_text_s_record() -> None:
    remembered = MemoryCache(max_bytes=20 * BYTES)

    def work(seed: int) -> bool:
        right = True
        for number in np.random.default_rng(seed).integers(0, 60, 2000).tolist():
            add(remembered, number)
            for key, found in remembered.get(keys(number, number + 1), PARTS).items():
                right &= found.n_tokens == int.from_bytes(key, "big")
        return right

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [True] * 8
