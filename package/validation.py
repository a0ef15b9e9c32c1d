"""Checks of parameters, and the messages of those that fail."""

from __future__ import annotations

import math
import numbers
import re
import sys
from collections.abc import Collection
from typing import Any, Literal, TypeVar, overload

import numpy as np

from .errors import InvalidParameterError

__all__ = [
    "NUMBER",
    "check_choice",
    "check_flag",
    "check_int",
    "check_number",
    "invalid",
    "printable",
    "short_repr",
    "short_text",
]

# A decimal number in ASCII. Each digit has one place in it, so that a text which is not a number
# after all is refused in linear time.
NUMBER = r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"

_LONGEST_SHOWN = 59
# Control characters, line breaks, those that change the direction of writing, and lone surrogates.
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_Choice = TypeVar("_Choice", bound=str)


def invalid(name: str, rule: str, value: object) -> InvalidParameterError:
    """Build the error: the parameter, its rule, and the value received."""
    return InvalidParameterError(
        f"The {name!r} parameter must be {rule}. Got {short_repr(value)} instead."
    )


def check_choice(name: str, value: Any, choices: Collection[_Choice]) -> _Choice:
    """Return the one of ``choices`` that ``value`` is."""
    for choice in choices:
        if isinstance(value, str) and value == choice:
            return choice
    raise invalid(name, "one of " + ", ".join(repr(choice) for choice in choices), value)


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise invalid(name, "True or False", value)
    return bool(value)


@overload
def check_int(name: str, value: Any, minimum: int, *, optional: Literal[False] = False) -> int: ...
@overload
def check_int(name: str, value: Any, minimum: int, *, optional: Literal[True]) -> int | None: ...
def check_int(name: str, value: Any, minimum: int, *, optional: bool = False) -> int | None:
    """Return ``value`` as an int of at least ``minimum``; None passes where it is ``optional``."""
    if value is None and optional:
        return None
    is_int = isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))
    if (
        not is_int or not minimum <= int(value) <= sys.maxsize
    ):  # beyond, NumPy and PyTorch raise errors
        end = f"{sys.maxsize}]" if is_int and value > minimum else "inf)"
        rule = f"an int in the range [{minimum}, {end}" + (" or None" if optional else "")
        raise invalid(name, rule, value)
    return int(value)


@overload
def check_number(
    name: str, value: Any, interval: str = ..., *, optional: Literal[False] = False
) -> float: ...
@overload
def check_number(
    name: str, value: Any, interval: str = ..., *, optional: Literal[True]
) -> float | None: ...
def check_number(
    name: str, value: Any, interval: str = "(0, inf)", *, optional: bool = False
) -> float | None:
    """Return ``value`` as a float if it is in an interval; None passes where it is ``optional``.

    >>> check_number("warmup", 0, "[0, 1)")
    0.0
    """
    if value is None and optional:
        return None
    low, high = map(float, interval[1:-1].split(", "))
    is_number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:  # of an int that no float can be
        number = math.nan
    if not (
        low < number < high
        or (interval[0] == "[" and number == low)
        or (interval[-1] == "]" and number == high)
    ):
        rule = f"a number in the range {interval}" + (" or None" if optional else "")
        raise invalid(name, rule, value)
    return number


def short_repr(value: object, longest: int = _LONGEST_SHOWN) -> str:
    """Return the ``repr`` of a value for a message, shortened to about ``longest`` characters."""
    try:
        text = repr(value)
    except Exception:  # of an int of many digits, and of whatever users write
        text = f"<{type(value).__name__}>"
    return short_text(text, longest)


def short_text(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Return a text for a message, `printable` and shortened to about ``longest`` characters."""
    text = text if len(text) <= longest else text[: longest - 2] + "..."
    return printable(text)


def printable(text: str) -> str:
    r"""Return a text with escapes for the characters that a terminal acts upon or cannot show.

    >>> print(printable("\x1b[2J\n"))
    \x1b[2J\n
    """
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)
