"""scikit-learn's own checks, with texts in the place of the numbers that its generators feed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.utils import Tags, estimator_checks
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import bertvectorizer

# Checks that cannot hold for a column of texts, each with its reason. Nothing else may fail or be skipped.
EXPECTED_FAILURES = {
    "check_estimator_sparse_array": "The check makes a sparse array of the texts, and SciPy holds none.",
    "check_estimator_sparse_matrix": "The check makes a sparse matrix of the texts, and SciPy holds none.",
    "check_estimator_sparse_tag": "The check makes a sparse array of the texts, and SciPy holds none.",
    "check_estimators_dtypes": "The check casts its input to float and int: numbers, refused on purpose.",
    "check_estimators_empty_data_messages": "Zero rows are welcome and give shape (0, n_features); the check wants an error.",
    "check_fit2d_predict1d": "One-dimensional input is the rule here; the check wants an error.",
    "check_get_feature_names_out_error": "requires_fit is False: names, like vectors, are there without fit.",
    "check_n_features_in": "There is no n_features_in_: the input is one column, as with scikit-learn's own text vectorizers.",
    "check_n_features_in_after_fitting": "There is no n_features_in_: the input is one column.",
    "check_param_validation": "Parameters are checked without _parameter_constraints; test_bert.py tries each of them.",
    "check_positive_only_tag_during_fit": "The check does arithmetic with its input.",
    "check_transformer_data_not_an_array": "The check's list is nested, [[text], ...], and nested lists are refused on purpose.",
    "check_transformer_get_feature_names_out": "The check halves the names of the input, and the half of one name is one name.",
    "check_transformer_get_feature_names_out_pandas": "The name of the text column is not remembered: it does not matter for the result.",
}
EXPECTED_SKIPS = {
    "check_array_api_input": "Runs only where SCIPY_ARRAY_API is set; no array of that standard holds texts.",
}

# Checks that the generator leaves to each estimator's own tests.
MORE_CHECKS = (
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
)


class BertVectorizer(bertvectorizer.BertVectorizer):
    """The estimator under test; scikit-learn generates checks only for estimators that take two-dimensional input.

    A column of shape ``(n, 1)`` is such an input, and is what the checks are fed.
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        return tags


def as_texts(estimator: Any, X: Any, X_test: Any = None, **_: Any) -> Any:
    """Turn rows of numbers into a column of texts, equal rows into equal texts. *Shape:* ``(n_rows, 1)``.

    The texts are digits, since several checks derive y from X.
    """

    def column(rows: Any) -> NDArray[np.str_]:
        rows = np.asarray(rows).reshape(len(rows), -1)
        return np.array([str(hash(tuple(row)) % 10**9) for row in rows.tolist()]).reshape(-1, 1)

    return column(X) if X_test is None else (column(X), column(X_test))


@pytest.fixture(autouse=True)
def feed_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator_checks, "_enforce_estimator_tags_X", as_texts)


@pytest.fixture
def vectorizer(default_model_directory: Path) -> BertVectorizer:
    return BertVectorizer(str(default_model_directory), device="cpu")


@parametrize_with_checks([BertVectorizer()], expected_failed_checks=lambda estimator: EXPECTED_FAILURES)
def test_scikit_learn_check(estimator: BertVectorizer, check: Callable[[Any], None], vectorizer: BertVectorizer) -> None:
    check(vectorizer)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(reason=EXPECTED_FAILURES[name])) if name in EXPECTED_FAILURES else name
        for name in MORE_CHECKS
    ],
)
def test_another_scikit_learn_check(name: str, vectorizer: BertVectorizer) -> None:
    getattr(estimator_checks, name)("BertVectorizer", vectorizer)


def test_the_checks_really_run(tiny_model: Callable[..., Path]) -> None:
    results = check_estimator(
        BertVectorizer(str(tiny_model("bert")), device="cpu"), expected_failed_checks=EXPECTED_FAILURES, on_skip=None, on_fail=None
    )
    names: dict[str, set[str]] = {"passed": set(), "skipped": set(), "xfail": set(), "failed": set()}
    for result in results:
        names[result["status"]].add(result["check_name"])
    assert len(names["passed"]) >= 20
    assert not names["failed"]
    assert names["skipped"] <= set(EXPECTED_SKIPS)
    assert names["xfail"] == set(EXPECTED_FAILURES) - set(MORE_CHECKS)
