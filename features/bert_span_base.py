"""Base of the word and span vectorizers: read a transformer at the tokens of each span."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import NotFittedError

from ..errors import InvalidParameterError
from ..models import Checkpoint
from ..models.checkpoint.span_tokens import SpanTokenizer
from ..models.encode_spans import BYTES_PER_NUMBER, Passage, SpanEncoder, SpanStates, encode_spans
from ..models.encode_texts import open_store
from ..models.network.devices import Precision
from ..models.pooling.layers import LAYER_MERGES, parse_layers, resolve_layers
from ..models.pooling.scalar_mix import ScalarMix, fit_scalar_mix
from ..models.pooling.subwords import SUBTOKEN_POOLINGS, SubtokenPooling, pool_subtokens
from ..models.ragged import ranges
from ..validation import check_choice, check_int, short_repr
from .base import VectorizerBase
from .bert_common import BertBase, naming_row, progress_bar
from .inputs.frames import only_column
from .inputs.texts import is_missing, list_iterable

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sklearn.utils import Tags

    from ..models.store.embedding_store import EmbeddingStore

__all__ = ["BertSpanBase", "SpanReader", "is_container", "list_targets", "read_targets"]

_MAX_TRAINING_BYTES = 256 << 20


@dataclass(frozen=True)
class SpanReader:
    """A model that is ready to read spans; ``pool`` turns states of tokens into rows of spans."""

    encoder: SpanEncoder
    store: EmbeddingStore | None
    pool: Callable[[SpanStates], NDArray[np.float32]]
    n_features: int


class BertSpanBase(BertBase[SpanEncoder], VectorizerBase):
    """Base of `BertWordVectorizer` and `BertSpanVectorizer`: one row for each span of a text.

    A subclass stores the parameters in ``__init__`` and turns X into passages.
    """

    subtoken_pooling: SubtokenPooling
    random_state: int

    _overlap = 0.25
    _keeps_words = False
    _reads_elmo = True
    _unit, _owner = "words", "document"

    def _check_parameters(self) -> None:
        """Check what needs no model, before one is searched and perhaps downloaded."""
        check_choice("layer_merge", self.layer_merge, ("auto", *LAYER_MERGES, "weighted"))
        check_choice("subtoken_pooling", self.subtoken_pooling, SUBTOKEN_POOLINGS)
        if not self._is_auto():
            # Only the notation: the range depends on the model.
            parse_layers(self.layers, 0, "'auto' or 'all'")
        check_int("stride", self.stride, 0, optional=True)
        check_int("random_state", self.random_state, 0)

    def _checkpoint(self) -> Checkpoint:
        self._check_parameters()
        return super()._checkpoint()

    def _n_features(self) -> int:
        checkpoint = self._checkpoint()
        return self._width(checkpoint, self._layers_of(checkpoint))

    def _is_auto(self) -> bool:
        return isinstance(self.layers, str) and self.layers.strip() == "auto"

    def _layers_of(self, checkpoint: Checkpoint) -> tuple[int, ...]:
        """Return the numbers of the layers to read."""
        if self._is_auto():
            return tuple(range(1, checkpoint.n_layers + 1))
        return resolve_layers(self.layers, checkpoint.n_layers)

    def _merge_name(self) -> str:
        """Return how layers are merged."""
        if self.layer_merge == "auto":
            return "mean" if self._is_auto() else "concat"
        return self.layer_merge

    def _width(self, checkpoint: Checkpoint, layers: tuple[int, ...]) -> int:
        """Return the number of columns."""
        n_merged = len(layers) if self._merge_name() == "concat" else 1
        return n_merged * self._pooled_width(checkpoint)

    def _pooled_width(self, checkpoint: Checkpoint) -> int:
        """Return the width of one layer after pooling a span's tokens."""
        return checkpoint.hidden_size * (2 if self.subtoken_pooling == "first_last" else 1)

    def _make_encoder(
        self, checkpoint: Checkpoint, device: torch.device, precision: Precision
    ) -> SpanEncoder:
        from ..models.checkpoint.text_tokens import load_tokenizer

        tokenizer = SpanTokenizer(
            checkpoint,
            load_tokenizer(checkpoint),
            prompt=self.prompt,
            max_length=self.max_length,
            stride=self.stride,
            overlap=self._overlap,
            keeps_words=self._keeps_words,
        )
        return SpanEncoder(
            checkpoint,
            tokenizer=tokenizer,
            layers=self._layers_of(checkpoint),
            device=device,
            precision=precision,
            batch_tokens=self._batch_size(device, checkpoint),
        )

    def _learn(self, passages: Sequence[Passage], targets: NDArray[Any] | None) -> None:
        """Find the model and learn the layer weights; ``targets`` has one target for each span."""
        encoder = self._encoder(is_fitting=True)
        store = open_store(self.store)
        mix = None
        if self.layer_merge == "weighted":
            mix = self._learn_mix(encoder, store, passages, targets)
        # Set last and together, so that a failing fit changes nothing.
        self.model_fingerprint_ = encoder.checkpoint.fingerprint
        self.device_ = str(encoder.device)
        self.precision_ = encoder.precision
        self.layers_ = encoder.layers
        self.layer_weights_ = None if mix is None else mix.weights
        self.layer_scale_ = None if mix is None else mix.scale

    def _learn_mix(
        self,
        encoder: SpanEncoder,
        store: EmbeddingStore | None,
        passages: Sequence[Passage],
        targets: NDArray[Any] | None,
    ) -> ScalarMix:
        """Learn the layer weights from a random sample of passages that fits in 256 MiB."""
        if targets is None:
            raise InvalidParameterError(
                "The 'layer_merge' parameter must be 'concat', 'sum' or 'mean' without y, since"
                " 'weighted' learns its weights from y. Got 'weighted' and y=None instead. Give y"
                " to fit."
            )
        width = self._pooled_width(encoder.checkpoint)
        max_spans = _MAX_TRAINING_BYTES // (len(encoder.layers) * width * BYTES_PER_NUMBER)
        first = _starts(passages)
        order = np.random.default_rng(self.random_state).permutation(len(passages))
        n_chosen = int(np.searchsorted(np.cumsum(np.diff(first)[order]), max_spans, side="right"))
        chosen = np.sort(order[: max(n_chosen, 1)])
        sampled = targets[ranges(first[chosen], np.diff(first)[chosen])]
        states = np.zeros((len(encoder.layers), len(sampled), width), dtype=np.float32)

        pooling = self.subtoken_pooling

        def pool(found: SpanStates) -> NDArray[np.float32]:
            pooled = [pool_subtokens(layer, found.counts, pooling) for layer in found.states]
            return np.stack(pooled, axis=1)

        reader = SpanReader(encoder, store, pool, n_features=width)
        _fill(np.moveaxis(states, 0, 1), [passages[row] for row in chosen], reader)
        if np.issubdtype(sampled.dtype, np.floating):
            return fit_scalar_mix(states, sampled.astype(np.float32), None)
        classes, class_ids = np.unique(sampled.astype(str), return_inverse=True)
        return fit_scalar_mix(states, class_ids.astype(np.int64), len(classes))

    def _open(self) -> SpanReader:
        """Return the model for ``transform``, or raise if a parameter breaks its rule."""
        encoder = self._encoder()
        merge, pooling = self._merge(encoder.layers), self.subtoken_pooling

        def pool(found: SpanStates) -> NDArray[np.float32]:
            return pool_subtokens(merge(found.states), found.counts, pooling)

        n_features = self._width(encoder.checkpoint, encoder.layers)
        return SpanReader(encoder, open_store(self.store), pool, n_features)

    def _vectors(self, passages: Sequence[Passage], reader: SpanReader) -> NDArray[np.float32]:
        """Return the vectors of all spans, of shape (n_spans, n_features)."""
        vectors = np.zeros((int(_starts(passages)[-1]), reader.n_features), dtype=np.float32)
        texts = [passage.text for passage in passages]
        with (
            progress_bar(self, len(vectors), self._unit) as advance,
            naming_row(texts.index, self._owner),
        ):
            _fill(vectors, passages, reader, advance)
        return vectors

    def _merge(
        self, layers: tuple[int, ...]
    ) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return the function that merges layers, of shape (n_layers, n_tokens, hidden)."""
        if self._merge_name() == "concat":
            return lambda states: states[0] if len(states) == 1 else np.concatenate(states, axis=1)
        if self.layer_merge == "weighted":
            weights = getattr(self, "layer_weights_", None)
            scale = getattr(self, "layer_scale_", None)
            if weights is None or scale is None or self.layers_ != layers:
                raise NotFittedError(
                    f"layer_merge='weighted' has not learned weights of the layers {list(layers)}"
                    " yet. Call 'fit' with y first."
                )
            return ScalarMix(weights, scale)
        share = 1.0 if self._merge_name() == "sum" else 1.0 / len(layers)
        return ScalarMix(np.full(len(layers), share, dtype=np.float32), 1.0)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.layer_merge == "weighted"
        return tags


def list_targets(y: Any) -> list[Any]:
    """Return the elements of a list, array, Series or one-column DataFrame of targets."""
    rule = "y must be a list, tuple, array or Series of targets"
    y = only_column(y, f"{rule}.", "Choose one: df['tag'].", InvalidParameterError)
    if (targets := list_iterable(y)) is None:
        raise InvalidParameterError(
            f"{rule}. Got {type(y).__name__} {short_repr(y)}. Put them in a list, in the order"
            " of X."
        )
    return targets


def is_container(value: Any) -> bool:
    """Whether a value is a list, array or other container, not a string or number."""
    return (
        isinstance(value, Iterable)
        and not isinstance(value, (str, bytes))
        and getattr(value, "ndim", 1) > 0
    )


def read_targets(
    values: Sequence[Any], name: Callable[[int], str] = "target {}".format
) -> NDArray[Any]:
    """Return an array of targets: regression targets if they are floats, else classes.

    ``name`` returns what a message calls the target of an index.
    """
    values = list(values)
    wrong = [index for index, value in enumerate(values) if is_container(value)]
    if wrong:
        raise InvalidParameterError(
            "y must hold one class or number for each row of the result. Got"
            f" {type(values[wrong[0]]).__name__} {short_repr(values[wrong[0]])} as"
            f" {name(wrong[0])}. Choose one of them."
        )
    targets = np.asarray(values)
    if np.issubdtype(targets.dtype, np.floating):
        wrong = np.flatnonzero(~np.isfinite(targets)).tolist()
    else:
        wrong = [index for index, value in enumerate(values) if is_missing(value)]
    if wrong:
        raise InvalidParameterError(
            f"y must hold classes or finite numbers. Got {short_repr(values[wrong[0]])} as"
            f" {name(wrong[0])}. Missing or infinite targets: {len(wrong)}. Leave them out of X and"
            " y."
        )
    return targets


def _fill(
    vectors: NDArray[np.float32],
    passages: Sequence[Passage],
    reader: SpanReader,
    advance: Callable[[float], Any] | None = None,
) -> None:
    """Write the pooled states of spans into their rows; equal passages are read once."""
    first = _starts(passages)
    rows_of: dict[tuple[str, bytes], list[int]] = {}
    for row, passage in enumerate(passages):
        rows_of.setdefault((passage.text, passage.spans.tobytes()), []).append(row)
    copies = list(rows_of.values())
    distinct = [passages[rows[0]] for rows in copies]
    for found in encode_spans(reader.encoder, distinct, reader.store):
        pooled = reader.pool(found)
        n_spans = np.array(
            [len(passages[copies[index][0]].spans) for index in found.indices], dtype=np.int64
        )
        n_copies = np.array([len(copies[index]) for index in found.indices], dtype=np.int64)
        rows = np.array([row for index in found.indices for row in copies[index]], dtype=np.int64)
        sources = ranges(
            np.repeat(np.cumsum(n_spans) - n_spans, n_copies), np.repeat(n_spans, n_copies)
        )
        vectors[ranges(first[rows], np.repeat(n_spans, n_copies))] = pooled[sources]
        if advance is not None:
            advance(len(sources))


def _starts(passages: Sequence[Passage]) -> NDArray[np.int64]:
    """Return the first row of each passage, and the number of rows."""
    return np.cumsum([0, *(len(passage.spans) for passage in passages)], dtype=np.int64)
