"""Tests of models/word_vectors/evaluation.py, by the methods of WordVectors."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import KeyedVectors

from bertvectorizer import WordVectors, load_word_vectors
from bertvectorizer.errors import InvalidParameterError, InvalidTableError
from bertvectorizer.models.word_vectors import table as word_vectors
from bertvectorizer.models.word_vectors.evaluation import (
    AnalogyScore,
    SectionScore,
    SimilarityScore,
)

pytestmark = pytest.mark.numeric

RNG = np.random.default_rng(5)
WORDS = [f"w{n}" for n in range(60)]
VECTORS = RNG.standard_normal((60, 6), dtype=np.float32)


@pytest.fixture(scope="module")
def table() -> WordVectors:
    return WordVectors(WORDS, VECTORS)


@pytest.fixture(scope="module")
def peer() -> KeyedVectors:
    vectors = KeyedVectors(6)
    vectors.add_vectors(WORDS, VECTORS)
    return vectors


@pytest.fixture(scope="module")
def glove(shared_data: Path) -> Path:
    return shared_data / "glove_subsets" / "glove.twitter.27B.25d.subset11925.txt"


def file_of(directory: Path, text: str | bytes) -> Path:
    path = directory / "file.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestSimilarity:
    def test_as_gensim_has_it(self, table: WordVectors, peer: KeyedVectors, tmp_path: Path) -> None:
        ones, others = RNG.integers(0, 40, 200), RNG.integers(40, 80, 200)
        pairs = [
            f"w{one}\tw{other}\t{score:.3f}\n"
            for one, other, score in zip(ones, others, RNG.random(200), strict=True)
        ]
        file = file_of(tmp_path, "".join(pairs))
        pearson, spearman, unknown = peer.evaluate_word_pairs(file)
        score = table.evaluate_similarity(file)
        assert (score.pearson, score.spearman) == pytest.approx(
            (pearson.statistic, spearman.statistic), abs=1e-6
        )
        assert score.n_pairs + score.n_unknown == 200
        assert score.n_unknown / 2 == pytest.approx(unknown)

    @pytest.mark.parametrize(
        "text",
        [
            "w1\tw2\t3.5\nw3\tw4\t1e0\nw5\tw6\t2\n",
            "w1,w2,3.5\nw3, w4, 1.0\nw5,w6,2",
            "w1;w2;3.5\nw3;w4;1.0\nw5;w6;2\n",
            "w1 w2 3.5\nw3  w4   1.0\nw5 w6 2\n",
            "\ufeffw1\tw2\t3.5\r\n\r\nw3\tw4\t1.0\r\nw5\tw6\t2\r\n",
            "Word 1,Word 2,Human (mean)\nw1,w2,3.5\nw3,w4,1.0\nw5,w6,2\n",
            "word1\tword2\tPOS\tSimLex999\tconc(w1)\nw1\tw2\tA\t3.5\t9\nw3\tw4\tN\t1.0\t9\nw5\tw6\tV\t2\t9\n",
            "# made by hand\nW1\tw2\t3.5\n\nw3\tW4\t1.0\n# end\nw5\tw6\t2\n",
            "w1\tw2\t3.5\tsynonyms\nw3\tw4\t1.0\tnone\nw5\tw6\t2\tnone\n",
        ],
    )
    def test_forms(self, text: str, table: WordVectors, tmp_path: Path) -> None:
        expected = table.evaluate_similarity(
            file_of(tmp_path, "w1\tw2\t3.5\nw3\tw4\t1.0\nw5\tw6\t2\n")
        )
        assert (expected.n_pairs, expected.n_unknown) == (3, 0)
        assert table.evaluate_similarity(file_of(tmp_path, text)) == expected
        assert table.evaluate_similarity(str(file_of(tmp_path, text))) == expected

    def test_the_names_of_columns_are_no_pair(self, tmp_path: Path) -> None:
        table = WordVectors(["word", "1", "a", "b", "c"], np.eye(5))
        score = table.evaluate_similarity(
            file_of(tmp_path, "Word 1,Word 2,Human (mean)\na,b,1\nb,c,2\n")
        )
        assert score.n_pairs == 2

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("w1 w2 1\nw3 w4\n", 2),
            ("w1 w2 1\n\n# note\nw3 w4 high\n", 4),
            ("w1 w2 1\r\nw1 w2 1\r\nw3 w4 nan\r\n", 3),
            ("w1 w2 1\nw3 w4 1e999\n", 2),
            ("w1 w2 1\nw3,,1\n", 2),
            ("w1 w2 1\n,w3,1\n", 2),
            ("w1 w2 1\nw3 w4 \u0663\n", 2),
            ("w1 w2 1\nw\u2028 w 1\nx\x0b\n", 3),
            ("w1 w2\n", 1),
            ("w1\n", 1),
        ],
    )
    def test_a_line_that_is_none_is_named(
        self, text: str, line: int, table: WordVectors, tmp_path: Path
    ) -> None:
        file = file_of(tmp_path, text)
        with pytest.raises(
            InvalidTableError,
            match=rf"^Line {line} of '{file}' must hold two words and a number, .*Got '.*' instead",
        ):
            table.evaluate_similarity(file)

    @pytest.mark.parametrize(
        "text",
        ["", "# nothing\n", "x y 1\n", "w1 w2 1\n", "w1 w2 1\nw3 w4 1\n", "w1 w2 1\nw1 w2 2\n"],
    )
    def test_too_little_to_compare(self, text: str, table: WordVectors, tmp_path: Path) -> None:
        score = table.evaluate_similarity(file_of(tmp_path, text))
        assert math.isnan(score.spearman)
        assert math.isnan(score.pearson)
        assert score.n_pairs == text.count("w") // 2

    @pytest.mark.parametrize("evaluate", ["evaluate_similarity", "evaluate_analogies"])
    def test_files_that_cannot_be_read(
        self, evaluate: str, table: WordVectors, tmp_path: Path
    ) -> None:
        with pytest.raises(InvalidTableError, match="There is no file"):
            getattr(table, evaluate)(tmp_path / "none.txt")
        with pytest.raises(InvalidTableError, match="cannot be read as text in utf-8"):
            getattr(table, evaluate)(tmp_path)
        with pytest.raises(InvalidTableError, match="cannot be read as text in utf-8"):
            getattr(table, evaluate)(file_of(tmp_path, b"w1 w2 \xff\n"))

    def test_words_made_of_parts_count(self, tmp_path: Path) -> None:
        class Known:
            def vectors(self, words: Any) -> Any:
                return np.ones((len(words), 2), dtype=np.float32), np.array(
                    [word != "none" for word in words]
                )

        table = WordVectors(["a", "b"], np.eye(2), subwords=Known())
        score = table.evaluate_similarity(file_of(tmp_path, "a b 1\na new 2\nb none 3\n"))
        assert (score.n_pairs, score.n_unknown) == (2, 1)

    def test_wordsim_353_on_glove(self, glove: Path, shared_data: Path) -> None:
        score = load_word_vectors(glove).evaluate_similarity(
            shared_data / "word_similarity_en" / "EN-WS-353-ALL.txt"
        )
        assert (round(score.spearman, 3), score.n_pairs) == (0.427, 284)

    def test_every_shared_file(self, glove: Path, shared_data: Path) -> None:
        table = load_word_vectors(glove)
        peer = KeyedVectors(table.n_dims)
        peer.add_vectors(table.words, table.vectors)
        files = sorted((shared_data / "word_similarity_en").glob("EN-*.txt"))
        assert len(files) == 13
        for file in files:
            score = table.evaluate_similarity(file)
            lines = [line.split() for line in file.read_text().splitlines()]
            assert score.n_pairs + score.n_unknown == len(lines)
            known = [
                (one.lower(), other.lower())
                for one, other, *_ in lines
                if one.lower() in peer and other.lower() in peer
            ]
            assert score.n_pairs == len(known) > 3
            if all(len(line) == 3 for line in lines):
                pearson, spearman, _ = peer.evaluate_word_pairs(file, delimiter=None)
                assert (score.pearson, score.spearman) == pytest.approx(
                    (pearson.statistic, spearman.statistic), abs=1e-6
                ), file.name


class TestAnalogies:
    @pytest.fixture
    def questions(self, tmp_path: Path) -> Path:
        lines = []
        for section in ("one", "two"):
            lines.append(f": {section}")
            lines += [
                " ".join(f"w{n}" for n in row)
                for row in RNG.integers(0, 66, (150, 4))
                if len(set(row)) == 4
            ]
        return file_of(tmp_path, "\n".join(lines) + "\n")

    @pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
    def test_as_gensim_has_it_and_as_analogies_one_by_one(
        self, method: Any, tmp_path: Path, table: WordVectors, peer: KeyedVectors
    ) -> None:
        n_right = 0
        lines = []
        for section in ("one", "two"):
            lines.append(f": {section}")
            for a, b, c, d in RNG.integers(0, 66, (150, 4)).tolist():
                if len({a, b, c, d}) == 4:
                    is_known = max(a, b, c) < 60
                    answer = (
                        table.analogy(f"w{a}", f"w{b}", f"w{c}", 1, method)[0][0]
                        if is_known and d % 2
                        else f"w{d}"
                    )
                    lines.append(f"w{a} w{b} w{c} {answer}")
                    if is_known and int(answer[1:]) < 60:
                        n_right += (
                            table.analogy(f"w{a}", f"w{b}", f"w{c}", 1, method)[0][0] == answer
                        )
        questions = file_of(tmp_path, "\n".join(lines) + "\n")
        score = table.evaluate_analogies(questions, method)
        assert score.accuracy == n_right / score.n_questions
        assert 0.2 < score.accuracy < 0.8
        _, sections = peer.evaluate_word_analogies(questions)
        for section in sections[:-1]:
            right, n_questions = (
                len(section["correct"]),
                len(section["correct"]) + len(section["incorrect"]),
            )
            found = score.sections[section["section"]]
            assert found[:2] == (right if method == "3cosadd" else found.n_right, n_questions)
        assert score.n_questions + score.n_unknown == len(lines) - 2
        assert score.n_unknown > 0

    def test_numbers_by_hand(self, tmp_path: Path) -> None:
        table = WordVectors(
            ["a", "b", "c", "d", "e"], [[1, 0, 1], [1, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
        )
        text = ": one\na b c d\nA B C D\na b c e\n\n: two\na b c none\n: one\nb a d c\n:three\n"
        score = table.evaluate_analogies(file_of(tmp_path, text))
        sections = {"one": SectionScore(3, 4, 0), "two": SectionScore(0, 0, 1)}
        assert score == AnalogyScore(0.75, 4, 1, sections)

    def test_without_sections(self, table: WordVectors, tmp_path: Path) -> None:
        score = table.evaluate_analogies(file_of(tmp_path, "w1 w2 w3 w4\n"))
        assert list(score.sections) == [""]

    @pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
    def test_only_frequent_words_are_asked_and_answered(self, method: Any, questions: Path) -> None:
        whole, head = WordVectors(WORDS, VECTORS), WordVectors(WORDS[:30], VECTORS[:30])
        limited = whole.evaluate_analogies(questions, method, n_words=30)
        assert (
            limited
            == head.evaluate_analogies(questions, method)
            == head.evaluate_analogies(questions, method, n_words=None)
        )
        assert 0 < limited.n_questions < whole.evaluate_analogies(questions, method).n_questions

    def test_in_portions_of_any_size(
        self, questions: Path, table: WordVectors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = table.evaluate_analogies(questions)
        for n_scores in (1, 60, 200):
            monkeypatch.setattr(word_vectors, "_SCORES_AT_ONCE", n_scores)
            assert table.evaluate_analogies(questions) == whole

    @pytest.mark.parametrize("text", ["", ": section\n", ": section\nx y z w\n"])
    def test_nothing_to_ask(self, text: str, table: WordVectors, tmp_path: Path) -> None:
        score = table.evaluate_analogies(file_of(tmp_path, text))
        assert math.isnan(score.accuracy)
        assert (score.n_questions, score.n_unknown) == (0, text.count("x"))

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("w1 w2 w3\n", 1),
            (": s\nw1 w2 w3 w4\n\nw1 w2 w3 w4 w5\n", 4),
            ("w1 w2 w3 w4\rw1 w2\n", 2),
            ("w1 w2 w3 w\x854 5\n", 1),
        ],
    )
    def test_a_line_that_is_none_is_named(
        self, text: str, line: int, table: WordVectors, tmp_path: Path
    ) -> None:
        file = file_of(tmp_path, text)
        with pytest.raises(
            InvalidTableError,
            match=rf"^Line {line} of '{file}' must hold four words, or a section's name after ':'",
        ):
            table.evaluate_analogies(file)

    @pytest.mark.parametrize("n_words", [0, -1, 1.5, "all", True])
    def test_n_words(self, n_words: Any, table: WordVectors) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'n_words' parameter must be an int in the range \[1, inf\) or None",
        ):
            table.evaluate_analogies("none.txt", n_words=n_words)

    def test_the_shared_file(self, glove: Path, shared_data: Path) -> None:
        file = shared_data / "analogies_en" / "questions-words.txt"
        table = load_word_vectors(glove)
        score = table.evaluate_analogies(file)
        lines = [
            line.split()
            for line in file.read_text().lower().splitlines()
            if not line.startswith(":")
        ]
        assert (
            score.n_questions == sum(all(word in table for word in line) for line in lines) > 1000
        )
        assert score.n_questions + score.n_unknown == len(lines) == 19_544
        assert 0.1 < score.accuracy < 0.6
        for words in product(["stockholm"], ["sweden"], ["cairo"]):
            assert "egypt" in dict(table.analogy(*words))


def test_scores_are_values() -> None:
    assert SimilarityScore(0.1, 0.2, 3, 4) == SimilarityScore(0.1, 0.2, 3, 4)
    with pytest.raises(AttributeError):
        SimilarityScore(0.1, 0.2, 3, 4).n_pairs = 5  # type: ignore[misc]
