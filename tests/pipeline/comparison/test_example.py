from __future__ import annotations

import re

import pandas as pd

from bertvectorizer.pipeline import load_example


def test_two_balanced_classes_for_each_word() -> None:
    table = load_example()
    assert table.columns.tolist() == ["text", "word", "label"]
    assert len(table) == 400
    singular = (
        table["word"]
        .replace({"flies": "fly", "mice": "mouse"})
        .str.replace(r"(?<=ch|ss)es$|(?<!s)s$", "", regex=True)
    )
    assert singular.nunique() == 20
    assert (table.groupby([singular, "label"]).size() == 10).all()


def test_every_text_is_its_own_and_has_its_word() -> None:
    table = load_example()
    assert table["text"].is_unique
    assert not table.isna().any(axis=None)
    assert (table["text"] == table["text"].str.strip()).all()
    for row in table.itertuples():
        assert re.search(rf"\b{row.word}\b", str(row.text), re.IGNORECASE), row


def test_each_call_gives_a_table_of_its_own() -> None:
    first = load_example()
    first["label"] = "changed"
    assert set(load_example()["label"]) == {"living", "thing"}
    pd.testing.assert_frame_equal(load_example(), load_example())
