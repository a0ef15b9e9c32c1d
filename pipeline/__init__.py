"""Workflows over the features: compare them, embed whole files."""

from __future__ import annotations

from .compare import Comparison, compare, default_features
from .embed import embed_file
from .example import load_example
from .tables import read_chunks, read_table

__all__ = ["Comparison", "compare", "default_features", "embed_file", "load_example", "read_chunks", "read_table"]
