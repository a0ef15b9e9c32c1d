"""Tests of models/word_vectors/checks.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.models.word_vectors.checks import check_vectors, check_words


class TestWords:
    @pytest.mark.parametrize(
        "words",
        [
            ["tea", "Tea", "nan", "#", "1999", "\ud800", " ", "a b"],
            ("tea",),
            pd.Index(["tea", "cup"]),
        ],
    )
    def test_distinct_words_become_a_list(self, words: Any) -> None:
        assert check_words(words) == list(words)

    def test_a_generator_is_read_once(self) -> None:
        assert check_words(word for word in "abc") == ["a", "b", "c"]

    @pytest.mark.parametrize("words", ["tea", b"tea", {"tea": 1}, 5, None])
    def test_what_is_no_sequence(self, words: Any) -> None:
        with pytest.raises(
            InvalidParameterError, match=r"'words' parameter must be a sequence of str\. Got"
        ):
            check_words(words)

    @pytest.mark.parametrize("word", ["", b"tea", 1, None, float("nan")])
    def test_what_is_no_word_is_shown(self, word: Any) -> None:
        with pytest.raises(
            InvalidParameterError, match="a sequence of str, none of them empty"
        ) as error:
            check_words(["tea", word])
        assert repr(word) in str(error.value)

    def test_a_repeated_word_is_named(self) -> None:
        with pytest.raises(
            InvalidParameterError, match=r"a sequence of distinct words\. Got 'cup' instead"
        ):
            check_words(["tea", "cup", "pot", "cup"])

    def test_none_at_all(self) -> None:
        with pytest.raises(InvalidParameterError, match="at least one word"):
            check_words([])


class TestVectors:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.bool_])
    def test_numbers_become_float32(self, dtype: Any) -> None:
        vectors = check_vectors(np.eye(3, dtype=dtype), 3)
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, np.eye(3))

    def test_float32_is_not_copied_and_its_owner_may_still_write(self) -> None:
        own = np.ones((2, 2), dtype=np.float32)
        vectors = check_vectors(own, 2)
        assert np.shares_memory(own, vectors)
        assert (own.flags.writeable, vectors.flags.writeable) == (True, False)

    @pytest.mark.parametrize(
        "vectors", [[1.0, 2.0], [[1.0], [2.0], [3.0]], [[], []], 1.0, [[[1.0]], [[2.0]]]]
    )
    def test_another_shape(self, vectors: Any) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"a row for each of the 2 words, and at least one column\. Got \(",
        ):
            check_vectors(vectors, 2)

    @pytest.mark.parametrize(
        "vectors",
        [[["tea"], ["cup"]], [[1.0], [2.0, 3.0]], [[None], [{}]], [[1j], [2j]], [[pd.NA], [1]]],
    )
    def test_what_is_no_matrix_of_numbers(self, vectors: Any) -> None:
        with pytest.raises(InvalidParameterError, match="a matrix of numbers"):
            check_vectors(vectors, 2)

    @pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e39])
    @pytest.mark.parametrize("row", [0, 1, 4])
    def test_a_row_that_is_not_finite_is_named(
        self, number: float, row: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bertvectorizer.models.word_vectors.checks._ROWS_AT_ONCE", 2)
        vectors = np.ones((5, 3))
        vectors[row, 1] = number
        with pytest.raises(InvalidParameterError, match=rf"finite numbers; row {row} has others"):
            check_vectors(vectors, 5)

    def test_complex_numbers_are_refused(self) -> None:
        with pytest.raises(InvalidParameterError, match="a matrix of numbers"):
            check_vectors(np.ones((1, 2), dtype=np.complex64), 1)
