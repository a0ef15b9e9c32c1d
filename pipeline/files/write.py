"""Files that grow chunk by chunk: whether they can be written, who is to blame, and warnings that would come with every chunk."""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from ...errors import InvalidParameterError, InvalidTableError

__all__ = ["blaming", "check_output", "describe_fault", "warning_once", "write_whole"]


def check_output(output: str | Path, endings: Collection[str], *sources: str | Path) -> Path:
    """Return the path of an output if it can be written.

    Parameters
    ----------
    output : str or Path
    endings : collection of str
        How its name may end.
    *sources : str or Path
        Files that are read, or written too, which the output must not be.

    Returns
    -------
    Path

    Raises
    ------
    InvalidTableError
    """
    output = Path(output)
    if output.suffix.lower() not in endings:
        raise InvalidTableError(
            f"The output {str(output)!r} must end in one of {', '.join(endings)}."
        )
    if not output.parent.is_dir():
        raise InvalidTableError(
            f"The output {str(output)!r} cannot be written: there is no folder"
            f" {str(output.parent)!r}. Make it first."
        )
    if output.is_dir():
        raise InvalidTableError(f"The output {str(output)!r} cannot be written: it is a folder.")
    if not os.access(output.parent, os.W_OK):
        raise InvalidTableError(
            f"The output {str(output)!r} cannot be written: the folder {str(output.parent)!r} is"
            " write-protected."
        )
    for source in map(Path, sources):
        if output == source or (output.exists() and source.exists() and output.samefile(source)):
            raise InvalidTableError(
                f"The output {str(output)!r} is the file to be read, or another output. Give it"
                " another name."
            )
    return output


def write_whole(path: str | Path, text: str) -> Path:
    """Write a text file that is there whole or not at all: what was there before is replaced at
    once.

    Parameters
    ----------
    path : str or Path
    text : str

    Returns
    -------
    Path

    Raises
    ------
    InvalidParameterError
        If it cannot be written.
    """
    target = Path(os.path.expanduser(path))
    beside = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=target.parent, prefix=".part-", delete=False
        ) as file:
            beside = Path(file.name)
            file.write(text)
        beside.chmod(0o666 & ~_umask())
        beside.replace(target)
    except OSError as error:
        raise InvalidParameterError(
            "The 'path' parameter must be a file in a directory that can be written to. Got"
            f" '{target}' instead: {error.strerror or error}."
        ) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)
    return target


def _umask() -> int:
    """Return which permissions new files do not get; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def blaming(output: Path) -> Iterator[None]:
    """Turn the operating system's errors into one that names the output."""
    try:
        yield
    except OSError as error:
        raise InvalidTableError(
            f"The output {str(output)!r} cannot be written: {error.strerror or error}."
        ) from error


def describe_fault(texts: pd.Series, path: str | Path) -> str:
    """Describe the first element that is no text, in terms of the file it comes from.

    Parameters
    ----------
    texts : Series
        Its index counts the rows of the file.
    path : str or Path
        The file.

    Returns
    -------
    str
        Empty where all are texts.
    """
    gap = ""
    for row, value in texts.items():
        where = f"row {row} (counted from 0) of column {texts.name!r} of the file {str(path)!r}"
        if isinstance(value, str):
            continue
        if not (pd.api.types.is_scalar(value) and pd.isna(value)):
            shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
            kind = type(value).__name__
            return (
                f"Texts must be str, or missing. Got {kind} {shown} in {where}. Store the column as"
                " text, or choose another one."
            )
        gap = (
            gap
            or f"There is no text in {where}, and missing='error' allows no gaps. Fill them, or leave such rows out."
        )
    return gap


@contextmanager
def warning_once() -> Iterator[None]:
    """Hold warnings back; at the end give those that differ in their figures alone once, with their number."""
    kinds: dict[str, list[warnings.WarningMessage]] = {}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield
    finally:
        for warning in caught:
            kinds.setdefault(re.sub(r"[\d.,]+", "0", str(warning.message)), []).append(warning)
        for first, *more in kinds.values():
            differ = any(str(other.message) != str(first.message) for other in more)
            note = (
                f"In {len(more) + 1} chunks of rows, in the first of them: {first.message}"
                if differ
                else str(first.message)
            )
            warnings.warn_explicit(note, first.category, first.filename, first.lineno)
