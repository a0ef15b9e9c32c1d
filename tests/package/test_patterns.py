"""Each regular expression of the package takes time in proportion to the length of a text.

A pattern that backtracks needs minutes for the texts here, one that does not a few milliseconds.
The limit on CPU time ends the process; it does not measure.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.package.test_house import SOURCES
from tests.processes import Process, run_python

pytest.importorskip("resource")

METHODS = {"match", "fullmatch", "search", "findall", "finditer", "split", "sub"}
# Their patterns are the caller's own, or made of the caller's word.
OF_THE_CALLER = {
    "bertvectorizer.features.inputs.documents",
    "bertvectorizer.features.inputs.find_word",
    "bertvectorizer.features.inputs.word_splitting",
}
# The former pattern of numbers: where a letter follows, each digit may stand in two places.
BACKTRACKS = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"

LIMIT = """
import resource

def limit_cpu_time(seconds=2):
    used = resource.getrusage(resource.RUSAGE_SELF)
    used = int(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (used + 1 + seconds, resource.RLIM_INFINITY))

"""
ATTACK = f"""{LIMIT}
import json, re, sys

LENGTH = 100_000
for source, is_bytes, flags, method in json.loads(sys.argv[1]):
    pattern = re.compile(source.encode("latin-1") if is_bytes else source, flags)
    arguments = ("",) if method == "sub" else ()
    found = re.findall(r"[^a-z0-9]|[^a-z]?[a-z]{{3,}}\\W*", source)
    units = dict.fromkeys(["1", "a", "X", " ", *found])
    for one in units:
        for other in units:
            text = (one + other) * (LENGTH // len(one + other)) + "\\0"
            print("attacks", repr(source), method, repr((one, other)), flush=True)
            limit_cpu_time()
            getattr(pattern, method)(*arguments, text.encode() if is_bytes else text)
"""


def uses_in(name: str, module: ModuleType) -> Iterator[tuple[re.Pattern[Any] | None, str]]:
    """Yield the patterns of a module and how each is used; None for those made at run time."""
    tree = ast.parse(SOURCES[name].read_text(encoding="utf-8"))
    inner = {
        id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            owner = isinstance(node.value, ast.Name) and getattr(module, node.value.id, None)
            if isinstance(owner, re.Pattern):
                yield owner, node.attr
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).startswith("re."):
            continue
        method = ast.unparse(node.func).removeprefix("re.")
        if method not in {*METHODS, "compile"}:
            continue
        flags = [keyword.value for keyword in node.keywords if keyword.arg == "flags"]
        flags += node.args[1:2] if method == "compile" else []
        try:
            source, *options = (
                eval(ast.unparse(value), vars(module)) for value in (node.args[0], *flags)
            )
        except NameError:
            yield None, method
            continue
        # One that has a name is found by its uses.
        method = inner.get(id(node), "") if method == "compile" else method
        if method:
            yield re.compile(source, *options), method


def all_uses() -> dict[str, set[tuple[re.Pattern[Any] | None, str]]]:
    return {name: set(uses_in(name, importlib.import_module(name))) for name in SOURCES}


def test_only_callers_bring_patterns_of_their_own() -> None:
    uses = all_uses()
    assert {name for name, found in uses.items() if any(p is None for p, _ in found)} == (
        OF_THE_CALLER
    )
    assert len(set().union(*uses.values())) > 15


def test_no_pattern_backtracks() -> None:
    uses = {use for found in all_uses().values() for use in found if use[0] is not None}
    run_python(ATTACK, json.dumps([described(*use) for use in uses]))


def test_one_that_does_is_noticed() -> None:
    with Process("-c", ATTACK, json.dumps([described(re.compile(BACKTRACKS), "fullmatch")])) as it:
        assert "('1', '1')" in it.finish(expect=-signal.SIGXCPU).splitlines()[-1]


def described(pattern: re.Pattern[Any] | None, method: str) -> tuple[str, bool, int, str]:
    assert pattern is not None
    source = pattern.pattern
    if isinstance(source, bytes):
        return source.decode("latin-1"), True, pattern.flags, method
    return source, False, pattern.flags, method


def test_a_long_cell_or_word_takes_no_time(tmp_path: Path) -> None:
    """Through what users call: a table that is written, words, files of word vectors."""
    code = f"""{LIMIT}
import sys
from pathlib import Path
import numpy as np, pandas as pd
from bertvectorizer import load_word_vectors
from bertvectorizer.errors import ModelIntegrityError
from bertvectorizer.features.inputs.documents import read_documents
from bertvectorizer.features.inputs.find_word import find_word
from bertvectorizer.features.inputs.word_splitting import WORD_PATTERN, split_words
from bertvectorizer.models.word_vectors.evaluation import similarity_score
from bertvectorizer.pipeline.files.safe_csv import csv_text
from bertvectorizer.pipeline.tagging.word_shape import word_shape

LENGTH = 100_000
units = ["1", "-", "@", ".", "a ", "a@", "1.", "1-", "a.", "A.", "\\ufeff", "é", "e\\u0301", "Σ"]
texts = [sign + unit * (LENGTH // len(unit)) + "x" for unit in units for sign in ("", "-", "=")]

def at_once(function, *arguments):
    limit_cpu_time(10)
    return function(*arguments)

at_once(csv_text, pd.DataFrame({{"text": texts}}))
at_once(word_shape, texts, np.array([0, len(texts)]))
at_once(find_word, texts, "a a x")
at_once(find_word, texts, "é")
at_once(split_words, texts, WORD_PATTERN, True)
at_once(split_words, texts, r"\\w+", True)
at_once(read_documents, texts, WORD_PATTERN)
file = Path(sys.argv[1])
for text in texts:
    for line in (f"tea {{text}} 1", f"tea 1 {{text}}", f"{{text}} 1 2"):
        file.write_text(f"cup 1 2\\n{{line}}\\n", encoding="utf-8")
        try:
            at_once(load_word_vectors, file)
        except ModelIntegrityError:
            pass
file.write_text("".join(f"a\\tb\\t{{text}}\\t1\\n" for text in texts), encoding="utf-8")
at_once(similarity_score, file, lambda one, other: 1.0)
"""
    run_python(code, tmp_path / "words.txt")
