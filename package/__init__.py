"""Contextual embeddings as features for scikit-learn.

Names are imported when they are first used: ``import bertvectorizer`` loads neither torch nor
transformers. `errors` are public. `validation`, `warning`, `compressed`, `foreign`,
`output_file` and `private_api` serve all folders and import none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .features import (
        BertSpanVectorizer,
        BertVectorizer,
        BertWordVectorizer,
        OverlapVectorizer,
        PairVectorizer,
        StaticVectorizer,
        Word2VecVectorizer,
        encode_ahead,
    )
    from .models.store import EmbeddingStore
    from .models.word_vectors import WordVectors, load_word_vectors
    from .pipeline import (
        BertAnswerer,
        BertClassifier,
        BertRegressor,
        BertTagger,
        Comparison,
        LanguageModel,
        SequenceLabeler,
        TaggedSentences,
        architectures,
        compare,
        default_features,
        load_pipeline,
        read_conll,
        save_pipeline,
        train_wordpiece,
    )

__version__ = "0.1.0"

__all__ = [
    "BertAnswerer",
    "BertClassifier",
    "BertRegressor",
    "BertSpanVectorizer",
    "BertTagger",
    "BertVectorizer",
    "BertWordVectorizer",
    "Comparison",
    "EmbeddingStore",
    "LanguageModel",
    "OverlapVectorizer",
    "PairVectorizer",
    "SequenceLabeler",
    "StaticVectorizer",
    "TaggedSentences",
    "Word2VecVectorizer",
    "WordVectors",
    "__version__",
    "architectures",
    "compare",
    "default_features",
    "encode_ahead",
    "load_pipeline",
    "load_word_vectors",
    "read_conll",
    "save_pipeline",
    "train_wordpiece",
]

_MODULES = {
    "EmbeddingStore": ".models.store",
    "WordVectors": ".models.word_vectors",
    "encode_ahead": ".features",
    "load_word_vectors": ".models.word_vectors",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = ".features" if name.endswith("Vectorizer") else _MODULES.get(name, ".pipeline")
    value = getattr(importlib.import_module(module, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
