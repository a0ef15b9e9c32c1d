"""The target of a comparison: classes, several labels a row, or numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer

from ...errors import InvalidTableError
from ...features.inputs.frames import list_column, read_frame
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import check_choice, short_repr

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TASKS", "Kind", "Target", "Task", "join_target", "read_target"]

Kind = Literal["binary", "multiclass", "multilabel", "regression"]
Task = Literal["auto", "classification", "regression"]
TASKS: tuple[Task, ...] = get_args(Task)

_MAX_PLAUSIBLE_CLASSES = 50
_DOMINANT = 0.9  # accuracy then hardly depends on the other classes
_MAX_EXACT = 2**53  # greater integers are not exact as float64
_COLLECTIONS = (list, tuple, set, frozenset, np.ndarray)


@dataclass(frozen=True)
class Target:
    """The values to predict.

    ``values`` holds labels as they were given, of shape ``(n_rows,)``; numbers, float64; or 0 and
    1 for each row and label, of shape ``(n_rows, n_labels)``. ``kind`` is "binary", "multiclass",
    "multilabel" or "regression"; ``classes`` the sorted labels, None for regression; ``name`` the
    name of the column.
    """

    values: NDArray[Any] = field(repr=False)
    kind: Kind
    classes: NDArray[Any] | None
    name: str | None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_classes(self) -> bool:
        """Whether each row has one class."""
        return self.kind in ("binary", "multiclass")

    @property
    def dominant_class(self) -> tuple[Any, float] | None:
        """The class of at least nine rows in ten, and its share; None if there is none."""
        if not self.is_classes:
            return None
        counts = self.count_classes()
        share = float(counts.iloc[-1] / len(self))
        return (counts.index[-1], share) if share >= _DOMINANT else None

    def count_classes(self) -> pd.Series:
        """Return the number of rows of each class or label, the rarest first."""
        assert self.classes is not None
        if self.kind == "multilabel":
            counts = pd.Series(self.values.sum(axis=0), index=self.classes)
        else:
            counts = pd.Series(self.values).value_counts()
        return counts.sort_values(kind="stable")


def read_target(y: Any, n_rows: int, task: Task = "auto") -> tuple[Target, list[str]]:
    """Read a target; return it with notes for the user.

    ``task="auto"`` reads numbers with fractions as regression and everything else as classes,
    numbers as text included.

    Examples
    --------
    >>> read_target(["ham", "spam", "ham"], 3)[0].kind
    'binary'
    >>> read_target([0.5, 1.25, 2.0], 3)[0].kind
    'regression'
    >>> read_target([["sport", "money"], [], ["money"]], 3)[0].values.tolist()
    [[1, 1], [0, 0], [1, 0]]
    """
    check_choice("task", task, TASKS)
    frame = read_frame(y)
    name = frame.names[0] if frame and len(frame.names) == 1 else getattr(y, "name", None)
    name = None if name is None or name == "" else str(name)
    _check_unicode([name], "a name")
    rows, labels = _read_rows(y)
    if len(rows) != n_rows:
        raise InvalidTableError(
            f"There are {n_rows} texts but {len(rows)} labels; each text needs one."
        )
    if not n_rows:
        raise InvalidTableError("There are no texts: the table has no rows.")
    if isinstance(rows, np.ndarray):
        return _multilabel(rows, labels, name), []
    _check_missing(rows, name)
    if any(isinstance(value, _COLLECTIONS) for value in rows):
        binarizer = MultiLabelBinarizer()
        return _multilabel(binarizer.fit_transform(_label_sets(rows)), binarizer.classes_, name), []
    numbers = _as_numbers(rows)
    if task == "regression" or (
        task == "auto" and numbers is not None and _have_fractions(rows, numbers)
    ):
        return _regression(rows, numbers, name)
    values = _as_labels(rows)
    classes = np.unique(values)
    _check_unicode(classes, "classes")
    if len(classes) < 2:
        raise InvalidTableError(
            f"The target must have at least 2 classes. Got 1, {classes[0]!s:.100} in every row."
        )
    notes = []
    if task == "auto" and numbers is not None and len(classes) > _MAX_PLAUSIBLE_CLASSES:
        notes.append(
            f"The target holds {len(classes)} distinct whole numbers, taken as classes; task"
            " 'regression' takes them as numbers."
        )
    return Target(values, "binary" if len(classes) == 2 else "multiclass", classes, name), notes


def join_target(target: Target, y: Any, n_rows: int) -> Target:
    """Return a target with further rows of the same kind; they have no new labels.

    Examples
    --------
    >>> target, _ = read_target(["ham", "spam"], 2)
    >>> join_target(target, ["spam"], 1).values.tolist()
    ['ham', 'spam', 'spam']
    """
    rows, _ = _read_rows(y)
    if len(rows) != n_rows:
        raise InvalidTableError(
            f"There are {n_rows} texts in 'test' but {len(rows)} labels; each text needs one."
        )
    if not isinstance(rows, np.ndarray):
        _check_missing(rows, target.name)
    values: NDArray[Any]
    if target.kind == "multilabel":
        values = _more_labels(target, rows)
    elif isinstance(rows, np.ndarray):
        raise InvalidTableError(
            "The target of 'test' must be one column, as that of the other rows. Got"
            f" {rows.shape[1]} columns."
        )
    elif target.values.dtype == bool and any(isinstance(row, _COLLECTIONS) for row in rows):
        values = np.array(
            [[bool(labels)] for labels in _check_known(_label_sets(rows), {target.name})]
        )[:, 0]
    elif target.kind == "regression":
        values = _finite(rows, _as_numbers(rows))
    else:
        values = (
            np.array([str(row) for row in rows], dtype=object)
            if target.values.dtype == object
            else _as_labels(rows)
        )
        known = set(target.values.tolist())
        if new := [label for label in values.tolist() if label not in known]:
            raise InvalidTableError(
                "The target of 'test' must have no labels but those of the other rows. Got"
                f" {new[0]!r}."
            )
    return Target(np.concatenate([target.values, values]), target.kind, target.classes, target.name)


def _more_labels(target: Target, rows: list[Any] | NDArray[Any]) -> NDArray[np.int64]:
    assert target.classes is not None
    if isinstance(rows, np.ndarray):
        if rows.shape[1:] != target.values.shape[1:] or not _is_0_or_1(rows).all():
            raise InvalidTableError(
                f"The target of 'test' must have {len(target.classes)} columns of 0 and 1, as that"
                " of the other rows."
            )
        return rows.astype(np.int64)
    sets = _check_known(_label_sets(rows), set(target.classes))
    return np.array(
        [[label in labels for label in target.classes] for labels in sets], dtype=np.int64
    )


def _read_rows(y: Any) -> tuple[list[Any] | NDArray[Any], list[Any]]:
    """Return a value for each row as Python objects; or a matrix of labels and their names."""
    if (frame := read_frame(y)) is not None:
        if len(frame.names) != 1:
            return _matrix(np.asarray(y, dtype=object)), frame.names
        y = frame.column(0)
    values: Any
    if isinstance(y, (list, tuple)):
        values = list(y)
    elif column := list_column(y.to_series() if isinstance(y, pd.Index) else y):
        values = column[0]
    else:
        values = np.asarray(y)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            return _matrix(values), list(range(values.shape[-1] if values.ndim else 0))
        values = values.tolist()
    if values and all(
        isinstance(value, np.ndarray)
        and value.shape == values[0].shape
        and value.dtype.kind in "biuf"
        for value in values
    ):
        return _matrix(np.stack(values)), list(range(values[0].size))  # the rows of a matrix
    return [value.item() if isinstance(value, np.generic) else value for value in values], []


def _matrix(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim != 2 or not values.shape[1]:
        raise InvalidTableError(
            "The target must be a column of labels, or a column of 0 and 1 for each label. Got"
            f" shape {values.shape}."
        )
    return values


def _label_sets(rows: list[Any]) -> list[set[str]]:
    """Return the labels of each row as text."""
    for number, row in enumerate(rows):
        if not isinstance(row, _COLLECTIONS):
            raise InvalidTableError(
                "The target must be a list of labels for each row, as for others. Got"
                f" {short_repr(row)} in row {number}, counted from 0."
            )
    return [{str(label) for label in row} for row in rows]


def _check_known(sets: list[set[str]], labels: set[Any]) -> list[set[str]]:
    if new := set().union(*sets) - labels:
        raise InvalidTableError(
            "The target of 'test' must have no labels but those of the other rows. Got"
            f" {min(new)!r}."
        )
    return sets


def _is_0_or_1(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.array(
        [[not pd.isna(value) and value in (0, 1) for value in row] for row in values.tolist()],
        dtype=bool,
    ).reshape(values.shape)


def _check_missing(column: list[Any], name: str | None) -> None:
    missing = np.array(
        [
            value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))
            for value in column
        ]
    )
    if missing.any():
        raise InvalidTableError(
            f"The target {'' if name is None else f'{name!r} '}is missing in {missing.sum()}"
            f" row(s), the first is row {missing.argmax()} (counted from 0). Drop them or fill"
            " them."
        )


def _check_unicode(names: Iterable[Any], what: str) -> None:
    """Raise if a name that files and pages are to show has half of a surrogate pair alone."""
    for name in names:
        if isinstance(name, str) and replace_lone_surrogates(name) != name:
            raise InvalidTableError(
                f"The target must have {what} of valid Unicode, without lone surrogates. Got"
                f" {short_repr(name)}. Replace these characters."
            )


def _as_numbers(column: list[Any]) -> NDArray[np.float64] | None:
    """Return numbers, those written as text included; None if a value is anything else."""
    if any(isinstance(value, bool) for value in column):
        return None
    try:
        return np.array([float(value) for value in column])
    except (TypeError, ValueError, OverflowError):
        return None


def _have_fractions(rows: list[Any], numbers: NDArray[np.float64]) -> bool:
    """Whether there are fractions, or infinite floats, which regression then refuses."""
    finite = np.isfinite(numbers)
    return bool(
        (numbers[finite] != np.round(numbers[finite])).any()
        or any(isinstance(row, float) and math.isinf(row) for row in rows)
    )


def _regression(
    column: list[Any], numbers: NDArray[np.float64] | None, name: str | None
) -> tuple[Target, list[str]]:
    numbers = _finite(column, numbers)
    if (numbers == numbers[0]).all():
        raise InvalidTableError(
            f"The target must have at least 2 values. Got 1, {numbers[0]:g} in every row."
        )
    notes = ["The target came as text and was read as numbers, with fractions: a regression."]
    is_text = any(isinstance(value, str) for value in column)
    return Target(numbers, "regression", None, name), notes if is_text else []


def _finite(column: list[Any], numbers: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return the numbers if all are finite."""
    if numbers is None or not np.isfinite(numbers).all():
        row = next(
            row
            for row, value in enumerate(column)
            if (one := _as_numbers([value])) is None or not np.isfinite(one[0])
        )
        raise InvalidTableError(
            "For task 'regression' the target must hold finite numbers. Got"
            f" {short_repr(column[row])} in row {row}, counted from 0."
        )
    return numbers


def _as_labels(column: list[Any]) -> NDArray[Any]:
    """Return labels of one type: integers, booleans, or else text."""
    kinds = {type(value) for value in column}
    if kinds == {bool} or (kinds == {int} and all(-(2**63) <= value < 2**63 for value in column)):
        return np.array(column)
    if kinds <= {int, float} and all(abs(value) < _MAX_EXACT for value in column):
        return np.array(column, dtype=np.int64)
    if kinds <= {int, float}:
        return np.array(column, dtype=object if kinds == {int} else np.float64)
    return np.array([str(value) for value in column], dtype=object)


def _multilabel(values: NDArray[Any], classes: Any, name: str | None) -> Target:
    if not (is_valid := _is_0_or_1(values)).all():
        row, column = np.argwhere(~is_valid)[0]
        raise InvalidTableError(
            "A target of several columns must hold 0 and 1 only, a column for each label. "
            f"Got {short_repr(values[row, column])} in row {row}, column {column}, counted from 0."
        )
    if not len(classes):
        raise InvalidTableError("The target has no labels: that of every row is empty.")
    _check_unicode(classes, "labels")
    values = values.astype(np.int64)
    same = (values == values[0]).all(axis=0)
    if same.any():
        label = classes[int(same.argmax())]
        raise InvalidTableError(
            f"Each label must be in at least one row, and not in all. Got {short_repr(label)} in"
            f" {'all' if values[0, same][0] else 'no'} rows."
        )
    if len(classes) == 1:  # with and without it: two classes
        return Target(values[:, 0].astype(bool), "binary", np.array([False, True]), str(classes[0]))
    return Target(
        values, "multilabel", np.array([str(label) for label in classes], dtype=object), name
    )
