"""The common style of figures: size, colours, row names, legends, cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

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
    "Place",
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
    "write_title",
]

Place: TypeAlias = Axes | Callable[..., Figure]  # axes to draw into, or what makes a figure

WIDTH = 4.5  # of every figure, in inches: readable on a phone
LETTERS = 9.5
SMALL = 8.5
FAINT = (0, 0, 0, 0.14)
DASHES = (0, (4, 3))
_MAX_NAME = 26
_MAX_COLUMN = 16
_LETTERS_IN_A_LINE = 34
_ABOVE = 1.02  # of the axes: where names of columns begin


def new_figure(height: float, place: Place = Figure) -> tuple[Figure, Axes]:
    """Return a figure of the common width and a height in inches, with one axes; or given axes."""
    if isinstance(place, Axes):
        return place.figure.figure, bare(place)  # the figure, also of axes in a sub-figure
    figure = place(figsize=(WIDTH, height), layout="constrained")
    return figure, bare(figure.add_subplot())


def write_title(owner: Figure | Axes, title: str) -> None:
    """Write a title above a figure, or above axes and the names of their columns."""
    if isinstance(owner, Figure):
        artist = owner.suptitle("", fontsize=LETTERS + 1.5)
    else:
        above = [text for text in owner.texts if text.get_position()[1] == _ABOVE]
        heights = [len(name.get_text()) / 2 if name.get_rotation() else 1 for name in above]
        pad = 6 + 1.3 * LETTERS * max(heights, default=0)
        artist = owner.set_title("", fontsize=LETTERS + 1.5, pad=pad)
    inscribe(artist, title, width=60)


def bare(axes: Axes) -> Axes:
    """Remove the top and right spines and the tick marks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL, length=0)
    axes.set_axisbelow(True)
    return axes


def look(is_contextual: bool) -> tuple[str, str]:
    """Return the colour and the marker of a feature set."""
    return (BLUE, "o") if is_contextual else (RED, "s")


def padded(values: NDArray[np.float64], share: float = 0.06) -> tuple[float, float]:
    """Return axis limits with a margin, also for equal values."""
    low, high = float(np.min(values)), float(np.max(values))
    margin = share * (high - low) or 0.05 * max(abs(low), 1.0)
    return low - margin, high + margin


def name_row(axes: Axes, name: str, height: float, bold: bool = False) -> None:
    """Write a name to the left of the axes."""
    transform = axes.get_yaxis_transform()
    artist = axes.text(
        -0.015, height, "", transform=transform, ha="right", va="center", fontsize=LETTERS
    )
    artist.set_fontweight("bold" if bold else "normal")
    inscribe(artist, name, width=_MAX_NAME)


def kind_legend(owner: Figure | Axes, is_contextual: pd.Series, line: str | None) -> None:
    """Add a legend of contextual features, baselines and a dashed line below the axes."""
    handles = []
    for kind, label in ((True, "contextual"), (False, "baseline")):
        if kind in set(is_contextual.astype(bool)):
            colour, marker = look(kind)
            handles.append(Line2D([], [], linestyle="", marker=marker, color=colour, label=label))
    if line:
        handles.append(
            Line2D([], [], color="black", alpha=0.55, linewidth=1, linestyle=DASHES, label=line)
        )
    legend_below(owner, handles, columns=len(handles))


def legend_below(owner: Figure | Axes, handles: Any, columns: int) -> None:
    """Add a legend with the users' names below a figure's axes, or below given axes."""
    place: dict[str, Any] = {"loc": "outside lower center"}
    if isinstance(owner, Axes):  # below the ticks and the label of the axis
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4}
    legend = owner.legend(
        list(handles),
        ["" for _ in handles],
        **place,
        ncols=columns,
        frameon=False,
        fontsize=LETTERS,
        handletextpad=0.4,
    )
    for artist, handle in zip(legend.get_texts(), handles, strict=True):
        inscribe(artist, handle.get_label())


def square(row: int, column: int) -> list[tuple[float, float]]:
    """Return the corners of a cell."""
    return [(column + x, row + y) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]


def fill_cells(axes: Axes, depth: NDArray[np.float64], written: list[list[str]] | None) -> None:
    """Colour cells by depth, light enough for black or white text; NaN stays empty."""
    n_rows, n_columns = depth.shape
    cells = [(row, column) for row, column in np.ndindex(depth.shape) if depth[row, column] > 0]
    colours = [(*to_rgba(BLUE)[:3], 0.6 * float(depth[cell])) for cell in cells]
    squares = [square(*cell) for cell in cells]
    axes.add_collection(
        PolyCollection(squares, facecolors=colours, edgecolors="white", linewidths=1)
    )
    for row, texts in enumerate(written or []):
        for column, text in enumerate(texts):
            alpha = 0.6 if text in ("0", "–") else 1
            axes.text(column, row, text, ha="center", va="center", fontsize=LETTERS, alpha=alpha)
    axes.set_xlim(-0.5, n_columns - 0.5)
    axes.set_ylim(n_rows - 0.5, -0.5)


def name_cells(axes: Axes, rows: list[str], columns: list[str]) -> None:
    """Name the rows on the left and the columns above, rotated if they are too wide."""
    axes.xaxis.set_major_locator(NullLocator())
    axes.yaxis.set_major_locator(NullLocator())
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_alpha(0.3)
    for row, name in enumerate(rows):
        name_row(axes, name, row)
    widest = max(len(shorten(name, _MAX_COLUMN)) for name in columns)
    steep = len(columns) * widest > _LETTERS_IN_A_LINE
    transform = axes.get_xaxis_transform()
    for column, name in enumerate(columns):
        artist = axes.text(
            column, _ABOVE, "", transform=transform, fontsize=LETTERS, ha="center", va="bottom"
        )
        if steep:
            artist.set(rotation=90)
        inscribe(artist, name, width=_MAX_COLUMN)
