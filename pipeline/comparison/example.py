"""A small labelled data set whose label depends on the meaning of a word in its context."""

from __future__ import annotations

from importlib import resources

import pandas as pd

__all__ = ["load_example"]


def load_example() -> pd.DataFrame:
    """Load 400 sentences, each with one of 20 ambiguous words, such as *bat*, *crane* or *python*.

    Returns
    -------
    example : DataFrame of shape (400, 3)
        Columns ``text``, ``word`` (as it is spelled in the text) and ``label``. The label is
        ``"living"`` if the word names a plant or an animal, else ``"thing"``. Each word has ten
        sentences of each label, so the word alone does not predict the label.

    See Also
    --------
    compare : Compare feature sets on such a table.

    Examples
    --------
    >>> from bertvectorizer.pipeline import load_example
    >>> load_example()["label"].value_counts().sort_index().to_dict()
    {'living': 200, 'thing': 200}
    """
    path = resources.files(__package__).joinpath("data/words_in_context.csv")
    with path.open(encoding="utf-8") as file:
        return pd.read_csv(file)
