"""CSV that a spreadsheet opens as data: no cell of it becomes a formula."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import NUMBER

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["csv_text", "defuse"]

# Spreadsheets skip blanks and invisible characters, and read full-width signs as the plain ones.
_FORMULA = re.compile(
    r"[\t\r\n]|[\s\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2060-\u2064\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]"
)
_NUMBER = re.compile(NUMBER)


def defuse(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet could take for a formula.

    Numbers stay as they are. See OWASP, "CSV Injection".

    >>> [defuse(text) for text in ["=1+1", "1+1=2", "-0.5", "- no"]]
    ["'=1+1", '1+1=2', '-0.5', "'- no"]
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_text(frame: pd.DataFrame, *, header: bool = True) -> str:
    """Return a table as CSV without its index, in which no spreadsheet finds a formula.

    Texts and the names of columns are in quotation marks; missing values are empty.

    >>> import pandas as pd
    >>> print(csv_text(pd.DataFrame({"text": ["=1+1", "a, b"], "number": [-1.5, 2.0]})), end="")
    "text","number"
    "'=1+1",-1.5
    "a, b",2.0
    """
    safe = frame.set_axis([_cell(str(name)) for name in frame.columns], axis=1)
    for index in range(safe.shape[1]):
        column = safe.iloc[:, index]
        if column.dtype.kind not in "biuf":
            safe.isetitem(index, list(map(_cell, column)))
    return safe.to_csv(
        header=header, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"
    )


def _cell(value: Any) -> Any:
    return replace_lone_surrogates(defuse(value)) if isinstance(value, str) else value
