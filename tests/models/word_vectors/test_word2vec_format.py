"""Tests of models/word_vectors/word2vec_format.py."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertvectorizer.errors import ModelIntegrityError
from bertvectorizer.models.word_vectors import word2vec_format as word_binary
from bertvectorizer.models.word_vectors.text_format import read_header
from bertvectorizer.models.word_vectors.word2vec_format import read_word2vec_binary

ROWS: dict[str, list[float]] = {
    "tea": [0.5, -1.25, 3],
    "日本": [1e-20, 7, -0.0],
    "#1": [2, 2, 3.4e38],
}
START = len(b"3 3\n")


def binary(
    rows: dict[Any, list[float]], *, promised: int | None = None, between: bytes = b""
) -> bytes:
    n_dims = len(next(iter(rows.values())))
    parts = [b"%d %d\n" % (len(rows) if promised is None else promised, n_dims)]
    for word, row in rows.items():
        parts += [
            word if isinstance(word, bytes) else word.encode(),
            b" ",
            np.array(row, dtype="<f4").tobytes(),
            between,
        ]
    return b"".join(parts)


def parse(data: bytes, first: int = 1 << 16) -> tuple[list[str], NDArray[np.float32]]:
    stream = io.BytesIO(data)
    start = stream.read(first)
    header = read_header(start, "v.bin", None)
    assert header is not None
    assert not header.is_text
    words: list[str] = []
    matrices = []
    for block, vectors in read_word2vec_binary(start, stream.read, header, "v.bin"):
        assert vectors.shape == (len(block), header.n_dims)
        assert vectors.dtype == np.float32
        words += block
        matrices.append(vectors)
    return words, np.concatenate(matrices)


def fault(data: bytes, first: int = 1 << 16) -> str:
    with pytest.raises(ModelIntegrityError) as error:
        parse(data, first)
    return str(error.value)


class TestForms:
    @pytest.mark.parametrize("between", [b"", b"\n"])
    @pytest.mark.parametrize("first", [16, 25, 40, 1 << 16])
    @pytest.mark.parametrize("n_bytes", [1, 5, 21, 1 << 20])
    def test_words_and_numbers_are_exact(
        self, between: bytes, first: int, n_bytes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(word_binary, "_BYTES_AT_ONCE", n_bytes)
        words, vectors = parse(binary(ROWS, between=between), first)
        assert words == list(ROWS)
        np.testing.assert_array_equal(
            vectors.view(np.uint32), np.array(list(ROWS.values()), dtype=np.float32).view(np.uint32)
        )

    def test_what_gensim_writes(self, tmp_path: Path) -> None:
        own = KeyedVectors(20)
        own.add_vectors(
            [f"w{n}é" for n in range(500)],
            np.random.default_rng(1).standard_normal((500, 20), dtype=np.float32),
        )
        own.save_word2vec_format(tmp_path / "v.bin", binary=True)
        words, vectors = parse((tmp_path / "v.bin").read_bytes())
        again = KeyedVectors.load_word2vec_format(tmp_path / "v.bin", binary=True)
        assert words == again.index_to_key
        np.testing.assert_array_equal(vectors, again.vectors)

    @given(
        rows=st.dictionaries(
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters=" \n"),
                min_size=1,
                max_size=4,
            ),
            st.lists(
                st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=12, max_size=12
            ),
            min_size=1,
            max_size=6,
        ),
        between=st.sampled_from([b"", b"\n"]),
        n_bytes=st.integers(1, 200),
    )
    def test_wild_tables(self, rows: dict[str, list[float]], between: bytes, n_bytes: int) -> None:
        data = binary(rows, between=between)
        header = read_header(data, "v.bin", None)
        assert header is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(word_binary, "_BYTES_AT_ONCE", n_bytes)
            stream = io.BytesIO(data[header.n_bytes :])
            blocks = list(
                read_word2vec_binary(data[: header.n_bytes], stream.read, header, "v.bin")
            )
        assert [word for words, _ in blocks for word in words] == list(rows)
        exact = np.array(list(rows.values()), dtype=np.float32)
        np.testing.assert_array_equal(
            np.concatenate([vectors for _, vectors in blocks]).view(np.uint32),
            exact.view(np.uint32),
        )


class TestFaults:
    @pytest.mark.parametrize("first", [16, 1 << 16])
    @pytest.mark.parametrize("n_bytes", [7, 1 << 20])
    @pytest.mark.parametrize("row", [0, 1, 2])
    @pytest.mark.parametrize(
        ("word", "number", "expected", "at_number"),
        [
            (b"t\xff", 1.0, r"is not utf-8: b't\xff'", False),
            (b"", 1.0, "is empty", False),
            (b"twin", 1.0, "repeats an earlier one: 'twin'", False),
            (b"tea", np.nan, "has a number that is not finite: 'tea'", True),
            (b"tea", -np.inf, "has a number that is not finite: 'tea'", True),
        ],
    )
    def test_the_word_and_its_byte_are_named(
        self,
        word: bytes,
        number: float,
        expected: str,
        at_number: bool,
        row: int,
        first: int,
        n_bytes: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(word_binary, "_BYTES_AT_ONCE", n_bytes)
        good = [b"twin" if word == b"twin" else b"good", b"else"]
        names = [*good[: max(row, word == b"twin")], word, b"last"]
        position = names.index(word, max(row, word == b"twin"))
        rows = [
            b"%s " % name
            + np.array([1e-9, number if at == position else 1, 3], dtype="<f4").tobytes()
            for at, name in enumerate(names)
        ]
        data = b"%d 3\n" % len(names) + b"".join(rows)
        byte = START + sum(map(len, rows[:position])) + at_number * (len(word) + 1)
        assert (
            fault(data, first)
            == f"Word {position + 1} of {len(names)} (byte {byte}) of 'v.bin' {expected}."
        )

    @pytest.mark.parametrize("n_bytes", [7, 1 << 20])
    def test_every_position_to_cut_it_off(
        self, n_bytes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(word_binary, "_BYTES_AT_ONCE", n_bytes)
        data = binary(ROWS)
        ends = np.cumsum([START] + [len(word.encode()) + 13 for word in ROWS])
        for end in range(START + 16, len(data)):
            n_whole = int(np.count_nonzero(ends[1:] <= end))
            assert (
                fault(data[:end])
                == f"Word {n_whole + 1} of 3 (byte {end}) of 'v.bin' is cut off: the file ends."
            )

    @pytest.mark.parametrize("between", [b"", b"\n"])
    def test_one_row_too_many(self, between: bytes) -> None:
        data = binary(ROWS, promised=2, between=between)
        byte = (
            START
            + sum(len(word.encode()) + 13 + len(between) for word in list(ROWS)[:2])
            - len(between)
        )
        assert (
            fault(data)
            == f"Word 3 of 2 (byte {byte}) of 'v.bin' is one too many: the file goes on."
        )

    def test_no_rows_at_all(self) -> None:
        header = read_header(b"0 3\n", "v.bin", None)
        assert header is not None
        with pytest.raises(ModelIntegrityError, match="holds no word vectors: it promises none"):
            list(read_word2vec_binary(b"0 3\n", io.BytesIO().read, header, "v.bin"))

    def test_a_header_that_promises_more_than_the_file_holds(self) -> None:
        data = binary(ROWS, promised=10**15)
        with pytest.raises(
            ModelIntegrityError,
            match=(
                r"^Line 1 \(byte 0\) of 'v\.bin' promises 1,000,000,000,000,000 words of 3 numbers"
            ),
        ):
            read_header(data, "v.bin", len(data))
        assert "Word 4 of 1,000,000,000,000,000" in fault(data)

    def test_an_endless_word_is_not_read_to_its_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(word_binary, "_LONGEST_WORD", 100)
        monkeypatch.setattr(word_binary, "_BYTES_AT_ONCE", 60)
        requested: list[int] = []

        def read(n: int) -> bytes:
            requested.append(n)
            return b"\0" * n

        data = binary(ROWS, promised=1000)
        header = read_header(data, "v.bin", None)
        assert header is not None
        with pytest.raises(ModelIntegrityError) as error:
            list(read_word2vec_binary(data, read, header, "v.bin"))
        assert (
            str(error.value)
            == f"Word 4 of 1,000 (byte {len(data)}) of 'v.bin' is longer than 100 bytes."
        )
        assert sum(requested) <= 180
