"""Static word vectors: reading, caching, looking words up, evaluating.

`table` has the public class, under the rules of `checks`. `loading` resolves a parameter; `files`
recognizes a file, and `text_format`, `word2vec_format` and `array_formats` read it; `disk_cache`
keeps it as a mapped array. `static_model` reads models that are a vector for each token, `distill`
takes vectors from a transformer, `evaluation` judges them.
"""

from __future__ import annotations

from .loading import load_word_vectors
from .table import WordVectors

__all__ = ["WordVectors", "load_word_vectors"]
