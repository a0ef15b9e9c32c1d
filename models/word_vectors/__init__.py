"""Static word vectors: reading files of them, keeping them on disk, looking words up, judging them."""

from __future__ import annotations

from .loading import load_word_vectors
from .table import WordVectors

__all__ = ["WordVectors", "load_word_vectors"]
