"""A fine-tuned answerer of questions: it finds the part of a context that answers each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError

from ...errors import InvalidParameterError
from ...features.inputs.frames import index_of
from ...models import DEFAULT_MODEL
from ...models.checkpoint.text_tokens import Truncation
from ...models.training.schedules import Schedule
from ...validation import check_int, check_number, invalid
from ...warning import warn_user
from .answer_inputs import read_answers, read_questions
from .answer_spans import FoundAnswer, find_answers
from .base import FineTunedEstimator, Rows, Tools, distinct_rows, normal_weights
from .squad_metrics import exact_match, mean_over_rows, token_f1
from .targets import Target, row_weights

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ...models.network.devices import PrecisionChoice
    from ...models.store.embedding_store import EmbeddingStore
    from ...models.training.answers import AnswerData, AnswerExamples
    from ...models.training.heads import Unit
    from ...models.training.network import TrainableNetwork

__all__ = ["BertAnswerer"]


class BertAnswerer(FineTunedEstimator):
    """Answer questions by a part of their context, found by a fine-tuned transformer.

    Two outputs for each token tell how well an answer begins and ends there [1]_. Long contexts are
    read in windows. The answer is the best span of all windows, or none. The base model is never
    changed.

    Parameters
    ----------
    model_name : str or Path, default="sentence-transformers/all-MiniLM-L6-v2"
        A directory, or a name on the Hugging Face hub, as for `BertVectorizer`. A model that was
        fine-tuned on questions, such as one of `save_pretrained`, answers without `fit`, and `fit`
        goes on from its head.
    trainable_layers : "all" or int, default="all"
        Number of layers that train, from the top. The states below them are computed once for each
        window and kept in ``store``. 0 trains the head alone. ``"all"`` also trains the embeddings.
    max_answer_length : int, default=30
        Longest answer in tokens.
    null_threshold : "auto" or float, default="auto"
        "No answer" is chosen if its score exceeds that of the best span by more than this. ``inf``
        always chooses a span where the context has one. ``"auto"`` is ``inf`` if all rows of `fit`
        had an answer, as in SQuAD 1.1, and 0 otherwise, also of a model that answers without `fit`.
    max_question_length : int, default=64
        Longest question in tokens. A longer one loses its end, with a warning in `fit`, and so does
        one that would take more than half of ``max_length``.
    epochs : int, default=3
        Number of times that every row is trained on.
    batch_size : int, default=16
        Number of windows in a step. A row with several windows counts once for each.
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
        Whether to end when the loss on validation rows no longer falls, and take the weights of the
        best epoch.
    validation_fraction : float, default=0.1
        Share of the rows that are set aside for validation. Used only with ``early_stopping`` and
        without ``X_val``. Rows of a context are on one side, or those of a group in
        ``fit(groups=...)``.
    n_iter_no_change : int, default=1
        Number of epochs without a lower loss after which training ends.
    random_state : int, RandomState or None, default=None
        Seed of new weights, order and validation of rows, dropout. With an int, results are the
        same on one machine and number of threads. None takes another one each time.
    max_length : int or None, default=None
        Longest window in tokens, with the question and special tokens. None takes the checkpoint's
        limit.
    stride : int or None, default=None
        Tokens of the context that neighbouring windows share. None takes a quarter of a window. A
        span is judged in the window in which it has most context.
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
    has_unanswerable_ : bool
        Whether some rows of `fit` had no answer.
    n_iter_ : int
        Number of epochs.
    loss_curve_ : list of float
        Mean loss of the windows in each epoch: the mean of the cross-entropies of start and end
        over the tokens of the window, [CLS] where the window does not hold the whole answer.
    validation_scores_ : list of float
        Negative loss of the validation windows after each epoch, if there are any.
    tuned_weights_ : bytes
        The weights that training changed, in the safetensors format.
    pooling_ : list of str
        Pooling that a saved directory gives to texts: the checkpoint's own.
    model_fingerprint_ : str
        Digest of the base model.
    device_ : str
        Where it was trained.
    precision_ : {"float32", "bfloat16", "float16", "int8"}
        Number format of the layers below the trained ones.
    truncation_ : Truncation
        How many tokens of the training questions were cut off. Contexts lose none.
    n_features_in_ : int
        2, question and context.
    feature_names_in_ : ndarray of shape (2,)
        Names of the columns, if they have any.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or ``y`` or a weight does.
    InvalidTextError
        If ``X`` does not hold questions and contexts.
    TrainingDivergedError
        If the loss becomes infinite or NaN.
    ModelChangedError
        If the base model is another one than in ``fit``.

    See Also
    --------
    BertClassifier : Classes of pairs of texts; it also tells more of the parameters.
    BertTagger : Tags of all words of a sentence.
    PairVectorizer : Features of pairs, without training.

    Notes
    -----
    ``y`` has of each row the text of the answer and its first character in the context. Where a
    row has several, the first is learned, and `score` takes the best.

    A span is legal if it lies in the context and has up to ``max_answer_length`` tokens. Its score
    is the sum of two outputs. The score of no answer is that of [CLS], the least of the windows
    [2]_. Answers are cut from the context by characters: upper case, accents and emoji stay, and a
    word or number of which the span has a part is whole.

    `score` is F1 and `exact_match` is beside it, both in [0, 1], where SQuAD's script gives
    percent. ``y`` is nested, so cross-validation must not stratify. `GridSearchCV` and
    `cross_val_score` work; questions on one context belong into one fold (`GroupKFold`).

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 4.2.

    .. [2] The same, section 4.3; P. Rajpurkar, R. Jia, P. Liang, "Know What You Don't Know:
       Unanswerable Questions for SQuAD", ACL 2018.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertvectorizer import BertAnswerer
    >>> people = ["Ann", "Bo", "Kim", "Lea"] * 2
    >>> X = pd.DataFrame({
    ...     "question": "Who came?",
    ...     "context": [f"On Monday {name} came, and it rained." for name in people],
    ... })
    >>> y = [(name, 10) for name in people]
    >>> answerer = BertAnswerer(trainable_layers=1, epochs=8, learning_rate=1e-3, random_state=0)
    >>> found = answerer.fit(X, y).predict([("Who came?", "On Monday Zoe came, and it rained.")])
    >>> found[["answer", "start", "end"]].to_dict("records")
    [{'answer': 'Zoe', 'start': 10, 'end': 13}]
    """

    _unit: ClassVar[Unit] = "answer"

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        trainable_layers: Literal["all"] | int = "all",
        max_answer_length: int = 30,
        null_threshold: Literal["auto"] | float = "auto",
        max_question_length: int = 64,
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
        stride: int | None = None,
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

    # --- inputs ---

    def _read(self, X: Any) -> Rows:
        pairs = read_questions(X)
        return Rows(pairs.first, pairs.second, pairs.names)

    def _tokenize(self, rows: Rows, tools: Tools) -> AnswerExamples:
        """Return the windows of contexts, each behind its question."""
        from ...models.training.answers import AnswerExamples

        return AnswerExamples.of(tools.questions(rows.first, rows.second or []))

    def _warn_of_lost_tokens(self, truncation: Truncation) -> None:
        if truncation.n_truncated:
            warn_user(
                f"{truncation.n_truncated} of {truncation.n_texts} questions are longer than"
                f" max_question_length={self.max_question_length} or half of a window, and lose"
                f" {truncation.n_lost} tokens. A larger max_question_length or max_length keeps"
                " more."
            )

    # --- fit ---

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
        """Train on questions, their contexts and answers.

        Parameters
        ----------
        X : DataFrame, ndarray of shape (n_rows, 2) or list of (question, context)
            Questions and contexts. A data frame has the columns "question" and "context", or two
            in this order.
        y : list, ndarray, Series or DataFrame of n_rows
            The answer of each row: a dict {"text": ..., "start": ...}, a tuple (text, start), or
            None where the context has none. Start is the answer's first character in the context.
            SQuAD's {"text": [...], "answer_start": [...]} and the result of `predict` are read,
            too.
        sample_weight : array-like of shape (n_rows,) or None, default=None
            Weight of each row. None gives all the same; rows of weight 0 are left out.
        X_val : like X, or None, default=None
            Rows for validation. None takes a share of X if ``early_stopping`` is set.
        y_val : like y, or None, default=None
            Their answers.
        groups : array-like of shape (n_rows,) or None, default=None
            Group of each row, such as its article. With ``early_stopping`` and without ``X_val``,
            rows of a group are either all trained on or all for validation. None takes the
            contexts.

        Returns
        -------
        self : object
            The fitted answerer. If ``fit`` fails or is interrupted, it stays as it was.

        Raises
        ------
        InvalidParameterError
            If a parameter breaks its rule, or an answer does not stand in its context.
        InvalidTextError
            If X does not hold questions and contexts.
        TrainingDivergedError
            If the loss becomes infinite or NaN.
        """
        self._check_decoding()
        super().fit(X, y, sample_weight, X_val=X_val, y_val=y_val, groups=groups)
        return self

    def _check_decoding(self) -> tuple[int, float]:
        """Return the longest answer and the threshold, or raise if one breaks its rule."""
        longest = check_int("max_answer_length", self.max_answer_length, 1)
        threshold: Any = self.null_threshold
        if isinstance(threshold, str):
            if threshold != "auto":
                rule = "'auto' or a number in the range [-inf, inf]"
                raise invalid("null_threshold", rule, threshold)
            threshold = 0.0 if getattr(self, "has_unanswerable_", True) else np.inf
        return longest, check_number("null_threshold", threshold, "[-inf, inf]")

    def _learn_target(self, y: Any, rows: Rows, sample_weight: Any) -> Target:
        return _target(y, rows, row_weights(sample_weight, len(rows)))

    def _known_target(self, y: Any, rows: Rows, target: Target) -> Target:
        return _target(y, rows, np.ones(len(rows)), "y_val")

    def _split(
        self,
        rows: Rows,
        target: Target,
        X_val: Any,
        y_val: Any,
        groups: NDArray[np.int64] | None,
        seed: int,
    ) -> tuple[tuple[Rows, Target], tuple[Rows, Target] | None]:
        if groups is None and self.early_stopping and X_val is None:
            contexts = np.unique(np.array(rows.second, dtype=object), return_inverse=True)[1]
            if len(np.unique(contexts[target.weights > 0])) > 1:
                groups = contexts
        return super()._split(rows, target, X_val, y_val, groups, seed)

    def _training_data(
        self, tools: Tools, network: TrainableNetwork, examples: Any, target: Target
    ) -> AnswerData:
        from ...models.training.answers import AnswerData

        windows = examples.windows
        targets = windows.targets(target.values)
        n_windows = np.diff(windows.first_window)
        row = np.repeat(np.arange(len(n_windows)), n_windows)
        is_inside = targets[:, 0] + windows.offsets[:-1] != windows.no_answer
        is_short = targets[:, 1] - targets[:, 0] < self.max_answer_length
        is_read, is_legal = np.zeros((2, len(n_windows)), dtype=bool)
        is_read[row[is_inside]] = True
        is_legal[row[is_inside & is_short]] = True
        has_answer = target.values[:, 0] >= 0
        weights = np.where(has_answer & ~is_read, 0.0, target.weights)
        if not weights.any():
            raise InvalidParameterError(
                "Rows to train on, and those for validation, must have an answer that a window of"
                f" their context holds, or none. Got {len(weights)} row(s) whose answers are all"
                " longer than a window. Raise max_length, or shorten them."
            )
        if n_lost := np.count_nonzero(has_answer & ~is_legal):
            warn_user(
                f"{n_lost} of {np.count_nonzero(has_answer)} answers cannot be predicted: they have"
                f" more than max_answer_length={self.max_answer_length} tokens, or no window holds"
                " them, and then they are not learned. Raise max_answer_length or max_length."
            )
        lower = self._lower_states(tools, network, examples, verbose=self.verbose)
        return AnswerData(examples, targets, normal_weights(weights[row]), lower)

    # --- predict ---

    def _read_fitted(self, X: Any) -> Rows:
        # The model's own head may answer, see `_network`.
        return super()._read_fitted(X) if hasattr(self, "tuned_weights_") else self._read(X)

    def _network(self, tools: Tools) -> TrainableNetwork:
        if hasattr(self, "tuned_weights_"):
            return super()._network(tools)

        def make() -> TrainableNetwork:
            from ...models.training.network import NetworkSpec, TrainableNetwork

            spec = NetworkSpec("answer", 2, None, None, None, None, 0)
            network = TrainableNetwork(tools.checkpoint, tools.device, spec)
            if not network.has_own_head or tools.pairs.new_tokens:
                raise NotFittedError(
                    f"This {type(self).__name__} is not fitted yet, and the model"
                    f" {self.model_name!r} has no head for answers. Call 'fit' with questions,"
                    " contexts and answers, or choose a model that was fine-tuned on them."
                )
            return network

        return self._kept_network(tools, "own head for answers", b"", make)

    def _find(self, rows: Rows) -> list[FoundAnswer]:
        """Return the answer of each row."""
        longest, threshold = self._check_decoding()
        tools = self._encoder()
        distinct, inverse = distinct_rows(rows)
        examples = self._tokenize(distinct, tools)
        scores = self._computed(tools, examples)
        found = find_answers(examples.windows, scores, distinct.second or [], longest, threshold)
        return [found[row] for row in inverse.tolist()]

    def predict(self, X: Any) -> pd.DataFrame:
        """Answer questions.

        Parameters
        ----------
        X : DataFrame, ndarray of shape (n_rows, 2) or list of (question, context)
            Questions and contexts, as in `fit`.

        Returns
        -------
        answers : pandas DataFrame of n_rows
            The columns are ``answer``, ``start``, ``end`` and ``probability``, and the index is
            that of X. ``answer`` is ``context[start:end]``; without an answer it is "", and start
            and end are -1. The probability is that of this span, or of no answer, among all legal
            spans of all windows and no answer (softmax of their scores).

        Raises
        ------
        NotFittedError
            If the answerer is not fitted, and the model has no head for answers.
        """
        rows = self._read_fitted(X)
        found = self._find(rows)
        return pd.DataFrame(
            {
                "answer": pd.Series(_texts(found, rows), dtype=object),
                "start": np.array([each.start for each in found], dtype=np.int64),
                "end": np.array([each.end for each in found], dtype=np.int64),
                "probability": np.array([each.probability for each in found], dtype=np.float64),
            }
        ).set_axis(_index(X, len(found)))

    # --- scores ---

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the mean F1 of the words of answers, as SQuAD's script has it.

        Parameters
        ----------
        X : DataFrame, ndarray of shape (n_rows, 2) or list of (question, context)
            Questions and contexts.
        y : list, ndarray, Series or DataFrame of n_rows
            True answers, as in `fit`. Of several in a row, the best counts.
        sample_weight : array-like of shape (n_rows,) or None, default=None
            Weight of each row. None gives all the same.

        Returns
        -------
        f1 : float
            In [0, 1]. Answers are compared in lower case, without punctuation, articles and
            further spaces. A row without an answer has 1 if none is predicted, else 0.
        """
        return self._mean_score(token_f1, X, y, sample_weight)

    def exact_match(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows whose answer is exactly a true one, as SQuAD's script has it.

        Parameters
        ----------
        X : DataFrame, ndarray of shape (n_rows, 2) or list of (question, context)
            Questions and contexts.
        y : list, ndarray, Series or DataFrame of n_rows
            True answers, as in `fit`. Of several in a row, one suffices.
        sample_weight : array-like of shape (n_rows,) or None, default=None
            Weight of each row. None gives all the same.

        Returns
        -------
        share : float
            In [0, 1]. Answers are compared as in `score`.
        """
        return self._mean_score(exact_match, X, y, sample_weight)

    def _mean_score(
        self, metric: Callable[[str, str], float], X: Any, y: Any, sample_weight: Any
    ) -> float:
        rows = self._read_fitted(X)
        answers = read_answers(y, rows.second or [])
        weights = row_weights(sample_weight, len(rows))
        true = [[answer.text for answer in own] for own in answers]
        return mean_over_rows(metric, _texts(self._find(rows), rows), true, weights)

    def _labels(self) -> tuple[list[str], None]:
        return ["start", "end"], None


def _target(y: Any, rows: Rows, weights: NDArray[np.float64], name: str = "y") -> Target:
    """Return the first character of each first answer, and the one after its last; -1 for none."""
    answers = read_answers(y, rows.second or [], name)
    spans = np.array(
        [(own[0].start, own[0].start + len(own[0].text)) if own else (-1, -1) for own in answers],
        dtype=np.int64,
    )
    has_unanswerable = bool((spans[weights > 0, 0] < 0).any())
    return Target(
        values=spans.reshape(-1, 2),
        weights=weights,
        loss="classes",  # the tokens of a window
        n_outputs=2,
        learned={"has_unanswerable_": has_unanswerable},
    )


def _texts(found: list[FoundAnswer], rows: Rows) -> list[str]:
    """Return the texts of answers; "" where there is none."""
    return [
        context[each.start : each.end]
        for each, context in zip(found, rows.second or [], strict=True)
    ]


def _index(X: Any, n_rows: int) -> Any:
    """Return the row labels of X, or numbers."""
    index = None if isinstance(X, (list, tuple)) else index_of(X)
    return pd.RangeIndex(n_rows) if index is None else index
