"""Token sequences of pairs of texts, built as the model's own tokenizer builds them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ModelIntegrityError, UnsupportedModelError
from ...validation import invalid
from .text_tokens import ModelTokenizer, TokenizedTexts, sample_tokens, token_id

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from .description import Checkpoint

__all__ = ["PairTokenizer"]

_PAIRS_AT_ONCE = 2048
# What stands before, between and after two texts where the tokenizer sets nothing there: the first
# of its own special tokens that no other place has taken, or else a new token.
_PLACES = (
    ("<start>", ("cls_token", "bos_token")),
    ("<delimiter>", ("sep_token",)),
    ("<extract>", ("eos_token",)),
)


class PairTokenizer(ModelTokenizer):
    """Makes token sequences of pairs of texts.

    A pair becomes one sequence, with the special tokens and the token types of the tokenizer's own
    pairs: ``[CLS] a [SEP] b [SEP]`` with types 0 and 1 for BERT, ``<s> a </s></s> b </s>`` for
    RoBERTa. The tokenizers of most causal language models put nothing between two texts. For them
    it is start, first text, delimiter, second text, extract, as in section 3.3 of [1]_; the last
    token, extract, reads all others. A pair that is too long loses tokens of its longer text, one
    by one. The checkpoint's default prompt is for single texts and does not apply.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    tokenizer : PreTrainedTokenizerBase
        Its tokenizer. It is never changed.
    max_length : int or None, default=None
        Longest sequence, special tokens included; None takes the checkpoint's limit.

    Attributes
    ----------
    tokenizer : PreTrainedTokenizerBase
        The tokenizer, or a copy of it that knows the new tokens. Save it beside a model that was
        trained with them: then they are found again.
    new_tokens : tuple of str
        Special tokens that the tokenizer lacked, empty for models with pairs of their own.
    vocab_size : int
        Number of token vectors that the model needs, those of the new tokens included.

    Raises
    ------
    InvalidParameterError
        If ``max_length`` leaves no room for a token of each text, or passes the model's limit.
    ModelIntegrityError
        If the tokenizer gives token types for which the model has no vector.
    UnsupportedModelError
        If the tokenizer splits the texts of a pair in another way than single texts.

    See Also
    --------
    TextTokenizer : The same for single texts.
    TokenizedTexts : What a call returns.

    References
    ----------
    .. [1] A. Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018.

    Examples
    --------
    >>> from transformers import AutoTokenizer
    >>> from bertvectorizer.models import PairTokenizer, open_checkpoint
    >>> checkpoint = open_checkpoint("sentence-transformers/all-MiniLM-L6-v2")
    >>> own = AutoTokenizer.from_pretrained(checkpoint.directory)
    >>> tokenized = PairTokenizer(checkpoint, own, max_length=8)(["a bat flew"], ["it hung there"])
    >>> own.convert_ids_to_tokens(tokenized.ids.tolist())
    ['[CLS]', 'a', 'bat', '[SEP]', 'it', 'hung', 'there', '[SEP]']
    >>> tokenized.types.tolist(), tokenized.n_lost.tolist()
    ([0, 0, 0, 0, 1, 1, 1, 1], [1])
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int | None = None,
    ) -> None:
        self.new_tokens: tuple[str, ...] = ()
        super().__init__(checkpoint, tokenizer, "", max_length, keeps_prompt=False)
        self._from_the_end = getattr(tokenizer, "truncation_side", "right") == "left"

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with the new tokens."""
        return self._tokenizer

    @cached_property
    def vocab_size(self) -> int:
        """Number of token vectors that the model needs."""
        return max(self._n_known or 0, *(number + 1 for number in self._added), 0)

    def __call__(self, first: Sequence[str], second: Sequence[str]) -> TokenizedTexts:
        """Tokenize pairs.

        Parameters
        ----------
        first, second : sequence of str
            The texts of each pair. Lone surrogates are read as U+FFFD, since no tokenizer accepts
            them.

        Returns
        -------
        TokenizedTexts
            A token sequence for each pair. Its counts are those of both texts.

        Raises
        ------
        InvalidParameterError
            If there are not as many first texts as second ones.
        TokenBeyondTableError
            If a text has a token for which the model has no vector.
        """
        if len(first) != len(second):
            raise invalid("second", f"as long as 'first', which has {len(first)} texts", second)
        blocks: list[NDArray[np.int32]] = []
        counts = np.zeros((len(first), 2), dtype=np.int64)
        n_lost = np.zeros(len(first), dtype=np.int64)
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            chunk = slice(start, start + _PAIRS_AT_ONCE)
            texts = [*first[chunk], *second[chunk]]
            bodies = self._encode(texts)["input_ids"]
            half = len(texts) // 2
            block: list[int] = []
            for row, (a, b) in enumerate(zip(bodies[:half], bodies[half:], strict=True), start):
                n_lost[row] = max(len(a) + len(b) - self._room, 0)
                one, other = self._fit(a, b) if n_lost[row] else (a, b)
                counts[row] = len(one), len(other)
                block += chain(self._prefix, one, self._middle, other, self._suffix)
            ids = np.array(block, dtype=np.int64)
            self._check_known(ids[~np.isin(ids, self._added)], texts, bodies)
            blocks.append(ids.astype(np.int32))
        n_kept = counts.sum(axis=1)
        lengths = n_kept + self.max_length - self._room
        return TokenizedTexts(
            ids=np.concatenate(blocks) if blocks else np.empty(0, dtype=np.int32),
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            first_window=np.arange(len(first) + 1),
            n_prompt_tokens=0,
            n_tokens=n_kept + n_lost,
            n_lost=n_lost,
            types=self.types_of(counts),
        )

    def _fit(self, a: list[int], b: list[int]) -> tuple[list[int], list[int]]:
        """Return two texts that are too long, cut as transformers does by ``longest_first``."""
        # Of an odd number of tokens, one more is left of the longer text. Tokenizers in Python
        # leave it of the first text.
        n_first = self._room // 2
        if len(a) > len(b) or not self._tokenizer.is_fast:
            n_first = self._room - n_first
        if len(a) < n_first:
            n_first = len(a)
        elif len(b) < self._room - n_first:
            n_first = self._room - len(b)
        n_second = self._room - n_first
        if self._from_the_end:
            return a[len(a) - n_first :], b[len(b) - n_second :]
        return a[:n_first], b[:n_second]

    def types_of(self, counts: NDArray[np.int64]) -> NDArray[np.int32] | None:
        """Return the token types of pairs, None for 0; ``counts`` are the tokens of their texts.

        These have the shape (n_pairs, 2).
        """
        if not any(self._types):
            return None
        repeats = np.ones((len(counts), len(self._types)), dtype=np.int64)
        text = len(self._prefix)
        repeats[:, [text, text + 1 + len(self._middle)]] = counts
        types = np.array(self._types, dtype=np.int32)
        return np.repeat(np.tile(types, len(counts)), repeats.ravel())

    def _special_tokens(self, checkpoint: Checkpoint) -> Sequence[list[int]]:
        """Find the special tokens around two texts by a pair, and add those that are missing.

        They stand there even if the checkpoint sets none around single texts: without them, nothing
        would separate the two.
        """
        sample, body = sample_tokens(self._tokenizer, "a", "b")
        ids = list(sample["input_ids"])
        a, b = self._encode(["a", "b"])["input_ids"]
        first, last = int(body[0]), int(body[-1]) + 1
        begin, end = first + len(a), last - len(b)
        special = [ids[:first], ids[begin:end], ids[last:]]
        is_known = len(body) == len(a) + len(b)
        if not is_known or ids != [*special[0], *a, *special[1], *b, *special[2]]:
            raise UnsupportedModelError(
                f"The tokenizer {type(self._tokenizer).__name__} splits the texts of a pair in"
                " another way than single texts. Choose a model of another family, such as BERT or"
                " RoBERTa."
            )
        # Types of the special tokens and, once for each, of the two texts.
        own = list(sample.get("token_type_ids", [0] * len(ids)))
        self._types = [*own[: first + 1], *own[begin : end + 1], *own[last:]]
        n_types = getattr(checkpoint.text_config, "type_vocab_size", None)
        if n_types and max(self._types) >= n_types:
            raise ModelIntegrityError(
                f"The tokenizer in '{self._tokenizer.name_or_path}' gives pairs the token type"
                f" {max(self._types)}, but the model has vectors for {n_types} types only. The"
                " tokenizer is of another model, or must give none: set 'model_input_names' to"
                ' ["input_ids", "attention_mask"] in its tokenizer_config.json.'
            )
        self._added: list[int] = []
        if not special[1]:
            single = super()._special_tokens(checkpoint)
            special = self._completed([special[0] or single[0], [], special[2] or single[1]])
            self._types = [0] * (2 + sum(map(len, special)))
            if self._tokenizer.is_fast:
                _set_form(self._tokenizer, single, special)
        self._middle = special[1]
        return special

    def _completed(self, special: list[list[int]]) -> list[list[int]]:
        """Return special tokens for each place, and copy the tokenizer and add those it lacks."""
        tokenizer: Any = copy.deepcopy(self._tokenizer)
        names: list[str | None] = []
        for found, (name, attributes) in zip(special, _PLACES, strict=True):
            own = (getattr(tokenizer, attribute, None) for attribute in attributes)
            free = (token for token in own if token and token not in names)
            known = (token for token in free if token_id(tokenizer, token) is not None)
            names.append(None if found else next(known, name))
        missing = [name for name in names if name and token_id(tokenizer, name) is None]
        if missing:
            tokenizer.add_tokens(missing, special_tokens=True)
        self._tokenizer = tokenizer
        self.new_tokens = tuple(missing)
        self._added = tokenizer.convert_tokens_to_ids(missing)
        return [
            found if name is None else [tokenizer.convert_tokens_to_ids(name)]
            for found, name in zip(special, names, strict=True)
        ]


def _set_form(
    tokenizer: Any, single: Sequence[Sequence[int]], pair: Sequence[Sequence[int]]
) -> None:
    """Let a tokenizer itself put special tokens around and between the texts of a pair.

    So the directory that it is saved in is read alike by transformers.
    """
    from tokenizers import processors

    numbers = sorted({*chain(*single, *pair)})
    names = tokenizer.convert_ids_to_tokens(numbers)
    template = processors.TemplateProcessing(
        single=_template(single, "A"),
        pair=_template(pair, "AB"),
        special_tokens=[
            {"id": f"T{number}", "ids": [number], "tokens": [name]}
            for number, name in zip(numbers, names, strict=True)
        ],
    )
    own = tokenizer.backend_tokenizer.post_processor
    keeps_own = own is not None and not any(map(own.num_special_tokens_to_add, (False, True)))
    tokenizer.backend_tokenizer.post_processor = (
        processors.Sequence([own, template]) if keeps_own else template
    )


def _template(special: Sequence[Sequence[int]], texts: str) -> list[str]:
    """Return texts with special tokens around and between them, as a template names them."""
    before, *others = [[f"T{number}" for number in numbers] for numbers in special]
    parts = ([f"${text}", *after] for text, after in zip(texts, others, strict=True))
    return [*before, *chain.from_iterable(parts)]
