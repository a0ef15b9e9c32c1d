"""The report in a real browser: nothing is loaded, nothing runs, all can be seen and reached."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bertvectorizer import BertVectorizer
from bertvectorizer.pipeline.report.html import repr_html
from tests.pipeline.comparisons import NAMES, make_comparison
from tests.tiny import ModelFactory

SECTIONS = [
    "verdict",
    "scores",
    "cost",
    "layers",
    "learning-curve",
    "confusion",
    "flipped",
    "word",
    "settings",
]
SCRIPT = "<script>window.struck = true; alert(1)</script>"
IMAGE = '"><img src="http://example.invalid/x.png" onerror="window.struck = true; alert(2)">'
LONG = "unbreakable" * 40


@pytest.fixture(scope="module")
def report_page(tmp_path_factory: pytest.TempPathFactory, tiny_model: ModelFactory) -> Path:
    """Write a report whose texts, labels, names and settings try to break out of it."""
    texts = [f"{(SCRIPT, IMAGE, LONG, '中文 🦇')[row % 4]} bat {row}" for row in range(80)]
    comparison = make_comparison(
        "multiclass",
        [*NAMES, f"BERT {SCRIPT}", f"BERT {IMAGE}", f"BERT {LONG}"],
        classes=[SCRIPT, IMAGE, LONG, "中文"],
        texts=texts,
        roster={"BERT": BertVectorizer(tiny_model("bert"))},
        settings={"file": f"{SCRIPT}{IMAGE}.csv", LONG: LONG},
        notes=[SCRIPT + LONG],
        target_name=IMAGE,
        curve=True,
    )
    path = tmp_path_factory.mktemp("page") / f"{SCRIPT.replace('/', '')}.html"
    return comparison.to_html(path, "bat")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium once."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright, which steers the browser, is not installed"
    )
    executable = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if executable is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=executable, args=["--no-sandbox"], timeout=0
        )
        yield chromium
        chromium.close()


def visit(
    browser: Any, path: Path, width: int = 1280, scheme: str = "light", **options: Any
) -> tuple[Any, list[str]]:
    """Open a page, and return it with all that must not happen on it."""
    messages: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, **options
    )
    context.set_default_timeout(0)
    page = context.new_page()
    address = path.as_uri()
    page.on("console", lambda message: messages.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: messages.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (messages.append("dialog"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: (
            messages.append(f"request: {request.url}") if request.url != address else None
        ),
    )
    page.goto(address)
    return page, messages


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_report_is_quiet_and_fits(
    browser: Any, report_page: Path, width: int, scheme: str
) -> None:
    page, messages = visit(browser, report_page, width, scheme, offline=True)
    for section in SECTIONS:
        element = page.locator(f"section#{section}")
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        assert element.is_visible()
        assert page.locator(f"section#{section} h2").is_visible()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["height"] > 60
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "the page never scrolls sideways"
    )
    assert page.locator("svg[role=img]").count() == 7
    narrow = [
        box["width"]
        for box in (figure.bounding_box() for figure in page.locator("svg[role=img]").all())
    ]
    assert all(0.6 * min(width, 500) < own <= width for own in narrow)
    assert page.evaluate("window.struck") is None
    assert page.locator("script, img, iframe, link").count() == 0
    text = page.locator("body").inner_text()
    assert SCRIPT in text
    assert IMAGE in text
    assert messages == []
    page.context.close()


def test_colours_follow_the_scheme_and_can_be_read(browser: Any, report_page: Path) -> None:
    contrasts = """() => {
        const levels = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const linear = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        const light = (colour) => colour.slice(0, 3).map((c) => linear(c / 255))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = (node) => {
            for (; node; node = node.parentElement) {
                const found = levels(getComputedStyle(node).backgroundColor);
                if (found.length === 3 || found[3] === 1) return found;
            }
            return [255, 255, 255];
        };
        const seen = 'h1,h2,h3,p,a,th,td,dt,dd,li,caption,figcaption,footer,.detail,.kind,.mark,'
            + 'svg text';
        return [...document.querySelectorAll(seen)].map((node) => {
            const style = getComputedStyle(node);
            const colour = node.closest('svg') ? style.fill : style.color;
            const pair = [light(levels(colour)), light(ground(node))].sort((a, b) => b - a);
            return (pair[0] + 0.05) / (pair[1] + 0.05);
        });
    }"""
    grounds = {}
    page, _ = visit(browser, report_page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert min(page.evaluate(contrasts)) >= 4.5
        grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.context.close()
    assert grounds["light"] != grounds["dark"]


def test_the_keyboard_reaches_everything_and_figures_speak(browser: Any, report_page: Path) -> None:
    page, _ = visit(browser, report_page, 390)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#verdict"
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') ||"
                " document.activeElement.textContent"
            )
        )
    labels = page.eval_on_selector_all(
        "[role=region]", "nodes => nodes.map((node) => node.getAttribute('aria-label'))"
    )
    assert len(labels) >= 3
    assert set(labels) <= set(reached)
    wide = page.locator(".scroll:has(table.wide)")
    wide.focus()
    page.keyboard.press("ArrowRight")
    while not wide.evaluate("node => node.scrollLeft"):  # it scrolls smoothly
        page.wait_for_timeout(20)  # the page's policy lets no predicate wait inside
    named = page.eval_on_selector_all(
        "svg[role=img]",
        """nodes => nodes.map((node) => node.getAttribute('aria-labelledby').split(' ')
            .map((id) => document.getElementById(id).textContent.length))""",
    )
    assert all(length > 0 for pair in named for length in pair)
    levels = page.eval_on_selector_all(
        "h1,h2,h3", "nodes => nodes.map((node) => Number(node.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - sooner <= 1 for sooner, later in pairwise(levels))
    page.context.close()


def test_a_report_can_be_printed(browser: Any, report_page: Path) -> None:
    page, messages = visit(browser, report_page)
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("section#settings").is_visible()
    assert messages == []
    page.context.close()


def test_a_notebook_keeps_the_table_in_its_box(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "cell.html"
    file.write_text(
        "<!doctype html><meta"
        f" charset=utf-8>{repr_html(make_comparison('multiclass', [*NAMES, SCRIPT, LONG]))}",
        encoding="utf-8",
    )
    page, messages = visit(browser, file, 600)
    assert SCRIPT in page.locator("table").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert messages == []
    page.context.close()
