"""Contextual embeddings of texts, as a scikit-learn transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..models import (
    DEFAULT_MODEL,
    Checkpoint,
    Readout,
    TextTokenizer,
    Truncation,
    check_precision,
    open_checkpoint,
    resolve_device,
    resolve_readout,
)
from ..models.errors import ModelChangedError, UnsupportedModelError
from ..models.validation import check_flag, check_int
from .base import TextVectorizer
from .warning import warn_user

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["BertVectorizer"]


class BertVectorizer(TextVectorizer):
    """Turn texts into contextual embeddings of a transformer, read at any layer, under any pooling.

    With no arguments the result is that of ``SentenceTransformer(model).encode`` for the default model. Nothing is
    padded, a repeated text is encoded once, and layers beyond the deepest one asked for are not computed.

    Parameters
    ----------
    model_name : str or Path
        A directory, or a name on the Hugging Face hub. It is looked for as a directory, in the Hugging Face cache, in an
        installed package (the default model, extra ``offline``), and on the hub, in this order.
    layers : int, list of int, or str
        Layers to read: 0 is the output of the embeddings, -1 the last layer. Also ``"-1,-2,-3,-4"`` and ``"all"``.
    layer_merge : {"concat", "sum", "mean"}
        How the layers' token vectors become one, before pooling. ``"sum"`` is the plain sum: no weights are learnt.
    pooling : str or tuple of str
        ``"cls"``, ``"mean"``, ``"max"``, ``"mean_sqrt_len_tokens"``, ``"weightedmean"`` or ``"lasttoken"``; a tuple puts
        the vectors side by side. ``"auto"`` is the checkpoint's own pooling (the mean for a plain Hugging Face
        checkpoint), followed, if the last layer alone is read, by the checkpoint's Dense and Normalize.
    normalize : "auto" or bool
        True scales each vector to unit length, False leaves the checkpoint's own Normalize out.
    max_length : int or None
        Longest text in tokens, special tokens included; None takes the checkpoint's limit.
    overflow : {"truncate", "head_tail", "window"}
        What becomes of longer texts: they lose their end, they lose their middle, or they are read in overlapping
        windows whose vectors are averaged by length. ``fit`` warns once of lost ends and keeps the figures in
        ``truncation_``; where it had nothing to warn of, ``transform`` warns.
    stride : int or None
        Tokens that neighbouring windows share; None takes a quarter of a window.
    prompt : str or None
        Text put before every text, or the name of one of the checkpoint's prompts; None takes its default prompt.
    missing : {"empty", "error", "zero", "nan"}
        What a missing text (None, NaN, pd.NA, polars' null) becomes: the vector of "", an error that names the first
        rows, a row of zeros, or a row of NaN.
    precision : {"float32", "int8", "bfloat16", "float16"}
        float32 is exact. int8 (CPU) is faster again at a small cost in accuracy: benchmarks/README.md has the
        figures. The 16-bit formats are for devices with such arithmetic.
    device : str, torch.device or None
        None picks CUDA, MPS or the CPU, in that order.
    batch_tokens : int or None
        Most tokens in a batch; None fits the device. It is halved when memory runs out.
    revision : str or None
        Branch, tag or commit on the hub.
    local_files_only : bool
        Never open a connection.
    trust_remote_code : bool
        Let code of the checkpoint run; a hub model then needs a full commit as ``revision``.
    show_progress_bar : bool
        Show a bar, in tokens.

    Attributes
    ----------
    n_features_out_ : int
        Width of the result.
    device_ : str
        Where it was fitted. On a machine that lacks the device, ``transform`` goes on without it and says so.
    model_fingerprint_ : str
        Digest of the content of weights, tokenizer and configuration. ``transform`` compares it, so that a fitted
        estimator never goes on with another model.
    truncation_ : Truncation
        Numbers of texts and tokens in the training set, and how many of them the model does not see.

    Raises
    ------
    ModelNotFoundError, ModelChangedError, InvalidTextError, InvalidParameterError
        See :mod:`bertvectorizer.models.errors` for the whole tree.

    Notes
    -----
    The network is never trained: ``fit`` only resolves the model and counts tokens, and ``transform`` works without it.
    Pickles hold no weights; the loaded estimator finds its model again by name and checks its fingerprint.

    Lone surrogates, which no tokenizer takes, are read as U+FFFD. A text without any token, such as "" for a GPT-2
    tokenizer, gets a row of zeros.

    References
    ----------
    J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 5.3 and Table 7. Its six options:

    - embeddings: ``layers=0``
    - second-to-last hidden: ``layers=-2``
    - last hidden: ``layers=-1``
    - sum of the last four: ``layers="-1,-2,-3,-4", layer_merge="sum"``
    - concat of the last four: ``layers="-1,-2,-3,-4"``
    - sum of all layers: ``layers="all", layer_merge="sum"`` (embeddings included)

    N. Reimers, I. Gurevych, "Sentence-BERT", EMNLP 2019, section 3.

    Examples
    --------
    >>> from bertvectorizer import BertVectorizer
    >>> vectorizer = BertVectorizer()
    >>> X = vectorizer.fit_transform(["The bat hung from the beam.", "He swung the bat."])
    >>> X.shape, X.dtype
    ((2, 384), dtype('float32'))
    >>> vectorizer.get_feature_names_out()[:2].tolist()
    ['bertvectorizer0', 'bertvectorizer1']
    """

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        layers: int | Sequence[int] | str = -1,
        layer_merge: str = "concat",
        pooling: str | Sequence[str] = "auto",
        normalize: str | bool = "auto",
        max_length: int | None = None,
        overflow: str = "truncate",
        stride: int | None = None,
        prompt: str | None = None,
        missing: str = "empty",
        precision: str = "float32",
        device: str | torch.device | None = None,
        batch_tokens: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        show_progress_bar: bool = False,
    ) -> None:
        self.model_name = model_name
        self.layers = layers
        self.layer_merge = layer_merge
        self.pooling = pooling
        self.normalize = normalize
        self.max_length = max_length
        self.overflow = overflow
        self.stride = stride
        self.prompt = prompt
        self.missing = missing
        self.precision = precision
        self.device = device
        self.batch_tokens = batch_tokens
        self.revision = revision
        self.local_files_only = local_files_only
        self.trust_remote_code = trust_remote_code
        self.show_progress_bar = show_progress_bar

    def _checkpoint(self) -> Checkpoint:
        check_flag("local_files_only", self.local_files_only)
        check_flag("trust_remote_code", self.trust_remote_code)
        return open_checkpoint(self.model_name, self.revision, self.local_files_only, self.trust_remote_code)

    def _tokenizer(self, checkpoint: Checkpoint) -> TextTokenizer:
        from ..models.encoder import load_tokenizer

        return TextTokenizer(checkpoint, load_tokenizer(checkpoint), self.prompt, self.max_length, self.overflow, self.stride)

    def _readout(self, checkpoint: Checkpoint) -> Readout:
        return resolve_readout(checkpoint, self.layers, self.layer_merge, self.pooling, self.normalize)

    def _n_features(self) -> int:
        return self._readout(self._checkpoint()).n_features

    def _learn(self, texts: list[str]) -> None:
        checkpoint = self._checkpoint()
        self._readout(checkpoint)
        device = resolve_device(self.device)
        check_precision(self.precision, device)
        check_int("batch_tokens", self.batch_tokens, 1, optional=True)
        check_flag("show_progress_bar", self.show_progress_bar)
        self.truncation_ = self._tokenizer(checkpoint)(texts).truncation
        self.model_fingerprint_ = checkpoint.fingerprint
        self.device_ = str(device)
        self._warn_of_lost_tokens(self.truncation_)

    def _warn_of_lost_tokens(self, truncation: Truncation) -> None:
        if self.overflow == "truncate" and truncation.n_truncated:
            warn_user(
                f"{truncation.n_truncated} of {truncation.n_texts} texts are longer than the model reads and lose their end, "
                f"{truncation.share_lost:.1%} of all tokens. overflow='head_tail' or 'window' keeps more; "
                "overflow='truncate' with a larger max_length, where the model allows it, too."
            )

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        from ..models.encoder import load_encoder

        checkpoint = self._checkpoint()
        self._check_same_model(checkpoint)
        readout = self._readout(checkpoint)
        tokenizer = self._tokenizer(checkpoint)
        device, precision = self._where()
        batch_tokens = check_int("batch_tokens", self.batch_tokens, 1, optional=True)
        show_progress_bar = check_flag("show_progress_bar", self.show_progress_bar)
        if not texts:
            return np.empty((0, readout.n_features), dtype=np.float32)
        tokenized = tokenizer(texts)
        told = getattr(self, "truncation_", None)
        if told is None or not told.n_truncated:
            self._warn_of_lost_tokens(tokenized.truncation)
        encoder = load_encoder(checkpoint, device, precision)
        if not show_progress_bar:
            return encoder.encode(tokenized, readout, batch_tokens)
        from tqdm.auto import tqdm

        with tqdm(total=len(tokenized.ids), unit=" tokens", unit_scale=True, desc=type(self).__name__) as bar:
            return encoder.encode(tokenized, readout, batch_tokens, bar.update)

    def _where(self) -> tuple[torch.device, str]:
        """Device and precision; an estimator fitted on a GPU that isn't here goes on without it."""
        try:
            device = resolve_device(self.device)
            return device, check_precision(self.precision, device)
        except UnsupportedModelError as error:
            if not self._is_elsewhere():
                raise
            device = resolve_device(None)
            warn_user(f"{error} This fitted estimator runs on '{device}' in float32 instead.")
            return device, "float32"

    def _is_elsewhere(self) -> bool:
        """Whether this estimator was fitted on a device that this machine lacks."""
        try:
            resolve_device(getattr(self, "device_", "cpu"))
        except UnsupportedModelError:
            return True
        return False

    def _check_same_model(self, checkpoint: Checkpoint) -> None:
        fitted = getattr(self, "model_fingerprint_", checkpoint.fingerprint)
        if fitted != checkpoint.fingerprint:
            raise ModelChangedError(
                f"This estimator was fitted with a model of fingerprint {fitted}, but {self.model_name!r} in '{checkpoint.directory}' now "
                f"has {checkpoint.fingerprint}. Bring the former model back (a pinned 'revision' helps), or fit again."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
