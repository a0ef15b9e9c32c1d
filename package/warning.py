"""Warnings that point at the user's own line, and filters of warnings that are light to send."""

from __future__ import annotations

import copyreg
import sys
import warnings
from typing import Any, cast

__all__ = ["lighten_filters", "warn_user"]

_SKIPPED = {"bertvectorizer", "joblib", "sklearn"}
_HEAVY = {"sympy", "torch", "transformers"}  # sympy comes with torch


def warn_user(message: str) -> None:
    """Warn at the nearest caller outside this package, scikit-learn and joblib."""
    level = 1
    frame = sys._getframe(1)
    while (
        frame.f_back is not None
        and frame.f_globals.get("__name__", "").partition(".")[0] in _SKIPPED
    ):
        frame = frame.f_back
        level += 1
    warnings.warn(message, UserWarning, stacklevel=level + 1)


def lighten_filters() -> None:
    """Let no filter of warnings hold a class of PyTorch or transformers.

    These libraries add some as they are imported. scikit-learn sends all filters to its worker
    processes, which would import PyTorch for seconds to read them. A class of the same name takes
    their place, and they filter what they did.
    """
    filters: Any = warnings.filters  # another thread may replace the list
    for index, (action, message, category, *where) in enumerate(filters):
        if (
            isinstance(category, type)
            and category.__module__.partition(".")[0] in _HEAVY
            and not isinstance(category, _ByName)
        ):
            named = _category(category.__module__, category.__qualname__)
            filters[index] = (action, message, named, *where)


class _ByName(type):
    """Type of categories of warnings that stand for a class elsewhere, which need not be loaded."""

    def __subclasscheck__(cls, other: type) -> bool:
        names = ((one.__module__, one.__qualname__) for one in other.__mro__)
        return (cls.__module__, cls.__qualname__) in names


def _category(module: str, name: str) -> type[Warning]:
    names: dict[str, Any] = {"__module__": module, "__qualname__": name}
    return cast("type[Warning]", _ByName(name, (Warning,), names))


def _reduced(category: _ByName) -> tuple[Any, ...]:
    return _category, (category.__module__, category.__qualname__)


copyreg.pickle(_ByName, _reduced)  # for classes, too
