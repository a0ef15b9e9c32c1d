"""A trainable copy of a checkpoint's transformer, with a head; the upper layers may train alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UnsupportedModelError
from ..checkpoint.weights import load_model, load_with_head
from ..network.backbone import Backbone
from ..network.devices import is_out_of_memory, keep_freed_memory
from ..network.early_exit import agree
from ..torch_threads import use_one_thread_in_forks
from .examples import Batch
from .heads import (
    LANGUAGE,
    ArchitectureHead,
    LinearHead,
    Unit,
    class_with_head,
    outputs_of,
    pool_sequences,
)
from .seeding import seeded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.description import Checkpoint

__all__ = ["NetworkSpec", "TrainableNetwork", "usual_torch"]

_DROPOUT = 0.1  # where a configuration names none


@contextmanager
def usual_torch(device: torch.device) -> Iterator[None]:
    """Compute gradients, and in float32, within the block, whatever the process has set.

    Users train or predict within `torch.no_grad`, `torch.inference_mode` or autocast, or set
    another default type or device.
    """
    default = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if default != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, default)
        yield


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is built of; two of the same spec and checkpoint begin with equal weights.

    Parameters
    ----------
    unit : {"text", "word", "answer", "masked", "causal", "masked+next_sentence"}
        What is predicted: one row of outputs per text or pair, or per word; for each token, whether
        an answer begins or ends there; or tokens, by a language model.
    n_outputs : int
        Number of outputs. A language model has its vocabulary instead.
    pooling : tuple of str or None
        Poolings of a linear head. None takes the head that the architecture has in transformers,
        or, without one, a linear head under the checkpoint's own pooling.
    n_trained_layers : int or None
        Number of layers that train, from the top; 0 trains the head alone. None trains all and the
        embeddings.
    dropout : float or None
        Probability of every dropout; None leaves those of the checkpoint.
    vocab_size : int or None
        Tokens that need a vector; those that the checkpoint lacks get new ones. None adds none.
    seed : int
        Seed of the new weights.
    needs_depths : bool
        Whether to find out which layer each parameter belongs to.
    """

    unit: Unit
    n_outputs: int
    pooling: tuple[str, ...] | None
    n_trained_layers: int | None
    dropout: float | None
    vocab_size: int | None
    seed: int
    needs_depths: bool = False


class TrainableNetwork:
    """The transformer of a checkpoint and a head, whose parameters can be trained.

    It is a copy of its own: the encoders that estimators share in memory stay as they are. With
    ``n_trained_layers``, `trained` names the parameters on which the states below do not depend. If
    the model can begin a pass at those states, ``begins_at`` is their layer, and it need not run
    the layers below.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, spec: NetworkSpec) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.spec = spec
        self.n_layers = checkpoint.n_layers
        self.begins_at: int | None = None
        self.depths: dict[str, int] = {}
        self.new_weights: list[str] = []  # of the architecture's head, where no file has them
        self.has_own_head = False  # the checkpoint's for answers; those of classes begin anew
        self.head: ArchitectureHead | LinearHead
        use_one_thread_in_forks()
        if device.type == "cpu":
            keep_freed_memory()
        if spec.dropout is not None:
            checkpoint = _with_dropout(checkpoint, spec.dropout)
        with seeded(spec.seed, device):
            whole = self._load_whole(checkpoint)
            base: Any = load_model(checkpoint) if whole is None else _base_of(whole)
            self._has_new_tokens = (
                spec.vocab_size is not None
                and spec.vocab_size > base.get_input_embeddings().num_embeddings
            )
            if self._has_new_tokens:
                base.resize_token_embeddings(spec.vocab_size, mean_resizing=False)
            self.backbone = Backbone(checkpoint, device, "float32", model=base, fuses=False)
            self.head = self._make_head(checkpoint, whole)
        self._choose_trained()
        self.trained = {name for name, each in self.named_parameters() if each.requires_grad}

    @property
    def base(self) -> Any:
        """The transformer, as transformers' own class."""
        return self.backbone.model

    def _load_whole(self, checkpoint: Checkpoint) -> Any:
        """Return the model with the head of its architecture; None for a linear head."""
        if self.spec.pooling is not None:
            return None
        unit = self.spec.unit
        auto_class = class_with_head(unit, checkpoint.config)
        if auto_class is None:
            if unit in LANGUAGE:
                raise _no_language_head(checkpoint, unit)
            return None
        settings = {} if unit in LANGUAGE else {"num_labels": self.spec.n_outputs}
        whole: Any
        whole, self.new_weights = load_with_head(checkpoint, auto_class, **settings)
        if unit in LANGUAGE:
            return whole
        if not hasattr(whole, whole.base_model_prefix):  # T5's for answers has none of that name
            return None
        config = whole.config.get_text_config()
        if config.pad_token_id is None:  # heads of causal models need one, and nothing else
            config.pad_token_id = 0
        return whole

    def _make_head(self, checkpoint: Checkpoint, whole: Any) -> ArchitectureHead | LinearHead:
        random = torch.Generator().manual_seed(self.spec.seed)
        if whole is not None:
            expected = self._outputs_of(whole.to(self.device))
            head = ArchitectureHead(self.spec.unit, whole).eval()
            if expected is not None and self._gives(head, expected):
                if self.spec.unit in LANGUAGE:
                    return head.requires_grad_()
                self.has_own_head = self.spec.unit == "answer" and not self.new_weights
                if not self.has_own_head:
                    head.initialize(random)
                head.find_pooling(checkpoint)
                return head.requires_grad_()
        if self.spec.unit in LANGUAGE:
            raise _no_language_head(checkpoint, self.spec.unit)
        poolings = self.spec.pooling or checkpoint.pooling
        linear = LinearHead(
            *(self.spec.unit, poolings, checkpoint.hidden_size, self.spec.n_outputs),
            _dropout_of(checkpoint.text_config) if self.spec.dropout is None else self.spec.dropout,
        )
        with torch.no_grad():
            linear.linear.weight.normal_(std=0.02, generator=random)
            linear.linear.bias.zero_()
        return linear.to(self.device).eval()

    def probe(self) -> Batch:
        """Return a few sequences of arbitrary tokens."""
        lengths = np.array([6, 4, 4])
        return Batch(
            sequences=np.arange(3),
            ids=self.backbone.tokens(int(lengths.sum())),
            types=None,
            lengths=lengths,
            owners=np.arange(3),
            shares=np.ones(3, dtype=np.float32),
            words=None if self.spec.unit == "text" else np.arange(len(lengths)),
        )

    def _outputs_of(self, whole: Any) -> Tensor | None:
        """Return what a whole model gives for the sequences of `probe`, None if it fails."""
        batch, start, rows = self.probe(), 0, []
        try:
            for length in batch.lengths.tolist():
                ids = torch.from_numpy(batch.ids[None, start : start + length].astype(np.int64))
                with torch.no_grad():
                    outputs = whole(input_ids=ids.to(self.device), return_dict=True)
                logits = outputs_of(outputs, self.spec.unit)
                rows.append(logits if self.spec.unit == "text" else logits[0])
                start += length
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return None
        return torch.cat(rows)

    def _gives(self, head: ArchitectureHead, expected: Tensor) -> bool:
        """Whether a head, fed with states, gives the outputs of the whole model."""
        batch = self.probe()
        try:
            with torch.no_grad():
                return agree(expected, head(self.states(batch), batch, 0))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return False

    def _choose_trained(self) -> None:
        """Set which parameters train, and leave out the layers below them where possible."""
        for parameter in self.parameters():
            parameter.requires_grad_()
        if self.spec.needs_depths:
            self.depths = self._depths()
        n_trained = self.spec.n_trained_layers
        if n_trained is None:
            return
        lowest = self.n_layers - n_trained  # the states of this layer enter the lowest trained one
        below = self._parameters_below([lowest])[lowest] if n_trained else set()
        for name, parameter in self.base.named_parameters():
            parameter.requires_grad_(n_trained > 0 and name not in below)
        if n_trained and not any(each.requires_grad for each in self.base.parameters()):
            raise UnsupportedModelError(
                f"The layers of {type(self.base).__name__} share their weights, so the upper ones"
                " cannot train alone. Set trainable_layers='all', or 0 for the head alone."
            )
        if not any(each.requires_grad for each in self.parameters()):
            raise UnsupportedModelError(
                f"The head of {type(self.base).__name__} cannot train alone: it has no weights of"
                " its own, and predicts tokens by the vectors that they are read with. Set"
                " 'trainable_layers' to 'all', or to a number of layers from 1 on."
            )
        # The states of new tokens are known to this network alone, and those under masks are
        # other ones in each epoch.
        if self._has_new_tokens or self.spec.unit in LANGUAGE:
            return
        if n_trained == 0 or self.backbone.skip_layers(lowest):
            self.begins_at = lowest

    def _parameters_below(self, layers: Sequence[int]) -> dict[int, set[str]]:
        """Return the names of the transformer's parameters on which the states of layers depend."""
        names, parameters = zip(*self.base.named_parameters(), strict=True)
        batch = self.probe()
        below = {}
        with torch.enable_grad():
            states = self.backbone.hidden_states(batch.ids, batch.lengths, layers)
            for layer in layers:
                gradients: Sequence[Tensor | None] = [None] * len(names)
                if states[layer].requires_grad:
                    gradients = torch.autograd.grad(
                        states[layer].sum(), parameters, retain_graph=True, allow_unused=True
                    )
                below[layer] = {
                    name
                    for name, gradient in zip(names, gradients, strict=True)
                    if gradient is not None
                }
        return below

    def _depths(self) -> dict[str, int]:
        """Return the lowest layer whose states depend on each parameter of the transformer.

        0 are the embeddings; the number of layers plus 1 are parameters that no state depends on.
        """
        below = self._parameters_below(range(self.n_layers + 1))
        return {
            name: min(
                (layer for layer, names in below.items() if name in names),
                default=self.n_layers + 1,
            )
            for name, _ in self.base.named_parameters()
        }

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield all parameters that are there, by name; those of the head begin with ``head.``."""
        shared = set()  # a language model predicts tokens by the vectors that it reads them with
        for name, parameter in self.base.named_parameters():
            shared.add(parameter)
            yield f"base.{name}", parameter
        for name, parameter in self.head.named_parameters():
            if parameter not in shared:
                yield f"head.{name}", parameter

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield all parameters that are there."""
        for _, parameter in self.named_parameters():
            yield parameter

    def depth_of(self, name: str) -> int:
        """Return the layer of a parameter, as counted by hidden states; the head is above all."""
        part, _, rest = name.partition(".")
        return self.depths[rest] if part == "base" else self.n_layers + 1

    def train(self, mode: bool = True) -> None:
        """Turn dropout on in what trains, and off everywhere else."""
        self.base.train(mode)
        self.head.train(mode)
        if mode:
            for module in self.base.modules():
                parameters = list(module.parameters())
                if parameters and not any(each.requires_grad for each in parameters):
                    module.eval()

    def states(self, batch: Batch, entering: Tensor | None = None) -> Tensor:
        """Return the last hidden states of shape (n_tokens, hidden)."""
        if self.begins_at == self.n_layers:
            assert entering is not None
            return entering
        layer = self.n_layers
        return self.backbone.hidden_states(
            batch.ids, batch.lengths, [layer], batch.types, entering
        )[layer]

    def outputs(self, batch: Batch, entering: Tensor | None, skip: int = 0) -> Tensor:
        """Return outputs of shape (n_examples, n_outputs), or (n_words, n_outputs).

        ``entering`` are the states at layer ``begins_at``, of shape (n_tokens, hidden). The windows
        of an example are averaged by length.
        """
        outputs = self.head(self.states(batch, entering), batch, skip).float()
        if batch.words is not None:
            nothing = outputs.new_zeros(1, outputs.shape[1])  # of words without tokens, at -1
            words = torch.from_numpy(batch.words).to(outputs.device)
            found: Tensor = torch.cat([outputs, nothing])[words]
            return found
        return _join(outputs, batch)

    def vectors(
        self, batch: Batch, entering: Tensor | None, poolings: tuple[str, ...], skip: int = 0
    ) -> Tensor:
        """Return the pooled last states of shape (n_examples, n_features)."""
        return _join(pool_sequences(self.states(batch, entering), batch, poolings, skip), batch)

    def rescale_outputs(self, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> None:
        """Let the network give its outputs times ``scale`` plus ``shift`` from now on.

        Both have the shape (n_outputs,).
        """
        layer = self.head.output_layer
        assert layer is not None
        factors = torch.from_numpy(scale).to(layer.weight)
        with torch.no_grad():
            layer.weight.mul_(factors[:, None])
            if layer.bias is not None:
                layer.bias.mul_(factors).add_(torch.from_numpy(shift).to(layer.bias))


def _join(of_sequences: Tensor, batch: Batch) -> Tensor:
    """Average the windows of each example by length."""
    owners = torch.from_numpy(batch.owners).to(of_sequences.device)
    shares = torch.from_numpy(batch.shares).to(of_sequences.device)
    joined = of_sequences.new_zeros((int(batch.owners.max()) + 1, of_sequences.shape[1]))
    return joined.index_add(0, owners, of_sequences * shares[:, None])


def _no_language_head(checkpoint: Checkpoint, unit: Unit) -> UnsupportedModelError:
    kinds = {
        "masked": "masked words, such as BERT or RoBERTa",
        "causal": "the next token, such as GPT-2",
        "masked+next_sentence": "masked words and the next sentence, such as BERT",
    }
    return UnsupportedModelError(
        f"The architecture of '{checkpoint.directory}', {type(checkpoint.config).__name__}, has no"
        f" head in transformers that objective={unit!r} could train. Choose another objective, or"
        f" a model that predicts {kinds[unit]}."
    )


def _base_of(whole: Any) -> Any:
    return getattr(whole, whole.base_model_prefix)


def _dropout_of(config: Any) -> float:
    """Return the probability of the dropout after the layers."""
    names = ("hidden_dropout_prob", "dropout", "resid_pdrop", "hidden_dropout", "dropout_rate")
    values = [getattr(config, name, None) for name in names]
    return next((float(each) for each in values if isinstance(each, (int, float))), _DROPOUT)


def _with_dropout(checkpoint: Checkpoint, dropout: float) -> Checkpoint:
    """Return a checkpoint whose configuration has this probability for every dropout."""
    named = {
        name: dropout
        for name, value in checkpoint.text_config.to_dict().items()
        if ("dropout" in name or "pdrop" in name)
        and (value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)))
        and "layer" not in name
    }
    return replace(checkpoint, config_settings={**checkpoint.config_settings, **named})
