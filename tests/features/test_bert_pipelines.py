"""BertVectorizer inside scikit-learn: pipelines, searches, output containers, routing."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertVectorizer, EmbeddingStore, load_pipeline, save_pipeline
from bertvectorizer.errors import InvalidTextError

pytestmark = pytest.mark.numeric

DATA = pd.DataFrame(
    {
        "text": (
            [
                "the old bat flew in the night",
                "the bat hit the ball",
                "a bat in the night",
                "a ball of the old bat",
                "bats flew",
                "bats hit",
            ]
            * 4
        ),
        "label": ["animal", "club"] * 12,
        "price": np.linspace(1, 2, 24),
    },
    index=[f"row{number % 20}" for number in range(24)],  # with repetitions
)


@pytest.fixture(scope="module")
def bert(tiny_model: Callable[..., Path]) -> str:
    return str(tiny_model("bert"))


@pytest.fixture
def pipe(bert: str) -> Any:
    return make_pipeline(BertVectorizer(bert), LogisticRegression(max_iter=1000))


def test_pipeline_with_the_default_model() -> None:
    pipe = make_pipeline(BertVectorizer(), LogisticRegression(max_iter=1000)).fit(
        DATA["text"], DATA["label"]
    )
    assert pipe.score(DATA["text"], DATA["label"]) == 1.0


def test_column_transformer(bert: str) -> None:
    columns = ColumnTransformer(
        [
            ("text", BertVectorizer(bert, layers=[-4, -3, -2, -1], layer_merge="concat"), "text"),
            ("num", StandardScaler(), ["price"]),
        ]
    )
    X = columns.fit_transform(DATA)
    assert X.shape == (24, 4 * 32 + 1)
    expected = BertVectorizer(bert, layers=[-4, -3, -2, -1]).transform(DATA["text"])
    np.testing.assert_allclose(X[:, :-1], expected, atol=1e-6)
    assert columns.get_feature_names_out()[[0, -1]].tolist() == ["text__text_0", "num__price"]
    one_column_frame = ColumnTransformer(
        [("text", BertVectorizer(bert, layers="all"), ["text"])]
    ).fit_transform(DATA)
    np.testing.assert_allclose(
        one_column_frame, BertVectorizer(bert, layers="all").transform(DATA["text"]), atol=1e-6
    )
    columns.set_output(transform="pandas")
    assert columns.fit_transform(DATA).index.equals(DATA.index)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search(pipe: Any, n_jobs: int) -> None:
    grid = {
        "bertvectorizer__layers": [-1, -2, "-1,-2,-3,-4"],
        "bertvectorizer__pooling": ["cls", "mean", "max"],
    }
    if n_jobs > 1:  # workers start slowly; two candidates do
        grid = {"bertvectorizer__layers": [-1, "-1,-2,-3,-4"]}
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(
        DATA["text"], DATA["label"]
    )
    assert len(search.cv_results_["params"]) == (9 if n_jobs == 1 else 2)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(DATA["text"]).shape == (24,)
    chosen = search.best_params_["bertvectorizer__layers"]
    assert search.best_estimator_[0].n_features_out_ == (128 if chosen == "-1,-2,-3,-4" else 32)


def test_cross_validate(pipe: Any) -> None:
    scores = cross_validate(
        pipe, DATA["text"], DATA["label"], cv=3, return_estimator=True, error_score="raise"
    )
    assert np.isfinite(scores["test_score"]).all()
    assert {estimator[0].n_features_out_ for estimator in scores["estimator"]} == {32}


def test_feature_union(bert: str) -> None:
    union = FeatureUnion(
        [
            ("first", BertVectorizer(bert, pooling="cls")),
            ("largest", BertVectorizer(bert, pooling="max")),
        ]
    )
    X = union.fit_transform(DATA["text"])
    np.testing.assert_allclose(
        X, BertVectorizer(bert, pooling=("cls", "max")).transform(DATA["text"]), atol=1e-6
    )
    assert union.get_feature_names_out()[[0, -1]].tolist() == ["first__text_0", "largest__text_31"]
    assert make_union(BertVectorizer(bert), BertVectorizer(bert), n_jobs=1).set_output(
        transform="pandas"
    ).fit_transform(DATA["text"]).shape == (24, 64)


def test_transform_needs_no_fit(bert: str) -> None:
    vectorizer = BertVectorizer(bert, layers="all", pooling=("cls", "mean"))
    X = vectorizer.transform(DATA["text"])
    names = vectorizer.get_feature_names_out()
    assert vectorizer.n_features_out_ == len(names) == X.shape[1]
    texts = DATA["text"].tolist()
    np.testing.assert_allclose(vectorizer.fit_transform(texts), X, atol=1e-6)
    np.testing.assert_array_equal(vectorizer.get_feature_names_out(), names)


@pytest.mark.parametrize(
    ("parameters", "width"),
    [
        ({}, 32),
        ({"layers": "all"}, 128),
        ({"layers": "all", "layer_merge": "sum"}, 32),
        ({"pooling": ("cls", "max"), "layers": [0, 1]}, 128),
    ],
)
def test_names_and_number_of_features(bert: str, parameters: dict[str, Any], width: int) -> None:
    vectorizer = BertVectorizer(bert, **parameters)
    for X, prefix in ((DATA["text"].tolist(), "bertvectorizer"), (DATA["text"], "text_")):
        assert vectorizer.fit(X).n_features_out_ == width
        assert vectorizer.get_feature_names_out().tolist() == [
            f"{prefix}{number}" for number in range(width)
        ]
    assert vectorizer.get_feature_names_out(["text"]).dtype == object
    assert vectorizer.transform(DATA["text"]).shape == (24, width)
    with pytest.raises(
        InvalidTextError, match=r"'input_features' parameter must hold one name. Got 2"
    ):
        vectorizer.get_feature_names_out(["a", "b"])


@pytest.mark.parametrize(
    "X", [DATA["text"], DATA[["text"]], pl.Series(DATA["text"].tolist()), DATA["text"].tolist()]
)
def test_set_output(bert: str, X: Any) -> None:
    vectorizer = BertVectorizer(bert)
    plain = vectorizer.fit_transform(X)
    frame = vectorizer.set_output(transform="pandas").fit_transform(X)
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.tolist() == (
        DATA.index.tolist() if isinstance(X, (pd.Series, pd.DataFrame)) else list(range(24))
    )
    assert list(frame.columns) == vectorizer.get_feature_names_out().tolist()
    assert set(frame.dtypes) == {np.dtype(np.float32)}
    np.testing.assert_array_equal(frame.to_numpy(), plain)
    polars_frame = vectorizer.set_output(transform="polars").transform(X)
    assert isinstance(polars_frame, pl.DataFrame)
    assert polars_frame.columns == list(frame.columns)
    np.testing.assert_allclose(polars_frame.to_numpy(), plain, atol=1e-6)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(BertVectorizer(bert).transform(X), pd.DataFrame)


def test_several_columns_share_the_store_and_the_settings(bert: str, tmp_path: Path) -> None:
    frame = DATA.assign(title=["the old bat", None, "bats hit"] * 8)[["title", "text"]]
    store = EmbeddingStore(tmp_path / "store.sqlite")
    vectorizer = BertVectorizer(bert, store=store, missing="zero", layers=[0, -1])
    X = vectorizer.fit_transform(frame)
    n_distinct = len({*frame["title"].fillna(""), *frame["text"]})
    assert store.stats.encoded == n_distinct == 8
    assert vectorizer.truncation_.n_texts == 48
    alone = BertVectorizer(bert, store=None, missing="zero", layers=[0, -1])
    parts = [alone.fit_transform(frame[name]) for name in frame]
    np.testing.assert_allclose(X, np.hstack(parts), atol=1e-6)
    assert not X[1, :64].any()
    assert vectorizer.get_feature_names_out()[[0, -1]].tolist() == ["title_0", "text_63"]
    pipe = make_pipeline(clone(vectorizer), LogisticRegression(max_iter=1000))
    pipe.set_output(transform="pandas").fit(frame, DATA["label"])
    assert pipe.predict(frame).tolist() == pickle.loads(pickle.dumps(pipe)).predict(frame).tolist()
    assert store.stats.encoded == n_distinct
    save_pipeline(pipe, tmp_path / "model.skops")
    loaded = load_pipeline(tmp_path / "model.skops").pipeline
    assert loaded.predict(frame).tolist() == pipe.predict(frame).tolist()
    assert loaded[0].get_feature_names_out().tolist() == pipe[0].get_feature_names_out().tolist()


def test_metadata_routing(bert: str) -> None:
    weights = np.ones(24)
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(
            BertVectorizer(bert),
            LogisticRegression(max_iter=1000).set_fit_request(sample_weight=True),
        )
        pipe[-1].set_score_request(sample_weight=True)
        pipe.fit(DATA["text"], DATA["label"], sample_weight=weights)
        assert pipe.predict(DATA["text"]).shape == (24,)
        cross_validate(
            pipe,
            DATA["text"],
            DATA["label"],
            cv=2,
            params={"sample_weight": weights},
            error_score="raise",
        )
        columns = ColumnTransformer([("text", BertVectorizer(bert), "text")]).fit(DATA)
        assert columns.transform(DATA).shape == (24, 32)
        assert make_union(BertVectorizer(bert)).fit_transform(DATA["text"]).shape == (24, 32)
        requests = BertVectorizer(bert).get_metadata_routing()
        assert not any(getattr(requests, method).requests for method in ("fit", "transform"))


def test_get_and_set_params(bert: str) -> None:
    vectorizer = BertVectorizer(bert, layers=[-1, -2], pooling=("cls", "max"))
    parameters = vectorizer.get_params()
    assert parameters["layers"] == [-1, -2]
    assert BertVectorizer(**parameters).get_params() == parameters
    assert vectorizer.set_params(layers=0, normalize=True) is vectorizer
    assert (vectorizer.layers, vectorizer.normalize) == (0, True)
    with pytest.raises(ValueError, match="Invalid parameter 'layer'"):
        vectorizer.set_params(layer=0)


def test_init_stores_its_arguments_untouched() -> None:
    layers, pooling = [-1, -2], ("cls", "max")
    vectorizer = BertVectorizer("any name", layers=layers, pooling=pooling)
    assert vectorizer.layers is layers
    assert vectorizer.pooling is pooling
    assert vars(vectorizer).keys() == vectorizer.get_params().keys()


def test_representations(bert: str) -> None:
    vectorizer = BertVectorizer(bert, layers=-2)
    assert repr(BertVectorizer()) == "BertVectorizer()"
    assert (
        repr(BertVectorizer(layers=-2, pooling="cls")) == "BertVectorizer(layers=-2, pooling='cls')"
    )
    for estimator in (vectorizer, make_pipeline(vectorizer), vectorizer.fit(DATA["text"])):
        html = estimator._repr_html_()
        assert "BertVectorizer" in html
        assert "layers" in html


def test_clone_keeps_parameters_and_nothing_else(bert: str) -> None:
    vectorizer = BertVectorizer(bert, layers=[0, 1]).fit(DATA["text"])
    copied = clone(vectorizer)
    assert copied.get_params() == vectorizer.get_params()
    assert vars(copied).keys() == copied.get_params().keys()


@pytest.fixture(scope="module")
def other(tiny_model: Callable[..., Path]) -> str:
    """Another model, of another width."""
    return str(tiny_model("bert", hidden_size=16))


def test_a_new_model_name_and_refit_use_the_new_model(bert: str, other: str) -> None:
    expected = BertVectorizer(other).transform(DATA["text"])
    for vectorizer in (
        clone(BertVectorizer(bert).fit(DATA["text"])),
        BertVectorizer(bert).fit(DATA["text"]),
    ):
        vectorizer.set_params(model_name=other).fit(DATA["text"])
        np.testing.assert_allclose(vectorizer.transform(DATA["text"]), expected, atol=1e-6)
        assert vectorizer.n_features_out_ == 16
        np.testing.assert_allclose(
            vectorizer.set_params(model_name=bert).fit_transform(DATA["text"]).shape, (24, 32)
        )
