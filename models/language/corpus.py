"""The tokens of a corpus, in temporary files: memory does not grow with the texts."""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ...errors import StoreError
from ...foreign import reason_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..checkpoint.text_tokens import ModelTokenizer

__all__ = ["Corpus"]

# In one call of the tokenizer: whichever is reached first.
_TEXTS_AT_ONCE = 2048
_CHARACTERS_AT_ONCE = 1 << 20


class Corpus:
    """The tokens of texts, or of documents as lists of sentences, read in one pass.

    The files have no names, so that nothing is left of them however the process ends.

    Parameters
    ----------
    tokenizer : ModelTokenizer
        Its special tokens are left out.
    texts : iterable of str, or of sequences of str
        A sequence is a document of sentences; a str is a document of one. Lone surrogates are read
        as U+FFFD.
    progress : callable, default=does nothing
        Called with the number of tokens that were read since.

    Attributes
    ----------
    ids : ndarray of shape (n_tokens,), int32
        Tokens of all texts, one after another, on disk.
    starts_word : ndarray of shape (n_tokens,), bool
        Whether each token begins a word of the tokenizer, on disk.
    offsets : ndarray of shape (n_texts + 1,), int64
        Text *i*, a sentence of a document, has the tokens ``offsets[i]:offsets[i + 1]``.
    documents : ndarray of shape (n_documents + 1,), int64
        Document *i* has the texts ``documents[i]:documents[i + 1]``.
    digest : str
        Of all the above.

    Raises
    ------
    StoreError
        If the temporary directory has no room.
    TokenBeyondTableError
        If a text has a token for which the model has no vector.
    """

    def __init__(
        self,
        tokenizer: ModelTokenizer,
        texts: Iterable[str] | Iterable[Sequence[str]],
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        lengths = [np.zeros(1, dtype=np.int64)]
        documents = array("q", [0])
        with ExitStack() as stack:
            ids, starts_word = (_GrowingArray(kind, stack) for kind in (np.int32, np.bool_))
            for chunk in _chunks(texts, documents):
                found, starts, counts = tokenizer.words_of(chunk)
                ids.append(found)
                starts_word.append(starts)
                lengths.append(counts)
                progress(len(found))
            self.ids, self.starts_word = ids.finished(), starts_word.finished()
        self.offsets: NDArray[np.int64] = np.cumsum(np.concatenate(lengths))
        self.documents: NDArray[np.int64] = np.frombuffer(documents, dtype=np.int64)
        digest = hashlib.blake2b(digest_size=16)
        for part in (ids.digest, starts_word.digest, self.offsets.data, self.documents.data):
            digest.update(hashlib.blake2b(part).digest())
        self.digest = digest.hexdigest()

    @property
    def n_texts(self) -> int:
        """Number of texts, or of sentences of all documents."""
        return len(self.offsets) - 1

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.documents) - 1


def _chunks(
    texts: Iterable[str] | Iterable[Sequence[str]], documents: array[int]
) -> Iterator[list[str]]:
    """Yield the texts in lists, and append to ``documents`` how many texts end each of them."""
    chunk: list[str] = []
    n_texts = n_characters = 0
    for document in texts:
        for text in [document] if isinstance(document, str) else document:
            chunk.append(text)
            n_texts += 1
            n_characters += len(text)
            if len(chunk) == _TEXTS_AT_ONCE or n_characters >= _CHARACTERS_AT_ONCE:
                yield chunk
                chunk, n_characters = [], 0
        documents.append(n_texts)
    if chunk:
        yield chunk


class _GrowingArray:
    """Numbers that are appended to a temporary file, until ``finished`` returns them."""

    def __init__(self, kind: Any, stack: ExitStack) -> None:
        self._kind = kind
        self._digest = hashlib.blake2b()
        self._n_numbers = 0
        with _room_on_disk():
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        stack.enter_context(self._file)

    @property
    def digest(self) -> bytes:
        """The digest of all numbers."""
        return self._digest.digest()

    def append(self, numbers: NDArray[Any]) -> None:
        """Write numbers behind the others."""
        self._digest.update(numbers.data)
        self._n_numbers += len(numbers)
        with _room_on_disk():
            self._file.write(numbers.data)

    def finished(self) -> NDArray[Any]:
        """Return all numbers, read from disk where they are used; they outlive the file."""
        if not self._n_numbers:  # no empty file can be mapped
            return np.empty(0, dtype=self._kind)
        with _room_on_disk():
            self._file.flush()
            return np.memmap(self._file, dtype=self._kind, mode="r", shape=(self._n_numbers,))


@contextmanager
def _room_on_disk() -> Iterator[None]:
    """Write within the block; what fails is an error of this package."""
    try:
        yield
    except OSError as error:
        directory = tempfile.tempdir or "the temporary directory"
        raise StoreError(
            f"The tokens of the corpus cannot be written to '{directory}': {reason_of(error)}. Make"
            " room there, about 5 bytes for each token, or set the environment variable TMPDIR to"
            " another directory."
        ) from error
