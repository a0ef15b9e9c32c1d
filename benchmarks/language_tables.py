"""The tables of language models, as Markdown."""

from __future__ import annotations

from statistics import median
from typing import Any

from .markdown import describe_machine, markdown

Row = dict[str, Any]

# Last words of the ways of ULM-FiT, in the order of the table.
_WAYS = ["ULM-FiT", "adaptation", "rates", "unfreezing", "four", "adapted", "features"]


def adaptation_table(result: dict[str, Any]) -> str:
    """Return the tables of the parts that were run; each has its own facts of the machine."""
    return "\n\n".join(
        f"{table(result[part]['rows'])}\n\n{describe_machine(result[part]['machine'])}"
        for part, table in (("classification", _classification), ("space", _space))
        if part in result
    )


def _classification(rows: list[Row]) -> str:
    return "**classification**: macro F1 of frozen features.\n\n" + markdown(
        ["adapted to", "layers", "before", "adapted", "difference", "p", "training, CPU s"],
        (
            [
                _amount(row),
                row["layers"],
                *(
                    f"{row[f'{way}_f1']:.3f} ({row[f'{way}_low']:.3f}–{row[f'{way}_high']:.3f})"
                    for way in ("before", "adapted")
                ),
                f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to"
                f" {row['difference_high']:+.3f})",
                f"{row['p_value']:.3f}",
                f"{row['training_seconds']:.0f}",
            ]
            for row in rows
        ),
    )


def _space(rows: list[Row]) -> str:
    return "**space**: Spearman correlation on the dev pairs of STS-B.\n\n" + markdown(
        ["adapted to", "last layer", "second to last", "agreement", "training, CPU s"],
        (
            [
                _amount(row),
                *(f"{row[layer]:.3f}" for layer in ("last", "second to last")),
                f"{row['agreement']:.2f}" if "agreement" in row else "–",
                f"{row['training_seconds']:.0f}" if "training_seconds" in row else "–",
            ]
            for row in sorted(rows, key=lambda row: -row.get("agreement", 1.0))
        ),
    )


def _amount(row: Row) -> str:
    if "texts" not in row:
        return "nothing"
    settings = row["settings"]
    if "schedule" in settings:
        named = ", ULM-FiT's rates"
    else:
        named = "".join(f", {name} {value:g}" for name, value in settings.items())
    return f"{row['texts']:,} of {row['set']} x {row['epochs']}{named}"


def ulmfit_table(result: dict[str, Any]) -> str:
    """Return macro F1 by the number of labels and the way."""
    part = result["tass"]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(part["rows"], key=lambda row: _WAYS.index(row["way"].split(" ")[-1])):
        trained = f"{row['layers']} layers, {row['epochs']} epochs" if "layers" in row else "–"
        groups.setdefault((row["labels"], trained, row["way"]), []).append(row)
    table = markdown(
        ["labels", "trained", "way", "macro F1", "seeds", "training, CPU s"],
        (
            [
                f"{labels:,}",
                trained,
                way,
                _spread([row["f1"] for row in rows]),
                str(len(rows)),
                f"{median(row['training_seconds'] + row['lower_seconds'] for row in rows):.0f}",
            ]
            for (labels, trained, way), rows in sorted(
                groups.items(), key=lambda item: (item[0][0], item[0][1] == "–", item[0][1])
            )
        ),
    )
    return f"{table}\n\n{describe_machine(part['machine'])}"


def _spread(values: list[float]) -> str:
    """Return the median, and the least and the greatest of several."""
    middle = f"{median(values):.3f}"
    return f"{middle} ({min(values):.3f}–{max(values):.3f})" if len(values) > 1 else middle


def from_nothing_table(result: dict[str, Any]) -> str:
    """Return held-out losses by tokens seen, beside those of unigrams."""
    rows, machine = result["loss"]["rows"], describe_machine(result["loss"]["machine"])
    languages = list(dict.fromkeys(row["language"] for row in rows))
    found = {(row["language"], row["tokens"]): row for row in rows}
    lines = [
        [name, *(_of(found, (language, 0), form, field) for language in languages)]
        for name, form, field in (
            ("all tokens alike", ".2f", "uniform_loss"),
            ("unigrams of the whole corpus", ".2f", "unigram_loss"),
        )
    ]
    for n_tokens in sorted({row["tokens"] for row in rows} - {0}):
        cells = [
            f"{_of(found, (language, n_tokens), '.2f', 'loss')}"
            f" ({_of(found, (language, n_tokens), ',.0f', 'seconds')} s)"
            for language in languages
        ]
        lines.append([f"{n_tokens:,} tokens", *cells])
    lines += [
        [name, *(_of(found, (language, 0), form, field) for language in languages)]
        for name, form, field in (
            ("vocabulary, CPU s", ",.0f", "vocabulary_seconds"),
            ("tokens of the corpus", ",d", "corpus_tokens"),
            ("of these `[UNK]`", ".2%", "unknown"),
            ("masked tokens of the loss", ",d", "masked_tokens"),
        )
    ]
    table = markdown(["held-out loss, nats a token", *languages], lines)
    scores = [row["sst2"] for row in rows if "sst2" in row]
    if scores:
        accuracies = ", ".join(f"{name} {score:.3f}" for name, score in scores[-1].items())
        table += f"\n\nAccuracy on SST-2: {accuracies}."
    return f"{table}\n\n{machine}"


def _of(found: dict[Any, Row], key: tuple[str, int], form: str, field: str) -> str:
    return format(found[key][field], form) if key in found else "–"
