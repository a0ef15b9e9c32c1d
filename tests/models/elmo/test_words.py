"""Words of texts and their characters, as bilm-tf numbers them."""

from __future__ import annotations

import numpy as np
import pytest

from bertvectorizer.models.elmo.words import ElmoTokenizer, characters_of
from tests.tiny_elmo import characters


def test_characters_are_bytes_between_marks() -> None:
    words = [
        "",
        "a",
        "naïve",
        "🦇🦇🦇",
        "0123456789",
        "01234567890123",
        "\0",
        "<S>",
        "</S>",
        "<UNK>",
    ]
    expected = [characters(word, 12) for word in words]
    np.testing.assert_array_equal(characters_of(words, 12), expected)
    assert characters_of([], 12).shape == (0, 12)


def split(text: str, whole: list[tuple[int, int]] | None = None) -> list[str]:
    tokenizer = ElmoTokenizer("model", 12)
    bounds = None if whole is None else [np.array(whole, dtype=np.int64).reshape(-1, 2)]
    encoded = tokenizer([text], whole=bounds, return_offsets_mapping=True)
    found = [text[start:end] for start, end in encoded["offset_mapping"][0]]
    np.testing.assert_array_equal(
        encoded["characters"][encoded["input_ids"][0]], characters_of(found, 12)
    )
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n", []),
        ("The bat's wing.", ["The", "bat", "'", "s", "wing", "."]),
        ("U.S. e-mail_x", ["U", ".", "S", ".", "e", "-", "mail", "_", "x"]),
        ("¿Qué?\u00a0cafe\u0301s", ["¿", "Qué", "?", "cafe\u0301s"]),
        ("नमस्ते 東京 🦇", ["नमस्ते", "東京", "🦇"]),
    ],
)
def test_texts_are_split_at_white_space_and_punctuation(text: str, expected: list[str]) -> None:
    assert split(text) == expected


def test_given_words_stay_whole_and_the_text_between_is_split() -> None:
    text = "In New York, don't!"
    assert split(text, [(3, 11), (0, 0), (13, 18)]) == ["In", "New York", ",", "don't", "!"]
    # The outer of two that overlap is one.
    assert split(text, [(4, 6), (3, 11)]) == ["In", "New York", ",", "don", "'", "t", "!"]
    assert split(text, []) == split(text)
