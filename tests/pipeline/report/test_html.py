"""The report: one page with everything in it, for any comparison and any texts."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unicodedata import category

import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from bertvectorizer import BertVectorizer, Comparison, compare
from bertvectorizer.errors import InvalidParameterError, ModelNotFoundError
from bertvectorizer.pipeline import load_example
from bertvectorizer.pipeline.report import html as report
from bertvectorizer.pipeline.report.html import render_report, repr_html
from tests.pipeline.comparisons import make_comparison
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
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "</style><b>",
    "a\x00b\x1b[2J\x9b\ud800",
    "\u202eevil",
]
VOID = {"meta", "br", "wbr", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """What a page holds; a tag that is not closed, or not open, is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.events: list[str] = []
        self.sections: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open
        assert not {one for one in page if category(one) in {"Cc", "Cs"}} - {"\n", "\t"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids[str(value)] += 1
                self.sections += [str(value)] if tag == "section" else []
            if name in {"href", "src", "xlink:href", "srcset", "action"}:
                self.addresses.append(str(value))
            if name.startswith("on"):
                self.events.append(name)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def check(comparison: Comparison, word: str | None = None) -> Page:
    """Render a page and hold what every page must be."""
    text = render_report(comparison, word)
    text.encode("utf-8")
    page = Page(text)
    assert page.sections == [section for section in SECTIONS if section in page.sections]
    assert len(page.sections) == len(set(page.sections))
    assert max(page.ids.values()) == 1, "ids are unique"
    assert all(address.startswith("#") and address[1:] in page.ids for address in page.addresses)
    assert not page.events
    assert not page.tags.keys() & {
        "script",
        "img",
        "iframe",
        "object",
        "link",
        "form",
        "video",
        "base",
    }
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)
    assert set(re.findall(r"https?://[^\"'\s<)]+", text)) <= {"http://www.w3.org/1999/xlink"}
    assert "http://" not in page.text
    return page


@pytest.fixture
def roster(tiny_model: ModelFactory) -> dict[str, Any]:
    return {"BERT": BertVectorizer(tiny_model("bert"))}


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the figures of a page and leave them away: what they look like is for other tests."""

    def blank(make: Callable[[], object], name: str, *_: str) -> str:
        make()
        return f'<svg id="{name}"><title></title><desc></desc></svg>'

    monkeypatch.setattr(report, "figure_svg", blank)


def test_a_page_has_everything(roster: dict[str, Any]) -> None:
    page = check(make_comparison(roster=roster, notes=["12 texts occur twice."], curve=True))
    assert page.sections == [section for section in SECTIONS if section != "word"]
    assert page.tags["svg"] == 10, "two matrices, and four figures for wide and for narrow pages"
    assert page.tags["title"] == 1 + page.tags["svg"]
    assert page.tags["desc"] == page.tags["svg"]
    for words in (
        "Yes, BERT is better on these texts",
        "BERT concat of last 4 has the best accuracy, 0.996",
        "105 times as long as distilled words",
        "12 texts occur twice.",
        "macro F1",
        "Nadeau",
        "Holm",
        "2 repeats of 5 stratified folds",
    ):
        assert words in page.text
    assert sum(page.tags[tag] for tag in ("caption",)) == page.tags["table"] == 4


def test_whatever_users_write_stays_text(roster: dict[str, Any]) -> None:
    texts = [f"{EVIL[row % len(EVIL)]} bat {row}" for row in range(60)]
    names = ["majority class", *EVIL[:4], "BERT " + EVIL[0]]
    comparison = make_comparison(
        "multiclass",
        names,
        texts=texts,
        classes=EVIL,
        roster=roster,
        notes=EVIL,
        settings=dict(zip(EVIL, EVIL, strict=True)),
        target_name=EVIL[0],
        index=pd.Index([f"{EVIL[0]} {row}" for row in range(60)]),
        curve=True,
    )
    page = check(comparison, "bat")
    for words in EVIL[:4]:
        assert words in page.text
    fragment = Page(repr_html(comparison))
    assert EVIL[0] in fragment.text
    assert not fragment.tags.keys() & {"script", "img", "b"}


@pytest.mark.usefixtures("blank_figures")
def test_both_texts_of_pairs_are_shown_and_stay_text(roster: dict[str, Any]) -> None:
    texts = [(f"{EVIL[row % len(EVIL)]} bat {row}", f"The {EVIL[0]} bat") for row in range(60)]
    comparison = replace(make_comparison(texts=texts, roster=roster), columns=(EVIL[1], "target"))
    page = check(comparison, "bat")
    assert "from 60 pairs of texts" in page.text
    assert "Here are 120 occurrences" in page.text
    rows = comparison.errors("BERT concat of last 4")
    assert rows.columns.tolist()[:3] == [EVIL[1], "target (text)", "target"]
    for row in rows.index[:10]:
        assert f"bat {row}" in page.text
    assert f"The {EVIL[0]} bat" in page.text
    assert f"{len(rows)} pairs" in page.text


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_every_kind_of_target(kind: str, roster: dict[str, Any]) -> None:
    page = check(make_comparison(kind, roster=roster))
    assert ("Predicted and actual values" in page.text) == (kind == "regression")
    assert "false positives" in page.text or kind != "multilabel"


@pytest.mark.usefixtures("blank_figures")
def test_a_comparison_that_was_made(roster: dict[str, Any], tmp_path: Path) -> None:
    texts = [
        f"{noun} {verb} the bat {number}"
        for number in range(5)
        for noun in ("old crane", "a ball")
        for verb in ("flew", "hit")
    ]
    features = {"majority class": None, "text": TfidfVectorizer(), **roster}
    comparison = compare(
        texts, ["living", "thing"] * 10, features, cv=2, store=None, learning_curve=[0.5, 1.0]
    )
    page = check(comparison, "bat")
    assert "20 texts" in page.text
    assert "20 occurrences" in page.text
    assert re.search(r"intervals of the best of each kind \[\d\]", page.text)
    assert comparison.to_html(tmp_path / "report.html").stat().st_size > 10_000
    assert "<table>" in comparison._repr_html_()


@pytest.mark.usefixtures("blank_figures")
def test_a_single_member(roster: dict[str, Any]) -> None:
    page = check(make_comparison(names=["BERT"], roster=roster))
    assert page.sections == ["verdict", "scores", "cost", "confusion", "settings"]
    assert "No baseline was compared" in page.text
    page = check(make_comparison(names=["TF-IDF words"]))
    assert "No contextual features were compared" in page.text
    for reason in ("No single layer", "No learning curve was requested", "No word was named"):
        assert reason in page.text, "what is left out is said"


@pytest.mark.usefixtures("blank_figures")
def test_without_any_score(roster: dict[str, Any]) -> None:
    comparison = make_comparison(roster=roster, has_scores=False, has_costs=False)
    page = check(comparison)
    assert "Nothing could be scored" in page.text
    assert page.sections == ["verdict", "scores", "confusion", "settings"]
    assert page.tags["svg"] <= 2
    assert "Nothing could be scored" in repr_html(comparison)


@pytest.mark.usefixtures("blank_figures")
def test_held_back_rows_have_a_column(roster: dict[str, Any]) -> None:
    comparison = make_comparison(roster=roster, scoring=("accuracy", "roc_auc"), n_test=1000)
    page = check(comparison)
    for words in ("test set", "0.947 to 1.000", "ROC AUC, test set", "on the test set 0.976"):
        assert words in page.text


@pytest.mark.usefixtures("blank_figures")
def test_only_the_users_own_texts_are_shown(roster: dict[str, Any]) -> None:
    assert "python" not in check(make_comparison(roster=roster)).text
    example = load_example()
    others = example.loc[example["word"].str.lower() != "python", "text"].head(40)
    for texts, is_shown in ((example["text"], True), (others, False)):
        page = check(make_comparison(texts=texts.tolist(), roster=roster))
        assert ("word" in page.sections) == is_shown
        assert ("python" in page.text) == is_shown
        assert "word" not in check(make_comparison(texts=[*texts, "A python"])).sections


@pytest.mark.usefixtures("blank_figures")
def test_a_page_has_a_title_of_its_own(tmp_path: Path) -> None:
    comparison = make_comparison(names=["TF-IDF words"], settings={"file": f"a/{EVIL[0]}.csv"})
    path = comparison.to_html(tmp_path / "report.html", title=f"  Mine\n{EVIL[1]}")
    assert Page(path.read_text("utf-8")).text.count(f"Mine {EVIL[1]}") == 2
    assert "Comparison of text features: script>.csv" in check(comparison).text
    for title in ("", " \n", 3):
        with pytest.raises(InvalidParameterError, match="'title' parameter must be a text"):
            render_report(comparison, title=title)  # type: ignore[arg-type]


def test_a_word_that_is_nowhere_is_the_users_error(roster: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError, match="Got 'crane' instead"):
        render_report(make_comparison(roster=roster), "crane")


@pytest.mark.usefixtures("blank_figures")
def test_a_picture_that_cannot_be_drawn_keeps_no_page_from_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ModelNotFoundError("The model <i>is</i> gone.")

    monkeypatch.setattr(report, "word_occurrences", fail)
    page = check(make_comparison(), "bat")
    assert "A word in context: The model <i>is</i> gone." in page.text
    assert "word" not in page.sections


@pytest.mark.usefixtures("blank_figures")
def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = make_comparison(names=["TF-IDF words"])
    path = tmp_path / "report.html"
    assert comparison.to_html(str(path)) == path
    first = path.read_bytes()
    assert first == render_report(comparison).encode()
    os.umask(umask := os.umask(0))
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    monkeypatch.setattr(report, "render_report", lambda *_: "half")
    monkeypatch.setattr(
        os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(
        InvalidParameterError, match=r"a directory that can be written to.*No space left"
    ):
        comparison.to_html(path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("blank_figures")
def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="there is no folder"):
        make_comparison(names=["TF-IDF words"]).to_html(tmp_path / "nowhere" / "report.html")


def test_a_notebook_shows_the_table() -> None:
    text = repr_html(make_comparison())
    page = Page(text)
    assert page.tags["table"] == 1
    assert page.tags["tr"] == 14
    assert "BERT concat of last 4" in page.text
    assert all(
        rule.startswith(".bertvectorizer-comparison")
        for rule in re.findall(r"^([^{\n<]+)\{", text, re.MULTILINE)
    )
