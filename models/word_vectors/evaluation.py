"""Evaluate word vectors on similarity scores of people and on analogies."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import InvalidTableError
from ...validation import NUMBER, short_repr

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AnalogyScore", "SectionScore", "SimilarityScore", "analogy_score", "similarity_score"]

_NUMBER = re.compile(NUMBER)


@dataclass(frozen=True)
class SimilarityScore:
    """Correlation of cosines with human similarity scores of pairs of words.

    Attributes
    ----------
    spearman : float
        Spearman's correlation, in [-1, 1]. NaN if cosines or scores are constant.
    pearson : float
        Pearson's correlation, in [-1, 1]. NaN if cosines or scores are constant.
    n_pairs : int
        Number of pairs compared.
    n_unknown : int
        Number of pairs left out because the table lacks a word.
    """

    spearman: float
    pearson: float
    n_pairs: int
    n_unknown: int


class SectionScore(NamedTuple):
    """Questions of one section: answered correctly, answered, left out for an unknown word."""

    n_right: int
    n_questions: int
    n_unknown: int


@dataclass(frozen=True)
class AnalogyScore:
    """Accuracy on analogies.

    Attributes
    ----------
    accuracy : float
        Share of correct answers, in [0, 1]. NaN if no question was answered.
    n_questions : int
        Number of questions answered.
    n_unknown : int
        Number of questions left out because the table lacks a word.
    sections : dict of str to SectionScore
        The counts of each section of the file.
    """

    accuracy: float
    n_questions: int
    n_unknown: int
    sections: dict[str, SectionScore]


def similarity_score(
    file: str | Path, cosine: Callable[[str, str], float | None]
) -> SimilarityScore:
    """Correlate cosines with people's scores; ``cosine`` returns None for unknown words."""
    from scipy.stats import pearsonr, spearmanr

    pairs = [(cosine(one, other), score) for one, other, score in _pairs(Path(file))]
    known = [(found, score) for found, score in pairs if found is not None]
    n_unknown = len(pairs) - len(known)
    # Nothing correlates with a constant
    if not known or any(len(set(column)) < 2 for column in zip(*known, strict=True)):
        return SimilarityScore(float("nan"), float("nan"), len(known), n_unknown)
    spearman, pearson = (
        float(correlation(*zip(*known, strict=True)).statistic)
        for correlation in (spearmanr, pearsonr)
    )
    return SimilarityScore(spearman, pearson, len(known), n_unknown)


def analogy_score(
    file: str | Path,
    row_of: Callable[[str], int | None],
    answers: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    at_once: int,
) -> AnalogyScore:
    """Count correct answers to analogies.

    ``row_of`` returns the row of a word or None; ``answers`` the rows of fourth words, of shape
    (n_questions,), for rows of three of shape (n_questions, 3), at most ``at_once`` questions.
    """
    sections: dict[str, SectionScore] = {}
    for name, group in groupby(_questions(Path(file)), key=lambda question: question[0]):
        rows = [[row_of(word) for word in words] for _, words in group]
        known = np.array([row for row in rows if None not in row], dtype=np.int64).reshape(-1, 4)
        parts = [known[start : start + at_once] for start in range(0, len(known), at_once)]
        n_right = sum(int(np.count_nonzero(answers(part[:, :3]) == part[:, 3])) for part in parts)
        before = sections.get(name, SectionScore(0, 0, 0))
        sections[name] = SectionScore(
            before[0] + n_right, before[1] + len(known), before[2] + len(rows) - len(known)
        )
    n_right, n_questions, n_unknown = (
        sum(score[column] for score in sections.values()) for column in range(3)
    )
    return AnalogyScore(
        n_right / n_questions if n_questions else float("nan"), n_questions, n_unknown, sections
    )


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidTableError(f"There is no file '{file}'.") from None
    except (OSError, ValueError) as error:
        raise InvalidTableError(
            f"The file '{file}' cannot be read as text in utf-8: {error}."
        ) from error
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() splits at more
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _pairs(file: Path) -> Iterator[tuple[str, str, float]]:
    for number, line in _lines(file):
        separator = next((mark for mark in "\t;," if mark in line), None)
        fields = [field.strip() for field in line.split(separator)]
        # SimLex-999 has a part of speech before the score
        score = next((float(field) for field in fields[2:] if _NUMBER.fullmatch(field)), math.inf)
        if math.isfinite(score) and fields[0] and fields[1]:
            yield fields[0], fields[1], score
        elif number > 1 or len(fields) < 3:  # the first line may hold names of columns
            raise InvalidTableError(
                f"Line {number} of '{file}' must hold two words and a number, separated by tabs,"
                f" commas or spaces. Got {short_repr(line)} instead."
            )


def _questions(file: Path) -> Iterator[tuple[str, list[str]]]:
    section = ""
    for number, line in _lines(file):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise InvalidTableError(
                f"Line {number} of '{file}' must hold four words, or a section's name after ':'."
                f" Got {short_repr(line)} instead."
            )
        yield section, words
