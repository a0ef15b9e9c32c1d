"""Read the texts of a language model one by one: lists, columns, generators and files of lines."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import partial
from pathlib import Path
from typing import IO, Any

from ...compressed import open_bz2, open_xz, within_limits
from ...errors import InvalidTextError
from ...features.inputs.frames import list_column, only_column, row_name
from ...features.inputs.texts import Missing, check_texts, is_missing, is_stream, read_texts
from ...validation import check_choice, short_repr

__all__ = ["read_corpus", "read_corpus_documents"]

_MISSING: tuple[Missing, ...] = ("empty", "error")
_OPENERS: dict[str, Callable[..., Any]] = {".bz2": open_bz2, ".gz": gzip.open, ".xz": open_xz}
_PACKED = {".7z", ".rar", ".tar", ".tgz", ".zip", ".zst"}
_TABLES = {".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx"}
_UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
_UNDECODED = re.compile("[\udc80-\udcff]")
_EXPECTED = (
    "X must hold documents, each a list of its sentences: a list, another iterable or a Series of"
    " lists of str, or the path of a file with a sentence in each line and blank lines between"
    " documents."
)
_SPLIT = "Split it into sentences or paragraphs: text.splitlines()"


def read_corpus(X: Any, missing: Missing = "empty") -> Iterable[str]:
    """Read texts, of generators and files one by one.

    Parameters
    ----------
    X : list, ndarray, Series, one-column DataFrame, other iterable, or Path
        Elements are str or missing. A path is of a text file in UTF-8, with a text in each line;
        it may be compressed (``.gz``, ``.bz2``, ``.xz``).
    missing : {"empty", "error"}, default="empty"
        Read missing texts as "", or raise an error for them.

    Returns
    -------
    texts : iterable of str
        To be read once.

    Raises
    ------
    InvalidTextError
        If X does not hold texts, or the file cannot be read; of generators and files, when the
        texts are read.
    InvalidParameterError
        If ``missing`` is none of the above.

    See Also
    --------
    read_corpus_documents : Reads lists of sentences.

    Examples
    --------
    >>> list(read_corpus(text for text in ["a bat", None]))
    ['a bat', '']
    """
    check_choice("missing", missing, _MISSING)
    if isinstance(X, os.PathLike):
        return _lines(Path(X))
    _refuse_single(X)
    if not (isinstance(X, (list, tuple)) or is_stream(X)):
        return read_texts(X, missing).texts
    return _texts(X, missing)


def read_corpus_documents(X: Any, missing: Missing = "empty") -> Iterable[list[str]]:
    """Read documents as lists of sentences, of generators and files one by one.

    Parameters
    ----------
    X : list, ndarray, Series, one-column DataFrame, other iterable, or Path
        Elements are lists of str or missing ones. A path is of a text file in UTF-8, with a
        sentence in each line and blank lines between documents; it may be compressed.
    missing : {"empty", "error"}, default="empty"
        Read missing sentences as "" and missing documents as empty, or raise an error for them.

    Returns
    -------
    documents : iterable of list of str
        To be read once.

    Raises
    ------
    InvalidTextError
        If X does not hold documents, or the file cannot be read.
    InvalidParameterError
        If ``missing`` is none of the above.

    See Also
    --------
    read_corpus : Reads texts.

    Examples
    --------
    >>> list(read_corpus_documents([["A bat flew.", "It hung there."], []]))
    [['A bat flew.', 'It hung there.'], []]
    """
    check_choice("missing", missing, _MISSING)
    if isinstance(X, os.PathLike):
        return _paragraphs(_lines(Path(X)))
    _refuse_single(X)
    X = only_column(X, _EXPECTED, "Choose one, df['sentences'].")
    values, labels = list_column(X) or (X, None)
    is_scalar = getattr(values, "ndim", 1) == 0
    if not isinstance(values, Iterable) or isinstance(values, (Mapping, Set)) or is_scalar:
        raise InvalidTextError(f"{_EXPECTED} Got {type(X).__name__} {short_repr(X)}.")
    return (
        _document(value, missing, row_name(row, labels, "document"))
        for row, value in enumerate(values)
    )


def _refuse_single(X: Any) -> None:
    """Raise for a str or bytes, which may be meant as a text or as the path of a file."""
    if isinstance(X, (str, bytes)):
        raise InvalidTextError(
            "X must hold texts, as a list, another iterable, a Series, or the path of a text file."
            f" Got a single {type(X).__name__}: {short_repr(X)}. Give the path of a file as"
            " pathlib.Path(name), and a text in a list: [text]."
        )


def _texts(values: Iterable[Any], missing: Missing) -> Iterator[str]:
    for row, value in enumerate(values):
        if isinstance(value, (list, tuple)):
            raise InvalidTextError(
                f"Each text must be a str. Got {type(value).__name__} {short_repr(value)} in row"
                f" {row}. If it has the sentences of a document, choose"
                " objective='masked+next_sentence', or give each sentence as a text:"
                " [text for document in X for text in document]."
            )
        yield _text(value, missing, row_name(row, None))


def _text(value: Any, missing: Missing, place: str) -> str:
    if type(value) is str:
        return value
    return check_texts([value], missing, lambda _: place).texts[0]


def _document(value: Any, missing: Missing, name: str) -> list[str]:
    """Return the sentences of a document."""
    if is_missing(value):
        if missing == "error":
            raise InvalidTextError(
                f"{name} is missing, and missing='error' allows none. Leave it out, or set missing"
                " to 'empty'."
            )
        return []
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(value, method):
            value = getattr(value, method)()
    if not isinstance(value, (list, tuple)):
        remedy = f" {_SPLIT}." if isinstance(value, str) else ""
        raise InvalidTextError(
            f"{_EXPECTED} Got {type(value).__name__} {short_repr(value)} as {name}.{remedy}"
        )
    return [
        _text(sentence, missing, f"sentence {number} of {name}")
        for number, sentence in enumerate(value)
    ]


def _paragraphs(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines between blank ones."""
    document: list[str] = []
    for line in lines:
        if line.strip():
            document.append(line)
        elif document:
            yield document
            document = []
    if document:
        yield document


def _lines(path: Path) -> Iterator[str]:
    """Check that there is a file, and return its lines without their ends."""
    ending = path.suffix.lower()
    if os.path.isdir(path):  # unlike Path.is_dir, never raises
        fault = "it is a directory. Give the path of one file in it."
    elif not os.path.isfile(path):
        fault = "there is no such file."
    elif ending in _PACKED:
        fault = f"{ending} is none of {', '.join(_OPENERS)}. Unpack it first."
    elif ending in _TABLES:
        fault = (
            f"{ending} is a table, not lines of text. Read its column: read_table(path)['text']."
        )
    else:
        return _read_lines(path, partial(_open, path, ending))
    raise InvalidTextError(f"The file {short_repr(str(path), 300)} cannot be read: {fault}")


def _open(path: Path, ending: str) -> IO[bytes]:
    if ending not in _OPENERS:
        return path.open("rb")
    return within_limits(_OPENERS[ending](path), path.stat().st_size)


def _read_lines(path: Path, open_file: Callable[[], IO[bytes]]) -> Iterator[str]:
    try:
        with (
            open_file() as stream,
            io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape") as file,
        ):
            for number, line in enumerate(file, start=1):
                if "\0" in line or _UNDECODED.search(line):
                    raise InvalidTextError(
                        f"The file {str(path)!r} cannot be read: line {number} is not text in"
                        f" UTF-8: {short_repr(line)}. Write it as UTF-8, or give its lines:"
                        " open(path, encoding='latin-1')."
                    )
                yield line.rstrip("\n")
    except _UNREADABLE as error:
        raise InvalidTextError(
            f"The file {str(path)!r} cannot be read: {str(error) or type(error).__name__}."
        ) from error
