from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.features import TextVectorizer


class LengthVectorizer(TextVectorizer):
    """The smallest vectorizer there can be: characters and words of a text, plus one."""

    def __init__(self, missing: str = "empty") -> None:
        self.missing = missing

    def _learn(self, texts: list[str], counts: NDArray[np.int64]) -> None:
        self.learnt_from_ = dict(zip(texts, counts.tolist(), strict=True))

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        self.encoded_ = list(texts)
        return np.array(
            [[len(text) + 1, len(text.split()) + 1] for text in texts], dtype=np.float32
        ).reshape(-1, 2)

    def _n_features(self) -> int:
        return 2


def test_a_subclass_says_how_it_learns_and_how_it_encodes() -> None:
    assert TextVectorizer.__abstractmethods__ == {"_learn", "_n_features", "_vectors"}
    with pytest.raises(TypeError, match="abstract"):
        TextVectorizer()


def test_one_row_per_text_in_order() -> None:
    X = LengthVectorizer().fit_transform(["a b", "", "abc"])
    np.testing.assert_array_equal(X, [[4, 3], [1, 1], [4, 2]])
    assert X.dtype == np.float32


def test_repeated_texts_are_encoded_once_and_learnt_from_each_time() -> None:
    vectorizer = LengthVectorizer()
    X = vectorizer.fit_transform(["a", "b c", "a", None, "", "b c"])
    assert vectorizer.encoded_ == ["a", "b c", ""]
    assert vectorizer.learnt_from_ == {"a": 2, "b c": 2, "": 2}
    np.testing.assert_array_equal(X[:, 1], [2, 3, 2, 1, 1, 3])


@pytest.mark.parametrize(("missing", "expected"), [("empty", 1.0), ("zero", 0.0), ("nan", np.nan)])
def test_missing_texts(missing: str, expected: float) -> None:
    vectorizer = LengthVectorizer(missing)
    for X in (
        vectorizer.fit_transform(["a", None, "", np.nan]),
        vectorizer.transform(["a", None, "", np.nan]),
    ):
        np.testing.assert_array_equal(X, [[2, 2], [expected] * 2, [1, 1], [expected] * 2])
        assert X.dtype == np.float32


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
def test_missing_texts_can_be_refused(method: str) -> None:
    with pytest.raises(InvalidTextError, match=r"1 missing text.*row 1"):
        getattr(LengthVectorizer("error"), method)(["a", None])


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
def test_a_wrong_missing_is_named(method: str) -> None:
    with pytest.raises(InvalidParameterError, match=r"'missing' parameter .* Got 'blank' instead"):
        getattr(LengthVectorizer("blank"), method)(["a"])


@pytest.mark.parametrize("missing", ["empty", "error", "zero", "nan"])
@pytest.mark.parametrize(
    "X",
    [
        [],
        (),
        np.array([], dtype=object),
        pd.Series([], dtype="str"),
        pd.DataFrame({"text": []}),
        pl.Series("text", [], dtype=pl.String),
    ],
)
def test_zero_rows(X: Any, missing: str) -> None:
    for result in (
        LengthVectorizer(missing).fit_transform(X),
        LengthVectorizer(missing).transform(X),
    ):
        assert result.shape == (0, 2)
        assert result.dtype == np.float32


def test_the_result_is_the_callers_to_write_into() -> None:
    vectorizer = LengthVectorizer()
    for texts in (["a", "b"], ["a", "a"]):
        X = vectorizer.fit_transform(texts)
        X[:] = -1.0
        assert (vectorizer.transform(texts) > 0).all()


def test_fit_returns_the_estimator_and_ignores_y() -> None:
    vectorizer = LengthVectorizer()
    assert vectorizer.fit(["a"], [1]) is vectorizer
    assert vectorizer.n_features_out_ == 2


def test_fit_transform_takes_no_other_arguments() -> None:
    with pytest.raises(
        TypeError, match=r"LengthVectorizer.fit_transform\(\) takes no \['sample_weight'\]"
    ):
        LengthVectorizer().fit_transform(["a"], sample_weight=[1.0])


CLASS_NAMES = ["lengthvectorizer0", "lengthvectorizer1"]


def test_features_without_a_column_name_have_that_of_the_class() -> None:
    vectorizer = LengthVectorizer()
    for X in (None, ["a"], pd.Series(["a"]), pd.DataFrame([["a"]]), pl.Series(["a"])):
        if X is not None:
            vectorizer.fit(X)
        names = vectorizer.get_feature_names_out()
        assert names.tolist() == CLASS_NAMES
        assert names.dtype == object
        assert vectorizer.get_feature_names_out(["text"]).tolist() == ["text_0", "text_1"]
        assert not hasattr(vectorizer, "feature_names_in_")
        with pytest.raises(
            InvalidTextError, match=r"'input_features' parameter must hold one name. Got 2 instead"
        ):
            vectorizer.get_feature_names_out(["a", "b"])


@pytest.mark.parametrize(
    "X",
    [
        pd.Series(["a"], name="review"),
        pd.DataFrame({"review": ["a"]}),
        pl.Series("review", ["a"]),
        pl.DataFrame({"review": ["a"]}),
        pa.table({"review": ["a"]}),
    ],
)
@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_features_are_named_by_their_column(X: Any, method: str) -> None:
    vectorizer = LengthVectorizer()
    getattr(vectorizer, method)(X)
    assert vectorizer.feature_names_in_.tolist() == ["review"]
    for names in (vectorizer.get_feature_names_out(), vectorizer.get_feature_names_out(["review"])):
        assert names.tolist() == ["review_0", "review_1"]
    with pytest.raises(InvalidTextError, match=r"that 'fit' saw, \['review'\]\. Got \['text'\]"):
        vectorizer.get_feature_names_out(["text"])
    assert vectorizer.transform(pd.Series(["a"], name="text")).shape == (1, 2)
    assert vectorizer.fit(["a"]).get_feature_names_out().tolist() == CLASS_NAMES


def test_a_vectorizer_of_a_former_version_keeps_the_names_that_later_steps_know() -> None:
    frame = pd.DataFrame({"review": ["a b", "c", "a", "d e"], "price": [1, 2, 3, 4]})
    columns = ColumnTransformer([("text", LengthVectorizer(), "review")], remainder="passthrough")
    columns.set_output(transform="pandas").fit(frame)
    vectorizer = columns.named_transformers_["text"]
    del vectorizer.n_features_in_, vectorizer.feature_names_in_
    known = [f"text__{name}" for name in CLASS_NAMES]
    assert columns.transform(frame).columns.tolist() == [*known, "remainder__price"]
    with pytest.raises(InvalidTextError, match=r"columns that 'fit' saw: 1 column\. Got 2 columns"):
        vectorizer.transform(frame.assign(price="x"))


def test_two_columns_without_prefixes_do_not_clash() -> None:
    frame = pd.DataFrame({"title": ["a", "b"], "review": ["c d", "e"]})
    columns = ColumnTransformer(
        [(name, LengthVectorizer(), name) for name in frame], verbose_feature_names_out=False
    )
    expected = ["title_0", "title_1", "review_0", "review_1"]
    assert columns.fit(frame).get_feature_names_out().tolist() == expected
    assert columns.set_output(transform="pandas").fit_transform(frame).columns.tolist() == expected
    by_position = columns.set_output(transform="default").set_params(
        transformers=[("a", LengthVectorizer(), 0), ("b", LengthVectorizer(), [1])]
    )
    assert by_position.fit(frame.to_numpy()).get_feature_names_out().tolist() == [
        "x0_0",
        "x0_1",
        "x1_0",
        "x1_1",
    ]


TWO = {"title": ["a", None, "b c"], "review": ["b c", "d", "a"]}


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_several_columns_are_side_by_side_and_each_text_is_encoded_once(kind: Any) -> None:
    vectorizer = LengthVectorizer("nan")
    X = vectorizer.fit_transform(kind(TWO))
    assert vectorizer.encoded_ == ["a", "b c", "", "d"]
    assert vectorizer.learnt_from_ == {"a": 2, "b c": 2, "": 1, "d": 1}
    parts = [LengthVectorizer("nan").fit_transform(TWO[name]) for name in TWO]
    np.testing.assert_array_equal(X, np.hstack(parts))
    np.testing.assert_array_equal(vectorizer.fit(kind(TWO)).transform(kind(TWO)), X)
    assert X.dtype == np.float32
    assert (vectorizer.n_features_in_, vectorizer.n_features_out_) == (2, 4)
    expected = ["title_0", "title_1", "review_0", "review_1"]
    assert vectorizer.get_feature_names_out().tolist() == expected
    assert vectorizer.get_feature_names_out(["title", "review"]).tolist() == expected
    frame = vectorizer.set_output(transform="polars").transform(kind(TWO))
    assert frame.columns == expected
    with pytest.raises(InvalidTextError, match=r"must hold 2 names\. Got 1 instead"):
        vectorizer.get_feature_names_out(["title"])
    empty = LengthVectorizer().fit_transform(pd.DataFrame({"title": [], "review": []}))
    assert (empty.shape, empty.dtype) == ((0, 4), np.float32)


def test_several_columns_in_a_column_transformer_and_after_a_clone() -> None:
    frame = pd.DataFrame({**TWO, "price": [1, 2, 3]}, index=["x", 7, "x"])
    columns = ColumnTransformer(
        [("text", LengthVectorizer(), ["review", "title"])], remainder="passthrough"
    ).set_output(transform="pandas")
    for transformer in (columns, clone(columns)):
        found = transformer.fit_transform(frame)
        assert found.columns.tolist() == [
            *("text__review_0", "text__review_1", "text__title_0", "text__title_1"),
            "remainder__price",
        ]
        assert found.index.tolist() == ["x", 7, "x"]
        pd.testing.assert_frame_equal(transformer.transform(frame), found)


def test_several_columns_without_names_are_numbered() -> None:
    vectorizer = LengthVectorizer()
    X = pd.DataFrame([["a", "b"]])
    assert vectorizer.fit_transform(X).shape == (1, 4)
    assert vectorizer.get_feature_names_out().tolist() == [f"lengthvectorizer{n}" for n in range(4)]
    assert vectorizer.get_feature_names_out(["x0", "x1"]).tolist()[::2] == ["x0_0", "x1_0"]


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"review": ["a"], "title": ["b"]}),
        pd.DataFrame({"title": ["a"], "text": ["b"]}),
        pd.DataFrame({"title": ["a"], "review": ["b"], "text": ["c"]}),
        pd.DataFrame([["a", "b"]]),
        pd.Series(["a"], name="title"),
        ["a"],
    ],
)
def test_other_columns_than_those_of_fit_are_refused(X: Any) -> None:
    vectorizer = LengthVectorizer().fit(pd.DataFrame(TWO))
    with pytest.raises(
        InvalidTextError,
        match=r"must have the columns that 'fit' saw: 2 columns, 'title', 'review'",
    ):
        vectorizer.transform(X)


def test_several_columns_before_fit() -> None:
    frame = pd.DataFrame(TWO)
    expected = LengthVectorizer().fit_transform(frame)
    np.testing.assert_array_equal(LengthVectorizer().transform(frame), expected)
    with pytest.raises(NotFittedError, match=r"2 columns, whose names .* Call 'fit' first"):
        LengthVectorizer().set_output(transform="pandas").transform(frame)


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
def test_an_iterator_is_read_once(method: str) -> None:
    vectorizer = LengthVectorizer().set_output(transform="pandas")
    texts = iter(["a", "b c"])
    result = getattr(vectorizer, method)(texts)
    assert next(texts, None) is None
    if method == "fit":
        assert vectorizer.learnt_from_ == {"a": 1, "b c": 1}
    else:
        assert result.to_numpy().tolist() == [[2, 2], [4, 3]]


@pytest.mark.parametrize(
    ("output", "kind"),
    [("default", np.ndarray), ("pandas", pd.DataFrame), ("polars", pl.DataFrame)],
)
def test_set_output(output: str, kind: type) -> None:
    vectorizer = LengthVectorizer().set_output(transform=output)
    series = pd.Series(["a", "b c", "a"], index=["x", 7, "x"])
    for X in (vectorizer.fit_transform(series), vectorizer.transform(series)):
        assert isinstance(X, kind)
        assert X.shape == (3, 2)
        if output != "default":
            assert list(X.columns) == ["lengthvectorizer0", "lengthvectorizer1"]
        if output == "pandas":
            assert X.index.tolist() == ["x", 7, "x"]
            assert set(X.dtypes) == {np.dtype(np.float32)}
        if output == "polars":
            assert set(X.dtypes) == {pl.Float32}


def test_tags() -> None:
    tags = get_tags(LengthVectorizer())
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.allow_nan
    assert not tags.input_tags.sparse
    assert tags.transformer_tags is not None
    assert tags.transformer_tags.preserves_dtype == []
    assert not tags.target_tags.required


def test_clone_copies_parameters_only() -> None:
    vectorizer = LengthVectorizer("zero").fit(["a"])
    copied = clone(vectorizer)
    assert copied.get_params() == {"missing": "zero"}
    assert not hasattr(copied, "learnt_from_")
