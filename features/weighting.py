"""How the vectors of a text's words become one: learned weights, and pooling."""

from __future__ import annotations

import math
import numbers
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from ..errors import InvalidTableError
from ..models.pooling.words import pool_words, power_means
from ..validation import check_choice, check_number, invalid, short_repr
from .inputs.word_splitting import TextWords

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WEIGHTINGS", "Weighting", "WeightingName", "make_weighting", "read_frequencies"]

WeightingName: TypeAlias = Literal["mean", "sum", "max", "tfidf", "sif", "power_mean"]
WEIGHTINGS: tuple[WeightingName, ...] = get_args(WeightingName)


class Weighting(ABC):
    """Pools the words of texts; learns what it needs of the training texts first."""

    def learn(self, found: TextWords, counts: NDArray[np.int64]) -> None:
        """Learn from all words of distinct texts, each repeated ``counts`` times."""
        return

    def learn_vectors(
        self,
        found: TextWords,
        counts: NDArray[np.int64],
        vectors: NDArray[np.float32],
        rows: NDArray[np.int64],
    ) -> None:
        """Learn from the vectors of these texts; arguments are as in `pool`."""
        return

    @abstractmethod
    def pool(
        self, found: TextWords, vectors: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return vectors of shape (n_texts, n_dims * width), zeros for a text without words.

        ``rows`` has the row in ``vectors`` of each of ``found.words``.
        """

    @property
    def width(self) -> int:
        """Features for each dimension of the word vectors."""
        return 1

    @property
    def given_frequencies(self) -> dict[str, float] | None:
        """Relative frequencies of words that were given and are used; None if there are none."""
        return None


class _Plain(Weighting):
    """Sum, mean or maximum."""

    def __init__(self, kind: Literal["sum", "mean", "max"]) -> None:
        self._kind = kind

    def pool(
        self, found: TextWords, vectors: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return pool_words(vectors, rows[found.ids], found.offsets[:-1], self._kind)


class _PowerMean(Weighting):
    """Power means side by side."""

    def __init__(self, powers: Sequence[float]) -> None:
        self._powers = tuple(powers)

    def pool(
        self, found: TextWords, vectors: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        return power_means(vectors, rows[found.ids], found.offsets[:-1], self._powers)

    @property
    def width(self) -> int:
        return len(self._powers)


class _Tfidf(Weighting):
    """Mean weighted by scikit-learn's smoothed idf, ``ln((1 + n) / (1 + df)) + 1``."""

    def learn(self, found: TextWords, counts: NDArray[np.int64]) -> None:
        pairs = np.unique(
            found.texts * max(len(found.words), 1) + found.ids
        )  # each word of a text once
        text, word = np.divmod(pairs, max(len(found.words), 1))
        frequencies = np.bincount(word, weights=counts[text], minlength=len(found.words))
        n = int(counts.sum())
        self._unseen = math.log(1 + n) + 1
        self._idf = dict(
            zip(found.words, (np.log((1 + n) / (1 + frequencies)) + 1).tolist(), strict=True)
        )

    def pool(
        self, found: TextWords, vectors: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        weights = np.array(
            [self._idf.get(word, self._unseen) for word in found.words], dtype=np.float32
        )[found.ids]
        sums = pool_words(vectors, rows[found.ids], found.offsets[:-1], "sum", weights)
        totals = np.bincount(
            found.texts, weights=weights, minlength=len(sums)
        )  # text by text, so that no text depends on others
        return sums / np.where(found.lengths > 0, totals, 1).astype(np.float32)[:, None]


class _Sif(Weighting):
    """Smooth inverse frequency: weight rare words more, and remove the common component."""

    def __init__(self, a: float, frequencies: dict[str, float] | None) -> None:
        self._a = a
        self._is_given = frequencies is not None
        self._frequencies = frequencies or {}

    @property
    def given_frequencies(self) -> dict[str, float] | None:
        return self._frequencies if self._is_given else None

    def learn(self, found: TextWords, counts: NDArray[np.int64]) -> None:
        if not self._is_given:
            times = found.times(counts)
            self._frequencies = dict(
                zip(found.words, (times / max(times.sum(), 1)).tolist(), strict=True)
            )

    def learn_vectors(
        self,
        found: TextWords,
        counts: NDArray[np.int64],
        vectors: NDArray[np.float32],
        rows: NDArray[np.int64],
    ) -> None:
        # The first right singular vector of the training vectors, each as often as its text is
        # there; not centred, as in the paper.
        averages = self._average(found, vectors, rows) * np.sqrt(counts)[:, None]
        _, directions = np.linalg.eigh(averages.T @ averages)
        self._common = directions[:, -1] if averages.any() else np.zeros(vectors.shape[1])

    def _average(
        self, found: TextWords, vectors: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        weights = np.array(
            [self._a / (self._a + self._frequencies.get(word, 0.0)) for word in found.words],
            dtype=np.float32,
        )
        sums = pool_words(vectors, rows[found.ids], found.offsets[:-1], "sum", weights[found.ids])
        return sums / np.maximum(found.lengths, 1).astype(np.float32)[:, None]

    def pool(
        self, found: TextWords, vectors: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        averages = self._average(found, vectors, rows)
        # Not a matrix product, whose rounding may depend on the number of texts.
        shares = (averages * self._common).sum(axis=1, keepdims=True)
        removed: NDArray[np.float32] = (averages - shares * self._common).astype(np.float32)
        return removed


def make_weighting(weighting: Any, sif_a: Any, word_frequencies: Any, powers: Any) -> Weighting:
    """Check the parameters of a vectorizer and return its weighting."""
    name = check_choice("weighting", weighting, WEIGHTINGS)
    a = check_number("sif_a", sif_a)
    frequencies = None if word_frequencies is None else read_frequencies(word_frequencies)
    checked = _checked_powers(powers)
    if name == "tfidf":
        return _Tfidf()
    if name == "sif":
        return _Sif(a, frequencies)
    return _PowerMean(checked) if name == "power_mean" else _Plain(name)


def _checked_powers(powers: Any) -> list[float]:
    listed = (
        [powers]
        if _is_number(powers)
        else list(powers)
        if isinstance(powers, (list, tuple, np.ndarray))
        else []
    )
    is_power = [
        _is_number(power) and (abs(power) == math.inf or (power >= 1 and power == int(power)))
        for power in listed
    ]
    if not listed or not all(is_power):
        raise invalid(
            "powers", "a sequence of whole numbers from 1, or plus or minus infinity", powers
        )
    return [float(power) for power in listed]


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def read_frequencies(source: Any) -> dict[str, float]:
    """Return relative frequencies of words from counts, or from a file of words and counts."""
    if isinstance(source, (str, os.PathLike)):
        counts = _read_counts(Path(os.path.expanduser(source)))
    elif isinstance(source, Mapping):
        counts = dict(source)
    else:
        raise invalid(
            "word_frequencies",
            "None, a mapping of words to counts, or the path of a file with a word and its count a"
            " line",
            source,
        )
    for word, count in counts.items():
        if not isinstance(word, str) or not _is_number(count) or not 0 <= count < math.inf:
            raise invalid("word_frequencies", "a mapping of str to numbers from 0", {word: count})
    total = float(sum(counts.values()))
    if not total:
        raise invalid("word_frequencies", "counts of words, not all of them 0", source)
    return {word: count / total for word, count in counts.items() if count}


def _read_counts(file: Path) -> dict[str, float]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise InvalidTableError(
            f"There is no file '{file}', which the 'word_frequencies' parameter names."
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidTableError(
            f"The file '{file}' of 'word_frequencies' cannot be read as text in utf-8: {error}."
        ) from error
    counts: defaultdict[str, float] = defaultdict(float)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            word, last = line.rsplit(maxsplit=1)
            count = float(last)
        except ValueError:
            count = math.nan
        if not 0 <= count < math.inf:
            raise InvalidTableError(
                f"Line {number} of '{file}' must hold a word and its count, a number from 0. Got"
                f" {short_repr(line)} instead."
            )
        counts[word.strip()] += count
    return dict(counts)
