"""Decoding: the best tag sequence of each sentence, exactly or greedily from the left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["greedy", "viterbi", "word_steps"]


def word_steps(offsets: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the words of all sentences in steps: all first words, all second words, and so on.

    Each step names the sentences in the same order, the longest first. So a step's sentences are
    the first ones of the step before, and nothing is ever computed for padding.

    Examples
    --------
    >>> [step.tolist() for step in word_steps(np.array([0, 1, 1, 4]))]
    [[1, 0], [2], [3]]
    """
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    first = np.asarray(offsets)[:-1][order]
    n_longer = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)), side="left")
    return [first[:n] + step for step, n in enumerate(n_longer)]


def viterbi(
    scores: NDArray[np.floating],
    offsets: NDArray[np.int64],
    transitions: NDArray[np.floating],
    start: NDArray[np.floating],
    end: NDArray[np.floating],
) -> NDArray[np.int64]:
    """Return the tags of the highest-scoring sequence of each sentence, of shape (n_words,).

    ``scores`` has the shape (n_words, n_tags), ``transitions[i, j]`` scores tag j after tag i, and
    ``start`` and ``end`` score first and last tags; minus infinity forbids. Sentence *i* has the
    words ``offsets[i]:offsets[i + 1]``.

    References
    ----------
    A. Viterbi, "Error Bounds for Convolutional Codes and an Asymptotically Optimum Decoding
    Algorithm", IEEE Transactions on Information Theory 13(2), 1967.

    Examples
    --------
    Tag 1 may not be first, and the second word is so sure of it that the first word gives way:

    >>> scores, offsets = np.array([[2.0, 0.0, 1.0], [0.0, 9.0, 0.0]]), np.array([0, 2])
    >>> only_after_2 = np.array([[0.0, -np.inf, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> viterbi(scores, offsets, only_after_2, np.array([0.0, -np.inf, 0.0]), np.zeros(3)).tolist()
    [2, 1]
    """
    steps = word_steps(offsets)
    if not steps:
        return np.empty(0, dtype=np.int64)
    _check_numbers(scores, offsets)
    scores = scores.astype(np.float64, copy=False)
    best = (
        scores[steps[0]] + start
    )  # of the sequences so far that end in each tag; of a finished sentence: of the whole one
    came_from = []
    for rows in steps[1:]:
        totals = best[: len(rows), :, None] + transitions
        before = totals.argmax(axis=1)
        best[: len(rows)] = np.take_along_axis(totals, before[:, None], axis=1)[:, 0] + scores[rows]
        came_from.append(before.astype(np.int32))
    best += end
    last = best.argmax(axis=1)
    _check_allowed(best.max(axis=1) > -np.inf, steps, offsets)

    path = np.empty(len(scores), dtype=np.int64)
    for rows, before in zip(reversed(steps[1:]), reversed(came_from), strict=True):
        path[rows] = last[: len(rows)]
        last[: len(rows)] = before[np.arange(len(rows)), last[: len(rows)]]
    path[steps[0]] = last
    return path


def greedy(
    scores: NDArray[np.floating],
    offsets: NDArray[np.int64],
    transitions: NDArray[np.floating],
    start: NDArray[np.floating],
    end: NDArray[np.floating],
) -> NDArray[np.int64]:
    """Return tags chosen word by word, each the best one after the tag before it.

    Arguments are those of `viterbi`. Only tags from which a valid sequence leads to the end of the
    sentence are chosen.

    Examples
    --------
    The first word takes what it likes best, and the second what is left:

    >>> scores, offsets = np.array([[2.0, 0.0, 1.0], [0.0, 9.0, 0.0]]), np.array([0, 2])
    >>> only_after_2 = np.array([[0.0, -np.inf, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> greedy(scores, offsets, only_after_2, np.array([0.0, -np.inf, 0.0]), np.zeros(3)).tolist()
    [0, 0]
    """
    steps = word_steps(offsets)
    if not steps:
        return np.empty(0, dtype=np.int64)
    _check_numbers(scores, offsets)
    scores = scores.astype(np.float64, copy=False)
    scores = np.where(_can_end(scores, steps, transitions, end), scores, -np.inf)
    is_last = np.zeros(len(scores), dtype=bool)
    is_last[np.asarray(offsets)[1:][np.diff(offsets) > 0] - 1] = True
    scores[is_last] += end

    path = np.empty(len(scores), dtype=np.int64)
    first = scores[steps[0]] + start
    _check_allowed(first.max(axis=1) > -np.inf, steps, offsets)
    path[steps[0]] = first.argmax(axis=1)
    for rows in steps[1:]:
        path[rows] = (scores[rows] + transitions[path[rows - 1]]).argmax(axis=1)
    return path


def _can_end(
    scores: NDArray[np.floating],
    steps: list[NDArray[np.int64]],
    transitions: NDArray[np.floating],
    end: NDArray[np.floating],
) -> NDArray[np.bool_]:
    """Return from which tags a sequence leads to the end, of shape (n_words, n_tags)."""
    possible = scores > -np.inf
    follows = (transitions > -np.inf).T.astype(np.int64)
    goes_on = np.repeat((end > -np.inf)[None], len(steps[0]), axis=0)
    for rows in reversed(steps):
        possible[rows] &= goes_on[: len(rows)]
        goes_on[: len(rows)] = possible[rows] @ follows > 0
    return possible


def _check_numbers(scores: NDArray[np.floating], offsets: NDArray[np.int64]) -> None:
    faulty = np.flatnonzero(np.isnan(scores).any(axis=1))
    if len(faulty):
        sentence = int(np.searchsorted(offsets, faulty[0], side="right")) - 1
        raise InvalidParameterError(
            "The 'scores' parameter must be numbers or minus infinity. Got NaN for word"
            f" {faulty[0] - offsets[sentence]} of sentence {sentence} instead, counted from 0."
        )


def _check_allowed(
    is_allowed: NDArray[np.bool_], steps: list[NDArray[np.int64]], offsets: NDArray[np.int64]
) -> None:
    if is_allowed.all():
        return
    word = int(steps[0][is_allowed.argmin()])
    sentence = int(np.searchsorted(offsets, word, side="right")) - 1
    raise InvalidParameterError(
        "The 'scores' parameter must be numbers, of which each sentence has a sequence of tags"
        f" that is allowed. Sentence {sentence}, of"
        f" {int(offsets[sentence + 1] - offsets[sentence])} words, has none."
    )
