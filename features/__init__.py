"""scikit-learn transformers that turn texts into numbers."""

from __future__ import annotations

from .base import TextVectorizer
from .bert import BertVectorizer
from .text_column import read_texts

__all__ = ["BertVectorizer", "TextVectorizer", "read_texts"]
