"""Train Word2Vec or fastText on the training texts by gensim, and pool word vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils import check_random_state

from ..errors import InvalidTextError
from ..models.word_vectors.loading import load_word_vectors
from ..models.word_vectors.table import WordVectors
from ..private_api import without_socket_probe
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
    """Encode texts by pooling word vectors that ``fit`` trains on the training texts.

    Parameters
    ----------
    model : {"word2vec", "fasttext"}, default="word2vec"
        fastText also learns vectors of n-grams of characters, so that unseen words have vectors.
    vector_size : int, default=100
        Number of dimensions of a word vector.
    window : int, default=5
        Maximum distance between a word and a word of its context.
    min_count : int, default=2
        Minimum number of occurrences of a word. Rarer words have no vector.
    skip_gram : bool, default=True
        Whether to predict the context from the word (skip-gram). False predicts the word from the
        context (CBOW).
    negative : int, default=5
        Number of negative samples for each positive one.
    epochs : int, default=30
        Number of passes over the training texts. Small sets need more than gensim's default of 5.
    n_buckets : int, default=100_000
        Number of hash buckets for the n-grams of fastText. Their vectors are part of a pickle.
    workers : int, default=1
        Number of training threads. The vectors are reproducible with one thread only.
    random_state : int, RandomState or None, default=None
        Seed of the training. An int makes the vectors reproducible with ``workers=1``.
    weighting : {"mean", "sum", "max", "tfidf", "sif", "power_mean"}, default="mean"
        How word vectors are pooled. This parameter and the next ones are as in
        `StaticVectorizer`.
    sif_a : float, default=1e-3
        The parameter ``a`` of ``weighting="sif"``.
    word_frequencies : mapping, str or Path, default=None
        Counts of words for ``"sif"``.
    powers : sequence of float, default=(1, inf, -inf)
        Powers for ``weighting="power_mean"``.
    tokenizer : str or callable, default=scikit-learn's
        Pattern or callable that finds words. Texts are lower-cased first.
    oov : {"auto", "skip", "zero", "subword"}, default="auto"
        How to treat words without a trained vector.
    normalize : bool, default=False
        Whether to scale each row to unit length.
    missing : {"empty", "error", "zero", "nan"}, default="empty"
        How to encode missing texts.

    Attributes
    ----------
    n_features_out_ : int
        Number of columns of the result.
    n_features_in_ : int
        Number of text columns that ``fit`` saw.
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
        Their names. Defined only if each of them has a str as its name.
    word_vectors_ : WordVectors
        The trained table.
    oov_ : OovReport
        The words and texts of the training set without a vector.
    oov_rate_ : float
        Share of the training set's words that have no vector, in [0, 1].
    weighting_ : Weighting
        The fitted weighting.

    Raises
    ------
    InvalidTextError
        If X does not hold texts, or no word occurs ``min_count`` times.
    InvalidTableError
        If the file ``word_frequencies`` cannot be read.
    InvalidParameterError
        If a parameter is invalid.
    NotFittedError
        If ``transform`` is called before ``fit``.

    See Also
    --------
    StaticVectorizer : Pool word vectors of a file or table.
    BertVectorizer : Contextual vectors of texts.

    Notes
    -----
    The vectors of several columns of a DataFrame stand side by side; words are trained on the texts
    of all. Features are named by their column, as ``review_0``, or by the class where the column
    has no name.

    The defaults ``skip_gram=True``, ``min_count=2`` and ``epochs=30`` suit small training sets. The
    defaults of gensim (CBOW, 5 and 5) are for large corpora.

    References
    ----------
    T. Mikolov, I. Sutskever, K. Chen, G. Corrado, J. Dean, "Distributed Representations of Words
    and Phrases and their Compositionality", NIPS 2013, section 2.

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
        model: Literal["word2vec", "fasttext"] = "word2vec",
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
        weighting: Literal["mean", "sum", "max", "tfidf", "sif", "power_mean"] = "mean",
        sif_a: float = 1e-3,
        word_frequencies: Mapping[str, float] | str | Path | None = None,
        powers: Sequence[float] = (1, math.inf, -math.inf),
        tokenizer: str | Callable[[str], Iterable[str]] = WORD_PATTERN,
        oov: Literal["auto", "skip", "zero", "subword"] = "auto",
        normalize: bool = False,
        missing: Literal["empty", "error", "zero", "nan"] = "empty",
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
        with without_socket_probe():
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
    """Re-iterable lists of words, repeated texts included.

    Long texts are split, since gensim silently drops words beyond its maximum.
    """

    def __init__(self, found: TextWords, counts: NDArray[np.int64]) -> None:
        self._found, self._counts = found, counts

    def __iter__(self) -> Iterator[list[str]]:
        found = self._found
        for text, count in enumerate(self._counts.tolist()):
            words = [
                found.words[word]
                for word in found.ids[found.offsets[text] : found.offsets[text + 1]].tolist()
            ]
            pieces = [
                words[start : start + _LONGEST_SENTENCE]
                for start in range(0, len(words), _LONGEST_SENTENCE)
            ]
            for _ in range(count):
                yield from pieces
