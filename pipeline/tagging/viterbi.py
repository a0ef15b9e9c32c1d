"""The best sequence of tags for each sentence: over all sequences, or word by word from the left."""

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

    Parameters
    ----------
    offsets : ndarray
        Where each sentence begins among all words, and where the last one ends. *Shape:*
        ``(n_sentences + 1,)``, int64.

    Returns
    -------
    list of ndarray
        Places of words. *Length:* that of the longest sentence.

    Examples
    --------
    >>> [step.tolist() for step in word_steps(np.array([0, 1, 1, 4]))]
    [[1, 0], [2], [3]]
    """
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    first = np.asarray(offsets)[:-1][order]
    n_longer = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)), side="left")
    return [first[:n] + place for place, n in enumerate(n_longer)]


def viterbi(
    scores: NDArray[np.floating],
    offsets: NDArray[np.int64],
    transitions: NDArray[np.floating],
    start: NDArray[np.floating],
    end: NDArray[np.floating],
) -> NDArray[np.int64]:
    """Return the sequence of tags with the highest sum of scores, for each sentence.

    Parameters
    ----------
    scores : ndarray
        Of each tag for each word, sentence after sentence. *Shape:* ``(n_words, n_tags)``. Minus
        infinity forbids, here and below.
    offsets : ndarray
        Where each sentence begins, and where the last one ends. *Shape:* ``(n_sentences + 1,)``,
        int64.
    transitions : ndarray
        Score of the second tag behind the first. *Shape:* ``(n_tags, n_tags)``.
    start, end : ndarray
        Score of each tag as a sentence's first and last one. *Shape:* ``(n_tags,)``.

    Returns
    -------
    ndarray
        Numbers of tags. *Shape:* ``(n_words,)``, int64.

    Raises
    ------
    InvalidParameterError
        If a sentence has no sequence that is allowed, or scores are NaN.

    References
    ----------
    A. Viterbi, "Error Bounds for Convolutional Codes and an Asymptotically Optimum Decoding Algorithm", IEEE Transactions on Information
    Theory 13(2), 1967.

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
    """Return a sequence of tags for each sentence, each tag being the best one behind the tag
    before it.

    A tag is taken only where some sequence that is allowed goes on from it to the end of its
    sentence.

    Parameters
    ----------
    scores, offsets, transitions, start, end : ndarray
        As of `viterbi`.

    Returns
    -------
    ndarray
        Numbers of tags. *Shape:* ``(n_words,)``, int64.

    Raises
    ------
    InvalidParameterError
        If a sentence has no sequence that is allowed, or scores are NaN.

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
    """Tell of which tags a sequence leads to the sentence's end, word by word. *Shape:* ``(n_words, n_tags)``."""
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
    place = int(steps[0][is_allowed.argmin()])
    sentence = int(np.searchsorted(offsets, place, side="right")) - 1
    raise InvalidParameterError(
        "The 'scores' parameter must be numbers, of which each sentence has a sequence of tags"
        f" that is allowed. Sentence {sentence}, of"
        f" {int(offsets[sentence + 1] - offsets[sentence])} words, has none."
    )
