"""``--local-files-only``: no command opens a connection, whatever its features or its pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertvectorizer.pipeline.comparison.candidates import can_distill
from tests.processes import run_python

# Every command runs twice: with the option, and without it to show that it would ask.
PROGRAM = """
import sys
opened = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        opened.append(event)
        raise PermissionError(event)
sys.addaudithook(watch)
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from bertvectorizer import BertVectorizer, BertWordVectorizer, StaticVectorizer, WordVectors
from bertvectorizer import save_pipeline
from bertvectorizer.cli.app import main

with open("table.csv", "w") as file:
    file.write("text,sense\\na a,x\\nb b,y\\na b,x\\nb a,y\\n")

def bert(kind, **parameters):
    vectorizer = kind("nobody/nothing", **parameters)
    vectorizer.model_fingerprint_, vectorizer.device_ = "0" * 32, "cpu"
    return vectorizer

distilled = StaticVectorizer(WordVectors(["a", "b"], [[1.0, 0.0], [0.0, 1.0]])).fit(["a", "b"])
distilled.vectors = "distill:nobody/nothing"
for name, vectorizer in {
    "texts": bert(BertVectorizer),
    "words": bert(BertWordVectorizer, tokenizer="[a-z]+"),
    "distilled": distilled,
    "union": FeatureUnion([("distilled", distilled)]),
}.items():
    pipeline = make_pipeline(vectorizer, DummyClassifier().fit([[0]], ["x"]))
    save_pipeline(pipeline, f"{name}.skops", text="text", target="sense")

for line in sys.argv[1:]:
    for more in (["--local-files-only"], []):
        opened.clear()
        try:
            main([*line.split("|"), *more])
        except SystemExit as end:
            print(line, end.code, "opened" if opened else "closed")  # 2: the model is not found
"""
TABLE = "table.csv|--text|text"
SENSE = f"{TABLE}|--target|sense"
MODEL = "--model|nobody/nothing"
COMMANDS = (
    f"compare|{SENSE}|{MODEL}|--features|BERT",
    f"train|{SENSE}|{MODEL}|--features|BERT|-o|out.skops",
    f"embed|{TABLE}|{MODEL}|-o|out.csv",
    "predict|texts.skops|table.csv|-o|out.csv",
    "predict|words.skops|table.csv|-o|out.csv",
)
COMMANDS_OF_DISTILL = (
    f"compare|{SENSE}|{MODEL}|--features|distilled words",
    f"train|{SENSE}|{MODEL}|--features|distilled words|-o|out.skops",
    "predict|distilled.skops|table.csv|-o|out.csv",
    "predict|union.skops|table.csv|-o|out.csv",
)


def test_no_command_asks_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = COMMANDS + (COMMANDS_OF_DISTILL if can_distill() else ())
    printed = run_python(
        PROGRAM, *commands, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9"
    ).splitlines()
    expected = [f"{line} 2 {state}" for line in commands for state in ("closed", "opened")]
    assert printed == expected
