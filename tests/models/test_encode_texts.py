"""Tests of models/encode_texts.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.models import (
    Checkpoint,
    TextTokenizer,
    TokenizedTexts,
    encode_texts,
    open_checkpoint,
    resolve_output_spec,
)
from bertvectorizer.models.checkpoint.output_spec import Part, every_part
from bertvectorizer.models.checkpoint.post_modules import merge_parts
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.encode_texts import (
    Sizes,
    fetch_parts,
    key_settings,
    open_store,
    record_keys,
)
from bertvectorizer.models.network import devices
from bertvectorizer.models.network.devices import Precision
from bertvectorizer.models.network.encoder import load_encoder
from bertvectorizer.models.pooling.tokens import POOLINGS
from bertvectorizer.models.store.embedding_store import EmbeddingStore
from bertvectorizer.models.store.session_store import session_store
from tests.tiny import WORDS, ModelFactory

pytestmark = pytest.mark.numeric

Encode = Callable[[Sequence[str], Sequence[Part]], tuple[NDArray[np.float32], TokenizedTexts]]
TEXTS = [
    "the old bat flew in the night",
    "a ball",
    "",
    "the river bank",
    "money",
    "crane. " * 20,
    "\ud800",
    "THE bat hit the ball",
]
LAST = Part((3,), "sum", "mean")


class Engine:
    """A tiny model that notes what it encodes."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.tokenize = TextTokenizer(checkpoint, load_tokenizer(checkpoint), max_length=16)
        self.calls: list[tuple[list[str], list[Part]]] = []

    def direct(
        self, texts: Sequence[str], parts: Sequence[Part]
    ) -> tuple[NDArray[np.float32], TokenizedTexts]:
        tokenized = self.tokenize(texts)
        return (
            load_encoder(self.checkpoint, torch.device("cpu"), "float32").encode(tokenized, parts),
            tokenized,
        )

    def __call__(
        self, texts: Sequence[str], parts: Sequence[Part]
    ) -> tuple[NDArray[np.float32], TokenizedTexts]:
        self.calls.append((list(texts), list(parts)))
        return self.direct(texts, parts)

    def once(
        self,
        store: EmbeddingStore,
        texts: Sequence[str],
        parts: Sequence[Part],
        batch_tokens: int = 1000,
        settings: Sequence[str] = ("tiny",),
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        encoder: Any = SimpleNamespace(
            output=SimpleNamespace(parts=tuple(parts)),
            sizes=Sizes(self.checkpoint.n_layers, self.checkpoint.hidden_size),
            key_settings=key_settings(self.checkpoint, "float32", torch.device("cpu"), settings),
            batch_tokens=batch_tokens,
            encode=lambda texts, parts, _progress: self(texts, parts),
        )
        return fetch_parts(encoder, encoder.output.parts, texts, store, None)


@pytest.fixture
def engine(tiny_model: ModelFactory) -> Engine:
    return Engine(open_checkpoint(str(tiny_model("bert"))))


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "store.sqlite", durable=False)


@pytest.mark.parametrize("library", ["torch", "transformers", "tokenizers", "peft"])
def test_another_version_of_a_library_is_another_key(
    engine: Engine, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> list[bytes]:
        encode_texts._library_versions.cache_clear()
        return record_keys(engine.checkpoint, "float32", torch.device("cpu"), [], ["a bat"])

    before = keys()
    own = encode_texts.metadata.version
    monkeypatch.setattr(
        encode_texts.metadata, "version", lambda name: "999.0" if name == library else own(name)
    )
    assert keys() != before
    monkeypatch.undo()
    assert keys() == before


def test_the_bits_of_the_processor_s_activations_change_the_keys_of_int8_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(precision: Precision) -> list[bytes]:
        return record_keys(engine.checkpoint, precision, torch.device("cpu"), [], ["a bat"])

    seen = []
    for n_bits in (7, 8):
        monkeypatch.setattr(devices, "int8_activation_bits", lambda n_bits=n_bits: n_bits)
        seen.append((keys("float32"), keys("int8")))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] != seen[1][1]


class TestOpenStore:
    def test_none_is_none_and_a_store_is_itself(self, store: EmbeddingStore) -> None:
        assert open_store(None) is None
        assert open_store(store) is store

    def test_auto_is_the_session_s(self) -> None:
        assert open_store("auto") is session_store() is not None

    def test_a_path_is_the_same_store_under_any_of_its_names(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        store = open_store(tmp_path / "s")
        assert isinstance(store, EmbeddingStore)
        assert store.path == tmp_path / "s"
        assert (
            open_store(str(tmp_path / "s"))
            is open_store("s")
            is open_store("~/s")
            is open_store(Path("s"))
            is store
        )

    def test_a_file_named_auto_can_be_had(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in (Path("auto"), "./auto"):
            store = open_store(name)
            assert store is not None
            assert store.path == tmp_path / "auto"

    @pytest.mark.parametrize("value", ["", 3, True, False, b"path", ["auto"], EmbeddingStore])
    def test_anything_else_is_refused(self, value: Any) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'store' parameter must be 'auto', a path, an EmbeddingStore or None\. Got ",
        ):
            open_store(value)


class TestEncodeOnce:
    @pytest.mark.parametrize(
        "parts",
        [
            [LAST],
            [Part((1,), "sum", "cls"), LAST],
            [Part((0, 3), "mean", "max"), LAST],
            list(every_part(3)),
        ],
    )
    def test_it_gives_what_encoding_gives(
        self, engine: Engine, store: EmbeddingStore, parts: list[Part]
    ) -> None:
        expected, tokenized = engine.direct(TEXTS, parts)
        for _ in range(2):
            vectors, n_tokens, n_lost = engine.once(store, TEXTS, parts)
            np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(n_tokens, tokenized.n_tokens)
            np.testing.assert_array_equal(n_lost, tokenized.n_lost)
            assert (vectors.dtype, n_tokens.dtype, n_lost.dtype) == (np.float32, np.int64, np.int64)
        assert n_lost.any()
        assert [set(texts) for texts, _ in engine.calls] == [set(TEXTS)]

    def test_what_is_kept_is_bit_for_bit_what_was_encoded(
        self, engine: Engine, store: EmbeddingStore
    ) -> None:
        first = engine.once(store, TEXTS, [LAST])[0]
        again = engine.once(EmbeddingStore(store.path), TEXTS[::-1], [LAST])[0]
        np.testing.assert_array_equal(again[::-1], first)

    def test_only_new_texts_are_encoded(self, engine: Engine, store: EmbeddingStore) -> None:
        engine.once(store, TEXTS[:4], [LAST])
        engine.once(store, TEXTS, [LAST])
        assert sorted(engine.calls[1][0]) == sorted(TEXTS[4:])

    def test_the_result_is_the_caller_s_to_change(
        self, engine: Engine, store: EmbeddingStore
    ) -> None:
        first = engine.once(store, TEXTS, [LAST])[0]
        kept = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(engine.once(store, TEXTS, [LAST])[0], kept)

    def test_other_settings_are_other_texts(self, engine: Engine, store: EmbeddingStore) -> None:
        for number in range(3):
            engine.once(store, TEXTS, [LAST], settings=("tiny", str(number)))
        assert len(engine.calls) == 3

    def test_numbers_of_an_older_engine_are_not_believed(
        self, engine: Engine, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.once(store, TEXTS, [LAST])
        monkeypatch.setattr("bertvectorizer.models.encode_texts._ENGINE", "another")
        engine.once(store, TEXTS, [LAST])
        assert len(engine.calls) == 2

    def test_work_is_cut_into_chunks_the_longest_first(
        self, engine: Engine, store: EmbeddingStore
    ) -> None:
        texts = [f"{word} {other}" for word in WORDS for other in WORDS]
        engine.once(store, texts, [LAST], batch_tokens=20)
        assert len(engine.calls) > 5
        assert {sum(map(len, batch)) <= 20 * 4 * 4 for batch, _ in engine.calls} == {True}
        lengths = [len(text) for batch, _ in engine.calls for text in batch]
        assert lengths == sorted(lengths, reverse=True)
        assert sorted(text for batch, _ in engine.calls for text in batch) == sorted(texts)


class TestParts:
    def test_two_passes_serve_every_layer_and_pooling(
        self, engine: Engine, store: EmbeddingStore
    ) -> None:
        for layer in range(4):
            for pooling in POOLINGS:
                engine.once(store, TEXTS, [Part((layer,), "sum", pooling)])
        assert [len(parts) for _, parts in engine.calls] == [1, 4 * len(POOLINGS) - 1]

    def test_how_one_layer_would_be_merged_is_of_no_account(
        self, engine: Engine, store: EmbeddingStore
    ) -> None:
        one = engine.once(store, TEXTS, [Part((2,), "sum", "mean")])[0]
        other = engine.once(store, TEXTS, [Part((2,), "mean", "mean")])[0]
        np.testing.assert_array_equal(one, other)
        assert len(engine.calls) == 1

    def test_parts_that_differ_are_never_taken_for_each_other(
        self, engine: Engine, store: EmbeddingStore
    ) -> None:
        several = [
            Part(layers, merge, "max")
            for layers in [(1, 2), (2, 3), (1, 2, 3), (1, 3)]
            for merge in ("sum", "mean")
        ]
        for part in [*several, *every_part(3), *several]:
            expected = engine.direct(TEXTS, [part])[0]
            np.testing.assert_allclose(
                engine.once(store, TEXTS, [part])[0], expected, rtol=1e-5, atol=1e-5
            )
        times = [part for _, parts in engine.calls for part in parts]
        assert len(times) == len(set(times)) == len(several) + len(every_part(3))

    @settings(max_examples=15)
    @given(
        st.lists(
            st.tuples(
                st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4, unique=True),
                st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
                st.sampled_from(["concat", "sum", "mean"]),
                st.lists(st.sampled_from(POOLINGS), min_size=1, max_size=3, unique=True),
            ),
            min_size=1,
            max_size=6,
        ),
        st.sampled_from(["requested", "all_layers"]),
    )
    def test_whatever_was_requested_before(
        self,
        tiny_model: ModelFactory,
        tmp_path_factory: pytest.TempPathFactory,
        requests: list[Any],
        keep: str,
    ) -> None:
        engine = Engine(open_checkpoint(str(tiny_model("bert"))))
        store = EmbeddingStore(tmp_path_factory.mktemp("any"), keep=keep, durable=False)
        for texts, layers, layer_merge, poolings in requests:
            readout = resolve_output_spec(engine.checkpoint, layers, layer_merge, poolings)
            expected = merge_parts(engine.direct(texts, readout.parts)[0], readout)
            result = merge_parts(engine.once(store, texts, readout.parts)[0], readout)
            assert result.shape == (len(texts), readout.n_features)
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
        done = [(text, part) for texts, parts in engine.calls for text in texts for part in parts]
        assert len(done) == len(set(done)), "a part of a text was computed twice"
