"""Pack fitted pipelines: vocabularies and tables become arrays, and functions are refused."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from numbers import Number
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator

from ...errors import InvalidParameterError
from ...features import StaticVectorizer
from ...features.bert_common import BertBase
from ...features.weighting import Weighting, read_frequencies
from ...models.word_vectors.loading import FastTextSubwords, is_in_memory
from ...models.word_vectors.table import WordVectors
from ...private_api import estimator_holders, without_socket_probe
from ...validation import short_repr
from ..language import LanguageModel

__all__ = [
    "PackedBytes",
    "PackedDict",
    "PackedMatrix",
    "PackedNumbers",
    "PackedStrings",
    "PackedSubwords",
    "PackedTable",
    "contents",
    "estimators_within",
    "pack",
    "set_everywhere",
    "unpack",
]

_MOST_PLAIN = 64
_LONGEST_NGRAM = 255  # a word has as many n-grams as its length times this
_MAPPINGS = (dict, Counter, OrderedDict, defaultdict)
_SPARSE = {
    kind.__name__: kind
    for kind in (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array)
}
_NUMBERS = ({int, np.int64, np.int32}, {float, np.float64})
_HOLDERS = (BaseEstimator, Weighting, *estimator_holders())
_FUNCTIONS = (BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType, partial)


@dataclass
class PackedStrings:
    """Many strings as two arrays: their bytes in utf-8, and the length of each."""

    data: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    is_array: bool

    @classmethod
    def of(cls, strings: list[str], is_array: bool = False) -> PackedStrings:
        """Pack strings, lone surrogates among them."""
        encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
        lengths = np.array([len(each) for each in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), lengths, is_array)

    def unpack(self) -> list[str] | NDArray[np.object_]:
        """Return a list, or an array of objects."""
        # Of these types alone, as a length of one byte would be a small part of its string.
        if self.lengths.dtype != np.int64 or self.data.dtype != np.uint8 or self.lengths.ndim != 1:
            raise ValueError("the strings or their lengths have another type")
        if (self.lengths < 0).any() or self.lengths.sum() != len(self.data):
            raise ValueError("the lengths of strings do not add up")
        data = self.data.tobytes()
        ends = np.cumsum(self.lengths).tolist()
        strings = [
            data[start:end].decode("utf-8", "surrogatepass")
            for start, end in zip([0, *ends], ends, strict=False)
        ]
        return np.array([*strings, None], dtype=object)[:-1] if self.is_array else strings


@dataclass
class PackedBytes:
    """Bytes as an array; skops has its own form of them, whose sizes nothing checks."""

    data: NDArray[np.uint8]

    def unpack(self) -> bytes:
        """Return the bytes."""
        if self.data.ndim != 1 or self.data.dtype != np.uint8:
            raise ValueError("bytes have another shape or type")
        return self.data.tobytes()


@dataclass
class PackedNumbers:
    """A long list of ints, or of floats."""

    values: NDArray[Any]

    def unpack(self) -> list[Any]:
        """Return the list."""
        if self.values.ndim != 1 or self.values.dtype.itemsize < 4:
            raise ValueError("a list of numbers has another shape or type")
        values: list[Any] = self.values.tolist()
        return values


@dataclass
class PackedDict:
    """A dictionary as its keys and its values; JSON alone would turn all keys into strings."""

    keys: Any
    values: Any


@dataclass
class PackedMatrix:
    """A sparse matrix in rows or columns."""

    kind: str
    shape: tuple[int, int]
    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]

    def unpack(self) -> Any:
        """Return the matrix; its indices are checked, since scipy trusts them."""
        matrix = _SPARSE[self.kind]((self.data, self.indices, self.indptr), shape=tuple(self.shape))
        matrix.check_format(full_check=True)
        return matrix


@dataclass
class PackedSubwords:
    """The n-gram vectors from which fastText makes those of unseen words."""

    ngrams: NDArray[np.float32]
    shortest: int
    longest: int

    def unpack(self, words: list[str], vectors: NDArray[np.float32]) -> FastTextSubwords:
        """Return the subwords for the words of a table."""
        with without_socket_probe():
            from gensim.models.fasttext import FastTextKeyedVectors

        if self.ngrams.ndim != 2 or self.ngrams.shape[1] != vectors.shape[1]:
            raise ValueError("the vectors of n-grams have another width than those of words")
        if not 0 <= self.shortest <= self.longest <= _LONGEST_NGRAM:
            raise ValueError("the lengths of n-grams are out of range")
        keyed_vectors = FastTextKeyedVectors(
            vectors.shape[1], int(self.shortest), int(self.longest), len(self.ngrams)
        )
        keyed_vectors.index_to_key = words
        keyed_vectors.key_to_index = {word: row for row, word in enumerate(words)}
        keyed_vectors.vectors, keyed_vectors.vectors_ngrams = vectors, self.ngrams
        return FastTextSubwords(keyed_vectors)


@dataclass
class PackedTable:
    """A table of word vectors in memory."""

    words: PackedStrings
    vectors: NDArray[np.float32]
    subwords: PackedSubwords | None

    @classmethod
    def of(cls, table: WordVectors) -> PackedTable:
        """Pack a table with its subwords."""
        subwords = None
        if isinstance(table.subwords, FastTextSubwords):
            trained = table.subwords.keyed_vectors
            subwords = PackedSubwords(
                trained.vectors_ngrams, int(trained.min_n), int(trained.max_n)
            )
        elif table.subwords is not None:
            raise InvalidParameterError(
                "The 'pipeline' parameter must hold nothing but what can be saved without code."
                f" Got word vectors with {type(table.subwords).__name__} for unseen words. Give the"
                " path of their file, or a table without 'subwords'."
            )
        return cls(PackedStrings.of(table.words), np.asarray(table.vectors), subwords)

    def unpack(self, words: list[str]) -> WordVectors:
        """Return the table, its words and numbers checked."""
        vectors = self.vectors
        return WordVectors(
            words, vectors, subwords=self.subwords.unpack(words, vectors) if self.subwords else None
        )


_Packed = (PackedBytes, PackedDict, PackedMatrix, PackedNumbers, PackedStrings, PackedTable)


def pack(value: Any, where: str = "it", memo: dict[int, Any] | None = None) -> Any:
    """Return a copy of an estimator or of a value in one, with everything large packed.

    ``where`` names the value in messages. ``memo`` holds copies by the ids of their originals, so
    that shared objects stay shared.

    >>> unpack(pack({True: "yes", False: "no"}))
    {True: 'yes', False: 'no'}
    """
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)][1]
    if isinstance(value, _HOLDERS):
        copy = object.__new__(type(value))
        memo[id(value)] = value, copy  # the original is kept, or another object might get its id
        vars(copy).update(_packed_attributes(value, memo))
        return copy
    if isinstance(value, _FUNCTIONS):
        raise InvalidParameterError(
            "The 'pipeline' parameter must hold no functions, which a file could carry as code"
            f" only. Got {short_repr(value, 100)} as {where}. Use what needs none, such as a"
            " pattern for 'tokenizer', or do that step before the pipeline."
        )
    packed = _packed(value, where, memo)
    if isinstance(value, (list, dict)):
        memo[id(value)] = value, packed
    return packed


def _packed(value: Any, where: str, memo: dict[int, Any]) -> Any:
    if type(value) in _MAPPINGS:
        if len(value) <= _MOST_PLAIN and all(type(key) is str for key in value):
            return {key: pack(one, f"{key!r} in {where}", memo) for key, one in value.items()}
        return PackedDict(pack(list(value), where, memo), pack(list(value.values()), where, memo))
    if type(value) is list:
        return _packed_list(value) or [
            pack(one, f"element {index} of {where}", memo) for index, one in enumerate(value)
        ]
    if type(value) is tuple:
        return tuple(
            pack(one, f"element {index} of {where}", memo) for index, one in enumerate(value)
        )
    return _packed_value(value)


def _packed_value(value: Any) -> Any:
    if (
        isinstance(value, np.ndarray)
        and value.dtype == object
        and value.ndim == 1
        and set(map(type, value)) == {str}
    ):
        return PackedStrings.of(value.tolist(), is_array=True)
    if type(value).__name__ in _SPARSE and isinstance(value, _SPARSE[type(value).__name__]):
        return PackedMatrix(
            type(value).__name__, value.shape, value.data, value.indices, value.indptr
        )
    if isinstance(value, WordVectors):
        return PackedTable.of(value)
    if isinstance(value, bytes):
        return PackedBytes(np.frombuffer(value, dtype=np.uint8))
    if isinstance(value, pd.Index):  # of columns to choose
        return _packed(value.tolist(), "it", {})
    return str(value) if isinstance(value, Path) else value


def _packed_list(values: list[Any]) -> PackedStrings | PackedNumbers | None:
    """Return a long list of one type packed, else None."""
    if len(values) <= _MOST_PLAIN:
        return None
    kinds = set(map(type, values))
    if kinds == {str}:
        return PackedStrings.of(values)
    if any(kinds <= numbers for numbers in _NUMBERS):
        array = np.array(values)
        # Numbers beyond int64 stay as they are.
        return PackedNumbers(array) if array.dtype.kind in "if" else None
    return None


def _packed_attributes(owner: Any, memo: dict[int, Any]) -> dict[str, Any]:
    attributes = dict(vars(owner))
    if isinstance(owner, LanguageModel):
        raise InvalidParameterError(
            "The 'pipeline' parameter must hold no LanguageModel, whose result is a directory. Call"
            " its save_pretrained(directory), and read that by BertVectorizer(directory)."
        )
    if isinstance(owner, BertBase):
        attributes["store"] = None if owner.store is None else "auto"
        attributes["device"] = None if owner.device is None else str(owner.device)
    if isinstance(attributes.get("word_frequencies"), (str, Path)):
        # A file may not name another one, which would be read when the estimator is fitted again.
        weighting = attributes.get("weighting_")
        attributes["word_frequencies"] = (
            weighting.given_frequencies
            if isinstance(weighting, Weighting)
            else read_frequencies(owner.word_frequencies)
        )
    if isinstance(owner, StaticVectorizer):
        attributes.pop("_converted", None)
        if is_in_memory(owner.vectors):
            attributes["vectors"] = (
                owner._table() if hasattr(owner, "vectors_fingerprint_") else owner._open()
            )
        elif isinstance(owner.vectors, WordVectors):
            _, (source, *rest) = owner.vectors.__reduce__()
            # A table that was read from a file is found again, and read in the same way.
            if isinstance(source, str):
                attributes |= {"vectors": source, "on_error": rest[1] if rest[1:] else "auto"}
    return {
        name: pack(value, f"the {name!r} parameter of {type(owner).__name__}", memo)
        for name, value in attributes.items()
    }


def unpack(value: Any) -> Any:
    """Undo `pack`, after writing and reading; estimators are changed in place."""
    memo: dict[int, Any] = {}
    if not isinstance(value, _Packed):
        for owner in estimators_within(value):
            for name, one in vars(owner).items():
                vars(owner)[name] = _unpacked(one, memo)
    return _unpacked(value, memo)


def _unpacked(value: Any, memo: dict[int, Any]) -> Any:
    """Unpack each object once, so that a small file with many references fills no memory.

    Objects that are unpacked share no parts, for the same reason.
    """
    if id(value) in memo:
        return memo[id(value)][1]
    found = value
    for part in _parts_that_grow(value):
        if id(part) in memo:
            raise ValueError("two objects share what they are unpacked from")
    if isinstance(value, PackedDict):
        found = dict(zip(_unpacked(value.keys, memo), _unpacked(value.values, memo), strict=True))
    elif isinstance(value, PackedTable):
        found = value.unpack(_unpacked(value.words, memo))
    elif isinstance(value, (PackedBytes, PackedMatrix, PackedNumbers, PackedStrings)):
        found = value.unpack()
        for part in _parts_that_grow(value):
            memo[id(part)] = part, part
    elif type(value) is dict:
        found = {key: _unpacked(one, memo) for key, one in value.items()}
    elif type(value) in (list, tuple):
        found = type(value)(_unpacked(one, memo) for one in value)
    memo[id(value)] = value, found  # the value is kept, or another object might get its id
    return found


def _parts_that_grow(value: Any) -> list[Any]:
    """Return the parts of a packed object that are copied, or grow, when it is unpacked."""
    if isinstance(value, PackedDict):
        return [value.keys]
    if isinstance(value, PackedTable):
        return [value.words]
    if isinstance(value, PackedStrings):
        return [value.lengths]
    if isinstance(value, PackedBytes):
        return [value.data]
    return [value.values] if isinstance(value, PackedNumbers) else []


def estimators_within(value: Any) -> Iterator[Any]:
    """Yield all objects with attributes within an object, itself included, each once.

    An estimator may be inside an object that is none itself.
    """
    waiting, seen = [value], {}
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(
            one, (*_FUNCTIONS, type, ModuleType, WordVectors, str, Number)
        ):
            continue
        seen[id(one)] = one
        within = contents(one)
        if within is not None:
            waiting += within
        elif isinstance(one, PackedDict):
            waiting += [one.keys, one.values]
        elif hasattr(one, "__dict__"):
            waiting += list(vars(one).values())
            if not isinstance(one, _Packed):
                yield one


def set_everywhere(pipeline: Any, **parameters: Any) -> int:
    """Set parameters of every estimator in a pipeline that has them, fitted ones included.

    Return how many were set.
    """
    n_set = 0
    for part in estimators_within(pipeline):
        for name, value in parameters.items():
            if isinstance(part, BaseEstimator) and hasattr(part, name):
                setattr(part, name, value)
                n_set += 1
    return n_set


def contents(value: Any) -> list[Any] | None:
    """Return what a container of the standard library or NumPy holds; None for other values."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, np.ndarray):
        # What is masked counts too.
        return np.ma.getdata(value).ravel().tolist() if value.dtype == object else []
    return None
