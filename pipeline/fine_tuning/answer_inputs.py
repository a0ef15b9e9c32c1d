"""Read questions with their contexts, and answers with their place in the context."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...errors import InvalidParameterError, InvalidTextError
from ...features.inputs.frames import (
    first_names,
    index_of,
    lazy_library,
    list_column,
    read_frame,
    row_name,
)
from ...features.inputs.pairs import PairColumns, read_pairs
from ...features.inputs.texts import is_missing, list_iterable
from ...validation import short_repr
from .targets import check_rows

__all__ = ["Answer", "read_answers", "read_questions"]

_COLUMNS = ("question", "context")
_EXPECTED = (
    "X must hold questions and their contexts: a DataFrame with the columns 'question' and"
    " 'context', or with two columns in this order, an array of shape (n_rows, 2), or a list of"
    " (question, context)."
)
_TEXTS, _STARTS = ("text", "answer"), ("start", "answer_start")
_FORMS = (
    "a dict {'text': ..., 'start': ...}, a tuple (text, start), SQuAD's {'text': [...],"
    " 'answer_start': [...]}, or None where the context has no answer"
)


@dataclass(frozen=True)
class Answer:
    """A part of a context, and the number of its first character there."""

    text: str
    start: int


def read_questions(X: Any) -> PairColumns:
    """Read questions and their contexts.

    Parameters
    ----------
    X : DataFrame, ndarray of shape (n_rows, 2), list of pairs or of dicts, or other iterable
        A data frame may have further columns beside 'question' and 'context'. Without these names,
        it has two columns in this order.

    Returns
    -------
    pairs : PairColumns
        Questions are the first texts, contexts the second.

    Raises
    ------
    InvalidTextError
        If X has another form, or a question or context is missing or no str.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"id": [7], "context": ["Ann met Bo."], "question": ["Who met Bo?"]})
    >>> pairs = read_questions(df)
    >>> pairs.first, pairs.second
    (['Who met Bo?'], ['Ann met Bo.'])
    """
    frame = None if isinstance(X, (list, tuple)) else read_frame(X)
    if frame is None:
        rows = None if lazy_library(X) else list_iterable(X)
        if rows and all(isinstance(row, Mapping) for row in rows):  # as of a Hugging Face dataset
            X = [tuple(_value(row, name, at) for name in _COLUMNS) for at, row in enumerate(rows)]
        elif not hasattr(X, "__len__"):
            X = rows or X
    else:
        names = frame.names
        if all(names.count(name) == 1 for name in _COLUMNS):
            columns = {name: frame.values(names.index(name)) for name in _COLUMNS}
            X = pd.DataFrame(columns, index=frame.index, dtype=object)
        elif len(names) != 2 or names[0] == _COLUMNS[1] or names[1] == _COLUMNS[0]:
            shown = first_names(list(map(repr, names)), 8) or "(none)"
            raise InvalidTextError(
                f"{_EXPECTED} Got a DataFrame with the columns {shown}. Rename them, or choose two:"
                " df[['question', 'context']]."
            )
    pairs = read_pairs(X)
    if pairs.is_missing.any():
        row, side = np.argwhere(pairs.is_missing)[0].tolist()
        raise InvalidTextError(
            f"X must have a question and a context in each row, and has {pairs.is_missing.sum()}"
            f" missing text(s), the first of them the {_COLUMNS[side]} of"
            f" {row_name(row, index_of(X))}. Fill them with '', or leave these rows out."
        )
    return pairs


def _value(row: Mapping[str, Any], name: str, number: int) -> Any:
    if name not in row:
        raise InvalidTextError(
            f"{_EXPECTED} Got a dict without {name!r} in row {number}; its keys are"
            f" {short_repr(list(row))}."
        )
    return row[name]


def read_answers(y: Any, contexts: Sequence[str], name: str = "y") -> list[tuple[Answer, ...]]:
    """Read the true answers of each row; () where there is none.

    Parameters
    ----------
    y : list, ndarray, Series or DataFrame of n_rows
        Of each row a dict, a tuple, or None; several answers in SQuAD's form or as a list. A data
        frame has a column 'text' or 'answer', and a column 'start' or 'answer_start'.
    contexts : sequence of str
        The context of each row.
    name : str, default="y"
        What messages call ``y``.

    Returns
    -------
    answers : list of tuple of Answer
        The answers of each row.

    Raises
    ------
    InvalidParameterError
        If y has another form or length, or an answer does not stand in its context.

    Examples
    --------
    >>> read_answers([("Bo", 8), None], ["Ann met Bo.", "Ann left."])
    [(Answer(text='Bo', start=8),), ()]
    """
    values, index = _rows(y, name)
    check_rows(values, len(contexts), name)
    answers = []
    for row, (value, context) in enumerate(zip(values, contexts, strict=True)):
        place = f"{name} in {row_name(row, index)}"
        own = [_answer(text, start, place) for text, start in _pairs(value, place)]
        for answer in own:
            _check_in_context(answer, context, place)
        answers.append(tuple(own))
    return answers


def _rows(y: Any, name: str) -> tuple[list[Any], Any]:
    """Return the rows of y, and the index that names them where there is one."""
    if y is None:
        raise InvalidParameterError(
            f"Training requires y to be passed, but the target {name} is None. Give the answer of"
            f" each row: {_FORMS}."
        )
    if isinstance(y, (list, tuple)):
        return list(y), None
    if (frame := read_frame(y)) is not None:
        columns = [
            next((place for place, own in enumerate(frame.names) if own in known), None)
            for known in (_TEXTS, _STARTS)
        ]
        if None in columns:
            raise InvalidParameterError(
                f"{name} must have a column 'text' or 'answer', and a column 'start' or"
                f" 'answer_start'. Got a DataFrame with the columns {short_repr(frame.names)}."
            )
        texts, starts = (frame.values(place) for place in columns if place is not None)
        return list(zip(texts, starts, strict=True)), frame.index
    if (column := list_column(y)) is not None:
        return column
    if isinstance(y, np.ndarray) and y.ndim:
        return y.tolist(), None
    if (rows := list_iterable(y)) is None:
        raise InvalidParameterError(
            f"{name} must have for each row {_FORMS}. Got {short_repr(y)} instead."
        )
    return rows, None


def _pairs(value: Any, place: str) -> list[tuple[Any, Any]]:
    """Return the texts and starts of the answers of a row."""
    value = _plain(value)
    if _is_none(value):
        return []
    if isinstance(value, Mapping):
        texts, starts = (_plain(_named(value, known, place)) for known in (_TEXTS, _STARTS))
        if isinstance(texts, (list, tuple)):
            if not isinstance(starts, (list, tuple)) or len(starts) != len(texts):
                raise InvalidParameterError(
                    f"{place} must have as many starts as texts. Got {short_repr(value)}."
                )
            return [pair for pair in zip(texts, starts, strict=True) if not _is_none(pair[0])]
        return [] if _is_none(texts) else [(texts, starts)]
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and not isinstance(_plain(value[0]), (list, tuple, Mapping)):
            return [] if _is_none(value[0]) else [(value[0], value[1])]
        if all(isinstance(_plain(each), (list, tuple, Mapping)) for each in value):
            return [pair for each in value for pair in _pairs(each, place)]
    raise InvalidParameterError(
        f"{place} must be {_FORMS}. Got {short_repr(value)} instead. A text alone does not tell"
        " which of several places is meant."
    )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _is_none(text: Any) -> bool:
    return is_missing(text) or (isinstance(text, str) and not text)


def _named(value: Mapping[str, Any], known: tuple[str, ...], place: str) -> Any:
    for name in known:
        if name in value:
            return value[name]
    raise InvalidParameterError(
        f"{place} must be {_FORMS}. Got a dict without {known[0]!r}: {short_repr(dict(value))}."
    )


def _answer(text: Any, start: Any, place: str) -> Answer:
    """Return an answer, or raise unless it is a text and a number."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidParameterError(
            f"The text of {place} must be a str with a visible character, or None. Got"
            f" {short_repr(text)} instead."
        )
    is_number = isinstance(start, numbers.Real) and not isinstance(start, (bool, np.bool_))
    if not is_number or not (0 <= start < np.inf) or start != int(start):
        raise InvalidParameterError(
            f"The start of {place} must be the number of the answer's first character in the"
            f" context, counted from 0. Got {short_repr(start)} for {short_repr(text)} instead."
        )
    return Answer(str(text), int(start))


def _check_in_context(answer: Answer, context: str, place: str) -> None:
    """Raise unless the answer stands where it is said to stand."""
    found = context[answer.start : answer.start + len(answer.text)]
    if found == answer.text:
        return
    places = [
        at
        for at in range(len(context) - len(answer.text) + 1)
        if context.startswith(answer.text, at)
    ]
    remedy = (
        f"The context has it at {', '.join(map(str, places[:3]))}{', ...' * (len(places) > 3)}."
        if places
        else "The context does not have it: correct the text, or give None if there is no answer."
    )
    raise InvalidParameterError(
        f"The answer of {place} must stand in its context: context[{answer.start}:"
        f"{answer.start + len(answer.text)}] must be {short_repr(answer.text)}. Got"
        f" {short_repr(found)} instead. {remedy}"
    )
