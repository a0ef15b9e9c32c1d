"""Folds: repeated, stratified, grouped; and texts that leak from training to test rows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unicodedata import category

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from ...errors import InvalidParameterError, InvalidTableError
from ...validation import invalid, short_repr

if TYPE_CHECKING:
    from .target import Target

__all__ = [
    "DEFAULT_CV",
    "Folds",
    "Split",
    "count_leaks",
    "is_blank",
    "join_duplicates",
    "make_folds",
]

Split = tuple[NDArray[np.int64], NDArray[np.int64]]

DEFAULT_CV = "2x5"
_SEEDS = 2**32
_INVISIBLE = ("Cc", "Cf")  # control characters, joiners, byte order marks
_REPEATS_BY_FOLDS = re.compile(r"(?:(\d{1,4})\s*[x×]\s*)?(\d{1,4})")
_SPLITTERS: dict[tuple[bool, bool], Any] = {  # by whether there are classes, and groups
    (False, False): KFold,
    (False, True): GroupKFold,
    (True, False): StratifiedKFold,
    (True, True): StratifiedGroupKFold,
}


@dataclass(frozen=True)
class Folds:
    """Training and test rows of each fold; ``n_first`` folds belong to the first repeat."""

    splits: list[Split] = field(repr=False)
    n_first: int
    description: str

    @property
    def mean_sizes(self) -> tuple[float, float]:
        """Mean numbers of training and test rows of a fold."""
        train, test = np.mean([[len(rows) for rows in split] for split in self.splits], axis=0)
        return float(train), float(test)


def make_folds(
    cv: Any, target: Target, groups: NDArray[Any] | None, random_state: int | None
) -> Folds:
    """Return the folds that a ``cv`` parameter means; rows of a group stay together.

    Examples
    --------
    >>> from bertvectorizer.pipeline.comparison.target import read_target
    >>> target, _ = read_target(["a", "b"] * 10, 20)
    >>> make_folds("2x5", target, None, 0).description
    '2 repeats of 5 stratified folds'
    """
    cv = DEFAULT_CV if cv is None else cv
    if isinstance(cv, (int, np.integer, str)) and not isinstance(cv, bool):
        return _repeated(*_parse(str(cv)), target, groups, random_state)
    splits = _split_by(cv, target, groups) if hasattr(cv, "split") else _read_pairs(cv)
    _check_splits(splits, len(target))
    _check_groups(splits, groups)
    is_splitter = hasattr(cv, "split")
    description = f"fold(s) of {type(cv).__name__}" if is_splitter else "given fold(s)"
    return Folds(splits, _first_repeat(splits), f"{len(splits)} {description}")


def _first_repeat(splits: Sequence[Split]) -> int:
    """Return the number of folds before a row is in a second test set."""
    tested: set[int] = set()
    for number, (_, test) in enumerate(splits):
        if not tested.isdisjoint(test.tolist()):
            return number
        tested.update(test.tolist())
    return len(splits)


def _parse(cv: str) -> tuple[int, int]:
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
    description = f"{folds} {'stratified ' if stratified else ''}folds"
    description += "" if groups is None else " that keep groups together"
    description = description if repeats == 1 else f"{repeats} repeats of {description}"
    return Folds(splits, folds, description)


def _strata(target: Target, folds: int) -> NDArray[Any] | None:
    """Return the strata: classes, or label sets, where rare sets count as the most frequent one."""
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
            f" {counts.iloc[0]} row(s) of class {short_repr(str(counts.index[0]))}{others}. Use"
            " fewer folds (--cv), leave rare classes out, or, if the target is numeric, use task"
            " 'regression'."
        )


def _split_by(splitter: Any, target: Target, groups: NDArray[Any] | None) -> list[Split]:
    try:
        with warnings.catch_warnings():
            # _check_groups checks them.
            warnings.filterwarnings("ignore", "The groups parameter is ignored")
            return list(splitter.split(np.zeros(len(target)), target.values, groups))
    except (TypeError, ValueError) as error:
        raise InvalidParameterError(
            f"The 'cv' parameter {splitter!r} cannot split these {len(target)} rows: {error}"
        ) from error


def _read_pairs(pairs: Any) -> list[Split]:
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


def is_blank(text: str) -> bool:
    r"""Whether a text has no visible character, but white space or marks such as U+200B at most.

    Examples
    --------
    >>> is_blank(" \u200b\n"), is_blank(" . ")
    (True, False)
    """
    return all(character.isspace() or category(character) in _INVISIBLE for character in text)


def _text_numbers(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number texts; those that differ only in case and white space get the same number.

    Each missing or empty text has a number of its own: two of them are not the same text.
    """
    plain = [" ".join(text.casefold().split()) for text in texts]
    keys: list[Hashable] = [row if is_blank(text) else text for row, text in enumerate(plain)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)


def join_duplicates(texts: Sequence[str], groups: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Return groups that keep rows of the same text together, and rows of the same group.

    Missing or empty texts are not the same text.

    Examples
    --------
    >>> join_duplicates(["Free entry!", "", "free  entry!", ""]).tolist()
    [0, 1, 0, 2]
    """
    numbers = _text_numbers(texts)
    if groups is None:
        return numbers
    own = np.unique(groups, return_inverse=True)[1]
    # The components of a graph with a node for each row, text and group.
    size = len(numbers)
    nodes = size + 1 + max(int(numbers.max(initial=0)), int(own.max(initial=0)))
    rows = np.tile(np.arange(size), 2)
    hubs = np.concatenate([size + numbers, nodes + own])
    links = coo_array((np.ones(2 * size), (rows, hubs)), shape=(2 * nodes, 2 * nodes))
    components = connected_components(links, directed=False)[1][:size]
    return np.unique(components, return_inverse=True)[1].astype(np.int64)


def count_leaks(texts: Sequence[str], splits: Sequence[Split]) -> int:
    """Return the number of test rows whose text is also in the training rows of the same fold.

    Missing or empty texts are not the same text.

    Examples
    --------
    >>> import numpy as np
    >>> count_leaks(["Hi", "hi", "Bye"], [(np.array([0]), np.array([1, 2]))])
    1
    """
    numbers = _text_numbers(texts)
    leaks = [test[np.isin(numbers[test], numbers[train])] for train, test in splits]
    return len(np.unique(np.concatenate(leaks))) if leaks else 0
