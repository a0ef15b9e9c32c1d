"""The common style of figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba

from bertvectorizer.pipeline.report.figure_style import (
    WIDTH,
    fill_cells,
    kind_legend,
    name_cells,
    new_figure,
    padded,
)
from bertvectorizer.pipeline.report.svg import BLUE
from tests.pipeline.report.figures import texts_of


def test_figures_are_as_wide_as_a_phone() -> None:
    figure, axes = new_figure(3.0)
    assert figure.get_size_inches().tolist() == [WIDTH, 3.0]
    assert not axes.spines["top"].get_visible()
    assert axes.spines["left"].get_visible()


def test_limits_have_a_margin_for_equal_values_too() -> None:
    np.testing.assert_allclose(padded(np.array([0.0, 10.0])), (-0.6, 10.6))
    np.testing.assert_allclose(padded(np.array([4.0, 4.0])), (3.8, 4.2))
    np.testing.assert_allclose(padded(np.zeros(2)), (-0.05, 0.05))


def test_cells_are_coloured_by_depth_and_unknown_ones_stay_empty() -> None:
    _, axes = new_figure(2.0)
    fill_cells(axes, np.array([[0.5, np.nan], [0.0, 1.0]]), [["1", "–"], ["0", "2"]])
    cells: Any = axes.collections[0]
    assert len(axes.collections) == 1
    colours = cells.get_facecolor()
    np.testing.assert_allclose(colours, [(*to_rgba(BLUE)[:3], alpha) for alpha in (0.3, 0.6)])
    corners = [path.vertices[:4].tolist() for path in cells.get_paths()]
    assert corners[0] == [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]
    assert [text.get_text() for text in axes.texts] == ["1", "–", "0", "2"]
    assert axes.get_ylim() == (1.5, -0.5), "the first row is on top"


def test_wide_column_names_are_turned() -> None:
    for columns, angle in ((["ham", "spam"], 0), (["a long class", "another one", "third"], 90)):
        _, axes = new_figure(2.0)
        name_cells(axes, ["row"], columns)
        row, *names = axes.texts
        assert row.get_text() == "row"
        assert [name.get_text() for name in names] == columns
        assert {name.get_rotation() for name in names} == {angle}


def test_the_legend_names_only_the_kinds_there_are() -> None:
    for flags, line, expected in (
        ([True, False], "best baseline", ["contextual", "baseline", "best baseline"]),
        ([False, False], None, ["baseline"]),
    ):
        figure, _ = new_figure(2.0)
        kind_legend(figure, pd.Series(flags), line)
        assert [text for text in texts_of(figure) if text in expected] == expected
        assert len(figure.legends[0].get_texts()) == len(expected)
