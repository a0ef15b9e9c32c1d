"""A tagger of words: features in context, any classifier or a CRF, valid tag sequences."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ...errors import InvalidParameterError
from ...models.ragged import chunks
from ...validation import check_choice, check_flag, check_int, check_number, invalid, short_repr
from .crf import LinearChainCrf
from .decoding import check_classifier, check_scores, tag_probabilities, tag_scores
from .schemes import transitions
from .sentences import offsets_of, read_sentences, read_tags
from .streamed_logistic import fit_logistic
from .word_features import as_word_vectors, learn_word_vectors, word_features
from .word_tagger import WordTagger

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SequenceLabeler"]

_DECODERS = ("auto", "viterbi", "greedy", "crf")
_MOST_BYTES = 64 * 2**20  # of the features of a chunk
_C, _MAX_ITER = 0.01, 1000  # of the default estimator


def _has_probabilities(labeler: SequenceLabeler) -> bool:
    model = getattr(labeler, "estimator_", labeler.estimator)
    if labeler.decode == "crf" or model is None or hasattr(model, "predict_proba"):
        return True
    raise AttributeError(
        f"The estimator {short_repr(model)} has no predict_proba. Use one that has, wrap it in"
        " CalibratedClassifierCV, or set decode='crf'."
    )


class SequenceLabeler(WordTagger, BaseEstimator):  # type: ignore[misc]  # it has no types
    """Tag each word of a sentence with an entity, a part of speech, or any other tag.

    The features of a word are its vector, the vectors of its neighbours, and its shape (capitals,
    digits, punctuation). A classifier scores the tags of each word, and a decoder finds the best
    valid sequence. Alternatively, a conditional random field learns both at once.

    Parameters
    ----------
    vectorizer : transformer or None, default=None
        Turns lists of words into one row of features per word, such as `BertWordVectorizer` or
        ``StaticVectorizer(unit="word")``. None uses the shapes of words only.
    estimator : classifier or None, default=None
        Classifier of words. None takes `LogisticRegression` on scaled features, fitted in little
        memory. There is none where ``decode`` is ``"crf"`` or stands for it. For a classifier with
        ``decision_function_shape="ovo"`` and no probabilities, only the predicted classes are used.
    context : int, default=1
        Number of neighbours on each side whose features are added to those of a word.
    decode : {"auto", "viterbi", "greedy", "crf"}, default="auto"
        How to find the tags of a sentence:

        - ``"auto"``: ``"crf"`` for tags that mark entities if there is no ``estimator``, else
          ``"viterbi"``.
        - ``"viterbi"``: the valid sequence with the highest sum of scores. Scores are
          log-probabilities if the classifier has them, else its decision function.
        - ``"greedy"``: the best valid tag for each word, from left to right.
        - ``"crf"``: a linear-chain conditional random field, which also learns the transitions
          between tags.
    word_shape : bool, default=True
        Whether to use the 29 features of the shape of a word.
    scheme : {"auto", "IOB1", "BIO", "IOBES", "plain"}, default="auto"
        Tagging scheme of ``y`` and of the predictions. ``"auto"`` detects it. ``"plain"`` tags,
        such as parts of speech, mark no entities, and any sequence of them is valid. BILOU and
        BMEWO tags are accepted as IOBES; predictions have the prefixes of IOBES.
    coding : {"IOB1", "BIO", "IOBES"} or None, default=None
        Tagging scheme in which the model is trained. None takes that of ``y``, or BIO for IOB1.
    crf_l2 : float, default=0.1
        L2 regularization of the conditional random field. Larger values regularize more. Used
        only by the conditional random field.
    max_iter : int, default=500
        Maximum number of iterations of L-BFGS. Used only by the conditional random field.

    Attributes
    ----------
    vectorizer_ : transformer or None
        The fitted vectorizer.
    estimator_ : classifier
        The fitted classifier of words. Its classes are tags in ``coding_``. It is a
        `DummyClassifier` if the training set has only one tag. Not set if ``crf_`` is.
    crf_ : LinearChainCrf
        The fitted conditional random field, where ``decode`` is or stands for ``"crf"``.
    tags_ : ndarray of shape (n_tags,), dtype str
        The tags that can be predicted, in ``coding_``: those of the training set, and "O" unless
        tags are plain. They are the columns of ``predict_proba``.
    scheme_ : str
        Tagging scheme of ``y`` and of the predictions.
    coding_ : str
        Tagging scheme in which the model was trained.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or one that ``fit`` has used was changed since. If ``y``
        does not hold one tag for each word, or a tag is not valid in ``scheme``. If ``fit`` gets no
        words. If the estimator returns NaN. If the true tags of a score are plain and the training
        tags mark entities, or the reverse.
    InvalidTextError
        If ``X`` does not hold lists of words.
    NotFittedError
        If a method is called before ``fit``.

    See Also
    --------
    BertWordVectorizer : Contextual vectors of words.
    StaticVectorizer : Static vectors of words, with ``unit="word"``.
    BertTagger : A tagger that fine-tunes a transformer.
    read_conll : Read sentences and their tags from a file.

    Notes
    -----
    Sentences are predicted in chunks whose features take at most 64 MiB, so that memory does not
    grow with the number of sentences. A longer sentence is a chunk of its own.

    Fitting keeps one vector for each word, without those of neighbours, which are added to a few
    rows at a time. If the vectorizer has ``iter_transform``, as `BertWordVectorizer` has, and the
    vectors would take more than 256 MiB, they are kept in half precision. An ``estimator`` of your
    own gets all features at once, in float32: ``2 * context + 1`` times as much.

    ``y`` is nested, so this estimator is not a scikit-learn classifier, and cross-validation must
    not stratify. `cross_val_score` works. `cross_val_predict` does not, because it cannot join
    lists of different lengths. Predict fold by fold instead:
    ``[clone(labeler).fit(X_train, y_train).predict(X_test) for ...]``.

    References
    ----------
    J. Lafferty, A. McCallum, F. Pereira, "Conditional Random Fields: Probabilistic Models for
    Segmenting and Labeling Sequence Data", ICML 2001.

    J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 5.3.

    Examples
    --------
    >>> from bertvectorizer import SequenceLabeler
    >>> X = [["Ann", "met", "Bo", "Li"], ["we", "saw", "Ann"], ["they", "met", "us"]]
    >>> y = [["B-PER", "O", "B-PER", "I-PER"], ["O", "O", "B-PER"], ["O", "O", "O"]]
    >>> labeler = SequenceLabeler(decode="crf", crf_l2=0.01).fit(X, y)
    >>> labeler.predict([["they", "saw", "Kim"], []])
    [['O', 'O', 'B-PER'], []]
    >>> labeler.score(X, y)
    1.0
    """

    crf_: LinearChainCrf

    def __init__(
        self,
        vectorizer: Any = None,
        estimator: Any = None,
        *,
        context: int = 1,
        decode: Literal["auto", "viterbi", "greedy", "crf"] = "auto",
        word_shape: bool = True,
        scheme: Literal["auto", "IOB1", "BIO", "IOBES", "plain"] = "auto",
        coding: Literal["IOB1", "BIO", "IOBES"] | None = None,
        crf_l2: float = 0.1,
        max_iter: int = 500,
    ) -> None:
        self.vectorizer = vectorizer
        self.estimator = estimator
        self.context = context
        self.decode = decode
        self.word_shape = word_shape
        self.scheme = scheme
        self.coding = coding
        self.crf_l2 = crf_l2
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on sentences and their tags.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series of shape (n_sentences,)
            Sentences, each a list of words.
        y : list, tuple, ndarray or Series of shape (n_sentences,)
            The tags of each sentence, one for each word.

        Returns
        -------
        self : object
            The fitted labeler.

        Warns
        -----
        ConvergenceWarning
            If the conditional random field has not converged after ``max_iter`` iterations.
        """
        self._check_parameters()
        words = read_sentences(X)
        given = read_tags(y, words)
        if not any(words):
            raise InvalidParameterError(
                f"X must hold at least one word to learn from. Got {len(words)} sentences without"
                " any instead."
            )
        coded, schemes = self._learn_tags(given)
        tags, coding = schemes["tags_"], schemes["coding_"]
        flat = [tag for own in coded for tag in own]

        vectorizer = None if self.vectorizer is None else clone(self.vectorizer)
        features = self._features(
            words,
            vectorizer,
            None if vectorizer is None else learn_word_vectors(vectorizer, words, given),
        )
        learned: dict[str, Any] = {"vectorizer_": vectorizer, **schemes}
        learned["_form"] = {"context": self.context, "word_shape": self.word_shape}
        learned["_bytes_a_word"] = (
            8.0 * features.nnz / len(flat) if sparse.issparse(features) else 4.0 * features.shape[1]
        )
        is_auto_crf = self.estimator is None and coding != "plain"
        if self.decode == "crf" or (self.decode == "auto" and is_auto_crf):
            learned["crf_"] = self._fit_crf(features, tags, flat, offsets_of(words), coding)
        else:
            learned["estimator_"] = self._fit_estimator(features, np.array(flat))
        for former in ("estimator_", "crf_"):  # all went well: only now is a former fit forgotten
            self.__dict__.pop(former, None)
        for name, value in learned.items():
            setattr(self, name, value)
        return self

    def predict(self, X: Any) -> list[list[str]]:
        """Predict the tags of sentences.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series of shape (n_sentences,)
            Sentences, each a list of words.

        Returns
        -------
        tags : list of list of str
            One tag for each word of each sentence, in ``scheme_``.
        """
        self._check_fitted()
        found: list[list[str]] = []
        for features, offsets in self._chunks(X):
            path = np.empty(0, dtype=np.int64)
            if features is not None:
                path = self._decode(features, offsets, len(found))
            found.extend(self._named(path, offsets))
        return found

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """Predict the probabilities of the tags of each word.

        With a classifier they are the probabilities of each word alone. With a conditional random
        field they are the marginal probabilities in the sentence.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series of shape (n_sentences,)
            Sentences, each a list of words.

        Returns
        -------
        probabilities : list of ndarray of shape (n_words, n_tags), float64
            An array for each sentence, with a column for each of ``tags_``.

        Raises
        ------
        AttributeError
            If the estimator has no ``predict_proba``.
        """
        self._check_fitted()
        found: list[NDArray[np.float64]] = []
        for features, offsets in self._chunks(X):
            if features is None:
                proba = np.empty((0, len(self.tags_)))
            elif hasattr(self, "crf_"):
                proba = self.crf_.marginals(features, offsets)
            else:
                proba = tag_probabilities(self.estimator_, features, self.tags_)
            found.extend(np.split(proba, offsets[1:-1]))
        return found

    def _check_parameters(self) -> None:
        for name, methods in (
            ("vectorizer", ("fit", "transform")),
            ("estimator", ("fit", "predict")),
        ):
            value = getattr(self, name)
            if value is not None and (
                inspect.isclass(value) or not all(hasattr(value, method) for method in methods)
            ):
                raise invalid(
                    name,
                    f"an object with the methods {methods[0]!r} and {methods[1]!r}, or None",
                    value,
                )
        check_classifier(self.estimator)
        check_int("context", self.context, 0)
        check_choice("decode", self.decode, _DECODERS)
        if not check_flag("word_shape", self.word_shape) and self.vectorizer is None:
            raise invalid(
                "word_shape",
                "True if there is no vectorizer, so that there is something to learn from",
                self.word_shape,
            )
        self._check_schemes()
        check_number("crf_l2", self.crf_l2)
        check_int("max_iter", self.max_iter, 1)

    def _check_fitted(self) -> None:
        check_is_fitted(self, "tags_")
        check_choice("decode", self.decode, _DECODERS)
        if self.decode != "auto" and (self.decode == "crf") != hasattr(self, "crf_"):
            raise invalid(
                "decode",
                "what it was in fit, if one of both is 'crf'; fit again to change that",
                self.decode,
            )
        for name, value in self._form.items():
            if getattr(self, name) != value:
                raise invalid(
                    name,
                    f"what it was in fit, {value!r}; fit again to change that",
                    getattr(self, name),
                )

    def _features(self, words: list[list[str]], vectorizer: Any, vectors: Any) -> Any:
        """Return the features of sentences' words, by their vectors as the vectorizer gave them."""
        flat = [word for sentence in words for word in sentence]
        if vectors is not None:
            vectors = as_word_vectors(vectors, len(flat), vectorizer)
        return word_features(vectors, flat, offsets_of(words), self.context, self.word_shape)

    def _chunks(self, X: Any) -> Iterator[tuple[Any, NDArray[np.int64]]]:
        """Yield features and offsets of chunks of sentences; features are None without words."""
        words = read_sentences(X)
        bounds = offsets_of(words)
        for start, end in chunks(bounds, int(_MOST_BYTES / max(self._bytes_a_word, 1))):
            chunk, offsets = words[start:end], bounds[start : end + 1] - bounds[start]
            vectors = (
                None
                if self.vectorizer_ is None or not offsets[-1]
                else self.vectorizer_.transform(chunk)
            )
            yield (
                _whole(self._features(chunk, self.vectorizer_, vectors)) if offsets[-1] else None,
                offsets,
            )

    def _decode(
        self, features: Any, offsets: NDArray[np.int64], n_before: int
    ) -> NDArray[np.int64]:
        """Return the numbers of tags; ``n_before`` sentences were before these."""
        if hasattr(self, "crf_"):
            return self.crf_.decode(features, offsets)
        scores = tag_scores(self.estimator_, features, self.tags_)
        check_scores(scores, offsets, self.estimator_, n_before)
        return self._best_path(scores, offsets)

    def _fit_crf(
        self,
        features: Any,
        tags: NDArray[np.str_],
        flat: list[str],
        offsets: NDArray[np.int64],
        coding: str,
    ) -> LinearChainCrf:
        crf = LinearChainCrf(self.crf_l2, self.max_iter)
        labels = np.searchsorted(tags, flat)
        crf.fit(
            features, labels, offsets, n_tags=len(tags), allowed=transitions(tags.tolist(), coding)
        )
        if not crf.converged_:
            warnings.warn(
                f"The conditional random field did not converge in max_iter={self.max_iter}"
                " iterations. Raise max_iter or crf_l2.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return crf

    def _fit_estimator(self, features: Any, labels: NDArray[np.str_]) -> Any:
        if len(np.unique(labels)) == 1:
            nothing = sparse.csr_array(features.shape, dtype=np.float32)
            return DummyClassifier(strategy="most_frequent").fit(nothing, labels)
        if self.estimator is not None:
            return clone(self.estimator).fit(_whole(features), labels)
        if not sparse.issparse(features):
            return fit_logistic(features, labels, _C, _MAX_ITER)
        classifier = LogisticRegression(C=_C, max_iter=_MAX_ITER)
        return make_pipeline(StandardScaler(with_mean=False), classifier).fit(features, labels)


def _whole(features: Any) -> Any:
    return features if sparse.issparse(features) else features[:]
