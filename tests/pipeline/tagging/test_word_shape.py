from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.pipeline.tagging.word_shape import WORD_SHAPES, word_shape

OF_WORD = WORD_SHAPES[:-2]
SMALL, CAPITAL = (
    {"all small letters", "letters only"},
    {"begins with a capital", "title case", "letters only"},
)
CAPITALS = {"begins with a capital", "all capitals", "several capitals", "letters only"}


def shapes_of(word: str) -> set[str]:
    """The shapes of a word in the middle of a sentence."""
    row = word_shape(["x", word, "x"], np.array([0, 3]))[1]
    return {name for name, value in zip(WORD_SHAPES, row, strict=True) if value}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("house", SMALL),
        ("House", CAPITAL),
        ("Ñandú", CAPITAL | {"letters beyond ASCII"}),
        ("NATO", CAPITALS),
        ("XIV", CAPITALS | {"Roman numeral", "2 or 3 characters"}),
        ("iPhone", {"capital inside, after a small letter", "letters only"}),
        (
            "McDonald",
            {
                "begins with a capital",
                "capital inside, after a small letter",
                "several capitals",
                "letters only",
            },
        ),
        ("I", {"begins with a capital", "all capitals", "letters only", "one character"}),
        (
            "J.",
            {
                "begins with a capital",
                "all capitals",
                "initials",
                "full stop inside or behind",
                "2 or 3 characters",
            },
        ),
        ("1999", {"digit", "digits only", "four digits", "number"}),
        ("3,5%", {"digit", "number"}),
        ("21st", {"digit", "number", "letters and digits", "all small letters"}),
        ("x86", {"digit", "letters and digits", "all small letters", "2 or 3 characters"}),
        ("?", {"neither letters nor digits", "ends a sentence", "one character"}),
        ("...", {"neither letters nor digits", "ends a sentence", "2 or 3 characters"}),
        ("“", {"neither letters nor digits", "quotation mark", "one character"}),
        ("'", {"neither letters nor digits", "apostrophe", "quotation mark", "one character"}),
        ("don't", {"apostrophe", "all small letters"}),
        ("so-so", {"hyphen", "all small letters"}),
        ("-", {"neither letters nor digits", "one character"}),
        ("@ann", {"begins with @", "all small letters"}),
        ("#tea", {"begins with #", "all small letters"}),
        ("#", {"neither letters nor digits", "one character"}),
        (
            "https://t.co",
            {
                "web or mail address",
                "full stop inside or behind",
                "all small letters",
                "10 characters or more",
            },
        ),
        ("a@b.org", {"web or mail address", "full stop inside or behind", "all small letters"}),
        ("中文", {"letters only", "letters beyond ASCII", "2 or 3 characters"}),
        ("🦇", {"neither letters nor digits", "one character"}),
        ("", set()),
        (" ", set()),
    ],
)
def test_shapes(word: str, expected: set[str]) -> None:
    assert shapes_of(word) == expected


def test_each_shape_is_seen() -> None:
    capitals, digits = (
        ["House", "NATO", "iPhone", "McDonald", "J.", "XIV", "I"],
        ["1999", "x86", "3.5"],
    )
    others = ["so-so", "é", "?", "don't", "“", "@ann", "#tea", "www.a.b", "it", "beautifully"]
    words = [*capitals, *digits, *others]
    shapes = word_shape(words, np.array([0, len(words)]))
    assert shapes.any(axis=0).all(), [
        name for name, seen in zip(WORD_SHAPES, shapes.any(axis=0), strict=True) if not seen
    ]
    assert len(set(WORD_SHAPES)) == len(WORD_SHAPES) == 29


def test_places() -> None:
    shapes = word_shape(["a", "b", "c", "a"], np.array([0, 0, 3, 4, 4]))
    assert shapes[:, -2].tolist() == [1, 0, 0, 1]
    assert shapes[:, -1].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(shapes[0, :-2], shapes[3, :-2])


@given(words=st.lists(st.text(max_size=8), max_size=6))
def test_any_words(words: list[str]) -> None:
    shapes = word_shape(words, np.array([0, len(words)]))
    assert shapes.shape == (len(words), len(WORD_SHAPES))
    assert shapes.dtype == np.float32
    assert set(np.unique(shapes)) <= {0.0, 1.0}
    for row, word in zip(shapes, words, strict=True):
        np.testing.assert_array_equal(row[:-2], word_shape([word], np.array([0, 1]))[0, :-2])


def test_no_words() -> None:
    assert (
        word_shape([], np.array([0, 0])).shape
        == word_shape([], np.array([0])).shape
        == (0, len(WORD_SHAPES))
    )
