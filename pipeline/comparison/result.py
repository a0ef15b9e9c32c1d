"""The numbers of a comparison: table, winner, flipped rows and fitted pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ...errors import InvalidParameterError
from ...validation import short_repr
from .candidates import predicts_alone
from .fitting import fit_pipeline, named_pairs
from .folds import Folds, count_units
from .intervals.estimates import judge
from .intervals.selection import BestScore, correct_selection
from .metrics import Metric
from .outcome import Outcome
from .results_table import EXPLORATORY, best_of, interval_of_folds, note_misses, rank
from .statistics import HOLM, REFERENCES, Estimate
from .target import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...models.store.embedding_store import EmbeddingStore

__all__ = ["ComparisonResult"]


@dataclass(frozen=True, repr=False)
class ComparisonResult:
    """What was compared and what came out; `Comparison` adds plots and files."""

    outcomes: dict[str, Outcome]
    failures: dict[str, str]
    notes: list[str]
    settings: dict[str, str]
    texts: NDArray[np.object_]
    target: Target
    index: pd.Index[Any]
    folds: Folds
    metrics: list[Metric]
    n_test: int
    curve_sizes: tuple[int, ...]
    roster: Mapping[str, Any]
    primary: str | None
    _estimator: Any
    _store: EmbeddingStore | None
    columns: tuple[str, ...] | None = None
    test_groups: NDArray[np.int64] | None = None

    @cached_property
    def _ranked(self) -> tuple[pd.DataFrame, str]:
        return rank(
            self.outcomes,
            self.metrics,
            self.folds,
            self.n_test,
            self.primary,
            self.test_groups,
            self.target,
        )

    @property
    def table(self) -> pd.DataFrame:
        """Table with a row for each feature set.

        Columns:

        - ``features``: name of the feature set.
        - ``is_contextual``: whether it contains a `BertVectorizer` or a fine-tuned model.
        - The name of the first metric: its mean over folds, but for R2 and other functions of
          means, which are biased there, that of all rows together. ``low`` and ``high`` are its 95
          % interval.
        - ``interval_method``: name of the method of the interval.
        - ``difference``: difference to the best baseline. ``difference_low`` and
          ``difference_high`` are its 95 % interval, which excludes 0 exactly if ``p_value`` is
          below 0.05.
        - ``p_value``: p-value of the difference.
        - ``difference_method``: name of the method of this test and interval.
        - ``family``: ``"primary"`` for the test that was declared beforehand, which is not
          corrected; ``"exploratory"`` for the other contextual feature sets, whose intervals are
          simultaneous and whose p-values are corrected by Holm; ``""`` for baselines, which are not
          tested.
        - ``verdict``: conclusion from the p-value.
        - ``pooled``: score of all rows together, mean over repeats, if the first metric is average
          precision or one by classes, such as F1. The interval is of this score, and the difference
          too if the test is by rows.
        - ``test``, ``test_low``, ``test_high`` and ``test_interval_method``: score on the held-back
          rows, if there are any.
        - The names of the other metrics.
        - The attributes of `Cost`.
        """
        return self._ranked[0].copy()

    @property
    def metric(self) -> str:
        """Name of the first metric."""
        return self.metrics[0].name

    @property
    def greater_is_better(self) -> bool:
        """Whether a greater value of the first metric is better."""
        return self.metrics[0].greater_is_better

    @property
    def baseline(self) -> str:
        """Name of the baseline with the best mean score. Feature sets are compared with it."""
        return self._ranked[1]

    @property
    def best(self) -> str:
        """Name of the feature set with the best mean score."""
        return best_of(self.outcomes, self.metrics[0])

    @cached_property
    def corrected_best(self) -> BestScore:
        """Score of the best feature set, corrected for its selection by the same scores.

        The best of many has the best luck too: its score in the table is too good. This one
        belongs to the exploratory family and decides no verdict.
        """
        metric = self.metrics[0]
        judged = [judge(one, metric, self.target, self.folds) for one in self.outcomes.values()]
        columns = [metric.name, "low", "high", "interval_method"]
        shown = [
            Estimate(score, low, high, np.nan, method)
            for score, low, high, method in self._ranked[0][columns].itertuples(index=False)
        ]
        return correct_selection(judged, shown, metric, self.folds)

    @property
    def doubts(self) -> list[str]:
        """Why intervals or the corrected score may not hold on these data; empty if they should.

        By simulations of data whose true scores are known.
        """
        misses = note_misses(self.metrics[0], self.target, self.folds)
        return [*misses, *filter(None, [self.corrected_best.doubt])]

    @property
    def methods(self) -> dict[str, str]:
        """The methods of all intervals and tests of this comparison, with their references."""
        table, curve = self._ranked[0], self.learning_curve
        columns = [column for column in table if str(column).endswith("_method")]
        used = {*table[columns].to_numpy().ravel(), self.corrected_best.method}
        if curve is not None:
            used |= {*curve["interval_method"]}
        if EXPLORATORY in set(table["family"]):
            used.add(HOLM)
        return {method: source for method, source in REFERENCES.items() if method in used}

    @property
    def learning_curve(self) -> pd.DataFrame | None:
        """Scores by number of training rows, or None if they were not requested.

        Columns: ``features``, ``n_rows``, the first metric, ``low``, ``high``,
        ``interval_method``.
        """
        if not self.curve_sizes:
            return None
        rows = []
        _, n_test = self.folds.mean_sizes
        for name, outcome in self.outcomes.items():
            assert outcome.curve is not None
            n_units = count_units(self.folds.groups, np.flatnonzero(outcome.is_judged))
            for size, scores in zip(self.curve_sizes, outcome.curve, strict=True):
                estimate = interval_of_folds(
                    scores, self.metrics[0], n_test / size, self.folds.mean_units, n_units
                )
                rows.append((name, size, *estimate[:3], estimate.method))
        columns = ["features", "n_rows", self.metric, "low", "high", "interval_method"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def text_names(self) -> list[str]:
        """Names of the columns of texts in `errors`."""
        if self.texts.ndim == 1:
            return ["text"]
        if self.columns is None:
            return ["text 1", "text 2"]
        return [f"{name} (text)" if name == "target" else name for name in self.columns]

    def errors(self, name: str, other: str | None = None) -> pd.DataFrame:
        """Return the rows that one feature set predicts correctly and another does not.

        Parameters
        ----------
        name : str
            Name of the feature set that is right.
        other : str or None, default=None
            Name of the feature set that is wrong. None takes the best baseline. If that is
            ``name``, None takes the best feature set.

        Returns
        -------
        table : DataFrame of shape (n_errors, 4) or (n_errors, 5)
            Columns ``text``, ``target``, and the predictions of both feature sets under their
            names. Pairs have the names of their columns in place of ``text``, or ``text 1`` and
            ``text 2`` if these have none. The most confident come first: those in which the true
            class has a high probability by ``name`` and a low one by ``other``, by the difference
            of both. For several labels, by the mean probability that a label is as it is. A feature
            set without probabilities is taken for equally confident in all rows; equals stay in
            their order. For regression, the rows for which the prediction of ``name`` is closer,
            those with the largest difference first.

        Raises
        ------
        InvalidParameterError
            If there is no such feature set.

        See Also
        --------
        probabilities : The probabilities by which the rows are ordered.
        """
        first = self._outcome(name)
        if other is None:
            other = self.baseline if name != self.baseline else self.best
        second = self._outcome(other)
        truth = self.target.values
        is_flipped = first.is_judged & second.is_judged
        if self.target.kind == "regression":
            gains = np.full(len(truth), -np.inf)
            own, others = (
                np.abs(outcome.predictions[is_flipped] - truth[is_flipped])
                for outcome in (first, second)
            )
            gains[is_flipped] = others - own
            is_flipped = gains > 0
        else:
            is_flipped &= _agree(first.predictions, truth) & ~_agree(second.predictions, truth)
            gains = self._confidence(first) - self._confidence(second)
        rows = np.flatnonzero(is_flipped)
        rows = rows[np.argsort(-gains[rows], kind="stable")]
        sides = self.texts.reshape(len(self.texts), -1)[rows].T
        columns: dict[str, Any] = dict(zip(self.text_names, sides, strict=True))
        columns["target"] = self._labels(truth[rows])
        for kind, outcome in ((name, first), (other, second)):
            columns[f"{kind} (features)" if kind in columns else kind] = self._labels(
                outcome.predictions[rows]
            )
        # pandas' string dtype refuses lone surrogates, which texts may hold.
        return pd.DataFrame(
            {name: pd.Series(values, dtype=object) for name, values in columns.items()}
        ).set_axis(self.index[rows])

    def _confidence(self, outcome: Outcome) -> NDArray[np.float64]:
        """Return the probability that each row has its true class or labels; 0 if unknown."""
        shares, truth = outcome.probabilities, self.target.values
        if shares is None:
            return np.zeros(len(truth))
        if self.target.kind == "multilabel":
            return np.asarray(np.where(truth == 1, shares, 1 - shares).mean(axis=1))
        assert self.target.classes is not None
        return np.asarray((shares * (truth[:, None] == self.target.classes)).sum(axis=1))

    def probabilities(self, name: str | None = None) -> pd.DataFrame:
        """Return the out-of-fold probabilities of a feature set.

        Each row is judged by a model that was not fitted on it, that of the first repeat of the
        folds: the same model as in ``outcomes[name].predictions``.

        Parameters
        ----------
        name : str or None, default=None
            Name of the feature set. None takes the best.

        Returns
        -------
        probabilities : DataFrame of shape (n_rows, n_classes)
            The rows of X under their index, and a column for each class of ``target.classes``. For
            several labels, a column for each label with the probability that the row has it. A
            class that is not in the training rows of a fold has 0 there. Rows that no fold of the
            first repeat tests are NaN.

        Raises
        ------
        InvalidParameterError
            If there is no such feature set, the target holds numbers, or the estimator gives no
            probabilities.

        See Also
        --------
        errors : The rows that flipped, the most confident first.

        Examples
        --------
        >>> from bertvectorizer import compare
        >>> comparison = compare(list("abcdefgh"), ["x", "y"] * 4, ["majority class"], cv=2)
        >>> comparison.probabilities("majority class").loc[0].to_dict()
        {'x': 0.5, 'y': 0.5}
        """
        outcome = self._outcome(self.best if name is None else name)
        classes = self.target.classes
        if classes is None:
            raise InvalidParameterError(
                "Probabilities are of classes, but the target of this comparison holds numbers. Its"
                " out-of-fold predictions are in comparison.outcomes[name].predictions. If the"
                " numbers are classes, compare with task='classification'."
            )
        if outcome.probabilities is None:
            raise InvalidParameterError(
                f"{outcome.name!r} has no probabilities, since its estimator,"
                f" {self._estimator_name(outcome.name)}, gives none. Compare with one that has"
                " predict_proba: estimator=LogisticRegression(), or"
                " CalibratedClassifierCV(estimator)."
            )
        dtype = object if classes.dtype == object else None
        return pd.DataFrame(
            outcome.probabilities.copy(),
            index=self.index,
            columns=pd.Index(classes.tolist(), dtype=dtype),
        )

    def _estimator_name(self, name: str) -> str:
        if predicts_alone(self.roster[name]):
            return type(self.roster[name]).__name__
        if self._estimator is not None:
            return type(self._estimator).__name__
        return "the default for more than 20 classes or labels"

    def _labels(self, values: NDArray[Any]) -> list[Any]:
        """Return labels or numbers as Python objects; the labels of a multilabel row as a tuple."""
        if self.target.kind != "multilabel":
            return values.tolist()  # type: ignore[no-any-return]
        assert self.target.classes is not None
        return [tuple(self.target.classes[row.astype(bool)]) for row in values]

    def _outcome(self, name: str) -> Outcome:
        if name not in self.outcomes:
            raise InvalidParameterError(
                f"The 'name' parameter must be one of: {', '.join(self.outcomes)}. Got"
                f" {short_repr(name)} instead."
            )
        return self.outcomes[name]

    def pipeline(self, name: str | None = None) -> Pipeline:
        """Fit a feature set and its estimator on all rows but the held-back ones.

        Groups stay together in folds that the estimator makes itself.

        Parameters
        ----------
        name : str or None, default=None
            Name of the feature set. None takes the best.

        Returns
        -------
        pipeline : Pipeline
            The fitted pipeline. It predicts from texts, or pairs of texts. For several labels a row
            it predicts a column of 0 and 1 for each label of ``target.classes``. The default
            estimator of up to 20 labels also has them as ``classes_``, and ``predict_proba`` with
            the same columns.

        Raises
        ------
        InvalidParameterError
            If there is no such feature set.

        See Also
        --------
        save_pipeline : Save the pipeline.
        """
        name = self.best if name is None else name
        self._outcome(name)
        texts = named_pairs(self.texts, self.columns)
        return fit_pipeline(
            *(self.roster[name], self._estimator, texts, self.target, self._store),
            groups=self.folds.groups,
        )

    def __str__(self) -> str:
        if not self.outcomes:
            return "no feature sets"
        columns = [
            *("features", self.metric, "low", "high"),
            *("difference", "p_value", "family", "verdict", "dimensions"),
        ]
        return self.table[columns].to_string(index=False, float_format="{:.3f}".format)

    __repr__ = __str__


def _agree(predictions: NDArray[np.object_], truth: NDArray[Any]) -> NDArray[np.bool_]:
    same = predictions == truth
    return np.asarray(same if same.ndim == 1 else same.all(axis=1), dtype=bool)
