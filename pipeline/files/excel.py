"""Read workbooks (.xlsx) row by row, as the text that a CSV file of the first sheet would hold."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

from ...compressed import CheckedStream, ExpansionError, fault_of_member, most_bytes
from ...errors import InvalidTableError
from ...private_api import open_first_sheet

__all__ = ["excel_rows"]

# The limits of Excel. A file that breaks them was made to take time or memory.
_MOST_ROWS = 1 << 20
_MOST_COLUMNS = 1 << 14
_LONGEST_CELL = (1 << 15) - 1
# Elements of a row, or of a part apart from its rows: openpyxl makes objects of them.
_MOST_ELEMENTS = 100_000
_SMALL = 1 << 20
_SAVE_AS_CSV = "If you trust it, save its sheet as CSV, and give that file."


class _FaultError(ValueError):
    """A fault of a sheet that openpyxl would pass over."""


def excel_rows(path: Path) -> Generator[list[str | None], None, None]:
    """Yield the cells of each row of the first sheet; None is an empty cell, or an error's.

    Formulas have the value that was saved with them. Blank rows before the first row and after the
    last one are left out, and all of them where there is one column, as in CSV.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise InvalidTableError(
            f"The file {str(path)!r} needs openpyxl, which is not installed: pip install"
            ' "bertvectorizer[excel]". Or save its sheet as CSV, and give that file.'
        ) from None
    with path.open("rb") as file, _open_archive(file) as archive:
        with _reading():
            sheet = open_first_sheet(file, archive)
        if sheet is None:
            raise ValueError("it has no sheet of cells.")
        n_columns = min(sheet.max_column or 0, _MOST_COLUMNS)
        sheet.reset_dimensions()  # openpyxl would cut and fill rows by them, whatever there is
        rows = sheet.iter_rows()
        width = n_blank = 0
        while True:
            with _reading():
                row = next(rows, None)
            if row is None:
                return
            cells = list(map(_as_text, row))
            if not any(cells):
                n_blank += width > 1
                continue
            yield from ([] for _ in range(n_blank))
            n_blank = 0
            if not width:
                cells += [None] * (n_columns - len(cells))
                width = len(cells)
            yield cells


def _as_text(cell: Any) -> str | None:
    """Return the value of a cell as pandas writes it to CSV."""
    value = cell.value
    if value is None or cell.data_type == "e":
        return None
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))  # Excel has no integers
    text = str(value)
    if len(text) > _LONGEST_CELL:
        raise ExpansionError(f"a cell has {len(text):,} characters. {_SAVE_AS_CSV}")
    return text or None


@contextmanager
def _reading() -> Iterator[None]:
    """Drop openpyxl's warnings, of what is no cell, and give its errors one type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, _FaultError):
        raise
    except Exception as error:  # a damaged file raises whatever its fault leads to
        cause = error.__cause__ or error
        reason = (str(cause).splitlines() or [""])[0].rstrip(".")
        raise ValueError(
            f"openpyxl fails with {type(cause).__name__}: {reason}. Save it anew in a spreadsheet"
            " program, or save its sheet as CSV, and give that file."
        ) from error


def _open_archive(file: IO[bytes]) -> _Archive:
    """Open a workbook as an archive whose parts have a bounded size."""
    if not zipfile.is_zipfile(file):
        raise ValueError(
            "it is no .xlsx file. If it has a password or is an older .xls file, save it anew as"
            " .xlsx without a password."
        )
    n_bytes = file.seek(0, io.SEEK_END)
    archive = _Archive(file)
    for member in archive.infolist():
        if fault := fault_of_member(member):
            raise ValueError(f"its part {member.filename!r} {fault}. Save it anew.")
    if (total := sum(member.file_size for member in archive.infolist())) > most_bytes(
        n_bytes, _SMALL
    ):
        raise ExpansionError(f"it expands to {total:,} bytes from {n_bytes:,}. {_SAVE_AS_CSV}")
    return archive


class _Archive(zipfile.ZipFile):
    """An archive whose parts are checked while they are read."""

    def open(self, name: Any, *mode: Any, **options: Any) -> Any:
        """Open a part."""
        return io.BufferedReader(_Part(super().open(name, *mode, **options)))


class _Part(CheckedStream):
    """A part that is refused where it has entities, or would become too many objects at once.

    So is a sheet with rows or cells that are not in order, or with formulas whose value was not
    saved: openpyxl would drop them without a word.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self._n_elements = self._row = 0
        self._column = self._formula = ""
        self._type: str | None = None  # of the cell that has just begun
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse_entities
        parser.StartElementHandler = self._count
        self._parser, self._ended = parser, False

    def check(self, data: bytes) -> None:
        if not self._ended:
            self._ended = not data
            self._parser.Parse(data, self._ended)
            if self._ended:
                self._check_formula()

    def _refuse_entities(self, *_: Any) -> None:
        raise ExpansionError(f"it defines entities, which no workbook needs. {_SAVE_AS_CSV}")

    def _check_formula(self) -> None:
        if self._formula:
            raise _FaultError(
                f"cell {self._formula} holds a formula whose value was not saved. Open the file in"
                " a spreadsheet program, and save it there."
            )

    def _find_value(self, text: str) -> None:
        if text.strip():
            self._formula = ""
            self._parser.CharacterDataHandler = None

    def _count(self, name: str, attributes: dict[str, str]) -> None:
        self._n_elements += 1
        kind = name.rpartition(":")[2]
        if self._formula:
            if kind == "v":
                self._parser.CharacterDataHandler = self._find_value
                return
            self._check_formula()
        if kind == "row":
            row = int(attributes.get("r", self._row + 1))
            if not self._row < row <= _MOST_ROWS:
                raise _FaultError(f"row {row} comes after row {self._row}.")
            self._row, self._column, self._n_elements = row, "", 0
        elif kind == "c" and "r" in attributes:
            column = attributes["r"].rstrip("0123456789").rjust(3)
            if column <= self._column:
                raise _FaultError(f"cell {attributes['r']} comes after column {self._column}.")
            self._column = column
        elif kind == "f" and self._type not in {None, "str"}:  # "str" may be an empty text
            self._formula = f"{self._column.strip()}{self._row}"
        elif kind == "si":  # a text that cells share
            self._n_elements = 0
        self._type = attributes.get("t", "n") if kind == "c" else None
        if self._n_elements > _MOST_ELEMENTS:
            raise ExpansionError(
                f"a part has more than {_MOST_ELEMENTS:,} elements. {_SAVE_AS_CSV}"
            )
