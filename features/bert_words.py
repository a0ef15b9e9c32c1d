"""Contextual embeddings of words, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ..errors import InvalidParameterError
from ..models import DEFAULT_MODEL
from ..models.encode_spans import BYTES_PER_NUMBER, Passage
from ..models.network.devices import PrecisionChoice, return_freed_memory
from ..models.ragged import chunks
from ..models.store.embedding_store import EmbeddingStore
from ..validation import short_repr
from .bert_span_base import BertSpanBase, SpanReader, is_container, list_targets, read_targets
from .inputs.documents import Documents, read_documents
from .inputs.frames import iter_slices, read_frame

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray
    from sklearn.utils import Tags

__all__ = ["BertWordVectorizer"]

_DOCUMENTS_PER_CHUNK = 1024
_BYTES_PER_CHUNK = 32 << 20  # of vectors; the peak holds them several times

_REMEDY = "Give one for each of the words that words(X) returns, blank ones included"


class BertWordVectorizer(BertSpanBase, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    r"""Turn documents into one contextual vector for each of their words.

    The same word has another vector in another context. Every word has a row: a word that the
    tokenizer normalises to nothing gets zeros, and a word beyond the model's length limit is read
    in a further window.

    Parameters
    ----------
    model_name : str or Path, default="sentence-transformers/all-MiniLM-L6-v2"
        A directory, or a name on the Hugging Face hub, searched as in `BertVectorizer`. Of
        an ELMo, tokens are words.
    layers : int, list of int or str, default="auto"
        Layers to read: 0 is the output of the embeddings, -1 the last layer. Also ``"-1,-2,-3,-4"``
        and ``"all"``. ``"auto"`` reads all but the embeddings, ``"all"`` these too.
    layer_merge : {"auto", "concat", "sum", "mean", "weighted"}, default="auto"
        How the vectors of several layers are merged, before pooling. ``"auto"`` takes the mean with
        ``layers="auto"``, else concatenates. ``"weighted"`` is ELMo's scalar mix: softmax weights
        and a scale that ``fit`` learns from y, with a linear model.
    subtoken_pooling : {"first", "last", "first_last", "mean"}, default="mean"
        How the token vectors of a word are pooled. ``"first_last"`` concatenates both.
    tokenizer : str, callable or None, default=None
        How to find the words of a text: a pattern that matches words, such as
        ``r"\w+|[^\w\s]"``, or a callable that returns the words of a text, unchanged and in
        order. None accepts lists of words only.
    max_length : int or None, default=None
        Longest sequence in tokens, special tokens included. None takes the checkpoint's limit. A
        longer document is read in windows.
    stride : int or None, default=None
        Tokens that neighbouring windows share. None takes a quarter of a window. A word is read in
        the window in which it has most context.
    prompt : str or None, default=None
        Text to put before every document, or the name of a prompt of the checkpoint. None takes
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
        Where vectors are kept, as in `BertVectorizer`. A document is encoded for the requested
        layers first, a second time for all layers when others are requested, and never again.
    show_progress_bar : bool, default=False
        Whether to show a progress bar, in words.
    random_state : int, default=0
        Seed of the sample of documents from which ``"weighted"`` learns. The sample has at most
        256 MiB of hidden states, about 25,000 words for all layers of the default model.

    Attributes
    ----------
    n_features_out_ : int
        Number of columns of the result.
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
        one target for each word.
    InvalidTextError
        If X does not hold documents, or a word is missing or not a str.
    ModelNotFoundError
        If the model is not found. The message lists the locations searched.
    ModelChangedError
        If the model is not the one that the estimator was fitted with.
    NotFittedError
        If ``layer_merge="weighted"`` and ``transform`` is called before ``fit``.

    See Also
    --------
    BertVectorizer : A vector for each text.
    BertSpanVectorizer : A vector for a word or phrase of each text.
    SequenceLabeler : A tagger over vectors of words.

    Notes
    -----
    A list of words is read as these words with single spaces between them. The tokens of a word are
    those that have a character of it, by the tokenizer's own offsets.

    The default reads the mean of all layers above the embeddings, which beat the last layer on
    every task of words that we tried. Which layers are best depends on the task: lower ones for
    parts of speech, middle ones or ``layers="-1,-2,-3,-4"`` for senses and entities.

    A store keeps the states of all layers read: with the default model 9 kB for each token, and 1.5
    kB with a single layer.

    The network is never trained. Without ``"weighted"``, ``transform`` works without ``fit``.

    The rows of the result are words, so an index of documents does not fit them: there is no
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
    >>> [len(vectors) for vectors in vectorizer.iter_transform(documents)]
    [4, 0, 5]
    >>> BertWordVectorizer(tokenizer=r"\w+|[^\w\s]").words(["A bat's wing."])
    [['A', 'bat', "'", 's', 'wing', '.']]
    """

    _keeps_words = True

    def __init__(
        self,
        model_name: str | Path = DEFAULT_MODEL,
        *,
        layers: int | Sequence[int] | str = "auto",
        layer_merge: Literal["auto", "concat", "sum", "mean", "weighted"] = "auto",
        subtoken_pooling: Literal["first", "last", "first_last", "mean"] = "mean",
        tokenizer: str | Callable[[str], Iterable[str]] | None = None,
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
        X : list, tuple, ndarray, Series or one-column DataFrame of shape (n_documents,)
            The documents: lists of words, or texts if there is a ``tokenizer``.
        y : list, tuple, ndarray or Series of shape (n_words,) or nested as X, default=None
            The target of each word: regression targets if they are floats, else classes, such as
            tags. Used by ``layer_merge="weighted"`` only.

        Returns
        -------
        self : object
            The fitted vectorizer.

        Raises
        ------
        InvalidTextError
            If X does not hold documents.
        InvalidParameterError
            If a parameter breaks its rule, or a target is missing.
        """
        self._check_parameters()
        documents = read_documents(X, self.tokenizer)
        targets = None
        if self.layer_merge == "weighted" and y is not None:
            targets = _flat_targets(y, documents)
        self._learn(_passages(documents), targets)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of all words.

        Parameters
        ----------
        X : list, tuple, ndarray, Series or one-column DataFrame of shape (n_documents,)
            The documents: lists of words, or texts if there is a ``tokenizer``.

        Returns
        -------
        vectors : ndarray of shape (n_words, n_features), float32
            A row for each word, document after document.
        """
        self._check_parameters()
        return self._vectors(_passages(read_documents(X, self.tokenizer)), self._open())

    def iter_transform(self, X: Iterable[Any]) -> Iterator[NDArray[np.float32]]:
        """Return an iterator over the vectors of each document, in constant memory.

        Parameters are checked at once, before the first document is read. The default ``store``
        also keeps vectors in the temporary directory, up to 8 GiB of them; ``store=None`` keeps
        nothing.

        Parameters
        ----------
        X : iterable of shape (n_documents,)
            The documents, possibly from a generator. A thousand are read at a time.

        Yields
        ------
        vectors : ndarray of shape (n_words_of_document, n_features), float32
            A row for each word of the document.

        Raises
        ------
        InvalidTextError
            If X is no collection of documents; during iteration, if a document or word is invalid.
            The message names the first.
        """
        self._check_parameters()
        if isinstance(X, (Mapping, set, frozenset)) or not is_container(X):
            read_documents(X, self.tokenizer)  # raises
        read_documents(() if read_frame(X) is None else X[:0], self.tokenizer)  # type: ignore[index]
        return self._iter_vectors(X, self.tokenizer, self._open())

    def _iter_vectors(
        self, X: Any, tokenizer: str | Callable[[str], Iterable[str]] | None, reader: SpanReader
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors of each document; parameters set later do not change them."""
        max_words = max(_BYTES_PER_CHUNK // (reader.n_features * BYTES_PER_NUMBER), 1)
        first = 0
        for chunk in _document_chunks(X):
            documents = read_documents(chunk, tokenizer, first=first)
            first += len(documents)
            passages, offsets = _passages(documents), documents.offsets
            for start, end in chunks(offsets, max_words):
                vectors = self._vectors(passages[start:end], reader)
                rows = offsets[start : end + 1] - offsets[start]
                yield from (vectors[begin:stop] for begin, stop in pairwise(rows.tolist()))
                is_large = vectors.nbytes > _BYTES_PER_CHUNK // 4
                del vectors  # before those of the next documents take as much
                if is_large:
                    return_freed_memory()

    def words(self, X: Any) -> list[list[str]]:
        """Return the words of each document, whose vectors are the rows of ``transform``.

        Parameters
        ----------
        X : list, tuple, ndarray, Series or one-column DataFrame of shape (n_documents,)
            The documents: lists of words, or texts if there is a ``tokenizer``.

        Returns
        -------
        words : list of list of str
            Without white space around them; a blank word is "".
        """
        return read_documents(X, self.tokenizer).nested

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def _document_chunks(X: Any) -> Iterator[Any]:
    """Yield a thousand documents at a time; slices of a frame or series keep their index."""
    if (slices := iter_slices(X, _DOCUMENTS_PER_CHUNK)) is not None:
        yield from slices
    else:
        documents = iter(X)
        while chunk := list(islice(documents, _DOCUMENTS_PER_CHUNK)):
            yield chunk


def _passages(documents: Documents) -> list[Passage]:
    bounds = pairwise(documents.offsets.tolist())
    return [
        Passage(text, documents.spans[start:end])
        for text, (start, end) in zip(documents.texts, bounds, strict=True)
    ]


def _flat_targets(y: Any, documents: Documents) -> NDArray[Any]:
    """Return one target for each word, from nested or flat targets."""
    rows = list_targets(y)
    n_words = len(documents.spans)
    lengths = np.diff(documents.offsets).tolist()
    if not any(map(is_container, rows)):
        if len(rows) != n_words:
            raise InvalidParameterError(
                f"y must have one target for each of {n_words} words. Got {len(rows)} instead."
                f" {_REMEDY}."
            )
        return read_targets(rows)
    for index, row in enumerate(rows):
        if not is_container(row):
            raise InvalidParameterError(
                "y must have a list of targets for each document, or one target for each word. Got"
                f" {type(row).__name__} {short_repr(row)} as document {index}, beside lists. Put"
                " its targets in a list."
            )
    nested = [list(row) for row in rows]
    for index, (row, length) in enumerate(zip(nested, lengths, strict=False)):
        if len(row) != length:
            raise InvalidParameterError(
                f"y must have one target for each word. Document {index} has {length} words and"
                f" {len(row)} targets. {_REMEDY}."
            )
    if len(rows) != len(lengths):
        raise InvalidParameterError(
            f"y must have one list of targets for each of {len(lengths)} documents. Got {len(rows)}"
            f" instead. {_REMEDY}."
        )

    def name(index: int) -> str:
        document = int(np.searchsorted(documents.offsets, index, side="right")) - 1
        word = index - int(documents.offsets[document])
        return f"the target of word {word} of document {document}"

    return read_targets([target for row in nested for target in row], name)
