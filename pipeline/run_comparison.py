"""Compare feature sets on the same folds: scores, tests against the best baseline, and cost."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..errors import BertVectorizerError, InvalidParameterError, InvalidTableError
from ..features.inputs.frames import index_of, names_of
from ..models.encode_texts import open_store
from ..models.store.embedding_store import EmbeddingStore
from ..models.store.session_store import comparison_store
from ..validation import check_int, invalid, short_repr
from ..warning import warn_user
from .comparison.candidates import (
    berts_of,
    can_distill,
    choose_features,
    choose_primary,
    default_features,
    fine_tuned_features,
    for_kind,
    of_pairs,
    predicts_alone,
)
from .comparison.cross_validation import CrossValidation
from .comparison.fitting import as_texts, note_missing_texts, text_array
from .comparison.folds import (
    Folds,
    Split,
    count_leaks,
    is_number_of_folds,
    join_duplicates,
    make_folds,
    number_groups,
    read_groups,
    spread_groups,
)
from .comparison.metrics import Metric, resolve_scoring
from .comparison.outcome import Outcome
from .comparison.results_table import note_misses
from .comparison.target import Target, Task, join_target, read_target
from .fine_tuning.base import FineTunedEstimator
from .progress_bar import Progress, comparison_bar, no_progress, shows_bar
from .report.result import Comparison

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ComparisonInterrupted", "compare"]

_MAX_JOBS = 1 << 20
_CURVE_SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
_LIBRARIES = ("bertvectorizer", "scikit-learn", "torch", "transformers")


class _ProgressError(BaseException):
    """The ``progress`` function of the user failed, which is no failure of a feature set."""


class ComparisonInterrupted(KeyboardInterrupt):
    """Raised by `compare` on Ctrl-C, with the results so far.

    Attributes
    ----------
    comparison : Comparison or None
        The comparison of the finished feature sets. None if no feature set was finished.

    Examples
    --------
    >>> from bertvectorizer.pipeline import ComparisonInterrupted
    >>> ComparisonInterrupted(None).comparison is None
    True
    """

    def __init__(self, comparison: Comparison | None) -> None:
        super().__init__()
        self.comparison = comparison


def compare(
    X: Any,
    y: Any,
    features: Mapping[str, Any] | Sequence[str] | str | None = None,
    estimator: Any = None,
    cv: Any = None,
    scoring: Any = None,
    n_jobs: int | None = None,
    random_state: int | None = 0,
    store: str | Path | EmbeddingStore | None = "auto",
    *,
    primary: str | None = None,
    groups: Any = None,
    group_duplicates: Literal["auto"] | bool = "auto",
    test: tuple[Any, Any] | tuple[Any, Any, Any] | None = None,
    task: Task = "auto",
    learning_curve: bool | Sequence[float] = False,
    progress: Progress | None = None,
    show_progress_bar: bool | None = None,
) -> Comparison:
    """Cross-validate feature sets on the same folds and test their differences.

    Parameters
    ----------
    X : list, ndarray, Series or DataFrame of str, of shape (n_rows,), (n_rows, 1) or (n_rows, 2)
        The texts. Two columns, or a list of tuples, are pairs of texts.
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        The target: classes, numbers, a list of labels for each row, or a column of 0 and 1 for each
        label.
    features : dict of str to transformer, list of str, str or None, default=None
        Names of `default_features`, or ``"BERT fine-tuned"`` (see `fine_tuned_features`); or a dict
        of scikit-learn transformers of texts by name. For pairs, transformers of single texts serve
        both sides of a `PairVectorizer`. A classifier or regressor of texts, such as
        `BertClassifier` or a pipeline, is fitted on the texts and predicts by itself. In the dict,
        None is the majority class, or for regression the mean of the target, and is then named so.
        Case, blanks and hyphens of names do not matter, and ``"tfidf"`` is ``"TF-IDF words"``. None
        takes all `default_features`. To add one, use ``{**default_features(), "mine":
        transformer}``; for several models, a dict with a `BertVectorizer` of each.
    estimator : estimator or None, default=None
        Estimator for every feature set that does not predict by itself. None takes `StandardScaler`
        for dense features or `Normalizer` for sparse ones, and `LogisticRegressionCV`,
        `RidgeClassifierCV` or `RidgeCV`, whose regularization is chosen on the training rows.
    cv : int, str, splitter, iterable or None, default=None
        A number of folds, ``"2x5"`` for two repeats of five folds, a scikit-learn splitter, or
        pairs of training and test rows. None takes ``"2x5"``. With a single fold, such as that of a
        `PredefinedSplit`, intervals are bootstrapped from its test rows.
    scoring : str, callable, list, dict or None, default=None
        Metrics, as in scikit-learn. The first one ranks the feature sets. None takes several
        metrics, the first of which is accuracy for classes, or balanced accuracy if one of them has
        at least 90 % of the rows; macro F1 for multilabel targets; and R2 for regression.
    n_jobs : int or None, default=None
        Number of processes that fit folds. None means 1, and -1 one for each core. Texts are
        encoded before that, on all cores.
    random_state : int or None, default=0
        Seed of folds and bootstrap.
    store : "auto", str, Path, EmbeddingStore or None, default="auto"
        Store of vectors, as in `BertVectorizer`. ``"auto"`` keeps all layers for the session, so
        that each text is encoded once.
    primary : str or None, default=None
        Feature set whose test against the best baseline is declared beforehand: it alone decides
        the headline, and is not corrected for other tests. None takes the checkpoint as it pools,
        ``"BERT"`` of the default feature sets; else the first `BertVectorizer` with ``layers=-1``
        and ``pooling="auto"``, else the first contextual feature set.
    groups : array-like of shape (n_rows,) or None, default=None
        Group of each row, such as the author of a message. Rows of a group are never split between
        training and test rows, nor between those of the folds that an estimator makes to choose
        its own parameters. Intervals and tests count groups, not rows.
    group_duplicates : "auto" or bool, default="auto"
        Whether rows with the same text also form a group, case and spaces apart. Of pairs, those
        that have one text in common do, and so do all that hang together by such pairs.
        ``"auto"`` groups pairs if ``cv`` is a number of folds and the groups allow even folds, with
        every class on both sides and no more than twice as many rows in one test set as in another;
        it groups no single texts. Missing or empty texts are not the same text.
    test : tuple of (X, y) or (X, y, groups), or None, default=None
        Held-back rows. They are scored once, after a fit on all of ``X``. With ``groups``, one for
        each row, the interval of this score counts groups.
    task : {"auto", "classification", "regression"}, default="auto"
        Kind of target. ``"auto"`` takes numbers with fractions as regression, and all other values
        as classes.
    learning_curve : bool or sequence of float, default=False
        Whether to also fit on growing shares of the training rows, on the folds of the first
        repeat. A sequence gives the shares, in (0, 1]. Groups stay whole, so that the numbers of
        rows are means.
    progress : callable or None, default=None
        Called with the name of a feature set, the unit (``"texts"`` while encoding, then
        ``"folds"``), the number of units done, and their total.
    show_progress_bar : bool or None, default=None
        Whether to show a progress bar, in fits. None shows one in notebooks, and where standard
        error is a terminal, unless there is a ``progress``.

    Returns
    -------
    comparison : Comparison
        The result, with a table, plots, a report, and a pipeline of each feature set.

    Raises
    ------
    InvalidTableError
        If a target value or all texts are missing, there is only one class, there are too few rows,
        or no feature set could be used.
    InvalidTextError
        If X is not one column of texts, nor two.
    InvalidParameterError
        If a parameter breaks its rule.
    ComparisonInterrupted
        If Ctrl-C is pressed. It holds the results so far.

    See Also
    --------
    default_features : The default feature sets.
    layer_features : Every layer of a model as a feature set; -2 is often the best one.
    Comparison.to_html : Write the report.

    Notes
    -----
    The estimator, and transformers that learn from texts, are fitted on the training rows of each
    fold. The features of other transformers are computed once. A feature set that fails is left out
    with a warning.

    The best baseline is the one with the best mean score. The other contextual feature sets are one
    exploratory family: their p-values are corrected by Holm, and their intervals are simultaneous.
    So these depend on how many others are compared, while the test of ``primary`` depends on others
    only by which baseline is the best. Other baselines are not tested. If there are only baselines,
    or only contextual feature sets, all are compared with the best of them as one exploratory
    family.

    The methods of intervals and tests depend on the metric. `Comparison.methods` names them with
    their references, and `Comparison.doubts` says where they may not hold. The best of many feature
    sets also has the best luck: `Comparison.corrected_best` is its score corrected for that.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.

    Examples
    --------
    >>> from bertvectorizer import compare
    >>> from bertvectorizer.pipeline import load_example
    >>> example = load_example().head(100)
    >>> names = ["majority class", "TF-IDF words", "BERT"]
    >>> comparison = compare(example["text"], example["label"], names)
    >>> comparison.table["verdict"].tolist()
    ['best baseline', 'not tested', 'better']
    """
    texts, n_rows = _read_all(X, test)
    n_test = len(texts) - n_rows
    target, notes = read_target(y, n_rows, task)
    dominant = target.dominant_class
    metrics = resolve_scoring(scoring, target.kind, dominant is not None)
    if dominant is not None and scoring is None:
        notes += [_note_skew(*dominant)]
    has_bar = shows_bar(show_progress_bar, progress)
    if n_jobs is not None and check_int("n_jobs", n_jobs, -_MAX_JOBS) == 0:
        raise invalid("n_jobs", "a number of processes, -1 for one each core, or None", n_jobs)
    check_int("random_state", random_state, 0, optional=True)
    group_of, test_group_of = read_groups(groups, n_rows, test, n_test)
    folds, joined, fault = _make_folds(
        cv, texts[:n_rows], target, group_of, group_duplicates, random_state
    )
    test_groups = join_duplicates(texts[n_rows:], test_group_of) if joined else test_group_of
    notes += note_missing_texts(texts[:n_rows])
    notes += note_missing_texts(texts[n_rows:], " of the rows held back")
    notes += _note_leaks(texts, n_rows, folds, fault)
    notes += _note_groups_held_back(group_of, test_group_of, test)
    all_targets = target if test is None else join_target(target, test[1], n_test)
    has_pairs = texts.ndim == 2
    candidates = for_kind(_choose(features, has_pairs), target.kind)
    primary = choose_primary(candidates, primary)
    setup_notes = []
    if features is None and not can_distill():
        setup_notes.append(
            'Distilled words are left out: they need the extra "distill", pip install'
            ' "bertvectorizer[distill]".'
        )
    curve_sizes, curve = _curve_splits(learning_curve, folds, target, random_state)
    setup_notes += note_misses(metrics[0], target, folds)
    opened_store = _open_store(store)
    _check_estimator(estimator)
    cross_validation = CrossValidation(
        texts=texts,
        target=all_targets,
        n_rows=n_rows,
        folds=folds,
        metrics=metrics,
        estimator=estimator,
        curve=curve,
        n_jobs=n_jobs,
        store=opened_store,
        random_state=random_state,
        test_groups=number_groups(test_groups),
    )
    comparison = Comparison(
        outcomes={},
        failures={},
        notes=[*setup_notes, *notes],
        settings=_describe(cross_validation, target, candidates, primary),
        texts=texts[:n_rows],
        target=target,
        index=pd.RangeIndex(n_rows) if (index := index_of(X)) is None else index,
        folds=folds,
        metrics=metrics,
        n_test=n_test,
        curve_sizes=curve_sizes,
        roster=candidates,
        primary=primary,
        _estimator=estimator,
        _store=opened_store,
        columns=names_of(X) if has_pairs else None,
        test_groups=cross_validation.test_groups,
    )
    for part in (part for transformer in candidates.values() for part in berts_of(transformer)):
        _check_parameters(part)  # invalid ones fail early
    try:
        with comparison_bar(list(candidates), cross_validation.n_fits, has_bar) as show:
            error = _run_all(cross_validation, comparison, [show, progress or no_progress])
    except KeyboardInterrupt:
        raise ComparisonInterrupted(comparison if comparison.outcomes else None) from None
    except _ProgressError as failed:
        raise failed.args[0] from None
    if not comparison.outcomes:
        if isinstance(error, BertVectorizerError):
            raise error
        reasons = "; ".join(f"{name}: {reason}" for name, reason in comparison.failures.items())
        raise InvalidTableError(f"No feature set could be used. {reasons}") from error
    for note in comparison.notes[len(setup_notes) :]:
        warn_user(note)
    return comparison


def _choose(features: Any, has_pairs: bool) -> dict[str, Any]:
    by_name = features is None or isinstance(features, (str, list, tuple))
    known = default_features(pairs=has_pairs) if by_name else {}
    by_names = known | fine_tuned_features() if by_name else {}
    candidates = choose_features(known if features is None else features, by_names)
    return of_pairs(candidates) if has_pairs else candidates


def _check_parameters(part: Any) -> None:
    if isinstance(part, FineTunedEstimator):
        part._check_parameters()
    else:
        part.__class__(**part.get_params(deep=False)).fit([])


def _open_store(store: Any) -> EmbeddingStore | None:
    is_auto = isinstance(store, str) and store == "auto"
    return comparison_store() if is_auto else open_store(store)


def _run_all(
    cross_validation: CrossValidation, comparison: Comparison, listeners: Sequence[Progress]
) -> Exception | None:
    """Add the outcomes, failures and notes of all feature sets; return the last failure."""
    warned: dict[str, list[str]] = {}
    error = None
    try:
        for name, transformer in comparison.roster.items():
            report = partial(_report, listeners, name)
            try:
                outcome, messages = cross_validation.run(name, transformer, report)
                _check_scores(outcome, comparison.metrics[0])
            except Exception as failure:  # whatever a user's transformer raises, others go on
                error = failure
                comparison.failures[name] = f"{type(failure).__name__}: {failure}"
                continue
            comparison.outcomes[name] = outcome
            for message in messages:
                warned.setdefault(message, []).append(name)
    finally:
        comparison.notes.extend(
            f"{', '.join(names)}: {message}" for message, names in warned.items()
        )
        comparison.notes.extend(
            f"{name} failed: {reason}" for name, reason in comparison.failures.items()
        )
    return error


def _report(listeners: Sequence[Progress], name: str, unit: str, done: int, total: int) -> None:
    try:
        for listener in listeners:
            listener(name, unit, done, total)
    except Exception as error:
        raise _ProgressError(error) from None


def _read_all(X: Any, test: tuple[Any, ...] | None) -> tuple[NDArray[np.object_], int]:
    """Return the texts of the folds, then the held-back ones, and the number of the former."""
    texts = as_texts(X)
    if test is None:
        return texts, len(texts)
    is_tuple = isinstance(test, (tuple, list)) and len(test) in (2, 3)
    if not is_tuple or isinstance(test[0], str):
        raise invalid("test", "(X, y), (X, y, groups) or None", test)
    has_pairs = texts.ndim == 2
    held_back = text_array(test[0], has_pairs)
    if not len(held_back):
        raise InvalidTableError("There are no texts in 'test': the table has no rows.")
    names, others = names_of(X), names_of(test[0])
    if has_pairs and names is not None and others is not None and names != others:
        raise InvalidTableError(
            f"The pairs in 'test' must have the columns of X, {list(names)}. Got {list(others)}."
            " Choose them in this order."
        )
    return np.concatenate([texts, held_back]), len(texts)


def _make_folds(
    cv: Any,
    texts: NDArray[np.object_],
    target: Target,
    groups: NDArray[np.int64] | None,
    group_duplicates: Literal["auto"] | bool,
    random_state: int | None,
) -> tuple[Folds, bool, str]:
    """Return the folds, whether they group rows with a common text, and why not if pairs cannot."""
    is_auto = isinstance(group_duplicates, str) and group_duplicates == "auto"
    if not is_auto and not isinstance(group_duplicates, (bool, np.bool_)):
        raise invalid("group_duplicates", "'auto', True or False", group_duplicates)
    if is_auto and (texts.ndim == 1 or not is_number_of_folds(cv)):
        group_duplicates = False
    if not group_duplicates:
        return make_folds(cv, target, groups, random_state), False, ""
    joined = join_duplicates(texts, groups)
    if not is_auto:
        return make_folds(cv, target, joined, random_state), True, ""
    if found := spread_groups(cv, target, joined, random_state):
        if groups is None:
            kind = "pairs with a common text"
            found = replace(found, description=found.description.replace("groups", kind))
        return found, True, ""
    folds = make_folds(cv, target, groups, random_state)
    return folds, False, f"up to {np.bincount(joined).max():,} pairs hang together"


def _note_leaks(texts: NDArray[np.object_], n_rows: int, folds: Folds, fault: str) -> list[str]:
    """Return notes on texts that are in training and in test rows."""
    rows, same, flatters = "rows", "the same text in another row", "flatters"
    remedy = "group_duplicates=True (--group-duplicates) keeps such rows on one side."
    if texts.ndim == 2:
        rows, same, flatters = "pairs", "another pair that has one of its texts", "may flatter"
        remedy = remedy.replace("rows", "pairs")
        if fault:
            remedy = (
                f"Keeping such pairs on one side leaves no even folds, since {fault} by common"
                " texts. Use fewer folds (--cv), or hold back pairs of new texts (--test)."
            )
    same += " (case and spaces apart)"
    notes = []
    if leaking := count_leaks(texts[:n_rows], folds.splits):
        notes.append(
            f"{leaking:,} of {n_rows:,} {rows} are judged after learning from {same}, which"
            f" {flatters} all scores. {remedy}"
        )
    if n_test := len(texts) - n_rows:
        held_back = (np.arange(n_rows), np.arange(n_rows, len(texts)))
        if leaking := count_leaks(texts, [held_back]):
            notes.append(
                f"{leaking:,} of {n_test:,} {rows} held back are judged after learning from {same},"
                f" which {flatters} the scores of the test."
            )
    return notes


def _note_groups_held_back(
    groups: NDArray[np.int64] | None,
    test_groups: NDArray[np.int64] | None,
    test: tuple[Any, ...] | None,
) -> list[str]:
    """Return a note on held-back rows of groups to learn from, or without groups."""
    if groups is None or test is None:
        return []
    if test_groups is None:
        return [
            "The rows held back have no groups, so that each counts by itself. If some belong"
            " together, give test=(X, y, groups)."
        ]
    leaking = int(np.isin(test_groups, groups).sum())
    if not leaking:
        return []
    return [
        f"{leaking:,} of {len(test_groups):,} rows held back are judged after learning from other"
        " rows of their group, which flatters the scores of the test."
    ]


def _note_skew(name: Any, share: float) -> str:
    return (
        f"{100 * share:.3g} % of rows are of class {short_repr(str(name))}. Accuracy would hardly"
        " depend on the others, so balanced accuracy decides. scoring='accuracy' (--scoring"
        " accuracy) decides by accuracy."
    )


def _check_estimator(estimator: Any) -> None:
    has_methods = hasattr(estimator, "fit") and hasattr(estimator, "predict")
    if estimator is not None and (not has_methods or isinstance(estimator, type)):
        raise invalid(
            "estimator", "a scikit-learn estimator with fit and predict, or None", estimator
        )


def _check_scores(outcome: Outcome, metric: Metric) -> None:
    scores = outcome.scores[metric.name]
    if not np.isfinite(scores).all():
        raise InvalidParameterError(
            f"The metric {metric.key!r}, which decides, has no value on"
            f" {int((~np.isfinite(scores)).sum())} of {len(scores)} folds:"
            f" {outcome.reason or 'it is no finite number'}. Name another by 'scoring', or an"
            " 'estimator' that gives what it needs."
        )


def _curve_splits(
    wanted: bool | Sequence[float], folds: Folds, target: Target, random_state: int | None
) -> tuple[tuple[int, ...], list[list[Split]]]:
    """Return the sizes of the learning curve, and for each the first repeat with nested subsets."""
    shares: tuple[float, ...]
    if isinstance(wanted, (bool, np.bool_)):
        shares = _CURVE_SHARES if wanted else ()
    else:
        shares = tuple(wanted) if hasattr(wanted, "__iter__") else ()
        if not shares or not all(
            isinstance(share, (int, float)) and 0 < share <= 1 for share in shares
        ):
            raise invalid("learning_curve", "a bool or numbers in (0, 1]", wanted)
    first = folds.splits[: folds.n_first]
    smallest = min(len(train) for train, _ in first)
    sizes: list[int] = []
    curve: list[list[Split]] = []
    orders = [
        _spread_classes(train, target, folds.groups, np.random.RandomState(random_state))
        for train, _ in first
    ]
    least = len(target.classes) if target.is_classes and target.classes is not None else 2
    for share in sorted(set(shares)):
        wanted_size = round(share * smallest)
        subsets = [_first_groups(order, folds.groups, wanted_size) for order in orders]
        size = round(np.mean(list(map(len, subsets))))
        if size >= least and size not in sizes:
            sizes.append(size)
            curve.append([(subset, test) for subset, (_, test) in zip(subsets, first, strict=True)])
    return tuple(sizes), curve


def _first_groups(
    rows: NDArray[np.int64], groups: NDArray[np.int64] | None, size: int
) -> NDArray[np.int64]:
    """Return about ``size`` of the first rows, of groups that lie together, each as a whole."""
    if groups is None:
        return rows[:size]
    ends = np.append(np.flatnonzero(np.diff(groups[rows])) + 1, len(rows))
    return rows[: ends[np.abs(ends - size).argmin()]]


def _spread_classes(
    rows: NDArray[np.int64],
    target: Target,
    groups: NDArray[np.int64] | None,
    random: np.random.RandomState,
) -> NDArray[np.int64]:
    """Shuffle rows so that each prefix has nearly the class shares of all; groups lie together."""
    rows = random.permutation(rows)
    if groups is not None:
        first = np.unique(groups[rows], return_index=True)[1]
        order = _spread_classes(rows[np.sort(first)], target, None, random)  # a row of each group
        place = np.empty(int(groups.max()) + 1, dtype=np.int64)
        place[groups[order]] = np.arange(len(order))
        return rows[np.argsort(place[groups[rows]], kind="stable")]
    if not target.is_classes:
        return rows
    labels = pd.Series(target.values[rows].astype(str))
    number_in_class = labels.groupby(labels).cumcount().to_numpy()
    shares = number_in_class / labels.map(labels.value_counts()).to_numpy()
    return rows[np.argsort(shares, kind="stable")]


def _describe(
    cross_validation: CrossValidation,
    target: Target,
    candidates: Mapping[str, Any],
    primary: str | None,
) -> dict[str, str]:
    """Return the settings of a comparison as text."""
    berts = [bert for transformer in candidates.values() for bert in berts_of(transformer)]
    n_classes = 0 if target.classes is None else len(target.classes)
    kind = {"multilabel": "several labels a row", "regression": "regression"}
    estimator = cross_validation.estimator
    n_test = len(cross_validation.texts) - len(target)
    groups, test_groups = cross_validation.folds.groups, cross_validation.test_groups
    of_groups = "" if test_groups is None else f" in {test_groups.max() + 1:,} groups"
    alone = [name for name, transformer in candidates.items() if predicts_alone(transformer)]
    settings = {
        "rows": f"{len(target):,}",
        **({} if groups is None else {"groups": f"{groups.max() + 1:,}"}),
        "target": f"{target.name or 'target'}: {kind.get(target.kind, f'{n_classes} classes')}",
        "folds": cross_validation.folds.description,
        **({"rows held back for a test": f"{n_test:,}{of_groups}"} if n_test else {}),
        "metrics": ", ".join(metric.name for metric in cross_validation.metrics),
        **({} if primary is None else {"primary test": f"{primary} against the best baseline"}),
        "estimator": (
            "scaler and regularized linear model that fit the features"
            if estimator is None
            else str(estimator)
        ),
        **({"predict by themselves": ", ".join(alone)} if alone else {}),
        "models": ", ".join(dict.fromkeys(str(bert.model_name) for bert in berts)) or "none",
        "seed": str(cross_validation.random_state),
        "date": date.today().isoformat(),
    }
    versions = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    return settings | {"versions": ", ".join([*versions, f"Python {platform.python_version()}"])}
