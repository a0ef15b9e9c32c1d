"""Contextual embeddings of spans of texts, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ..errors import InvalidParameterError
from ..models import DEFAULT_MODEL
from ..models.encode_spans import Passage
from ..models.network.devices import PrecisionChoice
from ..models.store.embedding_store import EmbeddingStore
from .bert_span_base import BertSpanBase, list_targets, read_targets
from .inputs.spans import SpanTable, read_spans

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

__all__ = ["BertSpanVectorizer"]


class BertSpanVectorizer(BertSpanBase):
    """Turn spans of texts into contextual vectors: an ambiguous word, an aspect, an entity.

    Parameters
    ----------
    model_name : str or Path, default="sentence-transformers/all-MiniLM-L6-v2"
        A directory, or a name on the Hugging Face hub, searched as in `BertVectorizer`. Of
        an ELMo, tokens are words.
    text : str, default="text"
        Name of the column of texts.
    start : str or None, default="start"
        Name of the column with the first character of each span. With ``start=None, end=None``, the
        column ``word`` is read even if there are bounds.
    end : str or None, default="end"
        Name of the column with the character after the last of each span.
    word : str or None, default="word"
        Name of the column with the span itself: its first occurrence in the text, as a separate
        word if there is one, ignoring case. It is read if the columns ``start`` and ``end`` do not
        exist, and always if its name is not ``"word"``.
    missing : {"error", "zero", "nan"}, default="error"
        What a row becomes whose text, bounds or word are missing, or whose word is not in the text:
        an error that names the first such rows, zeros or NaN.
    layers : int, list of int or str, default="auto"
        Layers to read: 0 is the output of the embeddings, -1 the last layer. Also ``"-1,-2,-3,-4"``
        and ``"all"``. ``"auto"`` reads all but the embeddings, ``"all"`` these too.
    layer_merge : {"auto", "concat", "sum", "mean", "weighted"}, default="auto"
        How the vectors of several layers are merged, before pooling. ``"auto"`` takes the mean with
        ``layers="auto"``, else concatenates. ``"weighted"`` is ELMo's scalar mix: softmax weights
        and a scale that ``fit`` learns from y, with a linear model.
    subtoken_pooling : {"first", "last", "first_last", "mean"}, default="mean"
        How the token vectors of a span are pooled. ``"first_last"`` concatenates both.
    max_length : int or None, default=None
        Longest sequence in tokens, special tokens included. None takes the checkpoint's limit. A
        longer text is read in windows, and only windows with a span are encoded.
    stride : int or None, default=None
        Tokens that neighbouring windows share. None takes three quarters of a window, which leaves
        every span at least three eighths of a window, less half of the span, on either side. A span
        is read in the window in which it has most context.
    prompt : str or None, default=None
        Text to put before every text, or the name of one of the checkpoint's prompts. None takes
        the checkpoint's default prompt.
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
        Where vectors are kept, as in `BertVectorizer`. A span is encoded for the layers requested
        first, a second time for all layers when others are requested, and never again.
    show_progress_bar : bool, default=False
        Whether to show a progress bar, in spans.
    random_state : int, default=0
        Seed of the sample of rows from which ``"weighted"`` learns. The sample has at most
        256 MiB of hidden states, about 25,000 spans for all layers of the default model.

    Attributes
    ----------
    n_features_out_ : int
        Number of columns of the result.
    span_columns_ : list of str
        Names of the columns that ``fit`` read: text and word, or text, start and end. They name
        the features.
    layers_ : tuple of int
        Numbers of the layers read; 0 is the output of the embeddings.
    layer_weights_ : ndarray of shape (n_layers,), float32, or None
        With ``"weighted"``, the weight of each of ``layers_``. They are positive and add up to 1.
    layer_scale_ : float or None
        With ``"weighted"``, the factor of the weighted sum.
    device_ : str
        Where the estimator was fitted. On a machine without this device, ``transform`` warns and
        uses another one.
    precision_ : {"float32", "bfloat16", "float16", "int8"}
        Number format that ``fit`` took. ``transform`` keeps it where ``precision`` is ``"auto"`` or
        ``"fast"``; on a machine without it, it warns and takes float32.
    model_fingerprint_ : str
        Digest of the weights, tokenizer and configuration. ``transform`` compares it, so that a
        fitted estimator never uses another model.

    Raises
    ------
    InvalidParameterError
        If a parameter breaks its rule, or ``layer_merge="weighted"`` and y is missing or has not
        one target for each span.
    InvalidTextError
        If X is not a table with these columns, or a row is missing and ``missing="error"``.
    ModelNotFoundError
        If the model is not found. The message lists the locations searched.
    ModelChangedError
        If the model is not the one that the estimator was fitted with.
    NotFittedError
        If ``layer_merge="weighted"`` and ``transform`` is called before ``fit``.

    See Also
    --------
    BertVectorizer : A vector for each text.
    BertWordVectorizer : A vector for each word of a document.

    Notes
    -----
    The tokens of a span are those that have a character of it, by the tokenizer's own offsets. A
    span without tokens gets zeros. A text that several rows share is encoded once.

    The default reads the mean of all layers above the embeddings, which beat the last layer on
    every task of words that we tried. For senses a middle layer or ``layers="-1,-2,-3,-4"`` may be
    better.

    References
    ----------
    J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 5.3.

    M. Peters et al., "Deep Contextualized Word Representations", NAACL 2018, section 3.2, equation
    1 (``"weighted"``).

    Examples
    --------
    >>> import pandas as pd
    >>> from bertvectorizer import BertSpanVectorizer
    >>> texts = ["The bat squeaked.", "She oiled the bat."]
    >>> df = pd.DataFrame({"text": texts, "start": [4, 14], "end": [7, 17]})
    >>> BertSpanVectorizer(layers=-2).fit_transform(df).shape
    (2, 384)
    >>> BertSpanVectorizer().fit_transform(df[["text"]].assign(word="bat")).shape
    (2, 384)
    """

    _overlap = 0.75
    _unit, _owner = "spans", "row"

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        text: str = "text",
        start: str | None = "start",
        end: str | None = "end",
        word: str | None = "word",
        missing: Literal["error", "zero", "nan"] = "error",
        layers: int | Sequence[int] | str = "auto",
        layer_merge: Literal["auto", "concat", "sum", "mean", "weighted"] = "auto",
        subtoken_pooling: Literal["first", "last", "first_last", "mean"] = "mean",
        max_length: int | None = None,
        stride: int | None = None,
        prompt: str | None = None,
        precision: PrecisionChoice = "float32",
        device: str | torch.device | None = None,
        batch_tokens: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        store: str | Path | EmbeddingStore | None = "auto",
        show_progress_bar: bool = False,
        random_state: int = 0,
    ) -> None:
        self._set_parameters(locals())

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the model; with ``layer_merge="weighted"``, learn the weights of the layers.

        Parameters
        ----------
        X : pandas or polars DataFrame of shape (n_rows, n_columns)
            Has the columns that the parameters name; other columns are ignored.
        y : list, tuple, ndarray or Series of shape (n_rows,), default=None
            The target of each row: regression targets if they are floats, else classes, such as
            senses. Used by ``layer_merge="weighted"`` only.

        Returns
        -------
        self : object
            The fitted vectorizer.

        Raises
        ------
        InvalidTextError
            If X is no table of spans.
        InvalidParameterError
            If a parameter breaks its rule, or a target is missing.
        """
        table = self._table(X)
        targets = None
        if self.layer_merge == "weighted" and y is not None:
            targets = read_targets(list_targets(y), "row {}".format)
            if len(targets) != len(table.texts):
                raise InvalidParameterError(
                    f"y must have one target for each of {len(table.texts)} rows. Got"
                    f" {len(targets)} instead. Give y the rows of X, in their order."
                )
        self._learn(_passages(table), targets)
        self.span_columns_ = list(table.columns)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of spans.

        Parameters
        ----------
        X : pandas or polars DataFrame of shape (n_rows, n_columns)
            Has the columns that the parameters name; other columns are ignored.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_features), float32
            A row for each span.
        """
        table = self._table(X)
        vectors = self._vectors(_passages(table), self._open())
        if self.missing == "nan":
            vectors[table.is_missing] = np.nan
        return vectors

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : sequence of str or None, default=None
            Ignored: the names come from the columns that ``fit`` read.

        Returns
        -------
        names : ndarray of shape (n_features,), dtype object
            The names of the columns that tell the span and a number from 0, joined by underscores:
            ``text_word_0``, or ``text_start_end_0``. Before ``fit``, the class name in lower case
            and a number.
        """
        return self._name_features(self._span_column())

    def _table(self, X: Any) -> SpanTable:
        self._check_parameters()
        return read_spans(
            X, text=self.text, start=self.start, end=self.end, word=self.word, missing=self.missing
        )


def _passages(table: SpanTable) -> list[Passage]:
    return [Passage(text, table.spans[row : row + 1]) for row, text in enumerate(table.texts)]
