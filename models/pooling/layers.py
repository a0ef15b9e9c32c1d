"""Which layers of a transformer to read, in Hugging Face's numbering."""

from __future__ import annotations

import numbers
from typing import Any

from ...validation import invalid

__all__ = ["LAYER_MERGES", "parse_layers", "resolve_layers"]

LAYER_MERGES = ("concat", "sum", "mean")

_RULE = "an int, a list of ints, a string such as '-1,-2,-3,-4', or 'all'"


def resolve_layers(layers: Any, n_layers: int) -> tuple[int, ...]:
    """Turn a layer specification into layer numbers counted from the embeddings.

    Parameters
    ----------
    layers : int, sequence of int, or str
        0 is the output of the embeddings, ``n_layers`` (or -1) that of the last layer. A string
        holds numbers with commas between, or the word ``"all"`` (embeddings included).
    n_layers : int
        Number of transformer layers of the model.

    Returns
    -------
    tuple of int
        Numbers in ``[0, n_layers]``, in the order asked for.

    Raises
    ------
    InvalidParameterError
        If the specification is no such thing, is out of range, or names one layer twice.

    Examples
    --------
    >>> resolve_layers(-1, n_layers=6)
    (6,)
    >>> resolve_layers("-1,-2", n_layers=6)
    (6, 5)
    """
    resolved = []
    for number in parse_layers(layers, n_layers):
        if not -n_layers - 1 <= number <= n_layers:
            raise invalid(
                "layers",
                f"in the range [{-n_layers - 1}, {n_layers}] for this model of {n_layers} layers",
                layers,
            )
        resolved.append(number % (n_layers + 1))
    if len(set(resolved)) < len(resolved):
        raise invalid("layers", f"free of repetition (it resolves to {resolved})", layers)
    return tuple(resolved)


def parse_layers(layers: Any, n_layers: int) -> list[int]:
    """Return the numbers of a layer specification as they are written, whether or not a model of ``n_layers`` has them."""
    if isinstance(layers, str):
        if layers.strip() == "all":
            return list(range(n_layers + 1))
        try:
            return [int(part) for part in layers.split(",")]
        except ValueError:
            raise invalid("layers", _RULE, layers) from None
    if _is_int(layers):
        return [int(layers)]
    try:
        parts = list(layers)
    except TypeError:
        raise invalid("layers", _RULE, layers) from None
    if not parts or not all(_is_int(part) for part in parts):
        raise invalid("layers", _RULE, layers)
    return [int(part) for part in parts]


def _is_int(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Integral)
