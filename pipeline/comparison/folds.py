"""Which rows are left out when: repeated, stratified folds that keep groups together, and texts that leak from one fold to another."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from ...errors import InvalidParameterError, InvalidTableError
from ...validation import invalid

if TYPE_CHECKING:
    from .target import Target

__all__ = ["DEFAULT_CV", "Folds", "Split", "count_leaks", "join_duplicates", "make_folds"]

Split = tuple[NDArray[np.int64], NDArray[np.int64]]

DEFAULT_CV = "2x5"
_SEEDS = 2**32
_REPEATS_BY_FOLDS = re.compile(r"(?:(\d{1,4})\s*[x×]\s*)?(\d{1,4})")
_SPLITTERS: dict[tuple[bool, bool], Any] = {  # whether there are classes, and groups
    (False, False): KFold,
    (False, True): GroupKFold,
    (True, False): StratifiedKFold,
    (True, True): StratifiedGroupKFold,
}


@dataclass(frozen=True)
class Folds:
    """Rows to learn from and rows to judge by, fold by fold.

    Attributes
    ----------
    splits : list of (ndarray, ndarray)
        Row numbers of the training and the test rows of each fold.
    n_first : int
        Folds in the first repeat.
    description : str
        For people.
    """

    splits: list[Split]
    n_first: int
    description: str

    @property
    def mean_sizes(self) -> tuple[float, float]:
        """Training and test rows of a fold, the mean over the folds."""
        return float(np.mean([len(train) for train, _ in self.splits])), float(
            np.mean([len(test) for _, test in self.splits])
        )


def make_folds(
    cv: Any, target: Target, groups: NDArray[Any] | None, random_state: int | None
) -> Folds:
    """Cut rows into folds.

    Parameters
    ----------
    cv : None, int, str, splitter or iterable
        A number of folds; ``"2x5"``, which is two repeats of five folds, and what None means; any
        scikit-learn splitter, such as `PredefinedSplit`; or pairs of training and test rows.
    target : Target
        Classes are spread evenly over the folds.
    groups : ndarray or None
        Rows of a group stay together. *Shape:* ``(n_rows,)``.
    random_state : int or None
        Seed of the shuffles; a splitter has its own.

    Returns
    -------
    Folds

    Raises
    ------
    InvalidParameterError
        If ``cv`` is none of these.
    InvalidTableError
        If there are fewer rows, rows of a class, or groups than folds.

    Examples
    --------
    >>> from bertvectorizer.pipeline.comparison.target import read_target
    >>> target, _ = read_target(["a", "b"] * 10, 20)
    >>> make_folds("2x5", target, None, 0).description
    '2 repeats of 5 stratified folds'
    """
    cv = DEFAULT_CV if cv is None else cv
    if isinstance(cv, (int, np.integer, str)) and not isinstance(cv, bool):
        return _repeated(*_read(str(cv)), target, groups, random_state)
    splits = _split_by(cv, target, groups) if hasattr(cv, "split") else _take(cv)
    _check_splits(splits, len(target))
    _check_groups(splits, groups)
    words = (
        f"{len(splits)} fold(s) of {type(cv).__name__}"
        if hasattr(cv, "split")
        else f"{len(splits)} given fold(s)"
    )
    return Folds(splits, _first_repeat(splits), words)


def _first_repeat(splits: Sequence[Split]) -> int:
    """Return the number of folds before a row is judged for the second time."""
    judged: set[int] = set()
    for number, (_, test) in enumerate(splits):
        if not judged.isdisjoint(test.tolist()):
            return number
        judged.update(test.tolist())
    return len(splits)


def _read(cv: str) -> tuple[int, int]:
    match = _REPEATS_BY_FOLDS.fullmatch(cv.strip())
    repeats, folds = (int(match[1] or 1), int(match[2])) if match else (0, 0)
    if repeats < 1 or folds < 2:
        raise invalid(
            "cv",
            "a number of folds from 2, REPEATSxFOLDS such as '2x5', a splitter or pairs of rows",
            cv,
        )
    return repeats, folds


def _repeated(
    repeats: int, folds: int, target: Target, groups: NDArray[Any] | None, random_state: int | None
) -> Folds:
    _check_enough(folds, target, groups)
    if random_state is not None and random_state >= _SEEDS:
        raise invalid("random_state", f"below {_SEEDS}", random_state)
    strata = _strata(target, folds)
    stratified = strata is not None
    kind = _SPLITTERS[stratified, groups is not None]
    seeds = np.random.RandomState(random_state).randint(2**31 - 1, size=repeats)
    splits: list[Split] = []
    for seed in seeds.tolist():
        splits += kind(folds, shuffle=True, random_state=seed).split(
            np.zeros(len(target)), strata, groups
        )
    _check_splits(splits, len(target))
    words = (
        f"{folds}"
        f" {'stratified ' if stratified else ''}folds{'' if groups is None else ' that keep groups together'}"
    )
    return Folds(splits, folds, words if repeats == 1 else f"{repeats} repeats of {words}")


def _strata(target: Target, folds: int) -> NDArray[Any] | None:
    """Return what is to be spread evenly: classes, or sets of labels, of which rare ones count as the most frequent."""
    if target.kind != "multilabel":
        return target.values if target.is_classes else None
    _, sets, counts = np.unique(target.values, axis=0, return_inverse=True, return_counts=True)
    sets = sets.reshape(-1)
    return np.where(counts[sets] < folds, counts.argmax(), sets) if counts.max() >= folds else None


def _check_enough(folds: int, target: Target, groups: NDArray[Any] | None) -> None:
    if len(target) < folds:
        raise InvalidTableError(
            f"There must be as many rows as folds ({folds}). Got {len(target)} row(s). Use fewer"
            " folds (--cv), or more rows."
        )
    if groups is not None and (n_groups := len(np.unique(groups))) < folds:
        raise InvalidTableError(
            f"There must be as many groups as folds ({folds}). Got {n_groups} group(s). Use fewer"
            " folds."
        )
    if not target.is_classes:
        return
    counts = target.count_classes()
    if counts.iloc[0] < folds:
        rare = int((counts < folds).sum())
        others = f", and {rare - 1} more class(es) like it" if rare > 1 else ""
        raise InvalidTableError(
            f"Each class needs at least as many rows as there are folds ({folds}). Got"
            f" {counts.iloc[0]} row(s) of class {str(counts.index[0])[:100]!r}{others}. Use fewer"
            " folds (--cv), leave rare classes out, or, if these are amounts, say so by task"
            " 'regression'."
        )


def _split_by(splitter: Any, target: Target, groups: NDArray[Any] | None) -> list[Split]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "The groups parameter is ignored"
            )  # whether they are kept together is looked at after that
            return list(splitter.split(np.zeros(len(target)), target.values, groups))
    except (TypeError, ValueError) as error:
        raise InvalidParameterError(
            f"The 'cv' parameter {splitter!r} cannot split these {len(target)} rows: {error}"
        ) from error


def _take(pairs: Any) -> list[Split]:
    try:
        splits = [(np.asarray(train), np.asarray(test)) for train, test in pairs]
    except (TypeError, ValueError):
        splits = None
    if splits is None or any(rows.ndim != 1 for split in splits for rows in split):
        raise invalid(
            "cv",
            "a number of folds, REPEATSxFOLDS, a splitter, or pairs of lists of training and test"
            " rows",
            pairs,
        )
    return splits


def _check_splits(splits: Sequence[Split], n_rows: int) -> None:
    if not splits:
        raise InvalidParameterError("The 'cv' parameter gives no fold at all.")
    for number, (train, test) in enumerate(splits):
        kinds = train.dtype.kind + test.dtype.kind
        rows = np.concatenate([train, test])
        if (
            not len(train)
            or not len(test)
            or not set(kinds) <= set("iu")
            or rows.min() < 0
            or rows.max() >= n_rows
        ):
            raise InvalidParameterError(
                f"Each fold must have training and test rows, numbered in [0, {n_rows}). Fold"
                f" {number} has {len(train)} and {len(test)}."
            )
        if shared := len(np.intersect1d(train, test)):
            raise InvalidParameterError(
                f"Training and test rows of a fold must differ. Fold {number} has {shared} row(s)"
                " in both."
            )


def _check_groups(splits: Sequence[Split], groups: NDArray[Any] | None) -> None:
    for number, (train, test) in enumerate(splits):
        if groups is not None and (shared := len(np.intersect1d(groups[train], groups[test]))):
            raise InvalidParameterError(
                f"Rows of a group must be on one side of each fold, but 'cv' puts {shared} group(s)"
                f" on both sides of fold {number}. Give a number of folds, a splitter that keeps"
                " groups together, or no groups."
            )


def _plain(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number texts, alike where they differ in case and white space only. *Shape:* ``(n_texts,)``."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(" ".join(text.casefold().split()), len(numbers)) for text in texts],
        dtype=np.int64,
    )


def join_duplicates(texts: Sequence[str], groups: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Return groups that hold all rows of the same text, and of the same group, together.

    Parameters
    ----------
    texts : sequence of str
        Case and white space make no difference.
    groups : ndarray or None
        *Shape:* ``(n_texts,)``.

    Returns
    -------
    ndarray
        *Shape:* ``(n_texts,)``, int64.

    Examples
    --------
    >>> join_duplicates(["Free entry!", "Hi", "free  entry!"]).tolist()
    [0, 1, 0]
    """
    plain = _plain(texts)
    if groups is None:
        return plain
    own = np.unique(groups, return_inverse=True)[1]
    size = len(plain)
    nodes = size + 1 + max(int(plain.max(initial=0)), int(own.max(initial=0)))
    # Rows hang together where they share a text or a group: a graph with a node for each row, text
    # and group.
    rows = np.tile(np.arange(size), 2)
    hubs = np.concatenate([size + plain, nodes + own])
    links = coo_array((np.ones(2 * size), (rows, hubs)), shape=(2 * nodes, 2 * nodes))
    return np.unique(connected_components(links, directed=False)[1][:size], return_inverse=True)[
        1
    ].astype(np.int64)


def count_leaks(texts: Sequence[str], splits: Sequence[Split]) -> int:
    """Return how many rows are judged at least once by features that were learnt from the same
    text.

    Parameters
    ----------
    texts : sequence of str
    splits : sequence of (ndarray, ndarray)

    Returns
    -------
    int

    Examples
    --------
    >>> import numpy as np
    >>> count_leaks(["Hi", "hi", "Bye"], [(np.array([0]), np.array([1, 2]))])
    1
    """
    plain = _plain(texts)
    return len({row for rows in _leaks(plain, splits) for row in rows.tolist()})


def _leaks(plain: NDArray[np.int64], splits: Sequence[Split]) -> Iterator[NDArray[np.int64]]:
    for train, test in splits:
        yield test[np.isin(plain[test], plain[train])]
