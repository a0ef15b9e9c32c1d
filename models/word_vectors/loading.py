"""Load word vectors from a file, a transformer, gensim or a DataFrame."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidParameterError, ModelChangedError, ModelNotFoundError
from ...validation import check_flag
from ...warning import warn_user
from ..checkpoint.source import open_checkpoint
from ..checkpoint.text_tokens import replace_lone_surrogates
from .checks import Faults, OnError
from .disk_cache import cached_table, file_digest
from .distill import TokenSubwords, distilled_blocks, distiller
from .files import VectorFile, find, read_blocks
from .static_model import ModelTokens, StaticModel, read_static_model
from .table import WordVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DISTILL", "FastTextSubwords", "is_in_memory", "load_word_vectors"]

DISTILL = "distill:"


def load_word_vectors(
    vectors: Any, *, on_error: OnError = "auto", local_files_only: bool = False
) -> WordVectors:
    r"""Load a table of word vectors.

    Parameters
    ----------
    vectors : str, Path, WordVectors, gensim KeyedVectors or DataFrame
        One of:

        - A text or binary file of GloVe, word2vec or fastText (``.vec``), plain, as ``.gz`` or in a
          ``.zip``. ``"glove.6B.zip/glove.6B.100d.txt"`` names one file of several in a ``.zip``.
        - ``.npz`` with the arrays ``words`` and ``vectors``.
        - ``.safetensors`` as written by :meth:`WordVectors.save`.
        - The directory of a static model of sentence-transformers (StaticEmbedding) or model2vec.
          Its words are the tokens of the model.
        - ``"distill:<model_name>"``: each token of a transformer's vocabulary is encoded alone,
          followed by PCA and frequency weights as in model2vec (extra ``distill``).
        - A DataFrame with words as its index and a column for each dimension.
        - A gensim KeyedVectors, or a WordVectors, which is returned unchanged.

        A file is parsed once and cached as a memory-mapped array.
    on_error : {"auto", "raise", "skip"}, default="auto"
        What to do with faulty rows of a file. ``"auto"`` leaves out rows that no text could look
        up, since their word is not UTF-8 or an earlier row has it. Others are errors: lines that do
        not hold a word and its numbers, and numbers that are not finite. ``"skip"`` leaves out all
        of these, and ``"raise"`` none. What is left out is warned of; `WordVectors.n_skipped`
        counts it.
    local_files_only : bool, default=False
        Whether the model of ``"distill:<model_name>"`` must be on this machine. If True, the hub is
        never asked.

    Returns
    -------
    table : WordVectors
        The table.

    Raises
    ------
    ModelNotFoundError
        If there is no such file or model.
    ModelIntegrityError
        If the file is damaged, or has a faulty row that ``on_error`` does not leave out.
    UnsafeModelError
        If the file is a pickle, since a pickle can run code.
    InvalidParameterError
        If ``vectors`` is none of these, or not a valid table.
    ModelChangedError
        If the file is changed while it is read.

    See Also
    --------
    WordVectors : The table.
    StaticVectorizer : Encode texts by pooling word vectors.

    References
    ----------
    J. Pennington, R. Socher, C. Manning, "GloVe: Global Vectors for Word Representation",
    EMNLP 2014.

    S. Tulkens, T. van Dongen, "Model2Vec: Fast State-of-the-Art Static Embeddings", 2024.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from bertvectorizer import load_word_vectors
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     file = Path(directory) / "glove.txt"
    ...     _ = file.write_text("tea 0.5 0.25\ncup 0.5 0.75\n")
    ...     load_word_vectors(file)
    WordVectors(2 words, 2 dims)
    """
    faults = Faults(on_error, "on_error='skip' leaves such rows out.")
    check_flag("local_files_only", local_files_only)
    if isinstance(vectors, WordVectors):
        return vectors
    if isinstance(vectors, str) and vectors.startswith(DISTILL):
        return _distilled(vectors, local_files_only)
    if isinstance(vectors, (str, os.PathLike)):
        if model := _static_model(vectors):
            return cached_table(
                model.key,
                (_load_again, (str(model.directory), model.key)),
                model.blocks,
                partial(ModelTokens, model),
            )
        file = find(vectors)
        key = _digest(file, on_error)
        return cached_table(
            key,
            (_load_again, (str(file), key, on_error)),
            partial(_same_blocks, file, key, faults),
            n_skipped=lambda: faults.n_skipped,
        )
    if hasattr(vectors, "index_to_key") and hasattr(vectors, "vectors"):
        has_subwords = hasattr(vectors, "vectors_ngrams")
        return _converted(
            vectors.index_to_key,
            vectors.vectors,
            FastTextSubwords(vectors) if has_subwords else None,
        )
    # By its attributes: models/ imports neither pandas nor what reads frames in features/.
    if hasattr(vectors, "iloc") and hasattr(vectors, "columns"):
        if not all(isinstance(word, str) for word in vectors.index):
            raise InvalidParameterError(
                "The 'vectors' parameter, if a DataFrame, must have words as its index. Got an"
                f" index of other things, {vectors.index[:3].tolist()}. Remedy:"
                " df.set_index('word')."
            )
        return _converted(vectors.index.tolist(), vectors.to_numpy())
    remedy = " Give its vectors, model.wv." if hasattr(vectors, "wv") else ""
    raise InvalidParameterError(
        "The 'vectors' parameter must be the path of a file, 'distill:<model_name>', a"
        " WordVectors, a gensim KeyedVectors or a DataFrame whose index holds words. Got"
        f" {type(vectors).__name__} instead.{remedy}"
    )


def is_in_memory(vectors: Any) -> bool:
    """Whether ``vectors`` is an object of another library, which has to be converted."""
    return not isinstance(vectors, (str, os.PathLike, WordVectors))


def _static_model(vectors: str | os.PathLike[str]) -> StaticModel | None:
    """Return the static model in a directory; None if it is no directory, or holds none."""
    directory = Path(os.path.expanduser(vectors)).absolute()
    return read_static_model(directory) if vectors and os.path.isdir(directory) else None


def _digest(file: VectorFile, on_error: OnError) -> str:
    more = () if on_error == "auto" else (on_error,)
    return file_digest(file.path, file.member or "", *more)


def _same_blocks(
    file: VectorFile, key: str, faults: Faults
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Read a file; fail if it changes meanwhile, so that the digest of a cached table is right."""
    faults.clear()
    yield from read_blocks(find(str(file)), faults)  # it may be gone where a table is made anew
    if faults.n_skipped:
        warn_user(
            f"{faults.n_skipped:,} faulty rows of '{file}' are left out. The first: {faults.first}"
        )
    if _digest(find(str(file)), faults.on_error) != key:
        raise ModelChangedError(
            f"The file '{file}' was changed while it was read. Try again when it is complete."
        )


def _converted(
    words: Sequence[Any], vectors: Any, subwords: FastTextSubwords | None = None
) -> WordVectors:
    try:
        # A copy, which later changes to the original do not reach
        return WordVectors(words, np.array(vectors), subwords=subwords)
    except InvalidParameterError as error:
        raise InvalidParameterError(
            f"The 'vectors' parameter must be a table of word vectors. {error}"
        ) from error


def _load_again(
    source: str, key: str, on_error: OnError = "auto", local_files_only: bool = False
) -> WordVectors:
    """Open the table of a pickle."""
    try:
        table = load_word_vectors(source, on_error=on_error, local_files_only=local_files_only)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{error} A pickled WordVectors is read again from where it was, so bring it back"
            " there, or link it. A StaticVectorizer that was given the path takes another one"
            " after loading, by set_params(vectors=...)."
        ) from None
    if table.fingerprint != key:
        raise ModelChangedError(
            f"The word vectors in '{source}' are not those that were pickled. Bring the former file"
            " back, or fit again."
        )
    return table


def _distilled(source: str, local_files_only: bool) -> WordVectors:
    library = distiller()
    checkpoint = open_checkpoint(source.removeprefix(DISTILL), None, local_files_only, False)
    checkpoint.require_transformer("distilling word vectors")
    digest = f"{checkpoint.fingerprint}-{library.replace(' ', '-')}"
    return cached_table(
        digest,
        (_load_again, (source, digest, "auto", local_files_only)),
        partial(distilled_blocks, checkpoint),
        partial(TokenSubwords, checkpoint),
    )


class FastTextSubwords:
    """Vectors for unseen words from the n-grams of gensim's FastTextKeyedVectors."""

    def __init__(self, keyed_vectors: Any) -> None:
        self.keyed_vectors = keyed_vectors

    def vectors(self, words: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return vectors of shape (n_words, n_dims), and which of the words have one."""
        result = np.zeros((len(words), self.keyed_vectors.vector_size), dtype=np.float32)
        for row, word in enumerate(words):
            with suppress(KeyError):  # a model without n-grams
                result[row] = self.keyed_vectors.get_vector(replace_lone_surrogates(word))
        known: NDArray[np.bool_] = np.any(result, axis=1)
        return result, known  # words too short for an n-gram get zeros
