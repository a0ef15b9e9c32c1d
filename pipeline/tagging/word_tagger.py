"""What taggers of words share: schemes of tags, decoding, scores."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...validation import check_choice, check_flag, check_int, invalid
from .decoding import rules_as_scores
from .schemes import SCHEMES, check_scheme, convert_tags, detect_scheme
from .scoring import check_true_tags, tag_report, tag_score
from .sentences import read_sentences, read_tags
from .viterbi import greedy, viterbi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["WordTagger"]


class WordTagger:
    """Base of the estimators that tag words, by the parameters scheme, coding and decode."""

    scheme: Any
    coding: Any
    decode: Any
    tags_: NDArray[np.str_]
    scheme_: str
    coding_: str

    @abstractmethod
    def predict(self, X: Any) -> list[list[str]]:
        """Predict the tags of sentences."""

    @abstractmethod
    def _check_fitted(self) -> None:
        """Raise unless fitted, with parameters that suit what was fitted."""

    def score(self, X: Any, y: Any) -> float:
        """Return the micro-averaged F1 of entities, or the accuracy of plain tags.

        F1 is computed as in seqeval and conlleval.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series of shape (n_sentences,)
            Sentences, each a list of words.
        y : list, tuple, ndarray or Series of shape (n_sentences,)
            The true tags of each sentence, one for each word.

        Returns
        -------
        score : float
            In [0, 1]. It is 0 if there are no words, or no entities in ``y`` and in the
            predictions.
        """
        true = self._true_tags(X, y)
        return tag_score(true, self.predict(X), self.scheme_)

    def classification_report(
        self, X: Any, y: Any, output_dict: bool = False, digits: int = 2
    ) -> str | dict[str, Any]:
        """Return precision, recall, F1 and support of each entity type or plain tag.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series of shape (n_sentences,)
            Sentences, each a list of words.
        y : list, tuple, ndarray or Series of shape (n_sentences,)
            The true tags of each sentence, one for each word.
        output_dict : bool, default=False
            Whether to return a dict instead of text.
        digits : int, default=2
            Number of decimals in the text.

        Returns
        -------
        report : str or dict
            The report. A dict holds Python numbers, which can be written as JSON.

        Examples
        --------
        >>> from bertvectorizer import SequenceLabeler
        >>> X, y = [["Ann", "met", "us"], ["we", "ran"]], [["B-PER", "O", "O"], ["O", "O"]]
        >>> labeler = SequenceLabeler(decode="crf", crf_l2=0.01).fit(X, y)
        >>> labeler.classification_report(X, y, output_dict=True)["PER"]["f1-score"]
        1.0
        """
        check_flag("output_dict", output_dict)
        check_int("digits", digits, 0)
        true = self._true_tags(X, y)
        return tag_report(true, self.predict(X), self.scheme_, output_dict, digits)

    def _check_schemes(self) -> None:
        check_scheme("scheme", self.scheme, also=("auto",))
        if self.coding is not None:
            check_choice("coding", self.coding, [scheme for scheme in SCHEMES if scheme != "plain"])

    def _learn_tags(self, given: Sequence[Sequence[str]]) -> tuple[list[list[str]], dict[str, Any]]:
        """Return tags in the scheme of training, and the attributes that the tagger gets."""
        scheme = detect_scheme(given) if self.scheme == "auto" else self.scheme
        if scheme == "plain" and self.coding is not None:
            raise invalid("coding", "None for plain tags, which mark no entities", self.coding)
        coding = self.coding or ("BIO" if scheme == "IOB1" else scheme)
        coded = convert_tags(given, coding, scheme)
        # "O" always has a way through a sentence, whatever tags were never seen.
        distinct = {tag for tags in coded for tag in tags} | ({"O"} if coding != "plain" else set())
        return coded, {"tags_": np.array(sorted(distinct)), "scheme_": scheme, "coding_": coding}

    def _best_path(
        self, scores: NDArray[np.float64], offsets: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the numbers of the tags of all words, given scores of shape (n_words, n_tags)."""
        decoder = greedy if self.decode == "greedy" else viterbi
        return decoder(scores, offsets, *rules_as_scores(self.tags_, self.coding_))

    def _named(self, path: NDArray[np.int64], offsets: NDArray[np.int64]) -> list[list[str]]:
        """Return the tags of sentences, given their numbers, in the scheme of ``y``."""
        names = self.tags_[path].tolist()
        tags = [names[start:end] for start, end in pairwise(offsets.tolist())]
        if self.scheme_ == self.coding_:
            return tags
        return convert_tags(tags, self.scheme_, self.coding_)

    def _true_tags(self, X: Any, y: Any) -> list[list[str]]:
        """Return true tags, of the same kind as those learned."""
        self._check_fitted()
        true = read_tags(y, read_sentences(X))
        check_true_tags(true, self.tags_.tolist(), self.scheme_)
        return true
