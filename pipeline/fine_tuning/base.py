"""What the fine-tuned estimators share: parameters, inputs, training, the network of a fit."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ...errors import (
    InvalidParameterError,
    InvalidTextError,
    ModelIntegrityError,
    UnsupportedModelError,
)
from ...features.inputs.frames import names_of
from ...features.inputs.pairs import is_pairs, read_pairs
from ...features.inputs.texts import list_iterable, read_texts
from ...models import Checkpoint, PairTokenizer, TextTokenizer, Truncation
from ...models.checkpoint.question_tokens import QuestionTokenizer
from ...models.checkpoint.span_tokens import SpanTokenizer
from ...models.checkpoint.text_tokens import Overflow, TokenizedTexts, load_tokenizer
from ...models.encode_texts import open_store
from ...models.network.devices import Precision
from ...models.pooling.tokens import resolve_pooling
from ...models.ragged import ranges
from ...models.torch_threads import lock_held_by_forks
from ...models.training.examples import Examples
from ...output_file import new_directory
from ...validation import check_choice, check_number, invalid
from ...warning import warn_user
from .progress import FitTasks, TrainingBar, with_callbacks
from .targets import Target, hold_out_groups, row_groups
from .trained import TrainedEstimator

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sklearn.utils import Tags

    from ...models.training.heads import Unit
    from ...models.training.loop import TrainingData, TrainingResult, TrainingSettings
    from ...models.training.lower_states import LowerStates
    from ...models.training.network import NetworkSpec, TrainableNetwork

__all__ = [
    "FineTunedEstimator",
    "FineTunedVectorizer",
    "Rows",
    "Tools",
    "distinct_rows",
    "normal_weights",
]

_Tokenizer = TypeVar("_Tokenizer")

_MAX_NETWORKS = 2
_networks: dict[tuple[Any, ...], TrainableNetwork] = {}
_networks_lock = lock_held_by_forks()


@dataclass(frozen=True)
class Rows:
    """The inputs of an estimator, row by row: texts, the two texts of pairs, or tuples of words."""

    first: list[Any]
    second: list[str] | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        second = self.second
        return replace(
            self,
            first=[self.first[row] for row in rows.tolist()],
            second=None if second is None else [second[row] for row in rows.tolist()],
        )


@dataclass(frozen=True)
class Tools:
    """A checkpoint, where it runs, and its tokenizers."""

    checkpoint: Checkpoint
    device: torch.device
    precision: Precision
    batch_tokens: int
    settings: dict[str, Any] = field(hash=False)

    @cached_property
    def texts(self) -> TextTokenizer:
        """The tokenizer of single texts."""
        return self._make(TextTokenizer, "prompt", "max_length", "overflow", "stride")

    @cached_property
    def pairs(self) -> PairTokenizer:
        """The tokenizer of pairs."""
        return self._make(PairTokenizer, "max_length")

    @cached_property
    def words(self) -> SpanTokenizer:
        """The tokenizer of sentences of words."""
        return self._make(SpanTokenizer, "prompt", "max_length", "stride")

    @cached_property
    def questions(self) -> QuestionTokenizer:
        """The tokenizer of questions and windows of their contexts."""
        return self._make(QuestionTokenizer, "max_length", "stride", "max_question_length")

    def _make(self, kind: Callable[..., _Tokenizer], *names: str) -> _Tokenizer:
        settings = {name: self.settings[name] for name in names}
        return kind(self.checkpoint, load_tokenizer(self.checkpoint), **settings)


class FineTunedEstimator(TrainedEstimator[Tools]):
    """Base of the estimators that train a transformer with a head."""

    # What an estimator has that takes none of these parameters.
    pooling: str | Sequence[str] = "auto"
    overflow: Overflow = "window"
    prompt: str | None = ""
    missing: Literal["empty", "error"] = "error"
    order: Literal["given", "both"] = "given"
    max_question_length: int = 64

    __metadata_request__fit: ClassVar = {"groups": True}  # as scikit-learn's splitters have it
    _unit: ClassVar[Unit] = "text"
    _encoder_parameters: ClassVar[tuple[str, ...]] = (
        "max_length", "overflow", "stride", "prompt", "max_question_length", "precision", "device",
        "batch_tokens",
    )  # fmt: skip

    # --- inputs ---

    def _read(self, X: Any) -> Rows:
        """Return texts or pairs, with the names of their columns."""
        check_choice("missing", self.missing, ("empty", "error"))
        if not hasattr(X, "__len__"):  # an iterator shows only once whether it holds pairs
            X = list_iterable(X) or X
        if is_pairs(X):
            pairs = read_pairs(X, self.missing)
            return Rows(pairs.first, pairs.second, pairs.names)
        return Rows(read_texts(X, self.missing).texts, names=names_of(X))

    def _read_fitted(self, X: Any) -> Rows:
        """Return the rows of X, or raise unless they are of the kind that ``fit`` read."""
        check_is_fitted(self, "tuned_weights_")
        rows = self._read(X)
        n_columns = 1 if rows.second is None else 2
        if len(rows) and n_columns != self.n_features_in_:
            kinds = {1: "one column of texts", 2: "pairs of texts, in two columns"}
            raise InvalidTextError(
                f"X must hold {kinds[self.n_features_in_]}, as in 'fit'. Got {kinds[n_columns]}"
                f" instead: X has {n_columns} features, but {type(self).__name__} is expecting"
                f" {self.n_features_in_} features as input."
            )
        known: Any = getattr(self, "feature_names_in_", rows.names)
        if n_columns == 2 and rows.names is not None and tuple(known) != rows.names:
            raise InvalidTextError(
                f"X must have the columns that 'fit' saw, {list(known)}, in this order. Got"
                f" {list(rows.names)} instead. The feature names should match those that were"
                " passed during fit."
            )
        return rows

    def _tokenize(self, rows: Rows, tools: Tools) -> Examples:
        """Return the token sequences of texts or pairs."""
        order = check_choice("order", self.order, ("given", "both"))
        if rows.second is None:
            if order != "given":
                raise invalid("order", "'given' for single texts", order)
            return Examples(tools.texts(rows.first))
        for name, value in (("overflow", "truncate"), ("stride", None), ("prompt", None)):
            given = getattr(self, name)
            if given != value and (name, given) != ("prompt", ""):
                raise invalid(name, f"{value!r} for pairs; others are for single texts", given)
        tokenized = tools.pairs(rows.first, rows.second)
        if order == "both":
            tokenized = _side_by_side(tokenized, tools.pairs(rows.second, rows.first))
        return Examples(tokenized)

    # --- parameters ---

    def _make_encoder(
        self, checkpoint: Checkpoint, device: torch.device, precision: Precision
    ) -> Tools:
        names = ("prompt", "max_length", "overflow", "stride", "max_question_length")
        settings = {name: getattr(self, name) for name in names}
        return Tools(checkpoint, device, precision, self._batch_size(device, checkpoint), settings)

    def _spec(self, tools: Tools, rows: Rows, n_outputs: int, seed: int) -> NetworkSpec:
        """Return what the network is built of, or raise if a parameter breaks its rule."""
        from ...models.training.network import NetworkSpec

        n_trained = self._n_trained_layers(tools.checkpoint)
        is_auto = isinstance(self.pooling, str) and self.pooling == "auto"
        vocab_size = None
        if rows.second is not None and tools.pairs.new_tokens:
            vocab_size = tools.pairs.vocab_size
            if n_trained is not None and vocab_size > (
                tools.checkpoint.text_config.vocab_size or 0
            ):
                raise UnsupportedModelError(
                    f"The tokenizer of {self.model_name!r} has no tokens that join a pair, and new"
                    f" ones, {', '.join(tools.pairs.new_tokens)}, have no vectors yet. Set"
                    " trainable_layers='all', so that they are learned."
                )
        return NetworkSpec(
            unit=self._unit,
            n_outputs=n_outputs,
            pooling=None if is_auto else resolve_pooling(self.pooling),
            n_trained_layers=n_trained,
            dropout=check_number("dropout", self.dropout, "[0, 1)", optional=True),
            vocab_size=vocab_size,
            seed=seed,
            needs_depths=self.layer_decay != 1 or self.unfreezing is not None,
        )

    def _check_parameters(self) -> None:
        """Raise if a parameter breaks its rule, as far as that shows without rows."""
        tools = self._encoder(is_fitting=True)
        open_store(self.store)
        _ = tools.texts
        self._settings(tools.checkpoint, 0)
        self._spec(tools, Rows([]), 1, 0)

    # --- fit ---

    @abstractmethod
    def _learn_target(self, y: Any, rows: Rows, sample_weight: Any) -> Target:
        """Return what is learned from ``y``, or raise if it breaks a rule."""

    @abstractmethod
    def _known_target(self, y: Any, rows: Rows, target: Target) -> Target:
        """Return the target of validation rows, in the terms of the one that is learned."""

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        groups: Any = None,
    ) -> Self:
        """Train on texts or pairs of texts.

        Parameters
        ----------
        X : iterable of str, Series, DataFrame or ndarray of shape (n_rows,) or (n_rows, 2)
            One column of texts, or two: the sides of pairs.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            The target of each row.
        sample_weight : array-like of shape (n_rows,) or None, default=None
            Weight of each row. None gives all the same; rows of weight 0 are left out.
        X_val : like X, or None, default=None
            Rows for validation. None takes a share of X if ``early_stopping`` is set.
        y_val : array-like or None, default=None
            The target of the rows for validation.
        groups : array-like of shape (n_rows,) or None, default=None
            Group of each row. With ``early_stopping`` and without ``X_val``, rows of a group are
            either all trained on or all for validation. Requested by default from scikit-learn's
            metadata routing.

        Returns
        -------
        self : object
            The fitted estimator. If ``fit`` fails or is interrupted, it stays as it was.

        Raises
        ------
        InvalidParameterError
            If a parameter breaks its rule, or ``y`` or a weight does.
        InvalidTextError
            If X holds neither texts nor pairs of texts.
        TrainingDivergedError
            If the loss becomes infinite or NaN.
        """
        from ...models.training.network import usual_torch

        tools = self._encoder(is_fitting=True)
        open_store(self.store)  # raises if it is not one
        rows = self._read(X)
        target = self._learn_target(y, rows, sample_weight)
        seed = self._seed()
        settings = self._settings(tools.checkpoint, seed)
        numbers = None if groups is None else row_groups(groups, len(rows))
        spec = self._spec(tools, rows, target.n_outputs, seed)
        learned, validation = self._split(rows, target, X_val, y_val, numbers, seed)
        tasks = FitTasks(self, settings.epochs, X, y, sample_weight)
        with usual_torch(tools.device):
            state = self._train(tools, spec, settings, learned, validation, tasks)
        own = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        self.__dict__ = own | state  # in one step, so that nothing can come between
        tasks.end()
        return self

    def _split(
        self,
        rows: Rows,
        target: Target,
        X_val: Any,
        y_val: Any,
        groups: NDArray[np.int64] | None,
        seed: int,
    ) -> tuple[tuple[Rows, Target], tuple[Rows, Target] | None]:
        """Return what is trained on, without rows of no weight, and what validates it."""
        chosen = np.flatnonzero(target.weights > 0)
        if X_val is not None or y_val is not None:
            if X_val is None or y_val is None:
                missing = "X_val" if X_val is None else "y_val"
                raise invalid(missing, "given where the other of X_val and y_val is", None)
            others = self._read(X_val)
            if (others.second is None) != (rows.second is None):
                raise invalid("X_val", "texts or pairs as X is", X_val)
            if rows.second is not None and rows.names and others.names not in (None, rows.names):
                rule = f"pairs in the columns {rows.names}, as X is"
                raise invalid("X_val", rule, f"the columns {others.names}")
            validation = others, self._known_target(y_val, others, target)
            return (rows.take(chosen), target.take(chosen)), validation
        if not self.early_stopping:
            return (rows.take(chosen), target.take(chosen)), None
        kept, held = self._hold_out(chosen, target, groups, seed)
        return (rows.take(kept), target.take(kept)), (rows.take(held), target.take(held))

    def _hold_out(
        self, chosen: NDArray[np.int64], target: Target, groups: NDArray[np.int64] | None, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Split rows into those to train on and those for validation, stratified by class.

        Rows of a group are on one side.
        """
        from sklearn.model_selection import train_test_split

        strata = None if target.strata is None else target.strata[chosen]
        n_held = math.ceil(self.validation_fraction * len(chosen))
        n_strata = 1 if strata is None else len(np.unique(strata))
        if min(n_held, len(chosen) - n_held) < n_strata:
            raise InvalidParameterError(
                f"The 'validation_fraction' parameter must leave at least {n_strata} rows on each"
                f" side of the split, one for each class. Got {self.validation_fraction} of"
                f" {len(chosen)} rows instead. Change it, give X_val and y_val, or set"
                " early_stopping=False."
            )
        if groups is not None:
            kept, held = hold_out_groups(groups[chosen], strata, self.validation_fraction, seed)
            return chosen[kept], chosen[held]
        if strata is not None and np.unique(strata, return_counts=True)[1].min() < 2:
            strata = None  # a class of one row cannot stand on both sides
        kept, held = train_test_split(
            chosen, test_size=n_held, random_state=seed, shuffle=True, stratify=strata
        )
        return np.sort(kept), np.sort(held)

    def _train(
        self,
        tools: Tools,
        spec: NetworkSpec,
        settings: TrainingSettings,
        learned: tuple[Rows, Target],
        validation: tuple[Rows, Target] | None,
        tasks: FitTasks,
    ) -> dict[str, Any]:
        """Return the attributes of the estimator that this fit gives."""
        from ...models.training.loop import train
        from ...models.training.network import TrainableNetwork

        examples = self._tokenize(learned[0], tools)
        self._warn_of_lost_tokens(examples.tokenized.truncation)
        network = TrainableNetwork(tools.checkpoint, tools.device, spec)
        target = learned[1].for_outputs_of(network)
        data = self._training_data(tools, network, examples, target)
        held = None
        if validation is not None:
            held = self._training_data(
                tools,
                network,
                self._tokenize(validation[0], tools),
                validation[1].for_outputs_of(network),
            )

        def state(result: TrainingResult) -> dict[str, Any]:
            return self._state(tools, network, result, examples, learned[0], target)

        title, n_tokens = type(self).__name__, int(examples.n_tokens.sum()) * settings.epochs
        with TrainingBar(
            *(title, n_tokens, self.verbose, settings.epochs),
            lambda result: tasks.end_epoch(result.is_over, lambda: state(result)),
        ) as bar:
            result = train(network, data, settings, held, bar)
        found = state(result)
        with _networks_lock:
            _remember(_network_key(tools, found["_form"], found["tuned_weights_"]), network)
        return found

    def _training_data(
        self, tools: Tools, network: TrainableNetwork, examples: Examples, target: Target
    ) -> TrainingData:
        from ...models.training.labelled import LabelledData

        values, weights = target.values, target.weights
        if examples.words is not None:
            weights = np.repeat(weights, list(map(len, values)))
            values = np.concatenate([np.empty(0, dtype=np.int64), *values])
            weights = np.where((examples.words < 0) | (values < 0), 0.0, weights)
            values = np.maximum(values, 0)
            if not weights.any():
                raise InvalidTextError(
                    "Sentences to train on, and those for validation, must have at least one word"
                    f" with a known tag of which the tokenizer of {self.model_name!r} makes a"
                    f" token. Got {len(values)} word(s), and none of this kind. Add sentences."
                )
        lower = self._lower_states(tools, network, examples, verbose=self.verbose)
        return LabelledData(examples, values, normal_weights(weights), target.loss, lower)

    def _lower_states(
        self, tools: Tools, network: TrainableNetwork, examples: Examples, *, verbose: bool = False
    ) -> LowerStates | None:
        """Return the states at which the network begins, computed if the store lacks them."""
        if network.begins_at is None:
            return None
        from ...models.training.lower_states import LowerStates

        lower = LowerStates(
            tools.checkpoint,
            tools.device,
            tools.precision,
            network.begins_at,
            examples.tokenized,
            open_store(self.store),
            tools.batch_tokens,
        )
        title, n_tokens = f"{type(self).__name__}, lower layers", int(examples.n_tokens.sum())
        with TrainingBar(title, n_tokens, verbose) as bar:
            lower.prepare(bar.step)
        return lower

    def _state(
        self,
        tools: Tools,
        network: TrainableNetwork,
        result: TrainingResult,
        examples: Examples,
        rows: Rows,
        target: Target,
    ) -> dict[str, Any]:
        """Return the attributes of an estimator whose fit ends here."""
        from ...models.training.tuned_weights import TunedWeights

        spec = network.spec
        state = {
            **target.learned,
            "n_iter_": result.n_iter,
            "loss_curve_": list(result.loss_curve),
            "tuned_weights_": TunedWeights.of(network).data,
            "pooling_": list(spec.pooling or network.head.poolings),
            "_form": {
                "n_outputs": spec.n_outputs,
                "pooling": None if spec.pooling is None else list(spec.pooling),
                "n_trained_layers": spec.n_trained_layers,
                "vocab_size": spec.vocab_size,
                "scale": None if target.scale is None else target.scale.tolist(),
                "shift": None if target.shift is None else target.shift.tolist(),
            },
            "model_fingerprint_": tools.checkpoint.fingerprint,
            "device_": str(tools.device),
            "precision_": tools.precision,
            "truncation_": examples.tokenized.truncation,
            "n_features_in_": 1 if rows.second is None else 2,
        }
        if result.validation_scores:
            state["validation_scores_"] = list(result.validation_scores)
        if rows.names is not None:
            state["feature_names_in_"] = np.array(rows.names, dtype=object)
        return state

    def _warn_of_lost_tokens(self, truncation: Truncation) -> None:
        if truncation.n_truncated and self.overflow == "truncate":
            warn_user(
                f"{truncation.n_truncated} of {truncation.n_texts} rows are longer than the model"
                f" reads and lose {truncation.share_lost:.1%} of all tokens. A larger max_length,"
                " where the model allows it, keeps more; for single texts, overflow='head_tail' or"
                " 'window' does, too."
            )

    # --- the fitted network ---

    def _network(self, tools: Tools) -> TrainableNetwork:
        """Return the tuned network; the last two stay in memory."""
        from ...models.training.network import TrainableNetwork
        from ...models.training.tuned_weights import TunedWeights

        def make() -> TrainableNetwork:
            spec = self._fitted_spec(tools.checkpoint)
            network = TrainableNetwork(tools.checkpoint, tools.device, spec)
            TunedWeights(self.tuned_weights_).load_into(network)
            return network

        return self._kept_network(tools, self._form, self.tuned_weights_, make)

    def _kept_network(
        self, tools: Tools, form: Any, weights: bytes, make: Callable[[], TrainableNetwork]
    ) -> TrainableNetwork:
        """Return a network from memory, or make it, ready to predict."""
        key = _network_key(tools, form, weights)
        with _networks_lock:
            network = _networks.get(key)
            if network is None:
                network = make()
                network.train(False)
            _remember(key, network)
        return network

    def _fitted_spec(self, checkpoint: Checkpoint) -> NetworkSpec:
        from ...models.training.network import NetworkSpec

        pooling, n_trained = self._form["pooling"], self._form["n_trained_layers"]
        if n_trained is not None and n_trained > checkpoint.n_layers:
            raise ModelIntegrityError(
                f"The tuned weights do not fit this model: of {n_trained} layers, more than its"
                f" {checkpoint.n_layers}. The file of this estimator is damaged. Load it again, or"
                " fit again."
            )
        return NetworkSpec(
            unit=self._unit,
            n_outputs=self._form["n_outputs"],
            pooling=None if pooling is None else tuple(pooling),
            n_trained_layers=n_trained,
            dropout=None,
            # Upper layers alone have no new tokens: `fit` refuses that.
            vocab_size=self._form["vocab_size"] if n_trained is None else None,
            seed=0,
        )

    def _outputs(self, X: Any, *, vectors: bool = False) -> NDArray[np.float32]:
        """Return outputs of shape (n_rows, n_outputs), or the vectors of rows.

        The outputs of sentences are those of their words, NaN for words without tokens.
        """
        rows = self._read_fitted(X)
        tools = self._encoder()
        distinct, inverse = distinct_rows(rows)
        examples = self._tokenize(distinct, tools)
        found = self._computed(tools, examples, vectors=vectors)
        if examples.words is not None:
            found[examples.words < 0] = np.nan
        return found[examples.targets_of(inverse)]

    def _computed(
        self, tools: Tools, examples: Examples, *, vectors: bool = False
    ) -> NDArray[np.float32]:
        """Return the outputs of examples or of their words, or the vectors of examples."""
        from ...models.training.loop import predict
        from ...models.training.network import usual_torch

        skip = examples.tokenized.n_prompt_tokens

        def compute(batch: Any, entering: torch.Tensor | None) -> torch.Tensor:
            if vectors:
                return network.vectors(batch, entering, tuple(self.pooling_), skip)
            return network.outputs(batch, entering, skip)

        with usual_torch(tools.device):
            network = self._network(tools)
            lower = self._lower_states(tools, network, examples)
            return predict(network, examples, lower, compute, tools.batch_tokens)

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write the tuned model as a directory for transformers and sentence-transformers.

        Parameters
        ----------
        directory : str or Path
            A directory that does not exist, or is empty. Its parents are made.

        Returns
        -------
        directory : Path
            The directory. `BertVectorizer` gives the tuned vectors of it, and `BertWordVectorizer`
            those of words. With ``pooling="auto"``, `AutoModelForSequenceClassification` and
            `CrossEncoder` of sentence-transformers, `AutoModelForTokenClassification`, or
            `AutoModelForQuestionAnswering` open it, too, and give the same numbers, but for the
            rounding of a lower `precision`.

        Raises
        ------
        InvalidParameterError
            If something is at the place.
        StoreError
            If the directory cannot be written.
        """
        from ...models.training.network import TrainableNetwork, usual_torch
        from ...models.training.tuned_weights import TunedWeights, save_directory

        check_is_fitted(self, "tuned_weights_")
        target = new_directory(directory)
        tools = self._encoder()
        is_pair = self.n_features_in_ == 2
        of_one = tools.words if self._unit == "word" else tools.texts
        reader = tools.pairs if is_pair else of_one
        prompt = "" if reader is not tools.texts else tools.checkpoint.resolve_prompt(self.prompt)
        labels, problem = self._labels()
        spec = replace(self._fitted_spec(tools.checkpoint), n_trained_layers=None)
        with usual_torch(tools.device):
            whole = TrainableNetwork(tools.checkpoint, tools.device, spec)
            TunedWeights(self.tuned_weights_).load_into(whole)
            if (scale := self._form["scale"]) is not None:
                whole.rescale_outputs(np.array(scale), np.array(self._form["shift"]))
            save_directory(
                whole,
                tools.pairs.tokenizer if is_pair else load_tokenizer(tools.checkpoint),
                target,
                labels=labels,
                problem=problem,
                max_length=reader.max_length,
                poolings=self.pooling_,
                prompt=prompt,
            )
        return target

    @abstractmethod
    def _labels(self) -> tuple[list[str], str | None]:
        """Return the names of the outputs, and the ``problem_type`` of transformers."""


class FineTunedVectorizer(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    FineTunedEstimator,
):
    """Base of those that also give vectors: of texts and pairs."""

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of texts or pairs from the tuned transformer.

        Parameters
        ----------
        X : iterable of str, Series, DataFrame or ndarray of shape (n_rows,) or (n_rows, 2)
            Texts or pairs, as in ``fit``.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_features), float32
            The pooled tokens of the last layer: under ``pooling``, or what the head reads.
        """
        return self._outputs(X, vectors=True)

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Raise, since vectors of the rows that were trained on are over-fitted.

        Parameters
        ----------
        X : object
            Not used.
        y : object, default=None
            Not used.
        **fit_params : dict
            Not used.

        Raises
        ------
        InvalidParameterError
            Always.
        """
        raise InvalidParameterError(
            f"{type(self).__name__} gives no vectors of the rows that it is fitted on, as they are"
            " over-fitted: a later step would trust them too much. Fit it on other rows, and put"
            " sklearn.frozen.FrozenEstimator(fitted) into the pipeline, or, after"
            " fitted.save_pretrained(directory), BertVectorizer(directory)."
        )

    @property
    def _n_features_out(self) -> int:  # read by ClassNamePrefixFeaturesOutMixin
        return len(self.pooling_) * self._checkpoint().hidden_size

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _network_key(tools: Tools, form: dict[str, Any], weights: bytes) -> tuple[Any, ...]:
    """Return what a network in memory is found by. Python hashes the weights once."""
    checkpoint = tools.checkpoint
    origin = checkpoint.fingerprint, checkpoint.trust_remote_code
    return *origin, str(tools.device), repr(form), weights


def _remember(key: tuple[Any, ...], network: TrainableNetwork) -> None:
    """Keep a network in memory, and let the least recently used one go."""
    _networks.pop(key, None)
    _networks[key] = network
    while len(_networks) > _MAX_NETWORKS:
        _networks.pop(next(iter(_networks)))


def normal_weights(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return weights whose mean is 1."""
    weights = weights / (weights.max(initial=0.0) or 1.0)  # the sum of great ones is infinite
    mean = weights.mean() if len(weights) else 1.0
    return (weights / mean).astype(np.float32)


def distinct_rows(rows: Rows) -> tuple[Rows, NDArray[np.int64]]:
    """Return the distinct rows, and the index of each row among them."""
    second = rows.second or [""] * len(rows)
    index_of: dict[tuple[str, str], int] = {}
    inverse = [
        index_of.setdefault(pair, len(index_of)) for pair in zip(rows.first, second, strict=True)
    ]
    first = np.unique(np.array(inverse, dtype=np.int64), return_index=True)[1]
    return rows.take(first), np.array(inverse, dtype=np.int64)


def _side_by_side(one: TokenizedTexts, other: TokenizedTexts) -> TokenizedTexts:
    """Return sequences of which each text has two: one of each argument."""
    n_texts = len(one.first_window) - 1
    order = np.arange(2 * n_texts).reshape(2, n_texts).T.ravel()  # first, its second, ...
    lengths = np.concatenate([one.lengths, other.lengths])
    starts = np.concatenate([one.offsets[:-1], other.offsets[:-1] + len(one.ids)])
    tokens = ranges(starts[order], lengths[order])
    types = None
    if one.types is not None and other.types is not None:
        types = np.concatenate([one.types, other.types])[tokens]
    return replace(
        one,
        ids=np.concatenate([one.ids, other.ids])[tokens],
        types=types,
        offsets=np.concatenate([[0], np.cumsum(lengths[order])]),
        first_window=2 * np.arange(n_texts + 1),
    )
