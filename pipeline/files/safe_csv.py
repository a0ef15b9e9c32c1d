"""CSV that a spreadsheet opens as data: no cell of it becomes a formula."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import numpy as np
import pandas as pd

from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import NUMBER

__all__ = ["csv_text", "defuse", "json_text"]

# Spreadsheets skip blanks and invisible characters, and read all forms of a sign alike. No formula
# begins with a sign and a closing bracket, as ";-)" does.
_SKIPPED = (
    r"\x00-\x20\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u115f-\u1160"
    r"\u1680\u17b4-\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SIGN = (
    r"[=+\-@\u207a-\u207c\u208a-\u208c\u2212\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b"
    r"\uff0b\uff0d\uff1d\uff20](?![)\]}])"
)
_FORMULA = re.compile(rf"[\t\r\n]|[{_SKIPPED}]*{_SIGN}")
# A spreadsheet that splits lines at another character than the comma does not see the quotation
# marks of a cell: it begins a new cell at that character, and a new row at a line break.
_INNER_START = re.compile(rf'(?<![{_SKIPPED}";|])([{_SKIPPED}";|]++)(?={_SIGN})')
_BREAK = re.compile(r"[;|\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
_NUMBER = re.compile(NUMBER)


def defuse(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet could take for a formula.

    A formula within the text, after a line break or another separator, gets one too. Numbers stay
    as they are. See OWASP, "CSV Injection".

    >>> [defuse(text) for text in ["=1+1", "1+1=2", "-0.5", "- no", "a;=1"]]
    ["'=1+1", '1+1=2', '-0.5', "'- no", "'a;'=1"]
    """
    guarded = _INNER_START.sub(_guard, text)
    if guarded != text or (_FORMULA.match(text) and not _NUMBER.fullmatch(text)):
        return f"'{guarded}"
    return text


def _guard(start: re.Match[str]) -> str:
    return f"{start[0]}'" if _BREAK.search(start[0]) else start[0]


def csv_text(frame: pd.DataFrame, *, header: bool = True) -> str:
    """Return a table as CSV without its index, in which no spreadsheet finds a formula.

    Texts and the names of columns are in quotation marks; missing values are empty. Lists and
    mappings are JSON.

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
            # As objects, since integers would become floats beside missing values.
            safe.isetitem(index, pd.Series(map(_cell, column), dtype=object).array)
    return safe.to_csv(
        header=header, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"
    )


def _cell(value: Any) -> Any:
    if isinstance(value, (list, tuple, dict, np.ndarray)):
        value = json_text(value)  # the text of an array leaves most values out
    return replace_lone_surrogates(defuse(value)) if isinstance(value, str) else value


def json_text(value: Any) -> str:
    """Return a value as JSON; what JSON lacks, such as a date, is a text.

    >>> json_text({"row": np.int64(0), "words": np.array(["bat"])})
    '{"row": 0, "words": ["bat"]}'
    """
    return json.dumps(value, ensure_ascii=False, default=_as_json)


def _as_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
