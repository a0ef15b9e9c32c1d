"""What a comparison found: the table, the winner, the rows that flipped, pictures, a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ...errors import InvalidParameterError
from ..comparison.fitting import fit_pipeline
from ..comparison.folds import Folds
from ..comparison.metrics import Metric
from ..comparison.outcome import Outcome
from ..comparison.results_table import best_of, estimate_score, rank
from ..comparison.target import Target
from ..files.write import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["Comparison"]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    outcomes : dict of str to Outcome
        Scores, predictions and cost of each kind of features, in the order of the roster.
    failures : dict of str to str
        Kinds of features that could not be used, and why.
    notes : list of str
        What a reader of the table should know.
    settings : dict of str to str
        What was compared and how, for people.
    texts : ndarray
        *Shape:* ``(n_rows,)``, dtype object.
    target : Target
    index : Index
        Labels of the rows, as they were given. *Length:* ``n_rows``.
    folds : Folds
    metrics : list of Metric
        The one that decides first.
    n_test : int
        Rows held back for a test.
    curve_sizes : tuple of int
        Training rows of the learning curve.
    roster : dict of str to transformer or None
        As they were given, not fitted.

    Examples
    --------
    >>> from bertvectorizer import compare
    >>> from bertvectorizer.pipeline import load_example
    >>> example = load_example().head(60)
    >>> comparison = compare(example["text"], example["label"], ["majority class", "TF-IDF words", "BERT"], cv=3)
    >>> comparison.best
    'BERT'
    >>> comparison.pipeline().predict(["The crane waded in the marsh and caught a frog."]).tolist()
    ['living']
    """

    outcomes: dict[str, Outcome]
    failures: dict[str, str]
    notes: list[str]
    settings: dict[str, str]
    texts: NDArray[np.object_] = field(repr=False)
    target: Target = field(repr=False)
    index: pd.Index[Any] = field(repr=False)
    folds: Folds = field(repr=False)
    metrics: list[Metric] = field(repr=False)
    n_test: int
    curve_sizes: tuple[int, ...]
    roster: Mapping[str, Any] = field(repr=False)
    _estimator: Any = field(repr=False)
    _store: Any = field(repr=False)

    @cached_property
    def _ranked(self) -> tuple[pd.DataFrame, str]:
        return rank(self.outcomes, self.metrics, self.folds, self.n_test)

    @property
    def table(self) -> pd.DataFrame:
        """A row for each kind of features.

        Columns: ``features``; ``is_contextual``; the deciding metric under its name, its mean over
        the folds, with the 95 % interval ``low`` to ``high``; ``difference`` to the best baseline,
        from ``difference_low`` to ``difference_high``, ``p_value`` (corrected by Holm) and
        ``verdict``; where there are held-back rows, ``test``, ``test_low`` and ``test_high``;
        further metrics; and the cost, as `Cost` describes it.
        """
        return self._ranked[0].copy()

    @property
    def metric(self) -> str:
        """Name of the metric that decides."""
        return self.metrics[0].name

    @property
    def greater_is_better(self) -> bool:
        """Whether a greater number of the deciding metric is better."""
        return self.metrics[0].greater_is_better

    @property
    def baseline(self) -> str:
        """Name of the best baseline, which everything is compared with."""
        return self._ranked[1]

    @property
    def best(self) -> str:
        """Name of the features with the best mean score."""
        return best_of(self.outcomes, self.metrics[0])

    @property
    def learning_curve(self) -> pd.DataFrame | None:
        """Score against number of training rows; None where it was not asked for.

        Columns: ``features``, ``n_rows``, the deciding metric, ``low``, ``high``.
        """
        if not self.curve_sizes:
            return None
        rows = []
        for name, outcome in self.outcomes.items():
            assert outcome.curve is not None
            for size, scores in zip(self.curve_sizes, outcome.curve, strict=True):
                estimate = estimate_score(
                    scores, self.metrics[0], size, self.folds.mean_sizes[1], outcome.n_judged
                )
                rows.append((name, size, estimate.mean, estimate.low, estimate.high))
        return pd.DataFrame(rows, columns=["features", "n_rows", self.metric, "low", "high"])

    def errors(self, name: str, other: str | None = None) -> pd.DataFrame:
        """Return the rows that one kind of features gets right and another wrong.

        Parameters
        ----------
        name : str
        other : str or None
            None takes the best baseline; or, for that itself, the best of all.

        Returns
        -------
        DataFrame
            Columns ``text``, ``target`` and the two predictions, under their names; the index is
            that of the rows. Amounts are not right or wrong: there, rows to which the one comes
            nearer, the greatest gain first.

        Raises
        ------
        InvalidParameterError
            If there is no such kind of features.
        """
        first = self._outcome(name)
        if other is None:
            other = self.baseline if name != self.baseline else self.best
        second = self._outcome(other)
        truth = self.target.values
        known = ~(_is_none(first.predictions) | _is_none(second.predictions))
        if self.target.kind == "regression":
            gains = np.full(len(truth), -np.inf)
            gains[known] = np.abs(second.predictions[known] - truth[known]) - np.abs(
                first.predictions[known] - truth[known]
            )
            rows = [row for row in np.argsort(-gains, kind="stable") if gains[row] > 0]
        else:
            rows = np.flatnonzero(
                known & _agree(first.predictions, truth) & ~_agree(second.predictions, truth)
            ).tolist()
        columns: dict[str, Any] = {"text": self.texts[rows], "target": self._labels(truth[rows])}
        for kind, outcome in ((name, first), (other, second)):
            columns[f"{kind} (features)" if kind in columns else kind] = self._labels(
                outcome.predictions[rows]
            )
        # pandas' own columns of strings take no lone surrogate, which texts may hold.
        return pd.DataFrame(
            {name: pd.Series(values, dtype=object) for name, values in columns.items()}
        ).set_axis(self.index[rows])

    def _labels(self, values: NDArray[Any]) -> list[Any]:
        """Return labels or amounts one by one; several labels of a row as a tuple."""
        if self.target.kind != "multilabel":
            return values.tolist()  # type: ignore[no-any-return]
        assert self.target.classes is not None
        return [tuple(self.target.classes[row.astype(bool)]) for row in values]

    def _outcome(self, name: str) -> Outcome:
        if name not in self.outcomes:
            raise InvalidParameterError(
                f"The name of features must be one of: {', '.join(self.outcomes)}. Got {name!r}"
                " instead."
            )
        return self.outcomes[name]

    def pipeline(self, name: str | None = None) -> Pipeline:
        """Return features and estimator, fitted on all rows of the comparison but those held back
        for a test.

        Parameters
        ----------
        name : str or None
            None takes the best.

        Returns
        -------
        Pipeline
            Ready to predict from texts.

        Raises
        ------
        InvalidParameterError
            If there is no such kind of features.
        """
        name = self.best if name is None else name
        self._outcome(name)
        return fit_pipeline(
            self.roster[name], self._estimator, self.texts, self.target, self._store
        )

    def plot_scores(self) -> Figure:
        """Draw the deciding metric of each kind of features with its interval."""
        from .plots import plot_scores

        return plot_scores(self)

    def plot_cost(self) -> Figure:
        """Draw quality against cost."""
        from .plots import plot_cost

        return plot_cost(self)

    def plot_layers(self) -> Figure:
        """Draw the map of layers and poolings."""
        from .plots import plot_layers

        return plot_layers(self)

    def plot_learning_curve(self) -> Figure:
        """Draw quality against the number of training rows."""
        from .plots import plot_learning_curve

        return plot_learning_curve(self)

    def plot_confusion(self, name: str | None = None) -> Figure:
        """Draw which classes one kind of features takes for which; None takes the best."""
        from .plots import plot_confusion

        return plot_confusion(self, self.best if name is None else name)

    def plot_words(self, word: str | None = None) -> Figure:
        """Draw the occurrences of a word in two dimensions, static beside contextual; None takes an example that comes with the package."""
        from .plots import plot_words

        return plot_words(self, word)

    def to_html(self, path: str | Path, word: str | None = None) -> Path:
        """Write a report that is one file and needs no network.

        Parameters
        ----------
        path : str or Path
        word : str or None
            The word whose occurrences are drawn; None takes an example that comes with the package.

        Returns
        -------
        Path
        """
        from .html import write_report

        return write_report(self, path, word)

    def _repr_html_(self) -> str:
        from .html import repr_html

        return repr_html(self)

    def to_json(self, path: str | Path | None = None) -> str:
        """Return everything but texts and predictions as JSON, and write it if a path is given.

        Parameters
        ----------
        path : str, Path or None

        Returns
        -------
        str
            Numbers that are unknown are null.

        Raises
        ------
        InvalidParameterError
            If the file cannot be written.
        """
        curve = self.learning_curve
        found = {
            "format": 1,
            "metric": self.metric,
            "greater_is_better": self.greater_is_better,
            "best": self.best,
            "baseline": self.baseline,
            "settings": self.settings,
            "notes": self.notes,
            "failures": self.failures,
            "table": json.loads(self.table.to_json(orient="records", double_precision=15)),
            "scores": {
                name: {metric: _plain(scores) for metric, scores in outcome.scores.items()}
                for name, outcome in self.outcomes.items()
            },
            "learning_curve": (
                None
                if curve is None
                else json.loads(curve.to_json(orient="records", double_precision=15))
            ),
        }
        text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
        if path is not None:
            write_text(path, text + "\n")
        return text

    def __str__(self) -> str:
        shown = self.table.loc[
            :,
            [
                "features",
                self.metric,
                "low",
                "high",
                "difference",
                "p_value",
                "verdict",
                "dimensions",
            ],
        ]
        return shown.to_string(index=False, float_format="{:.3f}".format)


def _is_none(predictions: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.array(
        [
            row is None or (isinstance(row, np.ndarray) and any(value is None for value in row))
            for row in predictions
        ],
        dtype=bool,
    )


def _agree(predictions: NDArray[np.object_], truth: NDArray[Any]) -> NDArray[np.bool_]:
    same = predictions == truth
    return np.asarray(same if same.ndim == 1 else same.all(axis=1), dtype=bool)


def _plain(scores: NDArray[np.float64]) -> list[float | None]:
    return [float(score) if np.isfinite(score) else None for score in scores]
