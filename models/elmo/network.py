"""The network of an ELMo: from the characters of words to the states of its layers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..ragged import chunks
from .options import cell_name
from .words import SENTENCE_END, SENTENCE_START, characters_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .options import ElmoOptions

__all__ = ["ElmoNetwork"]

_WORDS_AT_ONCE = 512
_INPUTS_AT_ONCE = 1024
_FORGET_BIAS = 1.0  # added by TensorFlow's cell, beside the bias that is stored


class ElmoNetwork(nn.Module):
    """An ELMo as a function from sentences, as characters of words, to states of its layers.

    Layer 0 is the vector of a word, twice, as it is the same for both directions; the others are
    the states of a forward and a backward LSTM, side by side. Each sentence begins with zeros, so
    that it gives the same vectors at all times.
    """

    def __init__(self, options: ElmoOptions, weights: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self._options = options

        def tensor(*names: str) -> nn.Parameter:
            """Return a weight, or those of both directions stacked."""
            arrays = [weights[name] for name in names]
            stacked = np.stack(arrays) if len(arrays) > 1 else arrays[0]
            return nn.Parameter(torch.from_numpy(stacked), requires_grad=False)

        self._characters = tensor("char_embed")
        n_filters = range(len(options.filters))
        self._filters = nn.ParameterList(tensor(f"CNN/W_cnn_{index}") for index in n_filters)
        self._filter_biases = nn.ParameterList(tensor(f"CNN/b_cnn_{index}") for index in n_filters)
        for weight in self._filters:  # (1, width, in, out) becomes (out, in, width)
            weight.data = weight.data[0].permute(2, 1, 0).contiguous()
        self._highways = nn.ModuleList(
            nn.ParameterDict(
                {
                    kind: tensor(f"CNN_high_{index}/{kind}")
                    for kind in ("W_carry", "b_carry", "W_transform", "b_transform")
                }
            )
            for index in range(options.n_highways)
        )
        names = [name for name in ("CNN_proj/W_proj", "CNN_proj/b_proj") if name in weights]
        self._projection = nn.ParameterList(map(tensor, names))
        self._cells = nn.ModuleList()
        for layer in range(options.n_layers):
            cells = [cell_name(direction, layer) for direction in (0, 1)]
            of_inputs, of_state = tensor(*(f"{cell}/W_0" for cell in cells)).split(options.width, 1)
            biases = tensor(*(f"{cell}/B" for cell in cells))[:, None].clone()
            biases[..., 2 * options.n_units : 3 * options.n_units] += _FORGET_BIAS
            kept = {"inputs": of_inputs, "state": of_state, "bias": biases}
            if f"{cells[0]}/W_P_0" in weights:
                kept["projection"] = tensor(*(f"{cell}/W_P_0" for cell in cells))
            self._cells.append(
                nn.ParameterDict(
                    {
                        name: nn.Parameter(value.contiguous(), requires_grad=False)
                        for name, value in kept.items()
                    }
                )
            )
        self._ends = characters_of([SENTENCE_START, SENTENCE_END], options.longest_word)

    @property
    def model(self) -> Self:
        """The module with the weights, as a transformer's backbone has it."""
        return self

    @property
    def _device(self) -> torch.device:
        return self._characters.device

    def tokens(self, length: int, seed: int = 0) -> NDArray[Any]:
        """Return the characters of arbitrary words, of shape (length, longest_word)."""
        letters = np.random.default_rng(seed).integers(97, 123, size=(length, 4), dtype=np.uint8)
        words = [bytes(word).decode() for word in letters]
        return characters_of(words, self._options.longest_word)

    def hidden_states(
        self,
        ids: NDArray[Any],
        lengths: NDArray[np.int64],
        layers: Iterable[int],
        types: object = None,
        entering: object = None,
        memory: list[tuple[Tensor, Tensor]] | None = None,
    ) -> dict[int, Tensor]:
        """Return the states of each layer, of shape (n_words, 2 * width), sentence after sentence.

        ``ids``, of shape (n_words, longest_word), has the characters of the words of all sentences,
        the longest first, and ``lengths``, of shape (n_sentences,), the number of words of each.
        ``types`` and ``entering`` are those of a transformer's backbone, and mean nothing here.
        ``memory`` are states and cells of each layer, of shape (2, n_sentences, size), that
        sentences begin with, and is changed to those that they end with.
        """
        wanted = set(layers)
        # The marks around each sentence are read, and their states left out.
        n_read = lengths + 2
        ends = np.cumsum(n_read)
        rows = np.zeros(int(ends[-1]), dtype=np.int64)
        rows[ends - 1] = 1
        is_word = np.ones(len(rows), dtype=bool)
        is_word[ends - n_read] = is_word[ends - 1] = False
        distinct, inverse = np.unique(ids, axis=0, return_inverse=True)
        rows[is_word] = inverse.ravel() + 2
        vectors = self.word_vectors(np.concatenate([self._ends, distinct]))
        vectors = vectors[self._tensor(rows)]
        words = self._tensor(np.flatnonzero(is_word))
        states = {}
        if 0 in wanted:
            states[0] = vectors[words].repeat(1, 2)
        if not max(wanted, default=0):
            return states

        # Step after step, the sentences that are as long; of the backward direction from their end.
        position = np.arange(len(rows)) - np.repeat(ends - n_read, n_read)
        orders = [
            np.argsort(place, kind="stable")
            for place in (position, np.repeat(n_read, n_read) - 1 - position)
        ]
        n_active = np.bincount(position)
        places = [self._tensor(np.argsort(order, kind="stable"))[words] for order in orders]
        inputs = torch.stack([vectors[self._tensor(order)] for order in orders])
        for layer, cell in enumerate(self._cells, start=1):
            outputs = self._run(
                cell, inputs, n_active, None if memory is None else memory[layer - 1]
            )
            if self._options.skips and layer > 1:
                outputs += inputs
            if layer in wanted:
                forward, backward = (outputs[each][place] for each, place in enumerate(places))
                states[layer] = torch.cat([forward, backward], dim=1)
            if layer == max(wanted):
                break
            inputs = outputs
        return states

    def word_vectors(self, characters: NDArray[Any]) -> Tensor:
        """Return the vectors of words without context, of shape (n_words, width)."""
        return torch.cat(
            [
                self._convolve(characters[start : start + _WORDS_AT_ONCE])
                for start in range(0, max(len(characters), 1), _WORDS_AT_ONCE)
            ]
        )

    def _convolve(self, characters: NDArray[Any]) -> Tensor:
        # Filters that lie behind the longest word see padding alone: of these, one tells of all.
        padding = characters_of([""], self._options.longest_word)[0, -1]
        longest = int((characters != padding).sum(axis=1).max(initial=1))
        widest = max(width for width, _ in self._options.filters)
        read = self._tensor(characters[:, : longest + widest].astype(np.int64))
        letters = self._characters[read].transpose(1, 2)
        found = torch.cat(
            [
                functional.conv1d(letters, weight, bias).amax(dim=2)
                for weight, bias in zip(self._filters, self._filter_biases, strict=True)
            ],
            dim=1,
        )
        vectors = found.relu() if self._options.activation == "relu" else found.tanh()
        highway: Any
        for highway in self._highways:
            carry = torch.addmm(highway["b_carry"], vectors, highway["W_carry"]).sigmoid()
            changed = torch.addmm(highway["b_transform"], vectors, highway["W_transform"]).relu()
            vectors = carry * changed + (1 - carry) * vectors
        if len(self._projection):
            weight, bias = self._projection
            vectors = torch.addmm(bias, vectors, weight)
        return vectors

    def _run(
        self,
        cell: Any,
        inputs: Tensor,
        n_active: NDArray[np.int64],
        memory: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Run a layer of both directions over inputs of shape (2, n_tokens, width), in steps."""
        options = self._options
        n_sentences = int(n_active[0])
        state, memory_cell = memory or (
            inputs.new_zeros(2, n_sentences, options.width),
            inputs.new_zeros(2, n_sentences, options.n_units),
        )
        outputs = inputs.new_empty(2, inputs.shape[1], options.width)
        bounds = np.concatenate([[0], np.cumsum(n_active)])
        # What inputs add to the gates is one product for many steps. It is wide.
        for first, last in chunks(bounds, _INPUTS_AT_ONCE):
            base = int(bounds[first])
            of_steps = inputs[:, base : int(bounds[last])]
            from_inputs = torch.baddbmm(cell["bias"], of_steps, cell["inputs"])
            for start, end in pairwise(bounds[first : last + 1].tolist()):
                count = end - start
                gates = torch.baddbmm(
                    from_inputs[:, start - base : end - base], state[:, :count], cell["state"]
                )
                update, candidate, forget, output = gates.chunk(4, dim=2)
                kept = forget.sigmoid() * memory_cell[:, :count]
                kept += update.sigmoid() * candidate.tanh()
                if options.cell_clip is not None:
                    kept.clamp_(-options.cell_clip, options.cell_clip)
                result = output.sigmoid() * kept.tanh()
                if "projection" in cell:
                    result = torch.bmm(result, cell["projection"])
                    if options.projection_clip is not None:
                        result.clamp_(-options.projection_clip, options.projection_clip)
                memory_cell[:, :count] = kept
                state[:, :count] = result
                outputs[:, start:end] = result
        return outputs

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
