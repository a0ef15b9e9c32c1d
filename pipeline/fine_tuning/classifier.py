"""A fine-tuned classifier of texts and of pairs of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from ...errors import InvalidParameterError
from ...models import DEFAULT_MODEL
from ...models.training.schedules import Schedule
from ...validation import check_number, invalid, short_repr
from .base import FineTunedVectorizer, Rows
from .targets import Target, check_complete, check_rows, row_weights

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sklearn.utils import Tags

    from ...models.network.devices import PrecisionChoice
    from ...models.store.embedding_store import EmbeddingStore

__all__ = ["BertClassifier"]

_EXPECTED = "one column of classes, or a table of 0 and 1 with a column for each of several labels"


class BertClassifier(ClassifierMixin, FineTunedVectorizer):  # type: ignore[misc]
    """Classify texts or pairs of texts by a transformer that is fine-tuned on them.

    All layers train, or the upper ones on top of states that are computed once and kept in the
    store. The base model is never changed. Batches hold texts of like length without padding.

    Parameters
    ----------
    model_name : str or Path, default="sentence-transformers/all-MiniLM-L6-v2"
        A directory, or a name on the Hugging Face hub, as for `BertVectorizer`.
    trainable_layers : "all" or int, default="all"
        Number of layers that train, from the top. The states below them are computed once for each
        text, and shared by epochs, folds and candidates through ``store``. 0 trains the head alone.
        ``"all"`` also trains the embeddings.
    pooling : str or tuple of str, default="auto"
        What the head reads of a sequence. ``"auto"`` takes the head that the architecture has in
        transformers, which for BERT reads [CLS]; where there is none, a linear layer under the
        checkpoint's own pooling. The poolings of `BertVectorizer` take a linear layer.
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
        How the learning rate changes after the warm-up: it falls to 0, falls to 1/32 [2]_, or
        stays.
    warmup : float, default=0.1
        Share of the steps in which the learning rate rises, in [0, 1).
    unfreezing : "gradual" or None, default=None
        ``"gradual"`` trains the head alone in the first epoch, and one more layer in each of the
        next ones, at last the embeddings [2]_. Fewer epochs leave the lowest layers as they were.
    weight_decay : float, default=0.01
        Weight decay of AdamW. Biases and norms are not decayed.
    dropout : float or None, default=None
        Probability of every dropout in what trains. None leaves those of the checkpoint. Layers
        that do not train have none.
    max_grad_norm : float or None, default=1.0
        Largest norm of the gradients of a step; larger ones are scaled down. None sets no limit.
    class_weight : "balanced", dict or None, default=None
        Weight of each class; 1 for those that a dict lacks. ``"balanced"`` weights inversely to
        the frequencies in the rows of this fit. Several labels take no dict.
    early_stopping : bool, default=False
        Whether to end when the log loss on validation rows no longer falls, and take the weights of
        the best epoch.
    validation_fraction : float, default=0.1
        Share of the rows that are set aside for validation, stratified by class. Used only with
        ``early_stopping`` and without ``X_val``. Rows of a group in ``fit(groups=...)`` are on one
        side.
    n_iter_no_change : int, default=1
        Number of epochs without a lower log loss after which training ends.
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
        depend on the order [3]_.
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
    classes_ : ndarray of shape (n_classes,)
        The classes. For several labels, their numbers, or the names of the columns of ``y``.
    multilabel_ : bool
        Whether ``y`` was a table of several labels.
    n_iter_ : int
        Number of epochs.
    loss_curve_ : list of float
        Mean loss of each epoch.
    validation_scores_ : list of float
        Negative log loss on the validation rows after each epoch, if there are any.
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
    BertRegressor : The same for numbers.
    BertTagger : The same for the words of sentences.
    BertVectorizer : Features of a model that is not trained.
    PairVectorizer : Features of pairs, without training.

    Notes
    -----
    A fitted estimator holds the weights that training changed, and finds the base model by its name
    and fingerprint. ``fit_transform`` is refused, since vectors of the rows that were trained on
    are over-fitted.

    Callbacks of scikit-learn 1.9 and newer (``set_callbacks``) run after each epoch, get a fitted
    copy of the estimator if they want one, and can end training.

    ULM-FiT [2]_ is ``layer_decay=1 / 2.6, unfreezing="gradual", schedule="slanted_triangular"``, on
    a model that `LanguageModel` adapted, with ``pooling=("cls", "max", "mean")``.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, sections 3.2 and 4.

    .. [2] J. Howard, S. Ruder, "Universal Language Model Fine-tuning for Text Classification",
       ACL 2018, section 3.2 and 3.3.

    .. [3] A. Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018,
       section 3.3.

    Examples
    --------
    >>> from bertvectorizer import BertClassifier
    >>> X = ["a fine film", "a dull film", "fine acting", "dull from start to end"] * 4
    >>> y = ["good", "bad", "good", "bad"] * 4
    >>> classifier = BertClassifier(trainable_layers=1, epochs=10, random_state=0).fit(X, y)
    >>> classifier.predict(["a dull plot", "fine music"]).tolist()
    ['bad', 'good']
    """

    class_weight: Literal["balanced"] | Mapping[Any, float] | None

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
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
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
        table, names = _label_table(y)
        weights = row_weights(sample_weight, len(rows))
        if table is not None:
            check_rows(table, len(rows))
            labels = table
            learned: dict[str, Any] = {"classes_": names, "multilabel_": True}
            values, strata = table.astype(np.float32), None
        else:
            labels = _labels(y)
            check_rows(labels, len(rows))
            present = labels[weights > 0]
            classes = np.unique(present)
            if len(classes) < 2:
                raise InvalidParameterError(
                    "y must have at least two classes among the rows with a weight. Got"
                    f" {len(classes)} class{'' if len(classes) == 1 else 'es'} instead:"
                    f" {short_repr(classes.tolist())}."
                )
            learned = {"classes_": classes, "multilabel_": False}
            # Rows of weight 0 may have another class; they are left out.
            values = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
            strata = values
        return Target(
            values=values,
            weights=weights * self._class_weights(labels, weights),
            loss="classes" if table is None else "labels",
            n_outputs=len(learned["classes_"]),
            learned=learned,
            strata=strata,
        )

    def _class_weights(
        self, table: NDArray[Any], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what the weight of each row is multiplied by; columns of labels multiply."""
        factors = np.ones(len(weights))
        given = self.class_weight
        if given is None:
            return factors
        is_balanced = isinstance(given, str) and given == "balanced"
        columns = table.reshape(len(table), -1).T
        if not is_balanced and (not isinstance(given, Mapping) or len(columns) > 1):
            rule = "'balanced', a dict of a weight for each class, or None"
            raise invalid("class_weight", f"{rule}; of several labels, no dict", given)
        used = weights > 0
        for column in columns:
            classes, index = np.unique(column[used], return_inverse=True)
            if is_balanced:
                of_class = weights[used].sum() / (len(classes) * np.bincount(index, weights[used]))
            else:
                of_class = self._given_weights(classes.tolist())
            factors[used] *= of_class[index]
        if not factors[used].any():
            raise invalid("class_weight", "greater than 0 for a class of y", given)
        return factors

    def _given_weights(self, classes: list[Any]) -> NDArray[np.float64]:
        """Return the weight of each class in the dict of the user; 1 if it has none."""
        given: Any = self.class_weight
        lacking = [each for each in classes if each not in given]
        unknown = [each for each in given if each not in classes]
        if lacking and unknown:  # a typing error; a fold may lack classes, or a dict some
            rule = f"a dict whose keys are classes of y, such as {short_repr(lacking[0])}"
            raise invalid("class_weight", rule, unknown[0])
        for value in given.values():
            check_number("class_weight", value, "[0, inf)")
        return np.array([float(given.get(each, 1)) for each in classes])

    def _known_target(self, y: Any, rows: Rows, target: Target) -> Target:
        ones = np.ones(len(rows))
        classes = target.learned["classes_"]
        table, _ = _label_table(y, "y_val")
        if (table is not None) != target.learned["multilabel_"]:
            raise invalid("y_val", "of the kind that y is", y)
        if table is not None:
            check_rows(table, len(rows), "y_val")
            if table.shape[1] != len(classes):
                raise invalid("y_val", f"a table of {len(classes)} labels, as y is", y)
            return Target(table.astype(np.float32), ones, "labels", len(classes), {})
        labels = _labels(y, "y_val")
        check_rows(labels, len(rows), "y_val")
        unknown = sorted(set(labels.tolist()) - set(classes.tolist()), key=str)
        if unknown:
            raise invalid("y_val", f"classes of y, {short_repr(classes.tolist())}", unknown[0])
        return Target(np.searchsorted(classes, labels), ones, "classes", len(classes), {})

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, or of each of several labels.

        Parameters
        ----------
        X : iterable of str, Series, DataFrame or ndarray of shape (n_rows,) or (n_rows, 2)
            Texts or pairs, as in ``fit``.

        Returns
        -------
        probabilities : ndarray of shape (n_rows, n_classes), float64
            In the order of ``classes_``. They add up to 1, but for several labels.
        """
        outputs = self._outputs(X).astype(np.float64)
        found: NDArray[np.float64] = (
            expit(outputs) if self.multilabel_ else softmax(outputs, axis=1)
        )
        return found

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the scores from which the classes are decided.

        Parameters
        ----------
        X : iterable of str, Series, DataFrame or ndarray of shape (n_rows,) or (n_rows, 2)
            Texts or pairs, as in ``fit``.

        Returns
        -------
        scores : ndarray of shape (n_rows,) or (n_rows, n_classes), float64
            The outputs of the network. Of two classes, the second's minus the first's.
        """
        outputs = self._outputs(X).astype(np.float64)
        if len(self.classes_) == 2 and not self.multilabel_:
            return outputs[:, 1] - outputs[:, 0]
        return outputs

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row, or a table of 0 and 1 for several labels.

        Parameters
        ----------
        X : iterable of str, Series, DataFrame or ndarray of shape (n_rows,) or (n_rows, 2)
            Texts or pairs, as in ``fit``.

        Returns
        -------
        classes : ndarray of shape (n_rows,) or (n_rows, n_classes)
            Classes as in ``y``.
        """
        outputs = self._outputs(X)
        if self.multilabel_:
            table: NDArray[np.int64] = (outputs > 0).astype(np.int64)
            return table
        chosen: NDArray[Any] = self.classes_[outputs.argmax(axis=1)]
        return chosen

    def _labels(self) -> tuple[list[str], str]:
        problem = "multi_label" if self.multilabel_ else "single_label"
        return list(map(str, self.classes_.tolist())), f"{problem}_classification"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _label_table(y: Any, name: str = "y") -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Return a table of 0 and 1 and the names of its columns; None if y has one column."""
    dense = y.toarray() if hasattr(y, "toarray") else y
    try:
        table = np.asarray(dense)
    except ValueError:  # rows of different lengths
        rule = f"{_EXPECTED}, which MultiLabelBinarizer makes of lists of labels"
        raise invalid(name, rule, y) from None
    if table.ndim != 2 or table.shape[1] < 2:
        return None, np.empty(0)
    check_complete(table, name)
    if not np.isin(table, (0, 1)).all():
        raise InvalidParameterError(
            f"The '{name}' parameter must be {_EXPECTED}. Got a table of shape {table.shape} with"
            f" {short_repr(table.ravel()[:3].tolist())} instead."
        )
    names = list(getattr(y, "columns", range(table.shape[1])))
    if any(isinstance(each, tuple) for each in names):  # as pandas names columns of two levels
        names = list(map(str, names))
    return table.astype(np.int64), np.array(names)


def _labels(y: Any, name: str = "y") -> NDArray[Any]:
    """Return one column of classes."""
    check_complete(y, name)
    labels: NDArray[Any] = np.asarray(y)
    values = None
    if labels.dtype.kind in "OT":  # objects, and strings of any length
        # Numbers and strings of NumPy may stand beside those of Python.
        values = [each.item() if isinstance(each, np.generic) else each for each in labels.flat]
        kinds = sorted({type(each).__name__ for each in values})
        if len(kinds) > 1:
            raise InvalidParameterError(
                f"{name} must have classes of one type. Got {', '.join(kinds)} instead. Convert"
                " them, such as with y.astype(str)."
            )
    try:
        if values is not None:
            labels = np.array(values).reshape(labels.shape)
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
    except (TypeError, ValueError) as error:
        raise InvalidParameterError(f"{name} must be {_EXPECTED}. {error}") from error
    return labels
