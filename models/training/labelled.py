"""Examples with labels: the targets of texts, pairs or words, and their losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from .loop import predict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .examples import Batch, Examples
    from .lower_states import LowerStates
    from .network import TrainableNetwork

__all__ = ["LabelledData", "LabelledInputs", "Loss"]

Loss: TypeAlias = Literal["classes", "labels", "numbers"]


class LabelledInputs(NamedTuple):
    """Some examples, the states that enter the network, and targets with their weights."""

    batch: Batch
    entering: Tensor | None
    targets: Tensor
    weights: Tensor


@dataclass(frozen=True)
class LabelledData:
    """Examples, their targets, and the states that enter the trained layers.

    Parameters
    ----------
    examples : Examples
        The token sequences.
    targets : ndarray of shape (n_targets,) or (n_targets, n_outputs)
        A class (int64), labels or numbers (float32) of each example, or of each of its words.
    weights : ndarray of shape (n_targets,), float32
        Weights of the targets, 1 on average.
    loss_kind : {"classes", "labels", "numbers"}
        The cross-entropy of classes, that of several independent labels, or the squared error of
        numbers.
    lower : LowerStates or None
        The states below, if the network begins at them.
    """

    examples: Examples
    targets: NDArray[Any]
    weights: NDArray[np.float32]
    loss_kind: Loss = "classes"
    lower: LowerStates | None = None

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each example, of shape (n_examples,)."""
        return self.examples.n_tokens

    def draw(self, epoch: int) -> None:
        """Draw nothing: all epochs are alike."""

    def n_targets(self, rows: NDArray[np.int64]) -> int:
        """Return the number of targets of examples."""
        return len(self.examples.targets_of(rows))

    def prepare(self, rows: NDArray[np.int64]) -> LabelledInputs:
        """Return the inputs of examples, and their targets."""
        batch = self.examples.batch(rows)
        chosen = self.examples.targets_of(rows)
        return LabelledInputs(
            batch=batch,
            entering=None if self.lower is None else self.lower.of(batch.sequences),
            targets=torch.from_numpy(self.targets[chosen]),
            weights=torch.from_numpy(self.weights[chosen]),
        )

    def loss(
        self, network: TrainableNetwork, inputs: LabelledInputs, batch: NDArray[np.int64]
    ) -> Tensor:
        """Return what examples add to the weighted mean loss of a batch."""
        skip = self.examples.tokenized.n_prompt_tokens
        outputs = network.outputs(inputs.batch, inputs.entering, skip)
        targets, weights = (each.to(network.device) for each in (inputs.targets, inputs.weights))
        losses = weights * _plain_losses(outputs, targets, self.loss_kind)
        return losses.sum() / max(self.n_targets(batch), 1)

    def mean_loss(self, network: TrainableNetwork) -> float:
        """Return the weighted mean loss of all targets without dropout."""
        skip = self.examples.tokenized.n_prompt_tokens
        outputs = predict(
            network,
            self.examples,
            self.lower,
            lambda batch, states: network.outputs(batch, states, skip),
        )
        targets = torch.from_numpy(self.targets)
        losses = _plain_losses(torch.from_numpy(outputs), targets, self.loss_kind)
        weights = torch.from_numpy(self.weights)
        return float((losses * weights).sum() / weights.sum())


def _plain_losses(outputs: Tensor, targets: Tensor, loss: Loss) -> Tensor:
    if loss == "classes":
        return functional.cross_entropy(outputs, targets, reduction="none")
    if loss == "labels":
        each = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        return each.mean(dim=1)
    return functional.mse_loss(outputs, targets, reduction="none").mean(dim=1)
