"""Sentences of tagged words: CoNLL files, and tables with a row per word."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import math
import numbers
import re
import zlib
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..models.errors import InvalidParameterError, InvalidTableError
from ..models.validation import check_choice, invalid
from .tags import SCHEMES, convert_tags

__all__ = ["TaggedSentences", "read_conll"]

_OPENERS: dict[str, Callable[..., Any]] = {".bz2": bz2.open, ".gz": gzip.open, ".xz": lzma.open}
_PACKED = {".7z", ".rar", ".tar", ".tgz", ".zip", ".zst"}
_UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
_NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")  # numbers of CoNLL-U that belong to a contraction, or to a word that is not written
_CONLLU_COLUMNS = 10
_UNDECODED = re.compile("[\udc80-\udcff]")
_ENCODING_REMEDY = "Say how it is encoded, such as encoding='latin-1'."
_NAMED = 5


class TaggedSentences(NamedTuple):
    """Sentences, and a tag for each of their words: ``X, y = read_conll(path)``.

    Parameters
    ----------
    words : list of list of str
    tags : list of list of str
        As many for each sentence as it has words.

    Examples
    --------
    >>> sentences = TaggedSentences([["In", "Lima"], ["Yes"]], [["O", "B-LOC"], ["O"]])
    >>> sentences.to_frame()["sentence"].tolist()
    [0, 0, 1]
    >>> TaggedSentences.from_frame(sentences.to_frame()) == sentences
    True
    """

    words: list[list[str]]
    tags: list[list[str]]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per word.

        Returns
        -------
        DataFrame
            Columns "sentence" (its number, from 0), "word" and "tag". Sentences of no words have no row.

        Raises
        ------
        InvalidParameterError
            If a sentence has not as many tags as words.
        """
        if len(self.words) != len(self.tags):
            raise InvalidParameterError(
                f"There must be as many sentences of tags as of words. Got {len(self.words)} of words and {len(self.tags)} of tags. "
                "Give each sentence its tags."
            )
        for number, (words, tags) in enumerate(zip(self.words, self.tags, strict=True)):
            if len(words) != len(tags):
                raise InvalidParameterError(
                    f"Each sentence must have as many tags as words. Got {len(words)} words and {len(tags)} tags in sentence {number}, "
                    "counted from 0. Give each word a tag."
                )
        return pd.DataFrame(
            {
                "sentence": np.repeat(np.arange(len(self.words)), [len(words) for words in self.words]),
                "word": [word for words in self.words for word in words],
                "tag": [tag for tags in self.tags for tag in tags],
            }
        )

    @classmethod
    def from_frame(cls, df: Any, sentence: str = "sentence", word: str = "word", tag: str = "tag") -> TaggedSentences:
        """Read a table with a row per word.

        Parameters
        ----------
        df : DataFrame
            Of pandas or polars.
        sentence : str
            Column that says to which sentence a word belongs, by a number or a name.
        word, tag : str
            Columns of texts.

        Returns
        -------
        TaggedSentences
            Sentences in the order of their first rows, words in the order of the rows.

        Raises
        ------
        InvalidParameterError
            If ``df`` is no table.
        InvalidTableError
            If a column is not there, or a row lacks its sentence, word or tag.

        Examples
        --------
        >>> TaggedSentences.from_frame(pd.DataFrame({"sentence": [7, 7], "word": ["In", "Lima"], "tag": ["O", "B-LOC"]}))
        TaggedSentences(words=[['In', 'Lima']], tags=[['O', 'B-LOC']])
        """
        if not hasattr(df, "to_dict") or not hasattr(df, "columns"):
            raise InvalidParameterError(
                f"The 'df' parameter must be a DataFrame of pandas or polars. Got a {type(df).__name__} instead. Make one of it first."
            )
        keys = _column(df, sentence, Hashable, f"Where only the first row of a sentence has it, fill the others: df[{sentence!r}].ffill().")
        words = _column(df, word, str, "In files, read_csv(..., keep_default_na=False) keeps words such as 'null'.")
        tags = _column(df, tag, str, "A word outside all entities has 'O'.")
        found: dict[Any, tuple[list[str], list[str]]] = {}
        for key, a_word, a_tag in zip(keys, words, tags, strict=True):
            own_words, own_tags = found.setdefault(key, ([], []))
            own_words.append(a_word)
            own_tags.append(a_tag)
        return cls([own_words for own_words, _ in found.values()], [own_tags for _, own_tags in found.values()])


def read_conll(
    path: str | Path,
    *,
    word_column: int = 0,
    tag_column: int = -1,
    separator: str | None = None,
    scheme: str | None = None,
    encoding: str = "utf-8",
) -> TaggedSentences:
    r"""Read a CoNLL file: a word in each line, its tag in another column, and a blank line behind each sentence.

    Parameters
    ----------
    path : str or Path
        May be compressed (``.gz``, ``.bz2``, ``.xz``).
    word_column, tag_column : int
        Counted from 0, or from the end with -1. Tags stand last in most files; in CoNLL-U words are 1 and parts of speech 3.
    separator : str or None
        What stands between columns. None takes tabs if the first word's line has one, otherwise spaces, of which any number is one.
    scheme : {"IOB1", "BIO", "IOBES", "plain"} or None
        The scheme that the tags are converted to; None leaves them as they are.
    encoding : str

    Returns
    -------
    TaggedSentences
        To be taken apart: ``X, y = read_conll(path)``.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or the tags cannot be converted.
    InvalidTableError
        If the file is missing, holds no words or cannot be read, or a line lacks a column or its tag.

    Notes
    -----
    A line of nothing but space ends a sentence, and so does ``-DOCSTART-``. In a file with tabs a word may hold any other space.
    Between sentences, a line that begins with # is a comment, unless it has as many columns as the first word's line. All lines must have
    as many columns as that one; if both columns are counted from the left, all lines of a sentence must have as many as its first.
    In tables of ten columns, as in CoNLL-U, rows numbered such as 3-4 or 8.1 are no words, where words are read from another column.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "train.conll")
    ...     _ = path.write_text("In\tO\nLima\tB-LOC\n\nYes\tO\n", encoding="utf-8")
    ...     X, y = read_conll(path)
    >>> X, y
    ([['In', 'Lima'], ['Yes']], [['O', 'B-LOC'], ['O']])
    """
    path = Path(path).expanduser()
    columns = _check_column("word_column", word_column), _check_column("tag_column", tag_column)
    if columns[0] == columns[1]:
        raise invalid("tag_column", "another column than word_column", tag_column)
    if separator is not None and (not isinstance(separator, str) or not separator or set(separator) & set("\r\n")):
        raise invalid("separator", "the characters between two columns, or None", separator)
    if scheme is not None:
        check_choice("scheme", scheme, SCHEMES)
    sentences = TaggedSentences([], [])
    is_new = True
    for fields in _rows(path, _check_encoding(encoding), separator, columns):
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
        raise InvalidTableError(f"The file {str(path)!r} must hold words, each in a line with its tag. Got none. Give another file.")
    return sentences if scheme is None else sentences._replace(tags=convert_tags(sentences.tags, scheme))


def _rows(path: Path, encoding: str, separator: str | None, columns: tuple[int, int]) -> Iterator[list[str]]:
    """Yield the columns of each line that holds a word, and an empty list for each that ends a sentence."""
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
            raise InvalidTableError(f"The file {str(path)!r} cannot be read: line {number}, {_shortened(line)}, {fault}")
        is_conllu = len(fields) == _CONLLU_COLUMNS and separator == "\t" and columns[0] % _CONLLU_COLUMNS != 0
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
            f"must have at least {max(n_needed, 2)} columns, for a word and its tag. Got {n}. Correct the line, or say what separates "
            f"columns (separator=) and which are meant (word_column={word}, tag_column={tag})."
        )
    if n != n_expected:
        remedy = ", or, if lines may differ, count word_column and tag_column from the left" if is_fixed else ""
        return f"must have {n_expected} columns, as the first of {'the file' if is_fixed else 'its sentence'}. Got {n}. Correct it{remedy}."
    if not fields[tag].strip():
        return f"must have a tag in column {tag}. Got {fields[tag]!r}. Correct the line, or say which column it is (tag_column=)."
    return ""


def _split(line: str, separator: str) -> list[str]:
    return [field for field in line.split(" ") if field] if separator == " " else line.split(separator)


def _is_end(line: str) -> bool:
    return not line.strip() or line.startswith("-DOCSTART-")


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file, without their ends, and their numbers from 1."""
    if not path.is_file():
        raise InvalidTableError(f"There is no file {str(path)!r}.")
    ending = path.suffix.lower()
    if ending in _PACKED:
        raise InvalidTableError(f"The file {str(path)!r} cannot be read: {ending} is none of {', '.join(_OPENERS)}. Unpack it first.")
    try:
        with _OPENERS.get(ending, open)(path, "rt", encoding=encoding, errors="surrogateescape") as file:
            for number, line in enumerate(file, start=1):
                if _UNDECODED.search(line):
                    raise InvalidTableError(f"The file {str(path)!r} cannot be read: line {number} is not {encoding}. {_ENCODING_REMEDY}")
                yield number, line.rstrip("\n")
    except UnicodeError as error:
        raise InvalidTableError(f"The file {str(path)!r} cannot be read as {encoding}: {error}. {_ENCODING_REMEDY}") from error
    except _UNREADABLE as error:
        raise InvalidTableError(f"The file {str(path)!r} cannot be read: {str(error) or type(error).__name__}.") from error


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _check_column(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise invalid(name, "an int", value)
    return int(value)


def _check_encoding(value: Any) -> str:
    """Return the encoding under its usual name; that of UTF-8 takes a byte order mark, but needs none."""
    try:
        "".encode(value)  # refuses codecs that make no text
    except (LookupError, TypeError, ValueError) as error:
        raise invalid("encoding", "the name of an encoding, such as 'utf-8' or 'latin-1'", value) from error
    name = codecs.lookup(value).name
    return "utf-8-sig" if name == "utf-8" else name


def _column(df: Any, name: str, kind: type, remedy: str) -> list[Any]:
    """Return the values of a column, or name the rows that lack one."""
    columns = list(df.columns)
    if columns.count(name) != 1:
        shown = ", ".join(repr(column) for column in columns[:_NAMED])
        raise InvalidTableError(
            f"The table must have one column {name!r}. Its columns are: {shown}{', ...' if len(columns) > _NAMED else ''}. "
            "Say which hold the sentence, the word and its tag (sentence=, word=, tag=)."
        )
    values: list[Any] = df[name].to_list()
    rows = [row for row, value in enumerate(values) if not isinstance(value, kind) or _is_missing(value)]
    if rows:
        labels = list(df.index) if hasattr(df, "index") else None
        named = ", ".join(f"row {row}" + ("" if labels is None else f" (index {labels[row]!r})") for row in rows[:_NAMED])
        rule = "a str" if kind is str else "a value that is not missing"
        raise InvalidTableError(
            f"Each row must have {rule} in the column {name!r}. Got {values[rows[0]]!r} in {len(rows)} row(s): "
            f"{named}{', ...' if len(rows) > _NAMED else ''}. {remedy}"
        )
    return values


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
