"""A language model as an estimator: it learns from texts without labels."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from ...errors import InvalidParameterError, InvalidTextError, ModelNotFoundError, StoreError
from ...features import BertVectorizer
from ...models import DEFAULT_MODEL, PairTokenizer, TextTokenizer, open_checkpoint, resolve_device
from ...models.checkpoint.text_tokens import load_tokenizer
from ...models.store.session_store import session_directory
from ...output_file import full_path, new_directory, output_fault, writing
from ...validation import check_choice, check_flag, check_number, invalid, short_repr
from ...warning import warn_user
from ..fine_tuning.progress import FitTasks, TrainingBar, with_callbacks
from ..fine_tuning.trained import TrainedEstimator
from .answers import LanguageAnswers
from .read_corpus import read_corpus, read_corpus_documents

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ...models import Checkpoint
    from ...models.language.corpus import Corpus
    from ...models.language.objectives import Objective
    from ...models.language.space import VectorSpace
    from ...models.training.loop import TrainingData, TrainingSettings
    from ...models.training.network import TrainableNetwork
    from ...models.training.state_file import StateFile

__all__ = ["LanguageModel"]

_OBJECTIVES = ("auto", "masked", "masked+next_sentence", "causal")
_FEWEST_TEXTS = 8  # whose similarities tell anything
# Spearman's correlation on STS-B dev, 0.87 before, had fallen by 0.01 at an agreement of 0.78, by
# 0.07 at 0.65, and by 0.14 at 0.42, all of English texts; of Spanish ones by 0.01 at 0.62, where
# the texts trained on moved more than those of STS-B. See benchmarks/README.md.
_LEAST_AGREEMENT = 0.7
_FEW_TOKENS = 10_000  # so few that by chance none may be masked
_RATE_FROM_NOTHING = 2e-4  # of models of 768 units, in batches of a few thousand tokens

# Of fitted models that have answered: the digest of the checkpoint, and where it lies.
_own_directories: WeakKeyDictionary[LanguageModel, tuple[str, Path]] = WeakKeyDictionary()


class LanguageModel(LanguageAnswers, TrainedEstimator[Any]):
    """Learn a language model from texts without labels.

    A checkpoint is adapted to the texts, or a network is built from nothing. The result is a
    checkpoint directory, which `BertVectorizer`, the fine-tuned estimators and `compare` read.
    The model fills masks, tells how likely texts are, and whether a sentence follows another. A
    checkpoint that has a head for this answers without `fit`.
    Texts that are longer than the model reads become several sequences, and none is lost.

    Parameters
    ----------
    model_name : str or Path, default="sentence-transformers/all-MiniLM-L6-v2"
        The checkpoint to adapt: a directory, or a name on the Hugging Face hub, as for
        `BertVectorizer`. Left out with ``architecture``.
    objective : {"auto", "masked", "masked+next_sentence", "causal"}, default="auto"
        What is learned. ``"masked"`` predicts hidden tokens from those on either side [1]_;
        ``"masked+next_sentence"`` also tells whether a segment follows another, from documents in
        sentences [1]_; ``"causal"`` predicts each token from those before it [2]_ [3]_.
        ``"auto"`` follows the checkpoint or the architecture.
    architecture : str, dict or None, default=None
        Builds a network from nothing: a name of `architectures`, or a configuration of
        transformers as a dict. None adapts ``model_name``.
    tokenizer : str, Path or None, default=None
        With ``architecture``, a directory of `train_wordpiece`. None learns a vocabulary from the
        texts of this fit.
    vocab_size : int, default=8000
        Size of the vocabulary that is learned.
    trainable_layers : "all" or int, default="all"
        Number of layers that train, from the top, and the head. ``"all"`` also trains the
        embeddings.
    epochs : int, default=1
        Number of times that every text is trained on.
    batch_size : int, default=16
        Number of sequences in a step.
    learning_rate : "auto" or float, default="auto"
        Highest learning rate. ``"auto"`` is 5e-5 for models of 768 units, and 2e-4 from nothing,
        in inverse proportion to the width, and 20 times as much for a head alone.
    head_learning_rate : float or None, default=None
        Highest learning rate of the head. None takes ``learning_rate``.
    layer_decay : float, default=1.0
        The learning rate of each layer is that of the layer above times this, in (0, 1].
    schedule : {"linear", "slanted_triangular", "constant"}, default="linear"
        How the learning rate changes after the warm-up: it falls to 0, falls to 1/32 [4]_, or
        stays.
    warmup : float, default=0.1
        Share of the steps in which the learning rate rises, in [0, 1).
    unfreezing : "gradual" or None, default=None
        ``"gradual"`` trains the head alone in the first epoch, and one more layer in each of the
        next ones, at last the embeddings. GPT-2's head is its embeddings: the last layer begins.
    weight_decay : float, default=0.01
        Weight decay of AdamW. Biases and norms are not decayed.
    dropout : float or None, default=None
        Probability of every dropout. None leaves those of the checkpoint.
    max_grad_norm : float or None, default=1.0
        Largest norm of the gradients of a step; larger ones are scaled down. None sets no limit.
    mask_probability : float, default=0.15
        Share of the tokens that are predicted, in (0, 1). Of these, 80 % become the mask token,
        10 % a random one, and 10 % stay; special tokens are never chosen.
    whole_word_mask : bool, default=False
        Whether all tokens of a word are hidden together.
    early_stopping : bool, default=False
        Whether to end when the loss on held-out texts no longer falls, and take the weights of the
        best epoch.
    validation_fraction : float, default=0.1
        Share of the texts, or documents, that are held out. Used only with ``early_stopping`` and
        without ``X_val``.
    n_iter_no_change : int, default=1
        Number of epochs without a lower loss after which training ends.
    random_state : int, RandomState or None, default=None
        Seed of new weights, masks, order of texts and dropout. With an int, results are the same on
        one machine and number of threads. None takes another one each time.
    max_length : int or None, default=None
        Longest sequence in tokens, special tokens included; None takes the checkpoint's limit.
    missing : {"empty", "error"}, default="empty"
        Read missing texts as "", or raise an error.
    device : str, torch.device or None, default=None
        Where the network runs. None picks CUDA, MPS or the CPU, in that order.
    revision : str or None, default=None
        Branch, tag or commit on the hub.
    local_files_only : bool, default=False
        Whether to never open a connection.
    trust_remote_code : bool, default=False
        Whether code of the checkpoint may run.
    state_path : str, Path or None, default=None
        A file that has the state of the training after each epoch: weights, moments of AdamW and
        random numbers, three to four times the size of the model. It stays there after the fit.
    resume : bool, default=False
        Whether to go on from ``state_path``, if the file is there, with the same result as if the
        process had never ended. Texts and parameters must be the same. ``random_state=None`` takes
        the seed from the file.
    verbose : bool, default=False
        Whether to show a bar with the loss and the time left.

    Attributes
    ----------
    objective_ : {"masked", "masked+next_sentence", "causal"}
        What was learned.
    n_iter_ : int
        Number of epochs.
    loss_curve_ : list of float
        Mean loss of each epoch: the negative log-likelihood of a predicted token, in nats; with
        ``"masked+next_sentence"``, that of the answer for a pair is added.
    validation_scores_ : list of float
        Negative loss on held-out texts after each epoch, always under the same masks, if there are
        any.
    similarity_agreement_ : float
        How much of its space of sentence vectors the last layer kept: the rank correlation of the
        cosines between up to 200 of the texts before and after training. Only of checkpoints with
        modules of sentence-transformers, and at least 8 different texts.
    checkpoint_files_ : dict of str to bytes
        The files of the checkpoint directory.
    device_ : str
        Where it was trained.
    n_features_in_ : int
        1.

    See Also
    --------
    BertVectorizer : Features of the result.
    BertClassifier : Fine-tunes the result.
    train_wordpiece : A vocabulary from texts.
    architectures : Sizes of networks to build from nothing.

    Notes
    -----
    ========================= =============================== ================
    Method                    Masked words                    Next token
    ========================= =============================== ================
    fill_mask                 yes                             no
    score                     one pass, one of seven masked   one pass
    log_likelihood            a pass for each token, or seven one pass
    perplexity                a pass for each token           one pass
    next_sentence_probability with "masked+next_sentence"     no
    ========================= =============================== ================

    `score` is what searches such as `GridSearchCV` choose by. It compares models of the same
    tokenizer only.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 3.1.

    .. [2] A. M. Dai, Q. V. Le, "Semi-supervised Sequence Learning", NIPS 2015, section 2.

    .. [3] A. Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018,
       section 3.1.

    .. [4] J. Howard, S. Ruder, "Universal Language Model Fine-tuning for Text Classification",
       ACL 2018, section 3.2.

    Examples
    --------
    >>> from bertvectorizer import LanguageModel
    >>> texts = ["the bank raised its rate", "a bat flew over the river bank"] * 20
    >>> settings = {"architecture": "bert-tiny", "vocab_size": 60, "random_state": 0}
    >>> model = LanguageModel(**settings, epochs=3).fit(texts)
    >>> model.loss_curve_[-1] < model.loss_curve_[0]
    True
    >>> model.vectorizer().fit_transform(texts[:2]).shape
    (2, 128)
    """

    architecture: str | dict[str, Any] | None
    precision = "float32"

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        objective: Literal["auto", "masked", "masked+next_sentence", "causal"] = "auto",
        architecture: str | dict[str, Any] | None = None,
        tokenizer: str | Path | None = None,
        vocab_size: int = 8000,
        trainable_layers: Literal["all"] | int = "all",
        epochs: int = 1,
        batch_size: int = 16,
        learning_rate: Literal["auto"] | float = "auto",
        head_learning_rate: float | None = None,
        layer_decay: float = 1.0,
        schedule: Literal["linear", "slanted_triangular", "constant"] = "linear",
        warmup: float = 0.1,
        unfreezing: Literal["gradual"] | None = None,
        weight_decay: float = 0.01,
        dropout: float | None = None,
        max_grad_norm: float | None = 1.0,
        mask_probability: float = 0.15,
        whole_word_mask: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 1,
        random_state: Any = None,
        max_length: int | None = None,
        missing: Literal["empty", "error"] = "empty",
        device: str | torch.device | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        state_path: str | Path | None = None,
        resume: bool = False,
        verbose: bool = False,
    ) -> None:
        self._set_parameters(locals())

    # --- the model ---

    def _checkpoint(self) -> Checkpoint:
        if hasattr(self, "checkpoint_files_"):
            return open_checkpoint(self._own_directory())
        if self.architecture is not None:
            raise NotFittedError(
                "This LanguageModel is built from nothing by 'fit', and is not fitted yet: call"
                f" fit(texts) first. Got architecture={self.architecture!r}."
            )
        return self._given_checkpoint()

    def _given_checkpoint(self) -> Checkpoint:
        """Return the checkpoint of ``model_name``."""
        if self.tokenizer is not None:
            rule = "None without 'architecture': a checkpoint has its own tokenizer"
            raise invalid("tokenizer", rule, self.tokenizer)
        return super()._checkpoint()

    def _own_directory(self) -> Path:
        """Return a directory with the fitted checkpoint, which goes when this estimator does.

        A search would fill the disk with those of all its candidates.
        """
        from ...models.language.directory import write_files

        digest, directory = _own_directories.get(self, ("", Path()))
        if digest != self._digest:
            directory = session_directory(is_checked=True) / f"own-{uuid4().hex}"
            _own_directories[self] = self._digest, directory
            weakref.finalize(self, _remove, directory, os.getpid())
        write_files(self.checkpoint_files_, directory)
        return directory

    def _shared_directory(self) -> Path:
        """Return a directory with the fitted checkpoint, which stays until the session ends."""
        from ...models.language.directory import write_files

        directory = session_directory(is_checked=True) / f"language-{self._digest}"
        write_files(self.checkpoint_files_, directory)
        return directory

    def _objective(self, checkpoint: Checkpoint) -> Objective:
        from ...models.language.objectives import own_objective

        objective: Any = check_choice("objective", self.objective, _OBJECTIVES)
        return own_objective(checkpoint.config) if objective == "auto" else objective

    def _rate_of_base(self) -> float:
        return super()._rate_of_base() if self.architecture is None else _RATE_FROM_NOTHING

    @contextmanager
    def _start(self, X: Any, seed: int) -> Iterator[Checkpoint]:
        """Yield the checkpoint that training begins with."""
        if self.architecture is None:
            yield self._given_checkpoint()
            return
        if str(self.model_name) != DEFAULT_MODEL:
            rule = "left out where 'architecture' builds a model from nothing"
            raise invalid("model_name", rule, self.model_name)
        from ...models.language.initial import read_tokenizer, write_initial_model
        from ...models.language.wordpiece import learn_wordpiece

        if self.tokenizer is None:
            if isinstance(X, Iterator):
                raise InvalidTextError(
                    "X must be readable twice where 'fit' also learns a vocabulary: a list, a"
                    f" Series or a Path. Got {type(X).__name__} instead. Or give a directory of"
                    " train_wordpiece as 'tokenizer'."
                )
            tokenizer = learn_wordpiece(self._texts(X), self.vocab_size)
        else:
            local_files_only = check_flag("local_files_only", self.local_files_only)
            try:
                tokenizer = read_tokenizer(self.tokenizer, local_files_only)
            except ModelNotFoundError as error:
                raise ModelNotFoundError(f"Of the 'tokenizer' parameter: {error}") from error
        with _temporary_directory() as directory:
            with writing(directory):
                write_initial_model(
                    directory,
                    self.architecture,
                    tokenizer,
                    objective=self.objective,
                    max_length=self.max_length,
                    seed=seed,
                )
            yield open_checkpoint(directory)

    # --- fit ---

    def _texts(self, X: Any) -> Iterator[str]:
        """Yield the texts of X, or the sentences of its documents."""
        if self.objective == "masked+next_sentence":
            for sentences in read_corpus_documents(X, self.missing):
                yield from sentences
        else:
            yield from read_corpus(X, self.missing)

    def _corpus(self, X: Any, checkpoint: Checkpoint, objective: Objective) -> Corpus:
        from ...models.language.corpus import Corpus

        read: Any = read_corpus
        if objective == "masked+next_sentence":
            read = read_corpus_documents
        title = f"{type(self).__name__}, reading"
        with TrainingBar(title, None, check_flag("verbose", self.verbose)) as bar:
            return Corpus(self._reader(checkpoint, objective), read(X, self.missing), bar.step)

    def _reader(self, checkpoint: Checkpoint, objective: Objective) -> Any:
        """Return the tokenizer of texts, or of pairs of segments."""
        tokenizer = load_tokenizer(checkpoint)
        if objective == "masked+next_sentence":
            return PairTokenizer(checkpoint, tokenizer, self.max_length)
        return TextTokenizer(checkpoint, tokenizer, "", self.max_length)

    def _data(
        self,
        corpus: Corpus,
        checkpoint: Checkpoint,
        objective: Objective,
        seed: int,
        chosen: NDArray[np.int64] | None = None,
    ) -> Any:
        """Return what is learned from texts, or from the documents, that are chosen."""
        from ...models.language.masking import Masking
        from ...models.language.objectives import CausalData, MaskedData
        from ...models.language.sequences import SegmentPairs, TextSequences

        reader = self._reader(checkpoint, objective)
        sequences: Any
        if objective == "masked+next_sentence":
            sequences = SegmentPairs(corpus, reader, seed, chosen)
        else:
            sequences = TextSequences(corpus, reader, chosen)
        if objective == "causal":
            return CausalData(sequences)
        return MaskedData(sequences, Masking.of(reader, *self._masking(), seed))

    def _masking(self) -> tuple[float, bool]:
        """Return which share of tokens is masked, and whether whole words are."""
        probability = check_number("mask_probability", self.mask_probability, "(0, 1)")
        return probability, check_flag("whole_word_mask", self.whole_word_mask)

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, *, X_val: Any = None) -> Self:
        """Learn from texts.

        Parameters
        ----------
        X : list, ndarray, Series, one-column DataFrame, other iterable of str, or Path
            The texts; a Path is of a file with a text in each line. With the objective
            ``"masked+next_sentence"``, documents: lists of their sentences or paragraphs, or a file
            with blank lines between documents. Iterables are read once and kept on disk; one that
            learns a vocabulary, too, must be readable twice.
        y : object, default=None
            Not used.
        X_val : like X, or None, default=None
            Held-out texts for validation.

        Returns
        -------
        self : object
            The fitted model. If ``fit`` fails or is interrupted, it stays as it was.

        Raises
        ------
        InvalidParameterError
            If a parameter breaks its rule, or ``state_path`` is of another training.
        InvalidTextError
            If X does not hold texts, or no token to learn from.
        ModelIntegrityError
            If the file at ``state_path`` is damaged.
        UnsupportedModelError
            If the architecture cannot learn the objective.
        TrainingDivergedError
            If the loss becomes infinite or NaN.
        StoreError
            If the temporary directory has no room for the model or the tokens.
        """
        from ...models.language.masking import Masking
        from ...models.training.network import usual_torch

        device = resolve_device(self.device)
        seed = self._seed()
        file = self._state_file()
        if file is not None and self.random_state is None:
            former = (file.facts() or {}).get("seed")
            seed = former if isinstance(former, int) and 0 <= former < 1 << 31 else seed
        with usual_torch(device), self._start(X, seed) as checkpoint:
            objective = self._objective(checkpoint)
            settings = self._settings(checkpoint, seed)
            n_trained = self._n_trained_layers(checkpoint)
            masking = self._masking()
            tasks = FitTasks(self, settings.epochs, X, y)
            network = self._network(checkpoint, device, objective, n_trained, seed)
            if objective != "causal":  # before a long corpus is read
                Masking.of(self._reader(checkpoint, objective), *masking)
            _check_room(network)
            data, validation, texts = self._split(X, X_val, checkpoint, objective, seed)
            self._check_targets(data, validation, settings.epochs)
            facts = self._facts(network, settings, texts)
            space = self._space(network, data)
            state = self._train(network, data, validation, settings, tasks, file, facts)
            if space is not None:
                state["similarity_agreement_"] = space.agreement(network)
        own = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        self.__dict__ = own | state  # in one step, so that nothing can come between
        tasks.end()
        if space is not None and self.similarity_agreement_ < _LEAST_AGREEMENT:
            warn_user(
                "The last layer lost much of its space of sentence vectors: the rank correlation of"
                f" the cosines between {space.n_texts} of the texts before and after training is"
                f" {self.similarity_agreement_:.2f}, below {_LEAST_AGREEMENT}."
                f" {short_repr(str(self.model_name))} was trained so that cosines tell which texts"
                " mean the same, which a language model does not keep. For cosines, train for fewer"
                " 'epochs' or at a lower 'learning_rate', or take the checkpoint as it was. For"
                " features of a classifier, read a layer below, vectorizer(layers=-2), or adapt a"
                " checkpoint that is not contrastive."
            )
        return self

    def _network(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        objective: Objective,
        n_trained: int | None,
        seed: int,
    ) -> TrainableNetwork:
        from ...models.language.network import language_network

        return language_network(
            checkpoint,
            device,
            objective,
            n_trained_layers=n_trained,
            dropout=check_number("dropout", self.dropout, "[0, 1)", optional=True),
            seed=seed,
            needs_depths=self.layer_decay != 1 or self.unfreezing is not None,
        )

    def _space(self, network: TrainableNetwork, data: Any) -> VectorSpace | None:
        """Return the space of sentence vectors before training, None without one."""
        from ...models.language.space import VectorSpace

        if self.architecture is not None or not network.checkpoint.has_modules:
            return None
        space = VectorSpace(network, data.sequences)
        return space if space.n_texts >= _FEWEST_TEXTS else None

    def _split(
        self, X: Any, X_val: Any, checkpoint: Checkpoint, objective: Objective, seed: int
    ) -> tuple[TrainingData, TrainingData | None, dict[str, str]]:
        """Return what is trained on, what validates it, and digests of the texts."""
        corpus = self._corpus(X, checkpoint, objective)
        if not len(corpus.ids):
            raise InvalidTextError(
                f"X must have a text of which the tokenizer makes a token. Got"
                f" {corpus.n_texts} text(s), and none of this kind. Add texts."
            )
        texts = {"the digest of the texts": corpus.digest}
        if X_val is not None:
            try:
                held = self._corpus(X_val, checkpoint, objective)
            except InvalidTextError as error:
                raise InvalidTextError(f"Of 'X_val', as X: {error}") from error
            return (
                self._data(corpus, checkpoint, objective, seed),
                self._data(held, checkpoint, objective, seed),
                texts | {"the digest of X_val": held.digest},
            )
        if not self.early_stopping:
            return self._data(corpus, checkpoint, objective, seed), None, texts
        n_rows = corpus.n_documents  # a text is a document of one
        n_held = math.ceil(self.validation_fraction * n_rows)
        least = 2 if objective == "masked+next_sentence" else 1  # the next one, and another
        if min(n_held, n_rows - n_held) < least:
            rule = f"such that {least} of {n_rows} texts or more are on each side of the split"
            raise invalid("validation_fraction", rule, self.validation_fraction)
        order = np.random.default_rng(seed).permutation(n_rows)
        kept, held_rows = np.sort(order[n_held:]), np.sort(order[:n_held])
        return (
            self._data(corpus, checkpoint, objective, seed, kept),
            self._data(corpus, checkpoint, objective, seed, held_rows),
            texts,
        )

    def _check_targets(self, data: Any, validation: Any, n_epochs: int) -> None:
        """Raise if no token is predicted in an epoch, as of a single word."""
        found = {}
        if validation is not None:
            found["The held-out texts"] = validation.has_targets()
        for epoch in range(n_epochs if data.n_tokens.sum() < _FEW_TOKENS else 1):
            data.draw(epoch)
            found[f"In epoch {epoch + 1}, X"] = data.has_targets()
        for texts, has_targets in found.items():
            if not has_targets:
                raise InvalidTextError(
                    f"{texts} must have tokens that are predicted. Got none: there are few, or only"
                    " unknown words and other special tokens, which are never chosen. Add texts, or"
                    " raise 'mask_probability'."
                )

    def _state_file(self) -> StateFile | None:
        """Return the file for the state of the training, or raise if a parameter is wrong."""
        from ...models.training.state_file import StateFile

        resume = check_flag("resume", self.resume)
        if self.state_path is None:
            if resume:
                raise invalid("state_path", "the path of a file where resume=True", None)
            return None
        if not isinstance(self.state_path, (str, os.PathLike)):
            raise invalid("state_path", "the path of a file or None", self.state_path)
        path = full_path(self.state_path)
        if fault := output_fault(path):
            raise InvalidParameterError(
                f"The 'state_path' parameter must be the path of a file that can be written."
                f" '{path}' cannot: {fault}"
            )
        if path.exists() and not resume:
            raise InvalidParameterError(
                f"The 'resume' parameter must be True where there is a file at 'state_path'. Got"
                f" resume=False and '{path}'. Set it to go on with that training, or remove the"
                " file to begin anew."
            )
        return StateFile(path)

    def _facts(
        self, network: TrainableNetwork, settings: TrainingSettings, texts: dict[str, str]
    ) -> dict[str, Any]:
        """Return what the numbers of a training depend on."""
        spec = network.spec
        return {
            **texts,
            "the fingerprint of the model": network.checkpoint.fingerprint,
            "objective": spec.unit,
            "trainable_layers": spec.n_trained_layers,
            "dropout": spec.dropout,
            **dict(zip(("mask_probability", "whole_word_mask"), self._masking(), strict=True)),
            "max_length": self.max_length and int(self.max_length),
            "validation_fraction": float(self.validation_fraction),
            "device": network.device.type,
            **asdict(settings),
        }

    def _train(
        self,
        network: TrainableNetwork,
        data: Any,
        validation: Any,
        settings: TrainingSettings,
        tasks: FitTasks,
        file: StateFile | None,
        facts: dict[str, Any],
    ) -> dict[str, Any]:
        """Return the attributes of the estimator that this fit gives."""
        from ...models.training.loop import Training

        n_tokens = int(data.n_tokens.sum()) * settings.epochs
        with TrainingBar(
            *(type(self).__name__, n_tokens, self.verbose, settings.epochs),
            lambda result: tasks.end_epoch(result.is_over, lambda: self._state(network, result)),
        ) as bar:
            settings = replace(settings, pass_tokens=data.pass_tokens(network))
            training = Training(network, data, settings, validation, bar)
            if file is not None and file.restore(training, facts):
                done = training.result
                bar.go_on(n_tokens * done.n_iter // settings.epochs, done)
            while not training.is_over:
                training.run_epoch()
                if file is not None:
                    file.save(training, facts)
            training.take_best()
        return self._state(network, training.result)

    def _state(self, network: TrainableNetwork, result: Any) -> dict[str, Any]:
        """Return the attributes of an estimator whose fit ends here."""
        from ...models.language.directory import read_files, save_language_model

        with _temporary_directory() as directory, writing(directory):
            save_language_model(network, load_tokenizer(network.checkpoint), directory)
            files = read_files(directory)
        digest = hashlib.blake2b(digest_size=16)
        for name, content in files.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        state = {
            "checkpoint_files_": files,
            "_digest": digest.hexdigest(),
            "objective_": network.spec.unit,
            "n_iter_": result.n_iter,
            "loss_curve_": list(result.loss_curve),
            "device_": str(network.device),
            "n_features_in_": 1,
        }
        if result.validation_scores:
            state["validation_scores_"] = list(result.validation_scores)
        return state

    # --- the result ---

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write the model as a directory for transformers and sentence-transformers.

        Parameters
        ----------
        directory : str or Path
            A directory that does not exist, or is empty. Its parents are made.

        Returns
        -------
        directory : Path
            The directory. `AutoModelForMaskedLM`, `AutoModelForCausalLM` or
            `AutoModelForPreTraining` of transformers open it with its head. Modules of
            sentence-transformers that the checkpoint had stand in it, too.

        Raises
        ------
        InvalidParameterError
            If something is at the place.
        StoreError
            If the directory cannot be written.
        """
        from ...models.language.directory import write_files

        check_is_fitted(self, "checkpoint_files_")
        target = new_directory(directory)
        write_files(self.checkpoint_files_, target)
        return target

    def vectorizer(self, **parameters: Any) -> BertVectorizer:
        """Return a `BertVectorizer` of this model.

        Parameters
        ----------
        **parameters : dict
            Its parameters, such as ``layers=-2``.

        Returns
        -------
        vectorizer : BertVectorizer
            Reads a directory of this session. For pipelines that are saved, call
            ``save_pretrained`` and name that directory.
        """
        check_is_fitted(self, "checkpoint_files_")
        return BertVectorizer(self._shared_directory(), **parameters)


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    """Yield a directory in that of the session, which others remove where this one is killed."""
    session = session_directory(is_checked=True)
    with writing(session):
        directory = tempfile.TemporaryDirectory(dir=session)
    with directory as name:
        yield Path(name)


def _remove(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a child
        shutil.rmtree(directory, ignore_errors=True)


def _check_room(network: TrainableNetwork) -> None:
    """Raise before a training, and not after it, where its result cannot be written."""
    session = session_directory(is_checked=True)
    needed = sum(each.nbytes for each in network.parameters())
    if (free := shutil.disk_usage(session).free) < needed:
        raise StoreError(
            f"The temporary directory must have room for the trained model, {needed:,} bytes. There"
            f" are {free:,} free in '{session.parent}'. Make room there, or set the environment"
            " variable TMPDIR to another directory."
        )
