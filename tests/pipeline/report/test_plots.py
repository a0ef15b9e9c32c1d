"""Figures: what they show, and that nothing that users name things upsets them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.report import plots
from bertvectorizer.pipeline.report.svg import BLUE, RED, figure_svg
from bertvectorizer.pipeline.report.word_in_context import word_occurrences
from tests.pipeline.comparisons import NAMES, make_comparison
from tests.pipeline.report.figures import draw, texts_of, wild_comparison
from tests.tiny import ModelFactory


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
    assert {"6", "3", "cls", "mean", "layer", "pooling"} <= set(written)
    assert written.count("–") == 3
    assert f"{0.84 + 0.008 * 5 + 0.06:.3f}" in written


def test_layers_are_those_of_one_model() -> None:
    roster = {name: BertVectorizer("one") for name in NAMES if name.startswith("BERT")}
    roster["BERT mean -1"] = BertVectorizer("two")
    comparison = make_comparison(roster=roster)
    assert texts_of(plots.plot_layers(comparison)).count("–") == 4


def test_the_curve_has_both_kinds_and_six_lines_at_most() -> None:
    figure = plots.plot_learning_curve(make_comparison(curve=True))
    names = [text for text in texts_of(figure) if text in NAMES]
    assert len(names) == 6
    assert sum(name.startswith("BERT") for name in names) == 3
    assert len({line.get_marker() for line in figure.axes[0].get_lines()}) == 6, (
        "colour is not all that tells them apart"
    )


def test_of_many_classes_those_with_most_mistakes_are_shown() -> None:
    comparison = make_comparison("multiclass", n_rows=2000, classes=list(range(200)))
    figure = plots.plot_confusion(comparison)
    assert any("20 of 200" in text for text in texts_of(figure))
    assert draw(figure)


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_every_target_has_a_picture_of_mistakes(kind: str) -> None:
    figure = plots.plot_confusion(make_comparison(kind))
    assert draw(figure)
    axes = figure.axes[0]
    names = (axes.get_ylabel(), axes.get_xlabel())
    assert names == {
        "binary": ("true class", "predicted class"),
        "multilabel": ("label", "predictions of the label"),
        "regression": ("predicted label", "actual label"),
    }.get(kind)


def test_words_are_one_point_and_many(tiny_model: ModelFactory) -> None:
    comparison = make_comparison(
        texts=["a bat", "the old bat", "the bat flew"],
        roster={"BERT": BertVectorizer(tiny_model("bert"))},
    )
    figure = plots.plot_occurrences(word_occurrences(comparison, "bat"))
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
