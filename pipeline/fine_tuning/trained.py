"""The parameters of a training, which all estimators that train a transformer share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from ...errors import InvalidParameterError
from ...features.bert_common import BertBase
from ...models import Checkpoint
from ...models.training.schedules import SCHEDULES, Schedule
from ...validation import check_choice, check_flag, check_int, check_number, invalid
from .progress import CallbackSupportMixin

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from ...models.training.loop import TrainingSettings

__all__ = ["TrainedEstimator"]

_WIDTH_OF_BASE = 768
_RATE_OF_BASE = 5e-5  # the highest of the BERT paper's, appendix A.3, for models of this width
_HEAD_ALONE = 20  # a head alone takes larger steps

_Encoder = TypeVar("_Encoder")


class TrainedEstimator(
    CallbackSupportMixin,  # type: ignore[misc]  # scikit-learn has no types
    BertBase[_Encoder],
    BaseEstimator,  # type: ignore[misc]
    Generic[_Encoder],
):
    """Base of the estimators that train a transformer."""

    trainable_layers: Literal["all"] | int
    epochs: int
    batch_size: int
    learning_rate: Literal["auto"] | float
    head_learning_rate: float | None
    layer_decay: float
    schedule: Schedule
    warmup: float
    unfreezing: Literal["gradual"] | None
    weight_decay: float
    dropout: float | None
    max_grad_norm: float | None
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    random_state: Any
    missing: Literal["empty", "error"]
    verbose: bool

    show_progress_bar = False  # `verbose` is the parameter

    def _settings(self, checkpoint: Checkpoint, seed: int) -> TrainingSettings:
        """Return how to train, or raise if a parameter breaks its rule."""
        from ...models.training.loop import TrainingSettings

        check_flag("verbose", self.verbose)
        check_number("validation_fraction", self.validation_fraction, "(0, 1)")
        rate: Any = self.learning_rate
        if isinstance(rate, str):
            if rate != "auto":
                raise invalid("learning_rate", "'auto' or a number in the range (0, inf)", rate)
            rate = self._rate_of_base() * _WIDTH_OF_BASE / checkpoint.hidden_size
            rate *= _HEAD_ALONE if self._n_trained_layers(checkpoint) == 0 else 1
        if self.unfreezing is not None and self.unfreezing != "gradual":
            raise invalid("unfreezing", "'gradual' or None", self.unfreezing)
        return TrainingSettings(
            epochs=check_int("epochs", self.epochs, 1),
            batch_size=check_int("batch_size", self.batch_size, 1),
            learning_rate=check_number("learning_rate", rate),
            head_learning_rate=check_number(
                "head_learning_rate", self.head_learning_rate, optional=True
            ),
            layer_decay=check_number("layer_decay", self.layer_decay, "(0, 1]"),
            schedule=check_choice("schedule", self.schedule, SCHEDULES),
            warmup=check_number("warmup", self.warmup, "[0, 1)"),
            is_gradual=self.unfreezing is not None,
            weight_decay=check_number("weight_decay", self.weight_decay, "[0, inf)"),
            max_grad_norm=check_number("max_grad_norm", self.max_grad_norm, optional=True),
            early_stopping=check_flag("early_stopping", self.early_stopping),
            n_iter_no_change=check_int("n_iter_no_change", self.n_iter_no_change, 1),
            seed=seed,
        )

    def _rate_of_base(self) -> float:
        """Return the learning rate of ``"auto"`` for models of 768 units."""
        return _RATE_OF_BASE

    def _n_trained_layers(self, checkpoint: Checkpoint) -> int | None:
        """Return how many layers train, None for all and the embeddings."""
        if isinstance(self.trainable_layers, str) and self.trainable_layers == "all":
            return None
        n_layers = checkpoint.n_layers
        try:
            number = check_int("trainable_layers", self.trainable_layers, 0)
        except InvalidParameterError:
            number = n_layers + 1
        if number > n_layers:
            rule = f"'all' or an int in the range [0, {n_layers}], as the model has so many layers"
            raise invalid("trainable_layers", rule, self.trainable_layers)
        return number

    def _seed(self) -> int:
        """Return a seed, and leave NumPy's global random state as it is."""
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
        try:
            random = check_random_state(self.random_state)
        except ValueError:
            rule = "an int in the range [0, 2**32), a RandomState or None"
            raise invalid("random_state", rule, self.random_state) from None
        return int(random.randint(2**31 - 1))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        return tags
