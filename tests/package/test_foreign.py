"""Tests of package/foreign.py: errors of other libraries become ours."""

from __future__ import annotations

import pytest

from bertvectorizer.errors import InvalidTableError, ModelIntegrityError, UnsafeModelError
from bertvectorizer.foreign import foreign_errors_as, reason_of


def raise_in_block(error: BaseException) -> None:
    with foreign_errors_as(ModelIntegrityError, "The file 'a' cannot be read", "Mend it."):
        raise error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("size"), "KeyError: 'size'"),
        (ImportError("no flash attention.\n\nInstall it."), "ImportError: no flash attention"),
        (EOFError(), "EOFError"),
        (MemoryError("too much"), "MemoryError: too much"),
        (ValueError("\ud800 \x1b[2J"), r"ValueError: \ud800 \x1b[2J"),
    ],
)
def test_an_error_of_another_library(error: Exception, reason: str) -> None:
    with pytest.raises(ModelIntegrityError) as caught:
        raise_in_block(error)
    assert str(caught.value) == f"The file 'a' cannot be read: {reason}. Mend it."
    assert caught.value.__cause__ is error


def test_a_panic_of_rust() -> None:
    panic = type("PanicException", (BaseException,), {})("no entry found for key")
    with pytest.raises(ModelIntegrityError, match="PanicException: no entry found for key"):
        raise_in_block(panic)


def test_a_long_message_is_shortened() -> None:
    assert len(reason_of(ValueError("x" * 10_000))) < 310


@pytest.mark.parametrize(
    "error",
    [UnsafeModelError("ours"), InvalidTableError("ours"), KeyboardInterrupt(), SystemExit()],
)
def test_errors_of_this_package_and_ctrl_c_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        raise_in_block(error)
    assert caught.value is error
