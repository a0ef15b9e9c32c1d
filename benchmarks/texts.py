"""Read real texts from the shared data folder; nothing is copied into the project."""

from __future__ import annotations

import html
import lzma
import math
import random
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

_SHORT_WORDS = range(18, 23)
_LONG_WORDS = 250
_WORD = re.compile(r"<wf[^>]*>([^<]*)</wf>")
_SENTENCE_WORDS = range(5, 41)


def sst2(data: Path, split: str) -> tuple[list[str], list[int]]:
    """Return the sentences and the labels of a split of SST-2."""
    rows = [
        line.rsplit("\t", 1)
        for line in (data / "sst2" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
    ]
    return [text for text, _ in rows], [int(label) for _, label in rows]


def imdb(data: Path) -> Iterator[tuple[str, int]]:
    """Yield the reviews of IMDB's training set, and whether they praise."""
    with lzma.open(data / "imdb" / "imdb_train.tsv.xz", "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            label, _, _, text = line.rstrip("\n").split("\t")
            yield text.replace("<br />", " "), int(label)


def sms(data: Path) -> dict[str, int]:
    """Return the distinct messages of the SMS spam collection, and whether they are spam."""
    lines = (data / "sms_spam" / "SMSSpamCollection.tsv").read_text(encoding="utf-8").splitlines()
    return {text: int(label == "spam") for label, text in (line.split("\t", 1) for line in lines)}


def tass(data: Path, split: str) -> tuple[list[str], list[str]]:
    """Return the tweets of a split of TASS 2020, all five countries, and their classes."""
    paths = sorted((data / "tass2020_es").glob(f"{split}_*.tsv"))
    rows = [
        line.rstrip("\n").split("\t")
        for path in paths
        for line in path.read_text(encoding="utf-8").split("\n")
        if line
    ]
    return [row[1] for row in rows], [row[-1].strip() for row in rows]


class Occurrence(NamedTuple):
    """An occurrence of an ambiguous word: its form, the sentence's words, sense and index."""

    form: str
    words: list[str]
    sense: str
    position: int

    @property
    def text(self) -> str:
        """The sentence, with single spaces between its words."""
        return " ".join(self.words)

    @property
    def span(self) -> tuple[int, int]:
        """First character of the ambiguous word in the text, and the one after its last."""
        start = sum(len(word) + 1 for word in self.words[: self.position])
        return start, start + len(self.words[self.position])


def senseval(data: Path, word: str) -> list[Occurrence]:
    """Return the occurrences of ``"hard"`` or ``"interest"``, the forms and words in lower case."""
    occurrences = []
    for instance in _senseval_instances(data, word):
        sense = re.search(r'senseid="([^"]+)"', instance)
        form = re.search(r"<head>\s*<wf[^>]*>([^<]*)</wf>", instance)
        if sense and form:
            words = [html.unescape(found).lower() for found in _WORD.findall(instance)]
            position = len(_WORD.findall(instance[: form.start()]))
            occurrences.append(
                Occurrence(html.unescape(form[1]).lower(), words, sense[1], position)
            )
    return occurrences


def senseval_parts_of_speech(
    data: Path, word: str
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield the words of each sentence, in lower case, and their parts of speech."""
    for instance in _senseval_instances(data, word):
        pairs = re.findall(r'<wf pos="([^"]+)">([^<]*)</wf>', instance)
        if pairs:
            tags, words = zip(*pairs, strict=True)
            yield (
                tuple(html.unescape(found).lower() for found in words),
                tuple(map(html.unescape, tags)),
            )


def _senseval_instances(data: Path, word: str) -> list[str]:
    text = lzma.decompress((data / "senseval" / f"{word}.pos.xz").read_bytes()).decode(
        "utf-8", "replace"
    )
    return text.split("<instance ")[1:]


def stsb(data: Path, split: str) -> list[tuple[str, str, float]]:
    """Return the pairs of a split of the STS benchmark with their scores; none without file."""
    path = data / "stsb" / f"sts-{split}.csv"
    rows = (
        [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        if path.exists()
        else []
    )
    return [(row[5], row[6], float(row[4])) for row in rows]


class LabelledPair(NamedTuple):
    """A pair of SICK: its sentences, their relatedness from 1 to 5, and their entailment."""

    first: str
    second: str
    score: float
    entailment: str


def sick_split(data: Path, split: str) -> list[LabelledPair]:
    """Return the pairs of SICK's ``"train"``, ``"trial"`` or ``"test_annotated"`` file."""
    path = data / "sick" / f"SICK_{split}.txt"
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return [LabelledPair(row[1], row[2], float(row[3]), row[4]) for row in rows]


def sick(data: Path) -> list[tuple[str, str, float]]:
    """Return all 9,927 pairs of SICK with their scores."""
    splits = ("train", "trial", "test_annotated")
    pairs = chain.from_iterable(sick_split(data, split) for split in splits)
    return [(pair.first, pair.second, pair.score) for pair in pairs]


def distinct_sentences(pairs: list[tuple[str, str, float]]) -> list[str]:
    """Return each sentence of the pairs once."""
    return list(dict.fromkeys(chain.from_iterable(pair[:2] for pair in pairs)))


def labelled_sentences(data: Path, size: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Return a sample of SST-2's distinct training sentences, and their labels."""
    return _sample(dict(zip(*sst2(data, "train"), strict=True)), size, seed)


def labelled_reviews(data: Path, size: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Return the first 250 words of a sample of longer reviews, and their labels."""
    long = ((text.split(), label) for text, label in imdb(data))
    return _sample(
        {
            " ".join(words[:_LONG_WORDS]): label
            for words, label in long
            if len(words) >= _LONG_WORDS
        },
        size,
        seed,
    )


def _sample(labels: dict[str, int], size: int, seed: int) -> tuple[list[str], list[int]]:
    texts = list(labels)
    random.Random(seed).shuffle(texts)
    taken = _take(texts, size)
    return taken, [labels[text] for text in taken]


def wikipedia(data: Path, size: int) -> list[str]:
    """Return the first distinct sentences of English Wikipedia with 5 to 40 words."""
    with lzma.open(data / "corpora" / "enwiki_2014_30mb.txt.xz", "rt", encoding="utf-8") as lines:
        sentences = chain.from_iterable(re.split(r"(?<=[.!?])\s+", line.strip()) for line in lines)
        return _take((text for text in sentences if len(text.split()) in _SENTENCE_WORDS), size)


def reviews(data: Path, n_words: int, size: int, seed: int = 0) -> list[str]:
    """Return the first words of distinct reviews of IMDB that are at least as long."""
    long = [words for words in (text.split() for text, _ in imdb(data)) if len(words) >= n_words]
    random.Random(seed).shuffle(long)
    return _take((" ".join(words[:n_words]) for words in long), size)


class TextSamples:
    """Samples of distinct texts of three kinds, the same ones for the same seed.

    Parameters
    ----------
    data : Path
    seed : int
    """

    def __init__(self, data: Path, seed: int = 0) -> None:
        self._seed = seed
        self._sentences = sst2(data, "train")[0]
        self._reviews = [text for text, _ in imdb(data)]
        random.Random(self._seed).shuffle(self._sentences)
        random.Random(self._seed).shuffle(self._reviews)

    def short(self, size: int) -> list[str]:
        """Return SST-2 sentences of 18 to 22 words, then the first 20 words of reviews."""
        whole = (text for text in self._sentences if len(text.split()) in _SHORT_WORDS)
        return _take(chain(whole, self._cut(self._reviews, 20)), size)

    def mixed(self, size: int) -> list[str]:
        """Return texts of 3 to 250 words, log-uniform, from SST-2 and IMDB."""
        wanted = (
            np.exp(
                np.random.default_rng(self._seed).uniform(math.log(3), math.log(_LONG_WORDS), size)
            )
            .round()
            .astype(int)
        )
        texts: set[str] = set()
        for number, words in enumerate(wanted):
            source = self._sentences if words <= 20 else self._reviews
            rotated = chain(source[number % len(source) :], source)
            texts.add(next(text for text in self._cut(rotated, int(words)) if text not in texts))
        result = sorted(texts)
        random.Random(self._seed).shuffle(result)
        return result

    def long(self, size: int) -> list[str]:
        """Return the first 250 words of reviews that are at least as long."""
        return _take(self._cut(self._reviews, _LONG_WORDS), size)

    def repeated(self, size: int, times: int = 5) -> list[str]:
        """Return ``size`` short texts in random order, each of which occurs ``times`` times."""
        texts = self.short(max(1, size // times)) * times
        random.Random(self._seed).shuffle(texts)
        return texts

    @staticmethod
    def _cut(texts: Iterable[str], n_words: int) -> Iterator[str]:
        for text in texts:
            words = text.split()
            if len(words) >= n_words:
                yield " ".join(words[:n_words])


def _take(texts: Iterable[str], size: int) -> list[str]:
    """Return the first ``size`` distinct texts."""
    taken: dict[str, None] = {}
    for text in texts:
        taken[text] = None
        if len(taken) == size:
            return list(taken)
    raise SystemExit(f"The data has only {len(taken)} texts of this kind; {size} were requested.")
