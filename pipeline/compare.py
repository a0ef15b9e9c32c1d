"""Is BERT worth it on these texts? Features side by side, on the same folds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from ..features import BertVectorizer, read_texts
from ..models.errors import BertVectorizerError, InvalidTableError
from ..models.validation import check_int

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Comparison", "compare", "default_features"]

_TEXTS_AT_ONCE = 256
_COLUMNS = ["features", "dimensions", "accuracy", "spread", "seconds"]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    table : DataFrame
        A row for each kind of features: ``features``, ``dimensions`` (those of the last fold), ``accuracy`` (mean over
        folds), ``spread`` (standard deviation over folds), ``seconds`` (vectors, fits and predictions, all folds).
    scores : dict of str to ndarray
        Accuracy of each fold. *Shape of each:* ``(cv,)``.
    """

    table: pd.DataFrame
    scores: dict[str, NDArray[np.float64]]

    @property
    def best(self) -> str:
        """Name of the features with the highest mean accuracy."""
        return str(self.table["features"].iloc[self.table["accuracy"].argmax()])

    def __str__(self) -> str:
        return self.table.to_string(index=False)


def default_features(**bert: Any) -> dict[str, Any]:
    """Return the default roster; keyword arguments go to `BertVectorizer`."""
    return {
        "majority class": None,
        "TF-IDF words": TfidfVectorizer(sublinear_tf=True),
        "BERT": BertVectorizer(**bert),
    }


def compare(
    X: Any,
    y: Any,
    features: dict[str, Any] | None = None,
    *,
    cv: int = 5,
    random_state: int | None = 0,
    progress: Callable[[str, str, int, int], Any] | None = None,
) -> Comparison:
    """Cross-validate kinds of features on the same folds, each with a logistic regression.

    Parameters
    ----------
    X : list, ndarray, Series or one-column DataFrame of str
        Texts. *Length:* ``n_texts``.
    y : array-like
        Labels. *Shape:* ``(n_texts,)``.
    features : dict of str to transformer, or None
        Kinds of features by name; None as a transformer means the majority class. None takes `default_features`.
    cv : int
        Number of stratified, shuffled folds.
    random_state : int or None
        Seed of the folds.
    progress : callable or None
        Called with the name, the unit (``"texts"`` while they are turned into vectors before the folds, then
        ``"folds"``), how many are done, and how many there are.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidTableError
        If labels or all texts are missing, there is only one class, or a class has fewer rows than there are folds.

    Notes
    -----
    Transformers that need no fitting are applied once, before the folds are cut: the numbers are the same, and no text
    is encoded again for each fold. Dense features are scaled to unit variance; sparse ones are taken as they are, since
    scaling would undo their idf weights. Labels are compared as text.

    Examples
    --------
    >>> from bertvectorizer.pipeline import compare, load_example
    >>> example = load_example().head(60)
    >>> comparison = compare(example["text"], example["label"], cv=3)
    >>> comparison.table["features"].tolist()
    ['majority class', 'TF-IDF words', 'BERT']
    """
    texts = np.array(read_texts(X).texts, dtype=object)
    folds = check_int("cv", cv, 2)
    labels = _check_labels(y, len(texts), folds)
    if not any(text.strip() for text in texts):
        raise InvalidTableError(f"All {len(texts)} texts are missing or empty.")
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=random_state).split(texts, labels))
    roster = default_features() if features is None else features
    rows, scores = [], {}
    for name, transformer in roster.items():
        started = time.perf_counter()
        report = partial(progress or _ignore, name)
        learns = transformer is not None and get_tags(transformer).requires_fit
        data = texts if transformer is None or learns else _encode(transformer, texts, partial(report, "texts"))
        report("folds", 0, folds)
        scores[name] = np.zeros(folds)
        dimensions = 0
        for number, (train, test) in enumerate(splits):
            train_data, test_data = data[train], data[test]
            if learns:
                train_data, test_data = _learn(name, transformer, train_data, test_data)
            model = (DummyClassifier() if transformer is None else _classifier(train_data)).fit(train_data, labels[train])
            scores[name][number] = model.score(test_data, labels[test])
            dimensions = 0 if transformer is None else train_data.shape[1]
            report("folds", number + 1, folds)
        rows.append((name, dimensions, scores[name].mean(), scores[name].std(ddof=1), time.perf_counter() - started))
    return Comparison(pd.DataFrame(rows, columns=_COLUMNS), scores)


def _ignore(*_news: Any) -> None:
    """Report to nobody."""


def _encode(transformer: Any, texts: NDArray[np.object_], report: Callable[[int, int], Any]) -> Any:
    """Return the features of all texts, each distinct one turned into them once, in portions that can be reported."""
    report(0, len(texts))
    whole = clone(transformer).fit(texts)
    distinct, places, counts = np.unique(texts, return_inverse=True, return_counts=True)
    done, portions = 0, []
    for start in range(0, len(distinct), _TEXTS_AT_ONCE):
        portion = slice(start, start + _TEXTS_AT_ONCE)
        portions.append(_rows(whole.transform(distinct[portion])))
        done += int(counts[portion].sum())
        report(done, len(texts))
    stack = np.concatenate if isinstance(portions[0], np.ndarray) else sparse.vstack
    return _rows(stack(portions))[places]


def _learn(name: str, transformer: Any, train: NDArray[np.object_], test: NDArray[np.object_]) -> tuple[Any, Any]:
    """Return the features of one fold, learnt from its training texts alone."""
    fold = clone(transformer)
    try:
        return _rows(fold.fit_transform(train)), _rows(fold.transform(test))
    except ValueError as error:
        if isinstance(error, BertVectorizerError):
            raise
        raise InvalidTableError(f"The features {name!r} cannot be learnt from these texts: {error}") from error


def _rows(features: Any) -> Any:
    """Return a matrix whose rows can be chosen by number: sparse, or an array."""
    return features.tocsr() if hasattr(features, "tocsr") else np.asarray(features)


def _classifier(features: Any) -> Any:
    if isinstance(features, np.ndarray):
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return LogisticRegression(C=10.0, max_iter=1000)


def _check_labels(y: Any, n_texts: int, folds: int) -> NDArray[np.object_]:
    labels = np.asarray(y, dtype=object)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InvalidTableError(f"The target must be one column of labels. Got an array of shape {labels.shape}.")
    if len(labels) != n_texts:
        raise InvalidTableError(f"There are {n_texts} texts but {len(labels)} labels; each text needs one.")
    if not n_texts:
        raise InvalidTableError("There are no texts: the table has no rows.")
    missing = pd.isna(labels)
    if missing.any():
        name = y.columns[0] if hasattr(y, "columns") else getattr(y, "name", None)
        raise InvalidTableError(
            f"The target {'' if name in (None, '') else f'{name!r} '}is missing in {missing.sum()} row(s), the first is row "
            f"{missing.argmax()} (counted from 0). Drop them or fill them."
        )
    labels = labels.astype(str).astype(object)
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise InvalidTableError(f"The target must have at least 2 classes. Got 1, {classes[0]!r} in every row.")
    rarest = counts.argmin()
    if counts[rarest] < folds:
        raise InvalidTableError(
            f"Each class needs at least as many rows as there are folds ({folds}). Got {counts[rarest]} row(s) of class "
            f"{classes[rarest]!r}. Use fewer folds, or leave rare classes out."
        )
    return labels
