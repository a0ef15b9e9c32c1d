"""Token sequences of texts that fit the model, and counts of the tokens that did not fit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, get_args

import numpy as np

from ...errors import ModelIntegrityError, UnsupportedModelError
from ...foreign import foreign_errors_as
from ...validation import check_choice, check_int, invalid, short_repr
from ..elmo.words import ElmoTokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from .description import Checkpoint

__all__ = [
    "OVERFLOWS",
    "ModelTokenizer",
    "Overflow",
    "TextTokenizer",
    "TokenBeyondTableError",
    "TokenSequences",
    "TokenizedTexts",
    "Truncation",
    "load_tokenizer",
    "replace_lone_surrogates",
    "sample_tokens",
    "token_id",
]

Overflow: TypeAlias = Literal["truncate", "head_tail", "window"]
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)

_TEXTS_AT_ONCE = 2048
_UNLIMITED = 1 << 30
_LARGEST_TOKEN = (1 << 31) - 1


class TokenBeyondTableError(ModelIntegrityError):
    """Raised if a text has a token for which the model has no vector."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


@dataclass(frozen=True)
class Truncation:
    """How many tokens of the texts were cut off.

    Parameters
    ----------
    n_texts : int
        Number of texts.
    n_truncated : int
        Texts that lost tokens.
    n_tokens : int
        Tokens of all texts, without special tokens.
    n_lost : int
        Tokens that were cut off.

    See Also
    --------
    bertvectorizer.BertVectorizer : Sets one as ``truncation_``.

    Examples
    --------
    >>> Truncation(n_texts=2, n_truncated=1, n_tokens=600, n_lost=90).share_lost
    0.15
    """

    n_texts: int
    n_truncated: int
    n_tokens: int
    n_lost: int

    @classmethod
    def of(cls, n_tokens: NDArray[np.int64], n_lost: NDArray[np.int64]) -> Self:
        """Add up the numbers of single texts, each of shape (n_texts,)."""
        return cls(
            len(n_tokens), int(np.count_nonzero(n_lost)), int(n_tokens.sum()), int(n_lost.sum())
        )

    @property
    def share_lost(self) -> float:
        """Share of all tokens that were cut off, in [0, 1]."""
        return self.n_lost / self.n_tokens if self.n_tokens else 0.0


@dataclass(frozen=True)
class TokenSequences:
    """Token sequences without padding: ``ids[offsets[i]:offsets[i + 1]]`` is sequence *i*.

    ``types`` has the token type of each token, as ``ids``; None stands for 0 everywhere.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    types: NDArray[np.int32] | None = field(default=None, kw_only=True)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each sequence, of shape (n_sequences,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class TokenizedTexts(TokenSequences):
    """Token sequences of texts.

    Parameters
    ----------
    ids : ndarray of shape (n_all_tokens,)
        Tokens of all sequences, one after another, int32. Of an ELMo, the characters of words, of
        shape (n_all_tokens, n_characters), int16.
    offsets : ndarray of shape (n_sequences + 1,)
        Where each sequence begins in ``ids``, int64.
    first_window : ndarray of shape (n_texts + 1,)
        Text *i* has the sequences ``first_window[i]:first_window[i + 1]``: one, or its windows.
    n_prompt_tokens : int
        Tokens at the start of each sequence that are not pooled.
    n_tokens : ndarray of shape (n_texts,)
        Tokens of each text, without special tokens, int64.
    n_lost : ndarray of shape (n_texts,)
        Tokens of each text that were cut off, int64.
    types : ndarray of shape (n_all_tokens,) or None, default=None
        Token type of each token, int32; None stands for 0 everywhere.

    See Also
    --------
    TextTokenizer : Makes them.
    """

    first_window: NDArray[np.int64]
    n_prompt_tokens: int
    n_tokens: NDArray[np.int64]
    n_lost: NDArray[np.int64]

    @property
    def truncation(self) -> Truncation:
        """Sums over the texts."""
        return Truncation.of(self.n_tokens, self.n_lost)


class ModelTokenizer:
    """A checkpoint's tokenizer, with its prompt and its length limit.

    ``prompt=None`` takes the checkpoint's default prompt; the name of one of its prompts
    takes that prompt. ``max_length=None`` takes the checkpoint's limit. With ``keeps_prompt``, each
    sequence must have room for the prompt and something else. ``special`` has the special tokens
    before the texts of a sequence, between them, and after.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        prompt: str | None,
        max_length: int | None,
        keeps_prompt: bool,
    ) -> None:
        if prompt is not None and not isinstance(prompt, str):
            raise invalid("prompt", "a str or None", prompt)
        self._tokenizer: Any = tokenizer
        self._n_known: int | None = getattr(checkpoint.text_config, "vocab_size", None)
        self._prompt = checkpoint.resolve_prompt(prompt)
        self.special = special = self._special_tokens(checkpoint)
        self._prefix, self._suffix = special[0], special[-1]
        self._n_prompt = len(self._encode([""])["input_ids"][0]) if self._prompt else 0
        n_special = sum(map(len, special))
        n_texts = len(special) - 1
        shortest = n_special + (self._n_prompt if keeps_prompt else 0) + n_texts
        self.max_length = self._resolve_max_length(
            checkpoint, max_length, shortest, n_special, n_texts
        )
        self._room = self.max_length - n_special
        if keeps_prompt and self._room <= self._n_prompt:
            raise invalid(
                "prompt", f"shorter than the {self._room} tokens that the model reads", prompt
            )

    def _special_tokens(self, checkpoint: Checkpoint) -> Sequence[list[int]]:
        """Return the special tokens before and after the texts of a sequence, and between them."""
        return _special_tokens(self._tokenizer) if checkpoint.add_special_tokens else ([], [])

    def _resolve_max_length(
        self,
        checkpoint: Checkpoint,
        max_length: int | None,
        shortest: int,
        n_special: int,
        n_texts: int,
    ) -> int:
        positions = checkpoint.n_positions or _UNLIMITED
        if checkpoint.reads_beyond_positions:
            positions = max(positions, checkpoint.max_seq_length or 0)
        length = check_int("max_length", max_length, shortest, optional=True)
        if length is None:
            own = min(checkpoint.max_seq_length or self._tokenizer.model_max_length, positions)
            if own < n_special + n_texts:
                of_what = "a text" if n_texts == 1 else "a pair of texts"
                raise ModelIntegrityError(
                    f"The model in '{checkpoint.directory}' is set to read {own} tokens of"
                    f" {of_what}, of which {n_special} are special ones. Set 'max_length'."
                )
            return int(own)
        if length > positions:
            rule = f"at most {positions}, the number of positions of this model, or None"
            raise invalid("max_length", rule, max_length)
        return length

    def _resolve_stride(self, stride: int | None, is_used: bool, share: float = 0.25) -> int:
        """Return how many tokens neighbouring windows share; None takes a share of the window."""
        room = self._room - self._n_prompt
        if not is_used or stride is None:
            check_int("stride", stride, 0, optional=True)
            return int(room * share)
        resolved = check_int("stride", stride, 0)
        if resolved >= room:
            raise invalid("stride", f"smaller than the {room} tokens of a window", stride)
        return resolved

    def _check_known(
        self, ids: NDArray[np.int64], texts: Sequence[str], bodies: Sequence[Sequence[int]]
    ) -> None:
        """Raise if one of the tokens of texts lies beyond the model's table of vectors."""
        n_known = self._n_known or _LARGEST_TOKEN + 1
        if not len(ids) or (token := int(ids.max())) < n_known:
            return
        found = (text for text, body in zip(texts, bodies, strict=True) if token in body)
        text = next(found, texts[0])
        name = self._tokenizer.convert_ids_to_tokens(token)
        raise TokenBeyondTableError(
            f"The text {short_repr(text)} has the token {name!r}, number {token}, but the model in"
            f" '{self._tokenizer.name_or_path}' has vectors for {n_known} tokens only. The"
            " tokenizer is of another model, or got tokens of its own: save the two together, after"
            " resize_token_embeddings.",
            text,
        )

    @property
    def room(self) -> int:
        """Number of tokens that a sequence has room for beside its special ones."""
        return self._room

    @cached_property
    def is_special(self) -> NDArray[np.bool_]:
        """Whether each token of the vocabulary is a special one, that for unknown words included.

        Of the shape (n_vocabulary,).
        """
        mask = np.zeros(self._largest_token + 1, dtype=bool)
        mask[self._tokenizer.all_special_ids] = True
        return mask

    @cached_property
    def ordinary_ids(self) -> NDArray[np.int64]:
        """The tokens of the vocabulary that are no special ones and have a vector in the model."""
        ids = np.unique(np.fromiter(self._tokenizer.get_vocab().values(), dtype=np.int64))
        return ids[~self.is_special[ids] & (ids < (self._n_known or len(self.is_special)))]

    @property
    def mask_id(self) -> int | None:
        """The token that stands for a masked one; None without it, or without its vector."""
        number = self._tokenizer.mask_token_id
        is_known = number is not None and number < (self._n_known or len(self.is_special))
        return int(number) if is_known else None

    def words_of(
        self, texts: Sequence[str]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64]]:
        """Tokenize texts without special tokens, and tell which tokens begin a word.

        Returns the tokens and whether each begins a word, text after text, and the number of tokens
        of each text. Words are those that the tokenizer splits a text into before it splits them.
        """
        encoded = self._encode(texts)
        bodies = encoded["input_ids"]
        lengths = np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies))
        ids = np.fromiter(chain.from_iterable(bodies), dtype=np.int64, count=int(lengths.sum()))
        self._check_known(ids, texts, bodies)
        if self._tokenizer.is_fast:
            numbers = chain.from_iterable(each.word_ids for each in encoded.encodings)
            words = np.array(list(numbers), dtype=np.float64)  # NaN is no word, and equals none
            starts = (np.diff(words, prepend=np.nan) != 0) | self._is_marked[ids]
        else:
            starts = ~self._is_marked[ids]
        starts[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        return ids.astype(np.int32), starts, lengths

    @cached_property
    def _largest_token(self) -> int:
        return int(max(self._tokenizer.get_vocab().values()))

    @cached_property
    def _is_marked(self) -> NDArray[np.bool_]:
        """Which tokens begin with SentencePiece's mark: some of its tokenizers split no words.

        Of a tokenizer in Python, those that go on with a word of WordPiece.
        """
        mark = "▁" if self._tokenizer.is_fast else "##"
        table = np.zeros(self._largest_token + 1, dtype=bool)
        for token, number in self._tokenizer.get_vocab().items():
            table[number] = token.startswith(mark)
        return table

    def _prepare(self, text: str) -> str:
        """Return a text as the tokenizer gets it."""
        return replace_lone_surrogates(self._prompt + text)

    def _encode(self, texts: Sequence[str], **more: Any) -> Any:
        """Tokenize texts, with the prompt and without special tokens."""
        prepared = [self._prepare(text) for text in texts]
        with _running(self._tokenizer):
            return self._tokenizer(
                prepared,
                add_special_tokens=False,
                truncation=False,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
                **more,
            )

    def _as_read(self, encoded: Any, ids: NDArray[np.int64]) -> NDArray[Any]:
        """Return tokens as the model reads them: numbers, or the characters of words."""
        characters = encoded.get("characters")
        return ids.astype(np.int32) if characters is None else characters[ids]


class TextTokenizer(ModelTokenizer):
    """Makes token sequences of texts, with a rule for texts that are longer than the model reads.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    tokenizer : PreTrainedTokenizerBase
        Its tokenizer.
    prompt : str or None, default=None
        Text before every text; None takes the checkpoint's default, a name one of its prompts.
    max_length : int or None, default=None
        Longest sequence, special tokens included; None takes the checkpoint's limit.
    overflow : {"truncate", "head_tail", "window"}, default="truncate"
        What to keep of longer texts: their start, or a quarter from the start and the rest from the
        end [1]_, or windows that overlap by ``stride`` tokens. The prompt stays before each.
    stride : int or None, default=None
        Tokens that neighbouring windows share; None takes a quarter of the window.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule.

    See Also
    --------
    TokenizedTexts : What a call returns.

    References
    ----------
    .. [1] C. Sun et al., "How to Fine-Tune BERT for Text Classification?", CCL 2019, section 5.3.1.

    Examples
    --------
    >>> from transformers import AutoTokenizer
    >>> from bertvectorizer.models import TextTokenizer, open_checkpoint
    >>> checkpoint = open_checkpoint("sentence-transformers/all-MiniLM-L6-v2")
    >>> own = AutoTokenizer.from_pretrained(checkpoint.directory)
    >>> tokenized = TextTokenizer(checkpoint, own, max_length=5)(["a bat hung upside down"])
    >>> tokenized.lengths.tolist(), tokenized.n_lost.tolist()
    ([5], [2])
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        prompt: str | None = None,
        max_length: int | None = None,
        overflow: Overflow = "truncate",
        stride: int | None = None,
    ) -> None:
        self.overflow = check_choice("overflow", overflow, OVERFLOWS)
        super().__init__(
            checkpoint, tokenizer, prompt, max_length, keeps_prompt=overflow != "truncate"
        )
        self._from_the_end = getattr(tokenizer, "truncation_side", "right") == "left"
        self._stride = self._resolve_stride(stride, overflow == "window")
        leaves_out = self._n_prompt and not checkpoint.include_prompt
        self._n_left_out = self._length_of_prompt() if leaves_out else 0

    def _length_of_prompt(self) -> int:
        """Return how many tokens are those of the prompt, as sentence-transformers counts them.

        It tokenizes the prompt alone, and leaves out the last token if it is a special one.
        """
        alone = [*self._prefix, *self._encode([""])["input_ids"][0], *self._suffix]
        return len(alone) - (alone[-1] in self._tokenizer.all_special_ids)

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Everything that changes the tokens of a text, as strings."""
        others = (self.max_length, self.overflow, self._stride, self._n_left_out)
        return (self._prompt, *map(str, others))

    def __call__(self, texts: Sequence[str]) -> TokenizedTexts:
        """Tokenize texts.

        Parameters
        ----------
        texts : sequence of str
            Lone surrogates are read as U+FFFD, since no tokenizer accepts them.

        Returns
        -------
        TokenizedTexts
            The token sequences of all texts.
        """
        blocks: list[NDArray[np.int32]] = []
        lengths: list[int] = []
        n_windows = np.ones(len(texts), dtype=np.int64)
        n_tokens, n_lost = np.zeros((2, len(texts)), dtype=np.int64)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            block: list[int] = []
            chunk = texts[start : start + _TEXTS_AT_ONCE]
            encoded = self._encode(chunk)
            for row, body in enumerate(encoded["input_ids"], start=start):
                n_tokens[row] = len(body)
                pieces = [body]
                if len(body) > self._room:
                    pieces, n_lost[row] = self._fit(body)
                    n_windows[row] = len(pieces)
                for piece in pieces:
                    sequence = self._prefix + piece + self._suffix
                    block += sequence
                    lengths.append(len(sequence))
            ids = np.array(block, dtype=np.int64)
            self._check_known(ids, chunk, encoded["input_ids"])
            blocks.append(self._as_read(encoded, ids))
        return TokenizedTexts(
            ids=np.concatenate(blocks) if blocks else np.empty(0, dtype=np.int32),
            offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            first_window=np.concatenate([[0], np.cumsum(n_windows)]),
            n_prompt_tokens=self._n_left_out,
            n_tokens=n_tokens,
            n_lost=n_lost,
        )

    def _fit(self, body: list[int]) -> tuple[list[list[int]], int]:
        """Return the pieces of a text that is too long, and how many tokens are in none of them."""
        excess = len(body) - self._room
        if self.overflow == "truncate":
            return [body[excess:] if self._from_the_end else body[: self._room]], excess
        prompt, text = body[: self._n_prompt], body[self._n_prompt :]
        room = self._room - len(prompt)
        if self.overflow == "window":
            starts = range(0, len(text) - self._stride, room - self._stride)
            return [prompt + text[start : start + room] for start in starts], 0
        head = room // 4
        return [prompt + text[:head] + text[len(text) - (room - head) :]], excess


@lru_cache(maxsize=4)
def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """Return the checkpoint's tokenizer, a `PreTrainedTokenizerBase` or what an ELMo has in place.

    The last few stay in memory.
    """
    if checkpoint.elmo is not None:
        return ElmoTokenizer(checkpoint.directory, checkpoint.elmo.longest_word)
    from transformers import AutoTokenizer

    from .source import reading
    from .weights import quiet_transformers

    directory = checkpoint.tokenizer_directory or checkpoint.directory
    trusted = checkpoint.trust_remote_code
    with (
        foreign_errors_as(
            ModelIntegrityError,
            f"The tokenizer in '{directory}' cannot be read",
            "Download the model again.",
        ),
        reading(checkpoint.directories, trusted, checkpoint.fingerprint),
        quiet_transformers(),
    ):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory,
            trust_remote_code=trusted,
            local_files_only=True,
            **checkpoint.tokenizer_settings,
        )
        if checkpoint.do_lower_case:
            _lower(tokenizer)
    limit: Any = tokenizer.model_max_length
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0:
        raise ModelIntegrityError(
            f"The tokenizer in '{directory}' must have a number of tokens as 'model_max_length'."
            f" Got {short_repr(limit)} instead. Correct it, or download the model again."
        )
    # Without files, transformers returns an empty tokenizer.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ModelIntegrityError(
            f"The tokenizer in '{directory}' knows no words, as its files are missing. Download the"
            " model again."
        )
    return tokenizer


def _lower(tokenizer: Any) -> None:
    """Let a tokenizer lower the case of texts, but not of special tokens within them."""
    from tokenizers.normalizers import Lowercase
    from tokenizers.normalizers import Sequence as Normalizers

    if not tokenizer.is_fast:
        try:
            tokenizer.do_lower_case = True
        except AttributeError:
            tokenizer.basic_tokenizer.do_lower_case = True
        return
    backend = tokenizer.backend_tokenizer
    own = backend.normalizer
    steps: list[Any] = [] if own is None else [own]
    if isinstance(own, Normalizers):
        steps = [own[index] for index in range(len(own))]
    if not any(isinstance(step, Lowercase) for step in steps):
        backend.normalizer = Normalizers([Lowercase(), *steps])


def replace_lone_surrogates(text: str) -> str:
    r"""Return ``text`` as valid Unicode: surrogate pairs joined, lone ones replaced by U+FFFD.

    Examples
    --------
    >>> replace_lone_surrogates("caf\u00e9 \ud800") == "caf\u00e9 \ufffd"
    True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int | None:
    """Return the number of a token, or None if it is not in the vocabulary."""
    number: Any = tokenizer.convert_tokens_to_ids(token)
    is_known = number is not None and tokenizer.convert_ids_to_tokens(number) == token
    return int(number) if is_known else None


def _running(tokenizer: PreTrainedTokenizerBase) -> AbstractContextManager[None]:
    """Tokenize within the block: some faults of a tokenizer show only when it is run."""
    return foreign_errors_as(
        ModelIntegrityError,
        f"The tokenizer in '{tokenizer.name_or_path}' cannot split a text into tokens",
        "Download the model again.",
    )


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after every text."""
    sample, body = sample_tokens(tokenizer, "a", return_token_type_ids=True)
    if np.any(sample.get("token_type_ids", 0)):
        raise UnsupportedModelError(
            f"The tokenizer {type(tokenizer).__name__} gives single texts several token types,"
            " which the engine does not pass on. Choose a model of another family, such as BERT or"
            " RoBERTa."
        )
    return sample["input_ids"][: body[0]], sample["input_ids"][body[-1] + 1 :]


def sample_tokens(
    tokenizer: PreTrainedTokenizerBase, *texts: str, **more: bool
) -> tuple[Any, NDArray[np.int64]]:
    """Tokenize a text or a pair, and return what the tokenizer gave and which tokens are theirs.

    Those are indices of all tokens but the special ones.
    """
    with _running(tokenizer):
        sample = tokenizer(*texts, return_special_tokens_mask=True, verbose=False, **more)
    body = np.flatnonzero(np.asarray(sample["special_tokens_mask"]) == 0)
    if not len(body):
        raise ModelIntegrityError(
            f"The tokenizer in '{tokenizer.name_or_path}' gives the text 'a' no tokens but special"
            " ones. Download the model again."
        )
    return sample, body
