"""Tests of models/word_vectors/table.py."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import KeyedVectors
from numpy.typing import NDArray
from sklearn.base import clone

from bertvectorizer import StaticVectorizer, WordVectors, load_word_vectors
from bertvectorizer.errors import InvalidParameterError, UnknownWordError
from bertvectorizer.models.word_vectors import table as word_vectors

pytestmark = pytest.mark.numeric

RNG = np.random.default_rng(11)
WORDS = [f"w{n}" for n in range(300)]
VECTORS = RNG.standard_normal((300, 12), dtype=np.float32)


class Letters:
    """Subwords that know the words of certain letters: the vector counts them."""

    def vectors(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        found = np.array([[word.count("t"), word.count("e")] for word in words], dtype=np.float32)
        return found, found.any(axis=1)


@pytest.fixture(scope="module")
def table() -> WordVectors:
    return WordVectors(WORDS, VECTORS)


@pytest.fixture(scope="module")
def peer() -> KeyedVectors:
    vectors = KeyedVectors(12)
    vectors.add_vectors(WORDS, VECTORS)
    return vectors


def assert_alike(
    found: list[tuple[str, float]], expected: list[tuple[str, float]], tolerance: float = 2e-6
) -> None:
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose(
        [score for _, score in found], [score for _, score in expected], atol=tolerance
    )


class TestLookUp:
    def test_what_it_holds(self, table: WordVectors) -> None:
        assert (len(table), table.n_dims, table.words, table.subwords) == (300, 12, WORDS, None)
        assert ("w7" in table, "x" in table, 7 in table) == (True, False, False)
        np.testing.assert_array_equal(table["w7"], VECTORS[7])
        assert table.rows(["w7", "x", "w0", "w7"]).tolist() == [7, -1, 0, 7]
        assert table.rows([]).tolist() == []
        assert repr(table) == "WordVectors(300 words, 12 dims)"

    @pytest.mark.parametrize("method", ["__getitem__", "most_similar"])
    def test_unknown_words(self, method: str, table: WordVectors) -> None:
        with pytest.raises(UnknownWordError) as error:
            getattr(table, method)("none")
        assert str(error.value) == "The word 'none' is not among the 300 of this table."
        for call in (
            lambda: table.similarity("w1", "none"),
            lambda: table.similarity("none", "w1"),
            lambda: table.analogy("w1", "none", "w2"),
        ):
            with pytest.raises(KeyError, match="'none' is not among"):
                call()

    def test_case_follows_the_table(self) -> None:
        lower = WordVectors(["stockholm", "été", "1999", "ß", "日本"], np.eye(5))
        assert lower.is_lowercase
        assert lower["Stockholm"].tolist() == lower["STOCKHOLM"].tolist() == [1, 0, 0, 0, 0]
        assert "Été" in lower
        assert lower.rows(["Stockholm", "stockholm"]).tolist() == [-1, 0]  # as they are spelt
        assert lower.similarity("Stockholm", "STOCKHOLM") == 1
        mixed = WordVectors(["stockholm", "Apple"], np.eye(2))
        assert not mixed.is_lowercase
        assert "Stockholm" not in mixed
        assert "apple" not in mixed

    def test_a_word_as_it_is_spelt_comes_first(self) -> None:
        table = WordVectors(["ǆ", "tea"], np.eye(2))
        assert table["Tea"].tolist() == [0, 1]

    def test_subwords_serve_words_that_are_not_there(self) -> None:
        table = WordVectors(["tea", "cup"], np.eye(2), subwords=Letters())
        assert table["tea"].tolist() == [1, 0]
        assert table["TEETH"].tolist() == [2, 2]  # in lower case, as the table
        assert "teeth" not in table
        assert table.similarity("teeth", "tea") == pytest.approx(0.5**0.5)
        assert table.most_similar("tt") == [("tea", 1.0), ("cup", 0.0)]
        assert repr(table) == "WordVectors(2 words, 2 dims, subwords)"
        with pytest.raises(UnknownWordError):
            table["xyz"]

    def test_subwords_of_a_table_with_capitals_are_asked_as_spelt(self) -> None:
        table = WordVectors(["Tea"], [[1.0, 0.0]], subwords=Letters())
        assert table["Teet"].tolist() == [1, 2]


class TestImmutable:
    def test_nothing_can_be_written(self, table: WordVectors) -> None:
        for vectors in (table.vectors, table["w1"]):
            with pytest.raises(ValueError, match="read-only"):
                vectors[0] = 1
        table.words.append("more")
        assert len(table.words) == 300

    def test_copies_are_the_same_object(self, table: WordVectors) -> None:
        assert copy.copy(table) is copy.deepcopy(table) is copy.deepcopy([table])[0] is table
        assert clone(StaticVectorizer(table)).vectors is table
        assert load_word_vectors(table) is table

    def test_pickles(self, table: WordVectors) -> None:
        for protocol in range(2, 6):
            again = pickle.loads(pickle.dumps(table, protocol=protocol))
            assert (again.words, again.fingerprint) == (table.words, table.fingerprint)
            np.testing.assert_array_equal(again.vectors, table.vectors)
            assert not again.vectors.flags.writeable
        again = pickle.loads(pickle.dumps(WordVectors(["tea"], [[1, 2]], subwords=Letters())))
        assert again["tet"].tolist() == [2, 1]


class TestFingerprint:
    def test_it_depends_on_content_alone(self) -> None:
        one = WordVectors(["tea", "cup"], [[1, 2], [3, 4]])
        same = WordVectors(("tea", "cup"), np.array([[1, 2], [3, 4]], dtype=np.float64, order="F"))
        assert one.fingerprint == same.fingerprint
        assert len(one.fingerprint) == 32

    def test_every_difference_tells(self) -> None:
        tables = [
            WordVectors(["tea", "cup"], [[1, 2], [3, 4]]),
            WordVectors(["cup", "tea"], [[1, 2], [3, 4]]),
            WordVectors(["teac", "up"], [[1, 2], [3, 4]]),
            WordVectors(["tea\nc", "up"], [[1, 2], [3, 4]]),
            WordVectors(["tea", "c\nup"], [[1, 2], [3, 4]]),
            WordVectors(["tea", "cup"], [[1, 2], [3, 5]]),
            WordVectors(["tea", "cup"], [[1], [2]]),
            WordVectors(["tea", "\ud800"], [[1, 2], [3, 4]]),
            WordVectors(["tea", "\ud801"], [[1, 2], [3, 4]]),
            WordVectors(["tea", "cup"], [[1, 2], [3, 4]], subwords=Letters()),
        ]
        assert len({table.fingerprint for table in tables}) == len(tables)

    def test_no_two_ways_to_put_line_ends(self) -> None:
        assert (
            WordVectors(["a\nb", "c"], np.eye(2)).fingerprint
            != WordVectors(["a", "b\nc"], np.eye(2)).fingerprint
        )


class TestSave:
    def test_round_trip(self, table: WordVectors, tmp_path: Path) -> None:
        table.save(tmp_path / "v.safetensors")
        table.save(str(tmp_path / "w.safetensors"))
        for name in ("v", "w"):
            again = load_word_vectors(tmp_path / f"{name}.safetensors")
            assert again.words == table.words
            np.testing.assert_array_equal(again.vectors, table.vectors)

    def test_other_names(self, table: WordVectors, tmp_path: Path) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'path' parameter must be a file name that ends in '\.safetensors'",
        ):
            table.save(tmp_path / "v.txt")


class TestSimilarity:
    def test_as_gensim_has_it(self, table: WordVectors, peer: KeyedVectors) -> None:
        for one, other in RNG.integers(0, 300, (100, 2)):
            assert table.similarity(WORDS[one], WORDS[other]) == pytest.approx(
                peer.similarity(WORDS[one], WORDS[other]), abs=1e-6
            )

    def test_zeros_and_extremes(self) -> None:
        huge = np.finfo(np.float32).max
        table = WordVectors(list("zabc"), [[0, 0], [huge, huge], [1e-40, 1e-40], [-huge, -huge]])
        assert table.similarity("z", "z") == table.similarity("z", "a") == 0
        assert table.similarity("a", "b") == pytest.approx(1)
        assert table.similarity("a", "c") == pytest.approx(-1)
        assert table.similarity("a", "c") >= -1


class TestMostSimilar:
    @pytest.mark.parametrize("n", [1, 10, 299])
    def test_as_gensim_has_it(self, n: int, table: WordVectors, peer: KeyedVectors) -> None:
        for word in WORDS[::29]:
            assert_alike(table.most_similar(word, n), peer.most_similar(word, topn=n))

    def test_more_than_there_are(self, table: WordVectors) -> None:
        found = table.most_similar("w3", 10**6)
        assert len({word for word, _ in found}) == 299
        assert "w3" not in dict(found)
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True)

    def test_the_only_word_has_no_neighbours(self) -> None:
        assert WordVectors(["tea"], [[1.0]]).most_similar("tea") == []

    @pytest.mark.parametrize("n", [1, 2, 5, 50])
    def test_of_equals_the_first_rows_are_taken(self, n: int) -> None:
        table = WordVectors([f"w{row}" for row in range(101)], [[1, 0], *([[2, 0], [0, 1]] * 50)])
        assert table.most_similar("w0", n) == [(f"w{row}", 1.0) for row in range(1, 101, 2)][:n]

    def test_zeros_are_like_nothing(self) -> None:
        table = WordVectors(["zero", "a", "b", "c"], [[0, 0], [1, 0], [-1, 0], [0, 0]])
        assert table.most_similar("a") == [("zero", 0.0), ("c", 0.0), ("b", -1.0)]
        assert table.most_similar("zero") == [("a", 0.0), ("b", 0.0), ("c", 0.0)]

    @pytest.mark.parametrize("scale", [1e-45, 1e-30, 1e-20, 1e19, 1e25, 1e37])
    def test_extreme_lengths_give_no_nan(self, scale: float) -> None:
        table = WordVectors(["a", "b", "c"], np.array([[1, 0.5], [0.5, 1], [-1, 0]]) * scale)
        found = dict(table.most_similar("a"))
        assert np.isfinite(list(found.values())).all()
        if scale > 1e-30:
            assert found == pytest.approx({"b": 0.8, "c": -(0.8**0.5)}, abs=1e-5)
        for method in ("3cosadd", "3cosmul"):
            assert np.isfinite(
                [score for _, score in table.analogy("a", "a", "b", method=method)]
            ).all()  # type: ignore[arg-type]

    def test_tables_of_several_parts(
        self, monkeypatch: pytest.MonkeyPatch, peer: KeyedVectors
    ) -> None:
        monkeypatch.setattr(word_vectors, "_ROWS_AT_ONCE", 7)
        assert_alike(WordVectors(WORDS, VECTORS).most_similar("w250"), peer.most_similar("w250"))

    @pytest.mark.parametrize("n", [0, -1, 1.5, None, True, "3"])
    def test_n(self, n: Any, table: WordVectors) -> None:
        for call in (
            lambda: table.most_similar("w1", n),
            lambda: table.analogy("w1", "w2", "w3", n),
        ):
            with pytest.raises(
                InvalidParameterError, match=r"'n' parameter must be an int in the range \[1, inf\)"
            ):
                call()

    def test_the_word_is_left_out_in_every_spelling(self) -> None:
        table = WordVectors(["tea", "cup"], np.eye(2))
        assert table.most_similar("Tea") == [("cup", 0.0)]


class TestAnalogy:
    @pytest.mark.parametrize("n", [1, 10, 1000])
    def test_3cosadd_as_gensim_has_it(self, n: int, table: WordVectors, peer: KeyedVectors) -> None:
        for a, b, c in RNG.integers(0, 300, (20, 3)).tolist():
            if (
                len({a, b, c}) == 3
            ):  # gensim takes a word that is both added and subtracted for another
                expected = peer.most_similar(
                    positive=[WORDS[b], WORDS[c]], negative=[WORDS[a]], topn=n
                )
                assert_alike(table.analogy(WORDS[a], WORDS[b], WORDS[c], n), expected)

    @pytest.mark.filterwarnings(
        "ignore:Call to deprecated `init_sims`:DeprecationWarning"
    )  # gensim's own call
    @pytest.mark.parametrize("n", [1, 10, 1000])
    def test_3cosmul_as_gensim_has_it(
        self, n: int, table: WordVectors, peer: KeyedVectors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(word_vectors, "_EPSILON", 1e-6)  # gensim's; the paper's is 0.001
        for a, b, c in RNG.integers(0, 300, (20, 3)).tolist():
            if len({a, b, c}) == 3:
                expected = peer.most_similar_cosmul(
                    positive=[WORDS[b], WORDS[c]], negative=[WORDS[a]], topn=n
                )
                assert_alike(
                    table.analogy(WORDS[a], WORDS[b], WORDS[c], n, "3cosmul"), expected, 1e-4
                )

    def test_3cosmul_by_hand(self) -> None:
        table = WordVectors(list("abcd"), [[1, 0], [0, 1], [0.6, 0.8], [0.8, -0.6]])
        (word, score), *_ = table.analogy("a", "b", "c", method="3cosmul")
        assert (word, score) == (
            "d",
            pytest.approx((1 - 0.6) / 2 * (1 + 0.0) / 2 / ((1 + 0.8) / 2 + 0.001), abs=1e-6),
        )

    @pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
    def test_the_words_given_are_never_the_answer(self, method: Any) -> None:
        table = WordVectors(["tea", "cup", "pot", "can"], np.eye(4))
        assert {word for word, _ in table.analogy("TEA", "Cup", "pot", method=method)} == {"can"}
        assert {word for word, _ in table.analogy("tea", "tea", "tea", method=method)} == {
            "cup",
            "pot",
            "can",
        }
        assert WordVectors(["tea"], [[1.0]]).analogy("tea", "tea", "tea", method=method) == []

    @pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
    def test_zeros(self, method: Any) -> None:
        table = WordVectors(["zero", "a", "b"], [[0, 0], [1, 0], [0, 1]])
        found = table.analogy("zero", "zero", "zero", method=method)
        assert [word for word, _ in found] == ["a", "b"]
        assert np.isfinite([score for _, score in found]).all()

    def test_with_words_made_of_parts(self) -> None:
        table = WordVectors(["tea", "cup", "pot"], [[1, 0], [0, 1], [-1, 0]], subwords=Letters())
        assert table.analogy("tea", "cup", "tt")[0] == ("pot", 0.0)

    @pytest.mark.parametrize("method", ["cosadd", "", None, ["3cosadd"]])
    def test_method(self, method: Any, table: WordVectors) -> None:
        with pytest.raises(
            InvalidParameterError, match="'method' parameter must be one of '3cosadd', '3cosmul'"
        ):
            table.analogy("w1", "w2", "w3", method=method)
        with pytest.raises(
            InvalidParameterError, match="'method' parameter must be one of '3cosadd', '3cosmul'"
        ):
            table.evaluate_analogies("none.txt", method=method)


class TestConstruction:
    def test_lists_arrays_and_other_types(self) -> None:
        table = WordVectors(("tea", "cup"), [[1, 2], [3, 4]])
        assert (table.vectors.dtype, table.vectors.tolist()) == (np.float32, [[1, 2], [3, 4]])

    @pytest.mark.parametrize(
        ("words", "vectors", "expected"),
        [
            (["a", "a"], np.eye(2), "distinct words"),
            (["a", 1], np.eye(2), "a sequence of str"),
            (["a"], np.eye(2), "a row for each of the 1 words"),
            (["a", "b"], [[1, 2], [3, np.nan]], "finite numbers; row 1"),
            ([], np.empty((0, 2)), "at least one word"),
        ],
    )
    def test_what_breaks_the_rules(self, words: Any, vectors: Any, expected: str) -> None:
        with pytest.raises(InvalidParameterError, match=expected):
            WordVectors(words, vectors)


def test_a_few_markers_in_upper_case_do_not_make_a_table_cased() -> None:
    words = [f"w{number}" for number in range(198)]
    vectors = np.arange(400, dtype=np.float32).reshape(200, 2)
    table = WordVectors([*words, "UNK", "the"], vectors)
    assert table.is_lowercase
    np.testing.assert_array_equal(table["The"], table["the"])
    np.testing.assert_array_equal(table["UNK"], vectors[198])
    assert not WordVectors([*words[:-2], "UNK", "Paris", "London", "the"], vectors).is_lowercase
