"""The store of vectors: one SQLite file, shared by threads, processes and runs.

`embedding_store` has the public class, `session_store` the default. `single_flight` lets one
process compute what several need, under `leases`; `fail_safe` keeps faults of the file harmless,
`sqlite` is the file, with connections that survive forks; `private_files` keeps it from other
users, `records` are its rows, and `memory_cache` keeps the records used last. `session_notes` tells
worker processes what others have resolved.
"""

from __future__ import annotations

from .embedding_store import EmbeddingStore, StoreStats

__all__ = ["EmbeddingStore", "StoreStats"]
