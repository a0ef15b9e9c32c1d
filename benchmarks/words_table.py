"""The tables of vectors of words, as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from .markdown import describe_machine, markdown


def words_table(result: dict[str, Any]) -> str:
    """Return the tables of the parts; each has its own facts of the machine."""
    parts = {
        "tags": tags_table,
        "senses": senses_table,
        "speed": speed_table,
        "memory": curve_table,
        "fitting": fitting_table,
    }
    return "\n\n".join(
        part_table(result[name], table) for name, table in parts.items() if name in result
    )


def part_table(part: dict[str, Any], table: Callable[[dict[str, Any]], str]) -> str:
    """Return the tables of one part, and a line on machine and versions."""
    return (
        f"{table(part)}\n\n{describe_machine(part['machine'])} It took {part['minutes']:.0f}"
        " minutes."
    )


def tags_table(part: dict[str, Any]) -> str:
    """Return the features by data set, with and without the shapes of words."""
    sets = part["sets"]
    header = [
        "features",
        "dims",
        *(
            f"{one['set']} {what}"
            for one in sets
            for what in ("dev", "test", "dev, shapes", "test, shapes")
        ),
    ]
    rows = []
    for of_sets in zip(*(one["rows"] for one in sets), strict=True):
        scores = [
            _show((row[kind] or {}).get(what), ".4f")
            for row in of_sets
            for kind in ("plain", "shaped")
            for what in ("dev", "test")
        ]
        rows.append(
            [
                of_sets[0]["features"],
                f"{of_sets[0]['dims']:,}" if of_sets[0]["dims"] else "–",
                *scores,
            ]
        )
    taken = "; ".join(
        f"{one['set']}: {one['train_sentences']:,} sentences ({one['train_words']:,} words) to"
        f" learn from, {one['dev_sentences']:,} to choose by, {one['test_sentences']:,} to test;"
        f" {one['distinct_sentences']:,} distinct sentences went"
        f" {one['encoded'] / one['distinct_sentences']:.2f} times each through the network, for all"
        " rows together"
        for one in sets
    )
    mixes = [
        f"*{row['features']}*, {one['set']}: "
        + ", ".join(f"{weight:.2f}" for weight in row["layer_weights"])
        for one in sets
        for row in one["rows"]
        if row.get("layer_weights")
    ]
    settings = part["settings"]
    c_values = [
        f"{one['set']} "
        + ", ".join(
            f"{c:g}"
            for c in sorted(
                {row["plain"]["strength"] for row in one["rows"] if _is_fitted(row["plain"])}
            )
        )
        for one in sets
    ]
    unfinished = [
        f"{row['features']}, {one['set']}"
        for one in sets
        for row in one["rows"]
        for kind in ("plain", "shaped")
        if _is_fitted(row[kind]) and row[kind]["iterations"] >= settings["max_iter"]
    ]
    chosen = (
        f"C: {'; '.join(c_values)}. Fits that {settings['max_iter']} iterations did not "
        f"finish: {', '.join(dict.fromkeys(unfinished)) or 'none'}."
    )
    title = f"**tags**: micro-F1 of entities, {settings['model']}. {taken}."
    return "\n\n".join(
        [title, markdown(header, rows), chosen, "Weights learnt: " + "; ".join(mixes) + "."]
    )


def _is_fitted(scores: dict[str, Any] | None) -> bool:
    """Whether these are the scores of a classifier whose regularization strength was chosen."""
    return scores is not None and "strength" in scores


def senses_table(part: dict[str, Any]) -> str:
    """Return the accuracy of each view of a word in several senses."""
    words = part["words"]
    header = ["features", *(f"*{one['word']}*" for one in words)]
    rows = [
        [
            of_words[0]["features"],
            *(f"{row['accuracy']:.4f} ± {row['deviation']:.4f}" for row in of_words),
        ]
        for of_words in zip(*(one["rows"] for one in words), strict=True)
    ]
    taken = "; ".join(
        f"*{one['word']}*: {one['occurrences']:,} sentences, {one['senses']} senses, "
        + ", ".join(f"{count:,} {form}" for form, count in one["forms"].items())
        for one in words
    )
    best = "; ".join(f"*{one['word']}*: layer {_best_layer(one)}" for one in words)
    title = (
        f"**senses**: accuracy, mean and standard deviation of folds, {part['settings']['model']}."
        f" {taken}."
    )
    return "\n\n".join([title, markdown(header, rows), f"Best single layer: {best}."])


def _best_layer(word: dict[str, Any]) -> int:
    layers = [row for row in word["rows"] if row.get("layer") is not None]
    return int(max(layers, key=lambda row: row["accuracy"])["layer"])


def speed_table(part: dict[str, Any]) -> str:
    """Return words a second of each contender."""
    parts = [
        f"**speed**: {part['settings']['rounds']} rounds, medians; the model is there and warm"
        " before the clock starts."
    ]
    for case in part["cases"]:
        rows = [
            [
                row["contender"],
                _show(median(row["seconds"]), ".2f"),
                _show(row["words_per_second"], ",.0f"),
                _show(row["ratio"], ".2f"),
                _show(row["ratio_to_best"], ".2f"),
            ]
            for row in case["rows"]
        ]
        parts.append(
            f"{case['kind']}: {case['documents']:,} of {case['words']:,} words and"
            f" {case['tokens']:,} tokens in all."
        )
        parts.append(
            markdown(
                ["contender", "seconds", "words/s", "ratio to default", "ratio to best batch"], rows
            )
        )
    return "\n\n".join(parts)


def curve_table(part: dict[str, Any]) -> str:
    """Return the curves of memory side by side."""
    runs = part["runs"]
    header = ["sentences done", *(f"resident MiB, {run['store']}" for run in runs)]
    rows = [
        [f"{points[0]['sentences']:,}", *(f"{point['rss_mib']:,.0f}" for point in points)]
        for points in zip(*(run["curve"] for run in runs), strict=True)
    ]
    slopes = "; ".join(
        f"{run['store']}: {_show(run['slope_mib_per_10000'], '+.1f')} MiB per 10,000 sentences over"
        f" the second half, {run['words_per_second']:,.0f} words/s"
        for run in runs
    )
    return (
        f"**memory**: {runs[0]['sentences']:,} distinct sentences, {runs[0]['words']:,} words."
        f" {slopes}.\n\n{markdown(header, rows)}"
    )


def fitting_table(part: dict[str, Any]) -> str:
    """Return the peaks of fitting labelers."""
    fits = part["fits"]
    header = ["vectorizer and decoder", "features a word", "peak MiB", "before", "seconds", "CPU s"]
    header.append("all features in float32 would take, MiB")
    rows = [
        [
            one["case"],
            f"{one['features']:,}",
            *(_show(one[key], ",.0f") for key in ("peak_mib", "start_mib")),
            *(_show(one[key], ",.0f") for key in ("seconds", "cpu_seconds", "whole_mib")),
        ]
        for one in fits
    ]
    return (
        f"**fitting**: `SequenceLabeler.fit` on {fits[0]['sentences']:,} sentences of"
        f" {fits[0]['words']:,} words in all.\n\n{markdown(header, rows)}"
    )


def _show(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
