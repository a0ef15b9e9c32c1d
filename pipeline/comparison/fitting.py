"""Fit a feature set and the estimator on it."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from ...errors import InvalidTableError
from ...features import PairVectorizer, read_texts
from ...features.inputs.pairs import is_pairs, read_pairs
from ...validation import short_repr
from ...warning import warn_user
from ..fine_tuning import BertClassifier
from .candidates import berts_of, parts_of, predicts_alone, with_store
from .default_estimators import default_estimator, majority_estimator
from .folds import is_blank, number_groups, read_groups
from .target import Kind, Target

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ...models.store.embedding_store import EmbeddingStore

__all__ = [
    "as_rows",
    "as_texts",
    "fit_features",
    "fit_pipeline",
    "fit_with_groups",
    "make_estimator",
    "named_pairs",
    "note_missing_texts",
    "text_array",
]


def as_texts(X: Any) -> NDArray[np.object_]:
    """Return texts as an array, pairs in two columns; they must not all be empty.

    >>> as_texts(["Hi", None]).tolist(), as_texts([("a", "b")]).shape
    (['Hi', ''], (1, 2))
    """
    texts = text_array(X, is_pairs(X))
    if texts.size and all(map(is_blank, texts.ravel())):
        raise InvalidTableError(f"All {texts.size} texts are missing or empty.")
    return texts


def text_array(X: Any, are_pairs: bool) -> NDArray[np.object_]:
    """Return a column of texts as an array, or pairs as one of two columns."""
    if not are_pairs:
        return np.array(read_texts(X).texts, dtype=object)
    read = read_pairs(X)
    return np.array([read.first, read.second], dtype=object).T


def named_pairs(texts: NDArray[np.object_], names: tuple[str, ...] | None) -> Any:
    """Return pairs as a DataFrame if their columns have names, and all else as it is.

    A pipeline that knows the names refuses columns in another order.
    """
    if texts.ndim == 1 or names is None:
        return texts
    return pd.DataFrame({name: texts[:, side] for side, name in enumerate(names)}, dtype=object)


def note_missing_texts(texts: NDArray[np.object_], of_rows: str = "") -> list[str]:
    """Return a note on missing and empty texts, if there are any.

    Examples
    --------
    >>> note_missing_texts(as_texts(["Hi", None, " "]))
    ['2 of 3 texts are missing or empty. They are read as "".']
    """
    n_missing = sum(map(is_blank, texts.ravel()))
    if not n_missing:
        return []
    return [
        f'{n_missing:,} of {texts.size:,} texts{of_rows} are missing or empty. They are read as "".'
    ]


def as_rows(features: Any) -> Any:
    """Return a matrix whose rows can be indexed: CSR if sparse, else an array."""
    return features.tocsr() if hasattr(features, "tocsr") else np.asarray(features)


def make_estimator(
    estimator: Any,
    features: Any,
    kind: Kind,
    labels: NDArray[Any],
    groups: NDArray[np.int64] | None = None,
) -> Any:
    """Return an unfitted clone of the estimator, or the default one for these features."""
    if estimator is None:
        return default_estimator(features, kind, labels, groups)
    return clone(estimator)


def fit_features(
    transformer: Any, texts: Any, labels: NDArray[Any], groups: NDArray[np.int64] | None = None
) -> Any:
    """Fit a transformer and return the features of the same texts."""
    if hasattr(transformer, "fit_transform"):
        return fit_with_groups(transformer, texts, labels, groups, "fit_transform")
    return fit_with_groups(transformer, texts, labels, groups).transform(texts)


def fit_with_groups(
    estimator: Any,
    X: Any,
    labels: NDArray[Any],
    groups: NDArray[np.int64] | None,
    method: str = "fit",
) -> Any:
    """Fit an estimator so that the folds that it makes itself keep groups together.

    Such folds choose the parameters of `LogisticRegressionCV` or `GridSearchCV`, or are the
    validation rows of a fine-tuned model. Groups get there by scikit-learn's metadata routing.
    Numbers of folds and splitters that know no groups are replaced during the fit by those that do,
    or by their folds where an estimator passes no groups on but gets all rows. A warning names the
    parts whose folds may split groups.
    """
    fit = getattr(estimator, method)
    if groups is None:
        return fit(X, labels)
    with config_context(enable_metadata_routing=True):
        given = _give_group_folds(estimator, labels, groups, method)
        try:
            return (
                fit(X, labels, groups=groups)
                if _takes_groups(estimator, method)
                else fit(X, labels)
            )
        finally:
            estimator.set_params(**given)  # so that it can be fitted without groups again


def _takes_groups(estimator: Any, method: str) -> bool:
    """Whether an estimator or a splitter, or a part of it, gets groups that are passed to it."""
    try:
        return bool(get_routing_for_object(estimator).consumes(method, {"groups"}))
    except (NotImplementedError, AttributeError):  # it does not route
        return False


def _give_group_folds(
    estimator: Any, labels: NDArray[Any], groups: NDArray[np.int64], method: str
) -> dict[str, Any]:
    """Set splitters that keep groups together; return the parameters as they were."""
    if not hasattr(estimator, "get_params"):
        return {}
    parameters = estimator.get_params(deep=True)
    found, blind = {}, []
    for path, given in parameters.items():
        prefix, _, name = path.rpartition("__")
        owner = parameters[prefix] if prefix else estimator
        if name == "early_stopping" and given is True and not _takes_groups(owner, "fit"):
            blind.append(f"{type(owner).__name__}({name}=True)")
        if name != "cv" or isinstance(given, str) or _takes_groups(given, "split"):
            continue
        splitter = _group_splitter(given, owner, labels, groups)
        if splitter is not None:
            estimator.set_params(**{path: splitter})
            if _takes_groups(owner, "fit") and _takes_groups(estimator, method):
                found[path] = splitter
            elif _gets_all_rows(estimator, parameters, prefix):
                found[path] = list(splitter.split(labels, labels, groups))
            estimator.set_params(**{path: given})
        if path not in found:
            blind.append(f"{type(owner).__name__}(cv={short_repr(given)})")
    if blind:
        warn_user(
            f"Rows of a group may be on both sides of the inner splits of {', '.join(blind)}, which"
            " cannot keep groups together: what they choose may be over-fitted. Use an estimator"
            " that takes groups, with cv=StratifiedGroupKFold(5) or another such splitter."
        )
    estimator.set_params(**found)
    return {path: parameters[path] for path in found}


def _gets_all_rows(estimator: Any, parameters: dict[str, Any], path: str) -> bool:
    """Whether a part that predicts or selects features is fitted on the rows of the whole."""
    owner = parameters[path] if path else estimator
    names = path.split("__")[:-1] if path else []
    above = [parameters["__".join(names[:n])] if n else estimator for n in range(len(names) + 1)]
    is_known = hasattr(owner, "predict") or hasattr(owner, "get_support")
    return is_known and (not path or all(type(one) is Pipeline for one in above))


def _group_splitter(cv: Any, owner: Any, labels: NDArray[Any], groups: NDArray[np.int64]) -> Any:
    """Return the splitter of groups that is most like ``cv``; None if there is none."""
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        return None
    stratified: Any = StratifiedGroupKFold if labels.ndim == 1 else GroupKFold
    if cv is None or isinstance(cv, numbers.Integral):
        if cv is None and any(
            getattr(owner, name, False) for name in ("alpha_per_target", "store_cv_results")
        ):
            return None  # RidgeCV has these for rows left out one by one
        kind = stratified if is_classifier(owner) else GroupKFold
        return kind(min(5 if cv is None else int(cv), n_groups))
    if type(cv) in (KFold, StratifiedKFold):
        kind = stratified if isinstance(cv, StratifiedKFold) else GroupKFold
        return kind(min(cv.n_splits, n_groups), shuffle=cv.shuffle, random_state=cv.random_state)
    if type(cv) in (ShuffleSplit, StratifiedShuffleSplit):
        sizes = {name: getattr(cv, name) for name in ("test_size", "train_size", "random_state")}
        return GroupShuffleSplit(cv.n_splits, **sizes)
    return LeaveOneGroupOut() if type(cv) is LeaveOneOut else None


def fit_pipeline(
    transformer: Any,
    estimator: Any,
    texts: NDArray[np.object_] | pd.DataFrame,
    target: Target,
    store: str | Path | EmbeddingStore | None = "auto",
    groups: Any = None,
) -> Pipeline:
    """Fit features and an estimator on texts.

    Parameters
    ----------
    transformer : transformer, classifier, regressor or None
        The features. A classifier or regressor of texts predicts by itself. None predicts the
        majority class or the mean.
    estimator : estimator or None
        The estimator on the features. None takes the default estimator of `compare`.
    texts : ndarray of shape (n_rows,) or (n_rows, 2), or DataFrame of two columns, dtype object
        The texts, or pairs of texts.
    target : Target
        The target of the texts, as in the attribute ``target`` of `Comparison`.
    store : "auto", str, Path, EmbeddingStore or None, default="auto"
        Store of vectors to use while fitting. The fitted pipeline has the store of the transformer.
    groups : array-like of shape (n_rows,) or None, default=None
        Group of each row. Folds that the estimator makes to choose its parameters keep groups
        together.

    Returns
    -------
    pipeline : Pipeline
        The fitted pipeline, with the steps ``features`` and ``estimator``, or with ``estimator``
        alone. For several labels a row it predicts a column of 0 and 1 for each label of
        ``target.classes``. `BertClassifier`, and the default estimator of up to 20 labels, also
        have them as ``classes_``, and ``predict_proba`` with the same columns.

    See Also
    --------
    Comparison.pipeline : Fit a feature set of a comparison on all its rows.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from bertvectorizer.pipeline import compare, fit_pipeline, load_example
    >>> example = load_example().head(60)
    >>> comparison = compare(example["text"], example["label"], ["majority class"], cv=3)
    >>> pipeline = fit_pipeline(TfidfVectorizer(), None, comparison.texts, comparison.target)
    >>> list(pipeline.named_steps)
    ['features', 'estimator']
    """
    groups = number_groups(read_groups(groups, len(texts))[0])
    if transformer is None:
        return Pipeline([("estimator", majority_estimator(target.kind))]).fit(texts, target.values)
    if predicts_alone(transformer):
        alone = fit_with_groups(with_store(transformer, store), texts, target.values, groups)
        if target.kind == "multilabel" and isinstance(alone, BertClassifier):
            alone.classes_ = target.classes  # names; a matrix of labels has none
        _restore_stores(alone, transformer)
        return Pipeline([("estimator", alone)])
    features = with_store(transformer, store)
    vectors = fit_features(features, texts, target.values, groups)
    model = make_estimator(estimator, vectors, target.kind, target.values, groups)
    fit_with_groups(model, vectors, target.values, groups)
    if estimator is None and isinstance(model[-1], LogisticRegressionCV):
        # score() is to give accuracy, as of any classifier; C was chosen by log loss.
        model[-1].set_params(scoring="accuracy")
    if estimator is None and isinstance(model[-1], OneVsRestClassifier):
        model[-1].classes_ = target.classes  # names; a matrix of labels has none
    _restore_stores(features, transformer)
    for pair in parts_of(features):
        if isinstance(pair, PairVectorizer):  # it holds what it fitted beside its parameter
            _restore_stores(pair.vectorizer_, pair.vectorizer)
    return Pipeline([("features", features), ("estimator", model)])


def _restore_stores(fitted: Any, given: Any) -> None:
    """Give the parts of a fitted transformer the stores that they were given with."""
    for part, own in zip(berts_of(fitted), berts_of(given), strict=True):
        part.store = own.store
