"""The tables of a report, the best feature set first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..comparison.metrics import TABLE_COLUMNS
from ..comparison.results_table import BEST_BASELINE, EXPLORATORY
from ..comparison.statistics import HOLM
from .formatting import (
    MAX_NAME,
    format_bytes,
    format_count,
    format_interval,
    format_p,
    format_score,
    format_seconds,
    format_share,
    metric_name,
    one_line,
    shorten,
)

if TYPE_CHECKING:
    import pandas as pd

    from ..comparison.result import ComparisonResult

__all__ = ["Cell", "Flip", "Row", "Table", "cost_table", "find_flips", "score_table", "split_table"]

_MAX_FLIPPED = 10
_MAX_LABEL = 90
_MAX_TEXT = 400
_COSTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "dimensions": ("dimensions", format_count),
    "encode_seconds": ("encode 1,000 rows", format_seconds),
    "fit_seconds": ("fit 1,000 rows", format_seconds),
    "predict_seconds": ("predict 1,000 rows", format_seconds),
    "peak_mib": ("peak memory", lambda value: format_bytes(float(value) * 2**20)),
    "kept_bytes": ("vectors in memory", format_bytes),
    "oov_rate": ("unknown words", format_share),
    "truncation_rate": ("truncated texts", format_share),
}


@dataclass(frozen=True)
class Cell:
    """A number or text, and a detail in small print below it."""

    main: str
    detail: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table; ``mark`` names the best and the best baseline."""

    header: str
    cells: list[Cell]
    mark: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table; ``look`` is "wordy" if it holds texts ("pairs" if two a row), "dense" if wide."""

    caption: str
    columns: list[str]
    rows: list[Row]
    look: str = ""
    label: str = ""


@dataclass(frozen=True)
class Flip:
    """Rows that one feature set predicts right and another wrong; None if there are none."""

    heading: str
    table: Table | None


def _ranked(comparison: ComparisonResult) -> Iterator[pd.Series]:
    """Yield the rows of the table, the best first and those without a score last."""
    for _, row in comparison.metrics[0].best_first(comparison.table).iterrows():
        yield row


def _mark(comparison: ComparisonResult, row: pd.Series) -> str:
    if row["features"] == comparison.best and math.isfinite(row[comparison.metric]):
        return "best"
    return BEST_BASELINE if row["features"] == comparison.baseline else ""


def score_table(comparison: ComparisonResult) -> Table:
    """Return the scores of each feature set, with intervals and verdicts."""
    metric = comparison.metric
    known = {*TABLE_COLUMNS, metric}
    table_columns = comparison.table.columns
    further = [column for column in table_columns if column not in known]
    has_test = "test" in table_columns
    less = "" if comparison.greater_is_better else ", less is better"
    marks = {method: number for number, method in enumerate(comparison.methods, 1)}
    intervals, tests, held_back = (
        _Marks(comparison.table.get(f"{what}_method", []), marks)
        for what in ("interval", "difference", "test_interval")
    )
    columns = [
        "features",
        metric_name(metric) + less + intervals.heading,
        "difference to the best baseline" + tests.heading,
        "p" + tests.heading,
        "verdict",
    ]
    columns += ["test set" + held_back.heading] if has_test else []
    has_pooled = "pooled" in table_columns
    columns += [_further_name(column) for column in further]
    columns += [f"{metric_name(metric)}, all rows together"] if has_pooled else []
    rows = []
    for row in _ranked(comparison):
        difference = format_score(row["difference"], signed=True)
        cells = [
            Cell(
                format_score(row[metric]),
                format_interval(row, "low", "high") + intervals.of(row["interval_method"]),
            ),
            Cell(
                difference,
                format_interval(row, "difference_low", "difference_high", signed=True)
                + tests.of(row["difference_method"]),
            ),
            Cell(format_p(row["p_value"])),
            Cell(str(row["verdict"]), str(row["family"]), is_text=True),
        ]
        if has_test:
            test_interval = format_interval(row, "test_low", "test_high")
            test_interval += held_back.of(row["test_interval_method"])
            cells.append(Cell(format_score(row["test"]), test_interval))
        cells += [Cell(format_score(row[column])) for column in further]
        cells += [Cell(format_score(row["pooled"]))] if has_pooled else []
        name = shorten(row["features"], _MAX_LABEL)
        kind = "contextual" if row["is_contextual"] else "baseline"
        rows.append(Row(name, cells, _mark(comparison, row), kind))
    caption = "Scores with 95 % intervals, the best first"
    if EXPLORATORY in set(comparison.table["family"]):
        caption += (
            "; exploratory p-values and intervals of differences are corrected together"
            f" [{marks[HOLM]}]"
        )
    return Table(caption, columns, rows)


class _Marks:
    """Numbers of the methods of a column: in its heading if there is one, else in each cell."""

    def __init__(self, methods: Iterable[str], numbers: dict[str, int]) -> None:
        self._numbers = numbers
        used = [method for method in dict.fromkeys(methods) if method in numbers]
        self.heading = f" [{numbers[used[0]]}]" if len(used) == 1 else ""

    def of(self, method: str) -> str:
        """Return what stands behind an interval."""
        return f" [{self._numbers[method]}]" if method in self._numbers and not self.heading else ""


def _further_name(column: str) -> str:
    rest = column.removeprefix("test_")
    return metric_name(rest) + (", test set" if rest != column else "")


def cost_table(comparison: ComparisonResult) -> Table:
    """Return the cost of each feature set."""
    rows = [
        Row(
            shorten(row["features"], _MAX_LABEL),
            [Cell(style(row[column])) for column, (_, style) in _COSTS.items()],
            _mark(comparison, row),
        )
        for row in _ranked(comparison)
    ]
    columns = ["features", *(name for name, _ in _COSTS.values())]
    return Table("Cost of each feature set", columns, rows, "dense")


def split_table(table: Table, n_columns: int = 8) -> list[Table]:
    """Return a table as several with at most so many columns, that of the rows' names included.

    Examples
    --------
    >>> table = Table("Scores", ["features", "F1", "p"], [Row("BERT", [Cell("0.9"), Cell("0.01")])])
    >>> [part.columns for part in split_table(table, 2)]
    [['features', 'F1'], ['features', 'p']]
    """
    step = n_columns - 1
    return [
        replace(
            table,
            caption=table.caption if not start else "Further scores",
            columns=[table.columns[0], *table.columns[1 + start : 1 + start + step]],
            rows=[replace(row, cells=row.cells[start : start + step]) for row in table.rows],
        )
        for start in range(0, len(table.columns) - 1, step)
    ]


def find_flips(comparison: ComparisonResult, contextual: str | None) -> list[Flip]:
    """Return rows that only the best contextual features or only the best baseline get right."""
    baseline = comparison.baseline
    if contextual is None or contextual == baseline:
        return []
    return [_flip(comparison, contextual, baseline), _flip(comparison, baseline, contextual)]


def _flip(comparison: ComparisonResult, right: str, wrong: str) -> Flip:
    rows = comparison.errors(right, wrong)
    one, other = shorten(right, MAX_NAME), shorten(wrong, MAX_NAME)
    is_regression = comparison.target.kind == "regression"
    heading = f"{one} is closer than {other}" if is_regression else f"Only {one} is right"
    if rows.empty:
        return Flip(heading, None)
    first = rows.iloc[:_MAX_FLIPPED]
    has_pairs = comparison.texts.ndim == 2
    noun = "pair" if has_pairs else "text"
    caption = f"{len(rows):,} {noun if len(rows) == 1 else f'{noun}s'}"
    if len(first) < len(rows):
        caption = f"The first {len(first)} of {caption}"
    shown = []
    n_texts = len(comparison.text_names)
    for label, values in zip(first.index, first.itertuples(index=False, name=None), strict=True):
        cells = [*map(_shorten_text, values[:n_texts]), *map(_format_label, values[n_texts:])]
        shown.append(Row(shorten(label, _MAX_LABEL), [Cell(cell, is_text=True) for cell in cells]))
    names = [shorten(name, _MAX_LABEL) for name in comparison.text_names]
    columns = ["row", *names, "actual", one, other]
    look = "wordy pairs" if has_pairs else "wordy"
    return Flip(heading, Table(caption, columns, shown, look, f"{heading}: {caption}"))


def _shorten_text(text: Any) -> str:
    line = one_line(text)
    return line if len(line) <= _MAX_TEXT else line[:_MAX_TEXT].rstrip() + " …"


def _format_label(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return shorten(", ".join(map(one_line, value)) or "(no label)", _MAX_LABEL)
    return format_score(value) if isinstance(value, float) else shorten(value, _MAX_LABEL)
