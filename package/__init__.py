"""Contextual embeddings as features for scikit-learn.

Names are imported when they are first used, so that ``import bertvectorizer`` costs nothing: torch
and transformers load with the first vectorizer that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .features import (
        BertSpanVectorizer,
        BertVectorizer,
        BertWordVectorizer,
        StaticVectorizer,
        Word2VecVectorizer,
    )
    from .models.store import EmbeddingStore
    from .models.word_vectors import WordVectors, load_word_vectors
    from .pipeline import (
        Comparison,
        SequenceLabeler,
        TaggedSentences,
        compare,
        default_features,
        load_pipeline,
        read_conll,
        save_pipeline,
    )

__version__ = "0.1.0"

__all__ = [
    "BertSpanVectorizer",
    "BertVectorizer",
    "BertWordVectorizer",
    "Comparison",
    "EmbeddingStore",
    "SequenceLabeler",
    "StaticVectorizer",
    "TaggedSentences",
    "Word2VecVectorizer",
    "WordVectors",
    "__version__",
    "compare",
    "default_features",
    "load_pipeline",
    "load_word_vectors",
    "read_conll",
    "save_pipeline",
]

_HOMES = {
    "BertSpanVectorizer": ".features",
    "BertVectorizer": ".features",
    "BertWordVectorizer": ".features",
    "Comparison": ".pipeline",
    "EmbeddingStore": ".models.store",
    "SequenceLabeler": ".pipeline",
    "StaticVectorizer": ".features",
    "TaggedSentences": ".pipeline",
    "Word2VecVectorizer": ".features",
    "WordVectors": ".models.word_vectors",
    "compare": ".pipeline",
    "default_features": ".pipeline",
    "load_pipeline": ".pipeline",
    "load_word_vectors": ".models.word_vectors",
    "read_conll": ".pipeline",
    "save_pipeline": ".pipeline",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(importlib.import_module(_HOMES[name], __name__), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
