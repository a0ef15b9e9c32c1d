"""Texts as pooled word vectors that are trained on the training texts: Word2Vec and fastText, by gensim."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from ..errors import InvalidTextError
from ..models.word_vectors.loading import load_word_vectors
from ..models.word_vectors.table import WordVectors
from ..validation import check_choice, check_flag, check_int, invalid
from .inputs.word_splitting import WORD_PATTERN, TextWords
from .static_base import WordVectorizer

if TYPE_CHECKING:
    from numpy.random import RandomState
    from numpy.typing import NDArray

__all__ = ["Word2VecVectorizer"]

_MODELS = ("word2vec", "fasttext")
_LONGEST_SENTENCE = 10_000  # gensim's MAX_WORDS_IN_BATCH


class Word2VecVectorizer(WordVectorizer):
    """Turn texts into the pooled vectors of their words, trained in ``fit`` on the training texts
    alone.

    Parameters
    ----------
    model : {"word2vec", "fasttext"}
        fastText also learns vectors of the n-grams of letters, and so has a vector for unseen
        words.
    vector_size : int
        Dimensions of a word's vector.
    window : int
        Most words between a word and one of its context, plus one.
    min_count : int
        Words that are there less often are unknown.
    skip_gram : bool
        Predict the context from the word (skip-gram), or the word from the context (CBOW).
    negative : int
        Words drawn as negative examples for each positive one.
    epochs : int
        Passes over the training texts. Small sets need more than gensim's usual five.
    n_buckets : int
        Vectors that the n-grams of fastText share by hashing; they are part of a pickle.
    workers : int
        Training threads. Only one thread gives the same vectors every time.
    random_state : int, RandomState or None
        An int gives the same vectors in every run, with one worker.
    weighting : {"mean", "sum", "max", "tfidf", "sif", "power_mean"}
        As for `StaticVectorizer`, and so are the parameters below.
    sif_a : float
    word_frequencies : mapping, str, Path or None
    powers : sequence of float
    tokenizer : str or callable
        Texts are lower-cased first.
    oov : {"auto", "skip", "zero", "subword"}
    normalize : bool
    missing : {"empty", "error", "zero", "nan"}

    Attributes
    ----------
    n_features_out_ : int
        Width of the result.
    word_vectors_ : WordVectors
        The trained table.
    oov_ : OovReport
        How many words and texts of the training set have no vector, and which.
    oov_rate_ : float
        Share of the training set's words that have no vector, in [0, 1].
    weighting_ : Weighting
        What the weighting learnt of the training texts.

    Raises
    ------
    InvalidTextError
        If no word is there ``min_count`` times.
    InvalidParameterError
        If a parameter breaks its rule.

    Notes
    -----
    Skip-gram, words from two occurrences on, and 30 epochs suit the small sets that classifiers learn from; gensim's own defaults
    (CBOW, five occurrences, five epochs) are for large corpora. Repeated texts are trained on one after the other.

    References
    ----------
    T. Mikolov, I. Sutskever, K. Chen, G. Corrado, J. Dean, "Distributed Representations of Words and Phrases and their
    Compositionality", NIPS 2013, section 2.

    P. Bojanowski, E. Grave, A. Joulin, T. Mikolov, "Enriching Word Vectors with Subword
    Information", TACL 2017, section 3.

    Examples
    --------
    >>> from bertvectorizer import Word2VecVectorizer
    >>> texts = ["tea in a cup", "a pot of tea", "a cup of tea", "a tea pot"]
    >>> vectorizer = Word2VecVectorizer(vector_size=8, random_state=0).fit(texts)
    >>> vectorizer.transform(["green tea"]).shape, vectorizer.oov_.most_frequent
    ((1, 8), [('in', 1)])
    """

    def __init__(
        self,
        model: str = "word2vec",
        *,
        vector_size: int = 100,
        window: int = 5,
        min_count: int = 2,
        skip_gram: bool = True,
        negative: int = 5,
        epochs: int = 30,
        n_buckets: int = 100_000,
        workers: int = 1,
        random_state: int | RandomState | None = None,
        weighting: str = "mean",
        sif_a: float = 1e-3,
        word_frequencies: Mapping[str, float] | str | Path | None = None,
        powers: Sequence[float] = (1, math.inf, -math.inf),
        tokenizer: str | Callable[[str], Iterable[str]] = WORD_PATTERN,
        oov: str = "auto",
        normalize: bool = False,
        missing: str = "empty",
    ) -> None:
        self.model = model
        self.vector_size = vector_size
        self.window = window
        self.min_count = min_count
        self.skip_gram = skip_gram
        self.negative = negative
        self.epochs = epochs
        self.n_buckets = n_buckets
        self.workers = workers
        self.random_state = random_state
        self.weighting = weighting
        self.sif_a = sif_a
        self.word_frequencies = word_frequencies
        self.powers = powers
        self.tokenizer = tokenizer
        self.oov = oov
        self.normalize = normalize
        self.missing = missing

    def _is_lowercase(self) -> bool:
        return True

    def _learn_table(self, found: TextWords, counts: NDArray[np.int64]) -> WordVectors:
        settings = self._settings()
        if not (found.times(counts) >= settings["min_count"]).any():
            raise InvalidTextError(
                f"No word is {settings['min_count']} times in the {int(counts.sum()):,} texts, so"
                " there is nothing to train on. Lower 'min_count', give more texts, or look at"
                " 'tokenizer'."
            )
        from gensim.models import FastText, Word2Vec

        kind = FastText if self.model == "fasttext" else Word2Vec
        trained = kind(_Sentences(found, counts), sorted_vocab=1, **settings)
        return load_word_vectors(trained.wv)

    def _keep_table(self, table: WordVectors) -> None:
        self.word_vectors_ = table

    def _settings(self) -> dict[str, Any]:
        """Check the parameters, and name them as gensim does."""
        check_choice("model", self.model, _MODELS)
        names = {
            "vector_size": 1,
            "window": 1,
            "min_count": 1,
            "negative": 1,
            "epochs": 1,
            "workers": 1,
        }
        settings: dict[str, Any] = {
            name: check_int(name, getattr(self, name), least) for name, least in names.items()
        }
        n_buckets = check_int("n_buckets", self.n_buckets, 1)
        bucket = {"bucket": n_buckets} if self.model == "fasttext" else {}
        return {
            **settings,
            **bucket,
            "sg": int(check_flag("skip_gram", self.skip_gram)),
            "seed": self._seed(),
        }

    def _seed(self) -> int:
        try:
            return int(check_random_state(self.random_state).randint(1 << 31))
        except ValueError:
            rule = "an int in the range [0, 4294967295], a numpy.random.RandomState or None"
            raise invalid("random_state", rule, self.random_state) from None

    def _table(self) -> WordVectors:
        return self.word_vectors_


class _Sentences:
    """The texts as lists of words, as often as they are there; can be gone through again and again.

    A longer text than gensim trains on at once, which silently leaves out the rest, comes in
    pieces.
    """

    def __init__(self, found: TextWords, counts: NDArray[np.int64]) -> None:
        self._found, self._counts = found, counts

    def __iter__(self) -> Iterator[list[str]]:
        found = self._found
        for text, count in enumerate(self._counts.tolist()):
            words = [
                found.words[place]
                for place in found.ids[found.offsets[text] : found.offsets[text + 1]].tolist()
            ]
            pieces = [
                words[start : start + _LONGEST_SENTENCE]
                for start in range(0, len(words), _LONGEST_SENTENCE)
            ]
            for _ in range(count):
                yield from pieces
