"""Contextual embeddings of texts, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..models import (
    DEFAULT_MODEL,
    Checkpoint,
    OutputSpec,
    TextTokenizer,
    TokenizedTexts,
    Truncation,
    resolve_output_spec,
)
from ..models.checkpoint.output_spec import Part
from ..models.checkpoint.post_modules import apply_post_modules
from ..models.encode_texts import encode_once, numeric_settings, open_store
from ..models.store.embedding_store import EmbeddingStore
from ..validation import check_flag
from ..warning import warn_user
from .base import TextVectorizer
from .bert_common import BertBase, progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

__all__ = ["BertVectorizer"]


class BertVectorizer(BertBase, TextVectorizer):
    """Turn texts into contextual embeddings of a transformer, read at any layer, under any pooling.

    With no arguments the result is that of ``SentenceTransformer(model).encode`` for the default
    model. Nothing is padded, a repeated text is encoded once, and layers beyond the deepest one
    asked for are not computed.

    Parameters
    ----------
    model_name : str or Path
        A directory, or a name on the Hugging Face hub. It is looked for as a directory, in the
        Hugging Face cache, in an installed package (the default model, extra ``offline``), and on
        the hub, in this order.
    layers : int, list of int, or str
        Layers to read: 0 is the output of the embeddings, -1 the last layer. Also ``"-1,-2,-3,-4"``
        and ``"all"``.
    layer_merge : {"concat", "sum", "mean"}
        How the layers' token vectors become one, before pooling. ``"sum"`` is the plain sum: no
        weights are learnt.
    pooling : str or tuple of str
        ``"cls"``, ``"mean"``, ``"max"``, ``"mean_sqrt_len_tokens"``, ``"weightedmean"`` or
        ``"lasttoken"``; a tuple puts the vectors side by side. ``"auto"`` is the checkpoint's own
        pooling (the mean for a plain Hugging Face checkpoint), followed, if the last layer alone is
        read, by the checkpoint's Dense and Normalize.
    normalize : "auto" or bool
        True scales each vector to unit length, False leaves the checkpoint's own Normalize out.
    max_length : int or None
        Longest text in tokens, special tokens included; None takes the checkpoint's limit.
    overflow : {"truncate", "head_tail", "window"}
        What becomes of longer texts: they lose their end, they lose their middle, or they are read
        in overlapping windows whose vectors are averaged by length. ``fit`` warns once of lost ends
        and keeps the figures in ``truncation_``; where it had nothing to warn of, ``transform``
        warns.
    stride : int or None
        Tokens that neighbouring windows share; None takes a quarter of a window.
    prompt : str or None
        Text put before every text, or the name of one of the checkpoint's prompts; None takes its
        default prompt.
    missing : {"empty", "error", "zero", "nan"}
        What a missing text (None, NaN, pd.NA, polars' null) becomes: the vector of "", an error
        that names the first rows, a row of zeros, or a row of NaN.
    precision : {"float32", "int8", "bfloat16", "float16"}
        float32 is exact. int8 (CPU) is faster again at a small cost in accuracy:
        benchmarks/README.md has the figures. The 16-bit formats are for devices with such
        arithmetic.
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
    store : "auto", str, Path, EmbeddingStore or None
        Where vectors are kept, so that no text is encoded twice, whatever the fold, candidate,
        clone or worker process. ``"auto"`` is a store for this session in the temporary directory
        (8 GiB at most); a path is kept between runs; an `EmbeddingStore` has settings of its own;
        None keeps nothing.
    show_progress_bar : bool
        Show a bar, in characters.

    Attributes
    ----------
    n_features_out_ : int
        Width of the result.
    device_ : str
        Where it was fitted. On a machine that lacks the device, ``transform`` goes on without it
        and says so.
    model_fingerprint_ : str
        Digest of the content of weights, tokenizer and configuration. ``transform`` compares it, so
        that a fitted estimator never goes on with another model.
    truncation_ : Truncation
        Numbers of texts and tokens in the training set, and how many of them the model does not
        see.

    Raises
    ------
    ModelNotFoundError, ModelChangedError, InvalidTextError, InvalidParameterError
        See :mod:`bertvectorizer.errors` for the whole tree.

    Notes
    -----
    The network is never trained: ``fit`` only resolves the model and counts tokens, and ``transform`` works without it.
    Pickles hold no weights; the loaded estimator finds its model again by name and checks its fingerprint.

    A store holds vectors and digests of texts, never a text itself.

    Lone surrogates, which no tokenizer takes, are read as U+FFFD. A text without any token, such as
    "" for a GPT-2 tokenizer, gets a row of zeros.

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
        store: str | Path | EmbeddingStore | None = "auto",
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
        self.store = store
        self.show_progress_bar = show_progress_bar

    def _readout(self, checkpoint: Checkpoint) -> OutputSpec:
        return resolve_output_spec(
            checkpoint, self.layers, self.layer_merge, self.pooling, self.normalize
        )

    def _n_features(self) -> int:
        return self._readout(self._checkpoint()).n_features

    def _request(self, checkpoint: Checkpoint, device: torch.device, precision: str) -> _Request:
        from ..models.checkpoint.text_tokens import load_tokenizer

        return _Request(
            checkpoint,
            self._readout(checkpoint),
            TextTokenizer(
                checkpoint,
                load_tokenizer(checkpoint),
                self.prompt,
                self.max_length,
                self.overflow,
                self.stride,
            ),
            device,
            precision,
            self._budget(device, checkpoint),
            open_store(self.store),
        )

    def _learn(self, texts: list[str], counts: NDArray[np.int64]) -> None:
        tokenized = self._resolve().tokenizer(texts)
        self._note_truncation(tokenized.n_tokens, tokenized.n_lost, counts)

    def _learn_vectors(
        self,
        texts: list[str],
        counts: NDArray[np.int64],
        chunk_texts: int | None = None,
        report: Callable[[int], Any] = lambda n_rows: None,
    ) -> NDArray[np.float32]:
        """Fit on distinct texts and return their vectors, in one pass.

        ``report`` is called after each chunk with the number of rows that are done.
        """
        request = self._resolve()
        size = chunk_texts or max(len(texts), 1)
        chunks = []
        for start in range(0, max(len(texts), 1), size):
            chunks.append(self._embed(request, texts[start : start + size]))
            report(int(counts[: start + size].sum()))
        vectors, n_tokens, n_lost = (
            parts[0] if len(parts) == 1 else np.concatenate(parts)
            for parts in zip(*chunks, strict=True)
        )
        self._note_truncation(n_tokens, n_lost, counts)
        return vectors

    def _resolve(self) -> _Request:
        """Check the parameters against the model, and set the fitted attributes that need no texts."""
        check_flag("show_progress_bar", self.show_progress_bar)
        request = self._request(self._checkpoint(), *self._device_to_fit())
        self._keep_model(request.checkpoint, request.device)
        return request

    def _note_truncation(
        self, n_tokens: NDArray[np.int64], n_lost: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        self.truncation_ = Truncation.of(np.repeat(n_tokens, counts), np.repeat(n_lost, counts))
        self._warn_of_lost_tokens(self.truncation_)

    def _warn_of_lost_tokens(self, truncation: Truncation) -> None:
        if self.overflow == "truncate" and truncation.n_truncated:
            warn_user(
                f"{truncation.n_truncated} of {truncation.n_texts} texts are longer than the model"
                f" reads and lose their end, {truncation.share_lost:.1%} of all tokens."
                " overflow='head_tail' or 'window' keeps more; overflow='truncate' with a larger"
                " max_length, where the model allows it, too."
            )

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        checkpoint = self._checkpoint()
        self._check_same_model(checkpoint)
        vectors, n_tokens, n_lost = self._embed(
            self._request(checkpoint, *self._device_to_transform()), texts
        )
        told = getattr(self, "truncation_", None)
        if told is None or not told.n_truncated:
            self._warn_of_lost_tokens(Truncation.of(n_tokens, n_lost))
        return vectors

    def _embed(
        self, request: _Request, texts: list[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        # In characters, since tokens are counted portion by portion, and never if all are in the
        # store.
        with progress_bar(self, sum(map(len, texts)), "characters") as advance:
            return request.embed(texts, advance)


class _Request(NamedTuple):
    """The parameters of an estimator, checked against its model."""

    checkpoint: Checkpoint
    readout: OutputSpec
    tokenizer: TextTokenizer
    device: torch.device
    precision: str
    batch_tokens: int
    store: EmbeddingStore | None

    def embed(
        self, texts: Sequence[str], advance: Callable[[float], Any] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Return vectors of distinct texts, the numbers of their tokens, and of those that were cut off."""
        readout = self.readout
        if not texts:
            nothing = np.zeros(0, dtype=np.int64)
            return np.empty((0, readout.n_features), dtype=np.float32), nothing, nothing
        encode = partial(self._encode, advance)
        if self.store is None:
            vectors, tokenized = encode(texts, readout.parts)
            n_tokens, n_lost = tokenized.n_tokens, tokenized.n_lost
        else:
            vectors, n_tokens, n_lost = encode_once(
                self.store,
                (
                    *numeric_settings(self.checkpoint, self.precision, self.device),
                    *self.tokenizer.settings,
                ),
                texts,
                readout.parts,
                self.checkpoint.n_layers,
                self.batch_tokens,
                encode,
            )
        return apply_post_modules(readout.merge(vectors), readout), n_tokens, n_lost

    def _encode(
        self, advance: Callable[[float], Any] | None, texts: Sequence[str], parts: Sequence[Part]
    ) -> tuple[NDArray[np.float32], TokenizedTexts]:
        """Run the network. *Shape of the vectors:* ``(n_texts, n_parts, hidden)``."""
        from ..models.network.encoder import load_encoder

        tokenized = self.tokenizer(texts)
        encoder = load_encoder(self.checkpoint, self.device, self.precision)
        progress = None
        if advance is not None:
            per_token = sum(map(len, texts)) / max(len(tokenized.ids), 1)

            def progress(n_tokens: int) -> None:
                advance(n_tokens * per_token)

        return encoder.encode(tokenized, parts, self.batch_tokens, progress), tokenized
