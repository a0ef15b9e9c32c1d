"""Encode the texts of a search in one pass, before its worker processes start."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from ..errors import InvalidParameterError
from ..models.checkpoint.output_spec import Part
from ..models.encode_texts import TextEncoder, fetch_parts, open_store
from ..models.store.embedding_store import EmbeddingStore
from ..models.store.session_notes import keep_notes
from ..validation import short_repr
from ..warning import lighten_filters
from .bert import BertVectorizer
from .bert_common import progress_bar
from .inputs.texts import read_columns
from .pairs import PairVectorizer, distinct_sentences

__all__ = ["encode_ahead"]

_Search = TypeVar("_Search")

_TEXTS_AT_ONCE = 4096
_GRIDS = ("param_grid", "param_distributions")


def encode_ahead(search: _Search, X: Any) -> _Search:
    """Encode all texts that a search needs, in one pass of this process.

    Every `BertVectorizer` in the search, under all candidates of its grid, finds its texts in the
    store afterwards. Worker processes (``n_jobs=2``) read them there, and import neither PyTorch
    nor transformers.

    Parameters
    ----------
    search : estimator
        A search, such as `GridSearchCV` or `RandomizedSearchCV`, or any other estimator that is to
        be fitted in worker processes. Pipelines, ColumnTransformers, FeatureUnions, PairVectorizers
        and estimators that hold another one are looked through.
    X : iterable of str, ndarray, Series, DataFrame or pairs of texts
        What ``search.fit`` gets, all rows of it.

    Returns
    -------
    search : estimator
        The same object, so that ``encode_ahead(search, X).fit(X, y)`` can be written. It is not
        changed.

    Raises
    ------
    InvalidParameterError
        If there is no `BertVectorizer` with a store in ``search``.

    See Also
    --------
    BertVectorizer : Its ``store`` keeps the vectors.
    EmbeddingStore : A store with settings of its own.

    Notes
    -----
    Without it the results are the same: workers then import the libraries, each for some seconds,
    and share the work by the store. Texts that a candidate makes anew, such as those of a step
    before the vectorizer whose own parameters are searched, are left to the workers. So are
    parameters of the vectorizer that a `RandomizedSearchCV` without an int as ``random_state``
    draws from a distribution, and words and spans, whose keys need their tokens.

    A checkpoint with a Dense or LayerNorm module after its pooling needs PyTorch in every process.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from bertvectorizer import BertVectorizer, encode_ahead
    >>> X = ["A good book.", "A fine one.", "It is bad.", "Too long."]
    >>> pipeline = make_pipeline(BertVectorizer(), LogisticRegression())
    >>> search = GridSearchCV(pipeline, {"bertvectorizer__layers": [-1, -2]}, cv=2)
    >>> encode_ahead(search, X).fit(X, [1, 1, 0, 0]).cv_results_["params"]
    [{'bertvectorizer__layers': -1}, {'bertvectorizer__layers': -2}]
    """
    keep_notes()
    passes: dict[tuple[Any, ...], _Pass] = {}
    keeps_vectors = False
    for vectorizer, texts in _requests(search, X):
        keeps_vectors |= vectorizer.store is not None
        store = open_store(vectorizer.store)
        if store is None:  # also where none can be made, of which there was a warning
            continue
        encoder = vectorizer._encoder(is_fitting=True)
        # Again, as it may have been made before notes were kept.
        vectorizer._note(encoder, vectorizer.precision)
        one = passes.setdefault(
            (id(store), encoder.key_settings), _Pass(vectorizer, encoder, store)
        )
        one.parts.update(dict.fromkeys(encoder.output.parts))
        one.texts.update(dict.fromkeys(texts))
    if not keeps_vectors:
        raise InvalidParameterError(
            "The 'search' parameter must hold a BertVectorizer whose 'store' is not None. Got"
            f" {short_repr(search)} instead."
        )
    for one in passes.values():
        one.run()
    lighten_filters()
    return search


class _Pass:
    """Texts that go through a network together, and the parts that all candidates read of them."""

    def __init__(
        self, vectorizer: BertVectorizer, encoder: TextEncoder, store: EmbeddingStore
    ) -> None:
        self._vectorizer, self._encoder, self._store = vectorizer, encoder, store
        self.parts: dict[Part, None] = {}
        self.texts: dict[str, None] = {}

    def run(self) -> None:
        """Fill the store; the vectors themselves are not held."""
        texts, parts = list(self.texts), tuple(self.parts)
        with progress_bar(self._vectorizer, sum(map(len, texts)), "characters") as advance:
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                chunk = texts[start : start + _TEXTS_AT_ONCE]
                fetch_parts(self._encoder, parts, chunk, self._store, advance)


def _requests(step: Any, X: Any) -> Iterator[tuple[BertVectorizer, list[str]]]:
    """Yield each vectorizer of a step that gets X, with its texts."""
    if isinstance(step, BertVectorizer):
        yield step, read_columns(X, step.missing).texts
    elif isinstance(step, PairVectorizer):
        vectorizer = BertVectorizer() if step.vectorizer is None else step.vectorizer
        if _holds_bert(vectorizer):
            yield from _requests(vectorizer, distinct_sentences(X, vectorizer))
    elif any(hasattr(step, name) for name in _GRIDS):
        for candidate in _candidates(step):
            yield from _requests(candidate, X)
    elif isinstance(step, Pipeline):
        yield from _of_pipeline([one for _, one in step.steps], X)
    elif isinstance(step, ColumnTransformer):
        yield from _of_columns(step, X)
    else:
        for one in _parts_of(step):
            yield from _requests(one, X)


def _of_pipeline(steps: list[Any], X: Any) -> Iterator[tuple[BertVectorizer, list[str]]]:
    for number, step in enumerate(steps):
        if not hasattr(step, "fit"):  # "passthrough"
            continue
        yield from _requests(step, X)
        if (
            _holds_bert(step)
            or not any(map(_holds_bert, steps[number + 1 :]))
            or get_tags(step).target_tags.required
        ):
            return
        X = clone(step).fit(X, None).transform(X)  # it prepares texts


def _of_columns(step: ColumnTransformer, X: Any) -> Iterator[tuple[BertVectorizer, list[str]]]:
    """Let a ColumnTransformer choose its columns, whatever names them."""
    given = [*step.transformers, ("remainder", step.remainder, None)]
    places = {name: one for name, one, _ in given if _holds_bert(one)}
    recorders = [
        (name, _Recorder() if name in places else "drop", columns)
        for name, _, columns in step.transformers
    ]
    remainder = _Recorder() if "remainder" in places else "drop"
    fitted = ColumnTransformer(recorders, remainder=remainder).fit(X)
    for name, recorder, _ in fitted.transformers_:
        if hasattr(recorder, "given_"):  # not where it has no columns
            yield from _requests(places[name], recorder.given_)


class _Recorder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # no types
    """A transformer that keeps what it is given."""

    def fit(self, X: Any, y: Any = None) -> _Recorder:
        self.given_ = X
        return self

    def transform(self, X: Any) -> Any:
        return np.zeros((len(X), 1))

    def get_feature_names_out(self, names: Any = None) -> Any:
        return np.array(["given"], dtype=object)


def _candidates(search: Any) -> Iterator[Any]:
    """Yield the estimator of a search under each setting that changes its vectors."""
    estimator = search.estimator
    grid = next(getattr(search, name) for name in _GRIDS if hasattr(search, name))
    seen = set()
    for given in _settings(search, estimator, [grid] if isinstance(grid, Mapping) else grid):
        if (key := repr(sorted(given.items()))) not in seen:
            seen.add(key)
            values = {name: clone(value, safe=False) for name, value in given.items()}
            yield clone(estimator).set_params(**values)


def _settings(search: Any, estimator: Any, grids: list[Any]) -> Iterator[dict[str, Any]]:
    for grid in grids:
        wanted = [name for name in grid if _changes_vectors(estimator, name, grid)]
        if hasattr(search, "n_iter") and isinstance(search.random_state, (int, np.integer)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the search itself tells of a small space
                drawn = list(
                    ParameterSampler(grids, search.n_iter, random_state=search.random_state)
                )
            for one in drawn:
                yield {name: one[name] for name in wanted if name in one}
            continue
        listed = {name: grid[name] for name in wanted if not hasattr(grid[name], "rvs")}
        yield from ParameterGrid(listed)


def _changes_vectors(estimator: Any, name: str, grid: Mapping[str, Any]) -> bool:
    """Whether a parameter of the grid is one of a vectorizer, or replaces a step."""
    known = estimator.get_params()
    owner_name = name.rpartition("__")[0]
    owner = known.get(owner_name, None) if owner_name else estimator
    if isinstance(owner, (BertVectorizer, PairVectorizer)) or owner_name in grid:
        return True
    values = [] if hasattr(grid[name], "rvs") else list(grid[name])
    return any(map(_holds_bert, [known.get(name), *values]))


def _holds_bert(step: Any) -> bool:
    """Whether a step is a `BertVectorizer`, or one of its parts is."""
    if isinstance(step, type):
        return False
    if isinstance(step, (BertVectorizer, PairVectorizer)):
        return True
    return any(map(_holds_bert, _parts_of(step)))


def _parts_of(step: Any) -> list[Any]:
    """Return the estimators that are parameters of another one, or stand in its lists."""
    if isinstance(step, type) or not hasattr(step, "get_params"):
        return []
    if isinstance(step, FeatureUnion):
        return [one for _, one in step.transformer_list]
    parts = []
    for value in step.get_params(deep=False).values():
        parts += [
            one
            for entry in (value if isinstance(value, list) else [value])
            for one in (entry if isinstance(entry, tuple) else [entry])
            if hasattr(one, "get_params") and not isinstance(one, type)
        ]
    return parts
