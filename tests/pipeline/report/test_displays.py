"""Plots as users see them: known to pyplot, or in their own axes, under a title."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from bertvectorizer import BertVectorizer, Comparison
from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.report import displays
from tests.pipeline.comparisons import make_comparison
from tests.pipeline.report.figures import draw, texts_of, wild_comparison
from tests.tiny import ModelFactory

Plot = Callable[..., Figure]
TITLES = {
    "scores": "Feature sets by accuracy",
    "cost": "Cost and accuracy",
    "layers": "Layers and poolings by accuracy",
    "learning_curve": "Learning curve: accuracy",
    "confusion": "Confusion matrix: BERT concat of last 4",
}


@pytest.fixture(autouse=True)
def no_figures() -> Iterator[None]:
    pyplot.close("all")
    yield
    pyplot.close("all")


def plot_of(comparison: Comparison, name: str) -> Plot:
    found: Plot = getattr(comparison, f"plot_{name}")
    return found


@pytest.mark.parametrize("name", TITLES)
def test_a_plot_is_a_figure_of_pyplot_or_stands_in_given_axes(name: str) -> None:
    plot = plot_of(make_comparison(curve=True), name)
    figure = plot()
    assert [pyplot.figure(number) for number in pyplot.get_fignums()] == [figure]
    assert TITLES[name] in texts_of(figure)
    pyplot.close("all")
    own, (left, right) = pyplot.subplots(1, 2)
    assert plot(ax=right) is own
    assert pyplot.get_fignums() == [own.number]
    assert right.get_title() == TITLES[name]
    assert right.lines or right.collections
    assert not left.has_data()
    assert not left.get_title()
    assert own.legends == [], "the legend belongs to the axes"
    assert draw(own)


def test_the_names_of_columns_stand_below_and_the_title_above() -> None:
    classes = ["a long class", "another one", "third"]
    comparison = make_comparison("multiclass", classes=classes)
    for own in (None, pyplot.figure(layout="constrained").add_subplot()):
        figure = comparison.plot_confusion(ax=own)
        draw(figure)
        axes = figure.axes[0]
        title: Any = axes.title if own else figure._suptitle  # type: ignore[attr-defined]
        below = [text for text in axes.texts if text.get_ha() == "center"]
        names = [text for text in below if text.get_text() in classes]
        assert len(names) == 3
        top, label = axes.get_window_extent().y0, axes.xaxis.label.get_window_extent()
        assert title.get_window_extent().y0 > top
        assert all(label.y1 <= name.get_window_extent().y0 <= top for name in names)


def test_a_word_has_two_axes(tiny_model: ModelFactory) -> None:
    comparison = make_comparison(
        texts=["a bat", "the old bat", "the bat flew"],
        roster={"BERT": BertVectorizer(tiny_model("bert"))},
    )
    figure = comparison.plot_words("bat")
    assert pyplot.get_fignums() == [figure.number]  # type: ignore[attr-defined]
    assert "Occurrences of the word “bat”" in texts_of(figure)
    own, pair = pyplot.subplots(1, 2)
    assert comparison.plot_words("bat", ax=pair) is own
    assert [axes.get_title() for axes in pair] == ["without context: one point", "in context"]
    assert [len(axes.findobj(Legend)) for axes in pair] == [0, 1]
    for ax in (pair[0], [pair[0]], [pair[0], 3], 3):
        with pytest.raises(InvalidParameterError, match="'ax' parameter must be two Axes"):
            comparison.plot_words("bat", ax=ax)


def test_bad_axes_and_wild_names() -> None:
    with pytest.raises(InvalidParameterError, match="'ax' parameter must be an Axes of matplotlib"):
        make_comparison().plot_scores(ax=Figure())  # type: ignore[arg-type]
    assert not pyplot.get_fignums()
    for name in ("scores", "cost", "learning_curve", "confusion"):
        assert draw(plot_of(wild_comparison(), name)())


def test_without_a_screen_the_figure_is_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: Any) -> Figure:
        raise ImportError("Cannot load backend 'TkAgg'")

    monkeypatch.setattr(pyplot, "figure", fail)
    assert draw(make_comparison().plot_scores())


def is_shown(figure: Any) -> bool:
    """Whether IPython shows a figure that is given to its display function."""
    try:
        figure._ipython_display_()
    except NotImplementedError:
        return True
    return False


@pytest.mark.parametrize("is_result", [True, False])
@pytest.mark.parametrize(
    "backend", ["inline", "module://matplotlib_inline.backend_inline", "module://ipympl"]
)
def test_a_notebook_shows_a_figure_once(
    backend: str, is_result: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the result of a cell is shown, then, by the inline backend, pyplot's open figures."""
    monkeypatch.setattr(matplotlib, "get_backend", lambda **options: backend)
    figure = make_comparison().plot_scores()
    assert isinstance(figure, displays._PyplotFigure)
    shown = [is_shown(figure)] if is_result else []
    if "inline" in backend:
        shown += [is_shown(pyplot.figure(number)) for number in pyplot.get_fignums()]
        pyplot.close("all")  # as the backend does
        assert shown == [True]
        assert is_shown(figure), "as the result of a later cell"
    else:
        assert pyplot.get_fignums(), "an interactive backend keeps it"


def test_the_report_leaves_no_figure_open(tmp_path: Path) -> None:
    make_comparison(curve=True).to_html(tmp_path / "report.html")
    assert not pyplot.get_fignums()
