"""Occurrences of a word in many texts, and their vectors without and with context in 2-D."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from ...errors import InvalidParameterError
from ...features import BertSpanVectorizer, BertVectorizer
from ...features.inputs.find_word import find_word
from ...models.checkpoint.span_tokens import SpanTokenizer, input_vectors
from ...models.checkpoint.text_tokens import load_tokenizer
from ...validation import short_repr
from ..comparison.candidates import berts_of, checkpoint_of
from ..comparison.example import load_example

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..comparison.result import ComparisonResult
    from ..comparison.target import Target

__all__ = ["EXAMPLE_WORD", "Occurrences", "occurrences_in", "word_occurrences"]

# The word of the example whose senses the default model separates best.
EXAMPLE_WORD = "python"
_MAX_OCCURRENCES = 300
_SHARED = (
    *("model_name", "revision", "local_files_only", "trust_remote_code"),
    *("prompt", "max_length", "precision", "device", "batch_tokens", "store"),
)
_MAX_LABELS = 7


@dataclass(frozen=True)
class Occurrences:
    """Occurrences of a word as points: without context (``static``) and in context.

    ``spans`` are the first character of each occurrence and the one after its last, of shape ``(n,
    2)``. ``labels`` are the targets of the texts, where the rarest of many are "other". The points
    are principal components, ``explained`` the share of variance in context that they show, and
    ``separation`` the silhouette of the labels in all dimensions: 1 is apart, 0 is mixed, NaN with
    one label or one per occurrence. ``n_found`` counts all occurrences, of which these are a sample
    above 300.
    """

    word: str
    texts: NDArray[np.object_]
    spans: NDArray[np.int64]
    labels: NDArray[np.object_]
    static: NDArray[np.float64]
    contextual: NDArray[np.float64]
    explained: float
    separation: float
    n_found: int
    layer: int
    model_name: str
    is_example: bool = False

    @property
    def shown_labels(self) -> list[str]:
        """The distinct labels, the most frequent first and "other" last."""
        counts = Counter(self.labels)
        return sorted(counts, key=lambda label: (label == "other", -counts[label], label))


def occurrences_in(
    texts: Sequence[str],
    labels: Sequence[Any],
    word: str,
    vectorizer: BertVectorizer | None = None,
    layer: int = -2,
    random_state: int = 0,
) -> Occurrences:
    """Find a word in texts and project its vectors to two dimensions.

    The model and its settings are those of ``vectorizer``, by default of `BertVectorizer()`. A
    model without the layer is read at its first one. ``labels`` colour the points.

    Examples
    --------
    >>> occurrences = occurrences_in(["A bat flew.", "He swung a bat."], ["living", "thing"], "bat")
    >>> occurrences.spans.tolist(), len(np.unique(occurrences.static, axis=0))
    ([[2, 5], [11, 14]], 1)
    """
    found = find_word(texts, word)
    if not found:
        raise InvalidParameterError(
            f"The 'word' parameter must be a word that is in the texts. Got {short_repr(word)}"
            f" instead, which none of {len(texts)} texts holds."
        )
    n_shown = min(len(found), _MAX_OCCURRENCES)
    chosen = np.random.default_rng(random_state).choice(len(found), n_shown, replace=False)
    found_rows = np.array(found, dtype=np.int64)[np.sort(chosen)]
    rows, spans = found_rows[:, 0].tolist(), found_rows[:, 1:]
    own_texts = [texts[row] for row in rows]
    vectorizer = BertVectorizer() if vectorizer is None else vectorizer
    checkpoint = checkpoint_of(vectorizer)
    layer = max(layer, -checkpoint.n_layers - 1)
    reader = BertSpanVectorizer(layers=layer)
    shared = {name: value for name, value in vectorizer.get_params().items() if name in _SHARED}
    # pandas' string dtype refuses lone surrogates.
    table = pd.DataFrame(
        {"text": pd.Series(own_texts, dtype=object), "start": spans[:, 0], "end": spans[:, 1]}
    )
    vectors = reader.set_params(**shared).transform(table)
    contextual, explained = _project(vectors)
    tokenize = SpanTokenizer(
        checkpoint, load_tokenizer(checkpoint), vectorizer.prompt, vectorizer.max_length
    )
    tokens = tokenize(own_texts, spans, np.arange(len(own_texts)))
    names = _join_rare([labels[row] for row in rows])
    return Occurrences(
        word=word,
        texts=np.array(own_texts, dtype=object),
        spans=spans,
        labels=names,
        static=_project(input_vectors(checkpoint, tokens))[0],
        contextual=contextual,
        explained=explained,
        separation=_silhouette(vectors, names),
        n_found=len(found),
        layer=layer,
        model_name=str(vectorizer.model_name),
    )


def word_occurrences(comparison: ComparisonResult, word: str | None = None) -> Occurrences:
    """Find a word in the texts of a comparison; None takes *python* in the embedded example.

    The model is that of the first `BertVectorizer` of the comparison, else the default model.
    """
    berts = [bert for features in comparison.roster.values() for bert in berts_of(features)]
    vectorizer = berts[0] if berts else None
    if word is None:
        example = load_example()
        texts, labels = example["text"].tolist(), example["label"].tolist()
        return replace(occurrences_in(texts, labels, EXAMPLE_WORD, vectorizer), is_example=True)
    labels = _labels(comparison.target)
    if comparison.texts.ndim == 2:
        labels = [label for label in labels for _ in range(2)]
    return occurrences_in(comparison.texts.ravel().tolist(), labels, word, vectorizer)


def _labels(target: Target) -> list[str]:
    """Return the target as text: classes, all labels of a row, or the half of a number."""
    if target.kind == "regression":
        middle = float(np.median(target.values))
        below, above = f"below {middle:.3g}", f"at least {middle:.3g}"
        return [above if value >= middle else below for value in target.values]
    if target.classes is not None and target.kind == "multilabel":
        return [
            ", ".join(map(str, target.classes[row.astype(bool)])) or "(no label)"
            for row in target.values
        ]
    return [str(value) for value in target.values]


def _join_rare(labels: Sequence[Any]) -> NDArray[np.object_]:
    """Return labels as text; of more than seven, the rarest become "other"."""
    names = [str(label) for label in labels]
    frequent = [name for name, _ in Counter(sorted(names)).most_common()]
    kept = set(frequent if len(frequent) <= _MAX_LABELS else frequent[: _MAX_LABELS - 1])
    return np.array([name if name in kept else "other" for name in names], dtype=object)


def _project(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return two principal components and their share of variance; 0 and NaN without variance."""
    if len(vectors) < 2 or np.ptp(vectors, axis=0).max() == 0:
        return np.zeros((len(vectors), 2)), math.nan
    model = PCA(2, svd_solver="full")
    points = model.fit_transform(vectors.astype(np.float64))
    return points, float(model.explained_variance_ratio_.sum())


def _silhouette(vectors: NDArray[np.float32], labels: NDArray[np.object_]) -> float:
    if not 2 <= len(set(labels)) < len(labels):
        return math.nan
    return float(silhouette_score(vectors, labels.astype(str)))
