"""Save and load trained pipelines: no pickle, no code, no weights of a transformer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ...errors import InvalidParameterError, ModelError, ModelIntegrityError
from ...features.bert_common import BertBase
from ...foreign import reason_of
from ...output_file import output_fault
from ...validation import check_flag, invalid, short_text
from ...warning import warn_user
from .compact import estimators_within, pack, unpack
from .learned_numbers import check_learned_numbers
from .restrict import restrict_parameters
from .safe_skops import read_skops, write_skops

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SavedPipeline", "check_model_output", "load_pipeline", "save_pipeline"]

_FORMAT = 1  # to be raised when the content changes
_LIBRARIES = ("bertvectorizer", "numpy", "scikit-learn")
_LIBRARIES_OF_BERT = ("torch", "transformers")


@dataclass(frozen=True)
class SavedPipeline:
    """A pipeline from a file, with a description of its training data.

    Parameters
    ----------
    pipeline : Pipeline
        The fitted pipeline. It predicts from texts.
    text : str, tuple of str or None
        Name of the column that held the texts, or the names of the two columns of pairs.
    target : str, tuple of str or None
        Name of the target, or the name of each label of a multilabel target.
    versions : dict of str to str, default={}
        Versions of the libraries with which the pipeline was saved.
    metadata : dict, default={}
        Other values that were saved with the pipeline.

    See Also
    --------
    load_pipeline : Load a pipeline from a file.
    predict_file : Predict for a file of any size.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.pipeline import Pipeline
    >>> from bertvectorizer.pipeline import SavedPipeline
    >>> pipeline = Pipeline([("majority", DummyClassifier())]).fit(["a bat"], ["animal"])
    >>> SavedPipeline(pipeline, "text", "sense").classes.tolist()
    ['animal']
    """

    pipeline: Pipeline
    text: str | tuple[str, ...] | None
    target: str | tuple[str, ...] | None
    versions: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> NDArray[Any] | None:
        """Classes, of shape (n_classes,). None for regression and multilabel targets."""
        classes = getattr(self.pipeline, "classes_", None)
        is_single = isinstance(classes, np.ndarray) and not isinstance(self.target, tuple)
        return classes if is_single else None


def save_pipeline(
    pipeline: BaseEstimator,
    path: str | Path,
    *,
    text: str | Sequence[str] | None = None,
    target: str | Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    trusted: Sequence[str] = (),
) -> Path:
    """Write a fitted pipeline to a file that can be loaded without running code.

    Parameters
    ----------
    pipeline : Pipeline or estimator
        A fitted pipeline of vectorizers of this package and estimators of scikit-learn. An
        estimator that takes texts itself, such as `BertClassifier`, becomes its only step.
    path : str or Path
        A file name that ends in ``.skops``. The file is written atomically.
    text : str, sequence of str or None, default=None
        Name of the column that held the texts, or the names of the two columns of pairs.
    target : str, sequence of str or None, default=None
        Name of the target, or the name of each label of a multilabel target.
    metadata : mapping or None, default=None
        Other values to save. They must be representable as JSON.
    trusted : sequence of str, default=()
        Full names of other types and functions in the pipeline. Pass the same names to
        `load_pipeline`.

    Returns
    -------
    path : Path
        Path of the file.

    Raises
    ------
    InvalidParameterError
        If ``pipeline`` is not fitted or holds an object that cannot be saved, such as a function,
        or another parameter breaks its rule.
    UnsafeModelError
        If the pipeline holds types or functions that are neither known to be safe nor in
        ``trusted``.
    ModelError
        If the file cannot be written. An older file is not changed.

    See Also
    --------
    load_pipeline : Load the file.

    Notes
    -----
    The file contains word vectors that were trained or passed as an object, and the weights that
    fine-tuning changed. It does not contain word vectors that were read from a file, nor
    transformers. These are found again by name, and their digest is compared.

    A store is saved as ``"auto"``, since its path may not exist on another machine. The file is
    read back before it replaces an older one. So saving takes memory of a few times its size.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from pathlib import Path
    >>> from sklearn.pipeline import make_pipeline
    >>> from bertvectorizer import load_pipeline, save_pipeline
    >>> texts, senses = ["a cricket bat", "a sleeping bat"], ["thing", "animal"]
    >>> pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, senses)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = save_pipeline(pipeline, Path(directory, "bats.skops"), target="sense")
    ...     saved = load_pipeline(path)
    >>> saved.target, saved.pipeline.predict(["cricket"]).tolist()
    ('sense', ['thing'])
    """
    path = check_model_output(path)
    names = _type_names(trusted)
    if not isinstance(pipeline, BaseEstimator):
        raise invalid("pipeline", "a fitted scikit-learn Pipeline or estimator", pipeline)
    if not isinstance(pipeline, Pipeline):
        pipeline = Pipeline([(type(pipeline).__name__.lower(), pipeline)])
    try:
        check_is_fitted(pipeline)
    except NotFittedError:
        raise InvalidParameterError(
            "The 'pipeline' parameter must be a fitted scikit-learn Pipeline or estimator. Got one"
            " that is not fitted."
        ) from None
    facts = {
        "format": _FORMAT,
        "text": _names("text", text),
        "target": _names("target", target),
        "versions": _versions(pipeline),
        "metadata": _checked_metadata(metadata),
    }
    try:
        content = {"facts": json.dumps(facts), "pipeline": pack(pipeline, "the pipeline")}
        write_skops(content, path, names)
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, (InvalidParameterError, ModelError)):
            raise
        raise InvalidParameterError(
            f"The 'pipeline' parameter must hold only what skops can save. It says:"
            f" {reason_of(error)}. Of a search over other objects, such as SciPy's distributions,"
            " save a pipeline with its best_estimator_."
        ) from error
    return path


def check_model_output(path: str | Path) -> Path:
    """Return the path of a model's file if one can be written there."""
    path = Path(path)
    if path.suffix.lower() != ".skops":
        raise invalid("path", "a file name that ends in '.skops'", str(path))
    if fault := output_fault(path):
        raise ModelError(f"The file {str(path)!r} cannot be written: {fault}")
    return path


def _names(parameter: str, value: Any) -> str | list[str | None] | None:
    if isinstance(value, (list, tuple)):
        if parameter == "text" and len(value) != 2:
            raise invalid(parameter, "the name of a column, or the names of two of pairs", value)
        return [_name(parameter, one) for one in value]
    return _name(parameter, value)


def _name(parameter: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise invalid(parameter, "the name of a column, a str or a sequence of str", value)
    return value


def _type_names(trusted: Any) -> list[str]:
    if isinstance(trusted, (list, tuple)) and all(isinstance(name, str) for name in trusted):
        return list(trusted)
    raise invalid(
        "trusted", "a list of full names of types, such as 'sklearn.tree._tree.Tree'", trusted
    )


def _checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(metadata or {})
    try:
        if json.loads(json.dumps(given)) == given:
            return given
    except (TypeError, ValueError):
        pass
    raise invalid(
        "metadata",
        "a mapping that JSON can hold: str, numbers, lists, and dicts whose keys are str",
        given,
    )


def _versions(pipeline: Pipeline) -> dict[str, str]:
    """Return the versions of the libraries that a pipeline's numbers depend on."""
    has_bert = any(isinstance(part, BertBase) for part in estimators_within(pipeline))
    return {
        name: _version(name) for name in (*_LIBRARIES, *(_LIBRARIES_OF_BERT if has_bert else ()))
    }


def _version(library: str) -> str:
    try:
        return version(library).partition("+")[0]  # the rest names a build
    except PackageNotFoundError:
        return "unknown"


def load_pipeline(
    path: str | Path, *, trusted: Sequence[str] = (), trust_remote_code: bool = False
) -> SavedPipeline:
    """Load a pipeline that `save_pipeline` wrote, without running code.

    Parameters
    ----------
    path : str or Path
        The file.
    trusted : sequence of str, default=()
        Full names of types and functions to trust, in addition to those that are known to be safe,
        and names of parameters that the file may choose, such as ``"n_jobs"`` (see Notes).
    trust_remote_code : bool, default=False
        Whether the pipeline may use a transformer that runs code from its checkpoint.

    Returns
    -------
    saved : SavedPipeline
        The pipeline, with a description of its training data.

    Raises
    ------
    ModelNotFoundError
        If there is no such file.
    UnsafeModelError
        If the file is a pickle or holds types or functions that are not known to be safe. The
        message names them. If a transformer runs code from its checkpoint and
        ``trust_remote_code`` is False, or a vectorizer reads the files that its texts name.
    ModelIntegrityError
        If the file is damaged, or was not written by `save_pipeline`.

    Warns
    -----
    UserWarning
        If the versions of libraries differ from those with which the pipeline was saved. If a
        parameter in a grid was reset.

    See Also
    --------
    save_pipeline : Write the file.
    predict_file : Predict for a file of any size.

    Notes
    -----
    The file is not trusted. Its parts must not be compressed, arrays must have the size given in
    their header, and all types are checked before any object is created. Reading takes at most a
    few MiB and about 30 times the size of the file, and seldom more than a few times its size.
    Numbers that compiled code takes as indices or shapes, such as a vocabulary's columns, must fit
    together. The predictions of a pipeline from an untrusted source may still be manipulated.

    A file does not choose how many processes and threads are started, or where files are read and
    written. ``n_jobs``, ``pre_dispatch``, ``workers``, ``memory``, ``store`` and a path as
    ``word_frequencies`` are reset to their defaults, except those in ``trusted``. The same applies
    to these, and to ``trust_remote_code`` and ``input``, in the grid of a search. Only a model, or
    a file of word vectors, is found by the name in the file.

    A transformer is searched for when texts are first encoded. It is an error if it is missing or
    was changed. If it was moved, give its new place by
    ``saved.pipeline.set_params(bertvectorizer__model_name=...)``, as the message says.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.pipeline import Pipeline
    >>> from bertvectorizer import load_pipeline, save_pipeline
    >>> pipeline = Pipeline([("majority", DummyClassifier())]).fit(["a bat"], ["animal"])
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = save_pipeline(pipeline, Path(directory, "bats.skops"), text="text")
    ...     saved = load_pipeline(path)
    >>> saved.text, saved.pipeline.predict(["a crane"]).tolist()
    ('text', ['animal'])
    """
    check_flag("trust_remote_code", trust_remote_code)
    path = Path(path)
    names = _type_names(trusted)
    content = read_skops(path, names)
    try:
        facts = json.loads(content["facts"])
        pipeline = unpack(content["pipeline"])
        if (
            facts["format"] != _FORMAT
            or not isinstance(pipeline, Pipeline)
            or not isinstance(pipeline.steps, list)
        ):
            raise ValueError("it holds something else")
        text, target = (
            tuple(map(str, facts[key])) if isinstance(facts[key], list) else _name(key, facts[key])
            for key in ("text", "target")
        )
        saved = SavedPipeline(
            pipeline,
            text,
            target,
            {str(name): str(value) for name, value in facts["versions"].items()},
            dict(facts["metadata"]),
        )
        check_learned_numbers(pipeline)
        check_is_fitted(pipeline)
    except Exception as error:  # values of the wrong type raise many kinds
        raise ModelIntegrityError(
            f"The file {str(path)!r} is a skops file, but none that 'train' or save_pipeline of"
            f" this version has written, or it is damaged:"
            f" {short_text(str(error), 200)}."
        ) from error
    allowed = {*names, "trust_remote_code"} if trust_remote_code else names
    restrict_parameters(pipeline, path, allowed)
    _warn_of_versions(path, saved.versions)
    return saved


def _warn_of_versions(path: Path, versions: dict[str, str]) -> None:
    others = [
        f"{name} {then} (here {now})"
        for name, then in versions.items()
        if (now := _version(name)) != then
    ]
    if others:
        warn_user(
            f"The pipeline in {str(path)!r} was saved with other versions: {', '.join(others)}. Its"
            " predictions may differ; install those, or train again."
        )
