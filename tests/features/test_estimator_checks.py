"""scikit-learn's own checks, with texts instead of the numbers that its generators feed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import Tags, estimator_checks
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import bertvectorizer
from bertvectorizer import OverlapVectorizer, PairVectorizer
from bertvectorizer.features.pairs import PairsBase

# Checks that cannot hold for a column of texts, each with its reason. Nothing else may fail or be
# skipped.
FOR_TEXTS = {
    "check_estimator_sparse_array": (
        "The check makes a sparse array of the texts, and SciPy holds none."
    ),
    "check_estimator_sparse_matrix": (
        "The check makes a sparse matrix of the texts, and SciPy holds none."
    ),
    "check_estimator_sparse_tag": (
        "The check makes a sparse array of the texts, and SciPy holds none."
    ),
    "check_estimators_dtypes": (
        "The check casts its input to float and int: numbers, refused on purpose."
    ),
    "check_estimators_empty_data_messages": (
        "Zero rows are welcome and give shape (0, n_features); the check wants an error."
    ),
    "check_fit2d_predict1d": "One-dimensional input is the rule here; the check wants an error.",
    "check_n_features_in_after_fitting": "The check takes the second column of its one of texts.",
    "check_param_validation": (
        "Parameters are checked without _parameter_constraints; the tests of each estimator try"
        " each of them."
    ),
    "check_positive_only_tag_during_fit": "The check does arithmetic with its input.",
    "check_transformer_data_not_an_array": (
        "The check's list is nested, [[text], ...], and nested lists are refused on purpose."
    ),
    "check_transformer_get_feature_names_out": (
        "The check halves the names of the input, and the half of one name is one name."
    ),
}
# Those that hold for pairs, and reasons that are others.
FOR_PAIRS = {
    name: reason
    for name, reason in FOR_TEXTS.items()
    if name
    not in {
        "check_fit2d_predict1d",
        "check_transformer_data_not_an_array",
        "check_transformer_get_feature_names_out",
    }
} | {
    "check_n_features_in_after_fitting": (
        "One column is refused where the input is read, in other words than scikit-learn's."
    ),
    "check_parameters_default_constructible": (
        "vectorizer=None becomes an object, so that vectorizer__layers can be set."
    ),
}
EXPECTED_SKIPS = {
    "check_array_api_input": (
        "Runs only where SCIPY_ARRAY_API is set; no array of that standard holds texts."
    )
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


class Checked(NamedTuple):
    """An estimator under test, the checks it may fail, and the fixtures it needs."""

    estimator: Any
    expected: dict[str, str]
    needs: tuple[str, ...] = ()


def two_dimensional(kind: type) -> type:
    """Return a subclass that takes two-dimensional input, as scikit-learn's checks require.

    A column of shape ``(n, 1)`` is such an input, and is what the checks are fed.
    """

    def __sklearn_tags__(self: Any) -> Tags:
        tags: Tags = kind.__sklearn_tags__(self)  # type: ignore[attr-defined]
        tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        return tags

    return type(
        kind.__name__, (kind,), {"__module__": __name__, "__sklearn_tags__": __sklearn_tags__}
    )


BertVectorizer = two_dimensional(bertvectorizer.BertVectorizer)
StaticVectorizer = two_dimensional(bertvectorizer.StaticVectorizer)
Word2VecVectorizer = two_dimensional(bertvectorizer.Word2VecVectorizer)

DIGITS = bertvectorizer.WordVectors(
    list("0123456789"), np.random.default_rng(0).normal(size=(10, 6))
)  # what the texts consist of

CHECKED = {
    "BertVectorizer": Checked(
        BertVectorizer(device="cpu"),
        FOR_TEXTS
        | {
            "check_get_feature_names_out_error": (
                "requires_fit is False: names, like vectors, are there without fit."
            )
        },
        needs=("default_model_directory",),
    ),
    "StaticVectorizer": Checked(
        StaticVectorizer(DIGITS, tokenizer=list, weighting="sif", sif_a=1.0), FOR_TEXTS
    ),
    "Word2VecVectorizer": Checked(
        Word2VecVectorizer(
            vector_size=6, min_count=1, epochs=1, tokenizer=list, weighting="tfidf", random_state=0
        ),
        FOR_TEXTS,
    ),
    "PairVectorizer": Checked(
        PairVectorizer(bertvectorizer.StaticVectorizer(DIGITS, tokenizer=list)), FOR_PAIRS
    ),
    "OverlapVectorizer": Checked(
        OverlapVectorizer(tokenizer=list),
        {
            name: reason
            for name, reason in FOR_PAIRS.items()
            if name != "check_parameters_default_constructible"
        },
    ),
}


def as_texts(estimator: Any, X: Any, X_test: Any = None, **_: Any) -> Any:
    """Turn rows of numbers into texts of shape ``(n_rows, 1)``, equal rows into equal texts.

    Pairs get two columns. The texts are digits, since several checks derive y from X.
    """
    sides = 2 if isinstance(estimator, PairsBase) else 1

    def column(rows: Any) -> NDArray[np.str_]:
        rows = np.asarray(rows).reshape(len(rows), -1)
        texts = [
            str(hash((*row, *range(side))) % 10**9)
            for row in rows.tolist()
            for side in range(sides)
        ]
        return np.array(texts).reshape(-1, sides)

    return column(X) if X_test is None else (column(X), column(X_test))


@pytest.fixture(autouse=True)
def feed_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator_checks, "_enforce_estimator_tags_X", as_texts)


@pytest.fixture
def checked(request: pytest.FixtureRequest) -> Callable[[str], Checked]:
    """``checked(name)`` returns an estimator under test, or skips if a fixture is missing."""

    def get(name: str) -> Checked:
        for fixture in CHECKED[name].needs:
            request.getfixturevalue(fixture)
        return CHECKED[name]

    return get


@parametrize_with_checks(
    [each.estimator for each in CHECKED.values()],
    expected_failed_checks=lambda estimator: CHECKED[type(estimator).__name__].expected,
)
def test_scikit_learn_check(
    estimator: Any, check: Callable[[Any], None], checked: Callable[[str], Checked]
) -> None:
    checked(type(estimator).__name__)
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        pytest.param(
            estimator,
            name,
            marks=pytest.mark.xfail(reason=each.expected[name]) if name in each.expected else (),
        )
        for estimator, each in CHECKED.items()
        for name in MORE_CHECKS
    ],
)
def test_another_scikit_learn_check(
    estimator: str, name: str, checked: Callable[[str], Checked]
) -> None:
    getattr(estimator_checks, name)(estimator, checked(estimator).estimator)


@pytest.mark.parametrize("estimator", CHECKED)
def test_the_checks_really_run(estimator: str, checked: Callable[[str], Checked]) -> None:
    each = checked(estimator)
    results = check_estimator(
        each.estimator, expected_failed_checks=each.expected, on_skip=None, on_fail=None
    )
    names: dict[str, set[str]] = {
        "passed": set(),
        "skipped": set(),
        "xfail": set(),
        "failed": set(),
    }
    for result in results:
        names[result["status"]].add(result["check_name"])
    assert len(names["passed"]) >= 20
    assert not names["failed"]
    assert names["skipped"] <= set(EXPECTED_SKIPS)
    assert names["xfail"] == set(each.expected) - set(MORE_CHECKS)


# Counts of common words are equal for many pairs.
@pytest.mark.parametrize("estimator", sorted(set(CHECKED) - {"OverlapVectorizer"}))
def test_the_texts_of_the_checks_mean_something(
    estimator: str, checked: Callable[[str], Checked]
) -> None:
    cloned = clone(checked(estimator).estimator)
    X = cloned.fit_transform(as_texts(cloned, np.random.default_rng(0).normal(size=(20, 3))))
    assert len(np.unique(X.round(5), axis=0)) == 20
