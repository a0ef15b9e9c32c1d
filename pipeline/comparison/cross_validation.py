"""One kind of features through all folds: what it scores, what it predicts, what it costs."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from .candidates import find_cell, is_contextual, parts_of, with_store
from .default_estimators import majority_estimator
from .fitting import as_rows, learn_features, make_estimator
from .folds import Folds, Split
from .metrics import Metric
from .outcome import Cost, Outcome
from .peak_memory import forget_peak, read_peak
from .statistics import resample_rows
from .target import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Trial"]

_TEXTS_AT_ONCE = 1024
_TEXTS_TIMED = 48
_PER = 1000
_NO_COST = Cost(0, math.nan, math.nan, math.nan, math.nan, 0, math.nan, math.nan)


class _Fit(NamedTuple):
    """What came of one fit."""

    scores: list[float]
    predictions: NDArray[Any]
    resampled: NDArray[np.float64] | None
    cost: Cost
    said: list[str]
    reason: str = ""


class _Recorded:
    """The answers of a fitted estimator, given again for any choice of rows, so that scorers and bootstrap samples ask it once."""

    def __init__(self, model: Any, features: Any) -> None:
        self._model = model
        self._features = features
        self._answers: dict[str, Any] = {}

    def __sklearn_tags__(self) -> Any:
        return get_tags(self._model)

    @property
    def classes_(self) -> Any:
        return self._model.classes_

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == "score":
            return lambda rows, truth: self._model.score(self._features[rows], truth)
        if name not in ("predict", "predict_proba", "decision_function"):
            raise AttributeError(name)
        if name not in self._answers:
            self._answers[name] = getattr(self._model, name)(self._features)

        def answer(rows: NDArray[np.int64]) -> Any:
            found = self._answers[name]
            return (
                [part[rows] for part in found] if isinstance(found, list) else found[rows]
            )  # a list has a part for each label

        answer.__name__ = name  # scikit-learn asks for it
        return answer


@dataclass(frozen=True)
class Trial:
    """What all kinds of features in a comparison have in common.

    Parameters
    ----------
    texts : ndarray
        Those of the folds first, then those held back for a test. *Shape:* ``(n_rows + n_test,)``,
        dtype object.
    target : Target
        Of all these texts.
    n_rows : int
        Texts of the folds.
    folds : Folds
    metrics : list of Metric
        The one that decides first.
    estimator : estimator or None
        None takes what fits the features.
    curve : list of list of (ndarray, ndarray)
        Splits with a growing number of training rows: for each size, one of each fold of the first
        repeat.
    n_jobs : int or None
        Folds that are worked on at once.
    store : EmbeddingStore or None
        Where vectors are kept meanwhile.
    random_state : int or None
    """

    texts: NDArray[np.object_]
    target: Target
    n_rows: int
    folds: Folds
    metrics: list[Metric]
    estimator: Any
    curve: list[list[Split]]
    n_jobs: int | None
    store: Any
    random_state: int | None

    def run(
        self, name: str, transformer: Any, report: Callable[[str, int, int], Any]
    ) -> tuple[Outcome, list[str]]:
        """Put one kind of features through all folds.

        Parameters
        ----------
        name : str
        transformer : transformer or None
            None is the majority class.
        report : callable
            Called with a unit (``"texts"`` or ``"folds"``), how many are done, and how many there
            are.

        Returns
        -------
        outcome : Outcome
        said : list of str
            Warnings, each once.
        """
        splits = list(self.folds.splits)
        if self.n_rows < len(self.texts):
            splits.append((np.arange(self.n_rows), np.arange(self.n_rows, len(self.texts))))
        splits += [split for of_size in self.curve for split in of_size]
        said: list[str] = []
        encoding = None
        data: Any = self.texts
        learner = transformer
        if transformer is not None:
            learner = with_store(transformer, self.store)
            if not get_tags(transformer).requires_fit:
                with _listening(said):
                    data, encoding = self._encode(
                        learner, lambda done: report("texts", done, len(self.texts))
                    )
                learner = None
        report("folds", 0, len(splits))
        fits = []
        jobs = (
            self._job(learner, data, transformer is None, number, split)
            for number, split in enumerate(splits)
        )
        for fit in Parallel(self.n_jobs, return_as="generator")(jobs):
            fits.append(fit)
            said += fit.said
            report("folds", len(fits), len(splits))
        return self._outcome(name, transformer, fits, encoding), list(dict.fromkeys(said))

    def _job(self, learner: Any, data: Any, is_majority: bool, number: int, split: Split) -> Any:
        n_folds = len(self.folds.splits)
        has_test = self.n_rows < len(self.texts)
        resamples = (has_test and number == n_folds) or (n_folds == 1 and number == 0)
        fit = _fit if number < n_folds + has_test else _fit_if_possible
        estimator = majority_estimator(self.target.kind) if is_majority else self.estimator
        return delayed(fit)(
            learner,
            estimator,
            data,
            self.target,
            split,
            self.metrics,
            (self.random_state or 0) if resamples else None,
            is_majority,
        )

    def _encode(self, transformer: Any, report: Callable[[int], Any]) -> tuple[Any, Cost]:
        """Return the features of all texts, each distinct one turned into them once, and what that took."""
        forget_peak()
        report(0)
        whole = clone(transformer).fit(self.texts)
        distinct, places, counts = np.unique(self.texts, return_inverse=True, return_counts=True)
        done, portions = 0, []
        for start in range(0, len(distinct), _TEXTS_AT_ONCE):
            portion = slice(start, start + _TEXTS_AT_ONCE)
            portions.append(as_rows(whole.transform(distinct[portion])))
            done += int(counts[portion].sum())
            report(done)
        stack = sparse.vstack if sparse.issparse(portions[0]) else np.concatenate
        features = as_rows(stack(portions))[places]
        sample = np.random.RandomState(self.random_state).permutation(distinct)[:_TEXTS_TIMED]
        seconds = _time_encoding(with_store(transformer, None), sample)
        return features, Cost(
            features.shape[1],
            seconds,
            math.nan,
            math.nan,
            read_peak(),
            _n_bytes(features),
            math.nan,
            _truncation(whole),
        )

    def _outcome(
        self, name: str, transformer: Any, fits: list[_Fit], encoding: Cost | None
    ) -> Outcome:
        n_folds = len(self.folds.splits)
        of_folds = fits[:n_folds]
        has_test = self.n_rows < len(self.texts)
        test = fits[n_folds] if has_test else None
        predictions = np.full((self.n_rows, *self.target.values.shape[1:]), None, dtype=object)
        for fit, (_, rows) in zip(fits[: self.folds.n_first], self.folds.splits, strict=False):
            predictions[rows] = fit.predictions
        scores = np.array([fit.scores for fit in of_folds])
        rest = [fit.scores[0] for fit in fits[n_folds + has_test :]]
        decider = self.metrics[0]
        return Outcome(
            name,
            is_contextual(transformer),
            find_cell(transformer),
            {
                metric.name: metric.shown(scores[:, place])
                for place, metric in enumerate(self.metrics)
            },
            (
                {
                    metric.name: metric.shown(test.scores[place])
                    for place, metric in enumerate(self.metrics)
                }
                if test
                else {}
            ),
            predictions,
            _join_costs([fit.cost for fit in of_folds], encoding),
            decider.shown(np.array(rest).reshape(len(self.curve), -1)) if self.curve else None,
            None if n_folds > 1 else _shown(decider, of_folds[0]),
            None if test is None else _shown(decider, test),
            next((fit.reason for fit in of_folds if fit.reason), ""),
        )


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Collect what is warned of instead of showing it."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield
    said += [str(warning.message) for warning in heard if issubclass(warning.category, UserWarning)]


def _shown(metric: Metric, fit: _Fit) -> Any:
    return metric.shown(fit.resampled)


class _Clock:
    """Seconds since it was made, or since it was last asked."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def lap(self) -> float:
        start, self._start = self._start, time.perf_counter()
        return self._start - start

    def per(self, n_rows: int) -> float:
        return self.lap() * _PER / n_rows


def _fit(
    transformer: Any,
    estimator: Any,
    data: Any,
    target: Target,
    split: Split,
    metrics: list[Metric],
    resampling: int | None,
    is_majority: bool,
) -> _Fit:
    """Fit on the training rows of a split and judge by its test rows."""
    train, test = split
    labels, truth = target.values[train], target.values[test]
    said: list[str] = []
    forget_peak()
    with _listening(said):
        clock = _Clock()
        train_data, test_data = data[train], data[test]
        learning = encoding = math.nan
        oov = math.nan
        if transformer is not None:
            transformer = clone(transformer)
            clock.lap()
            train_data = learn_features(transformer, train_data, labels)
            learning = clock.per(len(train))
            texts, test_data = test_data, as_rows(transformer.transform(test_data))
            encoding = clock.per(len(test))
            oov = _oov_rate(transformer, texts)
        n_bytes, n_dims = (
            (0, 0)
            if is_majority
            else (_n_bytes(train_data) + _n_bytes(test_data), train_data.shape[1])
        )
        clock.lap()
        with threadpool_limits(
            1
        ):  # so that numbers do not depend on n_jobs; such small products gain nothing by threads anyway
            model = make_estimator(estimator, train_data, target.kind, labels).fit(
                train_data, labels
            )
            fitting = clock.per(len(train))
            answers = _Recorded(model, test_data)
            rows = np.arange(len(test))
            predictions = answers.predict(rows)
            predicting = clock.per(len(test))
        scores = [metric(answers, rows, truth) for metric in metrics]
        resampled = (
            None if resampling is None else _resample(metrics[0], answers, truth, resampling)
        )
    cost = Cost(
        n_dims,
        encoding,
        fitting + (0.0 if math.isnan(learning) else learning),
        predicting,
        read_peak(),
        n_bytes,
        oov,
        math.nan,
    )
    return _Fit(
        scores,
        predictions,
        resampled,
        cost,
        said,
        metrics[0].reason if math.isnan(scores[0]) else "",
    )


def _fit_if_possible(*arguments: Any) -> _Fit:
    """Do the same on few training rows, with which it may not work; then there are no scores."""
    try:
        return _fit(*arguments)
    except Exception as error:  # whatever a transformer or an estimator of the user's raises
        metrics = arguments[5]
        said = (
            f"With {len(arguments[4][0]):,} training rows a point of the learning curve is missing:"
            f" {error}"
        )
        return _Fit([math.nan] * len(metrics), np.array([]), None, _NO_COST, [said])


def _time_encoding(transformer: Any, texts: NDArray[np.object_]) -> float:
    """Return the seconds that 1,000 texts take, once the model is loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they have been heard before
        transformer.fit(texts).transform(texts[:1])
        clock = _Clock()
        transformer.transform(texts)
        return clock.per(len(texts))


def _resample(
    metric: Metric, answers: _Recorded, truth: NDArray[Any], seed: int
) -> NDArray[np.float64]:
    """Return a metric on bootstrap samples of the rows that were answered for."""
    is_right = np.array([])
    if metric.is_accuracy:
        is_right = answers.predict(np.arange(len(truth))) == truth
        is_right = is_right.all(axis=1) if is_right.ndim == 2 else is_right

    def score(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        # A scorer takes milliseconds, which is much for a thousand samples; accuracy is as quickly
        # had by hand.
        return np.array(
            [is_right[rows].mean() if len(is_right) else metric(answers, rows, truth[rows])]
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return resample_rows(score, len(truth), random_state=seed)[:, 0]


def _join_costs(costs: list[Cost], encoding: Cost | None) -> Cost:
    """Return the mean of what the folds took, with what was done once for all of them."""

    def mean(field: str) -> float:
        return float(np.mean([getattr(cost, field) for cost in costs]))

    once = costs[-1] if encoding is None else encoding
    return Cost(
        costs[-1].dimensions,
        mean("encode_seconds") if encoding is None else encoding.encode_seconds,
        mean("fit_seconds"),
        mean("predict_seconds"),
        max(cost.peak_mib for cost in [*costs, once]),
        once.kept_bytes,
        mean("oov_rate"),
        once.truncation_rate,
    )


def _n_bytes(features: Any) -> int:
    return (
        sum(int(part.nbytes) for part in (features.data, features.indices, features.indptr))
        if sparse.issparse(features)
        else int(features.nbytes)
    )


def _oov_rate(transformer: Any, texts: NDArray[np.object_]) -> float:
    reports = [
        part.oov_report(texts).rate for part in parts_of(transformer) if hasattr(part, "oov_report")
    ]
    return reports[0] if reports else math.nan


def _truncation(transformer: Any) -> float:
    found = [part.truncation_ for part in parts_of(transformer) if hasattr(part, "truncation_")]
    return found[0].n_truncated / found[0].n_texts if found and found[0].n_texts else math.nan
