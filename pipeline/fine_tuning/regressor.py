"""A fine-tuned regressor of texts and of pairs of texts, such as their similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import column_or_1d

from ...errors import InvalidParameterError
from ...models import DEFAULT_MODEL
from ...models.training.schedules import Schedule
from ...validation import invalid, short_repr
from .base import FineTunedVectorizer, Rows
from .targets import Target, check_complete, check_rows, row_weights

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sklearn.utils import Tags

    from ...models.network.devices import PrecisionChoice
    from ...models.store.embedding_store import EmbeddingStore

__all__ = ["BertRegressor"]

_LARGEST = float(np.finfo(np.float32).max)


class BertRegressor(RegressorMixin, FineTunedVectorizer):  # type: ignore[misc]
    """Predict numbers of texts or pairs of texts by a transformer that is fine-tuned on them.

    The network minimizes the squared error of the target, scaled to mean 0 and variance 1.
    ``save_pretrained`` puts the scale into the last layer, so that the saved model gives the
    numbers themselves.

    Parameters
    ----------
    model_name : str or Path, default="sentence-transformers/all-MiniLM-L6-v2"
        A directory, or a name on the Hugging Face hub, as for `BertVectorizer`.
    trainable_layers : "all" or int, default="all"
        Number of layers that train, from the top. The states below them are computed once for each
        text and kept in ``store``. 0 trains the head alone. ``"all"`` also trains the embeddings.
    pooling : str or tuple of str, default="auto"
        What the head reads of a sequence. ``"auto"`` takes the head of the architecture, which for
        BERT reads [CLS]. The poolings of `BertVectorizer` take a linear layer.
    epochs : int, default=3
        Number of times that every row is trained on.
    batch_size : int, default=16
        Number of rows in a step.
    learning_rate : "auto" or float, default="auto"
        Highest learning rate. ``"auto"`` is 5e-5 for models of 768 units, in inverse proportion to
        the width, and 20 times as much for a head alone.
    head_learning_rate : float or None, default=None
        Highest learning rate of the head. None takes ``learning_rate``.
    layer_decay : float, default=1.0
        The learning rate of each layer is that of the layer above times this, in (0, 1].
    schedule : {"linear", "slanted_triangular", "constant"}, default="linear"
        How the learning rate changes after the warm-up, as in `BertClassifier`.
    warmup : float, default=0.1
        Share of the steps in which the learning rate rises, in [0, 1).
    unfreezing : "gradual" or None, default=None
        ``"gradual"`` trains the head alone first, and one more layer in each epoch.
    weight_decay : float, default=0.01
        Weight decay of AdamW. Biases and norms are not decayed.
    dropout : float or None, default=None
        Probability of every dropout in what trains. None leaves those of the checkpoint.
    max_grad_norm : float or None, default=1.0
        Largest norm of the gradients of a step; larger ones are scaled down. None sets no limit.
    early_stopping : bool, default=False
        Whether to end when the squared error on validation rows no longer falls, and take the
        weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the rows that are set aside for validation. Used only with ``early_stopping`` and
        without ``X_val``. Rows of a group in ``fit(groups=...)`` are on one side.
    n_iter_no_change : int, default=1
        Number of epochs without a lower error after which training ends.
    random_state : int, RandomState or None, default=None
        Seed of new weights, order of rows, dropout and validation rows. With an int, results are
        the same on one machine and number of threads. None takes another one each time.
    max_length : int or None, default=None
        Longest input in tokens, special tokens included; None takes the checkpoint's limit. Pairs
        lose tokens of the longer text.
    overflow : {"truncate", "head_tail", "window"}, default="truncate"
        What to do with longer texts, as in `BertVectorizer`; the outputs of windows are averaged.
        Pairs are truncated.
    stride : int or None, default=None
        Tokens that neighbouring windows share; None takes a quarter of the window.
    prompt : str or None, default=None
        Text before every single text, or the name of one of the checkpoint's prompts. None takes
        its default prompt.
    missing : {"empty", "error"}, default="empty"
        Read missing texts as "", or raise an error.
    order : {"given", "both"}, default="given"
        ``"both"`` reads a pair in either order and averages the outputs, for relations that do not
        depend on the order, such as similarity [1]_.
    precision : {"float32", "bfloat16", "float16", "int8", "auto", "fast"}, default="float32"
        Number format of the layers below the trained ones, as in `BertVectorizer`. What trains is
        float32.
    device : str, torch.device or None, default=None
        Where the network runs. None picks CUDA, MPS or the CPU, in that order.
    batch_tokens : int or None, default=None
        Most tokens in a batch of layers that do not train, and of predictions. None fits the
        device.
    revision : str or None, default=None
        Branch, tag or commit on the hub.
    local_files_only : bool, default=False
        Whether to never open a connection.
    trust_remote_code : bool, default=False
        Whether code of the checkpoint may run.
    store : str, Path, EmbeddingStore or None, default="auto"
        Where states below the trained layers are kept. ``"auto"`` is the store of this session.
    verbose : bool, default=False
        Whether to show a bar with the loss and the time left.

    Attributes
    ----------
    n_outputs_ : int
        Number of targets: 1, or the columns of ``y``.
    n_iter_ : int
        Number of epochs.
    loss_curve_ : list of float
        Mean squared error of the scaled target in each epoch.
    validation_scores_ : list of float
        Negative mean squared error of the scaled target on the validation rows after each epoch, if
        there are any.
    tuned_weights_ : bytes
        The weights that training changed, in the safetensors format.
    pooling_ : list of str
        Poolings of ``transform``: those of ``pooling``, or what the head reads.
    model_fingerprint_ : str
        Digest of the base model.
    device_ : str
        Where it was trained.
    precision_ : {"float32", "bfloat16", "float16", "int8"}
        Number format of the layers below the trained ones.
    truncation_ : Truncation
        How many tokens of the training rows were cut off, of both sides of pairs.
    n_features_in_ : int
        1 for texts, 2 for pairs.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if they have any.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or ``y`` or a weight does.
    TrainingDivergedError
        If the loss becomes infinite or NaN.
    ModelChangedError
        If the base model is another one than in ``fit``.

    See Also
    --------
    BertClassifier : The same for classes; it also tells more of the parameters.
    PairVectorizer : Features of pairs, without training.

    Notes
    -----
    A fitted estimator holds the weights that training changed, and finds the base model by its name
    and fingerprint. Predictions are computed in float32.

    The head of GPT-2 and some others has no bias, so that it has to learn the mean of the target;
    ``fit`` warns if that is far from 0.

    References
    ----------
    .. [1] A. Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018,
       section 3.3.

    Examples
    --------
    >>> from bertvectorizer import BertRegressor
    >>> pairs = [("a cat sits", "a cat is sitting"), ("a cat sits", "prices rose")] * 8
    >>> similarity = [5.0, 0.0] * 8
    >>> regressor = BertRegressor(
    ...     trainable_layers=1, epochs=10, learning_rate=1e-3, order="both", random_state=0
    ... ).fit(pairs, similarity)
    >>> alike, unlike = regressor.predict(pairs[:2])
    >>> bool(alike > 4 and unlike < 1)
    True
    """

    n_outputs_: int

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        trainable_layers: Literal["all"] | int = "all",
        pooling: str | Sequence[str] = "auto",
        epochs: int = 3,
        batch_size: int = 16,
        learning_rate: Literal["auto"] | float = "auto",
        head_learning_rate: float | None = None,
        layer_decay: float = 1.0,
        schedule: Schedule = "linear",
        warmup: float = 0.1,
        unfreezing: Literal["gradual"] | None = None,
        weight_decay: float = 0.01,
        dropout: float | None = None,
        max_grad_norm: float | None = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 1,
        random_state: Any = None,
        max_length: int | None = None,
        overflow: Literal["truncate", "head_tail", "window"] = "truncate",
        stride: int | None = None,
        prompt: str | None = None,
        missing: Literal["empty", "error"] = "empty",
        order: Literal["given", "both"] = "given",
        precision: PrecisionChoice = "float32",
        device: str | torch.device | None = None,
        batch_tokens: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        store: str | Path | EmbeddingStore | None = "auto",
        verbose: bool = False,
    ) -> None:
        self._set_parameters(locals())

    def _learn_target(self, y: Any, rows: Rows, sample_weight: Any) -> Target:
        numbers = _numbers(y)
        check_rows(numbers, len(rows))
        weights = row_weights(sample_weight, len(rows))
        used = weights > 0
        scaler = StandardScaler().fit(numbers[used], sample_weight=weights[used])
        return Target(
            values=scaler.transform(numbers).astype(np.float32),
            weights=weights,
            loss="numbers",
            n_outputs=numbers.shape[1],
            learned={"n_outputs_": numbers.shape[1]},
            scale=np.where(np.ptp(numbers[used], axis=0) > 0, scaler.scale_, 0),
            shift=scaler.mean_,
        )

    def _known_target(self, y: Any, rows: Rows, target: Target) -> Target:
        numbers = _numbers(y, "y_val")
        check_rows(numbers, len(rows), "y_val")
        if numbers.shape[1] != target.n_outputs:
            raise invalid("y_val", f"numbers with {target.n_outputs} column(s), as y is", y)
        assert target.scale is not None
        assert target.shift is not None
        scale = np.where(target.scale > 0, target.scale, 1)
        scaled = ((numbers - target.shift) / scale).astype(np.float32)
        return replace(target, values=scaled, weights=np.ones(len(rows)))

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the number of each row.

        Parameters
        ----------
        X : iterable of str, Series, DataFrame or ndarray of shape (n_rows,) or (n_rows, 2)
            Texts or pairs, as in ``fit``.

        Returns
        -------
        numbers : ndarray of shape (n_rows,) or (n_rows, n_outputs), float64
            In the units of ``y``.
        """
        outputs = self._outputs(X).astype(np.float64)
        if self._form["scale"] is not None:  # not in float32, which has 7 digits
            outputs = outputs * self._form["scale"] + self._form["shift"]
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def _labels(self) -> tuple[list[str], str]:
        return [f"LABEL_{index}" for index in range(self.n_outputs_)], "regression"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _numbers(y: Any, name: str = "y") -> NDArray[np.float64]:
    """Return numbers of shape (n_rows, n_outputs)."""
    check_complete(y, name)
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    if values.ndim not in (1, 2) or not all(values.shape[1:]):
        rule = "one column of numbers, or a table of them with a column for each output"
        raise invalid(name, rule, f"an array of shape {values.shape}")
    is_text = values.dtype.kind in "US" or (
        values.dtype.kind == "O" and any(isinstance(each, (str, bytes)) for each in values.flat)
    )
    try:
        if is_text or values.dtype.kind in "cmM":
            raise TypeError
        numbers = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidParameterError(
            f"{name} must hold numbers. Got {short_repr(values.ravel().tolist()[0])} in its first"
            f" row instead. Convert it, such as with {name}.astype(float), or take BertClassifier"
            " for classes."
        ) from None
    if (np.abs(numbers) > _LARGEST).any():
        raise invalid(name, f"numbers of at most {_LARGEST:.2g}", float(np.abs(numbers).max()))
    return numbers if numbers.ndim == 2 else numbers[:, np.newaxis]
