"""Is BERT worth it on these texts? Kinds of features side by side, on the same folds, with what they cost."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import BertVectorizerError, InvalidParameterError, InvalidTableError
from ..features import BertVectorizer, read_texts
from ..models.encode_texts import open_store
from ..models.store.session_store import comparison_store
from ..validation import check_flag, check_int, invalid
from ..warning import warn_user
from .comparison.candidates import can_distill, choose_features, default_features, parts_of
from .comparison.cross_validation import Trial
from .comparison.fitting import as_texts
from .comparison.folds import Folds, Split, count_leaks, join_duplicates, make_folds
from .comparison.metrics import Metric, resolve_scoring
from .comparison.outcome import Outcome
from .comparison.target import Target, join_target, read_target
from .report.result import Comparison

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ComparisonInterrupted", "compare"]

_RARE = 100
_MOST_JOBS = 1 << 20
_CURVE = (0.1, 0.2, 0.4, 0.7, 1.0)
_LIBRARIES = ("bertvectorizer", "scikit-learn", "torch", "transformers")


class _ProgressError(BaseException):
    """The user's own function of progress has failed: no fault of any features."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


class ComparisonInterrupted(KeyboardInterrupt):
    """Ctrl-C while a comparison ran.

    Attributes
    ----------
    comparison : Comparison or None
        The kinds of features that were finished; None where there was none.
    """

    def __init__(self, comparison: Comparison | None) -> None:
        super().__init__()
        self.comparison = comparison


def compare(
    X: Any,
    y: Any,
    features: Any = None,
    estimator: Any = None,
    cv: Any = None,
    scoring: Any = None,
    n_jobs: int | None = None,
    random_state: int | None = 0,
    store: Any = "auto",
    *,
    groups: Any = None,
    group_duplicates: bool = False,
    test: tuple[Any, Any] | None = None,
    task: str = "auto",
    learning_curve: bool | Sequence[float] = False,
    progress: Callable[[str, str, int, int], Any] | None = None,
) -> Comparison:
    """Cross-validate kinds of features on the same folds, and say which differences are real and
    what they cost.

    Parameters
    ----------
    X : list, ndarray, Series or one-column DataFrame of str
        Texts. *Length:* ``n_rows``.
    y : array-like
        Labels, amounts, a list of labels for each row, or a column of 0 and 1 for each label.
        *Length:* ``n_rows``.
    features : dict of str to transformer, list of str, or None
        Any scikit-learn transformers of a column of texts, by name, where None means the majority
        class; or names in the default roster. None takes `default_features`. To add to it:
        ``{**default_features(), "mine": transformer}``.
    estimator : estimator or None
        Stands on every kind of features. None takes, for dense features, `StandardScaler`, for
        sparse ones `Normalizer`, and `LogisticRegressionCV`, `RidgeClassifierCV` or `RidgeCV`,
        whose strength is chosen inside the training rows.
    cv : None, int, str, splitter or iterable
        Folds; ``"2x5"`` is two repeats of five folds, and what None means. Any scikit-learn
        splitter will do; of a `PredefinedSplit` with one fold, intervals come from the bootstrap of
        its test rows.
    scoring : None, str, callable, list or dict
        As in scikit-learn; the first metric decides. None takes accuracy (classes), macro F1
        (several labels a row) or R2 (amounts), and further ones.
    n_jobs : int or None
        Folds that are worked on at once, by processes; None is 1. Texts are encoded before that, by
        all cores.
    random_state : int or None
        Seed of folds and bootstrap.
    store : "auto", str, Path, EmbeddingStore or None
        Where vectors are kept, as in `BertVectorizer`. ``"auto"`` keeps all layers for the session,
        so that each text is encoded once.
    groups : array-like or None
        Rows of a group, such as the messages of one author, are never on both sides of a fold.
        *Length:* ``n_rows``.
    group_duplicates : bool
        Whether rows of the same text are such a group too.
    test : tuple of (X, y), or None
        Rows held back: judged once, after learning from all of ``X``.
    task : {"auto", "classification", "regression"}
        ``"auto"`` takes numbers with fractions as amounts, and anything else as classes.
    learning_curve : bool or sequence of float
        Whether to learn from growing parts of the training rows too, on the folds of the first
        repeat; or these parts, in (0, 1].
    progress : callable or None
        Called with the name, the unit (``"texts"`` while they are encoded, then ``"folds"``), how
        many are done, and how many there are.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidTableError
        If the target or all texts are missing, there is only one class, or there are too few rows.
    InvalidParameterError
        If a parameter breaks its rule.
    ComparisonInterrupted
        On Ctrl-C; it holds what was finished.

    Notes
    -----
    Features that learn from texts are fitted inside the training rows of each fold, and so is the estimator. Features that learn nothing
    are computed once. A kind of features that fails is left out with a warning, and the others go on.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.

    Examples
    --------
    >>> from bertvectorizer.pipeline import load_example
    >>> example = load_example().head(100)
    >>> comparison = compare(example["text"], example["label"], ["majority class", "TF-IDF words", "BERT"])
    >>> comparison.table[["features", "verdict"]].to_numpy().tolist()
    [['majority class', 'best baseline'], ['TF-IDF words', 'no evidence of a difference'], ['BERT', 'better']]
    """
    texts, n_rows = _read_all(X, test)
    target, notes = read_target(y, n_rows, task)
    metrics = resolve_scoring(scoring, target.kind)
    check_flag("group_duplicates", group_duplicates)
    if n_jobs is not None and check_int("n_jobs", n_jobs, -_MOST_JOBS) == 0:
        raise invalid("n_jobs", "a number of processes, -1 for one each core, or None", n_jobs)
    folds, leaks = _cut(
        cv, texts[:n_rows], target, _read_groups(groups, n_rows), group_duplicates, random_state
    )
    notes += leaks
    if test is not None and (
        leaking := count_leaks(texts.tolist(), [(np.arange(n_rows), np.arange(n_rows, len(texts)))])
    ):
        notes.append(
            f"{leaking:,} of {len(texts) - n_rows:,} rows held back are judged after learning from"
            " the same text in another row (case and spaces apart), which flatters the scores of"
            " the test."
        )
    joint = target if test is None else join_target(target, test[1], len(texts) - n_rows)
    known = (
        default_features() if features is None or isinstance(features, (str, list, tuple)) else {}
    )
    roster = choose_features(known if features is None else features, known)
    told: list[str] = []
    if features is None and not can_distill():
        told.append(
            'Distilled words are left out: they need the extra "distill", pip install'
            ' "bertvectorizer[distill]".'
        )
    sizes, curve = _curve_splits(learning_curve, folds, target, random_state)
    notes += _doubts(metrics[0], target)
    own_store = (
        comparison_store() if isinstance(store, str) and store == "auto" else open_store(store)
    )
    _check_estimator(estimator)
    trial = Trial(
        texts, joint, n_rows, folds, metrics, estimator, curve, n_jobs, own_store, random_state
    )
    settings = _describe(
        target, folds, metrics, roster, len(texts) - n_rows, estimator, random_state
    )
    index = X.index if isinstance(X, (pd.Series, pd.DataFrame)) else pd.RangeIndex(n_rows)
    findings = _Findings()

    def found() -> Comparison:
        said = [*told, *notes, *findings.notes()]
        return Comparison(
            findings.outcomes, findings.failures, said, settings, texts[:n_rows], target, index, folds, metrics, len(texts) - n_rows, sizes,
            roster, estimator, own_store,
        )  # fmt: skip

    _check_bert(roster)
    try:
        _run_all(trial, roster, progress, findings)
    except KeyboardInterrupt:
        raise ComparisonInterrupted(found() if findings.outcomes else None) from None
    except _ProgressError as failed:
        raise failed.reason from None
    if not findings.outcomes:
        error = findings.error
        raise (
            error
            if isinstance(error, BertVectorizerError)
            else InvalidTableError(_all_failed(findings.failures))
        ) from error
    comparison = found()
    for note in comparison.notes[len(told) :]:
        warn_user(note)
    return comparison


@dataclass
class _Findings:
    """What has been found so far: outcomes, failures, and what was warned of by whom."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    heard: dict[str, list[str]] = field(default_factory=dict)
    error: Exception | None = None

    def notes(self) -> list[str]:
        said = [f"{', '.join(names)}: {message}" for message, names in self.heard.items()]
        return said + [f"{name} failed: {reason}" for name, reason in self.failures.items()]


def _run_all(
    trial: Trial,
    roster: dict[str, Any],
    progress: Callable[[str, str, int, int], Any] | None,
    findings: _Findings,
) -> None:
    for name, transformer in roster.items():
        try:
            outcome, said = trial.run(name, transformer, partial(_report, progress, name))
            _check_scores(outcome, trial.metrics[0])
        except (
            Exception
        ) as failure:  # whatever a transformer of the user's raises, the others go on
            findings.error, findings.failures[name] = (
                failure,
                f"{type(failure).__name__}: {failure}",
            )
            continue
        findings.outcomes[name] = outcome
        for message in said:
            findings.heard.setdefault(message, []).append(name)


def _report(
    progress: Callable[[str, str, int, int], Any] | None,
    name: str,
    unit: str,
    done: int,
    total: int,
) -> None:
    if progress is not None:
        try:
            progress(name, unit, done, total)
        except Exception as error:
            raise _ProgressError(error) from None


def _all_failed(failures: dict[str, str]) -> str:
    return (
        "No kind of features could be used."
        f" {'; '.join(f'{name}: {reason}' for name, reason in failures.items())}"
    )


def _read_all(X: Any, test: tuple[Any, Any] | None) -> tuple[NDArray[np.object_], int]:
    """Return the texts of the folds and those held back, and how many the first are."""
    texts = as_texts(X)
    if test is None:
        return texts, len(texts)
    if not isinstance(test, (tuple, list)) or len(test) != 2:
        raise invalid("test", "a pair of texts and target, or None", test)
    held_back = read_texts(test[0]).texts
    if not held_back:
        raise InvalidTableError("There are no texts in 'test': the table has no rows.")
    return np.array([*texts, *held_back], dtype=object), len(texts)


def _read_groups(groups: Any, n_rows: int) -> NDArray[np.int64] | None:
    if groups is None:
        return None
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise invalid("groups", "a group for each row, or None", groups)
    values = pd.Series(list(groups), dtype=object)
    if len(values) != n_rows:
        raise InvalidTableError(
            f"There are {n_rows} texts but {len(values)} groups; each text needs one."
        )
    if values.isna().any():
        raise InvalidTableError(
            f"The group is missing in {values.isna().sum()} row(s), the first is row"
            f" {int(values.isna().argmax())} (counted from 0)."
        )
    return pd.factorize(values.astype(str))[0].astype(np.int64)


def _cut(
    cv: Any,
    texts: NDArray[np.object_],
    target: Target,
    groups: NDArray[np.int64] | None,
    by_text: bool,
    random_state: int | None,
) -> tuple[Folds, list[str]]:
    """Return the folds, and a note where texts leak from one side of a fold to the other."""
    check_int("random_state", random_state, 0, optional=True)
    if by_text:
        groups = join_duplicates(texts.tolist(), groups)
    folds = make_folds(cv, target, groups, random_state)
    leaking = count_leaks(texts.tolist(), folds.splits)
    if not leaking:
        return folds, []
    return folds, [
        f"{leaking:,} of {len(texts):,} rows are judged after learning from the same text in"
        " another row (case and spaces apart), which flatters all scores. group_duplicates=True"
        " (--group-duplicates) keeps such rows on one side."
    ]


def _doubts(metric: Metric, target: Target) -> list[str]:
    """Say where intervals are known to promise too much: simulations show it for averages over classes, one of which is rare."""
    if (
        target.classes is None
        or not metric.is_of_classes
        or (rarest := target.count_classes()).iloc[0] >= _RARE
    ):
        return []
    return [
        f"Only {rarest.iloc[0]} rows are of class {str(rarest.index[0])[:100]!r}: 95 % intervals of"
        f" {metric.name} may be too narrow, since so few rows do not show how much it would change"
        " with others."
    ]


def _check_estimator(estimator: Any) -> None:
    is_one = (
        hasattr(estimator, "fit")
        and hasattr(estimator, "predict")
        and not isinstance(estimator, type)
    )
    if estimator is not None and not is_one:
        raise invalid(
            "estimator", "a scikit-learn estimator with fit and predict, or None", estimator
        )


def _check_bert(roster: dict[str, Any]) -> None:
    """Tell a fault in the parameters of a `BertVectorizer` before the others do their work."""
    for transformer in roster.values():
        for part in parts_of(transformer):
            if isinstance(part, BertVectorizer):
                part.__class__(**part.get_params(deep=False)).fit([])


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
    """Return numbers of training rows, and for each of them the folds of the first repeat with so many: nested parts of the whole."""
    shares: tuple[float, ...]
    if isinstance(wanted, (bool, np.bool_)):
        shares = _CURVE if wanted else ()
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
        _spread_classes(train, target, np.random.RandomState(random_state)) for train, _ in first
    ]
    least = len(target.classes) if target.is_classes and target.classes is not None else 2
    for share in sorted(set(shares)):
        size = round(share * smallest)
        if size >= least and size not in sizes:
            sizes.append(size)
            curve.append(
                [(order[:size], test) for order, (_, test) in zip(orders, first, strict=True)]
            )
    return tuple(sizes), curve


def _spread_classes(
    rows: NDArray[np.int64], target: Target, random: np.random.RandomState
) -> NDArray[np.int64]:
    """Return rows in a random order in which every beginning has each class in nearly its share."""
    rows = random.permutation(rows)
    if not target.is_classes:
        return rows
    labels = pd.Series(target.values[rows].astype(str))
    place = labels.groupby(labels).cumcount().to_numpy()
    shares = place / labels.map(labels.value_counts()).to_numpy()
    return rows[np.argsort(shares, kind="stable")]


def _describe(
    target: Target,
    folds: Folds,
    metrics: list[Metric],
    roster: dict[str, Any],
    n_test: int,
    estimator: Any,
    random_state: int | None,
) -> dict[str, str]:
    """Say for people what is compared, and how."""
    berts = [
        part
        for transformer in roster.values()
        for part in parts_of(transformer)
        if isinstance(part, BertVectorizer)
    ]
    kind = {
        "binary": "2 classes",
        "multiclass": f"{0 if target.classes is None else len(target.classes)} classes",
        "regression": "amounts",
    }
    settings = {
        "rows": f"{len(target):,}",
        "target": f"{target.name or 'target'}: {kind.get(target.kind, 'several labels a row')}",
        "folds": folds.description,
        "rows held back for a test": f"{n_test:,}",
        "metrics": ", ".join(metric.name for metric in metrics),
        "estimator": (
            "scaler and regularised linear model that fit the features"
            if estimator is None
            else str(estimator)
        ),
        "models": ", ".join(dict.fromkeys(str(bert.model_name) for bert in berts)) or "none",
        "seed": str(random_state),
        "versions": (
            ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
            + f", Python {platform.python_version()}"
        ),
    }
    return {name: value for name, value in settings.items() if value != "0"} | {
        "seed": str(random_state)
    }
