"""What all figures share: size, colours, names beside rows, legends, cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from .formatting import shorten
from .svg import BLUE, RED, inscribe

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "DASHES",
    "FAINT",
    "LETTERS",
    "SMALL",
    "WIDTH",
    "bare",
    "fill_cells",
    "kind_legend",
    "legend_below",
    "look",
    "name_cells",
    "name_row",
    "new_figure",
    "padded",
    "square",
]

WIDTH = 4.5  # of every figure, in inches: what a phone shows without making letters too small
LETTERS = 9.5
SMALL = 8.5
FAINT = (0, 0, 0, 0.14)
DASHES = (0, (4, 3))
_LONGEST_NAME = 26
_LONGEST_COLUMN = 16
_LETTERS_IN_A_LINE = 34


def new_figure(height: float) -> tuple[Figure, Axes]:
    """Return a figure of the common width and a height in inches, with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, bare(figure.add_subplot())


def bare(axes: Axes) -> Axes:
    """Leave of axes only what is needed."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL, length=0)
    axes.set_axisbelow(True)
    return axes


def look(is_contextual: bool) -> tuple[str, str]:
    """Return the colour and the marker of a kind of features."""
    return (BLUE, "o") if is_contextual else (RED, "s")


def padded(values: NDArray[np.float64], share: float = 0.06) -> tuple[float, float]:
    """Return limits with a margin, apart even where all values are the same."""
    low, high = float(np.min(values)), float(np.max(values))
    margin = share * (high - low) or 0.05 * max(abs(low), 1.0)
    return low - margin, high + margin


def name_row(axes: Axes, name: str, height: float, bold: bool = False) -> None:
    """Write a name to the left of the axes."""
    artist = axes.text(
        -0.015,
        height,
        "",
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=LETTERS,
    )
    artist.set_fontweight("bold" if bold else "normal")
    inscribe(artist, name, width=_LONGEST_NAME)


def kind_legend(figure: Figure, is_contextual: pd.Series, line: str | None) -> None:
    """Say below what the looks of contextual features, of baselines and of a dashed line mean."""
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=look(kind)[1],
            color=look(kind)[0],
            label="contextual" if kind else "baseline",
        )
        for kind in (True, False)
        if kind in set(is_contextual.astype(bool))
    ]
    if line:
        handles.append(
            Line2D([], [], color="black", alpha=0.55, linewidth=1, linestyle=DASHES, label=line)
        )
    legend_below(figure, handles, columns=len(handles))


def legend_below(figure: Figure, handles: Any, columns: int) -> None:
    """Put a legend below, its words being a user's."""
    legend = figure.legend(
        list(handles),
        ["" for _ in handles],
        loc="outside lower center" if figure.get_layout_engine() else "lower center",
        ncols=columns,
        frameon=False,
        fontsize=LETTERS,
        handletextpad=0.4,
    )
    for artist, handle in zip(legend.get_texts(), handles, strict=True):
        inscribe(artist, handle.get_label())


def square(row: int, column: int) -> list[tuple[float, float]]:
    """Return the corners of a cell."""
    return [
        (column - 0.5, row - 0.5),
        (column + 0.5, row - 0.5),
        (column + 0.5, row + 0.5),
        (column - 0.5, row + 0.5),
    ]


def fill_cells(axes: Axes, depth: NDArray[np.float64], written: list[list[str]] | None) -> None:
    """Fill cells with more or less of one colour, so thin that black or white letters on it can be read; NaN stays empty."""
    n_rows, n_columns = depth.shape
    cells = [
        (row, column)
        for row in range(n_rows)
        for column in range(n_columns)
        if depth[row, column] > 0
    ]
    colours = [(*to_rgba(BLUE)[:3], 0.6 * float(depth[cell])) for cell in cells]
    axes.add_collection(
        PolyCollection(
            [square(*cell) for cell in cells], facecolors=colours, edgecolors="white", linewidths=1
        )
    )
    for row, words in enumerate(written or []):
        for column, number in enumerate(words):
            axes.text(
                column,
                row,
                number,
                ha="center",
                va="center",
                fontsize=LETTERS,
                alpha=0.6 if number in ("0", "–") else 1,
            )
    axes.set_xlim(-0.5, n_columns - 0.5)
    axes.set_ylim(n_rows - 0.5, -0.5)


def name_cells(axes: Axes, rows: list[str], columns: list[str]) -> None:
    """Name the rows to the left and the columns above, upright where they have no room."""
    axes.xaxis.set_major_locator(NullLocator())
    axes.yaxis.set_major_locator(NullLocator())
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_alpha(0.3)
    for row, name in enumerate(rows):
        name_row(axes, name, row)
    steep = (
        len(columns) * max(len(shorten(name, _LONGEST_COLUMN)) for name in columns)
        > _LETTERS_IN_A_LINE
    )
    for column, name in enumerate(columns):
        artist = axes.text(
            column,
            1.02,
            "",
            transform=axes.get_xaxis_transform(),
            fontsize=LETTERS,
            ha="center",
            va="bottom",
        )
        if steep:
            artist.set(rotation=90)
        inscribe(artist, name, width=_LONGEST_COLUMN)
