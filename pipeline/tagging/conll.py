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
from collections.abc import Callable, Iterator, Sequence
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
_FIRST_NUMBER = re.compile(r"1|1-[0-9]+|0\.[0-9]+")  # of a sentence in CoNLL-U
_CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_CONLLU_COLUMNS = len(_CONLLU)
_CONLLU_DEFAULTS = (_CONLLU.index("form"), _CONLLU.index("upos"))
_DEFAULTS = (0, -1)
_UNSPECIFIED = "_"  # a value that the file does not give
_OUTSIDE = "O"  # a file may have no entity
_UNDECODED = re.compile("[\udc80-\udcff]")
_ENCODING_REMEDY = "Pass its encoding, such as encoding='latin-1' or encoding='utf-16'."


def read_conll(
    path: str | Path,
    *,
    word_column: int | str | None = None,
    tag_column: int | str | None = None,
    separator: str | None = None,
    scheme: Literal["IOB1", "BIO", "IOBES", "plain"] | None = None,
    encoding: str = "utf-8",
) -> TaggedSentences:
    r"""Read a CoNLL file: one word per line with its tag, and a blank line after each sentence.

    Parameters
    ----------
    path : str or Path
        The file. It may be compressed (``.gz``, ``.bz2``, ``.xz``).
    word_column : int, str or None, default=None
        Column of words: its index from 0, or from the end if it is negative, or a name of CoNLL-U
        (``"id"``, ``"form"``, ``"lemma"``, ``"upos"``, ``"xpos"``, ``"feats"``, ``"head"``,
        ``"deprel"``, ``"deps"``, ``"misc"``). None takes the first column, and ``"form"`` in
        CoNLL-U.
    tag_column : int, str or None, default=None
        Column of tags, likewise. None takes the last column, and ``"upos"`` in CoNLL-U.
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
        columns or no tag. If all tags are the same (but ``O``) or all words are numbers counted
        from 1, and their column was not chosen. If all tags or words are ``_``.

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

    A file is CoNLL-U if it ends in ``.conllu``, or if its first word's line has ten columns,
    separated by tabs, and is numbered 1. In files with such columns, rows numbered 3-4
    (contractions) or 8.1 (words that are not written) are skipped, unless words are read from the
    first column.

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
    given = _check_column("word_column", word_column), _check_column("tag_column", tag_column)
    if given == (-1, None):
        raise invalid(
            "word_column",
            "another column than tag_column, which is -1, the last, unless you say so"
            " (tag_column=)",
            word_column,
        )
    if separator is not None and (
        not isinstance(separator, str) or not separator or set(separator) & set("\r\n")
    ):
        raise invalid("separator", "the characters between two columns, or None", separator)
    check_scheme("scheme", scheme, also=(None,))
    _check_encoding(encoding)
    layout = _Layout(path, encoding, separator)
    columns = layout.choose(given)
    if columns[0] == columns[1]:
        raise invalid(
            "word_column" if tag_column is None else "tag_column",
            f"another column than {'tag' if tag_column is None else 'word'}_column",
            word_column if tag_column is None else tag_column,
        )
    sentences = TaggedSentences([], [])
    is_new = True
    for fields in _rows(layout, columns):
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
    _check_content(sentences, layout, given, columns)
    if scheme is None:
        return sentences
    return sentences._replace(
        tags=converted(
            sentences.tags, scheme, "Choose their column (tag_column=), or leave 'scheme' at None"
        )
    )


class _Layout:
    """What separates the columns of a file, how many its first word's line has, and if CoNLL-U."""

    def __init__(self, path: Path, encoding: str, separator: str | None) -> None:
        self.path, self.encoding = path, encoding
        self.first, self.first_number = "", 0
        for number, line in _lines(path, encoding):
            if not _is_end(line):
                self.first, self.first_number = line, number
                if not line.startswith("#"):  # neither a comment nor a hashtag
                    break
        endings = [ending.lower() for ending in path.suffixes[-2:]]
        self.is_named_conllu = ".conllu" in endings[-1:] or (
            endings[:1] == [".conllu"] and endings[1] in _OPENERS
        )
        if separator is None:
            separator = "\t" if self.is_named_conllu or "\t" in self.first else " "
        self.separator = separator
        fields = _split(self.first, separator)
        self.n_first = len(fields)
        has_columns = separator == "\t" and self.n_first == _CONLLU_COLUMNS
        self.is_conllu = has_columns and (
            self.is_named_conllu or _FIRST_NUMBER.fullmatch(fields[0]) is not None
        )

    def choose(self, given: Sequence[int | str | None]) -> tuple[int, int]:
        """Return the columns of words and tags."""
        if self.first and not self.is_conllu:
            for name, column in zip(("word_column", "tag_column"), given, strict=True):
                if isinstance(column, str) or (column is None and self.is_named_conllu):
                    wanted = "" if column is None else f" for {name}={column!r}"
                    raise InvalidTableError(
                        f"The file {str(self.path)!r} must be CoNLL-U{wanted}, with"
                        f" {_CONLLU_COLUMNS} columns, separated by tabs, and words numbered from 1."
                        f" Got {self.n_first} columns in line {self.first_number},"
                        f" {short_repr(self.first)}. Correct the file, or give the columns as"
                        " numbers (word_column=, tag_column=)."
                    )
        defaults = _CONLLU_DEFAULTS if self.is_conllu else _DEFAULTS
        word, tag = (
            default
            if column is None
            else _CONLLU.index(column)
            if isinstance(column, str)
            else column
            for column, default in zip(given, defaults, strict=True)
        )
        return word, tag

    def describe(self, column: int) -> str:
        """Return how messages name a column."""
        index = column if column >= 0 else self.n_first + column
        name = f" ({_CONLLU[index]!r})" if self.is_conllu and 0 <= index < len(_CONLLU) else ""
        return f"column {column}{name}"


def _check_content(
    sentences: TaggedSentences,
    layout: _Layout,
    given: Sequence[int | str | None],
    columns: tuple[int, int],
) -> None:
    """Refuse words and tags that look like those of a wrong column."""
    if sum(map(len, sentences.words)) < 2:
        return  # too few to tell
    for name, column, chosen, lists in zip(
        ("word", "tag"), columns, given, (sentences.words, sentences.tags), strict=True
    ):
        found = {value for values in lists for value in values}
        remedy = f"Choose another column ({name}_column=)."
        if len(found) == 1 and (
            found == {_UNSPECIFIED} or (name == "tag" and chosen is None and found != {_OUTSIDE})
        ):
            fault = f"has the same {name}, {short_repr(next(iter(found)))}, in all lines"
            if found != {_UNSPECIFIED}:
                remedy = f"{remedy[:-1]}, or this one, if it is right: tag_column={column}."
        elif (
            name == "word"
            and chosen is None
            and all(values == [str(n + 1) for n in range(len(values))] for values in lists)
        ):
            fault = "holds numbers counted from 1 in each sentence, not words"
            remedy = f"{remedy[:-1]}, or this one, if it is right: word_column={column}."
        else:
            continue
        raise InvalidTableError(
            f"The file {str(layout.path)!r} must have {name}s in {layout.describe(column)}. That"
            f" column {fault}. {remedy}"
        )


def _rows(layout: _Layout, columns: tuple[int, int]) -> Iterator[list[str]]:
    """Yield the columns of each line with a word, and [] for each line that ends a sentence."""
    separator, n_first = layout.separator, layout.n_first
    is_fixed = layout.is_conllu or min(columns) < 0
    n_expected = n_first if is_fixed else 0
    is_new = True
    for number, line in _lines(layout.path, layout.encoding):
        if _is_end(line):
            yield []
            is_new = True
            continue
        fields = _split(line, separator)
        if line.startswith("#") and (layout.is_conllu or (is_new and len(fields) != n_first)):
            continue
        if is_new and not is_fixed:
            n_expected = len(fields)
        is_new = False
        fault = _fault(fields, columns, n_expected, is_fixed)
        if fault:
            raise InvalidTableError(
                f"The file {str(layout.path)!r} cannot be read: line {number},"
                f" {short_repr(line)}, {fault}"
            )
        has_numbers = (
            len(fields) == _CONLLU_COLUMNS
            and separator == "\t"
            and columns[0] % _CONLLU_COLUMNS != 0
        )
        if not (has_numbers and _NO_WORD.fullmatch(fields[0])):
            yield fields


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


def _check_column(name: str, value: Any) -> int | str | None:
    if value is None:
        return None
    if isinstance(value, str) and value.lower() in _CONLLU:
        return value.lower()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        columns = ", ".join(map(repr, _CONLLU))
        raise invalid(name, f"an int, a column of CoNLL-U ({columns}) or None", value)
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
