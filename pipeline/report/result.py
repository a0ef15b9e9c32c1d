"""The result of `compare`, with its plots, its report and its JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..comparison.result import ComparisonResult
from ..files.write import write_text
from .formatting import metric_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..comparison.intervals.selection import BestScore

__all__ = ["Comparison"]


@dataclass(frozen=True, repr=False)
class Comparison(ComparisonResult):
    """Result of `compare`.

    Attributes
    ----------
    outcomes : dict of str to Outcome
        Scores, predictions and cost of each feature set, in the order of ``features``.
    failures : dict of str to str
        The reason of the failure of each feature set that failed.
    notes : list of str
        Notes on the table.
    settings : dict of str to str
        Description of the comparison.
    texts : ndarray of shape (n_rows,) or (n_rows, 2), dtype object
        The texts, or pairs of texts.
    columns : tuple of str or None
        Names of the two columns of pairs.
    target : Target
        The values to predict.
    index : Index of length n_rows
        Index of the rows.
    folds : Folds
        Training and test rows of each fold.
    metrics : list of Metric
        The metrics. The first one ranks the feature sets.
    n_test : int
        Number of held-back rows.
    test_groups : ndarray of shape (n_test,) or None
        Number of the group of each held-back row, int64. None if each is a group of its own.
    curve_sizes : tuple of int
        Numbers of training rows of the learning curve.
    roster : dict of str to transformer or None
        The feature sets by name, not fitted.
    primary : str or None
        The feature set whose test against the best baseline was declared beforehand.

    See Also
    --------
    compare : Compare feature sets.
    Outcome : Results of one feature set.

    Examples
    --------
    >>> from bertvectorizer import compare
    >>> from bertvectorizer.pipeline import load_example
    >>> example = load_example().head(60)
    >>> names = ["majority class", "TF-IDF words", "BERT"]
    >>> comparison = compare(example["text"], example["label"], names, cv=3)
    >>> comparison.best
    'BERT'
    >>> comparison.pipeline().predict(["The crane waded in the marsh and caught a frog."]).tolist()
    ['living']
    """

    def plot_scores(self, ax: Axes | None = None) -> Figure:
        """Plot the first metric of each feature set with its 95 % interval.

        Parameters
        ----------
        ax : Axes or None, default=None
            Axes of matplotlib to draw into. None makes a new figure of pyplot.

        Returns
        -------
        figure : matplotlib Figure
            The plot.

        Raises
        ------
        InvalidParameterError
            If no feature set has a score.
        """
        from .displays import display
        from .plots import plot_scores

        return display(
            partial(plot_scores, self), ax, f"Feature sets by {metric_name(self.metric)}"
        )

    def plot_cost(self, ax: Axes | None = None) -> Figure:
        """Plot the first metric against the seconds to encode and predict 1,000 rows.

        Parameters
        ----------
        ax : Axes or None, default=None
            Axes of matplotlib to draw into. None makes a new figure of pyplot.

        Returns
        -------
        figure : matplotlib Figure
            The plot.

        Raises
        ------
        InvalidParameterError
            If the costs were not measured, or no feature set has a score.
        """
        from .displays import display
        from .plots import plot_cost

        return display(partial(plot_cost, self), ax, f"Cost and {metric_name(self.metric)}")

    def plot_layers(self, ax: Axes | None = None) -> Figure:
        """Plot the first metric of each layer under each pooling.

        Of several models, the layers of the first are plotted.

        Parameters
        ----------
        ax : Axes or None, default=None
            Axes of matplotlib to draw into. None makes a new figure of pyplot.

        Returns
        -------
        figure : matplotlib Figure
            The plot.

        Raises
        ------
        InvalidParameterError
            If no feature set reads a single layer under a single pooling.
        """
        from .displays import display
        from .plots import plot_layers

        return display(
            partial(plot_layers, self), ax, f"Layers and poolings by {metric_name(self.metric)}"
        )

    def plot_learning_curve(self, ax: Axes | None = None) -> Figure:
        """Plot the first metric against the number of training rows.

        Parameters
        ----------
        ax : Axes or None, default=None
            Axes of matplotlib to draw into. None makes a new figure of pyplot.

        Returns
        -------
        figure : matplotlib Figure
            The plot.

        Raises
        ------
        InvalidParameterError
            If no learning curve was requested.
        """
        from .displays import display
        from .plots import plot_learning_curve

        return display(
            partial(plot_learning_curve, self), ax, f"Learning curve: {metric_name(self.metric)}"
        )

    def plot_confusion(self, name: str | None = None, ax: Axes | None = None) -> Figure:
        """Plot the confusion matrix, or for regression predicted against actual values.

        Parameters
        ----------
        name : str or None, default=None
            Name of the feature set. None takes the best.
        ax : Axes or None, default=None
            Axes of matplotlib to draw into. None makes a new figure of pyplot.

        Returns
        -------
        figure : matplotlib Figure
            The plot.

        Raises
        ------
        InvalidParameterError
            If there is no such feature set.
        """
        from .displays import display
        from .plots import plot_confusion

        name = self.best if name is None else name
        is_regression = self.target.kind == "regression"
        what = "Predicted against actual" if is_regression else "Confusion matrix"
        return display(partial(plot_confusion, self, name), ax, f"{what}: {name}")

    def plot_words(self, word: str | None = None, ax: Sequence[Axes] | None = None) -> Figure:
        """Plot the occurrences of a word in two dimensions, without and with context.

        Parameters
        ----------
        word : str or None, default=None
            A word of the texts. None takes a word of the built-in example.
        ax : sequence of two Axes or None, default=None
            Axes of matplotlib to draw into. None makes a new figure of pyplot.

        Returns
        -------
        figure : matplotlib Figure
            The plot.

        Raises
        ------
        InvalidParameterError
            If no text has the word.
        """
        from .displays import display_pair
        from .plots import plot_occurrences
        from .word_in_context import word_occurrences

        found = word_occurrences(self, word)
        where = " in the built-in example" if found.is_example else ""
        return display_pair(
            partial(plot_occurrences, found), ax, f"Occurrences of the word “{found.word}”{where}"
        )

    def to_html(
        self, path: str | Path, word: str | None = None, *, title: str | None = None
    ) -> Path:
        """Write the report as one HTML file that needs no network.

        Parameters
        ----------
        path : str or Path
            The file. An existing file is replaced when the new one is complete.
        word : str or None, default=None
            A word of the texts whose occurrences are plotted. None plots none, or "python" if the
            texts are those of the built-in example.
        title : str or None, default=None
            Title of the page. None makes one, with the name of the file if it is known.

        Returns
        -------
        path : Path
            The file.

        Raises
        ------
        InvalidParameterError
            If the file cannot be written, no text has the word, or the title is empty.
        """
        from .html import render_report

        return write_text(path, render_report(self, word, title))

    def _repr_html_(self) -> str:
        from .html import repr_html

        return repr_html(self)

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the results as JSON, without texts and predictions.

        Parameters
        ----------
        path : str, Path or None, default=None
            A file to write the JSON to. None writes no file.

        Returns
        -------
        text : str
            The JSON. NaN is written as null.

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
            "corrected_best": _plain_best(self.corrected_best),
            "baseline": self.baseline,
            "primary": self.primary,
            "settings": self.settings,
            "methods": self.methods,
            "notes": self.notes,
            "failures": self.failures,
            "table": _records(self.table),
            "scores": {
                name: {metric: _plain(scores) for metric, scores in outcome.scores.items()}
                for name, outcome in self.outcomes.items()
            },
            "learning_curve": None if curve is None else _records(curve),
        }
        text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
        if path is not None:
            write_text(path, text + "\n")
        return text


def _records(table: pd.DataFrame) -> Any:
    return json.loads(table.to_json(orient="records", double_precision=15))


def _plain_best(best: BestScore) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in asdict(best).items()
    }


def _plain(scores: NDArray[np.float64]) -> list[float | None]:
    return [float(score) if np.isfinite(score) else None for score in scores]
