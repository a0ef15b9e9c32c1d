"""Train a network on examples: batches of like length, AdamW, schedules, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...errors import OutOfMemoryError, TrainingDivergedError
from ..network.batching import Batches
from ..network.devices import fits_in_memory, return_freed_memory, tokens_per_batch
from .examples import bucketed_batches
from .schedules import Schedule, learning_rate_factor
from .seeding import RandomStream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .examples import Batch, Examples
    from .lower_states import LowerStates
    from .network import TrainableNetwork

__all__ = [
    "Progress",
    "Training",
    "TrainingData",
    "TrainingResult",
    "TrainingSettings",
    "TrainingState",
    "predict",
    "run_batches",
    "train",
]

# In one backward pass: 16 sequences of 512. Without, a few long texts in windows would fill the
# memory, and of a CPU that ends the process, not in an error.
_MOST_TOKENS_ON_CPU = 1 << 13
# glibc keeps what batches of other lengths freed: 800 MiB in an epoch over 10 MB of text.
_STEPS_UNTIL_RETURN = 50


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the names are those of the estimators' parameters.

    ``head_learning_rate=None`` takes ``learning_rate``. ``pass_tokens`` are the most tokens of one
    backward pass; None takes what suits the device.
    """

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
    pass_tokens: int | None = None


class TrainingData(Protocol):
    """Examples and what is learned from them."""

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each example, of shape (n_examples,); the number of examples never changes."""

    def draw(self, epoch: int) -> None:
        """Draw what differs between epochs, such as masks, from a seed and the epoch."""

    def n_targets(self, rows: NDArray[np.int64]) -> int:
        """Return the number of targets of examples, whose mean is the loss."""

    def prepare(self, rows: NDArray[np.int64]) -> Any:
        """Return the inputs of examples for `loss`; this may read files, or wait for a store."""

    def loss(self, network: TrainableNetwork, inputs: Any, batch: NDArray[np.int64]) -> Tensor:
        """Return what examples add to the mean loss of a batch, of which they are a part."""

    def mean_loss(self, network: TrainableNetwork) -> float:
        """Return the mean loss of all examples without dropout."""


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


@dataclass(frozen=True)
class TrainingState:
    """Where a training is after an epoch: ``tensors`` by name, and ``numbers`` for JSON."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


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
    training = Training(network, data, settings, validation, progress)
    while not training.is_over:
        training.run_epoch()
    training.take_best()
    return training.result


class Training:
    """One training: the optimizer, and where it is.

    `state` is all that the rest depends on. Another training of the same network, data and settings
    goes on from there by `restore`, with the same numbers as if it had never ended.
    """

    def __init__(
        self,
        network: TrainableNetwork,
        data: TrainingData,
        settings: TrainingSettings,
        validation: TrainingData | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.result = TrainingResult()
        self.is_over = settings.epochs == 0
        self._network = network
        self._data = data
        self._settings = settings
        self._validation = validation
        self._progress = progress
        self._random = np.random.default_rng(settings.seed)
        self._dropout = RandomStream(settings.seed, network.device)
        self._trained = [
            (name, each) for name, each in network.named_parameters() if name in network.trained
        ]
        self._optimizer = _optimizer(network, settings, self._trained)
        self._step = 0
        self._n_steps = math.ceil(len(data.n_tokens) / settings.batch_size) * settings.epochs
        n_tokens = int(data.n_tokens.sum()) or 1
        is_on_cpu = network.device.type == "cpu"
        # Most tokens in one backward pass; it is halved when memory runs out.
        self._budget = min(n_tokens, _MOST_TOKENS_ON_CPU) if is_on_cpu else n_tokens
        self._budget = min(self._budget, settings.pass_tokens or self._budget)
        self._best_epoch, self._best_loss = 0, math.inf
        self._best = [each.detach() for _, each in self._trained]

    def run_epoch(self) -> None:
        """Train on every example once, and validate."""
        settings, result, epoch = self._settings, self.result, self.result.n_iter
        result.loss_curve.append(self._train_epoch(epoch))
        result.n_iter = epoch + 1
        if self._validation is not None:
            loss = self._validation.mean_loss(self._network)
            if not math.isfinite(loss):
                raise self._diverged(epoch)
            result.validation_scores.append(-loss)
            if settings.early_stopping and loss < self._best_loss:
                self._best_epoch, self._best_loss = epoch, loss
                self._best = [each.detach().clone() for _, each in self._trained]
        is_worse = settings.early_stopping and (
            epoch - self._best_epoch >= settings.n_iter_no_change
        )
        result.is_over = is_worse or result.n_iter == settings.epochs
        must_stop = self._progress is not None and self._progress.epoch(result)
        self.is_over = must_stop or result.is_over

    def take_best(self) -> None:
        """Give the network the weights with the least validation loss; the last without it."""
        with torch.no_grad():
            for (_, parameter), kept in zip(self._trained, self._best, strict=True):
                parameter.copy_(kept)

    def state(self) -> TrainingState:
        """Return all that the epochs to come depend on."""
        tensors = {f"weights.{name}": each.detach() for name, each in self._trained}
        if self._settings.early_stopping:
            names = [name for name, _ in self._trained]
            tensors |= {f"best.{name}": each for name, each in zip(names, self._best, strict=True)}
        for number, of_parameter in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": each for key, each in of_parameter.items()}
        tensors |= {f"dropout.{number}": each for number, each in enumerate(self._dropout.state)}
        return TrainingState(
            tensors={name: each.cpu().contiguous() for name, each in tensors.items()},
            numbers={
                "result": asdict(self.result),
                "is_over": self.is_over,
                "step": self._step,
                "budget": self._budget,
                "best_epoch": self._best_epoch,
                "best_loss": self._best_loss if math.isfinite(self._best_loss) else None,
                "random": self._random.bit_generator.state,
            },
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from a state, or raise KeyError or ValueError if it is of another network."""
        numbers, device = state.numbers, self._network.device
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in state.tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = tensor
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups.get("optimizer", {}).items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = tensor
        weights, result = groups["weights"], TrainingResult(**deepcopy(numbers["result"]))
        if not len(result.loss_curve) == result.n_iter <= self._settings.epochs:
            raise ValueError("the number of its epochs is wrong")
        shapes = {name: each.shape for name, each in self._trained}
        if {name: each.shape for name, each in weights.items()} != shapes:
            raise ValueError("the weights are of another network")
        with torch.no_grad():
            for name, parameter in self._trained:
                parameter.copy_(weights[name])
        self._optimizer.load_state_dict(
            {"state": moments, "param_groups": self._optimizer.state_dict()["param_groups"]}
        )
        self._dropout.state = [groups["dropout"][str(n)] for n in range(len(groups["dropout"]))]
        if self._settings.early_stopping:
            self._best = [groups["best"][name].to(device) for name, _ in self._trained]
        self.result = result
        self.is_over = numbers["is_over"]
        self._step, self._budget = numbers["step"], numbers["budget"]
        best_loss = numbers["best_loss"]
        self._best_epoch = numbers["best_epoch"]
        self._best_loss = math.inf if best_loss is None else best_loss
        self._random.bit_generator.state = numbers["random"]

    def _train_epoch(self, epoch: int) -> float:
        """Train on every example once; return the mean loss."""
        network = self._network
        self._data.draw(epoch)
        n_tokens = self._data.n_tokens
        if self._settings.is_gradual:  # the head alone, then one more layer in each epoch
            depths = [network.depth_of(name) for name, _ in self._trained]
            lowest = max(depths) - epoch  # GPT-2's head has no weights: its last layer begins
            for depth, (_, parameter) in zip(depths, self._trained, strict=True):
                parameter.requires_grad_(depth >= lowest)
        network.train()
        total, n_targets = 0.0, 0
        for rows in bucketed_batches(n_tokens, self._settings.batch_size, self._random):
            loss, count = self._take_step(rows)
            if not math.isfinite(loss):
                raise self._diverged(epoch)
            total, n_targets = total + loss * count, n_targets + count
            if self._step % _STEPS_UNTIL_RETURN == 0:
                return_freed_memory()
            if self._progress is not None:
                self._progress.step(int(n_tokens[rows].sum()), loss)
        network.train(False)
        if not all(bool(torch.isfinite(parameter).all()) for _, parameter in self._trained):
            raise self._diverged(epoch)
        return total / max(n_targets, 1)

    def _take_step(self, rows: NDArray[np.int64]) -> tuple[float, int]:
        settings = self._settings
        factor = learning_rate_factor(settings.schedule, self._step, self._n_steps, settings.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        loss = self._backward(rows)
        if settings.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(
                [parameter for _, parameter in self._trained], settings.max_grad_norm
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._step += 1
        return loss, self._data.n_targets(rows)

    def _backward(self, rows: NDArray[np.int64]) -> float:
        """Add up the gradients of a batch; return its mean loss."""
        device = self._network.device
        n_tokens = self._data.n_tokens[rows]
        losses: list[float] = []
        while not fits_in_memory(partial(self._add_gradients, rows, losses), device):
            losses.clear()
            for parameter in self._network.parameters():
                parameter.grad = None
            longest = int(n_tokens.max())
            if self._budget <= longest:
                raise _too_long(longest, device)
            self._budget = max(longest, min(self._budget, int(n_tokens.sum())) // 2)
        return sum(losses)

    def _add_gradients(self, rows: NDArray[np.int64], losses: list[float]) -> None:
        """Run a batch in as many passes as it needs; append the part of the loss of each."""
        for part in Batches(self._data.n_tokens[rows], self._budget):
            inputs = self._data.prepare(rows[part])
            with self._dropout.block():  # not the preparation: it may wait for other threads
                # A part of the mean over the whole batch, however many passes it takes.
                loss = self._data.loss(self._network, inputs, rows)
                loss.backward()
            losses.append(float(loss.detach()))

    def _diverged(self, epoch: int) -> TrainingDivergedError:
        """Return the error for a loss or a weight that is not finite."""
        return TrainingDivergedError(
            f"The loss is not finite in epoch {epoch + 1}, after {self._step} steps, with"
            f" learning_rate={self._settings.learning_rate:g}: training diverged. Lower"
            " 'learning_rate', raise 'warmup', or lower 'max_grad_norm'."
        )


def run_batches(
    run: Callable[[NDArray[np.int64]], None], batches: Batches, device: torch.device
) -> None:
    """Call ``run`` with each batch, or with smaller ones where memory runs out."""
    for rows in batches:
        if not fits_in_memory(partial(run, rows), device) and not batches.halve(rows):
            raise _too_long(int(batches.lengths[rows[0]]), device)


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

    run_batches(run, batches, network.device)
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


def _too_long(n_tokens: int, device: torch.device) -> OutOfMemoryError:
    """Return the error for an example that does not fit into memory."""
    return OutOfMemoryError(
        f"One example of {n_tokens} tokens does not fit into the memory of device '{device}'. Lower"
        " 'max_length' or 'trainable_layers', or use another device."
    )
