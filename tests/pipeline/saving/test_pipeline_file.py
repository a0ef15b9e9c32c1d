"""Pipelines that are saved, sent, tampered with, and loaded in another process."""

from __future__ import annotations

import functools
import importlib
import io
import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from bertvectorizer import (
    BertVectorizer,
    EmbeddingStore,
    StaticVectorizer,
    Word2VecVectorizer,
    WordVectors,
    load_word_vectors,
)
from bertvectorizer.errors import (
    BertVectorizerError,
    InvalidParameterError,
    ModelChangedError,
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
)
from bertvectorizer.pipeline.saving.compact import (
    PackedNumbers,
    PackedStrings,
    PackedSubwords,
    PackedTable,
    estimators_within,
    pack,
    unpack,
)
from bertvectorizer.pipeline.saving.pipeline_file import load_pipeline, save_pipeline
from bertvectorizer.pipeline.saving.safe_skops import TRUSTED, read_skops, write_skops
from bertvectorizer.pipeline.tagging.labeler import SequenceLabeler
from tests.processes import Process
from tests.tiny import ModelFactory, save_model

TEXTS = [
    "the old bat flew",
    "a crane hit the ball",
    "money in the bank",
    "river bank",
    "the night",
    "old money",
]
LABELS = ["thing", "animal", "thing", "thing", "animal", "animal"]
NEW = ["bat money cranes", "zebra", "", "the crane \ud800 flew", "bat money cranes"]
WORDS = pd.DataFrame([[0.1, 0.2], [0.3, -0.1], [1.0, 2.0]], index=["bat", "crane", "money"])

Change = Callable[[dict[str, Any], dict[str, bytes]], None]


def fitted(features: Any, estimator: Any = None, labels: Any = LABELS) -> Pipeline:
    estimator = (
        LogisticRegression() if estimator is None else estimator
    )  # a forest that is not fitted has no truth value
    return make_pipeline(features, StandardScaler(with_mean=False), estimator).fit(TEXTS, labels)


@pytest.fixture(scope="module")
def model(tiny_model: ModelFactory) -> str:
    return str(tiny_model("bert"))


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    path.write_text(
        "bat 0.1 0.2\ncrane 0.3 -0.1\nmoney 1 2\nriver 0.5 0.1\nthe 0 0.1\n", encoding="utf-8"
    )
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file as it should be, for tests that spoil it."""
    path = tmp_path / "model.skops"
    save_pipeline(
        fitted(TfidfVectorizer()), path, text="review", target="sense", metadata={"score": 0.5}
    )
    return path


def tamper(path: Path, change: Change, compression: int = zipfile.ZIP_STORED) -> None:
    """Change the description or the arrays in a file, and write it so that all checksums are right again."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files["schema.json"])
    change(schema, files)
    files["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def features(model: str, vectors: Path, directory: Path) -> dict[str, Any]:
    fasttext = Word2VecVectorizer("fasttext", n_buckets=50, vector_size=4, random_state=0, epochs=1)
    return {
        "words": TfidfVectorizer(),
        "union": FeatureUnion(
            [
                ("words", TfidfVectorizer()),
                ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))),
            ]
        ),
        "bert": BertVectorizer(model, layers=[-1, 0], pooling=("cls", "max")),
        "bert with a store": BertVectorizer(
            Path(model), store=EmbeddingStore(directory / "store"), device="cpu"
        ),
        "word2vec": Word2VecVectorizer(
            vector_size=4,
            min_count=1,
            random_state=np.random.RandomState(0),
            epochs=1,
            weighting="tfidf",
        ),
        "fasttext": fasttext,
        "file": StaticVectorizer(vectors, weighting="power_mean", powers=(1, math.inf)),
        "opened file": StaticVectorizer(load_word_vectors(vectors)),
        "frame": StaticVectorizer(WORDS, weighting="sif", word_frequencies={"bat": 3, "the": 10}),
        "table": StaticVectorizer(WordVectors(["bat", "crane"], [[1.0, 2], [3, 4]])),
        "table with subwords": StaticVectorizer(fasttext.fit(TEXTS).word_vectors_, weighting="sif"),
    }


def test_a_new_process_predicts_the_same_to_the_last_bit(
    model: str, vectors: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    pipelines = {
        name: fitted(transformer)
        for name, transformer in features(model, vectors, tmp_path).items()
    }
    for name, pipeline in pipelines.items():
        save_pipeline(pipeline, folder / f"{name}.skops", text="review", target="sense")
    # The process loads all, predicts, and is killed when it has half saved one of them anew.
    code = """
import os, pathlib, signal, sys
import numpy as np
from bertvectorizer.pipeline.saving.pipeline_file import load_pipeline, save_pipeline
for file in pathlib.Path(sys.argv[1]).glob("*.skops"):
    pipeline = load_pipeline(file).pipeline
    np.save(file.with_suffix(".npy"), pipeline.predict_proba(eval(sys.argv[2])))
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
save_pipeline(pipeline, pathlib.Path(sys.argv[1], "words.skops"))
"""
    before = (folder / "words.skops").read_bytes()
    with Process("-W", "error", "-c", code, folder, repr(NEW)) as process:
        process.finish(expect=-signal.SIGKILL)
    assert (folder / "words.skops").read_bytes() == before
    for name, pipeline in pipelines.items():
        np.testing.assert_array_equal(
            np.load(folder / f"{name}.npy"), pipeline.predict_proba(NEW), err_msg=name
        )


@pytest.mark.parametrize(
    ("estimator", "labels"),
    [
        (
            LogisticRegressionCV(
                cv=StratifiedKFold(2),
                l1_ratios=(0.0,),
                use_legacy_attributes=False,
                scoring="accuracy",
            ),
            LABELS,
        ),
        (
            LogisticRegressionCV(
                cv=2, l1_ratios=(0.0,), use_legacy_attributes=True, scoring="accuracy"
            ),
            [True, False] * 3,
        ),
        (RidgeClassifierCV(), np.array(LABELS, dtype=object)),
        (RidgeClassifierCV(), np.array([[1, 0], [0, 1], [1, 1]] * 2)),
        (MultiOutputClassifier(LogisticRegression()), np.array([[1, 0], [0, 1], [1, 1]] * 2)),
        (DummyClassifier(), [3, 5, 3, 5, 7, 7]),
        (RidgeCV(), np.arange(6) * 0.5),
        (KNeighborsClassifier(2), LABELS),
        (CalibratedClassifierCV(LinearSVC(), cv=2), LABELS),
        (GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2), LABELS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_estimators_and_targets(estimator: Any, labels: Any, tmp_path: Path) -> None:
    pipeline = fitted(TfidfVectorizer(), estimator, labels)
    save_pipeline(
        pipeline, tmp_path / "model.skops", target=["a", "b"] if np.ndim(labels) == 2 else None
    )
    loaded = load_pipeline(tmp_path / "model.skops")
    expected, got = pipeline.predict(NEW), loaded.pipeline.predict(NEW)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == expected.dtype
    if np.ndim(labels) == 2 or isinstance(estimator, RidgeCV):
        assert loaded.classes is None
    else:
        np.testing.assert_array_equal(loaded.classes, np.unique(labels))


def test_what_is_saved_with_it_comes_back(saved: Path) -> None:
    loaded = load_pipeline(saved)
    assert (loaded.text, loaded.target, loaded.metadata) == ("review", "sense", {"score": 0.5})
    assert loaded.versions.keys() == {"bertvectorizer", "numpy", "scikit-learn"}
    save_pipeline(loaded.pipeline, saved, target=("a", "b"))
    assert load_pipeline(saved).target == ("a", "b")
    assert list(saved.parent.iterdir()) == [saved]


def test_nothing_that_is_saved_is_changed(model: str, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "store")
    pipeline = fitted(
        FeatureUnion(
            [("bert", BertVectorizer(Path(model), store=store)), ("words", StaticVectorizer(WORDS))]
        )
    )
    save_pipeline(pipeline, tmp_path / "model.skops")
    (_, bert), (_, words) = pipeline[0].transformer_list
    assert bert.store is store
    assert isinstance(bert.model_name, Path)
    assert words.vectors is WORDS
    loaded = [
        part
        for part in estimators_within(load_pipeline(tmp_path / "model.skops").pipeline)
        if isinstance(part, BertVectorizer)
    ]
    assert [(part.store, part.model_name, part.truncation_) for part in loaded] == [
        ("auto", model, bert.truncation_)
    ]
    save_pipeline(fitted(BertVectorizer(model, store=None)), tmp_path / "model.skops")
    assert load_pipeline(tmp_path / "model.skops").pipeline[0].store is None


def test_vocabularies_are_small_and_other_tools_see_that_the_file_is_safe(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(20_000)]
    pipeline = make_pipeline(TfidfVectorizer(), DummyClassifier()).fit([" ".join(words)], ["a"])
    save_pipeline(pipeline, tmp_path / "model.skops")
    assert (
        tmp_path / "model.skops"
    ).stat().st_size < 800_000  # for each word 9 bytes, its length, its number, its weight
    assert (
        load_pipeline(tmp_path / "model.skops").pipeline[0].vocabulary_ == pipeline[0].vocabulary_
    )
    assert set(skops.io.get_untrusted_types(file=tmp_path / "model.skops")) <= set(TRUSTED)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(), max_size=5),
    lambda values: (
        st.lists(values, max_size=4)
        | st.lists(values, max_size=4).map(tuple)
        | st.dictionaries(
            st.text(st.characters(), max_size=3)
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False),
            values,
            max_size=4,
        )
        | st.lists(st.text(st.characters(), max_size=3), min_size=65, max_size=70)
        | st.lists(st.integers(), min_size=65, max_size=70)
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(VALUES)
def test_wild_values_are_packed_and_unpacked(value: Any) -> None:
    estimator = FunctionTransformer(kw_args=value)
    packed = pack(estimator)
    with tempfile.TemporaryDirectory() as directory:
        write_skops(packed, path := Path(directory, "value.skops"), [])
        written = read_skops(path)
    assert repr(unpack(written).kw_args) == repr(value)
    assert estimator.kw_args is value


def test_sparse_matrices_and_arrays_of_texts() -> None:
    matrix = sparse.csr_matrix(np.eye(3))
    packed = pack(
        FunctionTransformer(kw_args={"m": matrix, "a": np.array(["a", "\ud800"], dtype=object)})
    )
    got = unpack(packed).kw_args
    assert (got["m"] != matrix).nnz == 0
    assert got["a"].tolist() == ["a", "\ud800"]
    packed.kw_args["m"] = pack(matrix)
    packed.kw_args["m"].indices[0] = 77  # beyond the matrix, where scipy would read other memory
    with pytest.raises(ValueError, match="indices"):
        unpack(packed)


def shout(text: str) -> list[str]:
    return text.upper().split()


@pytest.mark.parametrize(
    "tokenizer",
    [shout, functools.partial(str.split, maxsplit=3), str.split, "".split, len],
    ids=["function", "partial", "method", "bound", "builtin"],
)
@pytest.mark.parametrize(
    "transformer",
    [TfidfVectorizer(token_pattern=None), StaticVectorizer(WORDS)],
    ids=lambda value: type(value).__name__,
)
def test_functions_are_refused_by_the_name_of_their_parameter(
    tokenizer: Any, transformer: Any, tmp_path: Path
) -> None:
    pipeline = make_pipeline(transformer.set_params(tokenizer=shout), LogisticRegression()).fit(
        TEXTS, LABELS
    )
    pipeline[0].set_params(tokenizer=tokenizer)
    with pytest.raises(
        InvalidParameterError,
        match=rf"the 'tokenizer' parameter of {type(transformer).__name__}\. Use what needs none",
    ):
        save_pipeline(pipeline, tmp_path / "model.skops")
    assert list(tmp_path.iterdir()) == []


class Unknown(TfidfVectorizer):
    """A type that this package does not know."""


def test_other_types_are_refused_unless_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    forest, unknown = (
        fitted(TfidfVectorizer(), RandomForestClassifier(2, random_state=0)),
        fitted(Unknown()),
    )
    for pipeline, name in ((forest, "sklearn.tree._tree.Tree"), (unknown, f"{__name__}.Unknown")):
        with pytest.raises(
            UnsafeModelError, match=rf"model\.skops' holds types .*: {name}\..*trusted=\['{name}'\]"
        ):
            save_pipeline(pipeline, path)
        assert list(tmp_path.iterdir()) == []
        save_pipeline(pipeline, path, trusted=[name])
        with pytest.raises(UnsafeModelError, match=name):
            load_pipeline(path)
        np.testing.assert_array_equal(
            load_pipeline(path, trusted=[name]).pipeline.predict_proba(NEW),
            pipeline.predict_proba(NEW),
        )
        path.unlink()


def test_subwords_of_another_kind_are_refused(tmp_path: Path) -> None:
    class Parts:
        def vectors(self, words: Any) -> Any:
            return np.zeros((len(words), 1), dtype=np.float32), np.zeros(len(words), dtype=bool)

    pipeline = fitted(StaticVectorizer(WordVectors(["bat"], [[1.0]], subwords=Parts()), oov="skip"))
    with pytest.raises(InvalidParameterError, match="Got word vectors with Parts for unseen words"):
        save_pipeline(pipeline, tmp_path / "model.skops")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pipeline": LogisticRegression()},
            "'pipeline' parameter must be a fitted scikit-learn Pipeline. Got Log",
        ),
        (
            {"pipeline": make_pipeline(TfidfVectorizer(), LogisticRegression())},
            "Got one that is not fitted",
        ),
        ({"path": "model.pkl"}, "'path' parameter must be a file name that ends in '.skops'"),
        ({"path": "nowhere/model.skops"}, "no folder 'nowhere'. Make it first"),
        ({"path": "folder.skops"}, "it is a folder"),
        ({"text": 3}, "'text' parameter"),
        ({"target": ["a", 3]}, "'target' parameter"),
        ({"metadata": {"a": {1}}}, "'metadata' parameter must be a mapping that JSON can hold"),
        ({"metadata": {1: "a"}}, "'metadata' parameter must be a mapping that JSON can hold"),
        ({"trusted": "sklearn.tree._tree.Tree"}, "'trusted' parameter must be a list"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_mistake_is_named(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.skops").mkdir()
    with pytest.raises(BertVectorizerError, match=message):
        save_pipeline(**{"pipeline": fitted(TfidfVectorizer()), "path": "model.skops", **changes})
    assert [path.name for path in tmp_path.iterdir()] == ["folder.skops"]


def test_a_full_disk_leaves_the_file_that_was_there(small_disk: Path) -> None:
    path = small_disk / "model.skops"
    save_pipeline(fitted(TfidfVectorizer()), path)
    before = path.read_bytes()
    table = StaticVectorizer(pd.DataFrame(np.ones((3, 100_000)), index=["bat", "crane", "money"]))
    with pytest.raises(
        ModelError, match=r"model\.skops' cannot be written: No space left on device\."
    ):
        save_pipeline(make_pipeline(table, DummyClassifier()).fit(TEXTS, LABELS), path)
    assert path.read_bytes() == before
    assert list(small_disk.iterdir()) == [path]


def test_an_error_of_the_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ModelError, match="cannot be written: Input/output error"):
        save_pipeline(fitted(TfidfVectorizer()), tmp_path / "model.skops")
    assert list(tmp_path.iterdir()) == []


def test_another_model_and_none(tmp_path: Path) -> None:
    path, own = tmp_path / "model.skops", save_model("bert", tmp_path / "own")
    save_pipeline(fitted(BertVectorizer(str(own))), path)
    assert b"model.safetensors" not in path.read_bytes()
    assert path.stat().st_size < 100_000
    shutil.copy(
        save_model("bert", tmp_path / "other", initializer_range=0.1) / "model.safetensors",
        own / "model.safetensors",
    )
    with pytest.raises(ModelChangedError, match="fitted with a model of fingerprint"):
        load_pipeline(path).pipeline.predict(NEW)
    shutil.rmtree(own)
    with pytest.raises(ModelNotFoundError, match="Places searched"):
        load_pipeline(path).pipeline.predict(NEW)


def test_other_word_vectors_and_none(vectors: Path, tmp_path: Path) -> None:
    save_pipeline(fitted(StaticVectorizer(vectors)), tmp_path / "model.skops")
    vectors.write_text("bat 1 2\n", encoding="utf-8")
    with pytest.raises(ModelChangedError, match="fitted with word vectors of fingerprint"):
        load_pipeline(tmp_path / "model.skops").pipeline.predict(NEW)


def test_tables_that_are_not_fitted_are_saved(tmp_path: Path) -> None:
    labeler = SequenceLabeler(StaticVectorizer(WORDS, unit="word"), LogisticRegression())
    words, tags = [["the", "bat"], ["a", "crane", "flew"]], [["O", "B-X"], ["O", "B-X", "O"]]
    pipeline = make_pipeline(labeler).fit(words, tags)
    assert not hasattr(labeler.vectorizer, "vectors_fingerprint_")
    save_pipeline(pipeline, tmp_path / "model.skops")
    loaded = load_pipeline(tmp_path / "model.skops").pipeline
    assert loaded.predict(words) == pipeline.predict(words)
    assert loaded.fit(words, tags).predict(words) == pipeline.predict(words)


def test_code_of_a_model_needs_leave(model: str, tmp_path: Path) -> None:
    pipeline = fitted(BertVectorizer(model))
    pipeline[0].set_params(trust_remote_code=True, store="somewhere/chosen.sqlite")
    save_pipeline(pipeline, tmp_path / "model.skops", metadata={"a": 1})
    with pytest.raises(UnsafeModelError, match=r"with code of its own \(trust_remote_code\)"):
        load_pipeline(tmp_path / "model.skops")
    assert (
        load_pipeline(tmp_path / "model.skops", trust_remote_code=True)
        .pipeline[0]
        .trust_remote_code
        is True
    )


def replaced(schema: Any, old: str, new: str) -> Any:
    return json.loads(json.dumps(schema).replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1]))


def test_a_file_does_not_choose_where_a_store_is_written(model: str, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    save_pipeline(fitted(BertVectorizer(model)), path)
    tamper(
        path,
        lambda schema, _: schema.update(
            replaced(schema, '"auto"', json.dumps(str(tmp_path / "chosen")))
        ),
    )
    assert load_pipeline(path).pipeline[0].store == "auto"


def test_other_versions_are_told_once(saved: Path) -> None:
    def change(schema: dict[str, Any], _: dict[str, bytes]) -> None:
        facts = json.loads(json.loads(schema["content"]["facts"]["content"]))
        facts["versions"].update(numpy="1.0.0", skrub="9")
        schema["content"]["facts"]["content"] = json.dumps(json.dumps(facts))
        schema["content"]["pipeline"] = replaced(
            schema["content"]["pipeline"], json.dumps(facts["versions"]["scikit-learn"]), '"1.0"'
        )

    tamper(saved, change)
    with pytest.warns(
        UserWarning,
        match=rf"other versions: numpy 1\.0\.0 \(here {np.__version__}\), skrub 9 \(here ",
    ) as caught:
        load_pipeline(saved)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]


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
@pytest.mark.parametrize("place", ["pipeline", "inside"])
def test_what_could_run_code_is_refused_by_name(
    kind: str, place: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile, name = HOSTILE[kind]

    def change(schema: dict[str, Any], _: dict[str, bytes]) -> None:
        schema["protocol"] = 0 if kind == "an old protocol" else schema["protocol"]
        attributes = schema["content"]["pipeline"]["content"]["content"]
        if place == "pipeline":
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
    for place in np.random.default_rng(0).integers(0, len(whole), 60).tolist():
        saved.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        try:
            got = load_pipeline(saved).pipeline.predict_proba(NEW)
        except ModelError:
            noticed += 1
        else:
            np.testing.assert_array_equal(got, expected)
    assert noticed > 50


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


def test_subwords_of_another_width_are_refused() -> None:
    parts = PackedSubwords(np.ones((5, 3), dtype=np.float32), 3, 6)
    with pytest.raises(ValueError, match="another width"):
        PackedTable(PackedStrings.of(["bat"]), np.ones((1, 2), dtype=np.float32), parts).unpack(
            ["bat"]
        )


@pytest.mark.parametrize("name", TRUSTED)
def test_what_is_trusted_is_there(name: str) -> None:
    module, _, kind = name.rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), kind), type)


class TestHidden:
    """A vectorizer inside something that is no estimator itself."""

    def calibrated(self, vectorizer: BertVectorizer) -> Pipeline:
        classifier = CalibratedClassifierCV(make_pipeline(vectorizer, LogisticRegression()), cv=2)
        return Pipeline([("calibrated", classifier)]).fit(
            ["a cricket bat", "a sleeping bat"] * 4, ["t", "l"] * 4
        )

    def make(self, model: str, path: Path, **parameters: Any) -> None:
        inner = make_pipeline(BertVectorizer(model, store=None), LogisticRegression())
        pipeline = Pipeline([("calibrated", CalibratedClassifierCV(inner, cv=2))]).fit(
            ["a cricket bat", "a sleeping bat"] * 4, ["t", "l"] * 4
        )
        for calibrated in pipeline[0].calibrated_classifiers_:
            vars(calibrated.estimator[0]).update(parameters)
        facts = {"format": 1, "text": "t", "target": "s", "versions": {}, "metadata": {}}
        write_skops({"facts": json.dumps(facts), "pipeline": pipeline}, path, [])

    def test_it_does_not_choose_where_a_store_is_written(self, model: str, tmp_path: Path) -> None:
        self.make(model, tmp_path / "model.skops", store=str(tmp_path / "chosen.sqlite"))
        pipeline = load_pipeline(tmp_path / "model.skops").pipeline
        assert {
            calibrated.estimator[0].store for calibrated in pipeline[0].calibrated_classifiers_
        } == {"auto"}

    def test_code_of_its_model_needs_leave(self, model: str, tmp_path: Path) -> None:
        self.make(model, tmp_path / "model.skops", trust_remote_code=True)
        with pytest.raises(UnsafeModelError, match="trust_remote_code"):
            load_pipeline(tmp_path / "model.skops")

    def test_it_is_saved_without_its_store(self, model: str, tmp_path: Path) -> None:
        inner = make_pipeline(
            BertVectorizer(model, store=tmp_path / "own.sqlite"), LogisticRegression()
        )
        pipeline = Pipeline([("calibrated", CalibratedClassifierCV(inner, cv=2))]).fit(
            ["a cricket bat", "a sleeping bat"] * 4, ["t", "l"] * 4
        )
        loaded = load_pipeline(save_pipeline(pipeline, tmp_path / "model.skops")).pipeline
        assert loaded[0].calibrated_classifiers_[0].estimator[0].store == "auto"
        np.testing.assert_array_equal(
            loaded.predict_proba(["a bat"]), pipeline.predict_proba(["a bat"])
        )


def test_what_is_shared_is_unpacked_once() -> None:
    numbers = PackedNumbers(np.arange(100))
    first, *others = unpack([numbers] * 30)
    assert first == list(range(100))
    assert all(other is first for other in others)
    nested: Any = [numbers]
    for _ in range(60):  # would be 2**60 lists
        nested = [nested, nested]
    unpack(nested)
