"""Tests of models/training/labelled.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bertvectorizer.models.training.examples import Examples
from bertvectorizer.models.training.heads import ArchitectureHead
from bertvectorizer.models.training.labelled import LabelledData
from bertvectorizer.models.training.loop import train
from tests.tiny import ModelFactory
from tests.training import CLASSES, data_of, examples_of, network_of, outputs_of, settings_of

pytestmark = pytest.mark.numeric

ONE_STEP = settings_of(epochs=1, batch_size=99, schedule="constant", warmup=0.0, weight_decay=0.0)


@pytest.mark.parametrize("loss", ["classes", "labels", "numbers"])
def test_losses_are_those_of_pytorch(tiny_model: ModelFactory, loss: Any) -> None:
    network = network_of(tiny_model("bert"))
    targets: Any = CLASSES
    functions: dict[str, Any] = {
        "classes": torch.nn.CrossEntropyLoss(),
        "labels": torch.nn.BCEWithLogitsLoss(),
        "numbers": torch.nn.MSELoss(),
    }
    if loss != "classes":
        targets = (np.arange(3) <= CLASSES[:, None]).astype(np.float32)
    data = data_of(network, targets=targets, loss_kind=loss)
    expected = functions[loss](
        torch.from_numpy(outputs_of(network, data.examples)), torch.from_numpy(targets)
    )
    result = train(network, data, ONE_STEP)
    assert result.loss_curve == [pytest.approx(float(expected), rel=1e-5)]


def test_only_the_first_tokens_of_words_count(tiny_model: ModelFactory) -> None:
    directory = tiny_model("bert")
    network, plain = (network_of(directory, unit="word") for _ in range(2))
    tokenized = examples_of(directory).tokenized
    starts, lengths = tokenized.offsets[:-1], tokenized.lengths
    # The first, third ... token of each text; -1 is a word without a token.
    positions = [np.arange(1, length - 1, 2) for length in lengths]
    words = [np.append(start + own, -1) for start, own in zip(starts, positions, strict=True)]
    first = np.concatenate([[0], np.cumsum([len(own) for own in words])])
    examples = Examples(tokenized, np.concatenate(words), first)
    targets = np.arange(first[-1]) % 3
    weights = np.ones(len(targets), dtype=np.float32)
    outputs = outputs_of(network, examples, batch_tokens=40)
    result = train(network, LabelledData(examples, targets, weights), ONE_STEP)

    assert isinstance(plain.head, ArchitectureHead)
    whole = plain.head.with_base(plain.base)
    losses = []
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        ids = torch.from_numpy(tokenized.ids[start : start + length]).long()[None]
        with torch.no_grad():
            logits = whole(ids).logits[0][positions[row]]
        logits = torch.cat([logits, torch.zeros(1, 3)])
        own = slice(*first[row : row + 2])
        np.testing.assert_allclose(outputs[own], logits, atol=1e-5)
        losses.append(
            torch.nn.functional.cross_entropy(
                logits, torch.from_numpy(targets[own]), reduction="none"
            )
        )
    assert result.loss_curve == [pytest.approx(float(torch.cat(losses).mean()), rel=1e-5)]
