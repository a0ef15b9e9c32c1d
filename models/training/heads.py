"""What predicts from the states of tokens: the head of an architecture, or a linear layer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_PRETRAINING_MAPPING,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from ..pooling.tokens import pool
from ..ragged import runs_of_equal_length

if TYPE_CHECKING:
    from ..checkpoint.description import Checkpoint
    from .examples import Batch

__all__ = [
    "LANGUAGE",
    "ArchitectureHead",
    "LinearHead",
    "Unit",
    "class_with_head",
    "outputs_of",
    "pool_sequences",
]

Unit: TypeAlias = Literal["text", "word", "answer", "masked", "causal", "masked+next_sentence"]
LANGUAGE: tuple[Unit, ...] = ("masked", "causal", "masked+next_sentence")

_KINDS: dict[Unit, tuple[Any, Any]] = {
    "text": (AutoModelForSequenceClassification, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING),
    "word": (AutoModelForTokenClassification, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING),
    "answer": (AutoModelForQuestionAnswering, MODEL_FOR_QUESTION_ANSWERING_MAPPING),
    "masked": (AutoModelForMaskedLM, MODEL_FOR_MASKED_LM_MAPPING),
    "causal": (AutoModelForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING),
    "masked+next_sentence": (AutoModelForPreTraining, MODEL_FOR_PRETRAINING_MAPPING),
}


def class_with_head(unit: Unit, config: Any) -> Any:
    """Return the class that loads a model with the head of a unit, None if there is none."""
    auto_class, mapping = _KINDS[unit]
    is_known = type(config) in mapping and not config.is_encoder_decoder
    return auto_class if is_known and not getattr(config, "auto_map", None) else None


def outputs_of(outputs: Any, unit: Unit) -> Tensor:
    """Return the numbers that a model with the head of a unit gave, the outputs last."""
    if unit == "answer":
        return torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)
    if unit == "masked+next_sentence":
        _ = outputs.seq_relationship_logits  # not of ALBERT, which learns the order of sentences
    name = "prediction_logits" if unit == "masked+next_sentence" else "logits"
    logits: Tensor = getattr(outputs, name)
    return logits


def pool_sequences(states: Tensor, batch: Batch, poolings: tuple[str, ...], skip: int) -> Tensor:
    """Pool states of shape (n_tokens, hidden) into (n_sequences, n_poolings * hidden)."""
    pooled, start = [], 0
    for count, length in runs_of_equal_length(batch.lengths):
        run = states[start : start + count * length].unflatten(0, (count, length))
        pooled.append(torch.cat([pool(run, pooling, skip) for pooling in poolings], dim=-1))
        start += count * length
    return torch.cat(pooled)


class LinearHead(nn.Module):
    """Dropout and a linear layer: on the pooled tokens of a sequence, or on each token."""

    def __init__(
        self, unit: Unit, poolings: tuple[str, ...], width: int, n_outputs: int, dropout: float
    ) -> None:
        super().__init__()
        self.poolings = poolings
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(len(poolings) * width if unit == "text" else width, n_outputs)
        self._unit = unit

    @property
    def output_layer(self) -> nn.Linear:
        """The layer that gives the outputs."""
        return self.linear

    def forward(self, states: Tensor, batch: Batch, skip: int) -> Tensor:
        """Return outputs of shape (n_sequences, n_outputs); of other units, of all tokens."""
        if self._unit == "text":
            states = pool_sequences(states, batch, self.poolings, skip)
        logits: Tensor = self.linear(self.dropout(states))
        return logits


class ArchitectureHead(nn.Module):
    """The head of a transformers model, fed with states that were computed elsewhere.

    The model keeps its own code for all that follows the states; where the transformer was, it gets
    states in a padded table. Which token it reads is found by trying: ``poolings`` has the name.
    """

    def __init__(self, unit: Unit, whole: Any) -> None:
        super().__init__()
        self._unit = unit
        self.whole = whole
        self._prefix = whole.base_model_prefix
        self._pad_id = int(whole.config.get_text_config().pad_token_id or 0)
        base = getattr(whole, self._prefix)
        # The layer after the first token is part of the head, though it stands in the transformer.
        self._has_pooler = getattr(base, "pooler", None) is not None
        setattr(whole, self._prefix, _Given(base))
        if self._has_pooler:
            base.pooler = _Unread()  # not None, which SqueezeBERT would call
        self.poolings: tuple[str, ...] = ("cls",)

    @property
    def output_layer(self) -> nn.Linear | None:
        """The layer that gives the outputs; None if it is not a linear layer."""
        layers = [each for each in self.whole.modules() if isinstance(each, nn.Linear)]
        wide = [each for each in layers if each.out_features == self.whole.config.num_labels]
        return wide[-1] if wide else None

    @torch.no_grad()
    def initialize(self, random: torch.Generator) -> None:
        """Draw new weights for the linear layers of the head, but for the one after [CLS].

        They are drawn on the CPU, so that every device begins with the same ones.
        """
        deviation = float(getattr(self.whole.config, "initializer_range", None) or 0.02)
        for name, module in self.whole.named_modules():
            if isinstance(module, nn.Linear) and not name.startswith(f"{self._prefix}."):
                drawn = torch.empty(module.weight.shape).normal_(std=deviation, generator=random)
                module.weight.copy_(drawn)
                if module.bias is not None:
                    module.bias.zero_()

    def with_base(self, base: Any) -> Any:
        """Return the whole model, for saving: ``base`` stands in it again."""
        if self._has_pooler:
            base.pooler = getattr(self.whole, self._prefix).pooler
        setattr(self.whole, self._prefix, base)
        return self.whole

    @contextmanager
    def whole_with(self, base: Any) -> Iterator[Any]:
        """Yield the whole model, in which ``base`` stands within the block."""
        given = getattr(self.whole, self._prefix)
        try:
            yield self.with_base(base)
        finally:
            setattr(self.whole, self._prefix, given)
            if self._has_pooler:
                base.pooler = _Unread()

    def find_pooling(self, checkpoint: Checkpoint) -> None:
        """Find out which tokens of a sequence the outputs of texts depend on."""
        if self._unit != "text":
            self.poolings = checkpoint.pooling
            return
        width = checkpoint.hidden_size
        states = torch.randn(1, 5, width, generator=torch.Generator().manual_seed(0))
        states = states.to(next(self.parameters()).device).requires_grad_()
        table = torch.arange(self._pad_id + 1, self._pad_id + 6, device=states.device)[None]
        (gradient,) = torch.autograd.grad(self._run(states, table).sum(), states)
        read = np.flatnonzero(gradient[0].abs().sum(dim=-1).cpu().numpy()).tolist()
        names = {"[0]": "cls", "[4]": "lasttoken"}
        self.poolings = (names.get(str(read), "mean"),)

    def forward(self, states: Tensor, batch: Batch, skip: int) -> Tensor:
        """Return outputs of shape (n_sequences, n_outputs); of other units, of all tokens."""
        if self._unit in LANGUAGE:
            return self.logits(states)
        lengths = torch.from_numpy(batch.lengths).to(states.device)
        mask = torch.arange(int(batch.lengths[0]), device=states.device) < lengths[:, None]
        padded = states.new_zeros((*mask.shape, states.shape[-1]))
        padded = padded.masked_scatter(mask[..., None], states)
        # The heads of causal models look for the last token that is no padding.
        ids = torch.where(mask, self._pad_id + 1, self._pad_id)
        logits = self._run(padded, ids)
        return logits if self._unit == "text" else logits[mask]

    def logits(self, states: Tensor) -> Tensor:
        """Return the logits of tokens, of shape (n_tokens, vocab_size), from their states."""
        ids = torch.full((1, len(states)), self._pad_id + 1, device=states.device)
        return self._run(states[None], ids)[0]

    def next_sentence_logits(self, states: Tensor) -> Tensor:
        """Return logits of shape (n_pairs, 2) from the states of the first tokens.

        The first stands for the next sentence, the second for any other, as in transformers.
        """
        ids = torch.full((len(states), 1), self._pad_id + 1, device=states.device)
        logits: Tensor = self._outputs(states[:, None], ids).seq_relationship_logits
        return logits

    def _run(self, states: Tensor, ids: Tensor) -> Tensor:
        return outputs_of(self._outputs(states, ids), self._unit)

    def _outputs(self, states: Tensor, ids: Tensor) -> Any:
        given = getattr(self.whole, self._prefix)
        given.local.states = states
        try:
            return self.whole(
                input_ids=ids, attention_mask=(ids != self._pad_id).long(), return_dict=True
            )
        finally:
            given.local.states = None


class _Unread(nn.Module):
    """Stands where a transformer had its layer after the first token."""

    def forward(self, states: Tensor, *_: Any, **__: Any) -> Tensor:
        return states


class _Given(nn.Module):
    """Stands where the transformer was in a model with a head, and returns given states."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.pooler = getattr(base, "pooler", None)
        self.activation = getattr(base, "pooler_activation", None)  # in ALBERT beside its pooler
        self.local = threading.local()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        states: Tensor = self.local.states
        pooled = None
        if self.pooler is not None and self.activation is not None:
            pooled = self.activation(self.pooler(states[:, 0]))
        elif self.pooler is not None:
            pooled = self.pooler(states)
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=states, pooler_output=pooled
        )
