"""The loss of answers beside transformers' own, with its gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.question_tokens import QuestionTokenizer
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.training.answers import AnswerData, AnswerExamples
from bertvectorizer.models.training.heads import ArchitectureHead
from tests.tiny import SIZE, ModelFactory
from tests.training import lower_of, network_of

pytestmark = pytest.mark.numeric

CONTEXT = "the old crane flew in the night . a bat hit the river bank ."
SPANS = [(8, 13), (35, 38), (-1, -1), (59, 60)]  # "crane", "a b", none, the last dot


def data_of(network: Any, directory: Path, weights: Any = None) -> AnswerData:
    checkpoint = open_checkpoint(directory)
    tokenizer = QuestionTokenizer(checkpoint, load_tokenizer(checkpoint), max_length=14)
    windows = tokenizer(["old bat", "", "the", "river"], [CONTEXT, CONTEXT, "a ball", CONTEXT])
    examples = AnswerExamples.of(windows)
    weights = np.ones(len(examples)) if weights is None else weights
    targets = windows.targets(np.array(SPANS))
    return AnswerData(*(examples, targets, weights.astype(np.float32)), lower_of(network, examples))


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2"])
def test_loss_and_gradients_are_those_of_transformers(
    tiny_model: ModelFactory, family: str
) -> None:
    directory = tiny_model(family)
    vocab_size = SIZE + 3 if family == "gpt2" else None  # it gets tokens that join a pair
    network = network_of(directory, unit="answer", n_outputs=2, vocab_size=vocab_size)
    assert isinstance(network.head, ArchitectureHead)
    data = data_of(network, directory)
    n_windows, windows = len(data.examples), data.examples.windows
    rows = np.random.default_rng(1).permutation(n_windows)  # any order, two passes for a batch
    losses = []
    for part in (rows[:5], rows[5:]):
        loss = data.loss(network, data.prepare(part), rows)
        loss.backward()
        losses.append(float(loss.detach()))
    gradients = {
        name: each.grad.clone()
        for name, each in network.named_parameters()
        if each.grad is not None
    }
    assert sum(losses) == pytest.approx(data.mean_loss(network), abs=1e-6)

    whole = network.head.with_base(network.base)
    assert type(whole) is type(
        hf.AutoModelForQuestionAnswering.from_config(whole.config)
    )  # such as BertForQuestionAnswering
    whole.zero_grad()
    expected = 0.0
    for window in range(n_windows):  # one by one: transformers counts padding as tokens
        start, end = windows.offsets[window : window + 2]
        given = {"input_ids": torch.from_numpy(windows.ids[start:end].astype(np.int64))[None]}
        if windows.types is not None:
            given["token_type_ids"] = torch.from_numpy(windows.types[start:end].astype(int))[None]
        first, last = torch.from_numpy(data.targets[window])[:, None]
        loss = whole(**given, start_positions=first, end_positions=last).loss / n_windows
        loss.backward()
        expected += float(loss.detach())
    assert sum(losses) == pytest.approx(expected, abs=1e-6)
    found = {id(each): name for name, each in network.named_parameters()}
    compared = 0
    for parameter in whole.parameters():
        if parameter.grad is None or (name := found.get(id(parameter))) not in gradients:
            continue
        compared += 1
        scale = max(1.0, float(parameter.grad.abs().max()))
        torch.testing.assert_close(
            gradients[name], parameter.grad, rtol=0, atol=1e-6 * scale, msg=name
        )
    assert compared == len(gradients) > 20


def test_weights_and_states_below(tiny_model: ModelFactory) -> None:
    directory = tiny_model("bert")
    network, upper = (
        network_of(directory, unit="answer", n_outputs=2, n_trained_layers=n) for n in (None, 1)
    )
    weights = np.arange(len(data_of(network, directory).examples), dtype=np.float64)
    data = data_of(network, directory, weights)
    rows = np.arange(len(weights))
    single = [float(data.loss(network, data.prepare(rows[[n]]), rows[[n]]).detach()) for n in rows]
    plain = np.array(single[1:]) / weights[1:]
    assert data.mean_loss(network) == pytest.approx(np.average(plain, weights=weights[1:]))
    assert upper.begins_at == 2
    assert data_of(upper, directory, weights).mean_loss(upper) == pytest.approx(
        data.mean_loss(network), abs=1e-6
    )


def test_a_head_of_the_checkpoint_stays(tiny_model: ModelFactory, tmp_path: Path) -> None:
    plain = network_of(tiny_model("bert"), unit="answer", n_outputs=2)
    assert not plain.has_own_head
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = hf.AutoModelForQuestionAnswering.from_pretrained(tiny_model("bert"))
    model.save_pretrained(tmp_path)
    hf.AutoTokenizer.from_pretrained(tiny_model("bert")).save_pretrained(tmp_path)
    network = network_of(tmp_path, unit="answer", n_outputs=2, seed=7)
    assert network.has_own_head
    head = dict(network.head.named_parameters())["whole.qa_outputs.weight"]
    assert torch.equal(head, model.qa_outputs.weight)
