"""Pipelines that the tests of this folder save, and tampering with their files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

TEXTS = [
    "the old bat flew",
    "a crane hit the ball",
    "money in the bank",
    "river bank",
    "the night",
    "old money",
]


LABELS = ["thing", "animal", "thing", "thing", "animal", "animal"]


NEW = ["bat money cranes", "zebra", "", "the crane \ud800 flew", "bat money cranes"]


WORDS = pd.DataFrame([[0.1, 0.2], [0.3, -0.1], [1.0, 2.0]], index=["bat", "crane", "money"])


Change = Callable[[dict[str, Any], dict[str, bytes]], None]


def fitted(features: Any, estimator: Any = None, labels: Any = LABELS) -> Pipeline:
    estimator = (
        LogisticRegression() if estimator is None else estimator
    )  # a forest that is not fitted has no truth value
    return make_pipeline(features, StandardScaler(with_mean=False), estimator).fit(TEXTS, labels)


def tamper(
    path: Path, change: Change, compression: int = zipfile.ZIP_STORED, *, raw: bool = False
) -> None:
    """Change the description or the arrays in a file, and write it with valid checksums.

    With ``raw``, the bytes of the description are changed in place of its objects.
    """
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files["schema.json"])
    change(schema, files)
    if not raw:
        files["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
