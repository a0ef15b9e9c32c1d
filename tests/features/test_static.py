"""StaticVectorizer: the source of its table, when it changes, what is stored and shared."""

from __future__ import annotations

import copy
import gzip
import mmap
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from gensim.models import FastText, KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from bertvectorizer import StaticVectorizer, WordVectors, load_word_vectors
from bertvectorizer.errors import (
    InvalidParameterError,
    ModelChangedError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
)
from bertvectorizer.features.weighting import WEIGHTINGS

pytestmark = pytest.mark.numeric

WORDS = ["the", "bat", "hit", "ball", "flew", "in", "night", "old", "river", "bank"]
VECTORS = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
TEXTS = [
    "the old bat flew in the night",
    "A ball.",
    "",
    "the river bank",
    "Zebras? the zebras!",
    "A ball.",
    "qwerty",
]


def keyed_vectors(words: list[str] = WORDS, vectors: NDArray[Any] = VECTORS) -> KeyedVectors:
    made = KeyedVectors(vectors.shape[1])
    made.add_vectors(words, vectors)
    return made


def write_glove(
    path: Path, words: list[str] = WORDS, vectors: NDArray[Any] = VECTORS, header: bool = False
) -> Path:
    lines = [f"{len(words)} {vectors.shape[1]}"] * header + [
        " ".join([word, *map(str, row)]) for word, row in zip(words, vectors, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    return write_glove(tmp_path / "glove.txt")


# ---- Where vectors come from


def _gz(directory: Path) -> Path:
    with gzip.open(directory / "vectors.txt.gz", "wb") as file:
        file.write(write_glove(directory / "glove.txt").read_bytes())
    return directory / "vectors.txt.gz"


def _zip_member(directory: Path) -> str:
    with zipfile.ZipFile(directory / "vectors.zip", "w") as archive:
        archive.write(write_glove(directory / "glove.txt"), "inside.txt")
        archive.writestr("README", "other")
    return str(directory / "vectors.zip" / "inside.txt")


def _word2vec_binary(directory: Path) -> Path:
    keyed_vectors().save_word2vec_format(str(directory / "vectors.bin"), binary=True)
    return directory / "vectors.bin"


def _npz(directory: Path) -> Path:
    np.savez(directory / "vectors.npz", words=np.array(WORDS), vectors=VECTORS)
    return directory / "vectors.npz"


def _safetensors(directory: Path) -> Path:
    WordVectors(WORDS, VECTORS).save(directory / "vectors.safetensors")
    return directory / "vectors.safetensors"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "glove": lambda directory: write_glove(directory / "glove.txt"),
    "path as str": lambda directory: str(write_glove(directory / "glove.txt")),
    "header": lambda directory: write_glove(directory / "vectors.vec", header=True),
    "gz": _gz,
    "zip member": _zip_member,
    "word2vec binary": _word2vec_binary,
    "npz": _npz,
    "safetensors": _safetensors,
    "keyed vectors": lambda directory: keyed_vectors(),
    "data frame": lambda directory: pd.DataFrame(VECTORS, index=WORDS),
    "float64 data frame": lambda directory: pd.DataFrame(
        VECTORS.astype(np.float64), index=pd.Index(WORDS, dtype="string")
    ),
    "word vectors": lambda directory: WordVectors(WORDS, VECTORS),
    "loaded": lambda directory: load_word_vectors(write_glove(directory / "glove.txt")),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same(source: str, tmp_path: Path) -> None:
    vectorizer = StaticVectorizer(SOURCES[source](tmp_path), weighting="sif")
    expected = StaticVectorizer(WordVectors(WORDS, VECTORS), weighting="sif").fit_transform(TEXTS)
    np.testing.assert_allclose(vectorizer.fit_transform(TEXTS), expected, rtol=0, atol=1e-7)
    assert re.fullmatch("[0-9a-f]{32}", vectorizer.vectors_fingerprint_)
    for other in (
        clone(vectorizer).fit(TEXTS),
        pickle.loads(pickle.dumps(vectorizer)),
        copy.deepcopy(vectorizer),
    ):
        assert other.vectors_fingerprint_ == vectorizer.vectors_fingerprint_
        np.testing.assert_array_equal(other.transform(TEXTS), vectorizer.transform(TEXTS))


def test_gensims_own_files_are_refused_with_a_remedy(tmp_path: Path) -> None:
    keyed_vectors().save(str(tmp_path / "vectors.kv"))
    with pytest.raises(UnsafeModelError, match=r"is a pickle, .*Remedy"):
        StaticVectorizer(tmp_path / "vectors.kv").fit(TEXTS)


def test_a_whole_gensim_model_is_refused_with_a_remedy() -> None:
    model = FastText([WORDS], vector_size=8, min_count=1, bucket=10, epochs=1, workers=1)
    with pytest.raises(
        InvalidParameterError,
        match=r"'vectors' parameter .* Got FastText instead\. Give its vectors, model\.wv",
    ):
        StaticVectorizer(model).fit(TEXTS)


def test_damaged_and_missing_files_are_named(tmp_path: Path, glove: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=re.escape(str(tmp_path / "none.txt"))):
        StaticVectorizer(tmp_path / "none.txt").fit(TEXTS)
    glove.write_text("tea 1 2\ncup 1\n")
    with pytest.raises(ModelIntegrityError, match="Line 2"):
        StaticVectorizer(glove).fit(TEXTS)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1.0, 2]}),
        pd.DataFrame({"a": [1.0, 2]}, index=["x", "x"]),
        pd.DataFrame({"a": [np.nan]}, index=["x"]),
    ],
)
def test_data_frames_that_are_no_tables(frame: pd.DataFrame) -> None:
    with pytest.raises(InvalidParameterError, match="The 'vectors' parameter"):
        StaticVectorizer(frame).fit(TEXTS)


def test_a_data_frame_without_words_names_the_remedy() -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"must have words as its index.* \[0, 1\]\. Remedy: df\.set_index\('word'\)",
    ):
        StaticVectorizer(pd.DataFrame({"word": ["x", "y"], "a": [1.0, 2.0]})).fit(TEXTS)


def test_a_transformers_own_words(tiny_model: Callable[..., Path]) -> None:
    pytest.importorskip("model2vec")
    texts = ["the old bat flew", "bats", "THE OLD BAT FLEW", ""]
    vectorizer = StaticVectorizer(f"distill:{tiny_model('bert')}")
    X = vectorizer.fit_transform(texts)
    assert X.shape == (4, vectorizer.n_features_out_)
    np.testing.assert_array_equal(X[0], X[2])
    assert vectorizer.oov_rate_ == 0.0
    assert StaticVectorizer(vectorizer.vectors, oov="skip").fit(texts).oov_.most_frequent == [
        ("bats", 1)
    ]
    assert X[1].any(), "a word that is no token is made of its parts"
    assert not X[3].any()
    stored = pickle.dumps(vectorizer)
    assert len(stored) < 4000
    np.testing.assert_array_equal(pickle.loads(stored).transform(texts), X)


# ---- What a data scientist would write by hand

word = st.sampled_from(["tea", "Tea", "cup", "pot", "中文", "naïve", "x1", "of", "the"])


@settings(max_examples=60)
@given(
    words=st.lists(word, min_size=1, unique=True),
    texts=st.lists(st.lists(word, max_size=8).map(" ".join), min_size=1, max_size=5),
    seed=st.integers(0, 1 << 30),
    n_dims=st.integers(1, 5),
)
def test_the_mean_is_that_of_a_loop_over_keyed_vectors(
    words: list[str], texts: list[str], seed: int, n_dims: int
) -> None:
    table = keyed_vectors(
        words, np.random.default_rng(seed).normal(size=(len(words), n_dims)).astype(np.float32)
    )
    is_lowercase = all(word == word.lower() for word in words)
    expected = np.zeros((len(texts), n_dims))
    for row, text in enumerate(texts):
        known = [
            table[word]
            for word in (text.lower() if is_lowercase else text).split()
            if word in table
        ]
        if known:
            expected[row] = np.mean(known, axis=0)
    np.testing.assert_allclose(
        StaticVectorizer(table).fit_transform(texts), expected, rtol=0, atol=1e-6
    )


def test_lower_casing_follows_the_vectors() -> None:
    texts = ["Tea", "TEA", "tea"]
    lower = StaticVectorizer(pd.DataFrame({"x": [1.0, 2.0]}, index=["tea", "cup"]))
    assert lower.fit_transform(texts).ravel().tolist() == [1, 1, 1]
    cased = StaticVectorizer(pd.DataFrame({"x": [1.0, 2.0]}, index=["tea", "Tea"]))
    assert cased.fit_transform(texts).ravel().tolist() == [2, 0, 1]
    assert cased.oov_.most_frequent == [("TEA", 1)]
    seen: list[str] = []
    StaticVectorizer(lower.vectors, tokenizer=lambda text: seen.append(text) or [text]).fit(
        ["Tea Cup"]
    )
    StaticVectorizer(cased.vectors, tokenizer=lambda text: seen.append(text) or [text]).fit(
        ["Tea Cup"]
    )
    assert seen == ["tea cup", "Tea Cup"]


def test_tokenizers() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 4.0]}, index=["a", "new york", "-"])
    assert StaticVectorizer(frame, tokenizer=r"\S+", weighting="sum").fit_transform(
        ["a - a"]
    ).tolist() == [[6]]
    assert StaticVectorizer(
        frame, tokenizer=lambda text: text.split("  "), weighting="sum"
    ).fit_transform(["a  new york"]).tolist() == [[3]]
    assert StaticVectorizer(frame, tokenizer=r"(\w) ", weighting="sum").fit_transform(
        ["a  b a"]
    ).tolist() == [[1]]


# ---- Other vectors


def test_new_vectors_and_refit(glove: Path, tmp_path: Path) -> None:
    other = pd.DataFrame(VECTORS[:, :3] + 1, index=WORDS)
    expected = StaticVectorizer(other).fit_transform(TEXTS)
    for vectorizer in (
        StaticVectorizer(glove).fit(TEXTS),
        StaticVectorizer(keyed_vectors()).fit(TEXTS),
    ):
        fingerprint = vectorizer.vectors_fingerprint_
        for vectors in (
            other,
            write_glove(tmp_path / "other.txt", WORDS[::-1]),
            WordVectors(WORDS, VECTORS + 1),
        ):
            changed = copy.deepcopy(vectorizer).set_params(vectors=vectors)
            for use in (
                changed.transform,
                changed.oov_report,
                lambda X, changed=changed: changed.n_features_out_,
            ):
                with pytest.raises(
                    ModelChangedError,
                    match=(
                        rf"fitted with word vectors of fingerprint {fingerprint}, but .* fit again"
                    ),
                ):
                    use(TEXTS)
            with pytest.raises(ModelChangedError):
                changed.get_feature_names_out()
        np.testing.assert_array_equal(
            vectorizer.set_params(vectors=other).fit(TEXTS).transform(TEXTS), expected
        )
        assert vectorizer.vectors_fingerprint_ != fingerprint
        assert vectorizer.n_features_out_ == 3


def test_the_same_vectors_at_another_path_are_the_same(glove: Path, tmp_path: Path) -> None:
    vectorizer = StaticVectorizer(glove).fit(TEXTS)
    X = vectorizer.transform(TEXTS)
    (tmp_path / "moved").mkdir()
    moved = glove.rename(tmp_path / "moved" / "vectors.txt")
    message = rf"{re.escape(str(glove))}(?s:.*)set_params\(staticvectorizer__vectors=\.\.\.\)"
    with pytest.raises(ModelNotFoundError, match=message):
        vectorizer.transform(TEXTS)
    with pytest.raises(ModelNotFoundError, match=message):
        pickle.loads(pickle.dumps(vectorizer)).get_feature_names_out()
    np.testing.assert_array_equal(vectorizer.set_params(vectors=str(moved)).transform(TEXTS), X)
    np.testing.assert_array_equal(
        vectorizer.set_params(vectors=load_word_vectors(moved)).transform(TEXTS), X
    )
    in_memory = StaticVectorizer(keyed_vectors()).fit(TEXTS)
    for same in (keyed_vectors(), pd.DataFrame(VECTORS, index=WORDS), WordVectors(WORDS, VECTORS)):
        np.testing.assert_array_equal(in_memory.set_params(vectors=same).transform(TEXTS), X)


def test_a_file_that_changed_is_noticed(glove: Path) -> None:
    content = glove.read_bytes()
    vectorizer = StaticVectorizer(glove)
    X = vectorizer.fit_transform(TEXTS)
    stored = pickle.dumps(vectorizer)
    glove.write_bytes(content.replace(b"bat ", b"cat "))
    for changed in (vectorizer, pickle.loads(stored)):
        with pytest.raises(ModelChangedError, match="Bring the former ones back, or fit again"):
            changed.transform(TEXTS)
    glove.write_bytes(content)
    np.testing.assert_array_equal(vectorizer.transform(TEXTS), X)
    glove.write_bytes(content.replace(b"bat ", b"cat "))
    assert not np.array_equal(vectorizer.fit_transform(TEXTS), X)
    assert ("bat", 1) in vectorizer.oov_.most_frequent


# ---- What is stored, and shared


def test_pickles_hold_no_table_of_a_file(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(500)]
    file = write_glove(
        tmp_path / "glove.txt", words, np.random.default_rng(0).normal(size=(500, 50))
    )
    for vectors in (file, str(file), load_word_vectors(file)):
        for weighting in WEIGHTINGS:
            vectorizer = StaticVectorizer(vectors, weighting=weighting)
            X = vectorizer.fit_transform(["word7 and word8", "word9"])
            stored = pickle.dumps(vectorizer)
            assert len(stored) < 4000
            assert b"word123" not in stored
            np.testing.assert_array_equal(
                pickle.loads(stored).transform(["word7 and word8", "word9"]), X
            )


class CountingFrame(pd.DataFrame):
    """A table that counts how often its numbers are requested."""

    n_conversions = 0

    def to_numpy(self, *arguments: Any, **options: Any) -> NDArray[Any]:
        CountingFrame.n_conversions += 1
        return super().to_numpy(*arguments, **options)


def test_a_table_in_memory_is_converted_once() -> None:
    frame = CountingFrame(VECTORS.astype(np.float64), index=WORDS)
    vectorizer = StaticVectorizer(frame, weighting="tfidf")
    CountingFrame.n_conversions = 0
    vectorizer.fit(TEXTS)
    for _ in range(3):
        vectorizer.transform(TEXTS)
        vectorizer.oov_report(TEXTS)
        vectorizer.get_feature_names_out()
    assert CountingFrame.n_conversions == 1
    vectorizer.set_params(vectors=pd.DataFrame(VECTORS + 1, index=WORDS)).fit(TEXTS)
    assert CountingFrame.n_conversions == 1
    np.testing.assert_allclose(vectorizer.transform(["bat"])[0], VECTORS[1] + 1, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_table_changed_in_place_counts_from_the_next_fit_on(dtype: Any) -> None:
    frame = pd.DataFrame(VECTORS.astype(dtype), index=WORDS)
    vectorizer = StaticVectorizer(frame).fit(TEXTS)
    frame.iloc[:, :] = 7
    frame.loc["new"] = 8.0
    np.testing.assert_array_equal(
        vectorizer.transform(["bat", "new"]), [VECTORS[1], np.zeros(VECTORS.shape[1])]
    )
    np.testing.assert_array_equal(vectorizer.fit_transform(["bat", "new"])[:, 0], [7, 8])


def test_a_table_in_memory_is_not_stored_twice() -> None:
    frame = pd.DataFrame(
        np.random.default_rng(0).normal(size=(2000, 50)),
        index=[f"word{number}" for number in range(2000)],
    )
    unfitted = len(pickle.dumps(StaticVectorizer(frame)))
    assert len(pickle.dumps(StaticVectorizer(frame).fit(TEXTS))) < unfitted + 4000


def test_a_table_is_left_as_it_was() -> None:
    vectors, frame = keyed_vectors(), pd.DataFrame(VECTORS.copy(), index=WORDS)
    for table in (vectors, frame):
        StaticVectorizer(table, weighting="power_mean", normalize=True).fit(TEXTS).transform(TEXTS)
    np.testing.assert_array_equal(vectors.vectors, VECTORS)
    assert vectors.vectors.flags.writeable
    np.testing.assert_array_equal(frame.to_numpy(), VECTORS)
    frame.iloc[0, 0] = 7.0


def test_worker_processes_share_the_pages_of_a_table(glove: Path) -> None:
    def look(vectorizer: StaticVectorizer) -> tuple[bool, NDArray[np.float32]]:
        base: Any = load_word_vectors(vectorizer.vectors).vectors
        while base is not None and not isinstance(base, mmap.mmap):
            base = base.base
        return isinstance(base, mmap.mmap), vectorizer.transform(TEXTS)

    data, labels = TEXTS * 4, [0, 1, 0, 0, 1, 1, 0] * 4
    for vectors in (glove, load_word_vectors(glove)):
        vectorizer = StaticVectorizer(vectors, weighting="sif").fit(data)
        assert look(vectorizer)[0]
        for is_mapped, X in joblib.Parallel(n_jobs=2)(
            joblib.delayed(look)(vectorizer) for _ in range(2)
        ):
            assert is_mapped
            np.testing.assert_array_equal(X, vectorizer.transform(TEXTS))
    pipe = make_pipeline(StaticVectorizer(glove), LogisticRegression())
    grid = {"staticvectorizer__weighting": list(WEIGHTINGS)}
    one, two = (
        GridSearchCV(pipe, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(data, labels)
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
    assert len(two.cv_results_["params"]) == 6
    assert two.best_params_ == one.best_params_
    np.testing.assert_array_equal(one.predict(data), two.predict(data))


# ---- Real data


def test_glove_beats_the_majority_class_on_sst2(shared_data: Path) -> None:
    train, test = (
        pd.read_csv(
            shared_data / "sst2" / f"{part}.tsv",
            sep="\t",
            quoting=3,
            header=None,
            names=["text", "label"],
        )
        for part in ("train", "test")
    )
    vectorizer = StaticVectorizer(
        shared_data / "glove_subsets" / "glove.twitter.27B.25d.subset11925.txt"
    )
    pipe = make_pipeline(vectorizer, LogisticRegression(max_iter=1000)).fit(
        train["text"], train["label"]
    )
    majority = (test["label"] == train["label"].mode()[0]).mean()
    assert pipe.score(test["text"], test["label"]) > majority + 0.1
    assert 0 < vectorizer.oov_rate_ < 0.25
