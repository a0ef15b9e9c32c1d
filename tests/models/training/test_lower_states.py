"""Tests of models/training/lower_states.py."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertvectorizer import EmbeddingStore
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import TokenizedTexts
from bertvectorizer.models.training import lower_states
from bertvectorizer.models.training.lower_states import LowerStates
from tests.plain import plain_model, plain_states
from tests.tiny import ModelFactory, watched_network
from tests.training import CPU, PAIRS, TEXTS, examples_of

pytestmark = pytest.mark.numeric

REPEATED = [*TEXTS, *TEXTS[:5]]


def states_of(
    directory: Path, tokenized: TokenizedTexts, store: EmbeddingStore | None, **options: Any
) -> LowerStates:
    return LowerStates(
        *(open_checkpoint(directory), CPU, "float32", options.pop("layer", 2), tokenized, store),
        **options,
    )


def read(states: LowerStates, tokenized: TokenizedTexts) -> list[torch.Tensor]:
    """Return the states of each sequence, read two at a time."""
    found = []
    n_sequences = len(tokenized.lengths)
    for start in range(0, n_sequences, 2):
        pair = np.arange(start, min(start + 2, n_sequences))
        found += states.of(pair).split(tokenized.lengths[pair].tolist())
    return found


@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("with_store", [False, True])
def test_states_are_those_of_the_plain_network(
    tiny_model: ModelFactory, tmp_path: Path, with_store: bool, layer: int
) -> None:
    directory = tiny_model("bert")
    tokenized = examples_of(directory, REPEATED).tokenized
    store = EmbeddingStore(tmp_path) if with_store else None
    states = states_of(directory, tokenized, store, layer=layer)
    progress: list[int] = []
    states.prepare(progress.append)
    distinct = tokenized.offsets[len(TEXTS)]
    assert sum(progress) == distinct
    with watched_network() as seen:
        found = read(states, tokenized)
    assert seen.tokens == 0
    for index, each in enumerate(found):
        ids = tokenized.ids[slice(*tokenized.offsets[index : index + 2])]
        np.testing.assert_allclose(each, plain_states(directory, ids.tolist())[layer], atol=1e-5)


def test_each_distinct_sequence_is_computed_once_by_all_that_share_a_store(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    directory, store = tiny_model("bert"), EmbeddingStore(tmp_path)
    tokenized = examples_of(directory, REPEATED).tokenized
    with watched_network() as seen:
        states_of(directory, tokenized, None).prepare()
        n_tokens, seen.tokens = seen.tokens, 0
        first = states_of(directory, tokenized, store)
        first.prepare()
        assert (seen.tokens, seen.layers) == (n_tokens, seen.layers)
        assert store.stats.encoded == len(TEXTS) == store.stats.texts
        seen.tokens = 0
        second = states_of(directory, tokenized, store)
        second.prepare()
        assert seen.tokens == 0
        assert store.stats.encoded == len(TEXTS)
        # A fold has some of them, in another order.
        fold = examples_of(directory, REPEATED[::-3]).tokenized
        third = states_of(directory, fold, store)
        third.prepare()
        assert seen.tokens == 0
    for one, other in zip(read(first, tokenized), read(second, tokenized), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(read(third, fold)[0], read(first, tokenized)[-1])
    states_of(directory, tokenized, store, layer=1).prepare()
    assert store.stats.encoded == 2 * len(TEXTS)


@pytest.mark.parametrize("with_store", [False, True])
def test_what_does_not_fit_in_memory_is_read_or_computed_again(
    tiny_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_store: bool
) -> None:
    directory = tiny_model("bert")
    tokenized = examples_of(directory, REPEATED).tokenized
    expected = states_of(directory, tokenized, None)
    expected.prepare()
    monkeypatch.setattr(lower_states, "_MOST_BYTES", 32 * 4 * 50)
    store = EmbeddingStore(tmp_path) if with_store else None
    states = states_of(directory, tokenized, store)
    states.prepare()
    with watched_network() as seen:
        found = read(states, tokenized)
    assert (seen.tokens > 0) is not with_store
    for one, other in zip(found, read(expected, tokenized), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_token_types_change_the_states_and_the_key(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    directory, store = tiny_model("bert"), EmbeddingStore(tmp_path)
    tokenized = examples_of(directory, PAIRS, is_pairs=True).tokenized
    assert tokenized.types is not None
    assert tokenized.types.max() == 1
    without = replace(tokenized, types=None)
    others = replace(tokenized, types=np.zeros_like(tokenized.types))
    found = []
    for each in (tokenized, without, others):
        states = states_of(directory, each, store, layer=3)
        states.prepare()
        found.append(states.of(np.arange(len(PAIRS))))
    assert (found[0] - found[1]).abs().max() > 0.1
    torch.testing.assert_close(found[1], found[2], rtol=0, atol=1e-5)
    model = plain_model(directory)[1]
    first = slice(*tokenized.offsets[:2])
    with torch.no_grad():
        expected = model(
            input_ids=torch.from_numpy(tokenized.ids[first]).long()[None],
            token_type_ids=torch.from_numpy(tokenized.types[first]).long()[None],
        ).last_hidden_state[0]
    torch.testing.assert_close(found[0][first], expected, rtol=0, atol=1e-5)


def test_a_damaged_record_is_computed_again(tiny_model: ModelFactory, tmp_path: Path) -> None:
    directory, path = tiny_model("bert"), tmp_path / "store.sqlite"
    tokenized = examples_of(directory, TEXTS[:4]).tokenized
    states = states_of(directory, tokenized, EmbeddingStore(path))
    states.prepare()
    expected = states.of(np.arange(4))
    database = sqlite3.connect(path, isolation_level=None)
    key, data = database.execute("SELECT key, data FROM records LIMIT 1").fetchone()
    damaged = data[:-9] + bytes([data[-9] ^ 64]) + data[-8:]
    database.execute("UPDATE records SET data = ? WHERE key = ?", [damaged, key])
    database.close()
    again = states_of(directory, tokenized, EmbeddingStore(path))
    with pytest.warns(UserWarning, match=r"1 text\(s\) in the store .* were damaged"):
        again.prepare()
    torch.testing.assert_close(again.of(np.arange(4)), expected, rtol=0, atol=1e-5)


def test_a_text_without_tokens_has_no_states(tiny_model: ModelFactory, tmp_path: Path) -> None:
    directory = tiny_model("gpt2")
    tokenized = examples_of(directory, ["", "bat", ""]).tokenized
    assert tokenized.lengths.tolist() == [0, 1, 0]
    for store in (None, EmbeddingStore(tmp_path)):
        states = states_of(directory, tokenized, store)
        states.prepare()
        assert states.of(np.array([1, 0])).shape == (1, 32)
