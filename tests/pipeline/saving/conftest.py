"""Fixtures of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from bertvectorizer.pipeline.saving.pipeline_file import save_pipeline
from tests.pipeline.saving.pipelines import fitted


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file as it should be, for tests that spoil it."""
    path = tmp_path / "model.skops"
    save_pipeline(
        fitted(TfidfVectorizer()), path, text="review", target="sense", metadata={"score": 0.5}
    )
    return path
