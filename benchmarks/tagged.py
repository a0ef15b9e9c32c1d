"""Read sentences with tagged words, and occurrences of ambiguous words as a table."""

from __future__ import annotations

import random
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bertvectorizer import TaggedSentences, read_conll

from .texts import senseval, senseval_parts_of_speech

FILES = {
    "wnut17": ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"),
    "conll2002_es": ("esp.train", "esp.testa", "esp.testb"),
}

_CONLL_TYPES = {
    "person": "PER",
    "location": "LOC",
    "corporation": "ORG",
    "group": "ORG",
    "product": "MISC",
    "creative-work": "MISC",
}
_PIECE_WORDS = 18


class TaggedSet(NamedTuple):
    """Sentences to learn from, to choose by, and to report on."""

    name: str
    train: TaggedSentences
    dev: TaggedSentences
    test: TaggedSentences

    @property
    def n_distinct(self) -> int:
        """Distinct sentences in all three parts."""
        return len(
            {tuple(words) for words in chain(self.train.words, self.dev.words, self.test.words)}
        )


def tagged_set(
    data: Path, name: str, n_train: int, n_others: int, tag_column: int = -1
) -> TaggedSet:
    """Read a set; larger parts are sampled to a number of sentences with a seed, 0 is all."""
    parts = (read_conll(data / name / file, tag_column=tag_column) for file in FILES[name])
    return TaggedSet(
        name,
        *(
            _draw(part, size)
            for part, size in zip(parts, (n_train, n_others, n_others), strict=True)
        ),
    )


def sized_like_conll2003(data: Path, n_sentences: int) -> TaggedSentences:
    """Return as many short sentences with entities of four types, of WNUT-17 and CoNLL-2002.

    CoNLL-2003's training part has 14,041 sentences of 14.5 words on average.
    """
    english = read_conll(data / "wnut17" / FILES["wnut17"][0])
    words = list(english.words)
    tags = [
        [tag[:2] + _CONLL_TYPES[tag[2:]] if tag != "O" else tag for tag in own]
        for own in english.tags
    ]
    for sentence, own in zip(*read_conll(data / "conll2002_es" / "esp.train"), strict=True):
        start = 0
        for end in range(1, len(sentence) + 1):  # pieces of some 14 words that cut no entity
            is_last = end == len(sentence)
            if is_last or (end - start >= _PIECE_WORDS and not own[end].startswith("I")):
                words.append(sentence[start:end])
                tags.append(own[start:end])
                start = end
    chosen = random.Random(0).sample(range(len(words)), min(n_sentences, len(words)))
    return TaggedSentences([words[row] for row in chosen], [tags[row] for row in chosen])


def senseval_tags(data: Path, word: str, n_train: int, n_others: int) -> TaggedSet:
    """Return sentences of SENSEVAL with parts of speech, in three parts drawn with a seed."""
    sentences = dict(senseval_parts_of_speech(data, word))
    drawn = random.Random(0).sample(list(sentences.items()), n_train + 2 * n_others)
    bounds = (0, n_train, n_train + n_others, n_train + 2 * n_others)
    return TaggedSet(
        word,
        *(
            TaggedSentences([list(words) for words, _ in part], [list(tags) for _, tags in part])
            for part in (drawn[start:end] for start, end in pairwise(bounds))
        ),
    )


def sense_table(data: Path, word: str, size: int) -> tuple[pd.DataFrame, NDArray[np.str_]]:
    """Return occurrences of an ambiguous word as a table of spans, and their senses."""
    occurrences = senseval(data, word)
    if size:
        occurrences = random.Random(0).sample(occurrences, size)
    rows = [(one.text, *one.span) for one in occurrences]
    return pd.DataFrame(rows, columns=["text", "start", "end"]), np.array(
        [one.sense for one in occurrences]
    )


def distinct_words(data: Path, name: str, size: int) -> list[list[str]]:
    """Return ``size`` distinct sentences of a set's training part, drawn with a seed."""
    words = list(dict.fromkeys(map(tuple, read_conll(data / name / FILES[name][0]).words)))
    return [list(sentence) for sentence in random.Random(0).sample(words, size)]


def _draw(sentences: TaggedSentences, size: int) -> TaggedSentences:
    if not 0 < size < len(sentences.words):
        return sentences
    chosen = sorted(random.Random(0).sample(range(len(sentences.words)), size))
    return TaggedSentences(
        [sentences.words[number] for number in chosen],
        [sentences.tags[number] for number in chosen],
    )
