"""The tables of fine-tuning, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from .markdown import describe_machine, markdown

Row = dict[str, Any]

_SECONDS = ("lower_seconds", "training_seconds", "prediction_seconds")
_HEADER_OF_SECONDS = ["runs", "lower states, s", "training, s", "prediction, s"]


def fine_tuning_table(result: dict[str, Any]) -> str:
    """Return the tables of the parts that were run; each has its own facts of the machine."""
    return "\n\n".join(
        f"{table(result[part]['rows'])}\n\n{describe_machine(result[part]['machine'])}"
        for part, table in TABLES.items()
        if part in result
    )


def sst2_table(rows: list[Row]) -> str:
    """Return the accuracy by the number of training rows, and the best way for each number."""
    groups = dict(sorted(_grouped(rows, "rows", "way").items(), key=lambda item: item[0][0]))
    table = markdown(
        ["training rows", "way", "test accuracy", *_HEADER_OF_SECONDS],
        (
            [f"{n_rows:,}", way, _spread(group, "accuracy"), *_seconds(group)]
            for (n_rows, way), group in groups.items()
        ),
    )
    best = {}
    for (n_rows, way), group in groups.items():
        found = median(row["accuracy"] for row in group)
        best[n_rows] = max(best.get(n_rows, (0.0, "")), (found, way))
    winners = ", ".join(f"{n_rows:,}: {way} ({score:.4f})" for n_rows, (score, way) in best.items())
    layers = [
        f"{row['rows']:,}, seed {row['seed']}: layer {row['chosen']['bertvectorizer__layers']}, C"
        f" {row['chosen']['logisticregression__C']:g}"
        for row in sorted(rows, key=lambda row: (row["rows"], row["seed"]))
        if "chosen" in row
    ]
    return (
        f"**sst2**: accuracy on the test set.\n\n{table}\n\nBest by training rows: {winners}."
        f" Chosen for frozen features: {'; '.join(layers)}."
    )


def pairs_table(title: str, rows: list[Row]) -> str:
    """Return accuracy and correlations on the pairs of a set."""
    groups = _grouped(rows, "task", "way")
    n_train, n_test = (max(row[side] for row in rows) for side in ("train", "test"))
    table = markdown(
        ["task", "way", "accuracy", "Pearson", "Spearman", *_HEADER_OF_SECONDS],
        (
            [
                *(task, way),
                *(_spread(group, score) for score in ("accuracy", "pearson", "spearman")),
                *_seconds(group),
            ]
            for (task, way), group in sorted(groups.items(), key=lambda item: item[0][0])
        ),
    )
    return f"{title}; {n_train:,} pairs to learn from, {n_test:,} to test.\n\n{table}"


def sick_table(rows: list[Row]) -> str:
    """Return the scores on SICK's test pairs."""
    return pairs_table("**sick**: the test pairs", rows)


def stsb_table(rows: list[Row]) -> str:
    """Return the scores on the dev pairs of STS-B."""
    return pairs_table("**stsb**: the dev pairs", rows)


def tagging_table(rows: list[Row]) -> str:
    """Return the F1 of entities."""
    groups = _grouped(rows, "set", "way")
    table = markdown(
        ["set", "way", "test F1", *_HEADER_OF_SECONDS],
        (
            [name, way, _spread(group, "f1"), *_seconds(group)]
            for (name, way), group in groups.items()
        ),
    )
    sizes = "; ".join(
        f"{name}: {train:,} sentences to learn from, {test:,} to test"
        for name, train, test in _grouped(rows, "set", "train", "test")
    )
    return f"**tagging**: micro-F1 of entities. {sizes}.\n\n{table}"


def step_table(rows: list[Row]) -> str:
    """Return tokens a second, and ours over the others'."""
    table = markdown(
        ["loop", "tokens per CPU second", "packed over this"],
        (
            [
                loop,
                f"{median(row['tokens_per_second'][loop] for row in rows):,.0f}",
                _spread([row["ratio"] for row in rows], loop, ".2f"),
            ]
            for loop in rows[0]["ratio"]
        ),
    )
    return (
        f"**step**: training of all layers on {rows[0]['texts']:,} SST-2 sentences,"
        f" {rows[0]['tokens']:,} tokens; {len(rows)} rounds.\n\n{table}"
    )


def search_table(rows: list[Row]) -> str:
    """Return what a grid search costs with and without stored states."""
    least = rows[0]["seconds"]
    table = markdown(
        [
            "way",
            "CPU seconds",
            "of these, lower states",
            "times the first",
            "texts encoded",
            "best",
        ],
        (
            [
                row["way"],
                f"{row['seconds']:.0f}",
                f"{row['lower_seconds']:.1f}",
                f"{row['seconds'] / least:.2f}",
                f"{row['encoded']:,}" if row["encoded"] else "–",
                f"{max(row['scores']):.4f}",
            ]
            for row in rows
        ),
    )
    first = rows[0]
    return (
        f"**search**: {len(first['scores'])} candidates in 5 folds, {first['fits']} fits without a"
        f" refit, on {first['texts']:,} SST-2 sentences, {first['distinct']:,} of them distinct;"
        f" each was read {first['hits'] / first['distinct']:.0f} times from the store."
        f"\n\n{table}"
    )


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "sst2": sst2_table,
    "sick": sick_table,
    "stsb": stsb_table,
    "tagging": tagging_table,
    "step": step_table,
    "search": search_table,
}


def _grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def _spread(rows: list[Row], name: str, form: str = ".4f") -> str:
    """Return the median, and the least and the greatest of several."""
    values = [row[name] for row in rows if name in row]
    if not values:
        return "–"
    middle = format(median(values), form)
    return f"{middle} ({min(values):{form}}–{max(values):{form}})" if len(values) > 1 else middle


def _seconds(rows: list[Row]) -> list[str]:
    medians = [median(row[name] for row in rows) for name in _SECONDS]
    return [str(len(rows)), *(f"{seconds:,.1f}" if seconds else "–" for seconds in medians)]
