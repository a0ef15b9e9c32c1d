from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    StratifiedKFold,
)

from bertvectorizer.errors import InvalidParameterError, InvalidTableError
from bertvectorizer.pipeline.comparison.folds import (
    Folds,
    count_leaks,
    join_duplicates,
    make_folds,
    spread_groups,
)
from bertvectorizer.pipeline.comparison.target import Target, read_target

pytestmark = pytest.mark.numeric

TARGET = read_target(["a", "b", "b"] * 10, 30)[0]
REGRESSION = read_target(np.linspace(0, 1, 30), 30)[0]
SEVERAL = read_target([["a"], ["b"], ["a", "b"]] * 10, 30)[0]


def assert_partition(folds: Folds, n_rows: int) -> None:
    """Each repeat judges each row once, by what was learned from all other rows."""
    for start in range(0, len(folds.splits), folds.n_first):
        tests = [test for _, test in folds.splits[start : start + folds.n_first]]
        np.testing.assert_array_equal(np.sort(np.concatenate(tests)), np.arange(n_rows))
    for train, test in folds.splits:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(n_rows))


@pytest.mark.parametrize(
    "target", [TARGET, REGRESSION, SEVERAL], ids=["classes", "regression", "labels"]
)
@pytest.mark.parametrize(
    ("cv", "repeats", "folds"),
    [
        (None, 2, 5),
        ("2x5", 2, 5),
        (3, 1, 3),
        (np.int64(3), 1, 3),
        ("4", 1, 4),
        (" 3 × 2 ", 3, 2),
        ("1x2", 1, 2),
    ],
)
def test_repeats_of_folds(cv: Any, repeats: int, folds: int, target: Target) -> None:
    made = make_folds(cv, target, None, 0)
    assert len(made.splits) == repeats * folds
    assert made.n_first == folds
    assert_partition(made, 30)
    assert made.mean_sizes == pytest.approx((30 - 30 / folds, 30 / folds))
    words = f"{folds} {'' if target is REGRESSION else 'stratified '}folds"
    assert made.description == (words if repeats == 1 else f"{repeats} repeats of {words}")
    if repeats > 1:
        assert not np.array_equal(made.splits[0][1], made.splits[folds][1])


def test_classes_are_spread_evenly() -> None:
    for _, test in make_folds("2x5", TARGET, None, 0).splits:
        assert (TARGET.values[test] == "a").sum() == 2


def test_folds_are_those_of_scikit_learn() -> None:
    seed = int(np.random.RandomState(4).randint(2**31 - 1, size=1)[0])
    theirs = StratifiedKFold(3, shuffle=True, random_state=seed).split(np.zeros(30), TARGET.values)
    for (train, test), (their_train, their_test) in zip(
        make_folds(3, TARGET, None, 4).splits, theirs, strict=True
    ):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, their_test)


def flat(folds: Folds) -> list[int]:
    return [row for _, test in folds.splits for row in test.tolist()]


def test_a_seed_chooses_the_folds() -> None:
    assert flat(make_folds(None, TARGET, None, 1)) == flat(make_folds(None, TARGET, None, 1))
    assert flat(make_folds(None, TARGET, None, 1)) != flat(make_folds(None, TARGET, None, 2))
    groups = np.arange(30) // 3
    assert flat(make_folds(None, TARGET, groups, 1)) == flat(make_folds(None, TARGET, groups, 1))
    assert flat(make_folds(None, REGRESSION, groups, 1)) != flat(
        make_folds(None, REGRESSION, groups, 2)
    )


@settings(max_examples=15)
@given(
    st.lists(st.integers(0, 8), min_size=30, max_size=30).filter(
        lambda groups: len(set(groups)) >= 3
    ),
    st.integers(0, 3),
)
def test_groups_are_never_on_both_sides(groups: list[int], seed: int) -> None:
    owner = np.array(groups)
    for target in (TARGET, REGRESSION, SEVERAL):
        made = make_folds("2x3", target, owner, seed)
        assert made.description.endswith("folds that keep groups together")
        assert_partition(made, 30)
        for train, test in made.splits:
            assert not set(owner[train]) & set(owner[test])


# Splitters and pairs


def test_a_predefined_split_with_one_fold() -> None:
    made = make_folds(PredefinedSplit([-1] * 20 + [0] * 10), TARGET, None, 0)
    assert len(made.splits) == made.n_first == 1
    assert made.splits[0][0].tolist() == list(range(20))
    assert made.splits[0][1].tolist() == list(range(20, 30))
    assert made.description == "1 fold(s) of PredefinedSplit"
    assert made.mean_sizes == (20, 10)


def test_a_predefined_split_with_several_folds() -> None:
    made = make_folds(PredefinedSplit([-1] * 10 + [0] * 8 + [1] * 12), TARGET, None, 0)
    assert [len(test) for _, test in made.splits] == [8, 12]
    assert made.n_first == 2
    assert made.repeats.tolist() == [0, 0]
    assert made.mean_sizes == (20, 10)


def test_a_row_is_tested_once_in_a_repeat() -> None:
    assert make_folds("3x2", TARGET, None, 0).repeats.tolist() == [0, 0, 1, 1, 2, 2]
    tests = ([0, 1], [2], [1, 2], [0], [0])
    overlapping = Folds([(np.arange(3, 6), np.array(test)) for test in tests], 2, "")
    assert overlapping.repeats.tolist() == [0, 0, 1, 1, 2]


def test_splitters_with_groups_of_their_own() -> None:
    owner = np.arange(30) // 10
    for splitter in (LeaveOneGroupOut(), GroupKFold(3)):
        for train, test in make_folds(splitter, TARGET, owner, 0).splits:
            assert not set(owner[train]) & set(owner[test])


@pytest.mark.parametrize("make", [list, iter, tuple], ids=["list", "iterator", "tuple"])
def test_pairs_of_rows(make: Any) -> None:
    pairs = [([0, 1, 2], [3]), (np.array([3]), np.array([0, 1]))]
    made = make_folds(make(pairs), TARGET, None, 0)
    assert [(train.tolist(), test.tolist()) for train, test in made.splits] == [
        ([0, 1, 2], [3]),
        ([3], [0, 1]),
    ]
    assert made.description == "2 given fold(s)"


def test_rows_of_a_group_in_given_folds_are_refused() -> None:
    owner = np.arange(30) % 2
    pairs = [(np.arange(20), np.arange(20, 30))]
    for cv in (pairs, PredefinedSplit([-1] * 20 + [0] * 10)):
        with pytest.raises(InvalidParameterError, match="group"):
            make_folds(cv, TARGET, owner, 0)


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_rows_of_a_group_in_folds_of_a_splitter_that_knows_no_groups_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="group"):
        make_folds(KFold(3), TARGET, np.arange(30) % 2, 0)


# Faults


@pytest.mark.parametrize(
    "cv",
    [1, 0, -3, 2.5, True, "x", "", "5x", "0x5", "2x1", "2x5x2", "1e3", "99999", b"5", object()],
)
def test_other_numbers_of_folds(cv: Any) -> None:
    with pytest.raises(InvalidParameterError, match="'cv'"):
        make_folds(cv, TARGET, None, 0)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no fold at all"),
        ([([0], [])], "must have training and test rows"),
        ([([], [0])], "must have training and test rows"),
        ([([0], [1]), ([0, 1], [30])], r"numbered in \[0, 30\). Fold 1"),
        ([([0], [-1])], r"numbered in \[0, 30\)"),
        ([([0.5], [1])], "numbered in"),
        ([([0, 1], [1, 2])], "must differ. Fold 0 has 1 row"),
        ([(np.arange(30) < 20, np.arange(30) >= 20)], "numbered in|row numbers"),
        ([(0, 1)], "'cv'|numbered in"),
        ([([[0], [1]], [[2], [3]])], "'cv'|numbered in"),
        ([("ab", "cd")], "'cv'|numbered in"),
        ([1, 2], "'cv'"),
        ([([0], [1], [2])], "'cv'"),
    ],
)
def test_pairs_at_fault(pairs: Iterable[Any], message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message) as caught:
        make_folds(pairs, TARGET, None, 0)
    assert "\n" not in str(caught.value)


def test_a_splitter_that_cannot() -> None:
    with pytest.raises(
        InvalidParameterError, match=r"KFold\(n_splits=31.* cannot split these 30 rows"
    ):
        make_folds(KFold(31), TARGET, None, 0)
    with pytest.raises(InvalidParameterError, match="'groups' parameter should not be None"):
        make_folds(LeaveOneGroupOut(), TARGET, None, 0)


def test_too_few_rows_classes_or_groups() -> None:
    with pytest.raises(InvalidTableError, match=r"as many rows as folds \(5\). Got 3 row"):
        make_folds(None, read_target(["a", "b", "a"], 3)[0], None, 0)
    with pytest.raises(
        InvalidTableError, match=r"folds \(5\). Got 2 row\(s\) of class 'c'\. Use fewer"
    ):
        make_folds(None, read_target(["a", "b"] * 10 + ["c"] * 2, 22)[0], None, 0)
    with pytest.raises(
        InvalidTableError, match=r"Got 1 row\(s\) of class .*, and 199 more class\(es\) like it"
    ):
        make_folds(None, read_target([f"class {number}" for number in range(200)], 200)[0], None, 0)
    with pytest.raises(InvalidTableError, match=r"as many groups as folds \(5\). Got 3 group"):
        make_folds(None, TARGET, np.arange(30) % 3, 0)


@pytest.mark.parametrize("seed", [2**32, 2**70])
def test_a_seed_that_numpy_does_not_take(seed: int) -> None:
    with pytest.raises(InvalidParameterError, match="'random_state'"):
        make_folds(2, TARGET, None, seed)


# Duplicates


def plain(row: tuple[str, ...]) -> set[str]:
    """Return the texts of a row as they are compared."""
    return {" ".join(text.casefold().split()) for text in row} - {""}


def slow_groups(rows: list[tuple[str, ...]], groups: list[int] | None) -> list[frozenset[int]]:
    """Rows that hang together, found the slow way: join what touches until nothing changes."""
    texts = list(map(plain, rows))
    parts = [{row} for row in range(len(texts))]
    changed = True
    while changed:
        changed = False
        for first in parts:
            for second in parts:
                if first is not second and any(
                    texts[one] & texts[other]
                    or (groups is not None and groups[one] == groups[other])
                    for one in first
                    for other in second
                ):
                    first.update(second)
                    parts.remove(second)
                    changed = True
                    break
            if changed:
                break
    return sorted(map(frozenset, parts), key=min)


def parts_of(numbers: Any) -> list[frozenset[int]]:
    return sorted(
        (frozenset(np.flatnonzero(numbers == number).tolist()) for number in np.unique(numbers)),
        key=min,
    )


TEXTS = st.sampled_from(
    ["Hi", "hi ", " HI", "Straße", "STRASSE", "a b", "a\tb", "ab", "", " ", "x", "y", "z"]
)


@given(st.lists(st.tuples(TEXTS, st.integers(-2, 5)), max_size=12), st.booleans())
def test_rows_that_share_a_text_or_a_group_hang_together(
    rows: list[tuple[str, int]], with_groups: bool
) -> None:
    texts, groups = [text for text, _ in rows], [group for _, group in rows]
    joined = join_duplicates(texts, np.array(groups, dtype=np.int64) if with_groups else None)
    assert joined.shape == (len(rows),)
    assert joined.dtype == np.int64
    assert parts_of(joined) == slow_groups(
        [(text,) for text in texts], groups if with_groups else None
    )


@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 5)), min_size=2, max_size=12), st.booleans())
def test_pairs_that_share_a_text_hang_together_and_leak(
    rows: list[tuple[str, str, int]], with_groups: bool
) -> None:
    pairs = [(first, second) for first, second, _ in rows]
    groups = [group for _, _, group in rows] if with_groups else None
    texts = np.array(pairs, dtype=object)
    joined = join_duplicates(texts, None if groups is None else np.array(groups))
    assert parts_of(joined) == slow_groups(pairs, groups)
    train, test = np.split(np.arange(len(rows)), [len(rows) // 2])
    learned = set().union(*(plain(pairs[row]) for row in train))
    leaks = sum(bool(plain(pairs[row]) & learned) for row in test)
    assert count_leaks(texts, [(train, test)]) == leaks


def test_a_chain_of_many_rows_is_one_group() -> None:
    # Row i shares its text with row i + 1 where i is even, and its group where i is odd.
    rows = np.arange(10_000)
    joined = join_duplicates([f"text {row // 2}" for row in rows], (rows + 1) // 2)
    assert set(joined.tolist()) == {0}


def test_leaks_are_rows_each_counted_once() -> None:
    texts = ["Hi", "hi ", "hi", "bye", "Free  entry", "free entry"]
    splits = [
        (np.array([0, 3, 4]), np.array([1, 2, 5])),
        (np.array([1, 2]), np.array([0, 3, 4, 5])),
    ]
    assert count_leaks(texts, splits) == 4  # rows 1, 2 and 5 in the first fold, row 0 in the second
    assert count_leaks(texts, splits[:1]) == 3
    assert count_leaks(["a", "b"], [(np.array([0]), np.array([1]))]) == 0
    missing = ["", " ", "\t", "\u200b", "\xa0\ufeff", "\x00", "\u200b", ""]
    halves = (np.arange(4), np.arange(4, 8))
    assert count_leaks(missing, [halves]) == 0
    assert len(set(join_duplicates(missing).tolist())) == len(missing)
    assert count_leaks(["\U0010fffe", "\U0010fffe"], [(np.array([0]), np.array([1]))]) == 1


@settings(max_examples=20)
@given(
    st.lists(TEXTS, min_size=30, max_size=30).filter(
        lambda texts: len({" ".join(text.casefold().split()) for text in texts}) >= 3
    )
)
def test_joined_duplicates_leak_nothing(texts: list[str]) -> None:
    assert count_leaks(texts, make_folds(2, REGRESSION, join_duplicates(texts), 0).splits) == 0


def test_groups_are_kept_together_if_that_leaves_even_folds() -> None:
    groups = np.arange(30) // 2
    folds = spread_groups("2x5", TARGET, groups, 0)
    assert folds is not None
    assert folds.description == "2 repeats of 5 stratified folds that keep groups together"
    assert not any(set(groups[train]) & set(groups[test]) for train, test in folds.splits)
    assert [len(test) for _, test in folds.splits] == [6] * 10
    assert spread_groups(None, TARGET, np.minimum(groups, 11), 0) is None  # one has 8 of 30 rows
    assert spread_groups(3, TARGET, np.minimum(groups, 11), 0) is not None
    # Of class "a" all rows hang together: a fold that tests it would not have learned it.
    one_sided = np.where(TARGET.values == "a", 0, 1 + np.arange(30))
    assert spread_groups(3, TARGET, one_sided, 0) is None
    repeated = spread_groups("2x3", REGRESSION, one_sided, 0)
    assert repeated is not None
    assert [len(test) for _, test in repeated.splits] == [10] * 6
    assert len({tuple(test) for _, test in repeated.splits}) == 5, "all but the large group vary"
