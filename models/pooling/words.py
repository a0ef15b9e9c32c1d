"""From the vectors of a text's words to one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from ..torch_threads import use_one_thread_in_forks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["pool_words", "power_means"]

_Float = TypeVar("_Float", np.float32, np.float64)


def pool_words(
    vectors: NDArray[_Float],
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    kind: Literal["sum", "mean", "max"],
    weights: NDArray[np.float32] | None = None,
) -> NDArray[_Float]:
    """Pool the words of each text; a text without words gets zeros.

    ``ids``, of shape (n_tokens,), has the rows of words in ``vectors``, text after text, and
    ``offsets``, of shape (n_texts,), where each text begins. ``weights``, of shape (n_tokens,), go
    with the sum. The result is of shape (n_texts, n_dims), in the dtype of ``vectors``.
    """
    import torch

    if not len(ids) or not len(vectors):
        return np.zeros((len(offsets), vectors.shape[1]), dtype=vectors.dtype)
    use_one_thread_in_forks()
    with torch.inference_mode():
        pooled: Tensor = torch.nn.functional.embedding_bag(
            torch.from_numpy(ids),
            _tensor(vectors),
            torch.from_numpy(offsets),
            mode=kind,
            per_sample_weights=None if weights is None else torch.from_numpy(weights),
        )
        result: NDArray[_Float] = pooled.numpy()
        return result


class _Writeable:
    """The memory of an array, declared writeable.

    PyTorch warns of read-only arrays, and filters of warnings are not safe among threads.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array  # keeps the memory alive
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def _tensor(vectors: NDArray[Any]) -> Tensor:
    """Return a tensor over the memory of an array, for reading only."""
    import torch

    return torch.from_numpy(np.asarray(_Writeable(vectors)))


def power_means(
    vectors: NDArray[np.float32],
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    powers: Sequence[float],
) -> NDArray[np.float32]:
    """Return power means of the words of each text, of shape (n_texts, n_dims * n_powers).

    ``powers`` are integers from 1, and plus or minus infinity: the maximum and the minimum. Odd
    powers keep their sign under the root. A text without words gets zeros.

    References
    ----------
    A. Rücklé et al., "Concatenated Power Mean Word Embeddings", 2018, section 3.
    """
    used, ids = np.unique(ids, return_inverse=True)
    vectors = vectors[used]  # a table is large, and so are powers of it
    return np.concatenate([_power_mean(vectors, ids, offsets, power) for power in powers], axis=1)


def _power_mean(
    vectors: NDArray[np.float32], ids: NDArray[np.int64], offsets: NDArray[np.int64], power: float
) -> NDArray[np.float32]:
    if power == math.inf:
        return pool_words(vectors, ids, offsets, "max")
    if power == -math.inf:
        # Subtracted, since a minus sign would make negative zeros.
        return 0 - pool_words(-vectors, ids, offsets, "max")
    # Scaled so that no power overflows, by a power of two: exact, so that texts stay independent.
    scale = np.exp2(np.frexp(np.abs(vectors).max(initial=0.0))[1], dtype=np.float64)
    mean = pool_words((vectors.astype(np.float64) / scale) ** int(power), ids, offsets, "mean")
    result: NDArray[np.float64] = np.sign(mean) * np.abs(mean) ** (1 / power) * scale
    return result.astype(np.float32)
