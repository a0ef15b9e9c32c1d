"""Contextual embeddings of single words: one vector for each word of each document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import InvalidParameterError
from ..models import DEFAULT_MODEL
from ..models.encode_spans import Passage
from ..models.ragged import chunks
from ..models.store.embedding_store import EmbeddingStore
from ..validation import short_repr
from .bert_common import Precision
from .bert_span_base import ContextualVectorizer, Opened, is_several, list_targets, read_targets
from .inputs.documents import Documents, read_documents
from .inputs.frames import iter_slices, read_frame

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["BertWordVectorizer"]

_DOCUMENTS_AT_ONCE = 1024
_BYTES_AT_ONCE = 64 << 20
_NUMBER_BYTES = 4
_COUNT = "Give one for each of the words that words(X) returns, blank ones among them"


class BertWordVectorizer(ContextualVectorizer, auto_wrap_output_keys=None):  # type: ignore[call-arg]  # rows are words, X has documents
    r"""Turn documents into one contextual vector for each of their words.

    The same word has another vector in another context. Every word has a row, whatever becomes of
    it: one that vanishes when the tokenizer normalises it gets zeros, and one beyond the length
    that the model reads is read in a further window.

    Parameters
    ----------
    model_name : str or Path
        A directory, or a name on the Hugging Face hub; looked for as by `BertVectorizer`.
    layers : int, list of int, or str
        Layers to read: 0 is the output of the embeddings, -1 the last layer. Also ``"-1,-2,-3,-4"``
        and ``"all"``.
    layer_merge : {"concat", "sum", "mean", "weighted"}
        How the layers' vectors become one. ``"weighted"`` is ELMo's scalar mix: softmax weights and
        a scale, learnt in ``fit`` from y, for which they serve a linear model best.
    subtoken_pooling : {"first", "last", "first_last", "mean"}
        How the vectors of a word's tokens become one; ``"first_last"`` puts both side by side.
    tokenizer : str, callable or None
        For documents that are texts: a pattern whose matches are the words, such as
        ``r"\w+|[^\w\s]"``, or a callable that returns the words of a text as they stand there. None
        takes documents that are lists of words only.
    max_length : int or None
        Longest sequence in tokens, special tokens included; None takes the checkpoint's limit. A
        longer document is read in windows.
    stride : int or None
        Tokens that neighbouring windows share; None takes a quarter of a window. Each word is taken
        from the window in which it has most context.
    prompt : str or None
        Text put before every document, or the name of one of the checkpoint's prompts; None takes
        its default prompt.
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
        Where vectors are kept, as for `BertVectorizer`: a document is encoded once for the layers
        that are asked for first, once more when others are asked for, and then never again.
    show_progress_bar : bool
        Show a bar, in words.
    random_state : int
        Seed of the sample of documents from which ``"weighted"`` learns where there are many: it
        reads at most 256 MiB of states, which are about 25,000 words for all layers of the default
        model.

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
    A document that is a list of words is read as these words with single spaces between them. Which tokens a word consists of is told by
    the tokenizer, by the characters at which each token stands.

    The network is never trained: but for ``"weighted"``, ``transform`` works without ``fit``.

    The rows of the result are words, and no index of documents fits them: there is no
    ``set_output``, and ``transform`` always returns an array.

    References
    ----------
    J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT", NAACL 2019, section 5.3 and Table 7.

    M. Peters et al., "Deep Contextualized Word Representations", NAACL 2018, section 3.2, equation
    1 (``"weighted"``).

    Examples
    --------
    >>> from bertvectorizer import BertWordVectorizer
    >>> vectorizer = BertWordVectorizer(layers="-1,-2,-3,-4")
    >>> documents = [["The", "bat", "flew", "."], [], ["He", "swung", "the", "bat", "."]]
    >>> vectors = vectorizer.fit_transform(documents)
    >>> vectors.shape
    (9, 1536)
    >>> [len(of_document) for of_document in vectorizer.iter_transform(documents)]
    [4, 0, 5]
    >>> BertWordVectorizer(tokenizer=r"\w+|[^\w\s]").words(["A bat's wing."])
    [['A', 'bat', "'", 's', 'wing', '.']]
    """

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        layers: int | Sequence[int] | str = -1,
        layer_merge: str = "concat",
        subtoken_pooling: str = "mean",
        tokenizer: str | Callable[[str], Iterable[str]] | None = None,
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
        X : list, tuple, ndarray, pandas or polars Series
            The documents: lists of words, or texts if there is a ``tokenizer``. *Length:*
            ``n_documents``.
        y : sequence, or None
            What is to be told of each word, nested as X is, or flat: classes, such as tags, or
            amounts if they are floats. Only ``"weighted"`` reads it.

        Returns
        -------
        self
        """
        self._check_parameters()
        documents = read_documents(X, self.tokenizer)
        targets = (
            _flat_targets(y, documents)
            if self.layer_merge == "weighted" and y is not None
            else None
        )
        self._learn(_passages(documents), targets)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of all words.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series
            The documents: lists of words, or texts if there is a ``tokenizer``. *Length:*
            ``n_documents``.

        Returns
        -------
        ndarray
            A row for each word, document after document. *Shape:* ``(n_words, n_features)``,
            float32.
        """
        self._check_parameters()
        return self._vectors(_passages(read_documents(X, self.tokenizer)), self._open())

    def iter_transform(self, X: Iterable[Any]) -> Iterator[NDArray[np.float32]]:
        """Return an iterator over the vectors of each document; memory stays the same however many
        there are, and however long.

        What is wrong with the parameters is said at once, before the first document is read. With
        the default ``store``, vectors are also kept in the temporary directory, up to 8 GiB of
        them; ``store=None`` keeps nothing.

        Parameters
        ----------
        X : iterable
            The documents, which may come from a generator: they are read a thousand at a time.

        Returns
        -------
        iterator of ndarray
            *Shape of each:* ``(n_words_of_the_document, n_features)``, float32.

        Raises
        ------
        InvalidTextError
            If X is no collection of documents; or, when its turn comes, if a document or word is
            none. The message names the first.
        """
        self._check_parameters()
        if (
            isinstance(X, (str, bytes, Mapping, set, frozenset))
            or not isinstance(X, Iterable)
            or getattr(X, "ndim", 1) == 0
        ):
            read_documents(X, self.tokenizer)  # says what is wrong
        read_documents(() if read_frame(X) is None else X[:0], self.tokenizer)  # type: ignore[index]
        return self._by_document(X, self.tokenizer, self._open())

    def _by_document(
        self, X: Any, tokenizer: str | Callable[[str], Iterable[str]] | None, opened: Opened
    ) -> Iterator[NDArray[np.float32]]:
        first = 0
        for portion in _portions(X):
            read = read_documents(portion, tokenizer, first=first)
            first += len(read)
            passages = _passages(read)
            for start, end in chunks(
                read.offsets, max(_BYTES_AT_ONCE // (opened.n_features * _NUMBER_BYTES), 1)
            ):
                vectors = self._vectors(passages[start:end], opened)
                of_documents = read.offsets[start : end + 1] - read.offsets[start]
                yield from (vectors[begin:stop] for begin, stop in pairwise(of_documents.tolist()))

    def words(self, X: Any) -> list[list[str]]:
        """Return the words of each document, whose vectors are the rows of ``transform``.

        Parameters
        ----------
        X : list, tuple, ndarray, pandas or polars Series
            The documents.

        Returns
        -------
        list of list of str
        """
        return read_documents(X, self.tokenizer).nested

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def _portions(X: Any) -> Iterator[Any]:
    """Cut documents into portions, those of a data frame or series with their index."""
    if (slices := iter_slices(X, _DOCUMENTS_AT_ONCE)) is not None:
        yield from slices
    else:
        documents = iter(X)
        while portion := list(islice(documents, _DOCUMENTS_AT_ONCE)):
            yield portion


def _passages(documents: Documents) -> list[Passage]:
    return [
        Passage(text, documents.spans[start:end])
        for text, (start, end) in zip(
            documents.texts, pairwise(documents.offsets.tolist()), strict=True
        )
    ]


def _flat_targets(y: Any, documents: Documents) -> NDArray[Any]:
    """Return one target for each word, whether y is nested or flat."""
    rows = list_targets(y)
    lengths = np.diff(documents.offsets).tolist()
    n_words = len(documents.spans)
    if not any(map(is_several, rows)):
        if len(rows) != n_words:
            raise InvalidParameterError(
                f"y must have one target for each of {n_words} words. Got {len(rows)} instead."
                f" {_COUNT}."
            )
        return read_targets(rows)
    for number, row in enumerate(rows):
        if not is_several(row):
            raise InvalidParameterError(
                "y must have a list of targets for each document, or one target for each word. Got"
                f" {type(row).__name__} {short_repr(row)} as document {number}, beside lists. Put"
                " its targets in a list."
            )
    by_document = [list(row) for row in rows]
    for number, (row, length) in enumerate(zip(by_document, lengths, strict=False)):
        if len(row) != length:
            raise InvalidParameterError(
                f"y must have one target for each word. Document {number} has {length} words and"
                f" {len(row)} targets. {_COUNT}."
            )
    if len(rows) != len(lengths):
        raise InvalidParameterError(
            f"y must have one list of targets for each of {len(lengths)} documents. Got {len(rows)}"
            f" instead. {_COUNT}."
        )

    def name(target: int) -> str:
        document = int(np.searchsorted(documents.offsets, target, side="right")) - 1
        return (
            f"the target of word {target - int(documents.offsets[document])} of document {document}"
        )

    return read_targets([target for row in by_document for target in row], name)
