"""``local_files_only=True``: no estimator opens a connection, whatever names a model."""

from __future__ import annotations

import inspect

import bertvectorizer
from tests.processes import WATCH_SOCKETS, run_python

# What may name a model of the hub, and such a name.
NAMING = {"model_name": "nobody/nothing", "vectors": "distill:nobody/nothing"}
ESTIMATORS = [
    name
    for name in bertvectorizer.__all__
    if inspect.isclass(kind := getattr(bertvectorizer, name))
    and hasattr(kind, "fit")
    and set(NAMING) & set(inspect.signature(kind).parameters)
]

PROGRAM = (
    WATCH_SOCKETS
    + """
import inspect
import pandas as pd
import bertvectorizer
from bertvectorizer.errors import ModelNotFoundError

X = ["the old bat flew", "a bat"]
DOCUMENTS = [text.split() for text in X]
TAGS = [["B"] * len(words) for words in DOCUMENTS]
SPANS = pd.DataFrame({"text": X, "start": [0, 0], "end": [3, 1]})

def outcome(work):
    opened.clear()
    try:
        work()
    except ModelNotFoundError as error:
        print("opened" if opened else "closed", "asked" if "hub: skipped" not in str(error) else "")
    else:
        print("no model" if not opened else "opened")
"""
)


def test_every_estimator_that_names_a_model_is_found() -> None:
    assert {"BertVectorizer", "BertWordVectorizer", "BertSpanVectorizer", "StaticVectorizer"} <= {
        *ESTIMATORS
    }
    for name in ESTIMATORS:
        assert "local_files_only" in inspect.signature(getattr(bertvectorizer, name)).parameters


def test_nothing_asks_the_hub_that_is_told_not_to() -> None:
    """Estimators, with and without the parameter, a table of words, and default features."""
    code = f"""
for flag in (True, False):
    for name in {ESTIMATORS}:
        kind = getattr(bertvectorizer, name)
        for parameter, model in {NAMING}.items():
            if parameter in inspect.signature(kind).parameters:
                estimator = kind(**{{parameter: model}}, local_files_only=flag)
                rows = SPANS if "Span" in name else DOCUMENTS if "Word" in name else X
                rows, y = (DOCUMENTS, TAGS) if "Tagger" in name else (rows, [0, 1])
                outcome(lambda: estimator.fit(rows, y))
    outcome(
        lambda: bertvectorizer.load_word_vectors("distill:nobody/nothing", local_files_only=flag)
    )
    model = bertvectorizer.LanguageModel(
        architecture="tiny", tokenizer="nobody/nothing", local_files_only=flag
    )
    outcome(lambda: model.fit(X))
for name, features in bertvectorizer.default_features(
    model_name="nobody/nothing", local_files_only=True
).items():
    if name.startswith(("BERT", "distilled")):
        outcome(lambda: features.fit(X))
"""
    printed = run_python(PROGRAM + code, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    lines, n = [line.strip() for line in printed.splitlines()], len(ESTIMATORS) + 2
    assert lines[:n] == ["closed"] * n
    assert lines[n : 2 * n] == ["opened asked"] * n
    assert len(lines[2 * n :]) > 5
    assert set(lines[2 * n :]) == {"closed"}
