"""Figures: what they show, and that nothing that users name things upsets them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.report import plots
from bertvectorizer.pipeline.report.confusion import count_confusions
from bertvectorizer.pipeline.report.svg import BLUE, RED, figure_svg
from tests.pipeline.comparisons import NAMES, make_comparison
from tests.tiny import ModelFactory

WILD = [
    "$x$ & $\\frac$",
    "_hidden",
    "中文标签很长很长很长很长很长很长",
    "🦇 \u202eevil\x00\n",
    "a" * 300,
    "",
    "<b>\u2801",
]


def texts_of(figure: Figure) -> list[str]:
    return [artist.get_text() for artist in figure.findobj(Text) if artist.get_text()]


def draw(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=50)
    return target.getvalue()


def wild_comparison(kind: str = "multiclass") -> Any:
    return make_comparison(kind, [*WILD, "BERT"], classes=WILD, curve=True)


def test_scores_stand_in_order_with_the_best_baseline_marked() -> None:
    comparison = make_comparison()
    figure = plots.plot_scores(comparison)
    written = texts_of(figure)
    order = [text for text in written if text in NAMES]
    table = comparison.table.sort_values("accuracy", ascending=False)
    assert order == table["features"].tolist()
    assert {"contextual", "baseline", "best baseline"} <= set(written)
    (axes,) = figure.axes
    line = axes.get_lines()[0].get_xdata()
    assert line[0] == table.loc[table["features"] == comparison.baseline, "accuracy"].iloc[0]
    assert {to_hex(drawn.get_color()) for drawn in axes.get_lines()[1:]} == {BLUE, RED}
    assert draw(figure)


def test_less_is_better_turns_the_order_and_is_said() -> None:
    comparison = make_comparison(scoring=("neg_brier_score",))
    written = texts_of(plots.plot_scores(comparison))
    assert next(text for text in written if text in NAMES) == "majority class"
    assert any("less is better" in text for text in written)


def test_cost_names_what_nothing_beats() -> None:
    # More expensive, and worse, than others.
    comparison = make_comparison(encode_seconds={"TF-IDF words": 0.5})
    figure = plots.plot_cost(comparison)
    written = set(texts_of(figure))
    assert {"majority class", comparison.best, comparison.baseline} <= written
    assert "TF-IDF words" not in written
    assert figure.axes[0].get_xscale() == "log"
    assert draw(figure)


def test_layers_show_each_cell_and_leave_out_what_was_not_compared() -> None:
    written = texts_of(plots.plot_layers(make_comparison()))
    assert {"layer 6", "layer 3", "cls", "mean"} <= set(written)
    assert written.count("–") == 3
    assert f"{0.84 + 0.008 * 5 + 0.06:.3f}" in written


def test_the_curve_has_both_kinds_and_six_lines_at_most() -> None:
    figure = plots.plot_learning_curve(make_comparison(curve=True))
    names = [text for text in texts_of(figure) if text in NAMES]
    assert len(names) == 6
    assert sum(name.startswith("BERT") for name in names) == 3
    assert len({line.get_marker() for line in figure.axes[0].get_lines()}) == 6, (
        "colour is not all that tells them apart"
    )


def test_confusions_are_counted() -> None:
    comparison = make_comparison("multiclass", n_rows=3)
    comparison.target.values[:] = ["money", "sport", "sport"]
    comparison.outcomes["BERT"].predictions[:] = [None, "world", "sport"]
    found = count_confusions(comparison, "BERT")
    assert found.rows == found.columns == ["money", "sport", "world"]
    assert found.counts.tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert found.mistakes == [("sport", "world", 1)]
    assert found.shares[1].tolist() == [0, 0.5, 0.5]


def test_labels_are_found_missed_or_wrongly_given() -> None:
    comparison = make_comparison("multilabel", n_rows=3)
    comparison.target.values[:] = [[1, 1, 1], [1, 0, 1], [0, 1, 1]]
    comparison.outcomes["BERT"].predictions[:] = [[None] * 3, [1, 1, 0], [0, 1, 1]]
    found = count_confusions(comparison, "BERT")
    assert found.counts.tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    assert found.mistakes == [("b", "wrongly given", 1), ("c", "missed", 1)]


def test_of_many_classes_those_with_most_mistakes_are_shown() -> None:
    comparison = make_comparison("multiclass", n_rows=2000, classes=list(range(200)))
    found = count_confusions(comparison)
    assert (len(found.rows), found.n_classes) == (20, 200)
    figure = plots.plot_confusion(comparison)
    assert any("20 of 200" in text for text in texts_of(figure))
    assert draw(figure)


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_every_target_has_a_picture_of_mistakes(kind: str) -> None:
    assert draw(plots.plot_confusion(make_comparison(kind)))


def test_words_are_one_point_and_many(tiny_model: ModelFactory) -> None:
    comparison = make_comparison(
        texts=["a bat", "the old bat", "the bat flew"],
        roster={"BERT": BertVectorizer(tiny_model("bert"))},
    )
    figure = plots.plot_words(comparison, "bat")
    assert {"without context: one point", "in context", "all 3 occurrences"} <= set(
        texts_of(figure)
    )
    assert draw(figure)


@pytest.mark.parametrize(
    "plot", [plots.plot_scores, plots.plot_cost, plots.plot_learning_curve, plots.plot_confusion]
)
def test_any_name_can_be_drawn(plot: Callable[[Any], Figure]) -> None:
    figure = plot(wild_comparison())
    assert draw(figure)
    svg = figure_svg(lambda: plot(wild_comparison()), "wild", "$x$ <title>", 'a "description"')
    assert '<title id="wild-title">$x$ &lt;title&gt;</title>' in svg
    assert "<b>" not in svg


def test_letters_that_the_font_lacks_are_squares_in_pictures_and_themselves_in_pages() -> None:
    assert any("□" in text for text in texts_of(plots.plot_scores(wild_comparison())))
    svg = figure_svg(lambda: plots.plot_scores(wild_comparison()), "wild", "", "")
    for words in ("中文", "🦇 evil", "$x$ &amp; $\\frac$", "_hidden", "&lt;b&gt;\u2801"):
        assert words in svg
    assert "□" not in svg


def test_a_page_colours_its_figures() -> None:
    svg = figure_svg(lambda: plots.plot_scores(make_comparison()), "one", "t", "d")
    other = figure_svg(lambda: plots.plot_scores(make_comparison()), "one", "t", "d")
    assert svg == other, "the same figure gives the same bytes"
    assert "currentColor" in svg
    assert "var(--blue,#0072b2)" in svg
    assert "#000000" not in svg
    assert "font-family" not in svg
    assert "<style" not in svg
    assert svg.startswith('<svg class="figure" role="img" viewBox="0 0 324 ')


@pytest.mark.parametrize(
    ("plot", "changes", "message"),
    [
        (plots.plot_learning_curve, {}, "learning_curve=True"),
        (plots.plot_layers, {"names": ["majority class", "TF-IDF words"]}, "No single layer"),
        (
            lambda c: plots.plot_confusion(c, "mine"),
            {},
            "'name' parameter must be one of: majority class",
        ),
        (
            lambda c: plots.plot_confusion(c, "mine"),
            {"kind": "regression"},
            "'name' parameter must be one of",
        ),
        (count_confusions, {"kind": "regression"}, "no classes"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    plot: Callable[[Any], object], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        plot(make_comparison(**changes))


@pytest.mark.parametrize("plot", [plots.plot_scores, plots.plot_cost, plots.plot_layers])
def test_without_scores_there_is_nothing_to_plot(plot: Callable[[Any], Figure]) -> None:
    comparison = make_comparison(has_scores=False)
    with pytest.raises(InvalidParameterError, match="No feature set has a score by 'accuracy'"):
        plot(comparison)


def test_costs_that_were_not_measured_are_said() -> None:
    comparison = make_comparison(has_costs=False)
    with pytest.raises(InvalidParameterError, match="costs of this comparison were not measured"):
        plots.plot_cost(comparison)


def test_no_window_is_ever_opened() -> None:
    for module in ("plots", "figure_style", "svg"):
        assert "pyplot" not in (Path(plots.__file__).parent / f"{module}.py").read_text(
            encoding="utf-8"
        )
