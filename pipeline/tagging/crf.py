"""Linear-chain conditional random field over features of words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from ...errors import InvalidParameterError
from ...validation import check_int, check_number, invalid
from .forward_backward import forward_backward
from .viterbi import viterbi

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rules = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]

__all__ = ["LinearChainCrf"]

_CHUNK_BYTES = 1 << 20  # features are float32; this much of them is converted to float64 at a time


class LinearChainCrf:
    """Predict the tags of a sentence jointly, from each word's features and the tag before it.

    A sequence's score is the sum, over its words, of a linear function of the word's features and
    of a score for each pair of neighbouring tags, for the first tag and for the last one. Training
    maximizes the L2-regularized likelihood of the training sequences in float64. The objective is
    convex, so the result does not depend on chance.

    Features are ndarrays or scipy sparse matrices of float32, with a row for each word, sentence
    after sentence. Sentence *i* has the rows ``offsets[i]:offsets[i + 1]``.

    Parameters
    ----------
    l2 : float, default=0.1
        Regularization: the penalty ``l2 / 2 * sum(parameters ** 2)`` is added to the summed
        negative log-likelihood of all sentences. Must be positive.
    max_iter : int, default=500
        Maximum number of iterations of L-BFGS.
    tol : float, default=1e-5
        Training stops when an iteration lowers the objective by less than this fraction.

    Attributes
    ----------
    weights_ : ndarray of shape (n_features, n_tags), float32
    bias_ : ndarray of shape (n_tags,)
    transitions_ : ndarray of shape (n_tags, n_tags)
        Score of the second tag after the first; minus infinity where that is forbidden.
    start_, end_ : ndarray of shape (n_tags,)
        Score of each tag as the first and last one of a sentence.
    objective_ : float
        Value of the objective at the end of training.
    n_iter_ : int
        Number of iterations.
    converged_ : bool
        Whether L-BFGS ended at an optimum, within ``max_iter`` iterations.

    Notes
    -----
    Dense features are centred and scaled during training, to a common variance whose sum is 1. So
    the penalty depends neither on their units nor on their number, and L-BFGS needs fewer
    iterations. Sparse features are not scaled.

    References
    ----------
    J. Lafferty, A. McCallum, F. Pereira, "Conditional Random Fields: Probabilistic Models for
    Segmenting and Labeling Sequence Data", ICML 2001, section 3.

    F. Sha, F. Pereira, "Shallow Parsing with Conditional Random Fields", NAACL 2003, section 3.

    Examples
    --------
    The feature depends on the first word only; the second word's tag follows from its neighbour.

    >>> features = np.array([[1.0], [0.0], [-1.0], [0.0]], dtype=np.float32)
    >>> crf = LinearChainCrf(l2=0.1).fit(features, np.array([0, 1, 1, 0]), np.array([0, 2, 4]))
    >>> crf.decode(features, np.array([0, 2, 4])).tolist()
    [0, 1, 1, 0]
    >>> crf.marginals(features, np.array([0, 2, 4])).round(1).tolist()
    [[1.0, 0.0], [0.1, 0.9], [0.0, 1.0], [0.9, 0.1]]
    """

    weights_: NDArray[np.float32]
    bias_: NDArray[np.float64]
    transitions_: NDArray[np.float64]
    start_: NDArray[np.float64]
    end_: NDArray[np.float64]
    objective_: float
    n_iter_: int
    converged_: bool

    def __init__(self, l2: float = 0.1, max_iter: int = 500, tol: float = 1e-5) -> None:
        self.l2 = l2
        self.max_iter = max_iter
        self.tol = tol

    def fit(
        self,
        features: Any,
        labels: NDArray[np.int64],
        offsets: NDArray[np.int64],
        *,
        n_tags: int | None = None,
        allowed: Rules | None = None,
    ) -> Self:
        """Learn from the tag numbers of words.

        ``n_tags`` defaults to the highest label plus 1. ``allowed`` says which tags may be first,
        which pairs may follow each other, and which tags may be last.
        """
        from scipy.optimize import minimize

        l2 = check_number("l2", self.l2)
        max_iter = check_int("max_iter", self.max_iter, 1)
        tol = check_number("tol", self.tol)
        if not len(labels):
            raise invalid("labels", "the tags of at least one word", labels)
        n_tags = int(labels.max()) + 1 if n_tags is None else n_tags
        likelihood = _Likelihood(features, labels, offsets, n_tags, allowed)

        def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            value, gradient = likelihood(parameters)
            penalty = l2 * likelihood.penalty * parameters
            return float(penalty @ parameters) / 2 - value, penalty - gradient

        found = minimize(
            objective,
            np.zeros(likelihood.n_parameters),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": max_iter,
                "maxfun": 10 * max_iter,
                "ftol": tol,
                "gtol": 1e-9 * len(labels),
            },
        )
        scaled, bias, self.transitions_, self.start_, self.end_ = likelihood.parts(found.x)
        weights = scaled / likelihood.scale[:, None]
        self.weights_, self.bias_ = weights.astype(np.float32), bias - likelihood.center @ weights
        self.objective_, self.n_iter_ = float(found.fun), int(found.nit)
        self.converged_ = bool(found.success)
        return self

    def scores(self, features: Any) -> NDArray[np.float64]:
        """Return the scores of shape (n_words, n_tags) from each word's own features."""
        return np.asarray(features @ self.weights_, dtype=np.float64) + self.bias_

    def decode(self, features: Any, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tag numbers of shape (n_words,) of each sentence's most probable sequence."""
        return viterbi(self.scores(features), offsets, self.transitions_, self.start_, self.end_)

    def marginals(self, features: Any, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the marginal probabilities of shape (n_words, n_tags) of each word's tags."""
        return forward_backward(
            self.scores(features), offsets, self.transitions_, self.start_, self.end_
        ).tags


class _Likelihood:
    """The log-likelihood of tagged sentences and its gradient, by the parameters as one vector.

    Features are centred and scaled without a copy of them. Scores of forbidden tags occur in no
    sequence, so their gradient is zero.
    """

    def __init__(
        self,
        features: Any,
        labels: NDArray[np.int64],
        offsets: NDArray[np.int64],
        n_tags: int,
        allowed: Rules | None,
    ) -> None:
        is_sparse = sparse.issparse(features)
        self.features, self.offsets = features.tocsr() if is_sparse else features, offsets
        n_words, n_features = features.shape
        self.center, self.scale, n_varying = np.zeros(n_features), np.ones(n_features), 1
        if not is_sparse:
            self.center, deviation = _mean_and_deviation(features)
            varies = deviation > 1e-6 * (1 + abs(self.center))
            self.scale = np.where(varies, deviation, 1.0)
            n_varying = max(int(varies.sum()), 1)
        if not np.isfinite(self.features.data if is_sparse else self.center).all():
            raise InvalidParameterError(
                "The 'features' parameter must be finite numbers. Got NaN or infinity among them"
                " instead."
            )
        if allowed is None:
            anything = np.ones(n_tags, dtype=bool)
            allowed = anything, np.ones((n_tags, n_tags), dtype=bool), anything
        self.rules = tuple(np.where(rule, 0.0, -np.inf) for rule in allowed)
        has_words = np.diff(offsets) > 0
        self.first, self.last = offsets[:-1][has_words], offsets[1:][has_words] - 1
        second = np.setdiff1d(np.arange(n_words), self.first, assume_unique=True)
        self.observed = np.arange(n_words), labels
        pairs = np.zeros((n_tags, n_tags))
        np.add.at(pairs, (labels[second - 1], labels[second]), 1.0)
        first, last = (
            np.bincount(labels[words], minlength=n_tags).astype(np.float64)
            for words in (self.first, self.last)
        )
        self.counts = first, pairs, last
        if any(count[~rule].any() for count, rule in zip(self.counts, allowed, strict=True)):
            raise InvalidParameterError(
                "The 'labels' parameter must be tags in an order that is allowed. Got others among"
                " them instead."
            )
        self.shapes = (n_features, n_tags), (n_tags,), (n_tags, n_tags), (n_tags,), (n_tags,)
        self.n_parameters = sum(map(math.prod, self.shapes))
        # n features of unit variance, each penalized n times, are equivalent to features of
        # variance 1/n, but better conditioned.
        self.penalty = np.ones(self.n_parameters)
        self.penalty[: n_features * n_tags] = n_varying

    def parts(self, parameters: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return scaled weights, bias, and scores of transitions, first and last tags."""
        bounds = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        weights, bias, pairs, first, last = (
            part.reshape(shape)
            for part, shape in zip(np.split(parameters, bounds), self.shapes, strict=True)
        )
        start, together, end = self.rules
        return [weights, bias, pairs + together, first + start, last + end]

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the log-likelihood and its gradient."""
        scaled, bias, transitions, start, end = self.parts(parameters)
        weights = scaled / self.scale[:, None]
        scores = np.tile(bias - self.center @ weights, (self.features.shape[0], 1))
        for rows, chunk in _float64_chunks(self.features):
            scores[rows] += chunk @ weights
        expected = forward_backward(scores, self.offsets, transitions, start, end)
        value = float(scores[self.observed].sum()) - float(expected.log_partition.sum())
        value += sum(
            float(count[count > 0] @ rule[count > 0])
            for count, rule in zip(self.counts, (start, transitions, end), strict=True)
        )

        residual = -expected.tags
        residual[self.observed] += 1.0
        of_bias = residual.sum(axis=0)
        of_weights = -np.outer(self.center, of_bias)
        for rows, chunk in _float64_chunks(self.features):
            of_weights += chunk.T @ residual[rows]
        gradient = (
            of_weights / self.scale[:, None],
            of_bias,
            self.counts[1] - expected.pairs,
            residual[self.first].sum(axis=0),
            residual[self.last].sum(axis=0),
        )
        return value, np.concatenate([part.ravel() for part in gradient])


def _float64_chunks(features: Any) -> Iterator[tuple[slice, Any]]:
    """Yield slices of rows, and these rows in float64."""
    n_words, n_features = features.shape
    row_bytes = 8 * (features.nnz / n_words if sparse.issparse(features) else n_features)
    n_rows = max(int(_CHUNK_BYTES / max(row_bytes, 1)), 1)
    for start in range(0, n_words, n_rows):
        rows = slice(start, start + n_rows)
        yield rows, features[rows].astype(np.float64, copy=False)


def _mean_and_deviation(features: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of dense columns, in little memory."""
    n_words, n_features = features.shape
    center, squares = np.zeros(n_features), np.zeros(n_features)
    for _, chunk in _float64_chunks(features):
        center += chunk.sum(axis=0) / n_words
    with np.errstate(invalid="ignore"):  # infinity is found by its mean
        for _, chunk in _float64_chunks(features):
            squares += np.square(chunk - center).sum(axis=0)
    return center, np.sqrt(squares / n_words)
