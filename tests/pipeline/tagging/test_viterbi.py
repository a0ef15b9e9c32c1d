from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.tagging.viterbi import greedy, viterbi, word_steps

pytestmark = pytest.mark.numeric

NEVER = -np.inf


@st.composite
def problems(draw: st.DrawFn) -> tuple[Any, ...]:
    """Scores, offsets and rules of short or empty sentences; about a third of the rules forbid."""
    n_tags = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(0, 4), max_size=4))
    seed = draw(st.integers(0, 2**32 - 1))
    forbidden = draw(st.sampled_from([0.0, 0.2, 0.5]))
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *lengths])
    scores = rng.normal(size=(offsets[-1], n_tags)) * draw(st.sampled_from([1.0, 50.0]))
    rules = [rng.normal(size=shape) for shape in [(n_tags, n_tags), (n_tags,), (n_tags,)]]
    for rule in (*rules, scores):
        rule[rng.random(rule.shape) < (forbidden if rule is not scores else forbidden / 3)] = NEVER
    return scores, offsets, *rules


def all_paths(problem: tuple[Any, ...], sentence: int) -> dict[tuple[int, ...], float]:
    """The score of each sequence of tags of a sentence, in the most simple way."""
    scores, offsets, transitions, start, end = problem
    own = scores[offsets[sentence] : offsets[sentence + 1]]
    return {
        path: (
            start[path[0]]
            + end[path[-1]]
            + sum(row[tag] for row, tag in zip(own, path, strict=True))
            + sum(transitions[pair] for pair in itertools.pairwise(path))
        )
        for path in itertools.product(range(len(start)), repeat=len(own))
    }


def greedy_path(problem: tuple[Any, ...], sentence: int) -> tuple[int, ...]:
    """The best first tag that leads to an end, then the best second one behind it, and so on."""
    possible = [path for path, score in all_paths(problem, sentence).items() if score > NEVER]
    scores, offsets, transitions, start, end = problem
    own = scores[offsets[sentence] : offsets[sentence + 1]]
    chosen: tuple[int, ...] = ()
    for position, row in enumerate(own):
        tags = sorted({path[position] for path in possible if path[:position] == chosen})
        before = start if position == 0 else transitions[chosen[-1]]
        behind = end if position == len(own) - 1 else np.zeros(len(end))
        chosen += (max(tags, key=lambda tag: row[tag] + before[tag] + behind[tag]),)
    return chosen


def is_solvable(problem: tuple[Any, ...]) -> bool:
    lengths = np.diff(problem[1])
    return all(
        max(all_paths(problem, sentence).values()) > NEVER for sentence in np.flatnonzero(lengths)
    )


@settings(max_examples=300)
@given(problem=problems())
def test_viterbi_is_the_best_of_all_paths(problem: tuple[Any, ...]) -> None:
    if not is_solvable(problem):
        with pytest.raises(InvalidParameterError, match="has none"):
            viterbi(*problem)
        return
    path = viterbi(*problem)
    assert path.shape == (len(problem[0]),)
    assert path.dtype == np.int64
    for sentence in np.flatnonzero(np.diff(problem[1])):
        of_paths = all_paths(problem, sentence)
        assert tuple(path[problem[1][sentence] : problem[1][sentence + 1]]) == max(
            of_paths, key=lambda one: of_paths[one]
        )


@settings(max_examples=300)
@given(problem=problems())
def test_greedy_takes_the_best_tag_that_leads_to_an_end(problem: tuple[Any, ...]) -> None:
    if not is_solvable(problem):
        with pytest.raises(InvalidParameterError, match="has none"):
            greedy(*problem)
        return
    path = greedy(*problem)
    assert path.dtype == np.int64
    for sentence in np.flatnonzero(np.diff(problem[1])):
        assert tuple(path[problem[1][sentence] : problem[1][sentence + 1]]) == greedy_path(
            problem, sentence
        )


@settings(max_examples=100)
@given(lengths=st.lists(st.integers(0, 6), max_size=8))
def test_steps_name_each_word_once(lengths: list[int]) -> None:
    offsets = np.cumsum([0, *lengths])
    steps = word_steps(offsets)
    assert len(steps) == max(lengths, default=0)
    assert sorted(np.concatenate([[], *steps]).tolist()) == list(range(sum(lengths)))
    for number, rows in enumerate(steps):
        sentences = np.searchsorted(offsets, rows, side="right") - 1
        np.testing.assert_array_equal(rows - offsets[sentences], number)
        if number:
            np.testing.assert_array_equal(rows, steps[number - 1][: len(rows)] + 1)


@pytest.mark.parametrize("decode", [viterbi, greedy])
def test_neighbouring_sentences_change_nothing(decode: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    offsets = np.array([0, 5, 5, 6, 13])
    scores, rules = (
        rng.normal(size=(13, 4)),
        (rng.normal(size=(4, 4)), rng.normal(size=4), rng.normal(size=4)),
    )
    together = decode(scores, offsets, *rules)
    apart = [
        decode(scores[a:b], np.array([0, b - a]), *rules) for a, b in itertools.pairwise(offsets)
    ]
    np.testing.assert_array_equal(together, np.concatenate(apart))
    np.testing.assert_array_equal(together, decode(scores.astype(np.float32), offsets, *rules))


@pytest.mark.parametrize("decode", [viterbi, greedy])
@pytest.mark.parametrize("offsets", [[0], [0, 0], [0, 0, 0]])
def test_no_words(decode: Callable[..., Any], offsets: list[int]) -> None:
    path = decode(np.empty((0, 2)), np.array(offsets), np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    assert path.shape == (0,)
    assert path.dtype == np.int64


@pytest.mark.parametrize("decode", [viterbi, greedy])
def test_arguments_are_left_alone(decode: Callable[..., Any]) -> None:
    problem = (
        np.ones((3, 2)),
        np.array([0, 2, 3]),
        np.full((2, 2), 0.5),
        np.array([0.0, NEVER]),
        np.array([NEVER, 1.0]),
    )
    copies = [array.copy() for array in problem]
    with pytest.raises(InvalidParameterError):
        decode(*problem)
    decode(problem[0][:2], np.array([0, 2]), *problem[2:])
    for array, copy in zip(problem, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("decode", [viterbi, greedy])
def test_the_sentence_without_a_path_is_named(decode: Callable[..., Any]) -> None:
    never_last = np.array([NEVER, NEVER])
    with pytest.raises(InvalidParameterError, match=r"'scores'.*Sentence 1, of 3 words, has none"):
        decode(np.zeros((3, 2)), np.array([0, 0, 3]), np.zeros((2, 2)), np.zeros(2), never_last)


@pytest.mark.parametrize("decode", [viterbi, greedy])
def test_scores_that_are_no_numbers_are_refused(decode: Callable[..., Any]) -> None:
    scores = np.zeros((4, 2))
    scores[3, 1] = np.nan
    with pytest.raises(
        InvalidParameterError,
        match=r"'scores' parameter must be numbers.*NaN for word 1 of sentence 2",
    ):
        decode(scores, np.array([0, 0, 2, 4]), np.zeros((2, 2)), np.zeros(2), np.zeros(2))


def test_greedy_never_reaches_a_dead_end() -> None:
    # O B E of a scheme like IOBES: the last word would like B best, and so would the one before.
    transitions = np.array([[0.0, 0.0, NEVER], [NEVER, NEVER, 0.0], [0.0, 0.0, NEVER]])
    start, end = np.array([0.0, 0.0, NEVER]), np.array([0.0, NEVER, 0.0])
    scores = np.array([[0.0, 9.0, 1.0]] * 3)
    assert greedy(scores, np.array([0, 3]), transitions, start, end).tolist() == [1, 2, 0]
    assert greedy(scores[:1], np.array([0, 1]), transitions, start, end).tolist() == [0]
    assert viterbi(scores, np.array([0, 3]), transitions, start, end).tolist() in (
        [1, 2, 0],
        [0, 1, 2],
    )
