"""What the vectorizers of words and spans share: a transformer read at the tokens of each span."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError

from ..errors import InvalidParameterError
from ..models import Checkpoint
from ..models.checkpoint.span_tokens import SpanTokenizer
from ..models.encode_spans import Passage, SpanEncoder, SpanStates, encode_spans
from ..models.encode_texts import open_store
from ..models.pooling.layers import LAYER_MERGES, parse_layers, resolve_layers
from ..models.pooling.scalar_mix import ScalarMix, fit_scalar_mix
from ..models.pooling.subwords import SUBTOKEN_POOLINGS, pool_subtokens
from ..models.ragged import ranges
from ..validation import check_choice, check_int, short_repr
from .bert_common import BertBase, progress_bar
from .inputs.frames import read_frame
from .inputs.texts import is_missing

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sklearn.utils import Tags

    from ..models.store.embedding_store import EmbeddingStore

__all__ = ["ContextualVectorizer", "Opened", "is_several", "list_targets", "read_targets"]

_LEARNT_BYTES = 256 << 20
_NUMBER_BYTES = 4


@dataclass(frozen=True)
class Opened:
    """A model that is ready to read spans; ``merge`` makes one vector of a token's layers."""

    encoder: SpanEncoder
    store: EmbeddingStore | None
    merge: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    n_features: int


class ContextualVectorizer(BertBase, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base of `BertWordVectorizer` and `BertSpanVectorizer`: one row for each span of a text.

    A subclass stores the parameters in ``__init__`` and says what the passages of X are.
    """

    subtoken_pooling: str
    random_state: int

    _overlap = 0.25
    _unit = "words"

    def _check_parameters(self) -> None:
        """Check what can be checked before a model is looked for, which may take a download."""
        check_choice("layer_merge", self.layer_merge, (*LAYER_MERGES, "weighted"))
        check_choice("subtoken_pooling", self.subtoken_pooling, SUBTOKEN_POOLINGS)
        parse_layers(self.layers, 0)  # how they are written; which there are, the model knows
        check_int("stride", self.stride, 0, optional=True)
        check_int("random_state", self.random_state, 0)

    def _checkpoint(self) -> Checkpoint:
        self._check_parameters()
        return super()._checkpoint()

    def _n_features(self) -> int:
        checkpoint = self._checkpoint()
        return self._width(checkpoint, resolve_layers(self.layers, checkpoint.n_layers))

    def _width(self, checkpoint: Checkpoint, layers: tuple[int, ...]) -> int:
        return (
            checkpoint.hidden_size
            * self._sides
            * (len(layers) if self.layer_merge == "concat" else 1)
        )

    @property
    def _sides(self) -> int:
        """Vectors side by side that pooling makes of a word's tokens."""
        return 2 if self.subtoken_pooling == "first_last" else 1

    @property
    def n_features_out_(self) -> int:
        """Width of the result."""
        return self._n_features()

    def _make_encoder(
        self, checkpoint: Checkpoint, device: torch.device, precision: str
    ) -> SpanEncoder:
        from ..models.checkpoint.text_tokens import load_tokenizer

        tokenizer = SpanTokenizer(
            checkpoint,
            load_tokenizer(checkpoint),
            self.prompt,
            self.max_length,
            self.stride,
            self._overlap,
        )
        layers = resolve_layers(self.layers, checkpoint.n_layers)
        batch_tokens = self._batch_size(device, checkpoint)
        return SpanEncoder(checkpoint, tokenizer, layers, device, precision, batch_tokens)

    def _learn(self, passages: Sequence[Passage], targets: NDArray[Any] | None) -> None:
        """Find the model, and learn the layer weights; ``targets`` has one for each span."""
        encoder: SpanEncoder = self._encoder(is_fitting=True)
        store = open_store(self.store)
        mix = None
        if self.layer_merge == "weighted":
            mix = self._learn_mix(encoder, store, passages, targets)
        # Attributes are set last and together, so that a fit that fails changes nothing.
        self.model_fingerprint_ = encoder.checkpoint.fingerprint
        self.device_ = str(encoder.device)
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
        """Learn the mix from as many passages as fit into some memory, drawn at random."""
        if targets is None:
            raise InvalidParameterError(
                "The 'layer_merge' parameter must be 'concat', 'sum' or 'mean' where there is no y,"
                " since the weights of 'weighted' are learnt from it. Got 'weighted' and y=None"
                " instead. Give y to fit."
            )
        width = encoder.checkpoint.hidden_size * self._sides
        room = _LEARNT_BYTES // (len(encoder.layers) * width * _NUMBER_BYTES)
        first = _starts(passages)
        order = np.random.default_rng(self.random_state).permutation(len(passages))
        n_chosen = int(np.searchsorted(np.cumsum(np.diff(first)[order]), room, side="right"))
        chosen = np.sort(order[: max(n_chosen, 1)])
        learnt = targets[ranges(first[chosen], np.diff(first)[chosen])]
        states = np.zeros((len(encoder.layers), len(learnt), width), dtype=np.float32)

        def pool_each(found: SpanStates) -> NDArray[np.float32]:
            return np.stack(
                [
                    pool_subtokens(layer, found.counts, self.subtoken_pooling)
                    for layer in found.states
                ],
                axis=1,
            )

        chosen_passages = [passages[row] for row in chosen]
        _fill(np.moveaxis(states, 0, 1), encoder, store, chosen_passages, pool_each, None)
        if np.issubdtype(learnt.dtype, np.floating):
            return fit_scalar_mix(states, learnt.astype(np.float32), None)
        classes, numbers = np.unique(learnt.astype(str), return_inverse=True)
        return fit_scalar_mix(states, numbers.astype(np.int64), len(classes))

    def _open(self) -> Opened:
        """Make the model ready for ``transform``, or raise if a parameter breaks its rule."""
        encoder: SpanEncoder = self._encoder()
        width = self._width(encoder.checkpoint, encoder.layers)
        return Opened(encoder, open_store(self.store), self._merge(encoder.layers), width)

    def _vectors(self, passages: Sequence[Passage], opened: Opened) -> NDArray[np.float32]:
        """Return the vectors of all spans, of shape (n_spans, n_features)."""
        vectors = np.zeros((int(_starts(passages)[-1]), opened.n_features), dtype=np.float32)

        def pool(found: SpanStates) -> NDArray[np.float32]:
            return pool_subtokens(opened.merge(found.states), found.counts, self.subtoken_pooling)

        with progress_bar(self, len(vectors), self._unit) as advance:
            _fill(vectors, opened.encoder, opened.store, passages, pool, advance)
        return vectors

    def _merge(
        self, layers: tuple[int, ...]
    ) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return the function from (n_layers, n_tokens, hidden) to (n_tokens, width)."""
        if self.layer_merge == "concat":
            return _side_by_side
        if self.layer_merge == "weighted":
            weights, scale = (
                getattr(self, "layer_weights_", None),
                getattr(self, "layer_scale_", None),
            )
            if weights is None or scale is None or self.layers_ != layers:
                raise NotFittedError(
                    f"The weights of the layers {list(layers)} that layer_merge='weighted' needs"
                    " are not learnt yet. Call 'fit' with y first."
                )
            return ScalarMix(weights, scale)
        share = 1.0 if self.layer_merge == "sum" else 1.0 / len(layers)
        return ScalarMix(np.full(len(layers), share, dtype=np.float32), 1.0)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : ignored
            Here for scikit-learn's sake.

        Returns
        -------
        ndarray
            The class's name in lower case, and a number. *Shape:* ``(n_features,)``, dtype object.
        """
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{number}" for number in range(self._n_features())], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.layer_merge == "weighted"
        tags.transformer_tags.preserves_dtype = []
        return tags


def list_targets(y: Any) -> list[Any]:
    """Return the elements of y, whatever holds them.

    Raises
    ------
    InvalidParameterError
        If y is no sequence, or a table of several columns.
    """
    rule = "y must be a list, tuple, array or Series of targets"
    if (frame := read_frame(y)) is not None:
        if len(frame.names) != 1:
            raise InvalidParameterError(
                f"{rule}. Got a DataFrame with {len(frame.names)} columns: {frame.names[:8]}."
                " Choose one: df['tag']."
            )
        y = frame.column(0)
    if (
        isinstance(y, (str, bytes, Mapping, set, frozenset))
        or not isinstance(y, Iterable)
        or getattr(y, "ndim", 1) == 0
    ):
        raise InvalidParameterError(
            f"{rule}. Got {type(y).__name__} {short_repr(y)}. Put them in a list, in the order"
            " of X."
        )
    return list(y)


def is_several(target: Any) -> bool:
    """Whether a target is a list or another container, not one class or amount."""
    return (
        isinstance(target, Iterable)
        and not isinstance(target, (str, bytes))
        and getattr(target, "ndim", 1) > 0
    )


def read_targets(
    values: Sequence[Any], name: Callable[[int], str] = "target {}".format
) -> NDArray[Any]:
    """Return targets as an array: amounts if they are floats, else classes.

    Parameters
    ----------
    values : sequence
        A target for each row of the result.
    name : callable
        What to call a target in a message.

    Returns
    -------
    ndarray
        *Shape:* ``(n_targets,)``.

    Raises
    ------
    InvalidParameterError
        If one of them is missing or infinite, or several in place of one; the message says which.
    """
    values = list(values)
    several = next((number for number, value in enumerate(values) if is_several(value)), None)
    if several is not None:
        raise InvalidParameterError(
            "y must hold one class or amount for each row of the result. Got"
            f" {type(values[several]).__name__} {short_repr(values[several])} as {name(several)}."
            " Choose one of them."
        )
    targets = np.asarray(values)
    is_amount = np.issubdtype(targets.dtype, np.floating)
    wrong = np.flatnonzero(
        ~np.isfinite(targets)
        if is_amount
        else np.fromiter(map(is_missing, values), dtype=bool, count=len(values))
    )
    if len(wrong):
        raise InvalidParameterError(
            f"y must hold classes or finite amounts. Got {values[wrong[0]]!r} as"
            f" {name(int(wrong[0]))}, and {len(wrong)} such in all. Leave out what has no target."
        )
    return targets


def _fill(
    vectors: NDArray[np.float32],
    encoder: SpanEncoder,
    store: EmbeddingStore | None,
    passages: Sequence[Passage],
    make: Callable[[SpanStates], NDArray[np.float32]],
    advance: Callable[[float], Any] | None,
) -> None:
    """Write what ``make`` returns for the states of spans into their rows.

    Equal passages are read once.
    """
    first = _starts(passages)
    rows_of: dict[tuple[str, bytes], list[int]] = {}
    for row, passage in enumerate(passages):
        rows_of.setdefault((passage.text, passage.spans.tobytes()), []).append(row)
    copies = list(rows_of.values())
    for found in encode_spans(encoder, [passages[rows[0]] for rows in copies], store):
        made = make(found)
        n_spans = np.array(
            [len(passages[copies[index][0]].spans) for index in found.indices], dtype=np.int64
        )
        n_copies = np.array([len(copies[index]) for index in found.indices], dtype=np.int64)
        rows = np.array([row for index in found.indices for row in copies[index]], dtype=np.int64)
        sources = ranges(
            np.repeat(np.cumsum(n_spans) - n_spans, n_copies), np.repeat(n_spans, n_copies)
        )
        vectors[ranges(first[rows], np.repeat(n_spans, n_copies))] = made[sources]
        if advance is not None:
            advance(len(sources))


def _starts(passages: Sequence[Passage]) -> NDArray[np.int64]:
    """Return the first row of each passage, and the one after the last."""
    return np.cumsum([0, *(len(passage.spans) for passage in passages)], dtype=np.int64)


def _side_by_side(layers: NDArray[np.float32]) -> NDArray[np.float32]:
    return layers[0] if len(layers) == 1 else np.concatenate(list(layers), axis=1)
