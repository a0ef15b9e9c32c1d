"""A tagger of words: features in context, any classifier or a CRF, valid tag sequences."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

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
from ...validation import check_choice, check_flag, check_int, check_positive, invalid
from .crf import LinearChainCrf
from .decoding import check_classifier, check_scores, rules_as_scores, tag_probabilities, tag_scores
from .schemes import SCHEMES, check_scheme, convert_tags, detect_scheme, transitions
from .scoring import check_true_tags, tag_report, tag_score
from .sentences import offsets_of, read_sentences, read_tags
from .viterbi import greedy, viterbi
from .word_features import as_word_vectors, learn_word_vectors, word_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SequenceLabeler"]

_DECODERS = ("viterbi", "greedy", "crf")
_MOST_BYTES = 64 * 2**20  # of the features of a portion


def _has_probabilities(labeler: SequenceLabeler) -> bool:
    model = getattr(labeler, "estimator_", labeler.estimator)
    if labeler.decode == "crf" or model is None or hasattr(model, "predict_proba"):
        return True
    raise AttributeError(
        f"The estimator {model!r} has no predict_proba. Take one that has, put it into"
        " CalibratedClassifierCV, or say decode='crf'."
    )


class SequenceLabeler(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Tag each word of a sentence: entities, parts of speech, or any other tags.

    Each word becomes a vector, beside it those of its neighbours and what capitals, digits and
    punctuation show. Any classifier scores tags for each word, and the best sequence that their
    scheme allows is taken; or a conditional random field learns both at once.

    Parameters
    ----------
    vectorizer : transformer or None
        Makes a row of numbers for each word of sentences that are lists of words:
        `BertWordVectorizer`, ``StaticVectorizer(unit="word")``, or any other that does so. None
        leaves the shapes of words alone.
    estimator : classifier or None
        Learns the tags of words. None takes logistic regression on scaled features. Not used with
        ``decode="crf"``. Of a support vector machine with ``decision_function_shape="ovo"`` only
        the classes that it predicts are used, since its scores are of pairs.
    context : int
        How many neighbours on each side lend their features to a word.
    decode : {"viterbi", "greedy", "crf"}
        How the tags of a sentence are found. ``"viterbi"``: of all sequences that the scheme
        allows, the one with the highest sum of scores (log-probabilities or, without these, the
        decision function). ``"greedy"``: from left to right, the best tag allowed. ``"crf"``: by a
        linear-chain conditional random field, which also learns which tags stand together.
    word_shape : bool
        Whether the 29 features of `word_shape` take part.
    scheme : {"auto", "IOB1", "BIO", "IOBES", "plain"}
        How entities are written in ``y``; predictions are written so too. ``"plain"`` tags, such as
        parts of speech, are no entities, and may stand in any order. ``"auto"`` is found by
        `detect_scheme`. BILOU and BMEWO are read as IOBES, and come back in its letters.
    coding : {"IOB1", "BIO", "IOBES"} or None
        The scheme that is learnt, whatever that of ``y``. None is that of ``y``, but BIO for IOB1.
    crf_l2 : float
        With ``decode="crf"``: L2 regularization; larger values give simpler models.
    max_iter : int
        With ``decode="crf"``: most iterations of L-BFGS.

    Attributes
    ----------
    vectorizer_ : transformer or None
    estimator_ : classifier
        Fitted on words, with tags in ``coding_`` as classes. Where the training set has one tag
        only, a `DummyClassifier`, since many classifiers refuse that. Without ``decode="crf"``
        only.
    crf_ : LinearChainCrf
        With ``decode="crf"`` only.
    tags_ : ndarray
        The tags that can be predicted, in ``coding_``: those of the training set, and "O" unless
        they are plain. Columns of ``predict_proba``. *Shape:* ``(n_tags,)``, dtype str.
    scheme_, coding_ : str
        The scheme of ``y``, and the one that was learnt.

    Raises
    ------
    InvalidParameterError, InvalidTextError
        See :mod:`bertvectorizer.errors` for the whole tree.

    Notes
    -----
    Sentences are predicted in portions whose features take 64 MiB at most, or by themselves if they
    are longer, so that memory does not grow with their number, but for the tags themselves. This is
    no scikit-learn classifier, though it predicts: its ``y`` is nested, so cross-validation must
    not stratify by it. `cross_val_score` works, but `cross_val_predict` cannot join lists of
    different lengths: predict fold by fold, ``[clone(labeler).fit(X_train, y_train).predict(X_test)
    for ...]``.

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
        decode: str = "viterbi",
        word_shape: bool = True,
        scheme: str = "auto",
        coding: str | None = None,
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
        """Learn from sentences whose tags are known.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series
            Sentences, each a list of words. *Length:* ``n_sentences``.
        y : list, tuple, ndarray or Series
            For each sentence a list of tags, one for each word. *Length:* ``n_sentences``.

        Returns
        -------
        self

        Raises
        ------
        InvalidTextError
            If ``X`` holds something else than lists of words.
        InvalidParameterError
            If a parameter breaks its rule, tags are no tags of the scheme, or there is not one for
            each word.
        """
        self._check_parameters()
        words = read_sentences(X)
        given = read_tags(y, words)
        if not any(words):
            raise InvalidParameterError(
                f"X must hold at least one word to learn from. Got {len(words)} sentences without"
                " any instead."
            )
        scheme = detect_scheme(given) if self.scheme == "auto" else self.scheme
        coding = self._coding(scheme)
        flat = [tag for tags in convert_tags(given, coding, scheme) for tag in tags]
        # "O" always has a way through a sentence, whatever tags were never seen.
        tags = np.array(sorted({*flat, *(() if coding == "plain" else ("O",))}))

        vectorizer = None if self.vectorizer is None else clone(self.vectorizer)
        features = self._features(
            words,
            vectorizer,
            None if vectorizer is None else learn_word_vectors(vectorizer, words, given),
        )
        learnt: dict[str, Any] = {
            "vectorizer_": vectorizer,
            "tags_": tags,
            "scheme_": scheme,
            "coding_": coding,
        }
        learnt["_form"] = {"context": self.context, "word_shape": self.word_shape}
        learnt["_bytes_a_word"] = (
            8.0 * features.nnz / len(flat) if sparse.issparse(features) else 4.0 * features.shape[1]
        )
        if self.decode == "crf":
            learnt["crf_"] = self._fit_crf(features, tags, flat, offsets_of(words), coding)
        else:
            learnt["estimator_"] = self._new_estimator(features, set(flat)).fit(
                features, np.array(flat)
            )
        for former in ("estimator_", "crf_"):  # all went well: only now is a former fit forgotten
            self.__dict__.pop(former, None)
        for name, value in learnt.items():
            setattr(self, name, value)
        return self

    def predict(self, X: Any) -> list[list[str]]:
        """Return the tags of sentences.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series
            Sentences, each a list of words. *Length:* ``n_sentences``.

        Returns
        -------
        list of list of str
            In the scheme of the training tags, one for each word.
        """
        self._check_fitted()
        found: list[list[str]] = []
        names = self.tags_.tolist()
        for features, offsets in self._portions(X):
            path = (
                []
                if features is None
                else [names[number] for number in self._decode(features, offsets, len(found))]
            )
            tags = [path[start:end] for start, end in itertools.pairwise(offsets.tolist())]
            found.extend(
                tags
                if self.scheme_ == self.coding_
                else convert_tags(tags, self.scheme_, self.coding_)
            )
        return found

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """Return the probabilities of tags for the words of sentences.

        Those of the estimator are of each word by itself; of a conditional random field they are
        marginal probabilities in the sentence.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series
            Sentences, each a list of words. *Length:* ``n_sentences``.

        Returns
        -------
        list of ndarray
            For each sentence an array with a column for each of ``tags_``, in the scheme
            ``coding_``. *Shape of each:* ``(n_words, n_tags)``, float64.
        """
        self._check_fitted()
        found: list[NDArray[np.float64]] = []
        for features, offsets in self._portions(X):
            if features is None:
                proba = np.empty((0, len(self.tags_)))
            elif self.decode == "crf":
                proba = self.crf_.marginals(features, offsets)
            else:
                proba = tag_probabilities(self.estimator_, features, self.tags_)
            found.extend(np.split(proba, offsets[1:-1]))
        return found

    def score(self, X: Any, y: Any) -> float:
        """Return the micro-averaged F1 of entities, or the accuracy of plain tags.

        F1 is computed as by seqeval and conlleval.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series
            Sentences, each a list of words. *Length:* ``n_sentences``.
        y : list, tuple, ndarray or Series
            The true tags.

        Returns
        -------
        float
            In [0, 1]; 0 where there is nothing to find and nothing was found.
        """
        true = self._true_tags(X, y)
        return tag_score(true, self.predict(X), self.scheme_)

    def classification_report(
        self, X: Any, y: Any, output_dict: bool = False, digits: int = 2
    ) -> str | dict[str, Any]:
        """Return precision, recall, F1 and support of each entity type, or of each plain tag.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series
            Sentences, each a list of words. *Length:* ``n_sentences``.
        y : list, tuple, ndarray or Series
            The true tags.
        output_dict : bool
            Return numbers of plain Python instead of text.
        digits : int
            Digits of the text's numbers.

        Returns
        -------
        str or dict
        """
        check_flag("output_dict", output_dict)
        check_int("digits", digits, 0)
        true = self._true_tags(X, y)
        return tag_report(true, self.predict(X), self.scheme_, output_dict, digits)

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
        check_scheme("scheme", self.scheme, also=("auto",))
        if self.coding is not None:
            check_choice("coding", self.coding, [scheme for scheme in SCHEMES if scheme != "plain"])
        check_positive("crf_l2", self.crf_l2)
        check_int("max_iter", self.max_iter, 1)

    def _coding(self, scheme: str) -> str:
        if scheme == "plain" and self.coding is not None:
            raise invalid("coding", "None for plain tags, which mark no entities", self.coding)
        return self.coding or ("BIO" if scheme == "IOB1" else scheme)

    def _check_fitted(self) -> None:
        check_is_fitted(self, "tags_")
        check_choice("decode", self.decode, _DECODERS)
        if (self.decode == "crf") != hasattr(self, "crf_"):
            raise invalid(
                "decode",
                "what it was in fit, as to 'crf' or not; fit again to change that",
                self.decode,
            )
        for name, value in self._form.items():
            if getattr(self, name) != value:
                raise invalid(
                    name,
                    f"what it was in fit, {value!r}; fit again to change that",
                    getattr(self, name),
                )

    def _true_tags(self, X: Any, y: Any) -> list[list[str]]:
        """Return true tags, of the same kind as those learnt."""
        self._check_fitted()
        true = read_tags(y, read_sentences(X))
        check_true_tags(true, self.tags_.tolist(), self.scheme_)
        return true

    def _features(self, words: list[list[str]], vectorizer: Any, vectors: Any) -> Any:
        """Return the features of sentences' words, by their vectors as the vectorizer gave them."""
        flat = [word for sentence in words for word in sentence]
        if vectors is not None:
            vectors = as_word_vectors(vectors, len(flat), vectorizer)
        return word_features(vectors, flat, offsets_of(words), self.context, self.word_shape)

    def _portions(self, X: Any) -> Iterator[tuple[Any, NDArray[np.int64]]]:
        """Yield features and offsets of chunks of sentences; features are None without words."""
        words = read_sentences(X)
        bounds = offsets_of(words)
        for start, end in chunks(bounds, int(_MOST_BYTES / max(self._bytes_a_word, 1))):
            portion, offsets = words[start:end], bounds[start : end + 1] - bounds[start]
            vectors = (
                None
                if self.vectorizer_ is None or not offsets[-1]
                else self.vectorizer_.transform(portion)
            )
            yield (
                self._features(portion, self.vectorizer_, vectors) if offsets[-1] else None,
                offsets,
            )

    def _decode(
        self, features: Any, offsets: NDArray[np.int64], n_before: int
    ) -> NDArray[np.int64]:
        """Return the numbers of tags; ``n_before`` sentences were before these."""
        if self.decode == "crf":
            return self.crf_.decode(features, offsets)
        scores = tag_scores(self.estimator_, features, self.tags_)
        check_scores(scores, offsets, self.estimator_, n_before)
        decoder = greedy if self.decode == "greedy" else viterbi
        return decoder(scores, offsets, *rules_as_scores(self.tags_, self.coding_))

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

    def _new_estimator(self, features: Any, seen: set[str]) -> Any:
        if len(seen) == 1:
            return DummyClassifier(strategy="most_frequent")
        if self.estimator is not None:
            return clone(self.estimator)
        return make_pipeline(
            StandardScaler(with_mean=not sparse.issparse(features)),
            LogisticRegression(C=0.01, max_iter=1000),
        )
