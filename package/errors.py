"""The errors of bertvectorizer, as one tree.

::

    BertVectorizerError
    ├── InvalidParameterError (ValueError, TypeError)   a parameter breaks its rule
    ├── InvalidTextError (ValueError, TypeError)        the input is not a column of texts
    ├── InvalidTableError (ValueError)                  a file or its columns cannot be used
    ├── StoreError (OSError)                            a store, tokens or a model cannot be written
    ├── UnknownWordError (KeyError)                     a table of word vectors lacks the word
    └── ModelError (RuntimeError)
        ├── ModelNotFoundError      the model was found nowhere
        ├── ModelIntegrityError     a file of the model is damaged or not the expected one
        ├── ModelChangedError       the model is another than before, or changes while it is read
        ├── UnsafeModelError        the model would run code while loading
        ├── UnsupportedModelError   the architecture or device cannot serve the request
        ├── OutOfMemoryError        not even one sequence fits into memory
        └── TrainingDivergedError (ArithmeticError)   the loss of a training is not finite
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
    "TrainingDivergedError",
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
    """Raised if a parameter is invalid. The message names it, its rule and the value received."""


class InvalidTextError(BertVectorizerError, ValueError, TypeError):
    """Raised if the input does not hold texts. The message names the first invalid row."""


class InvalidTableError(BertVectorizerError, ValueError):
    """Raised if a file cannot be read as a table, or its columns cannot be used."""


class StoreError(BertVectorizerError, OSError):
    """Raised if a store of embeddings cannot be used, or a model or a corpus cannot be written.

    Estimators do not raise it for a store. They warn once and continue without.
    """


class UnknownWordError(BertVectorizerError, KeyError):
    """Raised if a table of word vectors does not have a word."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows the repr of its message


class ModelError(BertVectorizerError, RuntimeError):
    """Base class of errors of models."""


class ModelNotFoundError(ModelError):
    """Raised if a model cannot be found."""


class ModelIntegrityError(ModelError):
    """Raised if a file of a model is damaged, incomplete, or not the expected one."""


class ModelChangedError(ModelError):
    """Raised if a model is not the one of the fit, or if its files change while they are read."""


class UnsafeModelError(ModelError):
    """Raised if loading a model would run code from its files."""


class UnsupportedModelError(ModelError):
    """Raised if the architecture of a model is not supported, or a device is not available."""


class OutOfMemoryError(ModelError):
    """Raised if a single sequence does not fit into the memory of the device."""


class TrainingDivergedError(ModelError, ArithmeticError):
    """Raised if the loss of a training becomes infinite or NaN; the estimator stays as it was."""
