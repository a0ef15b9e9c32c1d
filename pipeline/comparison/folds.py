"""Folds: repeated, stratified, grouped; and texts that leak from training to test rows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import category

import numpy as np
import pandas as pd
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
    "count_units",
    "group_rows",
    "is_blank",
    "is_number_of_folds",
    "join_duplicates",
    "make_folds",
    "number_groups",
    "read_groups",
    "spread_groups",
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
    """Training and test rows of each fold; ``n_first`` folds belong to the first repeat.

    ``groups`` has the number of the group of each row, of shape ``(n_rows,)``: rows of a group are
    on one side of each fold. None if each row is a group of its own.
    """

    splits: list[Split] = field(repr=False)
    n_first: int
    description: str
    groups: NDArray[np.int64] | None = field(default=None, repr=False)

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """Number of the repeat of each fold: a row is in one test set of a repeat at most."""
        numbers: list[int] = []
        tested: set[int] = set()
        for _, test in self.splits:
            rows = set(test.tolist())
            is_next = not tested.isdisjoint(rows)
            numbers.append(numbers[-1] + is_next if numbers else 0)
            if is_next:
                tested = rows
            else:
                tested |= rows
        return np.array(numbers, dtype=np.int64)

    @cached_property
    def tested(self) -> NDArray[np.int64]:
        """The rows that are in a test set."""
        return np.unique(np.concatenate([test for _, test in self.splits]))

    @property
    def mean_sizes(self) -> tuple[float, float]:
        """Mean numbers of training and test rows of a fold."""
        train, test = np.mean([[len(rows) for rows in split] for split in self.splits], axis=0)
        return float(train), float(test)

    @property
    def mean_units(self) -> float:
        """Mean number of groups in the test rows of a fold, as `count_units` counts them."""
        return float(np.mean([count_units(self.groups, test) for _, test in self.splits]))


def count_units(groups: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> float:
    """Return how many groups some rows form, or the number of rows without groups.

    The larger of unequal groups decide more of a mean over rows. Such a mean varies as that of as
    many equal groups as Kish's effective number, ``sum(sizes) ** 2 / sum(sizes ** 2)``, which is
    what is returned.

    Examples
    --------
    >>> count_units(None, np.arange(6)), count_units(np.arange(6), np.arange(0))
    (6.0, 0.0)
    >>> count_units(np.array([0, 0, 0, 1, 1, 1]), np.arange(6))
    2.0
    >>> round(count_units(np.array([0, 0, 0, 0, 1, 2]), np.arange(6)), 3)
    2.0
    """
    if groups is None or not len(rows):
        return float(len(rows))
    sizes = np.unique(groups[rows], return_counts=True)[1]
    return float(len(rows) ** 2 / (sizes**2).sum())


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
    if is_number_of_folds(cv):
        return _repeated(*_parse(str(cv)), target, groups, random_state)
    splits = _split_by(cv, target, groups) if hasattr(cv, "split") else _read_pairs(cv)
    _check_splits(splits, len(target))
    _check_groups(splits, groups)
    is_splitter = hasattr(cv, "split")
    description = f"fold(s) of {type(cv).__name__}" if is_splitter else "given fold(s)"
    description = f"{len(splits)} {description}"
    return Folds(splits, _first_repeat(splits), description, number_groups(groups))


def read_groups(
    groups: Any, n_rows: int, test: tuple[Any, ...] | None = None, n_test: int = 0
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Return the group of each row and of each held-back row, in the same numbers.

    Values with the same text are the same group. ``test`` is that of `compare`.

    Examples
    --------
    >>> read_groups(["Ann", "Bob", "Ann"], 3, (["Hi"], ["ham"], ["Bob"]), 1)
    (array([0, 1, 0]), array([1]))
    """
    names = _group_names(groups, n_rows, "")
    held_back = _group_names(test[2] if test and len(test) == 3 else None, n_test, " in 'test'")
    numbers = {
        name: number
        for number, name in enumerate(dict.fromkeys([*(names or ()), *(held_back or ())]))
    }

    def number(own: list[str] | None) -> NDArray[np.int64] | None:
        return None if own is None else np.array([numbers[name] for name in own], dtype=np.int64)

    return number(names), number(held_back)


def _group_names(groups: Any, n_rows: int, of_test: str) -> list[str] | None:
    if groups is None:
        return None
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        rule = f"a group for each row{of_test}, or None"
        raise invalid("test" if of_test else "groups", rule, groups)
    values = pd.Series(list(groups), dtype=object)
    subject = "The groups in 'test'" if of_test else "The 'groups' parameter (--group)"
    if len(values) != n_rows:
        raise InvalidTableError(
            f"{subject} must have one group for each of the {n_rows} texts. Got {len(values)}"
            " instead. Give as many."
        )
    if values.isna().any():
        raise InvalidTableError(
            f"{subject} must have a value in each row. Got none in {values.isna().sum()} row(s),"
            f" the first is row {int(values.isna().argmax())} (counted from 0). Give each of them a"
            " group of its own, or leave it out."
        )
    return list(map(str, values))  # pandas' strings refuse lone surrogates


def spread_groups(
    cv: Any, target: Target, groups: NDArray[np.int64], random_state: int | None
) -> Folds | None:
    """Return folds that keep groups together, or None if the groups do not allow even folds.

    Even folds have every class on both sides, and no test set has more than twice the rows of
    another. ``cv`` is a number of folds, as `is_number_of_folds` says.

    Examples
    --------
    >>> from bertvectorizer.pipeline.comparison.target import read_target
    >>> target, _ = read_target(["a", "b"] * 10, 20)
    >>> spread_groups(5, target, np.arange(20) // 2, 0).description
    '5 stratified folds that keep groups together'
    >>> spread_groups(5, target, np.arange(20) // 8, 0) is None
    True
    """
    cv = DEFAULT_CV if cv is None else cv
    if np.bincount(groups).max() * _parse(str(cv))[1] > len(groups):
        return None
    folds = make_folds(cv, target, groups, random_state)
    sizes = [len(test) for _, test in folds.splits]
    n_classes = len(np.unique(target.values)) if target.is_classes else 0
    is_even = max(sizes) <= 2 * min(sizes) and not any(
        n_classes and len(np.unique(target.values[rows])) < n_classes
        for split in folds.splits
        for rows in split
    )
    return folds if is_even else None


def number_groups(groups: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """Number groups in the order of their first rows; None if each row is a group of its own.

    >>> number_groups(np.array([7, 3, 7])).tolist()
    [0, 1, 0]
    """
    if groups is None:
        return None
    _, first, numbers = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) == len(groups):
        return None
    return np.argsort(np.argsort(first))[numbers]


def is_number_of_folds(cv: Any) -> bool:
    """Whether ``cv`` says how many folds to make, and not which rows are in them.

    >>> is_number_of_folds("2x5"), is_number_of_folds(KFold(3))
    (True, False)
    """
    return cv is None or (isinstance(cv, (int, np.integer, str)) and not isinstance(cv, bool))


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
        if groups is not None and not stratified:
            # Shuffling deals out groups by number, whatever their size. Without, the largest come
            # first, each to the smallest fold, and numbers at random decide among equals.
            names, numbers = np.unique(groups, return_inverse=True)
            shuffled = np.random.RandomState(seed).permutation(len(names))[numbers]
            splits += GroupKFold(folds).split(numbers, groups=shuffled)
            continue
        splits += kind(folds, shuffle=True, random_state=seed).split(
            np.zeros(len(target)), strata, groups
        )
    _check_splits(splits, len(target))
    description = f"{folds} {'stratified ' if stratified else ''}folds"
    description += "" if groups is None else " that keep groups together"
    description = description if repeats == 1 else f"{repeats} repeats of {description}"
    return Folds(splits, folds, description, number_groups(groups))


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
            " folds (--cv), or smaller groups."
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


def _text_numbers(texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.int64]:
    """Number texts; those that differ only in case and white space get the same number.

    Each missing or empty text has a number of its own: two of them are not the same text. The
    result has a row for each text, or for each pair of texts.
    """
    given = np.asarray(texts, dtype=object)
    plain = [" ".join(text.casefold().split()) for text in given.ravel()]
    keys: list[Hashable] = [place if is_blank(text) else text for place, text in enumerate(plain)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64).reshape(
        len(given), 1 if given.ndim == 1 else 2
    )


def join_duplicates(
    texts: Sequence[str] | NDArray[np.object_], groups: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Return groups that keep rows with a common text together, and rows of the same group.

    ``texts`` are a text or a pair of texts for each row. Pairs with a common text hang together,
    and pairs that each have one in common with a third. Missing or empty texts are not the same
    text.

    Examples
    --------
    >>> join_duplicates(["Free entry!", "", "free  entry!", ""]).tolist()
    [0, 1, 0, 2]
    >>> join_duplicates(np.array([["a", "b"], ["c", "d"], ["b", "e"], ["f", "a"]])).tolist()
    [0, 1, 0, 0]
    """
    numbers = _text_numbers(texts)
    hubs = list(numbers.T)
    if groups is not None:
        hubs.append(np.unique(groups, return_inverse=True)[1])
    if len(hubs) == 1:
        return numbers[:, 0]
    # The components of a graph with a node for each row, text and group.
    size = len(numbers)
    n_texts = int(numbers.max(initial=-1)) + 1
    first = [size] * numbers.shape[1] + [size + n_texts] * (groups is not None)
    ends = np.concatenate([start + hub for start, hub in zip(first, hubs, strict=True)])
    n_nodes = int(ends.max(initial=-1)) + 1
    rows = np.tile(np.arange(size), len(hubs))
    links = coo_array((np.ones(len(ends)), (rows, ends)), shape=(n_nodes, n_nodes))
    components = connected_components(links, directed=False)[1][:size]
    return np.unique(components, return_inverse=True)[1].astype(np.int64)


def group_rows(
    texts: NDArray[np.object_],
    groups: NDArray[np.int64] | None,
    group_duplicates: Literal["auto"] | bool,
) -> NDArray[np.int64] | None:
    """Return the groups of rows that are learned from without a comparison.

    As in a comparison, ``group_duplicates="auto"`` joins no single texts, and pairs unless too many
    hang together, more than a third of them.

    Examples
    --------
    >>> texts = np.array(["Hi", "hi", "Bye"], dtype=object)
    >>> group_rows(texts, None, "auto") is None
    True
    >>> group_rows(texts, None, True).tolist()
    [0, 0, 1]
    """
    if group_duplicates:
        joined = join_duplicates(texts, groups)
        is_even = texts.ndim == 2 and 3 * np.bincount(joined).max() <= len(texts)
        groups = joined if group_duplicates is True or is_even else groups
    return number_groups(groups)


def count_leaks(texts: Sequence[str] | NDArray[np.object_], splits: Sequence[Split]) -> int:
    """Return the number of test rows with a text that the training rows of their fold have too.

    ``texts`` are a text or a pair of texts for each row. Missing or empty texts are not the same
    text.

    Examples
    --------
    >>> import numpy as np
    >>> count_leaks(["Hi", "hi", "Bye"], [(np.array([0]), np.array([1, 2]))])
    1
    >>> pairs = np.array([["a", "b"], ["c", "A"], ["d", "e"]])
    >>> count_leaks(pairs, [(np.array([0]), np.array([1, 2]))])
    1
    """
    numbers = _text_numbers(texts)
    leaks = [test[np.isin(numbers[test], numbers[train]).any(axis=1)] for train, test in splits]
    return len(np.unique(np.concatenate(leaks))) if leaks else 0
