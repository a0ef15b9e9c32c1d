"""The default comparison on three real data sets, written down as tables in docs/comparisons.md.

Run ``python -m benchmarks.comparisons``.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bertvectorizer.pipeline import compare, default_features
from bertvectorizer.pipeline.report.formatting import format_p

from .common import ROOT, machine, parser, write
from .markdown import describe_machine, markdown
from .texts import sms, sst2, tass

Rows = tuple[list[str], list[Any]]


def sets(data: Path) -> dict[str, tuple[str, Rows, Rows | None]]:
    """Return the sets by name: what they are, rows to cross-validate on, rows held back."""
    folds = sst2(data, "train"), sst2(data, "dev")
    messages = sms(data)
    return {
        "SST-2": (
            "sentences of film reviews: do they praise?",
            (folds[0][0] + folds[1][0], folds[0][1] + folds[1][1]),
            sst2(data, "test"),
        ),
        "SMS spam": (
            "distinct text messages: are they spam?",
            (list(messages), ["spam" if spam else "ham" for spam in messages.values()]),
            None,
        ),
        "TASS 2020": (
            "Spanish tweets: positive, negative or neutral?",
            tass(data, "train"),
            tass(data, "dev"),
        ),
    }


def run(name: str, about: str, rows: Rows, test: Rows | None, n_jobs: int) -> dict[str, Any]:
    """Compare the default feature sets on one data set."""
    print(f"{name}: {len(rows[0]):,} rows", file=sys.stderr)
    started = time.perf_counter()

    def report(features: str, unit: str, done: int, total: int) -> None:
        if unit == "folds" and done == total:
            print(f"  {features}: {time.perf_counter() - started:.0f} s", file=sys.stderr)

    # On a CPU, so that figures can be repeated without a GPU.
    comparison = compare(
        *rows, default_features(device="cpu"), test=test, n_jobs=n_jobs, progress=report
    )
    return {
        "name": name,
        "about": about,
        "seconds": time.perf_counter() - started,
        **json.loads(comparison.to_json()),
    }


_PAIRS = """## Pairs of texts

`compare` takes two columns of texts, such as those of SICK, with word overlap as another baseline:

```sh
bertvectorizer compare sick.tsv --text sentence_A --text sentence_B --target entailment_judgment
```

The same sentence may stand in several pairs. Then a model may learn by heart what becomes of it,
and test rows reward that. So pairs that hang together by common sentences form a group, which
stays on one side of each fold, if that leaves even folds: no group is larger than a fold, no test
set has more than twice the rows of another, and every class is on both sides. Otherwise, with
folds of your own, and for rows held back (`--test`), a warning says how many rows are judged after
learning from another pair with one of their sentences. `--group-duplicates` and
`--no-group-duplicates` decide otherwise. What it changes on SICK:
[decisions](decisions.md#comparison)."""


_FINE_TUNED = r"""## Fine-tuned models

A fine-tuned model is compared by name, on the same folds and in the same table as the frozen
features:

```sh
bertvectorizer compare reviews.csv --text text --target label \
    --features tfidf --features BERT --features "BERT fine-tuned"
```

It is a `BertClassifier`, or for numbers a `BertRegressor`, whose two highest layers train. The
states below them are computed once for all folds. It predicts by itself, without an estimator on
top, so it has no dimensions, and its seconds are those from text to prediction. It is no default,
as training takes a hundred times as long as a linear model on frozen features. Its test belongs to
the exploratory family, unless `--primary` names it. `fine_tuned_features` has further settings, and
every classifier or regressor of texts can be compared in the same way:
`{"mine": BertClassifier(epochs=4), "words": make_pipeline(TfidfVectorizer(), LinearSVC())}`."""


def document(result: dict[str, Any]) -> str:
    """Return docs/comparisons.md."""
    parts = [
        "# Comparisons\n\nWhat `bertvectorizer compare` finds on three real sets, with its default"
        " feature sets and settings. Made by `python -m benchmarks.comparisons`; all numbers are in"
        " [results](../benchmarks/results/comparisons.json).\n\n*Accuracy* is the mean over folds"
        " with its 95 % interval; *difference* is that to the best baseline (in bold), with its 95"
        " % interval. The test of BERT was declared beforehand. The others are one exploratory"
        " family: *p* is corrected by Holm, and the intervals agree with it. *Test* is the accuracy"
        " on rows held back, judged once after learning from all others. Seconds are not shown,"
        " since they depend on what else a machine does; see"
        f" benchmarks/README.md.\n\n{describe_machine(result['machine'])}"
    ]
    for found in result["sets"]:
        settings = found["settings"]
        held_back = (
            f", {settings['rows held back for a test']} held back for a test"
            if "rows held back for a test" in settings
            else ""
        )
        parts.append(
            f"## {found['name']}\n\n{found['about'].capitalize()} {settings['rows']}"
            f" rows{held_back}; {settings['folds']}.\n\n{_table(found)}\n\n"
            + "".join(f"- {note}\n" for note in found["notes"])
        )
    return "\n\n".join(part.rstrip() for part in [*parts, _PAIRS, _FINE_TUNED]) + "\n"


def _table(found: dict[str, Any]) -> str:
    header = [
        "features",
        "accuracy",
        "difference",
        "p",
        "verdict",
        "macro F1",
        "ROC AUC",
        "Brier",
        "dimensions",
    ]
    has_test = "test" in found["table"][0]
    if has_test:
        header.insert(2, "test")
    rows = []
    for row in found["table"]:
        name = f"**{row['features']}**" if row["features"] == found["baseline"] else row["features"]
        difference = "" if row["difference"] is None else f"{row['difference']:+.3f}"
        if row["difference_low"] is not None:
            difference += f" ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"
        family = {"primary": " (primary)", "exploratory": " (exploratory)", "": ""}[row["family"]]
        cells = [
            name,
            f"{row['accuracy']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
            difference,
            "" if row["p_value"] is None else format_p(row["p_value"]),
            row["verdict"] + family,
            f"{row['f1_macro']:.3f}",
            f"{row.get('roc_auc', row.get('roc_auc_ovr')) or math.nan:.3f}",
            f"{row['brier_score']:.3f}",
            f"{row['dimensions']:,}",
        ]
        if has_test:
            cells.insert(2, f"{row['test']:.3f}")
        rows.append(cells)
    return markdown(header, rows)


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument(
        "--limit", type=int, help="number of texts of each set to use, for a quick try"
    )
    known.add_argument("--n-jobs", type=int, default=2, help="number of folds to run in parallel")
    options = known.parse_args(None if arguments is None else list(arguments))
    limited = slice(options.limit)
    found = [
        run(
            name,
            about,
            (rows[0][limited], rows[1][limited]),
            test and (test[0][limited], test[1][limited]),
            options.n_jobs,
        )
        for name, (about, rows, test) in sets(options.data).items()
    ]
    result = {"machine": machine(), "sets": found}
    write(options.name or "comparisons", result)
    page = ROOT / "docs" / "comparisons.md"
    page.write_text(document(result), encoding="utf-8")
    print(f"Written: {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
