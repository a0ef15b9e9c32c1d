"""Read word2vec's binary format: a word, a space, little-endian float32 numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ModelIntegrityError
from ...validation import short_repr
from .checks import Faults, WordFault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .text_format import Header

__all__ = ["read_word2vec_binary"]

_BYTES_AT_ONCE = 16 << 20
_LONGEST_WORD = 1 << 16


def read_word2vec_binary(
    first: bytes,
    read: Callable[[int], bytes],
    header: Header,
    name: str,
    faults: Faults | None = None,
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Yield words and vectors; ``first`` is the start of the file, header included."""
    width = 4 * header.n_dims
    pending, offset, n_read = first[header.n_bytes :], header.n_bytes, 0
    seen: set[str] = set()
    faults = faults or Faults()

    def error(
        fault: str, position: int, kind: type[ModelIntegrityError] = ModelIntegrityError
    ) -> ModelIntegrityError:
        return kind(
            f"Word {n_read + 1:,} of {header.n_words:,} (byte {offset + position:,}) of '{name}'"
            f" {fault}."
        )

    while n_read < header.n_words:
        data = read(_BYTES_AT_ONCE)
        pending += data
        words: list[str] = []
        numbers: list[bytes] = []
        position = 0
        while n_read < header.n_words:
            start = position + (
                pending[position : position + 1] == b"\n"
            )  # a few writers end a row with it
            space = pending.find(b" ", start, start + _LONGEST_WORD)
            if space < 0 and len(pending) - start >= _LONGEST_WORD:
                raise error(f"is longer than {_LONGEST_WORD:,} bytes", start)
            if space < 0 or space + 1 + width > len(pending):
                break
            end = space + 1 + width
            word, row = pending[start:space].decode("utf-8", "replace"), pending[space + 1 : end]
            if word.encode() != pending[start:space]:
                fault = f"is not utf-8: {short_repr(pending[start:space])}"
                faults.add(error(fault, start, WordFault))
            elif not word or word in seen:
                fault = f"repeats an earlier one: {word!r}" if word else "is empty"
                faults.add(error(fault, start, WordFault if word else ModelIntegrityError))
            elif not np.isfinite(np.frombuffer(row, dtype="<f4")).all():
                faults.add(error(f"has a number that is not finite: {word!r}", space + 1))
            else:
                seen.add(word)
                words.append(word)
                numbers.append(row)
            n_read += 1
            position = end
        if words:
            yield (
                words,
                np.frombuffer(b"".join(numbers), dtype="<f4")
                .reshape(-1, header.n_dims)
                .astype(np.float32, copy=False),
            )
        pending, offset = pending[position:], offset + position
        if not data and n_read < header.n_words:
            raise error("is cut off: the file ends", len(pending))
    if not seen:
        raise ModelIntegrityError(
            f"The file '{name}' holds no word vectors"
            + (": it promises none (byte 0)." if not header.n_words else ", only faulty rows.")
        )
    if (pending + read(2)).strip(b"\n"):
        raise error("is one too many: the file goes on", 0)
