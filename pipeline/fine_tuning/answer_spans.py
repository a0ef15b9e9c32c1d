"""The best legal span of a context, by the scores of its tokens in all windows."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...models.checkpoint.question_tokens import QuestionWindows

__all__ = ["FoundAnswer", "cut_characters", "find_answers"]

_JOINER = "\u200d"  # of several emoji into one


@dataclass(frozen=True)
class FoundAnswer:
    """An answer: its characters in the context, -1 where there is none, and its probability."""

    start: int
    end: int
    probability: float


def find_answers(
    windows: QuestionWindows,
    scores: NDArray[np.float32],
    contexts: Sequence[str],
    max_answer_length: int,
    null_threshold: float,
) -> list[FoundAnswer]:
    """Return the best answer of each row.

    ``scores``, of shape (n_tokens, 2), tell how well an answer begins and ends at each token of
    ``windows``. The score of a span is the sum of the two. A span is legal if it lies in the
    context and has up to ``max_answer_length`` tokens, of which the first and the last show
    something. One that several windows hold is judged in that with most context on either side. The
    score of no answer is the least of the windows, and it is chosen if it exceeds the best span's
    by more than ``null_threshold``, or if no span is legal. The probability is the softmax over all
    legal spans and no answer.
    """
    values = scores.astype(np.float64)
    found = []
    for row, context in enumerate(contexts):
        own = range(*windows.first_window[row : row + 2].tolist())
        none = min(float(values[windows.no_answer[window]].sum()) for window in own)
        characters = windows.characters_of(row)
        table = _span_scores(windows, values, own, _visible(characters, context), max_answer_length)
        best = int(table.argmax()) if table.size else 0
        top = float(table.flat[best]) if table.size else -np.inf
        total = float(logsumexp(np.append(table, none)))
        if top == -np.inf or none - top > null_threshold:
            found.append(FoundAnswer(-1, -1, float(np.exp(none - total))))
            continue
        first, more = divmod(best, table.shape[1])
        start, end = cut_characters(characters, first, first + more, context)
        found.append(FoundAnswer(start, end, float(np.exp(top - total))))
    return found


def _span_scores(
    windows: QuestionWindows,
    scores: NDArray[np.float64],
    own: range,
    is_visible: NDArray[np.bool_],
    longest: int,
) -> NDArray[np.float64]:
    """Return a score for each first token and each number of tokens more, -inf if not legal.

    Its shape is (n_context_tokens, n_lengths).
    """
    n_tokens = len(is_visible)
    longest = min(longest, int(windows.n_context[own.start : own.stop].max()))
    table = np.full((n_tokens, longest), -np.inf)
    margins = np.full((n_tokens, longest), -1)
    more = np.arange(longest)
    for window in own:
        begin, count = int(windows.begins[window]), int(windows.n_context[window])
        at = int(windows.context_at[window])
        starts, ends = scores[at : at + count].T
        last = np.arange(count)[:, None] + more
        margin = np.minimum(np.arange(count)[:, None], count - 1 - last)  # -1 or less: beyond it
        place = slice(begin, begin + count)
        is_better = margin > margins[place]
        sums = starts[:, None] + ends[np.minimum(last, count - 1)]
        table[place] = np.where(is_better, sums, table[place])
        margins[place] = np.where(is_better, margin, margins[place])
    last = np.minimum(np.arange(n_tokens)[:, None] + more, max(n_tokens - 1, 0))
    is_legal = is_visible[:, None] & is_visible[last] if n_tokens else np.empty((0, longest), bool)
    return np.where(is_legal, table, -np.inf)


def _visible(characters: NDArray[np.int64], context: str) -> NDArray[np.bool_]:
    """Whether each token has a character that is no white space."""
    is_space = np.array([0, *map(str.isspace, context)], dtype=np.int64).cumsum()
    start, end = characters.T
    visible: NDArray[np.bool_] = end - start > is_space[end] - is_space[start]
    return visible


def cut_characters(
    characters: NDArray[np.int64], first: int, last: int, context: str
) -> tuple[int, int]:
    """Return the first character of an answer, and the one after its last.

    ``characters`` are those of all tokens of the context, and the answer has the tokens ``first``
    to ``last``. White space around it is left out, and a word or number that it cuts in two is
    completed, as are accents and emoji of several characters. So are characters that no token has,
    such as those that a tokenizer drops, up to the next token or space.

    Examples
    --------
    >>> cut_characters(np.array([[0, 4], [4, 7], [7, 8]]), 1, 1, "Schultz!")
    (0, 7)
    """
    start, end = int(characters[first, 0]), int(characters[first : last + 1, 1].max())
    following = characters[last + 1 :, 0]
    following = following[following >= end]
    stop = int(following.min()) if len(following) else len(context)
    while end < stop and not context[end].isspace():
        end += 1
    while start < end and context[start].isspace():
        start += 1
    while end > start and context[end - 1].isspace():
        end -= 1
    while start > 0 and _hang_together(context[start - 1], context[start]):
        start -= 1
    while end < len(context) and _hang_together(context[end - 1], context[end]):
        end += 1
    return start, end


def _hang_together(before: str, after: str) -> bool:
    r"""Whether two neighbouring characters are of one word, number or emoji.

    Letters of scripts that write without spaces, or put affixes to their words, do not tell.

    >>> [_hang_together(*two) for two in ("ab", "19", "5k", "a ", "\u4e2d\u6587", "e\u0301")]
    [True, True, False, False, False, True]
    """
    kinds = _kind(before), _kind(after)
    if kinds[1] in ("mark", "joiner") or (before == _JOINER and not after.isspace()):
        return True
    return kinds[0] == kinds[1] != "" or kinds == ("mark", "letter")


def _kind(character: str) -> str:
    """Return what a character is in `_hang_together`, "" for all others."""
    if character == _JOINER or "\U0001f3fb" <= character <= "\U0001f3ff":  # skin tones
        return "joiner"
    if "\ufe00" <= character <= "\ufe0f":  # forms of the character before, such as an emoji's
        return "joiner"
    if "\U0001f1e6" <= character <= "\U0001f1ff":  # two of them are the flag of a country
        return "flag"
    category = unicodedata.category(character)
    if category in ("Lu", "Ll", "Lt", "Lm"):
        return "letter"
    return {"N": "digit", "M": "mark"}.get(category[0], "")
