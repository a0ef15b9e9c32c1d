"""The tables of language models, as Markdown."""

from __future__ import annotations

import math
from typing import Any

from .markdown import describe_machine, markdown

Row = dict[str, Any]


def language_models_table(result: dict[str, Any]) -> str:
    """Return the tables of the parts that were run; each has its own facts of the machine."""
    return "\n\n".join(
        f"{table(result[part]['rows'])}\n\n{describe_machine(result[part]['machine'])}"
        for part, table in TABLES.items()
        if part in result
    )


def loss_table(rows: list[Row]) -> str:
    """Return held-out losses by tokens seen."""
    n_epochs = max(len(row["losses"]) for row in rows)
    table = markdown(
        ["held-out loss, nats a token", *(row["language"] for row in rows)],
        [
            ["all tokens alike", *(f"{row['uniform_loss']:.2f}" for row in rows)],
            ["unigrams of the whole corpus", *(f"{row['unigram_loss']:.2f}" for row in rows)],
            *(
                [
                    f"after {round((epoch + 1) * rows[0]['tokens'], -3):,} tokens",
                    *(f"{row['losses'][epoch]:.2f}" for row in rows),
                ]
                for epoch in range(n_epochs)
            ),
            [
                "perplexity: unigrams, network",
                *(
                    f"{math.exp(row['unigram_loss']):,.0f}, {math.exp(row['losses'][-1]):,.0f}"
                    for row in rows
                ),
            ],
            ["CPU seconds: vocabulary, training", *(_seconds(row) for row in rows)],
            ["masked tokens of the held-out texts", *(f"{row['masked_tokens']:,}" for row in rows)],
            ["`[UNK]` among the corpus", *(f"{row['unknown']:.2%}" for row in rows)],
        ],
    )
    scores = next((row["sst2"] for row in rows if "sst2" in row), None)
    if scores is None:
        return table
    found = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    return f"{table}\n\nAccuracy on SST-2: {found}."


def memory_table(rows: list[Row]) -> str:
    """Return the memory of a fit by the size of its file."""
    return markdown(
        [
            "file, MB",
            "at a quarter of the time, MiB",
            "half",
            "three quarters",
            "greatest",
            "mapped",
        ],
        [
            [
                f"{row['megabytes']:.1f}",
                *(f"{_at(row['anonymous_mib'], part):,.0f}" for part in (0.25, 0.5, 0.75)),
                *(f"{peak:,.0f}" for peak in row["peak_mib"]),
            ]
            for row in rows
        ],
    )


def _at(samples: list[float], part: float) -> float:
    return samples[int(part * (len(samples) - 1))]


def _seconds(row: Row) -> str:
    return f"{row['vocabulary_seconds']:.0f}, {row['fit_seconds']:.0f}"


TABLES = {"loss": loss_table, "memory": memory_table}
