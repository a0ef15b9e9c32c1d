"""Warnings that point at the user's own line."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_user"]

_SKIPPED = {"bertvectorizer", "joblib", "sklearn"}


def warn_user(message: str) -> None:
    """Warn at the nearest caller outside this package, scikit-learn and joblib."""
    level = 1
    frame = sys._getframe(1)
    while (
        frame.f_back is not None
        and frame.f_globals.get("__name__", "").partition(".")[0] in _SKIPPED
    ):
        frame = frame.f_back
        level += 1
    warnings.warn(message, UserWarning, stacklevel=level + 1)
