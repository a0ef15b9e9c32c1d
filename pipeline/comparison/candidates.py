"""The feature sets of a comparison: the defaults, and what is known of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from ...errors import InvalidParameterError, ModelNotFoundError
from ...features import (
    BertVectorizer,
    OverlapVectorizer,
    PairVectorizer,
    StaticVectorizer,
    Word2VecVectorizer,
)
from ...models.checkpoint.description import Checkpoint
from ...models.checkpoint.source import open_checkpoint
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...models.pooling.layers import resolve_layers
from ...models.pooling.tokens import resolve_pooling
from ...models.word_vectors.loading import DISTILL
from ...validation import check_flag, invalid, short_repr
from ..fine_tuning import BertClassifier, BertRegressor
from ..fine_tuning.base import FineTunedEstimator

if TYPE_CHECKING:
    from ...models.store.embedding_store import EmbeddingStore
    from .target import Kind

__all__ = [
    "FINE_TUNED",
    "MAJORITY",
    "MEAN",
    "berts_of",
    "can_distill",
    "checkpoint_of",
    "choose_features",
    "choose_primary",
    "default_features",
    "find_cell",
    "fine_tuned_features",
    "for_kind",
    "is_contextual",
    "join_models",
    "layer_features",
    "of_pairs",
    "parts_of",
    "predicts_alone",
    "side_of",
    "with_store",
]

MAJORITY = "majority class"
MEAN = "mean of the target"  # its name for regression
_OVERLAP = "word overlap"
FINE_TUNED = "BERT fine-tuned"

_ALIASES = {"overlap": _OVERLAP, "tfidf": "TF-IDF words"}
_N_LAST_LAYERS = 4
_N_TRAINED_LAYERS = 2


def default_features(
    vectors: str | Path | Sequence[str | Path] = (), *, pairs: bool = False, **bert: Any
) -> dict[str, Any]:
    """Return the default feature sets of a comparison.

    Parameters
    ----------
    vectors : str, Path or sequence of these, default=()
        Files of word vectors (GloVe, word2vec, fastText) to add as baselines.
    pairs : bool, default=False
        Whether the texts are pairs. If so, word overlap is another baseline, and the other
        transformers serve both sides of a `PairVectorizer`.
    **bert : Any
        Parameters of every `BertVectorizer`, such as ``model_name`` or ``precision``.

    Returns
    -------
    features : dict of str to transformer or None
        The baselines: the majority class (None), which `compare` names "mean of the target" for
        regression; TF-IDF of words, and of words and characters;
        Word2Vec trained on the folds; static vectors distilled from the model, if the extra
        ``distill`` is installed and the model is no ELMo; and ``vectors``. Then BERT: its first
        token; its own pooling; the mean of each of the last four layers; the sum and the
        concatenation of these layers.

    See Also
    --------
    layer_features : Every layer of a model.
    choose_features : Select feature sets by name.

    Examples
    --------
    >>> from bertvectorizer.pipeline import default_features
    >>> list(default_features())[:2]
    ['majority class', 'TF-IDF words']
    """
    model = BertVectorizer(**bert)
    n_layers, is_elmo = _N_LAST_LAYERS, False
    with suppress(ModelNotFoundError):  # baselines need no model; its use raises the error again
        checkpoint = checkpoint_of(model)
        n_layers, is_elmo = checkpoint.n_layers, checkpoint.elmo is not None
    words = TfidfVectorizer(sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    features: dict[str, Any] = {
        MAJORITY: None,
        "TF-IDF words": words,
        "TF-IDF words + characters": FeatureUnion(
            [("words", clone(words)), ("characters", characters)]
        ),
        "Word2Vec": Word2VecVectorizer(random_state=0),
    }
    if can_distill() and not is_elmo:
        features["distilled words"] = StaticVectorizer(
            f"{DISTILL}{model.model_name}", local_files_only=model.local_files_only
        )
    paths = [vectors] if isinstance(vectors, (str, Path)) else list(vectors)
    names = [replace_lone_surrogates(Path(path).name) for path in paths]
    for name, path in zip(names, paths, strict=True):
        features[
            f"vectors {name if names.count(name) == 1 else replace_lone_surrogates(str(path))}"
        ] = StaticVectorizer(path)
    last = [-layer for layer in range(1, min(_N_LAST_LAYERS, n_layers + 1) + 1)]
    settings: dict[str, dict[str, Any]] = {
        "BERT cls": {"layers": -1, "pooling": "cls"},
        "BERT": {},
        **{f"BERT mean {layer}": {"layers": layer, "pooling": "mean"} for layer in last},
        **{
            f"BERT {merge} of last {len(last)}": {
                "layers": last,
                "layer_merge": merge,
                "pooling": "mean",
            }
            for merge in ("sum", "concat")
        },
    }
    features |= {name: BertVectorizer(**{**bert, **own}) for name, own in settings.items()}
    if check_flag("pairs", pairs):
        features = {MAJORITY: None, _OVERLAP: OverlapVectorizer()} | of_pairs(features)
    return features


def of_pairs(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return feature sets for pairs: what reads single texts serves both sides.

    >>> of_pairs({"BERT": BertVectorizer()})["BERT"].combine
    ('u', 'v', 'abs_diff', 'product')
    """
    return {
        name: PairVectorizer(transformer) if _reads_single_texts(transformer) else transformer
        for name, transformer in features.items()
    }


def _reads_single_texts(transformer: Any) -> bool:
    """Whether a transformer takes one column of texts, and nothing that has two."""
    while isinstance(transformer, Pipeline):
        transformer = transformer[0]
    if isinstance(transformer, FeatureUnion):
        return any(_reads_single_texts(one) for _, one in transformer.transformer_list)
    if not hasattr(transformer, "transform") or hasattr(transformer, "predict"):
        return False
    tags = get_tags(transformer).input_tags
    return bool(tags.string and not tags.two_d_array)


def side_of(transformer: Any) -> Any:
    """Return the transformer of single texts in a `PairVectorizer`, the fitted one if it is fitted.

    Others are returned as they are.
    """
    if not isinstance(transformer, PairVectorizer):
        return transformer
    return getattr(transformer, "vectorizer_", transformer.vectorizer)


def can_distill() -> bool:
    """Whether the extra ``distill`` is installed."""
    return find_spec("model2vec") is not None and find_spec("skeletoken") is not None


def layer_features(poolings: Sequence[str] = ("cls", "mean", "max"), **bert: Any) -> dict[str, Any]:
    """Return a feature set for each layer and pooling of a model.

    The report plots them as a map of layers. For classification, layer -2 is often better than the
    last, which `BertVectorizer` reads by default.

    Parameters
    ----------
    poolings : sequence of str, default=("cls", "mean", "max")
        Values of the ``pooling`` parameter of `BertVectorizer`.
    **bert : Any
        Further parameters of `BertVectorizer`.

    Returns
    -------
    features : dict of str to BertVectorizer
        The feature sets by name, from the last layer to the first for each pooling.

    See Also
    --------
    default_features : The default feature sets.
    Comparison.plot_layers : The map of layers and poolings.

    Examples
    --------
    >>> from bertvectorizer.pipeline import layer_features
    >>> list(layer_features(["mean"]))[:2]
    ['BERT mean -1', 'BERT mean -2']
    """
    n_layers = checkpoint_of(BertVectorizer(**bert)).n_layers
    return {
        f"BERT {pooling} {layer}": BertVectorizer(**{**bert, "layers": layer, "pooling": pooling})
        for pooling in poolings
        for layer in range(-1, -n_layers - 2, -1)
    }


@dataclass(frozen=True)
class _ByKind:
    """A classifier, and a regressor for targets of numbers; `for_kind` takes one of them."""

    classifier: Any
    regressor: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return both, for `parts_of`."""
        return vars(self)


def fine_tuned_features(**bert: Any) -> dict[str, Any]:
    """Return a fine-tuned model, which learns and predicts from the texts by itself.

    It is not among the default feature sets, since training takes much longer than they do.

    Parameters
    ----------
    **bert : Any
        Parameters of `BertClassifier` and `BertRegressor`, such as ``model_name``. Unless they say
        otherwise, the two highest layers train, on top of states that all folds share, and the seed
        is 0.

    Returns
    -------
    features : dict of str to object
        The feature set ``"BERT fine-tuned"``. `compare` takes the classifier, or for regression the
        regressor.

    See Also
    --------
    default_features : The default feature sets.

    Examples
    --------
    >>> from bertvectorizer.pipeline import fine_tuned_features
    >>> list(fine_tuned_features(epochs=4))
    ['BERT fine-tuned']
    """
    of_model = ("model_name", "revision", "local_files_only", "trust_remote_code")
    model = BertVectorizer(**{name: bert[name] for name in of_model if name in bert})
    n_layers = _N_TRAINED_LAYERS
    with suppress(ModelNotFoundError):  # its use raises the error again
        n_layers = min(n_layers, checkpoint_of(model).n_layers)
    settings = {"trainable_layers": n_layers, "random_state": 0, **bert}
    return {FINE_TUNED: _ByKind(BertClassifier(**settings), BertRegressor(**settings))}


def join_models(rosters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Join the feature sets of several models by name; those that use a model are called after it.

    >>> list(join_models({"a/b": {"BERT cls": BertVectorizer()}, "c": {"BERT": BertVectorizer()}}))
    ['b cls', 'c']
    """
    short = {model: Path(model).name or model for model in rosters}
    if len(set(short.values())) < len(short):
        short = {model: model for model in rosters}
    joined: dict[str, Any] = {}
    for roster in rosters.values():
        for name, transformer in roster.items():
            if not _uses_model(transformer):
                joined.setdefault(name, transformer)
    for model, roster in rosters.items():
        for name, transformer in roster.items():
            if _uses_model(transformer):
                own = name.removeprefix("BERT")
                title = f"{short[model]}{own}" if own != name else f"{name} of {short[model]}"
                joined[title] = transformer
    return joined


def _uses_model(transformer: Any) -> bool:
    side = side_of(transformer)
    is_distilled = isinstance(side, StaticVectorizer) and str(side.vectors).startswith(DISTILL)
    return is_distilled or is_contextual(transformer)


def choose_features(
    features: Mapping[str, Any] | Sequence[str] | str, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the feature sets that a ``features`` parameter selects.

    Parameters
    ----------
    features : dict of str to transformer, sequence of str, or str
        Names in ``known``, or a dict of transformers by name. Case, blanks and hyphens of names do
        not matter, and ``"tfidf"`` is ``"TF-IDF words"``. In the dict, None is the majority class,
        or for regression the mean of the target. A classifier or regressor of texts predicts by
        itself.
    known : mapping of str to transformer
        Feature sets that can be selected by name, such as `default_features` and
        `fine_tuned_features`.

    Returns
    -------
    selected : dict of str to transformer or None
        The selected feature sets by name.

    Raises
    ------
    InvalidParameterError
        If ``features`` is empty, a value is not a transformer, or a name is not in ``known``.

    See Also
    --------
    default_features : The default feature sets of a comparison.

    Examples
    --------
    >>> from bertvectorizer.pipeline import choose_features, default_features
    >>> list(choose_features(["bert", "tfidf"], default_features()))
    ['BERT', 'TF-IDF words']
    """
    if isinstance(features, str):
        features = [features]
    if isinstance(features, Mapping):
        chosen = {str(name): transformer for name, transformer in features.items()}
        if len(chosen) < len(features):
            raise invalid("features", "a dict whose names differ as text", list(features))
    elif isinstance(features, Sequence):
        chosen = {}
        for name in features:
            found = _find_name(name, known)
            if found is None and MAJORITY in known and _find_name(name, [MEAN]):
                found = MAJORITY
            if found is None:
                raise InvalidParameterError(
                    f"The 'features' parameter must name one or more of: {', '.join(known)}. Got"
                    f" {name!r} instead."
                )
            chosen[found] = known[found]
    else:
        raise invalid(
            "features", "a dict of transformers by name, a list of names or None", features
        )
    if not chosen:
        raise invalid("features", "at least one feature set", features)
    for name, transformer in chosen.items():
        if replace_lone_surrogates(name) != name:
            raise invalid("features", "a dict of names without lone surrogates", name)
        has_methods = hasattr(transformer, "fit") and (
            hasattr(transformer, "transform") or predicts_alone(transformer)
        )
        is_known = transformer is None or isinstance(transformer, _ByKind)
        if not is_known and (not has_methods or isinstance(transformer, type)):
            raise InvalidParameterError(
                "Each of 'features' must be a transformer with fit and transform, a classifier or"
                " regressor of texts, or None for the majority class. Got"
                f" {short_repr(transformer)} for {name!r}."
            )
    return chosen


def _find_name(wanted: Any, names: Iterable[str]) -> str | None:
    """Return the name that is meant, if it is one only."""
    if not isinstance(wanted, str):
        return None
    known = list(names)
    for reduce in (str, str.casefold, _reduce):
        meant = [name for name in known if reduce(name) == reduce(wanted)]
        if meant:
            return meant[0] if len(meant) == 1 else None
    alias = _ALIASES.get(_reduce(wanted))
    return alias if alias in known else None


def _reduce(name: str) -> str:
    """Return a name in small letters and without blanks and hyphens; a minus stays."""
    return re.sub(r"[\s_+]|-(?!\d)", "", name.casefold())


def for_kind(features: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Return the feature sets for a kind of target.

    For regression the majority class is called the mean of the target, and what is fine-tuned is a
    regressor.

    Examples
    --------
    >>> for_kind({"majority class": None}, "regression")
    {'mean of the target': None}
    """
    is_mean = kind == "regression" and MEAN not in features
    named = {
        MEAN if is_mean and name == MAJORITY and transformer is None else name: transformer
        for name, transformer in features.items()
    }
    chosen = "regressor" if kind == "regression" else "classifier"
    return {
        name: getattr(transformer, chosen) if isinstance(transformer, _ByKind) else transformer
        for name, transformer in named.items()
    }


def predicts_alone(transformer: Any) -> bool:
    """Whether a candidate is a classifier or regressor, fitted on texts and used as it is.

    >>> predicts_alone(BertClassifier()), predicts_alone(BertVectorizer())
    (True, False)
    """
    is_estimator = hasattr(transformer, "predict") and hasattr(transformer, "__sklearn_tags__")
    return (
        is_estimator
        and not isinstance(transformer, type)
        and (is_classifier(transformer) or is_regressor(transformer))
    )


def choose_primary(features: Mapping[str, Any], primary: str | None = None) -> str | None:
    """Return the feature set whose test against the best baseline decides the headline.

    None takes the first `BertVectorizer` that pools the last layer as its checkpoint does, else the
    first contextual feature set. It is chosen before any score is known. Without contextual feature
    sets, or without baselines, there is none.

    Examples
    --------
    >>> choose_primary(default_features())
    'BERT'
    """
    if primary is not None:
        found = _find_name(primary, features)
        if found is None:
            raise InvalidParameterError(
                f"The 'primary' parameter must name one of the feature sets: {', '.join(features)}."
                f" Got {short_repr(primary)} instead."
            )
        return found
    contextual = [name for name, transformer in features.items() if is_contextual(transformer)]
    if not contextual or len(contextual) == len(features):
        return None
    return next((name for name in contextual if _pools_as_saved(features[name])), contextual[0])


def _pools_as_saved(transformer: Any) -> bool:
    """Whether a `BertVectorizer` reads the last layer under the checkpoint's own pooling."""
    transformer = side_of(transformer)
    return (
        isinstance(transformer, BertVectorizer)
        and isinstance(transformer.layers, int)
        and transformer.layers == -1
        and isinstance(transformer.pooling, str)
        and transformer.pooling == "auto"
    )


def parts_of(transformer: Any) -> Iterator[Any]:
    """Yield a transformer and the estimators in its parameters, the same before and after fit."""
    yield transformer
    if hasattr(transformer, "get_params"):
        for value in transformer.get_params(deep=True).values():
            if hasattr(value, "get_params"):
                yield value


def berts_of(transformer: Any) -> list[Any]:
    """Return the `BertVectorizer` objects and fine-tuned estimators in a transformer."""
    kinds = (BertVectorizer, FineTunedEstimator)
    return [part for part in parts_of(transformer) if isinstance(part, kinds)]


def is_contextual(transformer: Any) -> bool:
    """Whether a transformer network is part of a candidate; everything else is a baseline."""
    return bool(berts_of(transformer))


def with_store(transformer: Any, store: str | Path | EmbeddingStore | None) -> Any:
    """Return a clone whose parts that read a model use a store, or their own; None wins always."""
    copy = clone(transformer)
    for part in berts_of(copy):
        if store is None or (isinstance(part.store, str) and part.store == "auto"):
            part.store = store
    return copy


def find_cell(transformer: Any) -> tuple[int, str] | None:
    """Return layer (0: embeddings) and pooling of a `BertVectorizer` that reads one of each.

    A checkpoint's own pooling has no cell, since further modules may follow it.
    """
    transformer = side_of(transformer)
    if not isinstance(transformer, BertVectorizer) or transformer.normalize is True:
        return None
    if isinstance(transformer.pooling, str) and transformer.pooling == "auto":
        return None
    poolings = resolve_pooling(transformer.pooling)
    layers = resolve_layers(transformer.layers, checkpoint_of(transformer).n_layers)
    return (layers[0], poolings[0]) if len(layers) == len(poolings) == 1 else None


def checkpoint_of(bert: BertVectorizer) -> Checkpoint:
    """Return the checkpoint that a `BertVectorizer` names."""
    return open_checkpoint(
        bert.model_name, bert.revision, bert.local_files_only, bert.trust_remote_code
    )
