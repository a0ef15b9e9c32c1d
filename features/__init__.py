"""scikit-learn transformers that turn texts into numbers.

`bert_common` and `bert_span_base` are what the Bert vectorizers share; `weighting` pools word
vectors. `encode_ahead` fills the store before the worker processes of a search start.
"""

from __future__ import annotations

from .base import TextVectorizer
from .bert import BertVectorizer
from .bert_spans import BertSpanVectorizer
from .bert_words import BertWordVectorizer
from .encode_ahead import encode_ahead
from .inputs.texts import read_texts
from .overlap import OverlapVectorizer
from .pairs import PairVectorizer
from .static import StaticVectorizer
from .static_base import OovReport, WordVectorizer
from .word2vec import Word2VecVectorizer

__all__ = [
    "BertSpanVectorizer",
    "BertVectorizer",
    "BertWordVectorizer",
    "OovReport",
    "OverlapVectorizer",
    "PairVectorizer",
    "StaticVectorizer",
    "TextVectorizer",
    "Word2VecVectorizer",
    "WordVectorizer",
    "encode_ahead",
    "read_texts",
]
