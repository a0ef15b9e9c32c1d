"""No command opens a socket: with ``--local-files-only`` never, else not for what is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertvectorizer.pipeline.comparison.candidates import can_distill
from tests.processes import WATCH_SOCKETS, run_python
from tests.tiny import ModelFactory

START = (
    WATCH_SOCKETS
    + """
from pathlib import Path
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from bertvectorizer import BertSpanVectorizer, BertVectorizer, BertWordVectorizer
from bertvectorizer import StaticVectorizer, WordVectors, save_pipeline
from bertvectorizer.cli.app import main

texts = ["aa aa", "bb bb", "aa bb", "bb aa"]
table = pd.DataFrame({"text": texts, "word": ["aa", "bb"] * 2, "sense": [*"xyxy"]})
table.to_csv("table.csv", index=False)

def save(vectorizer, name):
    if isinstance(vectorizer, BertSpanVectorizer):
        vectorizer.n_features_in_, vectorizer.feature_names_in_ = 2, table.columns[:2].to_numpy()
    pipeline = make_pipeline(vectorizer, DummyClassifier().fit([[0]], ["x"]))
    save_pipeline(pipeline, f"{name}.skops", text="text", target="sense")

def run(line):
    opened.clear()
    try:
        main(line.split("|"))
    except SystemExit as end:
        print(line, end.code, "opened" if opened else "closed")
"""
)
# A model that is nowhere: what is not told to look on this machine alone asks for it. Then one that
# is here.
PROGRAM = (
    START
    + """
def bert(kind, **parameters):
    vectorizer = kind("nobody/nothing", **parameters)
    vectorizer.model_fingerprint_, vectorizer.device_ = "0" * 32, "cpu"
    return vectorizer

distilled = StaticVectorizer(WordVectors(["a", "b"], [[1.0, 0.0], [0.0, 1.0]])).fit(["a", "b"])
distilled.vectors = "distill:nobody/nothing"
save(bert(BertVectorizer), "texts")
save(bert(BertWordVectorizer, tokenizer="[a-z]+"), "words")
save(bert(BertSpanVectorizer), "spans")
save(distilled, "distilled")
save(FeatureUnion([("distilled", distilled)]), "union")
model, nowhere, here = sys.argv[1], *map(eval, sys.argv[2:])
for line in nowhere:
    run(f"{line}|--local-files-only")
    run(line)
save(BertSpanVectorizer(model).fit(table[["text", "word"]]), "spans")
for line in here:
    run(line)
"""
)
TABLE = "table.csv|--text|text"
SENSE = f"{TABLE}|--target|sense"
NOTHING = "--model|nobody/nothing"
COMMANDS = (
    f"compare|{SENSE}|{NOTHING}|--features|BERT",
    f"compare|{SENSE}|{NOTHING}|--all-layers",
    f"train|{SENSE}|{NOTHING}|--features|BERT|-o|out.skops",
    f"embed|{TABLE}|{NOTHING}|-o|out.csv",
    f"predict|texts.skops|{TABLE}|-o|out.csv",
    f"predict|words.skops|{TABLE}|-o|out.csv",
    f"predict|spans.skops|{TABLE}|-o|out.csv",
)
COMMANDS_OF_DISTILL = (
    f"compare|{SENSE}|{NOTHING}|--features|distilled words",
    f"train|{SENSE}|{NOTHING}|--features|distilled words|-o|out.skops",
    f"predict|distilled.skops|{TABLE}|-o|out.csv",
    f"predict|union.skops|{TABLE}|-o|out.csv",
)
ONLINE = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}


def test_no_command_opens_a_socket_that_need_not(
    tiny_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nowhere = COMMANDS + (COMMANDS_OF_DISTILL if can_distill() else ())
    model = str(tiny_model("bert"))
    more = f"--model|{model}|--store|kept.sqlite"
    distilled = "--features|distilled words|" if can_distill() else ""
    here = [
        f"{command}{option}"
        for option in ("|--local-files-only", "")
        for command in (
            f"compare|{SENSE}|{more}|--cv|2|--features|BERT|{distilled}--report|a.html|--json|a.json",
            f"train|{SENSE}|{more}|--cv|2|--features|BERT|--features|Word2Vec|-o|out.skops",
            f"embed|{TABLE}|{more}|-o|out.csv",
            f"predict|out.skops|{TABLE}|-o|out.csv",
            f"predict|spans.skops|{TABLE}|-o|out.csv",
        )
    ]
    here += [f"store|{command}|kept.sqlite" for command in ("info", "verify", "clear")]
    printed = run_python(PROGRAM, model, nowhere, here, **ONLINE).splitlines()
    assert [line for line in printed if line.endswith(("opened", "closed"))] == [
        line
        for command in nowhere
        for line in (f"{command}|--local-files-only 2 closed", f"{command} 2 opened")
    ] + [f"{command} 0 closed" for command in here]
