"""Tests of models/network/parallel.py."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bertvectorizer.models import TextTokenizer, open_checkpoint, resolve_output_spec
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.network.encoder import Encoder
from bertvectorizer.models.network.parallel import changes_itself, n_runners, run_side_by_side
from tests.tiny import ModelFactory

pytestmark = pytest.mark.numeric

CPU = torch.device("cpu")
TEXTS = [f"the old bat flew in the night {'river bank ' * (number % 9)}" for number in range(60)]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("fails", [False, True], ids=["fits", "runs out of memory side by side"])
def test_batches_side_by_side_give_the_same_vectors(
    fails: bool, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = open_checkpoint(str(tiny_model("bert")))
    encoder = Encoder(checkpoint, CPU, "float32")
    tokenized = TextTokenizer(checkpoint, load_tokenizer(checkpoint))(TEXTS)
    parts = resolve_output_spec(checkpoint).parts
    expected = encoder.encode(tokenized, parts, 10**6)  # one batch

    assert not encoder._changes_itself
    compute, both = encoder.backbone.hidden_states, threading.Barrier(2)
    threads: dict[int, int] = {}

    def watched(*args: Any) -> dict[int, Tensor]:
        own = threading.get_ident()
        if own not in threads and threading.current_thread() is not threading.main_thread():
            threads[own] = torch.get_num_threads()
            both.wait(60)  # passes only if the other thread runs a batch, too
            if fails:
                raise torch.OutOfMemoryError("out of memory")
        return compute(*args)

    monkeypatch.setattr(encoder.backbone, "hidden_states", watched)
    done: list[int] = []
    np.testing.assert_allclose(
        encoder.encode(tokenized, parts, 100, done.append), expected, atol=1e-6
    )
    assert list(threads.values()) == [1, 1]
    assert sum(done) == tokenized.lengths.sum()
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_error_ends_all_and_is_raised(kind: type[BaseException]) -> None:
    begun, done = [], []

    def run(item: int) -> bool:
        begun.append(item)
        if item == 3 and kind is ValueError:
            raise ValueError("the third")
        if item == 3:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.001)  # as a batch, during which other threads run
        return True

    if kind is KeyboardInterrupt and not hasattr(signal, "pthread_kill"):
        pytest.skip("this system sends no signal to a thread")
    n_threads = threading.active_count()
    with pytest.raises(kind):
        run_side_by_side(run, iter(range(20_000)), 2, done.append)  # 10 s, far too many
    assert threading.active_count() == n_threads
    assert sorted({*done, 3}) == sorted(begun)
    assert len(begun) < 20_000
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("n_allowed", [0, 1])
def test_without_further_threads_nothing_is_done_side_by_side(
    n_allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, begun = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if len(begun) == n_allowed:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    n_threads, done = torch.get_num_threads(), []
    run_side_by_side(lambda item: True, iter(range(8)), 2, done.append)
    assert (done, torch.get_num_threads()) == ([], n_threads)
    assert not any(thread.is_alive() for thread in begun)


@pytest.mark.usefixtures("two_threads")
def test_only_a_cpu_runs_batches_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    assert n_runners(CPU) == 2
    assert n_runners(torch.device("cuda")) == 1
    for n_threads in range(1, 200):
        monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)  # noqa: B023
        count = n_runners(CPU)
        assert min(n_threads, 4) <= count <= 8
        assert count * (n_threads // count) >= 0.8 * n_threads  # the others would do nothing


class _Changing(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.longest = how, 0
        self.register_buffer("table", torch.zeros(3))

    def forward(self, length: int) -> None:
        if self.how == "attribute":
            self.longest = length
        elif self.how == "in place":
            self.table.add_(length)
        elif self.how == "buffer":
            self.table = torch.zeros(length)


@pytest.mark.parametrize("how", ["attribute", "in place", "buffer", "nothing"])
def test_a_model_that_changes_as_it_runs(how: str) -> None:
    model = nn.Sequential(_Changing(how))
    config = SimpleNamespace(rope_parameters=None)
    assert changes_itself(model, config, model) is (how != "nothing")
    config.rope_parameters = {"rope_type": "dynamic"}
    assert changes_itself(model, config, model)
