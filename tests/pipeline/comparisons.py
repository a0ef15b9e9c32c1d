"""Comparisons for tests of figures and reports: real, with made-up outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bertvectorizer.pipeline import Comparison, Cost, Outcome
from bertvectorizer.pipeline.comparison.folds import Folds
from bertvectorizer.pipeline.comparison.metrics import resolve_scoring
from bertvectorizer.pipeline.comparison.target import Kind, Target

NAMES = [
    *("majority class", "TF-IDF words", "TF-IDF words + characters", "Word2Vec"),
    *("distilled words", "BERT cls", "BERT", *(f"BERT mean -{layer}" for layer in (1, 2, 3, 4))),
    *("BERT sum of last 4", "BERT concat of last 4"),
]
CELLS = {
    "BERT cls": (6, "cls"),
    **{f"BERT mean -{layer}": (7 - layer, "mean") for layer in (1, 2, 3, 4)},
}
CURVE_SIZES = (20, 40, 80, 160)
_N_FOLDS = 10
_SCORING = {"regression": ("r2", "spearman"), "multilabel": ("f1_macro", "accuracy")}
_CLASSES = {"binary": ["ham", "spam"], "multiclass": ["money", "sport", "world"]}


def make_comparison(
    kind: Kind = "binary",
    names: list[str] | None = None,
    n_rows: int = 200,
    classes: list[Any] | None = None,
    texts: list[Any] | None = None,
    gain: float = 0.06,
    *,
    scoring: tuple[str, ...] | None = None,
    curve: bool = False,
    n_test: int = 0,
    has_scores: bool = True,
    has_costs: bool = True,
    encode_seconds: dict[str, float] | None = None,
    target_name: str = "label",
    index: pd.Index[Any] | None = None,
    roster: dict[str, Any] | None = None,
    primary: str | None = None,
    settings: dict[str, str] | None = None,
    notes: list[str] | None = None,
) -> Comparison:
    """Return a comparison. ``gain`` is what context adds to the score."""
    rng = np.random.default_rng(5)
    names = NAMES if names is None else names
    texts = texts or [f"The bat number {row} hung from the beam." for row in range(n_rows)]
    n_rows = len(texts)
    target = make_target(kind, n_rows, classes, target_name, rng)
    metrics = resolve_scoring(scoring or _SCORING.get(kind, ("accuracy", "f1_macro")), kind)
    outcomes = {}
    for number, name in enumerate(names):
        contextual = name.startswith("BERT")
        mean = 0.84 + 0.008 * number + (gain if contextual else 0.0)
        mean = 0.5 if name == "majority class" else min(mean, 0.996)
        noise = rng.normal(scale=0.02, size=_N_FOLDS)
        scores = mean + noise - noise.mean() if has_scores else np.full(_N_FOLDS, np.nan)
        shown = {metric.name: scores - 0.01 * position for position, metric in enumerate(metrics)}
        sizes = np.array(CURVE_SIZES)[:, None]
        seconds = (encode_seconds or {}).get(name, 4.2 if contextual else 0.02 + 0.004 * number)
        outcomes[name] = Outcome(
            name=name,
            is_contextual=contextual,
            cell=CELLS.get(name),
            scores=shown,
            test_scores={key: float(mean - 0.02) for key in shown} if n_test else {},
            predictions=predict(target, rng, mean - 0.05),
            cost=make_cost(name, seconds, n_rows) if has_costs else Cost(),
            curve=scores[: _N_FOLDS // 2] - 8 / (sizes + 20) if curve else None,
            test_resampled=np.linspace(mean - 0.05, mean + 0.01, 999) if n_test else None,
        )
    folds = [(np.delete(np.arange(n_rows), np.s_[k::5]), np.arange(n_rows)[k::5]) for k in range(5)]
    return Comparison(
        outcomes=outcomes,
        failures={},
        notes=notes or [],
        settings=settings or {"folds": "2 repeats of 5 stratified folds", "seed": "0"},
        texts=np.array(texts, dtype=object),
        target=target,
        index=pd.RangeIndex(n_rows) if index is None else index,
        folds=Folds(folds * 2, 5, "2 repeats of 5 stratified folds"),
        metrics=metrics,
        n_test=n_test,
        curve_sizes=CURVE_SIZES if curve else (),
        roster=roster or dict.fromkeys(names),
        primary=primary or _declared(names),
        _estimator=None,
        _store=None,
    )


def _declared(names: list[str]) -> str | None:
    """Return the feature set that `compare` would take for the declared test."""
    contextual = [name for name in names if name.startswith("BERT")]
    is_mixed = 0 < len(contextual) < len(names)
    return ("BERT" if "BERT" in names else contextual[0]) if is_mixed else None


def make_target(
    kind: Kind, n_rows: int, classes: list[Any] | None, name: str, rng: np.random.Generator
) -> Target:
    """Return random values to predict."""
    if kind == "regression":
        return Target(rng.normal(size=n_rows), kind, None, name)
    labels = np.array(classes or _CLASSES.get(kind, ["a", "b", "c"]), dtype=object)
    if kind == "multilabel":
        return Target(rng.integers(2, size=(n_rows, len(labels))), kind, labels, name)
    return Target(labels[rng.integers(len(labels), size=n_rows)], kind, labels, name)


def make_cost(name: str, encode_seconds: float, n_rows: int) -> Cost:
    """Return the cost of a feature set."""
    if name == "majority class":
        return Cost(fit_seconds=0.001, predict_seconds=0.0004, peak_mib=700.0)
    return Cost(
        dimensions=384,
        encode_seconds=encode_seconds,
        fit_seconds=0.3,
        predict_seconds=0.004,
        peak_mib=812.0,
        kept_bytes=384 * 4 * n_rows,
        oov_rate=float("nan") if name.startswith("BERT") else 0.013,
        truncation_rate=0.002,
    )


def predict(target: Target, rng: np.random.Generator, score: float) -> np.ndarray:
    """Return predictions, right about as often as the score; the first row was never judged."""
    values = target.values
    wrong = rng.random(values.shape) > score
    if target.kind == "regression":
        made = values + rng.normal(scale=0.3, size=values.shape)
    elif target.kind == "multilabel":
        made = np.where(wrong, 1 - values, values)
    else:
        assert target.classes is not None
        others = target.classes[rng.integers(len(target.classes), size=values.shape)]
        made = np.where(wrong, others, values)
    made = made.astype(object)
    made[0] = None
    return made
