"""Contextual embeddings of spans: a word or phrase of each text, as it is meant there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import InvalidParameterError
from ..models import DEFAULT_MODEL
from ..models.encode_spans import Passage
from ..models.store.embedding_store import EmbeddingStore
from .bert_common import Precision
from .bert_span_base import ContextualVectorizer, list_targets, read_targets
from .inputs.spans import SpanTable, read_spans

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

__all__ = ["BertSpanVectorizer"]


class BertSpanVectorizer(ContextualVectorizer):
    """Turn spans of texts into contextual vectors: of a word whose sense is asked for, an aspect,
    an entity.

    Parameters
    ----------
    model_name : str or Path
        A directory, or a name on the Hugging Face hub; looked for as by `BertVectorizer`.
    text : str
        Name of the column that holds the text.
    start, end : str or None
        Names of the columns that hold the first character of the span, and the one after its last.
        ``start=None, end=None`` reads the column ``word`` even where there are bounds.
    word : str or None
        Name of the column that holds the span itself, which is the word's first occurrence in the
        text, as a whole word if there is one, whatever the case. It is read where there are no
        columns ``start`` and ``end``; under another name than ``"word"``, always.
    missing : {"error", "zero", "nan"}
        What becomes of a row whose text, bounds or word are missing, or whose word is not in the
        text: an error that names the first such rows, zeros or NaN.
    layers : int, list of int, or str
        Layers to read: 0 is the output of the embeddings, -1 the last layer. Also ``"-1,-2,-3,-4"``
        and ``"all"``.
    layer_merge : {"concat", "sum", "mean", "weighted"}
        How the layers' vectors become one. ``"weighted"`` is ELMo's scalar mix: softmax weights and
        a scale, learnt in ``fit`` from y, for which they serve a linear model best.
    subtoken_pooling : {"first", "last", "first_last", "mean"}
        How the vectors of a span's tokens become one; ``"first_last"`` puts both side by side.
    max_length : int or None
        Longest sequence in tokens, special tokens included; None takes the checkpoint's limit. A
        longer text is read in windows, of which only those are encoded that a span needs.
    stride : int or None
        Tokens that neighbouring windows share; None takes three quarters of a window, which leaves
        every span at least three eighths of a window, less half of the span, on either side. Each
        span is taken from the window in which it has most context.
    prompt : str or None
        Text put before every text, or the name of one of the checkpoint's prompts; None takes its
        default prompt.
    precision : {"float32", "int8", "bfloat16", "float16"}
        float32 is exact. int8 (CPU) is faster again at a small cost in accuracy.
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
        Where vectors are kept, as for `BertVectorizer`: a span is encoded once for the layers that
        are asked for first, once more when others are asked for, and then never again.
    show_progress_bar : bool
        Show a bar, in spans.
    random_state : int
        Seed of the sample of rows from which ``"weighted"`` learns where there are many: it reads
        at most 256 MiB of states, which are about 25,000 spans for all layers of the default model.

    Attributes
    ----------
    n_features_out_ : int
        Width of the result.
    layers_ : tuple of int
        The layers that ``fit`` found in ``layers``, counted from the embeddings.
    layer_weights_ : ndarray or None
        With ``"weighted"``, the weight of each of ``layers_``; they are positive and 1 together.
        *Shape:* ``(n_layers,)``, float32.
    layer_scale_ : float or None
        With ``"weighted"``, by what the weighted sum is multiplied.
    device_ : str
        Where it was fitted. On a machine that lacks the device, ``transform`` goes on without it
        and says so.
    model_fingerprint_ : str
        Digest of the content of weights, tokenizer and configuration; ``transform`` compares it.

    Raises
    ------
    ModelNotFoundError, ModelChangedError, InvalidTextError, InvalidParameterError
        See :mod:`bertvectorizer.errors` for the whole tree.

    Notes
    -----
    Every token with a character of the span belongs to it, as the tokenizer itself tells where its tokens stand. A span of which the
    tokenizer leaves nothing gets zeros. Several rows may have the same text: it is then encoded once.

    References
    ----------
    J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 5.3.

    M. Peters et al., "Deep Contextualized Word Representations", NAACL 2018, section 3.2, equation
    1 (``"weighted"``).

    Examples
    --------
    >>> import pandas as pd
    >>> from bertvectorizer import BertSpanVectorizer
    >>> df = pd.DataFrame({"text": ["The bat squeaked.", "She oiled the bat."], "start": [4, 14], "end": [7, 17]})
    >>> BertSpanVectorizer(layers=-2).fit_transform(df).shape
    (2, 384)
    >>> BertSpanVectorizer().fit_transform(df[["text"]].assign(word="bat")).shape
    (2, 384)
    """

    _overlap = 0.75
    _unit = "spans"

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        text: str = "text",
        start: str | None = "start",
        end: str | None = "end",
        word: str | None = "word",
        missing: str = "error",
        layers: int | Sequence[int] | str = -1,
        layer_merge: str = "concat",
        subtoken_pooling: str = "mean",
        max_length: int | None = None,
        stride: int | None = None,
        prompt: str | None = None,
        precision: Precision = "float32",
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
        X : pandas or polars DataFrame
            With the columns that the parameters name; others are left alone. *Length:* ``n_rows``.
        y : sequence, or None
            What is to be told of each row: classes, or amounts if they are floats. Only
            ``"weighted"`` reads it.

        Returns
        -------
        self
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
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of spans.

        Parameters
        ----------
        X : pandas or polars DataFrame
            With the columns that the parameters name; others are left alone. *Length:* ``n_rows``.

        Returns
        -------
        ndarray
            *Shape:* ``(n_rows, n_features)``, float32.
        """
        table = self._table(X)
        vectors = self._vectors(_passages(table), self._open())
        if self.missing == "nan":
            vectors[table.is_missing] = np.nan
        return vectors

    def _table(self, X: Any) -> SpanTable:
        self._check_parameters()
        return read_spans(X, self.text, self.start, self.end, self.word, self.missing)


def _passages(table: SpanTable) -> list[Passage]:
    return [Passage(text, table.spans[row : row + 1]) for row, text in enumerate(table.texts)]
