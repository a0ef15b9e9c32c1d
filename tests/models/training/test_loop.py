"""Tests of models/training/loop.py, against transformers' Trainer and against itself."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments
from transformers.utils import is_accelerate_available

from bertvectorizer.models.training.examples import bucketed_batches
from bertvectorizer.models.training.heads import ArchitectureHead
from bertvectorizer.models.training.loop import TrainingResult, train
from tests.tiny import ModelFactory
from tests.training import (
    CLASSES,
    assert_equal_weights,
    data_of,
    network_of,
    settings_of,
    weights_of,
)

pytestmark = pytest.mark.numeric


class Steps:
    """Notes every step, and stops after an epoch if it is told to."""

    def __init__(self, last_epoch: int | None = None) -> None:
        self.losses: list[float] = []
        self.n_tokens = 0
        self._last_epoch = last_epoch

    def step(self, n_tokens: int, loss: float) -> None:
        self.n_tokens += n_tokens
        self.losses.append(loss)

    def epoch(self, result: TrainingResult) -> bool:
        return result.n_iter == self._last_epoch


class TestTrainer:
    @pytest.mark.skipif(not is_accelerate_available(), reason="Trainer needs accelerate")
    def test_losses_and_weights_are_those_of_transformers_trainer(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        """16 steps of the same batches in the same order, without dropout."""
        directory = tiny_model("bert", initializer_range=0.1)
        network, theirs = (network_of(directory) for _ in range(2))
        data = data_of(network)
        settings = settings_of(
            epochs=4, learning_rate=1e-3, warmup=0.25, weight_decay=0.1, max_grad_norm=0.5, seed=3
        )
        steps = Steps()
        train(network, data, settings, progress=steps)
        assert len(steps.losses) == 16

        order = np.random.default_rng(3)
        n_tokens, tokenized = data.examples.n_tokens, data.examples.tokenized
        rows = [
            row
            for _ in range(4)
            for batch in bucketed_batches(n_tokens, 6, order)
            for row in batch.tolist()
        ]
        columns = [
            {
                "input_ids": tokenized.ids[slice(*tokenized.offsets[row : row + 2])].tolist(),
                "labels": int(CLASSES[row]),
            }
            for row in rows
        ]
        losses: list[float] = []

        class InOrder(Trainer):
            def _get_train_sampler(self, *args: Any) -> Any:
                return torch.utils.data.SequentialSampler(columns)

            def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
                loss: torch.Tensor = super().training_step(*args, **kwargs)
                losses.append(float(loss))
                return loss

        def pad(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
            ids = [torch.tensor(each["input_ids"]) for each in batch]
            return {
                "input_ids": torch.nn.utils.rnn.pad_sequence(ids, batch_first=True),
                "attention_mask": torch.nn.utils.rnn.pad_sequence(
                    [torch.ones_like(each) for each in ids], batch_first=True
                ),
                "labels": torch.tensor([each["labels"] for each in batch]),
            }

        assert isinstance(theirs.head, ArchitectureHead)
        whole = theirs.head.with_base(theirs.base)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = InOrder(
                whole,
                TrainingArguments(
                    str(tmp_path),
                    num_train_epochs=1,
                    per_device_train_batch_size=6,
                    learning_rate=1e-3,
                    lr_scheduler_type="linear",
                    warmup_steps=4,
                    weight_decay=0.1,
                    max_grad_norm=0.5,
                    save_strategy="no",
                    logging_strategy="steps",
                    logging_steps=1,
                    report_to=[],
                    use_cpu=True,
                    disable_tqdm=True,
                ),
                train_dataset=columns,
                data_collator=pad,
            )
            trainer.train()
        norms = [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]
        assert min(norms) < 0.5 < max(norms)  # clipping was at work in some steps
        np.testing.assert_allclose(steps.losses, losses, atol=1e-6)
        prefix, ours = f"{whole.base_model_prefix}.", weights_of(network)
        expected = {}
        for name, each in whole.named_parameters():
            in_base = f"base.{name.removeprefix(prefix)}"
            expected[in_base if in_base in ours else f"head.whole.{name}"] = each
        assert expected.keys() == ours.keys()
        assert_equal_weights(ours, expected)
