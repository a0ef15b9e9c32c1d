"""Read sentences with tagged words, and occurrences of ambiguous words as a table."""

from __future__ import annotations

import random
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bertvectorizer import TaggedSentences, read_conll

from .texts import senseval

FILES = {
    "wnut17": ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"),
    "conll2002_es": ("esp.train", "esp.testa", "esp.testb"),
}


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


def tagged_set(data: Path, name: str, n_train: int, n_others: int) -> TaggedSet:
    """Read a set; larger parts are sampled to a number of sentences with a seed, 0 is all."""
    parts = (read_conll(data / name / file) for file in FILES[name])
    return TaggedSet(
        name,
        *(
            _draw(part, size)
            for part, size in zip(parts, (n_train, n_others, n_others), strict=True)
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
