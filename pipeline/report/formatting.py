"""Format numbers, names and the verdict of a comparison as text."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ..comparison.results_table import EXPLORATORY, NO_EVIDENCE

if TYPE_CHECKING:
    import pandas as pd

    from ..comparison.intervals.selection import BestScore
    from ..comparison.result import ComparisonResult

__all__ = [
    "MAX_NAME",
    "Verdict",
    "best_contextual",
    "corrected",
    "format_bytes",
    "format_count",
    "format_interval",
    "format_p",
    "format_score",
    "format_seconds",
    "format_share",
    "metric_name",
    "one_line",
    "scored",
    "shorten",
    "verdict",
]

_MISSING = "–"
_JOINERS = "\u200c\u200d"
MAX_NAME = 60  # width of names in sentences
_METRICS = {
    "f1_macro": "macro F1",
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "ROC AUC",
    "brier_score": "Brier score",
    "r2": "R²",
    "spearman": "Spearman correlation",
}


def one_line(text: object) -> str:
    r"""Return a text in one line, without control characters, bidi marks and lone surrogates.

    Examples
    --------
    >>> one_line("a\n\u202eb\x00  c ")
    'a b c'
    """
    valid = replace_lone_surrogates(str(text))
    kept = (
        " " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c
        for c in valid
        if unicodedata.category(c) != "Cf" or c in _JOINERS
    )
    return " ".join("".join(kept).split())


def shorten(text: object, width: int = 28) -> str:
    """Return a text in one line, without its middle if it is wider than ``width`` letters.

    Examples
    --------
    >>> shorten("BERT, the mean of layer -2 and more of it", 20)
    'BERT, the … re of it'
    """
    line = one_line(text) or "(nothing)"
    if _width(line) <= width:
        return line
    head, tail = "", ""
    while _width(head) < width / 2 - 1:
        head += line[len(head)]
    while _width(tail) < width / 2 - 2:
        tail = line[-len(tail) - 1] + tail
    return f"{head.rstrip()} … {tail.lstrip()}"


def _width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" or c in "mwMW@%" else 1 for c in line)


def metric_name(key: str) -> str:
    """Return the name of a metric for people."""
    return _METRICS.get(key, key.replace("_", " "))


def format_score(value: Any, signed: bool = False) -> str:
    """Return a score with three decimals, or three digits if it is large or tiny."""
    number = float(value)
    if not math.isfinite(number):
        return _MISSING
    style = ".3f" if 0.001 <= abs(number) < 100 or number == 0 else ".3g"
    return f"{number:{'+' if signed else ''}{style}}".replace("-", "−")


def format_p(value: Any) -> str:
    """Return a p-value."""
    number = float(value)
    return _MISSING if math.isnan(number) else "< 0.001" if number < 0.001 else f"{number:.3f}"


def format_seconds(value: Any) -> str:
    """Return a duration in ms, s or min."""
    number = float(value)
    if not math.isfinite(number):
        return _MISSING
    if number < 0.9995:
        return f"{1000 * number:.3g} ms"
    return f"{number:.3g} s" if number < 120 else f"{number / 60:.3g} min"


def format_bytes(value: Any) -> str:
    """Return a size in B, kB, MB or GB."""
    number = float(value)
    if not math.isfinite(number):
        return _MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5 or unit == "GB":
            break
        number /= 1000
    return f"{number:.3g} {unit}"


def format_share(value: Any) -> str:
    """Return a share in per cent."""
    number = float(value)
    return _MISSING if not math.isfinite(number) else f"{100 * number:.3g} %"


def format_count(value: Any) -> str:
    """Return a whole number with commas between thousands."""
    number = float(value)
    return _MISSING if not math.isfinite(number) else f"{number:,.0f}"


@dataclass(frozen=True)
class Verdict:
    """The conclusion of a comparison: a short answer, a sentence for each reason, and its tone."""

    answer: str
    reasons: list[str]
    tone: Literal["yes", "no", "open"]


def best_contextual(comparison: ComparisonResult) -> str | None:
    """Return the contextual feature set with the best score, if one has a score."""
    rows = scored(comparison)
    names = rows.loc[rows["is_contextual"].astype(bool), "features"]
    return None if names.empty else str(names.iloc[0])


def scored(comparison: ComparisonResult) -> pd.DataFrame:
    """Return the rows of the table that have a score, the best first."""
    table = comparison.metrics[0].best_first(comparison.table)
    has_score = np.isfinite(table[comparison.metric].to_numpy(float))
    return table.iloc[np.flatnonzero(has_score)]


def verdict(comparison: ComparisonResult) -> Verdict:
    """Return whether the primary feature set is better on these texts, why, and its cost.

    The primary test decides. Exploratory rows that say otherwise are named beside it.
    """
    if scored(comparison).empty:
        reason = (
            f"No feature set has a score by {metric_name(comparison.metric)}: see the notes below."
        )
        return Verdict("Nothing could be scored", [reason], "open")
    winner = _winner(comparison, _row(comparison, comparison.best))
    primary, baseline = comparison.primary, comparison.baseline
    if primary is None:
        return _undeclared(comparison, winner)
    name = _short(primary)
    if primary not in comparison.outcomes or primary == baseline:
        lacking = f"{name} has no result" if primary != baseline else "nothing stands beside it"
        answer = f"The primary test, of {name}, was not made{_but(comparison, 'better')}"
        return Verdict(answer, [winner, f"It was not made since {lacking}."], "open")
    row = _row(comparison, primary)
    reasons = [
        winner,
        _difference(comparison, row, baseline) + " This test was chosen beforehand.",
        *_exploratory(comparison),
        *_cost(row, _row(comparison, baseline)),
    ]
    if row["verdict"] == "better":
        answer = f"Yes, {name} is better on these texts{_but(comparison, 'worse')}"
        return Verdict(answer, reasons, "yes")
    others = _but(comparison, "better")
    if others:
        reasons.append("To confirm an exploratory result, test it on new rows (primary).")
    if row["verdict"] == "worse":
        if not others:
            reasons.append(f"Take {_short(baseline)}.")
        return Verdict(f"No, {name} is worse on these texts{others}", reasons, "no")
    reasons.append(f"Until more rows decide it, {_short(baseline)} is the simpler choice.")
    return Verdict(f"No evidence that {name} is better on these texts{others}", reasons, "open")


def _undeclared(comparison: ComparisonResult, winner: str) -> Verdict:
    """Return the verdict where all feature sets are baselines, or all are contextual."""
    kind, missing = "best", "No baseline was compared, so it is unknown whether context helps here."
    if best_contextual(comparison) is None:
        kind = "best baseline"
        missing = "No contextual features were compared, so nothing is known about BERT."
    answer = f"The {kind} is {_short(comparison.best)}"
    return Verdict(answer, [winner, missing, *_exploratory(comparison)], "open")


def _found(comparison: ComparisonResult, verdict: str) -> list[str]:
    """Return the exploratory feature sets with a verdict, the best first."""
    rows = scored(comparison)
    is_found = (rows["family"] == EXPLORATORY) & (rows["verdict"] == verdict)
    return [str(name) for name in rows.loc[is_found, "features"]]


def _but(comparison: ComparisonResult, verdict: str) -> str:
    """Return what exploratory rows say against the answer; "" if they do not."""
    names = _found(comparison, verdict)
    return f", but {_join(names)} {verdict} (exploratory)" if names else ""


def _exploratory(comparison: ComparisonResult) -> list[str]:
    n_tests = int((comparison.table["family"] == EXPLORATORY).sum())
    if not n_tests:
        return []
    found = [
        f"{_join(names)} {verdict}"
        for verdict in ("better", "worse")
        if (names := _found(comparison, verdict))
    ]
    return [
        f"Exploratory, {n_tests} further {'test' if n_tests == 1 else 'tests'} corrected together:"
        f" {'; '.join(found) or NO_EVIDENCE}."
    ]


def _join(names: list[str]) -> str:
    """Return names as the subject of a sentence, with its verb."""
    if len(names) == 1:
        return f"{_short(names[0])} is"
    rest = _short(names[1]) if len(names) == 2 else f"{len(names) - 1} others"
    return f"{_short(names[0])} and {rest} are"


def _row(comparison: ComparisonResult, name: str) -> pd.Series:
    """Return the row of a feature set in the table."""
    return comparison.table.iloc[list(comparison.outcomes).index(name)]


def format_interval(row: pd.Series, low: str, high: str, signed: bool = False) -> str:
    """Return the interval between two columns of a row; "" if it has none."""
    if not np.isfinite([row[low], row[high]]).all():
        return ""
    return f"{format_score(row[low], signed)} to {format_score(row[high], signed)}"


def _short(name: str) -> str:
    return shorten(name, MAX_NAME)


def _winner(comparison: ComparisonResult, row: pd.Series) -> str:
    text = (
        f"{_short(row['features'])} has the best {metric_name(comparison.metric)},"
        f" {format_score(row[comparison.metric])}"
    )
    if interval := format_interval(row, "low", "high"):
        text += f" (95 % interval {interval})"
    best = comparison.corrected_best
    if best.n_candidates > 1 and math.isfinite(best.score):
        text += f"; {corrected(best)}"
    if "test" in row.index and math.isfinite(row["test"]):
        text += f"; on the test set {format_score(row['test'])}"
    return f"{text}. {best.doubt}".strip()


def corrected(best: BestScore) -> str:
    """Return the score of the best feature set that is corrected for the selection, in words."""
    among = f"the selection among {best.n_candidates} feature sets"
    if not math.isfinite(best.score):
        return f"corrected for {among}: {best.method}"
    text = f"corrected for {among}, {format_score(best.score)}"
    if math.isfinite(best.low) and math.isfinite(best.high):
        text += f" (95 % interval {format_score(best.low)} to {format_score(best.high)})"
    return text


def _difference(comparison: ComparisonResult, row: pd.Series, baseline: str) -> str:
    name, difference = _short(row["features"]), row["difference"]
    reference = f"the best baseline, {_short(baseline)}"
    if not math.isfinite(difference):
        return f"The difference between {name} and {reference}, is unknown."
    if difference == 0:
        text = f"{name} and {reference}, have the same score"
    else:
        text = (
            f"{name} is {format_score(abs(difference))} {'above' if difference > 0 else 'below'}"
            f" {reference}, in {metric_name(comparison.metric)}"
        )
    details = []
    if interval := format_interval(row, "difference_low", "difference_high", signed=True):
        details.append(f"95 % interval {interval}")
    if math.isfinite(row["p_value"]):
        details.append(f"p {'' if row['p_value'] < 0.001 else '= '}{format_p(row['p_value'])}")
    text += f" ({', '.join(details)})" if details else ""
    return text + ("." if row["verdict"] in ("better", "worse") else f": {NO_EVIDENCE}.")


def _cost(row: pd.Series, baseline: pd.Series) -> list[str]:
    columns = ["encode_seconds", "predict_seconds"]
    own, other = (float(np.nansum(one[columns].to_numpy(float))) for one in (row, baseline))
    if own <= 0 or other <= 0:
        return []
    ratio = own / other
    compared = "; for"
    if ratio >= 1.05:
        times = format_count(ratio) if ratio >= 10 else f"{ratio:.2g}"
        compared = f", {times} times as long as"
    return [
        f"It takes about {format_seconds(own)} to encode and predict 1,000 rows{compared}"
        f" {_short(baseline['features'])} ({format_seconds(other)})."
    ]
