"""The tables of the simulation, as Markdown."""

from __future__ import annotations

from typing import Any

from .markdown import describe_machine, markdown
from .winner import winner_table

_FAMILIES = {
    "declared": "declared test",
    "declared_better": 'of these "better"',
    "exploratory": "exploratory family, Holm",
    "any": "all, Holm",
    "contender_better": 'of these "better"',
    "any_without_holm": "all, no Holm",
}


def significance_table(result: dict[str, Any]) -> str:
    """Return the tables of intervals, false alarms, power, families and held-back sets."""
    settings = result["settings"]
    parts = [
        describe_machine(result["machine"]),
        (
            f"{settings['data_sets']:,} data sets for each figure, seeds {settings['seeds']}, scipy"
            f" {settings['scipy']}; after ± the simulation's standard error. The whole run took"
            f" {result['minutes']:.0f} minutes."
        ),
        "**intervals** at 95 %, and **false alarms** of the paired test at 5 %",
    ]
    learners = {world["name"]: world["learner"] for world in settings["worlds"]}
    header = [
        *("world", "learner", "metric", "folds", "truth", "covered", "width"),
        *("covered by folds only", "width", "false alarms", "by folds only"),
    ]
    rows = [
        [
            *(name, learners[name], row["metric"], row["folds"], f"{row['truth']:.3f}"),
            _judged(row["interval"]["covered"], 0.93, 0.985),
            f"{row['interval']['width']:.2f}",
            _rate(row["interval_by_folds"]["covered"]),
            f"{row['interval_by_folds']['width']:.2f}",
            _judged(row["p"]["found"], 0.0, 0.06),
            _rate(row["p_by_folds"]["found"]),
        ]
        for name, of_world in result["intervals"].items()
        for row in of_world
    ]
    parts += [markdown(header, rows), "**power** of the paired test, folds 2 x 5"]
    rows = [
        [name, row["metric"], _rate(row["p"]["found"]), _rate(row["p_by_folds"]["found"])]
        for name, of_world in result["power"].items()
        for row in of_world
    ]
    parts.append(markdown(["world", "metric", "power", "by folds only"], rows))
    parts.append(
        "**families**: any false verdict among all comparisons with the best baseline, accuracy,"
        " folds 2 x 5"
    )
    rows = [
        [name, *(_rate(row[key]) for key in _FAMILIES)] for name, row in result["families"].items()
    ]
    parts.append(markdown(["world", *_FAMILIES.values()], rows))
    parts.append(
        "**a held-back test set**: bootstrap interval at 95 %, and false alarms of the bootstrap"
        " test at 5 %"
    )
    rows = [
        [name, metric, _rate(row[f"{metric} covered"]), _rate(row[f"{metric} found"])]
        for name, row in result["held_back"].items()
        for metric in ("accuracy", "macro-F1")
    ]
    parts.append(markdown(["world", "metric", "covered", "false alarms"], rows))
    if winners := result.get("winner"):
        parts.append(
            "**the best of several**: bias of its score in points, and how often its interval"
            " holds the exact score of the model that is fitted on all rows"
        )
        parts.append(winner_table(winners))
    return "\n\n".join(parts)


def _rate(value: list[float]) -> str:
    return f"{value[0]:.1%} ± {value[1]:.1%}"


def _judged(value: list[float], least: float, most: float) -> str:
    """Return a rate, bold if it misses its bar by more than the simulation's two errors."""
    is_missed = value[0] + 2 * value[1] < least or value[0] - 2 * value[1] > most
    return f"**{_rate(value)}**" if is_missed else _rate(value)
