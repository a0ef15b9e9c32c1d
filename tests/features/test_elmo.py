"""An ELMo by its directory: the vectorizers, their store, and what refuses one."""

from __future__ import annotations

import contextlib
import io
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from bertvectorizer import (
    BertClassifier,
    BertRegressor,
    BertSpanVectorizer,
    BertTagger,
    BertVectorizer,
    BertWordVectorizer,
    EmbeddingStore,
    LanguageModel,
    StaticVectorizer,
    compare,
    default_features,
    encode_ahead,
)
from bertvectorizer.cli.app import main
from bertvectorizer.errors import (
    InvalidParameterError,
    ModelChangedError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from bertvectorizer.models.elmo.network import ElmoNetwork
from bertvectorizer.models.network import encoder as encoder_module
from bertvectorizer.pipeline.report.word_in_context import occurrences_in
from tests.tiny_elmo import NumpyElmo, save_elmo

DOCUMENTS = [["New York", "don't", ""], [], ["a", "U.S.", "bat", "a"]]
TEXTS = ["The bat's wing.", "A bat", "", "The bat's wing."]
WORDS = [["The", "bat", "'", "s", "wing", "."], ["A", "bat"]]


@pytest.fixture(scope="module")
def elmo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_elmo(tmp_path_factory.mktemp("elmo"))


@pytest.fixture(scope="module")
def reference(elmo: Path) -> NumpyElmo:
    return NumpyElmo(elmo)


@pytest.fixture
def sentences_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sentences each pass through the network reads."""
    read: list[int] = []
    states = ElmoNetwork.hidden_states

    def count(self: Any, ids: Any, lengths: Any, *args: Any, **more: Any) -> Any:
        read.append(len(lengths))
        return states(self, ids, lengths, *args, **more)

    monkeypatch.setattr(ElmoNetwork, "hidden_states", count)
    return read


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.numeric
@pytest.mark.parametrize("store", ["auto", None])
def test_words_as_given_are_tokens(elmo: Path, reference: NumpyElmo, store: Any) -> None:
    vectorizer = BertWordVectorizer(elmo, layers="all", layer_merge="concat", store=store)
    found = vectorizer.fit_transform(DOCUMENTS)
    first, last = reference(DOCUMENTS[0][:2]), reference(DOCUMENTS[2])
    close(found[:2], np.concatenate(list(first), axis=1))
    assert not found[2].any(), "a blank word has no vector"
    close(found[3:], np.concatenate(list(last), axis=1))
    close(found[3, :12], found[6, :12])  # layer 0 has no context
    assert np.abs(found[3, 12:] - found[6, 12:]).max() > 0.01


@pytest.mark.numeric
def test_texts_are_means_of_their_words(elmo: Path, reference: NumpyElmo) -> None:
    vectorizer = BertVectorizer(elmo)
    found = vectorizer.fit_transform(TEXTS)
    for row, words in enumerate(WORDS):
        close(found[row], reference(words)[2].mean(axis=0))
    assert not found[2].any()
    np.testing.assert_array_equal(found[3], found[0])
    assert vectorizer.truncation_.n_tokens == 14
    assert not vectorizer.truncation_.n_lost
    # max_length counts words; the marks around a sentence are not among them.
    short = BertVectorizer(elmo, max_length=2, layers=0)
    with pytest.warns(UserWarning, match="longer than the model reads"):
        close(short.fit_transform(TEXTS)[0], reference(WORDS[0][:2])[0].mean(axis=0))
    windows = BertVectorizer(elmo, max_length=4, stride=0, overflow="window", layers=1)
    parts = [reference(part)[1].mean(axis=0) for part in (WORDS[0][:4], WORDS[0][4:])]
    close(windows.fit_transform(TEXTS[:1])[0], np.average(parts, axis=0, weights=[4, 2]))


@pytest.mark.numeric
def test_spans_are_read_in_the_words_of_their_text(elmo: Path, reference: NumpyElmo) -> None:
    table = pd.DataFrame({"text": TEXTS[:2], "start": [4, 2], "end": [9, 4]})
    found = BertSpanVectorizer(elmo, layers=2).fit_transform(table)
    close(found[0], reference(WORDS[0])[2, 1:4].mean(axis=0))
    close(found[1], reference(WORDS[1])[2, 1])  # a part of a word is read in the word
    matched = BertWordVectorizer(elmo, layers=2, tokenizer=r"\w+'\w").fit_transform(TEXTS[:1])
    close(matched[0], reference(["The", "bat's", "wing", "."])[2, 1])


@pytest.mark.numeric
def test_elmos_own_mix_of_layers_is_learned(elmo: Path) -> None:
    settings: dict[str, Any] = {"layers": "all", "layer_merge": "weighted"}
    y = [["a", "b", "c"], [], ["a", "b", "c", "a"]]
    mixed = BertWordVectorizer(elmo, **settings).fit(DOCUMENTS, y)
    layers = [BertWordVectorizer(elmo, layers=layer).transform(DOCUMENTS) for layer in range(3)]
    assert mixed.layer_weights_ is not None
    assert mixed.layer_weights_.sum() == pytest.approx(1)
    expected = mixed.layer_scale_ * np.tensordot(mixed.layer_weights_, layers, axes=1)
    close(mixed.transform(DOCUMENTS), expected)


@pytest.mark.numeric
def test_a_store_tells_words_apart_and_gives_what_was_computed(
    elmo: Path, tmp_path: Path, sentences_read: list[int]
) -> None:
    """Keys are made of characters: words have no numbers that last."""
    store = EmbeddingStore(tmp_path / "store.sqlite")
    documents = [["a", "bat", "flew"], ["an", "owl", "sat"], ["a bat", "flew", "x"]]
    alone = [BertWordVectorizer(elmo, store=None).transform([one]) for one in documents]
    for _ in range(2):
        for document, expected in zip(documents, alone, strict=True):
            close(BertWordVectorizer(elmo, store=store).transform([document]), expected)
    assert len(sentences_read) == 2 * len(documents), "without the store, and with it once"
    texts = [" ".join(document) for document in documents]
    for text in texts * 2:
        found = BertVectorizer(elmo, store=store).fit_transform([text])
        close(found, BertVectorizer(elmo, store=None).fit_transform([text]))


@pytest.mark.numeric
def test_a_text_depends_on_no_text_beside_it(elmo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "n_runners", lambda device: 2)  # batches side by side
    texts = [f"{'owl ' * (number % 7)}bat {number}" for number in range(40)]
    together = BertVectorizer(elmo, store=None, batch_tokens=30).fit_transform(texts)
    backward = BertVectorizer(elmo, store=None).fit_transform(texts[::-1])[::-1]
    np.testing.assert_allclose(together, backward, rtol=0, atol=1e-6)
    alone = np.concatenate([BertVectorizer(elmo, store=None).fit_transform([t]) for t in texts])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_a_pickle_has_no_weights_and_finds_only_the_same_files(tmp_path: Path) -> None:
    directory = save_elmo(tmp_path / "elmo", has_vocabulary=False)
    vectorizer = BertVectorizer(directory).fit(TEXTS)
    content = pickle.dumps(vectorizer)
    assert len(content) < 2000
    expected = vectorizer.transform(TEXTS)
    np.testing.assert_array_equal(pickle.loads(content).transform(TEXTS), expected)
    (directory / "vocab.txt").write_text("</S>\n<S>\n<UNK>\n")
    with pytest.raises(ModelChangedError, match="another model than in fit"):
        pickle.loads(content).transform(TEXTS)
    # The words of a vocabulary change no number.
    np.testing.assert_array_equal(BertVectorizer(directory).fit_transform(TEXTS), expected)
    save_elmo(directory, seed=1)
    assert np.abs(BertVectorizer(directory).fit_transform(TEXTS) - expected).max() > 0.01
    shutil.rmtree(directory)
    with pytest.raises(ModelNotFoundError):
        pickle.loads(content).transform(TEXTS)


def test_a_directory_without_its_files_is_refused_in_fit(elmo: Path, tmp_path: Path) -> None:
    directory = tmp_path / "elmo"
    directory.mkdir()
    with pytest.raises(ModelNotFoundError, match=r"options\.json of an ELMo"):
        BertVectorizer(directory).fit(TEXTS)
    options = elmo / "options.json"
    shutil.copy(options, directory)
    with pytest.raises(ModelIntegrityError, match="one file of weights"):
        BertVectorizer(directory).fit(TEXTS)
    (directory / "weights.hdf5").write_bytes((elmo / "weights.hdf5").read_bytes()[:-9])
    with pytest.raises(ModelIntegrityError, match="cannot be read as HDF5"):
        BertVectorizer(directory).fit(TEXTS)
    shutil.copy(elmo / "weights.hdf5", directory)
    BertVectorizer(directory).fit(TEXTS)
    (directory / "options.json").write_text(options.read_text().replace('"dim": 12', '"dim": 13'))
    with pytest.raises(ModelIntegrityError, match="must be real numbers of shape"):
        BertVectorizer(directory).fit(TEXTS)
    (directory / "options.json").write_text("[" * 100_000)
    with pytest.raises(ModelIntegrityError, match=r"options\.json' cannot be read"):
        BertVectorizer(directory).fit(TEXTS)


@pytest.mark.parametrize("precision", ["int8", "bfloat16", "float16"])
def test_other_precisions_are_refused(elmo: Path, precision: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="precision"):
        BertVectorizer(elmo, precision=precision).fit(TEXTS)


def test_the_fast_precision_is_float32(elmo: Path) -> None:
    assert BertVectorizer(elmo, precision="fast").fit(TEXTS).precision_ == "float32"
    with pytest.raises(InvalidParameterError, match="precision"):
        BertVectorizer(elmo, precision="half").fit(TEXTS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fit",
    [
        lambda elmo: BertClassifier(elmo).fit(["a", "b"], [0, 1]),
        lambda elmo: BertRegressor(elmo).fit([("a", "b"), ("b", "c")], [0.0, 1.0]),
        lambda elmo: BertTagger(elmo).fit([["a"], ["b"]], [["O"], ["B-X"]]),
        lambda elmo: LanguageModel(elmo).fit(["a bat"]),
        lambda elmo: StaticVectorizer(f"distill:{elmo}").fit(["a"]),
    ],
)
def test_what_needs_a_transformer_says_so(elmo: Path, fit: Callable[[Path], Any]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"is an ELMo, and .* needs a transformer"):
        fit(elmo)


@pytest.mark.numeric
def test_comparisons_and_commands_take_an_elmo(
    elmo: Path, tmp_path: Path, sentences_read: list[int]
) -> None:
    texts = [f"bat {number} {'flew' if number % 2 else 'sat'}" for number in range(20)]
    labels = [number % 2 for number in range(20)]
    features = default_features(model_name=str(elmo))
    assert "distilled words" not in features
    chosen = {name: features[name] for name in ("majority class", "BERT", "BERT concat of last 3")}
    comparison = compare(texts, labels, chosen, cv=2)
    assert not comparison.failures
    assert set(comparison.outcomes) == set(chosen)
    found = occurrences_in(texts, labels, "bat", BertVectorizer(elmo))
    assert len(np.unique(found.static, axis=0)) == 1
    assert len(np.unique(found.contextual, axis=0)) > 1
    search = GridSearchCV(
        make_pipeline(BertVectorizer(elmo), LogisticRegression()),
        {"bertvectorizer__layers": [0, 1, 2]},
        cv=2,
    )
    encode_ahead(search, texts)
    n_passes = len(sentences_read)
    search.fit(texts, labels)
    assert len(sentences_read) == n_passes, "all texts were in the store"
    file, output = tmp_path / "texts.csv", tmp_path / "vectors.npy"
    pd.DataFrame({"text": texts}).to_csv(file, index=False)
    arguments = [str(file), "--text", "text", "--model", str(elmo), "-o", str(output)]
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        main(["embed", *arguments])
    assert not ended.value.code
    close(np.load(output), BertVectorizer(elmo).fit_transform(texts))
