"""Train a network on examples: batches of like length, AdamW, schedules, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...errors import OutOfMemoryError, TrainingDivergedError
from ..network.batching import Batches
from ..network.devices import fits_in_memory, tokens_per_batch
from .examples import bucketed_batches
from .schedules import Schedule, learning_rate_factor
from .seeding import RandomStream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .examples import Batch, Examples
    from .lower_states import LowerStates
    from .network import TrainableNetwork

__all__ = [
    "Loss",
    "Progress",
    "TrainingData",
    "TrainingResult",
    "TrainingSettings",
    "predict",
    "train",
]

Loss: TypeAlias = Literal["classes", "labels", "numbers"]

# In one backward pass: 16 sequences of 512. Without, a few long texts in windows would fill the
# memory, and of a CPU that ends the process, not in an error.
_MOST_TOKENS_ON_CPU = 1 << 13


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the names are those of the estimators' parameters.

    ``loss`` is the cross-entropy of ``"classes"``, that of several independent ``"labels"``, or the
    squared error of ``"numbers"``. ``head_learning_rate=None`` takes ``learning_rate``.
    """

    loss: Loss
    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float | None = None
    layer_decay: float = 1.0
    schedule: Schedule = "linear"
    warmup: float = 0.1
    is_gradual: bool = False
    weight_decay: float = 0.01
    max_grad_norm: float | None = 1.0
    early_stopping: bool = False
    n_iter_no_change: int = 1
    seed: int = 0


@dataclass(frozen=True)
class TrainingData:
    """Examples, their targets, and the states that enter the trained layers.

    Parameters
    ----------
    examples : Examples
        The token sequences.
    targets : ndarray of shape (n_targets,) or (n_targets, n_outputs)
        A class (int64), labels or numbers (float32) of each example, or of each of its words.
    weights : ndarray of shape (n_targets,), float32
        Weights of the targets, 1 on average.
    lower : LowerStates or None
        The states below, if the network begins at them.
    """

    examples: Examples
    targets: NDArray[Any]
    weights: NDArray[np.float32]
    lower: LowerStates | None = None


@dataclass
class TrainingResult:
    """What happened: ``n_iter`` epochs; the loss of each, and its score on validation data.

    A score is the negative loss, so that greater is better. ``is_over`` says that no epoch follows,
    whatever progress returns.
    """

    n_iter: int = 0
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    is_over: bool = False


class Progress(Protocol):
    """Receives what the loop has done."""

    def step(self, n_tokens: int, loss: float) -> None:
        """Take note of a step, which trained on ``n_tokens``."""

    def epoch(self, result: TrainingResult) -> bool:
        """Take note of the end of an epoch; return whether to stop."""


def train(
    network: TrainableNetwork,
    data: TrainingData,
    settings: TrainingSettings,
    validation: TrainingData | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network in place.

    With early stopping, training ends when the validation loss has not fallen for
    ``n_iter_no_change`` epochs, and the best weights come back. `TrainingDivergedError` is raised
    when the loss or a weight is not finite.
    """
    run = _Run(network, data, settings, progress)
    result = TrainingResult()
    best_epoch, best_loss, best = 0, math.inf, [each.detach() for _, each in run.trained]
    for epoch in range(settings.epochs):
        result.loss_curve.append(run.train_epoch(epoch))
        result.n_iter = epoch + 1
        if validation is not None:
            loss = _validation_loss(network, validation, settings.loss)
            if not math.isfinite(loss):
                raise run.diverged(epoch)
            result.validation_scores.append(-loss)
            if settings.early_stopping and loss < best_loss:
                best_epoch, best_loss = epoch, loss
                best = [each.detach().clone() for _, each in run.trained]
        is_worse = settings.early_stopping and epoch - best_epoch >= settings.n_iter_no_change
        result.is_over = is_worse or result.n_iter == settings.epochs
        must_stop = progress is not None and progress.epoch(result)
        if must_stop or result.is_over:
            break
    with torch.no_grad():
        for (_, parameter), kept in zip(run.trained, best, strict=True):
            parameter.copy_(kept)
    return result


class _Run:
    """One training: the optimizer, and where it is."""

    def __init__(
        self,
        network: TrainableNetwork,
        data: TrainingData,
        settings: TrainingSettings,
        progress: Progress | None,
    ) -> None:
        self._network = network
        self._data = data
        self._settings = settings
        self._progress = progress
        self._random = np.random.default_rng(settings.seed)
        self._dropout = RandomStream(settings.seed, network.device)
        self.trained = [
            (name, each) for name, each in network.named_parameters() if name in network.trained
        ]
        self._optimizer = _optimizer(network, settings, self.trained)
        self._step = 0
        self._n_steps = math.ceil(len(data.examples) / settings.batch_size) * settings.epochs
        n_tokens = int(data.examples.n_tokens.sum()) or 1
        is_on_cpu = network.device.type == "cpu"
        # Most tokens in one backward pass; it is halved when memory runs out.
        self._budget = min(n_tokens, _MOST_TOKENS_ON_CPU) if is_on_cpu else n_tokens

    def train_epoch(self, epoch: int) -> float:
        """Train on every example once; return the mean loss."""
        network, n_tokens = self._network, self._data.examples.n_tokens
        if self._settings.is_gradual:  # the head alone, then one more layer in each epoch
            for name, parameter in self.trained:
                parameter.requires_grad_(network.depth_of(name) > network.n_layers - epoch)
        network.train()
        total, n_targets = 0.0, 0
        for rows in bucketed_batches(n_tokens, self._settings.batch_size, self._random):
            loss, count = self._take_step(rows)
            if not math.isfinite(loss):
                raise self.diverged(epoch)
            total, n_targets = total + loss * count, n_targets + count
            if self._progress is not None:
                self._progress.step(int(n_tokens[rows].sum()), loss)
        network.train(False)
        if not all(bool(torch.isfinite(parameter).all()) for _, parameter in self.trained):
            raise self.diverged(epoch)
        return total / max(n_targets, 1)

    def _take_step(self, rows: NDArray[np.int64]) -> tuple[float, int]:
        settings = self._settings
        factor = learning_rate_factor(settings.schedule, self._step, self._n_steps, settings.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        loss, count = self._backward(rows)
        if settings.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(
                [parameter for _, parameter in self.trained], settings.max_grad_norm
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._step += 1
        return loss, count

    def _backward(self, rows: NDArray[np.int64]) -> tuple[float, int]:
        """Add up the gradients of a batch; return its mean loss and its number of targets."""
        device = self._network.device
        n_tokens = self._data.examples.n_tokens[rows]
        losses: list[float] = []
        while not fits_in_memory(partial(self._add_gradients, rows, losses), device):
            losses.clear()
            for parameter in self._network.parameters():
                parameter.grad = None
            longest = int(n_tokens.max())
            if self._budget <= longest:
                raise _too_long(longest, device)
            self._budget = max(longest, min(self._budget, int(n_tokens.sum())) // 2)
        return sum(losses), len(self._data.examples.targets_of(rows))

    def _add_gradients(self, rows: NDArray[np.int64], losses: list[float]) -> None:
        """Run a batch in as many passes as it needs; append the part of the loss of each."""
        network, data = self._network, self._data
        n_targets = max(len(data.examples.targets_of(rows)), 1)
        for part in Batches(data.examples.n_tokens[rows], self._budget):
            batch = data.examples.batch(rows[part])
            entering = None if data.lower is None else data.lower.of(batch.sequences)
            chosen = data.examples.targets_of(rows[part])
            targets = torch.from_numpy(data.targets[chosen]).to(network.device)
            weights = torch.from_numpy(data.weights[chosen]).to(network.device)
            with self._dropout.block():  # not the reading of states: it may wait for other threads
                outputs = network.outputs(batch, entering, data.examples.tokenized.n_prompt_tokens)
                # The mean over the whole batch, however many passes it takes.
                each = weights * _plain_losses(outputs, targets, self._settings.loss)
                mean = each.sum() / n_targets
                mean.backward()
            losses.append(float(mean.detach()))

    def diverged(self, epoch: int) -> TrainingDivergedError:
        """Return the error for a loss or a weight that is not finite."""
        return TrainingDivergedError(
            f"The loss is not finite in epoch {epoch + 1}, after {self._step} steps, with"
            f" learning_rate={self._settings.learning_rate:g}: training diverged. Lower"
            " 'learning_rate', raise 'warmup', or lower 'max_grad_norm'."
        )


def predict(
    network: TrainableNetwork,
    examples: Examples,
    lower: LowerStates | None,
    compute: Callable[[Batch, Tensor | None], Tensor],
    batch_tokens: int | None = None,
) -> NDArray[np.float32]:
    """Return what ``compute`` gives for batches of examples, row by row or word by word."""
    lengths = examples.n_tokens
    budget = batch_tokens or tokens_per_batch(network.device, network.checkpoint.widest)
    batches = Batches(lengths, budget)
    result: NDArray[np.float32] | None = None
    targets = examples.targets_of(np.arange(len(examples)))

    def of_part(part: Batch) -> NDArray[np.float32]:
        entering = None if lower is None else lower.of(part.sequences)
        outputs: NDArray[np.float32] = compute(part, entering).float().cpu().numpy()
        return outputs

    def run(rows: NDArray[np.int64]) -> None:
        nonlocal result
        with torch.no_grad():
            # The windows of one long example may need several.
            found = reduce(np.add, map(of_part, examples.batch(rows).parts(batches.budget)))
        if result is None:
            result = np.zeros((len(targets), found.shape[1]), dtype=np.float32)
        result[examples.targets_of(rows)] = found

    for rows in batches:
        if not fits_in_memory(partial(run, rows), network.device) and not batches.halve(rows):
            raise _too_long(int(lengths[rows[0]]), network.device)
    if result is None:  # no example has a token
        with torch.no_grad():
            probe = network.probe()
            states = torch.zeros(len(probe.ids), network.checkpoint.hidden_size)
            width = compute(probe, states.to(network.device)).shape[1]
        result = np.zeros((len(targets), width), dtype=np.float32)
    return result


def _optimizer(
    network: TrainableNetwork,
    settings: TrainingSettings,
    trained: list[tuple[str, torch.nn.Parameter]],
) -> torch.optim.AdamW:
    """Return AdamW; biases and norms, which have one dimension, are not decayed."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    top = network.n_layers
    for name, parameter in trained:
        rate = settings.learning_rate
        if name.startswith("head."):
            rate = settings.head_learning_rate or rate
        elif settings.layer_decay != 1:
            rate *= settings.layer_decay ** max(top - network.depth_of(name), 0)
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "initial_lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ],
        fused=network.device.type in ("cpu", "cuda", "mps"),
    )


def _plain_losses(outputs: Tensor, targets: Tensor, loss: Loss) -> Tensor:
    if loss == "classes":
        return functional.cross_entropy(outputs, targets, reduction="none")
    if loss == "labels":
        each = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        return each.mean(dim=1)
    return functional.mse_loss(outputs, targets, reduction="none").mean(dim=1)


def _validation_loss(network: TrainableNetwork, data: TrainingData, loss: Loss) -> float:
    """Return the weighted mean loss without dropout."""
    skip = data.examples.tokenized.n_prompt_tokens
    outputs = predict(
        network,
        data.examples,
        data.lower,
        lambda batch, states: network.outputs(batch, states, skip),
    )
    losses = _plain_losses(torch.from_numpy(outputs), torch.from_numpy(data.targets), loss)
    weights = torch.from_numpy(data.weights)
    return float((losses * weights).sum() / weights.sum())


def _too_long(n_tokens: int, device: torch.device) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"One example of {n_tokens} tokens does not fit into the memory of device '{device}'. Lower"
        " 'max_length' or 'trainable_layers', or use another device."
    )
