"""CSV that a spreadsheet opens as data: no cell of it becomes a formula."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InvalidTableError
from ...models.checkpoint.text_tokens import replace_lone_surrogates

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["csv_text", "defuse", "write_csv"]

# Spreadsheets pass over blanks and invisible characters, and take full-width signs for the plain
# ones.
_FORMULA = re.compile(
    r"[\t\r\n]|[\s\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2060-\u2064\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]"
)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)


def defuse(text: str) -> str:
    """Return a text with an apostrophe before it, if a spreadsheet could take it for a formula.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        The text itself where it is harmless, and where it is a number.

    References
    ----------
    OWASP, "CSV Injection".

    Examples
    --------
    >>> [defuse(text) for text in ["=1+1", "1+1=2", "-0.5", "- no"]]
    ["'=1+1", '1+1=2', '-0.5', "'- no"]
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_text(frame: pd.DataFrame, *, header: bool = True) -> str:
    r"""Return a table as CSV: texts and names of columns in quotation marks, formulas after an
    apostrophe, numbers as they are.

    Parameters
    ----------
    frame : DataFrame
        Its index is left out.
    header : bool
        Whether the first line has the names.

    Returns
    -------
    str
        Lines that end in ``"\n"``. Missing values are empty.

    Examples
    --------
    >>> import pandas as pd
    >>> print(csv_text(pd.DataFrame({"text": ["=1+1", "a, b"], "number": [-1.5, 2.0]})), end="")
    "text","number"
    "'=1+1",-1.5
    "a, b",2.0
    """
    safe = frame.set_axis([_cell(str(name)) for name in frame.columns], axis=1)
    for place in range(safe.shape[1]):
        column = safe.iloc[:, place]
        if column.dtype.kind not in "biuf":
            safe.isetitem(place, list(map(_cell, column)))
    return safe.to_csv(
        header=header, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"
    )


def _cell(value: Any) -> Any:
    return replace_lone_surrogates(defuse(value)) if isinstance(value, str) else value


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV that a spreadsheet opens as data, see `csv_text`.

    Parameters
    ----------
    frame : DataFrame
    path : str or Path

    Raises
    ------
    InvalidTableError
        If it cannot be written.
    """
    try:
        Path(path).write_bytes(csv_text(frame).encode())
    except OSError as error:
        raise InvalidTableError(
            f"The output {str(path)!r} cannot be written: {error.strerror or error}."
        ) from error
