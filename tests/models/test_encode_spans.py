"""Hidden states of spans: equal with and without a store, each passage computed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bertvectorizer.errors import OutOfMemoryError
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.span_tokens import SpanTokenizer
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.encode_spans import Passage, SpanEncoder, SpanStates, encode_spans
from bertvectorizer.models.network.backbone import Backbone
from bertvectorizer.models.store.embedding_store import EmbeddingStore
from tests.plain import by_offsets
from tests.tiny import ModelFactory, watched_network
from tests.tolerance import network_tolerance

pytestmark = pytest.mark.numeric


def passage(text: str, *spans: tuple[int, int]) -> Passage:
    return Passage(text, np.array(spans, dtype=np.int64).reshape(-1, 2))


BAT = "the old bat flew in the night"
LONG = "the bat of the river bank " * 60
PASSAGES = [
    passage(BAT, (8, 11), (23, 29)),
    passage("a ball", (0, 1), (0, 0), (2, 6)),
    passage("", (0, 0)),
    passage(BAT, (4, 7)),
    passage("unbats", (0, 6)),
    passage(LONG, *((start, start + 3) for start in range(4, len(LONG), 26))),
    passage("money"),
    passage(BAT, (4, 11), (8, 11)),
]


@pytest.fixture(scope="module")
def bert(tiny_model: ModelFactory) -> Path:
    return tiny_model("bert")


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "store.sqlite")


@dataclass
class Reader:
    encoder: SpanEncoder
    store: EmbeddingStore | None

    def read(self, passages: list[Passage]) -> Iterator[SpanStates]:
        return encode_spans(self.encoder, passages, self.store)


def reader(
    directory: Path,
    layers: tuple[int, ...] = (3,),
    store: EmbeddingStore | None = None,
    budget: int = 1000,
    **options: Any,
) -> Reader:
    checkpoint = open_checkpoint(directory)
    tokenizer = SpanTokenizer(checkpoint, load_tokenizer(checkpoint), **options)
    encoder = SpanEncoder(checkpoint, tokenizer, layers, torch.device("cpu"), "float32", budget)
    return Reader(encoder, store)


def read(own: Reader, passages: list[Passage]) -> list[list[NDArray[np.float32]]]:
    """Return the states ``(n_layers, n_tokens, hidden)`` of each span of each passage."""
    found: dict[int, list[NDArray[np.float32]]] = {}
    for chunk in own.read(passages):
        assert chunk.states.dtype == np.float32
        assert chunk.states.shape == (len(own.encoder.layers), chunk.counts.sum(), 32)
        spans = iter(pairwise(np.cumsum([0, *chunk.counts]).tolist()))
        for index in chunk.indices:
            assert index not in found
            found[index] = [chunk.states[:, slice(*next(spans))] for _ in passages[index].spans]
        assert next(spans, None) is None
    assert sorted(found) == list(range(len(passages)))
    return [found[index] for index in range(len(passages))]


def assert_same(
    found: list[list[NDArray[np.float32]]],
    expected: list[list[NDArray[np.float32]]],
    atol: float = network_tolerance(),
) -> None:
    for one, other in zip(found, expected, strict=True):
        for states, wanted in zip(one, other, strict=True):
            np.testing.assert_allclose(states, wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "mpnet", "deberta-v2"])
@pytest.mark.parametrize("layers", [(3,), (2, 0)])
def test_states_are_those_of_plain_hugging_face(
    tiny_model: ModelFactory, family: str, layers: tuple[int, ...], store: EmbeddingStore
) -> None:
    directory = tiny_model(family)
    short = [one for one in PASSAGES if one.text != LONG]
    for kept in (None, store):
        for one, states in zip(
            short, read(reader(directory, layers, kept, budget=20), short), strict=True
        ):
            for span, of_span in zip(one.spans, states, strict=True):
                for side, pooling in ((0, "first"), (-1, "last")):
                    plain = (
                        by_offsets(directory, one.text, [span], pooling)[list(layers), 0]
                        if one.text
                        else 0
                    )
                    mine = of_span[:, side] if of_span.shape[1] else 0
                    np.testing.assert_allclose(mine, plain, atol=1e-5)


@pytest.mark.parametrize("layers", [(3,), (0,), (1, 3), (3, 1), (0, 1, 2, 3)])
def test_with_and_without_a_store_states_are_the_same(
    bert: Path, store: EmbeddingStore, layers: tuple[int, ...]
) -> None:
    without = read(reader(bert, layers), PASSAGES)
    first = read(reader(bert, layers, store), PASSAGES)
    assert_same(first, without)
    assert_same(read(reader(bert, layers, store), PASSAGES), first, atol=0)
    again = EmbeddingStore(store.path)  # which remembers nothing
    assert_same(read(reader(bert, layers, again), PASSAGES), first, atol=0)
    assert store.verify() == []


@pytest.mark.parametrize("with_store", [False, True])
def test_chunks_change_nothing(
    bert: Path, store: EmbeddingStore, with_store: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(reader(bert), PASSAGES)
    kept = store if with_store else None
    monkeypatch.setattr("bertvectorizer.models.encode_spans._MAX_CHUNK_TEXTS", 2)
    chunks = [sorted(chunk.indices) for chunk in reader(bert).read(PASSAGES)]
    assert chunks == [[0, 1, 3, 7], [2, 4], [5, 6]], "passages of one text come together"
    assert_same(read(reader(bert, store=kept), PASSAGES), expected)
    monkeypatch.setattr("bertvectorizer.models.encode_spans._MIN_CHUNK_CHARACTERS", 1)
    monkeypatch.setattr("bertvectorizer.models.encode_spans._CHUNK_BYTES", 1)
    assert len(list(reader(bert).read(PASSAGES))) == 6
    assert_same(read(reader(bert, store=kept, budget=7), PASSAGES), expected)


def test_reading_is_lazy(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertvectorizer.models.encode_spans._MAX_CHUNK_TEXTS", 1)
    chunks = reader(bert).read(PASSAGES)
    list(reader(bert).read(PASSAGES[:1]))  # loads the model and tries it out
    with watched_network() as seen:
        next(chunks)
    assert seen.tokens == 7 + 2


@pytest.mark.parametrize("with_store", [False, True])
def test_a_text_with_several_passages_enters_the_network_once(
    bert: Path, store: EmbeddingStore, with_store: bool
) -> None:
    own = reader(bert, store=store if with_store else None)
    list(reader(bert).read(PASSAGES[:1]))
    with watched_network() as seen:
        read(own, [PASSAGES[0], PASSAGES[3], PASSAGES[7], PASSAGES[2]])
    assert seen.tokens == 7 + 2


def test_texts_with_many_passages_enter_the_network_about_once(
    bert: Path, store: EmbeddingStore
) -> None:
    """Spans of all lengths, that the store is filled with a few batches at a time."""
    rng = np.random.default_rng(0)
    texts = [f"{'abc'[number % 3] * (1 + number)} the old bat flew" for number in range(40)]
    spans = [(int(start), int(start + length)) for start, length in rng.integers(1, 9, (8, 2))]
    passages = [passage(text, span) for text in texts for span in spans]
    list(reader(bert).read(PASSAGES[:1]))
    n_read = []
    for kept in (None, store):
        with watched_network() as seen:
            read(reader(bert, store=kept, budget=100), passages)
        n_read.append(seen.tokens)
    assert n_read[0] <= n_read[1] < 1.5 * n_read[0]


def test_layers_beyond_the_deepest_are_not_computed(bert: Path) -> None:
    list(reader(bert).read(PASSAGES[:1]))
    for layers, n_computed in (((0,), 0), ((1,), 1), ((2, 0), 2), ((3,), 3)):
        with watched_network() as seen:
            list(reader(bert, layers).read(PASSAGES[:1]))
        assert seen.layers == n_computed


N_WITH_TOKENS = sum(bool(one.text) and one.text != "money" for one in PASSAGES)


def test_a_sweep_over_layers_costs_two_passes_at_most(bert: Path, store: EmbeddingStore) -> None:
    sweep: list[tuple[int, ...]] = [(3,), (2,), (0,), (1, 3), (0, 1, 2, 3), (3,)]
    counts = []
    for layers in sweep:
        read(reader(bert, layers, store), PASSAGES)
        counts.append(store.stats.encoded)
    assert counts[0] == N_WITH_TOKENS, "passages without tokens are no work"
    assert counts[1:] == [2 * N_WITH_TOKENS] * 5
    assert store.stats.texts == N_WITH_TOKENS


def test_what_is_kept_whole_is_encoded_once(bert: Path, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "store.sqlite", keep="all_layers")
    for layers in ((3,), (2,), (0, 1)):
        read(reader(bert, layers, store), PASSAGES)
    assert store.stats.encoded == N_WITH_TOKENS


def test_records_are_found_by_their_tokens(bert: Path, store: EmbeddingStore) -> None:
    one = [
        passage("The  BAT", (5, 8)),
        passage("the bat", (4, 7)),
        passage("the bat", (0, 0), (4, 7)),
    ]
    states = read(reader(bert, store=store), one)
    assert store.stats.encoded == 1, "the same tokens, the same states"
    np.testing.assert_array_equal(states[0][0], states[1][0])
    np.testing.assert_array_equal(states[0][0], states[2][1])
    read(
        reader(bert, store=store),
        [
            passage("the bat", (0, 3)),
            passage("the bat", (0, 3), (4, 7)),
            passage("the bat", (0, 7)),
        ],
    )
    assert store.stats.encoded == 4


@pytest.mark.parametrize(
    ("options", "is_new"),
    [
        ({"prompt": "a "}, True),
        ({"max_length": 8}, True),
        ({"max_length": 100}, False),
        ({"stride": 0}, False),
    ],
)
def test_settings_lead_to_other_records_where_they_change_tokens(
    bert: Path, store: EmbeddingStore, options: dict[str, Any], is_new: bool
) -> None:
    expected = read(reader(bert), PASSAGES[:1])
    read(reader(bert, store=store), PASSAGES[:1])
    changed = read(reader(bert, store=store, **options), PASSAGES[:1])
    assert store.stats.encoded == 1 + is_new
    assert_same(changed, read(reader(bert, **options), PASSAGES[:1]))
    assert np.allclose(changed[0][0], expected[0][0], atol=1e-4) is not is_new


def test_another_model_leads_to_other_records(
    bert: Path, tiny_model: ModelFactory, store: EmbeddingStore
) -> None:
    read(reader(bert, store=store), PASSAGES)
    other = tiny_model("bert", initializer_range=0.2)
    assert_same(read(reader(other, store=store), PASSAGES), read(reader(other), PASSAGES))
    assert store.stats.encoded == 2 * N_WITH_TOKENS


@pytest.mark.parametrize(
    "passages",
    [[], [passage("")], [passage("", (0, 0)), passage("a  bat", (1, 3)), passage("bat")]],
)
def test_nothing_to_read(bert: Path, store: EmbeddingStore, passages: list[Passage]) -> None:
    for kept in (None, store):
        for states in read(reader(bert, (3, 0), kept), passages):
            assert all(of_span.shape == (2, 0, 32) for of_span in states)
    assert store.stats.texts == store.stats.encoded == 0


@pytest.mark.parametrize("with_store", [False, True])
def test_batches_shrink_when_memory_runs_out(
    bert: Path, store: EmbeddingStore, with_store: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(reader(bert), PASSAGES)
    run, most = Backbone.hidden_states, [130]

    def cramped(self: Backbone, ids: NDArray[np.int32], *rest: Any) -> Any:
        if len(ids) > most[0]:
            raise torch.OutOfMemoryError("no room")
        return run(self, ids, *rest)

    monkeypatch.setattr(Backbone, "hidden_states", cramped)
    assert_same(read(reader(bert, store=store if with_store else None), PASSAGES), expected)
    most[0] = 3
    with pytest.raises(OutOfMemoryError, match="One sequence of 128 tokens does not fit"):
        list(reader(bert, (2,), store if with_store else None).read(PASSAGES))
