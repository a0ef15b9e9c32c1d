"""Questions with windows of their contexts, and the loss of where their answers begin and end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..checkpoint.question_tokens import QuestionWindows
from .examples import Examples
from .labelled import LabelledInputs
from .loop import predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .lower_states import LowerStates
    from .network import TrainableNetwork

__all__ = ["AnswerData", "AnswerExamples"]


@dataclass(frozen=True, kw_only=True)
class AnswerExamples(Examples):
    """Examples of which each is a window with all its tokens; ``windows`` tells their rows."""

    windows: QuestionWindows

    @classmethod
    def of(cls, windows: QuestionWindows) -> Self:
        """Take each window as an example of its own."""
        n_tokens, n_windows = len(windows.ids), len(windows.lengths)
        return cls(
            tokenized=replace(windows, first_window=np.arange(n_windows + 1)),
            words=np.arange(n_tokens),
            first_word=windows.offsets,
            windows=windows,
        )


@dataclass(frozen=True)
class AnswerData:
    """Windows, and the tokens at which their answers begin and end.

    The loss of a window is the mean of two cross-entropies over its tokens, as in section 4.2 of
    [1]_ and in transformers.

    Parameters
    ----------
    examples : AnswerExamples
        The windows.
    targets : ndarray of shape (n_windows, 2), int64
        First and last token of the answer, counted from the start of the sequence.
    weights : ndarray of shape (n_windows,), float32
        Weights of the windows, 1 on average.
    lower : LowerStates or None
        The states below, if the network begins at them.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019.
    """

    examples: AnswerExamples
    targets: NDArray[np.int64]
    weights: NDArray[np.float32]
    lower: LowerStates | None = None

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each window, of shape (n_windows,)."""
        return self.examples.n_tokens

    def draw(self, epoch: int) -> None:
        """Draw nothing: all epochs are alike."""

    def n_targets(self, rows: NDArray[np.int64]) -> int:
        """Return the number of windows."""
        return len(rows)

    def prepare(self, rows: NDArray[np.int64]) -> LabelledInputs:
        """Return the inputs of windows, and their targets."""
        batch = self.examples.batch(rows)
        return LabelledInputs(
            batch=batch,
            entering=None if self.lower is None else self.lower.of(batch.sequences),
            targets=torch.from_numpy(self.targets[rows]),
            weights=torch.from_numpy(self.weights[rows]),
        )

    def loss(
        self, network: TrainableNetwork, inputs: LabelledInputs, batch: NDArray[np.int64]
    ) -> Tensor:
        """Return what windows add to the weighted mean loss of a batch."""
        lengths = np.empty_like(inputs.batch.lengths)
        lengths[inputs.batch.owners] = inputs.batch.lengths  # in the order of the rows
        outputs = network.outputs(inputs.batch, inputs.entering)
        targets, weights = (each.to(network.device) for each in (inputs.targets, inputs.weights))
        n_tokens = torch.from_numpy(lengths).to(network.device)
        is_token = torch.arange(int(lengths.max()), device=network.device) < n_tokens[:, None]
        table = outputs.new_full((*is_token.shape, 2), -torch.inf)  # nothing begins beyond the end
        table = table.masked_scatter(is_token[..., None], outputs)
        losses = functional.cross_entropy(table, targets, reduction="none").mean(dim=1)
        return (losses * weights).sum() / max(len(batch), 1)

    def mean_loss(self, network: TrainableNetwork) -> float:
        """Return the weighted mean loss of all windows without dropout."""
        outputs = predict(network, self.examples, self.lower, network.outputs).astype(np.float64)
        starts = self.examples.windows.offsets[:-1]
        totals = np.logaddexp.reduceat(outputs, starts, axis=0)
        found = np.take_along_axis(outputs, starts[:, None] + self.targets, axis=0)
        losses = (totals - found).mean(axis=1)
        return float((losses * self.weights).sum() / (self.weights.sum() or 1.0))
