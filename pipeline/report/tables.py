"""The tables of a report: numbers as words, rows in the order of their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..comparison.outcome import Cost
from .formatting import (
    metric_name,
    one_line,
    say_amount,
    say_bytes,
    say_p,
    say_score,
    say_seconds,
    say_share,
    shorten,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Flip", "Row", "Table", "cost_table", "find_flips", "score_table"]

_MOST_FLIPPED = 20
_LONGEST_NAME = 60
_LONGEST_LABEL = 90
_MOST_LETTERS = 400
_COSTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "dimensions": ("dimensions", say_amount),
    "encode_seconds": ("encode, per 1,000 rows", say_seconds),
    "fit_seconds": ("fit, per 1,000 rows", say_seconds),
    "predict_seconds": ("predict, per 1,000 rows", say_seconds),
    "peak_mib": ("peak memory", lambda value: say_bytes(float(value) * 2**20)),
    "kept_bytes": ("features kept", say_bytes),
    "oov_rate": ("unknown words", say_share),
    "truncation_rate": ("texts cut short", say_share),
}
_RANKING = [
    "features",
    "is_contextual",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "verdict",
]


@dataclass(frozen=True)
class Cell:
    """A number, or words, and what stands small below it."""

    main: str
    detail: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table; the best and the best baseline have a mark."""

    header: str
    cells: list[Cell]
    mark: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """What a table shows, and how: ``"cards"`` on a phone or ``"wide"``, ``"wordy"`` where it holds texts."""

    caption: str
    columns: list[str]
    rows: list[Row]
    look: str = "cards"
    label: str = ""


@dataclass(frozen=True)
class Flip:
    """Rows that one kind of features gets right and another wrong; None where there are none."""

    heading: str
    table: Table | None


def _ranked(comparison: Any) -> Iterator[pd.Series]:
    """Yield the rows of the table, the best first and those without a score last."""
    order = comparison.table.sort_values(
        comparison.metric,
        ascending=not comparison.greater_is_better,
        kind="stable",
        na_position="last",
    )
    for _, row in order.iterrows():
        yield row


def _mark(comparison: Any, row: pd.Series) -> str:
    if row["features"] == comparison.best and math.isfinite(row[comparison.metric]):
        return "best"
    return "best baseline" if row["features"] == comparison.baseline else ""


def _between(row: pd.Series, low: str, high: str, signed: bool = False) -> str:
    if not (math.isfinite(row[low]) and math.isfinite(row[high])):
        return ""
    return f"{say_score(row[low], signed)} to {say_score(row[high], signed)}"


def score_table(comparison: Any) -> Table:
    """Return the scores of each kind of features, with intervals and what the test says."""
    metric = comparison.metric
    costs = {field.name for field in fields(Cost)}
    has_test = "test" in comparison.table.columns
    known = {*_RANKING, *costs, metric, "test", "test_low", "test_high"}
    further = [column for column in comparison.table.columns if column not in known]
    less = "" if comparison.greater_is_better else ", less is better"
    columns = ["features", metric_name(metric) + less, "to the best baseline", "p", "verdict"]
    columns += ["held-back rows"] if has_test else []
    columns += [_further_name(column) for column in further]
    rows = []
    for row in _ranked(comparison):
        cells = [
            Cell(say_score(row[metric]), _between(row, "low", "high")),
            Cell(
                say_score(row["difference"], signed=True),
                _between(row, "difference_low", "difference_high", signed=True),
            ),
            Cell(say_p(row["p_value"])),
            Cell(str(row["verdict"]), is_text=True),
        ]
        cells += (
            [Cell(say_score(row["test"]), _between(row, "test_low", "test_high"))]
            if has_test
            else []
        )
        cells += [Cell(say_score(row[column])) for column in further]
        rows.append(
            Row(
                shorten(row["features"], _LONGEST_LABEL),
                cells,
                _mark(comparison, row),
                "contextual" if row["is_contextual"] else "baseline",
            )
        )
    return Table("Scores with 95 % intervals, the best first", columns, rows)


def _further_name(column: str) -> str:
    rest = column.removeprefix("test_")
    return metric_name(rest) + (", held-back rows" if rest != column else "")


def cost_table(comparison: Any) -> Table:
    """Return what each kind of features costs."""
    rows = [
        Row(
            shorten(row["features"], _LONGEST_LABEL),
            [Cell(say(row[column])) for column, (_, say) in _COSTS.items()],
            _mark(comparison, row),
        )
        for row in _ranked(comparison)
    ]
    return Table(
        "What each kind of features costs",
        ["features", *(name for name, _ in _COSTS.values())],
        rows,
        "wide",
    )


def find_flips(comparison: Any, contextual: str | None) -> list[Flip]:
    """Return rows on which of the best contextual features and the best baseline one is right and the other wrong, twenty of each kind."""
    baseline = comparison.baseline
    if contextual is None or baseline is None or contextual == baseline:
        return []
    return [
        _flip(
            "Context helped",
            comparison.errors(contextual, baseline),
            contextual,
            baseline,
            comparison.target.kind,
        ),
        _flip(
            "Context misled",
            comparison.errors(baseline, contextual),
            baseline,
            contextual,
            comparison.target.kind,
        ),
    ]


def _flip(what: str, rows: pd.DataFrame, right: str, wrong: str, kind: str) -> Flip:
    one, other = shorten(right, _LONGEST_NAME), shorten(wrong, _LONGEST_NAME)
    heading = (
        f"{what}: {one} comes nearer than {other}"
        if kind == "regression"
        else f"{what}: {one} is right and {other} wrong"
    )
    if rows.empty:
        return Flip(heading, None)
    first = rows.iloc[:_MOST_FLIPPED]
    caption = f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}"
    if len(first) < len(rows):
        caption = f"The first {len(first)} of {caption}"
    shown = [
        Row(
            shorten(label, _LONGEST_LABEL),
            [
                Cell(_short(text), is_text=True),
                *(Cell(_say_label(value), is_text=True) for value in labels),
            ],
        )
        for label, (text, *labels) in zip(
            first.index, first.itertuples(index=False, name=None), strict=True
        )
    ]
    return Flip(
        heading, Table(caption, ["row", "text", "truth", one, other], shown, "cards wordy", heading)
    )


def _short(text: Any) -> str:
    line = one_line(text)
    return line if len(line) <= _MOST_LETTERS else line[:_MOST_LETTERS].rstrip() + " …"


def _say_label(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return shorten(", ".join(map(one_line, value)) or "(no label)", _LONGEST_LABEL)
    return say_score(value) if isinstance(value, float) else shorten(value, _LONGEST_LABEL)
