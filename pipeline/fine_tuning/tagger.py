"""A fine-tuned tagger of words: named entities, parts of speech, or any other tags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from scipy.special import log_softmax

from ...errors import InvalidParameterError
from ...features.inputs.documents import read_documents
from ...models import DEFAULT_MODEL
from ...models.checkpoint.text_tokens import TokenizedTexts
from ...models.training.examples import Examples
from ...models.training.schedules import Schedule
from ...validation import check_choice
from ..tagging.schemes import convert_tags
from ..tagging.scoring import check_true_tags
from ..tagging.sentences import offsets_of, read_sentences, read_tags
from ..tagging.word_tagger import WordTagger
from .base import FineTunedEstimator, Rows, Tools
from .targets import Target, row_weights

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ...models.network.devices import PrecisionChoice
    from ...models.store.embedding_store import EmbeddingStore
    from ...models.training.heads import Unit

__all__ = ["BertTagger"]

_DECODERS = ("viterbi", "greedy")


class BertTagger(WordTagger, FineTunedEstimator):
    """Tag each word of a sentence by a transformer that is fine-tuned on tagged sentences.

    The head reads the first token of each word [1]_, and the decoder of `SequenceLabeler` finds the
    best valid sequence of tags. The base model is never changed.

    Parameters
    ----------
    model_name : str or Path, default="sentence-transformers/all-MiniLM-L6-v2"
        A directory, or a name on the Hugging Face hub, as for `BertVectorizer`. Models that keep
        capital letters find names better.
    trainable_layers : "all" or int, default="all"
        Number of layers that train, from the top. The states below them are computed once for each
        sentence and kept in ``store``. 0 trains the head alone. ``"all"`` also trains the
        embeddings.
    decode : {"viterbi", "greedy"}, default="viterbi"
        How to find the tags of a sentence: the valid sequence with the highest probability, or the
        best valid tag for each word, from left to right.
    scheme : {"auto", "IOB1", "BIO", "IOBES", "plain"}, default="auto"
        Tagging scheme of ``y`` and of the predictions, as in `SequenceLabeler`. ``"auto"`` detects
        it.
    coding : {"IOB1", "BIO", "IOBES"} or None, default=None
        Tagging scheme in which the model is trained. None takes that of ``y``, or BIO for IOB1.
    epochs : int, default=6
        Number of times that every sentence is trained on.
    batch_size : int, default=16
        Number of sentences in a step.
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
        Whether to end when the log loss on validation sentences no longer falls, and take the
        weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the sentences that are set aside for validation. Used only with ``early_stopping``
        and without ``X_val``. Sentences of a group in ``fit(groups=...)`` are on one side.
    n_iter_no_change : int, default=1
        Number of epochs without a lower log loss after which training ends.
    random_state : int, RandomState or None, default=None
        Seed of new weights, order and validation of sentences, dropout. With an int, results are
        the same on one machine and number of threads. None takes another one each time.
    max_length : int or None, default=None
        Longest sequence in tokens, special tokens included. None takes the checkpoint's limit. A
        longer sentence is read in windows.
    stride : int or None, default=None
        Tokens that neighbouring windows share. None takes a quarter of a window. A word is read in
        the window in which it has most context.
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
    tags_ : ndarray of shape (n_tags,), dtype str
        The tags that can be predicted, in ``coding_``: those of the training set, and "O" unless
        tags are plain. They are the columns of ``predict_proba``.
    scheme_ : str
        Tagging scheme of ``y`` and of the predictions.
    coding_ : str
        Tagging scheme in which the model was trained.
    tag_shares_ : ndarray of shape (n_tags,)
        Share of each tag among the training words, each counted once more than it occurs: the
        probabilities for a word that has no tokens, such as a lone control character.
    n_iter_ : int
        Number of epochs.
    loss_curve_ : list of float
        Mean log loss of the words in each epoch.
    validation_scores_ : list of float
        Negative log loss of the validation words after each epoch, if there are any.
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
        How many tokens the training sentences have. None are cut off.
    n_features_in_ : int
        1, the column of sentences.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or ``y`` or a weight does.
    InvalidTextError
        If ``X`` does not hold lists of words, or ``fit`` gets no word that has a token.
    TrainingDivergedError
        If the loss becomes infinite or NaN.
    ModelChangedError
        If the base model is another one than in ``fit``.

    See Also
    --------
    SequenceLabeler : A tagger over vectors of words, of a model that is not trained.
    BertWordVectorizer : Vectors of words; it reads a directory that ``save_pretrained`` wrote. The
        tagger's own are those of ``layers=-1``.
    read_conll : Read sentences and their tags from a file.
    BertClassifier : The same for texts; it also tells more of the parameters.

    Notes
    -----
    A list of words is read as these words with single spaces between them. Each word has a tag: a
    long sentence is read in windows. A word without tokens is not trained on.

    ``y`` is nested, so this estimator is not a scikit-learn classifier, and cross-validation must
    not stratify. `GridSearchCV` and `cross_val_score` work.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 5.3.

    Examples
    --------
    >>> from bertvectorizer import BertTagger
    >>> X = [["Ann", "met", "Bo"], ["we", "saw", "Ann"], ["they", "met", "us"]] * 4
    >>> y = [["B-PER", "O", "B-PER"], ["O", "O", "B-PER"], ["O", "O", "O"]] * 4
    >>> tagger = BertTagger(epochs=10, learning_rate=5e-4, random_state=0).fit(X, y)
    >>> tagger.predict([["we", "met", "Bo"], []])
    [['O', 'O', 'B-PER'], []]
    """

    _unit: ClassVar[Unit] = "word"

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        trainable_layers: Literal["all"] | int = "all",
        decode: Literal["viterbi", "greedy"] = "viterbi",
        scheme: Literal["auto", "IOB1", "BIO", "IOBES", "plain"] = "auto",
        coding: Literal["IOB1", "BIO", "IOBES"] | None = None,
        epochs: int = 6,
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
        """Train on sentences and their tags.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series of shape (n_sentences,)
            Sentences, each a list of words.
        y : list, tuple, ndarray or Series of shape (n_sentences,)
            The tags of each sentence, one for each word.
        sample_weight : array-like of shape (n_sentences,) or None, default=None
            Weight of the words of each sentence. None gives all the same; sentences of weight 0 are
            left out.
        X_val : like X, or None, default=None
            Sentences for validation. None takes a share of X if ``early_stopping`` is set.
        y_val : like y, or None, default=None
            Their tags. Words with tags that are not in ``y`` do not count.
        groups : array-like of shape (n_sentences,) or None, default=None
            Group of each sentence, such as its document. With ``early_stopping`` and without
            ``X_val``, sentences of a group are either all trained on or all for validation.

        Returns
        -------
        self : object
            The fitted tagger. If ``fit`` fails or is interrupted, it stays as it was.

        Raises
        ------
        InvalidParameterError
            If a parameter breaks its rule, or ``y`` or a weight does.
        InvalidTextError
            If X does not hold lists of words, or has no word with a token.
        TrainingDivergedError
            If the loss becomes infinite or NaN.
        """
        self._check_schemes()
        check_choice("decode", self.decode, _DECODERS)
        super().fit(X, y, sample_weight, X_val=X_val, y_val=y_val, groups=groups)
        return self

    def _read(self, X: Any) -> Rows:
        return Rows([tuple(words) for words in read_sentences(X)])

    def _tokenize(self, rows: Rows, tools: Tools) -> Examples:
        """Return the token sequences of sentences; a sentence without tokens has none."""
        documents = read_documents(rows.first)
        owners, n_sentences = documents.owners, len(documents)
        tokens = tools.words(documents.texts, documents.spans, owners)
        words = tokens.first_tokens
        sentence_of = np.empty(len(tokens.lengths), dtype=np.int64)  # of each sequence, ascending
        sentence_of[tokens.sequence[words >= 0]] = owners[words >= 0]
        n_tokens = np.bincount(owners, weights=tokens.counts, minlength=n_sentences)
        tokenized = TokenizedTexts(
            ids=tokens.ids,
            offsets=tokens.offsets,
            first_window=np.searchsorted(sentence_of, np.arange(n_sentences + 1)),
            n_prompt_tokens=0,
            n_tokens=n_tokens.astype(np.int64),
            n_lost=np.zeros(n_sentences, dtype=np.int64),
        )
        return Examples(tokenized, words, documents.offsets)

    def _learn_target(self, y: Any, rows: Rows, sample_weight: Any) -> Target:
        given = read_tags(y, rows.first)
        n_words = np.array(list(map(len, given)), dtype=np.int64)
        weights = np.where(n_words > 0, row_weights(sample_weight, len(rows)), 0.0)
        used = np.flatnonzero(weights)
        if not len(used):
            raise InvalidParameterError(
                "X must hold at least one word to learn from, in a sentence with a weight. Got"
                f" {len(given)} sentence(s) without any instead."
            )
        coded, learned = self._learn_tags([given[row] for row in used])
        values = [np.full(n, -1) for n in n_words]
        for row, tags in zip(used, coded, strict=True):
            values[row] = np.searchsorted(learned["tags_"], tags)
        counts = np.ones(len(learned["tags_"]))
        np.add.at(counts, np.concatenate([values[row] for row in used]), 1)
        return Target(
            values=values,
            weights=weights,
            loss="classes",
            n_outputs=len(counts),
            learned={**learned, "tag_shares_": counts / counts.sum()},
        )

    def _known_target(self, y: Any, rows: Rows, target: Target) -> Target:
        given = read_tags(y, rows.first, "y_val")
        tags, scheme = target.learned["tags_"].tolist(), target.learned["scheme_"]
        check_true_tags(given, tags, scheme, "y_val")
        number = {tag: index for index, tag in enumerate(tags)}
        coded = convert_tags(given, target.learned["coding_"], scheme)
        values = [np.array([number.get(tag, -1) for tag in own], dtype=np.int64) for own in coded]
        return Target(values, np.ones(len(rows)), "classes", target.n_outputs, {})

    # --- predict ---

    def _check_fitted(self) -> None:
        self._read_fitted([])
        check_choice("decode", self.decode, _DECODERS)

    def _log_probabilities(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return scores of shape (n_words, n_tags), and the offsets of sentences."""
        sentences = self._read_fitted(X).first
        outputs = self._outputs(sentences).astype(np.float64)
        has_no_token = np.isnan(outputs).any(axis=1)
        scores = np.asarray(log_softmax(outputs, axis=1), dtype=np.float64)
        scores[has_no_token] = np.log(self.tag_shares_)
        return scores, offsets_of(sentences)

    def predict(self, X: Any) -> list[list[str]]:
        """Predict the tags of sentences.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series of shape (n_sentences,)
            Sentences, each a list of words.

        Returns
        -------
        tags : list of list of str
            One tag for each word of each sentence, in ``scheme_``.
        """
        self._check_fitted()
        scores, offsets = self._log_probabilities(X)
        return self._named(self._best_path(scores, offsets), offsets)

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """Predict the probabilities of the tags of each word alone.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series of shape (n_sentences,)
            Sentences, each a list of words.

        Returns
        -------
        probabilities : list of ndarray of shape (n_words, n_tags), float64
            An array for each sentence, with a column for each of ``tags_``.
        """
        scores, offsets = self._log_probabilities(X)
        return np.split(np.exp(scores), offsets[1:-1]) if len(offsets) > 1 else []

    def _labels(self) -> tuple[list[str], None]:
        return self.tags_.tolist(), None
