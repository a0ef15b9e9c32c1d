"""Base of the vectorizers that pool word vectors: split, look up, pool, report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..errors import InvalidParameterError
from ..models.word_vectors.table import WordVectors
from ..validation import check_choice, check_flag
from .base import TextVectorizer
from .inputs.word_splitting import TextWords, check_tokenizer, split_words
from .weighting import Weighting, WeightingName, make_weighting

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LookedUp", "OovReport", "WordVectorizer"]

Oov: TypeAlias = Literal["auto", "skip", "zero", "subword"]

_TEXTS_AT_ONCE = 50_000
_WORDS_NAMED = 20


@dataclass(frozen=True)
class OovReport:
    """Out-of-vocabulary words: counts of words and texts without a vector.

    Attributes
    ----------
    n_texts : int
        Number of texts, or of words or spans, according to ``unit``.
    n_empty : int
        Number of texts without any known word. Their vectors are zeros.
    n_words : int
        Number of words, with repetitions.
    n_unknown : int
        Number of words without a vector, with repetitions.
    most_frequent : list of (str, int)
        At most 20 unknown words and their counts, the most frequent first.

    See Also
    --------
    StaticVectorizer : Its attribute ``oov_`` is such a report.
    Word2VecVectorizer : Its attribute ``oov_`` is such a report.

    Examples
    --------
    >>> from bertvectorizer.features import OovReport
    >>> OovReport(n_texts=1, n_empty=0, n_words=4, n_unknown=1, most_frequent=[("of", 1)]).rate
    0.25
    """

    n_texts: int
    n_empty: int
    n_words: int
    n_unknown: int
    most_frequent: list[tuple[str, int]]

    @property
    def rate(self) -> float:
        """Share of all words without a vector, in [0, 1]; 0 for texts without words."""
        return self.n_unknown / self.n_words if self.n_words else 0.0


class LookedUp(NamedTuple):
    """Words of texts and their vectors; ``rows`` has the row of each distinct word."""

    found: TextWords
    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    is_known: NDArray[np.bool_]


class WordVectorizer(TextVectorizer):
    """Base class of the vectorizers that pool a static vector for each word of a text.

    A subclass stores the parameters that are annotated here, and implements ``_is_lowercase``,
    ``_learn_table``, ``_keep_table`` and ``_table``.

    See Also
    --------
    StaticVectorizer : Pool word vectors of a file or table.
    Word2VecVectorizer : Pool word vectors trained on the training texts.

    Examples
    --------
    >>> from bertvectorizer.features import StaticVectorizer, Word2VecVectorizer, WordVectorizer
    >>> issubclass(StaticVectorizer, WordVectorizer), issubclass(Word2VecVectorizer, WordVectorizer)
    (True, True)
    """

    weighting: WeightingName
    sif_a: float
    word_frequencies: Mapping[str, float] | str | Path | None
    powers: Sequence[float]
    tokenizer: str | Callable[[str], Iterable[str]]
    oov: Oov
    normalize: bool | None

    @abstractmethod
    def _is_lowercase(self) -> bool:
        """Whether texts are lower-cased before they are split."""

    @abstractmethod
    def _learn_table(self, found: TextWords, counts: NDArray[np.int64]) -> WordVectors:
        """Return the table for distinct texts, repeated ``counts`` times; change no attribute."""

    @abstractmethod
    def _keep_table(self, table: WordVectors) -> None:
        """Set the fitted attributes that `_table` needs."""

    @abstractmethod
    def _table(self) -> WordVectors:
        """Return the table that was fitted."""

    @property
    def oov_rate_(self) -> float:
        """Share of the words of the training texts that have no vector, in [0, 1]."""
        check_is_fitted(self)
        return self.oov_.rate

    def oov_report(self, X: Any) -> OovReport:
        """Count the words and texts without a vector.

        Parameters
        ----------
        X : list, tuple, ndarray, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
            As for ``fit``.

        Returns
        -------
        report : OovReport
            The counts, and the most frequent unknown words.

        Raises
        ------
        InvalidTextError
            If X is not valid input of ``fit``.
        NotFittedError
            If the vectorizer is not fitted.
        """
        check_is_fitted(self)
        self._check_settings()
        texts = self._read(X).texts
        table = self._table()
        looked_up = self._look_up(self._split(texts), table)
        return _report(looked_up, np.ones(len(texts), dtype=np.int64))

    def _learn(self, texts: list[str], counts: NDArray[np.int64]) -> None:
        self._learn_words(texts, counts)

    def _learn_vectors(self, texts: list[str], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._pool(self._learn_words(texts, counts))

    def _learn_words(self, texts: list[str], counts: NDArray[np.int64]) -> LookedUp:
        weighting = make_weighting(self.weighting, self.sif_a, self.word_frequencies, self.powers)
        self._check_settings()
        found = self._split(texts)
        table = self._learn_table(found, counts)
        looked_up = self._look_up(found, table)
        weighting.learn(found, counts)
        weighting.learn_vectors(self._counted(looked_up), counts, looked_up.vectors, looked_up.rows)
        # Attributes come last and together, so that a fit that fails leaves the estimator as it
        # was.
        self._keep_table(table)
        self.oov_ = _report(looked_up, counts)
        self.weighting_: Weighting = weighting
        return looked_up

    def _check_settings(self) -> None:
        """Check the parameters that ``transform`` reads, too."""
        check_choice("oov", self.oov, get_args(Oov))
        self._is_normalized()

    def _is_normalized(self) -> bool:
        return check_flag("normalize", self.normalize)

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        check_is_fitted(self)
        self._check_settings()
        table = self._table()
        if len(texts) <= _TEXTS_AT_ONCE:
            return self._pool(self._look_up(self._split(texts), table))
        result = np.empty((len(texts), self._n_features()), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            chunk = slice(start, start + _TEXTS_AT_ONCE)
            result[chunk] = self._pool(self._look_up(self._split(texts[chunk]), table))
        return result

    def _n_features(self) -> int:
        check_is_fitted(self)
        return self._table().n_dims * self.weighting_.width

    def _split(self, texts: Sequence[str]) -> TextWords:
        return split_words(texts, check_tokenizer(self.tokenizer), self._is_lowercase())

    def _look_up(self, found: TextWords, table: WordVectors) -> LookedUp:
        """Find the vectors of words; copy those of the table only to add others to them."""
        rows = table.rows(found.words)
        is_known = rows >= 0
        kept = table.verified(rows[is_known])
        by_subwords = self._by_subwords(table)
        if is_known.all() or not (by_subwords or self.oov == "zero"):
            return LookedUp(found, kept, rows, is_known)
        unknown = np.flatnonzero(~is_known)
        more = np.zeros((len(unknown), table.n_dims), dtype=np.float32)
        if by_subwords:
            assert table.subwords is not None
            more, is_known[unknown] = table.subwords.vectors(
                [found.words[word] for word in unknown]
            )
        vectors = np.empty((len(rows), table.n_dims), dtype=np.float32)
        vectors[unknown] = more
        in_table = np.flatnonzero(rows >= 0)
        vectors[in_table] = kept[rows[in_table]]
        return LookedUp(found, vectors, np.arange(len(rows)), is_known)

    def _by_subwords(self, table: WordVectors) -> bool:
        if self.oov == "subword" and table.subwords is None:
            raise InvalidParameterError(
                "The 'oov' parameter must not be 'subword' with these word vectors: they have whole"
                " words only. Set oov to 'skip' or 'zero', or take vectors of fastText or of a"
                " distilled transformer, which have parts of words."
            )
        return self.oov == "subword" or (self.oov == "auto" and table.subwords is not None)

    def _counted(self, looked_up: LookedUp) -> TextWords:
        """The words that count: unknown ones do with ``oov="zero"`` only."""
        return looked_up.found if self.oov == "zero" else looked_up.found.only(looked_up.is_known)

    def _pool(self, looked_up: LookedUp) -> NDArray[np.float32]:
        pooled = self.weighting_.pool(self._counted(looked_up), looked_up.vectors, looked_up.rows)
        if self._is_normalized():
            # In float64: squares leave the range of float32.
            lengths = np.linalg.norm(pooled.astype(np.float64), axis=1, keepdims=True)
            pooled = (pooled / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return pooled


def _report(looked_up: LookedUp, counts: NDArray[np.int64]) -> OovReport:
    found, is_known = looked_up.found, looked_up.is_known
    times = found.times(counts)
    n_known = np.diff(np.concatenate([[0], np.cumsum(is_known[found.ids])])[found.offsets])
    unknown = np.flatnonzero(~is_known & (times > 0))
    first = unknown[np.lexsort((unknown, -times[unknown]))][:_WORDS_NAMED]
    return OovReport(
        n_texts=int(counts.sum()),
        n_empty=int(counts[n_known == 0].sum()),
        n_words=int(times.sum()),
        n_unknown=int(times[~is_known].sum()),
        most_frequent=[(found.words[word], int(times[word])) for word in first],
    )
