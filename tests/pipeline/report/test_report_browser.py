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
PHONE, DESK = 390, 1280
SCREEN = 844  # pixels that a phone shows

# What a careful reader would object to, as sentences. Words are sought in rows of letters: a long
# name without spaces may break, and does in the other page of this file.
FAULTS = """() => {
    const found = [];
    const seen = (node) => node.checkVisibility({contentVisibilityAuto: true});
    const name = (node) => node.tagName + ' ' + (node.textContent || '').trim().slice(0, 40);
    const rule = (node) => node.getBoundingClientRect();
    for (const node of document.body.querySelectorAll('*')) {
        if (!seen(node) || node.closest('.skip, thead') && innerWidth < 992) continue;
        const box = rule(node);
        if (box.width && (box.left < -0.5 || box.right > innerWidth + 0.5))
            found.push(`beyond the page: ${name(node)}`);
    }
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (!seen(node.parentElement) || node.parentElement.closest('svg')) continue;
        for (const match of node.data.matchAll(/[\\p{L}\\p{N}]{2,26}/gu)) {
            range.setStart(node, match.index);
            range.setEnd(node, match.index + match[0].length);
            const tops = [...range.getClientRects()].map((box) => box.top);
            if (Math.max(...tops) - Math.min(...tops) > 4) found.push(`broken: ${match[0]}`);
        }
    }
    for (const box of document.querySelectorAll('#scores .scroll, #cost .scroll'))
        if (seen(box) && innerWidth >= 992 && box.scrollWidth > box.clientWidth)
            found.push(`a table is cut: ${name(box)}`);
    for (const section of document.querySelectorAll('section')) {
        const heading = section.querySelector('h2').textContent;
        const rest = section.textContent.replace(heading, '').trim();
        if (rest.length < 30) found.push(`nothing under ${heading}`);
    }
    const overlap = (one, other) => Math.min(
        Math.min(one.right, other.right) - Math.max(one.left, other.left),
        Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top));
    for (const svg of document.querySelectorAll('svg.figure')) {
        if (!seen(svg)) continue;
        const whole = rule(svg), column = rule(svg.closest('figure'));
        if (whole.width < 0.95 * column.width) found.push('a chart leaves its column empty');
        const card = svg.closest('section'), style = getComputedStyle(card);
        const inner = rule(card).width - parseFloat(style.paddingLeft)
            - parseFloat(style.paddingRight);
        const share = svg.closest('.half') && innerWidth > 704 ? 0.45 : 0.95;
        if (whole.width < share * inner) found.push('a chart leaves its card empty');
        const texts = [...svg.querySelectorAll('text')];
        // Larger are the cells of matrices and the bands of curves.
        const marks = [...svg.querySelectorAll('use')].map(rule).filter(
            (mark) => mark.width > 1 && mark.width < 26);
        texts.forEach((text, number) => {
            const box = rule(text);
            if (box.left < whole.left - 1 || box.right > whole.right + 1)
                found.push(`cut off: ${text.textContent}`);
            if (box.height < 9 || parseFloat(getComputedStyle(text).fontSize)
                * whole.width / svg.viewBox.baseVal.width < 9)
                found.push(`too small: ${text.textContent}`);
            if (marks.some((mark) => overlap(box, mark) > 1))
                found.push(`on a marker: ${text.textContent}`);
            for (const other of texts.slice(number + 1))
                if (overlap(box, rule(other)) > 1.5)
                    found.push(`overlap: ${text.textContent} and ${other.textContent}`);
        });
    }
    return [...new Set(found)];
}"""

# The least contrast of a text with what is behind it, its own opacity and the cells of figures
# included.
CONTRASTS = """() => {
    const levels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const mix = (above, alpha, below) => above.slice(0, 3).map(
        (c, i) => alpha * c + (1 - alpha) * below[i]);
    const linear = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = (colour) => colour.map((c) => linear(c / 255))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const found = levels(getComputedStyle(node).backgroundColor);
            if (found.length === 3 || found[3] === 1) return found.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const opacity = (node) => node && node.tagName !== 'svg'
        ? getComputedStyle(node).opacity * opacity(node.parentElement) : 1;
    const seen = 'h1,h2,h3,p,a,th,td,dt,dd,li,caption,figcaption,summary,footer,code,.detail,'
        + '.kind,.mark,mark,svg text';
    return [...document.querySelectorAll(seen)].filter(
        (node) => !node.closest('svg') || node.checkVisibility()).map((node) => {
        const style = getComputedStyle(node), svg = node.closest('svg');
        let below = ground(node);
        if (svg) {
            const box = node.getBoundingClientRect();
            const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
            for (const path of svg.querySelectorAll('path')) {
                const paint = getComputedStyle(path), cell = path.getBoundingClientRect();
                if (paint.fill === 'none' || path.closest('defs') || cell.left > x
                    || cell.right < x || cell.top > y || cell.bottom < y) continue;
                below = mix(levels(paint.fill), paint.fillOpacity * opacity(path), below);
            }
        }
        const own = levels(svg ? style.fill : style.color);
        const above = mix(own, (own[3] ?? 1) * opacity(node), below);
        const pair = [light(above), light(below)].sort((a, b) => b - a);
        return [(pair[0] + 0.05) / (pair[1] + 0.05), node.textContent.slice(0, 40)];
    }).sort((a, b) => a[0] - b[0])[0];
}"""


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
def pages(tmp_path_factory: pytest.TempPathFactory, tiny_model: ModelFactory) -> dict[str, Path]:
    """Write reports that users could have made, by name."""
    folder = tmp_path_factory.mktemp("pages")
    opinions = ["negative", "neutral", "positive"]
    plot = "The film was shot in a bat cave and its plot, though overlong, keeps the viewer awake. "
    texts = [plot * (1 + row % 4) + f"Review {row}." for row in range(300)]
    made = {
        "classes": make_comparison(
            "multiclass",
            classes=opinions,
            texts=texts,
            curve=True,
            roster={"BERT": BertVectorizer(tiny_model("bert"))},
            notes=[f"{number} texts occur twice." for number in range(9)],
            settings={
                "file": "data/reviews.csv",
                "date": "2026-11-29",
                "command": "bertvectorizer compare 'data/reviews.csv' --text review",
                "versions": "bertvectorizer 0.1.0, torch 2.0",
                "folds": "2 repeats of 5 stratified folds",
            },
            target_name="sentiment",
        ),
        "many classes": make_comparison(
            "multiclass",
            n_rows=3000,
            classes=[f"card payment issue {n}" for n in range(77)],
            encode_seconds={name: 0.02 + 0.001 * n for n, name in enumerate(NAMES)},
            curve=True,
        ),
        "labels": make_comparison("multilabel", classes=[*opinions, "mixed", "off-topic"]),
        "numbers": make_comparison("regression", curve=True, target_name="stars"),
        "one": make_comparison(names=["BERT"], classes=opinions),
        "long names": make_comparison(
            "multiclass",
            [
                *(
                    name.replace("BERT", "BERT (paraphrase-multilingual-MiniLM-L12-v2)")
                    for name in NAMES
                ),
                "Donaudampfschifffahrtsgesellschaftskapitänsmützenvektorisierer",
            ],
            classes=["Geschwindigkeitsbegrenzung", "außerordentlich-günstig", "kurz"],
            texts=[f"Sieh https://example.org/long/{'path' * 20}?nr={row}" for row in range(90)],
            scoring=("balanced_accuracy", "f1_macro", "accuracy", "roc_auc_ovr", "neg_brier_score"),
            n_test=500,
        ),
    }
    for name, comparison in made.items():
        words = ("bat", "Film reviews, autumn") if name == "classes" else (None, None)
        comparison.to_html(folder / f"{name}.html", words[0], title=words[1])
    return {name: folder / f"{name}.html" for name in made}


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
    for fold in page.locator("summary").all():
        if fold.is_visible():
            fold.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "the page never scrolls sideways"
    )
    assert page.locator("svg[role=img]:visible").count() == 7
    assert page.evaluate("window.struck") is None
    assert page.locator("script, img, iframe, link").count() == 0
    text = page.locator("body").inner_text()
    assert SCRIPT in text
    assert IMAGE in text
    assert messages == []
    page.context.close()


def test_colours_follow_the_scheme_and_can_be_read(
    browser: Any, report_page: Path, pages: dict[str, Path]
) -> None:
    grounds = {}
    for path in (report_page, pages["classes"]):
        page, _ = visit(browser, path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            contrast, text = page.evaluate(CONTRASTS)
            assert contrast >= 4.5, text
            grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.context.close()
    assert grounds["light"] != grounds["dark"]


@pytest.mark.parametrize(
    "name", ["classes", "many classes", "labels", "numbers", "one", "long names"]
)
def test_a_careful_reader_has_no_objection(browser: Any, pages: dict[str, Path], name: str) -> None:
    page, messages = visit(browser, pages[name], PHONE)
    for width in (PHONE, 768, 1000, DESK):
        page.set_viewport_size({"width": width, "height": 800})
        page.reload()  # which folds what was unfolded
        assert page.evaluate(FAULTS) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if width == PHONE:
            height = page.evaluate("document.documentElement.scrollHeight")
            assert height < 8 * SCREEN, "long parts are folded"
        for fold in page.locator("summary").all():
            if fold.is_visible():
                fold.click()
        assert page.evaluate(FAULTS) == []
        assert page.locator("tbody tr").first.is_visible()
    assert messages == []
    page.context.close()


def test_a_page_says_what_it_is_of(browser: Any, pages: dict[str, Path]) -> None:
    page, _ = visit(browser, pages["classes"])
    assert page.title() == page.locator("h1").inner_text() == "Film reviews, autumn"
    text = page.locator("header").inner_text()
    assert "reviews.csv" in text
    assert "2026-11-29" in text
    text = page.locator("footer").inner_text()
    assert "bertvectorizer compare 'data/reviews.csv' --text review" in text
    assert "torch 2.0" in text
    page.goto(pages["numbers"].as_uri())
    assert page.title() == "Comparison of text features"
    page.context.close()


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
    folds = page.eval_on_selector_all(
        "body > main > section > details > summary",
        "nodes => nodes.map((node) => node.textContent)",
    )
    assert len(folds) >= 5
    assert set(folds) <= set(reached)
    page.locator("#scores summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#scores table").is_visible()
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
    for folded in page.locator("details > :not(summary)").all():
        assert folded.is_visible(), "nothing is folded on paper"
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
