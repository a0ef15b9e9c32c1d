"""A table of words and vectors: look-up, nearest words, analogies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, get_args

import numpy as np

from ...errors import UnknownWordError
from ...validation import check_choice, check_int, invalid
from .array_formats import write_safetensors
from .checks import check_vectors, check_words
from .evaluation import AnalogyScore, SimilarityScore, analogy_score, similarity_score

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Subwords", "WordVectors"]

AnalogyMethod: TypeAlias = Literal["3cosadd", "3cosmul"]

_EPSILON = 0.001  # of 3CosMul, as in the paper
# Least length of a vector with a direction; the inverse of less may overflow float32
_SHORTEST = 1e-30
_WORDS_PER_CASED = 100
_ROWS_AT_ONCE = 1 << 16
_SCORES_AT_ONCE = 1 << 25


class Subwords(Protocol):
    """Computes vectors of words that a table lacks from their parts."""

    def vectors(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return vectors of shape (n_words, n_dims), and which of the words have one."""
        ...


class WordVectors:
    """A table of static word vectors.

    Parameters
    ----------
    words : sequence of str of length n_words
        Distinct words, the most frequent first if frequencies are known.
    vectors : array-like of shape (n_words, n_dims)
        Finite numbers, stored as float32. A float32 array is not copied.
    subwords : Subwords or None, default=None
        Computes vectors of words that are not in the table, as fastText does.

    Raises
    ------
    InvalidParameterError
        If a word is repeated or not a str, a number is not finite, or the number of words differs
        from the number of vectors.

    See Also
    --------
    load_word_vectors : Read a table from a file or another library.
    StaticVectorizer : Encode texts by pooling word vectors.

    Notes
    -----
    A table is immutable, and copies of an estimator share it. A table from a file is a
    memory-mapped array, which worker processes share. A pickle of it holds the file's path and
    digest instead of the numbers.

    References
    ----------
    T. Mikolov, W. Yih, G. Zweig, "Linguistic Regularities in Continuous Space Word
    Representations", NAACL 2013 (3CosAdd).

    O. Levy, Y. Goldberg, "Linguistic Regularities in Sparse and Explicit Word Representations",
    CoNLL 2014, section 6 (3CosMul).

    Examples
    --------
    >>> from bertvectorizer import WordVectors
    >>> words = ["stockholm", "sweden", "cairo", "egypt", "tea"]
    >>> rows = [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1]]
    >>> table = WordVectors(words, rows)
    >>> table.analogy("Stockholm", "Sweden", "Cairo", n=1)
    [('egypt', 1.0)]
    >>> round(table.similarity("stockholm", "cairo"), 2)
    0.5
    """

    def __init__(
        self, words: Sequence[str], vectors: ArrayLike, *, subwords: Subwords | None = None
    ) -> None:
        self._words = check_words(words)
        self._vectors = check_vectors(vectors, len(self._words))
        self._subwords = subwords
        self._origin: tuple[Callable[..., WordVectors], tuple[Any, ...]] | None = None
        self._digest: str | None = None
        self._n_skipped = 0
        self._verified: Callable[[NDArray[np.int64] | None], NDArray[np.float32]] | None = None

    @classmethod
    def trusted(
        cls,
        words: list[str],
        vectors: NDArray[np.float32],
        digest: str,
        origin: tuple[Callable[..., WordVectors], tuple[Any, ...]] | None = None,
        subwords: Subwords | None = None,
        verified: Callable[[NDArray[np.int64] | None], NDArray[np.float32]] | None = None,
        n_skipped: int = 0,
    ) -> Self:
        """Build a table of distinct words and finite vectors without checks, for the disk cache.

        The array becomes read-only. ``digest`` is the fingerprint of the table; ``origin`` is the
        function, and its arguments, that opens the table in another process. ``verified`` returns
        the array after a check of some rows, or of all for None.
        """
        self = cls.__new__(cls)
        vectors.flags.writeable = False
        self._words, self._vectors, self._subwords = words, vectors, subwords
        self._origin, self._digest, self._verified = origin, digest, verified
        self._n_skipped = n_skipped
        return self

    def save(self, path: str | Path) -> None:
        """Write the table as safetensors, atomically.

        The tensors are ``vectors``, float32, and ``words``, a JSON list in UTF-8. Subwords are not
        written.

        Parameters
        ----------
        path : str or Path
            A file name that ends in ``.safetensors``.

        Raises
        ------
        InvalidParameterError
            If ``path`` does not end in ``.safetensors``, or cannot be written.

        See Also
        --------
        load_word_vectors : Load the table.
        """
        if Path(path).suffix != ".safetensors":
            raise invalid("path", "a file name that ends in '.safetensors'", str(path))
        write_safetensors(Path(path), self._words, self.vectors)

    @property
    def words(self) -> list[str]:
        """The words in the order of the rows, as a new list."""
        return list(self._words)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors, read-only, of shape (n_words, n_dims) and dtype float32."""
        return self.verified()

    @property
    def n_dims(self) -> int:
        """Number of dimensions of a vector."""
        return int(self._vectors.shape[1])

    @property
    def n_skipped(self) -> int:
        """Number of faulty rows of the file that were left out, see `load_word_vectors`."""
        return self._n_skipped

    @property
    def subwords(self) -> Subwords | None:
        """What computes vectors of words that are not in the table, or None."""
        return self._subwords

    @cached_property
    def is_lowercase(self) -> bool:
        """Whether at most 1 % of the words have capitals. If so, look-ups ignore case."""
        return (
            sum(word.isalpha() and word != word.lower() for word in self._words)
            <= len(self._words) // _WORDS_PER_CASED
        )

    @property
    def fingerprint(self) -> str:
        """Digest of the content, in hexadecimal."""
        if self._digest is None:
            digest = hashlib.blake2b(
                repr((self._vectors.shape, type(self._subwords).__name__)).encode(), digest_size=16
            )
            for word in self._words:
                encoded = word.encode("utf-8", "surrogatepass")
                digest.update(b"%d " % len(encoded) + encoded)
            digest.update(np.ascontiguousarray(self.vectors).data)
            self._digest = digest.hexdigest()
        return self._digest

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self._words)}

    @cached_property
    def _inverse_norms(self) -> NDArray[np.float32]:
        """The inverse length of each vector, of shape (n_words,); 0 for zeros."""
        parts = np.array_split(self.vectors, len(self) // _ROWS_AT_ONCE + 1)
        return np.concatenate([_inverse_lengths(part) for part in parts])

    def __len__(self) -> int:
        return len(self._words)

    def __contains__(self, word: object) -> bool:
        """Whether the table has the word; others may still have a vector by `subwords`."""
        return isinstance(word, str) and self._row(word) is not None

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        """Return the vector of a word, of shape (n_dims,) and dtype float32."""
        row = self._row(word)
        vector: NDArray[np.float32]
        if row is not None:
            vector = self.verified(np.array([row]))[row]
            return vector
        if self._subwords is not None:
            (vector,), (is_known,) = self._subwords.vectors(
                [word.lower() if self.is_lowercase else word]
            )
            if is_known:
                return vector
        raise UnknownWordError(f"The word {word!r} is not among the {len(self):,} of this table.")

    def __repr__(self) -> str:
        return (
            f"WordVectors({len(self):,} words, {self.n_dims}"
            f" dims{', subwords' if self._subwords is not None else ''})"
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it never changes, and scikit-learn's clone() copies parameters

    def __reduce__(self) -> tuple[Callable[..., WordVectors], tuple[Any, ...]]:
        return self._origin or (
            _rebuild,
            (self._words, self.vectors, self.fingerprint, self._subwords),
        )

    def _row(self, word: str) -> int | None:
        if not isinstance(word, str):
            raise invalid("word", "a str", word)
        row = self._index.get(word)
        return self._index.get(word.lower()) if row is None and self.is_lowercase else row

    def rows(self, words: Iterable[str]) -> NDArray[np.int64]:
        """Return the row of each word, or -1 for words that are not in the table.

        The case of letters matters.

        Parameters
        ----------
        words : iterable of str
            The words.

        Returns
        -------
        rows : ndarray of shape (n_words,), dtype int64
            The row of each word.
        """
        get = self._index.get
        return np.fromiter((get(word, -1) for word in words), dtype=np.int64)

    def verified(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the vectors after a check that the rows to be used are as they were written.

        A table that is cached on disk is checked in blocks, each when it is first used.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,), dtype int64, default=None
            The rows that will be used. None checks all.

        Returns
        -------
        vectors : ndarray of shape (n_words, n_dims), float32
            All vectors, read-only.

        See Also
        --------
        rows : The rows of words.
        """
        if self._verified is not None:
            self._vectors = self._verified(rows)
            self._vectors.flags.writeable = False
        return self._vectors

    def similarity(self, a: str, b: str) -> float:
        """Return the cosine similarity of two words.

        Parameters
        ----------
        a : str
            A word.
        b : str
            Another word.

        Returns
        -------
        cosine : float
            In [-1, 1]. It is 0 if one of the vectors is zero.

        Raises
        ------
        UnknownWordError
            If a word has no vector.
        """
        one, other = self[a].astype(np.float64), self[b].astype(np.float64)
        length = np.linalg.norm(one) * np.linalg.norm(other)
        return float(np.clip(one @ other / length, -1, 1)) if length else 0.0

    def most_similar(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """Return the nearest words by cosine similarity, without the word itself.

        Parameters
        ----------
        word : str
            The word.
        n : int, default=10
            Number of words to return.

        Returns
        -------
        nearest : list of (str, float)
            Words and cosines, the nearest first.

        Raises
        ------
        InvalidParameterError
            If ``n`` is less than 1.
        UnknownWordError
            If the word has no vector.
        """
        n = check_int("n", n, 1)
        return self._best(self._cosines(_units(self[word][None]))[0], [word], n)

    def analogy(
        self, a: str, b: str, c: str, n: int = 10, method: AnalogyMethod = "3cosadd"
    ) -> list[tuple[str, float]]:
        """Complete an analogy: ``a`` is to ``b`` as ``c`` is to ...

        Parameters
        ----------
        a : str
            First word. The three words are never an answer.
        b : str
            Word that is related to ``a``.
        c : str
            Word for which the related word is returned.
        n : int, default=10
            Number of words to return.
        method : {"3cosadd", "3cosmul"}, default="3cosadd"
            Sum of cosines, or product of cosines scaled to [0, 1].

        Returns
        -------
        answers : list of (str, float)
            Words and scores, the best first. The score of 3CosAdd is a cosine.

        Raises
        ------
        InvalidParameterError
            If ``n`` is less than 1, or ``method`` is not one of the choices.
        UnknownWordError
            If a word has no vector.
        """
        n = check_int("n", n, 1)
        check_choice("method", method, get_args(AnalogyMethod))
        units = _units(np.stack([self[word] for word in (a, b, c)]))
        return self._best(self._analogy_scores(units[None], method, len(self))[0], [a, b, c], n)

    def _analogy_scores(
        self, units: NDArray[np.float32], method: AnalogyMethod, n_words: int
    ) -> NDArray[np.float32]:
        """Score the first ``n_words``; ``units`` of shape (n, 3, n_dims) give (n, n_words)."""
        if method == "3cosadd":
            return self._cosines(_units(units[:, 1] - units[:, 0] + units[:, 2]), n_words)
        to_a, to_b, to_c = (
            (1 + self._cosines(units[:, word], n_words)) / np.float32(2) for word in range(3)
        )
        scores: NDArray[np.float32] = to_b * to_c / (to_a + np.float32(_EPSILON))
        return scores

    def _cosines(
        self, units: NDArray[np.float32], n_words: int | None = None
    ) -> NDArray[np.float32]:
        """Return cosines, of shape (n, n_words), of unit vectors with the first words."""
        return (units @ self.vectors[:n_words].T) * self._inverse_norms[:n_words]

    def _best(
        self, scores: NDArray[np.float32], but: Iterable[str], n: int
    ) -> list[tuple[str, float]]:
        scores[[row for word in but if (row := self._row(word)) is not None]] = -np.inf
        n = min(n, int(np.count_nonzero(scores > -np.inf)))
        least = -np.partition(-scores, n - 1)[n - 1] if n else np.inf
        rows = np.flatnonzero(scores >= least)  # of equals, the more frequent words come first
        order = rows[np.lexsort((rows, -scores[rows]))][:n]
        return [(self._words[row], round(float(scores[row]), 6)) for row in order]

    def evaluate_similarity(self, file: str | Path) -> SimilarityScore:
        """Return the correlation of cosines with human similarity scores of pairs of words.

        Parameters
        ----------
        file : str or Path
            File with two words and a score on each line, separated by tabs, commas or spaces, such
            as WordSim-353, SimLex-999 or MEN.

        Returns
        -------
        score : SimilarityScore
            Spearman's and Pearson's correlation over the pairs whose words both have a vector, and
            the numbers of pairs.

        Raises
        ------
        InvalidTableError
            If the file cannot be read, or a line does not hold two words and a score.

        See Also
        --------
        evaluate_analogies : Accuracy on analogies.
        """

        def cosine(a: str, b: str) -> float | None:
            with suppress(UnknownWordError):
                return self.similarity(a, b)
            return None

        return similarity_score(file, cosine)

    def evaluate_analogies(
        self, file: str | Path, method: AnalogyMethod = "3cosadd", n_words: int | None = 300_000
    ) -> AnalogyScore:
        """Return the accuracy on analogies of the form "a is to b as c is to d".

        Parameters
        ----------
        file : str or Path
            File with four words on each line and sections that begin with ``: name``, such as
            Mikolov's ``questions-words.txt``.
        method : {"3cosadd", "3cosmul"}, default="3cosadd"
            As in ``analogy``.
        n_words : int or None, default=300_000
            Number of words to use, from the start of the table. None uses all.

        Returns
        -------
        score : AnalogyScore
            Accuracy over the questions whose words are all known, in total and by section, and the
            numbers of questions.

        Raises
        ------
        InvalidTableError
            If the file cannot be read, or a line does not hold four words.
        InvalidParameterError
            If ``n_words`` is less than 1, or ``method`` is not one of the choices.

        See Also
        --------
        evaluate_similarity : Correlation with human similarity scores.
        """
        check_choice("method", method, get_args(AnalogyMethod))
        most = min(len(self), check_int("n_words", n_words, 1, optional=True) or len(self))

        def row_of(word: str) -> int | None:
            row = self._row(word)
            return row if row is not None and row < most else None

        def answers(given: NDArray[np.int64]) -> NDArray[np.int64]:
            scores = self._analogy_scores(
                self.vectors[given] * self._inverse_norms[given, None], method, most
            )
            np.put_along_axis(scores, given, -np.inf, axis=1)
            best: NDArray[np.int64] = scores.argmax(axis=1)
            return best

        return analogy_score(file, row_of, answers, at_once=max(1, _SCORES_AT_ONCE // most))


def _inverse_lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the inverse length of each vector, of shape (n,); 0 for zeros."""
    # Squares may overflow float32
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    inverse: NDArray[np.float64] = np.divide(
        1, lengths, out=np.zeros_like(lengths), where=lengths > _SHORTEST
    )
    return inverse.astype(np.float32)


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors of length one, zeros for zeros."""
    return vectors * _inverse_lengths(vectors)[:, None]


def _rebuild(
    words: list[str], vectors: NDArray[np.float32], digest: str, subwords: Subwords | None
) -> WordVectors:
    return WordVectors.trusted(words, vectors, digest, subwords=subwords)
