"""Token sequences of questions and windows of their contexts, with the characters of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UnsupportedModelError
from ...validation import check_int, invalid
from .pair_tokens import PairTokenizer
from .span_tokens import prepared_positions, tokens_of_spans
from .text_tokens import TokenizedTexts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from .description import Checkpoint

__all__ = ["QuestionTokenizer", "QuestionWindows"]

_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class QuestionWindows(TokenizedTexts):
    """Sequences of a question and a window of its context; a row has one or several.

    Parameters
    ----------
    characters : ndarray of shape (n_context_tokens, 2)
        First character of each token of the contexts, and the one after its last, row after row.
    first_token : ndarray of shape (n_rows + 1,)
        Row *i* has the context tokens ``first_token[i]:first_token[i + 1]``.
    begins : ndarray of shape (n_sequences,)
        First token of each window, counted in its context.
    context_at : ndarray of shape (n_sequences,)
        Index of that token in ``ids``.
    n_context : ndarray of shape (n_sequences,)
        Number of context tokens of each window.
    no_answer : ndarray of shape (n_sequences,)
        Index in ``ids`` of the token that stands for no answer: [CLS], or the last one of models
        without.
    """

    characters: NDArray[np.int64]
    first_token: NDArray[np.int64]
    begins: NDArray[np.int64]
    context_at: NDArray[np.int64]
    n_context: NDArray[np.int64]
    no_answer: NDArray[np.int64]

    def characters_of(self, row: int) -> NDArray[np.int64]:
        """Return the characters of a row's context tokens."""
        return self.characters[self.first_token[row] : self.first_token[row + 1]]

    def targets(self, spans: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first and the last token of the answer in each window.

        ``spans``, of shape (n_rows, 2), has the first character of each answer and the one after
        its last, -1 where there is none. The result, of shape (n_sequences, 2), counts from the
        start of the sequence. Where a window does not hold the whole answer, it is the token that
        stands for no answer.
        """
        n_rows = len(self.first_token) - 1
        has_answer = spans[:, 0] >= 0
        tokens = tokens_of_spans(
            self.characters,
            np.diff(self.first_token),
            np.where(has_answer[:, None], spans, 0),
            np.arange(n_rows),
        )
        tokens -= self.first_token[:-1, None]
        row = np.repeat(np.arange(n_rows), np.diff(self.first_window))
        first, stop = tokens[row].T - self.begins
        is_inside = has_answer[row] & (first >= 0) & (first < stop) & (stop <= self.n_context)
        found = np.column_stack([first, stop - 1]) + self.context_at[:, None]
        chosen: NDArray[np.int64] = np.where(is_inside[:, None], found, self.no_answer[:, None])
        return chosen - self.offsets[:-1, None]


class QuestionTokenizer(PairTokenizer):
    """Makes token sequences of questions and their contexts, in the form of the tokenizer's pairs.

    A context that is longer than the sequence leaves room for becomes windows, each behind the
    whole question. All have the same length; the last one ends where the context ends.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    tokenizer : PreTrainedTokenizerBase
        Its tokenizer, which must tell the characters of tokens.
    max_length : int or None, default=None
        Longest sequence, special tokens included; None takes the checkpoint's limit.
    stride : int or None, default=None
        Context tokens that neighbouring windows share; None takes a quarter of a window.
    max_question_length : int, default=64
        Longest question in tokens. A longer one loses its end, and so does one that would take
        more than half of the sequence.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule.
    UnsupportedModelError
        If the tokenizer does not tell the characters of tokens.

    See Also
    --------
    PairTokenizer : The same for pairs, which lose tokens if they are too long.

    Examples
    --------
    >>> from transformers import AutoTokenizer
    >>> from bertvectorizer.models import open_checkpoint
    >>> checkpoint = open_checkpoint("sentence-transformers/all-MiniLM-L6-v2")
    >>> own = AutoTokenizer.from_pretrained(checkpoint.directory)
    >>> tokenizer = QuestionTokenizer(checkpoint, own, max_length=8, stride=1)
    >>> windows = tokenizer(["who flew"], ["a bat flew by"])
    >>> for start, end in zip(windows.offsets[:-1], windows.offsets[1:]):
    ...     print(*own.convert_ids_to_tokens(windows.ids[start:end].tolist()))
    [CLS] who flew [SEP] a bat flew [SEP]
    [CLS] who flew [SEP] bat flew by [SEP]
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int | None = None,
        stride: int | None = None,
        max_question_length: int = 64,
    ) -> None:
        if not tokenizer.is_fast:
            raise UnsupportedModelError(
                f"The tokenizer {type(tokenizer).__name__} does not return the offsets of its"
                " tokens, so answers cannot be found. Choose a model with a fast tokenizer."
            )
        longest = check_int("max_question_length", max_question_length, 1)
        super().__init__(checkpoint, tokenizer, max_length)
        self._longest_question = min(longest, self._room // 2)
        window = self._room - self._longest_question
        self._shared = check_int("stride", stride, 0, optional=True)
        if self._shared is not None and self._shared >= window:
            rule = f"smaller than the {window} tokens of a window behind the longest question"
            raise invalid("stride", rule, stride)
        # Of the special tokens before and after the texts, the one that stands for no answer.
        cls = getattr(self._tokenizer, "cls_token_id", None)
        self._cls = self._prefix.index(cls) if cls in self._prefix else -1

    def __call__(self, questions: Sequence[str], contexts: Sequence[str]) -> QuestionWindows:
        """Tokenize questions and their contexts.

        Parameters
        ----------
        questions, contexts : sequence of str
            The texts of each row. Lone surrogates are read as U+FFFD, since no tokenizer accepts
            them.

        Returns
        -------
        QuestionWindows
            The sequences of all rows. Tokens of questions that were cut off count as lost.

        Raises
        ------
        InvalidParameterError
            If there are not as many contexts as questions.
        TokenBeyondTableError
            If a text has a token for which the model has no vector.
        """
        if len(questions) != len(contexts):
            raise invalid(
                "contexts", f"as long as 'questions', which has {len(questions)}", contexts
            )
        blocks: list[NDArray[np.int32]] = []
        characters: list[NDArray[np.int64]] = []
        # Of each sequence: question tokens, first context token, number of context tokens.
        table: list[NDArray[np.int64]] = []
        n_windows, n_tokens, n_lost, n_in_context = np.zeros((4, len(questions)), dtype=np.int64)
        prefix, middle, suffix = (
            np.array(part, dtype=np.int32) for part in (self._prefix, self._middle, self._suffix)
        )
        for start in range(0, len(questions), _ROWS_AT_ONCE):
            rows = range(start, min(start + _ROWS_AT_ONCE, len(questions)))
            texts = list(dict.fromkeys(side[row] for side in (questions, contexts) for row in rows))
            known = dict(zip(texts, self._with_characters(texts), strict=True))
            for row in rows:
                (whole, _), (context, positions) = known[questions[row]], known[contexts[row]]
                question = whole[: self._longest_question]
                n_lost[row] = len(whole) - len(question)
                n_tokens[row] = len(whole) + len(context)
                n_in_context[row] = len(context)
                characters.append(positions)
                begins = self._begins(len(context), self._room - len(question))
                n_windows[row] = len(begins)
                ends = np.minimum(begins + self._room - len(question), len(context))
                table.append(
                    np.column_stack([np.full(len(begins), len(question)), begins, ends - begins])
                )
                for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
                    blocks += [prefix, question, middle, context[begin:end], suffix]
        n_question, begins, n_context = np.concatenate([np.empty((0, 3), dtype=np.int64), *table]).T
        n_special = self.max_length - self._room
        offsets = np.concatenate([[0], np.cumsum(n_question + n_context + n_special)])
        at_cls = offsets[:-1] + self._cls if self._cls >= 0 else offsets[1:] - 1
        return QuestionWindows(
            ids=np.concatenate([np.empty(0, dtype=np.int32), *blocks]),
            offsets=offsets,
            first_window=np.concatenate([[0], np.cumsum(n_windows)]),
            n_prompt_tokens=0,
            n_tokens=n_tokens,
            n_lost=n_lost,
            types=self.types_of(np.column_stack([n_question, n_context])),
            characters=np.concatenate([np.empty((0, 2), dtype=np.int64), *characters]),
            first_token=np.concatenate([[0], np.cumsum(n_in_context)]),
            begins=begins,
            context_at=offsets[:-1] + len(prefix) + n_question + len(middle),
            n_context=n_context,
            no_answer=at_cls,
        )

    def _begins(self, n_tokens: int, room: int) -> NDArray[np.int64]:
        """Return the first token of each window of a context."""
        last = max(n_tokens - room, 0)
        shared = room // 4 if self._shared is None else self._shared
        return np.append(np.arange(0, last, room - shared, dtype=np.int64), last)

    def _with_characters(
        self, texts: list[str]
    ) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Return the tokens of texts, and of each its characters, of shape (n_tokens, 2)."""
        encoded = self._encode(texts, return_offsets_mapping=True)
        found = []
        for text, body, mapping in zip(
            texts, encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            ids = np.array(body, dtype=np.int64)
            self._check_known(ids, [text], [body])
            characters = np.array(mapping, dtype=np.int64).reshape(-1, 2)
            if self._prepare(text) != text:  # a surrogate pair was read as one character
                positions = prepared_positions(text)
                characters = np.searchsorted(positions, characters, side="right") - 1
            found.append((ids.astype(np.int32), characters))
        return found
