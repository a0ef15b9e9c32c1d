"""How the vectors of a text's words become one: weights that are learnt from texts, and pooling."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.errors import InvalidTableError
from ..models.validation import check_choice, invalid
from ..models.word_pooling import pool_words, power_means
from .words import TextWords

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WEIGHTINGS", "Weighting", "make_weighting", "read_frequencies"]

WEIGHTINGS = ("mean", "sum", "max", "tfidf", "sif", "power_mean")


class Weighting(ABC):
    """Pools the words of texts; learns what it needs of the training texts first."""

    def learn(self, found: TextWords, counts: NDArray[np.int64], vectors: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        """Learn from the words of distinct texts, each ``counts`` times there; ``vectors`` and ``places`` are as for `pool`."""
        return

    @abstractmethod
    def pool(self, found: TextWords, vectors: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a vector for each text, zeros for one without words.

        Parameters
        ----------
        found : TextWords
            Words that are to be left out are left out already.
        vectors : ndarray
            *Shape:* ``(n_vectors, n_dims)``, float32.
        places : ndarray
            The row of each of ``found.words`` in ``vectors``. *Shape:* ``(n_words,)``, int64.

        Returns
        -------
        ndarray
            *Shape:* ``(n_texts, n_dims * width)``, float32.
        """

    @property
    def width(self) -> int:
        """Features for each dimension of the word vectors."""
        return 1


class _Plain(Weighting):
    """Sum, mean or maximum."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def pool(self, found: TextWords, vectors: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        return pool_words(vectors, places[found.ids], found.offsets[:-1], self._kind)


class _PowerMean(Weighting):
    """Power means side by side."""

    def __init__(self, powers: Sequence[float]) -> None:
        self._powers = tuple(powers)

    def pool(self, found: TextWords, vectors: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        return power_means(vectors, places[found.ids], found.offsets[:-1], self._powers)

    @property
    def width(self) -> int:
        return len(self._powers)


class _Tfidf(Weighting):
    """Mean weighted by inverse document frequency, which scikit-learn smooths so: ``ln((1 + n) / (1 + df)) + 1``."""

    def learn(self, found: TextWords, counts: NDArray[np.int64], vectors: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        texts = np.repeat(np.arange(len(counts)), found.lengths)
        pairs = np.unique(texts * max(len(found.words), 1) + found.ids)  # each word of a text once
        text, word = np.divmod(pairs, max(len(found.words), 1))
        frequencies = np.bincount(word, weights=counts[text], minlength=len(found.words))
        n = int(counts.sum())
        self._unseen = math.log(1 + n) + 1
        self._idf = dict(zip(found.words, (np.log((1 + n) / (1 + frequencies)) + 1).tolist(), strict=True))

    def pool(self, found: TextWords, vectors: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        weights = np.array([self._idf.get(word, self._unseen) for word in found.words], dtype=np.float32)[found.ids]
        sums = pool_words(vectors, places[found.ids], found.offsets[:-1], "sum", weights)
        before = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
        totals = np.diff(before[found.offsets])
        return sums / np.where(found.lengths > 0, totals, 1).astype(np.float32)[:, None]


class _Sif(Weighting):
    """Smooth inverse frequency: rare words weigh more, and what all texts have in common is removed."""

    def __init__(self, a: float, frequencies: dict[str, float] | None) -> None:
        self._a = a
        self._is_given = frequencies is not None
        self._frequencies = frequencies or {}

    def learn(self, found: TextWords, counts: NDArray[np.int64], vectors: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        if not self._is_given:
            times = np.bincount(found.ids, weights=np.repeat(counts, found.lengths), minlength=len(found.words))
            self._frequencies = dict(zip(found.words, (times / max(times.sum(), 1)).tolist(), strict=True))
        averages = self._average(found, vectors, places).astype(np.float64)
        # The first right singular vector of the training vectors, each as often as its text is there; not centred, as in the paper.
        _, directions = np.linalg.eigh(averages.T @ (averages * counts[:, None]))
        self._common = directions[:, -1] if averages.any() else np.zeros(vectors.shape[1])

    def _average(self, found: TextWords, vectors: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        weights = np.array([self._a / (self._a + self._frequencies.get(word, 0.0)) for word in found.words], dtype=np.float32)
        sums = pool_words(vectors, places[found.ids], found.offsets[:-1], "sum", weights[found.ids])
        return sums / np.maximum(found.lengths, 1).astype(np.float32)[:, None]

    def pool(self, found: TextWords, vectors: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        averages = self._average(found, vectors, places)
        return (averages - np.outer(averages @ self._common, self._common)).astype(np.float32)


def make_weighting(weighting: Any, sif_a: Any, word_frequencies: Any, powers: Any) -> Weighting:
    """Return the weighting that parameters of a vectorizer ask for, all of them checked."""
    check_choice("weighting", weighting, WEIGHTINGS)
    if isinstance(sif_a, (bool, np.bool_)) or not isinstance(sif_a, (int, float, np.number)) or not 0 < sif_a < math.inf:
        raise invalid("sif_a", "a number in the range (0, inf)", sif_a)
    frequencies = None if word_frequencies is None else read_frequencies(word_frequencies)
    checked = _checked_powers(powers)
    if weighting == "tfidf":
        return _Tfidf()
    if weighting == "sif":
        return _Sif(float(sif_a), frequencies)
    return _PowerMean(checked) if weighting == "power_mean" else _Plain(weighting)


def _checked_powers(powers: Any) -> list[float]:
    listed = (
        [powers] if isinstance(powers, (int, float, np.number)) else list(powers) if isinstance(powers, (list, tuple, np.ndarray)) else []
    )
    is_number = all(isinstance(power, (int, float, np.number)) and not isinstance(power, (bool, np.bool_)) for power in listed)
    if not listed or not is_number or not all(abs(power) == math.inf or (power >= 1 and power == int(power)) for power in listed):
        raise invalid("powers", "a sequence of whole numbers from 1, or plus or minus infinity", powers)
    return [float(power) for power in listed]


def read_frequencies(source: Any) -> dict[str, float]:
    """Return the relative frequencies of words.

    Parameters
    ----------
    source : mapping, str or Path
        Counts by word, or a file with a word and its count a line.

    Returns
    -------
    dict of str to float
        Shares of all words, in (0, 1].

    Raises
    ------
    InvalidTableError
        If a line is not of that form.
    InvalidParameterError
        If a count is not a number from 0.
    """
    if isinstance(source, (str, Path)):
        counts = _read_counts(Path(source))
    elif isinstance(source, Mapping):
        counts = dict(source)
    else:
        raise invalid(
            "word_frequencies", "None, a mapping of words to counts, or the path of a file with a word and its count a line", source
        )
    for word, count in counts.items():
        if not isinstance(word, str) or not isinstance(count, (int, float, np.number)) or not 0 <= count < math.inf:
            raise invalid("word_frequencies", "a mapping of str to numbers from 0", {word: count})
    total = float(sum(counts.values()))
    if not total:
        raise invalid("word_frequencies", "counts that do not add up to 0", source)
    return {word: count / total for word, count in counts.items() if count}


def _read_counts(file: Path) -> dict[str, float]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise InvalidTableError(f"There is no file '{file}' of word frequencies.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidTableError(f"The file '{file}' cannot be read as text in utf-8: {error}.") from error
    counts: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        word, _, count = line.strip().replace("\t", " ").rpartition(" ")
        try:
            counts[word.strip()] = counts.get(word.strip(), 0.0) + float(count)
        except ValueError:
            raise InvalidTableError(f"Line {number} of '{file}' must hold a word and its count. Got {line[:80]!r} instead.") from None
    return counts
