"""Every fault of a file that a user can name is an error of this package, in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bertvectorizer import (
    BertVectorizer,
    EmbeddingStore,
    StaticVectorizer,
    load_pipeline,
    load_word_vectors,
    save_pipeline,
)
from bertvectorizer.features.weighting import read_frequencies
from bertvectorizer.models.word_vectors.array_formats import write_safetensors
from bertvectorizer.pipeline import predict_file, read_conll, read_table
from tests.hostile import (
    DAMAGES,
    HOSTILE_DOCUMENTS,
    HOSTILE_VALUES,
    REPLACEMENTS,
    copy_of,
    fault_of,
    places,
    replaced,
)
from tests.tiny import SIZE, ModelFactory, save_sentence_transformer, save_tokenizer

TEXTS = ["the old bat flew", "a crane in the river", "money of the bank", "the bat hit a ball"] * 4
ROWS = pd.DataFrame({"text": TEXTS, "label": ["a", "b"] * 8})
LINES = b"bat 0.5 -1.25e0 3\ncrane 1 2 3\nriver 4 5 6\n"


def as_bytes(write: Callable[[Any], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


CSV = ROWS.to_csv(index=False).encode()
JSON_LINES = ROWS.to_json(orient="records", lines=True).encode()
BINARY = b"2 3\n" + b"".join(
    word + b" " + np.arange(3, dtype="<f4").tobytes() + b"\n" for word in (b"bat", b"crane")
)


def read_rows(path: Path) -> None:
    read_table(path, ["text", "label"])


def read_vectors(path: Path) -> None:
    load_word_vectors(path, on_error="raise")


def predict(path: Path) -> None:
    table = path.with_name("rows.csv")
    table.write_bytes(CSV)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a version, or a parameter
        predict_file(load_pipeline(path), table, path.with_name("out.jsonl"))


def inspect(path: Path) -> None:
    store = EmbeddingStore(path)
    store.read_stats()
    store.verify()


FILES: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "t.csv": (CSV, read_rows),
    "t.tsv": (ROWS.to_csv(index=False, sep="\t").encode(), read_rows),
    "t.jsonl": (JSON_LINES, read_rows),
    "t.parquet": (as_bytes(ROWS.to_parquet), read_rows),
    "t.csv.gz": (gzip.compress(CSV), read_rows),
    "t.csv.bz2": (bz2.compress(CSV), read_rows),
    "t.jsonl.xz": (lzma.compress(JSON_LINES), read_rows),
    "t.csv.zst": (pa.compress(CSV, codec="zstd", asbytes=True), read_rows),
    "t.csv.zip": (zipped("t.csv", CSV), read_rows),
    "v.txt": (LINES, read_vectors),
    "v.bin": (BINARY, read_vectors),
    "v.txt.gz": (gzip.compress(LINES), read_vectors),
    "v.zip": (zipped("v.txt", LINES), read_vectors),
    "v.npz": (
        as_bytes(lambda file: np.savez(file, words=np.array(["a", "b"]), vectors=np.eye(2))),
        read_vectors,
    ),
    "v.safetensors": (b"", read_vectors),
    "counts.txt": (b"bat 3\ncrane 1\n", read_frequencies),
    "t.conll": (b"the O\nbat B-X\n\ncrane B-X\n", read_conll),
    "t.conll.gz": (gzip.compress(b"the O\nbat B-X\n"), read_conll),
    "m.skops": (b"", predict),
    "s.sqlite": (b"", inspect),
}


@pytest.fixture(scope="module")
def contents(
    tiny_model: ModelFactory, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("contents")
    BertVectorizer(tiny_model("bert"), store=directory / "s.sqlite").fit_transform(TEXTS)
    write_safetensors(directory / "v.safetensors", ["a", "b"], np.eye(2, dtype=np.float32))
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, ROWS["label"])
    save_pipeline(pipeline, directory / "m.skops", text="text", target="label")
    made = {
        name: (directory / name).read_bytes() for name, (given, _) in FILES.items() if not given
    }
    return {name: made.get(name, content) for name, (content, _) in FILES.items()}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.mark.parametrize("name", FILES)
def test_a_sound_file_is_read(name: str, contents: dict[str, bytes], work: Path) -> None:
    path = work / name
    path.write_bytes(contents[name])
    FILES[name][1](path)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25)
@given(damage=st.sampled_from(DAMAGES), number=st.integers(0, 1 << 20))
def test_a_damaged_file(
    name: str, damage: Any, number: int, contents: dict[str, bytes], work: Path
) -> None:
    path = work / name
    path.write_bytes(damage(contents[name], number))
    fault_of(lambda: FILES[name][1](path), str(work))


@pytest.mark.parametrize("replace", REPLACEMENTS)
@pytest.mark.parametrize("name", FILES)
def test_something_else_in_the_place_of_a_file(
    name: str, replace: Any, contents: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(contents[name])
    replace(path)
    message = fault_of(lambda: FILES[name][1](path), str(path))
    assert message or name == "s.sqlite"  # where there is no store, one is made


@settings(max_examples=25)
@given(number=st.integers(0, 1 << 20), value=st.sampled_from(HOSTILE_VALUES))
def test_hostile_values_in_the_description_of_a_pipeline(
    number: int, value: Any, contents: dict[str, bytes], work: Path
) -> None:
    with zipfile.ZipFile(io.BytesIO(contents["m.skops"])) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    known = list(places(schema))
    hostile = replaced(schema, known[number % len(known)], value)
    parts["schema.json"] = json.dumps(hostile).encode()
    path = work / "m.skops"
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    fault_of(lambda: predict(path))


@settings(max_examples=25)
@given(value=st.sampled_from(HOSTILE_VALUES), column=st.sampled_from(["text", "label"]))
def test_hostile_values_in_lines_of_json(value: Any, column: str, work: Path) -> None:
    path = work / "rows.jsonl"
    rows = ROWS.to_dict("records")
    rows[3] = {**rows[3], column: value}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fault_of(lambda: read_rows(path), str(path))


def save_static_model(directory: Path) -> Path:
    """Write a model of model2vec with modules, as sentence-transformers saves one."""
    directory.mkdir()
    save_tokenizer(directory)
    vectors = np.random.default_rng(0).normal(size=(SIZE, 8)).astype(np.float32)
    save_file({"embeddings": vectors}, directory / "model.safetensors")
    types = ("models.StaticEmbedding", "models.Normalize")
    documents: dict[str, Any] = {
        "config.json": {"normalize": True, "max_length": 20},
        "modules.json": [
            {"idx": number, "type": f"sentence_transformers.{one}", "path": "."}
            for number, one in enumerate(types)
        ],
        "config_sentence_transformers.json": {
            "prompts": {"query": "bat: "}, "default_prompt_name": "query", "truncate_dim": 4,
        },
    }  # fmt: skip
    for name, content in documents.items():
        (directory / name).write_text(json.dumps(content))
    return directory


@pytest.fixture(scope="module")
def models(tiny_model: ModelFactory, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("models")
    transformer = save_sentence_transformer(
        tiny_model("bert"),
        directory / "transformer",
        dense=8,
        normalize=True,
        prompts={"query": "bat: "},
        default_prompt_name="query",
    )
    return {"transformer": transformer, "static": save_static_model(directory / "static")}


def encode(kind: str, directory: Path) -> None:
    of_kind = {"transformer": BertVectorizer, "static": StaticVectorizer}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of lost tokens
        of_kind[kind](directory).fit_transform([*TEXTS[:2], "bat " * 200, ""])


def file_of(directory: Path, number: int, pattern: str = "*") -> Path:
    files = sorted(path for path in directory.rglob(pattern) if path.is_file())
    return files[number % len(files)]


@pytest.mark.parametrize("kind", ["transformer", "static"])
class TestModels:
    """A model with each of its files damaged."""

    @settings(max_examples=25)
    @given(
        file=st.integers(0, 100), number=st.integers(0, 60), value=st.sampled_from(HOSTILE_VALUES)
    )
    def test_hostile_values(
        self, file: int, number: int, value: Any, models: dict[str, Path], kind: str, work: Path
    ) -> None:
        directory = copy_of(models[kind], work / "model")
        path = file_of(directory, file, "*.json")
        content = json.loads(path.read_text(encoding="utf-8"))
        known = sorted(places(content), key=len)  # the vocabulary comes last
        path.write_text(json.dumps(replaced(content, known[number % len(known)], value)))
        fault_of(lambda: encode(kind, directory), str(directory))

    @settings(max_examples=15)
    @given(file=st.integers(0, 100), document=st.sampled_from(HOSTILE_DOCUMENTS))
    def test_hostile_documents(
        self, file: int, document: str, models: dict[str, Path], kind: str, work: Path
    ) -> None:
        directory = copy_of(models[kind], work / "model")
        file_of(directory, file, "*.json").write_text(document, encoding="utf-8")
        fault_of(lambda: encode(kind, directory), str(directory))

    @settings(max_examples=25)
    @given(
        file=st.integers(0, 100), damage=st.sampled_from(DAMAGES), number=st.integers(0, 1 << 16)
    )
    def test_damaged_files(
        self, file: int, damage: Any, number: int, models: dict[str, Path], kind: str, work: Path
    ) -> None:
        directory = copy_of(models[kind], work / "model")
        path = file_of(directory, file)
        path.write_bytes(damage(path.read_bytes(), number))
        fault_of(lambda: encode(kind, directory), str(directory))

    @settings(max_examples=15)
    @given(file=st.integers(0, 100), replace=st.sampled_from(REPLACEMENTS))
    def test_replaced_files(
        self, file: int, replace: Any, models: dict[str, Path], kind: str, work: Path
    ) -> None:
        directory = copy_of(models[kind], work / "model")
        replace(file_of(directory, file))
        fault_of(lambda: encode(kind, directory), str(directory))
