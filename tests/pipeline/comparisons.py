"""Comparisons for tests of figures and reports, made by hand: everything that one may hold, without a network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from bertvectorizer.pipeline.comparison.outcome import Cost, Outcome

NAMES = [
    "majority class",
    "TF-IDF words",
    "TF-IDF words + characters",
    "Word2Vec",
    "distilled words",
    "BERT cls",
    "BERT",
]
NAMES += [f"BERT mean -{layer}" for layer in (1, 2, 3, 4)] + [
    "BERT sum of last 4",
    "BERT concat of last 4",
]
CELLS = {
    "BERT cls": (6, "cls"),
    **{f"BERT mean -{layer}": (7 - layer, "mean") for layer in (1, 2, 3, 4)},
}


def make_comparison(
    kind: str = "binary",
    names: list[str] | None = None,
    n_rows: int = 200,
    classes: list[Any] | None = None,
    texts: list[str] | None = None,
    gain: float = 0.06,
    **changes: Any,
) -> Any:
    """Return what looks like a comparison. ``gain`` is what context adds to the score."""
    rng = np.random.default_rng(5)
    names = NAMES if names is None else names
    texts = (
        [f"The bat number {row} hung from the beam." for row in range(n_rows)]
        if texts is None
        else texts
    )
    n_rows = len(texts)
    labels = np.array(
        (
            {"binary": ["ham", "spam"], "multiclass": ["money", "sport", "world"]}.get(
                kind, ["a", "b", "c"]
            )
            if classes is None
            else classes
        ),
        dtype=object,
    )
    values: Any = labels[rng.integers(len(labels), size=n_rows)]
    if kind == "multilabel":
        values = rng.integers(2, size=(n_rows, len(labels)))
    elif kind == "regression":
        values, labels = rng.normal(size=n_rows), None
    metric = "r2" if kind == "regression" else "f1_macro" if kind == "multilabel" else "accuracy"
    rows, outcomes = [], {}
    for number, name in enumerate(names):
        contextual = name.startswith("BERT")
        score = (
            0.5
            if name == "majority class"
            else 0.84 + 0.008 * number + (gain if contextual else 0.0)
        )
        cost = Cost(
            384,
            4.2 if contextual else 0.02 + 0.004 * number,
            0.3,
            0.004,
            812.0,
            384 * 4 * n_rows,
            float("nan") if contextual else 0.013,
            0.002,
        )
        if name == "majority class":
            cost = Cost(0, float("nan"), 0.001, 0.0004, 700.0, 0, float("nan"), float("nan"))
        outcomes[name] = Outcome(
            name,
            contextual,
            CELLS.get(name),
            {metric: np.full(10, score)},
            {},
            predict(kind, values, labels, rng, score),
            cost,
        )
        rows.append(
            {
                "features": name,
                "is_contextual": contextual,
                metric: score,
                "low": score - 0.02,
                "high": score + 0.018,
                **vars(cost),
            }
        )
    table = pd.DataFrame(rows)
    of_baselines = table[~table["is_contextual"]]
    baseline = (
        str(of_baselines["features"].iloc[of_baselines[metric].argmax()])
        if len(of_baselines)
        else None
    )
    if baseline is not None:
        difference = table[metric] - float(table.loc[table["features"] == baseline, metric].iloc[0])
        is_best = table["features"] == baseline
        verdict = np.select(
            [is_best, difference > 0.03, difference < -0.03],
            ["best baseline", "better", "worse"],
            "no evidence of a difference",
        )
        numbers = {
            "difference": difference,
            "difference_low": difference - 0.02,
            "difference_high": difference + 0.02,
            "p_value": 0.0004 + 0 * difference,
        }
        for place, (column, number) in enumerate(numbers.items()):
            table.insert(5 + place, column, number.mask(is_best))
        table.insert(9, "verdict", verdict)
    else:
        for place, column in enumerate(
            ["difference", "difference_low", "difference_high", "p_value"]
        ):
            table.insert(5 + place, column, np.nan)
        table.insert(9, "verdict", "")
    table.insert(10, "f1_macro_2" if metric == "f1_macro" else "f1_macro", table[metric] - 0.01)
    fields = {
        "table": table,
        "metric": metric,
        "greater_is_better": True,
        "best": str(table["features"].iloc[table[metric].argmax()]),
        "baseline": baseline,
        "outcomes": outcomes,
        "texts": np.array(texts, dtype=object),
        "target": SimpleNamespace(values=values, kind=kind, classes=labels, name="label"),
        "index": pd.RangeIndex(n_rows),
        "learning_curve": None,
        "settings": {
            "rows": f"{n_rows:,}",
            "folds": "2 repeats of 5 stratified folds",
            "seed": "0",
        },
        "notes": [],
        "roster": dict.fromkeys(names),
        **changes,
    }
    comparison = SimpleNamespace(**fields)
    comparison.errors = lambda name, other=None: flipped(
        comparison, name, other or comparison.baseline
    )
    return comparison


def predict(
    kind: str, values: Any, labels: Any, rng: np.random.Generator, score: float
) -> np.ndarray:
    """Return predictions that are right about as often as the score says; the first row was never left out."""
    wrong = rng.random(values.shape) > score
    if kind == "regression":
        made = (values + rng.normal(scale=0.3, size=values.shape)).astype(object)
    elif kind == "multilabel":
        made = np.where(wrong, 1 - values, values).astype(object)
    else:
        made = np.where(wrong, labels[rng.integers(len(labels), size=values.shape)], values).astype(
            object
        )
    made[0] = None
    return made


def flipped(comparison: Any, name: str, other: str) -> pd.DataFrame:
    """Return the rows that ``name`` gets right and ``other`` wrong, as `Comparison.errors` does."""
    one, two = comparison.outcomes[name].predictions, comparison.outcomes[other].predictions
    truth = comparison.target.values
    rows = [
        row
        for row in range(1, len(truth))
        if np.array_equal(one[row], truth[row]) and not np.array_equal(two[row], truth[row])
    ]
    columns = {
        "text": comparison.texts[rows],
        "target": list(truth[rows]),
        name: list(one[rows]),
        other: list(two[rows]),
    }
    return pd.DataFrame(columns, index=comparison.index[rows], dtype=object)


def make_curve(comparison: Any, sizes: tuple[int, ...] = (20, 40, 80, 160)) -> pd.DataFrame:
    """Return a learning curve for a comparison."""
    rows = [
        {
            "features": name,
            "n_rows": size,
            comparison.metric: score - 8 / (size + 20),
            "low": score - 8 / (size + 20) - 0.02,
            "high": score - 8 / (size + 20) + 0.02,
        }
        for name, score in zip(
            comparison.table["features"], comparison.table[comparison.metric], strict=True
        )
        for size in sizes
    ]
    return pd.DataFrame(rows)
