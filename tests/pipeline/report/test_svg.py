"""Text in figures, and figures as elements of a page."""

from __future__ import annotations

import re

import matplotlib as mpl
from matplotlib.figure import Figure

from bertvectorizer.pipeline.report import plots
from bertvectorizer.pipeline.report.svg import figure_svg, inscribe
from tests.pipeline.comparisons import make_comparison
from tests.pipeline.report.figures import texts_of, wild_comparison


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
    assert svg.startswith('<svg class="figure" role="img" viewBox="0 0 576 ')


def test_a_text_is_never_mathematics_nor_too_long() -> None:
    artist = inscribe(Figure().text(0, 0, ""), "$x^2$ 蝙蝠 " + "a" * 50, width=20)
    assert not artist.get_parse_math()
    assert artist.get_text() == "$x^2$ □□ … aaaaaaaa"
    assert artist.get_label() == "$x^2$ 蝙蝠 … aaaaaaaa"


def test_ids_carry_the_name_and_settings_come_back() -> None:
    with mpl.rc_context({"svg.hashsalt": "mine"}):
        svg = figure_svg(lambda: plots.plot_scores(make_comparison()), "fig-1", "t", "d")
        assert mpl.rcParams["svg.hashsalt"] == "mine"
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(ids) == len(set(ids)) > 2
    assert all(name.startswith("fig-1-") for name in ids)
    assert set(re.findall(r'(?:url\(|href=")#([^")]*)', svg)) <= set(ids)
