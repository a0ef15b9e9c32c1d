"""Sentences of tagged words from CoNLL files."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import numbers
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from ...compressed import open_bz2, open_xz, within_limits
from ...errors import InvalidTableError
from ...validation import invalid, short_repr
from .schemes import check_scheme
from .tagged_sentences import TaggedSentences, converted

__all__ = ["read_conll"]

_OPENERS: dict[str, Callable[..., Any]] = {".bz2": open_bz2, ".gz": gzip.open, ".xz": open_xz}
_PACKED = {".7z", ".rar", ".tar", ".tgz", ".zip", ".zst"}
_UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
_NO_WORD = re.compile(
    r"[0-9]+[-.][0-9]+"
)  # numbers of CoNLL-U that belong to a contraction, or to a word that is not written
_CONLLU_COLUMNS = 10
_UNDECODED = re.compile("[\udc80-\udcff]")
_ENCODING_REMEDY = "Pass its encoding, such as encoding='latin-1' or encoding='utf-16'."


def read_conll(
    path: str | Path,
    *,
    word_column: int = 0,
    tag_column: int = -1,
    separator: str | None = None,
    scheme: Literal["IOB1", "BIO", "IOBES", "plain"] | None = None,
    encoding: str = "utf-8",
) -> TaggedSentences:
    r"""Read a CoNLL file: one word per line with its tag, and a blank line after each sentence.

    Parameters
    ----------
    path : str or Path
        The file. It may be compressed (``.gz``, ``.bz2``, ``.xz``).
    word_column : int, default=0
        Index of the column of words, counted from 0, or from the end if it is negative. In CoNLL-U
        it is 1.
    tag_column : int, default=-1
        Index of the column of tags. It is the last column in most files. In CoNLL-U the column of
        parts of speech is 3.
    separator : str or None, default=None
        Characters between two columns. None takes a tab if the first line with a word has one,
        else any number of spaces.
    scheme : {"IOB1", "BIO", "IOBES", "plain"} or None, default=None
        Tagging scheme to convert the tags to. None does not convert them. "BIO" is also known as
        IOB2, and "IOBES" as BIOES.
    encoding : str, default="utf-8"
        Encoding of the file.

    Returns
    -------
    sentences : TaggedSentences
        The words and the tags of each sentence. It unpacks as ``X, y = read_conll(path)``.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or the tags cannot be converted to ``scheme``.
    InvalidTableError
        If the file is missing, has no words or cannot be read, or a line has a wrong number of
        columns or no tag.

    See Also
    --------
    TaggedSentences : The result.
    SequenceLabeler : Learn to predict the tags.

    Notes
    -----
    A blank line ends a sentence, and so does ``-DOCSTART-``. Between sentences, a line that begins
    with # is a comment, unless it has as many columns as the first line with a word. All lines must
    have as many columns as that line. If ``word_column`` and ``tag_column`` are not negative, only
    the lines of one sentence must have the same number of columns.

    In tab-separated files with ten columns, such as CoNLL-U, rows numbered 3-4 or 8.1 are skipped,
    unless words are read from the first column.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from bertvectorizer import read_conll
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "train.conll")
    ...     _ = path.write_text("In\tO\nLima\tB-LOC\n\nYes\tO\n", encoding="utf-8")
    ...     X, y = read_conll(path)
    >>> X, y
    ([['In', 'Lima'], ['Yes']], [['O', 'B-LOC'], ['O']])
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise invalid("path", "the path of one file, as a str or Path", path)
    path = Path(path).expanduser()
    columns = _check_column("word_column", word_column), _check_column("tag_column", tag_column)
    if columns[0] == columns[1]:
        if columns[1] == -1:
            raise invalid(
                "word_column",
                "another column than tag_column, which is -1, the last, unless you say so"
                " (tag_column=)",
                word_column,
            )
        raise invalid("tag_column", "another column than word_column", tag_column)
    if separator is not None and (
        not isinstance(separator, str) or not separator or set(separator) & set("\r\n")
    ):
        raise invalid("separator", "the characters between two columns, or None", separator)
    check_scheme("scheme", scheme, also=(None,))
    _check_encoding(encoding)
    sentences = TaggedSentences([], [])
    is_new = True
    for fields in _rows(path, encoding, separator, columns):
        if not fields:
            is_new = True
            continue
        if is_new:
            sentences.words.append([])
            sentences.tags.append([])
            is_new = False
        sentences.words[-1].append(fields[columns[0]])
        sentences.tags[-1].append(fields[columns[1]].strip())
    if not sentences.words:
        raise InvalidTableError(
            f"The file {str(path)!r} must hold words, each in a line with its tag. Got none. Give"
            " another file."
        )
    if scheme is None:
        return sentences
    return sentences._replace(
        tags=converted(
            sentences.tags, scheme, "Choose their column (tag_column=), or leave 'scheme' at None"
        )
    )


def _rows(
    path: Path, encoding: str, separator: str | None, columns: tuple[int, int]
) -> Iterator[list[str]]:
    """Yield the columns of each line with a word, and [] for each line that ends a sentence."""
    separator, n_first = _layout(path, encoding, separator)
    is_fixed = min(columns) < 0
    n_expected = n_first if is_fixed else 0
    is_new = True
    for number, line in _lines(path, encoding):
        if _is_end(line):
            yield []
            is_new = True
            continue
        fields = _split(line, separator)
        if is_new and line.startswith("#") and len(fields) != n_first:
            continue
        if is_new and not is_fixed:
            n_expected = len(fields)
        is_new = False
        fault = _fault(fields, columns, n_expected, is_fixed)
        if fault:
            raise InvalidTableError(
                f"The file {str(path)!r} cannot be read: line {number}, {short_repr(line)}, {fault}"
            )
        is_conllu = (
            len(fields) == _CONLLU_COLUMNS
            and separator == "\t"
            and columns[0] % _CONLLU_COLUMNS != 0
        )
        if not (is_conllu and _NO_WORD.fullmatch(fields[0])):
            yield fields


def _layout(path: Path, encoding: str, separator: str | None) -> tuple[str, int]:
    """Return what separates columns, and how many the first word's line has."""
    first = ""
    for _, line in _lines(path, encoding):
        if not _is_end(line):
            first = line
            if not line.startswith("#"):  # neither a comment nor a hashtag
                break
    if separator is None:
        separator = "\t" if "\t" in first else " "
    return separator, len(_split(first, separator))


def _fault(fields: list[str], columns: tuple[int, int], n_expected: int, is_fixed: bool) -> str:
    """Say which rule a word's line breaks, and what to do; empty if none."""
    n = len(fields)
    word, tag = columns
    n_needed = max(column + 1 if column >= 0 else -column for column in columns)
    if n < n_needed or word % n == tag % n:
        return (
            f"must have at least {max(n_needed, 2)} columns, for a word and its tag. Got {n}."
            " Correct the line, or choose the separator (separator=) and the columns"
            f" (word_column={word}, tag_column={tag})."
        )
    if n != n_expected:
        remedy = (
            ", or, if lines may differ, count word_column and tag_column from the left"
            if is_fixed
            else ""
        )
        return (
            f"must have {n_expected} columns, as the first of"
            f" {'the file' if is_fixed else 'its sentence'}. Got {n}. Correct it{remedy}."
        )
    if not fields[tag].strip():
        return (
            f"must have a tag in column {tag}. Got {fields[tag]!r}. Correct the line, or choose"
            " another column (tag_column=)."
        )
    return ""


def _split(line: str, separator: str) -> list[str]:
    return (
        [field for field in line.split(" ") if field] if separator == " " else line.split(separator)
    )


def _is_end(line: str) -> bool:
    return not line.strip() or line.startswith("-DOCSTART-")


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file, without their ends, and their numbers from 1."""
    if os.path.isdir(path):
        raise InvalidTableError(
            f"The path {str(path)!r} is a directory. Give the path of one file in it."
        )
    if not os.path.isfile(path):
        raise InvalidTableError(f"There is no file {str(path)!r}.")
    ending = path.suffix.lower()
    if ending in _PACKED:
        raise InvalidTableError(
            f"The file {str(path)!r} cannot be read: {ending} is none of {', '.join(_OPENERS)}."
            " Unpack it first."
        )
    try:
        with (
            _open(path, ending) as stream,
            io.TextIOWrapper(
                stream, encoding=_check_encoding(encoding), errors="surrogateescape"
            ) as file,
        ):
            for number, line in enumerate(file, start=1):
                if _UNDECODED.search(line):
                    raise InvalidTableError(
                        f"The file {str(path)!r} cannot be read: line {number} is not {encoding}."
                        f" {_ENCODING_REMEDY}"
                    )
                yield number, line.rstrip("\n")
    except UnicodeError as error:
        raise InvalidTableError(
            f"The file {str(path)!r} cannot be read as {encoding}: {error}. {_ENCODING_REMEDY}"
        ) from error
    except _UNREADABLE as error:
        raise InvalidTableError(
            f"The file {str(path)!r} cannot be read: {str(error) or type(error).__name__}."
        ) from error


def _open(path: Path, ending: str) -> IO[bytes]:
    if ending not in _OPENERS:
        return path.open("rb")
    return within_limits(_OPENERS[ending](path), path.stat().st_size)


def _check_column(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise invalid(name, "an int", value)
    return int(value)


def _check_encoding(value: Any) -> str:
    """Return the usual name of an encoding; UTF-8 may begin with a byte order mark."""
    try:
        "".encode(value)  # refuses codecs that make no text
    except (LookupError, TypeError, ValueError) as error:
        raise invalid(
            "encoding", "the name of an encoding, such as 'utf-8' or 'latin-1'", value
        ) from error
    name = codecs.lookup(value).name
    return "utf-8-sig" if name == "utf-8" else name
