"""Tests of models/training/loop.py, against transformers' Trainer and against itself."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments
from transformers.utils import is_accelerate_available

from bertvectorizer.errors import OutOfMemoryError, TrainingDivergedError
from bertvectorizer.models.training import labelled, loop
from bertvectorizer.models.training.examples import bucketed_batches
from bertvectorizer.models.training.heads import ArchitectureHead
from bertvectorizer.models.training.loop import Training, TrainingResult, TrainingState, train
from bertvectorizer.models.training.network import TrainableNetwork
from tests.tiny import ModelFactory
from tests.training import (
    CLASSES,
    TEXTS,
    assert_equal_weights,
    data_of,
    examples_of,
    network_of,
    outputs_of,
    settings_of,
    weights_of,
)

pytestmark = pytest.mark.numeric


# One step on all examples, whose sizes show gradients and rates.
ONE_STEP = settings_of(epochs=1, batch_size=99, schedule="constant", warmup=0.0, weight_decay=0.0)


class Steps:
    """Notes every step and the weights after each epoch, and stops if it is told to."""

    def __init__(self, network: TrainableNetwork, last_epoch: int | None = None) -> None:
        self.losses: list[float] = []
        self.n_tokens = 0
        self.weights = [weights_of(network)]
        self._network = network
        self._last_epoch = last_epoch

    def step(self, n_tokens: int, loss: float) -> None:
        self.n_tokens += n_tokens
        self.losses.append(loss)

    def epoch(self, result: TrainingResult) -> bool:
        self.weights.append(weights_of(self._network))
        return result.n_iter == self._last_epoch

    def changed(self, epoch: int) -> set[str]:
        """Names of what an epoch changed."""
        before, after = self.weights[epoch : epoch + 2]
        return {name for name in after if not torch.equal(before[name], after[name])}


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
        steps = Steps(network)
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


class TestRates:
    def test_each_layer_has_its_rate(self, tiny_model: ModelFactory) -> None:
        """Adam's first step is as long as the learning rate, whatever the gradient."""
        network = network_of(tiny_model("bert"), needs_depths=True)
        steps = Steps(network)
        rates = {"layer_decay": 0.5, "head_learning_rate": 3e-3, "max_grad_norm": None}
        train(network, data_of(network), replace(ONE_STEP, **rates), progress=steps)
        before, after = steps.weights
        for name, each in after.items():
            rate = 3e-3 if name.startswith("head.") else 1e-3 * 0.5 ** (3 - network.depth_of(name))
            longest = float((each - before[name]).abs().max())
            assert longest == pytest.approx(rate, rel=0.01) or name.endswith("key.bias"), name

    def test_layers_thaw_one_by_one_from_the_head_on(self, tiny_model: ModelFactory) -> None:
        network = network_of(tiny_model("bert"), needs_depths=True)
        steps = Steps(network)
        settings = settings_of(epochs=6, warmup=0.0, weight_decay=0.0, is_gradual=True)
        train(network, data_of(network), settings, progress=steps)
        for epoch in range(6):
            thawed = {name for name in network.trained if network.depth_of(name) > 3 - epoch}
            assert steps.changed(epoch) == thawed, epoch

    @pytest.mark.parametrize("n_trained", [0, 1])
    def test_only_what_trains_thaws(self, tiny_model: ModelFactory, n_trained: int) -> None:
        network = network_of(
            tiny_model("bert"), n_trained_layers=n_trained, needs_depths=True, dropout=None
        )
        steps = Steps(network)
        settings = settings_of(epochs=3, warmup=0.0, is_gradual=True, layer_decay=1 / 2.6)
        train(network, data_of(network), settings, progress=steps)
        assert steps.changed(2) == network.trained
        assert {name for name in steps.changed(0) if not name.startswith("head.")} == set()


class TestEarlyStopping:
    @pytest.mark.parametrize(("patience", "is_gradual"), [(1, False), (2, True)])
    def test_the_best_weights_come_back(
        self, tiny_model: ModelFactory, patience: int, is_gradual: bool
    ) -> None:
        network = network_of(tiny_model("bert"), dropout=0.1, needs_depths=True)
        data = data_of(network, TEXTS[:16], CLASSES[:16])
        others = data_of(network, TEXTS[16:], CLASSES[16:], np.arange(1.0, 9.0))
        settings = settings_of(
            epochs=12,
            learning_rate=3e-3,
            early_stopping=True,
            n_iter_no_change=patience,
            is_gradual=is_gradual,
        )
        steps = Steps(network)
        result = train(network, data, settings, others, steps)
        scores = result.validation_scores
        assert len(scores) == len(result.loss_curve) == result.n_iter < 12
        best = int(np.argmax(scores))
        assert result.n_iter == best + 1 + patience
        assert_equal_weights(weights_of(network), steps.weights[best + 1], tolerance=0)
        logits = torch.from_numpy(outputs_of(network, others.examples))
        losses = torch.nn.functional.cross_entropy(
            logits, torch.from_numpy(CLASSES[16:]), reduction="none"
        )
        expected = float(np.average(losses.numpy(), weights=np.arange(1.0, 9.0)))
        assert -scores[best] == pytest.approx(expected, rel=1e-5)

    def test_scores_alone_stop_nothing_and_progress_does(self, tiny_model: ModelFactory) -> None:
        network = network_of(tiny_model("bert"))
        data = data_of(network)
        steps = Steps(network, last_epoch=3)
        result = train(network, data, settings_of(epochs=5, learning_rate=1e-2), data, steps)
        assert len(result.validation_scores) == result.n_iter == 3
        assert_equal_weights(weights_of(network), steps.weights[3], tolerance=0)


def test_freed_memory_is_returned_during_a_long_epoch(
    tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(loop, "_STEPS_UNTIL_RETURN", 3)
    monkeypatch.setattr(loop, "return_freed_memory", lambda: calls.append(1))
    network = network_of(tiny_model("bert"))
    train(network, data_of(network), settings_of(epochs=2, batch_size=4))  # 12 steps
    assert len(calls) == 4


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_training_goes_on_from_its_state(tiny_model: ModelFactory, early_stopping: bool) -> None:
    """With dropout, the orders of later epochs, moments and best weights among it."""
    directory = tiny_model("bert")
    settings = settings_of(epochs=4, early_stopping=early_stopping, n_iter_no_change=3)
    networks = [network_of(directory, dropout=0.1) for _ in range(2)]
    whole, other = (
        Training(network, data_of(network), settings, data_of(network, TEXTS[:5], CLASSES[:5]))
        for network in networks
    )
    whole.run_epoch()
    whole.run_epoch()
    state = whole.state()
    tensors = {name: each.clone() for name, each in state.tensors.items()}
    numbers = json.loads(json.dumps(state.numbers))
    other.restore(TrainingState(tensors, numbers))
    for training in (whole, other):
        while not training.is_over:
            training.run_epoch()
        training.take_best()
    assert other.result == whole.result
    assert other.result.n_iter == 4
    assert_equal_weights(*map(weights_of, networks), tolerance=0)
    wrong = {name: each.flatten() for name, each in tensors.items()}
    with pytest.raises(ValueError, match="another network"):
        other.restore(TrainingState(wrong, numbers))


class TestHardData:
    @pytest.mark.parametrize("n_trained", [None, 1])
    def test_texts_without_tokens_do_no_harm(
        self, tiny_model: ModelFactory, n_trained: int | None
    ) -> None:
        directory = tiny_model("gpt2")
        network = network_of(directory, n_trained_layers=n_trained)
        texts = ["", *TEXTS[:9], "", "", ""]
        data = data_of(network, texts, np.arange(len(texts)) % 3)
        steps = Steps(network)
        result = train(network, data, settings_of(batch_size=2), progress=steps)
        assert np.isfinite(result.loss_curve).all()
        assert steps.n_tokens == 2 * data.examples.n_tokens.sum()
        outputs = outputs_of(network, data.examples)
        assert not outputs[[0, 10, 11, 12]].any()
        assert outputs[1:10].all()
        nothing = examples_of(directory, ["", ""])
        assert np.array_equal(outputs_of(network, nothing), np.zeros((2, 3)))
        assert outputs_of(network, examples_of(directory, [])).shape == (0, 3)

    @pytest.mark.parametrize("on_validation", [False, True])
    def test_a_loss_that_is_not_finite_is_an_error(
        self, tiny_model: ModelFactory, on_validation: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network = network_of(tiny_model("bert"))
        data = data_of(network)
        settings = settings_of(learning_rate=1e-3 if on_validation else 1e30, warmup=0.0)
        if on_validation:
            monkeypatch.setattr(
                *(labelled, "predict"), lambda *args: np.full((len(TEXTS), 3), np.nan, np.float32)
            )
        with pytest.raises(TrainingDivergedError, match=r"not finite in epoch 1.*'learning_rate'"):
            train(network, data, settings, data)


class Limited:
    """Lets memory run out in passes of more tokens than a limit, and once in a given pass."""

    def __init__(self, network: TrainableNetwork, limit: int, fails_at: int = 0) -> None:
        self.sizes: list[int] = []
        outputs = network.outputs

        def limited(batch: Any, *others: Any) -> torch.Tensor:
            self.sizes.append(len(batch.ids))
            if len(batch.ids) > limit or len(self.sizes) == fails_at:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return outputs(batch, *others)

        network.outputs = limited  # type: ignore[method-assign]


class TestMemory:
    @pytest.mark.parametrize("n_trained", [None, 1])
    def test_smaller_passes_give_the_same_weights(
        self, tiny_model: ModelFactory, n_trained: int | None
    ) -> None:
        directory = tiny_model("bert")
        plain, network = (network_of(directory, n_trained_layers=n_trained) for _ in range(2))
        weights = np.arange(1.0, len(TEXTS) + 1)
        settings = settings_of(batch_size=12)
        expected = train(plain, data_of(plain, weights=weights), settings)
        # The seventh pass is one of several of its batch, whose gradients are then dropped.
        limited = Limited(network, 60, fails_at=7)
        steps = Steps(network)
        result = train(network, data_of(network, weights=weights), settings, progress=steps)
        assert sum(size > 60 for size in limited.sizes) == 2
        np.testing.assert_allclose(result.loss_curve, expected.loss_curve, rtol=1e-6)
        assert_equal_weights(weights_of(network), weights_of(plain))
        assert len(steps.losses) == 4

        found = outputs_of(network, data_of(network).examples)
        assert max(limited.sizes[-3:]) <= 60
        np.testing.assert_allclose(found, outputs_of(plain, data_of(plain).examples), atol=1e-5)

    def test_a_cpu_takes_large_batches_in_parts(
        self, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory, settings = tiny_model("bert"), settings_of(batch_size=12, epochs=1)
        plain, network = network_of(directory), network_of(directory)
        whole, parts = Limited(plain, 10**6), Limited(network, 10**6)
        expected = train(plain, data_of(plain), settings)
        monkeypatch.setattr(loop, "_MOST_TOKENS_ON_CPU", 60)
        result = train(network, data_of(network), settings)
        assert max(parts.sizes) <= 60 < max(whole.sizes)
        np.testing.assert_allclose(result.loss_curve, expected.loss_curve, rtol=1e-6)

    def test_one_example_that_does_not_fit_is_an_error(self, tiny_model: ModelFactory) -> None:
        network = network_of(tiny_model("bert"))
        data = data_of(network)
        longest = int(data.examples.n_tokens.max())
        Limited(network, longest - 1)
        message = f"One example of {longest} tokens does not fit .* Lower 'max_length'"
        with pytest.raises(OutOfMemoryError, match=message):
            train(network, data, settings_of())
        with pytest.raises(OutOfMemoryError, match=message):
            outputs_of(network, data.examples)

    def test_other_errors_pass(
        self, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network = network_of(tiny_model("bert"))

        def fail(*args: Any) -> torch.Tensor:
            raise ValueError("another fault")

        monkeypatch.setattr(network, "outputs", fail)
        for call in (
            lambda: train(network, data_of(network), settings_of()),
            lambda: outputs_of(network, data_of(network).examples),
        ):
            with pytest.raises(ValueError, match="another fault"):
                call()
