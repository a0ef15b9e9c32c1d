"""Sentences as lists of words, and their tags, one for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidParameterError
from ...features.inputs.documents import read_documents
from ...features.inputs.frames import read_frame
from ...validation import short_repr
from .schemes import convert_tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["offsets_of", "read_sentences", "read_tags"]


def read_sentences(X: Any) -> list[list[str]]:
    """Return sentences as lists of words, whatever holds them."""
    return read_documents(X).nested


def read_tags(y: Any, sentences: Sequence[Sequence[str]], name: str = "y") -> list[list[str]]:
    """Return the tags of sentences as lists of str.

    Examples
    --------
    >>> read_tags((("O",), []), [["tea"], []])
    [['O'], []]
    """
    if y is None:
        raise InvalidParameterError(
            f"{name} must hold the tags of each sentence's words. Got None instead. Give"
            " [[tag, ...], ...]."
        )
    if read_frame(y) is not None:  # a data frame iterates over its columns' names
        raise InvalidParameterError(
            f"{name} must hold a list of tags for each sentence. Got a {type(y).__name__} instead."
            " Give its column of lists, df['tag']; if it has a row per word, X, y ="
            " TaggedSentences.from_frame(df)."
        )
    if isinstance(y, str):
        raise InvalidParameterError(
            f"{name} must hold a list of tags for each sentence. Got {short_repr(y)} instead. Give"
            " [tags],"
            " with the tags of each sentence as a list."
        )
    tags = convert_tags(y, "plain", "plain")  # as they are, each checked to be a text
    if len(tags) != len(sentences):
        raise InvalidParameterError(
            f"{name} must hold a list of tags for each of the {len(sentences)} sentences of X. Got"
            f" {len(tags)} instead. Give as many as there are sentences, [] for a sentence of no"
            " words."
        )
    for number, (words, own) in enumerate(zip(sentences, tags, strict=True)):
        if len(own) != len(words):
            raise InvalidParameterError(
                f"{name} must hold one tag for each word. Got {len(own)} tags for the {len(words)}"
                f" words of sentence {number}, counted from 0. Give each word a tag; a word outside"
                " all entities has 'O'."
            )
    return [[str(tag) for tag in own] for own in tags]  # NumPy's str, and others' too


def offsets_of(sentences: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Return the index of the first word of each sentence, and the number of all words."""
    return np.cumsum([0, *map(len, sentences)], dtype=np.int64)
