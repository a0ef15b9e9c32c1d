"""Plot a comparison as matplotlib figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from ...errors import InvalidParameterError
from ..comparison.candidates import berts_of
from .confusion import count_confusions
from .figure_style import (
    DASHES,
    FAINT,
    LETTERS,
    SMALL,
    WIDTH,
    Place,
    bare,
    fill_cells,
    is_narrow,
    kind_legend,
    legend_below,
    look,
    name_cells,
    name_points,
    name_row,
    new_figure,
    padded,
    square,
)
from .formatting import format_score, metric_name, scored
from .svg import BLUE, COLOURS, inscribe
from .word_in_context import Occurrences

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from ..comparison.result import ComparisonResult

__all__ = [
    "layer_scores",
    "plot_confusion",
    "plot_cost",
    "plot_layers",
    "plot_learning_curve",
    "plot_occurrences",
    "plot_scores",
]

_MARKERS = "osD^vPX"
_MAX_CURVES = 6
_MAX_POINTS = 1000
_POINT = 7.5  # size of a marker


def plot_scores(
    comparison: ComparisonResult, place: Place = Figure, width: float = WIDTH
) -> Figure:
    """Plot the score of every feature set with its 95 % interval, the best first."""
    table = _scored(comparison)
    figure, axes = new_figure(0.9 + 0.27 * len(table), place, width)
    metric = comparison.metric
    best = table.loc[table["features"] == comparison.baseline, metric]
    if len(best):
        _reference_line(axes.axvline, float(best.iloc[0]), zorder=1)
    for height, (_, row) in zip(range(len(table), 0, -1), table.iterrows(), strict=True):
        colour, _ = look(bool(row["is_contextual"]))
        ends = _interval(row, metric)
        axes.plot(ends, [height] * 2, color=colour, lw=2, solid_capstyle="round", zorder=2)
        _plot_point(axes, row[metric], height, row, size=6.5)
        name_row(axes, row["features"], height, bold=row["features"] == comparison.best)
        transform = axes.get_yaxis_transform()
        score = format_score(row[metric])
        axes.text(1.015, height, score, transform=transform, va="center", fontsize=LETTERS)
    axes.set_ylim(0.4, len(table) + 0.6)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(2 if is_narrow(axes) else 5))
    label = _with_direction(comparison)
    label += "" if width < WIDTH else ": score and 95 % interval"
    inscribe(axes.set_xlabel("", fontsize=LETTERS), label, width=60)
    kind_legend(
        _owner(figure, place), table["is_contextual"], "best baseline" if len(best) else None
    )
    return figure


def plot_cost(comparison: ComparisonResult, place: Place = Figure, width: float = WIDTH) -> Figure:
    """Plot quality against the seconds that it takes to encode and predict 1,000 rows.

    Named are the best, the best baseline, and every feature set for which no other is both better
    and cheaper, as far as there is room.
    """
    metric = comparison.metric
    table = _scored(comparison)
    seconds = table[["encode_seconds", "predict_seconds"]].sum(axis=1, min_count=1)
    table = table.assign(seconds=seconds)[seconds > 0]
    if table.empty:
        raise InvalidParameterError(
            "The costs of this comparison were not measured, so there is nothing to plot quality"
            " against."
        )
    figure, axes = new_figure(3.6, place, width)
    low, high = float(table["seconds"].min()) / 2, float(table["seconds"].max()) * 2
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    intervals = [_interval(row, metric) for _, row in table.iterrows()]
    for ends, (_, row) in zip(intervals, table.iterrows(), strict=True):
        colour, _ = look(bool(row["is_contextual"]))
        axes.plot([row["seconds"]] * 2, ends, color=colour, alpha=0.35, linewidth=1.5, zorder=2)
        _plot_point(axes, row["seconds"], row[metric], row, size=_POINT)
    axes.set_ylim(*padded(np.array(intervals)))
    _seconds_axis(axes, low, high)
    axes.set_xlabel("seconds to encode and predict 1,000 rows", fontsize=LETTERS)
    inscribe(axes.set_ylabel("", fontsize=LETTERS), _with_direction(comparison))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(color=FAINT, linewidth=0.8)
    kind_legend(_owner(figure, place), table["is_contextual"], None)
    points = table[["seconds", metric]].to_numpy(float)
    lines = np.column_stack([points[:, 0], np.array(intervals)])
    name_points(axes, points, _leading_names(table, comparison), lines, _POINT)
    return figure


def layer_scores(comparison: ComparisonResult) -> dict[tuple[int, str], float]:
    """Return the score of each layer and pooling of the first model."""
    scores: dict[tuple[int, str], float] = {}
    models = {
        name: {str(bert.model_name) for bert in berts_of(features)}
        for name, features in comparison.roster.items()
    }
    first = next(filter(None, models.values()), set())
    for _, row in scored(comparison).iterrows():  # the best first
        cell = comparison.outcomes[row["features"]].cell
        if cell is not None and models.get(row["features"], first) == first:
            scores.setdefault(cell, float(row[comparison.metric]))
    return scores


def plot_layers(
    comparison: ComparisonResult, place: Place = Figure, width: float = WIDTH
) -> Figure:
    """Plot the score of each layer under each pooling, of the first model if there are several."""
    _scored(comparison)
    scores = layer_scores(comparison)
    if not scores:
        raise InvalidParameterError(
            "No single layer under a single pooling was compared: add such features, as"
            " BertVectorizer(layers=-2, pooling='mean')."
        )
    layers = sorted({layer for layer, _ in scores}, reverse=True)
    poolings = sorted({pooling for _, pooling in scores})
    grid = np.array(
        [[scores.get((layer, pooling), math.nan) for pooling in poolings] for layer in layers]
    )
    names = [str(layer) if layer else "0 (embeddings)" for layer in layers]
    row_names, column_names, axis_names = names, poolings, ("layer", "pooling")
    if width >= WIDTH and not isinstance(place, Axes):  # layers from left to right fill the width
        grid = grid[::-1].T
        row_names, column_names, axis_names = poolings, names[::-1], ("pooling", "layer")
    figure, axes = new_figure(1.0 + 0.36 * len(row_names), place, width)
    quality = grid if comparison.greater_is_better else -grid
    spread = np.nanmax(quality) - np.nanmin(quality)
    depth = (quality - np.nanmin(quality)) / spread if spread > 0 else quality * 0 + 0.5
    written = [[f"{value:.3f}" if not math.isnan(value) else "–" for value in row] for row in grid]
    fill_cells(axes, 0.15 + 0.85 * depth)
    best = [square(*divmod(int(np.nanargmax(quality)), grid.shape[1]))]
    axes.add_collection(PolyCollection(best, facecolors="none", edgecolors="black", linewidths=1.6))
    name_cells(axes, row_names, column_names, axis_names, written)
    return figure


def plot_learning_curve(
    comparison: ComparisonResult, place: Place = Figure, width: float = WIDTH
) -> Figure:
    """Plot scores against the number of labelled rows.

    Shown are at most six feature sets: the best three that are contextual and the best three that
    are not, with the 95 % interval of the best of either.
    """
    curve = comparison.learning_curve
    if curve is None or curve.empty:
        raise InvalidParameterError(
            "No learning curve was requested: compare(..., learning_curve=True)."
        )
    metric = comparison.metric
    ranked = _scored(comparison).set_index("features")["is_contextual"].astype(bool)
    ranked = ranked[ranked.index.isin(curve["features"])]
    half = _MAX_CURVES // 2
    firsts = [name for kind in (True, False) for name in ranked.index[ranked == kind][:half]]
    chosen = list(dict.fromkeys([*firsts, *ranked.index]))[:_MAX_CURVES]
    leaders = set(ranked.index[~ranked.duplicated()])
    columns = 1 if width < WIDTH else 2
    figure, axes = new_figure(3.4 + 0.2 * math.ceil(len(chosen) / columns), place, width)
    n_drawn = {True: 0, False: 0}
    drawn: list[Any] = []
    for number, name in enumerate(name for name in ranked.index if name in chosen):
        own = curve[curve["features"] == name].sort_values("n_rows")
        sizes, means, low, high = own[["n_rows", metric, "low", "high"]].to_numpy(float).T
        contextual = bool(ranked[name])
        colour, _ = look(contextual)
        n_drawn[contextual] += 1
        if name in leaders:  # intervals of all would hide one another
            axes.fill_between(sizes, low, high, color=colour, alpha=0.13, linewidth=0)
        drawn += axes.plot(
            sizes,
            means,
            color=colour,
            marker=_MARKERS[number],
            linestyle="-" if contextual else (0, (4, 2)),
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linewidth=1.8,
            alpha=1 / n_drawn[contextual] ** 0.6,
            label=name,
        )
    means = curve.loc[curve["features"].isin(chosen), metric].to_numpy(float)
    if np.isfinite(means).any():
        axes.set_ylim(*padded(means[np.isfinite(means)], 0.25))
    axes.set_xscale("log")
    sizes = np.unique(curve["n_rows"].to_numpy(float))
    axes.xaxis.set_major_locator(FixedLocator(_apart(sizes, 0.2 if is_narrow(axes) else 0.1)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("labelled rows", fontsize=LETTERS)
    inscribe(axes.set_ylabel("", fontsize=LETTERS), _with_direction(comparison))
    axes.grid(color=FAINT, linewidth=0.8)
    legend_below(_owner(figure, place), drawn, columns)
    return figure


def plot_confusion(
    comparison: ComparisonResult,
    name: str | None = None,
    place: Place = Figure,
    width: float = WIDTH,
    at_most: int = 20,
) -> Figure:
    """Plot the confusion matrix, as shares of each true class; or predicted against actual values.

    Of more than ``at_most`` classes, those with most mistakes are shown.
    """
    if comparison.target.kind == "regression":
        return _plot_regression(comparison, comparison.best if name is None else name, place, width)
    confusion = count_confusions(comparison, name, at_most)
    n_rows = len(confusion.rows)
    figure, axes = new_figure(1.2 + (0.42 if n_rows <= 8 else 0.22) * n_rows, place, width)
    fill_cells(axes, np.where(confusion.counts > 0, 0.04 + 0.96 * confusion.shares, 0.0))
    is_square = confusion.rows == confusion.columns
    across = "predicted class" if is_square else "predictions of the label"
    if n_rows < confusion.n_classes:
        across += f"\n{n_rows} of {confusion.n_classes}, those with most mistakes"
    axis_names = ("true class" if is_square else "label", across)
    zero = "0" if n_rows <= 8 else ""  # many zeros hide the errors
    written = [[f"{n:,}" if n else zero for n in row] for row in confusion.counts.tolist()]
    name_cells(axes, confusion.rows, confusion.columns, axis_names, written)
    return figure


def _plot_regression(comparison: ComparisonResult, name: str, place: Place, width: float) -> Figure:
    predictions = comparison._outcome(name).predictions.astype(float)  # None becomes NaN
    actual = np.asarray(comparison.target.values, dtype=float)
    rows = np.flatnonzero(np.isfinite(predictions))
    if len(rows) > _MAX_POINTS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MAX_POINTS, replace=False))
    figure, axes = new_figure(min(4.4, width), place, width)
    style: dict[str, Any] = {"color": BLUE, "markersize": 4, "alpha": 0.5, "markeredgewidth": 0}
    axes.plot(actual[rows], predictions[rows], "o", **style)
    ends = padded(np.concatenate([actual[rows], predictions[rows]])) if len(rows) else (0.0, 1.0)
    _reference_line(axes.plot, ends, ends)
    of = f" {comparison.target.name}" if comparison.target.name else ""
    inscribe(axes.set_xlabel("", fontsize=LETTERS), f"actual{of}", width=40)
    inscribe(axes.set_ylabel("", fontsize=LETTERS), f"predicted{of}", width=40)
    axes.grid(color=FAINT, linewidth=0.8)
    return figure


def plot_occurrences(
    occurrences: Occurrences,
    place: Sequence[Axes] | Callable[..., Figure] = Figure,
    width: float = WIDTH,
) -> Figure:
    """Plot the occurrences of a word: one point without context, one for each in context."""
    if callable(place):
        figure = place(figsize=(width, 2.9), layout="constrained")
        static, contextual = (bare(axes) for axes in figure.subplots(1, 2))
    else:
        figure, static = new_figure(2.9, place[0])
        contextual = bare(place[1])
    labels = occurrences.shown_labels
    handles = []
    for number, label in enumerate(labels):
        rows = occurrences.labels == label
        style: dict[str, Any] = {
            "marker": _MARKERS[number % 7],
            "color": list(COLOURS.values())[number % 7],
            "linestyle": "",
            "markeredgecolor": "white",
        }
        # Without context all points coincide: larger ones below, so that each is seen.
        larger = 9 * (min(len(labels), 4) - min(number, 3) - 1)
        static.plot(
            *occurrences.static[rows].T, markersize=11 + larger, markeredgewidth=0.8, **style
        )
        handles += contextual.plot(
            *occurrences.contextual[rows].T,
            markersize=6.5,
            markeredgewidth=0.6,
            alpha=0.9,
            label=label,
            **style,
        )
    total = f"all {len(occurrences.texts)} occurrences"
    style = {"transform": static.transAxes, "ha": "center", "fontsize": SMALL, "alpha": 0.75}
    static.text(0.5, 0.06, total, **style)
    n_points = len(np.unique(occurrences.static.round(6), axis=0))
    without = "one point" if n_points == 1 else f"{n_points} points"
    titles = (f"without context: {without}", "in context")
    for axes, title, points in zip(
        (static, contextual), titles, (occurrences.static, occurrences.contextual), strict=True
    ):
        axes.set_title(title, fontsize=LETTERS)
        axes.set_xlim(*padded(points[:, 0], 0.12))
        axes.set_ylim(*padded(points[:, 1], 0.12))
        axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_alpha(0.3)
    widest = max(len(label) for label in labels) + 3
    owner = figure if callable(place) else contextual
    legend_below(owner, handles, columns=max(1, min(len(labels), int(9 * width) // widest)))
    return figure


def _owner(figure: Figure, place: Place) -> Figure | Axes:
    """Return what gets the legend: the axes that were given, or else the figure."""
    return place if isinstance(place, Axes) else figure


def _scored(comparison: ComparisonResult) -> pd.DataFrame:
    """Return the rows of the table that have a score, the best first; raise if none has."""
    table = scored(comparison)
    if table.empty:
        raise InvalidParameterError(
            f"No feature set has a score by {comparison.metric!r}, so there is nothing to plot."
        )
    return table


def _interval(row: pd.Series, metric: str) -> tuple[float, float]:
    """Return the ends of the interval, or the score where it has none."""
    low, high = (
        float(row[end] if math.isfinite(row[end]) else row[metric]) for end in ("low", "high")
    )
    return low, high


def _with_direction(comparison: ComparisonResult) -> str:
    name = metric_name(comparison.metric)
    return name if comparison.greater_is_better else f"{name} (less is better)"


def _reference_line(draw: Callable[..., Any], *args: Any, **style: Any) -> None:
    draw(*args, color="black", alpha=0.55, linewidth=1, linestyle=DASHES, **style)


def _plot_point(axes: Axes, x: float, y: float, row: pd.Series, size: float) -> None:
    colour, marker = look(bool(row["is_contextual"]))
    style: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.8, "zorder": 3}
    axes.plot(x, y, marker=marker, color=colour, markersize=size, **style)


def _leading_names(table: pd.DataFrame, comparison: ComparisonResult) -> list[str | None]:
    """Return the names of the best, the best baseline and what nothing beats in score and time."""
    metric = comparison.metric
    cheapest = table.sort_values("seconds", kind="stable")[metric]
    leader = cheapest.cummax() if comparison.greater_is_better else cheapest.cummin()
    first = (cheapest == leader) & ~leader.duplicated()
    is_best = table["features"].isin([comparison.best, comparison.baseline])
    is_named = first.reindex(table.index) | is_best
    return [
        name if named else None for name, named in zip(table["features"], is_named, strict=True)
    ]


def _apart(sizes: NDArray[np.float64], share: float) -> list[float]:
    """Return the sizes that are apart on a logarithmic axis, from the largest to the smallest."""
    logs = np.log(sizes)
    distance = share * (logs[-1] - logs[0])
    kept: list[int] = []
    for number in range(len(sizes) - 1, -1, -1):
        if not kept or logs[kept[-1]] - logs[number] >= distance:
            kept.append(number)
    return sizes[kept].tolist()  # type: ignore[no-any-return]


def _seconds_axis(axes: Axes, low: float, high: float) -> None:
    """Put ticks at powers of ten; where there are few, at 2 and 5 times those too."""
    first, last = math.log10(low), math.log10(high)
    ticks = [10.0**power for power in range(math.ceil(first), math.floor(last) + 1)]
    if len(ticks) < 2:
        between = [n * 10.0**power for power in range(math.floor(first), 7) for n in (2, 5)]
        ticks = sorted({*ticks, *between})
    step = math.ceil(len(ticks) / (5 if is_narrow(axes) else 9))
    shown = [tick for tick in ticks if low <= tick <= high][::step]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
