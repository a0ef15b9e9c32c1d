"""Texts that are encoded before a search: which, once, and workers that load no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from bertvectorizer import BertVectorizer, EmbeddingStore, PairVectorizer, encode_ahead
from bertvectorizer.errors import InvalidParameterError
from tests.processes import Process
from tests.tiny import ModelFactory

pytestmark = pytest.mark.numeric

WORDS = ("bat", "crane", "river", "bank")
TEXTS = [f"the old {one} of a {other}" for one in WORDS for other in WORDS]
LABELS = [0, 1] * 8
DATA = pd.DataFrame({"text": TEXTS, "title": TEXTS[::-1], "price": np.arange(16.0)})


def lower(texts: Any) -> Any:
    return [text.replace("old", "night") for text in texts]


class Stripped(BaseEstimator):
    """A step of the user's that wants a target, and has no ``fit_transform``."""

    def fit(self, X: Any, y: Any) -> Any:
        return self

    def transform(self, X: Any) -> Any:
        return [text.strip() for text in X]


def searches(bert: str, store: Any) -> dict[str, tuple[Any, Any, int]]:
    """Searches by name, with what they are fitted on and the number of texts of all candidates."""
    vectorizer = BertVectorizer(bert, store=store)
    logistic = LogisticRegression()
    columns = ColumnTransformer(
        [
            ("bert", vectorizer, "text"),
            ("number", StandardScaler(), ["price"]),
            ("none", vectorizer, []),
        ]
    )
    union = FeatureUnion([("tfidf", TfidfVectorizer()), ("bert", vectorizer)])
    layers = {"layers": [-1, -2, [0, 1]], "pooling": ["cls", ("max", "mean")]}

    def grid(prefix: str) -> dict[str, Any]:
        return {f"{prefix}__{name}": values for name, values in layers.items()}

    return {
        "pipeline": (
            GridSearchCV(make_pipeline(vectorizer, logistic), grid("bertvectorizer"), cv=2),
            TEXTS,
            16,
        ),
        "two grids": (
            GridSearchCV(
                make_pipeline(vectorizer, logistic),
                [
                    {"bertvectorizer__layer_merge": ["sum"], "bertvectorizer__layers": ["all"]},
                    {"bertvectorizer": [TfidfVectorizer(), vectorizer]},
                ],
                cv=2,
            ),
            TEXTS,
            16,
        ),
        "random": (
            RandomizedSearchCV(
                make_pipeline(vectorizer, logistic),
                grid("bertvectorizer") | {"logisticregression__C": [0.1, 1.0]},
                n_iter=4,
                cv=2,
                random_state=0,
            ),
            TEXTS,
            16,
        ),
        "columns": (
            GridSearchCV(
                make_pipeline(columns, OneVsRestClassifier(logistic)),
                grid("columntransformer__bert"),
                cv=2,
            ),
            DATA,
            16,
        ),
        "union after a step": (
            GridSearchCV(
                make_pipeline(FunctionTransformer(lower), Stripped(), None, union, logistic),
                grid("featureunion__bert"),
                cv=2,
            ),
            TEXTS,
            16,
        ),
        "pairs": (
            GridSearchCV(
                make_pipeline(PairVectorizer(vectorizer), logistic),
                grid("pairvectorizer__vectorizer"),
                cv=2,
            ),
            DATA[["text", "title"]],
            16,
        ),
        "no search": (make_pipeline(vectorizer, logistic), TEXTS, 16),
    }


@pytest.mark.parametrize("name", searches("", None))
def test_a_search_finds_all_texts_in_the_store(
    name: str, tiny_model: ModelFactory, tmp_path: Path
) -> None:
    store = EmbeddingStore(tmp_path / "s")
    search, X, n_texts = searches(str(tiny_model("bert")), store)[name]
    before = repr(search)
    assert encode_ahead(search, X) is search
    assert repr(search) == before
    assert store.stats.encoded == n_texts
    search.fit(X, LABELS)
    assert store.stats.encoded == n_texts
    assert np.isfinite(search.score(X, LABELS))


@pytest.mark.parametrize("vectorizer", [TfidfVectorizer(), BertVectorizer(store=None)])
def test_a_search_without_a_store_is_refused(vectorizer: Any) -> None:
    with pytest.raises(
        InvalidParameterError, match="'search' parameter must hold a BertVectorizer whose 'store'"
    ):
        encode_ahead(make_pipeline(vectorizer, LogisticRegression()), TEXTS)


WORKERS = """
import sys, joblib, numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from bertvectorizer import BertVectorizer, encode_ahead
from bertvectorizer.models.store.session_store import session_store

words = ("bat", "crane", "river", "bank")
TEXTS = [f"the old {one} of a {other}" for one in words for other in words]
LABELS = [0, 1] * 8

def loaded(estimator=None, X=None, y=None):
    return len({"torch", "transformers", "tokenizers"}.intersection(sys.modules))

def digest(estimator, X, y):
    return float(int(joblib.hash(estimator[0].transform(TEXTS))[:12], 16))

def transform(vectorizer, texts):
    fitted = vectorizer.fit(texts)
    return fitted.transform(texts), fitted.truncation_, fitted.n_features_out_, loaded()

if __name__ == "__main__":
    vectorizer = BertVectorizer(sys.argv[1], normalize=True, local_files_only=True)
    pipe = make_pipeline(vectorizer, LogisticRegression())
    search = GridSearchCV(
        pipe,
        {"bertvectorizer__layers": [-1, [-2, 0]]},
        scoring={"loaded": loaded, "digest": digest, "accuracy": "accuracy"},
        refit=False, cv=2, n_jobs=2, error_score="raise",
    )
    found = encode_ahead(search, TEXTS).fit(TEXTS, LABELS).cv_results_
    assert session_store().stats.encoded == len(TEXTS)
    assert found["mean_test_loaded"].tolist() == [0.0, 0.0]
    alone = search.set_params(n_jobs=None).fit(TEXTS, LABELS).cv_results_
    for name in ("digest", "accuracy"):
        np.testing.assert_array_equal(found[f"mean_test_{name}"], alone[f"mean_test_{name}"])

    more = [*TEXTS, "a crane"]
    with joblib.Parallel(n_jobs=2) as workers:
        for texts, n_loaded in ((TEXTS, 0), (more, 3)):
            ((vectors, truncation, width, n_in_worker),) = workers(
                [joblib.delayed(transform)(vectorizer, texts)]
            )
            expected = vectorizer.fit(texts)
            assert n_in_worker == n_loaded
            assert (truncation, width) == (expected.truncation_, 32)
            np.testing.assert_array_equal(vectors, expected.transform(texts))
    assert session_store().stats.encoded == len(more)
"""


def test_workers_load_no_network_for_known_texts(tiny_model: ModelFactory, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(WORKERS, encoding="utf-8")
    with Process(script, tiny_model("bert")) as process:
        process.finish()
