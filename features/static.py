"""Texts as pooled static word vectors: GloVe, word2vec, fastText, distilled transformers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ModelChangedError
from ..models.word_vectors.checks import OnError
from ..models.word_vectors.loading import DISTILL, is_in_memory, load_word_vectors
from ..models.word_vectors.static_model import ModelTokens
from ..models.word_vectors.table import WordVectors
from ..validation import check_choice
from .bert_common import naming_moved
from .inputs.documents import read_documents
from .inputs.spans import read_spans
from .inputs.texts import MISSING, TextColumn
from .inputs.word_splitting import WORD_PATTERN, TextWords, split_words
from .static_base import LookedUp, WordVectorizer

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["UNITS", "StaticVectorizer"]

UNITS = ("text", "word", "span")


class StaticVectorizer(WordVectorizer):
    """Encode texts by pooling static word vectors.

    A word has the same vector in every context. This is the baseline for `BertVectorizer`. With
    ``unit="word"`` and ``unit="span"`` it accepts the input of `BertWordVectorizer` and
    `BertSpanVectorizer`.

    Parameters
    ----------
    vectors : str, Path, WordVectors, gensim KeyedVectors or DataFrame
        One of:

        - A file in the format of GloVe, word2vec or fastText (plain, ``.gz``, or in a ``.zip``),
          ``.npz`` or ``.safetensors``. It is parsed once and cached as a memory-mapped array, which
          worker processes share.
        - The directory of a static model of sentence-transformers (StaticEmbedding) or model2vec.
          With the default ``weighting``, ``tokenizer`` and ``normalize``, the result is that of its
          ``encode``.
        - ``"distill:<model_name>"``, the vectors of a transformer for words without context (extra
          ``distill``).
        - A table in memory, see `load_word_vectors`.
    unit : {"text", "word", "span"}, default="text"
        What a row of the result represents:

        - ``"text"``: a text of a column, or the texts of each column of a DataFrame, whose vectors
          are side by side.
        - ``"word"``: a word of a document. A document is a list of words, which are not split
          further, or a text that ``tokenizer`` splits.
        - ``"span"``: a span of characters, given by a row of a DataFrame. It is split and pooled
          like a text.
    weighting : {"mean", "sum", "max", "tfidf", "sif", "power_mean"}, default="mean"
        How word vectors are pooled. ``"tfidf"`` is the mean weighted by inverse document frequency
        in the training texts. ``"sif"`` weights each word by ``a / (a + p(word))`` and removes the
        first principal component. ``"power_mean"`` concatenates several means.
    sif_a : float, default=1e-3
        The parameter ``a`` of ``"sif"``.
    word_frequencies : mapping, str or Path, default=None
        Counts of words for ``"sif"``, or a file with a word and its count on each line. None counts
        the words of the training texts.
    powers : sequence of float, default=(1, inf, -inf)
        Powers for ``"power_mean"``: integers from 1, ``inf`` for the maximum, ``-inf`` for the
        minimum.
    tokenizer : str or callable, default=scikit-learn's
        A pattern that matches words, or a callable that returns the words of a text. The default is
        the tokenizer of a static model, else scikit-learn's pattern, which drops punctuation and
        words of one letter. Texts are lower-cased first if the words of the table are in lower
        case. `BertWordVectorizer` gives the same rows for the same lists of words, or with the same
        tokenizer.
    oov : {"auto", "skip", "zero", "subword"}, default="auto"
        How to treat words that are not in the table: skip them, use zeros as their vectors, or
        compute their vectors from subwords. ``"auto"`` is ``"subword"`` if the table has subwords,
        else ``"skip"``.
    normalize : bool or None, default=None
        Whether to scale each row to unit length. None does so for a static model that was saved
        with it.
    missing : {"empty", "error", "zero", "nan"}, default="empty"
        How to encode a missing text (None, NaN, pd.NA, null of polars): as "", whose vector is
        zeros, by raising an error, as a row of zeros, or as a row of NaN. The same applies to a
        span whose text, bounds or word are missing, or whose word is not in its text. A missing
        word of a document always raises an error.
    local_files_only : bool, default=False
        Whether the model of ``"distill:<model_name>"`` must be on this machine. If True, the hub is
        never asked.
    text : str, default="text"
        Name of the column of texts. This parameter and the next ones are used only with
        ``unit="span"``, and are as in `BertSpanVectorizer`.
    start : str or None, default="start"
        Name of the column with the first character of each span. With ``start=None, end=None``,
        the column ``word`` is read even if there are bounds.
    end : str or None, default="end"
        Name of the column with the character after the last of each span.
    word : str or None, default="word"
        Name of the column with a word, whose first occurrence in the text is the span. It is read
        if the columns ``start`` and ``end`` do not exist, and always if its name is not ``"word"``.
    on_error : {"auto", "raise", "skip"}, default="auto"
        What to do with faulty rows of a file of word vectors. ``"auto"`` leaves out words that are
        not UTF-8 or repeated, with a warning, and raises for other faults, see `load_word_vectors`.

    Attributes
    ----------
    n_features_out_ : int
        Number of columns of the result.
    n_features_in_ : int
        Number of text columns that ``fit`` saw, with ``unit="text"``.
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
        Their names. Defined only if each of them has a str as its name.
    span_columns_ : list of str
        Names of the columns that ``fit`` read with ``unit="span"``: text and word, or text, start
        and end.
    oov_ : OovReport
        The words and texts of the training set without a vector.
    oov_rate_ : float
        Share of the training set's words that have no vector, in [0, 1].
    vectors_fingerprint_ : str
        Digest of the table. ``transform`` compares it, so that a fitted estimator never uses
        another table.
    weighting_ : Weighting
        The fitted weighting.

    Raises
    ------
    ModelNotFoundError
        If there is no such file or model as ``vectors``.
    ModelIntegrityError
        If the file of word vectors is damaged, or has a faulty row that ``on_error`` does not leave
        out.
    UnsafeModelError
        If the file of word vectors is a pickle.
    ModelChangedError
        If the table of word vectors differs from the one that was fitted.
    InvalidTableError
        If the file ``word_frequencies`` cannot be read.
    InvalidTextError
        If X has no texts, words or spans as ``unit`` requires.
    InvalidParameterError
        If a parameter is invalid.
    NotFittedError
        If ``transform`` is called before ``fit``.

    See Also
    --------
    load_word_vectors : Read a table of word vectors.
    Word2VecVectorizer : Train word vectors on the training texts.
    BertVectorizer : Contextual vectors of texts.

    Notes
    -----
    A text without any known word becomes zeros, never NaN.

    A pickle does not contain a table that was read from a file or a transformer. The loaded
    estimator opens the table again and checks its digest.

    scikit-learn's ``clone`` copies a DataFrame or KeyedVectors for every candidate and fold. A path
    or a `WordVectors` is not copied; `load_word_vectors` converts other tables to a `WordVectors`.
    ``fit`` copies a DataFrame or KeyedVectors once more, so that later changes to it do not affect
    the fitted estimator.

    Features are named by their column of texts, as ``review_0``; those of spans by all columns that
    tell the span, as ``text_word_0``. They are named by the class where a column has no name, and
    with ``unit="word"``. Several columns share the weights that ``fit`` learns.

    ``fit`` learns weights and frequencies. ``oov``, ``normalize``, ``tokenizer`` and ``unit`` may
    also be changed after ``fit``. The words of ``word_frequencies`` must be spelled as in the
    texts, or in lower case if the words of the table are.

    With ``unit="word"`` and ``set_output(transform="pandas")``, rows are numbered from 0.

    References
    ----------
    S. Arora, Y. Liang, T. Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings",
    ICLR 2017, algorithm 1 (SIF).

    A. Rücklé, S. Eger, M. Peyrard, I. Gurevych, "Concatenated Power Mean Word Embeddings as
    Universal Cross-Lingual Sentence Representations", 2018, section 3.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertvectorizer import StaticVectorizer
    >>> vectors = pd.DataFrame([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], index=["tea", "cup", "pot"])
    >>> vectorizer = StaticVectorizer(vectors)
    >>> vectorizer.fit_transform(["A tea cup.", "Tea, pot of tea", "???"]).round(2).tolist()
    [[0.5, 0.5], [1.0, 0.33000001311302185], [0.0, 0.0]]
    >>> vectorizer.oov_.most_frequent, vectorizer.oov_.n_empty
    ([('of', 1)], 1)
    >>> StaticVectorizer(vectors, unit="word").fit_transform([["Tea", "leaf"], ["pot"]]).tolist()
    [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    >>> spans = pd.DataFrame({"text": ["A tea pot."], "start": [2], "end": [9]})
    >>> StaticVectorizer(vectors, unit="span").fit_transform(spans).tolist()
    [[1.0, 0.5]]
    """

    def __init__(
        self,
        vectors: str | Path | WordVectors | pd.DataFrame | Any,
        *,
        unit: Literal["text", "word", "span"] = "text",
        weighting: Literal["mean", "sum", "max", "tfidf", "sif", "power_mean"] = "mean",
        sif_a: float = 1e-3,
        word_frequencies: Mapping[str, float] | str | Path | None = None,
        powers: Sequence[float] = (1, math.inf, -math.inf),
        tokenizer: str | Callable[[str], Iterable[str]] = WORD_PATTERN,
        oov: Literal["auto", "skip", "zero", "subword"] = "auto",
        normalize: bool | None = None,
        missing: Literal["empty", "error", "zero", "nan"] = "empty",
        local_files_only: bool = False,
        text: str = "text",
        start: str | None = "start",
        end: str | None = "end",
        word: str | None = "word",
        on_error: OnError = "auto",
    ) -> None:
        self.vectors = vectors
        self.unit = unit
        self.weighting = weighting
        self.sif_a = sif_a
        self.word_frequencies = word_frequencies
        self.powers = powers
        self.tokenizer = tokenizer
        self.oov = oov
        self.normalize = normalize
        self.missing = missing
        self.local_files_only = local_files_only
        self.text = text
        self.start = start
        self.end = end
        self.word = word
        self.on_error = on_error

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> NDArray[np.float32]:
        """Learn from X and return its vectors, as ``fit(X).transform(X)`` does.

        Parameters
        ----------
        X : list, tuple, ndarray, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
            Texts, documents or a table of spans, according to ``unit``.
        y : object, default=None
            Ignored.
        **fit_params : dict
            None are accepted.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_features), float32
            A row for each text, word or span.
        """
        return super().fit_transform(self._rows(X), y, **fit_params)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of texts, words or spans.

        Parameters
        ----------
        X : list, tuple, ndarray, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
            Texts, documents or a table of spans, according to ``unit``.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_features), float32
            A row for each text, word or span.
        """
        return super().transform(self._rows(X))

    def _rows(self, X: Any) -> Any:
        """Return X, or its words with ``unit="word"``: the result takes the index of its input."""
        return self._read(X) if self.unit == "word" else X

    def _read(self, X: Any) -> TextColumn:
        if isinstance(X, TextColumn):
            return X
        check_choice("unit", self.unit, UNITS)
        check_choice("missing", self.missing, MISSING)
        if self.unit == "word":
            words = read_documents(X, self.tokenizer).words
            return TextColumn(words, np.zeros(len(words), dtype=bool))
        if self.unit == "span":
            table = read_spans(
                X,
                text=self.text,
                start=self.start,
                end=self.end,
                word=self.word,
                missing="zero" if self.missing == "empty" else self.missing,
            )
            bounds = table.spans.tolist()
            parts = [text[slice(*span)] for text, span in zip(table.texts, bounds, strict=True)]
            return TextColumn(parts, table.is_missing, names=table.columns)
        return super()._read(X)

    def _reads_one_column(self) -> bool:
        return self.unit != "span"

    def _reads_texts(self) -> bool:
        return self.unit == "text"

    def _split(self, texts: Sequence[str]) -> TextWords:
        if self.tokenizer == WORD_PATTERN and (tokens := self._model_tokens()):
            return split_words(texts, tokens.split, lowercase=False)
        return (
            split_words(texts, _whole, self._is_lowercase())
            if self.unit == "word"
            else super()._split(texts)
        )

    def _is_normalized(self) -> bool:
        if self.normalize is not None:
            return super()._is_normalized()
        tokens = self._model_tokens()
        return tokens is not None and tokens.normalize

    def _model_tokens(self) -> ModelTokens | None:
        """Return the tokens of a static model; None for other tables."""
        subwords = self._open().subwords
        return subwords if isinstance(subwords, ModelTokens) else None

    def _open(self) -> WordVectors:
        """Return the table of ``vectors``; an object of another library is converted once."""
        if not is_in_memory(self.vectors):
            option = "--model" if str(self.vectors).startswith(DISTILL) else "--vectors"
            with naming_moved(self, "vectors", hasattr(self, "vectors_fingerprint_"), option):
                return load_word_vectors(
                    self.vectors, on_error=self.on_error, local_files_only=self.local_files_only
                )
        converted = self.__dict__.get("_converted")
        if converted is None or converted[0] is not self.vectors:
            converted = self._converted = (
                self.vectors,
                load_word_vectors(self.vectors, on_error=self.on_error),
            )
        return converted[1]

    def _learn_words(self, texts: list[str], counts: NDArray[np.int64]) -> LookedUp:
        self.__dict__.pop("_converted", None)  # its owner may have changed the object since
        return super()._learn_words(texts, counts)

    def _is_lowercase(self) -> bool:
        return self._open().is_lowercase

    def _learn_table(self, found: TextWords, counts: NDArray[np.int64]) -> WordVectors:
        return self._open()

    def _keep_table(self, table: WordVectors) -> None:
        self.vectors_fingerprint_ = table.fingerprint

    def _table(self) -> WordVectors:
        table = self._open()
        if table.fingerprint != self.vectors_fingerprint_:
            raise ModelChangedError(
                "This estimator was fitted with word vectors of fingerprint"
                f" {self.vectors_fingerprint_}, but the 'vectors' parameter now means others, of"
                f" fingerprint {table.fingerprint}. Bring the former ones back, or fit again."
            )
        return table

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickles and saved pipelines of before lack these parameters.
        super().__setstate__({"local_files_only": False, "on_error": "auto", **state})

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_converted"}


def _whole(word: str) -> list[str]:
    return [word]
