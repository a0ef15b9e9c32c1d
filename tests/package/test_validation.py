"""Tests of package/validation.py."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.validation import (
    check_choice,
    check_flag,
    check_int,
    check_number,
    invalid,
    printable,
    short_repr,
    short_text,
)


def test_invalid_names_parameter_rule_and_value() -> None:
    error = invalid("stride", "an even number", 3)
    assert isinstance(error, InvalidParameterError)
    assert str(error) == "The 'stride' parameter must be an even number. Got 3 instead."


def test_check_choice_returns_the_choice() -> None:
    assert check_choice("overflow", "window", ("truncate", "window")) == "window"


@pytest.mark.parametrize("value", ["Window", "", None, 1, ["window"], b"window"])
def test_check_choice_refuses_everything_else(value: Any) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        check_choice("overflow", value, ("truncate", "window"))
    assert (
        str(caught.value)
        == f"The 'overflow' parameter must be one of 'truncate', 'window'. Got {value!r} instead."
    )


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_check_flag_returns_a_python_bool(value: Any) -> None:
    assert check_flag("local_files_only", value) is bool(value)


@pytest.mark.parametrize("value", [0, 1, None, "True", np.int64(1)])
def test_check_flag_refuses_what_only_looks_true_or_false(value: Any) -> None:
    with pytest.raises(
        InvalidParameterError, match=r"'local_files_only' parameter must be True or False\. Got"
    ):
        check_flag("local_files_only", value)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_check_int_returns_a_python_int(value: Any) -> None:
    checked = check_int("max_length", value, 3)
    assert checked == 3
    assert type(checked) is int


def test_check_int_lets_none_pass_only_where_optional() -> None:
    assert check_int("max_length", None, 1, optional=True) is None
    with pytest.raises(InvalidParameterError, match=r"int in the range \[1, inf\)\. Got None"):
        check_int("max_length", None, 1)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, np.True_, "1", float("nan"), np.float32(2)])
def test_check_int_refuses_other_values(value: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'max_length' parameter must be an int in the range \[1, inf\) or None\. Got",
    ):
        check_int("max_length", value, 1, optional=True)


def test_numbers_beyond_those_of_the_machine_are_refused() -> None:
    assert check_int("epochs", sys.maxsize, 1) == sys.maxsize
    for huge in (sys.maxsize + 1, 10**400, 10**5000):
        with pytest.raises(InvalidParameterError, match=rf"range \[1, {sys.maxsize}\]"):
            check_int("epochs", huge, 1)
    for huge in (10**400, -(10**400)):
        with pytest.raises(InvalidParameterError, match=r"range \(0, inf\)"):
            check_number("learning_rate", huge)


def test_check_number_knows_which_ends_belong_to_the_interval() -> None:
    for interval, value in (("[0, 1)", 0), ("(0, 1]", np.float32(1)), ("(0, inf)", 1e308)):
        assert check_number("warmup", value, interval) == value
        assert type(check_number("warmup", value, interval)) is float
    assert check_number("dropout", None, optional=True) is None
    nan, inf = float("nan"), float("inf")
    for interval, values in {
        "[0, 1)": [-1, 1, nan, None, True, np.True_, "0"],
        "(0, 1]": [0, 1.001, inf, [1]],
        "(0, inf)": [0, inf, 1j],
    }.items():
        for value in values:
            with pytest.raises(InvalidParameterError) as caught:
                check_number("warmup", value, interval)
            assert f"must be a number in the range {interval}. Got" in str(caught.value)
    with pytest.raises(InvalidParameterError, match=r"range \(0, inf\) or None\. Got 0"):
        check_number("dropout", 0, optional=True)


@pytest.mark.parametrize("length", [57, 59, 60, 1000])
def test_long_values_are_shortened(length: int) -> None:
    text = "x" * (length - 2)
    assert short_repr(text) == (repr(text) if length <= 59 else repr(text)[:57] + "...")
    assert short_text("a" * length, 58) == ("a" * length if length <= 58 else "a" * 56 + "...")


def test_what_a_terminal_would_act_upon_is_escaped() -> None:
    acted_upon = [chr(code) for code in (*range(32), *range(127, 160), 0x2028, 0x202E, 0x2066)]
    for one in [*acted_upon, "\ud800"]:
        assert printable(f"a{one}b") == f"a{ascii(one)[1:-1]}b"
        assert short_text(one) == ascii(one)[1:-1]
    shown = "naïve 🦇 نمی‌خواهم 👩‍🚀 [/x] 'quoted' \u00a0"
    assert printable(shown) == shown


def test_a_value_that_cannot_be_shown_is_told_by_its_type() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise RuntimeError

    assert short_repr(Silent()) == "<Silent>"
    assert short_repr(10**5000) == "<int>"


def test_a_long_value_is_shortened_in_the_message() -> None:
    message = str(invalid("stride", "an even number", list(range(5000))))
    assert message.startswith("The 'stride' parameter must be an even number. Got [0, 1, 2, 3,")
    assert message.endswith("... instead.")
    assert len(message) < 140
