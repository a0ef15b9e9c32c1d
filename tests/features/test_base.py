from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
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


def test_names_of_the_columns() -> None:
    vectorizer = LengthVectorizer()
    for names in (vectorizer.get_feature_names_out(), vectorizer.get_feature_names_out(["text"])):
        assert names.tolist() == ["lengthvectorizer0", "lengthvectorizer1"]
        assert names.dtype == object
    with pytest.raises(
        InvalidTextError, match=r"'input_features' parameter must hold one name. Got 2 instead"
    ):
        vectorizer.get_feature_names_out(["a", "b"])


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
