"""The kinds of features that a comparison sets side by side, and what it must know of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from ...errors import InvalidParameterError, ModelNotFoundError
from ...features import BertVectorizer, StaticVectorizer, Word2VecVectorizer
from ...models.checkpoint.description import Checkpoint, open_checkpoint
from ...models.pooling.layers import resolve_layers
from ...models.pooling.tokens import resolve_pooling
from ...validation import invalid

if TYPE_CHECKING:
    from ...models.store.embedding_store import EmbeddingStore

__all__ = [
    "MAJORITY",
    "can_distill",
    "choose_features",
    "default_features",
    "find_cell",
    "is_contextual",
    "layer_features",
    "parts_of",
    "with_store",
]

MAJORITY = "majority class"

_LAST = 4


def default_features(
    vectors: str | Path | Sequence[str | Path] = (), **bert: Any
) -> dict[str, Any]:
    """Return the default roster of a comparison.

    Parameters
    ----------
    vectors : str, Path or sequence of these
        Files of word vectors (GloVe, word2vec, fastText) that join as baselines.
    **bert
        Parameters of every `BertVectorizer`, such as ``model_name`` or ``precision``.

    Returns
    -------
    dict of str to transformer or None
        The majority class (None); TF-IDF of words, and of words and characters; Word2Vec trained on
        the folds; the transformer's own words without context, where the extra ``distill`` is
        installed; the word vectors given; BERT's first token, BERT as its checkpoint pools, the
        mean of each of the last four layers, the sum and the concatenation of these.

    Examples
    --------
    >>> list(default_features())[:2]
    ['majority class', 'TF-IDF words']
    """
    model = BertVectorizer(**bert)
    try:
        n_layers = _checkpoint(model).n_layers
    except ModelNotFoundError:
        # Whoever chooses the baselines alone needs no model; others are told when it is used
        n_layers = _LAST
    roster: dict[str, Any] = {
        MAJORITY: None,
        "TF-IDF words": TfidfVectorizer(sublinear_tf=True),
        "TF-IDF words + characters": FeatureUnion(
            [
                ("words", TfidfVectorizer(sublinear_tf=True)),
                (
                    "characters",
                    TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
                ),
            ]
        ),
        "Word2Vec": Word2VecVectorizer(random_state=0),
    }
    if can_distill():
        roster["distilled words"] = StaticVectorizer(f"distill:{model.model_name}")
    paths = [vectors] if isinstance(vectors, (str, Path)) else list(vectors)
    names = [Path(path).name for path in paths]
    for name, path in zip(names, paths, strict=True):
        roster[f"vectors {name if names.count(name) == 1 else path}"] = StaticVectorizer(path)

    def read(**how: Any) -> BertVectorizer:
        return BertVectorizer(**{**bert, **how})

    last = [-layer for layer in range(1, min(_LAST, n_layers + 1) + 1)]
    roster["BERT cls"] = read(layers=-1, pooling="cls")
    roster["BERT"] = model
    roster |= {f"BERT mean {layer}": read(layers=layer, pooling="mean") for layer in last}
    roster |= {
        f"BERT {merge} of last {len(last)}": read(layers=last, layer_merge=merge, pooling="mean")
        for merge in ("sum", "concat")
    }
    return roster


def can_distill() -> bool:
    """Whether the extra ``distill`` is installed."""
    return find_spec("model2vec") is not None and find_spec("skeletoken") is not None


def layer_features(poolings: Sequence[str] = ("cls", "mean", "max"), **bert: Any) -> dict[str, Any]:
    """Return every layer of a model under some poolings, for the whole of the report's map of
    layers and poolings.

    Parameters
    ----------
    poolings : sequence of str
    **bert
        Further parameters of `BertVectorizer`.

    Returns
    -------
    dict of str to BertVectorizer

    Examples
    --------
    >>> list(layer_features(["mean"]))[:2]
    ['BERT mean -1', 'BERT mean -2']
    """
    model = BertVectorizer(**bert)
    n_layers = _checkpoint(model).n_layers
    layers = range(-1, -n_layers - 2, -1)
    return {
        f"BERT {pooling} {layer}": BertVectorizer(**{**bert, "layers": layer, "pooling": pooling})
        for pooling in poolings
        for layer in layers
    }


def choose_features(features: Any, roster: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a comparison that a ``features`` parameter means.

    Parameters
    ----------
    features : dict of str to transformer, or sequence of str
        Transformers by name (None is the majority class), or names in ``roster``.
    roster : mapping of str to transformer

    Returns
    -------
    dict of str to transformer or None

    Raises
    ------
    InvalidParameterError
        If it is empty, something is no transformer, or a name is not in the roster.
    """
    if isinstance(features, str):
        features = [features]
    if isinstance(features, Mapping):
        chosen = {str(name): transformer for name, transformer in features.items()}
        if len(chosen) < len(features):
            raise invalid("features", "a dict whose names differ as text", list(features))
    elif isinstance(features, Sequence):
        names = {name.casefold(): name for name in roster}
        for name in features:
            if not isinstance(name, str) or name.casefold() not in names:
                raise InvalidParameterError(
                    f"The 'features' parameter must name some of: {', '.join(roster)}. Got {name!r}"
                    " instead."
                )
        chosen = {names[name.casefold()]: roster[names[name.casefold()]] for name in features}
    else:
        raise invalid(
            "features", "a dict of transformers by name, a list of names or None", features
        )
    if not chosen:
        raise invalid("features", "at least one kind of features", features)
    for name, transformer in chosen.items():
        is_one = (
            hasattr(transformer, "fit")
            and hasattr(transformer, "transform")
            and not isinstance(transformer, type)
        )
        if transformer is not None and not is_one:
            raise InvalidParameterError(
                "Each of 'features' must be a transformer with fit and transform, or None for the"
                f" majority class. Got {transformer!r} for {name!r}."
            )
    return chosen


def parts_of(transformer: Any) -> Iterator[Any]:
    """Yield a transformer and the estimators inside it: steps of a Pipeline, members of a FeatureUnion."""
    yield transformer
    if hasattr(transformer, "get_params"):
        for value in transformer.get_params(deep=True).values():
            if hasattr(value, "get_params"):
                yield value


def is_contextual(transformer: Any) -> bool:
    """Whether a `BertVectorizer` is part of a transformer; everything else is a baseline."""
    return any(isinstance(part, BertVectorizer) for part in parts_of(transformer))


def with_store(transformer: Any, store: str | Path | EmbeddingStore | None) -> Any:
    r"""Return a clone whose `BertVectorizer`\\ s use a store; those that name one of their own keep it, unless there is to be none."""
    copy = clone(transformer)
    for part in parts_of(copy):
        if isinstance(part, BertVectorizer) and (
            store is None or (isinstance(part.store, str) and part.store == "auto")
        ):
            part.store = store
    return copy


def find_cell(transformer: Any) -> tuple[int, str] | None:
    """Return layer (counted from 0, the embeddings) and pooling of a `BertVectorizer` that reads a
    single one of each.

    The pooling of a checkpoint is its own affair, with modules after it, and has no cell.
    """
    if not isinstance(transformer, BertVectorizer) or transformer.normalize is True:
        return None
    if isinstance(transformer.pooling, str) and transformer.pooling == "auto":
        return None
    poolings = resolve_pooling(transformer.pooling)
    layers = resolve_layers(transformer.layers, _checkpoint(transformer).n_layers)
    return (layers[0], poolings[0]) if len(layers) == len(poolings) == 1 else None


def _checkpoint(bert: BertVectorizer) -> Checkpoint:
    return open_checkpoint(
        bert.model_name, bert.revision, bert.local_files_only, bert.trust_remote_code
    )
