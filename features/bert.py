"""Contextual embeddings of texts, as a scikit-learn transformer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import BertVectorizerError
from ..models import DEFAULT_MODEL, Checkpoint, TextTokenizer, Truncation, resolve_output_spec
from ..models.checkpoint.output_spec import OutputSpec
from ..models.checkpoint.source import model_state
from ..models.checkpoint.text_tokens import Overflow
from ..models.encode_texts import TextEncoder, count_tokens, encode_texts, open_store
from ..models.network.devices import Precision, PrecisionChoice
from ..models.pooling.layers import LayerMerge
from ..models.resolved_encoder import ResolvedEncoder, note_encoder, resolved_encoder
from ..models.store.embedding_store import EmbeddingStore
from ..models.store.session_notes import has_notes
from ..validation import check_flag
from ..warning import warn_user
from .base import TextVectorizer
from .bert_common import FLAGS, BertBase, progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

__all__ = ["BertVectorizer"]


class BertVectorizer(BertBase[TextEncoder], TextVectorizer):
    """Turn texts into contextual embeddings of a transformer, at any layer, under any pooling.

    With the default parameters the result equals ``SentenceTransformer(model).encode``. Nothing is
    padded, a repeated text is encoded once, and layers above the deepest one requested are not
    computed.

    Parameters
    ----------
    model_name : str or Path, default="sentence-transformers/all-MiniLM-L6-v2"
        A directory, or a name on the Hugging Face hub. It is searched as a directory, in the
        Hugging Face cache, in an installed package (the default model, extra ``offline``) and on
        the hub, in this order. PEFT adapters need the extra ``peft``. The directory of an ELMo
        (extra ``elmo``) is read in words and in float32; see docs/elmo.md.
    layers : int, list of int or str, default=-1
        Layers to read: 0 is the output of the embeddings, -1 the last layer. Also ``"-1,-2,-3,-4"``
        and ``"all"``.
    layer_merge : {"concat", "sum", "mean"}, default="concat"
        How the token vectors of several layers are merged, before pooling. No weights are learned.
    pooling : str or tuple of str, default="auto"
        ``"cls"``, ``"mean"``, ``"max"``, ``"mean_sqrt_len_tokens"``, ``"weightedmean"`` or
        ``"lasttoken"``; the vectors of a tuple are concatenated. ``"auto"`` is the checkpoint's own
        pooling (of a plain Hugging Face checkpoint the mean, or the last token where its class is
        a ``ForCausalLM``), followed, if only the last layer is read, by the checkpoint's Dense and
        Normalize modules.
    normalize : "auto" or bool, default="auto"
        True scales each vector to unit length; False leaves out the checkpoint's own Normalize.
    truncate_dim : int or None, default=None
        Number of features to keep, the first ones, before ``normalize=True`` scales them. Fewer
        are nearly as good where the checkpoint was trained for it (Matryoshka). None keeps as many
        as the checkpoint says, with ``pooling="auto"`` and the last layer, else all.
    max_length : int or None, default=None
        Longest text in tokens, special tokens included. None takes the checkpoint's limit.
    overflow : {"truncate", "head_tail", "window"}, default="truncate"
        What happens to longer texts: they lose their end, they lose their middle, or they are read
        in overlapping windows, whose vectors are averaged by length. ``fit`` warns once of lost
        tokens and keeps the numbers in ``truncation_``; ``transform`` warns if ``fit`` did not.
    stride : int or None, default=None
        Tokens that neighbouring windows share. None takes a quarter of a window.
    prompt : str or None, default=None
        Text to put before every text, or the name of one of the checkpoint's prompts. None takes
        the checkpoint's default prompt.
    missing : {"empty", "error", "zero", "nan"}, default="empty"
        What a missing text (None, NaN, pd.NA, null of polars) becomes: the vector of "", an error
        that names the first rows, a row of zeros or a row of NaN.
    precision : {"float32", "bfloat16", "float16", "int8", "auto", "fast"}, default="float32"
        Number format. float32 is exact, and what ``"auto"`` takes. int8 (CPU only) is faster and
        less accurate. The 16-bit formats need a device with such arithmetic. ``"fast"`` takes the
        fastest format within 0.1 point of accuracy: bfloat16 (float16 on older GPUs) where the
        device has instructions for it, else float32; int8 costs more than that.
    device : str, torch.device or None, default=None
        Where the network runs. None picks CUDA, MPS or the CPU, in that order.
    batch_tokens : int or None, default=None
        Most tokens in a batch, halved when memory runs out. None fits the device.
    revision : str or None, default=None
        Branch, tag or commit on the hub.
    local_files_only : bool, default=False
        Whether to never open a connection.
    trust_remote_code : bool, default=False
        Whether code of the checkpoint may run. A model of the hub then needs a full commit as
        ``revision``.
    store : "auto", str, Path, EmbeddingStore or None, default="auto"
        Where vectors are kept, so that folds, candidates, clones and worker processes encode no
        text twice. ``"auto"`` is a store of this session in the temporary directory (8 GiB at
        most); a path is kept between runs; None keeps nothing.
    show_progress_bar : bool, default=False
        Whether to show a progress bar, in characters.

    Attributes
    ----------
    n_features_out_ : int
        Number of columns of the result.
    n_features_in_ : int
        Number of text columns that ``fit`` saw.
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
        Their names. Defined only if each of them has a str as its name.
    device_ : str
        Where the estimator was fitted. On a machine without this device, ``transform`` warns and
        uses another one.
    precision_ : {"float32", "bfloat16", "float16", "int8"}
        Number format that ``fit`` took. ``transform`` keeps it where ``precision`` is ``"auto"`` or
        ``"fast"``; on a machine without it, it warns and takes float32.
    model_fingerprint_ : str
        Digest of the weights, tokenizer and configuration. ``transform`` compares it, so that a
        fitted estimator never uses another model.
    truncation_ : Truncation
        Numbers of texts and tokens in the training set, and how many of them the model does not
        see.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule.
    InvalidTextError
        If X does not hold texts, or has missing texts and ``missing="error"``.
    ModelNotFoundError
        If the model is not found. The message lists the locations searched.
    ModelChangedError
        If the model is not the one that the estimator was fitted with.

    See Also
    --------
    BertWordVectorizer : A vector for each word of a document.
    BertSpanVectorizer : A vector for a word or phrase of each text.
    PairVectorizer : Features of pairs of texts.
    StaticVectorizer : Static word vectors, the baseline.
    EmbeddingStore : A store with settings of its own.

    Notes
    -----
    The network is never trained: ``fit`` resolves the model and counts tokens, and ``transform``
    works without it. Pickles hold no weights; a loaded estimator finds its model by name and checks
    its fingerprint. A store holds vectors and digests of texts, never a text.

    The default reads what the checkpoint gives, so that vectors equal those of
    sentence-transformers. As features of a classifier, those of ``layers=-2`` are often better, as
    on SST-2 with the default model: compare both, or search ``layers``.

    Several columns of a DataFrame give their vectors side by side; a text that stands in two of
    them is encoded once. Features are named by their column, as ``review_0``, or by the class where
    the column has no name.

    Texts are read as they are: the chat template of a language model is not put around them.

    Lone surrogates are read as U+FFFD. A text without tokens, such as "" for a GPT-2 tokenizer,
    gets a row of zeros.

    References
    ----------
    J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 5.3 and Table 7. Its
    six options:

    - embeddings: ``layers=0``
    - second-to-last hidden: ``layers=-2``
    - last hidden: ``layers=-1``
    - sum of the last four: ``layers="-1,-2,-3,-4", layer_merge="sum"``
    - concat of the last four: ``layers="-1,-2,-3,-4"``
    - sum of all layers: ``layers="all", layer_merge="sum"`` (embeddings included)

    N. Reimers, I. Gurevych, "Sentence-BERT", EMNLP 2019, section 3.

    A. Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022 (``truncate_dim``).

    Examples
    --------
    >>> from bertvectorizer import BertVectorizer
    >>> vectorizer = BertVectorizer()
    >>> X = vectorizer.fit_transform(["The bat hung from the beam.", "He swung the bat."])
    >>> X.shape, X.dtype
    ((2, 384), dtype('float32'))
    >>> vectorizer.get_feature_names_out()[:2].tolist()
    ['bertvectorizer0', 'bertvectorizer1']
    >>> import pandas as pd
    >>> df = pd.DataFrame({"title": ["Bats", "Bats"], "review": ["A good book.", "Too long."]})
    >>> vectorizer.fit_transform(df).shape
    (2, 768)
    >>> vectorizer.get_feature_names_out()[[0, -1]].tolist()
    ['title_0', 'review_383']
    """

    layer_merge: LayerMerge
    pooling: str | Sequence[str]
    normalize: Literal["auto"] | bool
    truncate_dim: int | None
    overflow: Overflow

    _reads_elmo = True
    _encoder_parameters = (
        *BertBase._encoder_parameters, "layer_merge", "pooling", "normalize", "truncate_dim",
        "overflow",
    )  # fmt: skip

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        layers: int | Sequence[int] | str = -1,
        layer_merge: Literal["concat", "sum", "mean"] = "concat",
        pooling: str | Sequence[str] = "auto",
        normalize: Literal["auto"] | bool = "auto",
        truncate_dim: int | None = None,
        max_length: int | None = None,
        overflow: Literal["truncate", "head_tail", "window"] = "truncate",
        stride: int | None = None,
        prompt: str | None = None,
        missing: Literal["empty", "error", "zero", "nan"] = "empty",
        precision: PrecisionChoice = "float32",
        device: str | torch.device | None = None,
        batch_tokens: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        store: str | Path | EmbeddingStore | None = "auto",
        show_progress_bar: bool = False,
    ) -> None:
        self._set_parameters(locals())

    def _n_features(self) -> int:
        resolved = self._resolved_encoder()
        output = resolved.output if resolved else self._output_spec(self._checkpoint())
        return output.n_features

    def _output_spec(self, checkpoint: Checkpoint) -> OutputSpec:
        return resolve_output_spec(
            checkpoint,
            layers=self.layers,
            layer_merge=self.layer_merge,
            pooling=self.pooling,
            normalize=self.normalize,
            truncate_dim=self.truncate_dim,
        )

    def _make_encoder(
        self, checkpoint: Checkpoint, device: torch.device, precision: Precision
    ) -> TextEncoder:
        from ..models.checkpoint.text_tokens import load_tokenizer

        tokenizer = TextTokenizer(
            checkpoint,
            load_tokenizer(checkpoint),
            prompt=self.prompt,
            max_length=self.max_length,
            overflow=self.overflow,
            stride=self.stride,
        )
        return TextEncoder(
            checkpoint,
            output=self._output_spec(checkpoint),
            tokenizer=tokenizer,
            device=device,
            precision=precision,
            batch_tokens=self._batch_size(device, checkpoint),
        )

    def _resolved_encoder(self, *, is_fitting: bool = False) -> ResolvedEncoder | None:
        """Return the encoder that another process of this session has resolved, if that helps.

        It does where PyTorch is not loaded yet, as in a new worker process: the store may have all
        texts. What is not as usual, such as another model than in ``fit``, is left to `_encoder`.
        """
        if "torch" in sys.modules or self.store is None:
            return None
        settings = self._note_settings(self.precision if is_fitting else self._precision_of_fit())
        if settings is None:
            return None
        resolved = resolved_encoder(settings, partial(self._encoder, is_fitting=is_fitting))
        if resolved is None or is_fitting:
            return resolved
        fitted = getattr(self, "model_fingerprint_", resolved.fingerprint)
        return resolved if fitted == resolved.fingerprint else None

    def _note(self, encoder: TextEncoder, precision: PrecisionChoice) -> None:
        if open_store(self.store) is None or not has_notes():
            return
        before = self._note_settings(precision)
        # The files are those of the encoder if they were the same before and after this.
        if (
            before is not None
            and self._checkpoint().fingerprint == encoder.fingerprint
            and self._note_settings(precision) == before
        ):
            for chosen in {precision, encoder.precision}:  # of ``fit``, and of the fitted estimator
                note_encoder([*before[:-1], chosen], encoder)

    def _note_settings(self, precision: PrecisionChoice) -> list[str] | None:
        """Return what an encoder is noted under; None if nothing is to be noted."""
        for name in FLAGS:
            check_flag(name, getattr(self, name))
        if self.trust_remote_code:
            return None
        try:
            state = model_state(self.model_name, self.revision)
        except BertVectorizerError:
            return None
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        parameters = repr([getattr(self, name) for name in self._encoder_parameters])
        return [kind, parameters, *state, precision]

    def _learn(self, texts: list[str], counts: NDArray[np.int64]) -> None:
        encoder = self._resolved_encoder(is_fitting=True) or self._encoder(is_fitting=True)
        store = open_store(self.store)  # raises if it is not one
        known = None if isinstance(encoder, TextEncoder) else store
        self._set_fitted(encoder, *count_tokens(encoder, texts, known), counts)

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
        encoder = self._resolved_encoder(is_fitting=True) or self._encoder(is_fitting=True)
        size = chunk_texts or max(len(texts), 1)
        chunks = []
        for start in range(0, max(len(texts), 1), size):
            chunks.append(self._encode(encoder, texts[start : start + size]))
            report(int(counts[: start + size].sum()))
        vectors, n_tokens, n_lost = (
            parts[0] if len(parts) == 1 else np.concatenate(parts)
            for parts in zip(*chunks, strict=True)
        )
        self._set_fitted(encoder, n_tokens, n_lost, counts)
        return vectors

    def _set_fitted(
        self,
        encoder: TextEncoder | ResolvedEncoder,
        n_tokens: NDArray[np.int64],
        n_lost: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> None:
        self.model_fingerprint_ = encoder.fingerprint
        self.device_ = str(encoder.device)
        self.precision_ = encoder.precision
        self.truncation_ = Truncation.of(np.repeat(n_tokens, counts), np.repeat(n_lost, counts))
        self._warn_of_lost_tokens(self.truncation_)

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        resolved = None if "torch" in sys.modules else self._resolved_encoder()
        vectors, n_tokens, n_lost = self._encode(resolved or self._encoder(), texts)
        if n_lost.any():
            fitted = getattr(self, "truncation_", None)
            if fitted is None or not fitted.n_truncated:
                self._warn_of_lost_tokens(Truncation.of(n_tokens, n_lost))
        return vectors

    def _encode(
        self, encoder: TextEncoder | ResolvedEncoder, texts: list[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        # In characters: texts that the store has are never tokenized.
        with progress_bar(self, sum(map(len, texts)), "characters") as advance:
            return encode_texts(encoder, texts, open_store(self.store), advance)

    def _warn_of_lost_tokens(self, truncation: Truncation) -> None:
        if self.overflow == "truncate" and truncation.n_truncated:
            warn_user(
                f"{truncation.n_truncated} of {truncation.n_texts} texts are longer than the model"
                f" reads and lose their end, {truncation.share_lost:.1%} of all tokens."
                " overflow='head_tail' or 'window' keeps more; overflow='truncate' with a larger"
                " max_length, where the model allows it, too."
            )

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickles and saved pipelines of before lack this parameter.
        super().__setstate__({"truncate_dim": None, **state})
