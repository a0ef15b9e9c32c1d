"""Comparisons of each kind of target, made once."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from bertvectorizer import Comparison, compare
from bertvectorizer.pipeline.comparison import cross_validation
from bertvectorizer.pipeline.comparison.statistics import resample_rows

WORDS = ("ham", "spam", "eggs", "bread")
TEXTS = [f"{word} number {number}" for number in range(10) for word in WORDS]
INDEX = [f"row {number // 2}" for number in range(40)]
FEATURES: dict[str, Any] = {
    "majority": None,
    "words": TfidfVectorizer(),
    "numbers": CountVectorizer(token_pattern=r"\d+"),
}
LABELS: dict[str, Any] = {
    "text": ["meat" if "am" in text else 'other, "or" <b>🥖</b>' for text in TEXTS],
    "int": [text.split()[0].count("a") + 5 for text in TEXTS],
    "bool": ["am" in text for text in TEXTS],
    "several": [[letter for letter in "as" if letter in text.split()[0]] for text in TEXTS],
    "regression": [len(text.split()[0]) + int(text[-1]) / 7 for text in TEXTS],
}
KINDS = list(LABELS)
ESTIMATORS = {"several": None, "regression": Ridge()}
SCORING = {"several": ["f1_macro", "accuracy"], "regression": None}


def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample rows seldom, which is quick."""
    monkeypatch.setattr(cross_validation, "resample_rows", partial(resample_rows, n_resamples=49))


@cache
def comparison_of(kind: str) -> Comparison:
    """Return a comparison with a learning curve."""
    return compare(
        pd.Series(TEXTS, index=INDEX),
        LABELS[kind],
        FEATURES,
        ESTIMATORS.get(kind, LogisticRegression()),
        cv=3,
        scoring=SCORING.get(kind, ["accuracy", "neg_brier_score"]),
        learning_curve=[0.5, 1.0],
    )
