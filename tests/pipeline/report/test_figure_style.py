"""The common style of figures."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bertvectorizer.pipeline.report.figure_style import (
    NARROW,
    WIDTH,
    fill_cells,
    is_narrow,
    kind_legend,
    name_cells,
    name_points,
    new_figure,
    padded,
)
from bertvectorizer.pipeline.report.svg import BLUE
from tests.pipeline.report.figures import texts_of


def test_figures_are_wide_or_narrow() -> None:
    figure, axes = new_figure(3.0)
    assert figure.get_size_inches().tolist() == [WIDTH, 3.0]
    narrow, narrow_axes = new_figure(3.0, width=NARROW)
    assert narrow.get_size_inches().tolist() == [NARROW, 3.0]
    assert (is_narrow(axes), is_narrow(narrow_axes)) == (False, True)
    assert not axes.spines["top"].get_visible()
    assert axes.spines["left"].get_visible()


def test_limits_have_a_margin_for_equal_values_too() -> None:
    np.testing.assert_allclose(padded(np.array([0.0, 10.0])), (-0.6, 10.6))
    np.testing.assert_allclose(padded(np.array([4.0, 4.0])), (3.8, 4.2))
    np.testing.assert_allclose(padded(np.zeros(2)), (-0.05, 0.05))


def test_cells_are_coloured_by_depth_and_unknown_ones_stay_empty() -> None:
    _, axes = new_figure(2.0)
    fill_cells(axes, np.array([[0.5, np.nan], [0.0, 1.0]]))
    cells: Any = axes.collections[0]
    assert len(axes.collections) == 1
    colours = cells.get_facecolor()
    np.testing.assert_allclose(colours, [(*to_rgba(BLUE)[:3], alpha) for alpha in (0.25, 0.5)])
    corners = [path.vertices[:4].tolist() for path in cells.get_paths()]
    assert corners[0] == [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]
    assert axes.get_ylim() == (1.5, -0.5), "the first row is on top"


def test_wide_column_names_are_turned() -> None:
    wide = [f"a long class {number}" for number in range(4)]
    for columns, angle in ((["ham", "spam"], 0), (wide, 90)):
        _, axes = new_figure(2.0, width=NARROW)
        fill_cells(axes, np.ones((1, len(columns))))
        name_cells(axes, ["row"], columns, ("true", "predicted"))
        row, *names = axes.texts
        assert row.get_text() == "row"
        assert [name.get_text() for name in names] == columns
        assert {name.get_rotation() for name in names} == {angle}


def test_a_cell_is_written_into_if_it_has_room() -> None:
    for number, is_written in (("12", True), ("1,234,567,890", False)):
        _, axes = new_figure(2.0, width=NARROW)
        fill_cells(axes, np.ones((1, 4)))
        name_cells(axes, ["row"], list("abcd"), ("true", "predicted"), [[number] * 4])
        assert ([text.get_text() for text in axes.texts].count(number) == 4) == is_written


def test_names_of_rows_columns_and_axes_do_not_overlap() -> None:
    for n in (2, 12):
        figure, axes = new_figure(1.2 + 0.22 * n, width=NARROW)
        fill_cells(axes, np.ones((n, n)))
        names = [f"class with a name {row}" for row in range(n)]
        name_cells(axes, names, names, ("true class", "predicted class"))
        figure.draw_without_rendering()
        labels = [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        boxes = [label.get_window_extent() for label in labels]
        assert not [
            (labels[i].get_text(), labels[j].get_text())
            for i, j in combinations(range(len(boxes)), 2)
            if boxes[i].shrunk(0.9, 0.9).overlaps(boxes[j].shrunk(0.9, 0.9))
        ]


def test_names_of_points_keep_off_markers_and_one_another() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 10, 40):
        figure, axes = new_figure(3.0, width=NARROW)
        points = rng.random((n, 2))
        axes.plot(*points.T, "o", markersize=8)
        names = [f"feature set {number}" for number in range(n)]
        name_points(axes, points, names, np.empty((0, 3)), 8)
        figure.draw_without_rendering()
        # Of the text alone: an annotation's own extent includes its line.
        boxes = [Text.get_window_extent(text) for text in axes.texts]
        assert boxes
        assert len(boxes) == n or n > 2, "what has no room is left out"
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        for x, y in axes.transData.transform(points):
            marker = Bbox.from_extents(x - 4, y - 4, x + 4, y + 4)
            assert not any(box.overlaps(marker) for box in boxes)


def test_the_legend_names_only_the_kinds_there_are() -> None:
    for flags, line, expected in (
        ([True, False], "best baseline", ["contextual", "baseline", "best baseline"]),
        ([False, False], None, ["baseline"]),
    ):
        figure, _ = new_figure(2.0)
        kind_legend(figure, pd.Series(flags), line)
        assert [text for text in texts_of(figure) if text in expected] == expected
        assert len(figure.legends[0].get_texts()) == len(expected)
