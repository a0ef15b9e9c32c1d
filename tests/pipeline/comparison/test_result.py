"""The numbers of a comparison: table, errors, pipelines, learning curves."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline

from bertvectorizer import compare
from bertvectorizer.errors import InvalidParameterError
from tests.pipeline.results import FEATURES, INDEX, KINDS, LABELS, TEXTS, comparison_of, few_samples


@pytest.fixture(autouse=True)
def quick_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    few_samples(monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
def test_the_table(kind: str) -> None:
    comparison = comparison_of(kind)
    table = comparison.table
    assert table["features"].tolist() == list(FEATURES)
    assert table.columns.is_unique
    for name, mean in table[["features", comparison.metric]].itertuples(index=False):
        outcome = comparison.outcomes[name]
        shown = outcome.pooled if kind == "regression" else outcome.scores
        assert mean == pytest.approx(np.mean(shown[comparison.metric]))
    assert (table["low"] <= table[comparison.metric]).all()
    assert (table["high"] >= table[comparison.metric]).all()
    assert comparison.best == table["features"][table[comparison.metric].argmax()] == "words"
    assert comparison.baseline == "words"
    assert comparison.greater_is_better
    table["features"] = "mine"
    assert comparison.table["features"].tolist() == list(FEATURES)


def test_the_table_is_read_by_people() -> None:
    of_text = comparison_of("text")
    head, *rows = str(of_text).splitlines()
    assert head.split() == [
        "features",
        "accuracy",
        "low",
        "high",
        "difference",
        "p_value",
        "family",
        "verdict",
        "dimensions",
    ]
    assert len(rows) == 3
    assert "best baseline" in rows[1]
    assert "row 0" not in repr(of_text)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_floods_a_notebook(kind: str) -> None:
    comparison = comparison_of(kind)
    assert repr(comparison) == str(comparison)
    for shown in (comparison, *comparison.outcomes.values(), comparison.folds, comparison.target):
        assert len(repr(shown)) < 1000
    assert repr(dataclasses.replace(comparison, outcomes={})) == "no feature sets"


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_one_gets_right_and_another_wrong(kind: str) -> None:
    comparison = comparison_of(kind)
    errors = comparison.errors("words", "majority")
    assert errors.columns.tolist() == ["text", "target", "words", "majority"]
    assert len(errors)
    frame = pd.DataFrame(
        {"text": comparison.texts, "row": range(40)}, index=comparison.index
    ).set_index("text", append=True)["row"]
    rows = [
        int(frame[label, text]) for label, text in zip(errors.index, errors["text"], strict=True)
    ]
    truth = [LABELS[kind][row] for row in rows]
    given = [tuple(sorted(labels)) for labels in truth] if kind == "several" else truth
    assert errors["target"].tolist() == given
    assert [type(value) for value in errors["target"].tolist()] == [type(value) for value in given]
    for name in ("words", "majority"):
        assert [type(value) for value in errors[name].tolist()] == [type(value) for value in given]
    if kind == "regression":
        gains = (errors["majority"] - errors["target"]).abs() - (
            errors["words"] - errors["target"]
        ).abs()
        assert (gains > 0).all()
        assert gains.is_monotonic_decreasing
    else:
        assert (errors["words"] == errors["target"]).all()
        assert not (errors["majority"] == errors["target"]).any()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "regression"])
def test_the_most_confident_rows_come_first(kind: str) -> None:
    comparison = dataclasses.replace(comparison_of(kind), index=pd.RangeIndex(40))
    errors = comparison.errors("words", "numbers")
    assert len(errors) > 1
    classes, truth = comparison.target.classes, comparison.target.values
    assert classes is not None

    def of_truth(name: str, row: int) -> float:
        shares = comparison.probabilities(name).loc[row].to_numpy()
        if kind == "several":
            return float(np.where(truth[row] == 1, shares, 1 - shares).mean())
        return float(shares[classes.tolist().index(truth[row])])

    gains = [of_truth("words", row) - of_truth("numbers", row) for row in errors.index]
    assert gains == sorted(gains, reverse=True)
    assert errors.index.tolist() != sorted(errors.index)
    expected = comparison.outcomes["words"]
    without = {
        name: dataclasses.replace(outcome, probabilities=None)
        for name, outcome in comparison.outcomes.items()
    }
    plain = dataclasses.replace(comparison, outcomes=without).errors("words", "numbers")
    assert plain.index.tolist() == sorted(errors.index)
    half = dataclasses.replace(comparison, outcomes={**without, "words": expected})
    shares = [of_truth("words", row) for row in half.errors("words", "numbers").index]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "regression"])
def test_probabilities_are_those_of_folds(kind: str) -> None:
    comparison = comparison_of(kind)
    target = comparison.target
    found = comparison.probabilities("words")
    assert found.index.equals(pd.Index(INDEX))
    assert target.classes is not None
    assert found.columns.tolist() == target.classes.tolist()
    assert found.dtypes.eq("float64").all()
    for train, test in comparison.folds.splits[: comparison.folds.n_first]:
        model = clone(comparison.pipeline("words")).fit(
            comparison.texts[train], target.values[train]
        )
        expected = model.predict_proba(comparison.texts[test])
        np.testing.assert_allclose(found.to_numpy()[test], expected, atol=1e-6)
    predictions = comparison.outcomes["words"].predictions
    if kind == "several":
        assert ((found.to_numpy() > 0.5) == predictions.astype(bool)).all()
    else:
        assert found.idxmax(axis=1).tolist() == predictions.tolist()
    found.iloc[:] = 0
    assert comparison.probabilities("words").to_numpy().max() > 0
    assert comparison.probabilities().equals(comparison.probabilities(comparison.best))


def test_probabilities_of_repeats_and_of_rows_never_judged() -> None:
    labels = np.array(LABELS["text"])
    comparison = compare(TEXTS, labels, FEATURES, LogisticRegression(), "2x3", "accuracy")
    found = comparison.probabilities("words")
    first = comparison.folds.splits[0]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model.fit(np.array(TEXTS)[first[0]], labels[first[0]])
    expected = model.predict_proba(np.array(TEXTS)[first[1]])
    np.testing.assert_allclose(found.to_numpy()[first[1]], expected, atol=1e-6)
    assert found.index.equals(pd.RangeIndex(40))

    judged = PredefinedSplit(np.repeat([-1, 0], [20, 20]))
    found = compare(
        TEXTS, labels, FEATURES, LogisticRegression(), judged, "accuracy"
    ).probabilities("words")
    assert found.iloc[:20].isna().all(axis=None)
    assert found.iloc[20:].sum(axis=1).to_numpy() == pytest.approx(1)


def test_where_there_are_no_probabilities() -> None:
    with pytest.raises(InvalidParameterError, match="target of this comparison holds numbers"):
        comparison_of("regression").probabilities("words")
    with pytest.raises(InvalidParameterError, match=r"one of: majority, words, numbers\. Got"):
        comparison_of("text").probabilities("no such")
    ridge = compare(TEXTS, LABELS["text"], FEATURES, RidgeClassifier(), 2, "accuracy")
    with pytest.raises(
        InvalidParameterError, match=r"'words' has no .*RidgeClassifier.*Calibrated"
    ):
        ridge.probabilities("words")
    assert ridge.probabilities("majority").notna().all(axis=None)
    assert len(ridge.errors("words", "majority"))
    many = compare(
        [f"word{number // 2} {number}" for number in range(50)],
        [f"class {number // 2}" for number in range(50)],
        {"words": TfidfVectorizer()},
        cv=2,
        scoring="accuracy",
    )
    with pytest.raises(InvalidParameterError, match="more than 20 classes"):
        many.probabilities()


def test_errors_beside_whom() -> None:
    of_text = comparison_of("text")
    assert of_text.errors("majority").columns.tolist() == ["text", "target", "majority", "words"]
    assert of_text.errors(
        "words"
    ).empty  # the best baseline is the best of all: beside itself nothing flips
    assert of_text.errors("words", "words").empty
    for names in (("no such",), ("words", "no such"), (None,)):
        with pytest.raises(InvalidParameterError, match=r"one of: majority, words, numbers\. Got"):
            of_text.errors(*names)  # type: ignore[arg-type]


def test_rows_that_were_never_judged_are_no_errors() -> None:
    judged = np.repeat([-1, 0], [20, 20])
    comparison = compare(
        TEXTS, LABELS["text"], FEATURES, LogisticRegression(), PredefinedSplit(judged), "accuracy"
    )
    assert min(comparison.errors("words", "majority").index) >= 20


def test_features_whose_names_are_columns_of_the_errors() -> None:
    comparison = compare(
        TEXTS,
        LABELS["text"],
        {"text": None, "target": TfidfVectorizer()},
        LogisticRegression(),
        2,
        "accuracy",
    )
    errors = comparison.errors("target", "text")
    assert errors.shape[1] == 4
    assert set(errors.iloc[:, 0]) <= set(TEXTS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_predicts_labels_as_they_were_given(kind: str) -> None:
    comparison = comparison_of(kind)
    for name in FEATURES:
        predicted = comparison.pipeline(name).predict(TEXTS[:4])
        if kind == "several":
            assert predicted.shape == (4, 2)
            continue
        assert {type(value) for value in predicted.tolist()} == {type(LABELS[kind][0])}
        if kind != "regression":
            assert set(predicted.tolist()) <= set(LABELS[kind])
    if kind != "regression":
        np.testing.assert_array_equal(
            comparison.pipeline().predict(TEXTS), comparison.target.values
        )


def test_pipelines_and_their_names() -> None:
    of_text = comparison_of("text")
    assert isinstance(of_text.pipeline("majority")[-1], DummyClassifier)
    assert of_text.pipeline().named_steps["features"].get_params() == FEATURES["words"].get_params()
    assert not hasattr(FEATURES["words"], "vocabulary_")
    with pytest.raises(InvalidParameterError, match="Got 'no such'"):
        of_text.pipeline("no such")


@pytest.mark.parametrize("kind", KINDS)
def test_the_learning_curve(kind: str) -> None:
    comparison = comparison_of(kind)
    curve = comparison.learning_curve
    assert curve is not None
    columns = ["features", "n_rows", comparison.metric, "low", "high", "interval_method"]
    assert curve.columns.tolist() == columns
    assert curve["features"].tolist() == [name for name in FEATURES for _ in range(2)]
    assert curve["n_rows"].tolist() == list(comparison.curve_sizes) * 3 == [13, 26] * 3
    assert (curve["low"] <= curve[comparison.metric]).all()
    assert (curve["high"] >= curve[comparison.metric]).all()
    # All training rows of the smallest fold: nearly what the folds themselves gave.
    whole = curve[curve["n_rows"] == 26].set_index("features")[comparison.metric]
    np.testing.assert_allclose(
        whole, comparison.table.set_index("features")[comparison.metric], atol=0.15
    )


def test_without_a_learning_curve() -> None:
    comparison = compare(TEXTS, LABELS["text"], {"majority": None}, cv=2, scoring="accuracy")
    assert comparison.learning_curve is None
    assert json.loads(comparison.to_json())["learning_curve"] is None


def test_a_learning_curve_of_one_fold() -> None:
    split = PredefinedSplit(np.repeat([-1, 0], [24, 16]))
    comparison = compare(
        TEXTS,
        LABELS["text"],
        FEATURES,
        LogisticRegression(),
        split,
        "accuracy",
        learning_curve=[0.5, 1.0],
    )
    curve = comparison.learning_curve
    assert curve is not None
    assert curve["n_rows"].tolist() == [12, 24] * 3
    assert curve["accuracy"].notna().all()
    json.loads(comparison.to_json())


def test_less_is_better() -> None:
    comparison = compare(
        TEXTS, LABELS["text"], FEATURES, LogisticRegression(C=100), 3, "neg_brier_score"
    )
    assert (comparison.metric, comparison.greater_is_better) == ("brier_score", False)
    assert (comparison.table["brier_score"] >= 0).all()
    assert comparison.best == comparison.baseline == "words"
    assert comparison.table["brier_score"].idxmin() == 1
    assert (comparison.table["difference"].drop(1) > 0).all()
    assert comparison.table["verdict"].tolist()[:2] == ["worse", "best baseline"]


def test_estimators_without_probabilities() -> None:
    comparison = compare(TEXTS, LABELS["text"], FEATURES, RidgeClassifier(), 2)
    table = comparison.table.set_index("features")
    assert math.isnan(table.loc["words", "brier_score"])
    assert table.loc["majority", "brier_score"] > 0
    assert table.loc["words", "roc_auc"] == 1
    assert all("may be too narrow" in note for note in comparison.notes)
