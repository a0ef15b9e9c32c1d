"""Pipelines that are saved, sent, tampered with, and loaded in another process."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.stats import randint
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
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from bertvectorizer import (
    BertVectorizer,
    BertWordVectorizer,
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
    ModelNotFoundError,
    UnsafeModelError,
)
from bertvectorizer.pipeline.saving.compact import estimators_within
from bertvectorizer.pipeline.saving.pipeline_file import load_pipeline, save_pipeline
from bertvectorizer.pipeline.saving.safe_skops import TRUSTED, write_skops
from bertvectorizer.pipeline.tagging.labeler import SequenceLabeler
from tests.pipeline.saving.pipelines import LABELS, NEW, TEXTS, WORDS, fitted, tamper
from tests.processes import Process
from tests.tiny import ModelFactory, save_adapter, save_model


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


def test_a_search_over_distributions_names_the_remedy(tmp_path: Path) -> None:
    search = RandomizedSearchCV(LogisticRegression(), {"max_iter": randint(90, 99)}, n_iter=1, cv=2)
    with pytest.raises(InvalidParameterError, match=r"RecursionError: .* its best_estimator_"):
        save_pipeline(fitted(TfidfVectorizer(), search), tmp_path / "model.skops")


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
            {"pipeline": TEXTS},
            r"'pipeline' parameter must be a fitted scikit-learn Pipeline or estimator. Got \['the",
        ),
        (
            {"pipeline": make_pipeline(TfidfVectorizer(), LogisticRegression())},
            "Got one that is not fitted",
        ),
        ({"pipeline": LogisticRegression()}, "Got one that is not fitted"),
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
    table = StaticVectorizer(pd.DataFrame(np.ones((6, 50_000)), index=list("abcdef")))
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
    with pytest.raises(ModelNotFoundError, match="Searched:"):
        load_pipeline(path).pipeline.predict(NEW)


def test_a_moved_model_is_found_at_its_new_place(tmp_path: Path) -> None:
    path, own = tmp_path / "model.skops", save_model("bert", tmp_path / "own")
    pipeline = fitted(BertVectorizer(str(own)))
    expected = pipeline.predict_proba(NEW)
    save_pipeline(pipeline, path)
    moved = own.rename(tmp_path / "moved")
    loaded = load_pipeline(path).pipeline
    with pytest.raises(ModelNotFoundError, match=r"set_params\(bertvectorizer__model_name="):
        loaded.predict(NEW)
    loaded.set_params(bertvectorizer__model_name=str(moved))
    np.testing.assert_allclose(loaded.predict_proba(NEW), expected, rtol=0, atol=1e-6)
    save_pipeline(loaded, path)
    np.testing.assert_array_equal(load_pipeline(path).pipeline.predict(NEW), loaded.predict(NEW))


def test_a_moved_model_of_a_labeler_is_found_at_its_new_place(tmp_path: Path) -> None:
    path, own = tmp_path / "model.skops", save_model("bert", tmp_path / "own")
    words, tags = [["the", "bat"], ["a", "crane", "flew"]], [["O", "B-X"], ["O", "B-X", "O"]]
    labeler = SequenceLabeler(BertWordVectorizer(str(own)), LogisticRegression()).fit(words, tags)
    expected = labeler.predict(words)
    save_pipeline(make_pipeline(labeler), path)
    moved = own.rename(tmp_path / "moved")
    loaded = load_pipeline(path).pipeline[-1]
    with pytest.raises(ModelNotFoundError, match=r"labeler\.vectorizer_"):
        loaded.predict(words)
    loaded.vectorizer_.set_params(model_name=str(moved))
    assert loaded.predict(words) == expected


def test_a_model_with_an_adapter(model: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="needs the extra peft")
    base = shutil.copytree(model, tmp_path / "base")
    adapter = save_adapter(
        base, tmp_path / "adapter", peft.LoraConfig(r=2, target_modules=["query"])
    )
    pipeline = make_pipeline(BertVectorizer(str(adapter)), LogisticRegression())
    pipeline.fit(["a cricket bat", "a sleeping bat"] * 2, ["t", "l"] * 2)
    save_pipeline(pipeline, tmp_path / "model.skops")
    loaded = load_pipeline(tmp_path / "model.skops").pipeline
    np.testing.assert_array_equal(
        loaded.predict_proba(["a bat"]), pipeline.predict_proba(["a bat"])
    )
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))
    with pytest.raises(ModelChangedError):
        loaded.predict(["a bat"])


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
    with pytest.raises(
        UnsafeModelError, match=r"runs code from its checkpoint \(trust_remote_code=True\)"
    ):
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
