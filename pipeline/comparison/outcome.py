"""What a comparison keeps of each kind of features: its scores, its predictions, its cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Cost", "Outcome"]


@dataclass(frozen=True)
class Cost:
    """What a kind of features costs; numbers that do not apply are NaN.

    Attributes
    ----------
    dimensions : int
        Columns of the features.
    encode_seconds : float
        To turn 1,000 texts into features, nothing remembered from before.
    fit_seconds : float
        To fit on 1,000 rows: the estimator, and features that learn.
    predict_seconds : float
        To predict 1,000 rows whose features are at hand.
    peak_mib : float
        Most memory that a process at work on it took, in MiB, with all it held before.
    kept_bytes : int
        Size of the features of all rows.
    oov_rate : float
        Share of words without a static vector.
    truncation_rate : float
        Share of texts that were longer than the model reads.
    """

    dimensions: int
    encode_seconds: float
    fit_seconds: float
    predict_seconds: float
    peak_mib: float
    kept_bytes: int
    oov_rate: float
    truncation_rate: float


@dataclass(frozen=True)
class Outcome:
    """What one kind of features did.

    Attributes
    ----------
    name : str
    is_contextual : bool
        Whether a `BertVectorizer` is part of it; everything else is a baseline.
    cell : tuple of (int, str), or None
        The layer (counted from 0, the embeddings) and the pooling, where it is a single layer under
        a single pooling.
    scores : dict of str to ndarray
        What each metric gave on each fold, as people know it: an error is a positive number. *Shape
        of each:* ``(n_folds,)``, float64.
    test_scores : dict of str to float
        The same on rows held back for a test, fitted on all others; empty where there are none.
    predictions : ndarray
        For each row what was predicted while it was left out, in the first repeat; None where it
        never was. *Shape:* ``(n_rows,)`` or ``(n_rows, n_labels)``, dtype object.
    cost : Cost
    curve : ndarray or None
        The deciding metric after learning from a growing number of rows. *Shape:* ``(n_sizes,
        n_folds of the first repeat)``, float64.
    reason : str
        Why the deciding metric has no value on a fold, where it has none.
    resampled, test_resampled : ndarray or None
        The deciding metric on bootstrap samples of the test rows, the same samples for all kinds of
        features: where there is but one fold, and on rows held back. *Shape:* ``(n_resamples,)``,
        float64.
    """

    name: str
    is_contextual: bool
    cell: tuple[int, str] | None
    scores: dict[str, NDArray[np.float64]]
    test_scores: dict[str, float]
    predictions: NDArray[np.object_]
    cost: Cost
    curve: NDArray[np.float64] | None = None
    resampled: NDArray[np.float64] | None = None
    test_resampled: NDArray[np.float64] | None = None

    reason: str = ""

    @property
    def n_judged(self) -> int:
        """Rows for which something was predicted while they were left out."""
        return sum(
            row is not None for row in self.predictions.reshape(len(self.predictions), -1)[:, 0]
        )
