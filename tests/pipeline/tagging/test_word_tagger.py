"""What taggers share: tags in the scheme of training, and predictions in that of the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.tagging.word_tagger import WordTagger

Y = [["I-PER", "I-PER", "B-PER"], [], ["O"]]  # IOB1


class Scored(WordTagger):
    """Finds the best tags under given scores."""

    def __init__(self, scheme: str = "auto", coding: Any = None, decode: str = "viterbi") -> None:
        self.scheme, self.coding, self.decode = scheme, coding, decode

    def fit(self) -> list[list[str]]:
        self._check_schemes()
        coded, learned = self._learn_tags(Y)
        vars(self).update(learned)
        return coded

    def predict(self, X: Any) -> list[list[str]]:
        scores = np.arange(len(self.tags_), dtype=float) * np.ones((4, 1))  # the last tag, "O"
        scores[:3, 0] = 9  # the words of the first sentence like the first one
        offsets = np.array([0, 3, 3, 4])
        return self._named(self._best_path(scores, offsets), offsets)

    def _check_fitted(self) -> None:
        assert self.tags_ is not None


def test_tags_are_learned_in_one_scheme_and_returned_in_that_of_y() -> None:
    tagger = Scored(coding="IOBES")
    assert tagger.fit() == [["B-PER", "E-PER", "S-PER"], [], ["O"]]
    assert tagger.tags_.tolist() == ["B-PER", "E-PER", "O", "S-PER"]
    assert (tagger.scheme_, tagger.coding_) == ("IOB1", "IOBES")
    tagger = Scored()
    tagger.fit()
    assert tagger.coding_ == "BIO"
    assert tagger.predict(None) == [["I-PER", "B-PER", "B-PER"], [], ["O"]]
    sentences = [["Ann", "Bo", "Cy"], [], ["ran"]]
    assert tagger.score(sentences, Y) == pytest.approx(2 * 1 / (3 + 2))
    report = tagger.classification_report(sentences, Y, output_dict=True)
    assert report["PER"]["support"] == 2  # type: ignore[index]


def test_wrong_schemes_are_named() -> None:
    with pytest.raises(InvalidParameterError, match=r"coding.*None for plain tags"):
        Scored("plain", "BIO").fit()
    with pytest.raises(InvalidParameterError, match="coding"):
        Scored(coding="plain").fit()
