"""Reset the parameters that a file may not choose for the machine that loads it.

Such a parameter may be an attribute of an estimator, or a key of a dictionary from which a search
sets parameters when it is fitted again, such as ``"clf__n_jobs"`` in a grid.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ...errors import UnsafeModelError
from ...validation import short_repr, short_text
from ...warning import warn_user
from .compact import contents, estimators_within

__all__ = ["RESTRICTED", "restrict_parameters"]


@dataclass(frozen=True)
class _Rule:
    """What a parameter is reset to, the values it may have, and whether others are an error."""

    default: Any
    allowed: tuple[Any, ...]
    refused: str = ""  # what an estimator with another value would do

    def allows(self, value: Any) -> bool:
        # By type too, since 0 == False. Estimators in a grid are checked by themselves.
        return isinstance(value, BaseEstimator) or any(
            value is one or (type(value) is type(one) and value == one) for one in self.allowed
        )


RESTRICTED = {
    "_n_threads": _Rule(1, tuple(range(1, (os.cpu_count() or 1) + 1))),  # of KMeans
    "input": _Rule("content", ("content",), "reads files that its texts name"),
    "memory": _Rule(None, (None,)),  # a directory of pickles
    "n_jobs": _Rule(None, (None, 1)),
    "pre_dispatch": _Rule("2*n_jobs", ("2*n_jobs",)),
    "store": _Rule("auto", ("auto", None)),
    "trust_remote_code": _Rule(False, (False,), "runs code from its checkpoint"),
    "word_frequencies": _Rule(None, (None,)),  # of words, or the path of a file
    "workers": _Rule(1, (1,)),
}


_HOLDS_PARAMETERS = re.compile("param|cv_results_")  # names of attributes


def restrict_parameters(pipeline: Any, path: Path, trusted: Collection[str]) -> None:
    """Reset in place all parameters of `RESTRICTED` but those in ``trusted``.

    An estimator that would do harm when it predicts is refused. Values in grids are reset with a
    warning. ``path`` is named in messages.
    """
    rules = {name: rule for name, rule in RESTRICTED.items() if name not in trusted}
    reset = set()
    for owner in estimators_within(pipeline):
        attributes = vars(owner)
        for key in _unsafe_keys(attributes, rules):
            rule = rules[_parameter(key)]
            if rule.refused and key in RESTRICTED:
                raise UnsafeModelError(
                    f"The pipeline in {str(path)!r} holds a {type(owner).__name__} that"
                    f" {rule.refused} ({key}={short_repr(attributes[key])}){_model(owner)}. If you"
                    f" trust it, load it with {_remedy(key)}."
                )
            attributes[key] = rule.default
        for name, value in attributes.items():
            if name == "resource" and isinstance(value, str) and _parameter(value) in rules:
                reset.add(value)  # a halving search would set it to numbers
                attributes[name] = "n_samples"
            if _can_set_parameters(name):
                for mapping in _mappings(value):
                    if not _HOLDS_PARAMETERS.search(name) and _is_of_numbers(mapping):
                        continue  # a vocabulary, or weights of classes
                    for key in _unsafe_keys(mapping, rules):
                        reset.add(key)
                        mapping[key] = _reset(mapping[key], rules[_parameter(key)].default)
    if reset:
        names = sorted({_parameter(key) for key in reset})
        warn_user(
            f"The pipeline in {str(path)!r} would set"
            f" {short_text(', '.join(map(repr, sorted(reset))), 200)} when it is fitted again. A"
            f" file may not choose these; they were reset. If you trust it, load it with"
            f" trusted={names}."
        )


def _parameter(key: str) -> str:
    """Return the last part of a key such as ``"features__bert__store"``."""
    return key.rpartition("__")[2]


def _unsafe_keys(mapping: dict[Any, Any], rules: dict[str, _Rule]) -> list[str]:
    return [
        key
        for key, value in mapping.items()
        if isinstance(key, str)
        and _parameter(key) in rules
        and not all(
            rules[_parameter(key)].allows(leaf)
            or (_parameter(key) == "word_frequencies" and isinstance(leaf, Number))
            for leaf in _leaves(value)
        )
    ]


def _can_set_parameters(name: str) -> bool:
    """Whether an attribute may hold dictionaries of parameters: fitted ones seldom do."""
    return not name.startswith("_") and (
        not name.endswith("_") or _HOLDS_PARAMETERS.search(name) is not None
    )


def _is_of_numbers(mapping: dict[Any, Any]) -> bool:
    return all(isinstance(one, Number) and not isinstance(one, bool) for one in mapping.values())


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what a parameter may become: a value, or each one of those to try."""
    waiting, seen = [value], {}
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, np.ndarray) and one.dtype != object:
            yield from np.ma.getdata(one).ravel().tolist()
        elif (within := list(one.values()) if isinstance(one, dict) else contents(one)) is None:
            yield one
        else:
            waiting += within


def _mappings(value: Any) -> Iterator[dict[Any, Any]]:
    """Yield the dictionaries within a value that no estimator in it holds, each once."""
    waiting, seen = [value], {}
    while waiting:
        one = waiting.pop()
        within = contents(one)
        if within is None or id(one) in seen:
            continue
        seen[id(one)] = one
        waiting += within
        if isinstance(one, dict):
            yield one


def _reset(value: Any, default: Any) -> Any:
    """Return the default, once for each value where there are several to try."""
    if value is None or isinstance(value, (str, bool, Number)):
        return default
    n_values = len(value) if isinstance(value, (list, tuple)) else np.size(value)
    return [default] * n_values


def _model(owner: Any) -> str:
    name = vars(owner).get("model_name")
    return "" if name is None else f", the model {short_repr(name)}"


def _remedy(key: str) -> str:
    return "trust_remote_code=True" if key == "trust_remote_code" else f"trusted=['{key}']"
