"""Warnings that point at the user's own line."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_user"]

_PASSED_OVER = {"bertvectorizer", "joblib", "sklearn"}


def warn_user(message: str) -> None:
    """Warn as if from the nearest caller outside this package and scikit-learn's machinery (pipelines, searches, joblib)."""
    level = 1
    frame = sys._getframe(1)
    while (
        frame.f_back is not None
        and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_OVER
    ):
        frame = frame.f_back
        level += 1
    warnings.warn(message, UserWarning, stacklevel=level + 1)
