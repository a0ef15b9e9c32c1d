"""Pairs of sentences, SICK and STS-B: frozen vectors of both sides beside fine-tuned pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertClassifier, BertRegressor, BertVectorizer, PairVectorizer

from .cpu_seconds import fit_and_predict, timed
from .kept_results import Measurement
from .texts import sick_split, stsb

Pairs = list[tuple[str, str]]
Score = Callable[[Any, Any], dict[str, float]]

C_VALUES = [0.0003, 0.001, 0.003, 0.01]
ALPHAS = [300.0, 1000.0, 3000.0, 10000.0]
FOLDS = 5

COSINE = "cosine of frozen vectors"
LOGISTIC = "PairVectorizer, LogisticRegression"
RIDGE = "PairVectorizer, Ridge"
CLASSIFIER = "BertClassifier, all layers"
REGRESSOR = "BertRegressor, all layers"
BOTH_ORDERS = 'BertRegressor, all layers, order="both"'


def sick_measurements(
    data: Path, model: str, seeds: list[int], limit: int | None
) -> Iterator[Measurement]:
    """Yield what to measure on SICK: entailment by accuracy, relatedness by correlation."""
    train, test = (sick_split(data, split)[:limit] for split in ("train", "test_annotated"))
    X, X_test = ([(pair.first, pair.second) for pair in pairs] for pairs in (train, test))
    classes, true_classes = ([pair.entailment for pair in pairs] for pairs in (train, test))
    scores, true_scores = ([pair.score for pair in pairs] for pairs in (train, test))
    entailment = X, classes, X_test, true_classes
    relatedness = X, scores, X_test, true_scores
    yield _measurement("entailment", LOGISTIC, lambda: _logistic(model, *entailment))
    yield _measurement("relatedness", RIDGE, lambda: _ridge(model, *relatedness))
    yield _measurement("relatedness", COSINE, lambda: _cosine(model, *relatedness))
    for seed in seeds:
        classifier = BertClassifier(model, random_state=seed, store=None)
        yield _measurement(
            *("entailment", CLASSIFIER),
            lambda classifier=classifier: _tuned(classifier, *entailment, _accuracy),
            seed,
        )
    yield from _regressors(model, "relatedness", relatedness, seeds, REGRESSOR)


def stsb_measurements(
    data: Path, model: str, seeds: list[int], limit: int | None
) -> Iterator[Measurement]:
    """Yield what to measure on STS-B: training pairs to learn from, dev pairs to report on."""
    parts = [stsb(data, split)[:limit] for split in ("train", "dev")]
    X, X_test = ([(first, second) for first, second, _ in pairs] for pairs in parts)
    y, true = ([score for *_, score in pairs] for pairs in parts)
    similarity = X, y, X_test, true
    yield _measurement("similarity", RIDGE, lambda: _ridge(model, *similarity))
    yield _measurement("similarity", COSINE, lambda: _cosine(model, *similarity))
    for way in (REGRESSOR, BOTH_ORDERS):
        yield from _regressors(model, "similarity", similarity, seeds, way)


def _regressors(
    model: str, task: str, rows: Any, seeds: list[int], way: str
) -> Iterator[Measurement]:
    order = "both" if way == BOTH_ORDERS else "given"
    for seed in seeds:
        regressor = BertRegressor(model, order=order, random_state=seed, store=None)
        yield _measurement(
            *(task, way), lambda regressor=regressor: _tuned(regressor, *rows, _correlations), seed
        )


def _measurement(
    task: str, way: str, run: Callable[[], dict[str, Any]], seed: int | None = None
) -> Measurement:
    return Measurement({"task": task, "way": way, "seed": seed}, run)


def _tuned(
    estimator: Any, X: Pairs, y: list[Any], X_test: Pairs, true: list[Any], score: Score
) -> dict[str, Any]:
    predictions, facts = fit_and_predict(estimator, X, y, X_test)
    return {
        **score(true, predictions), **facts, "loss_curve": estimator.loss_curve_,
        **_sizes(X, X_test),
    }  # fmt: skip


def _logistic(model: str, X: Pairs, y: list[str], X_test: Pairs, true: list[str]) -> dict[str, Any]:
    return _on_features(
        *(model, X, y, X_test, true, LogisticRegression(max_iter=1000)),
        {"logisticregression__C": C_VALUES},
        _accuracy,
    )


def _ridge(
    model: str, X: Pairs, y: list[float], X_test: Pairs, true: list[float]
) -> dict[str, Any]:
    return _on_features(
        *(model, X, y, X_test, true, Ridge()), {"ridge__alpha": ALPHAS}, _correlations
    )


def _on_features(
    model: str,
    X: Pairs,
    y: list[Any],
    X_test: Pairs,
    true: list[Any],
    estimator: BaseEstimator,
    grid: dict[str, list[float]],
    score: Score,
) -> dict[str, Any]:
    """Choose the regularization of an estimator on the features of pairs; encode once."""
    vectorizer = PairVectorizer(BertVectorizer(model, store=None))
    features, encoding = timed(lambda: vectorizer.fit_transform(X))
    test_features, test_encoding = timed(lambda: vectorizer.transform(X_test))
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    search = GridSearchCV(make_pipeline(StandardScaler(), estimator), grid, cv=folds)
    predictions, facts = fit_and_predict(search, features, y, test_features)
    return {
        **score(true, predictions),
        **facts,
        "lower_seconds": encoding,
        "prediction_seconds": facts["prediction_seconds"] + test_encoding,
        "chosen": search.best_params_,
        **_sizes(X, X_test),
    }


def _cosine(
    model: str, X: Pairs, y: list[float], X_test: Pairs, true: list[float]
) -> dict[str, Any]:
    vectorizer = PairVectorizer(BertVectorizer(model, store=None), combine="cosine")
    cosines, seconds = timed(lambda: vectorizer.fit_transform(X_test)[:, 0])
    return {
        **_correlations(true, cosines), "lower_seconds": 0.0, "training_seconds": 0.0,
        "prediction_seconds": seconds, **_sizes([], X_test),
    }  # fmt: skip


def _sizes(X: Pairs, X_test: Pairs) -> dict[str, int]:
    return {"train": len(X), "test": len(X_test)}


def _accuracy(true: Any, predictions: Any) -> dict[str, float]:
    return {"accuracy": float(np.mean(np.asarray(true) == np.asarray(predictions)))}


def _correlations(true: Any, predictions: Any) -> dict[str, float]:
    return {
        "pearson": float(pearsonr(true, predictions).statistic),
        "spearman": float(spearmanr(true, predictions).statistic),
    }
