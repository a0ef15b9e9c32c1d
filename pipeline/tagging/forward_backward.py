"""Sums over all tag sequences: the normalization, and the expected tags and pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...models.torch_threads import use_one_thread_in_forks
from .viterbi import word_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Expectations", "forward_backward"]

# Where scores of tags differ by less than this, weights relative to the best tag stay far above
# what float64 rounds to zero, even where a rule or two stand between a tag and the way to it.
_MOST_QUICK_SPREAD = 100.0
_FORBIDDEN = -1e30  # instead of minus infinity, whose differences are NaN


class Expectations(NamedTuple):
    """What the sequences of tags weigh, and what they hold on average.

    Notes
    -----
    The last two are the gradients of the sum of the first, by the scores of words and of
    transitions.
    """

    log_partition: NDArray[np.float64]
    tags: NDArray[np.float64]
    pairs: NDArray[np.float64]


def forward_backward(
    scores: NDArray[np.floating],
    offsets: NDArray[np.int64],
    transitions: NDArray[np.floating],
    start: NDArray[np.floating],
    end: NDArray[np.floating],
) -> Expectations:
    """Sum over all sequences of tags of each sentence.

    Notes
    -----
    Sums are taken forwards; what sequences hold on average are their derivatives, which PyTorch
    finds. Weights are rescaled word by word, so that a step is a product of small matrices; where
    scores differ by hundreds, sums are taken over logarithms, which is several times as slow and
    never runs out of range.

    References
    ----------
    L. R. Rabiner, "A Tutorial on Hidden Markov Models and Selected Applications in Speech
    Recognition", Proceedings of the IEEE 77(2), 1989, sections III A and V A.

    Examples
    --------
    >>> zeros = np.zeros(3)
    >>> found = forward_backward(
    ...     np.zeros((2, 3)), np.array([0, 2]), np.zeros((3, 3)), zeros, zeros
    ... )
    >>> np.exp(found.log_partition).round(6).tolist(), found.pairs.sum().round(6)
    ([9.0], np.float64(1.0))
    """
    import torch

    use_one_thread_in_forks()
    steps = word_steps(offsets)
    if not steps:
        return Expectations(
            np.zeros(len(offsets) - 1), np.empty((0, len(start))), np.zeros(transitions.shape)
        )
    # In the order of the steps, each step's words lie together.
    order = np.concatenate(steps)
    given = (scores[order], transitions, start, end)
    of_words, of_pairs, of_first, of_last = (
        torch.from_numpy(np.maximum(scores, _FORBIDDEN, dtype=np.float64)) for scores in given
    )
    of_words.requires_grad_()
    of_pairs.requires_grad_()
    widest = max(
        float(np.ptp(scores, axis=1).max()), *(_spread(rule) for rule in (transitions, start, end))
    )
    log_sums = _by_weights if widest < _MOST_QUICK_SPREAD else _by_logarithms
    total = log_sums(of_words, [len(words) for words in steps], of_pairs, of_first, of_last)
    total.sum().backward()

    log_partition = np.zeros(len(offsets) - 1)
    log_partition[np.searchsorted(offsets, steps[0], side="right") - 1] = total.detach().numpy()
    tags = np.empty(scores.shape)
    tags[order] = of_words.grad
    is_forbidden = log_partition < _FORBIDDEN / 2
    log_partition[is_forbidden] = -np.inf
    tags[np.repeat(is_forbidden, np.diff(offsets))] = np.nan
    pairs = (
        np.zeros(transitions.shape) if of_pairs.grad is None else np.asarray(of_pairs.grad)
    )  # none where sentences have one word
    if is_forbidden.any():
        pairs = np.full(transitions.shape, np.nan)
    return Expectations(log_partition, tags, pairs)


def _spread(rule: NDArray[np.floating]) -> float:
    """Return the widest difference between scores that are not forbidden."""
    allowed = rule[rule > -np.inf]
    return float(np.ptp(allowed)) if allowed.size else 0.0


def _by_weights(
    words: Tensor, sizes: list[int], pairs: Tensor, first: Tensor, last: Tensor
) -> Tensor:
    """Sum over exp(score), rescaled word by word; words are in the order of the steps."""
    import torch

    heights = words.detach().amax(dim=1)
    highest = [rule.detach().amax() for rule in (pairs, first, last)]
    weights = torch.exp(words - heights[:, None])
    links, ways, ends = (
        torch.exp(rule - height) for rule, height in zip((pairs, first, last), highest, strict=True)
    )
    total = highest[1] + highest[2] + torch.zeros_like(heights[: sizes[0]])
    done = 0
    state = ways.expand(
        sizes[0], -1
    )  # of the sequences so far that end in each tag; of a finished sentence: of the whole ones
    for n in sizes:
        onward = (state[:n] @ links if done else state) * weights[done : done + n]
        scale = onward.sum(dim=1)
        added = torch.log(scale) + heights[done : done + n] + (highest[0] if done else 0.0)
        total = torch.cat([total[:n] + added, total[n:]])
        state = torch.cat([onward / scale[:, None], state[n:]])
        done += n
    return total + torch.log(state @ ends)


def _by_logarithms(
    words: Tensor, sizes: list[int], pairs: Tensor, first: Tensor, last: Tensor
) -> Tensor:
    """Sum over scores in log space, for any range; words are in the order of the steps."""
    import torch

    state = first + words[: sizes[0]]
    done = sizes[0]
    for n in sizes[1:]:
        onward = torch.logsumexp(state[:n, :, None] + pairs, dim=1) + words[done : done + n]
        state = torch.cat([onward, state[n:]])
        done += n
    return torch.logsumexp(state + last, dim=1)
