from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertvectorizer.pipeline.tagging import forward_backward as module
from bertvectorizer.pipeline.tagging.forward_backward import forward_backward
from tests.pipeline.tagging.test_viterbi import NEVER, all_paths, problems

pytestmark = pytest.mark.numeric


def by_all_paths(problem: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """Log partitions, probabilities of tags and counts of pairs, path by path."""
    scores, offsets, transitions, *_ = problem
    log_partition, tags, pairs = (
        np.zeros(len(offsets) - 1),
        np.zeros_like(scores),
        np.zeros_like(transitions),
    )
    for sentence in np.flatnonzero(np.diff(offsets)):
        of_paths = all_paths(problem, sentence)
        log_partition[sentence] = np.logaddexp.reduce(list(of_paths.values()))
        for path, score in of_paths.items():
            share = np.exp(score - log_partition[sentence])
            tags[offsets[sentence] + np.arange(len(path)), path] += share
            np.add.at(pairs, (path[:-1], path[1:]), share)
    return log_partition, tags, pairs


@pytest.fixture(params=[np.inf, -1.0], ids=["weights", "logarithms"])
def one_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one of the two ways of summing, whatever the scores."""
    monkeypatch.setattr(module, "_MOST_QUICK_SPREAD", request.param)


@pytest.mark.parametrize("quick", [True, False])
@settings(max_examples=200)
@given(problem=problems())
def test_sums_are_those_over_all_paths(quick: bool, problem: tuple[Any, ...]) -> None:
    scores = problem[0]
    scores[scores == NEVER] = -3.0
    lengths = np.diff(problem[1])
    if any(
        max(all_paths(problem, sentence).values()) == NEVER for sentence in np.flatnonzero(lengths)
    ):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_QUICK_SPREAD", np.inf if quick else -1.0)
        found = forward_backward(*problem)
    for own, expected in zip(found, by_all_paths(problem), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("one_way")
def test_expectations_are_gradients_of_the_log_partition() -> None:
    rng = np.random.default_rng(1)
    problem = [
        rng.normal(size=(6, 3)),
        np.array([0, 4, 4, 6]),
        rng.normal(size=(3, 3)),
        rng.normal(size=3),
        rng.normal(size=3),
    ]
    problem[2][0, 1] = NEVER
    found = forward_backward(*problem)
    for part, expected in ((0, found.tags), (2, found.pairs)):
        for index in np.ndindex(*expected.shape):
            if problem[part][index] == NEVER:
                assert expected[index] == 0
                continue
            sums = []
            for step in (1e-6, -1e-6):
                moved = [array.copy() for array in problem]
                moved[part][index] += step
                sums.append(forward_backward(*moved).log_partition.sum())
            assert (sums[0] - sums[1]) / 2e-6 == pytest.approx(expected[index], abs=1e-6)


def test_scores_of_any_size_are_summed() -> None:
    # Each word by itself would be O; only together they are B I: sums in which e ** -1000 must not
    # be lost.
    scores = np.array([[0.0, -1000.0, -3000.0], [-1000.0, -3000.0, 0.0]])
    transitions = np.array([[0.0, 0.0, NEVER], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    start = np.array([0.0, 0.0, NEVER])
    found = forward_backward(scores, np.array([0, 2]), transitions, start, np.zeros(3))
    assert found.log_partition.tolist() == pytest.approx([-1000 + np.log(2)])
    np.testing.assert_allclose(found.tags, [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]], atol=1e-12)


@pytest.mark.usefixtures("one_way")
def test_high_scores_of_first_and_last_tags_do_not_overflow() -> None:
    found = forward_backward(
        np.full((2, 2), 800.0),
        np.array([0, 2]),
        np.full((2, 2), -900.0),
        np.full(2, 1e4),
        np.full(2, 1e3),
    )
    assert found.log_partition.tolist() == pytest.approx([1600 - 900 + 11000 + np.log(4)])
    np.testing.assert_allclose(found.tags, 0.5)


@pytest.mark.usefixtures("one_way")
def test_long_sentences_neither_overflow_nor_vanish() -> None:
    found = forward_backward(
        np.full((5000, 3), 7.0), np.array([0, 5000]), np.zeros((3, 3)), np.zeros(3), np.zeros(3)
    )
    assert found.log_partition.tolist() == pytest.approx([5000 * (7 + np.log(3))])
    np.testing.assert_allclose(found.tags, 1 / 3)
    assert found.pairs.sum() == pytest.approx(4999)


@pytest.mark.usefixtures("one_way")
def test_what_is_impossible_is_not_hidden() -> None:
    found = forward_backward(
        np.zeros((1, 2)),
        np.array([0, 1]),
        np.full((2, 2), NEVER),
        np.array([0.0, NEVER]),
        np.array([NEVER, 0.0]),
    )
    assert found.log_partition.tolist() == [NEVER]
    assert np.isnan(found.tags).any()


@pytest.mark.parametrize("offsets", [[0], [0, 0, 0]])
def test_no_words(offsets: list[int]) -> None:
    found = forward_backward(
        np.empty((0, 2)), np.array(offsets), np.zeros((2, 2)), np.zeros(2), np.zeros(2)
    )
    assert found.log_partition.tolist() == [0.0] * (len(offsets) - 1)
    assert found.tags.shape == (0, 2)
    assert not found.pairs.any()


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_arguments_are_left_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = [
        rng.normal(size=(5, 2)),
        np.array([0, 3, 5]),
        rng.normal(size=(2, 2)),
        rng.normal(size=2),
        rng.normal(size=2),
    ]
    copies = [array.copy() for array in problem]
    forward_backward(*problem)
    for array, copy in zip(problem, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
