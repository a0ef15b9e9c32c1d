"""Tests of pipeline/tagging/streamed_logistic.py."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.tagging import streamed_logistic as module
from bertvectorizer.pipeline.tagging.streamed_logistic import fit_logistic
from bertvectorizer.pipeline.tagging.word_features import WordFeatures

pytestmark = pytest.mark.numeric

OFFSETS = np.arange(0, 401, 8)


def problem(n_classes: int) -> tuple[WordFeatures, np.ndarray]:
    """Features of 400 words, one of them constant and one far from zero, and their classes."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(n_classes, size=400)
    own = rng.normal(size=(400, 6)) + rng.normal(size=(n_classes, 6))[numbers]
    own[:, 4] = 3.0
    own[:, 5] = 50 + 0.1 * own[:, 5]
    return WordFeatures([own.astype(np.float32)], OFFSETS, 1), np.array(list("abcd"))[numbers]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_it_learns_what_scikit_learn_does(n_classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", 4 * 18 * 30)  # thirty words
    monkeypatch.setattr(module, "_TOL", 1e-6)
    features, labels = problem(n_classes)
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, tol=1e-8))
    expected.fit(features[:].astype(np.float64), labels)
    found = fit_logistic(features, labels, 0.3, 100)
    assert found.get_params()["logisticregression__C"] == 0.3
    np.testing.assert_allclose(found[1].coef_, expected[1].coef_, atol=1e-3)
    np.testing.assert_allclose(
        found.predict_proba(features[:]), expected.predict_proba(features[:]), atol=1e-3
    )
    assert (found.predict(features[:]) == expected.predict(features[:])).all()


def test_values_that_are_no_numbers_and_iterations_that_do_not_suffice() -> None:
    features, labels = problem(2)
    with pytest.warns(ConvergenceWarning, match="did not converge in 2 iterations"):
        fit_logistic(features, labels, 1.0, 2)
    features._blocks[0][200, 3] = np.nan
    with pytest.raises(InvalidParameterError, match=r"'vectorizer' .* finite numbers"):
        fit_logistic(features, labels, 1.0, 100)
