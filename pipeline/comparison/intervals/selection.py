"""The score of the best of many feature sets, corrected for their selection by the same scores.

References
----------
I. Tsamardinos, E. Greasidou and G. Borboudakis, "Bootstrapping the Out-of-sample Predictions for
Efficient and Accurate Cross-validation", Machine Learning 107, 2018.
R. Tibshirani and R. Tibshirani, "A Bias Correction for the Minimum Error Rate in Cross-validation",
Annals of Applied Statistics 3, 2009.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from ..folds import count_units
from ..statistics import PART_OF_FOLDS, PART_OF_ROWS
from .row_metrics import group_sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from ..folds import Folds
    from ..metrics import Metric
    from ..statistics import Estimate
    from .estimates import Judged

__all__ = ["BestScore", "correct_selection"]

_MAX_CHOICES = 200  # of folds to leave out, in each repeat
_N_PARTS, _N_DEALS = 5, 20  # parts of the rows, and how often they are dealt
_FEW_UNITS = 100  # rows or groups; with fewer the simulation finds more than a point left


@dataclass(frozen=True)
class BestScore:
    """Score of the best feature set, corrected for the selection among several.

    The best of many equally good feature sets has the best luck too, so its own score is too good.
    It is corrected by choosing again, on a part of the folds, and scoring what was chosen there on
    the other folds.

    Attributes
    ----------
    features : str
        Name of the best feature set.
    score : float
        The corrected score. NaN if there is none.
    low, high : float
        The 95 % interval of the corrected score.
    n_candidates : int
        Number of feature sets among which it is the best.
    method : str
        Name of the method, or why there is no corrected score.
    doubt : str, default=""
        Where simulations find that the correction is not complete.

    See Also
    --------
    Comparison.corrected_best : The corrected score of a comparison.

    Examples
    --------
    >>> from bertvectorizer import compare
    >>> from bertvectorizer.pipeline import load_example
    >>> example = load_example().head(60)
    >>> names = ["majority class", "TF-IDF words"]
    >>> best = compare(example["text"], example["label"], names, cv=3).corrected_best
    >>> best.n_candidates
    2
    """

    features: str
    score: float
    low: float
    high: float
    n_candidates: int
    method: str
    doubt: str = ""


def correct_selection(
    judged: Sequence[Judged], shown: Sequence[Estimate], metric: Metric, folds: Folds
) -> BestScore:
    """Return the score of the best of ``judged``, corrected for the selection.

    ``shown`` are their scores as they are shown, with intervals. The best is chosen on about two
    thirds of the folds of a repeat and scored on the others, for all choices of folds. Where folds
    overlap or there is one, on parts of the test rows instead, by what each adds to the score. No
    row is on both sides, nor a group. The interval reaches as far as those of the feature sets that
    were chosen, by how often each was.
    """
    sign = 1 if metric.greater_is_better else -1
    values = np.array([estimate.mean for estimate in shown])
    best = int((sign * values).argmax())
    name, n_candidates = judged[best].outcome.name, len(judged)
    if n_candidates == 1:
        own = shown[0]
        return BestScore(name, own.mean, own.low, own.high, 1, own.method)
    blocks, method = _fold_blocks(judged, folds), PART_OF_FOLDS
    if not blocks:
        blocks, method = _row_blocks(judged, folds), PART_OF_ROWS
    if not blocks:
        nan = math.nan
        reason = f"not known, since {metric.name} needs two folds without common test rows"
        return BestScore(name, nan, nan, nan, n_candidates, reason)
    shift = values - np.concatenate(blocks).mean(axis=0)  # shown scores may be those of all rows
    scores, chosen = [], []
    for block in blocks:
        for inside in _choices(len(block)):
            winner = int((sign * (block[inside].mean(axis=0) + shift)).argmax())
            scores.append(block[~inside, winner].mean() + shift[winner])
            chosen.append(winner)
    score = float(np.mean(scores))
    lows, highs = (
        np.array([getattr(one, end) for one in shown])[chosen] for end in ("low", "high")
    )
    below, above = _known_mean(values[chosen] - lows), _known_mean(highs - values[chosen])
    n_units = count_units(folds.groups, folds.tested)
    if folds.groups is None and metric.is_accuracy:  # a lower accuracy varies more
        least = float(stats.norm.ppf(0.975)) * metric.row_error(score, n_units)
        below, above = max(below, least), max(above, least)
    low, high = score - below, score + above
    return BestScore(
        name,
        score,
        max(low, metric.bounds[0]),
        min(high, metric.bounds[1]),
        n_candidates,
        method,
        _doubt(n_units, folds.groups is not None),
    )


def _known_mean(reaches: NDArray[np.float64]) -> float:
    """Return the mean without the feature sets that have no interval; NaN if none has one."""
    known = reaches[np.isfinite(reaches)]
    return float(known.mean()) if len(known) else math.nan


def _doubt(n_units: float, has_groups: bool) -> str:
    if n_units >= _FEW_UNITS:
        return ""
    noun = "groups" if has_groups else "rows"
    return (
        f"With {n_units:.0f} {noun} the corrected score may still be too good, in simulations by"
        " one or two points of accuracy, since every model learned from most of them."
    )


def _choices(n_blocks: int) -> Iterator[NDArray[np.bool_]]:
    """Yield which blocks to choose by: all but a third, in all ways, or 200 at random."""
    n_out = math.ceil(n_blocks / 3)
    outs: Iterable[Any] = combinations(range(n_blocks), n_out)
    if math.comb(n_blocks, n_out) > _MAX_CHOICES:
        random = np.random.RandomState(0)
        outs = (random.permutation(n_blocks)[:n_out] for _ in range(_MAX_CHOICES))
    for out in outs:
        inside = np.ones(n_blocks, dtype=bool)
        inside[list(out)] = False
        yield inside


def _fold_blocks(judged: Sequence[Judged], folds: Folds) -> list[NDArray[np.float64]]:
    """Return the scores of the folds of each repeat, ``(n_folds, n_candidates)``.

    None if a repeat has one fold only, as where folds overlap.
    """
    sizes = np.bincount(folds.repeats)
    if sizes.min() < 2:
        return []
    scores = np.stack([one.folds for one in judged], axis=1)
    return np.split(scores, np.cumsum(sizes)[:-1])


def _row_blocks(judged: Sequence[Judged], folds: Folds) -> list[NDArray[np.float64]]:
    """Return the scores of parts of the test rows, but for a constant; dealt several times.

    None if they are not known, or all rows are of one group.
    """
    influences = [one.influence for one in judged if one.influence is not None]
    if len(influences) < len(judged):
        return []
    rows = folds.tested
    groups = np.unique(rows if folds.groups is None else folds.groups[rows], return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    n_parts = min(_N_PARTS, n_groups)
    if n_parts < 2:
        return []
    # What each group adds to the score of each candidate, mean over repeats.
    sums = np.stack([group_sums(one[:, rows], groups).mean(axis=0) for one in influences])
    sizes = np.bincount(groups)
    random = np.random.RandomState(0)
    blocks = []
    for _ in range(_N_DEALS):
        parts = np.equal.outer(random.permutation(n_groups) % n_parts, np.arange(n_parts))
        blocks.append((sums @ parts).T * (len(rows) / (sizes @ parts))[:, None])
    return blocks
