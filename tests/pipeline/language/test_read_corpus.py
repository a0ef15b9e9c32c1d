"""Tests of pipeline/language/read_corpus.py."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.pipeline.language.read_corpus import read_corpus, read_corpus_documents

TEXTS = ["a bat", "", "the crane"]
DOCUMENTS = [["a bat", "a crane"], [], ["the night"]]


class Streamed:
    """An iterable that is no iterator, as the corpora of gensim are."""

    def __init__(self, elements: list[Any]) -> None:
        self.elements = elements

    def __iter__(self) -> Iterator[Any]:
        return iter(self.elements)


@pytest.mark.parametrize(
    "held",
    [
        list, tuple, np.array, pd.Series, pl.Series, pa.array, iter, Streamed,
        lambda texts: pd.DataFrame({"text": texts}),
        lambda texts: (text or None for text in texts),
        lambda texts: pd.Series([text or np.nan for text in texts]),
    ],
)  # fmt: skip
def test_texts_are_read_from_what_users_hold(held: Callable[[list[str]], Any]) -> None:
    assert list(read_corpus(held(TEXTS))) == TEXTS


@pytest.mark.parametrize(
    "held",
    [
        list, tuple, pd.Series, pl.Series, pa.array, iter, Streamed,
        lambda documents: pd.DataFrame({"sentences": documents}),
        lambda documents: (sentences or None for sentences in documents),
        lambda documents: [np.array(sentences, dtype=object) for sentences in documents],
        lambda documents: np.array([*documents, None], dtype=object)[:-1],
    ],
)  # fmt: skip
def test_documents_are_read_from_what_users_hold(held: Callable[[Any], Any]) -> None:
    assert list(read_corpus_documents(held(DOCUMENTS))) == DOCUMENTS


@pytest.mark.parametrize("read", [read_corpus, read_corpus_documents])
def test_generators_are_read_one_by_one(read: Callable[[Any], Any]) -> None:
    n_read = 0

    def endless() -> Iterator[Any]:
        nonlocal n_read
        while True:
            n_read += 1
            yield "a bat" if read is read_corpus else ["a bat"]

    texts = iter(read(endless()))
    next(texts)
    assert n_read == 1


@pytest.mark.parametrize(
    ("ending", "open_file"), [(".txt", open), (".gz", gzip.open), (".xz", lzma.open)]
)
def test_files_hold_a_text_a_line_and_blank_lines_between_documents(
    tmp_path: Path, ending: str, open_file: Any
) -> None:
    path = tmp_path / f"corpus{ending}"
    with open_file(path, "wt", encoding="utf-8", newline="") as file:
        file.write("\ufeffa bat\r\na\u2028crane\n\n \nthe \u4e2d night")
    assert list(read_corpus(path)) == ["a bat", "a\u2028crane", "", " ", "the \u4e2d night"]
    expected = [["a bat", "a\u2028crane"], ["the \u4e2d night"]]
    assert list(read_corpus_documents(path)) == expected


def write(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (write("a.txt", "caf\u00e9\ncaf\u00e9".encode("latin-1")), "line 1 is not text in UTF-8"),
        (write("a.txt", "a bat".encode("utf-16")), "line 1 is not text in UTF-8"),
        (write("a.gz", gzip.compress(b"a bat " * 99)[:-9]), "cannot be read"),
        (write("a.xz", b"a bat"), "cannot be read"),
        (write("a.zip", b""), r"\.zip is none of .*Unpack it first"),
        (write("a.csv", b"text"), r"read_table\(path\)"),
        (lambda folder: folder, "it is a directory"),
        (lambda folder: folder / "none", "there is no such file"),
        (
            lambda folder: folder / ("a bat " * 1000),
            r"\.\.\. cannot be read: there is no such file",
        ),
        (lambda folder: folder / "a\0b", "there is no such file"),
    ],
)
def test_files_that_are_no_text_are_refused(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(InvalidTextError, match=message):
        list(read_corpus(make(tmp_path)))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("corpus.txt", r"single str: 'corpus.txt'.*pathlib.Path\(name\).*\[text\]"),
        (b"a", "single bytes"),
        (5, "Got int"),
        (["a", 5], "Got int 5 in row 1"),
        (iter(["a", 5]), "Got int 5 in row 1"),
        (iter(["a", b"b"]), "bytes b'b' in row 1.*decode"),
        ([["a"]], r"list \['a'\] in row 0.*masked\+next_sentence.*for document in X"),
        ({"a"}, "Got set"),
        (None, "Got NoneType"),
    ],
)
def test_what_holds_no_texts_is_refused(X: Any, message: str) -> None:
    with pytest.raises(InvalidTextError, match=message):
        list(read_corpus(X))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("corpus.txt", "single str"),
        (5, "Got int 5"),
        (np.array(5), "Got ndarray"),
        ({"a": ["b"]}, "Got dict"),
        (["a. b."], r"Got str 'a. b.' as document 0. Split it.*splitlines"),
        ([["a"], ["b", 5]], "int 5 in sentence 1 of document 1"),
        ([["a", ["b"]]], "list .* in sentence 1 of document 0"),
        ([["a"], 5], "Got int 5 as document 1"),
        (pd.Series([["a"], 5], index=["x", "y"]), r"document 1 \(index 'y'\)"),
        (pd.DataFrame({"a": [["b"]], "c": [["d"]]}), "2 columns"),
    ],
)
def test_what_holds_no_documents_is_refused(X: Any, message: str) -> None:
    with pytest.raises(InvalidTextError, match=message):
        list(read_corpus_documents(X))


@pytest.mark.parametrize(
    ("read", "X", "message"),
    [
        (read_corpus, iter(["a", None]), "missing='error'.*row 1"),
        (read_corpus, ["a", None], "missing='error'.*row 1"),
        (read_corpus_documents, [["a"], None], "document 1 is missing"),
        (read_corpus_documents, [["a", np.nan]], "sentence 1 of document 0"),
    ],
)
def test_missing_texts_are_refused_on_request(
    read: Callable[..., Any], X: Any, message: str
) -> None:
    with pytest.raises(InvalidTextError, match=message):
        list(read(X, "error"))
    with pytest.raises(InvalidParameterError, match="'empty', 'error'"):
        read([], "zero")
