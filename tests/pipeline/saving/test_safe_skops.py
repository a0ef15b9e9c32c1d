"""Files that are hostile, damaged, or of another kind."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pickle
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import (
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
)
from bertvectorizer.pipeline.saving.pipeline_file import load_pipeline
from bertvectorizer.pipeline.saving.safe_skops import TRUSTED
from tests.pipeline.saving.pipelines import NEW, Change, tamper


def node(module: str, name: str, loader: str, **more: Any) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 0, **more}


def text_node(value: Any) -> dict[str, Any]:
    return node("builtins", "str", "JsonNode", content=json.dumps(value), is_json=True)


def list_node(*items: Any, kind: str = "list") -> dict[str, Any]:
    return node("builtins", kind, f"{kind.title()}Node", content=list(items))


VECTORIZER = "bertvectorizer"


FORMER = "bertvectorizer.features.bert"  # in files from before


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "a function": (node("os", "system", "FunctionNode"), "os.system"),
    "a type": (node("subprocess", "Popen", "TypeNode"), "subprocess.Popen"),
    "an object": (node("subprocess", "Popen", "ObjectNode"), "subprocess.Popen"),
    "a method": (
        node(
            VECTORIZER,
            "BertVectorizer",
            "MethodNode",
            content={"func": "fit", "obj": node(VECTORIZER, "BertVectorizer", "ObjectNode")},
        ),
        f"{VECTORIZER}.BertVectorizer",
    ),
    "a partial function": (
        node(
            "functools",
            "partial",
            "PartialNode",
            content={
                "func": node("os", "system", "FunctionNode"),
                "args": list_node(text_node("true"), kind="tuple"),
                "kwds": node("builtins", "dict", "DictNode", key_types=list_node(), content={}),
                "namespace": text_node(None),
            },
        ),
        "functools.partial",
    ),
    "an operator": (
        node(
            "operator",
            "methodcaller",
            "OperatorFuncNode",
            attrs=list_node(text_node("x"), kind="tuple"),
        ),
        "operator.methodcaller",
    ),
    "a constructor": (
        node(
            "subprocess",
            "Popen",
            "ConstructorFromReduceNode",
            content=list_node(text_node("true"), kind="tuple"),
        ),
        "subprocess.Popen",
    ),
    "a constructor of ours": (
        node(
            VECTORIZER,
            "BertVectorizer",
            "ConstructorFromReduceNode",
            content=list_node(text_node("x"), kind="tuple"),
        ),
        f"{VECTORIZER}.BertVectorizer",
    ),
    "a list of ours": (
        node(VECTORIZER, "BertVectorizer", "ListNode", content=[]),
        f"{VECTORIZER}.BertVectorizer",
    ),
    "a list of ours by its former name": (
        node(FORMER, "BertVectorizer", "ListNode", content=[]),
        f"{VECTORIZER}.BertVectorizer",
    ),
    "a type of ours": (
        node(VECTORIZER, "BertVectorizer", "TypeNode"),
        f"{VECTORIZER}.BertVectorizer",
    ),
    "a dictionary of another kind": (
        node("shelve", "DbfilenameShelf", "DictNode", key_types=list_node(), content={}),
        "shelve.DbfilenameShelf",
    ),
    "a tree": (
        node(
            "sklearn.tree._tree",
            "Tree",
            "TreeNode",
            __reduce__={"args": list_node(kind="tuple")},
            content=list_node(),
        ),
        "Tree",
    ),
    "a void": (node("numpy", "void", "TypeNode"), "numpy.void"),
    "a sparse matrix": (
        node(
            "scipy.sparse._csr", "csr_matrix", "SparseMatrixNode", type="scipy", file="schema.json"
        ),
        "csr_matrix",
    ),
    "a loader of tomorrow": (node("builtins", "eval", "EvalNode"), "builtins.eval"),
    "an old protocol": (
        node("os", "system", "FunctionNode", content={"module_path": "os", "function": "system"}),
        "os.system",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("depth", ["pipeline", "inside"])
def test_what_could_run_code_is_refused_by_name(
    kind: str, depth: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile, name = HOSTILE[kind]

    def change(schema: dict[str, Any], _: dict[str, bytes]) -> None:
        schema["protocol"] = 0 if kind == "an old protocol" else schema["protocol"]
        attributes = schema["content"]["pipeline"]["content"]["content"]
        if depth == "pipeline":
            schema["content"]["pipeline"] = hostile
        else:
            attributes["memory"] = list_node(text_node(1), hostile)

    def never(*_anything: object, **_more: object) -> None:
        raise AssertionError("code was run")

    tamper(saved, change)
    monkeypatch.setattr(os, "system", never)
    monkeypatch.setattr(subprocess, "Popen", never)
    monkeypatch.setattr(BertVectorizer, "__init__", never)
    with pytest.raises(UnsafeModelError, match=name) as caught:
        load_pipeline(saved)
    assert "\n" not in str(caught.value)


def npy(shape: tuple[int, ...], dtype: str = "<f8", data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue() + data


def first_array(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith(".npy"))


def swap(content: bytes) -> Change:
    return lambda _, files: files.update({first_array(files): content})


def many_lists(schema: dict[str, Any], _: dict[str, bytes]) -> None:
    inner = list_node(*[text_node("x")] * 10) | {"__id__": 1}
    for number in range(2, 40):
        inner = list_node(inner, *[{**list_node(), "__id__": number - 1}] * 9) | {"__id__": number}
    schema["content"]["pipeline"]["content"]["content"]["memory"] = inner


def many_readers(schema: dict[str, Any], files: dict[str, bytes]) -> None:
    files["big.npy"] = npy((1 << 20,), data=bytes(8 << 20))
    array = node("numpy", "ndarray", "NdArrayNode", type="numpy", file="big.npy")
    schema["content"]["pipeline"]["content"]["content"]["memory"] = list_node(*[array] * 100)


def nested(schema: dict[str, Any], _: dict[str, bytes]) -> None:
    inner = text_node("x")
    for _depth in range(400):
        inner = list_node(inner)
    schema["content"]["pipeline"] = inner


DAMAGE: dict[str, Change] = {
    "a huge array": swap(npy((1 << 40,))),
    "an array without bytes": swap(npy((1 << 40,), "<U0")),
    "a negative array": swap(npy((-1, -8), data=bytes(64))),
    "an array of objects": swap(npy((1,), "|O", pickle.dumps([1]))),
    "no array": swap(b"rubbish"),
    "lists within lists": many_lists,
    "an array read many times": many_readers,
    "a deep description": nested,
    "a long description": lambda schema, _: schema.update(more="x" * (17 << 20)),
    "a file that is not there": lambda schema, files: files.pop(first_array(files)) and None,
    "no description": lambda schema, _: schema.clear(),
    "another description": lambda schema, _: schema.update(content=[]),
    "no pipeline": lambda schema, _: schema["content"].pop("pipeline") and None,
    "no facts": lambda schema, _: schema["content"].update(facts=text_node("{}")),
    "no JSON": lambda schema, _: schema["content"].update(facts=text_node("{")),
    "a number for facts": lambda schema, _: schema["content"].update(facts=text_node(3)),
    "no Pipeline": lambda schema, _: schema["content"].update(pipeline=text_node("x")),
    "steps of another kind": (
        lambda schema, _: schema["content"]["pipeline"]["content"]["content"].update(
            steps=text_node("x")
        )
    ),
    "no steps": lambda schema, _: (
        schema["content"]["pipeline"]["content"]["content"].pop("steps") and None
    ),
    "a protocol of tomorrow": lambda schema, _: schema.update(protocol=99),
    "strings that do not add up": (
        lambda schema, _: schema["content"]["pipeline"]["content"]["content"].update(
            memory=node(
                "bertvectorizer.pipeline.saving",
                "PackedStrings",
                "ObjectNode",
                content=node(
                    "builtins",
                    "dict",
                    "DictNode",
                    key_types=list_node(*[node("builtins", "str", "TypeNode")] * 3),
                    content={
                        "data": text_node([1]),
                        "lengths": text_node([1]),
                        "is_array": text_node(False),
                    },
                ),
            )
        )
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_line_and_takes_no_memory(kind: str, saved: Path) -> None:
    tamper(saved, DAMAGE[kind])
    tracemalloc.start()
    try:
        with pytest.raises(ModelIntegrityError, match=r"model\.skops' is ") as caught:
            load_pipeline(saved)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_a_bomb_is_not_unpacked(saved: Path) -> None:
    tamper(
        saved,
        lambda _, files: files.update({"bomb.npy": npy((2 << 20,), data=bytes(16 << 20))}),
        zipfile.ZIP_DEFLATED,
    )
    assert saved.stat().st_size < 1 << 17
    with pytest.raises(ModelIntegrityError, match="its files are compressed"):
        load_pipeline(saved)


def test_files_that_share_their_bytes_are_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a") as archive:
        first = archive.infolist()[0]
        for number in range(2000):
            copy = zipfile.ZipInfo(f"copy{number}.npy")
            copy.header_offset, copy.file_size, copy.compress_size, copy.CRC = (
                first.header_offset,
                1 << 20,
                1 << 20,
                first.CRC,
            )
            archive.filelist.append(copy)
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(ModelIntegrityError, match="lie within each other"):
        load_pipeline(saved)


def test_a_file_that_was_cut_off(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in (0, 1, 3, 30, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(ModelIntegrityError):
            load_pipeline(saved)


def test_a_flipped_bit_is_noticed_or_does_no_harm(saved: Path) -> None:
    whole, expected = saved.read_bytes(), load_pipeline(saved).pipeline.predict_proba(NEW)
    noticed = 0
    for position in np.random.default_rng(0).integers(0, len(whole), 60).tolist():
        saved.write_bytes(
            whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :]
        )
        try:
            got = load_pipeline(saved).pipeline.predict_proba(NEW)
        except ModelError:
            noticed += 1
        else:
            np.testing.assert_array_equal(got, expected)
    assert noticed > 50


def test_damage_with_valid_checksums_is_one_error(saved: Path) -> None:
    whole = saved.read_bytes()
    generator = np.random.default_rng(0)
    messages = []
    for _ in range(150):
        saved.write_bytes(whole)

        def change(_schema: dict[str, Any], files: dict[str, bytes]) -> None:
            name = sorted(files)[generator.integers(len(files))]
            data = bytearray(files[name])
            # Headers and descriptions, rather than numbers within arrays.
            end = len(data) if name == "schema.json" else 128
            data[generator.integers(end)] = generator.integers(32, 127)
            files[name] = bytes(data)

        tamper(saved, change, raw=True)
        with contextlib.suppress(UserWarning):  # of another version
            try:
                load_pipeline(saved)
            except ModelError as error:
                messages.append(str(error))
    assert len(messages) > 30
    assert not any("\n" in message for message in messages)


def own(name: str, **attributes: Any) -> dict[str, Any]:
    types = list_node(*[node("builtins", "str", "TypeNode")] * len(attributes))
    content = node("builtins", "dict", "DictNode", key_types=types, content=attributes)
    return node("bertvectorizer.pipeline.saving", name, "ObjectNode", content=content)


def array_node(file: str, number: int = 0) -> dict[str, Any]:
    return node("numpy", "ndarray", "NdArrayNode", type="numpy", file=file) | {"__id__": number}


def strings_node(number: int = 0, lengths: str = "lengths.npy") -> dict[str, Any]:
    return own(
        "PackedStrings",
        data=array_node("data.npy", number and number + 1),
        lengths=array_node(lengths, number and number + 2),
        is_array=text_node(False),
    ) | {"__id__": number}


N = 1 << 18
PAIRS = npy((2 * N,), "|u1", b"ab" * N)
LONG = npy((N,), "<i8", np.full(N, 2).tobytes())


# What grows: the value of an attribute, and the arrays that it reads.
GROWTH: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, bytes]]] = {
    "many objects": (
        lambda: list_node(*[node("sklearn.dummy", "DummyClassifier", "ObjectNode")] * 10_000),
        {},
    ),
    "many types": (lambda: list_node(*[node("builtins", "int", "TypeNode")] * 10_000), {}),
    "many lists": (lambda: list_node(*[list_node()] * 10_000), {}),
    "many random states": (
        lambda: list_node(
            *[
                node(
                    "numpy.random.mtrand",
                    "RandomState",
                    "RandomStateNode",
                    content=node("builtins", "dict", "DictNode", key_types=list_node(), content={}),
                )
            ]
            * 5000
        ),
        {},
    ),
    "lists in a plain value": (lambda: text_node([[]] * 300_000), {}),
    "dictionaries outside of objects": (lambda: text_node("x") | {"more": [{}] * 500_000}, {}),
    "strings with short lengths": (
        strings_node,
        {"data.npy": PAIRS, "lengths.npy": npy((N,), "|u1", b"\2" * N)},
    ),
    "short strings": (strings_node, {"data.npy": PAIRS, "lengths.npy": LONG}),
    "the same strings in several objects": (
        lambda: list_node(
            *[strings_node(100)]
            + [strings_node(0) | {"content": part} for part in [strings_node(100)["content"]] * 50]
        ),
        {"data.npy": PAIRS, "lengths.npy": LONG},
    ),
    "the same keys in several dictionaries": (
        lambda: list_node(
            *[
                own("PackedDict", keys=strings_node(100), values=strings_node(100))
                for _ in range(50)
            ]
        ),
        {"data.npy": PAIRS, "lengths.npy": LONG},
    ),
    "numbers of one byte": (
        lambda: own("PackedNumbers", values=array_node("data.npy")),
        {"data.npy": npy((8 * N,), "|u1", bytes(8 * N))},
    ),
    "rows without columns": (
        lambda: own("PackedNumbers", values=array_node("data.npy")),
        {"data.npy": npy((1 << 30, 0))},
    ),
    "an array within an array of objects": (
        lambda: node(
            "numpy",
            "ndarray",
            "NdArrayNode",
            type="json",
            content=[array_node("data.npy", 7)] * 50,
            shape=list_node(text_node(50), text_node(N), kind="tuple"),
        ),
        {"data.npy": npy((8 * N,), "|u1", bytes(8 * N))},
    ),
    "masks that are shared": (
        lambda: list_node(
            *[
                node(
                    "numpy.ma",
                    "MaskedArray",
                    "MaskedArrayNode",
                    content={"data": array_node("data.npy", 7), "mask": array_node("data.npy", 7)},
                )
            ]
            * 100
        ),
        {"data.npy": npy((8 * N,), "|u1", bytes(8 * N))},
    ),
    "two arrays with one number": (
        lambda: list_node(
            *[
                array_node(name, number)
                for number in range(1, 60)
                for name in ("data.npy", "small.npy")
            ]
        ),
        {"data.npy": npy((8 * N,), "|u1", bytes(8 * N)), "small.npy": npy((1,), "|u1", b"1")},
    ),
}


@pytest.mark.parametrize("kind", GROWTH)
def test_reading_takes_memory_within_its_bounds(kind: str, saved: Path) -> None:
    make, arrays = GROWTH[kind]

    def change(schema: dict[str, Any], files: dict[str, bytes]) -> None:
        schema["content"]["pipeline"]["content"]["content"]["memory"] = make()
        files.update(arrays)

    load_pipeline(saved)  # imports
    tamper(saved, change)
    tracemalloc.start()
    try:
        with contextlib.suppress(ModelIntegrityError):
            load_pipeline(saved)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (8 << 20) + 30 * saved.stat().st_size


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, ("raise AssertionError('code was run')",)


def zipped(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), a=np.ones(3))
    path.with_suffix(".npz").rename(path)


def compressed(path: Path) -> None:
    joblib.dump(Bomb(), path, compress=3)


OTHER_FILES: dict[str, tuple[Callable[[Path], Any], type[ModelError], str]] = {
    "pickle": (
        lambda path: path.write_bytes(pickle.dumps(Bomb())),
        UnsafeModelError,
        "is a pickle, which could run code",
    ),
    "joblib": (lambda path: joblib.dump(Bomb(), path), UnsafeModelError, "is a pickle"),
    "compressed joblib": (compressed, ModelIntegrityError, "is no skops file"),
    "text": (
        lambda path: path.write_text("text,label\n"),
        ModelIntegrityError,
        "is no skops file. Give one that 'train'",
    ),
    "zip": (zipped, ModelIntegrityError, "no skops file: .*schema.json"),
    "skops": (
        lambda path: skops.io.dump([1], path),
        ModelIntegrityError,
        "a skops file, but none that 'train'",
    ),
    "folder": (lambda path: path.mkdir(), ModelNotFoundError, "There is no file"),
    "nothing": (lambda path: None, ModelNotFoundError, "There is no file"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_files_of_other_kinds(kind: str, tmp_path: Path) -> None:
    make, error, message = OTHER_FILES[kind]
    make(tmp_path / "model.skops")
    with pytest.raises(error, match=message):
        load_pipeline(tmp_path / "model.skops")


@pytest.mark.parametrize("name", TRUSTED)
def test_what_is_trusted_is_there(name: str) -> None:
    module, _, kind = name.rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), kind), type)
