"""Tiny networks and examples to train, shared by the tests of models/training/."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertvectorizer.models import PairTokenizer, TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.training.examples import Examples
from bertvectorizer.models.training.labelled import LabelledData, Loss
from bertvectorizer.models.training.loop import TrainingSettings, predict
from bertvectorizer.models.training.lower_states import LowerStates
from bertvectorizer.models.training.network import NetworkSpec, TrainableNetwork
from tests.tiny import WORDS

CPU = torch.device("cpu")
N_CLASSES = 3
TEXTS = [
    " ".join(np.random.default_rng(number).choice(WORDS[:14], size=1 + number * 5 % 17))
    for number in range(24)
]
PAIRS = list(zip(TEXTS[::2], TEXTS[1::2], strict=True))
CLASSES = np.arange(len(TEXTS)) * 7 % N_CLASSES


def network_of(directory: Path, **changes: Any) -> TrainableNetwork:
    """Return a network without dropout, whose fields of `NetworkSpec` are changed."""
    spec: dict[str, Any] = {
        "unit": "text",
        "n_outputs": N_CLASSES,
        "pooling": None,
        "n_trained_layers": None,
        "dropout": 0.0,
        "vocab_size": None,
        "seed": 0,
    }
    device = changes.pop("device", CPU)
    return TrainableNetwork(open_checkpoint(directory), device, NetworkSpec(**{**spec, **changes}))


def examples_of(
    directory: Path, texts: Sequence[Any] = TEXTS, is_pairs: bool = False, **settings: Any
) -> Examples:
    """Return texts, or pairs of them, as token sequences."""
    checkpoint = open_checkpoint(directory)
    if is_pairs:
        pairs = PairTokenizer(checkpoint, load_tokenizer(checkpoint), **settings)
        return Examples(pairs(*(list(side) for side in zip(*texts, strict=True))))
    return Examples(TextTokenizer(checkpoint, load_tokenizer(checkpoint), **settings)(texts))


def lower_of(network: TrainableNetwork, examples: Examples) -> LowerStates | None:
    """Return the states that enter a network, None if it begins at the tokens."""
    if network.begins_at is None:
        return None
    return LowerStates(
        *(network.checkpoint, network.device, "float32", network.begins_at, examples.tokenized),
        None,
    )


def data_of(
    network: TrainableNetwork,
    texts: Sequence[Any] = TEXTS,
    targets: NDArray[Any] = CLASSES,
    weights: NDArray[Any] | None = None,
    loss_kind: Loss = "classes",
    **settings: Any,
) -> LabelledData:
    """Return texts and targets to train a network on, weighted alike."""
    examples = examples_of(network.checkpoint.directory, texts, **settings)
    weights = np.ones(len(targets)) if weights is None else weights / weights.mean()
    lower = lower_of(network, examples)
    return LabelledData(examples, targets, weights.astype(np.float32), loss_kind, lower)


def settings_of(**changes: Any) -> TrainingSettings:
    """Return settings of a short training."""
    return TrainingSettings(**{"epochs": 2, "batch_size": 6, "learning_rate": 1e-3, **changes})


def outputs_of(network: TrainableNetwork, examples: Examples, **options: Any) -> NDArray[Any]:
    """Return what a network gives for examples."""
    skip = examples.tokenized.n_prompt_tokens
    return predict(
        *(network, examples, lower_of(network, examples)),
        lambda batch, states: network.outputs(batch, states, skip),
        **options,
    )


def weights_of(network: TrainableNetwork) -> dict[str, torch.Tensor]:
    """Return copies of all parameters by name."""
    return {name: each.detach().clone() for name, each in network.named_parameters()}


# A softmax does not depend on the bias of its keys. What its gradient has is rounding, which Adam
# makes as large as the learning rate.
_KEY_BIAS = re.compile(r"\b(key|k|k_lin|key_proj|c_attn)\.bias$")


def assert_equal_weights(
    found: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    names: Iterable[str] | None = None,
    tolerance: float = 1e-6,
) -> None:
    """Compare parameters by name."""
    for name in expected if names is None else names:
        difference = float((found[name] - expected[name]).detach().abs().max())
        assert difference <= tolerance or _KEY_BIAS.search(name), (name, difference)
