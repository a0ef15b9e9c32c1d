"""Tests of models/torch_threads.py."""

from __future__ import annotations

import os

import pytest

from tests.processes import run_python
from tests.tiny import ModelFactory

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")

# What computes with PyTorch; ``model`` is the directory of a tiny model.
COMPUTATIONS = {
    "texts": """
from bertvectorizer import BertVectorizer
texts = ["the old bat flew in the night " * 15] * 3 + [f"a crane {n}" for n in range(40)]
compute = lambda: BertVectorizer(model, store=None, batch_tokens=100).fit_transform(texts)
""",
    "static vectors": """
from bertvectorizer import StaticVectorizer, WordVectors
vectors = WordVectors(["bat", "crane"], np.eye(2, 300, dtype="float32"))
compute = lambda: StaticVectorizer(vectors).fit_transform(["bat crane " * 100] * 100)
""",
    "a scalar mix": """
from bertvectorizer.models.pooling.scalar_mix import fit_scalar_mix
layers = np.random.default_rng(0).normal(size=(3, 500, 64)).astype("float32")
targets = np.arange(500) % 2
compute = lambda: fit_scalar_mix(layers, targets, 2).weights
""",
    "tag sequences": """
from bertvectorizer.pipeline.tagging.forward_backward import forward_backward
rules = np.zeros((40, 40)), np.zeros(40), np.zeros(40)
offsets = np.arange(0, 3_001, 30)
compute = lambda: forward_backward(np.zeros((3_000, 40)), offsets, *rules).log_partition
""",
}

PROGRAM = """
import os, sys, threading
import numpy as np
import torch
torch.set_num_threads(2)
model = sys.argv[1]
{computation}

def child_of(parent):
    if (child := os.fork()) == 0:
        print(torch.get_num_threads(), flush=True)
        os._exit(1 if torch.get_num_threads() > 1 else parent())
    assert os.waitpid(child, 0)[1] == 0

if {is_first}:  # nothing was computed, and a child may use as many threads as its parent
    if (child := os.fork()) == 0:
        os._exit(torch.get_num_threads())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
expected = compute()
agree = lambda: not np.allclose(compute(), expected, rtol=1e-4, atol=1e-5)
child_of(lambda: child_of(agree) or agree())
print(torch.get_num_threads())

def late():  # a thread may go on after the main one
    threading.main_thread().join()
    print("other numbers" if agree() else "the same numbers")
threading.Thread(target=late).start()
"""


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_a_fork_computes_on_one_thread_what_its_parent_computed_on_two(
    name: str, tiny_model: ModelFactory
) -> None:
    """With two, it would wait for ever for a thread that only its parent has."""
    program = PROGRAM.format(computation=COMPUTATIONS[name], is_first=name == "texts")
    printed = run_python(program, tiny_model("bert"))
    assert printed.splitlines() == ["1", "1", "2", "the same numbers"]


LOCK = """
import os, threading
from bertvectorizer.models.checkpoint.description import settings_lock

taken = threading.Event()
def train():
    with settings_lock:
        taken.set()
        threading.Event().wait(0.2)

thread = threading.Thread(target=train)
thread.start()
taken.wait()
if (child := os.fork()) == 0:
    os._exit(not settings_lock.acquire(blocking=False))
thread.join()
assert settings_lock.acquire(blocking=False)
print(os.waitpid(child, 0)[1])
"""


def test_a_fork_does_not_inherit_a_lock_from_a_thread_that_trains_or_loads() -> None:
    assert run_python(LOCK).split() == ["0"]
