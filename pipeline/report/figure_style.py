"""The common style of figures: size, colours, row names, legends, cells, free places of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox, ScaledTranslation, Transform

from .svg import BLUE, RED, inscribe

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "DASHES",
    "FAINT",
    "LETTERS",
    "NARROW",
    "SMALL",
    "WIDTH",
    "Place",
    "bare",
    "fill_cells",
    "is_narrow",
    "kind_legend",
    "legend_below",
    "look",
    "name_cells",
    "name_points",
    "name_row",
    "new_figure",
    "padded",
    "square",
    "write_title",
]

Place: TypeAlias = Axes | Callable[..., Figure]  # axes to draw into, or what makes a figure

WIDTH = 8.0  # of a figure, in inches
NARROW = 4.0  # of a figure for a phone
LETTERS = 9.5
SMALL = 8.5
FAINT = (0, 0, 0, 0.14)
DASHES = (0, (4, 3))
_MAX_NAME = 26
_MAX_COLUMN = 16
_MAX_LARGE = 8  # rows or columns with letters of the ordinary size
_GAP = 3.0  # points between labels and what is beside them
# Horizontal and vertical alignment of a text to the left of, at, or to the right of a point.
_ALIGNMENTS: dict[int, tuple[Any, Any]] = {
    -1: ("right", "top"),
    0: ("center", "center"),
    1: ("left", "bottom"),
}
_SIDES = ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1))


def new_figure(height: float, place: Place = Figure, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, with one axes; or given axes."""
    if isinstance(place, Axes):
        return place.figure.figure, bare(place)  # the figure, also of axes in a sub-figure
    figure = place(figsize=(width, height), layout="constrained")
    return figure, bare(figure.add_subplot())


def is_narrow(axes: Axes) -> bool:
    """Whether the axes have little room for ticks and legends, as on a phone."""
    return axes.get_position().width * axes.figure.figure.get_figwidth() < 0.7 * WIDTH


def write_title(owner: Figure | Axes, title: str) -> None:
    """Write a title above a figure or axes."""
    if isinstance(owner, Figure):
        artist = owner.suptitle("", fontsize=LETTERS + 1.5)
    else:
        artist = owner.set_title("", fontsize=LETTERS + 1.5)
    inscribe(artist, title, width=60)


def bare(axes: Axes) -> Axes:
    """Remove the top and right spines and the tick marks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL, length=0, pad=7)  # apart in the corner
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


def name_row(
    axes: Axes, name: str, height: float, bold: bool = False, size: float = LETTERS
) -> Text:
    """Write a name to the left of the axes."""
    beside = axes.get_yaxis_transform() + _shift(axes, -_GAP, 0)
    artist = axes.text(0, height, "", transform=beside, fontsize=size)
    artist.set(ha="right", va="center", fontweight="bold" if bold else "normal")
    return inscribe(artist, name, width=_MAX_NAME)


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


def fill_cells(axes: Axes, depth: NDArray[np.float64]) -> None:
    """Colour cells by depth, light enough for black or white text; NaN stays empty."""
    n_rows, n_columns = depth.shape
    cells = [(row, column) for row, column in np.ndindex(depth.shape) if depth[row, column] > 0]
    colours = [(*to_rgba(BLUE)[:3], 0.5 * float(depth[cell])) for cell in cells]
    squares = [square(*cell) for cell in cells]
    axes.add_collection(
        PolyCollection(squares, facecolors=colours, edgecolors="white", linewidths=1)
    )
    axes.set_xlim(-0.5, n_columns - 0.5)
    axes.set_ylim(n_rows - 0.5, -0.5)


def name_cells(
    axes: Axes,
    rows: list[str],
    columns: list[str],
    axis_names: tuple[str, str],
    written: list[list[str]] | None = None,
) -> None:
    """Name rows, columns and axes; write into the cells, unless a text is wider than a column.

    The rows are named on the left and the columns below, turned if they are too wide. The letters
    of more than eight are smaller.
    """
    axes.xaxis.set_major_locator(NullLocator())
    axes.yaxis.set_major_locator(NullLocator())
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_alpha(0.3)
    size = LETTERS if max(len(rows), len(columns)) <= _MAX_LARGE else SMALL
    beside = [name_row(axes, name, row, size=size) for row, name in enumerate(rows)]
    widest = max(_extent(artist).width for artist in beside)
    pad = _points(axes, widest) + 3 * _GAP
    axes.set_ylabel(axis_names[0], fontsize=LETTERS, labelpad=pad)
    under = axes.get_xaxis_transform() + _shift(axes, 0, -_GAP)
    below = []
    for column, name in enumerate(columns):
        artist = axes.text(column, 0, "", transform=under, fontsize=size)
        artist.set(ha="center", va="top")
        below.append(inscribe(artist, name, width=_MAX_COLUMN))
    texts = [
        axes.text(column, row, text, ha="center", va="center", fontsize=LETTERS)
        for row, line in enumerate(written or [])
        for column, text in enumerate(line)
    ]
    axes.figure.figure.draw_without_rendering()  # settles how wide the axes are
    room = axes.get_window_extent().width / len(columns) - _GAP * axes.figure.figure.dpi / 72
    if max(_extent(artist).width for artist in below) > room:
        for artist in below:
            artist.set_rotation(90)
    fits = max((_extent(artist).width for artist in texts), default=0) <= room
    for artist in texts:
        if not fits:
            artist.remove()
        elif artist.get_text() in ("0", "–"):
            artist.set_alpha(0.75)
    highest = max(_extent(artist).height for artist in below)
    pad = _points(axes, highest) + 2 * _GAP
    axes.set_xlabel(axis_names[1], fontsize=LETTERS, labelpad=pad)


def _extent(artist: Text) -> Bbox:
    return Text.get_window_extent(artist)  # that of an annotation includes its line


def _shift(axes: Axes, across: float, up: float) -> Transform:
    return ScaledTranslation(across / 72, up / 72, axes.figure.figure.dpi_scale_trans)


def _points(axes: Axes, pixels: float) -> float:
    return pixels * 72 / axes.figure.figure.dpi


def name_points(
    axes: Axes,
    points: NDArray[np.float64],
    names: Sequence[str | None],
    lines: NDArray[np.float64],
    size: float,
) -> None:
    """Name some of the points where neither a marker nor another name is; None names no point.

    ``points`` are of shape ``(n_points, 2)``, and ``size`` is the size of their markers. Names keep
    off ``lines`` too, vertical ones from ``(x, low)`` to ``(x, high)``, of shape ``(n_lines, 3)``,
    if they can. A name for which there is no room is left out.
    """
    figure = axes.figure.figure
    figure.draw_without_rendering()  # settles where the axes are
    scale = figure.dpi / 72
    inside = axes.get_window_extent()
    centres = axes.transData.transform(points)
    half = (size / 2 + _GAP) * scale
    markers = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in centres]
    bars = []
    for x, low, high in lines:
        (left, bottom), (_, top) = axes.transData.transform([(x, low), (x, high)])
        bars.append(Bbox.from_extents(left - scale, bottom, left + scale, top))
    taken = list(markers)
    for (x, y), centre, name in zip(points, centres, names, strict=True):
        if name is None:
            continue
        artist = axes.annotate(
            *("", (x, y)),
            textcoords="offset points",
            xytext=(0, 0),
            fontsize=LETTERS,
            arrowprops={"arrowstyle": "-", "alpha": 0.35, "linewidth": 0.7, "shrinkB": size / 2},
        )
        artist.set_in_layout(False)  # a long name shall not shrink the axes
        inscribe(artist, name)
        text = _extent(artist)
        size_of_text = (text.width + 2 * scale, text.height + 2 * scale)
        near = half / scale + 0.5
        free = _free_place(centre, size_of_text, inside, (taken, bars), near, scale)
        if free is None:
            artist.remove()
            continue
        (across, up), distance, box = free
        artist.set_position((across * distance, up * distance))
        artist.set_horizontalalignment(_ALIGNMENTS[across][0])
        artist.set_verticalalignment(_ALIGNMENTS[up][1])
        if distance == near and artist.arrow_patch is not None:
            artist.arrow_patch.set_visible(False)
        taken.append(box)


def _free_place(
    centre: NDArray[np.float64],
    size: tuple[float, float],
    inside: Bbox,
    taken: tuple[list[Bbox], list[Bbox]],
    nearest: float,
    scale: float,
) -> tuple[tuple[int, int], float, Bbox] | None:
    """Return the side, distance in points and box of the nearest free place beside a point."""
    width, height = size
    for obstacles in ([*taken[0], *taken[1]], taken[0]):
        for distance in (nearest, *(nearest + step for step in (8, 16, 24))):
            for across, up in _SIDES:
                left = centre[0] + across * distance * scale - width * (1 - across) / 2
                bottom = centre[1] + up * distance * scale - height * (1 - up) / 2
                box = Bbox.from_bounds(left, bottom, width, height)
                if (
                    inside.x0 <= box.x0
                    and box.x1 <= inside.x1
                    and inside.y0 <= box.y0
                    and box.y1 <= inside.y1
                    and not any(box.overlaps(other) for other in obstacles)
                ):
                    return (across, up), distance, box
    return None
