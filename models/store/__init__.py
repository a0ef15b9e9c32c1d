"""The store of vectors: one SQLite file, shared by threads, processes and runs."""

from __future__ import annotations

from .embedding_store import EmbeddingStore, StoreStats

__all__ = ["EmbeddingStore", "StoreStats"]
