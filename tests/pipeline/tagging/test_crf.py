from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import OptimizeResult

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.tagging import crf as module
from bertvectorizer.pipeline.tagging.crf import LinearChainCrf, _Likelihood
from tests.pipeline.tagging.test_viterbi import all_paths

pytestmark = pytest.mark.numeric

OFFSETS = np.array([0, 4, 4, 5, 9, 12])
BIO = (
    np.array([True, True, False]),
    np.array([[True, True, False], [True, True, True], [True, True, True]]),
    np.ones(3, dtype=bool),
)


def sentences(seed: int = 0, n_tags: int = 3) -> tuple[Any, Any]:
    """Features and labels of twelve words in four sentences; the labels are legal BIO (O B I)."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 0, 1, 1, 2, 2]) % n_tags
    labels[5] = 0
    features = rng.normal(size=(12, 4)).astype(np.float32) + 0.5 * labels[:, None] * np.array(
        [1, -1, 0, 2]
    )
    return features.astype(np.float32), labels


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), restricted=st.booleans())
def test_likelihood_and_gradient(seed: int, restricted: bool) -> None:
    features, labels = sentences(seed % 50)
    likelihood = _Likelihood(
        features.astype(np.float64), labels, OFFSETS, 3, BIO if restricted else None
    )
    parameters = np.random.default_rng(seed).normal(size=likelihood.n_parameters)
    value, gradient = likelihood(parameters)

    # The same by all sequences, one after another.
    weights, bias, transitions, start, end = likelihood.parts(parameters)
    wide = features.astype(np.float64)
    scores = (wide - wide.mean(axis=0)) / wide.std(axis=0) @ weights
    problem = scores + bias, OFFSETS, transitions, start, end
    expected = 0.0
    for sentence in (0, 2, 3, 4):
        of_paths = all_paths(problem, sentence)
        own = tuple(labels[OFFSETS[sentence] : OFFSETS[sentence + 1]])
        expected += of_paths[own] - np.logaddexp.reduce(list(of_paths.values()))
    # Float64: a sum of several hundred terms below 1e3 each.
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-10)

    for index in range(0, likelihood.n_parameters, 3):
        step = np.zeros(likelihood.n_parameters)
        step[index] = 1e-4  # the error is about 1e-4 ** 2, and 1e-13 / 1e-4 from rounding
        slope = (likelihood(parameters + step)[0] - likelihood(parameters - step)[0]) / 2e-4
        assert gradient[index] == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_training_arrives_at_the_optimum(seed: int) -> None:
    features, labels = sentences(seed)
    crf = LinearChainCrf(l2=0.5, tol=1e-12).fit(features, labels, OFFSETS, allowed=BIO)
    assert crf.converged_
    likelihood = _Likelihood(features, labels, OFFSETS, 3, BIO)
    assert likelihood.penalty.tolist() == [4.0] * 12 + [1.0] * 18  # four features
    scaled = crf.weights_ * likelihood.scale[:, None]
    rules = [
        np.where(np.isneginf(rule), 0.0, rule).ravel()
        for rule in (crf.transitions_, crf.start_, crf.end_)
    ]
    best = np.concatenate([scaled.ravel(), crf.bias_ + likelihood.center @ crf.weights_, *rules])

    def objective(parameters: Any) -> float:
        return (
            0.25 * float(likelihood.penalty * parameters @ parameters) - likelihood(parameters)[0]
        )

    # weights_ are rounded to float32: relative error 6e-8, and its square near the optimum.
    assert objective(best) == pytest.approx(crf.objective_, rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert objective(best + 0.05 * rng.normal(size=len(best))) > crf.objective_


def test_decode_and_marginals_are_those_of_all_sequences() -> None:
    features, labels = sentences()
    crf = LinearChainCrf(l2=0.3).fit(features, labels, OFFSETS, allowed=BIO)
    others = np.random.default_rng(5).normal(size=(7, 4)).astype(np.float32)
    offsets = np.array([0, 0, 4, 7])
    path, marginals = crf.decode(others, offsets), crf.marginals(others, offsets)
    scores = crf.scores(others)
    np.testing.assert_allclose(
        scores, others.astype(np.float64) @ crf.weights_ + crf.bias_, rtol=1e-5, atol=1e-5
    )
    for sentence in (1, 2):
        of_paths = all_paths((scores, offsets, crf.transitions_, crf.start_, crf.end_), sentence)
        assert tuple(path[offsets[sentence] : offsets[sentence + 1]]) == max(
            of_paths, key=lambda one: of_paths[one]
        )
        total = np.logaddexp.reduce(list(of_paths.values()))
        first = [
            np.exp(np.logaddexp.reduce([s for p, s in of_paths.items() if p[0] == tag]) - total)
            for tag in range(3)
        ]
        np.testing.assert_allclose(marginals[offsets[sentence]], first, atol=1e-9)
    np.testing.assert_allclose(marginals.sum(axis=1), 1.0)


def test_what_is_forbidden_stays_so() -> None:
    features, labels = sentences()
    crf = LinearChainCrf(l2=0.1).fit(features, labels, OFFSETS, allowed=BIO)
    np.testing.assert_array_equal(np.isneginf(crf.start_), ~BIO[0])
    np.testing.assert_array_equal(np.isneginf(crf.transitions_), ~BIO[1])
    np.testing.assert_array_equal(np.isneginf(crf.end_), ~BIO[2])
    wild = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32) * 30
    path, marginals = (
        crf.decode(wild, np.array([0, 100, 200])),
        crf.marginals(wild, np.array([0, 100, 200])),
    )
    assert path[0] != 2
    assert not ((path[:-1] == 0) & (path[1:] == 2))[np.arange(199) != 99].any()
    assert marginals[[0, 100], 2].tolist() == [0.0, 0.0]
    assert (path == 2).any()


def test_transitions_are_learned() -> None:
    # Words without any features, whose tags alternate: all there is to learn is in the order.
    labels = np.tile([0, 1], 50)
    features = np.zeros((100, 1), dtype=np.float32)
    offsets = np.arange(0, 101, 10)
    crf = LinearChainCrf(l2=0.01).fit(features, labels, offsets)
    assert crf.decode(features, offsets).tolist() == labels.tolist()
    assert crf.marginals(features, offsets)[np.arange(100), labels].min() > 0.9


def test_a_stronger_penalty_makes_smaller_weights() -> None:
    features, labels = sentences()
    sizes = [
        float(np.square(LinearChainCrf(l2=l2).fit(features, labels, OFFSETS).weights_).sum())
        for l2 in (0.01, 1.0, 100.0)
    ]
    assert sizes[0] > 4 * sizes[1] > 16 * sizes[2]


def test_units_of_dense_features_do_not_matter() -> None:
    features, labels = sentences()
    moved = (features * np.array([1e3, 1e-3, 1.0, 50.0]) + np.array([0.0, 0.0, 5.0, -3.0])).astype(
        np.float32
    )
    plain, other = (
        LinearChainCrf(l2=0.5, tol=1e-10).fit(matrix, labels, OFFSETS)
        for matrix in (features, moved)
    )
    np.testing.assert_allclose(
        plain.marginals(features, OFFSETS), other.marginals(moved, OFFSETS), atol=1e-3
    )


def test_constant_and_empty_columns() -> None:
    features, labels = sentences()
    more = np.column_stack([features, np.full(12, 3.0), np.zeros(12)]).astype(np.float32)
    plain, other = (
        LinearChainCrf(l2=0.5, tol=1e-10).fit(matrix, labels, OFFSETS)
        for matrix in (features, more)
    )
    assert abs(other.weights_[4:]).max() < 1e-6
    np.testing.assert_allclose(
        plain.marginals(features, OFFSETS), other.marginals(more, OFFSETS), atol=1e-4
    )
    none = LinearChainCrf().fit(np.empty((12, 0), dtype=np.float32), labels, OFFSETS)
    assert none.decode(np.empty((12, 0), dtype=np.float32), OFFSETS).shape == (12,)


def test_sparse_features() -> None:
    features, labels = sentences()
    features[features < 0.3] = 0
    # Four dense columns of mean 0 and variance 1/4 are taken as sparse ones are.
    full = np.vstack([features, -features])
    full /= 2 * full.std(axis=0)
    labels, offsets = np.tile(labels, 2), np.concatenate([OFFSETS, OFFSETS[1:] + 12])
    dense = LinearChainCrf(l2=0.5, tol=1e-10).fit(full, labels, offsets)
    thin = LinearChainCrf(l2=0.5, tol=1e-10).fit(sparse.csr_array(full), labels, offsets)
    np.testing.assert_allclose(
        dense.marginals(full, offsets), thin.marginals(sparse.csr_array(full), offsets), atol=1e-3
    )
    assert (
        thin.decode(sparse.csr_array(full), offsets).tolist()
        == dense.decode(full, offsets).tolist()
    )


def test_training_is_repeatable_and_survives_pickling() -> None:
    features, labels = sentences()
    first, second = (
        LinearChainCrf(l2=0.2).fit(features, labels, OFFSETS, allowed=BIO) for _ in range(2)
    )
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, vars(second)[name])
    loaded = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(
        loaded.marginals(features, OFFSETS), first.marginals(features, OFFSETS)
    )
    assert first.weights_.dtype == np.float32


def test_tags_that_were_never_seen() -> None:
    features, labels = sentences()
    crf = LinearChainCrf(l2=0.1).fit(features, np.minimum(labels, 1), OFFSETS, n_tags=4)
    assert crf.marginals(features, OFFSETS)[:, 2:].max() < 0.1
    assert set(crf.decode(features, OFFSETS)) == {0, 1}
    one = LinearChainCrf().fit(features, np.zeros(12, dtype=np.int64), OFFSETS)
    assert one.decode(features, OFFSETS).tolist() == [0] * 12
    np.testing.assert_array_equal(one.marginals(features, OFFSETS), 1.0)


def test_max_iter_is_kept() -> None:
    features, labels = sentences()
    crf = LinearChainCrf(l2=0.01, max_iter=2).fit(features, labels, OFFSETS)
    assert (crf.n_iter_, crf.converged_) == (2, False)


def test_no_words() -> None:
    features, labels = sentences()
    crf = LinearChainCrf().fit(features, labels, OFFSETS)
    assert crf.decode(features[:0], np.array([0, 0])).shape == (0,)
    assert crf.marginals(features[:0], np.array([0])).shape == (0, 3)
    with pytest.raises(
        InvalidParameterError, match="'labels' parameter must be the tags of at least one word"
    ):
        LinearChainCrf().fit(features[:0], labels[:0], np.array([0, 0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"l2": 0}, r"'l2' parameter must be a number in the range \(0, inf\). Got 0 instead"),
        ({"l2": True}, r"'l2' parameter must be a number in the range \(0, inf\). Got True"),
        ({"l2": "1"}, r"'l2' parameter must be a number in the range \(0, inf\). Got '1'"),
        ({"l2": np.nan}, r"'l2' parameter must be a number in the range \(0, inf\). Got nan"),
        ({"tol": -1e-3}, r"'tol' parameter must be a number in the range \(0, inf\). Got -0.001"),
        ({"max_iter": 0}, r"'max_iter' parameter must be an int in the range \[1, inf\). Got 0"),
        (
            {"max_iter": 2.5},
            r"'max_iter' parameter must be an int in the range \[1, inf\). Got 2.5",
        ),
    ],
)
def test_parameters_that_break_their_rule(changes: dict[str, Any], message: str) -> None:
    features, labels = sentences()
    with pytest.raises(InvalidParameterError, match=message):
        LinearChainCrf(**changes).fit(features, labels, OFFSETS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_features_that_are_no_numbers(form: Any, value: float) -> None:
    features, labels = sentences()
    features[3, 1] = value
    with pytest.raises(InvalidParameterError, match="'features' parameter must be finite numbers"):
        LinearChainCrf().fit(form(features), labels, OFFSETS)


@pytest.mark.parametrize("position", [0, 4, 7])
def test_labels_in_an_order_that_is_not_allowed(position: int) -> None:
    features, labels = sentences()
    labels[position] = 2
    with pytest.raises(
        InvalidParameterError, match="'labels' parameter must be tags in an order that is allowed"
    ):
        LinearChainCrf().fit(features, labels, OFFSETS, allowed=BIO)


def test_a_search_that_was_given_up_has_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = sentences()

    def gives_up(objective: Any, start: Any, **settings: Any) -> OptimizeResult:
        return OptimizeResult(
            x=start, fun=objective(start)[0], nit=1, success=False
        )  # as where no step lowers the objective

    monkeypatch.setattr("scipy.optimize.minimize", gives_up)
    crf = LinearChainCrf().fit(features, labels, OFFSETS)
    assert (crf.n_iter_, crf.converged_) == (1, False)


def test_means_and_deviations_take_little_memory() -> None:
    features = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 400)).astype(np.float32)
    tracemalloc.start()
    center, deviation = module._mean_and_deviation(features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(center, features.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(deviation, features.std(axis=0, dtype=np.float64))
    assert peak < features.nbytes, "in float64 and at once it would be four times as much"


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.coo_array])
def test_training_makes_no_float64_copy_of_the_features(form: Any) -> None:
    rng = np.random.default_rng(0)
    features = form(rng.normal(size=(8000, 400)).astype(np.float32))
    labels, offsets = rng.integers(0, 3, 8000), np.arange(0, 8001, 20)
    likelihood = _Likelihood(features, labels, offsets, 3, None)
    parameters = rng.normal(size=likelihood.n_parameters) / 100
    tracemalloc.start()
    value, gradient = likelihood(parameters)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(value)
    assert gradient.dtype == np.float64
    assert peak < 8000 * 400 * 4, "in float64 at once it would be twice as much"
