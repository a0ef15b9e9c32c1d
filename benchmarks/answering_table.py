"""The table of questions answered, as Markdown."""

from __future__ import annotations

from statistics import median
from typing import Any

from .markdown import describe_machine, markdown

_SECONDS = ("lower_seconds", "training_seconds", "prediction_seconds")


def answering_table(result: dict[str, Any]) -> str:
    """Return F1 and exact match of every way."""
    part = result["xquad"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in part["rows"]:
        groups.setdefault(row["way"], []).append(row)
    first = part["rows"][0]
    table = markdown(
        ["way", "F1", "exact match", "runs", "lower states, s", "training, s", "prediction, s"],
        (
            [
                way,
                *(f"{median(row[name] for row in rows):.4f}" for name in ("f1", "exact_match")),
                str(len(rows)),
                *(_seconds([row.get(name) for row in rows]) for name in _SECONDS),
            ]
            for way, rows in groups.items()
        ),
    )
    return (
        f"**xquad**: {first['test']:,} questions of {part['settings']['test_articles']}"
        f" articles; {first['train']:,} of the others to learn from.\n\n{table}\n\n"
        f"{describe_machine(part['machine'])}"
    )


def _seconds(values: list[float | None]) -> str:
    found = [value for value in values if value]
    return f"{median(found):,.1f}" if found else "–"
