"""Language models as estimators: `read_corpus` reads their texts."""

from __future__ import annotations
