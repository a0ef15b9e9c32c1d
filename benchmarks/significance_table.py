"""The tables of the simulation, as Markdown."""

from __future__ import annotations

from typing import Any

from .markdown import describe_machine, markdown

_FAMILIES = {
    "declared": "declared test",
    "declared_better": 'of these "better"',
    "exploratory": "exploratory family, Holm",
    "any": "corrected, Holm",
    "contender_better": 'of these "better"',
    "any_without_holm": "corrected, no Holm",
    "any_uncorrected": "uncorrected, Holm",
}


def significance_table(result: dict[str, Any]) -> str:
    """Return the tables of intervals, false alarms, power, families and held-back sets."""
    settings = result["settings"]
    parts = [
        describe_machine(result["machine"]),
        (
            f"{settings['data_sets']:,} data sets for each figure, scipy {settings['scipy']}; after"
            f" ± the standard error of the simulation. The whole run took {result['minutes']:.0f}"
            " minutes."
        ),
        "**intervals** at 95 %",
    ]
    header = ["world", "metric", "folds", "truth", "covered", "folds only", "uncorrected", "reach"]
    rows = [
        [
            *_place(row),
            f"{row['truth']:.3f}",
            *(
                _rate(row[name])
                for name in ("covered", "covered_by_folds_only", "covered_uncorrected")
            ),
            f"{row['width']:.2f}",
        ]
        for row in _shown(result["intervals"])
    ]
    parts += [
        markdown(header, rows),
        "**false alarms** of the paired test at 5 %, where there is no difference",
    ]
    rows = [
        [*_place(row), _rate(row["found"]), _rate(row["found_uncorrected"])]
        for row in _shown(result["alarms"])
    ]
    parts += [
        markdown(["world", "metric", "folds", "corrected", "uncorrected"], rows),
        "**power** of the paired test for accuracy",
    ]
    rows = [
        [
            row["world"],
            row["folds"],
            f"{row['truth']:.4f}",
            _rate(row["found"]),
            _rate(row["found_uncorrected"]),
            _rate(row["covered"]),
        ]
        for row in result["power"]
    ]
    parts.append(
        markdown(
            [
                "world",
                "folds",
                "true difference",
                "corrected",
                "uncorrected",
                "interval of the difference covers",
            ],
            rows,
        )
    )
    parts.append(
        "**families**: any false verdict among all comparisons with the best baseline, accuracy"
    )
    # Results of before have no declared test.
    names = [name for name in _FAMILIES if name in result["families"][0]]
    rows = [
        [row["world"], row["folds"], *(_rate(row[name]) for name in names)]
        for row in result["families"]
    ]
    parts.append(markdown(["world", "folds", *(_FAMILIES[name] for name in names)], rows))
    parts.append(
        "**a held-back test set**: bootstrap interval at 95 %, and false alarms of the bootstrap"
        " test at 5 %"
    )
    rows = [
        [row["world"], row["metric"], _rate(row["covered"]), _rate(row["found"])]
        for row in result["held_back"]
    ]
    parts.append(markdown(["world", "metric", "covered", "false alarms"], rows))
    return "\n\n".join(parts)


def _shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows for accuracy; for other metrics those of the default folds."""
    return [row for row in rows if row["metric"] == "accuracy" or row["folds"] == rows[0]["folds"]]


def _place(row: dict[str, Any]) -> list[str]:
    return [row["world"], row["metric"], row["folds"]]


def _rate(value: list[float]) -> str:
    return f"{value[0]:.1%} ± {value[1]:.1%}"
