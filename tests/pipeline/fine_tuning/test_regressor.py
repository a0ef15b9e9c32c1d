"""Numbers in their own units: predicted, saved, weighted, and chosen by scikit-learn."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import GridSearchCV
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bertvectorizer import BertClassifier, BertRegressor
from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.fine_tuning import base
from tests.tiny import ModelFactory

TEXTS = ["the old bat", "a river bank", "money in the bank", "the ball hit a bat", "night", "old"]
PAIRS = [*zip(TEXTS, TEXTS, strict=True), *zip(TEXTS, reversed(TEXTS), strict=True)]
ALIKE = np.array([5000.0] * 6 + [4000.0, 4300.0, 4100.0, 4200.0, 4000.0, 4400.0])


def make(model: Path, **changes: Any) -> BertRegressor:
    settings = {"epochs": 2, "batch_size": 4, "random_state": 0} | changes
    return BertRegressor(model, **settings)


def test_a_saved_directory_gives_the_numbers_themselves(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    regressor = make(tiny_model("bert"), epochs=20, trainable_layers=2, dropout=0.0)
    regressor.fit(PAIRS, ALIKE)
    found = regressor.predict(PAIRS)
    assert found.shape == (12,)
    assert found.dtype == np.float64
    assert regressor.score(PAIRS, ALIKE) > 0.9  # R2

    directory = regressor.save_pretrained(tmp_path / "new" / "tuned")
    with pytest.raises(InvalidParameterError, match="path of a new or empty directory"):
        regressor.save_pretrained(directory)
    batch = AutoTokenizer.from_pretrained(directory)(
        *map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        logits = AutoModelForSequenceClassification.from_pretrained(directory)(**batch).logits
    np.testing.assert_allclose(found, logits[:, 0].numpy(), rtol=1e-5)
    np.testing.assert_allclose(found, CrossEncoder(str(directory)).predict(PAIRS), rtol=1e-5)

    again = BertClassifier(directory, epochs=1).fit(PAIRS, ALIKE > 4500)
    config = again.save_pretrained(tmp_path / "again") / "config.json"
    assert "sentence_transformers" not in config.read_text()  # it was of the former head

    pickled = pickle.dumps(regressor)
    base._networks.clear()  # so that the network is built from the bytes
    np.testing.assert_array_equal(found, pickle.loads(pickled).predict(PAIRS))


@pytest.mark.parametrize("family", ["bert", "gpt2", "fnet"])
def test_predictions_move_with_the_units_of_the_target(
    tiny_model: ModelFactory, family: str
) -> None:
    """A head without a bias (gpt2) cannot add the mean: it learns the target divided by scale."""
    y = np.array([[1.0, -2.0], [2.0, 0.5], [4.0, 1.0], [3.0, 3.0], [2.5, 2.0], [1.5, 0.0]])
    regressor = make(tiny_model(family), dropout=0.0)
    found = regressor.fit(TEXTS, y).predict(TEXTS)
    assert found.shape == (6, 2)
    assert regressor.n_outputs_ == 2
    shift = 0.0 if family == "gpt2" else np.array([700.0, -3.0])
    moved = clone(regressor).fit(TEXTS, y * [100.0, 0.25] + shift).predict(TEXTS)
    np.testing.assert_allclose(moved, found * [100.0, 0.25] + shift, rtol=1e-4)
    if family == "gpt2":
        with pytest.warns(UserWarning, match="The mean of y is 3.4 standard deviations"):
            clone(regressor).fit(TEXTS, y + 1)
        far = clone(regressor).set_params(pooling="lasttoken").fit(TEXTS, y + 1000)
        np.testing.assert_allclose(far.predict(TEXTS), y + 1000, atol=10)
        far.fit([*TEXTS, ""], [*(y + 1000), (0, 0)], [*[1e308] * 6, 1])
        np.testing.assert_allclose(far.predict([""]), [y.mean(axis=0) + 1000])  # has no token
    if family == "bert":  # beyond the digits of float32
        times = clone(regressor).fit(TEXTS, y + 1e9).predict(TEXTS)
        np.testing.assert_allclose(times - 1e9, found, atol=1e-4)


def test_a_constant_target_and_a_column_of_one(tiny_model: ModelFactory) -> None:
    regressor = make(tiny_model("bert"), trainable_layers=0, epochs=20)
    np.testing.assert_allclose(regressor.fit(TEXTS, [0.1] * 6).predict(TEXTS), 0.1, rtol=1e-12)
    table = np.array([[7e9, 1.0], [7e9, 2.0]] * 3)
    regressor.fit(TEXTS, table, X_val=TEXTS, y_val=table + 1)
    assert (regressor.predict(TEXTS) == [7e9, 0]).any(axis=0).tolist() == [True, False]
    with pytest.warns(DataConversionWarning):
        regressor.fit(TEXTS, np.arange(6.0)[:, None])
    assert regressor.predict(TEXTS).shape == (6,)
    assert regressor.predict([]).shape == (0,)


def test_a_weight_of_2_counts_as_the_row_twice(tiny_model: ModelFactory) -> None:
    regressor = make(tiny_model("bert"), trainable_layers=1, dropout=0.0, batch_size=10)
    y, weights = np.array([1.0, 2.0, 7.0, 0.0, 3.0, 99.0]), [2, 1, 1, 2, 1, 0]
    rows = np.repeat(np.arange(6), weights)
    once = clone(regressor).fit(TEXTS, y, weights)
    twice = clone(regressor).fit([TEXTS[row] for row in rows], y[rows])
    np.testing.assert_allclose(once.predict(TEXTS), twice.predict(TEXTS), atol=1e-5)


def test_early_stopping_keeps_the_lowest_squared_error(tiny_model: ModelFactory) -> None:
    regressor = make(tiny_model("bert"), epochs=4, early_stopping=True, n_iter_no_change=4)
    regressor.fit(PAIRS, ALIKE, X_val=PAIRS[:6], y_val=ALIKE[:6] + 10)
    errors = (regressor.predict(PAIRS[:6]) - ALIKE[:6] - 10) / ALIKE.std()
    assert len(regressor.validation_scores_) == regressor.n_iter_ == 4
    assert -np.mean(errors**2) == pytest.approx(max(regressor.validation_scores_), abs=1e-4)


def test_a_grid_search_chooses_by_r2(tiny_model: ModelFactory) -> None:
    grid = {"trainable_layers": [0, 1], "learning_rate": [1e-3, 1e-9]}
    search = GridSearchCV(make(tiny_model("bert"), epochs=10), grid, cv=2).fit(PAIRS, ALIKE)
    assert search.best_params_["learning_rate"] == 1e-3
    assert search.predict(PAIRS).shape == (12,)


def test_a_wrong_target_is_named_and_leaves_the_estimator(tiny_model: ModelFactory) -> None:
    regressor = make(tiny_model("bert"), trainable_layers=0, epochs=1).fit(TEXTS, np.arange(6))
    before = regressor.tuned_weights_
    wrong: list[tuple[Any, str]] = [
        ([1.0, 2.0, np.nan, 4.0, 5.0, 6.0], "y must have a value in each row.*row 2"),
        (["1", "2", "3", "4", "5", "6"], "y must hold numbers. Got '1' in its first row"),
        ([1.0, 2.0], "as many values as X has rows, 6"),
        ([1e300] * 6, "numbers of at most 3.4e"),
        ([10**400] * 6, "y must hold numbers"),
        ([], "y must have at least one row|as many values as X has rows, 6"),
        (np.zeros((6, 2, 2)), "one column of numbers"),
        (None, "requires y to be passed"),
    ]
    for y, said in wrong:
        with pytest.raises(InvalidParameterError, match=said):
            regressor.fit(TEXTS, y)
        with pytest.raises(InvalidParameterError, match="y_val"):
            regressor.fit(TEXTS, np.arange(6), X_val=TEXTS, y_val=y)
    assert regressor.tuned_weights_ is before
