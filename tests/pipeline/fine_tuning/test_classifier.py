"""A fine-tuned classifier: kinds of targets, weights of rows and classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.model_selection import cross_val_predict

from bertvectorizer.errors import InvalidParameterError, TrainingDivergedError
from tests.pipeline.fine_tuning.sentences import LABELS, PAIRS, TEXTS, classifier, full_batch
from tests.tiny import ModelFactory

NUMBERS = [int(label == "money") for label in LABELS]
TABLE = np.array([["bank" in text, "old" in text, "night" in text] for text in TEXTS]).astype(int)


def test_it_learns_texts_and_pairs(tiny_model: ModelFactory) -> None:
    for X in (TEXTS, PAIRS):
        model = classifier(tiny_model, epochs=15).fit(X, LABELS)
        assert model.score(X, LABELS) == 1
        assert model.classes_.tolist() == ["game", "money"]
        chances = model.predict_proba(X)
        assert chances.shape == (12, 2)
        assert chances.dtype == np.float64
        np.testing.assert_allclose(chances.sum(axis=1), 1)
        assert ((model.decision_function(X) > 0) == (chances[:, 1] > 0.5)).all()
        assert model.predict([]).shape == (0,)
        assert model.predict_proba([]).shape == (0, 2)


def test_classes_of_every_kind(tiny_model: ModelFactory) -> None:
    expected = classifier(tiny_model, epochs=1).fit(TEXTS, LABELS).predict_proba(TEXTS)
    kinds: list[tuple[Any, list[Any]]] = [
        (np.array([np.str_(LABELS[0]), *LABELS[1:]], dtype=object), ["game", "money"]),
        (pd.Series(LABELS, dtype="category"), ["game", "money"]),
        (pd.Series(LABELS, dtype="string", index=range(100, 112)), ["game", "money"]),
        (pl.Series(LABELS), ["game", "money"]),
        (np.array(LABELS, dtype=np.dtypes.StringDType()), ["game", "money"]),
        (NUMBERS, [0, 1]),
        (pd.Series(NUMBERS, dtype="Int64"), [0, 1]),
        (np.array(NUMBERS, dtype=float) + 1, [1.0, 2.0]),
        (np.array(NUMBERS, dtype=bool), [False, True]),
    ]
    for y, classes in kinds:
        model = classifier(tiny_model, epochs=1).fit(TEXTS, y)
        assert model.classes_.tolist() == classes
        assert np.array_equal(model.predict_proba(TEXTS), expected)
        assert set(model.predict(TEXTS).tolist()) <= set(classes)


def test_tables_of_several_labels(tiny_model: ModelFactory) -> None:
    model = classifier(tiny_model, epochs=20, class_weight="balanced").fit(TEXTS, TABLE)
    assert model.multilabel_
    assert model.predict(TEXTS).tolist() == TABLE.tolist()
    assert model.score(TEXTS, TABLE) == 1
    assert ((model.predict_proba(TEXTS) > 0.5) == TABLE).all()
    expected = classifier(tiny_model, epochs=1).fit(TEXTS, TABLE).predict_proba(TEXTS)
    kinds: list[tuple[Any, list[Any]]] = [
        (TABLE.tolist(), [0, 1, 2]),
        (TABLE.astype(bool), [0, 1, 2]),
        (sparse.csr_matrix(TABLE), [0, 1, 2]),
        (pd.DataFrame(TABLE, columns=["bank", "old", "night"]), ["bank", "old", "night"]),
        (
            pd.DataFrame(TABLE, columns=pd.Index([1, "1", ("a", 1)], dtype=object)),
            ["1", "1", "('a', 1)"],
        ),
        (pl.DataFrame(TABLE, schema=["bank", "old", "night"]), ["bank", "old", "night"]),
    ]
    for y, names in kinds:
        model = classifier(tiny_model, epochs=1).fit(TEXTS, y)
        assert model.classes_.tolist() == names
        assert np.array_equal(model.predict_proba(TEXTS), expected)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        ([*LABELS[1:], None], "row 11"),
        (np.array([*LABELS[1:], 3], dtype=object), "one type. Got int, str"),
        (["money"] * 12, r"at least two classes .* 1 class .*'money'"),
        (np.linspace(0, 1, 12), "Unknown label type: continuous"),
        (TABLE * 2, r"a table of shape \(12, 3\) with \[2"),
        ([[1], [1, 0]], "MultiLabelBinarizer"),
        (np.array([b"a", b"b"] * 6), "bytes"),
        (pd.Series([["a"], ["a", "b"]] * 6), "one column of classes"),
        ((label for label in LABELS), r"shape \(\)"),
        (LABELS[1:], "12"),
    ],
)
def test_wrong_targets_are_refused(y: Any, message: str, tiny_model: ModelFactory) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        classifier(tiny_model).fit(TEXTS, y)


def test_a_weight_is_as_many_rows(tiny_model: ModelFactory) -> None:
    weights = np.array([2, 0, 1] * 4)
    rows = np.repeat(np.arange(12), weights)
    for y, class_weight in (
        (np.array(LABELS), None),
        (np.array(LABELS), "balanced"),
        (np.array(LABELS), {"money": 3.0}),
        (TABLE, "balanced"),
    ):
        weighted = full_batch(tiny_model, class_weight=class_weight).fit(TEXTS, y, weights)
        repeated = full_batch(tiny_model, class_weight=class_weight)
        repeated.fit([TEXTS[row] for row in rows], y[rows])
        expected = repeated.predict_proba(TEXTS)
        np.testing.assert_allclose(weighted.predict_proba(TEXTS), expected, atol=1e-6)
        np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, atol=1e-6)
        weighted.fit(TEXTS, y, weights * 8e307)  # their sum is beyond float64
        np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, atol=1e-6)


def test_weights_of_classes_are_those_of_their_rows(tiny_model: ModelFactory) -> None:
    rows = [0, 1, 2, 3, 4, 5, 8, 9]  # six of "money", two of "game"
    X, y = [TEXTS[row] for row in rows], [LABELS[row] for row in rows]
    by_row = full_batch(tiny_model).fit(X, y, [2.0 if label == "game" else 2 / 3 for label in y])
    for weights in ("balanced", {"game": 6, "money": 2}, {"game": 3.0}):
        by_class = full_batch(tiny_model, class_weight=weights).fit(X, y)
        np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "y"),
    [
        ("even", LABELS),
        ({"gmae": 2}, LABELS),
        ({"game": -1}, LABELS),
        ({"game": "2"}, LABELS),
        ({"game": 0, "money": 0}, LABELS),
        ({0: 1.0}, TABLE),
        ([1, 2], LABELS),
    ],
)
def test_wrong_weights_of_classes(weights: Any, y: Any, tiny_model: ModelFactory) -> None:
    with pytest.raises(InvalidParameterError, match=r"'class_weight' parameter must be .* Got"):
        classifier(tiny_model, class_weight=weights).fit(TEXTS, y)


def test_validation_rows(tiny_model: ModelFactory) -> None:
    model = classifier(tiny_model, early_stopping=True, epochs=20, n_iter_no_change=2)
    model.fit(TEXTS, LABELS, X_val=TEXTS[:4], y_val=LABELS[:4])
    assert len(model.validation_scores_) == model.n_iter_ < 20
    chances = model.predict_proba(TEXTS[:4])[np.arange(4), [1, 1, 0, 0]]
    assert np.isclose(np.log(chances).mean(), max(model.validation_scores_), atol=1e-6)
    for X_val, y_val, message in (
        (TEXTS[:2], ["money", "other"], "'y_val' .* 'other'"),
        (TEXTS[:2], TABLE[:2], "'y_val' .* kind"),
        (TEXTS[:2], None, "'y_val'"),
        (None, LABELS, "'X_val'"),
        (PAIRS[:2], LABELS[:2], "'X_val' .* pairs"),
        (TEXTS[:2], LABELS[:3], "y_val must"),
        ([], [], "y_val must"),
        (TEXTS[:2], ["money", None], "y_val must"),
    ):
        with pytest.raises(InvalidParameterError, match=message):
            model.fit(TEXTS, LABELS, X_val=X_val, y_val=y_val)
    model.fit(TEXTS, TABLE, X_val=TEXTS[:4], y_val=pd.DataFrame(TABLE[:4]))
    with pytest.raises(InvalidParameterError, match="'y_val'"):
        model.fit(TEXTS, TABLE, X_val=TEXTS[:4], y_val=TABLE[:4, :2])
    with pytest.raises(InvalidParameterError, match=r"'y_val' .* must be .* a table of 0"):
        model.fit(TEXTS, TABLE, X_val=TEXTS[:4], y_val=TABLE[:4] * 2)
    pairs = pd.DataFrame(PAIRS, columns=["first", "second"])
    with pytest.raises(InvalidParameterError, match=r"'X_val' .* columns \('first', 'second'\)"):
        model.fit(pairs, LABELS, X_val=pairs[["second", "first"]], y_val=LABELS)


def test_rows_for_validation_must_suffice(tiny_model: ModelFactory) -> None:
    model = classifier(tiny_model, early_stopping=True)
    with pytest.raises(InvalidParameterError, match=r"'validation_fraction' .* 0\.1 of 4 rows"):
        model.fit(TEXTS[:4], LABELS[:4])
    model.set_params(validation_fraction=0.5).fit(TEXTS[:4], LABELS[:4])
    model.fit(TEXTS, ["rare", *LABELS[1:]])  # a class of one row
    assert model.predict_proba(TEXTS).shape == (12, 3)


def test_folds_may_lack_a_class(tiny_model: ModelFactory) -> None:
    y = np.array(["rare", "rare", *LABELS[2:]])
    folds = [(np.arange(2, 12), np.arange(2)), (np.arange(6), np.arange(2, 12))]
    for class_weight in (None, "balanced"):
        model = classifier(tiny_model, epochs=1, class_weight=class_weight)
        with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):
            chances = cross_val_predict(model, TEXTS, y, cv=folds, method="predict_proba")
        assert (chances[:2, 2] == 0).all()
        np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-6)


def test_batches_and_fits_of_one_row(tiny_model: ModelFactory) -> None:
    for batch_size in (1, 5):  # the last batch has one row
        model = classifier(tiny_model, batch_size=batch_size, epochs=6).fit(TEXTS[:11], LABELS[:11])
        assert model.score(TEXTS[:11], LABELS[:11]) > 0.8
    assert classifier(tiny_model).fit(TEXTS[:1], TABLE[:1]).predict(TEXTS).shape == (12, 3)


def test_divergence_is_an_error(tiny_model: ModelFactory) -> None:
    model = classifier(tiny_model).fit(TEXTS, LABELS)
    before = dict(vars(model))
    model.set_params(learning_rate=1e30)
    with pytest.raises(TrainingDivergedError, match="learning_rate"):
        model.fit(TEXTS, LABELS)
    assert vars(model.set_params(learning_rate=0.01)) == before
