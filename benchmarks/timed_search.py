"""One grid search, timed in its own process: an encoder and `LogisticRegression` on a text column.

It tries 4 layers by 3 values of C. The clock starts after the imports and after the model was
loaded in the main process. A tiny search starts the workers of ``n_jobs=2``; its time is reported
separately.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from .searchers import ENCODERS, LAYERS, OURS

CS = (0.1, 1.0, 10.0)
FOLDS = 5
CANDIDATES = len(LAYERS) * len(CS)

_WARM_UP = ["A text to warm up.", "It is not in the data.", "Nor is this one.", "This is the last."]
_WARM_UP_LABELS = [0, 1, 0, 1]


def search(
    kind: str,
    keep: str | None,
    path: str,
    texts: list[str],
    labels: list[int],
    n_jobs: int,
    model: str,
    candidates: int,
    folds: int,
) -> dict[str, Any]:
    """Run `GridSearchCV` over the whole pipeline, or over its first candidates and folds.

    Parameters
    ----------
    kind, keep : str
        See `Searcher`.
    path : str
        File of the store, for ``keep="path"``.
    texts : list of str
    labels : list of int
    n_jobs : int
    model : str
        Directory of the model.
    candidates, folds : int
        How many of the 12 and the 5 to run.

    Returns
    -------
    dict
        Seconds to start the workers, of the search and of its refit; its best score; texts that
        went through our network (None for peers).
    """
    import pandas as pd
    from sklearn.model_selection import GridSearchCV, ParameterGrid
    from sklearn.pipeline import Pipeline

    encoder, values = ENCODERS[kind](model)
    pipeline = Pipeline([("encode", encoder), ("classify", _classifier())])
    warm_up = pd.Series(_WARM_UP, name="text")
    pipeline.fit(warm_up, _WARM_UP_LABELS)
    started = _start_workers(pipeline, warm_up, n_jobs)

    grid = ParameterGrid(
        {"classify__C": CS, **{f"encode__{name}": choices for name, choices in values.items()}}
    )
    chosen = [
        {name: [value] for name, value in candidate.items()}
        for candidate in list(grid)[:candidates]
    ]
    before = _encoded("path", path) if keep == "path" and Path(path).exists() else 0
    if keep:
        pipeline.set_params(encode__store=_store(keep, path))
    column, y = pd.Series(texts, name="text"), np.array(labels)

    start = time.perf_counter()
    done = GridSearchCV(pipeline, chosen, cv=_folds(y)[:folds], n_jobs=n_jobs).fit(column, y)
    seconds = time.perf_counter() - start
    return {
        "start_seconds": started,
        "search_seconds": seconds,
        "refit_seconds": done.refit_time_,
        "best_score": float(done.best_score_),
        "encoded": _encoded(keep, path) - before if keep else None,
    }


def floor(texts: list[str], labels: list[int], n_jobs: int, model: str) -> dict[str, Any]:
    """Encode all four layers in one pass, then search over classifiers on the arrays."""
    from sklearn.model_selection import GridSearchCV

    encoder, _ = ENCODERS[OURS](model)
    encoder.set_params(layers=list(LAYERS)).fit_transform(_WARM_UP)
    started = _start_workers(_classifier(), np.eye(len(_WARM_UP)), n_jobs)
    y = np.array(labels)

    start = time.perf_counter()
    layers = np.split(encoder.fit_transform(texts), len(LAYERS), axis=1)
    layers[0] /= np.linalg.norm(
        layers[0], axis=1, keepdims=True
    )  # the model's own Normalize belongs to its last layer
    encoding = time.perf_counter() - start
    searches = [
        GridSearchCV(_classifier(), {"C": CS}, cv=_folds(y), n_jobs=n_jobs, refit=False).fit(
            layer, y
        )
        for layer in layers
    ]
    best, layer = max(zip(searches, layers, strict=True), key=lambda pair: pair[0].best_score_)
    refit = time.perf_counter()
    _classifier().set_params(**best.best_params_).fit(layer, y)
    end = time.perf_counter()
    return {
        "start_seconds": started,
        "search_seconds": end - start,
        "encoding_seconds": encoding,
        "refit_seconds": end - refit,
        "best_score": float(best.best_score_),
        "encoded": len(set(texts)),
    }


def _start_workers(estimator: Any, X: Any, n_jobs: int) -> float:
    """Search over four rows, one fold a worker, so that workers import and load the model."""
    from sklearn.model_selection import GridSearchCV

    start = time.perf_counter()
    GridSearchCV(estimator, {}, cv=2, n_jobs=n_jobs, refit=False).fit(X, _WARM_UP_LABELS)
    return time.perf_counter() - start


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def _folds(y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(FOLDS).split(y, y))


def _store(keep: str, path: str) -> Any:
    from bertvectorizer import EmbeddingStore

    return "auto" if keep == "session" else EmbeddingStore(path, keep="all_layers")


def _encoded(keep: str, path: str) -> int:
    """Count the texts that went through the network for a store."""
    from bertvectorizer import EmbeddingStore
    from bertvectorizer.models.store.session_store import session_store

    store = session_store() if keep == "session" else EmbeddingStore(path)
    assert store is not None, "there can be no session store here"
    return store.stats.encoded
