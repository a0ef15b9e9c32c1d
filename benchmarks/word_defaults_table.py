"""The tables of candidates for the defaults of vectors of words, as Markdown."""

from __future__ import annotations

from statistics import mean
from typing import Any

from .markdown import describe_machine, markdown

TIE = 0.001  # of a score: candidates within it share a win


def word_defaults_table(result: dict[str, Any]) -> str:
    """Return a table of layers and one of decoders."""
    part = result["scores"]
    rows = part["rows"]
    sizes = "; ".join(
        f"{row['task']}: {row['measure']}, {row['train']:,} to learn from, {row['held_back']:,}"
        " held back"
        for row in {row["task"]: row for row in rows}.values()
    )
    return "\n\n".join(
        [
            f"**layers**, with Viterbi decoding where there are sentences to tag. {sizes}.",
            _layers([row for row in rows if row["decode"] in (None, "viterbi")]),
            "**decoders**, for each set of tags the mean over the features that each of them had.",
            _decoders([row for row in rows if row["decode"]]),
            describe_machine(part["machine"]),
        ]
    )


def _layers(rows: list[dict[str, Any]]) -> str:
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    widths = {row["features"]: row["width"] for row in rows}
    score = {(row["task"], row["features"]): row["score"] for row in rows}
    top = {task: max(found for (of, _), found in score.items() if of == task) for task in tasks}
    lines = []
    for name, width in widths.items():
        gaps = [top[task] - score[task, name] for task in tasks if (task, name) in score]
        scores = [
            f"{score[task, name]:.4f}" if (task, name) in score else "–"  # not yet measured
            for task in tasks
        ]
        lines.append([name, f"{width:,}", *scores, *_summary(gaps)])
    return markdown(["features", "width", *tasks, *_SUMMARY], lines)


def _decoders(rows: list[dict[str, Any]]) -> str:
    tasks = list(dict.fromkeys(row["task"] for row in rows if row["decode"] == "crf"))
    known = {(row["task"], row["features"], row["decode"]): row for row in rows}
    decoders = ("greedy", "viterbi", "crf")
    cases = [(task, name) for task, name, decoder in known if decoder == "crf"]
    top = {case: max(known[*case, decoder]["score"] for decoder in decoders) for case in cases}
    lines = []
    for decoder in decoders:
        means = [
            mean(
                known[case_task, name, decoder]["score"]
                for case_task, name in cases
                if case_task == task
            )
            for task in tasks
        ]
        gaps = [top[case] - known[*case, decoder]["score"] for case in cases]
        # Greedy and Viterbi decoding have the same classifier, which the first of them fits.
        fitted = "greedy" if decoder == "viterbi" else decoder
        seconds = mean(known[*case, fitted]["fit_cpu_seconds"] for case in cases)
        cells = [f"{mean:.4f}" for mean in means]
        lines.append([f'`decode="{decoder}"`', *cells, *_summary(gaps), f"{seconds:.1f}"])
    return markdown(["decoder", *tasks, *_SUMMARY, "fit, CPU s"], lines)


_SUMMARY = ("wins", "points below the best, mean", "at most")


def _summary(gaps: list[float]) -> list[str]:
    """Return the share of cases won, ties included, and how far off the best it is in points."""
    wins = sum(gap <= TIE for gap in gaps)
    return [
        f"{wins} of {len(gaps)}",
        f"{100 * sum(gaps) / len(gaps):.2f}",
        f"{100 * max(gaps):.2f}",
    ]
