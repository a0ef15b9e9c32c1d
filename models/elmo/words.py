"""Words of texts, and their characters as ELMo reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SENTENCE_END", "SENTENCE_START", "ElmoTokenizer", "characters_of"]

# bilm-tf's numbers; a byte of UTF-8 is its own number.
_SENTENCE_START, _SENTENCE_END, _WORD_START, _WORD_END, _PADDING = range(256, 261)
SENTENCE_START, SENTENCE_END = "<S>", "</S>"
_UNLIMITED = 1 << 30


def characters_of(words: Sequence[str], longest: int) -> NDArray[np.int16]:
    """Return the characters of words, of shape (n_words, longest).

    They are bytes of UTF-8 between the marks of a word's start and end; a longer word loses its
    last bytes. The words "<S>" and "</S>" are the ends of a sentence, as in bilm-tf.

    Examples
    --------
    >>> characters_of(["bat", "<S>"], longest=6).tolist()
    [[258, 98, 97, 116, 259, 260], [258, 256, 259, 260, 260, 260]]
    """
    table = np.full((len(words), longest), _PADDING, dtype=np.int16)
    table[:, 0] = _WORD_START
    for row, word in enumerate(words):
        if word in (SENTENCE_START, SENTENCE_END):
            table[row, 1] = _SENTENCE_START if word == SENTENCE_START else _SENTENCE_END
            table[row, 2] = _WORD_END
            continue
        content = word.encode()[: longest - 2]
        table[row, 1 : len(content) + 1] = np.frombuffer(content, dtype=np.uint8)
        table[row, len(content) + 1] = _WORD_END
    return table


class ElmoTokenizer:
    """Splits texts into words at white space and around each punctuation mark, as BERT does first.

    It has what is used of a tokenizer of transformers. The numbers of words hold within one call,
    which also returns the ``characters`` of each number.
    """

    is_fast = True
    model_max_length = _UNLIMITED

    def __init__(self, directory: Any, longest_word: int) -> None:
        from tokenizers.pre_tokenizers import BertPreTokenizer

        self.name_or_path = str(directory)
        self._longest = longest_word
        self._split = BertPreTokenizer().pre_tokenize_str

    def convert_tokens_to_ids(self, token: str) -> None:
        """No word has a lasting number."""

    def __call__(
        self,
        texts: Sequence[str],
        whole: Sequence[NDArray[np.int64]] | None = None,
        return_offsets_mapping: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        """Split texts into words.

        ``whole`` has bounds of words of each text, of shape (n, 2): each is one word, and only the
        text between them is split.
        """
        numbers: dict[str, int] = {}
        ids: list[list[int]] = []
        offsets: list[list[tuple[int, int]]] = []
        for row, text in enumerate(texts):
            found = list(self._words(text, () if whole is None else whole[row].tolist()))
            ids.append([numbers.setdefault(word, len(numbers)) for word, _ in found])
            offsets.append([bounds for _, bounds in found])
        encoded = {"input_ids": ids, "characters": characters_of(list(numbers), self._longest)}
        return {**encoded, "offset_mapping": offsets} if return_offsets_mapping else encoded

    def _words(
        self, text: str, whole: Sequence[Sequence[int]]
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield the words of a text and their bounds, in order."""
        if not whole:
            yield from self._split(text)
            return
        cuts = [(0, 0)]
        for start, end in sorted(map(tuple, whole)):
            if start < end and start >= cuts[-1][1]:  # not blank, and not within another
                cuts.append((start, end))
        for (start, end), (following, _) in pairwise([*cuts, (len(text), len(text))]):
            if start < end:
                yield text[start:end], (start, end)
            for word, (first, last) in self._split(text[end:following]):
                yield word, (first + end, last + end)
