"""Sentences of tagged words, and tables with a row per word."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from ...errors import InvalidParameterError, InvalidTableError
from ...features.inputs.frames import Frame, first_names, list_column, read_frame, row_name
from ...features.inputs.texts import is_missing
from ...validation import invalid, short_repr
from .schemes import check_scheme, convert_tags, detect_scheme

__all__ = ["TaggedSentences", "converted"]


class TaggedSentences(NamedTuple):
    """Sentences and the tags of their words.

    It is a named tuple, so that ``X, y = read_conll(path)`` works.

    Parameters
    ----------
    words : list of list of str
        The words of each sentence.
    tags : list of list of str
        The tags of each sentence, one for each word.

    See Also
    --------
    read_conll : Read sentences and tags from a file.
    SequenceLabeler : Learn to predict the tags.

    Examples
    --------
    >>> from bertvectorizer import TaggedSentences
    >>> sentences = TaggedSentences([["In", "Lima"], ["Yes"]], [["O", "B-LOC"], ["O"]])
    >>> sentences.to_frame()["sentence"].tolist()
    [0, 0, 1]
    >>> TaggedSentences.from_frame(sentences.to_frame()) == sentences
    True
    """

    words: list[list[str]]
    tags: list[list[str]]

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row for each word.

        Returns
        -------
        table : DataFrame of shape (n_words, 3)
            Columns "sentence" (its number, counted from 0), "word" and "tag". A sentence without
            words has no row.

        Raises
        ------
        InvalidParameterError
            If words or tags are not lists of lists of str, or the number of tags of a sentence
            differs from its number of words.
        """
        for name, sentences in (("words", self.words), ("tags", self.tags)):
            _check_lists(name, sentences)
        if len(self.words) != len(self.tags):
            raise InvalidParameterError(
                f"There must be as many sentences of tags as of words. Got {len(self.words)} of"
                f" words and {len(self.tags)} of tags. Give each sentence its tags."
            )
        for number, (words, tags) in enumerate(zip(self.words, self.tags, strict=True)):
            if len(words) != len(tags):
                raise InvalidParameterError(
                    f"Each sentence must have as many tags as words. Got {len(words)} words and"
                    f" {len(tags)} tags in sentence {number}, counted from 0. Give each word a tag."
                )
        return pd.DataFrame(
            {
                "sentence": np.repeat(
                    np.arange(len(self.words)), [len(words) for words in self.words]
                ),
                "word": [word for words in self.words for word in words],
                "tag": [tag for tags in self.tags for tag in tags],
            }
        )

    def convert(self, scheme: Literal["IOB1", "BIO", "IOBES", "plain"]) -> TaggedSentences:
        """Convert the tags to another tagging scheme.

        Parameters
        ----------
        scheme : {"IOB1", "BIO", "IOBES", "plain"}
            The new scheme. The present one is detected.

        Returns
        -------
        sentences : TaggedSentences
            The same words with the converted tags.

        Raises
        ------
        InvalidParameterError
            If a tag is not valid in the detected scheme. If plain tags are converted to another
            scheme, or tags that mark entities to "plain".

        Examples
        --------
        >>> from bertvectorizer import TaggedSentences
        >>> sentences = TaggedSentences([["In", "Costa", "Rica"]], [["O", "B-LOC", "I-LOC"]])
        >>> sentences.convert("IOBES").tags
        [['O', 'B-LOC', 'E-LOC']]
        """
        check_scheme("scheme", scheme)
        return self._replace(tags=converted(self.tags, scheme, "Leave 'scheme' at None"))

    @classmethod
    def from_frame(
        cls, df: Any, sentence: str = "sentence", word: str = "word", tag: str = "tag"
    ) -> TaggedSentences:
        """Read a table with a row for each word.

        Parameters
        ----------
        df : pandas or polars DataFrame of shape (n_words, n_columns)
            The table. Other columns are ignored.
        sentence : str, default="sentence"
            Name of the column that identifies the sentence of a word, by a number or a name.
        word : str, default="word"
            Name of the column of words.
        tag : str, default="tag"
            Name of the column of tags.

        Returns
        -------
        sentences : TaggedSentences
            Sentences in the order of their first rows, words in the order of the rows.

        Raises
        ------
        InvalidParameterError
            If ``df`` is not a DataFrame, or two parameters name the same column.
        InvalidTableError
            If a column does not exist, a sentence or word is missing, or a tag is missing or blank.

        Examples
        --------
        >>> import pandas as pd
        >>> from bertvectorizer import TaggedSentences
        >>> columns = {"sentence": [7, 7], "word": ["In", "Lima"], "tag": ["O", "B-LOC"]}
        >>> TaggedSentences.from_frame(pd.DataFrame(columns))
        TaggedSentences(words=[['In', 'Lima']], tags=[['O', 'B-LOC']])
        """
        frame = read_frame(df)
        if frame is None:
            raise InvalidParameterError(
                "The 'df' parameter must be a DataFrame of pandas or polars. Got a"
                f" {type(df).__name__} instead. Make one of it first."
            )
        for name, value, other, taken in (
            ("word", word, "sentence", sentence),
            ("tag", tag, "sentence", sentence),
            ("tag", tag, "word", word),
        ):
            if value == taken:
                raise invalid(name, f"another column than that of {other!r}", value)
        keys = _column(
            frame,
            "sentence",
            sentence,
            Hashable,
            "Where only the first row of a sentence has it, fill the others:"
            f" df[{sentence!r}].ffill().",
        )
        words = _column(
            frame,
            "word",
            word,
            str,
            "In files, read_csv(..., keep_default_na=False) keeps words such as 'null'.",
        )
        tags = _column(frame, "tag", tag, str, "A word outside all entities has 'O'.")
        found: dict[Any, tuple[list[str], list[str]]] = {}
        for key, a_word, a_tag in zip(keys, words, tags, strict=True):
            own_words, own_tags = found.setdefault(key, ([], []))
            own_words.append(a_word)
            own_tags.append(a_tag)
        return cls(
            [own_words for own_words, _ in found.values()],
            [own_tags for _, own_tags in found.values()],
        )


def _check_lists(name: str, sentences: Any) -> None:
    """Refuse what is no list of lists of str."""
    if not isinstance(sentences, Sequence) or isinstance(sentences, str):
        raise invalid(name, "a list of sentences, each a list of str", sentences)
    for number, own in enumerate(sentences):
        if (
            not isinstance(own, Sequence)
            or isinstance(own, str)
            or not all(isinstance(one, str) for one in own)
        ):
            raise InvalidParameterError(
                f"The {name!r} parameter must be a list of sentences, each a list of str. Got"
                f" {short_repr(own)} as sentence {number}, counted from 0. Give each sentence as"
                " a list."
            )


def converted(tags: list[list[str]], scheme: str, remedy: str) -> list[list[str]]:
    """Return tags in another scheme; errors name the 'scheme' parameter and the remedy."""
    rule = (
        "The 'scheme' parameter must be one that the tags can be converted to. Got"
        f" {short_repr(scheme)} instead"
    )
    try:
        found = detect_scheme(tags)
        marks = [tag for own in tags for tag in own if tag != "O"]
        if not marks or "plain" not in (found, scheme) or found == scheme:
            return convert_tags(tags, scheme, found)
    except InvalidParameterError as error:
        raise InvalidParameterError(f"{rule}. {error} {remedy}.") from error
    kind = (
        "plain and mark no entities"
        if found == "plain"
        else f"of the scheme {found}, and plain tags cannot hold their entities"
    )
    raise InvalidParameterError(
        f"{rule}, for tags such as {marks[0]!r}, which are {kind}. {remedy}."
    )


def _column(frame: Frame, parameter: str, name: Any, kind: type, remedy: str) -> list[Any]:
    """Return the values of a column, or name the rows that lack one."""
    columns = frame.names
    if columns.count(name) != 1:
        raise InvalidTableError(
            f"The {parameter!r} parameter must name one column of the table. Got"
            f" {short_repr(name)} instead. Its columns are:"
            f" {first_names([*map(repr, columns)], 5)}. Name those of the sentence, the word and"
            " its tag (sentence=, word=, tag=)."
        )
    column = list_column(frame.column(columns.index(name)))
    assert column is not None
    values, labels = column
    rows = [
        row
        for row, value in enumerate(values)
        if not isinstance(value, kind)
        or is_missing(value)
        or (parameter == "tag" and not str(value).strip())
    ]
    if rows:
        named = first_names([row_name(row, labels) for row in rows], 5)
        rule = {
            "sentence": "a value that is not missing",
            "word": "a str",
            "tag": "a str that is not blank",
        }[parameter]
        raise InvalidTableError(
            f"Each row must have {rule} in the column {name!r}. Got {short_repr(values[rows[0]])}"
            f" in {len(rows)} row(s): {named}. {remedy}"
        )
    return values
