"""The errors of bertvectorizer, as one tree.

::

    BertVectorizerError
    ├── InvalidParameterError (ValueError, TypeError)   a parameter breaks its rule
    ├── InvalidTextError (ValueError, TypeError)        the input is not a column of texts
    ├── InvalidTableError (ValueError)                  a file or its columns cannot be used
    ├── StoreError (OSError)                            a store of embeddings cannot be used
    ├── UnknownWordError (KeyError)                     a table of word vectors lacks the word
    └── ModelError (RuntimeError)
        ├── ModelNotFoundError      the model was found nowhere
        ├── ModelIntegrityError     a file of the model is damaged or not the expected one
        ├── ModelChangedError       the model differs from the one the estimator was fitted with
        ├── UnsafeModelError        the model would run code while loading
        ├── UnsupportedModelError   the architecture or device cannot serve the request
        └── OutOfMemoryError        not even one sequence fits into memory
"""

from __future__ import annotations

__all__ = [
    "BertVectorizerError",
    "InvalidParameterError",
    "InvalidTableError",
    "InvalidTextError",
    "ModelChangedError",
    "ModelError",
    "ModelIntegrityError",
    "ModelNotFoundError",
    "OutOfMemoryError",
    "StoreError",
    "UnknownWordError",
    "UnsafeModelError",
    "UnsupportedModelError",
]


class BertVectorizerError(Exception):
    """Base class of all errors of this package.

    Examples
    --------
    >>> from bertvectorizer import BertVectorizer
    >>> try:
    ...     BertVectorizer(pooling="median").fit(["a bat"])
    ... except BertVectorizerError as error:
    ...     print(type(error).__name__)
    InvalidParameterError
    """


class InvalidParameterError(BertVectorizerError, ValueError, TypeError):
    """A parameter breaks its rule; the message names both, and the value received."""


class InvalidTextError(BertVectorizerError, ValueError, TypeError):
    """The input is not one column of texts; the message names the first row at fault."""


class InvalidTableError(BertVectorizerError, ValueError):
    """A file cannot be read as a table, or its columns cannot be used."""


class StoreError(BertVectorizerError, OSError):
    """A store of embeddings cannot be used; estimators warn of it once and go on without it."""


class UnknownWordError(BertVectorizerError, KeyError):
    """A table of word vectors lacks the requested word."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows the repr of its message


class ModelError(BertVectorizerError, RuntimeError):
    """Something is wrong with the model rather than with the data."""


class ModelNotFoundError(ModelError):
    """The model is in none of the directories and caches that were searched."""


class ModelIntegrityError(ModelError):
    """A file of the model is damaged, incomplete, or not the one that was expected."""


class ModelChangedError(ModelError):
    """The model found now is not the one that the estimator was fitted with."""


class UnsafeModelError(ModelError):
    """Loading the model would run code that came with it."""


class UnsupportedModelError(ModelError):
    """The model's architecture, or the device, cannot serve the request."""


class OutOfMemoryError(ModelError):
    """A single sequence does not fit into the device's memory."""
