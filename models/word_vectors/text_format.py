"""Read text formats, a word and its numbers a line, as GloVe, word2vec and fastText write them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import ModelIntegrityError
from ...validation import NUMBER, short_repr
from .checks import MOST_DIMS, Faults, WordFault

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Block = tuple[list[str], NDArray[np.float32]]

__all__ = ["Header", "read_header", "read_text"]

_BYTES_AT_ONCE = 32 << 20
_LONGEST_LINE = 4 << 20
_FIRST_LINES = 64
_ROWS_AT_ONCE = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NUMBER = re.compile(NUMBER.encode())
_SEPARATOR = re.compile(rb"([ \t]+)")
_HEADER = re.compile(rb"\s*(\d+)[ \t]+(\d+)\s*")


class Header(NamedTuple):
    """Content and length of the first line of a word2vec file, and whether text follows."""

    n_words: int
    n_dims: int
    n_bytes: int
    is_text: bool


def read_header(first: bytes, name: str, size: int | None) -> Header | None:
    """Read the header, if there is one, and check that the file can hold what it promises."""
    line, newline, body = first.partition(b"\n")
    match = _HEADER.fullmatch(line.removeprefix(_BYTE_ORDER_MARK))
    if match is None or not newline:
        return None
    if len(match[1]) > 18 or len(match[2]) > 18 or not 1 <= int(match[2]) <= MOST_DIMS:
        raise ModelIntegrityError(
            f"Line 1 (byte 0) of '{name}' promises vectors of a size outside [1, {MOST_DIMS:,}]:"
            f" {_shown(line)}."
        )
    n_words, n_dims = int(match[1]), int(match[2])
    is_text = _is_text(body, n_dims)
    least = n_words * (2 * n_dims + 2) - 1 if is_text else n_words * (4 * n_dims + 2)
    held = None if size is None else size - len(line) - 1
    if held is not None and least > held:
        raise ModelIntegrityError(
            f"Line 1 (byte 0) of '{name}' promises {n_words:,} words of {n_dims:,} numbers, which"
            f" take {least:,} bytes or more; only {held:,} bytes follow. Fetch the file again."
        )
    return Header(n_words, n_dims, len(line) + 1, is_text)


def _is_text(body: bytes, n_dims: int) -> bool:
    """Whether text follows: a valid row, or no bytes that only binary numbers have."""
    fields = _SEPARATOR.split(body.partition(b"\n")[0].rstrip(b" \t\r"))[::2]
    if len(fields) > n_dims and all(_NUMBER.fullmatch(field) for field in fields[-n_dims:]):
        return True
    after_word = _SEPARATOR.split(body, maxsplit=1)[-1]
    text = after_word[: min(4 * n_dims, 256)].decode("utf-8", "replace")
    return (
        not any(character < " " and character not in "\t\r\n" for character in text)
        and "\ufffd" not in text[:-1]
    )


def read_text(
    first: bytes,
    read: Callable[[int], bytes],
    header: Header | None,
    name: str,
    faults: Faults | None = None,
) -> Iterator[Block]:
    """Read lines of a word and its numbers, separated by spaces or tabs.

    Arrow parses a block at once. A block that it rejects, or that holds anything unusual, is
    parsed line by line, which succeeds (a word may hold spaces, as in GloVe 840B) or names the
    bad line.
    """
    skipped = (
        header.n_bytes if header else len(_BYTE_ORDER_MARK) * first.startswith(_BYTE_ORDER_MARK)
    )
    lines = _Lines(name, header, 2 if header else 1, skipped, faults or Faults())
    for block in _blocks(first[skipped:], read, lines):
        yield from lines.parse(block)
    lines.finish()


def _blocks(pending: bytes, read: Callable[[int], bytes], lines: _Lines) -> Iterator[bytes]:
    """Yield blocks of complete lines."""
    while data := read(_BYTES_AT_ONCE):
        pending += data
        end = pending.rfind(b"\n") + 1
        if len(pending) - end > _LONGEST_LINE:
            lines.skip(pending[:end])
            raise lines.too_long(pending[end : end + 100])
        if end:
            yield pending[:end]
            pending = pending[end:]
    if pending:
        yield pending


class _Lines:
    """Parser of lines, with its position, the number of dimensions and the words seen."""

    def __init__(
        self, name: str, header: Header | None, first_line: int, first_byte: int, faults: Faults
    ) -> None:
        self._name, self._header, self._faults = name, header, faults
        self._line, self._byte = first_line, first_byte
        self._n_dims = header.n_dims if header else 0
        self._seen: set[str] = set()

    def error(
        self, fault: str, line: bytes, kind: type[ModelIntegrityError] = ModelIntegrityError
    ) -> ModelIntegrityError:
        return kind(
            f"Line {self._line:,} (byte {self._byte:,}) of '{self._name}' {fault}: {_shown(line)}."
        )

    def too_long(self, line: bytes) -> ModelIntegrityError:
        return self.error(f"is longer than {_LONGEST_LINE:,} bytes", line)

    def skip(self, block: bytes) -> None:
        # The last line of a file may have no newline
        self._line += block.count(b"\n") + (block[-1:] not in (b"", b"\n"))
        self._byte += len(block)

    def parse(self, block: bytes) -> Iterator[Block]:
        """Parse a block of complete lines."""
        if block.isspace():
            self.skip(block)
            return
        self._n_dims = self._n_dims or _usual_width(block)
        parsed = self._by_arrow(block, self._n_dims) if 1 <= self._n_dims <= MOST_DIMS else None
        if parsed is None:
            yield from self._by_line(block)
        else:
            self.skip(block)
            yield parsed

    def finish(self) -> None:
        if not self._seen:
            raise ModelIntegrityError(
                f"The file '{self._name}' holds no word vectors: it ends at byte {self._byte:,}."
            )
        n_words = len(self._seen) + self._faults.n_skipped
        if self._header and n_words != self._header.n_words:
            raise ModelIntegrityError(
                f"Line 1 (byte 0) of '{self._name}' promises {self._header.n_words:,} words, but"
                f" {n_words:,} are there; the file ends at line {self._line - 1:,} (byte"
                f" {self._byte:,}). Fetch it again, or correct its first line."
            )

    def _by_arrow(self, block: bytes, n_dims: int) -> Block | None:
        """Parse a block at once; None where Arrow and the parser of lines could differ."""
        import pyarrow as pa
        from pyarrow import compute, csv

        if block.startswith(_BYTE_ORDER_MARK) or block.count(b"\r") != block.count(b"\r\n"):
            # Arrow drops a byte order mark, here part of a word, and ends lines at a bare \r
            return None
        line = block.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r")
        delimiter = "\t" if b"\t" in line else " "
        ends_with_one = line.endswith(delimiter.encode())  # as word2vec and fastText write
        names = [str(column) for column in range(n_dims + 1 + ends_with_one)]
        types = (
            dict.fromkeys(names, pa.float32())
            | {"0": pa.binary()}
            | ({names[-1]: pa.binary()} if ends_with_one else {})
        )
        try:
            table = csv.read_csv(
                pa.BufferReader(block),
                csv.ReadOptions(column_names=names, block_size=1 << 20),
                csv.ParseOptions(delimiter=delimiter, quote_char=False, newlines_in_values=False),
                csv.ConvertOptions(column_types=types, null_values=[], check_utf8=False),
            )
            words = table.column(0).cast(pa.string()).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowKeyError):
            return None
        if ends_with_one and compute.max(compute.binary_length(table.column(names[-1]))).as_py():
            return None  # a field follows the last number
        vectors = _matrix(table, n_dims)
        if (
            not all(map(_is_plain, words))
            or not np.isfinite(vectors).all()
            or not self._are_new(words)
        ):
            return None
        return words, vectors

    def _are_new(self, words: list[str]) -> bool:
        """Add words to those seen, if none of them was."""
        own = set(words)
        if len(own) < len(words) or not self._seen.isdisjoint(own):
            return False
        self._seen |= own
        return True

    def _by_line(self, block: bytes) -> Iterator[Block]:
        words: list[str] = []
        rows: list[NDArray[np.float32]] = []
        for line in BytesIO(block):
            if stripped := line.rstrip(b" \t\r\n"):
                try:
                    word, row = self._parse_line(stripped)
                except ModelIntegrityError as fault:
                    self._faults.add(fault)
                else:
                    words.append(word)
                    rows.append(row)
            self._line += 1
            self._byte += len(line)
            if len(words) == _ROWS_AT_ONCE:
                yield words, np.stack(rows)
                words, rows = [], []
        if words:
            yield words, np.stack(rows)

    def _parse_line(self, line: bytes) -> tuple[str, NDArray[np.float32]]:
        if len(line) > _LONGEST_LINE:
            raise self.too_long(line)
        if not self._n_dims:
            raise self.error("must hold a word and its numbers", line)
        if self._n_dims > MOST_DIMS:
            raise self.error(f"has more than {MOST_DIMS:,} numbers", line)
        parts = _SEPARATOR.split(line)  # fields and separators in turn
        end = len(parts) - 2 * self._n_dims
        # The rest is the word. It may hold spaces, as in GloVe 840B, but no numbers
        if end < 1 or any(_NUMBER.fullmatch(field) for field in parts[2:end:2]):
            raise self.error(
                f"must hold a word and {self._n_dims:,} numbers, but holds {len(parts) // 2:,}"
                " fields after the first",
                line,
            )
        numbers = parts[end + 1 :: 2]
        for field in numbers:
            if not _NUMBER.fullmatch(field):
                raise self.error(f"has {_shown(field)} instead of a number", line)
        with np.errstate(over="ignore"):  # overflow is found below
            row = np.array(numbers, dtype=np.float64).astype(np.float32)
        if not np.isfinite(row).all():
            raise self.error("has a number that float32 cannot hold", line)
        try:
            word = b"".join(parts[:end]).lstrip(b" \t").decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(
                f"has a word that is not utf-8 ({error.reason} at its byte {error.start})",
                line,
                WordFault,
            ) from None
        if not word:
            raise self.error("has no word before its numbers", line)
        if word in self._seen:
            raise self.error(f"repeats the word {word!r}; remove one of its lines", line, WordFault)
        self._seen.add(word)
        return word, row


def _usual_width(block: bytes) -> int:
    """Return how many numbers most of the first lines have; a single line may be unusual."""
    lines = islice(
        (stripped for line in BytesIO(block) if (stripped := line.strip(b" \t\r\n"))), _FIRST_LINES
    )
    widths = Counter(len(_SEPARATOR.findall(line[:_LONGEST_LINE])) for line in lines)
    return max(widths, key=widths.__getitem__, default=0)


def _is_plain(word: str) -> bool:
    """Whether no part of a word is empty, or a number, which would make the line too long."""
    if " " not in word and "\t" not in word:
        return bool(word)
    parts = _SEPARATOR.split(word.encode())[::2]
    return all(parts) and not any(_NUMBER.fullmatch(part) for part in parts[1:])


def _matrix(table: pa.Table, n_dims: int) -> NDArray[np.float32]:
    result = np.empty((table.num_rows, n_dims), dtype=np.float32)
    for column in range(n_dims):
        start = 0
        for chunk in table.column(column + 1).chunks:
            result[start : start + len(chunk), column] = chunk.to_numpy(zero_copy_only=False)
            start += len(chunk)
    return result


def _shown(line: bytes) -> str:
    return short_repr(line.decode("utf-8", "backslashreplace"))
