"""What the tests of taggers share: sentences, vectorizers and estimators."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from bertvectorizer.pipeline.tagging.schemes import transitions

PEOPLE, CITIES, VERBS = ["ann", "bo", "kim", "lee"], ["ulm", "rio", "oslo"], ["saw", "met", "left"]


class HashedWords(BaseEstimator):
    """A row of numbers for each word, by its spelling."""

    def __init__(self, n_features: int = 24, form: str = "dense") -> None:
        self.n_features = n_features
        self.form = form

    def fit(self, X: Any, y: Any = None) -> HashedWords:
        assert all(isinstance(word, str) for words in X for word in words)
        assert [len(words) for words in X] == [len(tags) for tags in y], (
            "tags come nested, as they were given"
        )
        self.seen_ = y
        self.n_calls_ = 0
        return self

    def transform(self, X: Any) -> Any:
        self.n_calls_ += 1
        words = [word for words in X for word in words]
        assert words, "no document without words comes here"
        rows = [
            np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.n_features)
            for word in words
        ]
        matrix = np.array(rows)
        return {
            "dense": matrix,
            "sparse": sparse.csr_matrix(matrix),
            "frame": pd.DataFrame(matrix),
        }[self.form]


class Letters(BaseEstimator):
    """Counts of letters in words, as a sparse matrix."""

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        self.counter_ = CountVectorizer(analyzer="char", ngram_range=(1, 2))
        return self.counter_.fit_transform([word for words in X for word in words])

    def fit(self, X: Any, y: Any = None) -> Letters:
        self.fit_transform(X)
        return self

    def transform(self, X: Any) -> Any:
        return self.counter_.transform([word for words in X for word in words])


class PredictsOnly:
    """The least that an estimator has: no probabilities, no classes."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}

    def fit(self, X: Any, y: Any) -> PredictsOnly:
        self.inside = LogisticRegression().fit(X, y)
        return self

    def predict(self, X: Any) -> Any:
        return self.inside.predict(X)


def made_up(n: int = 40, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences of people, several of two names, who do something with cities; in BIO."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(n):
        words, tags = [], []
        for _ in range(int(rng.integers(1, 3))):
            n_names = int(rng.integers(1, 3))
            words += [*rng.choice(PEOPLE, n_names), rng.choice(VERBS), rng.choice(CITIES)]
            tags += [*["B-PER", "I-PER"][:n_names], "O", "B-LOC"]
        X.append([str(word) for word in words])
        y.append(tags)
    return X, y


def assert_legal(predicted: list[list[str]], scheme: str) -> None:
    tags = sorted({tag for sentence in predicted for tag in sentence})
    start, allowed, end = transitions(tags, scheme)
    for sentence in predicted:
        numbers = [tags.index(tag) for tag in sentence]
        if numbers:
            assert start[numbers[0]]
            assert end[numbers[-1]]
            assert all(allowed[pair] for pair in itertools.pairwise(numbers))


LETTERS = pd.DataFrame(np.eye(3), index=list("abc"))


VECTORS = pd.DataFrame(np.eye(len(PEOPLE + CITIES + VERBS)), index=PEOPLE + CITIES + VERBS)


X, Y = made_up()


X_NEW, Y_NEW = made_up(15, seed=1)


ESTIMATORS = [
    LogisticRegression(max_iter=500),
    LinearSVC(),
    SGDClassifier(random_state=0),
    RidgeClassifier(),
    SVC(decision_function_shape="ovo"),
    SVC(),
    GaussianNB(),
    KNeighborsClassifier(3),
    DecisionTreeClassifier(random_state=0),
    CalibratedClassifierCV(RidgeClassifier(), cv=2),
    make_pipeline(StandardScaler(), LogisticRegression()),
    PredictsOnly(),
    None,
]


class Fixed(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Gives each word of four the scores it was made with."""

    def __init__(self, scores: Any = None) -> None:
        self.scores = scores

    def fit(self, X: Any, y: Any) -> Fixed:
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X: Any) -> Any:
        return np.tile(self.scores, (len(X), 1))

    def predict(self, X: Any) -> Any:
        raise NotImplementedError


class Wrong(HashedWords):
    """A row for each sentence, as vectorizers of texts have it."""

    def transform(self, X: Any) -> Any:
        return np.zeros((len(X), 2)) if self.form == "dense" else np.zeros(sum(map(len, X)))
