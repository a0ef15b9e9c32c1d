"""Which layers of a transformer to read, in Hugging Face's numbering."""

from __future__ import annotations

import numbers
from typing import Any, Literal, TypeAlias, get_args

from ...validation import invalid

__all__ = ["LAYER_MERGES", "LayerMerge", "parse_layers", "resolve_layers"]

LayerMerge: TypeAlias = Literal["concat", "sum", "mean"]
LAYER_MERGES: tuple[LayerMerge, ...] = get_args(LayerMerge)

_RULE = "an int, a list of ints, a string such as '-1,-2,-3,-4', "


def resolve_layers(layers: Any, n_layers: int) -> tuple[int, ...]:
    """Return layer numbers in ``[0, n_layers]``, in the requested order; 0 is the embeddings.

    Examples
    --------
    >>> resolve_layers(-1, n_layers=6)
    (6,)
    >>> resolve_layers("-1,-2", n_layers=6)
    (6, 5)
    """
    parsed = parse_layers(layers, n_layers)
    if not all(-n_layers - 1 <= number <= n_layers for number in parsed):
        rule = f"in the range [{-n_layers - 1}, {n_layers}] for this model of {n_layers} layers"
        raise invalid("layers", rule, layers)
    resolved = [number % (n_layers + 1) for number in parsed]
    if len(set(resolved)) < len(resolved):
        raise invalid("layers", f"free of repetition (it resolves to {resolved})", layers)
    return tuple(resolved)


def parse_layers(layers: Any, n_layers: int, names: str = "or 'all'") -> list[int]:
    """Return the numbers as they are written, whether or not a model of ``n_layers`` has them.

    ``names`` are those that messages tell of.
    """
    if isinstance(layers, str):
        if layers.strip() == "all":
            return list(range(n_layers + 1))
        try:
            return [int(part) for part in layers.split(",")]
        except ValueError:
            raise invalid("layers", _RULE + names, layers) from None
    try:
        parts = [layers] if isinstance(layers, numbers.Integral) else list(layers)
    except TypeError:
        raise invalid("layers", _RULE + names, layers) from None
    if not parts or not all(
        isinstance(part, numbers.Integral) and not isinstance(part, bool) for part in parts
    ):
        raise invalid("layers", _RULE + names, layers)
    return [int(part) for part in parts]
