"""Find the columns of a file that a pipeline was fitted on, and read their values as then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from ...errors import InvalidParameterError, InvalidTextError
from ...features import read_texts
from ...features.pairs import PairsBase
from ...validation import invalid
from ..saving.compact import estimators_within
from .write import describe_fault

if TYPE_CHECKING:
    from pathlib import Path

    from ..saving.pipeline_file import SavedPipeline

__all__ = ["FittedColumns", "fitted_columns"]

# Columns of a table: a tuple stands for one column that is given as a series.
_Names: TypeAlias = list[str] | tuple[str, ...]


@dataclass(frozen=True)
class FittedColumns:
    """The columns of the table that a pipeline takes.

    The file calls them ``in_file``. ``texts`` are columns of texts, and whether missing ones are
    accepted. ``labels`` are columns whose values stay as they are. Others become numbers. ``pair``
    are the columns of pairs of texts, if it takes these.
    """

    names: list[str]
    in_file: list[str]
    texts: dict[str, bool]
    labels: set[str]
    pair: tuple[str, ...] = ()

    def named_in_file(self, names: Sequence[str]) -> list[str]:
        """Return what the file calls columns."""
        return [self.in_file[self.names.index(name)] for name in names]

    def table(self, chunk: pd.DataFrame, path: str | Path) -> pd.DataFrame:
        """Return rows of a file as the table that the pipeline takes."""
        return pd.DataFrame(
            {
                name: self._values(name, chunk[column], path)
                for name, column in zip(self.names, self.in_file, strict=True)
            }
        )

    def _values(self, name: str, column: pd.Series, path: str | Path) -> pd.Series:
        if name not in self.texts:
            return column.astype(object) if name in self.labels else _numbers(column)
        try:
            read = read_texts(column)
        except InvalidTextError as error:
            raise InvalidTextError(describe_fault(column, path) or str(error)) from error
        texts = pd.Series(read.texts, index=column.index, dtype=object)
        return texts.where(~read.is_missing, None) if self.texts[name] else texts


def fitted_columns(saved: SavedPipeline, text: str | Sequence[str] | None) -> FittedColumns | None:
    """Return the columns of the table that a pipeline takes; None if it takes texts alone.

    ``text`` is the name of the column of texts in the file, or the names of two of pairs, if they
    have others than in training.
    """
    first = _first_step(saved.pipeline)
    fitted = getattr(saved.pipeline, "feature_names_in_", getattr(first, "span_columns_", None))
    pair = saved.text if isinstance(saved.text, tuple) else ()
    if fitted is None and pair:
        fitted = pair
    elif fitted is not None and isinstance(first, PairsBase):
        pair = tuple(fitted)
    if fitted is None and isinstance(first, (ColumnTransformer, PairsBase)):
        raise InvalidParameterError(
            "The 'saved' parameter must hold a pipeline that knows the names of its columns. Got"
            f" one that was fitted on {first.n_features_in_} columns without names. Fit it on a"
            " DataFrame, or name the columns of pairs when you save it, text=('first', 'second')."
        )
    if fitted is None or (len(fitted) == 1 and not _takes_tables(first)):
        return None
    uses = _uses(first, list(fitted))
    names = [name for name in fitted if any(name in own for _, own in uses)]
    texts: dict[str, bool] = {}
    labels: set[str] = set()
    for transformer, own in uses:
        if spans := getattr(_first_step(transformer), "span_columns_", None):
            texts.setdefault(spans[0], False)
            labels.update(spans[1:] if len(spans) == 2 else ())  # a word, no numbers
        elif _takes_texts(transformer):
            takes_missing = get_tags(_first_step(transformer)).input_tags.allow_nan
            texts |= {name: takes_missing and texts.get(name, True) for name in own}
        elif isinstance(own, tuple) or _knows_labels(transformer):
            labels.update(own)
    for name in pair:
        texts.setdefault(name, False)  # the majority class reads none
    in_file = list(names)
    for old, new in _new_names(saved, text, names, list(texts), pair):
        in_file[names.index(old)] = new
    return FittedColumns(names, in_file, texts, labels, pair)


def _new_names(
    saved: SavedPipeline,
    text: str | Sequence[str] | None,
    names: list[str],
    texts: list[str],
    pair: tuple[str, ...],
) -> list[tuple[str, str]]:
    """Return the columns of texts that have other names in the file, with these names."""
    if text is None or (isinstance(text, str) and text in names):
        return []
    rule = f"None or one of the columns {names}"
    if pair:
        if isinstance(text, str) or len(text) != 2:
            rule = f"None or the names of both columns of pairs, in training {list(pair)}"
            raise invalid("text", rule, text)
        return list(zip(pair, text, strict=True))
    if not isinstance(text, str):
        raise invalid("text", rule, list(text))
    renamed = saved.text if saved.text in names else next(iter(texts), None)
    if not isinstance(renamed, str) or (saved.text is None and len(texts) > 1):
        raise invalid("text", rule, text)
    return [(renamed, text)]


def _first_step(step: Any) -> Any:
    while isinstance(step, Pipeline):
        step = step[0]
    return step


def _takes_texts(step: Any) -> bool:
    step = _first_step(step)
    return not isinstance(step, str) and get_tags(step).input_tags.string


def _takes_tables(step: Any) -> bool:
    step = _first_step(step)
    if isinstance(step, FeatureUnion):
        return all(_takes_tables(one) for _, one in step.transformer_list)
    return isinstance(step, str) or get_tags(step).input_tags.two_d_array


def _uses(step: Any, names: _Names) -> list[tuple[Any, _Names]]:
    """Return each transformer in a step with the columns it takes."""
    first = _first_step(step)
    if isinstance(first, FeatureUnion):
        return [use for _, one in first.transformer_list for use in _uses(one, names)]
    if not isinstance(first, ColumnTransformer):
        return [] if isinstance(first, str) and first == "drop" else [(first, names)]
    fitted = first.transformers_
    return [use for _, one, chosen in fitted for use in _uses(one, _chosen(chosen, list(names)))]


def _chosen(chosen: Any, names: list[str]) -> _Names:
    """Return the names of the columns that an entry of a ColumnTransformer chooses."""
    if isinstance(chosen, (str, int)):
        return (chosen if isinstance(chosen, str) else names[chosen],)
    if isinstance(chosen, slice):
        empty = pd.DataFrame(columns=names)
        by_name = isinstance(chosen.start, str) or isinstance(chosen.stop, str)
        return list((empty.loc if by_name else empty.iloc)[:, chosen].columns)
    listed = list(chosen)
    if all(isinstance(one, (bool, np.bool_)) for one in listed):
        listed = np.flatnonzero(listed).tolist()
    return [one if isinstance(one, str) else names[one] for one in listed]


def _knows_labels(transformer: Any) -> bool:
    """Whether a transformer learned categories, or what to fill in, that are no numbers."""
    for part in estimators_within(transformer):
        learned = vars(part)
        for array in [*learned.get("categories_", ()), learned.get("statistics_")]:
            if isinstance(array, np.ndarray) and array.dtype.kind in "OUST":
                return True
    return False


def _numbers(column: pd.Series) -> pd.Series:
    """Return a column that holds numbers, or true and false, as text; others as they are."""
    if not (column.dtype == object or isinstance(column.dtype, pd.StringDtype)):
        return column
    values = column.astype(object)
    numbers = pd.to_numeric(values, errors="coerce")
    if (numbers.notna() | values.isna()).all():
        return numbers
    flags = values.astype(str).str.lower().map({"true": True, "false": False})
    return flags.astype(bool) if flags.notna().all() else values
