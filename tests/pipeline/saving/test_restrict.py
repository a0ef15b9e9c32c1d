"""What a file may not choose for the machine that loads it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from bertvectorizer import BertVectorizer, StaticVectorizer, Word2VecVectorizer
from bertvectorizer.errors import BertVectorizerError, UnsafeModelError
from bertvectorizer.pipeline.saving.pipeline_file import load_pipeline, save_pipeline
from bertvectorizer.pipeline.saving.restrict import RESTRICTED, restrict_parameters
from tests.pipeline.saving.pipelines import LABELS, NEW, TEXTS, WORDS, fitted
from tests.tiny import ModelFactory, save_model

HARMFUL = {
    "_n_threads": 10**6,
    "input": "filename",
    "memory": "cache",
    "n_jobs": 12,
    "pre_dispatch": "10**9",
    "store": "chosen.sqlite",
    "trust_remote_code": True,
    "word_frequencies": "/etc/passwd",
    "workers": 12,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.skops"


def search(grid: Any = None) -> GridSearchCV:
    return GridSearchCV(LogisticRegression(), grid or {"C": [1.0]}, cv=2)


# Places from which an estimator gets a parameter when it is fitted: a dictionary that is returned,
# and the value in it for a key and a harmful value.
PLACES: dict[str, Any] = {
    "a grid": lambda one, key, value: vars(one).update(param_grid={key: [value]}),
    "a list of grids": lambda one, key, value: vars(one).update(
        param_grid=[{"C": [1.0]}, {key: (value,)}]
    ),
    "an array in a grid": lambda one, key, value: vars(one).update(
        param_grid={key: np.array([value], dtype=object)}
    ),
    "distributions": lambda one, key, value: vars(one).update(param_distributions={key: [value]}),
    "the best parameters": lambda one, key, value: vars(one).update(best_params_={key: value}),
    "all parameters tried": lambda one, key, value: vars(one).update(
        cv_results_={"params": [{key: value}]}
    ),
    "a mapping of parameters": lambda one, key, value: vars(one).update(more={key: [[value]]}),
}


def values_of(key: str, value: Any) -> list[Any]:
    """Return the values under a key of a dictionary, at any depth."""
    if isinstance(value, dict):
        inside = [one for name, one in value.items() if name != key]
        found = list(np.ravel(np.array(value[key], dtype=object))) if key in value else []
    else:
        inside, found = list(value) if isinstance(value, (list, tuple)) else [], []
    return found + [leaf for one in inside for leaf in values_of(key, one)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", sorted(set(RESTRICTED) - {"_n_threads"}))
def test_no_place_sets_a_restricted_parameter(name: str, place: str, path: Path) -> None:
    for key in (name, f"union__words__{name}"):
        pipeline = fitted(TfidfVectorizer(), search())
        PLACES[place](pipeline[-1], key, HARMFUL[name])
        save_pipeline(pipeline, path)
        with pytest.warns(UserWarning, match=rf"would set .*{name}.*trusted=\['{name}'\]") as told:
            loaded = load_pipeline(path).pipeline
        assert len(told) == 1
        assert HARMFUL[name] not in values_of(key, vars(loaded[-1]))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kept = load_pipeline(path, trusted=[name]).pipeline
        assert HARMFUL[name] in values_of(key, vars(kept[-1]))


def test_every_rule_is_tried_and_allows_its_default() -> None:
    assert set(HARMFUL) == set(RESTRICTED)
    for name, rule in RESTRICTED.items():
        assert rule.allows(rule.default)
        assert not rule.allows(HARMFUL[name])


def test_estimators_are_reset_wherever_they_are(path: Path) -> None:
    union = FeatureUnion([("a", TfidfVectorizer()), ("b", Word2VecVectorizer(min_count=1))])
    bagging = BaggingClassifier(LogisticRegression(), n_estimators=2, random_state=0)
    pipeline = fitted(union, bagging)
    expected = pipeline.predict(NEW)
    pipeline.memory, union.n_jobs, bagging.n_jobs = "cache", 12, -1
    union.transformer_list[1][1].workers = 12
    hidden = search()
    hidden.n_jobs, hidden.pre_dispatch = 12, "10**9"
    bagging.estimators_[0].class_weight = {"a": hidden}
    # Members get parameters from attributes of the ensemble.
    bagging.estimator_params, bagging.trust_remote_code = ("trust_remote_code",), 1
    vars(bagging)["estimator__n_jobs"] = 12
    save_pipeline(pipeline, path)
    del bagging.trust_remote_code
    with pytest.raises(
        UnsafeModelError, match="BaggingClassifier that runs code from its checkpoint"
    ):
        load_pipeline(path)
    save_pipeline(pipeline, path)
    loaded = load_pipeline(path).pipeline
    assert loaded.memory is None
    assert loaded[0].n_jobs is None
    assert loaded[0].transformer_list[1][1].workers == 1
    assert (loaded[-1].n_jobs, vars(loaded[-1])["estimator__n_jobs"]) == (None, None)
    inner = loaded[-1].estimators_[0].class_weight["a"]
    assert (inner.n_jobs, inner.pre_dispatch) == (None, "2*n_jobs")
    assert loaded.predict(NEW).tolist() == expected.tolist()
    kept = load_pipeline(path, trusted=["n_jobs", "memory"]).pipeline
    assert (kept.memory, kept[0].n_jobs, kept[-1].n_jobs) == ("cache", 12, -1)


def test_words_and_names_of_columns_are_no_parameters(path: Path) -> None:
    words = " ".join(RESTRICTED)
    texts = np.array([[f"{words} bat", word] for word in TEXTS], dtype=object)
    columns = ColumnTransformer([("store", TfidfVectorizer(), 0), ("memory", TfidfVectorizer(), 1)])
    weights = dict.fromkeys(["store", "memory"], 2.0)
    pipeline = make_pipeline(columns, LogisticRegression(class_weight=weights))
    pipeline.fit(texts, ["store", "memory"] * 3)
    loaded = load_pipeline(save_pipeline(pipeline, path)).pipeline
    assert loaded[0].named_transformers_["store"].vocabulary_.keys() >= set(RESTRICTED)
    assert loaded[-1].class_weight == weights
    np.testing.assert_array_equal(loaded.predict_proba(texts), pipeline.predict_proba(texts))


def test_texts_are_not_read_as_names_of_files(path: Path) -> None:
    pipeline = fitted(TfidfVectorizer())
    pipeline[0].input = "filename"
    save_pipeline(pipeline, path)
    with pytest.raises(UnsafeModelError, match=r"reads files .*input='filename'.*\['input'\]"):
        load_pipeline(path)
    assert load_pipeline(path, trusted=["input"]).pipeline[0].input == "filename"


def test_counts_of_words_are_saved_instead_of_the_name_of_their_file(
    path: Path, tmp_path: Path
) -> None:
    counts = tmp_path / "counts.txt"
    counts.write_text("bat 3\ncrane 1\n", encoding="utf-8")
    for weighting in ("sif", "mean"):
        static = StaticVectorizer(WORDS, weighting=weighting, word_frequencies=counts)
        loaded = load_pipeline(save_pipeline(fitted(static), path)).pipeline
        expected = {"bat": 0.75, "crane": 0.25} if weighting == "sif" else None
        assert loaded[0].word_frequencies == expected
    np.testing.assert_allclose(
        loaded.fit(TEXTS, LABELS).predict_proba(NEW), fitted(static).predict_proba(NEW)
    )


def test_functions_are_not_taken_from_a_file(path: Path) -> None:
    pipeline = fitted(make_pipeline(TfidfVectorizer(), FunctionTransformer(np.log1p)))
    with pytest.raises(UnsafeModelError, match=r"functions .*log1p.*trusted=\['numpy.*log1p'\]"):
        save_pipeline(pipeline, path)
    name = "numpy.log1p"
    save_pipeline(pipeline, path, trusted=[name])
    with pytest.raises(UnsafeModelError, match="log1p"):
        load_pipeline(path)
    assert load_pipeline(path, trusted=[name]).pipeline[0][1].func is np.log1p


def test_code_of_a_model_is_not_run_when_a_loaded_search_is_fitted(
    tiny_model: ModelFactory, path: Path, tmp_path: Path
) -> None:
    marker, evil = tmp_path / "code_ran", save_model("bert", tmp_path / "evil")
    config = json.loads((evil / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    (evil / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (evil / "evil.py").write_text(
        f"open({str(marker)!r}, 'w')\nfrom transformers import BertConfig as EvilConfig\n",
        encoding="utf-8",
    )
    steps = make_pipeline(BertVectorizer(str(tiny_model("bert")), store=None), LogisticRegression())
    tried = GridSearchCV(steps, {"bertvectorizer__layers": [-1]}, cv=2)
    pipeline = Pipeline([("search", tried)]).fit(TEXTS, LABELS)
    tried.param_grid = {
        "bertvectorizer__trust_remote_code": [True],
        "bertvectorizer__model_name": [str(evil)],
    }
    save_pipeline(pipeline, path)
    with pytest.warns(UserWarning, match=r"would set 'bertvectorizer__trust_remote_code' when"):
        loaded = load_pipeline(path).pipeline
    assert loaded.predict(NEW).tolist() == pipeline.predict(NEW).tolist()
    with pytest.raises((BertVectorizerError, ValueError)), warnings.catch_warnings(action="ignore"):
        loaded.fit(TEXTS, LABELS)
    assert not marker.exists()


def test_a_search_by_halving_names_no_restricted_parameter(tmp_path: Path) -> None:
    one = search()
    one.resource = "union__n_jobs"  # would be set to numbers
    with pytest.warns(UserWarning, match="'union__n_jobs'"):
        restrict_parameters(one, tmp_path, [])
    assert one.resource == "n_samples"
