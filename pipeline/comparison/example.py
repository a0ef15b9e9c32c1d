"""A small labelled data set whose label depends on what a word means in its context."""

from __future__ import annotations

from importlib import resources

import pandas as pd

__all__ = ["load_example"]


def load_example() -> pd.DataFrame:
    """Return 400 sentences, each with one of 20 ambiguous words, such as *bat*, *crane* or
    *python*.

    Returns
    -------
    DataFrame
        Columns ``text``, ``word`` (as it stands in the text) and ``label``: ``"living"`` where the
        word names a plant or an animal, ``"thing"`` where it names anything else. Each word has ten
        sentences of either kind, so the word alone tells nothing.

    Examples
    --------
    >>> load_example()["label"].value_counts().sort_index().to_dict()
    {'living': 200, 'thing': 200}
    """
    with (
        resources.files(__package__)
        .joinpath("data/words_in_context.csv")
        .open(encoding="utf-8") as file
    ):
        return pd.read_csv(file)
