"""Tests of models/word_vectors/static_model.py: static models against the libraries they are of."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.pipeline import make_pipeline
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bertvectorizer import StaticVectorizer, load_word_vectors
from bertvectorizer.errors import (
    ModelChangedError,
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
    UnsupportedModelError,
)
from bertvectorizer.models.word_vectors import static_model
from bertvectorizer.models.word_vectors.static_model import read_static_model
from bertvectorizer.pipeline import load_pipeline, save_pipeline
from tests.files import forget_tables
from tests.tiny import VOCABULARY

TEXTS = ["the old crane flew.", "Bats in the NIGHT, unhitting", "", "日本 bat", "bank " * 700, "?"]


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    return tokenizer


def unigram() -> Tokenizer:
    pieces = ["<unk>", "▁", "▁the", "▁bat", "s", *"abcdefghijklmnopqrstuvwxyz.", "▁bank", "<s>"]
    scores = [(piece, -float(number % 7) - 1) for number, piece in enumerate(dict.fromkeys(pieces))]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>"])
    return tokenizer


def byte_level() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*alphabet, "ba", "bat", "Ġbat"])}
    merges = [("b", "a"), ("ba", "t"), ("Ġ", "bat")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "WordPiece": word_piece,
    "Unigram": unigram,
    "byte-level BPE": byte_level,
}


def matrix(tokenizer: Tokenizer, n_dims: int = 8) -> NDArray[np.float32]:
    shape = (tokenizer.get_vocab_size(), n_dims)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def save_static_embedding(
    directory: Path, tokenizer: Tokenizer, *, normalize: bool = False, **settings: Any
) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    modules = [StaticEmbedding(tokenizer, embedding_weights=matrix(tokenizer))]
    model = SentenceTransformer(
        modules=modules + [Normalize()] * normalize, device="cpu", **settings
    )
    model.save(str(directory), create_model_card=False)
    return directory


def by_sentence_transformers(directory: Path, texts: list[str] = TEXTS) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(directory), device="cpu")
    return np.asarray(model.encode(texts, show_progress_bar=False))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_static_embedding_gives_what_encode_gives(
    kind: str, normalize: bool, tmp_path: Path
) -> None:
    directory = save_static_embedding(tmp_path / "m", TOKENIZERS[kind](), normalize=normalize)
    vectorizer = StaticVectorizer(directory).fit(TEXTS)
    expected = by_sentence_transformers(directory)
    np.testing.assert_allclose(vectorizer.transform(TEXTS), expected, atol=1e-5)
    forget_tables()
    again = pickle.loads(pickle.dumps(vectorizer))
    np.testing.assert_array_equal(again.transform(TEXTS), vectorizer.transform(TEXTS))
    if normalize:
        lengths = np.linalg.norm(StaticVectorizer(directory, normalize=False).fit_transform(TEXTS))
        assert not np.isclose(lengths, np.linalg.norm(expected))


def test_a_default_prompt_and_fewer_dimensions_are_honoured(tmp_path: Path) -> None:
    directory = save_static_embedding(
        tmp_path / "m",
        word_piece(),
        normalize=True,
        prompts={"query": "the money: "},
        default_prompt_name="query",
    )
    texts = [text for text in TEXTS if text]
    np.testing.assert_allclose(
        StaticVectorizer(directory).fit_transform(texts),
        by_sentence_transformers(directory, texts),
        atol=1e-5,
    )
    edit(directory / "config_sentence_transformers.json", truncate_dim=3)
    with pytest.raises(UnsupportedModelError, match="keeps truncate_dim = 3 features"):
        StaticVectorizer(directory).fit(texts)
    (directory / "modules.json").write_text(modules(STATIC))
    np.testing.assert_allclose(
        StaticVectorizer(directory).fit_transform(texts),
        by_sentence_transformers(directory, texts),
        atol=1e-5,
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_model2vec_gives_what_encode_gives(
    kind: str, normalize: bool, dtype: str, tmp_path: Path
) -> None:
    model2vec = pytest.importorskip("model2vec")
    tokenizer = TOKENIZERS[kind]()
    vectors = (matrix(tokenizer) * 20).astype(dtype)
    model2vec.StaticModel(vectors, tokenizer, normalize=normalize).save_pretrained(tmp_path / "m")
    model = model2vec.StaticModel.from_pretrained(tmp_path / "m")
    np.testing.assert_allclose(
        StaticVectorizer(tmp_path / "m").fit_transform(TEXTS),
        model.encode(TEXTS, use_multiprocessing=False),
        rtol=1e-2 if dtype == "float16" else 1e-5,
        atol=2e-2 if dtype == "float16" else 1e-5,
    )


@pytest.mark.parametrize("max_length", [None, 7])
def test_model2vec_with_a_number_for_each_token(max_length: int | None, tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    tokenizer = word_piece()
    generator = np.random.default_rng(1)
    n_tokens = tokenizer.get_vocab_size()
    model = model2vec.StaticModel(
        matrix(tokenizer)[:9],
        tokenizer,
        weights=generator.random(n_tokens),
        token_mapping=generator.integers(0, 9, n_tokens),
        max_length=max_length,
    )
    model.save_pretrained(tmp_path / "m")
    np.testing.assert_allclose(
        StaticVectorizer(tmp_path / "m").fit_transform(TEXTS),
        model.encode(TEXTS, use_multiprocessing=False),
        atol=1e-5,
    )


def test_words_are_the_mean_of_their_tokens(tmp_path: Path) -> None:
    tokenizer = word_piece()
    directory = save_static_embedding(tmp_path / "m", tokenizer)
    table = load_word_vectors(directory)
    assert table.words == list(VOCABULARY)
    vectors = matrix(tokenizer)
    expected = (vectors[VOCABULARY["bat"]] + vectors[VOCABULARY["##s"]]) / 2
    np.testing.assert_allclose(table["bats"], expected, atol=1e-6)
    words = StaticVectorizer(directory, unit="word").fit_transform([["Bats", "bat"], ["bats"]])
    np.testing.assert_allclose(words[[0, 2]], [expected] * 2, atol=1e-6)
    np.testing.assert_array_equal(words[1], vectors[VOCABULARY["bat"]])
    own = StaticVectorizer(directory, tokenizer=r"\w+").fit_transform(["bats, the"])
    np.testing.assert_allclose(own, [(expected + vectors[VOCABULARY["the"]]) / 2], atol=1e-6)


def test_it_is_saved_in_a_pipeline_by_its_path(tmp_path: Path) -> None:
    directory = save_static_embedding(tmp_path / "m", word_piece(), normalize=True)
    pipeline = make_pipeline(StaticVectorizer(load_word_vectors(directory)))
    expected = pipeline.fit_transform(TEXTS)
    save_pipeline(pipeline, tmp_path / "p.skops")
    assert (tmp_path / "p.skops").stat().st_size < 50_000
    np.testing.assert_array_equal(
        load_pipeline(tmp_path / "p.skops").pipeline.transform(TEXTS), expected
    )


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def modules(*kinds: str, path: str = "") -> str:
    return json.dumps(
        [{"name": str(idx), "path": path, "type": kind} for idx, kind in enumerate(kinds)]
    )


STATIC = "sentence_transformers.models.StaticEmbedding"


def spoil(file: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda directory: (directory / file).write_bytes(data)


def change_tensors(**changes: NDArray[Any]) -> Callable[[Path], object]:
    def change(directory: Path) -> None:
        file = directory / "model.safetensors"
        tensors = load_file(file)
        if "embedding.weight" not in changes:  # as model2vec names it
            tensors["embeddings"] = tensors.pop("embedding.weight")
        save_file(tensors | changes, file)

    return change


FAULTS: dict[str, tuple[Callable[[Path], object], type[ModelError], str]] = {
    "foreign": (spoil("modules.json", modules("own.StaticEmbedding")), UnsafeModelError, "own"),
    "more": (
        spoil("modules.json", modules(STATIC, "sentence_transformers.models.Dense")),
        UnsupportedModelError,
        "Dense",
    ),
    "foreign more": (
        spoil("modules.json", modules(STATIC, "own.Normalize")),
        UnsupportedModelError,
        r"own\.Normalize",
    ),
    "outside": (spoil("modules.json", modules(STATIC, path="../n")), UnsafeModelError, "/n'"),
    "no types": (spoil("modules.json", "[3]"), ModelIntegrityError, "without a type or a path: 3"),
    "no list": (spoil("modules.json", "{}"), ModelIntegrityError, "must contain a list"),
    "no JSON": (
        spoil("modules.json", "[" * 10**6),
        ModelIntegrityError,
        "cannot be read: RecursionError",
    ),
    "transformer": (
        spoil("modules.json", modules("sentence_transformers.models.Transformer")),
        ModelNotFoundError,
        "holds no static model",
    ),
    "no tokenizer": (
        lambda directory: (directory / "tokenizer.json").unlink(),
        ModelIntegrityError,
        "must have the files",
    ),
    "damaged tokenizer": (spoil("tokenizer.json", "{}"), ModelIntegrityError, "tokenizer.json"),
    "pickle": (
        lambda directory: (directory / "model.safetensors").rename(directory / "pytorch_model.bin"),
        ModelIntegrityError,
        "weights in other formats are not read",
    ),
    "damaged weights": (spoil("model.safetensors", b"x" * 99), ModelIntegrityError, "safetensors"),
    "few vectors": (
        change_tensors(**{"embedding.weight": np.ones((3, 2), dtype=np.float32)}),
        ModelIntegrityError,
        "but there are 3 vectors",
    ),
    "NaN": (
        change_tensors(**{"embedding.weight": np.full((99, 2), np.nan, dtype=np.float32)}),
        ModelIntegrityError,
        "must be finite",
    ),
    "no matrix": (
        change_tensors(**{"embedding.weight": np.ones(99, dtype=np.float32)}),
        ModelIntegrityError,
        "no matrix",
    ),
    "mapping": (change_tensors(mapping=np.full(99, -1)), ModelIntegrityError, "mapping"),
    "a mapping that expands": (
        change_tensors(
            embeddings=np.zeros((1, 5000), np.float32), mapping=np.zeros(10_000, np.int8)
        ),
        ModelIntegrityError,
        r"its mapping expands to 200,000,000 bytes",
    ),
    "far mapping": (change_tensors(mapping=np.full(99, 999)), ModelIntegrityError, "999"),
    "weights": (change_tensors(weights=np.ones(3)), ModelIntegrityError, "vectors of tokens"),
    "prompt": (
        lambda directory: edit(
            directory / "config_sentence_transformers.json", default_prompt_name="title"
        ),
        ModelIntegrityError,
        "'title', which is not among its prompts",
    ),
    "width": (
        lambda directory: edit(directory / "config_sentence_transformers.json", truncate_dim="3"),
        ModelIntegrityError,
        "must have a number of features as 'truncate_dim'. Got '3'",
    ),
    "unknown setting": (
        lambda directory: edit(directory / "config_sentence_transformers.json", whitening=[1]),
        UnsupportedModelError,
        r"sets 'whitening' = \[1\]",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault: str, tmp_path: Path) -> None:
    change, kind, expected = FAULTS[fault]
    directory = save_static_embedding(tmp_path / "m", word_piece())
    for file in (directory / "0_StaticEmbedding").glob("*"):
        file.rename(directory / file.name)
    (directory / "modules.json").write_text(modules(STATIC))
    assert read_static_model(directory) is not None
    change(directory)
    with pytest.raises(kind, match=expected) as caught:
        StaticVectorizer(directory).fit(TEXTS)
    assert str(directory) in str(caught.value)


def test_a_model_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = save_static_embedding(tmp_path / "m", word_piece())
    (weights,) = directory.rglob("model.safetensors")
    read = static_model._vectors

    def replaced_first(file: Path) -> Any:
        save_file({"embedding.weight": matrix(word_piece()) + 1}, weights)
        return read(file)

    with monkeypatch.context() as patch:
        patch.setattr(static_model, "_vectors", replaced_first)
        with pytest.raises(ModelChangedError, match="was changed while it was read"):
            load_word_vectors(directory)
    assert load_word_vectors(directory)["the"][0] == matrix(word_piece())[VOCABULARY["the"], 0] + 1


@pytest.mark.parametrize("name", ["tokenizer.json", "modules.json"])
def test_a_changed_file_is_another_model(name: str, tmp_path: Path) -> None:
    directory = save_static_embedding(tmp_path / "m", word_piece())
    vectorizer = StaticVectorizer(directory).fit(TEXTS)
    (file,) = directory.rglob(name)
    file.write_text(file.read_text() + "\n")
    with pytest.raises(ModelChangedError, match="fitted with word vectors of fingerprint"):
        vectorizer.transform(TEXTS)
