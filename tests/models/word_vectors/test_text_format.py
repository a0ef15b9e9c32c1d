"""Tests of models/word_vectors/text_format.py."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertvectorizer.errors import ModelIntegrityError
from bertvectorizer.models.word_vectors import text_format as word_text
from bertvectorizer.models.word_vectors.text_format import read_header, read_text
from tests.processes import run_python

ODD_WORDS = [
    "nan", "inf", "NA", "null", "None", "true", '"quoted', "'", "#", "1999", "-1.5", "1e5", ",",
    ".", "\\", "\\n", "##ing",
    "a\u00a0b", "\u0085", "\u2028", "\ufeff", "\ufeffthe", "a\rb", "\x0b", "\x1c", "\x00",
    "\ufffd", "🙂", "日本", "e\u0301", "\u200b",
]  # fmt: skip


def parse(
    data: bytes, *, first: int = 1 << 16, header: bool = True
) -> tuple[list[str], NDArray[np.float32]]:
    stream = io.BytesIO(data)
    start = stream.read(first)
    promised = read_header(start, "v.txt", len(data)) if header else None
    assert promised is None or promised.is_text
    words: list[str] = []
    matrices = []
    for block, vectors in read_text(start, stream.read, promised, "v.txt"):
        assert vectors.shape[0] == len(block) > 0
        assert vectors.dtype == np.float32
        words += block
        matrices.append(vectors)
    return words, np.concatenate(matrices)


def fault(data: bytes, **options: Any) -> str:
    with pytest.raises(ModelIntegrityError) as error:
        parse(data, **options)
    return str(error.value)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_text, "_BYTES_AT_ONCE", 32)


@pytest.fixture
def by_arrow_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a block is not parsed at once."""

    def refuse(self: object, block: bytes) -> None:
        raise AssertionError(f"{block[:80]!r} was parsed line by line")

    monkeypatch.setattr(word_text._Lines, "_by_line", refuse)


class TestForms:
    @pytest.mark.parametrize(
        "data",
        [
            b"tea 0.5 -1\ncup 2 3e-2\n",
            b"tea 0.5 -1\ncup 2 3e-2",
            b"tea 0.5 -1 \ncup 2 3e-2 \n",
            b"tea\t0.5\t-1\ncup\t2\t3e-2\n",
            b"tea\t0.5\t-1\t\ncup\t2\t3e-2\t\n",
            b"tea 0.5 -1\r\ncup 2 3e-2\r\n",
            b"tea 0.5 -1 \r\ncup 2 3e-2 \r\n",
            b"\ntea 0.5 -1\n\n\ncup 2 3e-2\n\n",
            b"\r\n\r\ntea 0.5 -1\r\n\r\ncup 2 3e-2",
            b"2 2\ntea 0.5 -1\ncup 2 3e-2\n",
            b"2\t2\r\ntea 0.5 -1\r\ncup 2 3e-2\r\n",
            b"\n" * 100 + b"tea 0.5 -1\ncup 2 3e-2\n",
        ],
    )
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.usefixtures("by_arrow_only")
    def test_common_forms_are_read_at_once(self, data: bytes, mark: bytes) -> None:
        words, vectors = parse(mark + data)
        assert words == ["tea", "cup"]
        np.testing.assert_array_equal(vectors, np.array([[0.5, -1], [2, 3e-2]], dtype=np.float32))

    @pytest.mark.parametrize(
        "data",
        [
            b"tea 0.5 -1 \ncup 2 3e-2\n",
            b"tea 0.5 -1\ncup 2 3e-2 \n",
            b"tea\t0.5 -1\ncup\t2 3e-2\n",
            b"tea  0.5   -1\ncup \t 2 3e-2\n",
            b" tea 0.5 -1\n  cup 2 3e-2\n",
            b"tea +.5 -1.\ncup 2 3E-2\n",
            b"  \ntea 0.5 -1\n\t\ncup 2 3e-2\n \r\n",
        ],
    )
    def test_rarer_ones_line_by_line(self, data: bytes) -> None:
        words, vectors = parse(data)
        assert words == ["tea", "cup"]
        np.testing.assert_array_equal(vectors, np.array([[0.5, -1], [2, 3e-2]], dtype=np.float32))

    @pytest.mark.parametrize("word", ODD_WORDS)
    @pytest.mark.parametrize("index", [0, 1])
    def test_words_are_taken_as_they_are(self, word: str, index: int) -> None:
        words = ["tea", "cup"]
        words.insert(index, word)
        text = "".join(f"{word} {row} 0.5 1\n" for row, word in enumerate(words)).encode()
        for data, header in ((text, False), (b"3 3\n" + text, True)):
            mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
            found, vectors = parse(mark + data, header=header)
            assert found == words
            np.testing.assert_array_equal(vectors, [[row, 0.5, 1] for row in range(3)])

    @pytest.mark.parametrize("header", [b"", b"5 2\n"])
    def test_words_may_hold_spaces(self, header: bytes) -> None:
        words, vectors = parse(
            header + b"the 1 2\n. . . 3 4\nat name@domain.com 5 6\nNew  York 7 8\na 9 10\n"
        )
        assert words == ["the", ". . .", "at name@domain.com", "New  York", "a"]
        np.testing.assert_array_equal(vectors, np.arange(1, 11).reshape(5, 2))

    def test_even_the_first_word(self) -> None:
        assert parse(b". . 1 2\nthe 3 4\na 5 6\n")[0] == [". .", "the", "a"]

    @pytest.mark.usefixtures("by_arrow_only")
    def test_tabs_let_words_hold_spaces(self) -> None:
        assert parse(b"the\t1\t2\nNew York\t3\t4\n")[0] == ["the", "New York"]

    def test_one_dimension(self) -> None:
        words, vectors = parse(b"tea 1\ncup 2\n")
        assert (words, vectors.tolist()) == (["tea", "cup"], [[1], [2]])

    def test_many_dimensions(self) -> None:
        row = np.arange(5000, dtype=np.float32)
        words, vectors = parse(
            b"".join(
                b"w%d " % n + b" ".join(b"%d" % number for number in row + n) + b"\n"
                for n in range(3)
            )
        )
        assert len(words) == 3
        np.testing.assert_array_equal(vectors, row + np.arange(3)[:, None])


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
wild_words = st.one_of(
    st.sampled_from(ODD_WORDS),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters=" \t\n\r"),
        min_size=1,
        max_size=5,
    ),
)


class TestPaths:
    """Blocks parsed at once and lines parsed one by one give the same."""

    @settings(max_examples=150)
    @given(
        rows=st.dictionaries(
            wild_words, st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=12
        ),
        separator=st.sampled_from([" ", "\t"]),
        ending=st.sampled_from(["\n", "\r\n", " \n", "\n\n"]),
        is_headed=st.booleans(),
        sizes=st.tuples(st.integers(1, 300), st.integers(20, 300)),
    )
    @example(
        rows={"000\x1f": [1e8, 1.0000000272564224e16, 1.1754943508222875e-38]},
        separator="\t",
        ending="\n",
        is_headed=True,
        sizes=(64, 20),
    )
    def test_wild_tables(
        self,
        rows: dict[str, list[float]],
        separator: str,
        ending: str,
        is_headed: bool,
        sizes: tuple[int, int],
    ) -> None:
        text = "".join(
            separator.join([word, *(repr(float(np.float32(number))) for number in row)]) + ending
            for word, row in rows.items()
        )
        data = f"{len(rows)} 3\n{text}".encode() if is_headed else text.encode()
        expected = list(rows)
        if not is_headed and data.startswith(b"\xef\xbb\xbf"):
            data = b"\xef\xbb\xbf" + data
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(word_text, "_BYTES_AT_ONCE", sizes[1])
            first = max(sizes[0], 64 if is_headed else 3)
            words, vectors = parse(data, first=first, header=is_headed)
            patch.setattr(word_text._Lines, "_by_arrow", lambda _self, _block, _n_dims: None)
            words_by_line, vectors_by_line = parse(data, first=first, header=is_headed)
        assert words == words_by_line == expected
        exact = np.array(list(rows.values()), dtype=np.float32)
        np.testing.assert_array_equal(vectors.view(np.uint32), exact.view(np.uint32))
        np.testing.assert_array_equal(vectors_by_line.view(np.uint32), exact.view(np.uint32))

    @settings(max_examples=200)
    @given(
        st.lists(
            st.from_regex(
                r"[+-]?([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?",
                fullmatch=True,
            ),
            min_size=1,
            max_size=5,
        )
    )
    def test_numbers_are_those_of_python(self, texts: list[str]) -> None:
        with np.errstate(over="ignore"):
            expected = np.array([[float(text) for text in texts]]).astype(np.float32)
        data = f"tea {' '.join(texts)}\n".encode()
        if not np.isfinite(expected).all():
            assert "a number that float32 cannot hold" in fault(data, header=False)
            return
        _, vectors = parse(data, header=False)
        np.testing.assert_array_max_ulp(vectors, expected, maxulp=1)

    @settings(max_examples=400)
    @given(st.text('ab1.\r\n\t \ufeff"', max_size=40), st.integers(1, 12))
    def test_wild_texts_give_the_same_or_the_same_error(self, text: str, n_bytes: int) -> None:
        def outcome() -> Any:
            try:
                words, vectors = parse(text.encode(), first=4, header=False)
            except ModelIntegrityError as error:
                return str(error)
            return words, vectors.tolist()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(word_text, "_BYTES_AT_ONCE", n_bytes)
            together = outcome()
            patch.setattr(word_text._Lines, "_by_arrow", lambda _self, _block, _n_dims: None)
            assert outcome() == together


GOOD = b"tea 1 2\ncup 3 4\n"
FAULTS = [
    (b"pot 5\n", "must hold a word and 2 numbers, but holds 1 fields after the first: 'pot 5'"),
    (b"pot\n", "must hold a word and 2 numbers, but holds 0 fields after the first: 'pot'"),
    (
        b"pot 5 6 7\n",
        "must hold a word and 2 numbers, but holds 3 fields after the first: 'pot 5 6 7'",
    ),
    (b"pot 5 six\n", "has 'six' instead of a number: 'pot 5 six'"),
    (b"pot 5 \\N\n", "has '\\\\N' instead of a number"),
    (b"pot nan 6\n", "has 'nan' instead of a number"),
    (b"pot 5 -inf\n", "has '-inf' instead of a number"),
    (b"pot 5 Infinity\n", "has 'Infinity' instead of a number"),
    (b"pot 5 1_0\n", "has '1_0' instead of a number"),
    (b"pot 5 0x1\n", "has '0x1' instead of a number"),
    (b"pot 5 \xd9\xa3\n", "has '\u0663' instead of a number"),
    (b"pot 5 1e999\n", "has a number that float32 cannot hold: 'pot 5 1e999'"),
    (b"pot 5 -1e39\n", "has a number that float32 cannot hold: 'pot 5 -1e39'"),
    (b"tea 5 6\n", "repeats the word 'tea'; remove one of its lines: 'tea 5 6'"),
    (
        b"p\xfft 5 6\n",
        "has a word that is not utf-8 (invalid start byte at its byte 1): 'p\\\\xfft 5 6'",
    ),
    (
        b"\xed\xa0\x80 5 6\n",
        "has a word that is not utf-8 (invalid continuation byte at its byte 0)",
    ),
    (b" 5 6\n", "has no word before its numbers: ' 5 6'"),
    (b"\t5 6\n", "has no word before its numbers"),
]


class TestFaults:
    @pytest.mark.parametrize(("line", "expected"), FAULTS)
    @pytest.mark.parametrize(
        "before",
        [
            GOOD,
            b"\xef\xbb\xbf" + GOOD,
            b"\r\n" + GOOD,
            b"3 2\n" + GOOD,
            GOOD.replace(b"\n", b" \r\n"),
        ],
    )
    @pytest.mark.parametrize("after", [b"", b"end 7 8\n"])
    def test_the_line_and_its_first_byte_are_named(
        self, line: bytes, expected: str, before: bytes, after: bytes
    ) -> None:
        n_lines = before.count(b"\n") + 1
        message = fault(before + line + after)
        assert message.startswith(f"Line {n_lines} (byte {len(before)}) of 'v.txt' {expected}")

    @pytest.mark.parametrize(("line", "expected"), FAULTS)
    def test_without_an_end_of_the_last_line(self, line: bytes, expected: str) -> None:
        assert fault(GOOD + line.rstrip(b"\n")).startswith(
            f"Line 3 (byte 16) of 'v.txt' {expected}"
        )

    @pytest.mark.parametrize(("line", "expected"), FAULTS)
    @pytest.mark.usefixtures("small_blocks")
    def test_in_a_later_block(self, line: bytes, expected: str) -> None:
        many = b"".join(b"w%03d 1 2\n" % number for number in range(200))
        message = fault(GOOD + many + line + b"end 7 8\n", first=40)
        assert message.startswith(f"Line 203 (byte {16 + 9 * 200:,}) of 'v.txt' {expected}")

    def test_in_a_later_block_of_full_size(self) -> None:
        rows = [b"w%07d 0.12345678 -0.12345678 0.12345678\n" % number for number in range(900_000)]
        n_bytes = len(rows[0])
        assert len(rows) * n_bytes > 32 << 20
        rows[-1] = b"w0000003 1 2 3\n"
        message = fault(b"".join(rows))
        assert message.startswith(
            f"Line 900,000 (byte {899_999 * n_bytes:,}) of 'v.txt' repeats the word 'w0000003'"
        )

    @pytest.mark.parametrize("index", [1, 2, 3, 4])
    def test_large_numbers_have_commas(self, index: int) -> None:
        lines = [b"w%d 1 2\n" % number for number in range(2000)]
        lines[-index] = b"x\n"
        n_bytes = sum(map(len, lines[:-index]))
        assert fault(b"".join(lines)).startswith(
            f"Line {2001 - index:,} (byte {n_bytes:,}) of 'v.txt' "
        )

    def test_the_first_line_is_no_standard_where_others_differ(self) -> None:
        assert fault(b"tea 1\ncup 1 2\npot 3 4\n").startswith(
            "Line 1 (byte 0) of 'v.txt' must hold a word and 2 numbers"
        )
        assert fault(b"tea 1 2 3\ncup 1 2\npot 3 4\n").startswith(
            "Line 1 (byte 0) of 'v.txt' must hold a word and 2 numbers"
        )

    def test_words_only(self) -> None:
        assert (
            fault(b"\ntea\ncup\n")
            == "Line 2 (byte 1) of 'v.txt' must hold a word and its numbers: 'tea'."
        )

    @pytest.mark.parametrize("data", [b"", b"\n", b"\r\n  \n", b"\xef\xbb\xbf"])
    def test_nothing(self, data: bytes) -> None:
        assert (
            fault(data) == f"The file 'v.txt' holds no word vectors: it ends at byte {len(data)}."
        )

    def test_a_long_line_is_shown_in_part(self) -> None:
        message = fault(b"tea 1 2\n" + b"x" * 100 + b"\n")
        assert message.endswith(f": '{'x' * 56}....")

    def test_old_line_ends_are_no_line_ends(self) -> None:
        assert fault(b"tea 1 2\rcup 3 4\npot 5 6\n").startswith("Line 1 (byte 0) of 'v.txt' ")
        assert fault(b"tea 1 2\npot 5 6\ncup 1 2\rcan 3 4\n").startswith(
            "Line 3 (byte 16) of 'v.txt' "
        )


class TestLongLines:
    @pytest.fixture(autouse=True)
    def short_limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(word_text, "_BYTES_AT_ONCE", 1000)
        monkeypatch.setattr(word_text, "_LONGEST_LINE", 100)
        monkeypatch.setattr(word_text, "MOST_DIMS", 20)

    @pytest.mark.parametrize("endless", [b"\0", b"x", b"1 ", b" "])
    def test_an_endless_line_is_not_read_to_its_end(self, endless: bytes) -> None:
        requested = []

        def read(n: int) -> bytes:
            requested.append(n)
            return (endless * n)[:n]

        with pytest.raises(
            ModelIntegrityError, match=r"^Line 3 \(byte 16\) of 'v\.txt' is longer than 100 bytes"
        ):
            list(read_text(GOOD, read, None, "v.txt"))
        assert sum(requested) <= 2000

    @pytest.mark.parametrize("n_good", [0, 1, 2])
    def test_nor_is_a_long_one_within_a_block_taken(self, n_good: int) -> None:
        good = b"tea 1 2\ncup 1 2\n"[: 8 * n_good]
        message = fault(good + b"x" * 101 + b"\n" + b"pot 1 2\n" * 2)
        assert message.startswith(f"Line {n_good + 1} (byte {8 * n_good}) of 'v.txt' ")

    def test_absurd_widths(self) -> None:
        message = fault(b"\n\ntea" + b" 1" * 21 + b"\n")
        assert message.startswith("Line 3 (byte 2) of 'v.txt' has more than 20 numbers")


def test_a_table_of_short_rows_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_text, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(word_text._Lines, "_by_arrow", lambda _self, _block, _n_dims: None)
    data = b"".join(b"w%d %d\n" % (number, number) for number in range(8))
    parts = [words for words, _ in read_text(data, io.BytesIO().read, None, "v.txt")]
    assert parts == [["w0", "w1", "w2"], ["w3", "w4", "w5"], ["w6", "w7"]]


class TestHeader:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (b"2 3\n", (2, 3, 4)),
            (b"\xef\xbb\xbf2 3\r\n", (2, 3, 8)),
            (b" 2\t 3 \n", (2, 3, 7)),
            (b"0002 3\n", (2, 3, 7)),
        ],
    )
    def test_what_it_promises(self, line: bytes, expected: tuple[int, int, int]) -> None:
        header = read_header(line + b"tea 1 2 3\ncup 1 2 3\n", "v.txt", None)
        assert header is not None
        assert header[:3] == expected
        assert header.is_text

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"2 3",
            b"2 3 4\n",
            b"2\n",
            b"two 3\n",
            b"-2 3\n",
            b"2.0 3\n",
            b"the 3\n",
            b"\n2 3\n",
        ],
    )
    def test_what_is_none(self, line: bytes) -> None:
        assert read_header(line, "v.txt", 10**6) is None

    @pytest.mark.parametrize(
        "line",
        [
            b"2 0",
            b"2 65537",
            b"2 99999999999999999999",
            b"99999999999999999999 2",
            b"1" * 5000 + b" 1",
        ],
    )
    def test_absurd_sizes(self, line: bytes) -> None:
        with pytest.raises(
            ModelIntegrityError,
            match=(
                r"^Line 1 \(byte 0\) of 'v\.txt' promises vectors of a size outside \[1, 65,536\]"
            ),
        ):
            read_header(line + b"\ntea 1 2\n", "v.txt", None)

    @pytest.mark.parametrize(
        ("n_words", "n_dims", "needed"),
        [(10**17, 300, 602 * 10**17 - 1), (400_000, 65_536, 131_074 * 400_000 - 1)],
    )
    def test_more_than_the_file_holds(self, n_words: int, n_dims: int, needed: int) -> None:
        data = b"%d %d\n" % (n_words, n_dims) + b"tea 1 2\n" * 1000
        message = fault(data)
        assert message.startswith(
            f"Line 1 (byte 0) of 'v.txt' promises {n_words:,} words of {n_dims:,} numbers, which"
            f" take {needed:,} bytes or more; only 8,000 bytes follow."
        )

    def test_the_smallest_file_that_keeps_its_promise(self) -> None:
        assert parse(b"3 2\na 1 2\nb 1 2\nc 1 2")[0] == ["a", "b", "c"]

    @pytest.mark.parametrize("end", [b"\n", b""])
    @pytest.mark.parametrize("promised", [0, 1, 3, 4])
    def test_other_numbers_of_words(self, promised: int, end: bytes) -> None:
        data = b"%d 2\ntea 1.125 2.125\ncup 3.125 4.125" % promised + end
        assert fault(data).startswith(
            f"Line 1 (byte 0) of 'v.txt' promises {promised} words, but 2 are there; the file ends"
            f" at line 3 (byte {len(data)})."
        )

    def test_fewer_words_in_a_file_of_unknown_size(self) -> None:
        data = b"1000000000000 2\ntea 1 2\n"
        header = read_header(data, "v.gz", None)
        with pytest.raises(
            ModelIntegrityError, match="promises 1,000,000,000,000 words, but 1 are there"
        ):
            list(read_text(data, io.BytesIO().read, header, "v.gz"))

    @pytest.mark.parametrize(("n_dims", "fields"), [(1, 2), (3, 2)])
    def test_another_width_than_the_lines(self, n_dims: int, fields: int) -> None:
        message = fault(b"2 %d\ntea 1.125 2.125\ncup 3.125 4.125\n" % n_dims)
        assert message.startswith(
            f"Line 2 (byte 4) of 'v.txt' must hold a word and {n_dims} numbers, but holds {fields}"
            " fields"
        )

    def test_alone(self) -> None:
        assert fault(b"0 5\n") == "The file 'v.txt' holds no word vectors: it ends at byte 4."
        assert "promises 2 words of 5 numbers" in fault(b"2 5\n")

    @pytest.mark.parametrize("n_dims", [2, 3, 25, 300])
    def test_binary_numbers_are_distinguished_from_text(self, n_dims: int) -> None:
        rng = np.random.default_rng(n_dims)
        for _ in range(200):
            row = rng.standard_normal(n_dims).astype("<f4")
            data = b"%d %d\n" % (1, n_dims) + b"tea " + row.tobytes()
            header = read_header(data, "v.bin", len(data))
            assert header is not None
            assert not header.is_text


def test_the_reader_requests_bounded_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_text, "_BYTES_AT_ONCE", 64)
    stream = io.BytesIO(b"".join(b"w%d 1 2\n" % number for number in range(100)))
    requested: list[int] = []
    read: Callable[[int], bytes] = lambda n: requested.append(n) or stream.read(n)  # type: ignore[func-returns-value] # noqa: E731
    assert sum(len(words) for words, _ in read_text(b"", read, None, "v.txt")) == 100
    assert set(requested) == {64}


def test_memory_stays_bounded(tmp_path: Any) -> None:
    file = tmp_path / "v.txt"
    row = b" ".join(b"%.5f" % number for number in np.random.default_rng(0).standard_normal(300))
    with open(file, "wb") as stream:
        for number in range(80_000):
            stream.write(b"w%06d %s\n" % (number, row))
    assert file.stat().st_size > 190 << 20
    code = """
import resource, sys
import pyarrow.csv
from bertvectorizer.models.word_vectors.files import find, read_blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n_words = sum(len(words) for words, _ in read_blocks(find(sys.argv[1])))
print(n_words, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    n_words, kilobytes = map(int, re.findall(r"\d+", run_python(code, file)))
    assert n_words == 80_000
    assert kilobytes < 400 << 10
