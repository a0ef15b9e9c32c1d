"""Cross-validate a feature set: scores, predictions and cost."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from ...features import BertVectorizer, PairVectorizer
from .candidates import (
    berts_of,
    find_cell,
    is_contextual,
    parts_of,
    predicts_alone,
    side_of,
    with_store,
)
from .default_estimators import majority_estimator
from .fitting import as_rows, fit_features, fit_with_groups, make_estimator
from .folds import Folds, Split, number_groups
from .intervals.estimates import pool_scores
from .metrics import Metric
from .outcome import Cost, Outcome
from .peak_memory import read_peak, reset_peak
from .probabilities import read_probabilities, read_values
from .statistics import resample_rows
from .target import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...models.store.embedding_store import EmbeddingStore

__all__ = ["CrossValidation"]

_CHUNK_TEXTS = 1024
_TIMED_ROWS = 48


@dataclass(frozen=True)
class CrossValidation:
    """The settings that all feature sets of a comparison share; ``run`` evaluates one of them.

    ``texts``, of which pairs have two columns, and ``target`` hold the ``n_rows`` rows of the
    folds, then the held-back rows. The first of ``metrics`` decides. ``curve`` has the splits of
    the learning curve, for each size one per fold of the first repeat. ``test_groups`` are the
    groups of the held-back rows, None if each is a group of its own.
    """

    texts: NDArray[np.object_]
    target: Target
    n_rows: int
    folds: Folds
    metrics: list[Metric]
    estimator: Any
    curve: list[list[Split]]
    n_jobs: int | None
    store: EmbeddingStore | None
    random_state: int | None
    test_groups: NDArray[np.int64] | None = None

    def run(
        self, name: str, transformer: Any, report: Callable[[str, int, int], Any]
    ) -> tuple[Outcome, list[str]]:
        """Evaluate a transformer (None: majority class); return its outcome and distinct warnings.

        A classifier or regressor of texts is fitted and predicts by itself.

        ``report`` is called with a unit ("texts" or "folds"), how many are done, and their total.
        """
        messages: list[str] = []
        learner, data, encoding, estimator = None, self.texts, None, self.estimator
        is_alone = transformer is None or predicts_alone(transformer)
        if transformer is None:
            estimator = majority_estimator(self.target.kind)
        elif is_alone:
            estimator = with_store(transformer, self.store)
        else:
            learner = with_store(transformer, self.store)
            if not get_tags(side_of(transformer)).requires_fit:
                with _collect_warnings(messages):
                    data, encoding = self._encode(learner, report)
                learner = None
        jobs = self._jobs(learner, estimator, data, is_alone)
        report("folds", 0, len(jobs))
        fits: list[_Fit] = []
        for fit in Parallel(self.n_jobs, return_as="generator")(map(delayed(_Job.run), jobs)):
            fits.append(fit)
            messages += fit.messages
            report("folds", len(fits), len(jobs))
        outcome = self._outcome(name, transformer, fits, encoding)
        return outcome, list(dict.fromkeys(messages))

    @property
    def n_fits(self) -> int:
        """Number of fits of each feature set: folds, held-back rows, learning curve."""
        return len(self.folds.splits) + self._has_test + sum(map(len, self.curve))

    @property
    def _has_test(self) -> bool:
        return self.n_rows < len(self.texts)

    @property
    def _groups(self) -> NDArray[np.int64] | None:
        """The group of each row, held-back rows included; None if each is a group of its own."""
        if self.folds.groups is None and self.test_groups is None:
            return None
        n_test = len(self.texts) - self.n_rows
        own = np.arange(self.n_rows) if self.folds.groups is None else self.folds.groups
        held_back = np.arange(n_test) if self.test_groups is None else self.test_groups
        return np.concatenate([own, held_back + self.n_rows])

    def _jobs(self, learner: Any, estimator: Any, data: Any, is_alone: bool) -> list[_Job]:
        """Return the fits: the folds, the held-back rows if there are any, the learning curve."""
        job = _Job(
            transformer=learner,
            estimator=estimator,
            data=data,
            target=self.target,
            split=(np.arange(self.n_rows), np.arange(self.n_rows, len(self.texts))),
            metrics=self.metrics,
            is_alone=is_alone,
            groups=self._groups,
        )
        resampled = replace(job, bootstrap_seed=self.random_state or 0)
        of_folds = resampled if len(self.folds.splits) == 1 else job
        jobs = [
            replace(
                of_folds,
                split=split,
                gives_values=True,
                gives_probabilities=number < self.folds.n_first,
            )
            for number, split in enumerate(self.folds.splits)
        ]
        jobs += [resampled] if self._has_test else []
        curve = [split for of_size in self.curve for split in of_size]
        return jobs + [replace(job, split=split, may_fail=True) for split in curve]

    def _encode(self, transformer: Any, report: Callable[[str, int, int], Any]) -> tuple[Any, Cost]:
        """Return the features of all rows, each distinct text encoded once, and their cost."""

        def report_texts(n_done: int) -> None:
            report("texts", n_done, self.texts.size)

        reset_peak()
        report_texts(0)
        is_by_side = isinstance(transformer, PairVectorizer)
        if self.texts.ndim == 1 or is_by_side:
            distinct, inverse, counts = np.unique(
                self.texts, return_inverse=True, return_counts=True
            )
        else:  # NumPy finds no distinct rows of objects
            distinct, inverse = self.texts, np.arange(len(self.texts))
            counts = np.full(len(distinct), self.texts.shape[1])
        fitted = clone(side_of(transformer))
        if isinstance(fitted, BertVectorizer):  # one pass gives vectors and token counts
            features = fitted._learn_vectors(distinct.tolist(), counts, _CHUNK_TEXTS, report_texts)
        else:
            fitted.fit(self.texts.ravel() if is_by_side else self.texts)
            chunks = []
            for start in range(0, len(distinct), _CHUNK_TEXTS):
                chunks.append(as_rows(fitted.transform(distinct[start : start + _CHUNK_TEXTS])))
                report_texts(int(counts[: start + _CHUNK_TEXTS].sum()))
            stack = sparse.vstack if sparse.issparse(chunks[0]) else np.concatenate
            features = as_rows(stack(chunks))
        inverse = inverse.reshape(-1, 2) if is_by_side else inverse.ravel()
        features = transformer._combined(features, inverse) if is_by_side else features[inverse]
        cost = Cost(
            dimensions=features.shape[1],
            peak_mib=read_peak(),
            kept_bytes=_n_bytes(features),
            truncation_rate=_truncation_rate(fitted),
        )
        rows = np.random.RandomState(self.random_state).permutation(
            self.texts if is_by_side else distinct
        )
        seconds = _time_encoding(transformer, rows[:_TIMED_ROWS])
        return features, replace(cost, encode_seconds=seconds)

    def _outcome(
        self, name: str, transformer: Any, fits: list[_Fit], encoding: Cost | None
    ) -> Outcome:
        n_folds = len(self.folds.splits)
        of_folds, test = fits[:n_folds], fits[n_folds] if self._has_test else None
        repeats, values = self._repeats(of_folds), self._values(of_folds)
        own = replace(self.target, values=self.target.values[: self.n_rows])
        scores = np.array([fit.scores for fit in of_folds]).T
        curve = np.array([fit.scores[0] for fit in fits[n_folds + self._has_test :]])
        first = self.metrics[0]
        return Outcome(
            name=name,
            is_contextual=is_contextual(transformer),
            cell=find_cell(transformer),
            scores={m.name: m.shown(own) for m, own in zip(self.metrics, scores, strict=True)},
            test_scores={
                m.name: m.shown(own)
                for m, own in zip(self.metrics, test.scores if test else (), strict=False)
            },
            predictions=repeats[0],
            cost=_mean_cost([fit.cost for fit in of_folds], encoding),
            curve=first.shown(curve.reshape(len(self.curve), -1)) if self.curve else None,
            resampled=first.shown(of_folds[0].resampled) if n_folds == 1 else None,
            test_resampled=first.shown(test.resampled) if test else None,
            reason=next((fit.reason for fit in of_folds if fit.reason), ""),
            probabilities=self._probabilities(fits),
            repeats=repeats,
            values=values,
            pooled=pool_scores(self.metrics, own, repeats, values),
        )

    def _repeats(self, of_folds: list[_Fit]) -> NDArray[np.object_]:
        """Return the predictions of all repeats; None for rows that a repeat does not test."""
        numbers, shape = self.folds.repeats, self.target.values.shape[1:]
        result = np.full((numbers[-1] + 1, self.n_rows, *shape), None, dtype=object)
        for fit, number, (_, rows) in zip(of_folds, numbers, self.folds.splits, strict=True):
            result[number, rows] = fit.predictions
        return result

    def _values(self, of_folds: list[_Fit]) -> NDArray[np.float32] | None:
        """Return what the first metric reads in all repeats, if each fold gives it."""
        numbers, first = self.folds.repeats, of_folds[0].values
        if first is None:
            return None
        result = np.full((numbers[-1] + 1, self.n_rows, first.shape[1]), math.nan, np.float32)
        for fit, number, (_, rows) in zip(of_folds, numbers, self.folds.splits, strict=True):
            if fit.values is None:
                return None
            result[number, rows] = fit.values
        return result

    def _probabilities(self, fits: list[_Fit]) -> NDArray[np.float64] | None:
        """Return the probabilities that the folds of the first repeat give, if each gives them."""
        if self.target.classes is None:
            return None
        result = np.full((self.n_rows, len(self.target.classes)), math.nan)
        for fit, (_, rows) in zip(fits[: self.folds.n_first], self.folds.splits, strict=False):
            if fit.probabilities is None:
                return None
            result[rows] = fit.probabilities
        return result


@dataclass(frozen=True)
class _Fit:
    """The result of a job: scores, predictions, cost and warnings."""

    scores: list[float]
    predictions: NDArray[Any]
    cost: Cost
    messages: list[str]
    resampled: NDArray[np.float64] | None = None
    reason: str = ""  # why the first score is NaN
    probabilities: NDArray[np.float64] | None = None
    values: NDArray[np.float32] | None = None  # that the first metric reads


@dataclass(frozen=True)
class _Job:
    """A fit on the training rows of a split, scored on its test rows.

    ``data`` holds texts, or features where there is no transformer; but an estimator that stands
    alone reads texts, or ignores them.
    """

    transformer: Any
    estimator: Any
    data: Any
    target: Target
    split: Split
    metrics: list[Metric]
    is_alone: bool
    groups: NDArray[np.int64] | None = None  # of all rows
    bootstrap_seed: int | None = None  # None draws no bootstrap samples
    may_fail: bool = False
    gives_values: bool = False
    gives_probabilities: bool = False

    def run(self) -> _Fit:
        """Fit and score. A failure of a point of the learning curve leaves its scores NaN."""
        try:
            return self._fit()
        except Exception as error:
            if not self.may_fail:
                raise
            message = (
                f"With {len(self.split[0]):,} training rows a point of the learning curve is"
                f" missing: {error}"
            )
            return _Fit([math.nan] * len(self.metrics), np.array([]), Cost(), [message])

    def _groups_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the groups of some rows, None if each is a group of its own."""
        return None if self.groups is None else number_groups(self.groups[rows])

    def _fit(self) -> _Fit:
        train, test = self.split
        labels, truth = self.target.values[train], self.target.values[test]
        groups = self._groups_of(train)
        messages: list[str] = []
        reset_peak()
        with _collect_warnings(messages):
            train_data, test_data = self.data[train], self.data[test]
            learn_seconds, encode_seconds, oov_rate = 0.0, math.nan, math.nan
            clock = _Clock()
            if self.transformer is not None:
                transformer = clone(self.transformer)
                clock.lap()
                train_data = as_rows(fit_features(transformer, train_data, labels, groups))
                learn_seconds = clock.lap(len(train))
                test_texts, test_data = test_data, as_rows(transformer.transform(test_data))
                encode_seconds = clock.lap(len(test))
                oov_rate = _oov_rate(transformer, test_texts)
            clock.lap()
            # One thread, so that numbers do not depend on n_jobs; such small products gain nothing
            # by more. Training a network does.
            with threadpool_limits(None if berts_of(self.estimator) else 1):
                model = make_estimator(self.estimator, train_data, self.target.kind, labels, groups)
                fit_with_groups(model, train_data, labels, groups)
                fit_seconds = learn_seconds + clock.lap(len(train))
                answers = _CachedPredictions(model, test_data)
                rows = np.arange(len(test))
                predictions = answers.predict(rows)
                predict_seconds = clock.lap(len(test))
            first = self.metrics[0]
            scores = [metric(answers, rows, truth) for metric in self.metrics]
            seed = self.bootstrap_seed
            resampled = None
            if seed is not None:
                resampled = _resample(first, answers, truth, seed, self._groups_of(test))
            probabilities = None
            if self.gives_probabilities:
                probabilities = read_probabilities(answers, rows, self.target, labels)
            values = None
            if self.gives_values and first.reads and not math.isnan(scores[0]):
                values = read_values(answers, rows, self.target, labels, first.reads)
            if self.is_alone:
                oov_rate = _oov_rate(model, test_data)
            if self.is_alone and berts_of(model):
                predict_seconds = _time_prediction(model, test_data)
        cost = Cost(
            dimensions=0 if self.is_alone else train_data.shape[1],
            encode_seconds=encode_seconds,
            fit_seconds=fit_seconds,
            predict_seconds=predict_seconds,
            peak_mib=read_peak(),
            kept_bytes=0 if self.is_alone else _n_bytes(train_data) + _n_bytes(test_data),
            oov_rate=oov_rate,
            truncation_rate=_truncation_rate(model) if self.is_alone else math.nan,
        )
        reason = first.reason if math.isnan(scores[0]) else ""
        return _Fit(scores, predictions, cost, messages, resampled, reason, probabilities, values)


class _CachedPredictions:
    """A fitted estimator that predicts once and answers for any choice of rows.

    Scorers and bootstrap samples pass row numbers instead of features.
    """

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
            if isinstance(found, list):  # an array for each label
                return [of_label[rows] for of_label in found]
            return found[rows]

        answer.__name__ = name  # scikit-learn reads it
        return answer


class _Clock:
    """Seconds since it was made, or since the last lap."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def lap(self, n_rows: int = 1000) -> float:
        """Return the seconds per 1,000 rows, and start anew."""
        start, self._start = self._start, time.perf_counter()
        return (self._start - start) * 1000 / n_rows


@contextmanager
def _collect_warnings(messages: list[str]) -> Iterator[None]:
    """Append the messages of UserWarnings to a list instead of showing them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    messages += [str(item.message) for item in caught if issubclass(item.category, UserWarning)]


def _time_encoding(transformer: Any, texts: NDArray[np.object_]) -> float:
    """Return the seconds for 1,000 rows, without a store and after the model is loaded."""
    fitted = with_store(transformer, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were shown for all texts
        fitted.fit(texts)
        fitted.transform(texts[:1])
        clock = _Clock()
        fitted.transform(texts)
        return clock.lap(len(texts))


def _time_prediction(model: Any, texts: NDArray[np.object_]) -> float:
    """Return the seconds for 1,000 texts of a fitted model, without a store."""
    for part in berts_of(model):
        part.store = None
    sample = np.random.RandomState(0).permutation(texts)[:_TIMED_ROWS]
    model.predict(sample[:1])
    clock = _Clock()
    model.predict(sample)
    return clock.lap(len(sample))


def _resample(
    metric: Metric,
    answers: _CachedPredictions,
    truth: NDArray[Any],
    seed: int,
    groups: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """Return a metric on bootstrap samples of the test rows, or of their groups."""
    is_right = np.array([])
    if metric.is_accuracy:  # a scorer takes milliseconds, much for a thousand samples
        is_right = answers.predict(np.arange(len(truth))) == truth
        is_right = is_right.all(axis=1) if is_right.ndim == 2 else is_right

    def score(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        value = is_right[rows].mean() if len(is_right) else metric(answers, rows, truth[rows])
        return np.array([value])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return resample_rows(score, len(truth), groups=groups, random_state=seed)[:, 0]


def _mean_cost(costs: list[Cost], encoding: Cost | None) -> Cost:
    """Return the mean cost of the folds, with that of encoding if it was done once for all."""

    def mean(name: str) -> float:
        return float(np.mean([getattr(cost, name) for cost in costs]))

    once = costs[-1] if encoding is None else encoding
    return Cost(
        dimensions=costs[-1].dimensions,
        encode_seconds=mean("encode_seconds") if encoding is None else encoding.encode_seconds,
        fit_seconds=mean("fit_seconds"),
        predict_seconds=mean("predict_seconds"),
        peak_mib=max(cost.peak_mib for cost in [*costs, once]),
        kept_bytes=once.kept_bytes,
        oov_rate=mean("oov_rate"),
        truncation_rate=once.truncation_rate,
    )


def _n_bytes(features: Any) -> int:
    arrays = (
        (features.data, features.indices, features.indptr)
        if sparse.issparse(features)
        else (features,)
    )
    return sum(int(array.nbytes) for array in arrays)


def _oov_rate(transformer: Any, texts: NDArray[np.object_]) -> float:
    parts = [part for part in parts_of(side_of(transformer)) if hasattr(part, "oov_report")]
    return parts[0].oov_report(texts.ravel()).rate if parts else math.nan


def _truncation_rate(transformer: Any) -> float:
    found = [part.truncation_ for part in parts_of(transformer) if hasattr(part, "truncation_")]
    return found[0].n_truncated / found[0].n_texts if found and found[0].n_texts else math.nan
