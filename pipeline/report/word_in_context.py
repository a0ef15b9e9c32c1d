"""One word in many texts: where it stands, and where its vectors lie with and without context."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import InvalidParameterError
from ...features import BertSpanVectorizer, BertVectorizer
from ...features.inputs.find_word import find_word
from ...models import open_checkpoint
from ...models.checkpoint.span_tokens import SpanTokenizer, input_vectors
from ..comparison.example import load_example

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EXAMPLE_WORD", "Occurrences", "occurrences_in", "word_occurrences"]

# Of the example's words the one whose senses the default model keeps furthest apart
EXAMPLE_WORD = "python"
_MOST_OCCURRENCES = 300
_SHARED = (
    *("model_name", "revision", "local_files_only", "trust_remote_code"),
    *("prompt", "max_length", "precision", "device", "batch_tokens", "store"),
)
_MOST_LABELS = 7


@dataclass(frozen=True)
class Occurrences:
    """Occurrences of a word, each as a point without context and one in context.

    Attributes
    ----------
    word : str
    texts : ndarray
        The text of each occurrence. *Shape:* ``(n,)``, dtype object.
    spans : ndarray
        First character of each occurrence, and the one after its last. *Shape:* ``(n, 2)``, int64.
    labels : ndarray
        The target of each text, as words; the rarer of many are "other". *Shape:* ``(n,)``, dtype
        object.
    static, contextual : ndarray
        Principal components of the vectors: of the model's input embeddings, and of its hidden
        states. *Shape:* ``(n, 2)``, float64.
    explained : float
        Share of the variance in context that two dimensions show.
    separation : float
        Silhouette of the labels among the vectors in context, in all their dimensions: 1 is apart,
        0 is mixed. NaN where there is one label, or a label for each occurrence.
    n_found : int
        Occurrences in all, of which these are a sample where there are more than 300.
    layer : int
    model_name : str
    is_example : bool
        Whether the texts are those of the embedded example.
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
        return [
            label
            for label, _ in sorted(
                Counter(self.labels).items(),
                key=lambda item: (item[0] == "other", -item[1], item[0]),
            )
        ]


def occurrences_in(
    texts: Sequence[str],
    labels: Sequence[Any],
    word: str,
    vectorizer: BertVectorizer | None = None,
    layer: int = -2,
    random_state: int = 0,
) -> Occurrences:
    """Find a word in texts and project its vectors to two dimensions.

    Parameters
    ----------
    texts : sequence of str
        *Length:* ``n_texts``.
    labels : sequence
        Colours of the points. *Length:* ``n_texts``.
    word : str
    vectorizer : BertVectorizer or None
        Its model is used, with its prompt, device and precision; None takes the default one.
    layer : int
        Layer that is read; a model that has no such layer is read at its last one.
    random_state : int
        Seed of the sample, where the word occurs more than 300 times.

    Returns
    -------
    Occurrences

    Raises
    ------
    InvalidParameterError
        If the word is in no text.

    Examples
    --------
    >>> occurrences = occurrences_in(["A bat flew.", "He swung a bat."], ["living", "thing"], "bat")
    >>> occurrences.spans.tolist(), len(np.unique(occurrences.static, axis=0))
    ([[2, 5], [11, 14]], 1)
    """
    from ...models.checkpoint.text_tokens import load_tokenizer

    found = find_word(texts, word)
    if not found:
        raise InvalidParameterError(
            f"The 'word' parameter must be a word that is in the texts. Got {word!r} instead, which"
            f" none of {len(texts)} texts holds."
        )
    chosen = np.arange(len(found))
    if len(found) > _MOST_OCCURRENCES:
        chosen = np.sort(
            np.random.default_rng(random_state).choice(len(found), _MOST_OCCURRENCES, replace=False)
        )
    rows, spans = np.split(np.array(found, dtype=np.int64)[chosen], [1], axis=1)
    own_texts = [texts[row] for row in rows[:, 0]]
    vectorizer = BertVectorizer() if vectorizer is None else vectorizer
    checkpoint = open_checkpoint(
        vectorizer.model_name,
        vectorizer.revision,
        vectorizer.local_files_only,
        vectorizer.trust_remote_code,
    )
    layer = max(layer, -checkpoint.n_layers - 1)
    reader = BertSpanVectorizer(layers=layer)
    shared = {name: value for name, value in vectorizer.get_params().items() if name in _SHARED}
    # As objects, since pandas' own strings hold no lone surrogates.
    table = pd.DataFrame(
        {"text": pd.Series(own_texts, dtype=object), "start": spans[:, 0], "end": spans[:, 1]}
    )
    vectors = reader.set_params(**shared).transform(table)
    contextual, explained = _project(vectors)
    tokenize = SpanTokenizer(
        checkpoint, load_tokenizer(checkpoint), vectorizer.prompt, vectorizer.max_length
    )
    names = _few([labels[row] for row in rows[:, 0]])
    return Occurrences(
        word=word,
        texts=np.array(own_texts, dtype=object),
        spans=spans,
        labels=names,
        static=_project(
            input_vectors(checkpoint, tokenize(own_texts, spans, np.arange(len(own_texts))))
        )[0],
        contextual=contextual,
        explained=explained,
        separation=_silhouette(vectors, names),
        n_found=len(found),
        layer=layer,
        model_name=str(vectorizer.model_name),
    )


def word_occurrences(comparison: Any, word: str | None = None) -> Occurrences:
    """Find a word in the texts of a comparison; None takes the embedded example and its word
    *python*.

    Parameters
    ----------
    comparison : Comparison
        The first `BertVectorizer` of its roster says which model is used; without one, the default
        model.
    word : str or None

    Returns
    -------
    Occurrences

    Raises
    ------
    InvalidParameterError
        If the word is in no text.
    """
    vectorizer = next(
        (part for features in comparison.roster.values() for part in _vectorizers(features)), None
    )
    if word is None:
        example = load_example()
        found = occurrences_in(
            example["text"].tolist(), example["label"].tolist(), EXAMPLE_WORD, vectorizer
        )
        return Occurrences(**{**vars(found), "is_example": True})
    return occurrences_in(comparison.texts.tolist(), _labels(comparison.target), word, vectorizer)


def _vectorizers(features: Any) -> list[BertVectorizer]:
    inside = features.get_params(deep=True).values() if hasattr(features, "get_params") else ()
    return [part for part in (features, *inside) if isinstance(part, BertVectorizer)]


def _labels(target: Any) -> list[str]:
    """Return the target as words: classes, all labels of a row, or the half that an amount is in."""
    if target.kind == "regression":
        middle = float(np.median(target.values))
        return [
            f"at least {middle:.3g}" if value >= middle else f"below {middle:.3g}"
            for value in target.values
        ]
    if target.kind == "multilabel":
        return [
            ", ".join(str(name) for name, has in zip(target.classes, row, strict=True) if has)
            or "(no label)"
            for row in target.values
        ]
    return [str(value) for value in target.values]


def _few(labels: Sequence[Any]) -> NDArray[np.object_]:
    """Return labels as words, the rarest together as "other" where there are more than seven."""
    names = [str(label) for label in labels]
    frequent = [name for name, _ in Counter(sorted(names)).most_common()]
    kept = set(frequent if len(frequent) <= _MOST_LABELS else frequent[: _MOST_LABELS - 1])
    return np.array([name if name in kept else "other" for name in names], dtype=object)


def _project(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return two principal components, and their share of the variance; zeros and NaN where all vectors are the same."""
    from sklearn.decomposition import PCA

    if len(vectors) < 2 or np.ptp(vectors, axis=0).max() == 0:
        return np.zeros((len(vectors), 2)), float("nan")
    model = PCA(2, svd_solver="full")
    return model.fit_transform(vectors.astype(np.float64)), float(
        model.explained_variance_ratio_.sum()
    )


def _silhouette(vectors: NDArray[np.float32], labels: NDArray[np.object_]) -> float:
    from sklearn.metrics import silhouette_score

    n_labels = len(set(labels))
    if not 2 <= n_labels < len(labels):
        return float("nan")
    return float(silhouette_score(vectors, labels.astype(str)))
