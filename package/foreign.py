"""Errors of other libraries that read a user's file, as errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import BertVectorizerError
from .validation import short_text

__all__ = ["foreign_errors_as", "reason_of"]

_LONGEST_REASON = 300


@contextmanager
def foreign_errors_as(
    kind: type[BertVectorizerError], fault: str, remedy: str = ""
) -> Iterator[None]:
    """Raise an error of ``kind`` for every error of another library in the block.

    For damaged and hostile files, libraries raise errors of all kinds. The block should hold their
    calls only, since it would hide a mistake of this package as well. Errors of this package pass.
    """
    try:
        yield
    except BertVectorizerError:
        raise
    except BaseException as error:
        # What libraries in Rust raise is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise kind(f"{fault}: {reason_of(error)}. {remedy}".rstrip()) from error


def reason_of(error: BaseException) -> str:
    """Return the kind of an error, and the first line of its message without the full stop."""
    message = str(error).strip().partition("\n")[0].rstrip(" .:")
    name = type(error).__name__
    return short_text(f"{name}: {message}" if message else name, _LONGEST_REASON)
