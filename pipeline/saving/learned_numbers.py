"""Check the numbers in loaded estimators that compiled code takes as indices or shapes.

scikit-learn, SciPy and libsvm trust what they learned themselves, and read or write other memory
where it is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from ...models.pooling.tokens import resolve_pooling
from ...private_api import check_parameters, tree_nodes
from ..fine_tuning.base import FineTunedEstimator
from .compact import estimators_within

__all__ = ["check_learned_numbers"]

# Attributes whose last axis has a number for each feature.
_WIDTHS = (
    "_fit_X", "cluster_centers_", "centroids_", "coef_", "components_", "idf_",
    "subcluster_centers_", "support_vectors_",
)  # fmt: skip
_MOST_NAMES = 1 << 22  # an estimator makes as many names of features as it says


def check_learned_numbers(pipeline: Any) -> None:
    """Raise ValueError if an estimator within ``pipeline`` contradicts itself."""
    for owner in estimators_within(pipeline):
        # Attributes alone: a file may hold values that properties and methods do not expect.
        learned = vars(owner)
        try:
            check_parameters(owner)
            for check in _CHECKS:
                check(owner, learned)
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
            raise ValueError(
                f"the numbers of {type(owner).__name__} are of another kind: {error}"
            ) from error


def _require(holds: Any, owner: Any, what: str) -> None:
    if not holds:
        raise _misfit(owner, what)


def _misfit(owner: Any, what: str) -> ValueError:
    return ValueError(f"{what} of {type(owner).__name__} do not fit together")


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _within(values: Any, end: int, start: int = 0) -> bool:
    """Whether all values are ints in ``range(start, end)``."""
    array = np.asarray(values)
    return array.dtype.kind in "iu" and bool(((array >= start) & (array < end)).all())


def _check_names(owner: Any, learned: dict[str, Any]) -> None:
    """Check that no attribute takes the place of a method, or of rules, of the class."""
    if isinstance(owner, BaseEstimator):
        # A parameter may have a default in a base class.
        for name in learned.keys() - set(type(owner)._get_param_names()):
            of_class = inspect.getattr_static(type(owner), name, None)
            _require(
                of_class is None or isinstance(of_class, Number), owner, f"'{name}' and the class"
            )


def _check_vocabulary(owner: Any, learned: dict[str, Any]) -> None:
    if "vocabulary_" not in learned:
        return
    vocabulary = learned["vocabulary_"]
    _require(type(vocabulary) is dict, owner, "the words and columns of the vocabulary")
    columns = list(vocabulary.values())
    _require(
        all(map(_is_int, columns)) and set(columns) == set(range(len(columns))),
        owner,
        "the words and columns of the vocabulary",
    )
    weights = getattr(learned.get("_tfidf"), "__dict__", {}).get("idf_")
    _require(weights is None or len(weights) == len(columns), owner, "words and their weights")


def _check_widths(owner: Any, learned: dict[str, Any]) -> None:
    n_features = learned.get("n_features_in_")
    _require(n_features is None or _is_int(n_features), owner, "the kind and number of features")
    for name in _WIDTHS:
        value = learned.get(name)
        if (
            value is None
            or not isinstance(owner, BaseEstimator)
            or (name == "support_vectors_" and learned.get("kernel") == "precomputed")
        ):
            continue
        _require(isinstance(value, np.ndarray) or sparse.issparse(value), owner, f"'{name}'")
        # scikit-learn does not compare the width of its input with a number that is not there.
        _require(
            value.ndim and value.shape[-1] == n_features, owner, f"'{name}' and 'n_features_in_'"
        )
    if "_n_features_out" in learned:
        _require(_within(learned["_n_features_out"], _MOST_NAMES), owner, "the numbers of features")


def _check_classes(owner: Any, learned: dict[str, Any]) -> None:
    classes, coef = learned.get("classes_"), learned.get("coef_")
    if isinstance(classes, np.ndarray) and coef is not None and coef.ndim == 2:
        n_rows = 1 if len(classes) <= 2 else len(classes)
        # Ridge classifiers take several labels a row.
        is_sound = coef.shape[0] == n_rows or "_label_binarizer" in learned
        _require(is_sound, owner, "'coef_' and 'classes_'")
    intercept = learned.get("intercept_")
    if coef is not None and isinstance(intercept, np.ndarray) and intercept.ndim:
        n_rows = coef.shape[0] if coef.ndim == 2 else 1
        _require(intercept.shape == (n_rows,), owner, "'coef_' and 'intercept_'")


def _check_neighbors(owner: Any, learned: dict[str, Any]) -> None:
    if "n_samples_fit_" not in learned:
        return
    data, n_rows = learned.get("_fit_X"), learned["n_samples_fit_"]
    if data is None or not _is_int(n_rows) or data.shape[0] != n_rows:
        raise _misfit(owner, "'_fit_X' and 'n_samples_fit_'")
    tree = learned.get("_tree")
    if tree is not None:
        _require(np.shape(tree.data) == data.shape, owner, "'_fit_X' and '_tree'")
    if learned.get("_y") is None:
        return
    targets = np.asarray(learned["_y"])
    _require(targets.shape[:1] == (n_rows,), owner, "'_fit_X' and '_y'")
    if "classes_" in learned:  # of each column of the target, if there are several
        classes = learned["classes_"]
        listed = classes if isinstance(classes, list) else [classes]
        columns = targets.reshape(n_rows, -1).T
        _require(
            len(columns) == len(listed) and all(map(_within, columns, map(len, listed))),
            owner,
            "'_y' and 'classes_'",
        )


def _check_support_vectors(owner: Any, learned: dict[str, Any]) -> None:
    kind = getattr(type(owner), "_impl", None)
    if kind is None or "support_" not in learned:
        return
    n_classes, n_vectors = len(learned["_n_support"]), len(learned["support_"])
    n_pairs = n_classes * (n_classes - 1) // 2
    coefficients, vectors = learned["_dual_coef_"], learned["support_vectors_"]
    is_precomputed = learned["kernel"] == "precomputed"
    is_sound = (
        _within(learned["_n_support"], n_vectors + 1)
        and _within(learned["support_"], learned["n_features_in_"] if is_precomputed else 2**31 - 1)
        and (is_precomputed or vectors.shape[0] == n_vectors)
        and coefficients.shape == (n_classes - 1, n_vectors)
        and sparse.issparse(coefficients) == sparse.issparse(vectors)
        and (not sparse.issparse(coefficients) or coefficients.nnz == np.prod(coefficients.shape))
        and len(learned["_intercept_"]) == n_pairs
        and len(learned["_probA"]) in (0, n_pairs)
        and len(learned["_probA"]) == len(learned["_probB"])
    )
    if kind in ("c_svc", "nu_svc"):
        n_known = len(learned["classes_"])
        is_sound = is_sound and n_known == n_classes and learned["_n_support"].sum() == n_vectors
    else:
        is_sound = is_sound and n_classes == 2
    _require(is_sound, owner, "the support vectors")


def _check_categories(owner: Any, learned: dict[str, Any]) -> None:
    if isinstance(learned.get("categories_"), list):
        n_features = len(learned["categories_"])
        # So many names of features are made.
        _require(learned.get("n_features_in_") == n_features, owner, "categories and features")
    if "_n_features_outs" not in learned:
        return
    widths = [len(categories) for categories in learned["categories_"]]
    if learned.get("_infrequent_enabled"):
        mappings = learned["_default_to_infrequent_mappings"]
        _require(len(mappings) == len(widths), owner, "categories and columns")
        for feature, mapping in enumerate(mappings):
            if mapping is not None:  # several categories become one
                n_columns = int(mapping.max()) + 1
                is_sound = len(mapping) == widths[feature] and _within(mapping, n_columns)
                _require(is_sound, owner, "categories and columns")
                widths[feature] = n_columns
    dropped = learned.get("_drop_idx_after_grouping")
    for feature, index in enumerate([] if dropped is None else dropped):
        if index is not None:
            _require(_within(index, widths[feature]), owner, "categories and columns")
            widths[feature] -= 1
    _require(learned["_n_features_outs"] == widths, owner, "categories and columns")


def _check_trees(owner: Any, learned: dict[str, Any]) -> None:
    if (found := tree_nodes(learned.get("tree_"))) is not None:
        nodes, n_features = found
        _require(
            n_features == learned.get("n_features_in_")
            and _are_trees(
                nodes["left_child"],
                nodes["right_child"],
                nodes["feature"],
                nodes["left_child"] == -1,
                n_features,
            ),
            owner,
            "the nodes of the tree",
        )
    for predictors in learned.get("_predictors", ()):  # of histogram gradient boosting
        for predictor in predictors:
            nodes = predictor.nodes
            is_leaf = nodes["is_leaf"].astype(bool)
            categorical = nodes["bitset_idx"][nodes["is_categorical"].astype(bool)]
            _require(
                _are_trees(
                    nodes["left"],
                    nodes["right"],
                    nodes["feature_idx"],
                    is_leaf,
                    learned["n_features_in_"],
                )
                and _within(categorical, len(predictor.raw_left_cat_bitsets)),
                owner,
                "the nodes of the trees",
            )


def _are_trees(left: Any, right: Any, feature: Any, is_leaf: Any, n_features: int) -> bool:
    """Whether children come after their parents, and features are among those of the input."""
    n_nodes = len(left)
    parents = np.flatnonzero(~is_leaf)
    return (
        n_nodes > 0
        and all(
            _within(child, n_nodes) and bool((child > parents).all())
            for child in (left[parents].astype(np.int64), right[parents].astype(np.int64))
        )
        and _within(feature[parents], n_features)
    )


def _check_members(owner: Any, learned: dict[str, Any]) -> None:
    """Check that ensembles give trees, which do not look, rows of the width they take."""
    members = learned.get("estimators_")
    if not isinstance(members, (list, np.ndarray)) or "n_features_in_" not in learned:
        return
    if "n_trees_per_iteration_" in learned:
        _require(
            np.ndim(members) == 2 and np.shape(members)[1] == learned["n_trees_per_iteration_"],
            owner,
            "trees and classes",
        )
    subsets = learned.get("estimators_features_")
    flat = np.ravel(members) if isinstance(members, np.ndarray) else members
    for index, member in enumerate(flat):
        if "tree_" in getattr(member, "__dict__", {}):
            width = (
                learned["n_features_in_"]
                if subsets is None or learned.get("_max_features") == learned["n_features_in_"]
                else len(subsets[index])
            )
            _require(vars(member).get("n_features_in_") == width, owner, "trees and features")


def _check_tuned(owner: Any, learned: dict[str, Any]) -> None:
    """Check that a fine-tuned network takes no more memory than the weights that it has learned."""
    if not isinstance(owner, FineTunedEstimator) or "tuned_weights_" not in learned:
        return
    from ...models.training.tuned_weights import TunedWeights

    _require(type(learned["tuned_weights_"]) is bytes, owner, "the tuned weights")
    tensors = TunedWeights(learned["tuned_weights_"]).tensors()
    lengths: dict[str, set[int]] = {"base": {0}, "head": set()}
    for name, tensor in tensors.items():
        lengths[name.partition(".")[0]].update(tensor.shape[:1])
    form = learned["_form"]
    n_outputs, n_layers, vocab_size = (
        form[name] for name in ("n_outputs", "n_trained_layers", "vocab_size")
    )
    _require(_is_int(n_outputs) and n_outputs in lengths["head"], owner, "outputs and weights")
    _require(n_layers is None or (_is_int(n_layers) and n_layers >= 0), owner, "the trained layers")
    _require(
        vocab_size is None
        or (_is_int(vocab_size) and (n_layers is not None or vocab_size <= max(lengths["base"]))),
        owner,
        "tokens and weights",
    )
    for numbers in (form["scale"], form["shift"]):
        is_given = np.shape(numbers) == (n_outputs,) and np.isfinite(numbers).all()
        _require(numbers is None or is_given, owner, "numbers and outputs")
    _require((form["scale"] is None) == (form["shift"] is None), owner, "numbers and outputs")
    for poolings in (learned.get("pooling_"), form["pooling"]):
        _require(poolings is None or resolve_pooling(poolings), owner, "the poolings")
    _require(learned["n_features_in_"] in (1, 2), owner, "the columns")
    for name in ("classes_", "tags_", "tag_shares_"):
        if name in learned:
            _require(np.shape(learned[name]) == (n_outputs,), owner, f"{name} and outputs")
    _require(learned.get("n_outputs_", n_outputs) == n_outputs, owner, "numbers and outputs")


_CHECKS: tuple[Callable[[Any, dict[str, Any]], None], ...] = (
    _check_names,
    _check_vocabulary,
    _check_widths,
    _check_classes,
    _check_neighbors,
    _check_support_vectors,
    _check_categories,
    _check_trees,
    _check_members,
    _check_tuned,
)
