"""A linear-chain conditional random field over features of words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...errors import InvalidParameterError
from ...validation import check_int, check_positive, invalid
from .forward_backward import forward_backward
from .viterbi import viterbi

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rules = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]

__all__ = ["LinearChainCrf"]

_WORDS_AT_A_TIME = 512  # in float64, where the features are float32


class LinearChainCrf:
    """Choose the tags of a sentence together: each tag by its word's features and by the tag before
    it.

    A sequence's score is the sum, over its words, of a linear function of the word's features, and
    of a score for each pair of neighbouring tags, for the first tag and for the last one. Training
    maximises the probability of the training sequences among all sequences, exactly, less a penalty
    on squared weights; there is one optimum, and nothing is left to chance.

    Parameters
    ----------
    l2 : float
        Strength of the penalty ``l2 / 2 * sum(parameters ** 2)``, beside the summed negative
        log-likelihood of all sentences; positive.
    max_iter : int
        Most iterations of L-BFGS.
    tol : float
        Training stops where an iteration lowers the objective by less than this share.

    Attributes
    ----------
    weights_ : ndarray
        *Shape:* ``(n_features, n_tags)``, float32.
    bias_ : ndarray
        *Shape:* ``(n_tags,)``, float64.
    transitions_ : ndarray
        Score of the second tag behind the first; minus infinity where that is forbidden. *Shape:*
        ``(n_tags, n_tags)``, float64.
    start_, end_ : ndarray
        Score of each tag as a sentence's first and last one. *Shape:* ``(n_tags,)``, float64.
    objective_ : float
        What training arrived at.
    n_iter_ : int
        Iterations that were needed.
    converged_ : bool
        Whether training ended at an optimum: before ``max_iter``, and by no fault of the search.

    Notes
    -----
    Dense features are centred and scaled for training, to the same variance each and 1 together, without a copy of them: the scale goes
    into the weights. So the penalty depends neither on their units nor on their number, and L-BFGS needs fewer iterations. Sparse ones
    are taken as they are.

    References
    ----------
    J. Lafferty, A. McCallum, F. Pereira, "Conditional Random Fields: Probabilistic Models for Segmenting and Labeling Sequence Data",
    ICML 2001, section 3.

    F. Sha, F. Pereira, "Shallow Parsing with Conditional Random Fields", NAACL 2003, section 3
    (L-BFGS).

    Examples
    --------
    The feature tells of the first word only; the second one's tag is known by its neighbour.

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
        """Learn from sentences whose tags are known.

        Parameters
        ----------
        features : ndarray or scipy sparse matrix
            Of words, sentence after sentence. *Shape:* ``(n_words, n_features)``, float32.
        labels : ndarray
            Number of each word's tag. *Shape:* ``(n_words,)``, int64.
        offsets : ndarray
            Where each sentence begins, and where the last one ends. *Shape:* ``(n_sentences +
            1,)``, int64.
        n_tags : int or None
            None is one more than the highest label.
        allowed : tuple of three ndarray or None
            Which tags may be first, which pairs may stand together, and which tags may be last;
            None allows all. *Shapes:* ``(n_tags,)``, ``(n_tags, n_tags)``, ``(n_tags,)``, dtype
            bool.

        Returns
        -------
        self

        Raises
        ------
        InvalidParameterError
            If a parameter breaks its rule, there is no word, features are not finite, or labels are
            in an order that is not allowed.
        """
        from scipy.optimize import minimize

        l2, max_iter, tol = (
            check_positive("l2", self.l2),
            check_int("max_iter", self.max_iter, 1),
            check_positive("tol", self.tol),
        )
        if not len(labels):
            raise invalid("labels", "the tags of at least one word", labels)
        n_tags = int(labels.max()) + 1 if n_tags is None else n_tags
        likelihood = _Likelihood(features, labels, offsets, n_tags, allowed)

        def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            value, gradient = likelihood(parameters)
            penalty = l2 * likelihood.penalty * parameters
            return float(penalty @ parameters) / 2 - value, penalty - gradient

        options = {
            "maxiter": max_iter,
            "maxfun": 10 * max_iter,
            "ftol": tol,
            "gtol": 1e-9 * len(labels),
        }
        found = minimize(
            objective,
            np.zeros(likelihood.n_parameters),
            jac=True,
            method="L-BFGS-B",
            options=options,
        )
        scaled, bias, self.transitions_, self.start_, self.end_ = likelihood.parts(found.x)
        weights = scaled / likelihood.scale[:, None]
        self.weights_, self.bias_ = weights.astype(np.float32), bias - likelihood.center @ weights
        self.objective_, self.n_iter_, self.converged_ = (
            float(found.fun),
            int(found.nit),
            bool(found.success),
        )
        return self

    def scores(self, features: Any) -> NDArray[np.float64]:
        """Return the score of each tag for each word, by the word's features only.

        Parameters
        ----------
        features : ndarray or scipy sparse matrix
            *Shape:* ``(n_words, n_features)``.

        Returns
        -------
        ndarray
            *Shape:* ``(n_words, n_tags)``, float64.
        """
        return np.asarray(features @ self.weights_, dtype=np.float64) + self.bias_

    def decode(self, features: Any, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the most probable sequence of tags of each sentence.

        Parameters
        ----------
        features : ndarray or scipy sparse matrix
            *Shape:* ``(n_words, n_features)``.
        offsets : ndarray
            *Shape:* ``(n_sentences + 1,)``, int64.

        Returns
        -------
        ndarray
            Numbers of tags. *Shape:* ``(n_words,)``, int64.
        """
        return viterbi(self.scores(features), offsets, self.transitions_, self.start_, self.end_)

    def marginals(self, features: Any, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of each tag of each word, whatever the tags of the other words.

        Parameters
        ----------
        features : ndarray or scipy sparse matrix
            *Shape:* ``(n_words, n_features)``.
        offsets : ndarray
            *Shape:* ``(n_sentences + 1,)``, int64.

        Returns
        -------
        ndarray
            *Shape:* ``(n_words, n_tags)``, float64. Rows add up to 1.
        """
        return forward_backward(
            self.scores(features), offsets, self.transitions_, self.start_, self.end_
        ).tags


class _Likelihood:
    """The log-likelihood of tagged sentences, and its gradient, by the parameters as one vector.

    Features are centred and scaled in passing. Scores of what is forbidden take part in no
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
        self.features, self.offsets = features, offsets
        n_words, n_features = features.shape
        self.center, self.scale, n_varying = np.zeros(n_features), np.ones(n_features), 1
        if hasattr(features, "tocsr"):
            is_finite = np.isfinite(features.data).all()
        else:
            self.center, deviation = _mean_and_deviation(features)
            varies = deviation > 1e-6 * (1 + abs(self.center))
            self.scale = np.where(varies, deviation, 1.0)
            n_varying = max(int(varies.sum()), 1)
            is_finite = np.isfinite(self.center).all()
        if not is_finite:
            raise InvalidParameterError(
                "The 'features' parameter must be finite numbers. Got NaN or infinity among them"
                " instead."
            )

        everything = (
            np.ones(n_tags, dtype=bool),
            np.ones((n_tags, n_tags), dtype=bool),
            np.ones(n_tags, dtype=bool),
        )
        self.rules = tuple(np.where(rule, 0.0, -np.inf) for rule in allowed or everything)
        has_words = np.diff(offsets) > 0
        first, last = offsets[:-1][has_words], offsets[1:][has_words] - 1
        second = np.setdiff1d(np.arange(n_words), first, assume_unique=True)
        self.first, self.last = first, last
        self.observed = np.arange(n_words), labels
        pairs = np.zeros((n_tags, n_tags))
        np.add.at(pairs, (labels[second - 1], labels[second]), 1.0)
        self.counts = (
            pairs,
            *(
                np.bincount(labels[words], minlength=n_tags).astype(np.float64)
                for words in (first, last)
            ),
        )
        self.shapes = (n_features, n_tags), (n_tags,), (n_tags, n_tags), (n_tags,), (n_tags,)
        self.n_parameters = sum(map(math.prod, self.shapes))
        # Weights of features of unit variance, each penalised n times: the same as features of
        # variance 1/n, but better conditioned.
        self.penalty = np.ones(self.n_parameters)
        self.penalty[: n_features * n_tags] = n_varying
        start, together, end = self.rules
        if not all(
            (count[rule == -np.inf] == 0).all()
            for count, rule in zip(self.counts, (together, start, end), strict=True)
        ):
            raise InvalidParameterError(
                "The 'labels' parameter must be tags in an order that is allowed. Got others among"
                " them instead."
            )

    def parts(self, parameters: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return weights of scaled features, bias, and the scores of transitions, first and last tags, with what is forbidden."""
        bounds = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        parts = [
            part.reshape(shape)
            for part, shape in zip(np.split(parameters, bounds), self.shapes, strict=True)
        ]
        start, together, end = self.rules
        return [*parts[:2], parts[2] + together, parts[3] + start, parts[4] + end]

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the log-likelihood and its gradient."""
        scaled, bias, transitions, start, end = self.parts(parameters)
        weights = scaled / self.scale[:, None]
        scores = np.asarray(self.features @ weights.astype(np.float32), dtype=np.float64) + (
            bias - self.center @ weights
        )
        expected = forward_backward(scores, self.offsets, transitions, start, end)
        pairs, first, last = self.counts
        value = float(scores[self.observed].sum()) - float(expected.log_partition.sum())
        value += sum(
            float(count[count > 0] @ rule[count > 0])
            for count, rule in ((pairs, transitions), (first, start), (last, end))
        )

        rest = -expected.tags
        rest[self.observed] += 1.0
        of_bias = rest.sum(axis=0)
        of_weights = np.asarray(
            self.features.T @ rest.astype(np.float32), dtype=np.float64
        ) - np.outer(self.center, of_bias)
        of_rules = pairs - expected.pairs, rest[self.first].sum(axis=0), rest[self.last].sum(axis=0)
        return value, np.concatenate(
            [part.ravel() for part in (of_weights / self.scale[:, None], of_bias, *of_rules)]
        )


def _mean_and_deviation(
    features: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of columns, in little memory. *Shapes:* ``(n_features,)``, float64."""
    n_words, n_features = features.shape
    center, squares = np.zeros(n_features), np.zeros(n_features)
    portions = [
        slice(start, start + _WORDS_AT_A_TIME) for start in range(0, n_words, _WORDS_AT_A_TIME)
    ]
    for portion in portions:
        center += features[portion].sum(axis=0, dtype=np.float64) / n_words
    with np.errstate(invalid="ignore"):  # infinity is found by its mean
        for portion in portions:
            squares += np.square(features[portion] - center).sum(axis=0)
    return center, np.sqrt(squares / n_words)
