"""Exact match and F1 of answers, as the official evaluation script of SQuAD 2.0 has them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["exact_match", "mean_over_rows", "normalized", "token_f1"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Return an answer in lower case, without ASCII punctuation, articles and further spaces.

    Examples
    --------
    >>> normalized("The  U.S. Navy, a fleet")
    'us navy fleet'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(predicted: str, true: str) -> float:
    """Return 1.0 if two answers are the same when normalized, else 0.0.

    Examples
    --------
    >>> exact_match("the Navy!", "Navy"), exact_match("Navy", "")
    (1.0, 0.0)
    """
    return float(normalized(predicted) == normalized(true))


def token_f1(predicted: str, true: str) -> float:
    """Return the F1 of the words of two normalized answers, with each word as often as it occurs.

    If one of them is empty, as no answer is, it is 1.0 if both are, else 0.0.

    Examples
    --------
    >>> token_f1("in the year 1066", "1066")
    0.5
    """
    words, wanted = normalized(predicted).split(), normalized(true).split()
    if not words or not wanted:
        return float(words == wanted)
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted))


def mean_over_rows(
    metric: Callable[[str, str], float],
    predicted: Sequence[str],
    true: Sequence[Sequence[str]],
    weights: NDArray[np.float64],
) -> float:
    """Return the weighted mean of a metric, of each row that to the best of its true answers.

    A row without true answers, or with none but articles and punctuation, has "" as the only one.

    Examples
    --------
    >>> mean_over_rows(exact_match, ["Navy", "1066"], [["Army", "navy"], []], np.ones(2))
    0.5
    """
    values = []
    for answer, golds in zip(predicted, true, strict=True):
        kept = [gold for gold in golds if normalized(gold)] or [""]
        values.append(max(metric(answer, gold) for gold in kept))
    return float(np.average(values, weights=weights))
