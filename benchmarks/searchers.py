"""The encoders of the grid search. Libraries are imported where they are used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

LAYERS = (-1, -2, -3, -4)


@dataclass(frozen=True)
class Searcher:
    """One row of the tables.

    Attributes
    ----------
    name : str
    kind : str
        Key of `ENCODERS`, or ``"floor"``.
    keep : str or None
        Where vectors are kept: ``"session"``, ``"path"``, or None for nowhere.
    requires : tuple of str
        Packages without which it is left out.
    """

    name: str
    kind: str
    keep: str | None = None
    requires: tuple[str, ...] = ()

    @property
    def is_peer(self) -> bool:
        """Whether it is another library, of which only a part of the search is run."""
        return self.kind in ("skrub", "sentence-transformers")


OURS = "bertvectorizer"
FLOOR = Searcher("floor", "floor")
SEARCHERS = [
    Searcher("sentence-transformers", "sentence-transformers"),
    Searcher("skrub", "skrub", requires=("skrub",)),
    Searcher(f"{OURS}, defaults", OURS, "session"),
    Searcher(f"{OURS}, all layers kept in a file", OURS, "path"),
    # After the one that writes the file.
    Searcher(f"{OURS}, that file in the next run", OURS, "path"),
    FLOOR,
]


def _bertvectorizer(model: str) -> tuple[Any, dict[str, list[Any]]]:
    from bertvectorizer import BertVectorizer

    return BertVectorizer(model, device="cpu", local_files_only=True, store=None), {
        "layers": list(LAYERS)
    }


def _skrub(model: str) -> tuple[Any, dict[str, list[Any]]]:
    """skrub's text encoder without PCA; the unused seed takes the role of the layer."""
    import skrub

    # TextEncoder is its name before skrub 0.11.
    name = "LLMEncoder" if hasattr(skrub, "LLMEncoder") else "TextEncoder"
    return getattr(skrub, name)(model, n_components=None, device="cpu"), {
        "random_state": list(range(len(LAYERS)))
    }


def _sentence_transformers(model: str) -> tuple[Any, dict[str, list[Any]]]:
    """``SentenceTransformer.encode``; an unused argument takes the role of the layer."""
    from sklearn.preprocessing import FunctionTransformer

    arguments: list[Any] = [{"model": model, "unused": number} for number in range(len(LAYERS))]
    return FunctionTransformer(encode, kw_args=arguments[0]), {"kw_args": arguments}


def encode(texts: Any, model: str, unused: int) -> np.ndarray:
    """Encode a column with sentence-transformers; a function that worker processes can import."""
    return _loaded(model).encode(list(texts), show_progress_bar=False)


@cache
def _loaded(model: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device="cpu", local_files_only=True)


# An encoder that keeps nothing, and the four values of a parameter that stands for the layer.
ENCODERS: dict[str, Callable[[str], tuple[Any, dict[str, list[Any]]]]] = {
    OURS: _bertvectorizer,
    "skrub": _skrub,
    "sentence-transformers": _sentence_transformers,
}
