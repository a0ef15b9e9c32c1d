"""What language models learn: masked tokens, the next token, the next sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

from ...errors import UnsupportedModelError
from ..network.batching import Batches
from ..network.devices import tokens_per_batch
from ..training.loop import run_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig

    from ..training.network import TrainableNetwork
    from .masking import Masking
    from .sequences import TextBatch

__all__ = [
    "OBJECTIVES",
    "CausalData",
    "MaskedData",
    "Objective",
    "Predictions",
    "own_objective",
    "pass_tokens",
]

Objective: TypeAlias = Literal["masked", "causal", "masked+next_sentence"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

_ROWS_AT_ONCE = 1024
_MOST_LOGITS = 1 << 25  # of one pass, 128 MiB in float32


def own_objective(config: PreTrainedConfig) -> Objective:
    """Return what the model of a configuration was made for: ``"masked"`` or ``"causal"``."""
    named = config.architectures if isinstance(config.architectures, list) else []
    is_causal = str(*named[:1]).endswith(("ForCausalLM", "LMHeadModel"))
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not is_causal:
        return "masked"
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "causal"
    raise UnsupportedModelError(
        f"{type(config).__name__} has no head in transformers that predicts tokens. Choose a model"
        " of another family, such as BERT, RoBERTa or GPT-2."
    )


def pass_tokens(network: TrainableNetwork, share: float) -> int:
    """Return the most tokens of one pass, of which a share have logits."""
    budget = tokens_per_batch(network.device, network.checkpoint.widest)
    most = int(_MOST_LOGITS / network.checkpoint.text_config.vocab_size / share)
    return max(1, min(budget, most))


class _Sequences(Protocol):
    """Token sequences to learn from: those of texts, or pairs of segments."""

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each sequence, of shape (n_sequences,)."""

    def draw(self, epoch: int) -> None:
        """Draw the sequences of an epoch."""

    def batch(self, rows: NDArray[np.int64]) -> TextBatch:
        """Return some sequences, the longest first."""


class Predictions(NamedTuple):
    """Sequences as the network gets them, and what it is to predict there.

    ``positions``, of shape (n_targets,), index the tokens of ``batch``, and ``targets`` are the
    tokens that are predicted from them. ``labels`` tell of each pair whether its second segment is
    any other (1) or the next one (0); None without pairs.
    """

    batch: TextBatch
    positions: NDArray[np.int64]
    targets: NDArray[np.int64]
    labels: NDArray[np.int64] | None = None

    def logits(self, network: TrainableNetwork, states: Tensor) -> Tensor:
        """Return logits of shape (n_targets, vocab_size), at the positions alone."""
        head: Any = network.head
        found: Tensor = head.logits(states[torch.from_numpy(self.positions).to(states.device)])
        return found.float()

    def losses(self, network: TrainableNetwork) -> tuple[Tensor, Tensor | None]:
        """Return the negative log-likelihood of each target, and that of each label."""
        states = network.states(self.batch)
        targets = torch.from_numpy(self.targets).to(states.device)
        of_tokens = functional.cross_entropy(
            self.logits(network, states), targets, reduction="none"
        )
        if self.labels is None:
            return of_tokens, None
        head: Any = network.head
        first = torch.from_numpy(np.cumsum(self.batch.lengths) - self.batch.lengths)
        logits = head.next_sentence_logits(states[first.to(states.device)]).float()
        labels = torch.from_numpy(self.labels).to(states.device)
        return of_tokens, functional.cross_entropy(logits, labels, reduction="none")


class _LanguageData:
    """Sequences and what is predicted of them, as `training.loop` takes them.

    ``share`` of the tokens are predicted.
    """

    share = 1.0

    def __init__(self, sequences: _Sequences) -> None:
        self.sequences = sequences
        self._counted: tuple[bytes, int] = b"", 0

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each sequence, of shape (n_sequences,)."""
        return self.sequences.n_tokens

    def draw(self, epoch: int) -> None:
        """Draw the sequences of an epoch."""
        self.sequences.draw(epoch)

    def prepare(self, rows: NDArray[np.int64]) -> Predictions:
        """Return sequences and their targets."""
        raise NotImplementedError

    def n_targets(self, rows: NDArray[np.int64]) -> int:
        """Return the number of tokens that are predicted."""
        key = rows.tobytes()  # the parts of a batch ask for it one after another
        if self._counted[0] != key:
            self._counted = key, sum(self._counts(rows))
        return self._counted[1]

    def has_targets(self) -> bool:
        """Whether any token is predicted, in the epoch that is drawn."""
        return any(self._counts(np.arange(len(self.n_tokens))))

    def _counts(self, rows: NDArray[np.int64]) -> Iterator[int]:
        """Yield how many tokens are predicted, of some rows at a time."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            yield len(self.prepare(rows[start : start + _ROWS_AT_ONCE]).positions)

    def loss(
        self, network: TrainableNetwork, inputs: Predictions, batch: NDArray[np.int64]
    ) -> Tensor:
        """Return what sequences add to the mean loss of a batch.

        It is the mean over the predicted tokens, plus that over the pairs.
        """
        of_tokens, of_pairs = inputs.losses(network)
        loss = of_tokens.sum() / max(self.n_targets(batch), 1)
        return loss if of_pairs is None else loss + of_pairs.sum() / len(batch)

    def pass_tokens(self, network: TrainableNetwork) -> int:
        """Return the most tokens of one pass."""
        return pass_tokens(network, self.share)

    def mean_loss(self, network: TrainableNetwork) -> float:
        """Return the mean loss of all sequences, without dropout."""
        rows, total = np.arange(len(self.n_tokens)), 0.0

        def run(part: NDArray[np.int64]) -> None:
            nonlocal total
            with torch.no_grad():
                total += float(self.loss(network, self.prepare(part), rows))

        run_batches(run, Batches(self.n_tokens, self.pass_tokens(network)), network.device)
        return total


class MaskedData(_LanguageData):
    """Sequences of which masked tokens are predicted, other ones in each epoch.

    Without `draw`, the masks are those of ``epoch``.
    """

    def __init__(self, sequences: _Sequences, masking: Masking, epoch: int = 0) -> None:
        super().__init__(sequences)
        self._masking = masking
        self.share = masking.probability
        self._epoch = epoch

    def draw(self, epoch: int) -> None:
        """Draw the sequences and masks of an epoch."""
        super().draw(epoch)
        self._epoch = epoch
        self._counted = b"", 0

    def prepare(self, rows: NDArray[np.int64]) -> Predictions:
        """Return masked sequences, and the tokens that were there."""
        batch = self.sequences.batch(rows)
        masked = self._masking.mask(batch, self._epoch)
        labels_of = getattr(self.sequences, "labels", None)  # of pairs
        return Predictions(
            batch=replace(batch, ids=masked.ids),
            positions=masked.positions,
            targets=masked.targets,
            labels=None if labels_of is None else labels_of(batch.sequences),
        )


class CausalData(_LanguageData):
    """Sequences of which each token but the first is predicted from those before it."""

    def prepare(self, rows: NDArray[np.int64]) -> Predictions:
        """Return sequences, and the token that follows each."""
        batch = self.sequences.batch(rows)
        positions = np.delete(np.arange(len(batch.ids)), np.cumsum(batch.lengths) - 1)
        return Predictions(batch, positions, batch.ids[positions + 1].astype(np.int64))
