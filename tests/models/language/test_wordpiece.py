"""Vocabularies of word pieces."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.models.language import wordpiece
from bertvectorizer.models.language.wordpiece import learn_wordpiece

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "".join(random.Random(number).choices("abcdefg", k=1 + number % 6)) for number in range(120)
]


def merges(words: Counter[str], pieces: list[str], n_most: int) -> list[str]:
    """Return what merging the most frequent pair gives, again and again; ties by the ids."""
    ids = {piece: number for number, piece in enumerate(pieces)}
    split = {word: [word[0], *(f"##{letter}" for letter in word[1:])] for word in words}
    while len(ids) < n_most:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        first, second = min(pairs, key=lambda p: (-pairs[p], ids[p[0]], ids[p[1]]))
        if pairs[first, second] < 2:
            break
        merged = first + second.removeprefix("##")
        ids.setdefault(merged, len(ids))
        for parts in split.values():
            place = 0
            while place < len(parts) - 1:
                if parts[place : place + 2] == [first, second]:
                    parts[place : place + 2] = [merged]
                place += 1
    return list(ids)


def test_a_vocabulary_takes_no_memory_for_what_texts_do_not_have() -> None:
    """The trainer makes room for the whole size, and ends the process where there is none."""
    found = learn_wordpiece(WORDS, sys.maxsize).get_vocab()
    assert found == learn_wordpiece(WORDS, 8000).get_vocab()
    assert len(learn_wordpiece(WORDS, min_frequency=sys.maxsize)) == 5 + 14


def test_pieces_are_merged_by_frequency(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a plain program does it: with many ties, and more than is counted and fed at once."""
    monkeypatch.setattr(wordpiece, "_CHARACTERS_AT_ONCE", 100)
    monkeypatch.setattr(wordpiece, "_WORDS_A_BLOCK", 7)
    texts = [" ".join(WORDS), " ".join(WORDS[::3]), *["gab " * 10] * 5]
    counted = Counter(" ".join(texts).split())
    letters = sorted(set("".join(WORDS)))
    expected = merges(counted, [*SPECIAL, *letters, *(f"##{each}" for each in letters)], 90)
    found = learn_wordpiece(texts, 90).get_vocab()
    assert sorted(found, key=found.__getitem__) == expected
    assert len(expected) == 90


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["cafe", "cafe", "漢", "字", "😀😀", "##😀", "li", "##l"]),
        (
            {"strip_accents": False},
            ["café", "ca", "##f", "##e", "漢", "字", "😀😀", "##😀", "li", "##l"],
        ),
        ({"lowercase": False}, ["Café", "[UNK]", "漢", "字", "😀😀", "##😀", "li", "##l"]),
        (
            {"lowercase": False, "strip_accents": True},
            ["Cafe", "[UNK]", "漢", "字", "😀😀", "##😀", "li", "##l"],
        ),
        ({"tokenize_chinese_chars": False}, ["cafe", "cafe", "漢字", "😀😀", "##😀", "li", "##l"]),
    ],
)
def test_pieces(settings: dict[str, Any], expected: list[str]) -> None:
    texts = ["Un Café, lit 😀😀", "漢字 Café lin le", "", "a\x00b\ufffd \ud800"] * 2
    tokenizer = learn_wordpiece(texts, 120, **settings)
    pieces = tokenizer.tokenize("Café CAFE 漢字 😀😀😀 lil zoo [MASK]")
    assert pieces == [*expected, "[UNK]", "[MASK]"]
    assert tokenizer("un", "la")["token_type_ids"][-2:] == [1, 1]


def test_words_of_known_characters_are_known() -> None:
    """Also where a character was at the beginning of words only, or inside."""
    tokenizer = learn_wordpiece(["xy xz", "y", "漢 ! x" + "y" * 99, "z" * 101], 30)
    vocabulary = tokenizer.get_vocab()
    assert {"x", "##x", "y", "##y", "z", "##z"} <= set(vocabulary)
    assert not {"##漢", "##!"} & set(vocabulary)
    assert "[UNK]" not in tokenizer.tokenize("zyx yzx! 漢x " + "y" * 100)
    assert tokenizer.tokenize("z" * 101) == ["[UNK]"]


def test_rare_characters_are_left_out() -> None:
    texts = ["abc " * 500, "q", "abq abq"]
    assert "q" in learn_wordpiece(texts, 40, character_coverage=1.0).get_vocab()
    tokenizer = learn_wordpiece(texts, 40, character_coverage=0.99)
    assert tokenizer.tokenize("abc abq ab") == ["abc", "[UNK]", "ab"]


def test_frequency_of_merges() -> None:
    assert "ab" in learn_wordpiece(["ab ab", "cd"], 40, min_frequency=2).get_vocab()
    assert "cd" in learn_wordpiece(["ab ab", "cd"], 40, min_frequency=1).get_vocab()
    assert "ab" not in learn_wordpiece(["ab ab", "cd"], 40, min_frequency=3).get_vocab()


def test_the_vocabulary_holds_all_characters_or_the_error_says_how_many() -> None:
    texts = ["bats, 漢字"]
    with pytest.raises(InvalidParameterError, match="'vocab_size' parameter must be at least") as e:
        learn_wordpiece(texts, 6)
    least = int(re.findall(r"at least (\d+)", str(e.value))[0])
    assert least == len(learn_wordpiece(texts, least).get_vocab()) == 5 + 7 + 4
    with pytest.raises(InvalidParameterError, match=f"{least:,} for these texts"):
        learn_wordpiece(texts, least - 1)
    assert len(learn_wordpiece(texts, 8000).get_vocab()) == least  # nothing to merge


@pytest.mark.parametrize("texts", [[], ["", " \n\t"], ["\ud800\x00"], ["x" * 101]])
def test_no_word(texts: list[str]) -> None:
    with pytest.raises(InvalidTextError, match="at least one word"):
        learn_wordpiece(texts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vocab_size", 5),
        ("vocab_size", "8000"),
        ("vocab_size", 8e3),
        ("lowercase", "yes"),
        ("strip_accents", 1),
        ("tokenize_chinese_chars", None),
        ("min_frequency", 0),
        ("character_coverage", 99.9),
    ],
)
def test_invalid_parameters(name: str, value: object) -> None:
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter must be"):
        learn_wordpiece(["a"], **{name: value})  # type: ignore[arg-type]
