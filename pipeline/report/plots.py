"""Figures of a comparison. They are matplotlib's own objects: show, change or save them as any other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from ...errors import InvalidParameterError
from .confusion import count_confusions
from .figure_style import (
    DASHES,
    FAINT,
    LETTERS,
    SMALL,
    WIDTH,
    bare,
    fill_cells,
    kind_legend,
    legend_below,
    look,
    name_cells,
    name_row,
    new_figure,
    padded,
    square,
)
from .formatting import metric_name
from .svg import BLUE, COLOURS, inscribe
from .word_in_context import Occurrences, word_occurrences

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "plot_confusion",
    "plot_cost",
    "plot_layers",
    "plot_learning_curve",
    "plot_occurrences",
    "plot_scores",
    "plot_words",
]

_MARKERS = "osD^vPX"
_MOST_CURVES = 6
_MOST_POINTS = 1000
_MOST_NUMBERED = 8
_CLOSE = 0.055  # labels of points nearer than this, as a share of the height, would overlap


def plot_scores(comparison: Any) -> Figure:
    """Show the score of every kind of features with its 95 % interval, the best first, beside the best baseline's."""
    table = _scored(comparison)
    figure, axes = new_figure(0.9 + 0.27 * len(table))
    metric = comparison.metric
    best = table.loc[table["features"] == comparison.baseline, metric]
    if len(best):
        axes.axvline(
            float(best.iloc[0]), color="black", alpha=0.55, linewidth=1, linestyle=DASHES, zorder=1
        )
    for height, (_, row) in zip(range(len(table), 0, -1), table.iterrows(), strict=True):
        colour, marker = look(bool(row["is_contextual"]))
        low, high = _interval(row, metric)
        axes.plot(
            [low, high],
            [height, height],
            color=colour,
            linewidth=2,
            solid_capstyle="round",
            zorder=2,
        )
        axes.plot(
            row[metric],
            height,
            marker=marker,
            color=colour,
            markersize=6.5,
            markeredgecolor="white",
            markeredgewidth=0.8,
            zorder=3,
        )
        name_row(axes, row["features"], height, bold=row["features"] == comparison.best)
        axes.text(
            1.015,
            height,
            f"{row[metric]:.3f}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=LETTERS,
        )
    axes.set_ylim(0.4, len(table) + 0.6)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _say_x(axes, comparison, "mean and 95 % interval")
    kind_legend(figure, table["is_contextual"], "best baseline" if len(best) else None)
    return figure


def plot_cost(comparison: Any) -> Figure:
    """Show quality against the seconds that it takes to encode and predict 1,000 rows.

    Named are the best, the best baseline, and every kind of features for which no other is both
    better and cheaper.
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
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = bare(figure.add_axes((0.14, 0.25, 0.83, 0.72)))
    low, high = float(table["seconds"].min()), float(table["seconds"].max())
    axes.set_xscale("log")
    axes.set_xlim(low / 2, high * 2)
    for _, row in table.iterrows():
        colour, marker = look(bool(row["is_contextual"]))
        ends = _interval(row, metric)
        axes.plot([row["seconds"]] * 2, ends, color=colour, alpha=0.35, linewidth=1.5, zorder=2)
        axes.plot(
            row["seconds"],
            row[metric],
            marker=marker,
            color=colour,
            markersize=7.5,
            markeredgecolor="white",
            markeredgewidth=0.8,
            zorder=3,
        )
    ends_of_all = np.array([_interval(row, metric) for _, row in table.iterrows()])
    bottom, top = padded(ends_of_all)
    axes.set_ylim(bottom, top)
    _name_points(axes, table, comparison)
    _seconds_axis(axes, low / 2, high * 2)
    axes.set_xlabel("seconds to encode and predict 1,000 rows", fontsize=LETTERS)
    inscribe(axes.set_ylabel("", fontsize=LETTERS), _with_direction(comparison))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(color=FAINT, linewidth=0.8)
    kind_legend(figure, table["is_contextual"], None)
    return figure


def plot_layers(comparison: Any) -> Figure:
    """Show the score of each layer under each pooling, where a single layer under a single pooling was compared."""
    scores: dict[tuple[int, str], float] = {}
    for _, row in _scored(comparison).iterrows():
        cell = comparison.outcomes[row["features"]].cell
        if cell is not None and (
            cell not in scores or _better(comparison, row[comparison.metric], scores[cell])
        ):
            scores[cell] = float(row[comparison.metric])
    if not scores:
        raise InvalidParameterError(
            "No single layer under a single pooling was compared: add such features, as"
            " BertVectorizer(layers=-2, pooling='mean')."
        )
    layers, poolings = (
        sorted({layer for layer, _ in scores}, reverse=True),
        sorted({pooling for _, pooling in scores}),
    )
    grid = np.array(
        [[scores.get((layer, pooling), math.nan) for pooling in poolings] for layer in layers]
    )
    figure, axes = new_figure(1.0 + 0.36 * len(layers))
    spread = np.nanmax(grid) - np.nanmin(grid)
    depth = (
        (grid - np.nanmin(grid)) / spread if spread > 0 else np.where(np.isnan(grid), np.nan, 0.5)
    )
    written = [[f"{value:.3f}" if not math.isnan(value) else "–" for value in row] for row in grid]
    fill_cells(axes, 0.15 + 0.85 * (depth if comparison.greater_is_better else 1 - depth), written)
    best = divmod(int(np.nanargmax(grid if comparison.greater_is_better else -grid)), len(poolings))
    axes.add_collection(
        PolyCollection([square(*best)], facecolors="none", edgecolors="black", linewidths=1.6)
    )
    name_cells(axes, [f"layer {layer}" if layer else "embeddings" for layer in layers], poolings)
    return figure


def plot_learning_curve(comparison: Any) -> Figure:
    """Show scores against the number of labelled rows, for the best of either kind with 95 %
    intervals.

    Six kinds of features at most: the best three that are contextual, the best three that are not.
    """
    curve: pd.DataFrame | None = comparison.learning_curve
    if curve is None or curve.empty:
        raise InvalidParameterError(
            "No learning curve was asked for: compare(..., learning_curve=True)."
        )
    metric = comparison.metric
    ranked = _scored(comparison)
    ranked = ranked[ranked["features"].isin(curve["features"])]
    half = _MOST_CURVES // 2
    firsts = [
        name
        for kind in (True, False)
        for name in ranked.loc[ranked["is_contextual"].astype(bool) == kind, "features"].head(half)
    ]
    chosen = list(dict.fromkeys([*firsts, *ranked["features"]]))[:_MOST_CURVES]
    leaders = set(ranked.drop_duplicates("is_contextual")["features"])
    figure, axes = new_figure(3.6 + 0.2 * len(chosen))
    n_drawn = {True: 0, False: 0}
    for number, name in enumerate(sorted(chosen, key=ranked["features"].tolist().index)):
        of_one = curve[curve["features"] == name].sort_values("n_rows")
        contextual = bool(ranked.loc[ranked["features"] == name, "is_contextual"].iloc[0])
        colour, _ = look(contextual)  # the same as in the other figures
        n_drawn[contextual] += 1
        sizes = of_one["n_rows"].to_numpy(float)
        if name in leaders:  # bands of all would hide one another
            axes.fill_between(
                sizes,
                of_one["low"].to_numpy(float),
                of_one["high"].to_numpy(float),
                color=colour,
                alpha=0.13,
                linewidth=0,
            )
        axes.plot(
            sizes,
            of_one[metric].to_numpy(float),
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
    sizes = np.unique(curve["n_rows"].to_numpy(float))
    shown = (
        sizes
        if len(sizes) <= 6
        else sizes[np.unique(np.linspace(0, len(sizes) - 1, 6).round().astype(int))]
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(shown.tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("labelled rows", fontsize=LETTERS)
    inscribe(axes.set_ylabel("", fontsize=LETTERS), _with_direction(comparison))
    axes.grid(color=FAINT, linewidth=0.8)
    legend_below(figure, axes.get_lines(), columns=1)
    return figure


def plot_confusion(comparison: Any, name: str | None = None) -> Figure:
    """Show what was taken for what, as shares of each true class; for amounts, predicted against
    actual.

    Of more than 20 classes the 20 are shown that take part in most mistakes.
    """
    if comparison.target.kind == "regression":
        return _plot_amounts(comparison, comparison.best if name is None else name)
    confusion = count_confusions(comparison, name)
    n_rows, n_columns = confusion.counts.shape
    figure, axes = new_figure(1.2 + (0.42 if n_rows <= _MOST_NUMBERED else 0.22) * n_rows)
    shares = confusion.shares
    numbered = n_rows <= _MOST_NUMBERED or n_columns < n_rows
    fill_cells(
        axes,
        np.where(confusion.counts > 0, 0.04 + 0.96 * shares, 0.0),
        [[f"{n:,}" for n in row] for row in confusion.counts.tolist()] if numbered else None,
    )
    name_cells(axes, confusion.rows, confusion.columns)
    said = "predicted" if confusion.rows == confusion.columns else "what became of the label"
    if n_rows < confusion.n_classes:
        said += f"; {n_rows} of {confusion.n_classes}, those with most mistakes"
    axes.set_xlabel(said, fontsize=LETTERS)
    return figure


def _plot_amounts(comparison: Any, name: str) -> Figure:
    if name not in comparison.outcomes:
        raise InvalidParameterError(
            f"The 'name' parameter must be one of {', '.join(map(repr, comparison.outcomes))}. Got"
            f" {name!r} instead."
        )
    predictions = np.array(
        [
            math.nan if value is None else float(value)
            for value in comparison.outcomes[name].predictions
        ]
    )
    actual = np.asarray(comparison.target.values, dtype=float)
    rows = np.flatnonzero(np.isfinite(predictions))
    if len(rows) > _MOST_POINTS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MOST_POINTS, replace=False))
    figure, axes = new_figure(4.4)
    axes.plot(
        actual[rows], predictions[rows], "o", color=BLUE, markersize=4, alpha=0.5, markeredgewidth=0
    )
    ends = padded(np.concatenate([actual[rows], predictions[rows]])) if len(rows) else (0.0, 1.0)
    axes.plot(ends, ends, color="black", alpha=0.55, linewidth=1, linestyle=DASHES)
    axes.set_xlabel("actual", fontsize=LETTERS)
    axes.set_ylabel("predicted", fontsize=LETTERS)
    axes.grid(color=FAINT, linewidth=0.8)
    return figure


def plot_words(comparison: Any, word: str | None = None) -> Figure:
    """Show the occurrences of a word in the texts of a comparison; None takes the embedded example."""
    return plot_occurrences(word_occurrences(comparison, word))


def plot_occurrences(occurrences: Occurrences) -> Figure:
    """Show the occurrences of a word: without context one point, with context a place for each."""
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    static, contextual = (bare(axes) for axes in figure.subplots(1, 2))
    labels = occurrences.shown_labels
    handles = []
    for number, label in enumerate(labels):
        rows = occurrences.labels == label
        look: dict[str, Any] = {
            "marker": _MARKERS[number % 7],
            "color": list(COLOURS.values())[number % 7],
            "linestyle": "",
            "markeredgecolor": "white",
        }
        # Without context all lie on one another: the first is the largest, so that each is seen.
        larger = 9 * (min(len(labels), 4) - min(number, 3) - 1)
        static.plot(
            *occurrences.static[rows].T, markersize=11 + larger, markeredgewidth=0.8, **look
        )
        handles += contextual.plot(
            *occurrences.contextual[rows].T,
            markersize=6.5,
            markeredgewidth=0.6,
            alpha=0.9,
            label=label,
            **look,
        )
    static.text(
        0.5,
        0.06,
        f"all {len(occurrences.texts)} occurrences",
        transform=static.transAxes,
        ha="center",
        fontsize=SMALL,
        alpha=0.75,
    )
    n_points = len(np.unique(occurrences.static.round(6), axis=0))
    titles = (
        "without context" + (": one point" if n_points == 1 else f": {n_points} points"),
        "in context",
    )
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
    legend_below(
        figure,
        handles,
        columns=max(1, min(len(labels), 36 // max(len(label) + 3 for label in labels))),
    )
    return figure


def _scored(comparison: Any) -> pd.DataFrame:
    """Return the rows of the table that have a score, the best first."""
    table: pd.DataFrame = comparison.table
    table = table[np.isfinite(table[comparison.metric].to_numpy(float))]
    if table.empty:
        raise InvalidParameterError(
            f"No kind of features has a score by {comparison.metric!r}, so there is nothing to"
            " plot."
        )
    return table.sort_values(
        comparison.metric, ascending=not comparison.greater_is_better, kind="stable"
    )


def _better(comparison: Any, one: float, other: float) -> bool:
    return one > other if comparison.greater_is_better else one < other


def _interval(row: pd.Series, metric: str) -> tuple[float, float]:
    low, high = float(row["low"]), float(row["high"])
    return (low if math.isfinite(low) else float(row[metric])), (
        high if math.isfinite(high) else float(row[metric])
    )


def _with_direction(comparison: Any) -> str:
    name = metric_name(comparison.metric)
    return name if comparison.greater_is_better else f"{name} (less is better)"


def _say_x(axes: Axes, comparison: Any, what: str) -> None:
    inscribe(
        axes.set_xlabel("", fontsize=LETTERS), f"{_with_direction(comparison)}: {what}", width=60
    )


def _name_points(axes: Axes, table: pd.DataFrame, comparison: Any) -> None:
    """Name the points worth naming, each beside its point, moved up or down where two names would overlap."""
    cheapest = table.sort_values("seconds", kind="stable")[comparison.metric]
    leader = cheapest.cummax() if comparison.greater_is_better else cheapest.cummin()
    first = (cheapest == leader) & ~leader.duplicated()
    named = table[
        first.reindex(table.index) | table["features"].isin([comparison.best, comparison.baseline])
    ]
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    height = math.inf
    for _, row in named.sort_values(comparison.metric, ascending=False, kind="stable").iterrows():
        y = (float(row[comparison.metric]) - bottom) / (top - bottom)
        x = math.log(float(row["seconds"]) / left) / math.log(right / left)
        height = min(y, height - _CLOSE)
        to_the_left = x > 0.5
        side = -0.05 if to_the_left else 0.05
        axes.plot(
            [x, x + side],
            [y, height],
            transform=axes.transAxes,
            color="black",
            alpha=0.35,
            linewidth=0.7,
            zorder=1,
        )
        artist = axes.text(
            x + 1.15 * side,
            height,
            "",
            transform=axes.transAxes,
            va="center",
            ha="right" if to_the_left else "left",
            fontsize=LETTERS,
        )
        inscribe(artist, row["features"])


def _seconds_axis(axes: Axes, low: float, high: float) -> None:
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    ticks = [10.0**power for power in powers]
    if len(ticks) < 2:
        ticks = sorted(
            {
                *ticks,
                *(
                    n * 10.0**power
                    for power in range(math.floor(math.log10(low)), 7)
                    for n in (2, 5)
                ),
            }
        )
    step = math.ceil(len(ticks) / 7)
    axes.xaxis.set_major_locator(
        FixedLocator([tick for tick in ticks if low <= tick <= high][::step])
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
