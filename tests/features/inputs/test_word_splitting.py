from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.features.inputs.word_splitting import (
    WORD_PATTERN,
    TextWords,
    check_tokenizer,
    split_words,
)


def words_of(found: TextWords) -> list[list[str]]:
    """The words of each text, as lists again."""
    assert len(found.words) == len(set(found.words))
    assert found.ids.dtype == found.offsets.dtype == np.int64
    np.testing.assert_array_equal(found.lengths, np.diff(found.offsets))
    np.testing.assert_array_equal(
        np.bincount(found.texts, minlength=len(found.lengths)), found.lengths
    )
    bounds = zip(found.offsets[:-1], found.offsets[1:], strict=True)
    return [[found.words[index] for index in found.ids[start:end]] for start, end in bounds]


# Characters that split, join or change letters: white space of all kinds, punctuation, combining
# marks, what lower() looks at or lengthens.
SPACES = " \t\n\v\f\r\x1c\x1f\x85\xa0\u1680\u2003\u2028\u3000\ufeff\u200b"
PECULIAR = (
    "ΑΣςσΒ.:'’·İıIiß\u0130\u0307\u0301\u1e9eKÅǅ_-+0٣½²\x00\x07\x7f"
    "中文字🦇👩\u200d👧\ufe0fa\u00adb\ufffd𝐀ªºʰ"
)
wild_text = st.one_of(
    st.text(st.sampled_from(SPACES + PECULIAR + "abcXYZ"), max_size=24),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=24),
)
wild_texts = st.lists(wild_text, max_size=6)


@settings(max_examples=400)
@given(texts=wild_texts, lowercase=st.booleans())
@example(["The ΟΔΟΣ. The End"], True)
@example(["Odd Words", "ΟΔΟΣ", "Odd Words"], True)
@example(["ΑΣ'Β ΑΣ Β", "Α.Σ", "Σ", "ΣΣ ΣΣ."], True)
@example(["", "", " "], True)
@example(["a", "a b", "ab_", "_ab", "__"], False)
def test_the_quick_path_is_scikit_learns_pattern(texts: list[str], lowercase: bool) -> None:
    expected = [re.findall(WORD_PATTERN, text.lower() if lowercase else text) for text in texts]
    found = split_words(texts, WORD_PATTERN, lowercase)
    assert words_of(found) == expected
    analyze = CountVectorizer(lowercase=lowercase).build_analyzer()
    assert expected == [analyze(text) for text in texts]
    assert (
        words_of(split_words(texts, WORD_PATTERN.removeprefix("(?u)"), lowercase)) == expected
    )  # the other path
    assert found.words == list(dict.fromkeys(word for words in expected for word in words)), (
        "not in the order of their appearance"
    )


@settings(max_examples=100)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=[]), max_size=12), min_size=1, max_size=4
    ),
    pattern=st.booleans(),
)
@example(["ab\ud800cd", "ab\udfff\ud800cd"], True)
@example(["x\ud835\udc00y \ud83e\udd87"], False)
def test_lone_surrogates_are_read_as_the_replacement_character(
    texts: list[str], pattern: bool
) -> None:
    clean = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    tokenizer = WORD_PATTERN if pattern else r"\S+"
    assert words_of(split_words(texts, tokenizer, True)) == [
        re.findall(tokenizer, text.lower()) for text in clean
    ]


def test_neighbours_change_nothing() -> None:
    texts = ["The ΟΔΟΣ", "THE end", "中文 Odd\tWORDS", "ΑΣ'Β", "\ud800 ab", "", "Résumé RÉSUMÉ"]
    together = words_of(split_words(texts, WORD_PATTERN, True))
    assert together == [words_of(split_words([text], WORD_PATTERN, True))[0] for text in texts]
    assert together[:2] == [["the", "οδος"], ["the", "end"]]


@pytest.mark.parametrize("tokenizer", [WORD_PATTERN, r"\w+", str.split])
@pytest.mark.parametrize(
    ("texts", "n_words"), [([], 0), ([""], 0), (["", " ", "\n"], 0), (["", "tea cup", ""], 2)]
)
def test_texts_without_words(tokenizer: Any, texts: list[str], n_words: int) -> None:
    found = split_words(texts, tokenizer, True)
    assert (len(found.words), len(found.ids), len(found.offsets)) == (
        n_words,
        n_words,
        len(texts) + 1,
    )
    assert found.lengths.tolist() == [len(text.split()) for text in texts]
    assert words_of(found.only(np.zeros(n_words, dtype=bool))) == [[] for _ in texts]


def test_words_can_be_left_out() -> None:
    found = split_words(["the bat the ball", "ball", "", "the"], WORD_PATTERN, True)
    assert found.words == ["the", "bat", "ball"]
    assert words_of(found.only(np.array([False, True, True]))) == [
        ["bat", "ball"],
        ["ball"],
        [],
        [],
    ]
    assert found.only(np.ones(3, dtype=bool)) is found


def test_times_counts_repeated_texts() -> None:
    found = split_words(["the bat the ball", "ball", "", "owl"], WORD_PATTERN, True)
    assert found.times(np.array([2, 3, 9, 0])).tolist() == [4, 2, 5, 0]
    assert found.times(np.array([2, 3, 9, 0])).dtype == np.int64


# ---- Tokenizers


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"\S+", ["a-b,", "c'd", "\tx".strip(), "y."]),
        (r"[a-z]", list("abcdxy")),
        (r"([a-z])[-']", ["a", "c"]),  # one group: what it holds, as in scikit-learn
        (r"(?:a|c)\W", ["a-", "c'"]),
        (r"a(q)?", []),  # a group that takes no part is no word
        (r"\w*", list("abcdxy")),  # empty matches are none either
    ],
)
def test_patterns(pattern: str, expected: list[str]) -> None:
    assert words_of(split_words(["A-b, C'd \tx y.", ""], pattern, True)) == [expected, []]


def by_generator(text: str) -> Iterable[str]:
    yield from text.split()


@pytest.mark.parametrize(
    "tokenizer",
    [
        str.split,
        by_generator,
        lambda text: tuple(text.split()),
        lambda text: np.array(text.split()),
        lambda text: dict.fromkeys(text.split()),
        lambda text: map(str, text.split()),
        lambda text: text.split(" "),  # gives "" between two spaces
        type("Tokenizer", (), {"__call__": lambda self, text: text.split()})(),
    ],
)
def test_callables(tokenizer: Callable[[str], Iterable[str]]) -> None:
    assert check_tokenizer(tokenizer) is tokenizer
    found = split_words(["New  York", "", "in New-York"], tokenizer, False)
    assert words_of(found) == [["New", "York"], [], ["in", "New-York"]]
    assert {type(word) for word in found.words} == {str}
    assert words_of(split_words(["New York"], tokenizer, True)) == [["new", "york"]], (
        "callables get lower-cased text"
    )


def test_callables_see_each_text_once_and_in_order() -> None:
    seen: list[str] = []

    def tokenize(text: str) -> list[str]:
        seen.append(text)
        return [text]

    split_words(["b", "A", "b"], tokenizer=tokenize, lowercase=False)
    assert seen == ["b", "A", "b"]


@pytest.mark.parametrize(
    "returned", [None, 5, "tea", b"tea", [1], [["tea"]], ["tea", None], [b"tea"], np.array([1.5])]
)
def test_callables_that_return_something_else(returned: Any) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        split_words(["tea cup"], lambda text: returned, False)
    message = str(caught.value)
    assert message.startswith(
        "The 'tokenizer' parameter must be a callable that returns a list of str for each text. For"
        " 'tea cup' it returned "
    )
    assert message.endswith(
        f"{list(returned) if isinstance(returned, (list, np.ndarray)) else returned!r}."
    )


def test_a_generator_that_gives_no_words_is_shown_by_what_it_gave() -> None:
    with pytest.raises(InvalidParameterError, match=re.escape("it returned [3, 4].")):
        split_words(["tea cup"], lambda text: (len(word) + 0 for word in ["tea", "four"]), False)


def test_errors_of_a_callable_are_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        split_words(["tea"], lambda text: [text * (1 // 0)], False)


@pytest.mark.parametrize(
    "tokenizer",
    ["(", r"(\w)(\w)", "a{99999999999999999999}", "*", None, 5, b"\\w+", ["a"], re.compile(r"\w+")],
)
def test_wrong_tokenizers(tokenizer: Any) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        check_tokenizer(tokenizer)
    message = str(caught.value)
    assert message.startswith(
        "The 'tokenizer' parameter must be a callable that returns the words of a text, or a"
        " regular expression"
    )
    assert message.endswith(f"Got {tokenizer!r} instead.")


def test_words_are_ordinary_strings_that_can_be_stored() -> None:
    found = split_words(["The bat"], WORD_PATTERN, True)
    again = pickle.loads(pickle.dumps(found))
    assert again.words == ["the", "bat"]
    np.testing.assert_array_equal(again.ids, found.ids)
