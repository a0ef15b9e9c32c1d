"""Where a word stands in texts."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.features.inputs.find_word import find_word


@pytest.mark.parametrize(
    ("text", "word", "offsets"),
    [
        ("A bat, a Bat!", "bat", [(2, 5), (9, 12)]),
        ("batty combat bat_2 bat2", "bat", []),
        ("¡Él está aquí!", "ÉL", [(1, 3)]),
        ("un cafe\u0301 y un café", "café", [(3, 8), (14, 18)]),
        ("cafe\u0301", "cafe", []),
        ("a credit \n card", "credit card", [(2, 15)]),
        ("我喜欢苹果手机", "苹果", [(3, 5)]),
        ("C++ and c++.", "c++", [(0, 3), (8, 11)]),
        ("a.b aXb", "a.b", [(0, 3)]),
    ],
)
def test_words_are_found_whole(text: str, word: str, offsets: list[tuple[int, int]]) -> None:
    assert find_word([text], word) == [(0, *pair) for pair in offsets]


@pytest.mark.parametrize(
    ("text", "word", "offsets"),
    [
        ("batty combat bat", "bat", [(0, 3), (9, 12), (13, 16)]),
        ("cafe\u0301s and CAFÉS", "café", [(0, 5), (11, 15)]),
        ("credit\tcards", "credit card", [(0, 11)]),
        ("我喜欢苹果手机", "苹果", [(3, 5)]),
        ("a.bc aXb", "a.b", [(0, 3)]),
        ("ball", "bat", []),
    ],
)
def test_words_are_found_as_parts_where_asked(
    text: str, word: str, offsets: list[tuple[int, int]]
) -> None:
    assert find_word([text], word, as_part=True) == [(0, *pair) for pair in offsets]


def test_rows_are_named_in_order() -> None:
    assert find_word(["no", "a bat", "", "bat bat"], "bat") == [(1, 2, 5), (3, 0, 3), (3, 4, 7)]


@settings(max_examples=50)
@given(text=st.text(max_size=20), word=st.text(min_size=1, max_size=4).filter(str.strip))
def test_what_is_found_whole_is_found_as_a_part(text: str, word: str) -> None:
    whole = find_word([text], word)
    for row, start, end in whole:
        assert row == 0
        assert 0 <= start < end <= len(text)
    assert bool(find_word([text], word, as_part=True)) >= bool(whole)


@settings(max_examples=50)
@given(
    before=st.text(max_size=5),
    word=st.text(min_size=1, max_size=4).filter(str.strip),
    after=st.text(max_size=5),
)
def test_a_word_that_is_there_is_found_as_a_part(before: str, word: str, after: str) -> None:
    text = before + normalize("NFC", word.strip()) + after
    (_, start, _), *_ = find_word([text], word, as_part=True)
    assert start <= len(before)


@pytest.mark.parametrize("as_part", [False, True])
@pytest.mark.parametrize("word", ["", "  ", None, 3])
def test_a_word_that_is_none_is_refused(word: object, as_part: bool) -> None:
    with pytest.raises(InvalidParameterError, match="'word' parameter must be a word"):
        find_word(["bat"], word, as_part)  # type: ignore[arg-type]
