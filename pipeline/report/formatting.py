"""A comparison in plain words and in numbers that people read."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.checkpoint.text_tokens import replace_lone_surrogates

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Verdict",
    "best_contextual",
    "metric_name",
    "one_line",
    "say_amount",
    "say_bytes",
    "say_p",
    "say_score",
    "say_seconds",
    "say_share",
    "shorten",
    "verdict",
]

_NOTHING = "–"
_JOINERS = "\u200c\u200d"
_LONGEST_NAME = 60
_METRICS = {
    "f1_macro": "macro F1",
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "ROC AUC",
    "brier_score": "Brier score",
    "r2": "R²",
    "spearman": "Spearman correlation",
}


def one_line(text: object) -> str:
    r"""Return a text in one line: without control characters, marks of direction and lone
    surrogates.

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
    """Return a text in one line, without its middle where it is longer than ``width`` letters (wide
    ones count twice).

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
    """Return what people call a metric."""
    return _METRICS.get(key, key.replace("_", " "))


def say_score(value: Any, signed: bool = False) -> str:
    """Return a score with three decimals, or three digits where it is large or tiny."""
    number = float(value)
    if not math.isfinite(number):
        return _NOTHING
    plain = 0.001 <= abs(number) < 100 or number == 0
    text = (
        f"{number:{'+' if signed else ''}.3f}" if plain else f"{number:{'+' if signed else ''}.3g}"
    )
    return text.replace("-", "−")


def say_p(value: Any) -> str:
    """Return a p-value."""
    number = float(value)
    return _NOTHING if math.isnan(number) else "< 0.001" if number < 0.001 else f"{number:.3f}"


def say_seconds(value: Any) -> str:
    """Return a duration in the unit that suits it."""
    number = float(value)
    if not math.isfinite(number):
        return _NOTHING
    if number < 0.9995:
        return f"{1000 * number:.3g} ms"
    return f"{number:.3g} s" if number < 120 else f"{number / 60:.3g} min"


def say_bytes(value: Any) -> str:
    """Return a size in the unit that suits it."""
    number = float(value)
    if not math.isfinite(number):
        return _NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5 or unit == "GB":
            break
        number /= 1000
    return f"{number:.3g} {unit}"


def say_share(value: Any) -> str:
    """Return a share in per cent."""
    number = float(value)
    return _NOTHING if not math.isfinite(number) else f"{100 * number:.3g} %"


def say_amount(value: Any) -> str:
    """Return a whole number with its thousands apart."""
    number = float(value)
    return _NOTHING if not math.isfinite(number) else f"{number:,.0f}"


@dataclass(frozen=True)
class Verdict:
    """What a comparison says, in words.

    Attributes
    ----------
    answer : str
        In a few words.
    reasons : list of str
        A sentence each: how good, how sure, at what cost.
    tone : {"yes", "no", "open"}
    """

    answer: str
    reasons: list[str]
    tone: str


def best_contextual(comparison: Any) -> str | None:
    """Return the name of the contextual features with the best score, None where there are none with a score."""
    table: pd.DataFrame = comparison.table
    rows = table[
        table["is_contextual"].astype(bool) & np.isfinite(table[comparison.metric].to_numpy(float))
    ]
    if rows.empty:
        return None
    scores = rows[comparison.metric].astype(float)
    return str(
        rows["features"].loc[scores.idxmax() if comparison.greater_is_better else scores.idxmin()]
    )


def verdict(comparison: Any) -> Verdict:
    """Say who won, whether BERT is worth it on these texts, and what it costs."""
    table = comparison.table.set_index("features", drop=False)
    if not np.isfinite(table[comparison.metric].to_numpy(float)).any():
        return Verdict(
            "Nothing could be scored",
            [
                f"No kind of features has a score by {metric_name(comparison.metric)}: see the"
                " notes below."
            ],
            "open",
        )
    winner = _scored(comparison, table.loc[comparison.best])
    contextual = best_contextual(comparison)
    baseline = comparison.baseline
    best = _named(comparison.best)
    if contextual is None:
        return Verdict(
            f"The best baseline is {best}",
            [winner, "No contextual features were compared, so nothing is said of BERT."],
            "open",
        )
    if baseline is None or bool(table.loc[baseline, "is_contextual"]):
        return Verdict(
            f"The best is {best}",
            [winner, "No baseline was compared, so nothing says whether context helps here."],
            "open",
        )
    row = table.loc[contextual]
    found = str(row["verdict"])
    gap = _gap(comparison, row, baseline)
    cost = _cost(row, table.loc[baseline])
    if found == "better":
        return Verdict("Yes, BERT is better on these texts", [winner, gap, *cost], "yes")
    if found == "worse":
        return Verdict(
            "No, BERT is worse on these texts",
            [winner, gap, *cost, f"Take {_named(baseline)}."],
            "no",
        )
    advice = f"Until more rows decide it, {_named(baseline)} is the simpler choice."
    return Verdict(
        "No evidence that BERT is better on these texts", [winner, gap, *cost, advice], "open"
    )


def _named(name: str) -> str:
    return shorten(name, _LONGEST_NAME)


def _scored(comparison: Any, row: pd.Series) -> str:
    said = (
        f"{_named(row['features'])} has the best {metric_name(comparison.metric)},"
        f" {say_score(row[comparison.metric])}"
    )
    if np.isfinite([row["low"], row["high"]]).all():
        said += f" (95 % interval {say_score(row['low'])} to {say_score(row['high'])})"
    if "test" in row.index and math.isfinite(row["test"]):
        said += f"; on the rows held back {say_score(row['test'])}"
    return said + "."


def _gap(comparison: Any, row: pd.Series, baseline: str) -> str:
    metric = metric_name(comparison.metric)
    if not math.isfinite(row["difference"]):
        return (
            f"How far {_named(row['features'])} is from the best baseline, {_named(baseline)},"
            " could not be told."
        )
    if row["difference"] == 0:
        said = f"{_named(row['features'])} is level with the best baseline, {_named(baseline)}"
    else:
        more = "above" if row["difference"] > 0 else "below"
        said = (
            f"{_named(row['features'])} is {say_score(abs(row['difference']))} {metric} {more} the"
            f" best baseline, {_named(baseline)}"
        )
    details = []
    if np.isfinite([row["difference_low"], row["difference_high"]]).all():
        details.append(
            f"95 % interval {say_score(row['difference_low'], True)} to"
            f" {say_score(row['difference_high'], True)}"
        )
    if math.isfinite(row["p_value"]):
        details.append(f"p {'' if row['p_value'] < 0.001 else '= '}{say_p(row['p_value'])}")
    said += f" ({', '.join(details)})" if details else ""
    if row["verdict"] not in ("better", "worse"):
        said += ": no evidence of a difference"
    return said + "."


def _cost(row: pd.Series, baseline: pd.Series) -> list[str]:
    own, other = (
        float(np.nansum([one["encode_seconds"], one["predict_seconds"]])) for one in (row, baseline)
    )
    if own <= 0 or other <= 0:
        return []
    times = own / other
    compared = (
        f", {say_amount(times) if times >= 10 else f'{times:.2g}'} times as long as"
        if times >= 1.05
        else "; for"
    )
    named = f"{_named(baseline['features'])} ({say_seconds(other)})"
    return [
        f"It takes about {say_seconds(own)} to encode and predict 1,000 rows{compared} {named}."
    ]
