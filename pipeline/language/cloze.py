"""Texts with masks: find the masks, the tokens of candidates for them, and fill them in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import InvalidTextError, ModelIntegrityError, UnsupportedModelError
from ...features.inputs.texts import list_iterable
from ...models.language.corpus import Corpus
from ...validation import invalid, short_repr

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from ...models import TextTokenizer

__all__ = ["MaskedTexts", "candidate_tokens", "read_candidates"]

_MASK = "[MASK]"  # accepted for every model
_INSIDE, _BEGINS = "##", ("Ġ", "▁")  # how vocabularies mark pieces
_MARKS = (_INSIDE, *_BEGINS)


@dataclass(frozen=True)
class MaskedTexts:
    """Texts and the masks in them, text after text.

    Parameters
    ----------
    texts : list of str
        Their masks are those of the tokenizer.
    corpus : Corpus
        Their tokens.
    places : ndarray of shape (n_masks,)
        The token of each mask in the corpus.
    rows, numbers : ndarray of shape (n_masks,)
        The text of each mask, and which mask of it, from 0 on.
    mask : str
        The mask of the tokenizer.
    """

    texts: list[str]
    corpus: Corpus
    places: NDArray[np.int64]
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    mask: str

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        reader: TextTokenizer,
        tokenizer: PreTrainedTokenizerBase,
        name_of: Callable[[int], str],
    ) -> MaskedTexts:
        """Find the masks in texts; ``name_of`` returns what messages call a row."""
        if reader.mask_id is None:
            raise UnsupportedModelError(
                "The model has no token for a mask, so that it cannot fill one. Choose a model of"
                " masked words, such as BERT or RoBERTa."
            )
        mask = str(tokenizer.mask_token)
        own = [text.replace(_MASK, mask) for text in texts]
        for row, text in enumerate(own):
            if mask not in text:
                also = "" if mask == _MASK else f" or {_MASK!r}"
                raise InvalidTextError(
                    f"Each text must have a mask, {mask!r}{also}, in the place of a word. Got"
                    f" {short_repr(texts[row])} in {name_of(row)}. Write the mask where the model"
                    " is to fill in a token."
                )
        corpus = Corpus(reader, own)
        places = np.flatnonzero(corpus.ids == reader.mask_id)
        counts = np.diff(np.searchsorted(places, corpus.offsets))
        for row in np.flatnonzero(counts != [text.count(mask) for text in own]).tolist():
            raise ModelIntegrityError(
                f"The tokenizer in '{tokenizer.name_or_path}' must read {mask!r} as one token. It"
                f" found {counts[row]} of {own[row].count(mask)} in {name_of(row)}. Set it as the"
                " tokenizer's 'mask_token', or download the model again."
            )
        rows = np.repeat(np.arange(len(own)), counts)
        numbers = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(own, corpus, places, rows, numbers, mask)

    def around(self, index: int) -> tuple[str, str]:
        """Return the text before and after a mask."""
        parts = self.texts[self.rows[index]].split(self.mask)
        end = int(self.numbers[index]) + 1
        return self.mask.join(parts[:end]), self.mask.join(parts[end:])

    def table(
        self,
        tokens: NDArray[np.int64],
        probabilities: NDArray[np.float64],
        tokenizer: PreTrainedTokenizerBase,
        candidates: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return a row for each token of each mask, the most probable ones first.

        ``tokens`` and ``probabilities`` have the shape (n_masks, n_tokens); ``candidates`` are
        their names.
        """
        join = _Joiner(tokenizer)
        names, texts = [], []
        order = np.argsort(-probabilities, axis=1, kind="stable")
        for index, chosen in enumerate(order.tolist()):
            before, after = self.around(index)
            for place in chosen:
                token = int(tokens[index, place])
                if candidates is None or candidates[place].startswith(_MARKS):
                    texts.append(join(before, token) + after)
                else:
                    texts.append(before + candidates[place].strip() + after)
                names.append(tokenizer.decode([token]) if candidates is None else candidates[place])
        values = np.take_along_axis(probabilities, order, axis=1)
        n_tokens = tokens.shape[1]
        table = pd.DataFrame(
            {
                "row": np.repeat(self.rows, n_tokens),
                "mask": np.repeat(self.numbers, n_tokens),
                "token": pd.Series(names, dtype=object),
                "probability": values.ravel(),
            }
        )
        if candidates is not None:
            table["share"] = (values / values.sum(axis=1, keepdims=True)).ravel()
        table["text"] = pd.Series(texts, dtype=object)
        return table


class _Joiner:
    """Joins a token to the text before it, as its tokenizer marks where words begin."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        # Pieces inside words are marked in WordPiece, and elsewhere those that begin a word.
        self._marks_inside = any(
            len(token) > len(_INSIDE) and token.startswith(_INSIDE)
            for token in _vocabulary(tokenizer)
        )

    def __call__(self, before: str, token: int) -> str:
        piece = str(self._tokenizer.convert_ids_to_tokens(token))
        word = str(self._tokenizer.decode([token]))
        if self._marks_inside:
            is_inside = piece.startswith(_INSIDE)
            return before.rstrip() + word.removeprefix(_INSIDE) if is_inside else before + word
        if not piece.startswith(_BEGINS):
            return before.rstrip() + word
        gap = " " if before and not before[-1].isspace() else ""
        return before + gap + word.lstrip()


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return vocabulary


def read_candidates(targets: Any) -> list[str] | None:
    """Return the candidates for a mask, or raise unless they are different words."""
    if targets is None:
        return None
    rule = "a list of different words, or None for the whole vocabulary"
    if isinstance(targets, (str, bytes, Mapping)) or not isinstance(targets, Iterable):
        raise invalid("targets", rule, targets)
    words = list_iterable(targets) or []
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise invalid("targets", rule, word)
    if not words:
        raise invalid("targets", rule, targets)
    return words


def candidate_tokens(
    words: Sequence[str], masked: MaskedTexts, reader: TextTokenizer, tokenizer: Any
) -> NDArray[np.int64]:
    """Return the token that each candidate is in the place of each mask, (n_masks, n_words).

    Tokenizers such as RoBERTa's have another token for a word after a space than for one without.
    """
    follows_space = np.array(
        [masked.around(index)[0][-1:].isspace() for index in range(len(masked.rows))], dtype=bool
    )
    table = np.zeros((2, len(words)), dtype=np.int64)
    for is_after in np.unique(follows_space).tolist():
        found = [_token_of(" " * is_after + word.strip(), reader, tokenizer) for word in words]
        if len(set(found)) < len(found):
            first, again = next(
                (words[found.index(token)], words[place])
                for place, token in enumerate(found)
                if token in found[:place]
            )
            rule = f"words of different tokens, and {first!r} and {again!r} are the same for it"
            raise invalid("targets", rule, list(words))
        table[int(is_after)] = found
    return table[follows_space.astype(np.int64)]


def _token_of(word: str, reader: TextTokenizer, tokenizer: Any) -> int:
    """Return the one token of a word, or raise."""
    ids = reader.words_of([word])[0].tolist()
    if len(ids) != 1 and word.strip() in (vocabulary := _vocabulary(tokenizer)):
        ids = [vocabulary[word.strip()]]  # such as "##s"
    rule = "single tokens of the model"
    if len(ids) != 1:
        tokens = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(ids)))
        rule += (
            f", and {word.strip()!r} is {len(ids)} of them: {tokens}. Fill the candidates in, and"
            " compare the whole texts by log_likelihood(texts, method='pseudo')"
        )
    elif reader.is_special[ids[0]]:
        rule += f", and {word.strip()!r} is not in its vocabulary, or a special token"
    else:
        return int(ids[0])
    raise invalid("targets", rule, word.strip())
